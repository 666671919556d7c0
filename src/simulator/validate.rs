//! Parses options and scenarios. An error names the field, its value and the accepted values.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The longest wait of a scenario, in milliseconds: a day.
pub(super) const MAX_WAIT_MS: u64 = 86_400_000;

/// A wait of a scenario. One that was built in Rust has not been validated.
pub(super) fn bounded_wait(ms: u64) -> Duration {
    Duration::from_millis(ms.min(MAX_WAIT_MS))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, json: &str) -> Result<T, String> {
    let value: Value = serde_json::from_str(json).map_err(|e| format!("{what} is not JSON: {e}"))?;
    from_value(what, value)
}

pub(super) fn from_value<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, String> {
    if !value.is_object() {
        return Err(format!("{what} must be an object; got {}", excerpt(&value)));
    }
    let failure = |candidate: Value| T::deserialize(candidate).err().map(|e| e.to_string());
    match T::deserialize(&value) {
        Ok(read) => Ok(read),
        Err(error) => {
            let (path, invalid, why) =
                find_invalid(&value, &failure, &|v| v, String::new(), error.to_string());
            let name = if path.is_empty() { what.to_owned() } else { format!("{what}: {path}") };
            Err(format!("{name}: {}; got {}", in_plain_words(&why), excerpt(&invalid)))
        }
    }
}

/// Finds the invalid field: serde names the expected type but not the field. Every field has a default, so each field
/// must be valid in an object by itself. The one that is not is the invalid one, and the search continues inside it.
fn find_invalid(
    value: &Value,
    failure: &dyn Fn(Value) -> Option<String>,
    wrap: &dyn Fn(Value) -> Value,
    path: String,
    why: String,
) -> (String, Value, String) {
    let single = |key: &str, v: Value| Value::Object(Map::from_iter([(key.to_owned(), v)]));
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let wrap_inner = |v: Value| wrap(single(key, v));
                if let Some(why) = failure(wrap_inner(inner.clone())) {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    return find_invalid(inner, failure, &wrap_inner, path, why);
                }
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                let wrap_inner = |v: Value| wrap(Value::Array(vec![v]));
                if let Some(why) = failure(wrap_inner(inner.clone())) {
                    return find_invalid(inner, failure, &wrap_inner, format!("{path}[{at}]"), why);
                }
            }
        }
        _ => {}
    }
    (path, value.clone(), why)
}

/// Translates serde's Rust types for readers who know JavaScript.
fn in_plain_words(why: &str) -> String {
    let mut words = why.to_owned();
    for (rust, plain) in [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected usize", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected an array"),
    ] {
        words = words.replace(rust, plain);
    }
    words
}

fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Checks that a number is in its range.
pub(super) fn in_range<T: PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    from: T,
    to: T,
) -> Result<(), String> {
    if value >= from && value <= to {
        Ok(())
    } else {
        Err(format!("{name} must be from {from} to {to}; got {value}"))
    }
}
