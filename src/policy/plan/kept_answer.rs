//! What follows an attempt whose answer the provider keeps: the same route is asked for the rest of it.

use std::time::Duration;

use rand::Rng;

use super::route_state::RouteState;
use super::selection::Plan;
use super::types::{Failure, Reason, RouteId, Step};

impl Plan {
    /// The first attempt of a call whose answer the provider of this route keeps.
    pub fn start_where_kept(
        &mut self,
        route: RouteId,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let has_it =
            |state: &RouteState| state.route.id == route && state.is_usable(now) && state.is_ready(now);
        let Some(index) = self.routes.iter().position(has_it) else { return self.start(now, remaining, rng) };
        if self.routes[index].route.model != self.model {
            self.enter_model(self.routes[index].route.model);
        }
        self.select(index, Duration::ZERO, false, Reason::First)
    }

    /// The attempt on the current route failed, and its provider keeps the answer: no other route can send the rest of
    /// it. The first request for it does not wait, unless the provider asks for that. If the route cannot be used again, what follows is what
    /// follows any other failure.
    pub fn attempt_failed_with_answer_kept(
        &mut self,
        failure: Failure,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let Some(current) = self.current else { return self.attempt_failed(failure, now, remaining, rng) };
        let before = self.clone();
        self.record_failure(current, &failure, now, remaining);
        if self.may_ask_again(current, now) {
            let backoff = match self.retries {
                0 => Duration::ZERO,
                retries => self.settings.backoff.delay(retries - 1, self.previous_delay, rng),
            };
            let requested = Duration::from_millis(self.routes[current].not_before.saturating_sub(now));
            let wait = backoff.max(requested);
            if self.settings.leaves_time(wait, remaining) {
                self.retries += 1;
                self.previous_delay = (!backoff.is_zero()).then_some(backoff);
                self.backoff_done = false;
                let reason = Reason::Retry(self.retries);
                return self.select(current, wait, requested > backoff, reason);
            }
        }
        *self = before;
        self.attempt_failed(failure, now, remaining, rng)
    }

    fn may_ask_again(&self, current: usize, now: u64) -> bool {
        let state = &self.routes[current];
        state.is_usable(now) && self.retries < self.settings.max_retries && !self.budget_exhausted
    }
}
