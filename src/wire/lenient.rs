//! Values of a provider's JSON, in every form that providers are known to send.

use std::borrow::Cow;

use super::json::{self, entries, field, fields};
use super::text::Text;

/// How deep text may be nested in parts.
const MAX_DEPTH: u32 = 4;

/// A string, or the JSON of anything else.
pub fn string_or_json(json: &str) -> Option<Text<'_>> {
    json::string(json).or_else(|| (json != "null").then(|| Text::new(Cow::Borrowed(json))))
}

/// The text of a string, a number, a boolean, a part or a list of parts.
pub fn text(json: &str) -> Option<Text<'_>> {
    nested_text(json, MAX_DEPTH)
}

fn nested_text(json: &str, depth: u32) -> Option<Text<'_>> {
    let below = depth.checked_sub(1)?;
    match json.as_bytes().first()? {
        b'"' => json::string(json),
        b't' | b'f' => Some(Text::new(Cow::Borrowed(json))),
        b'[' => Some(joined(&entries(json)?, below)),
        b'{' => {
            let all = fields(json)?;
            if let Some(parts) = json::list(json).filter(|parts| !parts.is_empty()) {
                return Some(joined(&parts, below));
            }
            let kind = field(&all, "type").and_then(json::string);
            // Parts of other kinds are not text: thinking, references, images.
            if kind.is_some_and(|kind| !kind.text.is_empty() && !kind.text.ends_with("text")) {
                return Some(Text::default());
            }
            let known =
                ["text", "content", "value"].iter().find(|name| all.iter().any(|(key, _)| key == *name))?;
            field(&all, known).map_or_else(|| Some(Text::default()), |json| nested_text(json, below))
        }
        _ => json::number(json).map(|number| Text::new(number.into())),
    }
}

/// The text of a list of parts.
fn joined<'a>(parts: &[&'a str], depth: u32) -> Text<'a> {
    parts.iter().filter_map(|part| nested_text(part, depth)).fold(Text::default(), join)
}

/// Joins two texts, and the halves of a surrogate pair between them.
fn join<'a>(first: Text<'a>, second: Text<'a>) -> Text<'a> {
    if first.is_empty() {
        return second;
    }
    if second.is_empty() {
        return first;
    }
    let mut halves = first.halves;
    let mut text = first.text.into_owned();
    text.push_str(&Text::joint(halves.high.take(), second.halves.low));
    text.push_str(&second.text);
    halves.high = second.halves.high;
    Text { text: text.into(), halves }
}

/// A number, or a string that holds one.
pub fn number(json: &str) -> Option<f64> {
    let text = json::string(json).map_or(Cow::Borrowed(json), |text| text.text);
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}
