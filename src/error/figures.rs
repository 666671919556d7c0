//! The figures behind an error, and whose limit it was.

use serde::Serialize;

/// Where the time of a call went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeBreakdown {
    /// In queues: for a slot or for the rate limit.
    pub queue_ms: u64,
    /// Between attempts: backoff and `Retry-After`.
    pub wait_ms: u64,
    /// In attempts.
    pub attempt_ms: u64,
}

/// The figures behind a [`Kind::CostCap`](super::Kind::CostCap) error, in USD.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CostCap {
    pub cap_usd: f64,
    pub spent_usd: f64,
    /// Reserved by calls in flight, including this one if its answer was cut off.
    pub reserved_usd: f64,
    pub needed_usd: f64,
    pub window: &'static str,
}

/// Whose limit a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// All calls of the client share it.
    Client,
    /// The calls of one tenant share it.
    Tenant,
}

impl LimitScope {
    pub fn as_str(self) -> &'static str {
        match self {
            LimitScope::Client => "client",
            LimitScope::Tenant => "tenant",
        }
    }
}
