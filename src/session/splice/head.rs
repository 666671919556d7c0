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
    /// The delivered text is one sign over and over, and so is the continuation so far: how often it
    /// has come.
    run: Option<usize>,
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

    /// The whole text came again: whether that is a restart; none while a run of one sign goes on. Also
    /// where the text is shorter than an overlap has to be: after a few characters a model begins again
    /// more often than an answer begins with the same characters twice. Letters that repeat (`ww`) are
    /// left to the rule for words.
    pub fn is_restart(&mut self) -> Option<bool> {
        let first = self.text.chars().next()?;
        if self.text.chars().any(|c| c != first) {
            return Some(true);
        }
        if likeliness(first, 1, None).is_some() {
            self.run = Some(self.points);
            return None;
        }
        Some(self.points == 1 && !is_letter(first))
    }

    pub fn in_run(&self) -> bool {
        self.run.is_some()
    }

    /// Reads what follows a run so far: whether it was a restart, when the run is over.
    pub fn step_run(&mut self, c: Option<char>) -> Option<bool> {
        let (seen, sign) = (self.run?, self.text.chars().next()?);
        if c == Some(sign) {
            self.run = Some(seen + 1);
            return None;
        }
        self.run = None;
        Some(likeliness(sign, seen, c) > likeliness(sign, self.points + seen, c))
    }

    /// The continuation agreed for longer than accident or known repetition explains.
    pub fn is_contradicted(&self) -> bool {
        !self.is_whole() && self.is_no_accident() && self.points >= self.elsewhere + HEAD_MIN
    }
}

/// How likely an answer begins with a run of so many of this sign before `next`, on a scale of its own;
/// none for a sign that is not doubled as a rule. Runs mean something in Markdown and in code: what
/// was delivered and came again (`` ` `` and ```` ``` ````) is either a longer run or the same one anew.
fn likeliness(sign: char, length: usize, next: Option<char>) -> Option<u8> {
    let spaced = next.is_some_and(char::is_whitespace);
    Some(match (sign, length) {
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
