//! The decisions of the client: retries, routing, rate limits, circuit breakers and costs. Pure: without a
//! clock, I/O or a random number generator. `now` and `rng` are arguments.

pub mod backoff;
pub mod catalogue;
pub mod circuit_breaker;
pub mod classify;
pub mod complexity;
pub mod deadline;
pub mod decisions;
pub mod estimate;
pub mod histogram;
pub mod interruption;
pub mod ledger;
mod outcomes;
pub mod plan;
pub mod retry_budget;
pub mod routing;
mod server_refill;
pub mod throughput;
pub mod token_bucket;
pub mod usage_bound;
