//! What a dialect decodes from a provider's events, and what it encodes for a resumed answer.

use std::borrow::Cow;

use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::normal::NormalEvent;
use crate::error::{Error, Kind, Result, truncate};
use crate::wire::{json as lenient, provider_error};

/// More blocks or items than any answer has.
pub(super) const MAX_PARTS: usize = 1024;

/// More structural events in a row than any provider sends, and longer ones, in bytes of JSON. The first one of Responses
/// repeats the request's tools.
pub(super) const MAX_PENDING: usize = 64;
pub(super) const MAX_PENDING_BYTES: usize = 1024 * 1024;

/// The longest id that is repeated in generated events, in bytes. What follows is cut off.
pub(super) const MAX_ID: usize = 1024;

/// What one event means.
#[derive(Debug)]
pub enum DecodedEvent<'a> {
    /// Nothing that a consumer needs.
    Ignored,
    /// A heartbeat.
    Ping,
    /// The beginning or end of a part: worthless without the content that follows.
    Structural,
    /// Text of the answer.
    Text(Cow<'a, str>),
    /// Other content: reasoning, a refusal, the input of a tool. Holds its text.
    Content(Cow<'a, str>),
    /// Content that a resumed answer leaves out: reasoning that was repeated. Holds its text.
    Dropped(Cow<'a, str>),
    /// The answer has a stop reason. More may follow.
    Finish,
    /// The last event of the answer.
    End,
    /// `[DONE]`: nothing follows.
    Done,
    /// Not in the form of the protocol, and not read: [`EventCodec::normalize`] has it in that form.
    Unusual,
    /// The provider reports an error.
    Error(Error),
}

/// Where the consumer is in a stream that the provider keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    /// The provider's id of the response.
    pub id: String,
    /// The number of the last event that was delivered; `None` before the first one.
    pub after: Option<u64>,
}

/// Whether an event of a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    New,
    /// It was read before.
    Repeated,
    /// Events before it are missing: from the first number to the last one.
    Missing(u64, u64),
}

/// How an answer ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ending {
    /// The finish reason of chat completions (`stop`, `length`, …) or, if none fits, the provider's own.
    pub reason: String,
    /// The usage, with the field names of chat completions.
    pub usage: Option<Value>,
}

/// Decodes and encodes the events of one answer, over all its attempts.
///
/// Its state is what the consumer has received. Structural events are held back until the next event, and
/// count from then on.
pub trait EventCodec: Send + Sync {
    /// Decodes one event.
    ///
    /// # Errors
    /// [`Kind::Malformed`] if the data is not JSON.
    fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>>;

    /// Whether half of a surrogate pair waits for the other one. Until then each event is normalized before it is read.
    fn awaits_half(&self) -> bool;

    /// The events that the protocol has for an event in another form. They are passed to
    /// [`EventCodec::read_normal`], and to the consumer, in its place.
    fn normalize(&mut self, event: Option<&str>, data: &str) -> Vec<NormalEvent>;

    /// Decodes an event that was normalized. One that still has another form is content that nobody knows.
    ///
    /// # Errors
    /// [`Kind::Malformed`] if the data is not JSON, or if no event of the protocol came before it.
    fn read_normal<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>> {
        match self.read(event, data)? {
            DecodedEvent::Unusual => self.unknown(event, data),
            decoded => Ok(decoded),
        }
    }

    /// An event that the protocol does not have.
    ///
    /// # Errors
    /// [`Kind::Malformed`] if it cannot be part of an answer.
    fn unknown<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<DecodedEvent<'a>>;

    /// What the consumer of a resumed answer gets for the last event that was read, if that was
    /// [`DecodedEvent::Content`].
    fn rewrite_last(&mut self) -> Vec<SyntheticEvent>;

    /// The events that append this text to a resumed answer.
    fn append_text(&mut self, text: &str) -> Vec<SyntheticEvent>;

    /// The last events of an answer that is complete, without those that were passed through.
    fn finish(&mut self) -> Vec<SyntheticEvent>;

    /// The events that end an answer at its token limit.
    fn end_at_token_limit(&mut self) -> Vec<SyntheticEvent>;

    /// Another attempt resumes the answer. `trimmed` is the white space that was removed from the end of
    /// the text when the rest was requested.
    fn resume(&mut self, trimmed: &str);

    /// Why the answer, as far as it has come, cannot be resumed; `None` if it can.
    fn not_resumable(&self) -> Option<&'static str>;

    /// The approximate memory that is held only to resume the answer, in bytes.
    fn held(&self) -> usize;

    /// The answer is not resumed any more: releases what is held only for that, and holds nothing more.
    fn release(&mut self);

    /// The id and the model of the answer.
    fn identity(&self) -> (Option<&str>, Option<&str>);

    /// How the attempt ended, or its usage so far.
    fn ending(&self) -> Ending;

    /// The names of the events of which one must end a stream, as a phrase for messages.
    fn terminal_events(&self) -> &'static str;

    /// Whether the last thing that the consumer has is a complete tool call.
    fn ends_with_call(&self) -> bool;

    /// The events that end an answer after a tool call.
    fn end_after_call(&mut self) -> Vec<SyntheticEvent>;

    /// The provider was asked to keep the stream.
    fn keep_stream(&mut self) {}

    /// Whether an event is read: a stream that the provider keeps may repeat some, and miss some.
    fn admit(&mut self, _data: &str) -> Admission {
        Admission::New
    }

    /// Where the consumer is in a stream that the provider keeps; `None` if there is none, or the position is unknown.
    fn position(&self) -> Option<StreamPosition> {
        None
    }

    /// The next attempt reads the same stream, from the position on. Its events are passed through unchanged.
    fn reattach(&mut self) {}

    /// Continues from the position in a snapshot. `only_there`: nobody but the provider can continue the answer.
    fn restore(&mut self, _position: StreamPosition, _only_there: bool) {}
}

/// An event that did not come from the provider.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticEvent {
    pub event: String,
    pub data: Value,
}

impl SyntheticEvent {
    /// An event whose name is the `type` of its data.
    pub fn new(data: Value) -> Self {
        SyntheticEvent { event: data["type"].as_str().unwrap_or_default().to_owned(), data }
    }

    /// The event in the format of server-sent events.
    pub fn sse(&self) -> String {
        sse(Some(&self.event), &self.data.to_string())
    }
}

/// An event in the format of server-sent events.
pub fn sse(event: Option<&str>, data: &str) -> String {
    let mut out = String::with_capacity(data.len() + 64);
    // A line break in the name would start another field. Such a name is left out: the data has it as its `type`.
    if let Some(event) = event.filter(|name| !name.contains(['\n', '\r'])) {
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

/// A usage with the field names of chat completions.
pub(super) fn chat_usage(input: u64, output: u64) -> Value {
    let total = input.saturating_add(output);
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": total })
}

/// The error of a continuation with content that cannot follow the text already sent.
pub(super) fn not_joinable(content: &str) -> Error {
    Error::new(
        Kind::ContinuationMismatch,
        format!("the continuation contains {content}, which cannot be joined to the text"),
    )
}

/// The error in the data of an event that is named `error`: JSON of any shape, or a bare text.
pub(super) fn error_event(data: &str) -> Value {
    lenient::value(data).unwrap_or_else(|| truncate(data, 500).into())
}

/// An event that is not in the form of the protocol: an error in another provider's shape, which relays pass on as it
/// is; nothing; or [`DecodedEvent::Unusual`]. `error` says why it could not be read.
///
/// # Errors
/// [`Kind::Malformed`] if it is not the JSON of an object, and not an error either.
pub(super) fn unusual<'a>(data: &str, error: &serde_json::Error) -> Result<DecodedEvent<'a>> {
    match lenient::value(data) {
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) => Ok(DecodedEvent::Ignored),
        Some(Value::String(text)) if text.is_empty() => Ok(DecodedEvent::Ignored),
        Some(Value::Array(list)) if list.is_empty() => Ok(DecodedEvent::Ignored),
        Some(value) if !value["type"].is_string() && provider_error::is_error_event(&value) => {
            Ok(DecodedEvent::Error(provider_error::from_event(&value)))
        }
        Some(Value::Object(_)) => Ok(DecodedEvent::Unusual),
        _ => Err(invalid_json(data, error)),
    }
}

/// Whether the event is a `ping` by its name alone.
pub(super) fn is_ping(event: Option<&str>, data: &str) -> bool {
    // Without a blank line between them, an event gets the name of the ping before it.
    event == Some("ping") && !data.contains("\"type\"")
}

/// The error in an event that has one of these fields, whatever its type. Their JSON may say that there is none.
pub(super) fn error_beside(fields: [Option<&RawValue>; 2], data: &str) -> Option<Value> {
    fields.into_iter().flatten().find(|raw| provider_error::is_error_value(raw.get()))?;
    lenient::value(data).filter(provider_error::has_error)
}

/// The error in an event of an unknown type, if it holds one.
pub(super) fn error_inside(data: &str) -> Option<Value> {
    // Most events do not even contain the word.
    let value = data.contains("\"error\"").then(|| lenient::value(data)).flatten()?;
    provider_error::is_error_event(&value).then_some(value)
}

/// The error of an event that is not valid JSON, or not an event of the dialect.
pub(super) fn invalid_json(data: &str, error: &serde_json::Error) -> Error {
    let why = match error.classify() {
        Category::Data => format!("is not an event of this API: {error}"),
        _ => format!("is not valid JSON (column {})", error.column()),
    };
    malformed(data, format!("an event of the stream {why}"))
}

/// The error of an event that cannot be decoded.
pub(super) fn malformed(data: &str, message: impl Into<String>) -> Error {
    let mut malformed = Error::new(Kind::Malformed, message);
    malformed.body = Some(truncate(data, 200).to_owned());
    malformed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_several_lines_stays_one_event() {
        assert_eq!(sse(Some("ping"), "{\n}"), "event: ping\ndata: {\ndata: }\n\n");
        assert_eq!(sse(None, "1"), "data: 1\n\n");
    }

    #[test]
    fn a_line_break_in_a_type_adds_no_field() {
        for kind in ["x\ndata: 1", "x\rid: 1", "x\r\n\r\ndata: 1"] {
            let event = SyntheticEvent::new(json!({ "type": kind }));
            assert_eq!(event.sse(), format!("data: {}\n\n", event.data));
        }
    }

    #[test]
    fn an_event_of_another_api_is_told_apart_from_invalid_json() {
        #[derive(Debug, serde::Deserialize)]
        struct Event {
            #[serde(rename = "type")]
            _kind: String,
        }
        for (data, why) in
            [(r#"{"choices":[]}"#, "is not an event of this API: missing"), ("{", "is not valid JSON")]
        {
            let error = invalid_json(data, &serde_json::from_str::<Event>(data).unwrap_err());
            assert!(error.message.starts_with(&format!("an event of the stream {why}")), "{}", error.message);
        }
    }

    #[test]
    fn the_total_of_a_usage_saturates() {
        assert_eq!(chat_usage(u64::MAX, 1)["total_tokens"], u64::MAX);
    }
}
