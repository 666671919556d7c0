//! Reads options from JSON: each by its name and within its bounds. An option that no code has read by the
//! end is an error.
//!
//! JSON has no `NaN`, functions or big integers. The JavaScript side sends a value that JSON cannot hold as
//! an object with the key `UNENCODABLE`, such as `{"$unencodable": "NaN"}`, so that the error can name it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::suggest::did_you_mean;
use crate::error::{Error, Kind, Result, truncate};

/// The longest duration that an option accepts, in milliseconds: seven days.
pub const MAX_MS: f64 = 604_800_000.0;

/// The key of an object that replaces a value that JSON cannot hold; its value describes the original.
const UNENCODABLE: &str = "$unencodable";

/// Reads the options of one object and remembers the names it was asked for.
///
/// Every getter returns `None` if the option is absent or `null`. A value of another type is
/// [`Kind::InvalidArgument`], a number out of bounds [`Kind::OutOfRange`]; either error has the full name of
/// the option, its value and what is accepted.
pub struct Reader<'a> {
    /// The name of the object in errors; empty at the top level.
    path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'a str>,
    /// Options that belong to something else, and to what.
    misplaced: (&'static [&'static str], &'static str),
}

/// A short description of a value for an error.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Object(map) => match map.get(UNENCODABLE).and_then(Value::as_str) {
            Some(original) => original.to_owned(),
            None => "an object".to_owned(),
        },
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => format!("'{}' (a string)", truncate(text, 60)),
        other => other.to_string(),
    }
}

/// The entries of a JSON object; `None` for any other value, including one that JSON cannot hold.
pub fn as_object(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|map| !map.contains_key(UNENCODABLE))
}

impl<'a> Reader<'a> {
    /// A reader of the options in `value`. `path` is its name in errors, empty at the top level.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if `value` is not an object.
    pub fn new(path: &str, value: &'a Value) -> Result<Self> {
        let Some(map) = as_object(value) else {
            let name = if path.is_empty() { "options" } else { path };
            return Err(Error::invalid(name, describe(value), "an object"));
        };
        Ok(Reader { path: path.to_owned(), map, known: Vec::new(), misplaced: (&[], "") })
    }

    /// The full name of an option, such as `retry.jitter`.
    pub fn full_name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The JSON value as it is.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Fails with the error for an invalid value of an option.
    pub fn invalid<T>(&self, key: &str, value: &Value, accepted: &str) -> Result<T> {
        let mut error = Error::invalid(&self.full_name(key), describe(value), accepted);
        let is_not_finite = |name: &Value| name == "NaN" || name == "Infinity" || name == "-Infinity";
        if value.is_number() || value.get(UNENCODABLE).is_some_and(is_not_finite) {
            error.kind = Kind::OutOfRange;
        }
        Err(error)
    }

    fn number_where(
        &mut self,
        key: &'static str,
        accepted: &str,
        is_accepted: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if is_accepted(number) => Ok(Some(number)),
                _ => self.invalid(key, value, accepted),
            },
        }
    }

    /// An integer from `min` to `max`, inclusive.
    pub fn integer(&mut self, key: &'static str, min: u64, max: u64) -> Result<Option<u64>> {
        let accepted = format!("a whole number from {min} to {max}");
        let is_accepted = |n: f64| n.fract() == 0.0 && n >= min as f64 && n <= max as f64;
        Ok(self.number_where(key, &accepted, is_accepted)?.map(|n| n as u64))
    }

    /// A number from `min` to `max`, inclusive.
    pub fn number(&mut self, key: &'static str, min: f64, max: f64) -> Result<Option<f64>> {
        self.number_where(key, &format!("a number from {min} to {max}"), |n| n >= min && n <= max)
    }

    /// A number from `min` to `max`, inclusive, or `false`, which is `Some(None)`.
    pub fn number_or_false(&mut self, key: &'static str, min: f64, max: f64) -> Result<Option<Option<f64>>> {
        if self.value(key) == Some(&Value::Bool(false)) {
            return Ok(Some(None));
        }
        let accepted = format!("a number from {min} to {max}, or false");
        Ok(self.number_where(key, &accepted, |n| n >= min && n <= max)?.map(Some))
    }

    /// Whole milliseconds from `min` to [`MAX_MS`], inclusive.
    pub fn milliseconds(&mut self, key: &'static str, min: u64) -> Result<Option<Duration>> {
        let accepted = format!("whole milliseconds from {min} to {MAX_MS}");
        let is_accepted = |n: f64| n.fract() == 0.0 && n >= min as f64 && n <= MAX_MS;
        Ok(self.number_where(key, &accepted, is_accepted)?.map(|n| Duration::from_millis(n as u64)))
    }

    /// Whole milliseconds from `min` to [`MAX_MS`], inclusive, or `false`, which is `Some(None)`.
    pub fn milliseconds_or_false(&mut self, key: &'static str, min: u64) -> Result<Option<Option<Duration>>> {
        if self.value(key) == Some(&Value::Bool(false)) {
            return Ok(Some(None));
        }
        let accepted = format!("whole milliseconds from {min} to {MAX_MS}, or false");
        let is_accepted = |n: f64| n.fract() == 0.0 && n >= min as f64 && n <= MAX_MS;
        let limit = self.number_where(key, &accepted, is_accepted)?;
        Ok(limit.map(|n| Some(Duration::from_millis(n as u64))))
    }

    /// A string that is not empty.
    pub fn string(&mut self, key: &'static str, accepted: &str) -> Result<Option<&'a str>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => self.invalid(key, other, accepted),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Result<Option<bool>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => self.invalid(key, other, "true or false"),
        }
    }

    /// The value that belongs to one of these words.
    pub fn one_of<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        if let Some((_, found)) =
            value.as_str().and_then(|word| words.iter().find(|(known, _)| *known == word))
        {
            return Ok(Some(*found));
        }
        let accepted: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        self.invalid(key, value, &accepted.join(", "))
    }

    /// An array of strings, none of which is empty.
    pub fn strings(&mut self, key: &'static str, accepted: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let read = |item: &Value| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match value.as_array().and_then(|items| items.iter().map(read).collect()) {
            Some(texts) => Ok(Some(texts)),
            None => self.invalid(key, value, accepted),
        }
    }

    /// Accepts options that something else reads, such as callbacks in JavaScript.
    pub fn allow(&mut self, names: &[&'a str]) {
        self.known.extend_from_slice(names);
    }

    /// Names options that belong to something else; the error for one of them says to what.
    pub fn misplaced(&mut self, names: &'static [&'static str], owner: &'static str) {
        self.misplaced = (names, owner);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for an option that was neither read nor allowed.
    pub fn finish(self) -> Result<()> {
        match self.map.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let (names, owner) = self.misplaced;
                let problem = match names.contains(&key.as_str()) {
                    true => format!("unknown option; it belongs to {owner}"),
                    false => format!("unknown option{}", did_you_mean(key, &self.known)),
                };
                let name = self.full_name(truncate(key, 60));
                // Names with a dollar sign are internal: only our JavaScript side sends them.
                let known: Vec<&str> =
                    self.known.iter().copied().filter(|name| !name.starts_with('$')).collect();
                let message = format!("{name}: {problem}; accepted: {}", known.join(", "));
                Err(Error::new(Kind::InvalidArgument, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(value: Value, read: impl Fn(&mut Reader) -> Result<()>) -> String {
        let mut reader = Reader::new("", &value).unwrap();
        read(&mut reader).unwrap_err().message.clone()
    }

    #[test]
    fn an_error_has_the_name_of_the_option_its_value_and_what_is_accepted() {
        let integer = |r: &mut Reader| r.integer("maxRetries", 0, 9).map(|_| ());
        assert_eq!(
            message(json!({"maxRetries": -1}), integer),
            "maxRetries: got -1; accepted: a whole number from 0 to 9"
        );
        assert!(message(json!({"maxRetries": "3"}), integer).contains("got '3' (a string)"));
        assert!(message(json!({"maxRetries": {"$unencodable": "NaN"}}), integer).contains("got NaN"));
        assert!(message(json!({"maxRetries": 1.5}), integer).contains("got 1.5"));
    }

    #[test]
    fn an_unknown_option_is_rejected_with_its_full_name() {
        let value = json!({"a": 1, "b": 2});
        let mut reader = Reader::new("retry", &value).unwrap();
        reader.integer("a", 0, 2).unwrap();
        assert_eq!(reader.finish().unwrap_err().message, "retry.b: unknown option; accepted: a");
    }
}
