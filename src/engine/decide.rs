//! Decisions for helpers outside of a call: the same as the engine's own.

use std::time::Duration;

use serde_json::{Value, json};

pub use crate::policy::decisions::DecisionTable;

use crate::policy::backoff::Backoff;
use crate::policy::decisions::Decision;

/// The wait before retry number `retry`, counted from 0.
pub fn backoff_delay(backoff: &Backoff, retry: u32, previous: Option<Duration>) -> Duration {
    backoff.delay(retry, previous, &mut rand::rng())
}

/// What is done about a failure, in the words of the option.
pub fn decide(table: &DecisionTable, code: &str, status: Option<u16>) -> Value {
    say(&table.decide(code, status))
}

/// What the table itself says; `None` where it has no row for the failure.
pub fn row(table: &DecisionTable, code: &str, status: Option<u16>) -> Option<Value> {
    table.decision_for_code(code, status).map(say)
}

fn say(decision: &Decision) -> Value {
    match decision {
        Decision::Retry => json!("retry"),
        Decision::Never => json!("never"),
        Decision::Fallback => json!("fallback"),
        Decision::Delays(waits) => json!({ "delaysMs": millis(waits) }),
        Decision::FiniteDelays(waits) => json!({ "delaysMs": millis(waits), "repeat": false }),
    }
}

fn millis(waits: &[Duration]) -> Vec<u64> {
    waits.iter().map(|wait| wait.as_millis() as u64).collect()
}
