//! What a circuit breaker remembers of past calls: the last few, and counts over a window.
//! Both are bounded, whatever comes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many calls the health score looks back on (document 004).
const HISTORY: u32 = 10;

/// In how many steps a window forgets.
const STEPS: u64 = 10;

/// The last 10 outcomes, newest in the lowest bit; a success is a 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct History {
    outcomes: u16,
    length: u32,
}

impl History {
    pub(super) fn push(&mut self, success: bool) {
        self.outcomes = (self.outcomes << 1 | u16::from(success)) & ((1 << HISTORY) - 1);
        self.length = self.length.saturating_add(1).min(HISTORY);
    }

    /// Share of successes, 0 to 100; 100 when there was no call.
    pub(super) fn score(self) -> f64 {
        if self.length == 0 {
            return 100.0;
        }
        let length = self.length.min(HISTORY);
        f64::from(self.outcomes.count_ones().min(length)) * 100.0 / f64::from(length)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    /// Milliseconds since the epoch.
    start: u64,
    calls: u32,
    failures: u32,
}

/// Calls and failures of the last while, in at most 11 steps: it forgets a tenth of the window at
/// a time. A clock that goes back drops what then lies in the future.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Window {
    steps: Vec<Step>,
}

impl Window {
    pub(super) fn push(&mut self, length: Duration, now: u64, success: bool) {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let start = now - now % (length / STEPS).max(1);
        self.steps.retain(|step| step.start <= start && now.saturating_sub(step.start) < length.max(1));
        if self.steps.last().is_none_or(|step| step.start != start) {
            self.steps.push(Step { start, calls: 0, failures: 0 });
        }
        if let Some(step) = self.steps.last_mut() {
            step.calls = step.calls.saturating_add(1);
            step.failures = step.failures.saturating_add(u32::from(!success));
        }
    }

    /// Share of failures as of the last push, 0 to 1; none with fewer calls than `minimum_calls`.
    pub(super) fn failure_rate(&self, minimum_calls: u32) -> Option<f64> {
        let calls: u64 = self.steps.iter().map(|step| u64::from(step.calls)).sum();
        let failures: u64 = self.steps.iter().map(|step| u64::from(step.failures)).sum();
        (calls >= u64::from(minimum_calls.max(1))).then(|| failures as f64 / calls as f64)
    }

    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_looks_at_the_last_ten_calls() {
        let mut history = History::default();
        assert_eq!(history.score(), 100.0);
        history.push(false);
        history.push(true);
        assert_eq!(history.score(), 50.0);
        for _ in 0..9 {
            history.push(true);
        }
        assert_eq!(history.score(), 100.0, "the failure has left");
        history.push(false);
        assert_eq!(history.score(), 90.0);
    }

    #[test]
    fn a_window_forgets_and_stays_bounded() {
        let length = Duration::from_secs(30);
        let mut window = Window::default();
        for now in (1_000_000..2_000_000).step_by(250) {
            window.push(length, now, now % 500 == 0);
            assert!(window.steps.len() <= 11);
        }
        assert_eq!(window.failure_rate(10), Some(0.5));
        window.push(length, 3_000_000, false);
        assert_eq!(window.failure_rate(1), Some(1.0));
        assert_eq!(window.failure_rate(2), None);
        window.push(length, 5_000, true);
        assert_eq!(window.failure_rate(1), Some(0.0), "a clock that goes back starts anew");
    }

    #[test]
    fn a_window_of_no_length_does_not_panic() {
        let mut window = Window::default();
        window.push(Duration::ZERO, 5, false);
        window.push(Duration::MAX, 6, false);
        window.push(Duration::ZERO, 6, true);
        assert!(window.failure_rate(0).is_some());
    }
}
