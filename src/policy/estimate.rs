//! Estimates of how many tokens a text has, before the provider counts them.
//!
//! There is no tokenizer here: its vocabulary would be larger than this package. One pass over the text
//! yields two numbers by script: an *estimate* for rate limiters, and an *upper bound* for cost
//! reservations. `docs/cost.md` describes the rule and compares it with real tokenizers.
//!
//! | script | upper bound | estimate |
//! |---|---|---|
//! | lower-case ASCII letters | 1 token per 2, rounded up at the end of each run | 1 per 4 |
//! | upper-case ASCII letters | 2 tokens per 3, rounded up in the same way | 1 per 4 |
//! | digits, punctuation, line breaks | 1 each | 1 per 4 |
//! | spaces | 0 for the first of a run, then 1 token per 4 | 1 per 4 |
//! | two-byte accented Latin letters, Cyrillic | 1 each | 1 each, Cyrillic 1 per 2 |
//! | combining marks (NFD) | 2 each | 1 each |
//! | three-byte Vietnamese letters (U+1E00–1EFF) | 2 each | 1 each |
//! | Chinese, Japanese, Korean | 2 each | 1 each |
//! | everything else, emoji included | its bytes in UTF-8 | 1 per 2; four-byte characters 1 each |
//!
//! A byte-level tokenizer never makes more tokens than there are bytes, so no bound exceeds that.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A message besides its text: its role and the separator to the next message (OpenAI: 3 tokens, 4 with a
/// name).
const MESSAGE: FixedCount = FixedCount { estimate: 4, upper_bound: 8 };
/// A tool definition besides its text.
const TOOL: FixedCount = FixedCount { estimate: 8, upper_bound: 16 };
/// An image. OpenAI: 85 to 1445 tokens in tiles, up to 3779 in patches (gpt-4.1-nano). Anthropic: about
/// 1600 at most.
const IMAGE: FixedCount = FixedCount { estimate: 1000, upper_bound: 4000 };
/// Bytes of base64 per token of audio. Gemini has 32 tokens a second, which is one per 165 bytes at
/// 32 kbit/s.
const AUDIO_BYTES: u64 = 100;
/// How many models a client keeps statistics for.
const MAX_MODELS: usize = 256;

/// The tokens of something that is not text.
#[derive(Clone, Copy)]
struct FixedCount {
    estimate: u64,
    upper_bound: u64,
}

/// The number of tokens of some texts: an estimate and an upper bound. Adding a text takes one pass and no
/// allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCount {
    /// The estimate for the text, in quarters of tokens.
    quarters: u64,
    /// The upper bound for the text.
    bound: u64,
    bytes: u64,
    /// Everything that is not text: messages, tools, images.
    fixed_estimate: u64,
    fixed_bound: u64,
}

impl TokenCount {
    /// Adds a text.
    pub fn add_text(&mut self, text: &str) {
        self.bytes += text.len() as u64;
        let (mut run, mut length) = (Run::None, 0);
        for c in text.chars() {
            let next = if c.is_ascii() { Run::of(c as u8) } else { Run::None };
            if next != run {
                self.bound += run.upper_bound(length);
                (run, length) = (next, 0);
            }
            if next != Run::None {
                length += 1;
                self.quarters += 1;
            } else if c.is_ascii() {
                self.bound += 1;
                self.quarters += 1;
            } else {
                let (bound, quarters) = non_ascii(c);
                self.bound += bound;
                self.quarters += quarters;
            }
        }
        self.bound += run.upper_bound(length);
    }

    fn add_fixed(&mut self, fixed: FixedCount) {
        self.fixed_estimate += fixed.estimate;
        self.fixed_bound += fixed.upper_bound;
    }

    /// Replaces the count of the text by `tokens`, and keeps that of everything else.
    #[must_use]
    pub fn with_text_tokens(&self, tokens: u64) -> TokenCount {
        TokenCount { quarters: tokens.saturating_mul(4), bound: tokens, bytes: tokens, ..*self }
    }

    /// Adds what `longer` has more than `shorter`.
    #[must_use]
    pub fn with_growth(&self, shorter: &TokenCount, longer: &TokenCount) -> TokenCount {
        let grow = |field: fn(&TokenCount) -> u64| field(self) + field(longer).saturating_sub(field(shorter));
        TokenCount {
            quarters: grow(|count| count.quarters),
            bound: grow(|count| count.bound),
            bytes: grow(|count| count.bytes),
            fixed_estimate: grow(|count| count.fixed_estimate),
            fixed_bound: grow(|count| count.fixed_bound),
        }
    }

    /// The estimated number of tokens.
    pub fn estimate(&self) -> u64 {
        self.quarters.div_ceil(4) + self.fixed_estimate
    }

    /// The whole tokens of the estimate: a part of one is not counted.
    pub fn whole_tokens(&self) -> u64 {
        self.fixed_estimate.saturating_add(self.quarters / 4)
    }

    /// The upper bound of the number of tokens.
    pub fn upper_bound(&self) -> u64 {
        self.bound + self.fixed_bound
    }

    /// The number that no byte-level tokenizer exceeds.
    fn byte_bound(&self) -> u64 {
        self.bytes.max(self.bound) + self.fixed_bound
    }
}

/// A run of characters that are counted together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Lower,
    Upper,
    Space,
    None,
}

impl Run {
    fn of(byte: u8) -> Run {
        match byte {
            b'a'..=b'z' => Run::Lower,
            b'A'..=b'Z' => Run::Upper,
            b' ' => Run::Space,
            _ => Run::None,
        }
    }

    fn upper_bound(self, length: u64) -> u64 {
        match self {
            Run::Lower => length.div_ceil(2),
            Run::Upper => (length * 2).div_ceil(3),
            Run::Space => length.saturating_sub(1).div_ceil(4),
            Run::None => 0,
        }
    }
}

/// The upper bound in tokens and the estimate in quarters of tokens of a character outside ASCII.
fn non_ascii(c: char) -> (u64, u64) {
    match u32::from(c) {
        0x80..=0x24F => (1, 4),
        // Combining marks: Vietnamese in NFD.
        0x300..=0x36F => (2, 4),
        0x400..=0x52F => (1, 2),
        0..=0x7FF => (2, 2),
        0x1E00..=0x1EFF => (2, 4),
        // Kana, ideographs, Hangul.
        0x3040..=0x9FFF | 0xAC00..=0xD7AF => (2, 4),
        0x800..=0xFFFF => (3, 2),
        _ => (4, 4),
    }
}

/// The tokens of a prompt: its messages, and the other fields that the model reads (tools, a schema), each as
/// JSON. Invalid JSON counts as text.
pub fn prompt_tokens<'a>(messages: &str, other_fields: impl Iterator<Item = &'a str>) -> TokenCount {
    let mut count = TokenCount::default();
    count_json(messages, Position::Messages, &mut count);
    for json in other_fields {
        count_json(json, Position::Tools, &mut count);
    }
    count
}

fn count_json(json: &str, position: Position, count: &mut TokenCount) {
    let before = *count;
    let mut reader = serde_json::Deserializer::from_str(json);
    if (PromptVisitor { count, position }).deserialize(&mut reader).is_err() {
        *count = before;
        count.add_text(json);
    }
}

/// The position of a value in a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Messages,
    Message,
    /// Inside a message: field names belong to the protocol, not to the prompt.
    Content,
    Tools,
    /// Inside a tool: field names are part of the schema that the model reads.
    Tool,
    Audio,
}

/// Counts a JSON value without building it.
struct PromptVisitor<'a> {
    count: &'a mut TokenCount,
    position: Position,
}

impl<'de> DeserializeSeed<'de> for PromptVisitor<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PromptVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.position == Position::Audio {
            let tokens = (text.len() as u64).div_ceil(AUDIO_BYTES);
            self.count.add_fixed(FixedCount { estimate: tokens / 4, upper_bound: tokens });
        } else {
            self.count.add_text(text);
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.count.add_text("true");
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.count.add_text(&number.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.count.add_text(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.count.add_text(&number.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let position = match self.position {
            Position::Messages => Position::Message,
            Position::Tools => Position::Tool,
            other => other,
        };
        let are_tools = self.position == Position::Tools;
        while items.next_element_seed(PromptVisitor { count: &mut *self.count, position })?.is_some() {
            if are_tools {
                self.count.add_fixed(TOOL);
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let in_schema = matches!(self.position, Position::Tools | Position::Tool);
        if self.position == Position::Message {
            self.count.add_fixed(MESSAGE);
        }
        while let Some(name) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            let position = match &*name {
                _ if in_schema => {
                    self.count.add_text(&name);
                    // The quotes, colon and comma.
                    self.count.add_text("\":,");
                    Position::Tool
                }
                "role" | "type" | "cache_control" => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
                "image_url" | "image" => {
                    self.count.add_fixed(IMAGE);
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ if self.position == Position::Audio => Position::Audio,
                "input_audio" | "audio" => Position::Audio,
                _ => Position::Content,
            };
            fields.next_value_seed(PromptVisitor { count: &mut *self.count, position })?;
        }
        Ok(())
    }
}

/// The weight of a new observation in the running average of a ratio.
const SMOOTHING: f64 = 1.0 / 8.0;
/// The share by which a maximum decays toward each lower observation.
const DECAY: f64 = 1.0 / 32.0;

/// The ratio of actual to estimated prompt tokens, by model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TokenRatios(BTreeMap<String, Ratio>);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ratio {
    estimate: f64,
    upper_bound: f64,
}

impl TokenRatios {
    /// Records that a prompt with this count had `actual` tokens.
    ///
    /// The estimate follows in both directions. The bound never falls below the rule: it jumps up to an
    /// observation and decays slowly, because a cap must hold for every call and not on average.
    pub fn observe(&mut self, model: &str, counted: &TokenCount, actual: u64) {
        if counted.upper_bound() == 0 || (self.0.len() >= MAX_MODELS && !self.0.contains_key(model)) {
            return;
        }
        let estimate = (actual as f64 / counted.estimate().max(1) as f64).clamp(0.25, 4.0);
        let upper_bound = (actual as f64 / counted.upper_bound() as f64).clamp(1.0, 4.0);
        let ratio = self.0.entry(model.to_owned()).or_insert(Ratio { estimate, upper_bound });
        ratio.estimate += (estimate - ratio.estimate) * SMOOTHING;
        ratio.upper_bound = upper_bound.max(ratio.upper_bound + (upper_bound - ratio.upper_bound) * DECAY);
    }

    /// The estimated number of tokens for this model.
    pub fn estimate(&self, model: &str, count: &TokenCount) -> f64 {
        count.estimate() as f64 * self.0.get(model).map_or(1.0, |ratio| ratio.estimate)
    }

    /// The upper bound for this model: at least the bound of the rule, at most the number of bytes.
    pub fn upper_bound(&self, model: &str, count: &TokenCount) -> u64 {
        let ratio = self.0.get(model).map_or(1.0, |ratio| ratio.upper_bound);
        ((count.upper_bound() as f64 * ratio).ceil() as u64).min(count.byte_bound())
    }
}

/// The recent length of answers without `max_tokens`, in tokens, by model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AnswerLengths(BTreeMap<String, f64>);

impl AnswerLengths {
    /// Records the length of a complete answer. The estimate jumps up to a longer answer and decays slowly.
    pub fn observe(&mut self, model: &str, tokens: u64) {
        let tokens = tokens as f64;
        if let Some(length) = self.0.get_mut(model) {
            *length = tokens.max(*length + (tokens - *length) * DECAY);
        } else if self.0.len() < MAX_MODELS {
            self.0.insert(model.to_owned(), tokens);
        }
    }

    /// The estimated length of an answer of this model; `None` before the first one.
    pub fn estimate(&self, model: &str) -> Option<f64> {
        self.0.get(model).copied()
    }
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
