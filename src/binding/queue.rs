//! The batches that wait for one JavaScript thread, and the decision when to wake it.
//!
//! While few calls stream, the first record of a batch wakes JavaScript. Under load JavaScript polls instead, on
//! a separate timer. Pure: the time is an argument.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Batch, MAX_SPARE, MAX_TEXT, WORDS};

/// How often JavaScript polls under load, in milliseconds. No wake-up is needed then, and its timer coincides with
/// others of the event loop: the loop is delayed less, and all deltas wait equally long.
pub const POLL_INTERVAL_MS: u32 = 2;
/// The maximum number of records in a batch; the shared array has this capacity.
pub const MAX_RECORDS: usize = 4096;

/// The load is the number of calls that stream within this window.
const WINDOW: Duration = Duration::from_millis(1);
/// Up to this many calls in a window wake JavaScript for each delta: for so few that is cheap, and the
/// caller of a single answer does not wait.
const MAX_WAKING_CALLS: u32 = 2;

pub struct Queue {
    batches: VecDeque<Batch>,
    batches_created: u64,
    /// JavaScript was woken, or will poll.
    take_scheduled: bool,
    /// JavaScript has a timer to poll with.
    can_poll: bool,
    /// JavaScript polls until the load falls.
    polling: bool,
    /// The number of the current window.
    window: u64,
    window_start: Instant,
    /// How many calls have streamed in the current window and have not ended.
    streaming: u32,
    /// An empty batch that keeps its memory.
    spare: Batch,
}

impl Queue {
    /// Set `can_poll` if JavaScript has a timer to poll with.
    pub fn new(now: Instant, can_poll: bool) -> Self {
        Queue {
            batches: VecDeque::new(),
            batches_created: 0,
            take_scheduled: false,
            can_poll,
            polling: false,
            window: 1,
            window_start: now,
            streaming: 0,
            spare: Batch::default(),
        }
    }

    /// Appends the records of one call, the last ones if `is_last`. `counted_in` is the window that last
    /// counted this call, 0 at first. Returns the number of their batch, and whether to wake JavaScript.
    pub fn push(
        &mut self,
        records: &mut Batch,
        counted_in: &mut u64,
        is_last: bool,
        now: impl FnOnce() -> Instant,
    ) -> (u64, bool) {
        let new_words = records.words.len();
        let is_full = |batch: &Batch| {
            batch.text_len() >= MAX_TEXT || batch.words.len() + new_words > WORDS * MAX_RECORDS
        };
        if self.batches.back().is_none_or(is_full) {
            self.batches.push_back(mem::take(&mut self.spare));
            self.batches_created += 1;
        }
        if let Some(batch) = self.batches.back_mut() {
            batch.append(records);
        }
        let wake = !mem::replace(&mut self.take_scheduled, true);
        if wake {
            self.update_polling(now());
        }
        // A call that ends no longer counts: calls in sequence are not load.
        match (*counted_in == self.window, is_last) {
            (false, false) => {
                *counted_in = self.window;
                self.streaming += 1;
            }
            (true, true) => self.streaming -= 1,
            _ => {}
        }
        (self.batches_created, wake)
    }

    /// Removes the first batch. Returns it with the time of the next take and the number of batches taken so
    /// far. `spare` is a batch to reuse.
    pub fn take(&mut self, mut spare: Batch, now: impl FnOnce() -> Instant) -> (Batch, NextTake, u64) {
        let batch = self.batches.pop_front();
        let batches_taken = self.batches_created - self.batches.len() as u64;
        spare.clear(MAX_SPARE);
        self.spare = spare;
        let next = self.next_take(now);
        self.take_scheduled = next != NextTake::OnWake;
        (batch.unwrap_or_default(), next, batches_taken)
    }

    fn next_take(&mut self, now: impl FnOnce() -> Instant) -> NextTake {
        if !self.batches.is_empty() {
            return NextTake::Immediate;
        }
        if !self.polling {
            return NextTake::OnWake;
        }
        let now = now();
        let elapsed = now.saturating_duration_since(self.window_start);
        // JavaScript may poll early, which says nothing about the load.
        if elapsed >= WINDOW {
            self.polling = self.is_busy(elapsed);
            self.start_window(now);
        }
        if self.polling { NextTake::OnTimer } else { NextTake::OnWake }
    }

    /// Decides, as JavaScript is woken, whether it polls from now on.
    fn update_polling(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.window_start);
        self.polling = self.can_poll && self.is_busy(elapsed);
        if elapsed >= WINDOW {
            self.start_window(now);
        }
    }

    /// Whether more than [`MAX_WAKING_CALLS`] calls stream in a window, on average over `elapsed`.
    fn is_busy(&self, elapsed: Duration) -> bool {
        WINDOW.mul_f64(f64::from(self.streaming) / f64::from(MAX_WAKING_CALLS)) > elapsed.max(WINDOW)
    }

    fn start_window(&mut self, now: Instant) {
        self.window += 1;
        self.window_start = now;
        self.streaming = 0;
    }
}

/// When JavaScript takes the next batch. `src/js/record-batch.ts` has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTake {
    /// When it is woken.
    OnWake = 0,
    /// By itself, after [`POLL_INTERVAL_MS`].
    OnTimer = 1,
    /// By itself, in the next round of its event loop: more batches wait.
    Immediate = 2,
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
