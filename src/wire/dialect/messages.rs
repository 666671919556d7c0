//! Anthropic's Messages: the events of a streamed answer.
//!
//! Shapes: Anthropic API reference, "Streaming messages". An answer is complete with the `message_delta` that
//! has a `stop_reason`. Only `message_stop` follows it, and is supplied here if the provider leaves it out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::codec::{
    DecodedEvent, Ending, EventCodec, MAX_ID, MAX_PARTS, MAX_PENDING, MAX_PENDING_BYTES, SyntheticEvent,
    error_beside, error_event, error_inside, is_ping, malformed, not_joinable, unusual,
};
use super::message_object::{finish_reason, total_usage, update_usage};
use super::messages_event::{Block, Delta, Event};
use super::messages_normal::Normalizer;
use super::normal::{NormalEvent, index_of};
use super::other_content::{OtherContent, OtherKind};
use crate::error::{Result, truncate};
use crate::usage::add_usage;
use crate::wire::chat::{FinishKind, MAX_REASON, interruption_error};
use crate::wire::json::{self as lenient, Str};
use crate::wire::provider_error;

#[path = "messages_writer.rs"]
mod writer;

/// What a block of the attempt holds.
#[derive(Clone, Copy, PartialEq)]
enum BlockKind {
    Text,
    Thinking,
    Other,
}

/// A structural event, which the consumer gets together with the content after it.
enum Structure {
    Message {
        id: Option<String>,
        model: Option<String>,
    },
    Start(u64),
    Stop,
    /// An event that changes nothing, such as an empty text.
    Empty,
}

/// One answer, over all its attempts.
#[derive(Default)]
pub struct Answer {
    // What the consumer has received.
    id: Option<String>,
    model: Option<String>,
    /// The text block that is open.
    open: Option<u64>,
    next: u64,
    other: OtherContent,
    /// Whether `message_stop` was sent.
    stopped: bool,
    /// The usage of the attempts before this one.
    earlier_usage: Option<Value>,

    // The attempt being read.
    resumed: bool,
    trimmed: String,
    pending: Vec<Structure>,
    /// The length of the pending events, in bytes of JSON.
    pending_bytes: usize,
    kinds: BTreeMap<u64, BlockKind>,
    /// From its block indices to those of the resumed answer.
    indices: BTreeMap<u64, u64>,
    usage: Map<String, Value>,
    stop_reason: Option<String>,
    /// The last event, if a resumed answer needs it rewritten.
    last: Option<Value>,
    /// The event with the stop reason, which a resumed answer has at its end.
    last_delta: Option<Value>,
    normalizer: Normalizer,
}

impl Answer {
    /// The pending structural events have reached the consumer.
    fn settle(&mut self) {
        self.pending_bytes = 0;
        for event in std::mem::take(&mut self.pending) {
            match event {
                Structure::Message { id, model } => (self.id, self.model) = (id, model),
                Structure::Start(index) => {
                    self.open = Some(index);
                    self.next = self.next.max(index.saturating_add(1));
                }
                Structure::Stop => self.open = None,
                Structure::Empty => {}
            }
        }
    }

    fn structural(&mut self, event: Structure, data: &str) -> DecodedEvent<'static> {
        if self.resumed {
            return DecodedEvent::Structural;
        }
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
    fn other_content<'a>(
        &mut self,
        index: Option<u64>,
        text: Option<Str<'a>>,
        data: &str,
    ) -> DecodedEvent<'a> {
        let text = text.map(|Str(text)| text).unwrap_or_default();
        if !self.resumed {
            self.settle();
            self.other.add(index);
            self.next = self.next.max(index.map_or(0, |index| index.saturating_add(1)));
            return DecodedEvent::Content(text);
        }
        match index.and_then(|index| self.kinds.get(&index)) {
            Some(BlockKind::Thinking) => DecodedEvent::Dropped(text),
            Some(BlockKind::Text) => DecodedEvent::Error(not_joinable("citations")),
            _ => {
                self.last = lenient::value(data);
                DecodedEvent::Content(text)
            }
        }
    }

    fn text_delta<'a>(&mut self, index: u64, Str(text): Str<'a>, data: &str) -> DecodedEvent<'a> {
        if text.is_empty() {
            return self.structural(Structure::Empty, data);
        }
        if self.resumed {
            return DecodedEvent::Text(self.untrimmed(text));
        }
        self.settle();
        self.other.text();
        if self.open.is_none() {
            // Some relays send no structural events.
            self.open = Some(index);
            self.next = self.next.max(index.saturating_add(1));
        }
        DecodedEvent::Text(text)
    }

    /// The text without the white space with which the answer already ends.
    fn untrimmed<'a>(&mut self, text: Cow<'a, str>) -> Cow<'a, str> {
        if self.trimmed.is_empty() {
            return text;
        }
        let same = |(a, b): &(char, char)| a == b;
        let shared: usize =
            text.chars().zip(self.trimmed.chars()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
        if shared == text.len() {
            self.trimmed.drain(..shared);
        } else {
            self.trimmed.clear();
        }
        match text {
            Cow::Borrowed(text) => text[shared..].into(),
            Cow::Owned(text) => text[shared..].to_owned().into(),
        }
    }

    fn start_message(&mut self, message: Option<&RawValue>, data: &str) -> DecodedEvent<'static> {
        let message = parse(message);
        if !message["content"].is_array() || !message["usage"].is_object() {
            return DecodedEvent::Unusual;
        }
        update_usage(&mut self.usage, &message["usage"]);
        let text = |name: &str| {
            message[name]
                .as_str()
                .filter(|text| !text.is_empty())
                .map(|text| truncate(text, MAX_ID).to_owned())
        };
        self.structural(Structure::Message { id: text("id"), model: text("model") }, data)
    }

    fn start_block<'a>(&mut self, index: u64, block: &'a RawValue, data: &str) -> DecodedEvent<'a> {
        let Ok(block) = serde_json::from_str::<Block<'a>>(block.get()) else { return DecodedEvent::Unusual };
        let other = other_kind(&block);
        let (kind, begins_empty) = match &*block.r#type.0 {
            "text" => (BlockKind::Text, block.text.is_some_and(|text| text.0.is_empty())),
            "thinking" => (BlockKind::Thinking, block.thinking.is_some_and(|text| text.0.is_empty())),
            "redacted_thinking" => (BlockKind::Thinking, true),
            _ => (BlockKind::Other, block.input.is_none_or(|input| !input.get().starts_with('"'))),
        };
        if !begins_empty {
            return DecodedEvent::Unusual;
        }
        self.normalizer.sent.start(index);
        if self.kinds.len() < MAX_PARTS {
            self.kinds.insert(index, kind);
        }
        if kind == BlockKind::Text {
            return self.structural(Structure::Start(index), data);
        }
        if !self.resumed {
            self.other.begin(index, other);
        }
        self.other_content(Some(index), block.name, data)
    }

    fn block_delta<'a>(&mut self, index: u64, delta: Delta<'a>, data: &str) -> DecodedEvent<'a> {
        let Delta { r#type: kind, text, thinking, partial_json, .. } = delta;
        match (kind.as_ref().map(|Str(kind)| &**kind), text, thinking.or(partial_json)) {
            (Some("text_delta"), Some(text), _) => self.text_delta(index, text, data),
            (None, ..) | (Some("text_delta"), ..) => DecodedEvent::Unusual,
            (Some("thinking_delta" | "input_json_delta"), _, None) => DecodedEvent::Unusual,
            (Some(_), _, content) => self.other_content(Some(index), content, data),
        }
    }

    /// The event with the stop reason, or one with the usage alone.
    fn message_delta(
        &mut self,
        delta: &Delta<'_>,
        usage: Option<&RawValue>,
        data: &str,
    ) -> DecodedEvent<'static> {
        let usage = parse(usage);
        if !usage.is_object() || (delta.stop_reason.is_none() && self.stop_reason.is_some()) {
            return DecodedEvent::Unusual;
        }
        if let Some(Str(reason)) =
            delta.stop_reason.as_ref().filter(|Str(reason)| FinishKind::of(reason) == FinishKind::Interrupted)
        {
            return DecodedEvent::Error(interruption_error(reason));
        }
        update_usage(&mut self.usage, &usage);
        let Some(Str(reason)) = &delta.stop_reason else { return self.structural(Structure::Empty, data) };
        self.stop_reason = Some(truncate(reason, MAX_REASON).to_owned());
        if self.resumed {
            self.last_delta = lenient::value(data);
        } else {
            self.settle();
        }
        DecodedEvent::Finish
    }
}

impl EventCodec for Answer {
    fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>> {
        self.last = None;
        let data = data.trim_ascii();
        if data == "[DONE]" {
            return Ok(DecodedEvent::Done);
        }
        if is_ping(event, data) {
            return Ok(DecodedEvent::Ping);
        }
        if event == Some("error") {
            return Ok(DecodedEvent::Error(provider_error::from_event(&error_event(data))));
        }
        let read: Event<'a> = match serde_json::from_str(data) {
            Ok(read) => read,
            Err(error) => return unusual(data, &error),
        };
        if let Some(error) = error_beside([read.error, read.base_resp], data) {
            return Ok(DecodedEvent::Error(provider_error::from_event(&error)));
        }
        let Event { r#type: Str(kind), index, delta, message, content_block, usage, .. } = read;
        if event == Some("ping") && kind != "ping" {
            return Ok(DecodedEvent::Unusual);
        }
        let index = index.and_then(index_of);
        let delta = delta.and_then(|raw| serde_json::from_str::<Delta<'a>>(raw.get()).ok());
        let decoded = match (&*kind, index, delta, content_block) {
            ("ping", ..) => DecodedEvent::Ping,
            ("error", ..) => DecodedEvent::Error(provider_error::from_event(&error_event(data))),
            ("message_start", ..) => self.start_message(message, data),
            ("content_block_start", Some(index), _, Some(block)) => self.start_block(index, block, data),
            ("content_block_delta", Some(index), Some(delta), _) => self.block_delta(index, delta, data),
            ("content_block_stop", Some(index), ..) => {
                self.normalizer.sent.stop();
                match self.kinds.get(&index) {
                    None | Some(BlockKind::Text) => self.structural(Structure::Stop, data),
                    Some(_) => {
                        let decoded = self.other_content(Some(index), None, data);
                        self.other.end(index);
                        decoded
                    }
                }
            }
            ("message_delta", _, Some(delta), _) => self.message_delta(&delta, usage, data),
            ("message_stop", ..) => {
                update_usage(&mut self.usage, &parse(usage));
                self.stop_reason.get_or_insert_with(|| "end_turn".to_owned());
                if !self.resumed {
                    self.settle();
                    self.stopped = true;
                }
                DecodedEvent::End
            }
            ("content_block_start" | "content_block_delta" | "content_block_stop" | "message_delta", ..) => {
                DecodedEvent::Unusual
            }
            ("message", ..) if !self.normalizer.sent.has_begun => DecodedEvent::Unusual,
            _ => {
                return Ok(match error_inside(data) {
                    Some(error) => DecodedEvent::Error(provider_error::from_event(&error)),
                    None => self.other_content(index, None, data),
                });
            }
        };
        if !matches!(decoded, DecodedEvent::Unusual | DecodedEvent::Ping | DecodedEvent::Error(_)) {
            self.normalizer.sent.has_begun = true;
        }
        Ok(decoded)
    }

    fn awaits_half(&self) -> bool {
        !self.normalizer.sent.halves.is_empty()
    }

    fn normalize(&mut self, event: Option<&str>, data: &str) -> Vec<NormalEvent> {
        self.normalizer.normalize(event, data.trim_ascii(), &self.usage, self.stop_reason.as_deref())
    }

    fn unknown<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>> {
        if event.is_none() && !self.normalizer.sent.has_begun {
            return Err(malformed(data, "the stream does not begin with a message"));
        }
        Ok(match error_inside(data) {
            Some(error) => DecodedEvent::Error(provider_error::from_event(&error)),
            None => self.other_content(None, None, data),
        })
    }

    fn rewrite_last(&mut self) -> Vec<SyntheticEvent> {
        self.rewritten()
    }

    fn append_text(&mut self, text: &str) -> Vec<SyntheticEvent> {
        self.appended(text)
    }

    fn finish(&mut self) -> Vec<SyntheticEvent> {
        let Some(reason) = self.stop_reason.as_ref().filter(|_| !self.stopped) else { return Vec::new() };
        if !self.resumed {
            self.stopped = true;
            return vec![SyntheticEvent::new(json!({ "type": "message_stop" }))];
        }
        let delta = json!({ "stop_reason": reason, "stop_sequence": null });
        let last = json!({ "type": "message_delta", "delta": delta });
        let last = self.last_delta.take().unwrap_or(last);
        self.end(last)
    }

    fn end_at_token_limit(&mut self) -> Vec<SyntheticEvent> {
        let delta = json!({ "stop_reason": "max_tokens", "stop_sequence": null });
        self.end(json!({ "type": "message_delta", "delta": delta }))
    }

    fn resume(&mut self, trimmed: &str) {
        let usage = Value::Object(std::mem::take(&mut self.usage));
        self.earlier_usage = Some(add_usage(self.earlier_usage.take(), &usage));
        self.resumed = true;
        self.trimmed = trimmed.to_owned();
        self.pending.clear();
        self.pending_bytes = 0;
        self.kinds.clear();
        self.indices.clear();
        self.stop_reason = None;
        self.last = None;
        self.last_delta = None;
        self.normalizer = Normalizer::default();
    }

    fn not_resumable(&self) -> Option<&'static str> {
        self.other.not_resumable()
    }

    fn held(&self) -> usize {
        0
    }

    fn release(&mut self) {}

    fn identity(&self) -> (Option<&str>, Option<&str>) {
        (self.id.as_deref(), self.model.as_deref())
    }

    fn ending(&self) -> Ending {
        let reason = self.stop_reason.as_deref().map(finish_reason).unwrap_or_default().to_owned();
        Ending { reason, usage: total_usage(&self.usage) }
    }

    fn terminal_events(&self) -> &'static str {
        "message_stop"
    }

    fn ends_with_call(&self) -> bool {
        self.other.ends_with_call() && self.pending.is_empty()
    }

    fn end_after_call(&mut self) -> Vec<SyntheticEvent> {
        let delta = json!({ "stop_reason": "tool_use", "stop_sequence": null });
        self.end(json!({ "type": "message_delta", "delta": delta }))
    }
}

/// What a block other than text means for a continuation.
fn other_kind(block: &Block<'_>) -> OtherKind {
    let name = block.name.as_ref().map(|Str(name)| &**name);
    match (&*block.r#type.0, name) {
        ("thinking" | "redacted_thinking" | "web_search_tool_result" | "web_fetch_tool_result", _)
        | ("server_tool_use", Some("web_search" | "web_fetch")) => OtherKind::Harmless,
        ("tool_use", _) => OtherKind::Call,
        _ => OtherKind::Unrepeatable,
    }
}

fn parse(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| lenient::value(raw.get())).unwrap_or_default()
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
