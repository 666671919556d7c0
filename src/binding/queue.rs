//! The batches that wait for one JavaScript thread, and the decision when to wake it.
//!
//! While few calls stream, the first record of a batch wakes JavaScript. Under load JavaScript polls instead, on
//! a separate timer.
//!
//! The last record of a call travels in a lane of its own: what living streams deliver goes first, because an ending is
//! long and costs JavaScript much more than a delta, and a thousand calls may end at once. An ending overtakes nothing of
//! its own call, and waits for other calls for [`MAX_ENDING_WAIT`] at most.
//!
//! Pure: the time is an argument.

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

/// So many waiting batches are few: a megabyte of text at most.
const FEW_BATCHES: usize = 32;
/// How long an ending lets the records of other calls go first. Then both take turns.
const MAX_ENDING_WAIT: Duration = Duration::from_millis(50);
/// The maximum number of endings in a batch: JavaScript takes a batch as a whole, and a delta should not wait behind many.
const MAX_ENDINGS: usize = 32;

/// The load is the number of calls that stream within this window.
const WINDOW: Duration = Duration::from_millis(1);
/// Up to this many calls in a window wake JavaScript for each delta: for so few that is cheap, and the
/// caller of a single answer does not wait.
const MAX_WAKING_CALLS: u32 = 2;

pub struct Queue {
    batches: VecDeque<Batch>,
    batches_created: u64,
    /// How many batches JavaScript has read: it takes a batch once it has read the one before.
    batches_read: u64,
    /// The last records of calls. A call has at most one, so there are never more than calls in flight.
    endings: VecDeque<Endings>,
    /// The batch that was taken last was one of endings that had waited for too long.
    took_overdue: bool,
    /// The ids of detached calls that have ended, with the number of the last batch that may have records of them.
    ended: VecDeque<(u64, u32)>,
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
            batches_read: 0,
            endings: VecDeque::new(),
            took_overdue: false,
            ended: VecDeque::new(),
            take_scheduled: false,
            can_poll,
            polling: false,
            window: 1,
            window_start: now,
            streaming: 0,
            spare: Batch::default(),
        }
    }

    /// Appends records of one call. `counted_in` is the window that last counted this call, 0 at first. Returns the
    /// number of their batch, and whether to wake JavaScript.
    pub fn push(
        &mut self,
        records: &mut Batch,
        counted_in: &mut u64,
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
        let wake = self.schedule_take(now);
        if *counted_in != self.window {
            *counted_in = self.window;
            self.streaming += 1;
        }
        (self.batches_created, wake)
    }

    /// Queues the last record of a call, whose records before it are in batches up to `last_batch`. Returns whether to
    /// wake JavaScript.
    pub fn push_ending(
        &mut self,
        ending: &mut Batch,
        last_batch: u64,
        counted_in: u64,
        now: impl Fn() -> Instant,
    ) -> bool {
        let taken = self.batches_taken();
        let fits = |endings: &Endings| {
            endings.batch.text_len() < MAX_TEXT
                && endings.batch.record_count() < MAX_ENDINGS
                // Otherwise one that is due would wait for the batches that this one waits for.
                && last_batch <= endings.after.max(taken)
        };
        if !self.endings.back().is_some_and(fits) {
            self.endings.push_back(Endings { batch: Batch::default(), since: now(), after: 0 });
        }
        if let Some(endings) = self.endings.back_mut() {
            endings.batch.append(ending);
            endings.after = endings.after.max(last_batch);
        }
        let wake = self.schedule_take(now);
        self.stop_counting(counted_in);
        wake
    }

    /// A call has ended whose records JavaScript ignores. Returns whether its id is free now. Otherwise records of it are
    /// in batches up to `last_batch`, which JavaScript has not read, and a later [`Queue::take`] returns the id.
    pub fn end_detached(&mut self, id: u32, last_batch: u64, counted_in: u64) -> bool {
        self.stop_counting(counted_in);
        if last_batch <= self.batches_read {
            return true;
        }
        self.ended.push_back((self.batches_created, id));
        false
    }

    /// Removes the first batch. `spare` is a batch to reuse. JavaScript has read the batch that it took before.
    pub fn take(&mut self, mut spare: Batch, now: impl Fn() -> Instant) -> Taken {
        self.batches_read = self.batches_taken();
        let free_ids = self.ended.partition_point(|(last_batch, _)| *last_batch <= self.batches_read);
        let free_ids = self.ended.drain(..free_ids).map(|(_, id)| id).collect();
        let batch = match self.endings_are_due(&now) {
            true => self.endings.pop_front().map(|endings| endings.batch),
            false => self.batches.pop_front(),
        };
        spare.clear(MAX_SPARE);
        self.spare = spare;
        let next = self.next_take(now);
        self.take_scheduled = next != NextTake::OnWake;
        Taken { batch: batch.unwrap_or_default(), next, batches_taken: self.batches_taken(), free_ids }
    }

    pub fn has_few_batches(&self) -> bool {
        self.batches.len() <= FEW_BATCHES
    }

    fn batches_taken(&self) -> u64 {
        self.batches_created - self.batches.len() as u64
    }

    /// Whether the next batch is one of endings.
    fn endings_are_due(&mut self, now: impl Fn() -> Instant) -> bool {
        let taken = self.batches_taken();
        let Some(first) = self.endings.front() else { return false };
        if self.batches.is_empty() {
            self.took_overdue = false;
            return true;
        }
        let is_overdue = first.after <= taken
            && !self.took_overdue
            && now().saturating_duration_since(first.since) >= MAX_ENDING_WAIT;
        self.took_overdue = is_overdue;
        is_overdue
    }

    /// Has JavaScript take a batch. True if it has to be woken for that.
    fn schedule_take(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let wake = !mem::replace(&mut self.take_scheduled, true);
        if wake {
            self.update_polling(now());
        }
        wake
    }

    /// A call that ends no longer counts: calls in sequence are not load.
    fn stop_counting(&mut self, counted_in: u64) {
        if counted_in == self.window {
            self.streaming -= 1;
        }
    }

    fn next_take(&mut self, now: impl FnOnce() -> Instant) -> NextTake {
        if !self.batches.is_empty() || !self.endings.is_empty() {
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

/// Endings that are taken together.
struct Endings {
    batch: Batch,
    /// When the first of them was queued.
    since: Instant,
    /// The last batch with records of their calls.
    after: u64,
}

/// What [`Queue::take`] returns.
pub struct Taken {
    pub batch: Batch,
    pub next: NextTake,
    /// The number of batches taken so far, without those of endings.
    pub batches_taken: u64,
    /// The ids of detached calls that no record refers to anymore.
    pub free_ids: Vec<u32>,
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
