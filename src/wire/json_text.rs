//! The parts of JSON: fields, entries, strings and numbers as text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{Halves, Text};

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
}
