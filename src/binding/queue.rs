//! The queue between the calls and one JavaScript thread: records in batches, and the decision when
//! JavaScript is woken. Pure but for its lock: the time is an argument.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

/// Up to [`FEW`] calls that stream within this time, JavaScript is woken for each piece at once: so few
/// cost little, and a caller who waits for one answer waits for nothing else.
const GAP: Duration = Duration::from_millis(1);
const FEW: u32 = 2;
/// How often JavaScript comes by itself while more calls stream, in milliseconds. Nobody has to wake it
/// then, and a timer of its loop falls together with the others: the loop is late less, and deltas age alike.
pub const PACE_MS: u32 = 2;
/// The most records of one batch; the shared array has room for as many.
pub const MAX_RECORDS: usize = 4096;
/// A batch is closed when its text has reached this many bytes.
const MAX_TEXT: usize = 32 * 1024;
/// Text of this length or more goes as a string of its own. V8 cuts shorter text out of a batch by
/// copying it; from 13 characters on it makes a slice, which keeps the whole batch in memory as long
/// as somebody keeps the piece (`SlicedString::kMinLength`).
const OWN_LENGTH: usize = 13;
/// The bit in the kind of a record that says so; `src/js/hub.ts` has the same number.
const OWN: u32 = 8;
/// What a buffer may keep for its next use: a full batch has a little more text than [`MAX_TEXT`], and
/// up to 48 KiB of words.
const MAX_SPARE: usize = 6 * MAX_TEXT;
/// Words of a record: call, kind, length in UTF-16 units. The length of text of its own is in bytes,
/// and nobody's but ours.
pub const WORDS: usize = 3;

/// What a record is. `src/js/hub.ts` has the same numbers.
#[derive(Clone, Copy)]
pub enum Record {
    Piece = 0,
    Complete = 1,
    End = 2,
    Error = 3,
    Event = 4,
    /// A question: does this error count as a failure? Answered with `NativeHub.answer`.
    Judge = 5,
    /// What was handed over is void.
    Restart = 6,
}

/// Records and their text, in order.
#[derive(Default)]
pub struct Batch {
    /// The text of the records whose text is short, joined.
    pub text: String,
    /// That of the others.
    long: String,
    pub words: Vec<u32>,
    pub non_ascii: bool,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn push(&mut self, id: u32, record: Record, text: &str) {
        let kind = record as u32;
        if text.len() >= OWN_LENGTH {
            self.long.push_str(text);
            self.words.extend_from_slice(&[id, kind | OWN, text.len() as u32]);
        } else {
            let ascii = text.is_ascii();
            let length = if ascii { text.len() } else { text.encode_utf16().count() };
            self.text.push_str(text);
            self.words.extend_from_slice(&[id, kind, length as u32]);
            self.non_ascii |= !ascii;
        }
    }

    /// The texts that go as strings of their own.
    pub fn own(&self) -> impl Iterator<Item = &str> {
        let lengths = self.words.chunks_exact(WORDS).filter(|record| record[1] & OWN != 0);
        lengths.scan(0, |at, record| {
            let from = mem::replace(at, *at + record[2] as usize);
            self.long.get(from..*at)
        })
    }

    fn append(&mut self, other: &mut Batch) {
        self.text.push_str(&other.text);
        self.long.push_str(&other.long);
        self.words.extend_from_slice(&other.words);
        self.non_ascii |= other.non_ascii;
        other.clear(MAX_SPARE);
    }

    /// The length of its text.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.long.len()
    }

    /// Empties it, and keeps no more memory than this.
    fn clear(&mut self, most: usize) {
        if self.text.capacity() + self.long.capacity() + 4 * self.words.capacity() > most {
            *self = Batch::default();
        } else {
            self.text.clear();
            self.long.clear();
            self.words.clear();
            self.non_ascii = false;
        }
    }
}

/// When JavaScript takes the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When it is woken.
    Woken = 0,
    /// By itself, after [`PACE_MS`].
    Paced = 1,
    /// By itself, as soon as others had their turn: there is more.
    AtOnce = 2,
}

pub struct Queue {
    batches: VecDeque<Batch>,
    /// JavaScript has been woken, or comes by itself.
    armed: bool,
    /// It comes by itself as long as many calls stream, where it can.
    paced: bool,
    paces: bool,
    /// How many batches were begun.
    begun: u64,
    /// The load is measured in windows: the number of this one, its beginning, and how many calls have
    /// streamed in it that go on.
    window: u64,
    since: Instant,
    streaming: u32,
    /// An empty batch that has memory.
    spare: Batch,
}

impl Queue {
    /// `paces`: JavaScript has a timer to come by.
    pub fn new(now: Instant, paces: bool) -> Self {
        Queue {
            batches: VecDeque::new(),
            armed: false,
            paced: false,
            paces,
            begun: 0,
            window: 1,
            since: now,
            streaming: 0,
            spare: Batch::default(),
        }
    }

    /// Takes what a call has collected. `counted` is the window in which the call was counted last, at
    /// first 0; `ends`: it is the last of the call. Returns the batch that it is in, and whether
    /// JavaScript is to be woken for it.
    pub fn push(
        &mut self,
        collected: &mut Batch,
        counted: &mut u64,
        ends: bool,
        now: impl FnOnce() -> Instant,
    ) -> (u64, bool) {
        let records = collected.words.len();
        let full =
            |batch: &Batch| batch.bytes() >= MAX_TEXT || batch.words.len() + records > WORDS * MAX_RECORDS;
        if self.batches.back().is_none_or(full) {
            self.batches.push_back(mem::take(&mut self.spare));
            self.begun += 1;
        }
        if let Some(batch) = self.batches.back_mut() {
            batch.append(collected);
        }
        let wakes = !mem::replace(&mut self.armed, true);
        if wakes {
            self.measure(now());
        }
        // A call that ends leaves: one after the other is no load.
        match (*counted == self.window, ends) {
            (false, false) => {
                *counted = self.window;
                self.streaming += 1;
            }
            (true, true) => self.streaming -= 1,
            _ => {}
        }
        (self.begun, wakes)
    }

    /// JavaScript is being woken: whether it comes by itself from now on.
    fn measure(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        self.paced = self.paces && self.is_busy(passed);
        if passed >= GAP {
            self.next_window(now);
        }
    }

    /// More than [`FEW`] calls have streamed in a gap.
    fn is_busy(&self, passed: Duration) -> bool {
        GAP.mul_f64(f64::from(self.streaming) / f64::from(FEW)) > passed.max(GAP)
    }

    fn next_window(&mut self, now: Instant) {
        self.window += 1;
        self.since = now;
        self.streaming = 0;
    }

    /// The next batch, when JavaScript takes the one after it, and how many were taken. `spare` is one
    /// that is done with.
    pub fn take(&mut self, mut spare: Batch, now: impl FnOnce() -> Instant) -> (Batch, Next, u64) {
        let batch = self.batches.pop_front();
        let taken = self.begun - self.batches.len() as u64;
        spare.clear(MAX_SPARE);
        self.spare = spare;
        let next = self.next(now);
        self.armed = next != Next::Woken;
        (batch.unwrap_or_default(), next, taken)
    }

    fn next(&mut self, now: impl FnOnce() -> Instant) -> Next {
        if !self.batches.is_empty() {
            return Next::AtOnce;
        }
        if !self.paced {
            return Next::Woken;
        }
        let now = now();
        let passed = now.saturating_duration_since(self.since);
        // It may come sooner than it was asked to.
        if passed >= GAP {
            self.paced = self.is_busy(passed);
            self.next_window(now);
        }
        if self.paced { Next::Paced } else { Next::Woken }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
