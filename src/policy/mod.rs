//! What to do. Pure: no clock, no I/O, no randomness of its own; `now` and `rng` are arguments.

pub mod backoff;
pub mod catalogue;
pub mod circuit_breaker;
pub mod classify;
pub mod complexity;
pub mod deadline;
pub mod decisions;
pub mod estimate;
pub mod histogram;
pub mod ledger;
mod outcomes;
pub mod plan;
pub mod retry_budget;
pub mod routing;
pub mod token_bucket;
