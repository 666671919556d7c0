//! The dialects that are spoken: chat completions ([`super::chat`]), and those whose events are handed on
//! as they are, OpenAI's Responses ([`super::responses`]) and Anthropic's Messages ([`super::messages`]).
//!
//! Of the latter the engine reads only what it has to know: where text is, when the answer is whole, what
//! it has used, and what is an error. [`Events`] reads the events of one answer, over all its attempts, and
//! makes the few that an answer needs which was taken up again.

use std::borrow::Cow;

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::chat::{ChatRequest, Instead};
use super::{messages, responses};
use crate::error::{Error, Kind, Result, truncate};

/// More frames in a row than any provider sends.
pub(super) const MAX_PENDING: usize = 64;

/// In which words a provider is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions, and all who speak like it.
    #[default]
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

/// What one event says.
#[derive(Debug)]
pub enum Said<'a> {
    /// Nothing that a consumer needs.
    Nothing,
    /// A sign of life.
    Ping,
    /// The frame around what is said: worth nothing without what follows.
    Frame,
    /// Text of the answer.
    Text(Cow<'a, str>),
    /// Something else that a consumer waits for: reasoning, a refusal, a tool's input; what is text in it.
    Other(Cow<'a, str>),
    /// The same, in an answer that goes on and leaves it out: what is thought again is not shown again.
    Dropped(Cow<'a, str>),
    /// The answer is whole.
    End,
    /// The provider says that it has failed.
    Failed(Error),
}

/// How an answer ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ending {
    /// In the words of chat completions (`stop`, `length`, …), or the provider's own.
    pub reason: String,
    /// In the names of chat completions, which is how everybody else here counts.
    pub usage: Option<Value>,
}

/// The events of one answer, over all its attempts. What it remembers is what the consumer has: a frame
/// counts from the event on that comes after it, as it is held until then.
pub trait Events: Send + Sync {
    /// Reads one event. An event that is no JSON is an error of kind [`Kind::Malformed`].
    fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<Said<'a>>;

    /// What the last event that was read, [`Said::Other`] or [`Said::End`], becomes in an answer that goes
    /// on: events for the consumer, in order.
    fn passed(&mut self) -> Vec<Made>;

    /// The event that adds this text to an answer that goes on.
    fn text(&mut self, text: &str) -> Vec<Made>;

    /// What has to follow the last event that was handed on as it came.
    fn epilogue(&mut self) -> Vec<Made> {
        Vec::new()
    }

    /// The events that end an answer which has come to its limit of tokens.
    fn cut_short(&mut self) -> Vec<Made>;

    /// Another attempt goes on with the answer. `trimmed`: white space that was taken off the end of the
    /// text when the rest was asked for.
    fn begin_again(&mut self, trimmed: &str);

    /// Why the answer cannot be taken up again, as far as it has come.
    fn hindrance(&self) -> Option<&'static str>;

    /// The answer's own id, and the model that it names.
    fn identity(&self) -> (Option<&str>, Option<&str>);

    /// How the attempt has ended, or what it has used so far.
    fn ending(&self) -> Ending;

    /// The events of which one has to come last.
    fn terminal(&self) -> &'static str;
}

/// An event that was made here: its name and its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub event: String,
    pub data: Value,
}

impl Made {
    /// An event whose name is the type that its data has.
    pub fn of(data: Value) -> Self {
        Made { event: data["type"].as_str().unwrap_or_default().to_owned(), data }
    }

    /// As it goes over the wire.
    pub fn sse(&self) -> String {
        sse(Some(&self.event), &self.data.to_string())
    }
}

/// An event as it goes over the wire.
pub fn sse(event: Option<&str>, data: &str) -> String {
    let mut out = String::with_capacity(data.len() + 64);
    if let Some(event) = event {
        out.push_str("event: ");
        out.push_str(event);
        out.push('\n');
    }
    for line in data.split('\n') {
        out.push_str("data: ");
        out.push_str(line);
        out.push('\n');
    }
    out.push('\n');
    out
}

impl Dialect {
    /// The dialect of this name: `chat`, `responses` or `messages`.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "chat" => Ok(Dialect::Chat),
            "responses" => Ok(Dialect::Responses),
            "messages" => Ok(Dialect::Messages),
            _ => Err(Error::invalid("dialect", truncate(name, 40), "'chat', 'responses', 'messages'")),
        }
    }

    /// The path below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Dialect::Chat => super::chat::PATH,
            Dialect::Responses => responses::PATH,
            Dialect::Messages => messages::PATH,
        }
    }

    /// Its events are handed on as they are.
    pub fn is_passed_on(self) -> bool {
        self != Dialect::Chat
    }

    /// A reader of one answer; none for chat completions, whose chunks the engine takes apart.
    pub fn events(self) -> Option<Box<dyn Events>> {
        match self {
            Dialect::Chat => None,
            Dialect::Responses => Some(Box::default() as Box<responses::Answer>),
            Dialect::Messages => Some(Box::default() as Box<messages::Answer>),
        }
    }

    /// The header that carries the key, and what stands before the key in it.
    pub fn key_header(self) -> (&'static str, &'static str) {
        match self {
            Dialect::Messages => ("x-api-key", ""),
            Dialect::Chat | Dialect::Responses => ("authorization", "Bearer "),
        }
    }

    /// Headers that a request has to have, where the caller has not said others.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Dialect::Messages => &[("anthropic-version", messages::VERSION)],
            Dialect::Chat | Dialect::Responses => &[],
        }
    }

    /// The field of the conversation.
    pub(super) fn conversation(self) -> &'static str {
        if self == Dialect::Responses { "input" } else { "messages" }
    }

    /// The fields that limit the tokens of an answer.
    pub(super) fn token_limits(self) -> &'static [&'static str] {
        match self {
            Dialect::Chat => &["max_tokens", "max_completion_tokens"],
            Dialect::Responses => &["max_output_tokens"],
            Dialect::Messages => &["max_tokens"],
        }
    }

    /// The other fields that the model reads.
    pub(super) fn beside_conversation(self) -> &'static [&'static str] {
        match self {
            Dialect::Chat => &["tools", "functions", "response_format"],
            Dialect::Responses => &["instructions", "tools", "text"],
            Dialect::Messages => &["system", "tools"],
        }
    }

    /// Where the format of the answer is said.
    pub(super) fn format(self) -> &'static str {
        match self {
            Dialect::Chat => "/response_format/type",
            Dialect::Responses => "/text/format/type",
            Dialect::Messages => "/output_config/format/type",
        }
    }

    /// Why an answer to this request cannot be taken up again.
    pub fn hindrance(self, request: &ChatRequest) -> Option<&'static str> {
        match self {
            Dialect::Chat | Dialect::Messages => None,
            Dialect::Responses => responses::hindrance(request),
        }
    }

    /// Reads an answer in one piece: how it ended. An answer that says that it failed is an error.
    pub fn read_whole(self, answer: &Value) -> Result<Ending> {
        if !answer.is_object() {
            let message = "the answer is JSON, and no object";
            return Err(Error::new(Kind::Malformed, message));
        }
        match self {
            Dialect::Responses => responses::read_whole(answer),
            Dialect::Chat | Dialect::Messages => Ok(messages::read_whole(answer)),
        }
    }
}

impl ChatRequest {
    /// The conversation as a JSON array, to which messages can be added.
    pub fn conversation(&self) -> Cow<'_, str> {
        let said = self.messages();
        if said.starts_with('"') {
            let text: Value = serde_json::from_str(said).unwrap_or_default();
            return Cow::Owned(json!([{ "role": "user", "content": text }]).to_string());
        }
        Cow::Borrowed(said)
    }

    /// The answer is asked for as a stream of events, and not in one piece.
    pub fn is_streamed(&self) -> bool {
        self.dialect() == Dialect::Chat || self.read("stream").unwrap_or(false)
    }
}

/// The body of one attempt in a dialect that is passed on: the caller's fields in their order, this model,
/// and what a continuation asks in place of the caller's own.
pub(super) struct Body<'a> {
    pub dialect: Dialect,
    pub fields: &'a [(String, Box<RawValue>)],
    pub model: &'a str,
    pub instead: &'a Instead<'a>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Body { dialect, fields, model, instead } = self;
        let mut map = serializer.serialize_map(None)?;
        if !fields.iter().any(|(name, _)| name == "model") {
            map.serialize_entry("model", model)?;
        }
        for (name, value) in *fields {
            let limit = || serde_json::from_str::<u64>(value.get()).ok();
            match name.as_str() {
                "model" => map.serialize_entry(name, model)?,
                name if name == dialect.conversation() && instead.messages.is_some() => {
                    map.serialize_entry(name, &instead.messages)?;
                }
                name if instead.received > 0
                    && dialect.token_limits().contains(&name)
                    && let Some(limit) = limit() =>
                {
                    map.serialize_entry(name, &limit.saturating_sub(instead.received).max(1))?;
                }
                name => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

/// The sum of two usages, field by field; what is no number stays as it was.
pub(super) fn add(sum: &mut Value, more: &Value) {
    match (sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (name, value) in more {
                match sum.get_mut(name) {
                    Some(have) if !have.is_null() => add(have, value),
                    _ => {
                        sum.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (sum, more) => {
            if let (Some(a), Some(b)) = (sum.as_u64(), more.as_u64()) {
                *sum = (a + b).into();
            }
        }
    }
}

/// A usage in the names of chat completions.
pub(super) fn counted(input: u64, output: u64) -> Value {
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output })
}

/// The error of a continuation that brings what cannot be put behind text that was sent.
pub(super) fn unspliced(what: &str) -> Error {
    Error::new(
        Kind::ContinuationMismatch,
        format!("the continuation brought {what}, which cannot be joined to the text"),
    )
}

/// The error of an event that cannot be read.
pub(super) fn malformed(data: &str, error: &serde_json::Error) -> Error {
    let what = format!("an event of the stream is not valid JSON (column {})", error.column());
    let mut malformed = Error::new(Kind::Malformed, what);
    malformed.body = Some(truncate(data, 200).to_owned());
    malformed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_fields_arrive_in_their_order_with_this_model() {
        let json =
            r#"{"stream":true,"model":"a","max_output_tokens":50,"input":"hé\u00e9","x":{"b":1,"a":1.0}}"#;
        let request = ChatRequest::parse_as(Dialect::Responses, json).unwrap();
        let body = |instead: &Instead<'_>| String::from_utf8(request.encode("m", true, instead)).unwrap();
        assert_eq!(body(&Instead::default()), json.replace(r#""a","max"#, r#""m","max"#));
        let raw = RawValue::from_string("[1]".into()).unwrap();
        let instead = Instead { messages: Some(&raw), received: 20, ..Instead::default() };
        assert_eq!(
            body(&instead),
            r#"{"stream":true,"model":"m","max_output_tokens":30,"input":[1],"x":{"b":1,"a":1.0}}"#
        );
        let nameless =
            ChatRequest::parse_as(Dialect::Messages, r#"{"messages":[{}],"max_tokens":1}"#).unwrap();
        let body = String::from_utf8(nameless.encode("m", true, &Instead::default())).unwrap();
        assert_eq!(body, r#"{"model":"m","messages":[{}],"max_tokens":1}"#);
    }

    #[test]
    fn an_input_that_is_text_becomes_a_message_that_others_can_follow() {
        let request = ChatRequest::parse_as(Dialect::Responses, r#"{"input":"h\u0069"}"#).unwrap();
        assert_eq!(request.conversation(), r#"[{"role":"user","content":"hi"}]"#);
    }

    #[test]
    fn what_no_provider_takes_is_refused_by_its_name() {
        for (dialect, bad, said) in [
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
            assert!(error.kind == Kind::InvalidArgument && error.message.starts_with(said), "{error}");
        }
        ChatRequest::parse_as(Dialect::Responses, r#"{"prompt":{"id":"p"}}"#).unwrap();
    }

    #[test]
    fn data_of_several_lines_stays_one_event() {
        assert_eq!(sse(Some("ping"), "{\n}"), "event: ping\ndata: {\ndata: }\n\n");
        assert_eq!(sse(None, "1"), "data: 1\n\n");
    }
}
