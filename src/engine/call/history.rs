//! The finished attempts of a call.

use crate::engine::admission::Settlement;
use crate::engine::attempt::FinishedAttempt;
use crate::error::AttemptRecord;
use crate::policy::ledger::{self, PicoUsd};

/// The finished attempts of a call, including those before a snapshot.
#[derive(Default)]
pub(super) struct History {
    pub records: Vec<AttemptRecord>,
    pub cost: CallCost,
    /// How many of the attempts came before the snapshot.
    earlier: usize,
    /// The last attempt of this call: its error's code, or `None` if it completed.
    last: Option<Option<&'static str>>,
    /// The completion of the answer has been reported.
    pub is_settled: bool,
    /// The last attempt read the rest of a stream.
    last_was_rest: bool,
}

impl History {
    /// Continues with the attempts and the cost in a snapshot.
    pub fn resume(records: Vec<AttemptRecord>, cost_usd: Option<f64>) -> Self {
        History { earlier: records.len(), records, cost: CallCost::resume(cost_usd), ..History::default() }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The number of attempts of this call, without those before the snapshot.
    pub fn attempts_made(&self) -> usize {
        self.records.len() - self.earlier
    }

    /// The code of the error of the last attempt, `complete` if it had none; `None` before the first attempt.
    pub fn last_code(&self) -> Option<&'static str> {
        self.last.map(|code| code.unwrap_or("complete"))
    }

    pub fn last_record(&self) -> Option<&AttemptRecord> {
        self.records.last()
    }

    /// The number of attempts that failed or completed: those that lost a race do not count.
    pub fn without_lost_races(&self) -> usize {
        self.records.iter().filter(|record| !record.lost_hedge_race()).count()
    }

    /// How many attempts of this call ended with this code.
    pub fn count(&self, code: &str) -> usize {
        self.records[self.earlier..].iter().filter(|record| record.outcome == code).count()
    }

    /// Whether the last attempt read the rest of a stream that the provider keeps.
    pub fn last_was_rest(&self) -> bool {
        self.last_was_rest
    }

    pub fn push(&mut self, finished: FinishedAttempt) {
        self.cost.add(finished.cost);
        self.last = Some(finished.code);
        self.is_settled |= finished.is_settled;
        self.last_was_rest = finished.is_rest;
        self.records.push(finished.record);
    }
}

/// The cost of a call so far.
#[derive(Default)]
pub(super) struct CallCost {
    spent: PicoUsd,
    /// The price of an attempt is unknown.
    is_unknown: bool,
}

impl CallCost {
    /// Continues from the cost in a snapshot.
    fn resume(usd: Option<f64>) -> Self {
        match usd {
            Some(usd) => CallCost { spent: ledger::usd_to_pico(usd.clamp(0.0, 1e6)), is_unknown: false },
            None => CallCost { is_unknown: true, ..CallCost::default() },
        }
    }

    /// In USD; `None` if the price of a model is unknown.
    pub fn usd(&self) -> Option<f64> {
        (!self.is_unknown).then(|| ledger::pico_to_usd(self.spent))
    }

    pub fn add(&mut self, settlement: Option<Settlement>) {
        match settlement {
            Some(Settlement::Cost(cost)) => self.spent = self.spent.saturating_add(cost),
            Some(Settlement::Unknown) => self.is_unknown = true,
            None => {}
        }
    }
}
