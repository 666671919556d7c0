//! Any JSON as a value: what no [`Value`] can hold is replaced, and what would take too much memory is not read.

use memchr::memchr2;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::json_text::string;
use super::text::{Halves, Text};

/// How deep [`value`] reads. What is nested deeper becomes null.
const MAX_DEPTH: usize = 100;

/// The most memory that [`value`] uses, in bytes.
const MAX_MEMORY: usize = 64 * 1024 * 1024;

/// Any value. What no [`Value`] can hold is replaced: half of a surrogate pair by U+FFFD, a number out of range by
/// null. `None` if this is not JSON, or takes more than 64 MiB of memory.
pub fn value(json: &str) -> Option<Value> {
    value_within(json, MAX_MEMORY).ok().flatten()
}

fn read(json: &str) -> Option<(Value, Vec<Halved>)> {
    if let Ok(value) = serde_json::from_str(json) {
        return Some((value, Vec::new()));
    }
    // serde_json checks all of it, whatever the depth.
    serde_json::from_str::<&RawValue>(json).ok()?;
    let mut walk = Walk { json, at: 0, path: Vec::new(), halved: Vec::new() };
    let value = walk.value(MAX_DEPTH);
    Some((value, walk.halved))
}

/// A text in a value that begins or ends with half of a surrogate pair, for which U+FFFD stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halved {
    pub path: Vec<Step>,
    pub halves: Halves,
}

/// A step to a part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Field(String),
    /// The entry at this position of a list.
    Entry(usize),
}

/// How many of these texts [`value_and_halves`] finds, and how long the names on the way to one are, in bytes. No answer has
/// as many, or as long ones.
const MAX_HALVED: usize = 64;
const MAX_PATH: usize = 1024;

/// A value would take more memory than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// [`value`], with another limit of its memory, in bytes.
///
/// # Errors
/// [`TooLarge`], before any of it is read.
pub fn value_within(json: &str, max: usize) -> Result<Option<Value>, TooLarge> {
    if fits(json, max) { Ok(read(json).map(|(value, _)| value)) } else { Err(TooLarge) }
}

/// [`value_within`], with the texts that begin or end with half of a surrogate pair.
///
/// # Errors
/// [`TooLarge`], before any of it is read.
pub fn value_and_halves(json: &str, max: usize) -> Result<Option<(Value, Vec<Halved>)>, TooLarge> {
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
    /// The way to the current value.
    path: Vec<Step>,
    halved: Vec<Halved>,
}

impl<'a> Walk<'a> {
    fn text(&mut self) -> Option<Text<'a>> {
        let end = (string_end(self.json.as_bytes(), self.at) + 1).max(self.at);
        let text = self.json.get(self.at..end).and_then(string);
        self.at = end;
        text
    }

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
                    walk.path.push(Step::Field(name.clone()));
                    fields.insert(name, walk.value(depth - 1));
                    walk.path.pop();
                });
                Value::Object(fields)
            }
            Some(b'[') => {
                let mut list = Vec::new();
                self.entries(b']', |walk| {
                    walk.path.push(Step::Entry(list.len()));
                    list.push(walk.value(depth - 1));
                    walk.path.pop();
                });
                Value::Array(list)
            }
            Some(b'"') => {
                let Some(text) = self.text() else { return Value::String(String::new()) };
                if text.has_halves() && self.halved.len() < MAX_HALVED && self.path_length() <= MAX_PATH {
                    self.halved.push(Halved { path: self.path.clone(), halves: text.halves });
                }
                Value::String(text.lossy().into_owned())
            }
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

    fn path_length(&self) -> usize {
        let length = |step: &Step| match step {
            Step::Field(name) => name.len(),
            Step::Entry(_) => 1,
        };
        self.path.iter().map(length).sum()
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
        self.text().map(|text| text.lossy().into_owned()).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
