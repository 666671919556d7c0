//! Anthropic's Messages: the events of a streamed answer.
//!
//! Shapes: Anthropic API reference, "Streaming messages". An answer is complete with the `message_delta` that
//! has a `stop_reason`. Only `message_stop` follows it, and is supplied here if the provider leaves it out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::codec::{
    DecodedEvent, Ending, EventCodec, MAX_PENDING, SyntheticEvent, chat_usage, error_event, error_inside,
    not_joinable, untyped,
};
use crate::error::Result;
use crate::usage::add_usage;
use crate::wire::provider_error;
use crate::wire::text::Text;

/// More blocks than any answer has.
const MAX_BLOCKS: usize = 1024;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    message: Option<Start<'a>>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    r#type: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

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
    /// Whether content other than text was sent.
    has_other_content: bool,
    /// Whether `message_stop` was sent.
    stopped: bool,
    /// The usage of the attempts before this one.
    earlier_usage: Option<Value>,

    // The attempt being read.
    resumed: bool,
    trimmed: String,
    pending: Vec<Structure>,
    kinds: BTreeMap<u64, BlockKind>,
    /// From its block indices to those of the resumed answer.
    indices: BTreeMap<u64, u64>,
    usage: Map<String, Value>,
    stop_reason: Option<String>,
    /// The last event, if a resumed answer needs it rewritten.
    last: Option<Value>,
}

impl Answer {
    /// The pending structural events have reached the consumer.
    fn settle(&mut self) {
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

    fn structural(&mut self, event: Structure) -> DecodedEvent<'static> {
        if self.resumed {
            return DecodedEvent::Structural;
        }
        self.pending.push(event);
        if self.pending.len() < MAX_PENDING {
            return DecodedEvent::Structural;
        }
        self.settle();
        self.has_other_content = true;
        DecodedEvent::Content("".into())
    }

    /// Content other than text.
    fn other_content<'a>(&mut self, index: u64, text: Option<Text<'a>>, data: &str) -> DecodedEvent<'a> {
        let text = text.unwrap_or_default().text;
        if !self.resumed {
            self.settle();
            self.has_other_content = true;
            self.next = self.next.max(index.saturating_add(1));
            return DecodedEvent::Content(text);
        }
        match self.kinds.get(&index) {
            Some(BlockKind::Thinking) => DecodedEvent::Dropped(text),
            Some(BlockKind::Text) => DecodedEvent::Error(not_joinable("citations")),
            _ => {
                self.last = serde_json::from_str(data).ok();
                DecodedEvent::Content(text)
            }
        }
    }

    fn text_delta<'a>(&mut self, index: u64, text: Text<'a>) -> DecodedEvent<'a> {
        if text.text.is_empty() {
            return self.structural(Structure::Empty);
        }
        if self.resumed {
            return DecodedEvent::Text(self.untrimmed(text));
        }
        self.settle();
        if self.open.is_none() {
            // Some relays send no structural events.
            self.open = Some(index);
            self.next = self.next.max(index.saturating_add(1));
        }
        DecodedEvent::Text(text.text)
    }

    /// The text without the white space with which the answer already ends.
    fn untrimmed<'a>(&mut self, text: Text<'a>) -> std::borrow::Cow<'a, str> {
        if self.trimmed.is_empty() {
            return text.text;
        }
        let same = |(a, b): &(char, char)| a == b;
        let shared: usize =
            text.text.chars().zip(self.trimmed.chars()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
        if shared == text.text.len() {
            self.trimmed.drain(..shared);
        } else {
            self.trimmed.clear();
        }
        match text.text {
            std::borrow::Cow::Borrowed(text) => text[shared..].into(),
            std::borrow::Cow::Owned(text) => text[shared..].to_owned().into(),
        }
    }

    fn start_block<'a>(&mut self, index: u64, block: Block<'a>, data: &str) -> DecodedEvent<'a> {
        let kind = match &*block.r#type.text {
            "text" => BlockKind::Text,
            "thinking" | "redacted_thinking" => BlockKind::Thinking,
            _ => BlockKind::Other,
        };
        if self.kinds.len() < MAX_BLOCKS {
            self.kinds.insert(index, kind);
        }
        let has_text = block.text.is_some_and(|text| !text.text.is_empty());
        if kind == BlockKind::Text && !has_text {
            return self.structural(Structure::Start(index));
        }
        self.other_content(index, block.name, data)
    }

    /// Replaces the counts reported before: Anthropic's are cumulative.
    fn update_usage(&mut self, usage: Option<Map<String, Value>>) {
        let counts = usage.into_iter().flatten().filter(|(_, value)| !value.is_null());
        self.usage.extend(counts);
    }

    fn close(&mut self) -> Option<SyntheticEvent> {
        let index = self.open.take()?;
        Some(SyntheticEvent::new(json!({ "type": "content_block_stop", "index": index })))
    }

    /// The last events, with this `message_delta`.
    fn end(&mut self, mut delta: Value) -> Vec<SyntheticEvent> {
        let sum = add_usage(self.earlier_usage.clone(), &Value::Object(self.usage.clone()));
        let reported = delta["usage"].as_object().cloned().unwrap_or_default();
        // A reader takes each count in this event for that of the whole answer.
        let mut usage = Map::new();
        for name in ["input_tokens", "output_tokens"].into_iter().chain(reported.keys().map(String::as_str)) {
            if let Some(value) = sum.get(name) {
                usage.insert(name.to_owned(), value.clone());
            }
        }
        delta["usage"] = usage.into();
        let mut events: Vec<SyntheticEvent> = self.close().into_iter().collect();
        events.push(SyntheticEvent::new(delta));
        events.push(SyntheticEvent::new(json!({ "type": "message_stop" })));
        self.stopped = true;
        events
    }
}

impl EventCodec for Answer {
    fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>> {
        self.last = None;
        let data = data.trim_ascii();
        if data == "[DONE]" {
            return Ok(DecodedEvent::Ignored);
        }
        if event == Some("ping") {
            return Ok(DecodedEvent::Ping);
        }
        if event == Some("error") {
            return Ok(DecodedEvent::Error(provider_error::from_event(&error_event(data))));
        }
        let read: Event<'a> = match serde_json::from_str(data) {
            Ok(read) => read,
            Err(error) => return untyped(data, &error),
        };
        let Event { r#type, index, delta, message, content_block, usage } = read;
        Ok(match (&*r#type.text, delta, content_block) {
            ("ping", ..) => DecodedEvent::Ping,
            ("error", ..) => DecodedEvent::Error(provider_error::from_event(&error_event(data))),
            ("message_start", ..) => {
                let owned = |text: Option<Text<'_>>| text.map(|text| text.text.into_owned());
                let (id, model, usage) = match message {
                    Some(Start { id, model, usage }) => (owned(id), owned(model), usage),
                    None => (None, None, None),
                };
                self.update_usage(usage);
                self.structural(Structure::Message { id, model })
            }
            ("content_block_start", _, Some(block)) => self.start_block(index, block, data),
            ("content_block_delta", Some(delta), _) => match delta.r#type.as_ref().map(|kind| &*kind.text) {
                Some("text_delta") => self.text_delta(index, delta.text.unwrap_or_default()),
                _ => self.other_content(index, delta.partial_json.or(delta.thinking), data),
            },
            ("content_block_stop", ..)
                if self.kinds.get(&index).is_none_or(|kind| *kind == BlockKind::Text) =>
            {
                self.structural(Structure::Stop)
            }
            ("message_delta", Some(Delta { stop_reason: Some(reason), .. }), _) => {
                self.update_usage(usage);
                self.stop_reason = Some(reason.text.into_owned());
                if self.resumed {
                    self.last = serde_json::from_str(data).ok();
                } else {
                    self.settle();
                }
                DecodedEvent::End
            }
            ("message_delta", ..) => {
                self.update_usage(usage);
                self.structural(Structure::Empty)
            }
            ("message_stop", ..) => {
                self.stop_reason.get_or_insert_with(|| "end_turn".to_owned());
                if self.resumed {
                    let delta = json!({ "stop_reason": self.stop_reason, "stop_sequence": null });
                    self.last = Some(json!({ "type": "message_delta", "delta": delta }));
                } else {
                    self.settle();
                    self.stopped = true;
                }
                DecodedEvent::End
            }
            _ => match error_inside(data) {
                Some(error) => DecodedEvent::Error(provider_error::from_event(&error)),
                None => self.other_content(index, None, data),
            },
        })
    }

    fn rewrite_last(&mut self) -> Vec<SyntheticEvent> {
        let Some(mut event) = self.last.take() else { return Vec::new() };
        if event["type"] == "message_delta" {
            return self.end(event);
        }
        self.has_other_content = true;
        let mut events: Vec<SyntheticEvent> = self.close().into_iter().collect();
        if let Some(index) = event["index"].as_u64() {
            let next = self.next;
            let renumbered = *self.indices.entry(index).or_insert(next);
            self.next = next.max(renumbered.saturating_add(1));
            event["index"] = renumbered.into();
        }
        events.push(SyntheticEvent::new(event));
        events
    }

    fn append_text(&mut self, text: &str) -> Vec<SyntheticEvent> {
        let mut events = Vec::new();
        let index = self.open.unwrap_or_else(|| {
            let index = self.next;
            self.next = index.saturating_add(1);
            let block = json!({ "type": "text", "text": "" });
            events.push(SyntheticEvent::new(
                json!({ "type": "content_block_start", "index": index, "content_block": block }),
            ));
            index
        });
        self.open = Some(index);
        let delta = json!({ "type": "text_delta", "text": text });
        events.push(SyntheticEvent::new(
            json!({ "type": "content_block_delta", "index": index, "delta": delta }),
        ));
        events
    }

    fn epilogue(&mut self) -> Vec<SyntheticEvent> {
        if std::mem::replace(&mut self.stopped, true) {
            return Vec::new();
        }
        vec![SyntheticEvent::new(json!({ "type": "message_stop" }))]
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
        self.kinds.clear();
        self.indices.clear();
        self.stop_reason = None;
        self.last = None;
    }

    fn not_resumable(&self) -> Option<&'static str> {
        self.has_other_content
            .then_some("content other than text was sent: reasoning, or the input of a tool")
    }

    fn identity(&self) -> (Option<&str>, Option<&str>) {
        (self.id.as_deref(), self.model.as_deref())
    }

    fn ending(&self) -> Ending {
        let reason = self.stop_reason.as_deref().map(finish_reason).unwrap_or_default().to_owned();
        Ending { reason, usage: (!self.usage.is_empty()).then(|| total_usage(&self.usage)) }
    }

    fn terminal_events(&self) -> &'static str {
        "message_stop"
    }
}

/// A `stop_reason` as a finish reason of chat completions.
fn finish_reason(stop: &str) -> &str {
    match stop {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => other,
    }
}

/// Tokens read from the cache or written to it count as input too.
fn total_usage(usage: &Map<String, Value>) -> Value {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let input = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]
        .into_iter()
        .fold(0, |sum: u64, name| sum.saturating_add(count(name)));
    chat_usage(input, count("output_tokens"))
}

/// How an answer that was not streamed ended.
pub fn read_unstreamed(answer: &Value) -> Ending {
    let stop = answer["stop_reason"].as_str().unwrap_or("end_turn");
    Ending { reason: finish_reason(stop).to_owned(), usage: answer["usage"].as_object().map(total_usage) }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
