//! JSON as JavaScript reads it. `JSON.parse` accepts what serde_json rejects: a key that occurs twice (the last one
//! counts), half of a surrogate pair, a number beyond the range of a double. The `openai` package therefore reads such
//! answers, and so does this package. These functions are slower than serde_json and run only where it has failed.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::text::{Halves, Text};

/// How deep [`value`] reads. What is nested deeper becomes null.
const MAX_DEPTH: usize = 100;

/// The fields of an object, in order, each with its JSON. `None` if this is not an object. A key may occur more than
/// once.
pub fn fields(json: &str) -> Option<Vec<(String, &str)>> {
    let Fields(fields) = serde_json::from_str(json).ok()?;
    Some(fields)
}

/// The JSON of a field that is not null. Of several fields with this name the last one counts.
pub fn field<'a>(fields: &[(String, &'a str)], name: &str) -> Option<&'a str> {
    fields.iter().rev().find(|(known, _)| known == name).map(|(_, json)| *json).filter(|json| *json != "null")
}

/// The JSON of the entries of an array. `None` if this is not an array.
pub fn entries(json: &str) -> Option<Vec<&str>> {
    let entries: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(entries.into_iter().map(RawValue::get).collect())
}

/// The JSON of the entries of a list: of an array, or of an object whose names are indices, which PHP makes of an array
/// with gaps. `None` for anything else.
pub fn list(json: &str) -> Option<Vec<&str>> {
    let is_index = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let by_index = || fields(json).filter(|all| all.iter().all(|(name, _)| is_index(name)));
    entries(json).or_else(|| Some(by_index()?.into_iter().map(|(_, json)| json).collect()))
}

/// A string. `None` if this is not a string.
pub fn string(json: &str) -> Option<Text<'_>> {
    if let Ok(Str(text)) = serde_json::from_str(json) {
        return Some(Text::new(text));
    }
    let Wtf8(text) = serde_json::from_str(json).ok()?;
    Some(text)
}

/// A number as text, in JavaScript's format.
pub fn number(json: &str) -> Option<String> {
    let number: f64 =
        json.parse().ok().filter(|_| json.starts_with(|c: char| c == '-' || c.is_ascii_digit()))?;
    let size = number.abs();
    Some(if !number.is_finite() {
        if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if size == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&size) {
        format!("{number}")
    } else {
        let text = format!("{number:e}");
        if size >= 1.0 { text.replace('e', "e+") } else { text }
    })
}

/// The most memory that [`value`] uses, in bytes.
const MAX_MEMORY: usize = 64 * 1024 * 1024;

/// Any value. What no [`Value`] can hold is replaced: half of a surrogate pair by U+FFFD, a number out of range by
/// null. `None` if this is not JSON, or takes more than 64 MiB of memory.
pub fn value(json: &str) -> Option<Value> {
    value_within(json, MAX_MEMORY).ok().flatten()
}

fn read(json: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(json) {
        return Some(value);
    }
    // serde_json checks all of it, whatever the depth.
    serde_json::from_str::<&RawValue>(json).ok()?;
    Some(Walk { json, at: 0 }.value(MAX_DEPTH))
}

/// A value would take more memory than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// [`value`], with another limit of its memory, in bytes.
///
/// # Errors
/// [`TooLarge`], before any of it is read.
pub fn value_within(json: &str, max: usize) -> Result<Option<Value>, TooLarge> {
    if fits(json, max) { Ok(read(json)) } else { Err(TooLarge) }
}

/// Whether this is not the JSON of what a [`Value`] can hold exactly.
pub fn is_inexact(json: &str) -> bool {
    fits(json, MAX_MEMORY) && serde_json::from_str::<Value>(json).is_err()
}

/// Whether the value of this JSON takes at most `max` bytes of memory. `[0,0,0]` takes many times its JSON.
pub fn fits(json: &str, max: usize) -> bool {
    json.len() <= max / MEMORY_PER_BYTE || memory(json) <= max
}

/// The most memory that a byte of JSON takes, about: `0,` is a [`Value`].
const MEMORY_PER_BYTE: usize = 64;

/// The approximate memory of the value of this JSON, in bytes.
fn memory(json: &str) -> usize {
    let (mut values, mut fields) = (1_usize, 0_usize);
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b',' | b'[' | b'{' => values += 1,
            b':' => fields += 1,
            _ => {}
        }
        at += 1;
    }
    let memory = values.saturating_mul(size_of::<Value>());
    memory
        .saturating_add(fields.saturating_mul(size_of::<String>() + size_of::<usize>()))
        .saturating_add(json.len())
}

/// The position of the quote that ends the string that begins at `start`; the last position without one.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len().saturating_sub(1)
}

/// Reads JSON that is known to be valid, each byte of it once.
struct Walk<'a> {
    json: &'a str,
    at: usize,
}

impl Walk<'_> {
    /// The value at the current position. One below `depth` others is null.
    fn value(&mut self, depth: usize) -> Value {
        match self.peek() {
            Some(b'{' | b'[') if depth == 0 => {
                self.skip();
                Value::Null
            }
            Some(b'{') => {
                let mut fields = Map::new();
                self.entries(b'}', |walk| {
                    let name = walk.string();
                    walk.peek();
                    // The colon.
                    walk.at += 1;
                    fields.insert(name, walk.value(depth - 1));
                });
                Value::Object(fields)
            }
            Some(b'[') => {
                let mut list = Vec::new();
                self.entries(b']', |walk| list.push(walk.value(depth - 1)));
                Value::Array(list)
            }
            Some(b'"') => Value::String(self.string()),
            Some(_) => {
                let rest = &self.json[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                self.at += end;
                match &rest[..end] {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    number => serde_json::from_str::<Number>(number).map(Value::Number).unwrap_or_default(),
                }
            }
            None => Value::Null,
        }
    }

    /// Reads the entries of a list or of an object, up to its bracket.
    fn entries(&mut self, end: u8, mut read: impl FnMut(&mut Self)) {
        loop {
            // The bracket that opens it, or a comma.
            self.at += 1;
            if self.peek().is_none_or(|byte| byte == end) {
                break;
            }
            read(self);
            if self.peek() != Some(b',') {
                break;
            }
        }
        self.at += 1;
    }

    fn string(&mut self) -> String {
        let end = (string_end(self.json.as_bytes(), self.at) + 1).max(self.at);
        let text = self.json.get(self.at..end).and_then(string);
        self.at = end;
        text.map(|text| text.lossy().into_owned()).unwrap_or_default()
    }

    /// Skips a list or an object, however deep.
    fn skip(&mut self) {
        let (bytes, mut open) = (self.json.as_bytes(), 0_usize);
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.at = string_end(bytes, self.at),
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.json.as_bytes().get(self.at..)?;
        let found = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.at += found;
        Some(rest[found])
    }
}

struct Fields<'a>(Vec<(String, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(Wtf8(name)) = map.next_key_seed(Wtf8Seed)? {
                    fields.push((name.lossy().into_owned(), map.next_value::<&RawValue>()?.get()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A string without halves of surrogate pairs. It borrows from the JSON if it contains no escapes.
#[derive(Debug)]
pub struct Str<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor;
        impl<'de> Visitor<'de> for StrVisitor {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(StrVisitor)
    }
}

/// A string that serde_json reads as bytes: halves of surrogate pairs are encoded as WTF-8.
struct Wtf8(Text<'static>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Wtf8Seed.deserialize(deserializer)
    }
}

struct Wtf8Seed;

impl<'de> DeserializeSeed<'de> for Wtf8Seed {
    type Value = Wtf8;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Wtf8, D::Error> {
        struct BytesVisitor;
        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Wtf8;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Wtf8, E> {
                Ok(Wtf8(from_wtf8(bytes)))
            }
            // serde_json reads an array as bytes too.
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Wtf8, A::Error> {
                Err(de::Error::custom("an array"))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

fn from_wtf8(bytes: &[u8]) -> Text<'static> {
    let mut text = String::with_capacity(bytes.len());
    let mut halves = Halves::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            Err(error) => error.valid_up_to(),
        };
        text.push_str(&String::from_utf8_lossy(&rest[..valid]));
        rest = &rest[valid..];
        let &[0xED, second, third, ..] = rest else { break };
        let unit = 0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F);
        rest = &rest[3..];
        if unit >= 0xDC00 && text.is_empty() && halves.low.is_none() {
            halves.low = Some(unit);
        } else if unit < 0xDC00 && rest.is_empty() {
            halves.high = Some(unit);
        } else {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Text { text: text.into(), halves }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_two_fields_with_the_same_name_the_last_one_counts() {
        let fields = fields(r#"{"a":1,"b":2,"a":{"x":3}}"#).unwrap();
        assert_eq!(field(&fields, "a"), Some(r#"{"x":3}"#));
        assert_eq!(field(&fields, "c"), None);
    }

    #[test]
    fn halves_of_surrogate_pairs_at_the_ends_of_a_string_are_kept() {
        let text = string(r#""\ude00 a \ud83d b \ud83d""#).unwrap();
        assert_eq!(
            (text.halves.low, &*text.text, text.halves.high),
            (Some(0xDE00), " a \u{FFFD} b ", Some(0xD83D))
        );
        assert_eq!(string(r#""\ud83d\ude00""#).unwrap(), Text::new("😀".into()));
        let lone = string(r#""\ud83d""#).unwrap();
        assert_eq!((lone.halves.low, &*lone.text, lone.halves.high), (None, "", Some(0xD83D)));
        assert_eq!(string("[1]"), None);
        assert_eq!(string("1"), None);
    }

    #[test]
    fn numbers_have_the_format_of_javascript() {
        for (json, text) in [
            ("6", "6"),
            ("0.50", "0.5"),
            ("-1.25", "-1.25"),
            ("1e2", "100"),
            ("1e21", "1e+21"),
            ("1.5e-7", "1.5e-7"),
            ("0.000001", "0.000001"),
            ("1e400", "Infinity"),
            ("-0", "0"),
            ("123456789012345680000", "123456789012345680000"),
        ] {
            assert_eq!(number(json).as_deref(), Some(text));
        }
        assert_eq!(number("true"), None);
        assert_eq!(number("inf"), None);
    }

    #[test]
    fn what_no_value_can_hold_is_replaced() {
        let json = r#"{"a":1e400,"b":"\ud83d!","c":[1,{"d":true,"d":null}]}"#;
        assert_eq!(value(json), Some(json!({ "a": null, "b": "\u{FFFD}!", "c": [1, { "d": null }] })));
        assert_eq!(value("{"), None);
        let mixed = r#" { "a" : [ 1e400 , "x\"]\ud83d" , { } , [ ] , -1.5e1 , true , false , null ] , "b\ud83d" : {"c":[[]]} } "#;
        let read = json!({ "a": [null, "x\"]\u{FFFD}", {}, [], -15.0, true, false, null], "b\u{FFFD}": { "c": [[]] } });
        assert_eq!(value(mixed), Some(read));
        let deep = format!("{}1e400{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(value(&deep).is_some());
    }

    #[test]
    fn a_value_that_takes_too_much_memory_is_not_read() {
        let zeros = format!("[{}0]", "0,".repeat(10_000));
        assert_eq!(value_within(&zeros, 100_000), Err(TooLarge));
        assert!(value_within(&zeros, 10_000_000).unwrap().is_some());
        let text = format!("[\"{}\\\"\"]", ",".repeat(50_000));
        assert!(value_within(&text, 100_000).unwrap().is_some(), "commas in a text are no values");
        assert_eq!(value_within("{", 1_000), Ok(None));
    }

    #[test]
    fn what_an_odd_value_costs_grows_with_its_length_alone() {
        // Each level holds a number that serde_json rejects, and a text that reading each level again would repeat.
        let nested = |bytes: usize| {
            let text = "x".repeat(bytes);
            format!("{}1e400,\"{text}\"{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1))
        };
        let ratio = crate::wire::work::ratio(&nested(100_000), &nested(800_000), |json| {
            assert!(value(json).is_some());
        });
        assert!(ratio < 24.0, "eight times as long took {ratio} times as long");
    }
}
