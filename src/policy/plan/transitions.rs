//! What the engine reports to a plan, and the step that follows.

use std::time::Duration;

use rand::Rng;

use super::route_state::Here;
use super::selection::{Plan, millis_ceil};
use super::types::{Failure, Reason, Route, RouteUnavailable, Step, Stop};
use crate::policy::classify::{Classification, NextRoute};

impl Plan {
    /// The first attempt.
    pub fn start(&mut self, now: u64, remaining: Option<Duration>, rng: &mut dyn Rng) -> Step {
        let shortest = self.exclude_long_pauses(now, remaining);
        self.next_step(now, remaining, rng, shortest.map_or(Stop::NotRetryable, Stop::WaitTooLong))
    }

    /// The attempt added to the answer before it failed. Its route works, and the call gets its full
    /// number of retries again.
    pub fn attempt_progressed(&mut self) {
        self.reset_retries();
        for state in &mut self.routes {
            state.timed_out = false;
            state.rate_limited = false;
        }
    }

    /// The answer is longer than at the end of any attempt before: what happened at earlier places is no longer counted.
    pub fn place_changed(&mut self) {
        for state in &mut self.routes {
            state.here = Here::default();
        }
    }

    /// The attempt on the current route failed.
    pub fn attempt_failed(
        &mut self,
        failure: Failure,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let Some(current) = self.current else { return Step::Stop(Stop::NotRetryable) };
        let stop = self.record_failure(current, &failure, now, remaining);
        self.retry_delays = failure.retry_delays;
        match failure.class {
            Classification { retryable: false, next_route: NextRoute::Never, .. } => Step::Stop(stop),
            _ => self.next_step(now, remaining, rng, stop),
        }
    }

    /// The breaker of the current route rejects the attempt.
    pub fn circuit_open(
        &mut self,
        retry_after: Duration,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let Some(current) = self.current else { return Step::Stop(Stop::NotRetryable) };
        // At least 1 ms, or the plan would select the same route forever.
        self.routes[current].circuit_open_until = Some(now.saturating_add(millis_ceil(retry_after).max(1)));
        self.revert_attempt();
        let open_until = self.routes.iter().filter(|state| !state.excluded);
        let earliest = open_until.filter_map(|state| state.circuit_open_until).min();
        let wait = earliest.map_or(retry_after, |until| Duration::from_millis(until.saturating_sub(now)));
        self.next_step(now, remaining, rng, Stop::CircuitOpen(wait))
    }

    /// The current route cannot take the attempt now. No attempt was made, so none is counted. The next
    /// step is the route that can be tried soonest. If the call has to wait in the queue of that route,
    /// [`Plan::must_queue`] is true.
    pub fn route_unavailable(
        &mut self,
        cause: RouteUnavailable,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let Some(current) = self.current else { return Step::Stop(Stop::NotRetryable) };
        self.revert_attempt();
        let mut stop = Stop::NoCapacity;
        let state = &mut self.routes[current];
        match cause {
            RouteUnavailable::Wait(wait) => {
                state.is_paused = false;
                state.available_at = Some(now.saturating_add(millis_ceil(wait).max(1)));
            }
            RouteUnavailable::RetryAfter(wait) => {
                state.is_paused = true;
                state.available_at = Some(now.saturating_add(millis_ceil(wait).max(1)));
                if self.settings.exceeds_limits(wait, remaining) {
                    state.excluded = true;
                    stop = Stop::WaitTooLong(wait);
                }
            }
            RouteUnavailable::Rejected => state.excluded = true,
        }
        self.next_step(now, remaining, rng, stop)
    }

    /// The retry budget does not cover the retry that is due, nor any later one. First tries of other
    /// routes do not use the budget.
    pub fn retry_budget_exhausted(
        &mut self,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        if let Reason::Retry(_) = self.reason {
            self.retries -= 1;
        }
        self.budget_exhausted = true;
        self.next_step(now, remaining, rng, Stop::RetryBudgetExhausted)
    }

    /// Records what a failure says about its route and about others. Returns why the call stops if no
    /// attempt follows.
    pub(super) fn record_failure(
        &mut self,
        index: usize,
        failure: &Failure,
        now: u64,
        remaining: Option<Duration>,
    ) -> Stop {
        let Failure { class, retry_after, timed_out, rate_limited, interruption, .. } = *failure;
        if !class.retryable {
            let failed = self.routes[index].route;
            for state in &mut self.routes {
                state.excluded |= excludes(class.next_route, &failed, &state.route);
            }
        }
        let state = &mut self.routes[index];
        state.timed_out |= timed_out;
        state.rate_limited |= rate_limited;
        if let Some(interruption) = interruption {
            state.here.add(interruption);
        }
        let mut stop = match class.retryable {
            true if self.budget_exhausted => Stop::RetryBudgetExhausted,
            true => Stop::RetriesExhausted,
            false => Stop::NotRetryable,
        };
        if let Some(wait) = retry_after {
            state.not_before = now.saturating_add(millis_ceil(wait));
            if self.settings.exceeds_limits(wait, remaining) {
                state.excluded = true;
                if class.retryable {
                    stop = Stop::WaitTooLong(wait);
                }
            }
        }
        stop
    }

    /// Excludes the routes whose pause is too long, and returns the shortest of these pauses.
    fn exclude_long_pauses(&mut self, now: u64, remaining: Option<Duration>) -> Option<Duration> {
        let mut shortest: Option<Duration> = None;
        for state in &mut self.routes {
            let millis = state.available_at.map_or(0, |at| at.saturating_sub(now));
            let wait = Duration::from_millis(millis);
            if millis > 0 && self.settings.exceeds_limits(wait, remaining) {
                state.excluded = true;
                shortest = Some(shortest.map_or(wait, |shortest| shortest.min(wait)));
            }
        }
        shortest
    }

    /// The attempt that was due on the current route was not made, so it does not count.
    fn revert_attempt(&mut self) {
        let was_retry = matches!(self.reason, Reason::Retry(_));
        if let (false, Some(current)) = (was_retry, self.current) {
            self.routes[current].tried = false;
        }
        // With rotation a first try waits and counts as a retry too.
        if was_retry || (self.rotates && self.retries > 0) {
            self.retries -= 1;
            self.backoff_done = true;
        }
    }
}

/// Whether a failure of `failed` that is not retryable excludes `route` as well.
fn excludes(next_route: NextRoute, failed: &Route, route: &Route) -> bool {
    match next_route {
        NextRoute::Never => true,
        NextRoute::Any => route.id == failed.id,
        NextRoute::OtherEndpoint => route.endpoint == failed.endpoint,
        NextRoute::OtherKey => route.key == failed.key,
        NextRoute::LargerContext => {
            let no_larger =
                route.context_tokens.zip(failed.context_tokens).is_some_and(|(theirs, ours)| theirs <= ours);
            route.model == failed.model || no_larger
        }
    }
}
