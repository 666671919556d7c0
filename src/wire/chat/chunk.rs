//! The chunks of chat completions.
//!
//! Shapes: OpenAI API reference, "Chat" and "Chat streaming". Text fields that other providers add
//! (`reasoning_content`, `reasoning`) are read too; everything else is passed through unread.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result, truncate};
use crate::wire::text::Text;

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
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(default)]
    pub object: Option<Text<'a>>,
    /// Nothing but the text differs from the chunk before.
    #[serde(skip)]
    pub only_text_changed: bool,
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
    /// What OpenRouter and Groq call `reasoning_content`.
    #[serde(borrow, default)]
    pub reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    /// The predecessor of `tool_calls`, which some providers still send.
    #[serde(borrow, default)]
    pub function_call: Option<Function<'a>>,
}

/// Seconds since the epoch. Some providers send a fraction.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.map(|seconds| seconds as u64))
}

fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
pub struct ToolCall<'a> {
    /// Some providers send none.
    #[serde(default)]
    pub index: Option<u32>,
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub r#type: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub function: Option<Function<'a>>,
    /// Replaces `function` in a call of `type: "custom"`.
    #[serde(borrow, default)]
    pub custom: Option<Custom<'a>>,
    /// All other fields. Gemini's `extra_content`, for example, has to be sent back with the call.
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
    /// Whether this is a custom tool call, whose input is free text instead of JSON arguments.
    pub fn is_custom(&self) -> bool {
        self.custom.is_some() || self.r#type.as_ref().is_some_and(|kind| kind.0 == "custom")
    }

    /// The deltas of the name, and of the arguments or the input.
    pub fn name_and_arguments(&self) -> (Option<&str>, Option<&str>) {
        let (name, arguments) = match (&self.function, &self.custom) {
            (_, Some(custom)) => (&custom.name, &custom.input),
            (Some(function), _) => (&function.name, &function.arguments),
            _ => return (None, None),
        };
        (name.as_ref().map(|text| &*text.0), arguments.as_ref().map(|text| &*text.0))
    }

    /// The delta as JSON, with this index.
    pub fn to_json(&self, index: u32) -> Value {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
        let mut value = json!({ "index": index });
        if let Some(id) = text(&self.id) {
            value["id"] = id.into();
            value["type"] = json!(if self.is_custom() { "custom" } else { "function" });
        }
        let (parent, fields) = match (&self.function, &self.custom) {
            (_, Some(custom)) => ("custom", [("name", &custom.name), ("input", &custom.input)]),
            (Some(function), _) => {
                ("function", [("name", &function.name), ("arguments", &function.arguments)])
            }
            _ => ("", [("", &None), ("", &None)]),
        };
        for (name, field) in fields {
            if let Some(field) = text(field) {
                value[parent][name] = field.into();
            }
        }
        for (name, extra) in &self.extra {
            value[name] = extra.clone();
        }
        value
    }
}

impl Delta<'_> {
    /// Whether this is more than a bare role: text, reasoning, a refusal or a tool call.
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

/// One event of a stream.
#[derive(Debug)]
pub enum StreamEvent<'a> {
    Chunk(Chunk<'a>),
    /// `[DONE]`.
    Done,
    /// An error inside the stream, as JSON, or as the bare text of an `event: error`.
    Error(Value),
    /// JSON that is not part of an answer, such as a provider's own events. Ignored.
    Other,
}

/// Reads one event.
///
/// # Errors
/// [`Kind::Malformed`] if the data is not JSON, or JSON of another shape.
pub fn read<'a>(event: Option<&str>, data: &'a str) -> Result<StreamEvent<'a>> {
    let data = data.trim_ascii();
    if data == "[DONE]" {
        return Ok(StreamEvent::Done);
    }
    if matches!(event, Some("ping" | "heartbeat" | "keepalive")) {
        return Ok(StreamEvent::Other);
    }
    if event == Some("error") {
        let value = serde_json::from_str(data).unwrap_or_else(|_| truncate(data, 500).into());
        return Ok(StreamEvent::Error(value));
    }
    let chunk: Chunk<'a> = serde_json::from_str(data).map_err(|error| malformed(data, &error))?;
    if !data.starts_with('{') {
        // serde reads a struct from an array too.
        return Err(malformed(data, &serde::de::Error::custom("expected an object")));
    }
    if chunk.error.is_some_and(|raw| raw.get() != "null") {
        // Parsed again as a tree: this happens once a stream.
        return Ok(StreamEvent::Error(serde_json::from_str(data).unwrap_or_default()));
    }
    if chunk.choices.is_none() && chunk.usage.is_none() {
        if chunk.object.as_ref().is_some_and(|object| object.0 == "error") {
            return Ok(StreamEvent::Error(serde_json::from_str(data).unwrap_or_default()));
        }
        return Ok(StreamEvent::Other);
    }
    Ok(StreamEvent::Chunk(chunk))
}

fn malformed(data: &str, error: &serde_json::Error) -> Error {
    // Valid JSON of another shape is not the same error as invalid JSON.
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
        let StreamEvent::Chunk(chunk) =
            read(None, r#"{"choices":[{"delta":{"content":"xin chào"}}]}"#).unwrap()
        else {
            panic!("not a chunk")
        };
        let delta = chunk.choices.unwrap().remove(0).delta.unwrap();
        assert!(matches!(delta.content.unwrap().0, std::borrow::Cow::Borrowed("xin chào")));
    }

    #[test]
    fn a_bare_role_and_an_empty_text_are_not_tokens() {
        let token = |json: &str| serde_json::from_str::<Delta>(json).unwrap().is_token();
        assert!(!token(r#"{"role":"assistant","content":""}"#));
        assert!(!token(r#"{"role":"assistant","content":null,"tool_calls":[]}"#));
        assert!(token(r#"{"reasoning_content":"hm"}"#));
        assert!(token(r#"{"refusal":"no"}"#));
        assert!(token(r#"{"tool_calls":[{"index":0}]}"#));
    }

    #[test]
    fn errors_in_the_stream_are_distinguished_from_chunks() {
        assert!(matches!(read(None, r#"{"error":{"message":"x"}}"#).unwrap(), StreamEvent::Error(_)));
        assert!(matches!(read(Some("error"), "boom").unwrap(), StreamEvent::Error(_)));
        assert!(matches!(read(None, r#"{"error":null,"choices":[]}"#).unwrap(), StreamEvent::Chunk(_)));
        assert!(matches!(read(None, r#"{"type":"ping"}"#).unwrap(), StreamEvent::Other));
        assert!(matches!(read(None, " [DONE]").unwrap(), StreamEvent::Done));
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
