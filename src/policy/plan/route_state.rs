//! What a plan knows of one of its routes.

use super::types::Route;

/// A route and what this call has learned about it. Times are milliseconds of the caller's clock.
#[derive(Clone, Debug)]
pub(super) struct RouteState {
    pub route: Route,
    pub tried: bool,
    /// Not used again in this call.
    pub excluded: bool,
    pub timed_out: bool,
    pub rate_limited: bool,
    /// Its circuit breaker is open until then.
    pub circuit_open_until: Option<u64>,
    /// When it can take an attempt, if it was unavailable at the last check.
    pub available_at: Option<u64>,
    /// The server asked not to be called before then.
    pub not_before: u64,
}

impl RouteState {
    pub(super) fn new(route: Route, available_at: Option<u64>) -> Self {
        RouteState {
            route,
            tried: false,
            excluded: false,
            timed_out: false,
            rate_limited: false,
            circuit_open_until: None,
            available_at,
            not_before: 0,
        }
    }

    /// Not excluded, and its breaker is not known to be open.
    pub(super) fn is_usable(&self, now: u64) -> bool {
        !self.excluded && self.circuit_open_until.is_none_or(|until| until <= now)
    }

    /// Not known to be unavailable.
    pub(super) fn is_available(&self, now: u64) -> bool {
        self.available_at.is_none_or(|at| at <= now)
    }

    /// Could take an attempt now.
    pub(super) fn is_ready(&self, now: u64) -> bool {
        self.is_available(now) && self.not_before <= now
    }
}
