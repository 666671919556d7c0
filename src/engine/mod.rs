//! One logical call from admission to the last piece. The only place that sleeps.

pub mod admission;
mod answer;
mod attempt;
mod bill;
pub mod breaker;
pub mod budget;
mod call;
mod client;
#[allow(clippy::disallowed_methods)] // The only place that sleeps.
pub mod clock;
mod closing;
mod cost;
pub mod decide;
mod delivery;
mod dialect;
pub mod event;
mod extras;
pub mod health;
mod hedge;
pub mod limiter;
mod line;
pub mod live;
pub mod metrics;
mod metrics_report;
mod models;
mod opening;
pub mod recovery;
mod request;
mod room;
mod route;
pub mod sink;
mod spent;
mod stopping;
#[allow(clippy::disallowed_methods)] // It stands in for time.
pub mod test_clock;
mod turn;
mod waits;

pub use answer::Answer;
pub use client::{Call, Client, session_id};

// What the binding needs of the modules below: it sees the engine alone.
pub use crate::policy::catalogue;
pub use crate::policy::circuit_breaker::{Outcome, State};
pub use crate::policy::classify::is_retryable_code;
pub use crate::policy::complexity;
pub use crate::policy::route::{Record, Shown, scores};
pub use crate::session::prompts::{Style, continuation};
pub use crate::session::snapshot::Snapshot;
pub use crate::transport::http::HttpTransport;
pub use crate::transport::root_certs::{RootCertSources, parse_certificates, set_root_cert_sources};
pub use crate::wire::chat::ChatRequest;
pub use crate::wire::dialect::Dialect;
pub use crate::wire::retry_after;

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Their time is tokio's, paused.
mod tests;
