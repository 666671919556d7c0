//! A resilient client for OpenAI-compatible chat APIs. A call resolves to the complete answer, with each delta
//! delivered exactly once and in order, or fails with a typed error.
//!
//! # Where to look
//! | question | module |
//! |---|---|
//! | Is this failure retried, and where? | [`policy::classify`], [`policy::plan`] |
//! | When is the next attempt? | [`policy::backoff`], [`wire::retry_after`] |
//! | What may a call cost, and what did it cost? | [`policy::estimate`], [`policy::ledger`], `engine::admission` |
//! | Where is a socket read? | `transport::http` |
//! | Who runs a call? | `engine::call` |
//! | Who reads the time and sleeps? | `engine::time` |
//! | Where is JavaScript called? | `binding::hub` |
//! | Where is every default and validation? | [`config`] |
//!
//! Imports point downwards only:
//! `js → binding → engine → config → {policy, wire, session, transport, store} → {error, usage, weight, rng}`.
//! The five in the first braces do not import each other. `scripts/import-lint.mjs` enforces this.

pub mod config;
pub mod error;
pub mod policy;
pub mod rng;
pub mod session;
pub mod store;
pub mod usage;
pub mod weight;
pub mod wire;

#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod transport;

#[cfg(feature = "simulator")]
#[allow(clippy::disallowed_methods)] // A separate program, which follows real time.
pub mod simulator;

#[cfg(feature = "addon")]
pub mod binding;
