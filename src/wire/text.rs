//! Strings of a provider's JSON, read without a copy where possible.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A string that borrows from the event if it contains no escapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text<'a> {
    pub text: Cow<'a, str>,
    pub halves: Halves,
}

/// The halves of surrogate pairs that a string begins and ends with. A provider that splits its text between UTF-16
/// units sends one half at the end of a delta and the other at the beginning of the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Halves {
    /// The low half before the text.
    pub low: Option<u16>,
    /// The high half after the text.
    pub high: Option<u16>,
}

impl<'a> Text<'a> {
    pub fn new(text: Cow<'a, str>) -> Self {
        Text { text, halves: Halves::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.has_halves()
    }

    pub fn has_halves(&self) -> bool {
        self.halves != Halves::default()
    }

    /// What stands where a text ends with this high half and the next one begins with this low half.
    pub fn joint(high: Option<u16>, low: Option<u16>) -> String {
        let units = high.into_iter().chain(low);
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    /// The text with U+FFFD for each half.
    pub fn lossy(&self) -> Cow<'a, str> {
        if !self.has_halves() {
            return self.text.clone();
        }
        let half = |half: Option<u16>| if half.is_some() { "\u{FFFD}" } else { "" };
        format!("{}{}{}", half(self.halves.low), self.text, half(self.halves.high)).into()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Text::new(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(Text::new(Cow::Owned(text.to_owned())))
            }
            // Some providers send numbers where OpenAI sends text (`id`).
            fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Self::Value, E> {
                Ok(Text::new(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> std::result::Result<Self::Value, E> {
                Ok(Text::new(Cow::Owned(number.to_string())))
            }
            fn visit_string<E: de::Error>(self, text: String) -> std::result::Result<Self::Value, E> {
                Ok(Text::new(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}
