//! The JavaScript boundary, and the only module that knows napi: options in, deltas and errors out. One file for
//! each class.
//!
//! A call reaches JavaScript through four files: `event_channel` is the engine's sink for one call, `hub`
//! collects the records of all calls of a thread in a `queue` of `batch`es, and `native_hub` hands the
//! batches to JavaScript.

mod batch;
mod breaker;
mod client;
mod clock;
mod errors;
mod event_channel;
pub mod helpers;
mod hub;
mod limiter;
mod memory;
mod native_hub;
pub mod network;
mod queue;
pub mod redactor;
mod runtime;
mod simulator;
mod timer;
pub mod wrappers;
