//! A whole response of Responses, where a stream was requested: the events that a stream would have had.

use serde_json::{Value, json};

use super::codec::{MAX_ID, MAX_PARTS};
use super::normal::NormalEvent;
use crate::error::truncate;
use crate::wire::json;

/// The events of a response. `None` if this is not a response, or is one with more than [`MAX_PARTS`] items or parts.
pub(super) fn events(data: &str) -> Option<Vec<NormalEvent>> {
    let mut response = json::value(data)?;
    if response["object"] != "response" && !(response["output"].is_array() && response["id"].is_string()) {
        return None;
    }
    if response["output"].is_null() {
        response["output"] = json!([]);
    }
    let items = response["output"].as_array_mut()?;
    let parts = |item: &Value| {
        ["content", "summary"].map(|name| item[name].as_array().map_or(0, Vec::len)).iter().sum::<usize>()
    };
    if items.len() + items.iter().map(parts).sum::<usize>() > MAX_PARTS {
        return None;
    }
    items.iter_mut().for_each(normalize_arguments);
    let last = match response["status"].as_str() {
        Some("failed" | "cancelled") => "response.failed",
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    let mut created = json!({});
    for (name, value) in response.as_object()?.iter().filter(|(name, _)| *name != "output") {
        created[name] = value.clone();
    }
    for (name, value) in [
        ("status", json!("in_progress")),
        ("output", json!([])),
        ("usage", Value::Null),
        ("error", Value::Null),
        ("incomplete_details", Value::Null),
    ] {
        created[name] = value;
    }
    let mut events = Events(Vec::new());
    events.push("response.created", json!({ "response": created }));
    if last != "response.failed" {
        for (index, item) in response["output"].as_array()?.iter().enumerate() {
            events.push_item(index, item);
        }
    }
    events.push(last, json!({ "response": response }));
    Some(events.0)
}

/// The items whose arguments are JSON in a string. Those of others, such as `tool_search_call`, are an object.
const WITH_STRING_ARGUMENTS: &[&str] = &["function_call", "mcp_call", "mcp_approval_request"];

/// Whether an item has arguments that are not a string and should be one.
pub(super) fn has_arguments(item: &Value) -> bool {
    item["type"].as_str().is_some_and(|kind| WITH_STRING_ARGUMENTS.contains(&kind))
        && item.get("arguments").is_some_and(|arguments| arguments.is_object() || arguments.is_array())
}

/// Puts the arguments of an item into a string, if they should be one.
pub(super) fn normalize_arguments(item: &mut Value) {
    if has_arguments(item) {
        item["arguments"] = item["arguments"].to_string().into();
    }
}

struct Events(Vec<NormalEvent>);

impl Events {
    fn push(&mut self, kind: &str, mut fields: Value) {
        fields["type"] = kind.into();
        fields["sequence_number"] = self.0.len().into();
        self.0.push(NormalEvent::new(&fields));
    }

    fn push_item(&mut self, index: usize, item: &Value) {
        let mut begun = item.clone();
        for (name, empty) in [
            ("status", json!("in_progress")),
            ("content", json!([])),
            ("summary", json!([])),
            ("arguments", if item["arguments"].is_object() { json!({}) } else { json!("") }),
        ] {
            if begun.get(name).is_some_and(|value| !value.is_null()) {
                begun[name] = empty;
            }
        }
        self.push("response.output_item.added", json!({ "output_index": index, "item": begun }));
        // Each event of the item repeats it.
        let id = item["id"].as_str().map(|id| truncate(id, MAX_ID));
        let is_message = item["type"] == "message";
        for (at, part) in item["content"].as_array().into_iter().flatten().enumerate() {
            let at = json!({ "item_id": id, "output_index": index, "content_index": at });
            let text = |name: &str| part[name].as_str().map(|text| (name.to_owned(), text.to_owned()));
            match part["type"].as_str() {
                Some("output_text") if is_message => {
                    self.push_part("content_part", "output_text", &at, part, text("text"));
                }
                Some("refusal") if is_message => {
                    self.push_part("content_part", "refusal", &at, part, text("refusal"));
                }
                Some("reasoning_text") => {
                    self.push_part("content_part", "reasoning_text", &at, part, text("text"));
                }
                _ => self.push_part("content_part", "", &at, part, None),
            }
        }
        for (at, part) in item["summary"].as_array().into_iter().flatten().enumerate() {
            let at = json!({ "item_id": id, "output_index": index, "summary_index": at });
            let text = part["text"].as_str().map(|text| ("text".to_owned(), text.to_owned()));
            self.push_part("reasoning_summary_part", "reasoning_summary_text", &at, part, text);
        }
        if let Some(arguments) = item["arguments"].as_str().filter(|_| item["type"] == "function_call") {
            let at = json!({ "item_id": id, "output_index": index });
            self.push_text("function_call_arguments", &at, "arguments", arguments);
        }
        self.push("response.output_item.done", json!({ "output_index": index, "item": item }));
    }

    /// `text`: the name of the field that deltas add to, and its content.
    fn push_part(
        &mut self,
        outer: &str,
        inner: &str,
        at: &Value,
        part: &Value,
        text: Option<(String, String)>,
    ) {
        let mut begun = part.clone();
        if let Some((name, _)) = &text {
            begun[name] = "".into();
        }
        if begun.get("annotations").is_some() {
            begun["annotations"] = json!([]);
        }
        self.push(&format!("response.{outer}.added"), with(at, "part", begun));
        if let Some((name, text)) = &text {
            self.push_text(inner, at, name, text);
        }
        let annotations = part["annotations"].as_array().into_iter().flatten().enumerate();
        for (index, annotation) in annotations.filter(|_| inner == "output_text") {
            let event = with(at, "annotation_index", index.into());
            self.push(
                "response.output_text.annotation.added",
                with(&event, "annotation", annotation.clone()),
            );
        }
        self.push(&format!("response.{outer}.done"), with(at, "part", part.clone()));
    }

    fn push_text(&mut self, kind: &str, at: &Value, name: &str, text: &str) {
        self.push(&format!("response.{kind}.delta"), with(at, "delta", text.into()));
        self.push(&format!("response.{kind}.done"), with(at, name, text.into()));
    }
}

fn with(fields: &Value, name: &str, value: Value) -> Value {
    let mut fields = fields.clone();
    fields[name] = value;
    fields
}
