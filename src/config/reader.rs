//! Reads options out of JSON: each by its name, with its bounds, and refuses what nobody asked for.
//!
//! JSON knows no `NaN`, functions or big integers. The JavaScript side sends what it cannot encode as
//! `{"$given": "NaN"}`, so that the error can say what was given.

use std::time::Duration;

use serde_json::{Map, Value};

use super::suggest::did_you_mean;
use crate::error::{Error, Kind, Result, truncate};

/// The longest time that an option may name: seven days.
pub const MAX_MS: f64 = 604_800_000.0;

pub struct Reader<'a> {
    path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'a str>,
    /// Options that belong elsewhere, and where.
    elsewhere: (&'static [&'static str], &'static str),
}

/// A value as a person would write it, short.
pub fn show(value: &Value) -> String {
    match value {
        Value::Object(map) => match map.get("$given").and_then(Value::as_str) {
            Some(given) => given.to_owned(),
            None => "an object".to_owned(),
        },
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => format!("'{}' (a string)", truncate(text, 60)),
        other => other.to_string(),
    }
}

impl<'a> Reader<'a> {
    /// A reader of the options in `value`; `path` is how errors name it, empty at the top.
    pub fn new(path: &str, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(map) if !map.contains_key("$given") => {
                Ok(Reader { path: path.to_owned(), map, known: Vec::new(), elsewhere: (&[], "") })
            }
            other => {
                let name = if path.is_empty() { "options" } else { path };
                Err(Error::invalid(name, show(other), "an object"))
            }
        }
    }

    /// The full name of an option.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The raw value; `null` counts as not given.
    pub fn raw(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub fn bad<T>(&self, key: &str, given: &Value, accepted: &str) -> Result<T> {
        let mut error = Error::invalid(&self.name(key), show(given), accepted);
        if given.is_number()
            || given.get("$given").is_some_and(|g| g == "NaN" || g == "Infinity" || g == "-Infinity")
        {
            error.kind = Kind::OutOfRange;
        }
        Err(error)
    }

    fn number(
        &mut self,
        key: &'static str,
        accepted: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>> {
        match self.raw(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if fits(number) => Ok(Some(number)),
                _ => self.bad(key, value, accepted),
            },
        }
    }

    /// A whole number within bounds.
    pub fn whole(&mut self, key: &'static str, min: u64, max: u64) -> Result<Option<u64>> {
        let accepted = format!("a whole number from {min} to {max}");
        let fits = |n: f64| n.fract() == 0.0 && n >= min as f64 && n <= max as f64;
        Ok(self.number(key, &accepted, fits)?.map(|n| n as u64))
    }

    /// Any number within bounds.
    pub fn real(&mut self, key: &'static str, min: f64, max: f64) -> Result<Option<f64>> {
        self.number(key, &format!("a number from {min} to {max}"), |n| n >= min && n <= max)
    }

    /// Whole milliseconds.
    pub fn millis(&mut self, key: &'static str, min: u64) -> Result<Option<Duration>> {
        let accepted = format!("whole milliseconds from {min} to {MAX_MS}");
        let fits = |n: f64| n.fract() == 0.0 && n >= min as f64 && n <= MAX_MS;
        Ok(self.number(key, &accepted, fits)?.map(|n| Duration::from_millis(n as u64)))
    }

    pub fn text(&mut self, key: &'static str, accepted: &str) -> Result<Option<&'a str>> {
        match self.raw(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => self.bad(key, other, accepted),
        }
    }

    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>> {
        match self.raw(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => self.bad(key, other, "true or false"),
        }
    }

    /// One of a set of words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.raw(key) else { return Ok(None) };
        if let Some((_, found)) = value.as_str().and_then(|word| words.iter().find(|(have, _)| *have == word))
        {
            return Ok(Some(*found));
        }
        let accepted: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        self.bad(key, value, &accepted.join(", "))
    }

    pub fn texts(&mut self, key: &'static str, accepted: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.raw(key) else { return Ok(None) };
        let read = |item: &Value| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match value.as_array().and_then(|items| items.iter().map(read).collect()) {
            Some(texts) => Ok(Some(texts)),
            None => self.bad(key, value, accepted),
        }
    }

    /// Options that are handled in JavaScript: accepted, and never here.
    pub fn also(&mut self, names: &[&'a str]) {
        self.known.extend_from_slice(names);
    }

    /// Options that are not for here, and whose they are: said when one of them is met.
    pub fn elsewhere(&mut self, names: &'static [&'static str], whose: &'static str) {
        self.elsewhere = (names, whose);
    }

    /// Refuses any option that was not asked for by now.
    pub fn finish(self) -> Result<()> {
        match self.map.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let (names, whose) = self.elsewhere;
                let what = match names.contains(&key.as_str()) {
                    true => format!("unknown option here, it is one of {whose}"),
                    false => format!("unknown option{}", did_you_mean(key, &self.known)),
                };
                let name = self.name(truncate(key, 60));
                // Names with a dollar are between our two languages.
                let known: Vec<&str> =
                    self.known.iter().copied().filter(|name| !name.starts_with('$')).collect();
                let message = format!("{name}: {what}; accepted: {}", known.join(", "));
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
    fn an_error_names_the_option_what_it_got_and_what_it_takes() {
        let whole = |r: &mut Reader| r.whole("maxRetries", 0, 9).map(|_| ());
        assert_eq!(
            message(json!({"maxRetries": -1}), whole),
            "maxRetries: got -1; accepted: a whole number from 0 to 9"
        );
        assert!(message(json!({"maxRetries": "3"}), whole).contains("got '3' (a string)"));
        assert!(message(json!({"maxRetries": {"$given": "NaN"}}), whole).contains("got NaN"));
        assert!(message(json!({"maxRetries": 1.5}), whole).contains("got 1.5"));
    }

    #[test]
    fn an_unknown_option_is_refused_by_its_full_name() {
        let value = json!({"a": 1, "b": 2});
        let mut reader = Reader::new("retry", &value).unwrap();
        reader.whole("a", 0, 2).unwrap();
        assert_eq!(reader.finish().unwrap_err().message, "retry.b: unknown option; accepted: a");
    }
}
