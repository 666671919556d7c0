//! How far a continuation repeats the answer from its beginning.

use super::word::is_letter;

/// So many code points like the answer's beginning are no accident where the delivered text stops
/// inside a line.
const HEAD_MIN: usize = 12;
/// The same where a new line begins: a refrain, the header of a table, the first item of a list and
/// the imports of a code block honestly begin like the answer did.
pub(super) const HEAD_MIN_LINE: usize = 120;

/// The delivered text without its leading white space, and how far the continuation repeats it.
#[derive(Default)]
pub(super) struct Head {
    pub text: String,
    pub bytes: usize,
    pub points: usize,
    pub is_open: bool,
    /// So many code points are no accident.
    least: usize,
    /// The tail reaches back to here.
    pub in_tail: bool,
    /// The longest beginning of the continuation that also stands somewhere else in the tail: that the
    /// answer repeats itself so far is known.
    pub elsewhere: usize,
}

impl Head {
    pub fn new(delivered: &str, tail_bytes: usize) -> Self {
        let text = delivered.trim_start().to_owned();
        let new_line = delivered.trim_end_matches([' ', '\t']).ends_with('\n');
        Head {
            is_open: !text.is_empty(),
            least: if new_line { HEAD_MIN_LINE } else { HEAD_MIN },
            in_tail: tail_bytes >= text.len(),
            text,
            ..Head::default()
        }
    }

    /// The continuation begins on a new line.
    pub fn at_new_line(&mut self) {
        self.least = HEAD_MIN_LINE;
    }

    /// Reads one character of the continuation.
    pub fn step(&mut self, c: char) {
        self.is_open &= self.text[self.bytes..].starts_with(c);
        if self.is_open {
            self.bytes += c.len_utf8();
            self.points += 1;
        }
    }

    pub fn is_whole(&self) -> bool {
        self.bytes == self.text.len()
    }

    pub fn is_no_accident(&self) -> bool {
        self.points >= self.least
    }

    /// The whole text came again, and that is a restart. Also where it is shorter than `overlap_min`:
    /// after a few characters a model begins again more often than an answer begins with the same
    /// characters twice. Not for what is often doubled (`##`, `**`, `----`, one emoji); one letter is
    /// left to the rule for words.
    pub fn is_telling(&self, overlap_min: usize) -> bool {
        let Some(first) = self.text.chars().next() else { return false };
        let single = matches!(first, '{' | '|') || (first.is_alphanumeric() && !is_letter(first));
        let varied = self.text.chars().any(|c| c != first);
        let words = self.text.chars().any(|c| c != first && (c.is_ascii() || c.is_alphanumeric()));
        (self.points >= overlap_min && varied) || words || (self.points == 1 && single)
    }

    /// The continuation agreed for longer than accident or known repetition explains.
    pub fn is_contradicted(&self) -> bool {
        !self.is_whole() && self.is_no_accident() && self.points >= self.elsewhere + HEAD_MIN
    }
}
