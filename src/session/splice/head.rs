//! Matches a continuation with the start of the answer.

use super::cut_word::is_letter;

/// A match of this many code points is significant, if the delivered text ends inside a line.
const HEAD_MIN: usize = 12;
/// The same at the start of a line. There a refrain, a table header, the first item of a list or the imports of a
/// code block may legitimately match the start of the answer.
pub(super) const HEAD_MIN_LINE: usize = 120;

/// The delivered text without leading white space, and how much of it the continuation matches.
#[derive(Default)]
pub(super) struct Head {
    pub text: String,
    pub bytes: usize,
    pub points: usize,
    /// The continuation matches so far.
    pub is_open: bool,
    /// The length of a significant match, in code points.
    min_match: usize,
    /// The tail contains the whole text.
    pub in_tail: bool,
    /// The longest start of the continuation that also occurs elsewhere in the tail. The answer is known to repeat
    /// itself for this long.
    pub elsewhere: usize,
    /// The delivered text and the continuation so far are runs of one character: the length of the latter.
    run: Option<usize>,
}

impl Head {
    pub fn new(delivered: &str, tail_bytes: usize) -> Self {
        let text = delivered.trim_start().to_owned();
        let new_line = delivered.trim_end_matches([' ', '\t']).ends_with('\n');
        Head {
            is_open: !text.is_empty(),
            min_match: if new_line { HEAD_MIN_LINE } else { HEAD_MIN },
            in_tail: tail_bytes >= text.len(),
            text,
            ..Head::default()
        }
    }

    /// The continuation starts on a new line.
    pub fn at_new_line(&mut self) {
        self.min_match = HEAD_MIN_LINE;
    }

    /// Reads one character of the continuation.
    pub fn step(&mut self, c: char) {
        self.is_open &= self.text[self.bytes..].starts_with(c);
        if self.is_open {
            self.bytes += c.len_utf8();
            self.points += 1;
        }
    }

    /// The continuation has repeated the whole text.
    pub fn is_complete(&self) -> bool {
        self.bytes == self.text.len()
    }

    /// The match is too long for a coincidence.
    pub fn is_significant(&self) -> bool {
        self.points >= self.min_match
    }

    /// Whether the repeated text is a restart; `None` while a run of one character continues. This holds even if the
    /// text is shorter than an overlap must be: after a few characters, a restart is more common than an answer that
    /// starts with the same characters twice. Repeated letters (`ww`) are left to the rule for words.
    pub fn is_restart(&mut self) -> Option<bool> {
        let first = self.text.chars().next()?;
        if self.text.chars().any(|c| c != first) {
            return Some(true);
        }
        if plausibility(first, 1, None).is_some() {
            self.run = Some(self.points);
            return None;
        }
        Some(self.points == 1 && !is_letter(first))
    }

    /// A run of one character continues.
    pub fn in_run(&self) -> bool {
        self.run.is_some()
    }

    /// Reads the character after a run so far. Returns whether the run was a restart once it has ended.
    pub fn step_run(&mut self, c: Option<char>) -> Option<bool> {
        let (length, character) = (self.run?, self.text.chars().next()?);
        if c == Some(character) {
            self.run = Some(length + 1);
            return None;
        }
        self.run = None;
        Some(plausibility(character, length, c) > plausibility(character, self.points + length, c))
    }

    /// The continuation differs after a match that is longer than a coincidence or a known repetition.
    pub fn has_diverged(&self) -> bool {
        !self.is_complete() && self.is_significant() && self.points >= self.elsewhere + HEAD_MIN
    }
}

/// How plausible it is, as a rank, that an answer starts with a run of this length before `next`; `None` for a
/// character that is not usually doubled. Runs have a meaning in Markdown and in code: after `` ` `` was delivered,
/// ```` ``` ```` is either a longer run or a restarted one.
fn plausibility(character: char, length: usize, next: Option<char>) -> Option<u8> {
    let spaced = next.is_some_and(char::is_whitespace);
    Some(match (character, length) {
        ('`' | '~', 3) => 3,
        ('`', 1) => 2,
        ('*' | '_', 1 | 2) if spaced == (length == 1) => 3,
        ('*' | '_', 1) => 2,
        ('-', 1) if spaced => 3,
        ('-', 3) => 2,
        ('#', 1..=3) => 3,
        ('#', 4..=6) => 1,
        ('=' | '.', 3) => 3,
        ('$' | '/', 2) => 3,
        ('$' | '/', 1) => 2,
        ('!' | '?', 1) => 1,
        ('`' | '~' | '*' | '_' | '-' | '#' | '=' | '.' | '$' | '/' | '!' | '?', _) => 0,
        _ => return None,
    })
}
