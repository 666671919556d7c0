//! Reads the events of one stream.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::chunk::{Choice, Chunk, Delta, TextChunk};
use super::lenient;
use super::template::Template;
use super::tool_call::ToolCall;
use crate::error::{Error, Kind, Result, truncate};
use crate::wire::{json, provider_error};

/// Reads the events of one stream.
#[derive(Debug, Default)]
pub struct Reader {
    template: Template,
}

impl Reader {
    /// Reads one event if it is a chunk that differs from the one before in its text alone: most events of a stream are.
    /// [`Reader::read`] reads every event, these too.
    pub fn read_text<'a>(&mut self, event: Option<&str>, data: &'a str) -> Option<TextChunk<'a>> {
        let chunk = if event.is_none() { self.template.read_text(trim(data))? } else { return None };
        self.template.record_hit();
        Some(chunk)
    }

    /// Reads one event as [`read`] does, and faster if it resembles the one before.
    ///
    /// # Errors
    /// Those of [`read`].
    pub fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<StreamEvent<'a>> {
        let data = trim(data);
        if event.is_some() {
            return read(event, data);
        }
        if let Some(chunk) = self.template.read(data) {
            self.template.record_hit();
            return Ok(StreamEvent::Chunk(chunk));
        }
        let event = read(event, data)?;
        if let StreamEvent::Chunk(chunk) = &event {
            self.template.learn(data, chunk);
        }
        Ok(event)
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
    let data = trim(data);
    if data == "[DONE]" {
        return Ok(StreamEvent::Done);
    }
    // Without a blank line between them, a chunk gets the name of the ping before it.
    if matches!(event, Some("ping" | "heartbeat" | "keepalive")) && !data.contains("\"choices\"") {
        return Ok(StreamEvent::Other);
    }
    if event == Some("error") {
        let value = json::value(data).unwrap_or_else(|| truncate(data, 500).into());
        return Ok(StreamEvent::Error(value));
    }
    if let Some(event) = read_no_object(data) {
        return Ok(event);
    }
    let chunk = read_chunk(data)?;
    if chunk.error.is_some_and(|error| provider_error::is_error_value(error.get())) {
        return Ok(StreamEvent::Error(json::value(data).unwrap_or_default()));
    }
    if let Some(error) = error_inside(&chunk) {
        return Ok(StreamEvent::Error(error));
    }
    // An error without an envelope, whose fields may mean something else beside an answer.
    if chunk.is_empty() && !has_only_answer_fields(&chunk, data) {
        let value = json::value(data).unwrap_or_default();
        if provider_error::is_error(&value) {
            return Ok(StreamEvent::Error(value));
        }
    }
    // Without choices: citations and other fields of the chunk itself.
    let is_chunk = chunk.choices.is_some()
        || chunk.usage.is_some()
        || chunk.object.as_ref().is_some_and(|object| object.text == "chat.completion.chunk");
    Ok(if is_chunk { StreamEvent::Chunk(chunk) } else { StreamEvent::Other })
}

/// Whether the chunk says that it is one, and has no field that an error could have. Every stream has such a chunk without
/// content: its first one has the role.
fn has_only_answer_fields(chunk: &Chunk<'_>, data: &str) -> bool {
    const FIELDS: &[&str] =
        &["id", "object", "created", "model", "system_fingerprint", "service_tier", "choices", "usage"];
    let is_chunk = chunk.object.as_ref().is_some_and(|object| object.text == "chat.completion.chunk");
    is_chunk && has_only_fields(data, FIELDS)
}

/// Whether an object has no other fields than these. False also if one is written with an escape.
fn has_only_fields(json: &str, names: &[&str]) -> bool {
    struct Names<'n>(&'n [&'n str]);

    impl<'de> Visitor<'de> for Names<'_> {
        type Value = bool;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<bool, A::Error> {
            let mut has_only_these = true;
            while let Some(name) = map.next_key::<&str>()? {
                has_only_these &= self.0.contains(&name);
                map.next_value::<IgnoredAny>()?;
            }
            Ok(has_only_these)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Names(names)).is_ok_and(|has_only_these| has_only_these)
}

/// The error in a chunk, whatever else is in it: of a choice, of a delta, of the answer's status (MiniMax), or the one
/// with which Groq says why it stopped early.
fn error_inside(chunk: &Chunk<'_>) -> Option<Value> {
    let is_error = |raw: &&RawValue| provider_error::is_error_value(raw.get());
    let of_choice = |choice: &Choice<'_>| {
        let of_delta = choice.delta.as_ref().and_then(|delta| delta.error);
        choice.error.filter(is_error).or(of_delta.filter(is_error)).and_then(|raw| json::value(raw.get()))
    };
    let groq = || json::value(chunk.x_groq?.get())?.get_mut("error").map(Value::take);
    let error = chunk.choices.iter().flatten().find_map(of_choice);
    let error = error.or_else(|| groq().filter(|error| !provider_error::is_vacant(error)));
    if let Some(error) = error {
        return Some(serde_json::json!({ "error": error }));
    }
    let base = chunk.base_resp.filter(is_error).and_then(|raw| json::value(raw.get()));
    base.map(|base| serde_json::json!({ "base_resp": base })).filter(provider_error::is_error)
}

/// JSON other than an object: an error in a list, as Gemini sends it, or nothing. A text or a list may be more than nothing.
fn read_no_object(data: &str) -> Option<StreamEvent<'_>> {
    if data.starts_with('{') {
        return None;
    }
    match json::value(data)? {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(StreamEvent::Other),
        Value::String(text) => text.is_empty().then_some(StreamEvent::Other),
        Value::Array(list) if list.is_empty() => Some(StreamEvent::Other),
        value => provider_error::is_error_event(&value).then(|| StreamEvent::Error(value)),
    }
}

/// Without the white space of JSON. A form feed is not white space.
fn trim(data: &str) -> &str {
    // Almost every event is an object without white space around it.
    if data.starts_with('{') && data.ends_with('}') {
        return data;
    }
    data.trim_matches([' ', '\t', '\n', '\r'])
}

fn read_chunk(data: &str) -> Result<Chunk<'_>> {
    // serde reads a struct from an array too.
    let read = if data.starts_with('{') { serde_json::from_str(data).ok() } else { None };
    if let Some(chunk) = read.filter(|chunk| !has_substitutes(chunk)) {
        return Ok(chunk);
    }
    match lenient::chunk(data) {
        Some(read) => read.map_err(|unreadable| malformed(data, &unreadable.to_string())),
        None => Err(malformed(data, &not_an_object(data))),
    }
}

/// Whether a choice has a `message` or a `text`, and no delta or an empty one; a finish reason under another name; or a
/// tool call without a function.
fn has_substitutes(chunk: &Chunk<'_>) -> bool {
    let mut choices = chunk.choices.iter().flatten();
    choices.any(|choice| {
        let has_text = choice.message.is_some() || choice.text.is_some();
        let has_reason = choice.finish_reason_camel.is_some() || choice.finish_details.is_some();
        let calls = choice.delta.as_ref().and_then(|delta| delta.tool_calls.as_ref());
        (has_text && choice.delta.as_ref().is_none_or(Delta::is_empty))
            || (has_reason && choice.finish_reason.is_none())
            || calls.into_iter().flatten().any(ToolCall::is_flat)
    })
}

fn not_an_object(data: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(data) {
        Ok(_) => "it is not a JSON object".to_owned(),
        Err(error) => format!("it is not valid JSON (column {})", error.column()),
    }
}

fn malformed(data: &str, why: &str) -> Error {
    let mut malformed = Error::new(Kind::Malformed, format!("an event of the stream cannot be read: {why}"));
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
        assert!(matches!(delta.content.unwrap().text, std::borrow::Cow::Borrowed("xin chào")));
    }

    #[test]
    fn a_chunk_without_content_is_an_error_if_it_has_the_fields_of_one() {
        let chunk = |more: &str| {
            format!(
                r#"{{"object":"chat.completion.chunk","id":"c","choices":[{{"index":0,"delta":{{"role":"assistant"}}}}]{more}}}"#
            )
        };
        let is_error = |data: &str| matches!(read(None, data).unwrap(), StreamEvent::Error(_));
        for more in ["", r#","usage":null"#, r#","model":"m","created":1"#, r#","citations":[]"#] {
            assert!(!is_error(&chunk(more)), "{more}");
        }
        for more in [r#","code":429,"message":"slow down""#, r#","\u0063ode":429,"m\u0065ssage":"slow down""#]
        {
            assert!(is_error(&chunk(more)), "{more}");
        }
        assert!(is_error(r#"{"object":"error","message":"slow down","choices":[]}"#));
    }

    #[test]
    fn a_field_with_another_name_or_an_escaped_one_is_no_field_of_a_list() {
        let has_only = |json: &str| has_only_fields(json, &["a", "b"]);
        assert!(has_only(r#"{"a":{"x":[1,{"y":2}]},"b":"a \\"}"#) && has_only("{}"));
        for json in [r#"{"a":1,"c":2}"#, r#"{"a":1,"\u0062":2}"#, r#"{"a":1"#, "[]", ""] {
            assert!(!has_only(json), "{json}");
        }
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
        assert!(matches!(read(Some("ping"), "x").unwrap(), StreamEvent::Other));
        assert!(matches!(read(Some("ping"), r#"{"choices":[]}"#).unwrap(), StreamEvent::Chunk(_)));
        assert_eq!(read(None, r#"{"choices":[{"del"#).unwrap_err().kind, Kind::Malformed);
        assert_eq!(read(None, "[1]").unwrap_err().kind, Kind::Malformed);
    }

    #[test]
    fn json_that_is_not_an_object_is_nothing_or_an_error() {
        for data in ["null", "true", "0", "[]", "\"\""] {
            assert!(matches!(read(None, data).unwrap(), StreamEvent::Other), "{data}");
        }
        let list = r#"[{"error":{"message":"x"}}]"#;
        assert!(matches!(read(None, list).unwrap(), StreamEvent::Error(_)));
        for data in ["\"upstream failed\"", "1 2", "\u{c}{\"choices\":[]}"] {
            assert_eq!(read(None, data).unwrap_err().kind, Kind::Malformed, "{data}");
        }
    }
}
