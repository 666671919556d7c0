//! The caller's request, in any dialect.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::dialect_spec::Dialect;
use super::request_body::{ChatBody, PassthroughBody};
use crate::error::{Error, Result, truncate};

pub use super::request_body::Overrides;

/// A request: the caller's own object, field by field and byte by byte. Only the fields that the engine
/// has to set are replaced, so that fields unknown to this package arrive unchanged.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    dialect: Dialect,
    fields: Vec<(String, Box<RawValue>)>,
}

impl ChatRequest {
    /// Parses a request for chat completions.
    ///
    /// # Errors
    /// Those of [`ChatRequest::parse_as`].
    pub fn parse(json: &str) -> Result<Self> {
        Self::parse_as(Dialect::Chat, json)
    }

    /// Parses a request in a dialect.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`](crate::error::Kind::InvalidArgument), with the name of the field, for a request without
    /// messages and for values that every provider rejects.
    pub fn parse_as(dialect: Dialect, json: &str) -> Result<Self> {
        let Fields(fields) = serde_json::from_str(json)
            .map_err(|_| Error::invalid("request", truncate(json, 40), "an object with `messages`"))?;
        let request = ChatRequest { dialect, fields };
        match request.field(dialect.conversation_field()) {
            // There is none if the provider stores the conversation.
            None if dialect == Dialect::Responses => {}
            Some(raw) if dialect == Dialect::Responses => {
                if !raw.get().starts_with(['"', '[']) {
                    let input = truncate(raw.get(), 40);
                    return Err(Error::invalid("request.input", input, "a string or an array of items"));
                }
            }
            None => return Err(Error::invalid("request.messages", "nothing", "an array of messages")),
            Some(raw) if !raw.get().starts_with('[') => {
                return Err(Error::invalid(
                    "request.messages",
                    truncate(raw.get(), 40),
                    "an array of messages",
                ));
            }
            Some(raw) if raw.get()[1..].trim_start().starts_with(']') => {
                return Err(Error::invalid("request.messages", "an empty array", "at least one message"));
            }
            Some(raw) => each_is_an_object(raw)?,
        }
        if let Some(raw) = request.field("model")
            && (!raw.get().starts_with('"') || raw.get() == "\"\"")
        {
            return Err(Error::invalid("request.model", truncate(raw.get(), 40), "a model's name"));
        }
        for name in dialect.token_limit_fields() {
            if let Some(raw) = request.field(name)
                && !matches!(serde_json::from_str::<u64>(raw.get()), Ok(1..))
            {
                let path = format!("request.{name}");
                return Err(Error::invalid(&path, truncate(raw.get(), 40), "a whole number from 1"));
            }
        }
        if dialect.is_passthrough()
            && let Some(raw) = request.field("stream")
            && !matches!(raw.get(), "true" | "false")
        {
            return Err(Error::invalid("request.stream", truncate(raw.get(), 40), "true or false"));
        }
        if let Some(raw) = request.field("n")
            && !matches!(serde_json::from_str::<u32>(raw.get()), Ok(1..=128))
        {
            return Err(Error::invalid("request.n", truncate(raw.get(), 40), "a whole number from 1 to 128"));
        }
        Ok(request)
    }

    /// The dialect of the request.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The raw JSON of a field; `None` for null.
    pub(super) fn field(&self, name: &str) -> Option<&RawValue> {
        let raw = self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)?;
        (raw.get() != "null").then_some(raw)
    }

    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        serde_json::from_str(self.field(name)?.get()).ok()
    }

    /// The model, if the caller names one.
    pub fn model(&self) -> Option<String> {
        self.read("model")
    }

    /// How many choices the answer has: `n`, by default 1.
    pub fn choices(&self) -> usize {
        if self.dialect.is_passthrough() { 1 } else { self.read("n").unwrap_or(1) }
    }

    /// Whether the caller asks for the usage chunk.
    pub fn wants_usage(&self) -> bool {
        #[derive(Deserialize)]
        struct StreamOptions {
            include_usage: Option<bool>,
        }
        self.read::<StreamOptions>("stream_options").and_then(|o| o.include_usage).unwrap_or(false)
    }

    /// The caller's limit on the tokens of the answer; the larger one if there are two.
    pub fn max_tokens(&self) -> Option<u64> {
        self.token_limits().max()
    }

    /// Whether an answer of this many tokens has reached the caller's limit.
    pub fn reaches_token_limit(&self, received: u64) -> bool {
        self.token_limits().min().is_some_and(|limit| limit <= received)
    }

    fn token_limits(&self) -> impl Iterator<Item = u64> {
        self.dialect.token_limit_fields().iter().filter_map(|name| self.read(name))
    }

    /// Whether the caller asks for JSON (`response_format`), which cannot be continued in the middle.
    pub fn wants_json(&self) -> bool {
        let path = self.dialect.format_pointer();
        let (name, inside) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let value: Option<serde_json::Value> = self.read(name);
        let format = value.as_ref().and_then(|value| value.pointer(&format!("/{inside}"))?.as_str());
        format.is_some_and(|format| format != "text")
    }

    /// Whether the caller asks the model to think first (`thinking` in Anthropic's dialect).
    pub fn wants_thinking(&self) -> bool {
        let thinking: Option<Value> = self.read("thinking");
        thinking.is_some_and(|thinking| thinking["type"] != "disabled")
    }

    /// Whether the caller asks for logprobs.
    pub fn wants_logprobs(&self) -> bool {
        self.read("logprobs").unwrap_or(false)
    }

    /// How many images the prompt has.
    pub fn images(&self) -> usize {
        let messages = self.messages();
        ["\"image_url\"", "\"input_image\"", "\"image\""]
            .iter()
            .map(|part| messages.matches(part).count())
            .sum()
    }

    /// Whether the provider has a part of the prompt, or fetches it: an earlier response, a file, what a tool of its own
    /// finds.
    pub fn has_stored_prompt(&self) -> bool {
        const FIELDS: &[&str] = &[
            "previous_response_id",
            "conversation",
            "prompt",
            "web_search_options",
            "search_parameters",
            "plugins",
            "data_sources",
            "mcp_servers",
            "container",
        ];
        const PARTS: &[&str] = &["\"file_id\"", "\"file_url\"", "\"video_url\"", "\"audio_url\"", "\"url\""];
        #[derive(Deserialize)]
        struct Tool {
            r#type: Option<String>,
        }
        let messages = self.messages();
        let is_own =
            |tool: &Tool| tool.r#type.as_ref().is_some_and(|kind| kind != "function" && kind != "custom");
        FIELDS.iter().any(|name| self.field(name).is_some())
            || PARTS.iter().any(|part| messages.contains(part) && !(*part == "\"url\"" && self.images() > 0))
            || self.read::<Vec<Tool>>("tools").is_some_and(|tools| tools.iter().any(is_own))
    }

    /// The messages, as the caller wrote them.
    pub fn messages(&self) -> &str {
        self.field(self.dialect.conversation_field()).map_or("[]", RawValue::get)
    }

    /// The conversation as a JSON array, to which messages can be appended.
    pub fn conversation(&self) -> Cow<'_, str> {
        let messages = self.messages();
        if messages.starts_with('"') {
            let text: Value = serde_json::from_str(messages).unwrap_or_default();
            return Cow::Owned(json!([{ "role": "user", "content": text }]).to_string());
        }
        Cow::Borrowed(messages)
    }

    /// Whether the last message is the result of a tool.
    pub fn ends_with_tool_result(&self) -> bool {
        #[derive(Deserialize)]
        struct Message {
            role: Option<String>,
        }
        let messages: Vec<&RawValue> = serde_json::from_str(self.messages()).unwrap_or_default();
        let last = messages.last().and_then(|last| serde_json::from_str::<Message>(last.get()).ok());
        last.and_then(|last| last.role).is_some_and(|role| role == "tool" || role == "function")
    }

    /// Whether the answer comes as a stream of events, and not as one document.
    pub fn is_streamed(&self) -> bool {
        self.dialect == Dialect::Chat || self.read("stream").unwrap_or(false)
    }

    /// The other fields that are part of the prompt, as the caller wrote them.
    pub fn prompt_fields(&self) -> impl Iterator<Item = &str> {
        let names = self.dialect.prompt_fields();
        names.iter().filter_map(|name| self.field(name)).map(RawValue::get)
    }

    /// The body of one attempt: the caller's fields with this model and these overrides. In chat
    /// completions it is streamed, with the usage chunk if `include_usage` is set.
    pub fn encode(&self, model: &str, include_usage: bool, overrides: &Overrides<'_>) -> Vec<u8> {
        let (dialect, fields) = (self.dialect, self.fields.as_slice());
        let body = if dialect.is_passthrough() {
            serde_json::to_vec(&PassthroughBody { dialect, fields, model, overrides })
        } else {
            let sends_session_id = self.field("session_id").is_none();
            serde_json::to_vec(&ChatBody { fields, model, include_usage, overrides, sends_session_id })
        };
        // Strings and raw JSON always encode.
        body.unwrap_or_default()
    }
}

/// Rejects an array whose items are not all objects.
fn each_is_an_object(messages: &RawValue) -> Result<()> {
    // It is valid JSON: `parse_as` has read it.
    let items: Vec<&RawValue> = serde_json::from_str(messages.get()).unwrap_or_default();
    match items.iter().position(|item| !item.get().starts_with('{')) {
        None => Ok(()),
        Some(index) => {
            let name = format!("request.messages[{index}]");
            Err(Error::invalid(&name, truncate(items[index].get(), 40), "a message, an object"))
        }
    }
}

/// The fields of an object in their order, duplicates included.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
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
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn body(json: &str, usage: bool) -> String {
        String::from_utf8(ChatRequest::parse(json).unwrap().encode("m", usage, &Overrides::default()))
            .unwrap()
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
    fn usage_is_requested_and_the_other_stream_options_stay() {
        let json = r#"{"messages":[{}],"stream_options":{"include_obfuscation":false,"include_usage":true}}"#;
        assert!(
            body(json, true)
                .ends_with(r#""stream_options":{"include_obfuscation":false,"include_usage":true}}"#)
        );
        assert!(body(json, false).ends_with(r#""stream_options":{"include_obfuscation":false}}"#));
        assert!(!body(r#"{"messages":[{}]}"#, false).contains("stream_options"));
    }

    #[test]
    fn a_session_id_is_sent_once_and_the_callers_own_wins() {
        let body = |json: &str| {
            let overrides = Overrides { session_id: Some("s1"), ..Overrides::default() };
            String::from_utf8(ChatRequest::parse(json).unwrap().encode("m", false, &overrides)).unwrap()
        };
        assert_eq!(
            body(r#"{"messages":[{}]}"#),
            r#"{"model":"m","messages":[{}],"session_id":"s1","stream":true}"#
        );
        let body = body(r#"{"messages":[{}],"session_id":"mine"}"#);
        assert!(body.contains(r#""session_id":"mine""#) && !body.contains("s1"), "{body}");
    }

    #[test]
    fn values_that_every_provider_rejects_are_rejected_by_field() {
        for (bad, name) in [
            (r#"{"messages":[{},null]}"#, "request.messages[1]: got null"),
            (r#"{"messages":["hi"]}"#, "request.messages[0]: got \"hi\""),
            (r#"{"messages":[{}],"model":""}"#, "request.model: got \"\""),
            (r#"{"messages":[{}],"max_tokens":-5}"#, "request.max_tokens: got -5"),
            (r#"{"messages":[{}],"max_completion_tokens":0.5}"#, "request.max_completion_tokens: got 0.5"),
        ] {
            let error = ChatRequest::parse(bad).unwrap_err();
            assert!(error.kind == Kind::InvalidArgument && error.message.starts_with(name), "{error}");
        }
        ChatRequest::parse(r#"{"messages":[{}],"model":null,"max_tokens":null}"#).unwrap();
    }

    #[test]
    fn each_token_limit_is_reduced_by_the_tokens_received() {
        let json = r#"{"messages":[{}],"max_tokens":20,"max_completion_tokens":50}"#;
        let request = ChatRequest::parse(json).unwrap();
        let overrides = Overrides { received: 2, ..Overrides::default() };
        let body = String::from_utf8(request.encode("m", false, &overrides)).unwrap();
        assert!(body.contains(r#""max_tokens":18,"max_completion_tokens":48"#), "{body}");
        assert_eq!(
            (request.max_tokens(), request.reaches_token_limit(19), request.reaches_token_limit(20)),
            (Some(50), false, true)
        );
    }

    #[test]
    fn a_request_without_messages_is_rejected() {
        for bad in ["[]", "3", "{}", r#"{"messages":"hi"}"#, r#"{"messages":[ ]}"#, r#"{"messages":null}"#] {
            assert_eq!(ChatRequest::parse(bad).unwrap_err().kind, Kind::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn a_passthrough_body_keeps_the_callers_fields_in_order() {
        let json =
            r#"{"stream":true,"model":"a","max_output_tokens":50,"input":"hé\u00e9","x":{"b":1,"a":1.0}}"#;
        let request = ChatRequest::parse_as(Dialect::Responses, json).unwrap();
        let body =
            |overrides: &Overrides<'_>| String::from_utf8(request.encode("m", true, overrides)).unwrap();
        assert_eq!(body(&Overrides::default()), json.replace(r#""a","max"#, r#""m","max"#));
        let raw = RawValue::from_string("[1]".into()).unwrap();
        let overrides = Overrides { messages: Some(&raw), received: 20, ..Overrides::default() };
        assert_eq!(
            body(&overrides),
            r#"{"stream":true,"model":"m","max_output_tokens":30,"input":[1],"x":{"b":1,"a":1.0}}"#
        );
        let nameless =
            ChatRequest::parse_as(Dialect::Messages, r#"{"messages":[{}],"max_tokens":1}"#).unwrap();
        let body = String::from_utf8(nameless.encode("m", true, &Overrides::default())).unwrap();
        assert_eq!(body, r#"{"model":"m","messages":[{}],"max_tokens":1}"#);
    }

    #[test]
    fn a_text_input_becomes_a_message_that_others_can_follow() {
        let request = ChatRequest::parse_as(Dialect::Responses, r#"{"input":"h\u0069"}"#).unwrap();
        assert_eq!(request.conversation(), r#"[{"role":"user","content":"hi"}]"#);
    }

    #[test]
    fn invalid_values_of_other_dialects_are_rejected_by_field() {
        for (dialect, bad, message) in [
            (Dialect::Responses, r#"{"input":3}"#, "request.input: got 3"),
            (
                Dialect::Responses,
                r#"{"input":"x","max_output_tokens":0}"#,
                "request.max_output_tokens: got 0",
            ),
            (Dialect::Messages, r#"{"messages":"x"}"#, "request.messages: got \"x\""),
            (Dialect::Messages, r#"{"messages":[{}],"stream":"yes"}"#, "request.stream: got \"yes\""),
        ] {
            let error = ChatRequest::parse_as(dialect, bad).unwrap_err();
            assert!(error.kind == Kind::InvalidArgument && error.message.starts_with(message), "{error}");
        }
        ChatRequest::parse_as(Dialect::Responses, r#"{"prompt":{"id":"p"}}"#).unwrap();
    }
}
