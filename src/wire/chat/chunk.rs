//! The chunks of chat completions.
//!
//! Shapes: OpenAI API reference, "Chat" and "Chat streaming". Text fields that other providers add
//! (`reasoning_content`, `reasoning`) are read too; everything else is passed through unread.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::tool_call::{Function, ToolCall};
use crate::error::{Error, Kind, truncate};
use crate::wire::json;
pub use crate::wire::text::Text;

/// The longest usage that is read, in bytes of JSON. No provider's is nearly as long.
pub const MAX_USAGE: usize = 16 * 1024;

/// The data of one event of a stream.
#[derive(Debug, Default, Deserialize)]
pub struct Chunk<'a> {
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    #[serde(default, deserialize_with = "seconds")]
    pub created: Option<u64>,
    #[serde(borrow, default)]
    pub model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub system_fingerprint: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    pub usage: Option<&'a RawValue>,
    /// Groq's usage is in here.
    #[serde(borrow, default)]
    pub x_groq: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// MiniMax's errors are in here, and success too.
    #[serde(borrow, default)]
    pub base_resp: Option<&'a RawValue>,
    #[serde(default)]
    pub object: Option<Text<'a>>,
    /// Nothing but the text differs from the chunk before.
    #[serde(skip)]
    pub only_text_changed: bool,
    /// A consumer that expects OpenAI's shape would not find everything in it.
    #[serde(skip)]
    pub must_rebuild: bool,
}

/// The text of a chunk that differs from the chunk before in nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextChunk<'a> {
    /// The provider's index of the only choice.
    pub index: u32,
    /// The text of its delta; not empty.
    pub content: &'a str,
}

#[derive(Debug, Default, Deserialize)]
pub struct Choice<'a> {
    #[serde(default, deserialize_with = "or_zero")]
    pub index: u32,
    #[serde(borrow, default)]
    pub delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub logprobs: Option<&'a RawValue>,
    /// Usage for which others use a field of the chunk.
    #[serde(borrow, default)]
    pub usage: Option<&'a RawValue>,
    /// OpenRouter's error of one choice.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// What some providers send instead of `delta`. Only `lenient` reads these two.
    #[serde(borrow, default)]
    pub message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub text: Option<&'a RawValue>,
    /// What some providers send instead of `finish_reason`: Gemini, and OpenAI's first models with images. Only `lenient`
    /// reads these two.
    #[serde(borrow, default, rename = "finishReason")]
    pub finish_reason_camel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub finish_details: Option<&'a RawValue>,
    /// Where the delta was read from.
    #[serde(skip)]
    pub source: Source,
    /// The chunk is the last one of the choice, or says that it is no part but a whole answer.
    #[serde(skip)]
    pub is_whole: bool,
}

/// Where a delta was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// `delta`, as OpenAI has it.
    #[default]
    Delta,
    /// `message`: a part, or the whole answer so far.
    Message,
    /// `text`, as in completions without chat: a part.
    Text,
}

#[derive(Debug, Default)]
pub struct Delta<'a> {
    pub content: Option<Text<'a>>,
    pub reasoning_content: Option<Text<'a>>,
    /// What OpenRouter and Groq call `reasoning_content`.
    pub reasoning: Option<Text<'a>>,
    pub refusal: Option<Text<'a>>,
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    /// The predecessor of `tool_calls`, which some providers still send.
    pub function_call: Option<Function<'a>>,
    /// A relay's error in the place of text.
    pub error: Option<&'a RawValue>,
    /// There is more in it that a consumer must not get twice: audio, images, annotations, a field of the provider's
    /// own. See `is_significant`.
    pub has_other: bool,
    /// The names of the fields that are not read and not empty. Labels are left out.
    pub others: Vec<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Delta<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct DeltaVisitor;
        impl<'de> Visitor<'de> for DeltaVisitor {
            type Value = Delta<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a delta")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut delta = Delta::default();
                while let Some(Text { text: name, .. }) = map.next_key()? {
                    match &*name {
                        "content" => delta.content = map.next_value()?,
                        "reasoning_content" => delta.reasoning_content = map.next_value()?,
                        "reasoning" => delta.reasoning = map.next_value()?,
                        "refusal" => delta.refusal = map.next_value()?,
                        "tool_calls" => delta.tool_calls = map.next_value()?,
                        "function_call" => delta.function_call = map.next_value()?,
                        "error" => delta.error = map.next_value()?,
                        _ if is_label(&name) => _ = map.next_value::<IgnoredAny>()?,
                        _ if map.next_value::<HasContent>()?.0 => {
                            delta.has_other |= !is_reasoning(&name);
                            delta.others.push(name);
                        }
                        _ => {}
                    }
                }
                Ok(delta)
            }
        }
        deserializer.deserialize_map(DeltaVisitor)
    }
}

/// Whether a field that the engine does not know, with its JSON, holds something that would be wrong if it arrived twice.
/// Numbers, booleans and labels may be repeated.
pub fn is_significant(name: &str, json: &str) -> bool {
    !is_label(name) && has_content(json)
}

/// Whether a field says what something is. It may be repeated.
fn is_label(name: &str) -> bool {
    const LABELS: &[&str] =
        &["role", "name", "id", "type", "status", "model", "object", "phase", "obfuscation"];
    LABELS.contains(&name)
}

/// Whether a field that the engine does not know belongs to the reasoning. A continuation may repeat it: it is not delivered
/// again.
pub fn is_reasoning(name: &str) -> bool {
    const WORDS: &[&str] = &["reasoning", "thinking", "thought", "signature", "provider_specific"];
    WORDS.iter().any(|word| name.starts_with(word))
}

/// Whether this is the JSON of a string, a list or an object that is not empty.
fn has_content(json: &str) -> bool {
    match json.as_bytes().first() {
        Some(b'"') => json != "\"\"",
        Some(b'[' | b'{') => !json[1..json.len() - 1].trim_ascii().is_empty(),
        _ => false,
    }
}

/// [`has_content`] of a field.
struct HasContent(bool);

impl<'de> Deserialize<'de> for HasContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(HasContent(has_content(<&RawValue>::deserialize(deserializer)?.get())))
    }
}

/// Seconds since the epoch. Some providers send a fraction.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.map(|seconds| seconds as u64))
}

fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Chunk<'_> {
    /// Whether no choice has anything in it.
    pub fn is_empty(&self) -> bool {
        self.choices
            .iter()
            .flatten()
            .all(|choice| choice.finish_reason.is_none() && choice.delta.as_ref().is_none_or(Delta::is_empty))
    }

    /// The usage, wherever the provider puts it.
    pub fn usage(&self) -> Option<Value> {
        let object = |raw: &RawValue| {
            if raw.get().len() > MAX_USAGE { None } else { json::value(raw.get()).filter(is_usage) }
        };
        let of_choice = || self.choices.iter().flatten().find_map(|choice| choice.usage.and_then(object));
        let of_groq = || {
            object(self.x_groq?).and_then(|mut groq| groq.get_mut("usage").map(Value::take)).filter(is_usage)
        };
        self.usage.and_then(object).or_else(of_choice).or_else(of_groq)
    }
}

fn is_usage(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| !fields.is_empty())
}

impl Delta<'_> {
    /// Whether the field is one of those that are read.
    pub fn reads(name: &str) -> bool {
        matches!(
            name,
            "content"
                | "reasoning_content"
                | "reasoning"
                | "refusal"
                | "tool_calls"
                | "function_call"
                | "error"
        )
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        !self.is_token() && !self.has_other
    }

    /// Whether this is more than a bare role: text, reasoning, a refusal or a tool call.
    pub fn is_token(&self) -> bool {
        let some = |text: &Option<Text>| text.as_ref().is_some_and(|t| !t.is_empty());
        some(&self.content)
            || some(&self.reasoning_content)
            || some(&self.reasoning)
            || some(&self.refusal)
            || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
            || self.function_call.as_ref().is_some_and(|call| some(&call.name) || some(&call.arguments))
    }
}

/// The error of an answer that the provider interrupted with this finish reason.
pub fn interruption_error(reason: &str) -> Error {
    let reason = truncate(reason, 100);
    Error::new(Kind::Truncated, format!("the provider interrupted the answer (finish_reason: '{reason}')"))
}
