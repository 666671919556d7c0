//! Decisions for helpers outside a call: the same ones that the engine makes.

use std::time::Duration;

use serde_json::{Value, json};

pub use crate::policy::decisions::DecisionTable;

use crate::policy::backoff::Backoff;
use crate::policy::decisions::Decision;

/// The wait before retry number `retry`, counted from 0.
pub fn backoff_delay(backoff: &Backoff, retry: u32, previous: Option<Duration>) -> Duration {
    backoff.delay(retry, previous, &mut rand::rng())
}

/// The decision for a failure, in terms of the `retryOn` option.
pub fn decide(table: &DecisionTable, code: &str, status: Option<u16>) -> Value {
    to_option(&table.decide(code, status))
}

/// The matching row of the table; `None` if no row matches the failure.
pub fn row(table: &DecisionTable, code: &str, status: Option<u16>) -> Option<Value> {
    table.decision_for_code(code, status).map(to_option)
}

fn to_option(decision: &Decision) -> Value {
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
