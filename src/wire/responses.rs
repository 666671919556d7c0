//! OpenAI's Responses: the events of a streamed answer.
//!
//! Shapes: OpenAI API reference, "Responses" and "Streaming events". An answer is whole with
//! `response.completed` or `response.incomplete`; `response.failed` and `error` are errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::chat::{ChatRequest, Text};
use super::dialect::{Ending, Events, MAX_PENDING, Made, Said, counted, malformed, unspliced};
use super::provider_error;
use crate::error::{Error, Kind, Result};

/// The path below the base URL.
pub const PATH: &str = "/responses";

/// More items than any answer has.
const MAX_ITEMS: usize = 1024;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(default)]
    sequence_number: Option<u64>,
    #[serde(default)]
    output_index: u64,
    #[serde(default)]
    content_index: u64,
    #[serde(borrow, default)]
    item_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    part: Option<&'a RawValue>,
}

/// What an item of the attempt that is read is.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Message,
    Reasoning,
    Other,
}

/// The text part that is open at the consumer.
struct Open {
    item: Value,
    output_index: u64,
    content_index: u64,
    text: String,
}

/// One answer, over all its attempts.
#[derive(Default)]
pub struct Answer {
    // What the consumer has.
    response: Value,
    /// The items that are whole, by their place.
    items: BTreeMap<u64, Value>,
    open: Option<Open>,
    next_item: u64,
    next_sequence: u64,
    /// More than text.
    other: bool,

    // The attempt that is read.
    continues: bool,
    pending: Vec<Value>,
    roles: BTreeMap<u64, Role>,
    /// Where its items stand in an answer that goes on.
    places: BTreeMap<u64, u64>,
    /// The last event, where an answer that goes on needs it.
    last: Option<Value>,
    ending: Ending,
}

fn tree(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// What kind of item this is: reasoning of which nothing is shown carries nothing.
fn role(item: &Value) -> Role {
    let empty = |name: &str| item[name].as_array().is_none_or(Vec::is_empty);
    match item["type"].as_str() {
        Some("message") => Role::Message,
        Some("reasoning") if empty("summary") && empty("content") => Role::Reasoning,
        _ => Role::Other,
    }
}

impl Answer {
    /// The frames that were read have reached the consumer.
    fn settle(&mut self) {
        for event in std::mem::take(&mut self.pending) {
            self.apply(event);
        }
    }

    fn apply(&mut self, mut event: Value) {
        let index = event["output_index"].as_u64().unwrap_or(0);
        match event["type"].as_str().unwrap_or_default() {
            "response.created" | "response.queued" | "response.in_progress" => {
                self.response = event["response"].take();
            }
            "response.output_item.added" => {
                let item = event["item"].take();
                self.next_item = self.next_item.max(index + 1);
                if role(&item) == Role::Message {
                    self.open =
                        Some(Open { item, output_index: index, content_index: 0, text: String::new() });
                }
            }
            "response.content_part.added" => {
                if let Some(open) = &mut self.open {
                    open.content_index = event["content_index"].as_u64().unwrap_or(0);
                    open.text.clear();
                }
            }
            "response.content_part.done" => {
                if let Some(parts) = self.open.as_mut().and_then(|open| open.item["content"].as_array_mut()) {
                    parts.push(event["part"].take());
                }
            }
            "response.output_item.done" => {
                self.open.take_if(|open| open.output_index == index);
                self.items.insert(index, event["item"].take());
            }
            _ => {}
        }
    }

    fn frame(&mut self, data: &str) -> Said<'static> {
        if self.continues {
            return Said::Frame;
        }
        self.pending.push(serde_json::from_str(data).unwrap_or_default());
        if self.pending.len() < MAX_PENDING {
            return Said::Frame;
        }
        self.settle();
        self.other = true;
        Said::Other("".into())
    }

    fn another<'a>(&mut self, event: &Event<'a>, data: &str) -> Said<'a> {
        let text = event.delta.and_then(|raw| serde_json::from_str::<Text<'a>>(raw.get()).ok());
        let text = text.unwrap_or_default().0;
        if !self.continues {
            self.settle();
            self.other = true;
            return Said::Other(text);
        }
        match self.roles.get(&event.output_index) {
            Some(Role::Reasoning) => Said::Dropped(text),
            Some(Role::Message) => Said::Failed(unspliced("a refusal or annotations")),
            _ => {
                self.last = serde_json::from_str(data).ok();
                Said::Other(text)
            }
        }
    }

    fn text_delta<'a>(&mut self, event: &Event<'a>, data: &str) -> Said<'a> {
        let text = event.delta.and_then(|raw| serde_json::from_str::<Text<'a>>(raw.get()).ok());
        let text = text.unwrap_or_default().0;
        if text.is_empty() {
            return self.frame(data);
        }
        if self.continues {
            return Said::Text(text);
        }
        self.settle();
        let open = self.open.get_or_insert_with(|| {
            // A relay that sends no frames.
            let id = event.item_id.as_ref().map(|id| &*id.0);
            let item = json!({ "id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant" });
            Open { item, output_index: event.output_index, content_index: event.content_index, text: String::new() }
        });
        open.text.push_str(&text);
        self.next_item = self.next_item.max(event.output_index + 1);
        Said::Text(text)
    }

    /// Whether what an item event tells is of the frame: it stands around text, or says nothing.
    fn is_frame(&mut self, event: &Event<'_>) -> bool {
        match &*event.r#type.0 {
            "response.output_item.added" => {
                let role = role(&tree(event.item));
                if self.roles.len() < MAX_ITEMS {
                    // What is thought again after a break is not shown again.
                    let is_thought = self.continues && tree(event.item)["type"] == "reasoning";
                    self.roles.insert(event.output_index, if is_thought { Role::Reasoning } else { role });
                }
                role != Role::Other
            }
            "response.output_item.done" => role(&tree(event.item)) != Role::Other,
            _ => tree(event.part)["type"] == "output_text",
        }
    }

    fn made(&mut self, mut data: Value) -> Made {
        data["sequence_number"] = self.next_sequence.into();
        self.next_sequence += 1;
        Made::of(data)
    }

    /// The events that end the text part and its message.
    fn close(&mut self, status: &str) -> Vec<Made> {
        let Some(Open { mut item, output_index, content_index, text }) = self.open.take() else {
            return Vec::new();
        };
        let id = item["id"].clone();
        let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text });
        item["status"] = status.into();
        match item["content"].as_array_mut() {
            Some(parts) => parts.push(part.clone()),
            None => item["content"] = json!([part]),
        }
        self.items.insert(output_index, item.clone());
        let at = |kind: &str, name: &str, value: Value| {
            json!({
                "type": kind, "sequence_number": 0, "item_id": id, "output_index": output_index,
                "content_index": content_index, name: value,
            })
        };
        let mut done = at("response.output_text.done", "text", text.into());
        done["logprobs"] = json!([]);
        let part = at("response.content_part.done", "part", part);
        let item = json!({ "type": "response.output_item.done", "sequence_number": 0, "output_index": output_index, "item": item });
        [done, part, item].map(|event| self.made(event)).into()
    }

    /// The last events. `theirs`: the response as the last attempt tells it.
    fn end(&mut self, theirs: &Value) -> Vec<Made> {
        let status = theirs["status"].as_str().unwrap_or("completed").to_owned();
        let mut made = self.close(&status);
        let mut response = if self.response.is_object() { self.response.take() } else { theirs.clone() };
        for name in ["status", "error", "incomplete_details", "completed_at", "service_tier", "usage"] {
            if let Some(value) = theirs.get(name) {
                response[name] = value.clone();
            }
        }
        response["output"] = self.items.values().cloned().collect();
        let event = format!("response.{status}");
        let event = json!({ "type": event, "sequence_number": 0, "response": response });
        made.push(self.made(event));
        made
    }
}

impl Events for Answer {
    fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<Said<'a>> {
        self.last = None;
        let data = data.trim_ascii();
        if event == Some("keepalive") || data == "[DONE]" {
            // One with a number, which the answer would have to go on from.
            return Ok(Said::Nothing);
        }
        if event == Some("ping") {
            return Ok(Said::Ping);
        }
        let read: Event<'a> = serde_json::from_str(data).map_err(|error| malformed(data, &error))?;
        let said = match &*read.r#type.0 {
            "ping" => return Ok(Said::Ping),
            "keepalive" => return Ok(Said::Nothing),
            "error" => Said::Failed(failure(&serde_json::from_str(data).unwrap_or_default())),
            "response.failed" => {
                let event: Value = serde_json::from_str(data).unwrap_or_default();
                Said::Failed(failure(&event["response"]))
            }
            "response.created" | "response.queued" | "response.in_progress" | "response.output_text.done" => {
                self.frame(data)
            }
            "response.output_item.added"
            | "response.output_item.done"
            | "response.content_part.added"
            | "response.content_part.done"
                if self.is_frame(&read) =>
            {
                self.frame(data)
            }
            "response.output_text.delta" => self.text_delta(&read, data),
            "response.completed" | "response.incomplete" => {
                let event: Value = serde_json::from_str(data).unwrap_or_default();
                self.ending = ending(&event["response"]);
                if self.continues {
                    self.last = Some(event);
                } else {
                    self.settle();
                }
                Said::End
            }
            _ => self.another(&read, data),
        };
        // An error is told in another way, and a frame has not gone out yet.
        if !self.continues && !matches!(said, Said::Frame | Said::Failed(_)) {
            self.next_sequence = read.sequence_number.map_or(self.next_sequence, |number| number + 1);
        }
        Ok(said)
    }

    fn passed(&mut self) -> Vec<Made> {
        let Some(mut event) = self.last.take() else { return Vec::new() };
        if event["response"].is_object() {
            return self.end(&event["response"]);
        }
        self.other = true;
        let mut made = self.close("completed");
        if let Some(theirs) = event["output_index"].as_u64() {
            let next = self.next_item;
            let ours = *self.places.entry(theirs).or_insert(next);
            self.next_item = next.max(ours + 1);
            event["output_index"] = ours.into();
            if event["type"] == "response.output_item.done" {
                self.items.insert(ours, event["item"].clone());
            }
        }
        made.push(self.made(event));
        made
    }

    fn text(&mut self, text: &str) -> Vec<Made> {
        let mut made = Vec::new();
        if self.open.is_none() {
            let index = self.next_item;
            self.next_item += 1;
            let id = format!("msg_{}_{index}", self.response["id"].as_str().unwrap_or_default());
            let item = json!({ "id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant" });
            let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": "" });
            let added = json!({ "type": "response.output_item.added", "sequence_number": 0, "output_index": index, "item": item });
            made.push(self.made(added));
            let added = json!({ "type": "response.content_part.added", "sequence_number": 0, "item_id": id, "output_index": index, "content_index": 0, "part": part });
            made.push(self.made(added));
            self.open = Some(Open { item, output_index: index, content_index: 0, text: String::new() });
        }
        if let Some(open) = &mut self.open {
            open.text.push_str(text);
            let delta = json!({
                "type": "response.output_text.delta", "sequence_number": 0, "item_id": open.item["id"],
                "output_index": open.output_index, "content_index": open.content_index, "delta": text,
                "logprobs": [],
            });
            made.push(self.made(delta));
        }
        made
    }

    fn cut_short(&mut self) -> Vec<Made> {
        let details = json!({ "reason": "max_output_tokens" });
        self.end(&json!({ "status": "incomplete", "incomplete_details": details }))
    }

    fn begin_again(&mut self, _trimmed: &str) {
        self.continues = true;
        self.pending.clear();
        self.roles.clear();
        self.places.clear();
        self.last = None;
        self.ending = Ending::default();
    }

    fn hindrance(&self) -> Option<&'static str> {
        self.other.then_some("more than text was sent: reasoning, a refusal, or a tool call")
    }

    fn identity(&self) -> (Option<&str>, Option<&str>) {
        (self.response["id"].as_str(), self.response["model"].as_str())
    }

    fn ending(&self) -> Ending {
        self.ending.clone()
    }

    fn terminal(&self) -> &'static str {
        "response.completed, response.incomplete or response.failed"
    }
}

/// How an answer ended that did not fail.
fn ending(response: &Value) -> Ending {
    let calls = response["output"].as_array().is_some_and(|items| {
        items.iter().any(|item| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call")))
    });
    let reason = match response["incomplete_details"]["reason"].as_str() {
        Some("max_output_tokens") => "length",
        Some(other) => other,
        None if calls => "tool_calls",
        None => "stop",
    };
    let tokens = |name: &str| response["usage"][name].as_u64();
    let usage = match (tokens("input_tokens"), tokens("output_tokens")) {
        (Some(input), Some(output)) => Some(counted(input, output)),
        _ => None,
    };
    Ending { reason: reason.to_owned(), usage }
}

/// The error that a response which failed, or an `error` event, tells of.
fn failure(value: &Value) -> Error {
    let mut error = provider_error::from_event(value);
    // The codes of "The response object", `error.code`: these say that the request is at fault.
    let code = error.provider_code.as_deref().unwrap_or_default();
    let asked = ["invalid_", "image_", "unsupported_image", "empty_image", "failed_to_download_image"];
    if error.kind == Kind::Server && asked.iter().any(|start| code.starts_with(start)) {
        error.kind = Kind::InvalidRequest;
    }
    error
}

/// How an answer in one piece ended.
pub fn read_whole(answer: &Value) -> Result<Ending> {
    if answer["status"] == "failed" {
        return Err(failure(answer));
    }
    Ok(ending(answer))
}

/// Why an answer to this request cannot be taken up again.
pub fn hindrance(request: &ChatRequest) -> Option<&'static str> {
    if request.read("background").unwrap_or(false) {
        return Some("a background response cannot be continued");
    }
    if request.field("conversation").is_some() {
        return Some("a response in a stored conversation cannot be continued");
    }
    if request.field("top_logprobs").is_some() {
        return Some("an answer with logprobs cannot be continued");
    }
    None
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
