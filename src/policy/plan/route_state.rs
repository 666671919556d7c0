//! What a plan knows of one of its routes.

use std::time::Duration;

use super::types::Route;
use crate::policy::interruption::Interruption;

/// A route whose attempts ended so often at the same place is asked again only if no other route is left.
const MAX_INTERRUPTIONS: u32 = 2;
/// A route that was silent so often at the same place, for as long as the caller allows, is not asked again.
const MAX_STALLS: u32 = 2;

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
    /// Its provider asked for that, not a limit of this client.
    pub is_paused: bool,
    /// The attempts that ended at the place that the answer has reached.
    pub here: Here,
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
            is_paused: available_at.is_some(),
            here: Here::default(),
            not_before: 0,
        }
    }

    /// Not excluded, and its breaker is not known to be open.
    pub(super) fn is_usable(&self, now: u64) -> bool {
        !self.excluded && self.circuit_open_until.is_none_or(|until| until <= now)
    }

    /// Whether another attempt promises more than those before: it has neither timed out, nor ended twice at the same
    /// place.
    pub(super) fn is_promising(&self) -> bool {
        !self.timed_out && self.here.interruptions < MAX_INTERRUPTIONS
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

/// The attempts on a route that ended at the same place of the answer: none has added to it since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Here {
    interruptions: u32,
    stalls: u32,
    /// How long the route was silent in all of them.
    silence: Duration,
    /// How long it may be silent in all.
    allowance: Duration,
}

impl Here {
    pub(super) fn add(&mut self, interruption: Interruption) {
        self.interruptions += 1;
        if let Interruption::Stalled { silence, allowance } = interruption {
            self.stalls += 1;
            self.silence = self.silence.saturating_add(silence);
            self.allowance = self.allowance.max(allowance);
        }
    }

    /// Whether the route has had its time: another attempt would only be silent for longer.
    pub(super) fn is_over(&self) -> bool {
        self.stalls >= MAX_STALLS && self.silence >= self.allowance
    }

    /// What is left of the allowance after a stall; `None` if the route has not stalled here.
    pub(super) fn allowance_left(&self) -> Option<Duration> {
        (self.stalls > 0).then(|| self.allowance.saturating_sub(self.silence))
    }
}
