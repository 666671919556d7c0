//! A retry budget limits retries to a share of the calls, so that clients do not amplify an outage. It follows
//! Finagle's `RetryBudget` and `tower::retry::budget::TpsBudget`: over a sliding window, each call deposits
//! `ratio` of a retry, and `min_per_second` retries are always available, so that a client with few calls can
//! retry as well.
//!
//! Times are milliseconds of the caller's clock. A window has ten slots, so a call or a retry counts for nine
//! to ten tenths of the window.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const SLOTS: u64 = 10;

/// The state of a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The length of a slot. If the window changes, the budget starts over.
    slot_ms: u64,
    /// The number of the newest slot.
    newest: u64,
    /// Oldest first; at most [`SLOTS`].
    slots: VecDeque<Slot>,
}

impl Budget {
    /// Records a call.
    pub fn deposit(&mut self, options: &Options, now: u64) {
        self.slot(options, now).calls += 1;
    }

    /// Whether the budget covers a retry now. Spends nothing.
    pub fn can_spend(&mut self, options: &Options, now: u64) -> bool {
        self.slot(options, now);
        let sum = |count: fn(&Slot) -> u64| self.slots.iter().map(count).sum::<u64>() as f64;
        let allowed = options.min_per_window() + options.ratio * sum(|slot| slot.calls);
        // 10 × 0.1 must cover one retry in spite of rounding.
        sum(|slot| slot.retries) + 1.0 <= allowed + 1e-9
    }

    /// Records a retry, whether or not the budget covers it.
    pub fn spend(&mut self, options: &Options, now: u64) {
        self.slot(options, now).retries += 1;
    }

    /// Refunds a retry that was recorded a moment ago and not made.
    pub fn refund(&mut self, options: &Options, now: u64) {
        self.slot(options, now);
        if let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.retries > 0) {
            slot.retries -= 1;
        }
    }

    /// The slot of `now`, after dropping old slots. If the clock goes back, the newest slot is used.
    fn slot(&mut self, options: &Options, now: u64) -> &mut Slot {
        let slot_ms = options.slot_ms();
        let number = now / slot_ms;
        if self.slot_ms != slot_ms || self.slots.is_empty() || number >= self.newest + SLOTS {
            self.slots.clear();
            self.slots.push_back(Slot::default());
            (self.slot_ms, self.newest) = (slot_ms, number);
        }
        while self.newest < number {
            self.slots.push_back(Slot::default());
            self.newest += 1;
        }
        while self.slots.len() as u64 > SLOTS {
            self.slots.pop_front();
        }
        let last = self.slots.len() - 1;
        &mut self.slots[last]
    }
}

/// The size of a budget. For the defaults see [`crate::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Retries per call. Default 0.2.
    pub ratio: f64,
    /// Retries per second that are available without any call. Default 10.
    pub min_per_second: f64,
    /// How long calls and retries count. Default 10 s.
    pub window: Duration,
}

impl Options {
    fn slot_ms(&self) -> u64 {
        (self.window.as_millis() as u64 / SLOTS).max(1)
    }

    /// The retries that are available in a window without any call.
    fn min_per_window(&self) -> f64 {
        self.min_per_second * self.window.as_secs_f64()
    }
}

/// Calls and retries in one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    calls: u64,
    retries: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn options(ratio: f64, min_per_second: f64) -> Options {
        Options { ratio, min_per_second, window: Duration::from_secs(10) }
    }

    fn try_spend(budget: &mut Budget, options: &Options, now: u64) -> bool {
        let covered = budget.can_spend(options, now);
        if covered {
            budget.spend(options, now);
        }
        covered
    }

    #[test]
    fn the_minimum_is_available_without_any_call() {
        let options = options(0.0, 2.0);
        let mut budget = Budget::default();
        let retries = (0..100).filter(|_| try_spend(&mut budget, &options, NOW)).count();
        assert_eq!(retries, 20, "two a second over ten seconds");
        assert!(!try_spend(&mut budget, &options, NOW + 8_000));
        assert!(try_spend(&mut budget, &options, NOW + 10_000));
    }

    #[test]
    fn each_call_deposits_a_share_of_a_retry() {
        let options = options(0.1, 0.0);
        let mut budget = Budget::default();
        for _ in 0..9 {
            budget.deposit(&options, NOW);
        }
        assert!(!try_spend(&mut budget, &options, NOW));
        budget.deposit(&options, NOW);
        assert!(try_spend(&mut budget, &options, NOW));
        assert!(!try_spend(&mut budget, &options, NOW));
        budget.deposit(&options, NOW + 20_000);
        assert!(!try_spend(&mut budget, &options, NOW + 20_000), "old calls no longer count");
    }

    #[test]
    fn a_retry_that_was_not_made_is_refunded() {
        let options = options(0.0, 0.1);
        let mut budget = Budget::default();
        assert!(try_spend(&mut budget, &options, NOW));
        budget.refund(&options, NOW + 1_500);
        assert!(try_spend(&mut budget, &options, NOW + 1_500));
        budget.refund(&options, NOW + 90_000);
        assert_eq!(budget.slots, [Slot::default()], "the retry no longer counts");
    }

    #[test]
    fn a_budget_survives_a_clock_that_goes_back_and_a_changed_window() {
        let mut budget = Budget::default();
        assert!(try_spend(&mut budget, &options(0.0, 0.1), NOW));
        assert!(!try_spend(&mut budget, &options(0.0, 0.1), NOW - 60_000));
        let short = Options { window: Duration::from_secs(1), ..options(0.0, 1.0) };
        assert!(try_spend(&mut budget, &short, NOW));
        assert!(!try_spend(&mut budget, &short, NOW));
    }

    #[test]
    fn it_survives_serialization() {
        let mut budget = Budget::default();
        budget.deposit(&options(0.2, 10.0), NOW);
        let text = serde_json::to_string(&budget).unwrap();
        assert_eq!(serde_json::from_str::<Budget>(&text).unwrap(), budget);
    }

    proptest! {
        #[test]
        fn no_window_has_more_retries_than_its_budget(
            ratio in 0.0..1.0f64,
            min_per_second in 0.0..5.0f64,
            events in prop::collection::vec((0..1_500u64, any::<bool>()), 1..300),
        ) {
            let options = options(ratio, min_per_second);
            let mut budget = Budget::default();
            let mut now = NOW;
            let (mut calls, mut retries) = (Vec::new(), Vec::new());
            for (elapsed, is_call) in events {
                now += elapsed;
                if is_call {
                    budget.deposit(&options, now);
                    calls.push(now);
                } else if try_spend(&mut budget, &options, now) {
                    retries.push(now);
                    // The newest slot is partial, so only nine tenths of the window are certain to count.
                    let since = |ms: u64, at: &[u64]| at.iter().filter(|at| **at + ms > now).count() as f64;
                    let budgeted = ratio * since(10_000, &calls) + 10.0 * min_per_second;
                    prop_assert!(since(9_000, &retries) <= budgeted + 1e-6);
                }
                prop_assert!(budget.slots.len() <= SLOTS as usize);
            }
        }
    }
}
