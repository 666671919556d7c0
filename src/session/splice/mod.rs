//! Joins the continuation of an interrupted answer to the text that was delivered, while it streams in, if something vouches
//! for it.
//!
//! A continuation may repeat the end of the delivered text, from its first character (`repeats`) or after other text
//! (`inside`): the repeat vouches for it, and is removed. If it repeats nothing, the seam may vouch for it (`seam`): a
//! cut word is completed, a sentence goes on. Text is held until something does, up to [`Limits::max_unverified`] and
//! [`Limits::max_wait`]. Lengths are in code points, and no code point is ever split.

mod again;
mod cut_word;
mod head;
mod inside;
mod json_prefix;
mod repeats;
mod seam;
mod sentence;
mod structure;
mod tail;
#[cfg(test)]
mod tests;
mod types;
mod words;

use std::borrow::Cow;
use std::time::Duration;

use super::prompts;
use inside::{Inside, Place};
pub use repeats::{Found, Repeats};
use seam::Seam;
use types::Evidence;
pub use types::{
    Assurance, ContinuationMismatch, Expectation, Join, JoinKind, Limits, MIN_OVERLAP, Tier, WINDOW,
};

/// How long text is held after the words that were asked for, which are the best evidence, if a sentence goes on after them.
const MAX_WAIT_AFTER_ANCHOR: Duration = Duration::from_millis(50);

enum State {
    /// Undecided: text is held or suppressed.
    Open,
    Decided(Join),
    Failed(ContinuationMismatch),
}

/// How much of the continuation has come.
#[derive(Clone, Copy, PartialEq)]
enum Progress {
    More,
    /// A limit is reached.
    Limit,
    Ended,
    /// It was cut off by a limit of its length.
    CutOff,
}

/// Joins one continuation.
pub struct Splice {
    limits: Limits,
    state: State,
    /// Nothing is compared.
    is_native: bool,
    repeats: Repeats,
    /// Of an asked continuation.
    asked: Option<Box<Asked>>,
    /// When the first character came, in milliseconds.
    started_at: Option<u64>,
    /// When the first character after a repeat came: a repeat may take any time.
    held_since: Option<u64>,
}

/// What is compared with an asked continuation.
struct Asked {
    seam: Seam,
    inside: Inside,
    /// The text after what [`Repeats`] has found.
    fresh: String,
    fresh_points: usize,
    /// The code points of the continuation.
    points: usize,
}

impl Splice {
    /// `delivered` is the text that the consumer has. It must not be empty.
    pub fn new(delivered: &str, limits: Limits, expect: Expectation) -> Self {
        let is_native = expect == Expectation::Native;
        let is_restart = expect == Expectation::Restart;
        let asked = (!is_native && !is_restart).then(|| {
            Box::new(Asked {
                seam: Seam::new(delivered, limits.begun_again),
                inside: Inside::new(delivered),
                fresh: String::new(),
                fresh_points: 0,
                points: 0,
            })
        });
        Splice {
            limits,
            state: State::Open,
            is_native,
            repeats: Repeats::new(if is_native { "" } else { delivered }, limits, expect),
            asked,
            started_at: None,
            held_since: None,
        }
    }

    /// Takes the next delta of the continuation and returns the text to deliver: nothing until the splice has decided,
    /// and the delta itself afterwards. `now_ms` is a time of the same clock as [`Splice::deadline`].
    pub fn push<'p>(&mut self, delta: &'p str, now_ms: u64) -> Result<Cow<'p, str>, ContinuationMismatch> {
        match self.state {
            State::Decided(_) => return Ok(Cow::Borrowed(delta)),
            State::Failed(mismatch) => return Err(mismatch),
            State::Open => {}
        }
        if delta.is_empty() {
            return Ok(Cow::Borrowed(""));
        }
        self.started_at.get_or_insert(now_ms);
        if self.is_native {
            self.decide(JoinKind::Exact, Tier::Native, 0, now_ms, false)?;
            return Ok(Cow::Borrowed(delta));
        }
        if self.asked.is_none() {
            let new = self.repeats.push(delta).map_err(|mismatch| self.fail(mismatch))?;
            if let Some(found) = self.repeats.found() {
                self.decide(found.kind, Tier::Verified, found.points, now_ms, found.hit_limit)?;
            }
            return Ok(new);
        }
        // Character by character, so that the deltas make no difference.
        let mut rest = delta;
        while let Some(c) = rest.chars().next() {
            let (character, after) = rest.split_at(c.len_utf8());
            rest = after;
            if let Some(new) = self.read(c, character, now_ms)? {
                return Ok(Cow::Owned([new.as_str(), rest].concat()));
            }
        }
        Ok(Cow::Borrowed(""))
    }

    /// When to call [`Splice::timeout`]: `max_wait` after the first held character. `None` while nothing is held, and
    /// while a restart is suppressed, which may take any time.
    pub fn deadline(&self) -> Option<u64> {
        let is_open = matches!(self.state, State::Open);
        // After a repeat there may be nothing to judge yet.
        let holds_new = || self.asked.as_ref().is_some_and(|asked| asked.fresh_points > 0);
        let is_holding = is_open && (self.repeats.is_holding() || holds_new());
        let has_anchor = self.repeats.found().is_some_and(|found| found.kind == JoinKind::Anchor);
        let goes_on = has_anchor && self.asked.as_ref().is_some_and(|asked| asked.goes_on());
        let wait =
            if goes_on { self.limits.max_wait.min(MAX_WAIT_AFTER_ANCHOR) } else { self.limits.max_wait };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let since = self.held_since.or(self.started_at);
        since.filter(|_| is_holding).map(|start| start.saturating_add(wait))
    }

    /// The deadline has passed: decides on what was received.
    pub fn timeout(&mut self, now_ms: u64) -> Result<String, ContinuationMismatch> {
        if matches!(self.state, State::Open) && self.deadline().is_none() {
            return Ok(String::new());
        }
        self.close(Progress::Limit, now_ms)
    }

    /// The continuation is complete: decides on what was received. `is_cut_off`: by a limit of its length. Not for a
    /// continuation that is interrupted itself ([`Splice::interrupt`]).
    pub fn finish(&mut self, is_cut_off: bool, now_ms: u64) -> Result<String, ContinuationMismatch> {
        self.close(if is_cut_off { Progress::CutOff } else { Progress::Ended }, now_ms)
    }

    /// The continuation was interrupted itself: returns the held text that something vouches for. The rest is dropped, and
    /// requested again.
    pub fn interrupt(&mut self, now_ms: u64) -> String {
        let is_open = matches!(self.state, State::Open) && self.repeats.found().is_some();
        if !is_open || self.asked.is_none() {
            return String::new();
        }
        self.judge(Progress::Limit, now_ms).ok().flatten().unwrap_or_default()
    }

    /// How the continuation was joined; `None` before the decision.
    pub fn join(&self) -> Option<Join> {
        match self.state {
            State::Decided(join) => Some(join),
            _ => None,
        }
    }

    /// The check that the continuation failed.
    pub fn mismatch(&self) -> Option<ContinuationMismatch> {
        match self.state {
            State::Failed(mismatch) => Some(mismatch),
            _ => None,
        }
    }

    fn close(&mut self, progress: Progress, now_ms: u64) -> Result<String, ContinuationMismatch> {
        match self.state {
            State::Open => {}
            State::Decided(_) => return Ok(String::new()),
            State::Failed(mismatch) => return Err(mismatch),
        }
        if self.is_native {
            self.decide(JoinKind::Exact, Tier::Native, 0, now_ms, false)?;
            return Ok(String::new());
        }
        let new = self.repeats.close(progress != Progress::Limit).map_err(|mismatch| self.fail(mismatch))?;
        let Some(asked) = &mut self.asked else {
            if let Some(found) = self.repeats.found() {
                self.decide(found.kind, Tier::Verified, found.points, now_ms, found.hit_limit)?;
            }
            return Ok(new);
        };
        asked.add(&new);
        Ok(self.judge(progress, now_ms)?.unwrap_or_default())
    }

    /// Reads one character of an asked continuation. Returns the text to deliver once it is decided.
    fn read(&mut self, c: char, text: &str, now_ms: u64) -> Result<Option<String>, ContinuationMismatch> {
        let new = self.repeats.push(text).map_err(|mismatch| self.fail(mismatch))?;
        let Some(asked) = &mut self.asked else { return Ok(None) };
        asked.points += 1;
        if asked.points <= self.limits.max_unverified {
            asked.inside.read(c);
        }
        let holds_nothing = asked.fresh_points == 0;
        asked.add(&new);
        let Some(found) = self.repeats.found() else { return Ok(None) };
        if holds_nothing && found.kind != JoinKind::Exact && !new.is_empty() {
            self.held_since = Some(now_ms);
        }
        let length = asked.new_points(found.kind, self.limits.max_unverified);
        let progress = if length >= self.limits.max_unverified { Progress::Limit } else { Progress::More };
        self.judge(progress, now_ms)
    }

    /// Decides on what was received, if it is enough.
    fn judge(&mut self, progress: Progress, now_ms: u64) -> Result<Option<String>, ContinuationMismatch> {
        let (Some(asked), Some(found)) = (&self.asked, self.repeats.found()) else { return Ok(None) };
        let verdict = asked.judge(&self.limits, found.kind, progress);
        let Some(verdict) = verdict else { return Ok(None) };
        let Accepted { kind, tier, skipped } = verdict.map_err(|mismatch| self.fail(mismatch))?;
        let hit_limit = found.hit_limit || (progress == Progress::Limit && tier == Tier::Unverified);
        self.decide(kind, tier, found.points + skipped, now_ms, hit_limit)?;
        let fresh = self.asked.take().map(|asked| asked.fresh).unwrap_or_default();
        let start = fresh.char_indices().nth(skipped).map_or(fresh.len(), |(at, _)| at);
        Ok(Some(fresh[start..].to_owned()))
    }

    fn decide(
        &mut self,
        kind: JoinKind,
        tier: Tier,
        trimmed: usize,
        now_ms: u64,
        hit_limit: bool,
    ) -> Result<(), ContinuationMismatch> {
        if !self.limits.assurance.accepts(tier) {
            return Err(self.fail(ContinuationMismatch::Unverified));
        }
        let buffered_ms = self.started_at.map_or(0, |start| now_ms.saturating_sub(start));
        self.state = State::Decided(Join { kind, tier, trimmed, buffered_ms, hit_limit });
        Ok(())
    }

    fn fail(&mut self, mismatch: ContinuationMismatch) -> ContinuationMismatch {
        self.state = State::Failed(mismatch);
        self.asked = None;
        mismatch
    }
}

/// A continuation that is delivered.
struct Accepted {
    kind: JoinKind,
    tier: Tier,
    /// How much of the text after the repeat is dropped, in code points.
    skipped: usize,
}

/// Whether what follows a repetition may be followed by the instruction, or by the answer once more: a line break, a quotation
/// mark, the end of a sentence.
fn is_doubtful(new: &str) -> bool {
    new.starts_with('\n') || !new.trim_start().starts_with(char::is_alphanumeric)
}

type Verdict = Option<Result<Accepted, ContinuationMismatch>>;

impl Asked {
    fn add(&mut self, new: &str) {
        self.fresh.push_str(new);
        self.fresh_points += new.chars().count();
    }

    /// Whether a sentence goes on in what is held.
    fn goes_on(&self) -> bool {
        self.seam.is_prose() && !is_doubtful(&self.fresh)
    }

    /// How much text is held that may be new. What comes before the place where the text ended is dropped.
    fn new_points(&self, kind: JoinKind, limit: usize) -> usize {
        if kind != JoinKind::Exact || self.fresh_points < limit {
            return self.fresh_points;
        }
        // Not at every character, as in `judge`.
        let place = self.fresh_points.is_multiple_of(4).then(|| self.place());
        place.map_or(0, |place| {
            self.fresh_points - place.map_or(0, |place| place.points.min(self.fresh_points))
        })
    }

    /// Whether a text has the instruction or its quotation in it.
    fn is_echo(&self, text: &str) -> bool {
        prompts::is_echo(text) || self.seam.is_quoted(text) || self.seam.mentions_answer(text)
    }

    /// The same, or whether it begins by speaking about the answer.
    fn is_talk(&self, text: &str) -> bool {
        words::is_about_the_answer(text) || self.is_echo(text)
    }

    /// The place where the delivered text ended in a continuation that begins again.
    fn place(&self) -> Option<Place> {
        let is_all_held = self.fresh_points == self.points;
        self.inside.place().filter(|place| {
            // After talk the words may also be later ones that are alike.
            let after_talk = || place.is_exact() && self.seam.is_prose() && self.is_talk(&self.fresh);
            is_all_held && (self.seam.starts_again(&self.fresh) || after_talk())
        })
    }

    /// `None`: more is needed.
    fn judge(&self, limits: &Limits, kind: JoinKind, progress: Progress) -> Verdict {
        if kind != JoinKind::Exact {
            return self.after_repeat(limits, kind, 0, progress);
        }
        let is_over = progress != Progress::More;
        // Not at every character: a comparison with the delivered text is work.
        let step = if self.fresh_points > self.seam.needed() { 16 } else { 4 };
        if !is_over && !self.fresh_points.is_multiple_of(step) {
            return None;
        }
        if let Some(place) = self.place() {
            return self.after_repeat(limits, JoinKind::Overlap, place.points, progress);
        }
        if !is_over && self.fresh_points < self.seam.needed() {
            return None;
        }
        if self.is_talk(&self.fresh) {
            // The rest may follow after it.
            return is_over.then_some(Err(ContinuationMismatch::Echo));
        }
        let ended = matches!(progress, Progress::Ended | Progress::CutOff);
        let has_text = self.seam.has_text(&self.fresh);
        if ended && (!has_text || self.seam.ends_with(&self.fresh)) {
            return Some(self.without_text(limits, JoinKind::Exact, 0, progress));
        }
        // An echo that was cut off, for example.
        if is_over && self.seam.ends_with(&self.fresh) {
            return Some(Err(ContinuationMismatch::Repeats));
        }
        let unverified = Accepted { kind: JoinKind::Exact, tier: Tier::Unverified, skipped: 0 };
        match self.seam.judge(&self.fresh, ended) {
            Evidence::Fits if has_text || is_over => {
                Some(Ok(Accepted { tier: Tier::Verified, ..unverified }))
            }
            // Where the text ended may still come.
            Evidence::Refuted(mismatch) => is_over.then_some(Err(mismatch)),
            _ if !is_over => None,
            _ if limits.assurance == Assurance::Any => Some(Ok(unverified)),
            _ => Some(Err(ContinuationMismatch::Unverified)),
        }
    }

    /// Judges what follows a repeat: `skipped` code points of the text that is held belong to it.
    fn after_repeat(&self, limits: &Limits, kind: JoinKind, skipped: usize, progress: Progress) -> Verdict {
        let start = self.fresh.char_indices().nth(skipped).map_or(self.fresh.len(), |(at, _)| at);
        let new = &self.fresh[start..];
        let is_over = progress != Progress::More;
        let points = self.fresh_points - skipped.min(self.fresh_points);
        if new.trim().is_empty() {
            return is_over.then(|| self.without_text(limits, kind, skipped, progress));
        }
        if is_over && self.seam.closes_quote(new) {
            return Some(Err(ContinuationMismatch::Echo));
        }
        let has_text = self.seam.has_text(new);
        let is_echo = kind == JoinKind::Word && self.seam.ends_with(new);
        if (!has_text || is_echo) && is_over && progress != Progress::Limit {
            return Some(self.without_text(limits, kind, skipped, progress));
        }
        let is_doubtful = is_doubtful(new);
        if !is_over && (points < self.seam.needed() || !has_text) {
            return None;
        }
        let accepted = Accepted { kind, tier: Tier::Verified, skipped };
        let mismatch = if self.is_echo(new) || (is_doubtful && words::is_about_the_answer(new)) {
            Some(ContinuationMismatch::Echo)
        } else if kind == JoinKind::Word && self.seam.begins_again(&self.fresh) {
            Some(ContinuationMismatch::Repeats)
        } else {
            self.seam.contradicts(new, kind == JoinKind::Anchor)
        };
        Some(mismatch.map_or(Ok(accepted), Err))
    }

    /// The continuation adds no letters and no digits to what it repeats: the answer may end there, or the
    /// continuation has failed.
    fn without_text(
        &self,
        limits: &Limits,
        kind: JoinKind,
        skipped: usize,
        progress: Progress,
    ) -> Result<Accepted, ContinuationMismatch> {
        let is_vouched = kind != JoinKind::Exact || limits.may_be_complete;
        let is_end = is_vouched && self.seam.may_end();
        if is_end || progress == Progress::CutOff {
            // Nothing is added, white space neither.
            return Ok(Accepted { kind, tier: Tier::Verified, skipped: self.fresh_points.max(skipped) });
        }
        Err(ContinuationMismatch::NothingAdded)
    }
}
