//! Anthropic's Messages: the events of a streamed answer.
//!
//! Shapes: Anthropic API reference, "Streaming messages". An answer is whole with the `message_delta` that
//! has a `stop_reason`: nothing but `message_stop` follows it, which is made here where it does not come.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::chat::Text;
use super::dialect::{Ending, Events, MAX_PENDING, Made, Said, add, counted, malformed, unspliced};
use super::provider_error;
use crate::error::Result;

/// The path below the base URL.
pub const PATH: &str = "/messages";
/// `anthropic-version`, where the caller has not said one.
pub const VERSION: &str = "2023-06-01";

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

/// What a block of the attempt that is read holds.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Thinking,
    Other,
}

/// A frame that the consumer gets with what comes after it.
enum Frame {
    Message {
        id: Option<String>,
        model: Option<String>,
    },
    Start(u64),
    Stop,
    /// What changes nothing: text of no length, say.
    Empty,
}

/// One answer, over all its attempts.
#[derive(Default)]
pub struct Answer {
    // What the consumer has.
    id: Option<String>,
    model: Option<String>,
    /// The text block that is open.
    open: Option<u64>,
    next: u64,
    /// More than text.
    other: bool,
    /// The last event has gone out.
    stopped: bool,
    /// What the attempts before this one have reported.
    spent: Value,

    // The attempt that is read.
    continues: bool,
    trimmed: String,
    pending: Vec<Frame>,
    kinds: BTreeMap<u64, Kind>,
    /// Where its blocks stand in an answer that goes on.
    places: BTreeMap<u64, u64>,
    usage: Map<String, Value>,
    stop_reason: Option<String>,
    /// The last event, where an answer that goes on needs it.
    last: Option<Value>,
}

impl Answer {
    /// The frames that were read have reached the consumer.
    fn settle(&mut self) {
        for frame in std::mem::take(&mut self.pending) {
            match frame {
                Frame::Message { id, model } => (self.id, self.model) = (id, model),
                Frame::Start(index) => {
                    self.open = Some(index);
                    self.next = self.next.max(index + 1);
                }
                Frame::Stop => self.open = None,
                Frame::Empty => {}
            }
        }
    }

    fn frame(&mut self, frame: Frame) -> Said<'static> {
        if self.continues {
            return Said::Frame;
        }
        self.pending.push(frame);
        if self.pending.len() < MAX_PENDING {
            return Said::Frame;
        }
        self.settle();
        self.other = true;
        Said::Other("".into())
    }

    /// Something else than text, which the consumer gets.
    fn another<'a>(&mut self, index: u64, text: Option<Text<'a>>, data: &str) -> Said<'a> {
        let text = text.unwrap_or_default().0;
        if !self.continues {
            self.settle();
            self.other = true;
            self.next = self.next.max(index + 1);
            return Said::Other(text);
        }
        match self.kinds.get(&index) {
            Some(Kind::Thinking) => Said::Dropped(text),
            Some(Kind::Text) => Said::Failed(unspliced("citations")),
            _ => {
                self.last = serde_json::from_str(data).ok();
                Said::Other(text)
            }
        }
    }

    fn text_delta<'a>(&mut self, index: u64, text: Text<'a>) -> Said<'a> {
        if text.0.is_empty() {
            return self.frame(Frame::Empty);
        }
        if self.continues {
            return Said::Text(self.untrimmed(text));
        }
        self.settle();
        if self.open.is_none() {
            // A relay that sends no frames.
            self.open = Some(index);
            self.next = self.next.max(index + 1);
        }
        Said::Text(text.0)
    }

    /// The text without the white space that the answer ends with already.
    fn untrimmed<'a>(&mut self, text: Text<'a>) -> std::borrow::Cow<'a, str> {
        if self.trimmed.is_empty() {
            return text.0;
        }
        let same = |(a, b): &(char, char)| a == b;
        let shared: usize =
            text.0.chars().zip(self.trimmed.chars()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
        if shared == text.0.len() {
            self.trimmed.drain(..shared);
        } else {
            self.trimmed.clear();
        }
        match text.0 {
            std::borrow::Cow::Borrowed(text) => text[shared..].into(),
            std::borrow::Cow::Owned(text) => text[shared..].to_owned().into(),
        }
    }

    fn begin_block<'a>(&mut self, index: u64, block: Block<'a>, data: &str) -> Said<'a> {
        let kind = match &*block.r#type.0 {
            "text" => Kind::Text,
            "thinking" | "redacted_thinking" => Kind::Thinking,
            _ => Kind::Other,
        };
        if self.kinds.len() < MAX_BLOCKS {
            self.kinds.insert(index, kind);
        }
        let begun = block.text.is_some_and(|text| !text.0.is_empty());
        if kind == Kind::Text && !begun {
            return self.frame(Frame::Start(index));
        }
        self.another(index, block.name, data)
    }

    /// Overlays what was reported before: the counts of Anthropic are those so far.
    fn report(&mut self, usage: Option<Map<String, Value>>) {
        let told = usage.into_iter().flatten().filter(|(_, value)| !value.is_null());
        self.usage.extend(told);
    }

    fn close(&mut self) -> Option<Made> {
        let index = self.open.take()?;
        Some(Made::of(json!({ "type": "content_block_stop", "index": index })))
    }

    /// The last events, with this `message_delta`.
    fn end(&mut self, mut delta: Value) -> Vec<Made> {
        let mut sum = self.spent.clone();
        if sum.is_null() {
            sum = json!({});
        }
        add(&mut sum, &Value::Object(self.usage.clone()));
        let told = delta["usage"].as_object().cloned().unwrap_or_default();
        // Whoever reads it takes each count that stands here for that of the whole.
        let mut usage = Map::new();
        for name in ["input_tokens", "output_tokens"].into_iter().chain(told.keys().map(String::as_str)) {
            if let Some(value) = sum.get(name) {
                usage.insert(name.to_owned(), value.clone());
            }
        }
        delta["usage"] = usage.into();
        let mut made: Vec<Made> = self.close().into_iter().collect();
        made.push(Made::of(delta));
        made.push(Made::of(json!({ "type": "message_stop" })));
        self.stopped = true;
        made
    }
}

impl Events for Answer {
    fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<Said<'a>> {
        self.last = None;
        let data = data.trim_ascii();
        if data == "[DONE]" {
            return Ok(Said::Nothing);
        }
        if event == Some("ping") {
            return Ok(Said::Ping);
        }
        if event == Some("error") {
            let value =
                serde_json::from_str(data).unwrap_or_else(|_| crate::error::truncate(data, 500).into());
            return Ok(Said::Failed(provider_error::from_event(&value)));
        }
        let read: Event<'a> = serde_json::from_str(data).map_err(|error| malformed(data, &error))?;
        let Event { r#type, index, delta, message, content_block, usage } = read;
        Ok(match (&*r#type.0, delta, content_block) {
            ("ping", ..) => Said::Ping,
            ("error", ..) => {
                Said::Failed(provider_error::from_event(&serde_json::from_str(data).unwrap_or_default()))
            }
            ("message_start", ..) => {
                let owned = |text: Option<Text<'_>>| text.map(|text| text.0.into_owned());
                let (id, model, usage) = match message {
                    Some(Start { id, model, usage }) => (owned(id), owned(model), usage),
                    None => (None, None, None),
                };
                self.report(usage);
                self.frame(Frame::Message { id, model })
            }
            ("content_block_start", _, Some(block)) => self.begin_block(index, block, data),
            ("content_block_delta", Some(delta), _) => match delta.r#type.as_ref().map(|kind| &*kind.0) {
                Some("text_delta") => self.text_delta(index, delta.text.unwrap_or_default()),
                _ => self.another(index, delta.partial_json.or(delta.thinking), data),
            },
            ("content_block_stop", ..) if self.kinds.get(&index).is_none_or(|kind| *kind == Kind::Text) => {
                self.frame(Frame::Stop)
            }
            ("message_delta", Some(Delta { stop_reason: Some(reason), .. }), _) => {
                self.report(usage);
                self.stop_reason = Some(reason.0.into_owned());
                if self.continues {
                    self.last = serde_json::from_str(data).ok();
                } else {
                    self.settle();
                }
                Said::End
            }
            ("message_delta", ..) => {
                self.report(usage);
                self.frame(Frame::Empty)
            }
            ("message_stop", ..) => {
                self.stop_reason.get_or_insert_with(|| "end_turn".to_owned());
                if self.continues {
                    let delta = json!({ "stop_reason": self.stop_reason, "stop_sequence": null });
                    self.last = Some(json!({ "type": "message_delta", "delta": delta }));
                } else {
                    self.settle();
                    self.stopped = true;
                }
                Said::End
            }
            _ => self.another(index, None, data),
        })
    }

    fn passed(&mut self) -> Vec<Made> {
        let Some(mut event) = self.last.take() else { return Vec::new() };
        if event["type"] == "message_delta" {
            return self.end(event);
        }
        self.other = true;
        let mut made: Vec<Made> = self.close().into_iter().collect();
        if let Some(theirs) = event["index"].as_u64() {
            let next = self.next;
            let ours = *self.places.entry(theirs).or_insert(next);
            self.next = next.max(ours + 1);
            event["index"] = ours.into();
        }
        made.push(Made::of(event));
        made
    }

    fn text(&mut self, text: &str) -> Vec<Made> {
        let mut made = Vec::new();
        let index = self.open.unwrap_or_else(|| {
            let index = self.next;
            self.next += 1;
            let block = json!({ "type": "text", "text": "" });
            made.push(Made::of(
                json!({ "type": "content_block_start", "index": index, "content_block": block }),
            ));
            index
        });
        self.open = Some(index);
        let delta = json!({ "type": "text_delta", "text": text });
        made.push(Made::of(json!({ "type": "content_block_delta", "index": index, "delta": delta })));
        made
    }

    fn epilogue(&mut self) -> Vec<Made> {
        if std::mem::replace(&mut self.stopped, true) {
            return Vec::new();
        }
        vec![Made::of(json!({ "type": "message_stop" }))]
    }

    fn cut_short(&mut self) -> Vec<Made> {
        let delta = json!({ "stop_reason": "max_tokens", "stop_sequence": null });
        self.end(json!({ "type": "message_delta", "delta": delta }))
    }

    fn begin_again(&mut self, trimmed: &str) {
        let usage = Value::Object(std::mem::take(&mut self.usage));
        if self.spent.is_null() {
            self.spent = usage;
        } else {
            add(&mut self.spent, &usage);
        }
        self.continues = true;
        self.trimmed = trimmed.to_owned();
        self.pending.clear();
        self.kinds.clear();
        self.places.clear();
        self.stop_reason = None;
        self.last = None;
    }

    fn hindrance(&self) -> Option<&'static str> {
        self.other.then_some("more than text was sent: reasoning, or the input of a tool")
    }

    fn identity(&self) -> (Option<&str>, Option<&str>) {
        (self.id.as_deref(), self.model.as_deref())
    }

    fn ending(&self) -> Ending {
        let reason = self.stop_reason.as_deref().map(reason).unwrap_or_default().to_owned();
        Ending { reason, usage: (!self.usage.is_empty()).then(|| tokens(&self.usage)) }
    }

    fn terminal(&self) -> &'static str {
        "message_stop"
    }
}

/// A `stop_reason` in the words of chat completions.
fn reason(stop: &str) -> &str {
    match stop {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => other,
    }
}

/// What was read from the cache, or written to it, is input too.
fn tokens(usage: &Map<String, Value>) -> Value {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let input =
        count("input_tokens") + count("cache_creation_input_tokens") + count("cache_read_input_tokens");
    counted(input, count("output_tokens"))
}

/// How an answer in one piece ended.
pub fn read_whole(answer: &Value) -> Ending {
    let stop = answer["stop_reason"].as_str().unwrap_or("end_turn");
    Ending { reason: reason(stop).to_owned(), usage: answer["usage"].as_object().map(tokens) }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
