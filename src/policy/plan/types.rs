//! The values that the engine exchanges with a plan.

use std::time::Duration;

use crate::policy::backoff::{Backoff, RetryDelays};
use crate::policy::classify::Classification;
use crate::policy::interruption::Interruption;

/// A route of a call, as an index into the call's list of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub usize);

/// One route of a plan: an endpoint and a model, as indexes into the caller's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub id: RouteId,
    pub endpoint: usize,
    pub model: usize,
    /// The API key. Routes that share a key have the same number.
    pub key: usize,
    /// The context window of the model in tokens, if known.
    pub context_tokens: Option<u64>,
}

/// The limits of a plan.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Retries per model, after the first try of each of its routes.
    pub max_retries: u32,
    pub backoff: Backoff,
    /// The longest `Retry-After` that is honored. A route that asks for more is not used again.
    pub max_retry_after: Duration,
    /// The longest wait for a model whose rate limit is reached, if another model is left: the wait comes before that
    /// model, once for each model. Zero: the other model comes first.
    pub max_wait_before_fallback: Duration,
    /// The time that an attempt needs at least. No retry is made if less is left before the deadline.
    pub min_attempt_time: Duration,
}

impl Settings {
    /// Whether a wait that a server asks for exceeds `max_retry_after` or the time that is left.
    pub(super) fn exceeds_limits(&self, wait: Duration, remaining: Option<Duration>) -> bool {
        wait > self.max_retry_after || !self.leaves_time(wait, remaining)
    }

    /// Whether there is time for an attempt after this wait.
    pub(super) fn leaves_time(&self, wait: Duration, remaining: Option<Duration>) -> bool {
        remaining.is_none_or(|left| wait < left && wait.saturating_add(self.min_attempt_time) <= left)
    }
}

/// Why an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The first attempt of the call.
    First,
    /// A retry on the routes of the same model; 1-based.
    Retry(u32),
    /// The first try of another route.
    Fallback,
}

/// What the engine does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try this route.
    Try {
        route: Route,
        /// How long to wait first.
        wait: Duration,
        /// The server asked for the wait, and it is longer than the backoff.
        server_requested: bool,
        reason: Reason,
    },
    /// No attempt is left.
    Stop(Stop),
}

/// Why no attempt is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The failure is not retryable.
    NotRetryable,
    /// The retries are used up.
    RetriesExhausted,
    /// A retry is left, but the deadline leaves no time for it.
    Deadline,
    /// The server asks for a longer wait than `max_retry_after` or the deadline allows.
    WaitTooLong(Duration),
    /// The circuit breaker of every remaining route is open. The first probe is due after this time.
    CircuitOpen(Duration),
    /// No remaining route accepts the call: it exceeds their limits, or their queues are full.
    NoCapacity,
    /// The retry budget is exhausted.
    RetryBudgetExhausted,
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub struct Failure {
    pub class: Classification,
    /// The wait that the server asked for.
    pub retry_after: Option<Duration>,
    /// The attempt timed out, or ended after a long silence. Such a route is retried only if no other route is left.
    pub timed_out: bool,
    /// The route is rate limited. Unless the wait is short, a model that was not tried yet comes before a retry here.
    pub rate_limited: bool,
    /// The attempt ended without a verdict of the provider.
    pub interruption: Option<Interruption>,
    /// The delays of the retries, instead of the backoff.
    pub retry_delays: Option<RetryDelays>,
}

/// Why a route cannot take an attempt now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteUnavailable {
    /// Its rate limit has no capacity for this long.
    Wait(Duration),
    /// Its provider asked for a pause, which lasts this much longer.
    RetryAfter(Duration),
    /// It does not accept this call at all: the call exceeds its limits, or its queue is full.
    Rejected,
}
