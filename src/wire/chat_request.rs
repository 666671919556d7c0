//! The chat request as the caller wrote it, and what is replaced in it.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use super::dialect::{self, Dialect};
use crate::error::{Error, Result, truncate};

/// A chat request: the caller's own object, field by field and byte by byte. Only what the engine
/// has to set is replaced, so that a field this package has never heard of arrives unchanged.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    dialect: Dialect,
    fields: Vec<(String, Box<RawValue>)>,
}

impl ChatRequest {
    /// Reads the caller's JSON. Refuses what is no object and an object without messages.
    pub fn parse(json: &str) -> Result<Self> {
        Self::parse_as(Dialect::Chat, json)
    }

    /// Reads a request in a dialect.
    pub fn parse_as(dialect: Dialect, json: &str) -> Result<Self> {
        let Fields(fields) = serde_json::from_str(json)
            .map_err(|_| Error::invalid("request", truncate(json, 40), "an object with `messages`"))?;
        let request = ChatRequest { dialect, fields };
        match request.field(dialect.conversation()) {
            // Text, or none where the conversation is kept by the provider.
            None if dialect == Dialect::Responses => {}
            Some(raw) if dialect == Dialect::Responses => {
                if !raw.get().starts_with(['"', '[']) {
                    let given = truncate(raw.get(), 40);
                    return Err(Error::invalid("request.input", given, "a string or an array of items"));
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
        for name in dialect.token_limits() {
            if let Some(raw) = request.field(name)
                && !matches!(serde_json::from_str::<u64>(raw.get()), Ok(1..))
            {
                let path = format!("request.{name}");
                return Err(Error::invalid(&path, truncate(raw.get(), 40), "a whole number from 1"));
            }
        }
        if dialect.is_passed_on()
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

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn field(&self, name: &str) -> Option<&RawValue> {
        let raw = self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)?;
        (raw.get() != "null").then_some(raw)
    }

    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        serde_json::from_str(self.field(name)?.get()).ok()
    }

    /// The model that the caller named.
    pub fn model(&self) -> Option<String> {
        self.read("model")
    }

    /// How many choices the answer will have (`n`, default 1).
    pub fn choices(&self) -> usize {
        if self.dialect.is_passed_on() { 1 } else { self.read("n").unwrap_or(1) }
    }

    /// True when the caller asked for the usage chunk.
    pub fn wants_usage(&self) -> bool {
        #[derive(Deserialize)]
        struct StreamOptions {
            include_usage: Option<bool>,
        }
        self.read::<StreamOptions>("stream_options").and_then(|o| o.include_usage).unwrap_or(false)
    }

    /// The most tokens that the answer may have, where the caller said so: the larger one where there
    /// are two limits.
    pub fn max_tokens(&self) -> Option<u64> {
        self.token_limits().max()
    }

    /// Nothing is left of a limit when so many tokens were received.
    pub fn is_used_up(&self, received: u64) -> bool {
        self.token_limits().min().is_some_and(|least| least <= received)
    }

    fn token_limits(&self) -> impl Iterator<Item = u64> {
        self.dialect.token_limits().iter().filter_map(|name| self.read(name))
    }

    /// The caller asked for JSON (`response_format`): an answer that cannot be continued in the middle.
    pub fn wants_json(&self) -> bool {
        let path = self.dialect.format();
        let (name, inside) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let value: Option<serde_json::Value> = self.read(name);
        let format = value.as_ref().and_then(|value| value.pointer(&format!("/{inside}"))?.as_str());
        format.is_some_and(|format| format != "text")
    }

    /// The caller asked for logprobs.
    pub fn wants_logprobs(&self) -> bool {
        self.read("logprobs").unwrap_or(false)
    }

    /// The messages as the caller wrote them.
    pub fn messages(&self) -> &str {
        self.field(self.dialect.conversation()).map_or("[]", RawValue::get)
    }

    /// The other fields that the model reads, as the caller wrote them.
    pub fn beside_messages(&self) -> impl Iterator<Item = &str> {
        let read = self.dialect.beside_conversation();
        read.iter().filter_map(|name| self.field(name)).map(RawValue::get)
    }

    /// The body of one attempt: the caller's fields, this model, streamed, with the usage chunk
    /// where `include_usage` is set, and what a continuation asks in place of the caller's own.
    pub fn encode(&self, model: &str, include_usage: bool, instead: &Instead<'_>) -> Vec<u8> {
        if self.dialect.is_passed_on() {
            let body = dialect::Body { dialect: self.dialect, fields: &self.fields, model, instead };
            return serde_json::to_vec(&body).unwrap_or_default();
        }
        let body = Body { request: self, model, include_usage, instead };
        // Strings and raw JSON always encode.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// What the engine says in place of the caller's own, or beside it.
#[derive(Clone, Copy, Default)]
pub struct Instead<'a> {
    /// A JSON array.
    pub messages: Option<&'a RawValue>,
    /// How many tokens of the answer were received before: the limits are reduced by so many.
    pub received: u64,
    /// `session_id`, where the caller has not said one.
    pub session_id: Option<&'a str>,
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
                name if self.instead.received > 0 && self.request.dialect.token_limits().contains(&name) => {
                    match serde_json::from_str::<u64>(value.get()) {
                        Ok(limit) => {
                            map.serialize_entry(key, &limit.saturating_sub(self.instead.received))?
                        }
                        Err(_) => map.serialize_entry(key, value)?,
                    }
                }
                _ => map.serialize_entry(key, value)?,
            }
        }
        if let Some(session) = self.instead.session_id.filter(|_| self.request.field("session_id").is_none())
        {
            map.serialize_entry("session_id", session)?;
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

/// Refuses an array in which something is no message.
fn each_is_an_object(messages: &RawValue) -> Result<()> {
    // It was read as JSON before.
    let items: Vec<&RawValue> = serde_json::from_str(messages.get()).unwrap_or_default();
    match items.iter().position(|item| !item.get().starts_with('{')) {
        None => Ok(()),
        Some(place) => {
            let name = format!("request.messages[{place}]");
            Err(Error::invalid(&name, truncate(items[place].get(), 40), "a message, an object"))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

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
        let json = r#"{"messages":[{}],"stream_options":{"include_obfuscation":false,"include_usage":true}}"#;
        assert!(
            body(json, true)
                .ends_with(r#""stream_options":{"include_obfuscation":false,"include_usage":true}}"#)
        );
        assert!(body(json, false).ends_with(r#""stream_options":{"include_obfuscation":false}}"#));
        assert!(!body(r#"{"messages":[{}]}"#, false).contains("stream_options"));
    }

    #[test]
    fn a_session_goes_into_the_body_once_and_the_callers_own_stays() {
        let body = |json: &str| {
            let instead = Instead { session_id: Some("s1"), ..Instead::default() };
            String::from_utf8(ChatRequest::parse(json).unwrap().encode("m", false, &instead)).unwrap()
        };
        assert_eq!(
            body(r#"{"messages":[{}]}"#),
            r#"{"model":"m","messages":[{}],"session_id":"s1","stream":true}"#
        );
        let own = body(r#"{"messages":[{}],"session_id":"mine"}"#);
        assert!(own.contains(r#""session_id":"mine""#) && !own.contains("s1"), "{own}");
    }

    #[test]
    fn what_no_provider_takes_is_refused_by_its_name() {
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
    fn each_limit_is_reduced_by_what_was_received() {
        let json = r#"{"messages":[{}],"max_tokens":20,"max_completion_tokens":50}"#;
        let request = ChatRequest::parse(json).unwrap();
        let instead = Instead { received: 2, ..Instead::default() };
        let body = String::from_utf8(request.encode("m", false, &instead)).unwrap();
        assert!(body.contains(r#""max_tokens":18,"max_completion_tokens":48"#), "{body}");
        assert_eq!(
            (request.max_tokens(), request.is_used_up(19), request.is_used_up(20)),
            (Some(50), false, true)
        );
    }

    #[test]
    fn a_request_without_messages_is_refused() {
        for bad in ["[]", "3", "{}", r#"{"messages":"hi"}"#, r#"{"messages":[ ]}"#, r#"{"messages":null}"#] {
            assert_eq!(ChatRequest::parse(bad).unwrap_err().kind, Kind::InvalidArgument, "{bad}");
        }
    }
}
