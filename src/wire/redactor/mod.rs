//! Removes the values that a client has sent as secrets from what it shows: a provider may quote them, in any form.

mod decode;
mod excerpts;
mod forms;
mod grams;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use self::decode::Decoded;
use self::excerpts::Excerpts;
use self::forms::MIN_ANYWHERE;
use self::grams::Grams;

/// What replaces a secret.
pub const MASK: &str = "…";

/// Shorter values are not secrets: removing them would garble the text. In bytes.
const MIN_LENGTH: usize = 4;

/// Words of fewer than eight characters that are used as a key where none is needed, or that texts about errors consist
/// of. In lower case.
const COMMON_WORDS: &[&str] = &[
    "admin", "basic", "bearer", "chat", "default", "dummy", "empty", "error", "false", "guest", "http",
    "https", "json", "local", "model", "none", "null", "ollama", "proxy", "root", "stream", "test", "text",
    "token", "true", "user",
];

/// Removes a set of secrets from texts. A secret of eight characters or more is removed wherever it stands: in any case,
/// escaped for JSON, a URL or HTML however often, in base64, and in hexadecimal digits. So is what is quoted of it: twelve
/// characters in a row, eight with a digit and a letter, a beginning at the end of a text that was cut off, and its
/// beginning and end around dots, asterisks or an ellipsis. One of four to seven characters is removed only where it is a
/// whole word, and not if it has no letter or is one of a few common words. A shorter one stays.
///
/// Takes linear time, whatever the number of secrets.
#[derive(Default)]
pub struct Redactor {
    grams: Grams,
    excerpts: Excerpts,
}

impl Redactor {
    /// For the values of headers and options, and for URLs of which user and password are secret.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut redactor = Redactor::default();
        for part in values.into_iter().flat_map(forms::parts) {
            redactor.add(&part);
        }
        redactor
    }

    fn add(&mut self, secret: &str) {
        let bytes = Decoded::of(secret.trim()).bytes;
        let is_word = bytes.iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
            && !COMMON_WORDS.iter().any(|word| word.as_bytes() == bytes);
        if bytes.len() < MIN_LENGTH || bytes.len() < MIN_ANYWHERE && !is_word {
            return;
        }
        self.grams.add(&bytes);
        if bytes.len() < MIN_ANYWHERE {
            return;
        }
        for encoded in forms::encodings(secret.trim()) {
            let bytes = Decoded::of(&encoded).bytes;
            self.grams.add_encoded(&bytes);
            self.excerpts.add_encoding(bytes);
        }
        self.excerpts.add(bytes);
    }

    /// The text without the secrets. Borrows it if there are none in it.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.grams.is_empty() || text.len() < MIN_LENGTH {
            return Cow::Borrowed(text);
        }
        let decoded = Decoded::of(text);
        let mut found = self.grams.find(&decoded.bytes);
        self.excerpts.find(&decoded.bytes, &mut found);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|range| range.start);
        let mut redacted = String::with_capacity(text.len());
        let mut copied = 0;
        for range in joined(found) {
            let place = decoded.place(&range);
            // Two bytes of one character have the same place.
            if place.end > copied {
                redacted.push_str(&text[copied..place.start.max(copied)]);
                redacted.push_str(MASK);
                copied = place.end;
            }
        }
        redacted.push_str(&text[copied..]);
        Cow::Owned(redacted)
    }
}

/// Joins ranges that overlap or touch. They are in order of their starts.
fn joined(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}
