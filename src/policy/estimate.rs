//! How many tokens a text comes to, before anybody has counted them.
//!
//! There is no tokenizer here: its vocabulary would weigh more than this package. One pass over the
//! text gives two numbers by script: what it is *likely* to be, for a limiter, and what it is *at most*,
//! for a reservation of money. `docs/cost.md` has the rule and how it compares with real tokenizers.
//!
//! | script | at most | likely |
//! |---|---|---|
//! | lower-case ASCII letters | a token for 2, rounded up at the end of each run | for 4 |
//! | capital ASCII letters | 2 tokens for 3, rounded up likewise | for 4 |
//! | digits, signs, line breaks | 1 each | for 4 |
//! | spaces | the first of a run 0, then a token for 4 | for 4 |
//! | accented Latin letters of two bytes, Cyrillic | 1 each | 1 each, Cyrillic for 2 |
//! | combining marks (NFD) | 2 each | 1 each |
//! | Vietnamese letters of three bytes (U+1E00–1EFF) | 2 each | 1 each |
//! | Chinese, Japanese, Korean | 2 each | 1 each |
//! | everything else, emoji too | its bytes in UTF-8 | for 2; four-byte characters 1 each |
//!
//! No byte-level tokenizer makes more tokens than there are bytes: no bound is ever more than that.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// What a message costs beside its text: its role and what divides it from the next (OpenAI: 3, with
/// a name 4).
const MESSAGE: Fixed = Fixed { likely: 4, most: 8 };
/// A definition of a tool, beside its text.
const TOOL: Fixed = Fixed { likely: 8, most: 16 };
/// An image. OpenAI: 85 to 1445 tokens in tiles, up to 3779 in patches (gpt-4.1-nano); Anthropic: about
/// 1600 at most.
const IMAGE: Fixed = Fixed { likely: 1000, most: 4000 };
/// Bytes of base64 that make a token of audio. Gemini has 32 tokens a second, which at 32 kbit/s is a
/// token for 165 of them.
const AUDIO_BYTES: u64 = 100;
/// How many models a client learns the ratio of.
const MAX_MODELS: usize = 256;

#[derive(Clone, Copy)]
struct Fixed {
    likely: u64,
    most: u64,
}

/// What texts come to. Adding to it is cheap: one pass, no allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCount {
    /// Quarters of tokens.
    quarters: u64,
    most: u64,
    bytes: u64,
    /// What is no text: messages, tools, images.
    fixed_likely: u64,
    fixed_most: u64,
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

    fn tokens(self, length: u64) -> u64 {
        match self {
            Run::Lower => length.div_ceil(2),
            Run::Upper => (length * 2).div_ceil(3),
            Run::Space => length.saturating_sub(1).div_ceil(4),
            Run::None => 0,
        }
    }
}

/// A character outside of ASCII: tokens at most, and quarters of tokens that are likely.
fn other(c: char) -> (u64, u64) {
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

impl TokenCount {
    /// Adds a text.
    pub fn add_text(&mut self, text: &str) {
        self.bytes += text.len() as u64;
        let (mut run, mut length) = (Run::None, 0);
        for c in text.chars() {
            let next = if c.is_ascii() { Run::of(c as u8) } else { Run::None };
            if next != run {
                self.most += run.tokens(length);
                (run, length) = (next, 0);
            }
            if next != Run::None {
                length += 1;
                self.quarters += 1;
            } else if c.is_ascii() {
                self.most += 1;
                self.quarters += 1;
            } else {
                let (most, quarters) = other(c);
                self.most += most;
                self.quarters += quarters;
            }
        }
        self.most += run.tokens(length);
    }

    fn fixed(&mut self, fixed: Fixed) {
        self.fixed_likely += fixed.likely;
        self.fixed_most += fixed.most;
    }

    /// The text that the tokens of `count` are: what is no text stays as it was reckoned.
    #[must_use]
    pub fn with_text_tokens(&self, count: u64) -> TokenCount {
        TokenCount { quarters: count.saturating_mul(4), most: count, bytes: count, ..*self }
    }

    /// This one, and what `longer` has more than `shorter`.
    #[must_use]
    pub fn with_growth(&self, shorter: &TokenCount, longer: &TokenCount) -> TokenCount {
        let more = |own: u64, of: fn(&TokenCount) -> u64| own + of(longer).saturating_sub(of(shorter));
        TokenCount {
            quarters: more(self.quarters, |tally| tally.quarters),
            most: more(self.most, |tally| tally.most),
            bytes: more(self.bytes, |tally| tally.bytes),
            fixed_likely: more(self.fixed_likely, |tally| tally.fixed_likely),
            fixed_most: more(self.fixed_most, |tally| tally.fixed_most),
        }
    }

    /// The tokens that are likely.
    pub fn estimate(&self) -> u64 {
        self.quarters.div_ceil(4) + self.fixed_likely
    }

    /// The tokens that it is at most.
    pub fn upper_bound(&self) -> u64 {
        self.most + self.fixed_most
    }

    /// What no byte-level tokenizer exceeds.
    fn ceiling(&self) -> u64 {
        self.bytes.max(self.most) + self.fixed_most
    }
}

/// What a prompt comes to: the messages, and the other fields that the model reads (tools, a schema),
/// as the caller wrote them in JSON. What is no JSON counts as text.
pub fn prompt_tokens<'a>(messages: &str, others: impl Iterator<Item = &'a str>) -> TokenCount {
    let mut tally = TokenCount::default();
    walk(messages, Place::Messages, &mut tally);
    for json in others {
        walk(json, Place::Tools, &mut tally);
    }
    tally
}

fn walk(json: &str, place: Place, tally: &mut TokenCount) {
    let before = *tally;
    let mut reader = serde_json::Deserializer::from_str(json);
    if (Walk { tally, place }).deserialize(&mut reader).is_err() {
        *tally = before;
        tally.add_text(json);
    }
}

/// Where in a request a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Messages,
    Message,
    /// Inside of a message: the names of fields are the protocol's, not the prompt's.
    Content,
    Tools,
    /// Inside of a tool: the names of fields are part of the schema that the model reads.
    Tool,
    Audio,
}

struct Walk<'a> {
    tally: &'a mut TokenCount,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.place == Place::Audio {
            let tokens = (text.len() as u64).div_ceil(AUDIO_BYTES);
            self.tally.fixed(Fixed { likely: tokens / 4, most: tokens });
        } else {
            self.tally.add_text(text);
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.tally.add_text("true");
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.tally.add_text(&number.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.tally.add_text(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.tally.add_text(&number.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let place = match self.place {
            Place::Messages => Place::Message,
            Place::Tools => Place::Tool,
            other => other,
        };
        let tools = self.place == Place::Tools;
        while items.next_element_seed(Walk { tally: &mut *self.tally, place })?.is_some() {
            if tools {
                self.tally.fixed(TOOL);
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let schema = matches!(self.place, Place::Tools | Place::Tool);
        if self.place == Place::Message {
            self.tally.fixed(MESSAGE);
        }
        while let Some(name) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            let place = match &*name {
                _ if schema => {
                    self.tally.add_text(&name);
                    // The quotes, the colon and the comma.
                    self.tally.add_text("\":,");
                    Place::Tool
                }
                "role" | "type" | "cache_control" => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
                "image_url" | "image" => {
                    self.tally.fixed(IMAGE);
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ if self.place == Place::Audio => Place::Audio,
                "input_audio" | "audio" => Place::Audio,
                _ => Place::Content,
            };
            fields.next_value_seed(Walk { tally: &mut *self.tally, place })?;
        }
        Ok(())
    }
}

/// How the rule has done so far, by model: what the usage said, over what was reckoned.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TokenRatios(BTreeMap<String, Ratio>);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ratio {
    likely: f64,
    most: f64,
}

/// How much of a new observation goes into the running ratio.
const WEIGHT: f64 = 1.0 / 8.0;
/// How much of the way back to the rule a bound goes with each observation that stays below it.
const DECAY: f64 = 1.0 / 32.0;

impl TokenRatios {
    /// A prompt that was reckoned so has come to `actual` tokens.
    ///
    /// The likely number follows in both directions. The bound is only ever raised above the rule: it
    /// jumps to what was seen, and goes back slowly. A cap that held on average would be none.
    pub fn observe(&mut self, model: &str, reckoned: &TokenCount, actual: u64) {
        if reckoned.upper_bound() == 0 || (self.0.len() >= MAX_MODELS && !self.0.contains_key(model)) {
            return;
        }
        let likely = (actual as f64 / reckoned.estimate().max(1) as f64).clamp(0.25, 4.0);
        let most = (actual as f64 / reckoned.upper_bound() as f64).clamp(1.0, 4.0);
        let ratio = self.0.entry(model.to_owned()).or_insert(Ratio { likely, most });
        ratio.likely += (likely - ratio.likely) * WEIGHT;
        ratio.most = most.max(ratio.most + (most - ratio.most) * DECAY);
    }

    /// The tokens that are likely for this model.
    pub fn estimate(&self, model: &str, tally: &TokenCount) -> f64 {
        tally.estimate() as f64 * self.0.get(model).map_or(1.0, |ratio| ratio.likely)
    }

    /// The tokens that it is at most for this model: never fewer than the rule says, and never more
    /// than there are bytes.
    pub fn upper_bound(&self, model: &str, tally: &TokenCount) -> u64 {
        let ratio = self.0.get(model).map_or(1.0, |ratio| ratio.most);
        ((tally.upper_bound() as f64 * ratio).ceil() as u64).min(tally.ceiling())
    }
}

/// How long the answers of each model have been that nobody had limited, in tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AnswerLengths(BTreeMap<String, f64>);

impl AnswerLengths {
    /// A whole answer has come to so many tokens. The length jumps to one that is longer, and goes back
    /// slowly.
    pub fn observe(&mut self, model: &str, tokens: u64) {
        let tokens = tokens as f64;
        if let Some(length) = self.0.get_mut(model) {
            *length = tokens.max(*length + (tokens - *length) * DECAY);
        } else if self.0.len() < MAX_MODELS {
            self.0.insert(model.to_owned(), tokens);
        }
    }

    /// How long an answer of this model may well be, where one was seen.
    pub fn estimate(&self, model: &str) -> Option<f64> {
        self.0.get(model).copied()
    }
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
