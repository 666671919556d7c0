//! Helpers of several targets.
#![allow(dead_code)] // No target uses all of them.

/// SplitMix64. The same seed yields the same numbers.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Splits bytes into parts of random lengths from 0 to 15.
pub fn split<'a>(mut bytes: &'a [u8], rng: &mut Rng) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(rng.below(16).min(bytes.len()));
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// Splits a text into parts of random lengths from 0 to 15 characters.
pub fn split_text<'a>(mut text: &'a str, rng: &mut Rng) -> Vec<&'a str> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let end = text.char_indices().nth(rng.below(16)).map_or(text.len(), |(end, _)| end);
        let (part, rest) = text.split_at(end);
        parts.push(part);
        text = rest;
    }
    parts
}
