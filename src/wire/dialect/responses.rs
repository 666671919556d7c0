//! OpenAI's Responses: the events of a streamed answer.
//!
//! Shapes: OpenAI API reference, "Responses" and "Streaming events". An answer is complete with
//! `response.completed` or `response.incomplete`; `response.failed` and `error` are errors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::codec::{
    DecodedEvent, Ending, EventCodec, MAX_PARTS, MAX_PENDING, MAX_PENDING_BYTES, SyntheticEvent,
    error_beside, error_event, error_inside, is_ping, malformed, not_joinable, unusual,
};
use super::normal::NormalEvent;
use super::response_object::{ending, failure};
use super::responses_event::{Event, parse};
use super::responses_item::{ItemKind, OpenPart, identity_of, item_kind, shorten};
use super::responses_normal::Normalizer;
use super::whole_response::has_arguments;
use crate::error::Result;
use crate::weight::weight;
use crate::wire::json as lenient;

/// One answer, over all its attempts.
#[derive(Default)]
pub struct Answer {
    // What the consumer has received.
    response: Value,
    /// The complete items, by output index.
    items: BTreeMap<u64, Value>,
    open: Option<OpenPart>,
    next_item: u64,
    next_sequence: u64,
    /// Whether content other than text was sent.
    has_other_content: bool,
    /// The approximate memory of the response, the items and the open part, in bytes.
    held: usize,
    is_released: bool,

    // The attempt being read.
    resumed: bool,
    pending: Vec<Value>,
    /// The length of the pending events, in bytes of JSON.
    pending_bytes: usize,
    kinds: BTreeMap<u64, ItemKind>,
    /// From its output indices to those of the resumed answer.
    indices: BTreeMap<u64, u64>,
    /// The last event, if a resumed answer needs it rewritten.
    last: Option<Value>,
    ending: Ending,
    normalizer: Normalizer,
}

impl Answer {
    /// The pending structural events have reached the consumer.
    fn settle(&mut self) {
        self.pending_bytes = 0;
        for event in std::mem::take(&mut self.pending) {
            self.apply(event);
        }
    }

    fn apply(&mut self, mut event: Value) {
        let index = event["output_index"].as_u64().unwrap_or(0);
        match event["type"].as_str().unwrap_or_default() {
            "response.created" | "response.queued" | "response.in_progress" => {
                self.held = self.held.saturating_sub(weight(&self.response));
                self.response = event["response"].take();
                shorten(&mut self.response["id"]);
                shorten(&mut self.response["model"]);
                if self.is_released {
                    self.response = identity_of(&self.response);
                }
                self.held += weight(&self.response);
            }
            "response.output_item.added" => {
                let mut item = event["item"].take();
                shorten(&mut item["id"]);
                self.next_item = self.next_item.max(index.saturating_add(1));
                if item_kind(&item) == ItemKind::Message {
                    self.open =
                        Some(OpenPart { item, output_index: index, content_index: 0, text: String::new() });
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
                    self.held += weight(&event["part"]);
                    parts.push(event["part"].take());
                }
            }
            "response.output_item.done" => {
                if let Some(open) = self.open.take_if(|open| open.output_index == index) {
                    self.held = self.held.saturating_sub(open.text.len());
                }
                self.keep_item(index, event["item"].take());
            }
            _ => {}
        }
    }

    fn keep_item(&mut self, index: u64, item: Value) {
        if !self.is_released {
            self.held += weight(&item);
            let replaced = self.items.insert(index, item);
            self.held = self.held.saturating_sub(replaced.as_ref().map_or(0, weight));
        }
    }

    fn structural(&mut self, data: &str) -> DecodedEvent<'static> {
        if self.resumed {
            return DecodedEvent::Structural;
        }
        self.pending.push(lenient::value(data).unwrap_or_default());
        self.pending_bytes += data.len();
        if self.pending.len() < MAX_PENDING && self.pending_bytes < MAX_PENDING_BYTES {
            return DecodedEvent::Structural;
        }
        self.settle();
        self.has_other_content = true;
        DecodedEvent::Content("".into())
    }

    /// Content other than text.
    fn other_content<'a>(&mut self, event: &Event<'a>, data: &str) -> DecodedEvent<'a> {
        let text = event.text().unwrap_or_default();
        if !self.resumed {
            self.settle();
            self.has_other_content = true;
            return DecodedEvent::Content(text);
        }
        match event.output_index().and_then(|index| self.kinds.get(&index)) {
            Some(ItemKind::Reasoning) => DecodedEvent::Dropped(text),
            Some(ItemKind::Message) => DecodedEvent::Error(not_joinable("a refusal or annotations")),
            _ => {
                self.last = lenient::value(data);
                DecodedEvent::Content(text)
            }
        }
    }

    fn text_delta<'a>(&mut self, event: &Event<'a>, data: &str) -> DecodedEvent<'a> {
        let text = event.text().unwrap_or_default();
        if text.is_empty() {
            return self.structural(data);
        }
        if self.resumed {
            return DecodedEvent::Text(text);
        }
        self.settle();
        let output_index = event.output_index().unwrap_or_default();
        let open = self.open.get_or_insert_with(|| {
            // Some relays send no structural events.
            let mut id = parse(event.item_id);
            shorten(&mut id);
            let item = json!({ "id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant" });
            OpenPart { item, output_index, content_index: event.content_index().unwrap_or_default(), text: String::new() }
        });
        if !self.is_released {
            open.text.push_str(&text);
            self.held += text.len();
        }
        self.next_item = self.next_item.max(output_index.saturating_add(1));
        DecodedEvent::Text(text)
    }

    /// Whether an item event is structural: it belongs to a text, or has no content.
    fn is_structural(&mut self, event: &Event<'_>) -> bool {
        let index = event.output_index().unwrap_or_default();
        match &*event.r#type.0 {
            "response.output_item.added" => {
                self.normalizer.sent.start(index);
                let kind = item_kind(&parse(event.item));
                if self.kinds.len() < MAX_PARTS {
                    // Reasoning after a break is not shown a second time.
                    let is_reasoning = self.resumed && parse(event.item)["type"] == "reasoning";
                    self.kinds.insert(index, if is_reasoning { ItemKind::Reasoning } else { kind });
                }
                kind != ItemKind::Other
            }
            "response.output_item.done" => {
                self.normalizer.sent.stop();
                item_kind(&parse(event.item)) != ItemKind::Other
            }
            _ => parse(event.part)["type"] == "output_text",
        }
    }

    fn numbered(&mut self, mut data: Value) -> SyntheticEvent {
        data["sequence_number"] = self.next_sequence.into();
        self.next_sequence = self.next_sequence.saturating_add(1);
        SyntheticEvent::new(data)
    }

    /// The events that end the text part and its message.
    fn close(&mut self, status: &str) -> Vec<SyntheticEvent> {
        let Some(OpenPart { mut item, output_index, content_index, text }) = self.open.take() else {
            return Vec::new();
        };
        let id = item["id"].clone();
        let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text });
        item["status"] = status.into();
        match item["content"].as_array_mut() {
            Some(parts) => parts.push(part.clone()),
            None => item["content"] = json!([part]),
        }
        self.keep_item(output_index, item.clone());
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
        [done, part, item].map(|event| self.numbered(event)).into()
    }

    /// The last events. `last` is the response as the last attempt reports it.
    fn end(&mut self, last: &Value) -> Vec<SyntheticEvent> {
        let status = last["status"].as_str().unwrap_or("completed").to_owned();
        let mut events = self.close(&status);
        let mut response = if self.response.is_object() { self.response.take() } else { last.clone() };
        for name in ["status", "error", "incomplete_details", "completed_at", "service_tier", "usage"] {
            if let Some(value) = last.get(name) {
                response[name] = value.clone();
            }
        }
        response["output"] = self.items.values().cloned().collect();
        let event = format!("response.{status}");
        let event = json!({ "type": event, "sequence_number": 0, "response": response });
        events.push(self.numbered(event));
        events
    }
}

impl EventCodec for Answer {
    fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>> {
        self.last = None;
        let data = data.trim_ascii();
        if data == "[DONE]" {
            return Ok(DecodedEvent::Done);
        }
        if event == Some("keepalive") {
            // A keepalive has a sequence number, from which a resumed answer would have to continue.
            return Ok(DecodedEvent::Ignored);
        }
        if is_ping(event, data) {
            return Ok(DecodedEvent::Ping);
        }
        let read: Event<'a> = match serde_json::from_str(data) {
            Ok(read) => read,
            Err(_) if event == Some("error") => {
                return Ok(DecodedEvent::Error(failure(&error_event(data))));
            }
            Err(error) => return unusual(data, &error),
        };
        if let Some(error) = error_beside([read.error, read.base_resp], data) {
            return Ok(DecodedEvent::Error(failure(&error)));
        }
        if !read.is_usual(data) || (event == Some("ping") && read.r#type.0 != "ping") {
            return Ok(DecodedEvent::Unusual);
        }
        let decoded = match &*read.r#type.0 {
            "ping" => return Ok(DecodedEvent::Ping),
            "keepalive" => return Ok(DecodedEvent::Ignored),
            "error" => DecodedEvent::Error(failure(&error_event(data))),
            "response.created" | "response.queued" | "response.in_progress" | "response.output_text.done" => {
                self.structural(data)
            }
            "response.output_item.added"
            | "response.output_item.done"
            | "response.content_part.added"
            | "response.content_part.done"
                if self.is_structural(&read) =>
            {
                self.structural(data)
            }
            "response.output_text.delta" => self.text_delta(&read, data),
            kind @ ("response.completed" | "response.incomplete" | "response.failed") => {
                let event = lenient::value(data).unwrap_or_default();
                self.ending = match ending(kind, &event["response"]) {
                    Ok(ending) => ending,
                    Err(error) => return Ok(DecodedEvent::Error(error)),
                };
                if self.resumed && !event["response"].is_object() {
                    // Nothing to take the status and the usage of the resumed answer from.
                    return Err(malformed(data, "the last event of the stream has no response"));
                }
                if event["response"]["output"].as_array().is_some_and(|items| items.iter().any(has_arguments))
                {
                    return Ok(DecodedEvent::Unusual);
                }
                if self.resumed {
                    self.last = Some(event);
                } else {
                    self.settle();
                }
                DecodedEvent::End
            }
            "response" | "message" if !self.normalizer.sent.has_begun => return Ok(DecodedEvent::Unusual),
            kind if !kind.starts_with("response.") => match error_inside(data) {
                Some(error) => DecodedEvent::Error(failure(&error)),
                None => self.other_content(&read, data),
            },
            _ => self.other_content(&read, data),
        };
        // An error is reported in another way, and a structural event was not sent yet.
        if !self.resumed && !matches!(decoded, DecodedEvent::Structural | DecodedEvent::Error(_)) {
            let number = read.sequence_number.and_then(|raw| raw.get().trim_matches('"').parse::<u64>().ok());
            self.next_sequence = number.map_or(self.next_sequence, |number| number.saturating_add(1));
        }
        if read.r#type.0.starts_with("response.") && !matches!(decoded, DecodedEvent::Error(_)) {
            self.normalizer.sent.has_begun = true;
        }
        Ok(decoded)
    }

    fn awaits_half(&self) -> bool {
        !self.normalizer.sent.halves.is_empty()
    }

    fn normalize(&mut self, event: Option<&str>, data: &str) -> Vec<NormalEvent> {
        self.normalizer.normalize(event, data.trim_ascii())
    }

    fn unknown<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>> {
        if event.is_none() && !self.normalizer.sent.has_begun {
            return Err(malformed(data, "the stream does not begin with a response"));
        }
        if let Some(error) = error_inside(data) {
            return Ok(DecodedEvent::Error(failure(&error)));
        }
        if self.resumed {
            self.last = lenient::value(data);
        } else {
            self.settle();
            self.has_other_content = true;
        }
        Ok(DecodedEvent::Content("".into()))
    }

    fn rewrite_last(&mut self) -> Vec<SyntheticEvent> {
        let Some(mut event) = self.last.take() else { return Vec::new() };
        self.has_other_content = true;
        let mut events = self.close("completed");
        if let Some(index) = event["output_index"].as_u64() {
            let next = self.next_item;
            let is_known = self.indices.len() < MAX_PARTS || self.indices.contains_key(&index);
            let renumbered = if is_known { *self.indices.entry(index).or_insert(next) } else { next };
            self.next_item = next.max(renumbered.saturating_add(1));
            event["output_index"] = renumbered.into();
            if event["type"] == "response.output_item.done" {
                self.keep_item(renumbered, event["item"].clone());
            }
        }
        events.push(self.numbered(event));
        events
    }

    fn append_text(&mut self, text: &str) -> Vec<SyntheticEvent> {
        let mut events = Vec::new();
        if self.open.is_none() {
            let index = self.next_item;
            self.next_item = index.saturating_add(1);
            let id = format!("msg_{}_{index}", self.response["id"].as_str().unwrap_or_default());
            let item = json!({ "id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant" });
            let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": "" });
            let added = json!({ "type": "response.output_item.added", "sequence_number": 0, "output_index": index, "item": item });
            events.push(self.numbered(added));
            let added = json!({ "type": "response.content_part.added", "sequence_number": 0, "item_id": id, "output_index": index, "content_index": 0, "part": part });
            events.push(self.numbered(added));
            self.open = Some(OpenPart { item, output_index: index, content_index: 0, text: String::new() });
        }
        if let Some(open) = &mut self.open {
            open.text.push_str(text);
            self.held += text.len();
            let delta = json!({
                "type": "response.output_text.delta", "sequence_number": 0, "item_id": open.item["id"],
                "output_index": open.output_index, "content_index": open.content_index, "delta": text,
                "logprobs": [],
            });
            events.push(self.numbered(delta));
        }
        events
    }

    fn finish(&mut self) -> Vec<SyntheticEvent> {
        let last = self.last.take().filter(|event| event["response"].is_object());
        last.map(|event| self.end(&event["response"])).unwrap_or_default()
    }

    fn end_at_token_limit(&mut self) -> Vec<SyntheticEvent> {
        let details = json!({ "reason": "max_output_tokens" });
        self.end(&json!({ "status": "incomplete", "incomplete_details": details }))
    }

    fn resume(&mut self, _trimmed: &str) {
        self.resumed = true;
        self.pending.clear();
        self.pending_bytes = 0;
        self.kinds.clear();
        self.indices.clear();
        self.last = None;
        self.ending = Ending::default();
        self.normalizer = Normalizer::default();
    }

    fn not_resumable(&self) -> Option<&'static str> {
        self.has_other_content
            .then_some("content other than text was sent: reasoning, a refusal, or a tool call")
    }

    fn held(&self) -> usize {
        self.held
    }

    fn release(&mut self) {
        self.is_released = true;
        self.response = identity_of(&self.response);
        self.items.clear();
        self.open = None;
        self.held = 0;
    }

    fn identity(&self) -> (Option<&str>, Option<&str>) {
        (self.response["id"].as_str(), self.response["model"].as_str())
    }

    fn ending(&self) -> Ending {
        self.ending.clone()
    }

    fn terminal_events(&self) -> &'static str {
        "response.completed, response.incomplete or response.failed"
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
