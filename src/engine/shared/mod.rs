//! What the calls of a client share, one type per module, and the interface between a call and its consumer ([`sink`],
//! [`event`], [`live_snapshot`]).

pub mod breaker;
pub mod call_request;
pub mod client_state;
pub mod concurrency;
pub mod continuation;
pub mod costs;
pub mod endpoint;
pub mod event;
pub mod ids;
pub mod limiter;
pub mod live_snapshot;
pub mod metrics;
pub mod metrics_report;
pub mod queue;
mod queue_slot;
pub mod redaction;
pub mod retry_budget;
pub mod sink;
