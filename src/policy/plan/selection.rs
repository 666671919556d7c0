//! A plan and how it selects the next route.

use std::time::Duration;

use rand::Rng;

use super::route_state::RouteState;
use super::types::{Reason, Route, Settings, Step, Stop};
use crate::policy::backoff::RetryDelays;

/// The retry plan of one call. See the [module](super).
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) settings: Settings,
    /// Best first; the routes of one model are adjacent.
    pub(super) routes: Vec<RouteState>,
    /// The current model.
    pub(super) model: usize,
    /// Retries made with the current model.
    pub(super) retries: u32,
    /// The models before the current one, and the retries made with each.
    earlier_models: Vec<(usize, u32)>,
    /// The route of the current attempt, as an index into `routes`.
    pub(super) current: Option<usize>,
    /// Why the current attempt is made.
    pub(super) reason: Reason,
    pub(super) previous_delay: Option<Duration>,
    /// The delays that the last failure sets, instead of the backoff.
    pub(super) retry_delays: Option<RetryDelays>,
    /// Only first tries are made.
    pub(super) budget_exhausted: bool,
    /// The backoff of the next retry has elapsed, but the attempt after it was not made.
    pub(super) backoff_done: bool,
    /// See [`Plan::with_rotation`].
    pub(super) rotates: bool,
    /// The deadline leaves no time for a retry that was due.
    deadline_too_close: bool,
    /// The call has waited for the rate limit of the current model, although another model is left.
    has_waited_for_model: bool,
    /// See [`Plan::must_queue`].
    must_queue: bool,
}

impl Plan {
    /// A plan over these routes, best first; the routes of one model must be adjacent.
    ///
    /// Each route comes with the end of the pause that its provider asked for, if any. It is not used
    /// before then. If every route is paused, the call waits for the one that is available first.
    pub fn new(settings: Settings, mut routes: Vec<(Route, Option<u64>)>) -> Self {
        routes.sort_by_key(|(route, paused_until)| (route.model, *paused_until));
        Plan {
            settings,
            routes: routes.into_iter().map(|(route, until)| RouteState::new(route, until)).collect(),
            model: 0,
            retries: 0,
            earlier_models: Vec::new(),
            current: None,
            reason: Reason::First,
            previous_delay: None,
            retry_delays: None,
            budget_exhausted: false,
            backoff_done: false,
            rotates: false,
            deadline_too_close: false,
            has_waited_for_model: false,
            must_queue: false,
        }
    }

    /// Whether the routes of a model rotate: each attempt after the first one waits, counts toward
    /// `max_retries`, and goes to the next route.
    #[must_use]
    pub fn with_rotation(mut self, rotates: bool) -> Self {
        self.rotates = rotates;
        self
    }

    /// Whether the current route is the last one: no other route is left if it fails.
    pub fn is_last_route(&self) -> bool {
        self.routes_left() == 0
    }

    /// How many routes other than the current one may still be used.
    pub fn routes_left(&self) -> usize {
        let Some(current) = self.current else { return 0 };
        let is_left = |state: &RouteState| {
            let same_model = state.route.model == self.model;
            let used_up = same_model && (state.tried || self.rotates) && !self.may_retry();
            !state.excluded && state.is_promising() && state.route.model >= self.model && !used_up
        };
        self.routes.iter().enumerate().filter(|(index, state)| *index != current && is_left(state)).count()
    }

    /// What is left of the time for which the current route may be silent, if it has been silent at the place that the
    /// answer has reached.
    pub fn silence_left(&self) -> Option<Duration> {
        self.routes[self.current?].here.allowance_left()
    }

    /// Whether the call has to wait in the queue of the current route, because no other route can be
    /// tried sooner.
    pub fn must_queue(&self) -> bool {
        self.must_queue
    }

    /// Selects the next attempt: a route that is available, or the one that becomes available first if
    /// that is sooner. `stop` is the reason if there is neither.
    pub(super) fn next_step(
        &mut self,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
        stop: Stop,
    ) -> Step {
        let Some((unavailable, available_at)) = self.next_available(now) else {
            return self.next_without_queue(now, remaining, rng, stop);
        };
        let before = self.clone();
        let paused = self.short_pause(now, remaining);
        let step = self.next_without_queue(now, remaining, rng, stop);
        if let Some((index, wait)) = paused.filter(|_| self.model != before.model) {
            *self = before;
            self.has_waited_for_model = true;
            // Not in its queue: if the pause is extended, the other model has its turn.
            let reason = self.first_try_reason();
            return self.select(index, wait, true, reason);
        }
        if matches!(step, Step::Try { wait, .. } if now.saturating_add(millis_ceil(wait)) <= available_at) {
            return step;
        }
        *self = before;
        self.queue_for(unavailable)
    }

    /// Selects among the routes that do not require queueing, model by model.
    fn next_without_queue(
        &mut self,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
        stop: Stop,
    ) -> Step {
        self.deadline_too_close = false;
        loop {
            if let Some(step) = self.next_within_model(now, remaining, rng) {
                return step;
            }
            let models = self.routes.iter().map(|state| state.route.model);
            let Some(model) = models.filter(|model| *model > self.model).min() else {
                return Step::Stop(match stop {
                    Stop::RetriesExhausted | Stop::NotRetryable if self.deadline_too_close => Stop::Deadline,
                    stop => stop,
                });
            };
            self.enter_model(model);
        }
    }

    /// Selects among the routes of the current model: a first try, or a retry after its backoff.
    fn next_within_model(
        &mut self,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Option<Step> {
        let is_candidate = |state: &RouteState| {
            state.route.model == self.model && state.is_usable(now) && !state.here.is_over()
        };
        let untried =
            self.routes.iter().position(|state| is_candidate(state) && !state.tried && state.is_ready(now));
        let rotating = self.rotates && self.has_tried_model();
        if let Some(index) = untried.filter(|_| !rotating) {
            let reason = self.first_try_reason();
            return Some(self.select(index, Duration::ZERO, false, reason));
        }
        // With rotation the first try of an endpoint waits for its turn, but does not use the budget.
        let only_untried = self.budget_exhausted && rotating && untried.is_some();
        if self.retries >= self.settings.max_retries || (self.budget_exhausted && !only_untried) {
            return None;
        }
        let has_promising = self
            .routes
            .iter()
            .any(|state| state.is_usable(now) && state.is_promising() && state.route.model >= self.model);
        let has_untried_model = self.has_untried_model(now);
        let backoff = match (self.backoff_done, &self.retry_delays) {
            (true, _) => Duration::ZERO,
            (false, Some(delays)) => delays.delay(self.retries, rng),
            (false, None) => self.settings.backoff.delay(self.retries, self.previous_delay, rng),
        };
        let due = now.saturating_add(millis_ceil(backoff));
        // A short wait beats another model.
        let wait_limit = match self.has_waited_for_model {
            true => Duration::ZERO,
            false => self.settings.max_wait_before_fallback,
        };
        let is_avoided = |state: &RouteState| {
            let wait = Duration::from_millis(state.not_before.max(due).saturating_sub(now));
            (has_promising && !state.is_promising())
                || (has_untried_model && state.rate_limited && (wait_limit.is_zero() || wait > wait_limit))
        };
        // Round robin, starting after the current route. A route whose server asked for a longer wait
        // gets its turn once that wait is over.
        let start = self.current.map_or(0, |current| current + 1);
        let count = self.routes.len();
        let index = (0..count)
            .map(|offset| (start + offset) % count)
            .filter(|index| is_candidate(&self.routes[*index]) && !is_avoided(&self.routes[*index]))
            .filter(|index| !only_untried || !self.routes[*index].tried)
            // The availability of a tried route is checked again after the backoff.
            .filter(|index| {
                let state = &self.routes[*index];
                state.is_available(now) || (state.tried && !self.backoff_done)
            })
            .min_by_key(|index| self.routes[*index].not_before.max(due))?;
        let requested = Duration::from_millis(self.routes[index].not_before.saturating_sub(now));
        let wait = backoff.max(requested);
        if !self.settings.leaves_time(wait, remaining) {
            self.deadline_too_close = true;
            return None;
        }
        self.has_waited_for_model |= has_untried_model && self.routes[index].rate_limited;
        self.retries += 1;
        if !self.backoff_done {
            self.previous_delay = Some(backoff);
        }
        self.backoff_done = false;
        let reason = match rotating && !self.routes[index].tried {
            true => Reason::Fallback,
            false => Reason::Retry(self.retries),
        };
        Some(self.select(index, wait, requested > backoff, reason))
    }

    /// Of the unavailable routes that the call may queue for, the one that becomes available first, and
    /// when.
    fn next_available(&self, now: u64) -> Option<(usize, u64)> {
        // A model before the last one tried is not returned to.
        let last_tried = self.routes.iter().filter(|state| state.tried).map(|state| state.route.model).max();
        let rotating = self.rotates && self.has_tried_model();
        let may_queue = |state: &RouteState| {
            let same_model = state.route.model == self.model;
            match state.tried {
                // A retry waits for its backoff first.
                true => same_model && self.backoff_done && self.may_retry() && !state.here.is_over(),
                false => {
                    let is_retry = rotating && same_model;
                    Some(state.route.model) >= last_tried && (!is_retry || self.may_retry())
                }
            }
        };
        self.routes
            .iter()
            .enumerate()
            .filter(|(_, state)| state.is_usable(now) && may_queue(state))
            .filter_map(|(index, state)| Some((index, state.available_at?, state.not_before)))
            .filter(|(_, available_at, _)| *available_at > now)
            .map(|(index, available_at, not_before)| (index, available_at.max(not_before)))
            .min_by_key(|(_, at)| *at)
    }

    /// The route of the current model whose provider asked for a pause that is short enough to wait for, if another model is
    /// left, and how long it takes.
    fn short_pause(&self, now: u64, remaining: Option<Duration>) -> Option<(usize, Duration)> {
        if self.has_waited_for_model || !self.has_untried_model(now) {
            return None;
        }
        let left = |state: &RouteState| {
            let is_first_try = state.route.model == self.model && !state.tried && state.is_paused;
            let wait =
                state.available_at.filter(|_| is_first_try && state.is_usable(now))?.checked_sub(now)?;
            let wait = Duration::from_millis(wait);
            let is_short = wait <= self.settings.max_wait_before_fallback;
            (!wait.is_zero() && is_short && self.settings.leaves_time(wait, remaining)).then_some(wait)
        };
        let pauses = self.routes.iter().enumerate().filter_map(|(index, state)| Some((index, left(state)?)));
        pauses.min_by_key(|(_, wait)| *wait)
    }

    /// Whether a model after the current one is left.
    fn has_untried_model(&self, now: u64) -> bool {
        self.routes.iter().any(|state| state.is_usable(now) && !state.tried && state.route.model > self.model)
    }

    /// Selects a route that is unavailable now: the call waits in its queue.
    fn queue_for(&mut self, index: usize) -> Step {
        let RouteState { route, tried, .. } = self.routes[index];
        if let Some(at) = self.earlier_models.iter().position(|(model, _)| *model == route.model) {
            // The plan passed over this model, and the next one has no capacity either.
            let retries = self.earlier_models[at].1;
            self.enter_model(route.model);
            self.earlier_models.truncate(at);
            self.retries = retries;
        } else if route.model != self.model {
            self.enter_model(route.model);
        }
        if tried || (self.rotates && self.has_tried_model()) {
            self.retries += 1;
        }
        let reason = match tried {
            true => Reason::Retry(self.retries),
            false => self.first_try_reason(),
        };
        self.backoff_done = false;
        let step = self.select(index, Duration::ZERO, false, reason);
        self.must_queue = true;
        step
    }

    /// Tries the current route once more, without a wait.
    pub fn retry_at_once(&mut self) -> Step {
        let Some(current) = self.current else { return Step::Stop(Stop::NotRetryable) };
        self.retries += 1;
        let reason = Reason::Retry(self.retries);
        self.select(current, Duration::ZERO, false, reason)
    }

    pub(super) fn enter_model(&mut self, model: usize) {
        self.earlier_models.push((self.model, self.retries));
        self.model = model;
        self.retries = 0;
        self.previous_delay = None;
        self.retry_delays = None;
        self.backoff_done = false;
        self.has_waited_for_model = false;
    }

    /// Starts the retries over.
    pub(super) fn reset_retries(&mut self) {
        self.retries = 0;
        self.previous_delay = None;
    }

    pub(super) fn select(
        &mut self,
        index: usize,
        wait: Duration,
        server_requested: bool,
        reason: Reason,
    ) -> Step {
        self.routes[index].tried = true;
        self.current = Some(index);
        self.reason = reason;
        self.must_queue = false;
        Step::Try { route: self.routes[index].route, wait, server_requested, reason }
    }

    fn may_retry(&self) -> bool {
        !self.budget_exhausted && self.retries < self.settings.max_retries
    }

    /// Whether a route of the current model was tried.
    fn has_tried_model(&self) -> bool {
        self.routes.iter().any(|state| state.route.model == self.model && state.tried)
    }

    fn first_try_reason(&self) -> Reason {
        match self.routes.iter().any(|state| state.tried) {
            true => Reason::Fallback,
            false => Reason::First,
        }
    }
}

/// Whole milliseconds, rounded up: no attempt may start sooner than the server asked.
pub(super) fn millis_ceil(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
