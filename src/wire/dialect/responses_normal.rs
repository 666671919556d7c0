//! Events of Responses from providers that send them in another form, as the protocol has them.

use super::codec::MAX_ID;
use super::normal::{NormalEvent, Object, Sent, delta_json, delta_text, quoted};
use super::whole_response::{self, has_arguments, normalize_arguments};
use crate::wire::{json, lenient};

/// The events that belong to an item, by the part of their name between `response.` and the verb, and the index that
/// they have besides that of the item.
const INDEXED: &[(&str, Option<&str>)] = &[
    ("output_item", None),
    ("content_part", Some("content_index")),
    ("output_text", Some("content_index")),
    ("refusal", Some("content_index")),
    ("reasoning_text", Some("content_index")),
    ("reasoning_summary_part", Some("summary_index")),
    ("reasoning_summary_text", Some("summary_index")),
    ("function_call_arguments", None),
    ("mcp_call_arguments", None),
    ("custom_tool_call_input", None),
    ("code_interpreter_call_code", None),
];

/// A text that deltas add to. Some relays give each delta another `item_id`.
#[derive(Clone, Debug)]
pub(super) struct Part {
    subject: &'static str,
    output_index: u64,
    inner_index: u64,
    item_id: Option<String>,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        let key = |part: &Part| (part.subject, part.output_index, part.inner_index);
        key(self) == key(other)
    }
}

/// The protocol's form of the events of one attempt.
#[derive(Default)]
pub(super) struct Normalizer {
    pub sent: Sent<Part>,
}

/// The subject and the verb of an event of an item, and its inner index.
fn indexed(kind: &str) -> Option<(&'static str, &str, Option<&'static str>)> {
    let (subject, verb) = kind.strip_prefix("response.")?.rsplit_once('.')?;
    let (subject, inner) = INDEXED.iter().find(|(known, _)| *known == subject)?;
    Some((subject, verb, *inner))
}

/// Whether an event has the indices that the protocol has for it.
pub(super) fn has_indices(kind: &str, output_index: Option<u64>, content_index: Option<u64>) -> bool {
    indexed(kind).is_none_or(|(_, _, inner)| {
        output_index.is_some() && (inner != Some("content_index") || content_index.is_some())
    })
}

impl Normalizer {
    /// The events that the protocol has for this one.
    pub fn normalize(&mut self, name: Option<&str>, data: &str) -> Vec<NormalEvent> {
        // The name makes it an error, whatever type its data has.
        let object = Object::parse(data).filter(|_| name != Some("error"));
        let Some(mut object) = object else { return vec![NormalEvent::unchanged(name, data)] };
        let named = || name.filter(|name| name.starts_with("response.")).map(str::to_owned);
        let kind = object.string("type").map(|kind| kind.into_owned()).or_else(named);
        let is_response = kind.as_deref().is_none_or(|kind| kind == "response" || kind == "message");
        if is_response
            && !self.sent.has_begun
            && let Some(events) = whole_response::events(data)
        {
            return events;
        }
        let Some(kind) = kind else { return vec![NormalEvent::unchanged(name, data)] };
        let unchanged = NormalEvent { name: Some(kind.clone()), data: data.to_owned() };
        if !kind.starts_with("response.") {
            return vec![unchanged];
        }
        object.set_string("type", &kind);
        let mut events = Vec::new();
        if let Some((subject, verb, inner)) = indexed(&kind) {
            let starts = (subject, verb) == ("output_item", "added");
            let output_index = self.sent.set_index(&mut object, "output_index", starts);
            let inner_index = inner.map_or(0, |name| {
                let index = object.index(name).unwrap_or_default();
                object.set(name, index.to_string());
                index
            });
            match verb {
                "delta" => {
                    let item_id = object.get("item_id").filter(|id| id.len() <= MAX_ID).map(str::to_owned);
                    self.set_delta(&mut object, Part { subject, output_index, inner_index, item_id });
                }
                "done" => {
                    let whole = subject == "output_item";
                    let is_part = |part: &Part| {
                        part.output_index == output_index
                            && (whole || subject == "content_part" || part.subject == subject)
                    };
                    events = self.finish_halves(&object, is_part);
                }
                _ => {}
            }
            set_arguments(&mut object);
        } else if matches!(kind.as_str(), "response.completed" | "response.incomplete" | "response.failed") {
            events = self.finish_halves(&object, |_| true);
            set_response(&mut object);
        }
        object.replace_lone_halves();
        events.push(object.event());
        events
    }

    fn set_delta(&mut self, object: &mut Object<'_>, part: Part) {
        let is_json = matches!(part.subject, "function_call_arguments" | "mcp_call_arguments");
        let json = object.get("delta").unwrap_or("\"\"").to_owned();
        let text = if is_json { delta_json(&json) } else { delta_text(&json) };
        let text = self.sent.halves.join(part, &text);
        object.set("delta", text);
    }

    /// The deltas with what stands for halves whose other half did not arrive. They come before `next`, and share its
    /// number.
    fn finish_halves(&mut self, next: &Object<'_>, is_part: impl Fn(&Part) -> bool) -> Vec<NormalEvent> {
        let number = next.get("sequence_number").filter(|number| number.len() <= MAX_ID);
        let delta = |Part { subject, output_index, inner_index, item_id }: Part| {
            let mut delta = Object::default();
            delta.set_string("type", &format!("response.{subject}.delta"));
            if let Some(number) = number {
                delta.set("sequence_number", number.to_owned());
            }
            if let Some(id) = item_id {
                delta.set("item_id", id);
            }
            delta.set("output_index", output_index.to_string());
            if let Some((_, Some(name))) = INDEXED.iter().find(|(known, _)| *known == subject) {
                delta.set(name, inner_index.to_string());
            }
            delta.set_string("delta", "\u{FFFD}");
            delta.event()
        };
        self.sent.halves.finish(is_part).into_iter().map(delta).collect()
    }
}

/// Arguments are a string.
fn set_arguments(object: &mut Object<'_>) {
    let arguments = object.get("arguments").filter(|json| !json.starts_with('"'));
    if let Some(arguments) = arguments.and_then(lenient::string_or_json).map(|text| quoted(&text.text)) {
        object.set("arguments", arguments);
    }
    if let Some(mut item) = object.get("item").and_then(json::value).filter(has_arguments) {
        normalize_arguments(&mut item);
        object.set("item", item.to_string());
    }
}

fn set_response(object: &mut Object<'_>) {
    let Some(mut response) = object.get("response").and_then(json::value) else { return };
    let Some(items) = response["output"].as_array_mut() else { return };
    if items.iter().any(has_arguments) {
        items.iter_mut().for_each(normalize_arguments);
        object.set("response", response.to_string());
    }
}
