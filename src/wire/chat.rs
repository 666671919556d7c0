//! The chat completions dialect: the request as the caller wrote it, and the events that come back.
//!
//! Shapes: OpenAI API reference, "Chat" and "Chat streaming". Fields that others add and that carry
//! text (`reasoning_content`, `reasoning`) are read too; everything else passes by untouched.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::template::Template;
use crate::error::{Error, Kind, Result, truncate};

pub use super::chat_request::{ChatRequest, Instead};

/// The path below the base URL.
pub const PATH: &str = "/chat/completions";

/// A string that borrows from the event where it holds no escape. Some providers send a list of
/// parts where OpenAI sends a string: their texts are joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of text parts")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            // Some send numbers where OpenAI sends text (`id`).
            fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_string<E: de::Error>(self, text: String) -> std::result::Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Part {
                    #[serde(default)]
                    r#type: String,
                    #[serde(default)]
                    text: String,
                }
                let mut joined = String::new();
                while let Some(part) = seq.next_element::<Part>()? {
                    if part.r#type == "text" {
                        joined.push_str(&part.text);
                    }
                }
                Ok(Text(Cow::Owned(joined)))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// One event of a stream.
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
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(default)]
    pub object: Option<Text<'a>>,
    /// It differs from the chunk before in nothing but its text.
    #[serde(skip)]
    pub repeats: bool,
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
}

#[derive(Debug, Default, Deserialize)]
pub struct Delta<'a> {
    #[serde(borrow, default)]
    pub content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub reasoning_content: Option<Text<'a>>,
    /// OpenRouter's and Groq's name for it.
    #[serde(borrow, default)]
    pub reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    /// What came before `tool_calls`; some still send it.
    #[serde(borrow, default)]
    pub function_call: Option<Function<'a>>,
}

/// Epoch seconds, of which some send a fraction.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.map(|seconds| seconds as u64))
}

fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
pub struct ToolCall<'a> {
    /// Some send none.
    #[serde(default)]
    pub index: Option<u32>,
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub r#type: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub function: Option<Function<'a>>,
    /// What stands in for `function` in a call of `type: "custom"`.
    #[serde(borrow, default)]
    pub custom: Option<Custom<'a>>,
    /// What else it says: Gemini's `extra_content` has to be sent back with the call.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Custom<'a> {
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub input: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Function<'a> {
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub arguments: Option<Text<'a>>,
}

impl ToolCall<'_> {
    /// It is no call of a function, but one of text in the model's own form.
    pub fn is_custom(&self) -> bool {
        self.custom.is_some() || self.r#type.as_ref().is_some_and(|kind| kind.0 == "custom")
    }

    /// What it says of the name, and of the arguments or the input.
    pub fn said(&self) -> (Option<&str>, Option<&str>) {
        let (name, arguments) = match (&self.function, &self.custom) {
            (_, Some(custom)) => (&custom.name, &custom.input),
            (Some(function), _) => (&function.name, &function.arguments),
            _ => return (None, None),
        };
        (name.as_ref().map(|text| &*text.0), arguments.as_ref().map(|text| &*text.0))
    }

    /// The delta as JSON, of the call at this index.
    pub fn value(&self, index: u32) -> Value {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
        let mut value = json!({ "index": index });
        if let Some(id) = text(&self.id) {
            value["id"] = id.into();
            value["type"] = json!(if self.is_custom() { "custom" } else { "function" });
        }
        let (of, parts) = match (&self.function, &self.custom) {
            (_, Some(custom)) => ("custom", [("name", &custom.name), ("input", &custom.input)]),
            (Some(function), _) => {
                ("function", [("name", &function.name), ("arguments", &function.arguments)])
            }
            _ => ("", [("", &None), ("", &None)]),
        };
        for (name, part) in parts {
            if let Some(part) = text(part) {
                value[of][name] = part.into();
            }
        }
        for (name, more) in &self.extra {
            value[name] = more.clone();
        }
        value
    }
}

impl Delta<'_> {
    /// True when this is more than a role: text, reasoning, a refusal or a tool call.
    pub fn is_token(&self) -> bool {
        let some = |text: &Option<Text>| text.as_ref().is_some_and(|t| !t.0.is_empty());
        some(&self.content)
            || some(&self.reasoning_content)
            || some(&self.reasoning)
            || some(&self.refusal)
            || self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
            || self.function_call.is_some()
    }
}

/// What one event of the stream says.
#[derive(Debug)]
pub enum Read<'a> {
    Chunk(Chunk<'a>),
    /// `[DONE]`.
    Done,
    /// An error inside the stream, as JSON, or as the bare text of an `event: error`.
    Error(Value),
    /// JSON that is no part of an answer (a provider's own event): skipped.
    Other,
}

/// Reads the events of one stream.
#[derive(Debug, Default)]
pub struct Reader {
    template: Template,
}

impl Reader {
    /// Reads one event, as [`read`] does, and faster where it is like the one before.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<Read<'a>> {
        let data = data.trim_ascii();
        if event.is_some() {
            return read(event, data);
        }
        if let Some(chunk) = self.template.read(data) {
            self.template.fits();
            return Ok(Read::Chunk(chunk));
        }
        let event = read(event, data)?;
        if let Read::Chunk(chunk) = &event {
            self.template.remember(data, chunk);
        }
        Ok(event)
    }
}

/// Reads one event. An event that is no JSON is an error of kind [`Kind::Malformed`].
pub fn read<'a>(event: Option<&str>, data: &'a str) -> Result<Read<'a>> {
    let data = data.trim_ascii();
    if data == "[DONE]" {
        return Ok(Read::Done);
    }
    if matches!(event, Some("ping" | "heartbeat" | "keepalive")) {
        return Ok(Read::Other);
    }
    if event == Some("error") {
        let value = serde_json::from_str(data).unwrap_or_else(|_| truncate(data, 500).into());
        return Ok(Read::Error(value));
    }
    let chunk: Chunk<'a> = serde_json::from_str(data).map_err(|error| malformed(data, &error))?;
    if !data.starts_with('{') {
        // An array can be read field by field, and is no chunk all the same.
        return Err(malformed(data, &serde::de::Error::custom("expected an object")));
    }
    if chunk.error.is_some_and(|raw| raw.get() != "null") {
        // Parsed again as a tree: it happens once in a stream.
        return Ok(Read::Error(serde_json::from_str(data).unwrap_or_default()));
    }
    if chunk.choices.is_none() && chunk.usage.is_none() {
        if chunk.object.as_ref().is_some_and(|object| object.0 == "error") {
            return Ok(Read::Error(serde_json::from_str(data).unwrap_or_default()));
        }
        return Ok(Read::Other);
    }
    Ok(Read::Chunk(chunk))
}

fn malformed(data: &str, error: &serde_json::Error) -> Error {
    // A JSON value of another shape is told apart from no JSON at all.
    let what = if serde_json::from_str::<IgnoredAny>(data).is_ok() {
        "an event of the stream has an unexpected shape"
    } else {
        "an event of the stream is not valid JSON"
    };
    let mut malformed = Error::new(Kind::Malformed, format!("{what} (column {})", error.column()));
    malformed.body = Some(truncate(data, 200).to_owned());
    malformed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_escapes_is_not_copied() {
        let Read::Chunk(chunk) = read(None, r#"{"choices":[{"delta":{"content":"xin chào"}}]}"#).unwrap()
        else {
            panic!("no chunk")
        };
        let delta = chunk.choices.unwrap().remove(0).delta.unwrap();
        assert!(matches!(delta.content.unwrap().0, Cow::Borrowed("xin chào")));
    }

    #[test]
    fn a_bare_role_is_no_token_and_an_empty_text_is_none() {
        let token = |json: &str| serde_json::from_str::<Delta>(json).unwrap().is_token();
        assert!(!token(r#"{"role":"assistant","content":""}"#));
        assert!(!token(r#"{"role":"assistant","content":null,"tool_calls":[]}"#));
        assert!(token(r#"{"reasoning_content":"hm"}"#));
        assert!(token(r#"{"refusal":"no"}"#));
        assert!(token(r#"{"tool_calls":[{"index":0}]}"#));
    }

    #[test]
    fn errors_in_the_stream_are_told_from_chunks() {
        assert!(matches!(read(None, r#"{"error":{"message":"x"}}"#).unwrap(), Read::Error(_)));
        assert!(matches!(read(Some("error"), "boom").unwrap(), Read::Error(_)));
        assert!(matches!(read(None, r#"{"error":null,"choices":[]}"#).unwrap(), Read::Chunk(_)));
        assert!(matches!(read(None, r#"{"type":"ping"}"#).unwrap(), Read::Other));
        assert!(matches!(read(None, " [DONE]").unwrap(), Read::Done));
        assert_eq!(read(None, r#"{"choices":[{"del"#).unwrap_err().kind, Kind::Malformed);
        assert_eq!(read(None, "[1]").unwrap_err().kind, Kind::Malformed);
    }

    #[test]
    fn a_list_of_text_parts_is_joined() {
        let delta: Delta = serde_json::from_str(
            r#"{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":"a"}]}"#,
        )
        .unwrap();
        assert_eq!(delta.content.unwrap().0, "a");
    }
}
