//! The chat completions dialect: the request as the caller wrote it, and the events that come back.
//!
//! Shapes: OpenAI API reference, "Chat" and "Chat streaming". Fields that others add and that carry
//! text (`reasoning_content`, `reasoning`) are read too; everything else passes by untouched.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::error::{Error, Kind, Result, cut};

/// The path below the base URL.
pub const PATH: &str = "/chat/completions";

/// A chat request: the caller's own object, field by field and byte by byte. Only what the engine
/// has to set is replaced, so that a field this package has never heard of arrives unchanged.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    fields: Vec<(String, Box<RawValue>)>,
}

impl ChatRequest {
    /// Reads the caller's JSON. Refuses what is no object and an object without messages.
    pub fn parse(json: &str) -> Result<Self> {
        let Fields(fields) = serde_json::from_str(json)
            .map_err(|_| Error::invalid("request", cut(json, 40), "an object with `messages`"))?;
        let request = ChatRequest { fields };
        match request.field("messages") {
            None => return Err(Error::invalid("request.messages", "nothing", "an array of messages")),
            Some(raw) if !raw.get().starts_with('[') => {
                return Err(Error::invalid("request.messages", cut(raw.get(), 40), "an array of messages"));
            }
            Some(raw) if raw.get()[1..].trim_start().starts_with(']') => {
                return Err(Error::invalid("request.messages", "an empty array", "at least one message"));
            }
            Some(_) => {}
        }
        if let Some(raw) = request.field("model")
            && !raw.get().starts_with('"')
        {
            return Err(Error::invalid("request.model", cut(raw.get(), 40), "a model's name"));
        }
        if let Some(raw) = request.field("n")
            && !matches!(serde_json::from_str::<u32>(raw.get()), Ok(1..=128))
        {
            return Err(Error::invalid("request.n", cut(raw.get(), 40), "a whole number from 1 to 128"));
        }
        Ok(request)
    }

    fn field(&self, name: &str) -> Option<&RawValue> {
        let raw = self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)?;
        (raw.get() != "null").then_some(raw)
    }

    fn read<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        serde_json::from_str(self.field(name)?.get()).ok()
    }

    /// The model that the caller named.
    pub fn model(&self) -> Option<String> {
        self.read("model")
    }

    /// How many choices the answer will have (`n`, default 1).
    pub fn choices(&self) -> usize {
        self.read("n").unwrap_or(1)
    }

    /// True when the caller asked for the usage chunk.
    pub fn wants_usage(&self) -> bool {
        #[derive(Deserialize)]
        struct StreamOptions {
            include_usage: Option<bool>,
        }
        self.read::<StreamOptions>("stream_options").and_then(|o| o.include_usage).unwrap_or(false)
    }

    /// The most tokens that the answer may have, where the caller said so.
    pub fn max_tokens(&self) -> Option<u64> {
        self.read("max_completion_tokens").or_else(|| self.read("max_tokens"))
    }

    /// The caller asked for JSON (`response_format`): an answer that cannot be continued in the middle.
    pub fn wants_json(&self) -> bool {
        #[derive(Deserialize)]
        struct Format {
            r#type: Option<String>,
        }
        let format = self.read::<Format>("response_format").and_then(|format| format.r#type);
        format.is_some_and(|format| format != "text")
    }

    /// The caller asked for logprobs.
    pub fn wants_logprobs(&self) -> bool {
        self.read("logprobs").unwrap_or(false)
    }

    /// The messages as the caller wrote them.
    pub fn messages(&self) -> &str {
        self.field("messages").map_or("[]", RawValue::get)
    }

    /// The body of one attempt: the caller's fields, this model, streamed, with the usage chunk
    /// where `include_usage` is set, and what a continuation asks in place of the caller's own.
    pub fn encode(&self, model: &str, include_usage: bool, instead: &Instead<'_>) -> Vec<u8> {
        let body = Body { request: self, model, include_usage, instead };
        // Strings and raw JSON always encode.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// What a continuation asks in place of the caller's own.
#[derive(Default)]
pub struct Instead<'a> {
    /// A JSON array.
    pub messages: Option<&'a RawValue>,
    pub max_tokens: Option<u64>,
}

struct Body<'a> {
    request: &'a ChatRequest,
    model: &'a str,
    include_usage: bool,
    instead: &'a Instead<'a>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        let mut stream_options = None;
        for (key, value) in &self.request.fields {
            match key.as_str() {
                "model" | "stream" => {}
                "stream_options" => stream_options = Some(value),
                "messages" if self.instead.messages.is_some() => {
                    map.serialize_entry(key, &self.instead.messages)?;
                }
                "max_tokens" | "max_completion_tokens" if self.instead.max_tokens.is_some() => {
                    map.serialize_entry(key, &self.instead.max_tokens)?;
                }
                _ => map.serialize_entry(key, value)?,
            }
        }
        map.serialize_entry("stream", &true)?;
        let others = stream_options
            .and_then(|raw| {
                serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(raw.get()).ok()
            })
            .unwrap_or_default();
        let mut options = others;
        if self.include_usage {
            options.insert("include_usage".into(), true.into());
        } else {
            options.remove("include_usage");
        }
        if !options.is_empty() {
            map.serialize_entry("stream_options", &options)?;
        }
        map.end()
    }
}

struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

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
    #[serde(default)]
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
}

#[derive(Debug, Default, Deserialize)]
pub struct Choice<'a> {
    #[serde(default)]
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
}

#[derive(Debug, Default, Deserialize)]
pub struct ToolCall<'a> {
    #[serde(default)]
    pub index: u32,
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub function: Option<Function<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Function<'a> {
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub arguments: Option<Text<'a>>,
}

impl ToolCall<'_> {
    /// The delta as JSON.
    pub fn value(&self) -> serde_json::Value {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string());
        let mut value = serde_json::json!({ "index": self.index });
        if let Some(id) = text(&self.id) {
            value["id"] = id.into();
            value["type"] = "function".into();
        }
        if let Some(function) = &self.function {
            value["function"] = serde_json::json!({});
            for (name, part) in [("name", text(&function.name)), ("arguments", text(&function.arguments))] {
                if let Some(part) = part {
                    value["function"][name] = part.into();
                }
            }
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
    }
}

/// What one event of the stream says.
#[derive(Debug)]
pub enum Read<'a> {
    Chunk(Chunk<'a>),
    /// `[DONE]`.
    Done,
    /// An error inside the stream, as JSON, or as the bare text of an `event: error`.
    Error(serde_json::Value),
    /// JSON that is no part of an answer (a provider's own event): skipped.
    Other,
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
        let value = serde_json::from_str(data).unwrap_or_else(|_| cut(data, 500).into());
        return Ok(Read::Error(value));
    }
    let chunk: Chunk<'a> = serde_json::from_str(data).map_err(|error| malformed(data, &error))?;
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
    malformed.body = Some(cut(data, 200).to_owned());
    malformed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str, usage: bool) -> String {
        String::from_utf8(ChatRequest::parse(json).unwrap().encode("m", usage, &Instead::default())).unwrap()
    }

    #[test]
    fn the_callers_fields_arrive_unchanged() {
        assert_eq!(
            body(
                r#"{"messages":[{"role":"user","content":"é\u00e9"}],"seed":1.50,"x":{"b":1,"a":2},"stream":false}"#,
                true
            ),
            r#"{"model":"m","messages":[{"role":"user","content":"é\u00e9"}],"seed":1.50,"x":{"b":1,"a":2},"stream":true,"stream_options":{"include_usage":true}}"#
        );
    }

    #[test]
    fn usage_is_asked_for_and_the_other_stream_options_stay() {
        let json = r#"{"messages":[1],"stream_options":{"include_obfuscation":false,"include_usage":true}}"#;
        assert!(
            body(json, true)
                .ends_with(r#""stream_options":{"include_obfuscation":false,"include_usage":true}}"#)
        );
        assert!(body(json, false).ends_with(r#""stream_options":{"include_obfuscation":false}}"#));
        assert!(!body(r#"{"messages":[1]}"#, false).contains("stream_options"));
    }

    #[test]
    fn a_request_without_messages_is_refused() {
        for bad in ["[]", "3", "{}", r#"{"messages":"hi"}"#, r#"{"messages":[ ]}"#, r#"{"messages":null}"#] {
            assert_eq!(ChatRequest::parse(bad).unwrap_err().kind, Kind::Invalid, "{bad}");
        }
    }

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
