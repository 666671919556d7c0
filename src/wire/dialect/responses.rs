//! OpenAI's Responses: the events of a streamed answer.
//!
//! Shapes: OpenAI API reference, "Responses" and "Streaming events". An answer is complete with
//! `response.completed` or `response.incomplete`; `response.failed` and `error` are errors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::codec::{
    Admission, DecodedEvent, Ending, EventCodec, MAX_PARTS, MAX_PENDING, MAX_PENDING_BYTES, StreamPosition,
    SyntheticEvent, error_beside, error_inside, is_ping, malformed, not_joinable, unusual,
};
use super::kept_stream::{KeptStream, number_of};
use super::normal::NormalEvent;
use super::other_content::OtherContent;
use super::response_object::{ending, failure, named_error};
use super::responses_event::{Event, parse};
use super::responses_item::{ItemKind, OpenPart, identity_of, item_kind, other_kind, shorten};
use super::responses_normal::Normalizer;
use super::whole_response::has_arguments;
use crate::error::Result;
use crate::weight::weight;
use crate::wire::json as lenient;

#[path = "responses_writer.rs"]
mod writer;

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
    other: OtherContent,
    stream: KeptStream,
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
    /// The event that ends a resumed answer, which has it once nothing more follows.
    end_event: Option<Value>,
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
                } else {
                    self.other.begin(index, other_kind(&item));
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
                self.other.end(index);
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
        let event = lenient::value(data).unwrap_or_default();
        self.stream.identify(event["response"]["id"].as_str());
        self.pending.push(event);
        self.pending_bytes += data.len();
        if self.pending.len() < MAX_PENDING && self.pending_bytes < MAX_PENDING_BYTES {
            return DecodedEvent::Structural;
        }
        self.settle();
        self.other.unrepeatable();
        DecodedEvent::Content("".into())
    }

    /// Content other than text.
    fn other_content<'a>(&mut self, event: &Event<'a>, data: &str) -> DecodedEvent<'a> {
        let text = event.text().unwrap_or_default();
        if !self.resumed {
            self.settle();
            self.note_content(event);
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

    /// Notes what an event other than text means for a continuation.
    fn note_content(&mut self, event: &Event<'_>) {
        let index = event.output_index();
        self.next_item = self.next_item.max(index.map_or(0, |index| index.saturating_add(1)));
        match (&*event.r#type.0, index) {
            ("response.output_item.added", Some(index)) => {
                self.other.begin(index, other_kind(&parse(event.item)));
            }
            ("response.output_item.done", Some(index)) => {
                self.other.add(Some(index));
                self.other.end(index);
                self.keep_item(index, parse(event.item));
            }
            (_, index) => self.other.add(index),
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
        self.other.text();
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
        if event == Some("error") {
            return Ok(DecodedEvent::Error(named_error(data)));
        }
        let read: Event<'a> = match serde_json::from_str(data) {
            Ok(read) => read,
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
            "error" => DecodedEvent::Error(named_error(data)),
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
                    Err(error) => {
                        // What the provider keeps is this failure.
                        self.stream.give_up();
                        return Ok(DecodedEvent::Error(error));
                    }
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
                    self.end_event = Some(event);
                } else {
                    self.settle();
                }
                DecodedEvent::Finish
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
            let number = read.sequence_number.and_then(number_of);
            self.next_sequence = number.map_or(self.next_sequence, |number| number.saturating_add(1));
            self.stream.delivered(number);
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
            self.other.unrepeatable();
            self.stream.give_up();
        }
        Ok(DecodedEvent::Content("".into()))
    }

    fn rewrite_last(&mut self) -> Vec<SyntheticEvent> {
        self.rewritten()
    }

    fn append_text(&mut self, text: &str) -> Vec<SyntheticEvent> {
        self.appended(text)
    }

    fn finish(&mut self) -> Vec<SyntheticEvent> {
        let last = self.end_event.take().filter(|event| event["response"].is_object());
        last.map(|event| self.end(&event["response"])).unwrap_or_default()
    }

    fn end_at_token_limit(&mut self) -> Vec<SyntheticEvent> {
        let details = json!({ "reason": "max_output_tokens" });
        self.end(&json!({ "status": "incomplete", "incomplete_details": details }))
    }

    fn resume(&mut self, _trimmed: &str) {
        self.resumed = true;
        self.stream.give_up();
        self.pending.clear();
        self.pending_bytes = 0;
        self.kinds.clear();
        self.indices.clear();
        self.last = None;
        self.end_event = None;
        self.ending = Ending::default();
        self.normalizer = Normalizer::default();
    }

    fn not_resumable(&self) -> Option<&'static str> {
        self.other.not_resumable()
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

    fn ends_with_call(&self) -> bool {
        self.other.ends_with_call() && self.pending.is_empty()
    }

    fn end_after_call(&mut self) -> Vec<SyntheticEvent> {
        self.end(&json!({ "status": "completed" }))
    }

    fn keep_stream(&mut self) {
        self.stream.keep();
    }

    fn admit(&mut self, data: &str) -> Admission {
        self.stream.admit(data)
    }

    fn position(&self) -> Option<StreamPosition> {
        // Half of a surrogate pair that was not delivered would arrive a second time.
        self.stream.position().filter(|_| !self.awaits_half() || self.pending.is_empty())
    }

    fn reattach(&mut self) {
        self.stream.reattach();
        self.pending.clear();
        self.pending_bytes = 0;
    }

    fn restore(&mut self, position: StreamPosition, only_there: bool) {
        if only_there {
            self.other.unrepeatable();
        }
        self.next_sequence = position.after.map_or(0, |after| after.saturating_add(1));
        self.stream.restore(position);
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
