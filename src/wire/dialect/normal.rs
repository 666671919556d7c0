//! Events in the form of their protocol, made of what some providers send instead. Slow: this runs only for an event
//! that is not in this form, and while half of a surrogate pair waits for the other one.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::wire::json::{self, fields};
use crate::wire::lenient;
use crate::wire::surrogates::PendingSurrogates;
use crate::wire::text::Text;

/// An event as the protocol has it.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalEvent {
    pub name: Option<String>,
    pub data: String,
}

impl NormalEvent {
    /// An event whose name is the `type` of its data.
    pub(super) fn new(data: &Value) -> Self {
        NormalEvent { name: data["type"].as_str().map(str::to_owned), data: data.to_string() }
    }

    pub(super) fn unchanged(name: Option<&str>, data: &str) -> Self {
        NormalEvent { name: name.map(str::to_owned), data: data.to_owned() }
    }
}

/// A JSON object in which fields are replaced. The others keep their JSON to the byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Object<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Object<'a> {
    /// `None` if this is not the JSON of an object.
    pub fn parse(data: &'a str) -> Option<Self> {
        // `fields` would accept control characters in keys, which the consumer's JSON parser does not.
        serde_json::from_str::<IgnoredAny>(data).ok()?;
        let mut object = Object(Vec::new());
        // Of several fields with one name the last one counts.
        let mut positions: HashMap<String, usize> = HashMap::new();
        for (name, json) in fields(data)? {
            match positions.get(&name) {
                Some(&at) => object.0[at].1 = json.into(),
                None => {
                    positions.insert(name.clone(), object.0.len());
                    object.0.push((name, json.into()));
                }
            }
        }
        Some(object)
    }

    /// The JSON of a field that is not null.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, json) = self.0.iter().find(|(known, _)| known == name)?;
        (json != "null").then_some(json.as_ref())
    }

    /// A field that is a string.
    pub fn string(&self, name: &str) -> Option<Cow<'_, str>> {
        json::string(self.get(name)?).map(|text| text.lossy())
    }

    pub fn has_object(&self, name: &str) -> bool {
        self.get(name).is_some_and(|json| json.starts_with('{'))
    }

    pub fn has_list(&self, name: &str) -> bool {
        self.get(name).is_some_and(|json| json.starts_with('['))
    }

    /// An index: a number, or a string that holds one.
    pub fn index(&self, name: &str) -> Option<u64> {
        let index = lenient::number(self.get(name)?)?;
        (index.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&index)).then_some(index as u64)
    }

    pub fn set(&mut self, name: &str, json: impl Into<Cow<'a, str>>) {
        let json = json.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = json,
            None => self.0.push((name.to_owned(), json)),
        }
    }

    pub fn set_string(&mut self, name: &str, text: &str) {
        self.set(name, quoted(text));
    }

    /// Sets a field whose JSON is not of the type of `default`.
    pub fn set_default(&mut self, name: &str, default: &'static str) {
        let is_expected =
            self.get(name).is_some_and(|json| json.as_bytes().first() == default.as_bytes().first());
        if !is_expected {
            self.set(name, default);
        }
    }

    /// Replaces each half of a surrogate pair in the fields by U+FFFD.
    pub fn replace_lone_halves(&mut self) {
        for (_, json) in self.0.iter_mut().filter(|(_, json)| has_lone_half(json)) {
            *json = json::value(json).unwrap_or_default().to_string().into();
        }
    }

    pub fn json(&self) -> String {
        let fields = self.0.iter().map(|(name, json)| format!("{}:{json}", quoted(name)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    /// The event with this object as its data.
    pub fn event(&self) -> NormalEvent {
        NormalEvent { name: self.string("type").map(Cow::into_owned), data: self.json() }
    }
}

/// Texts that deltas add to, with the halves of surrogate pairs at their ends.
#[derive(Debug)]
pub(super) struct Halves<K>(PendingSurrogates<K>);

impl<K> Default for Halves<K> {
    fn default() -> Self {
        Halves(PendingSurrogates::default())
    }
}

impl<K: Clone + PartialEq> Halves<K> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of a delta as a JSON string ([`PendingSurrogates::join`]).
    pub fn join(&mut self, part: K, text: &Text<'_>) -> String {
        quoted(&self.0.join(part, text))
    }

    /// The parts like this whose other half did not arrive. U+FFFD stands for it.
    pub fn finish(&mut self, is_part: impl Fn(&K) -> bool) -> Vec<K> {
        self.0.take_all(is_part)
    }
}

/// What one attempt has sent, as far as it says what the next events mean.
#[derive(Debug)]
pub(super) struct Sent<K> {
    pub halves: Halves<K>,
    /// An event of the protocol has arrived.
    pub has_begun: bool,
    /// The block or item that is open.
    open: Option<u64>,
    next: u64,
}

impl<K> Default for Sent<K> {
    fn default() -> Self {
        Sent { halves: Halves::default(), has_begun: false, open: None, next: 0 }
    }
}

impl<K> Sent<K> {
    /// A block or item starts.
    pub fn start(&mut self, index: u64) {
        self.open = Some(index);
        self.next = self.next.max(index.saturating_add(1));
    }

    /// The open block or item stops.
    pub fn stop(&mut self) {
        self.open = None;
    }

    /// The index of the block or item of an event, which is set if the event has none: the next one if it starts one,
    /// otherwise the open one, or the last.
    pub fn set_index(&self, object: &mut Object<'_>, name: &str, starts: bool) -> u64 {
        let index = object.index(name).unwrap_or_else(|| match starts {
            true => self.next,
            false => self.open.unwrap_or_else(|| self.next.saturating_sub(1)),
        });
        object.set(name, index.to_string());
        index
    }
}

/// The text of a delta.
pub(super) fn delta_text(json: &str) -> Text<'_> {
    lenient::text(json).unwrap_or_default()
}

/// JSON that a delta has a part of: a string, or the JSON itself.
pub(super) fn delta_json(json: &str) -> Text<'_> {
    lenient::string_or_json(json).unwrap_or_default()
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// An index in the form of the protocol.
pub(super) fn index_of(raw: &RawValue) -> Option<u64> {
    raw.get().parse().ok()
}

/// A count of tokens, which some providers send as a string.
pub(super) fn count(value: &Value) -> Option<u64> {
    let text = || value.as_str()?.trim().parse::<f64>().ok();
    value.as_u64().or_else(|| {
        let number = value.as_f64().or_else(text)?;
        (number >= 0.0).then_some(number as u64)
    })
}

/// Whether a value has half of a surrogate pair in it, or a number out of range: what [`Value`] cannot hold.
pub(super) fn has_lone_half(json: &str) -> bool {
    (json.contains("\\ud") || json.contains("\\uD")) && json::is_inexact(json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_are_not_replaced_keep_their_json() {
        let mut object = Object::parse(r#"{"a":1e400,"b" : [ 1 ],"a":1.50,"c":"\ud83d"}"#).unwrap();
        object.set_string("b", "x\n");
        assert_eq!(object.json(), r#"{"a":1.50,"b":"x\n","c":"\ud83d"}"#);
        assert!(Object::parse("[1]").is_none() && Object::parse("{").is_none());
    }

    #[test]
    fn counts_are_read_from_strings() {
        assert_eq!(
            [json!(3), json!("4"), json!(5.0)].map(|value| count(&value)),
            [Some(3), Some(4), Some(5)]
        );
        assert_eq!([json!(-1), json!("x"), json!(null)].map(|value| count(&value)), [None; 3]);
    }
}
