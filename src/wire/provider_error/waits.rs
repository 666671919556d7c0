//! The wait that the body of an error asks for: Google's `RetryInfo`, fields such as `retry_after`, the headers that
//! OpenRouter quotes, and "try again in 20s".

use std::time::Duration;

use serde_json::{Map, Value};

use super::prefix;
use crate::error::{BODY_LIMIT, truncate};
use crate::wire::duration::{self, leading, milliseconds, number};
use crate::wire::retry_after::{self, MAX_HINT};
use crate::wire::{limits, timestamp};

/// How many values of the JSON are looked at, and how deep.
const MAX_VALUES: usize = 512;
const MAX_DEPTH: usize = 8;
/// How many headers that a gateway quotes are looked at.
const MAX_HEADERS: usize = 128;
/// How much of the text after the words before a wait is read, in bytes.
const MAX_WAIT_LENGTH: usize = 128;

/// The words before a wait.
const BEFORE: &[&str] = &[
    "try again in",
    "retry in",
    "retry after",
    "again after",
    "retrying in",
    "available in",
    "wait",
    "reset in",
    "resets in",
    "reset after",
    "reset at",
    "resets at",
];

/// Words between those and the wait.
const FILLERS: &[&str] = &["for", "about", "approximately", "around", "at least", "another", ":", "=", "~"];

/// The fields whose text is searched.
const TEXTS: &[&str] = &["message", "msg", "error", "detail", "errormsg", "errormessage", "raw", "statusmsg"];

/// The longest wait that an error's JSON asks for: no attempt may come too early. `None` without one, for negative and
/// unreadable ones, and for one of more than [`MAX_HINT`]. Times are read only if it is known what time it is.
pub(super) fn in_json(value: &Value, now_epoch_ms: Option<u64>) -> Option<Duration> {
    let mut search = Search { now: now_epoch_ms, longest: None, left: MAX_VALUES };
    search.visit(value, 0);
    search.longest
}

/// The longest wait that an error's text asks for.
pub(super) fn in_text(text: &str, now_epoch_ms: Option<u64>) -> Option<Duration> {
    let text = truncate(text, BODY_LIMIT).to_ascii_lowercase();
    let after = |words: &&str| {
        let waits = text.match_indices(words).filter_map(|(at, words)| {
            let rest = text[at + words.len()..].trim_start();
            after_words(truncate(rest, MAX_WAIT_LENGTH), now_epoch_ms)
        });
        waits.filter(is_sane).max()
    };
    let before = text.match_indices("后").filter_map(|(at, _)| chinese(&text[..at]));
    BEFORE.iter().filter_map(after).chain(before.filter(is_sane)).max()
}

fn is_sane(wait: &Duration) -> bool {
    !wait.is_zero() && *wait <= MAX_HINT
}

/// The wait at the beginning of a text; a bare number is in seconds.
fn after_words(text: &str, now: Option<u64>) -> Option<Duration> {
    let mut rest = text;
    while let Some(after) = FILLERS.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = after.trim_start();
    }
    if let Some((wait, _)) = leading(rest) {
        return Some(wait);
    }
    let word = rest.split_whitespace().next()?.trim_end_matches(['.', ',', ';', ')', '"']);
    match number(word) {
        Some(seconds) if seconds < 1e9 => Some(milliseconds(seconds * 1e3)),
        _ => timestamp::until(&word.to_ascii_uppercase(), now?),
    }
}

/// The wait at the end of a text: "请在 20 秒后重试".
fn chinese(text: &str) -> Option<Duration> {
    let start = text.trim_end_matches(|c: char| "毫秒分钟小时天".contains(c)).trim_end();
    let digits = start.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    duration::parse(&text[digits..]).filter(|_| digits < start.len() && start.len() < text.len())
}

struct Search {
    now: Option<u64>,
    longest: Option<Duration>,
    left: usize,
}

impl Search {
    fn visit(&mut self, value: &Value, depth: usize) {
        if depth > MAX_DEPTH || self.left == 0 {
            return;
        }
        self.left -= 1;
        match value {
            Value::Array(list) => list.iter().for_each(|value| self.visit(value, depth + 1)),
            Value::Object(object) => {
                for (name, value) in object.iter().take(self.left) {
                    self.field(name, value, depth);
                }
            }
            // The text of an error that is not an object.
            Value::String(text) if depth == 0 => self.found(in_text(text, self.now)),
            _ => {}
        }
    }

    fn field(&mut self, name: &str, value: &Value, depth: usize) {
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        let name: String = truncate(name, BODY_LIMIT)
            .chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let text = match value {
            Value::String(text) => Some(truncate(text, BODY_LIMIT).to_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        match (name.as_str(), value, text) {
            ("headers", Value::Object(headers), _) => self.headers(headers),
            ("retrydelay", Value::Object(delay), _) => self.found(protobuf_duration(delay)),
            (
                "retryafter" | "retryafterseconds" | "retryaftersecs" | "retryaftersec" | "retrydelay"
                | "retryin" | "resetsinseconds" | "resetinseconds" | "resetafter" | "waitseconds"
                | "estimatedtime",
                _,
                Some(text),
            ) => self.found(retry_after::read(&text, self.now.unwrap_or(0))),
            (
                "retryafterms" | "retryaftermillis" | "retryaftermilliseconds" | "retrydelayms",
                _,
                Some(text),
            ) => {
                self.found(number(&text).map(milliseconds));
            }
            ("resetat" | "resetsat" | "retryat", _, Some(text)) => {
                self.found(self.now.and_then(|now| timestamp::until(&text, now)));
            }
            (name, _, Some(text)) if TEXTS.contains(&name) => {
                // JSON in a text.
                let json = text.trim_start().starts_with(['{', '[']).then(|| prefix::parse(&text)).flatten();
                match json {
                    Some(json) => self.visit(&json, depth + 1),
                    None => self.found(in_text(&text, self.now)),
                }
            }
            (_, Value::Array(_) | Value::Object(_), _) => self.visit(value, depth + 1),
            _ => {}
        }
    }

    /// Headers that a gateway quotes.
    fn headers(&mut self, headers: &Map<String, Value>) {
        let header = |wanted: &str| {
            let mut headers = headers.iter().take(MAX_HEADERS);
            let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }
        };
        let now = self.now.unwrap_or(0);
        self.found(retry_after::parse(&header, now));
        if self.now.is_some() {
            self.found(limits::reset_wait(&header, now));
        }
    }

    fn found(&mut self, wait: Option<Duration>) {
        self.longest = self.longest.max(wait.filter(is_sane));
    }
}

/// `{"seconds":34,"nanos":70000000}`.
fn protobuf_duration(delay: &Map<String, Value>) -> Option<Duration> {
    let part = |name: &str| match delay.get(name)? {
        Value::String(text) => number(text),
        value => value.as_f64().filter(|number| *number >= 0.0),
    };
    Some(milliseconds(part("seconds").unwrap_or(0.0) * 1e3 + part("nanos").unwrap_or(0.0) / 1e6))
}
