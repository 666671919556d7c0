//! Finds the text that a continuation repeats from its first character on, while it streams in.
//!
//! A continuation is the exact rest, or it first repeats the tail of the delivered text (an overlap), the cut word,
//! or the whole answer (a restart). Text is held only while a longer repeat is possible. The longest repeat wins; a
//! restart is the longest of all. Lengths are in code points, and no code point is ever split.

use std::borrow::Cow;

use super::cut_word::{CutWord, is_letter, is_word_boundary};
use super::head::Head;
use super::tail::{Cursor, Tail};
use super::types::{ContinuationMismatch, Expectation, JoinKind, Limits, WINDOW};

enum State {
    /// Undecided: text is held or suppressed.
    Open,
    Decided(Found),
    Failed(ContinuationMismatch),
}

/// A repeat at the start of the continuation, and its length.
#[derive(Clone, Copy)]
struct Repeat {
    kind: JoinKind,
    bytes: usize,
    points: usize,
}

/// What the continuation repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: JoinKind,
    /// The length of the repeat in code points.
    pub points: usize,
    /// The decision was forced by one of the [`Limits`].
    pub hit_limit: bool,
}

/// Removes the repeated text from one continuation.
pub struct Repeats {
    limits: Limits,
    state: State,
    /// Only a restart is accepted.
    restart_only: bool,
    head: Head,
    tail: Tail,
    /// The position of the continuation in the tail.
    exact: Cursor,
    /// The same without the leading white space of the continuation. Unused if there is none.
    trimmed: Cursor,
    word: CutWord,
    ends_in_letter: bool,
    /// The words that the model was asked to repeat, and how many bytes of them matched.
    anchor: Option<(String, usize)>,
    /// The longest repeat so far.
    repeat: Option<Repeat>,
    /// No longer repeat is possible.
    is_final: bool,
    /// The leading white space of the continuation, in bytes and in code points.
    lead: (usize, usize),
    /// The leading white space has ended.
    text_started: bool,
    /// The earlier deltas. Of a suspected restart only the leading white space, because `head` has the rest.
    held: String,
    /// The continuation appears to be a restart.
    suppressing: bool,
    /// Bytes of the earlier deltas.
    earlier_bytes: usize,
    /// Code points of all deltas.
    points: usize,
}

impl Repeats {
    /// `delivered` is the text that the consumer has. It must not be empty.
    pub fn new(delivered: &str, limits: Limits, expect: Expectation) -> Self {
        let restart_only = expect == Expectation::Restart;
        let tail = Tail::new(delivered, if restart_only { 0 } else { WINDOW.min(limits.max_held) });
        let head = Head::new(delivered, tail.len());
        let anchor = match expect {
            Expectation::Anchor(anchor) => {
                // A backtick may also be the next one of a row.
                let is_mark = |text: &str| text.chars().all(|c| !c.is_alphanumeric() && text.starts_with(c));
                Some((anchor.trim_start().to_owned(), 0)).filter(|(anchor, _)| !is_mark(anchor))
            }
            _ => None,
        };
        Repeats {
            limits,
            state: State::Open,
            restart_only,
            head,
            exact: tail.cursor(),
            trimmed: tail.cursor(),
            tail,
            word: CutWord::new(delivered),
            ends_in_letter: delivered.chars().next_back().is_some_and(is_letter),
            anchor,
            repeat: None,
            is_final: false,
            lead: (0, 0),
            text_started: false,
            held: String::new(),
            suppressing: restart_only,
            earlier_bytes: 0,
            points: 0,
        }
    }

    /// Takes the next delta of the continuation and returns the text after the repeat: nothing until it is decided what
    /// is repeated, and the delta itself afterwards.
    pub fn push<'p>(&mut self, delta: &'p str) -> Result<Cow<'p, str>, ContinuationMismatch> {
        match self.state {
            State::Decided(_) => return Ok(Cow::Borrowed(delta)),
            State::Failed(mismatch) => return Err(mismatch),
            State::Open => {}
        }
        for c in delta.chars() {
            self.read(c);
            let hit_limit = self.points >= self.limits.max_held && !self.suppressing;
            if hit_limit || !self.is_open() {
                return self.settle(delta, hit_limit && self.is_open(), false);
            }
        }
        self.hold(delta);
        Ok(Cow::Borrowed(""))
    }

    /// Whether text is held that may be new. A repeat that is long enough to be certain may take any time.
    pub fn is_holding(&self) -> bool {
        // After the decision the tail is empty.
        if self.suppressing || !matches!(self.state, State::Open) {
            return false;
        }
        let is_long = |cursor: &Cursor| self.tail.is_open(cursor) && cursor.points >= self.limits.min_overlap;
        !(is_long(&self.exact) || (self.lead.0 > 0 && is_long(&self.trimmed)))
    }

    /// Decides on what was received. `ended`: the continuation is complete. Not for one that is interrupted itself.
    pub fn close(&mut self, ended: bool) -> Result<String, ContinuationMismatch> {
        match self.state {
            State::Open => self.settle("", !ended, ended).map(Cow::into_owned),
            State::Decided(_) => Ok(String::new()),
            State::Failed(mismatch) => Err(mismatch),
        }
    }

    /// What the continuation repeats; `None` before the decision.
    pub fn found(&self) -> Option<Found> {
        match self.state {
            State::Decided(found) => Some(found),
            _ => None,
        }
    }

    /// Reads one character of the continuation.
    fn read(&mut self, c: char) {
        self.points += 1;
        if !self.text_started && c.is_whitespace() {
            self.lead = (self.lead.0 + c.len_utf8(), self.lead.1 + 1);
            if c == '\n' {
                self.head.at_new_line();
            }
            return self.read_exact(c);
        }
        if !self.text_started {
            self.start_text();
        }
        self.read_exact(c);
        if self.lead.0 > 0 {
            self.read_trimmed(c);
        }
        self.word.step(c);
        if self.word.is_repeated() {
            self.propose(JoinKind::Word, self.word.bytes(), self.word.points());
        }
        self.read_anchor(c);
        self.read_head(c);
    }

    /// The leading white space has ended.
    fn start_text(&mut self) {
        self.text_started = true;
        if self.lead.0 > 0 {
            // ` theory` after `the` is the next word.
            self.word.reject();
        }
        if self.restart_only && self.head.text.is_empty() {
            self.propose(JoinKind::Restart, self.lead.0, self.lead.1);
            self.is_final = true;
        }
    }

    fn read_exact(&mut self, c: char) {
        if self.tail.occurrences(&self.exact) == 0 || !self.tail.step(&mut self.exact, c) {
            return;
        }
        let (bytes, points) = (self.exact.bytes, self.exact.points);
        if points >= self.limits.min_overlap && self.exact.varied {
            self.propose(JoinKind::Overlap, bytes, points);
        } else if self.repeats_words(bytes, points) {
            self.propose(JoinKind::Word, bytes, points);
        }
    }

    fn read_trimmed(&mut self, c: char) {
        if self.tail.occurrences(&self.trimmed) > 0
            && self.tail.step(&mut self.trimmed, c)
            && self.trimmed.points >= self.limits.min_overlap
            && self.trimmed.varied
        {
            let (bytes, points) = self.lead;
            self.propose(JoinKind::Overlap, bytes + self.trimmed.bytes, points + self.trimmed.points);
        }
    }

    /// A repeat shorter than `min_overlap` that starts at a word and ends inside one: `over the la` and
    /// `the lazy dog`. As the exact rest it would form the word `lathe`.
    fn repeats_words(&self, bytes: usize, points: usize) -> bool {
        // The repeated cut word is more plausible than a few words that end in it.
        if self.word.is_repeated() || !self.ends_in_letter || self.lead.0 > 0 || points <= self.word.points()
        {
            return false;
        }
        match self.tail.around(bytes) {
            (before, Some(first)) if is_letter(first) => is_word_boundary(before),
            (before, _) => points >= 4 && before.is_none_or(char::is_whitespace),
        }
    }

    fn read_anchor(&mut self, c: char) {
        let Some((anchor, at)) = &mut self.anchor else { return };
        if !anchor[*at..].starts_with(c) {
            self.anchor = None;
            return;
        }
        *at += c.len_utf8();
        if *at == anchor.len() {
            let points = self.lead.1 + anchor.chars().count();
            let bytes = self.lead.0 + *at;
            self.repeat = Some(Repeat { kind: JoinKind::Anchor, bytes, points });
            self.is_final = true;
        }
    }

    fn read_head(&mut self, c: char) {
        if self.head.in_run() {
            return self.read_run(Some(c));
        }
        let head = &mut self.head;
        head.step(c);
        let cursor = if self.lead.0 > 0 { &self.trimmed } else { &self.exact };
        if self.tail.occurrences(cursor) > usize::from(head.is_open && head.in_tail) {
            head.elsewhere = cursor.points;
        }
        if !head.is_open {
            return self.resume_holding();
        }
        self.suppressing |= head.is_significant();
        if head.is_complete() {
            head.is_open = false;
            if self.restart_only || head.is_restart() == Some(true) {
                self.restart();
            }
        }
    }

    fn restart(&mut self) {
        let (bytes, points) = (self.lead.0 + self.head.bytes, self.lead.1 + self.head.points);
        self.propose(JoinKind::Restart, bytes, points);
        self.is_final = true;
    }

    fn read_run(&mut self, c: Option<char>) {
        if self.head.step_run(c) == Some(true) {
            self.restart();
        }
    }

    /// The suppressed text is not a restart, but may be another repeat, for example of a refrain that occurs at the
    /// start of the answer and again later.
    fn resume_holding(&mut self) {
        if self.suppressing && !self.restart_only && self.is_open() {
            self.held = self.received().into_owned();
            self.suppressing = false;
        }
    }

    fn propose(&mut self, kind: JoinKind, bytes: usize, points: usize) {
        if !self.is_final && self.repeat.is_none_or(|repeat| bytes >= repeat.bytes) {
            self.repeat = Some(Repeat { kind, bytes, points });
        }
    }

    /// Whether a longer repeat is possible.
    fn is_open(&self) -> bool {
        if self.is_final {
            return false;
        }
        if !self.text_started || self.head.is_open || self.head.in_run() {
            return true;
        }
        !self.restart_only
            && (self.tail.is_open(&self.exact)
                || (self.lead.0 > 0 && self.tail.is_open(&self.trimmed))
                || self.word.is_open()
                || self.anchor.is_some())
    }

    /// The earlier deltas, joined.
    fn received(&self) -> Cow<'_, str> {
        if self.held.len() == self.earlier_bytes {
            return Cow::Borrowed(&self.held);
        }
        let repeated = self.earlier_bytes - self.held.len();
        // A run of one character can be longer than the text that it repeats.
        let text = &self.head.text;
        let (times, rest) = (repeated / text.len(), repeated % text.len());
        Cow::Owned([&self.held, text.repeat(times).as_str(), &text[..rest]].concat())
    }

    /// Holds a delta until the decision.
    fn hold(&mut self, delta: &str) {
        if !self.suppressing {
            self.held.push_str(delta);
        } else if !self.restart_only {
            let lead = self.lead.0.saturating_sub(self.held.len()).min(delta.len());
            self.held.push_str(&delta[..lead]);
            self.held.truncate(self.lead.0);
        }
        self.earlier_bytes += delta.len();
    }

    /// Decides on what was received.
    fn settle<'p>(
        &mut self,
        delta: &'p str,
        hit_limit: bool,
        ended: bool,
    ) -> Result<Cow<'p, str>, ContinuationMismatch> {
        if ended {
            self.read_run(None);
        }
        let is_overlap = self.repeat.is_some_and(|repeat| repeat.kind == JoinKind::Overlap);
        let is_restart = self.restart_only || self.head.has_diverged();
        if is_restart && !is_overlap && !self.is_final {
            let mismatch = ContinuationMismatch::Restarted { matched: self.head.points, ended };
            self.state = State::Failed(mismatch);
            self.free();
            return Err(mismatch);
        }
        let exact = Repeat { kind: JoinKind::Exact, bytes: 0, points: 0 };
        let Repeat { kind, bytes, points } = self.repeat.unwrap_or(exact);
        let new = match bytes.checked_sub(self.earlier_bytes) {
            Some(inside) => Cow::Borrowed(&delta[inside..]),
            None => Cow::Owned([&self.received()[bytes..], delta].concat()),
        };
        self.state = State::Decided(Found { kind, points, hit_limit });
        self.free();
        Ok(new)
    }

    /// Frees the memory that is no longer needed.
    fn free(&mut self) {
        self.head = Head::default();
        self.tail = Tail::default();
        self.held = String::new();
        self.anchor = None;
    }
}
