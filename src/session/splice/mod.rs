//! Decides, while the continuation of an interrupted answer streams in, what of it is new.
//!
//! A continuation is one of: the exact rest; a text that repeats the tail first (an overlap); one that
//! begins the cut word again; the whole answer from its beginning (a restart). Text is held only while
//! a longer repetition is still possible. The longest one wins; a restart is the longest of all.
//! Lengths are in code points, and no code point is ever split.

mod head;
mod tail;
mod terms;
#[cfg(test)]
mod tests;
mod word;

use std::borrow::Cow;

use head::Head;
use tail::{Cursor, Tail};
pub use terms::{ContinuationMismatch, Expectation, Join, JoinKind, Limits};
use word::{Word, is_letter, sets_apart};

/// Default of [`Limits::min_overlap`], in code points. `docs/recovery.md` has the figures that it was
/// chosen from.
pub const MIN_OVERLAP: usize = 16;
/// How much of the delivered text's end is searched for an overlap, in code points.
pub const WINDOW: usize = 4_000;

enum State {
    /// Text is held or suppressed.
    Open,
    Decided(Join),
    Failed(ContinuationMismatch),
}

/// A repetition, and how much of the continuation it spans.
#[derive(Clone, Copy)]
struct Found {
    kind: JoinKind,
    bytes: usize,
    points: usize,
}

/// Decides, while a continuation streams in, what of it is new.
pub struct Splice {
    limits: Limits,
    state: State,
    /// Only a restart is accepted.
    strict: bool,
    head: Head,
    tail: Tail,
    /// The continuation as it comes, and without its leading white space. The second one moves only
    /// where there is such white space.
    exact: Cursor,
    trimmed: Cursor,
    word: Word,
    ends_in_letter: bool,
    /// The words that were asked for once more, and how many bytes of them came.
    anchor: Option<(String, usize)>,
    /// The longest repetition so far.
    found: Option<Found>,
    /// `found` cannot be surpassed.
    certain: bool,
    /// Leading white space of the continuation: bytes, code points, and whether it is over.
    lead: (usize, usize),
    begun: bool,
    /// Earlier deltas; of a restart only the leading white space, because the rest stands in `head`.
    held: String,
    suppressing: bool,
    /// Bytes of the earlier deltas, and code points of all of them.
    earlier: usize,
    points: usize,
    since: Option<u64>,
}

impl Splice {
    /// `delivered` is what the consumer has, and is not empty.
    pub fn new(delivered: &str, limits: Limits, expect: Expectation) -> Self {
        let strict = expect == Expectation::Restart;
        let tail = Tail::new(delivered, if strict { 0 } else { WINDOW.min(limits.max_held) });
        let head = Head::new(delivered, tail.len());
        let anchor = match expect {
            Expectation::Anchor(anchor) => {
                Some((anchor.trim_start().to_owned(), 0)).filter(|(a, _)| !a.is_empty())
            }
            _ => None,
        };
        Splice {
            limits,
            state: State::Open,
            strict,
            head,
            exact: tail.cursor(),
            trimmed: tail.cursor(),
            tail,
            word: Word::new(delivered),
            ends_in_letter: delivered.chars().next_back().is_some_and(is_letter),
            anchor,
            found: None,
            certain: false,
            lead: (0, 0),
            begun: false,
            held: String::new(),
            suppressing: strict,
            earlier: 0,
            points: 0,
            since: None,
        }
    }

    /// Takes in a piece. Returns what is safe to deliver now: nothing while it is undecided, and the
    /// piece itself afterwards. `now_ms` is on the clock of [`Splice::deadline`].
    pub fn push<'p>(&mut self, piece: &'p str, now_ms: u64) -> Result<Cow<'p, str>, ContinuationMismatch> {
        match self.state {
            State::Decided(_) => return Ok(Cow::Borrowed(piece)),
            State::Failed(contradiction) => return Err(contradiction),
            State::Open => {}
        }
        if !piece.is_empty() {
            self.since.get_or_insert(now_ms);
        }
        for c in piece.chars() {
            self.read(c);
            let hit_limit = self.points >= self.limits.max_held && !self.suppressing;
            if hit_limit || !self.is_open() {
                return self.settle(piece, now_ms, hit_limit && self.is_open(), false);
            }
        }
        self.keep(piece);
        Ok(Cow::Borrowed(""))
    }

    /// When [`Splice::timeout`] has to be called: `max_wait` after the first character that is held.
    /// None while nothing is held, and while a restart is suppressed: that may take its time.
    pub fn deadline(&self) -> Option<u64> {
        let open = matches!(self.state, State::Open) && !self.suppressing;
        let wait = u64::try_from(self.limits.max_wait.as_millis()).unwrap_or(u64::MAX);
        self.since.filter(|_| open).map(|since| since.saturating_add(wait))
    }

    /// The time is over: chooses on what is there.
    pub fn timeout(&mut self, now_ms: u64) -> Result<String, ContinuationMismatch> {
        if matches!(self.state, State::Open) && (self.suppressing || self.since.is_none()) {
            return Ok(String::new());
        }
        self.close(now_ms, true)
    }

    /// The continuation is complete: chooses on what is there. Not for one that broke off in its turn:
    /// what it held is dropped with the `Splice`, and asked for again.
    pub fn finish(&mut self, now_ms: u64) -> Result<String, ContinuationMismatch> {
        self.close(now_ms, false)
    }

    /// How the continuation was joined; none before that is decided.
    pub fn join(&self) -> Option<Join> {
        match self.state {
            State::Decided(join) => Some(join),
            _ => None,
        }
    }

    fn close(&mut self, now_ms: u64, hit_limit: bool) -> Result<String, ContinuationMismatch> {
        match self.state {
            State::Open => self.settle("", now_ms, hit_limit, !hit_limit).map(Cow::into_owned),
            State::Decided(_) => Ok(String::new()),
            State::Failed(contradiction) => Err(contradiction),
        }
    }

    /// Reads one character of the continuation.
    fn read(&mut self, c: char) {
        self.points += 1;
        if !self.begun && c.is_whitespace() {
            self.lead = (self.lead.0 + c.len_utf8(), self.lead.1 + 1);
            if c == '\n' {
                self.head.at_new_line();
            }
            return self.read_exact(c);
        }
        if !self.begun {
            self.begin();
        }
        self.read_exact(c);
        if self.lead.0 > 0 {
            self.read_trimmed(c);
        }
        self.word.step(c);
        if self.word.is_again() {
            self.offer(JoinKind::Word, self.word.bytes(), self.word.points());
        }
        self.read_anchor(c);
        self.read_head(c);
    }

    /// The leading white space is over.
    fn begin(&mut self) {
        self.begun = true;
        if self.lead.0 > 0 {
            // ` theory` after `the` is the next word.
            self.word.stop();
        }
        if self.strict && self.head.text.is_empty() {
            self.offer(JoinKind::Restart, self.lead.0, self.lead.1);
            self.certain = true;
        }
    }

    fn read_exact(&mut self, c: char) {
        if self.tail.places(&self.exact) == 0 || !self.tail.step(&mut self.exact, c) {
            return;
        }
        let (bytes, points) = (self.exact.bytes, self.exact.points);
        if points >= self.limits.min_overlap && self.exact.varied {
            self.offer(JoinKind::Overlap, bytes, points);
        } else if self.joins(bytes, points) {
            self.offer(JoinKind::Word, bytes, points);
        }
    }

    fn read_trimmed(&mut self, c: char) {
        if self.tail.places(&self.trimmed) > 0
            && self.tail.step(&mut self.trimmed, c)
            && self.trimmed.points >= self.limits.min_overlap
            && self.trimmed.varied
        {
            let (bytes, points) = self.lead;
            self.offer(JoinKind::Overlap, bytes + self.trimmed.bytes, points + self.trimmed.points);
        }
    }

    /// A repetition shorter than `min_overlap` that begins where a word does and ends inside one:
    /// `over the la` and `the lazy dog`. As the exact rest it would make the word `lathe`.
    fn joins(&self, bytes: usize, points: usize) -> bool {
        // The cut word itself, begun again, explains more than a few words that end in it.
        if self.word.is_again() || !self.ends_in_letter || self.lead.0 > 0 || points <= self.word.points() {
            return false;
        }
        match self.tail.around(bytes) {
            (before, Some(first)) if is_letter(first) => sets_apart(before),
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
            self.found = Some(Found { kind: JoinKind::Anchor, bytes, points });
            self.certain = true;
        }
    }

    fn read_head(&mut self, c: char) {
        if self.head.in_run() {
            return self.read_run(Some(c));
        }
        let head = &mut self.head;
        head.step(c);
        let cursor = if self.lead.0 > 0 { &self.trimmed } else { &self.exact };
        if self.tail.places(cursor) > usize::from(head.is_open && head.in_tail) {
            head.elsewhere = cursor.points;
        }
        if !head.is_open {
            return self.hold_again();
        }
        self.suppressing |= head.is_no_accident();
        if head.is_whole() {
            head.is_open = false;
            if self.strict || head.is_restart() == Some(true) {
                self.restart();
            }
        }
    }

    fn restart(&mut self) {
        let (bytes, points) = (self.lead.0 + self.head.bytes, self.lead.1 + self.head.points);
        self.offer(JoinKind::Restart, bytes, points);
        self.certain = true;
    }

    fn read_run(&mut self, c: Option<char>) {
        if self.head.step_run(c) == Some(true) {
            self.restart();
        }
    }

    /// What was suppressed is no restart, and can still be another repetition: the refrain that the
    /// answer began with goes on like it did another time.
    fn hold_again(&mut self) {
        if self.suppressing && !self.strict && self.is_open() {
            self.held = self.received().into_owned();
            self.suppressing = false;
        }
    }

    fn offer(&mut self, kind: JoinKind, bytes: usize, points: usize) {
        if !self.certain && self.found.is_none_or(|found| bytes >= found.bytes) {
            self.found = Some(Found { kind, bytes, points });
        }
    }

    /// A longer repetition than the one found is still possible.
    fn is_open(&self) -> bool {
        if self.certain {
            return false;
        }
        if !self.begun || self.head.is_open || self.head.in_run() {
            return true;
        }
        !self.strict
            && (self.tail.is_open(&self.exact)
                || (self.lead.0 > 0 && self.tail.is_open(&self.trimmed))
                || self.word.is_open()
                || self.anchor.is_some())
    }

    /// The earlier deltas.
    fn received(&self) -> Cow<'_, str> {
        if self.held.len() == self.earlier {
            return Cow::Borrowed(&self.held);
        }
        let repeated = self.earlier - self.held.len();
        Cow::Owned([&self.held, &self.head.text[..repeated]].concat())
    }

    fn keep(&mut self, piece: &str) {
        if !self.suppressing {
            self.held.push_str(piece);
        } else if !self.strict {
            let lead = self.lead.0.saturating_sub(self.held.len()).min(piece.len());
            self.held.push_str(&piece[..lead]);
            self.held.truncate(self.lead.0);
        }
        self.earlier += piece.len();
    }

    fn settle<'p>(
        &mut self,
        piece: &'p str,
        now_ms: u64,
        hit_limit: bool,
        ended: bool,
    ) -> Result<Cow<'p, str>, ContinuationMismatch> {
        if ended {
            self.read_run(None);
        }
        let is_overlap = self.found.is_some_and(|found| found.kind == JoinKind::Overlap);
        let is_restart = self.strict || self.head.is_contradicted();
        if is_restart && !is_overlap && !self.certain {
            let contradiction = ContinuationMismatch { matched: self.head.points, ended };
            self.state = State::Failed(contradiction);
            self.free();
            return Err(contradiction);
        }
        let exact = Found { kind: JoinKind::Exact, bytes: 0, points: 0 };
        let Found { kind, bytes, points } = self.found.unwrap_or(exact);
        let new = match bytes.checked_sub(self.earlier) {
            Some(inside) => Cow::Borrowed(&piece[inside..]),
            None => Cow::Owned([&self.received()[bytes..], piece].concat()),
        };
        let buffered_ms = self.since.map_or(0, |since| now_ms.saturating_sub(since));
        self.state = State::Decided(Join { kind, trimmed: points, buffered_ms, hit_limit });
        self.free();
        Ok(new)
    }

    /// Gives back what is no longer needed.
    fn free(&mut self) {
        self.head = Head::default();
        self.tail = Tail::default();
        self.held = String::new();
        self.anchor = None;
    }
}
