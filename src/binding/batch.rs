//! Records on their way to JavaScript, and the batches they travel in.
//!
//! A record is a few words in a shared array plus its text. Short texts travel joined in one string, which JavaScript
//! cuts up; each long text is a separate string.

use std::mem;

/// The words of a record: call, kind, length of the text. The length is in UTF-16 units for short text, and in
/// bytes for long text, where only Rust reads it.
pub const WORDS: usize = 3;

/// A batch is full when its text has this many bytes.
pub const MAX_TEXT: usize = 32 * 1024;

/// How much memory a cleared batch may keep, in bytes: a full batch has slightly more text than [`MAX_TEXT`],
/// and up to 48 KiB of words.
pub const MAX_SPARE: usize = 6 * MAX_TEXT;

/// From this length on a text is a separate string. V8 copies shorter text out of a batch; from 13 characters on it
/// makes a slice, which keeps the whole batch alive as long as the slice (`SlicedString::kMinLength`).
const MIN_LONG_TEXT: usize = 13;

/// Set in the kind of a record with long text. `src/js/record-batch.ts` has the same number.
const LONG_TEXT: u32 = 8;

/// What a record reports. `src/js/record-batch.ts` has the same numbers.
#[derive(Clone, Copy)]
pub enum RecordKind {
    Delta = 0,
    Complete = 1,
    End = 2,
    Error = 3,
    Event = 4,
    /// A question: does this error count as a failure? JavaScript replies with `NativeHub.answer`.
    IsFailure = 5,
    /// Everything delivered so far is void.
    Restart = 6,
}

/// Records and their texts, in order.
#[derive(Default)]
pub struct Batch {
    /// The short texts, joined.
    pub short_text: String,
    /// The long texts, joined.
    long_text: String,
    pub words: Vec<u32>,
    /// Whether `short_text` has characters beyond ASCII.
    pub non_ascii: bool,
}

impl Batch {
    pub fn push(&mut self, id: u32, kind: RecordKind, text: &str) {
        let kind = kind as u32;
        if text.len() >= MIN_LONG_TEXT {
            self.long_text.push_str(text);
            self.words.extend_from_slice(&[id, kind | LONG_TEXT, text.len() as u32]);
        } else {
            let ascii = text.is_ascii();
            let length = if ascii { text.len() } else { text.encode_utf16().count() };
            self.short_text.push_str(text);
            self.words.extend_from_slice(&[id, kind, length as u32]);
            self.non_ascii |= !ascii;
        }
    }

    /// Moves the records of `other` to the end of this batch.
    pub fn append(&mut self, other: &mut Batch) {
        self.short_text.push_str(&other.short_text);
        self.long_text.push_str(&other.long_text);
        self.words.extend_from_slice(&other.words);
        self.non_ascii |= other.non_ascii;
        other.clear(MAX_SPARE);
    }

    /// Removes all records. Frees the memory if the batch holds more than `max_spare` bytes.
    pub fn clear(&mut self, max_spare: usize) {
        if self.short_text.capacity() + self.long_text.capacity() + 4 * self.words.capacity() > max_spare {
            *self = Batch::default();
        } else {
            self.short_text.clear();
            self.long_text.clear();
            self.words.clear();
            self.non_ascii = false;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn record_count(&self) -> usize {
        self.words.len() / WORDS
    }

    /// The length of all texts, in bytes.
    pub fn text_len(&self) -> usize {
        self.short_text.len() + self.long_text.len()
    }

    pub fn long_texts(&self) -> impl Iterator<Item = &str> {
        let lengths = self.words.chunks_exact(WORDS).filter(|record| record[1] & LONG_TEXT != 0);
        lengths.scan(0, |end, record| {
            let start = mem::replace(end, *end + record[2] as usize);
            self.long_text.get(start..*end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_joined_and_long_texts_are_separate_strings() {
        let mut batch = Batch::default();
        let texts = ["a", "exactly 13 ch", "tiếng", "a text that is long: 🐑🐑", "", "twelve chars"];
        for text in texts {
            batch.push(7, RecordKind::Delta, text);
        }
        assert_eq!(batch.short_text, "atiếngtwelve chars");
        assert!(batch.non_ascii);
        assert_eq!(batch.long_texts().collect::<Vec<_>>(), ["exactly 13 ch", "a text that is long: 🐑🐑"]);
        let records = batch.words.chunks(WORDS);
        let lengths: Vec<_> = records.map(|record| (record[1] & LONG_TEXT != 0, record[2])).collect();
        assert_eq!(lengths, [(false, 1), (true, 13), (false, 5), (true, 29), (false, 0), (false, 12)]);
    }
}
