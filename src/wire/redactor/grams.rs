//! Finds whole secrets and longer parts of them by the sequences of bytes (grams) that they consist of.

use std::collections::HashSet;
use std::ops::Range;

use super::forms::MIN_ANYWHERE;

/// The length of the longest gram: so much of a secret is removed wherever it stands. In bytes.
pub(super) const LONGEST: usize = 12;

/// The number of bits of the filter: 8 KiB.
const FILTER_BITS: u32 = 16;

/// A secret of [`LONGEST`] bytes or more is the set of its grams, so finding all of them takes one step for each byte of
/// a text. A shorter one is a gram of its own length.
#[derive(Default)]
pub(super) struct Grams {
    /// By length. Each is stored in the low bytes.
    sets: [HashSet<u128>; LONGEST + 1],
    /// The lengths of which there are grams, ascending.
    lengths: Vec<usize>,
    /// Whether a gram may end with four bytes of this hash. Rules out nearly every position of a text.
    filter: Vec<u64>,
}

impl Grams {
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Adds a secret, and the shorter parts of it that occur in no ordinary text.
    pub fn add(&mut self, secret: &[u8]) {
        self.add_encoded(secret);
        if secret.len() > MIN_ANYWHERE {
            for part in secret.windows(MIN_ANYWHERE).filter(|part| is_mixed(part)) {
                self.insert(part);
            }
        }
    }

    /// Adds an encoded secret.
    pub fn add_encoded(&mut self, secret: &[u8]) {
        if secret.len() <= LONGEST {
            self.insert(secret);
        } else {
            secret.windows(LONGEST).for_each(|part| self.insert(part));
        }
    }

    fn insert(&mut self, gram: &[u8]) {
        let packed = gram.iter().fold(0, |packed, byte| packed << 8 | u128::from(*byte));
        self.sets[gram.len()].insert(packed);
        if let Err(place) = self.lengths.binary_search(&gram.len()) {
            self.lengths.insert(place, gram.len());
        }
        self.filter.resize(1 << (FILTER_BITS - 6), 0);
        let bit = hash(packed);
        self.filter[bit / 64] |= 1 << (bit % 64);
    }

    /// The ranges of a text that are grams; shorter ones only if they are whole words.
    pub fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut window = 0_u128;
        for (at, byte) in text.iter().enumerate() {
            window = window << 8 | u128::from(*byte);
            let bit = hash(window);
            if self.filter[bit / 64] & 1 << (bit % 64) == 0 {
                continue;
            }
            let end = at + 1;
            let is_gram = |length: &&usize| {
                **length <= end
                    && self.sets[**length].contains(&(window & ((1 << (**length * 8)) - 1)))
                    && (**length >= MIN_ANYWHERE || is_whole_word(text, end - **length..end))
            };
            let Some(length) = self.lengths.iter().rev().find(is_gram) else { continue };
            match found.last_mut() {
                Some(last) if end - length <= last.end => {
                    last.start = last.start.min(end - length);
                    last.end = end;
                }
                _ => found.push(end - length..end),
            }
        }
        found
    }
}

fn is_whole_word(text: &[u8], range: Range<usize>) -> bool {
    let is_outside = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    is_outside(range.start.checked_sub(1).and_then(|before| text.get(before)))
        && is_outside(text.get(range.end))
}

/// Whether there are both letters and digits.
pub(super) fn is_mixed(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic)
}

/// A hash of the last four bytes, by multiplication (Knuth, TAOCP 3, section 6.4).
fn hash(window: u128) -> usize {
    ((window as u32).wrapping_mul(0x9E37_79B1) >> (32 - FILTER_BITS)) as usize
}
