//! Finds what is quoted of a secret: its beginning and its end around dots or asterisks, its last characters, its
//! beginning where a text was cut off.

use std::ops::Range;

use memchr::memmem;

use super::grams::{LONGEST, is_mixed};

/// At the end of a text this much of a secret's beginning is removed. Less reveals nothing. In bytes.
const MIN_CUT: usize = 6;

/// The number of bits of the filter for it: 128 bytes.
const CUT_FILTER_BITS: u32 = 10;

/// How much of one end of a secret, and of both together, next to dots or asterisks is removed. In bytes.
const MIN_ONE: usize = 4;
const MIN_BOTH: usize = 5;

/// A word that is an end of a secret is removed from this length on, in bytes; one with a letter and a digit that is half of
/// the secret from the next, and one behind one of [`HINTS`] from the others.
const MIN_WORD: usize = 6;
const MIN_HALF: usize = 4;
const MIN_HINTED_HEAD: usize = 4;
const MIN_HINTED_TAIL: usize = 3;

/// Words that say that an end of a key follows, within this many bytes.
const HINTS: &[&str] = &[
    "last",
    "end",
    "suffix",
    "tail",
    "trailing",
    "first",
    "start",
    "begin",
    "prefix",
    "head",
    "leading",
    "hint",
    "fingerprint",
];
const HINT_REACH: usize = 40;

/// Characters that stand for what is left out, and how many of them do.
const FILLERS: &[(&str, usize)] = &[
    ("*", 1),
    ("…", 1),
    ("•", 1),
    ("●", 1),
    ("█", 1),
    ("∙", 1),
    ("⋯", 1),
    ("▒", 1),
    ("■", 1),
    ("·", 1),
    (".", 2),
    ("#", 2),
    ("~", 2),
    // What another encoding makes of an ellipsis.
    ("?", 1),
    ("\u{FFFD}", 1),
    ("x", 3),
    ("_", 3),
    ("-", 3),
];
/// Words in brackets that stand for what is left out.
const FILLER_WORDS: &[&str] =
    &["redacted", "masked", "hidden", "truncated", "omitted", "snip", "filtered", "secret"];

/// The secrets of which excerpts are searched for, decoded.
#[derive(Default)]
pub(super) struct Excerpts {
    secrets: Vec<Excerpted>,
    /// Their encodings, of which only a beginning at the end of a text is an excerpt.
    encodings: Vec<Vec<u8>>,
    /// Whether a beginning that is an excerpt may end with four bytes of this hash. Rules out nearly every end of a text.
    cut_ends: [u64; 1 << (CUT_FILTER_BITS - 6)],
}

struct Excerpted {
    bytes: Vec<u8>,
    /// It is no phrase, of which each end is an ordinary word.
    looks_random: bool,
}

impl Excerpts {
    pub fn add(&mut self, bytes: Vec<u8>) {
        self.add_cut_ends(&bytes);
        if !self.secrets.iter().any(|secret| secret.bytes == bytes) {
            let mut words = bytes.split(|byte| !byte.is_ascii_alphanumeric());
            let looks_random = is_mixed(&bytes) || words.any(|word| word.len() >= 16);
            self.secrets.push(Excerpted { bytes, looks_random });
        }
    }

    pub fn add_encoding(&mut self, bytes: Vec<u8>) {
        self.add_cut_ends(&bytes);
        self.encodings.push(bytes);
    }

    fn add_cut_ends(&mut self, bytes: &[u8]) {
        for length in MIN_CUT..=longest_excerpt(bytes.len() - 1) {
            let bit = end_hash(&bytes[..length]);
            self.cut_ends[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Adds the ranges of a text that are excerpts.
    pub fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        self.find_around_fillers(text, found);
        self.find_words(text, found);
        self.find_odd_tails(text, found);
        self.find_cut_end(text, found);
    }

    /// `sk-ab…yz`, `sk-ab [redacted] yz`, `****wxyz`.
    fn find_around_fillers(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        while at < text.len() {
            at += text[at..].iter().take_while(|byte| !may_begin_filler(**byte)).count();
            if at == text.len() {
                return;
            }
            // Words are joined by single ones of these.
            if matches!(text[at], b'x' | b'_' | b'-' | b'.') && text.get(at + 1) != Some(&text[at]) {
                at += 1;
                continue;
            }
            let Some(filler) = filler(text, at) else {
                at += 1;
                continue;
            };
            at = filler.end;
            for excerpted in &self.secrets {
                let secret = &excerpted.bytes;
                let before = longest(secret.len(), |length| {
                    text[..filler.start].ends_with(&secret[..length])
                        && !is_word_byte(filler.start.checked_sub(length + 1).and_then(|at| text.get(at)))
                });
                let behind = longest(secret.len(), |length| {
                    text[filler.end..].starts_with(&secret[secret.len() - length..])
                        && !is_word_byte(text.get(filler.end + length))
                });
                let has_both = before.min(behind) > 1 && before + behind >= MIN_BOTH;
                let has_one =
                    |length: usize, is_head| length >= MIN_ONE && excerpted.is_unusual(length, is_head);
                if has_both || has_one(before, true) || has_one(behind, false) {
                    found.push(filler.start - before..filler.end + behind);
                }
            }
        }
    }

    /// Whole words that are an end of a secret.
    fn find_words(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        while at < text.len() {
            let end = at + text[at..].iter().take_while(|byte| is_key_byte(**byte)).count();
            let word = &text[at..end];
            if (MIN_HINTED_TAIL..LONGEST).contains(&word.len())
                && self.secrets.iter().any(|secret| secret.is_end(word, || is_hinted(text, at)))
            {
                found.push(at..end);
            }
            at = end + 1;
        }
    }

    /// Last characters that are no word, behind a hint.
    fn find_odd_tails(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        for Excerpted { bytes: secret, .. } in &self.secrets {
            let tail = &secret[secret.len() - MIN_ONE..];
            if !tail.iter().all(|byte| is_key_byte(*byte)) {
                let places = memmem::find_iter(text, tail).filter(|at| is_hinted(text, *at));
                found.extend(places.map(|at| at..at + tail.len()));
            }
        }
    }

    /// The text may have been cut off, by the provider or by a limit.
    fn find_cut_end(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        // What a quote ends with, or a sentence around it.
        let tail = text.iter().rev().take(8).take_while(|byte| !is_key_byte(**byte)).count();
        let end = text.len() - tail;
        if end < MIN_CUT {
            return;
        }
        let bit = end_hash(&text[..end]);
        if self.cut_ends[bit / 64] & 1 << (bit % 64) == 0 {
            return;
        }
        let secrets = self.secrets.iter().map(|secret| &secret.bytes);
        for secret in secrets.chain(&self.encodings) {
            let is_cut = |length: usize| text[..end].ends_with(&secret[..length]);
            let length = longest(secret.len() - 1, is_cut);
            if length >= MIN_CUT {
                found.push(end - length..end);
            }
        }
    }
}

impl Excerpted {
    /// Whether a word is the beginning or the end of this secret, and no ordinary word.
    fn is_end(&self, word: &[u8], is_hinted: impl Fn() -> bool) -> bool {
        let (bytes, length) = (&self.bytes, word.len());
        let (is_head, is_tail) = (bytes.starts_with(word), bytes.ends_with(word));
        if !is_head && !is_tail {
            return false;
        }
        if length >= MIN_HALF && 2 * length >= bytes.len() && is_mixed(word) {
            return true;
        }
        // The secret may be an ordinary word with a few more characters.
        if length + MIN_ONE > bytes.len() {
            return false;
        }
        let cuts_word = is_head && self.cuts_word(length, true) || is_tail && self.cuts_word(length, false);
        if length >= MIN_WORD && cuts_word && self.looks_random {
            return true;
        }
        (is_tail || length >= MIN_HINTED_HEAD) && (cuts_word || self.looks_random) && is_hinted()
    }

    /// Whether so much of the beginning, or of the end, is no ordinary word.
    fn is_unusual(&self, length: usize, is_head: bool) -> bool {
        self.looks_random || self.cuts_word(length, is_head)
    }

    /// Whether so much of the beginning, or of the end, is no word of the secret itself.
    fn cuts_word(&self, length: usize, is_head: bool) -> bool {
        let next = if is_head { Some(length) } else { self.bytes.len().checked_sub(length + 1) };
        is_word_byte(next.and_then(|at| self.bytes.get(at)))
    }
}

/// The greatest length up to `max` that matches. Parts that are longer than a gram are found without.
fn longest(max: usize, matches: impl Fn(usize) -> bool) -> usize {
    (1..=longest_excerpt(max)).rev().find(|length| matches(*length)).unwrap_or(0)
}

fn longest_excerpt(max: usize) -> usize {
    max.min(2 * LONGEST)
}

/// A hash of the last four bytes, as in `grams.rs`. There must be so many.
fn end_hash(text: &[u8]) -> usize {
    let last = text[text.len() - 4..].iter().fold(0_u32, |last, byte| last << 8 | u32::from(*byte));
    (last.wrapping_mul(0x9E37_79B1) >> (32 - CUT_FILTER_BITS)) as usize
}

fn is_word_byte(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_alphanumeric)
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The filler that begins at `start`, with the spaces and brackets around it.
fn filler(text: &[u8], start: usize) -> Option<Range<usize>> {
    let mut end = start + filler_length(text, start)?;
    while let Some(byte) = text.get(end) {
        end += match filler_length(text, end) {
            Some(length) => length,
            None if b" ])}>".contains(byte) => 1,
            None => break,
        };
    }
    let before = text[..start].iter().rev().take(4).take_while(|byte| b" [({<".contains(byte)).count();
    Some(start - before..end)
}

/// Rules out nearly every position of a text.
fn may_begin_filler(byte: u8) -> bool {
    matches!(
        byte,
        b'*' | b'.'
            | b'#'
            | b'~'
            | b'?'
            | b'x'
            | b'_'
            | b'-'
            | 0xC2
            | 0xE2
            | 0xEF
            | b'['
            | b'('
            | b'{'
            | b'<'
    )
}

fn filler_length(text: &[u8], start: usize) -> Option<usize> {
    let rest = &text[start..];
    match rest[0] {
        byte if !may_begin_filler(byte) => None,
        b'[' | b'(' | b'{' | b'<' => {
            let word = FILLER_WORDS.iter().find(|word| rest[1..].starts_with(word.as_bytes()))?;
            Some(1 + word.len())
        }
        first => {
            FILLERS.iter().filter(|(filler, _)| filler.as_bytes()[0] == first).find_map(|(filler, least)| {
                let is_filler = |chunk: &&[u8]| *chunk == filler.as_bytes();
                let count = rest.chunks_exact(filler.len()).take_while(is_filler).count();
                (count >= *least).then_some(count * filler.len())
            })
        }
    }
}

/// Whether the words before `start` say that an end of a key follows.
fn is_hinted(text: &[u8], start: usize) -> bool {
    let before = &text[start.saturating_sub(HINT_REACH)..start];
    HINTS.iter().any(|hint| memmem::find(before, hint.as_bytes()).is_some())
}
