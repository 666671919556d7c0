//! The body of one attempt, made from the caller's fields.

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::dialect_spec::Dialect;

/// What an attempt sends instead of the caller's own fields, or in addition to them.
#[derive(Clone, Copy, Default)]
pub struct Overrides<'a> {
    /// The messages, a JSON array.
    pub messages: Option<&'a RawValue>,
    /// The number of tokens received by earlier attempts. The caller's limits are reduced by it.
    pub received: u64,
    /// `session_id`, unless the caller sends one.
    pub session_id: Option<&'a str>,
    /// Requests the answer as one document.
    pub unstreamed: bool,
    /// Fields to set, whatever the caller has there.
    pub fields: &'a [(&'static str, bool)],
}

/// A body for chat completions: streamed, unless the overrides say otherwise.
pub(super) struct ChatBody<'a> {
    pub fields: &'a [(String, Box<RawValue>)],
    pub model: &'a str,
    pub include_usage: bool,
    pub overrides: &'a Overrides<'a>,
    pub sends_session_id: bool,
}

impl Serialize for ChatBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        let mut stream_options = None;
        let is_set = |name: &str| self.overrides.fields.iter().any(|(set, _)| *set == name);
        for (key, value) in self.fields {
            match key.as_str() {
                "model" | "stream" => {}
                name if is_set(name) => {}
                "stream_options" => stream_options = Some(value),
                "messages" if self.overrides.messages.is_some() => {
                    map.serialize_entry(key, &self.overrides.messages)?;
                }
                name if self.overrides.received > 0 && Dialect::Chat.token_limit_fields().contains(&name) => {
                    match serde_json::from_str::<u64>(value.get()) {
                        Ok(limit) => {
                            map.serialize_entry(key, &limit.saturating_sub(self.overrides.received))?
                        }
                        Err(_) => map.serialize_entry(key, value)?,
                    }
                }
                _ => map.serialize_entry(key, value)?,
            }
        }
        if let Some(session) = self.overrides.session_id.filter(|_| self.sends_session_id) {
            map.serialize_entry("session_id", session)?;
        }
        for (name, value) in self.overrides.fields {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("stream", &!self.overrides.unstreamed)?;
        if self.overrides.unstreamed {
            return map.end();
        }
        let options =
            stream_options.and_then(|raw| serde_json::from_str::<Map<String, Value>>(raw.get()).ok());
        let mut options = options.unwrap_or_default();
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

/// A body in a dialect whose events are passed through: the caller's fields, in their order.
pub(super) struct PassthroughBody<'a> {
    pub dialect: Dialect,
    pub fields: &'a [(String, Box<RawValue>)],
    pub model: &'a str,
    pub overrides: &'a Overrides<'a>,
}

impl Serialize for PassthroughBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let PassthroughBody { dialect, fields, model, overrides } = self;
        let mut map = serializer.serialize_map(None)?;
        if !fields.iter().any(|(name, _)| name == "model") {
            map.serialize_entry("model", model)?;
        }
        for (name, value) in *fields {
            let limit = || serde_json::from_str::<u64>(value.get()).ok();
            match name.as_str() {
                "model" => map.serialize_entry(name, model)?,
                name if name == dialect.conversation_field() && overrides.messages.is_some() => {
                    map.serialize_entry(name, &overrides.messages)?;
                }
                name if overrides.received > 0
                    && dialect.token_limit_fields().contains(&name)
                    && let Some(limit) = limit() =>
                {
                    map.serialize_entry(name, &limit.saturating_sub(overrides.received).max(1))?;
                }
                name => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}
