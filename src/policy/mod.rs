//! What to do. Pure: no clock, no I/O, no randomness of its own; `now` and `rng` are arguments.

pub mod backoff;
pub mod circuit_breaker;
pub mod classify;
pub mod estimate;
pub mod histogram;
mod outcomes;
pub mod plan;
pub mod route;
pub mod token_bucket;
