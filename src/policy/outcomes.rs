//! What is remembered of past calls: the last few outcomes, and counts over a sliding window. Both have a
//! fixed size.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many calls the health score covers (HolySheep tutorial 004).
const HISTORY: u32 = 10;

/// The slots of a window. It forgets one slot at a time.
const SLOTS: u64 = 10;

/// The last 10 outcomes as bits, the newest lowest; a success is a 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OutcomeHistory {
    outcomes: u16,
    length: u32,
}

impl OutcomeHistory {
    pub(super) fn push(&mut self, success: bool) {
        self.outcomes = (self.outcomes << 1 | u16::from(success)) & ((1 << HISTORY) - 1);
        self.length = self.length.saturating_add(1).min(HISTORY);
    }

    /// The share of successes, 0 to 100; 100 without any call.
    pub(super) fn score(self) -> f64 {
        if self.length == 0 {
            return 100.0;
        }
        // The length of a deserialized history may be too large.
        let length = self.length.min(HISTORY);
        f64::from(self.outcomes.count_ones().min(length)) * 100.0 / f64::from(length)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    /// Milliseconds since the epoch.
    start: u64,
    calls: u32,
    failures: u32,
}

/// Calls and failures within a sliding window, in at most 11 slots. If the clock goes back, the slots that
/// are then in the future are dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SlidingWindow {
    slots: Vec<Slot>,
}

impl SlidingWindow {
    pub(super) fn push(&mut self, length: Duration, now: u64, success: bool) {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let start = now - now % (length / SLOTS).max(1);
        self.slots.retain(|slot| slot.start <= start && now.saturating_sub(slot.start) < length.max(1));
        if self.slots.last().is_none_or(|slot| slot.start != start) {
            self.slots.push(Slot { start, calls: 0, failures: 0 });
        }
        if let Some(slot) = self.slots.last_mut() {
            slot.calls = slot.calls.saturating_add(1);
            slot.failures = slot.failures.saturating_add(u32::from(!success));
        }
    }

    /// The share of failures as of the last push, 0 to 1; `None` with fewer than `minimum_calls` calls.
    pub(super) fn failure_rate(&self, minimum_calls: u32) -> Option<f64> {
        let calls: u64 = self.slots.iter().map(|slot| u64::from(slot.calls)).sum();
        let failures: u64 = self.slots.iter().map(|slot| u64::from(slot.failures)).sum();
        (calls >= u64::from(minimum_calls.max(1))).then(|| failures as f64 / calls as f64)
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_covers_the_last_ten_calls() {
        let mut history = OutcomeHistory::default();
        assert_eq!(history.score(), 100.0);
        history.push(false);
        history.push(true);
        assert_eq!(history.score(), 50.0);
        for _ in 0..9 {
            history.push(true);
        }
        assert_eq!(history.score(), 100.0, "the failure is forgotten");
        history.push(false);
        assert_eq!(history.score(), 90.0);
    }

    #[test]
    fn a_window_forgets_old_calls_and_stays_bounded() {
        let length = Duration::from_secs(30);
        let mut window = SlidingWindow::default();
        for now in (1_000_000..2_000_000).step_by(250) {
            window.push(length, now, now % 500 == 0);
            assert!(window.slots.len() <= 11);
        }
        assert_eq!(window.failure_rate(10), Some(0.5));
        window.push(length, 3_000_000, false);
        assert_eq!(window.failure_rate(1), Some(1.0));
        assert_eq!(window.failure_rate(2), None);
        window.push(length, 5_000, true);
        assert_eq!(window.failure_rate(1), Some(0.0), "after the clock goes back the window is empty");
    }

    #[test]
    fn a_window_of_zero_length_does_not_panic() {
        let mut window = SlidingWindow::default();
        window.push(Duration::ZERO, 5, false);
        window.push(Duration::MAX, 6, false);
        window.push(Duration::ZERO, 6, true);
        assert!(window.failure_rate(0).is_some());
    }
}
