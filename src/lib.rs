//! A client for OpenAI-compatible chat APIs that keeps its promise when the provider does not:
//! one call is the whole answer, each piece once and in order, or a typed error.
//!
//! # Where to find what
//! | question | place |
//! |---|---|
//! | Is this failure retried, and where? | [`policy::classify`], [`policy::plan`] |
//! | When is the next attempt? | [`policy::backoff`], [`wire::retry_after`] |
//! | What may a call cost, and what has it? | [`policy::estimate`], [`policy::ledger`], `engine::cost` |
//! | Where is a socket read? | `transport::http` |
//! | Who runs a call and sleeps? | `engine::call` |
//! | Where is JavaScript called? | `binding::hub` |
//! | Every default and validation | [`config`] |
//!
//! Imports run downwards only:
//! `js → binding → engine → config → {policy, wire, session, transport, store} → error`.
//! The five in the braces do not import each other. `scripts/import-lint.mjs` checks this, and that no files
//! import each other in a circle.

pub mod config;
pub mod error;
pub mod policy;
pub mod session;
pub mod store;
pub mod wire;

#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod transport;

#[cfg(feature = "simulator")]
#[allow(clippy::disallowed_methods)] // A program of its own, with its own time.
pub mod simulator;

#[cfg(feature = "addon")]
pub mod binding;
