//! A retry budget: retries are a share of the calls, so that an outage is not multiplied by those
//! who meet it. After Finagle's `RetryBudget` and `tower::retry::budget::TpsBudget`: over a sliding
//! window, `ratio` of a retry for each call, and a floor of `min_per_second`, so that a client with
//! few calls may retry as well.
//!
//! Time is in milliseconds of the caller's clock, in ten slots to a window: a call or a retry is
//! remembered for nine to ten tenths of the window.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const SLOTS: u64 = 10;

/// How large a budget is. Defaults: [`crate::config`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Retries for each call. Default 0.2.
    pub ratio: f64,
    /// Retries a second that are there without any call. Default 10.
    pub min_per_second: f64,
    /// How long calls and retries are remembered. Default 10 s.
    pub window: Duration,
}

impl Options {
    fn slot_ms(&self) -> u64 {
        (self.window.as_millis() as u64 / SLOTS).max(1)
    }

    /// What may be spent in a window without any call.
    fn floor(&self) -> f64 {
        self.min_per_second * self.window.as_secs_f64()
    }
}

/// What happened in one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    calls: u64,
    spent: u64,
}

/// What a budget remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The length of a slot when the oldest one began: with another window the memory starts anew.
    slot_ms: u64,
    /// The number of the newest slot.
    newest: u64,
    /// Oldest first; at most [`SLOTS`].
    slots: VecDeque<Slot>,
}

impl Budget {
    /// Counts a call.
    pub fn deposit(&mut self, options: &Options, now: u64) {
        self.slot(options, now).calls += 1;
    }

    /// Whether a retry may be made now. Looking spends nothing.
    pub fn can_spend(&mut self, options: &Options, now: u64) -> bool {
        self.slot(options, now);
        let sum = |count: fn(&Slot) -> u64| self.slots.iter().map(count).sum::<u64>() as f64;
        let allowed = options.floor() + options.ratio * sum(|slot| slot.calls);
        // A tenth of ten calls is one retry, whatever binary fractions say.
        sum(|slot| slot.spent) + 1.0 <= allowed + 1e-9
    }

    /// Counts a retry, whether there is room for it or not.
    pub fn spend(&mut self, options: &Options, now: u64) {
        self.slot(options, now).spent += 1;
    }

    /// A retry that was counted a moment ago was not made.
    pub fn refund(&mut self, options: &Options, now: u64) {
        self.slot(options, now);
        if let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.spent > 0) {
            slot.spent -= 1;
        }
    }

    /// The slot of now, after the old ones were dropped. A clock that goes back stays in the newest.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn options(ratio: f64, min_per_second: f64) -> Options {
        Options { ratio, min_per_second, window: Duration::from_secs(10) }
    }

    fn withdraw(budget: &mut Budget, options: &Options, now: u64) -> bool {
        let room = budget.can_spend(options, now);
        if room {
            budget.spend(options, now);
        }
        room
    }

    #[test]
    fn the_floor_is_there_without_any_call() {
        let options = options(0.0, 2.0);
        let mut budget = Budget::default();
        let made = (0..100).filter(|_| withdraw(&mut budget, &options, NOW)).count();
        assert_eq!(made, 20, "two a second over ten seconds");
        assert!(!withdraw(&mut budget, &options, NOW + 8_000));
        assert!(withdraw(&mut budget, &options, NOW + 10_000));
    }

    #[test]
    fn beside_the_floor_retries_are_a_share_of_the_calls() {
        let options = options(0.1, 0.0);
        let mut budget = Budget::default();
        for _ in 0..9 {
            budget.deposit(&options, NOW);
        }
        assert!(!withdraw(&mut budget, &options, NOW));
        budget.deposit(&options, NOW);
        assert!(withdraw(&mut budget, &options, NOW));
        assert!(!withdraw(&mut budget, &options, NOW));
        budget.deposit(&options, NOW + 20_000);
        assert!(!withdraw(&mut budget, &options, NOW + 20_000), "old calls buy nothing");
    }

    #[test]
    fn what_was_not_made_is_given_back() {
        let options = options(0.0, 0.1);
        let mut budget = Budget::default();
        assert!(withdraw(&mut budget, &options, NOW));
        budget.refund(&options, NOW + 1_500);
        assert!(withdraw(&mut budget, &options, NOW + 1_500));
        budget.refund(&options, NOW + 90_000);
        assert_eq!(budget.slots, [Slot::default()], "it was forgotten by then");
    }

    #[test]
    fn a_clock_that_goes_back_and_another_window_break_nothing() {
        let mut budget = Budget::default();
        assert!(withdraw(&mut budget, &options(0.0, 0.1), NOW));
        assert!(!withdraw(&mut budget, &options(0.0, 0.1), NOW - 60_000));
        let short = Options { window: Duration::from_secs(1), ..options(0.0, 1.0) };
        assert!(withdraw(&mut budget, &short, NOW));
        assert!(!withdraw(&mut budget, &short, NOW));
    }

    #[test]
    fn its_state_is_a_plain_value() {
        let mut budget = Budget::default();
        budget.deposit(&options(0.2, 10.0), NOW);
        let text = serde_json::to_string(&budget).unwrap();
        assert_eq!(serde_json::from_str::<Budget>(&text).unwrap(), budget);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_retries_than_its_share_and_floor(
            ratio in 0.0..1.0f64,
            min_per_second in 0.0..5.0f64,
            events in prop::collection::vec((0..1_500u64, any::<bool>()), 1..300),
        ) {
            let options = options(ratio, min_per_second);
            let mut budget = Budget::default();
            let mut now = NOW;
            let (mut calls, mut retries) = (Vec::new(), Vec::new());
            for (passes, is_call) in events {
                now += passes;
                if is_call {
                    budget.deposit(&options, now);
                    calls.push(now);
                } else if withdraw(&mut budget, &options, now) {
                    retries.push(now);
                    // Slots are whole: what is remembered for certain is nine tenths of the window.
                    let since = |ms: u64, at: &[u64]| at.iter().filter(|at| **at + ms > now).count() as f64;
                    let bought = ratio * since(10_000, &calls) + 10.0 * min_per_second;
                    prop_assert!(since(9_000, &retries) <= bought + 1e-6);
                }
                prop_assert!(budget.slots.len() <= SLOTS as usize);
            }
        }
    }
}
