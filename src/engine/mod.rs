//! The engine runs calls. It is the only part of the client that sleeps.
//!
//! Its floors, from the bottom up. Each imports only those listed before it:
//!
//! | floor | what it decides |
//! |---|---|
//! | [`time`] | nothing: the clock, the test clock, timers |
//! | [`shared`] | nothing: what the calls of a client share, one type per module |
//! | [`admission`] | may this attempt run now? It yields a [`admission::Permit`], which settles itself when dropped |
//! | [`attempt`] | one attempt: open, read, deliver; it owns its permit, and its result is a value |
//! | [`call`] | one call: the loop that follows the plan, hedging, recovery, the outcome |
//! | [`client`] | the entry point: starts calls, closes, lists models, checks health |

pub mod admission;
pub mod attempt;
pub mod call;
pub mod client;
pub mod shared;
pub mod time;

pub use call::Answer;
pub use client::continuation_probe::ContinuationProbe;
pub use client::{Client, decisions, health};
pub use shared::call_request::CallRequest;
pub use shared::ids::session_id;
pub use shared::{breaker, event, limiter, live_snapshot, retry_budget, sink};
pub use time::{IdleProbe, clock, test_clock};

// What the binding needs from the modules below: it imports only the engine.
pub use crate::policy::catalogue;
pub use crate::policy::circuit_breaker::{Outcome, State};
pub use crate::policy::classify::is_retryable_code;
pub use crate::policy::complexity;
pub use crate::policy::routing::{RouteSnapshot, RouteStats, scores};
pub use crate::session::prompts::{Style, continuation};
pub use crate::session::snapshot::Snapshot;
pub use crate::transport::http::HttpTransport;
pub use crate::transport::root_certs::{RootCertSources, parse_certificates, set_root_cert_sources};
pub use crate::wire::chat::ChatRequest;
pub use crate::wire::dialect::Dialect;
pub use crate::wire::one_line::one_line;
pub use crate::wire::redactor::Redactor;
pub use crate::wire::retry_after;

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Their time is tokio's, paused.
mod tests;
