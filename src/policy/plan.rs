//! Which route is tried next, and when: the retry loop inside the fallback over routes, as a pure
//! state machine. The engine reports what happened and does what it is told.
//!
//! The routes of one model are replicas: the first try of each is free and does not wait, then
//! retries go round among them with backoff, `max_retries` in all. When they are used up, or none of
//! these routes can be used any more, the next model follows, with a first try and retries of its own.

use std::time::Duration;

use rand::Rng;

use super::backoff::{Backoff, Waits};
use super::classify::{Class, NextRoute};

/// One route of a plan: indexes into the caller's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The caller's own index of the route.
    pub place: usize,
    pub endpoint: usize,
    pub model: usize,
    /// Routes with the same key have the same number.
    pub key: usize,
    /// The largest prompt of the model in tokens, where it is known.
    pub context: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub max_retries: u32,
    pub backoff: Backoff,
    /// A server that asks for a longer wait is not waited for.
    pub max_retry_after: Duration,
    /// A retry after whose wait the deadline leaves less is not made.
    pub min_attempt: Duration,
}

/// Why the next attempt is made where it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The first attempt of the call.
    First,
    /// Another try among the routes of the same model; 1-based.
    Retry(u32),
    /// The first try of another route.
    Fallback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Try {
        route: Route,
        wait: Duration,
        /// The wait is as long as it is because the server asked for it.
        asked: bool,
        reason: Reason,
    },
    /// Nothing is left.
    Stop(Stop),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The failure is not one that another attempt could mend.
    NotRetryable,
    /// The retries are used up.
    Exhausted,
    /// A retry is left, and the deadline leaves no time for it.
    Deadline,
    /// The server asks for a longer wait than is allowed or than the deadline leaves.
    WaitTooLong(Duration),
    /// The breaker of every route that is left is open.
    CircuitOpen(Duration),
    /// The retry budget is used up.
    NoBudget,
}

/// What a failed attempt said.
#[derive(Clone, Debug)]
pub struct Failure {
    pub class: Class,
    pub retry_after: Option<Duration>,
    /// Nothing came in time: such a route is not tried twice where another exists.
    pub silent: bool,
    /// Too much was asked of it: a model that was not tried yet is asked before this route is again.
    pub limited: bool,
    /// How long a retry waits, in place of the backoff.
    pub waits: Option<Waits>,
}

#[derive(Clone, Debug)]
struct State {
    route: Route,
    tried: bool,
    /// Not used again in this call.
    dead: bool,
    silent: bool,
    limited: bool,
    /// Closed by its breaker until then (milliseconds of the caller's clock).
    blocked_until: Option<u64>,
    not_before: u64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    settings: Settings,
    states: Vec<State>,
    model: usize,
    retries: u32,
    current: Option<usize>,
    /// Why the current one was taken.
    reason: Reason,
    previous_delay: Option<Duration>,
    /// The waits of the last failure's own.
    waits: Option<Waits>,
    /// The retry budget is used up: only first tries are made.
    broke: bool,
    /// A backoff has been waited for, and then the breaker denied the attempt.
    paid: bool,
    /// See [`Plan::rotating`].
    rotates: bool,
    /// A retry was due that the deadline leaves no time for.
    late: bool,
}

impl Plan {
    /// A plan over these routes, best first; the routes of one model stand together.
    ///
    /// Beside each stands until when it asks to be left alone, where it does. It is not used before
    /// that where its model has a route that does not cool; where all of them do, they are tried all
    /// the same, the one that cools longest last.
    pub fn new(settings: Settings, routes: Vec<(Route, Option<u64>)>) -> Self {
        let mut routes = routes;
        routes.sort_by_key(|(route, cooling)| (route.model, *cooling));
        let free = |model| routes.iter().any(|(route, cooling)| route.model == model && cooling.is_none());
        let state = |&(route, cooling): &(Route, Option<u64>)| State {
            route,
            tried: false,
            dead: false,
            silent: false,
            limited: false,
            blocked_until: None,
            not_before: cooling.filter(|_| free(route.model)).unwrap_or(0),
        };
        Plan {
            states: routes.iter().map(state).collect(),
            settings,
            model: 0,
            retries: 0,
            current: None,
            reason: Reason::First,
            previous_delay: None,
            waits: None,
            broke: false,
            paid: false,
            rotates: false,
            late: false,
        }
    }

    /// Whether the routes of a model take turns: every attempt after its first one waits, counts as one of
    /// `max_retries`, and goes to the next route.
    #[must_use]
    pub fn rotating(mut self, rotates: bool) -> Self {
        self.rotates = rotates;
        self
    }

    /// True when there is no other route to go to than the one that is tried now.
    pub fn is_last(&self) -> bool {
        self.others() == 0
    }

    /// How many other routes than the one that is tried now are left to go to.
    pub fn others(&self) -> usize {
        let Some(current) = self.current else { return 0 };
        let left = |state: &State| {
            let same_model = state.route.model == self.model;
            let turn_is_over = same_model && (state.tried || self.rotates) && !self.may_retry();
            !state.dead && !state.silent && state.route.model >= self.model && !turn_is_over
        };
        self.states.iter().enumerate().filter(|(index, state)| *index != current && left(state)).count()
    }

    /// The routes beside the one that is tried now that this call has not tried yet and may, best first: those
    /// of the same model, then those of the next ones.
    pub fn spare(&self, now: u64) -> Vec<Route> {
        let free = |state: &State| {
            let open = !state.dead && state.blocked_until.is_none_or(|until| until <= now);
            open && !state.tried && state.not_before <= now && state.route.model >= self.model
        };
        self.states.iter().filter(|state| free(state)).map(|state| state.route).collect()
    }

    /// A spare route was tried beside the current one.
    pub fn hedged(&mut self, place: usize) {
        if let Some(state) = self.states.iter_mut().find(|state| state.route.place == place) {
            state.tried = true;
        }
    }

    /// One of two attempts that ran beside each other has failed: what follows is that of the other one.
    pub fn fell(&mut self, place: usize, failure: &Failure, now: u64, remaining: Option<Duration>) {
        if let Some(index) = self.states.iter().position(|state| state.route.place == place) {
            self.mark(index, failure, now, remaining);
        }
    }

    /// The current route is this one from now on. Where it has brought a first token the call goes on with its
    /// model, whose retries are not used yet.
    pub fn moved(&mut self, place: usize, brought: bool) {
        let Some(index) = self.states.iter().position(|state| state.route.place == place) else { return };
        self.current = Some(index);
        let model = self.states[index].route.model;
        if brought && model != self.model {
            self.enter(model);
        }
    }

    fn enter(&mut self, model: usize) {
        self.model = model;
        self.retries = 0;
        self.previous_delay = None;
        self.waits = None;
        self.paid = false;
    }

    fn may_retry(&self) -> bool {
        !self.broke && self.retries < self.settings.max_retries
    }

    /// The first attempt.
    pub fn start(&mut self, now: u64, remaining: Option<Duration>, rng: &mut dyn Rng) -> Step {
        self.next(now, remaining, rng, Stop::NotRetryable)
    }

    /// The attempt brought the answer forward before it failed: its route is not dead, and the retries
    /// of the call count from here.
    pub fn progressed(&mut self) {
        self.retries = 0;
        self.previous_delay = None;
        for state in &mut self.states {
            state.silent = false;
            state.limited = false;
        }
    }

    /// What follows a failed attempt on the current route.
    pub fn failed(
        &mut self,
        failure: Failure,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let Some(current) = self.current else { return Step::Stop(Stop::NotRetryable) };
        let stop = self.mark(current, &failure, now, remaining);
        self.waits = failure.waits;
        match failure.class {
            Class { retry: false, next_route: NextRoute::Never, .. } => Step::Stop(stop),
            _ => self.next(now, remaining, rng, stop),
        }
    }

    /// Remembers what a failure says of its route and of others, and why the call would end with it.
    fn mark(&mut self, current: usize, failure: &Failure, now: u64, remaining: Option<Duration>) -> Stop {
        let Failure { class, retry_after, silent, limited, .. } = *failure;
        if !class.retry {
            let of = self.states[current].route;
            let gone = |route: &Route| match class.next_route {
                NextRoute::Never => true,
                NextRoute::Allowed => route.place == of.place,
                NextRoute::OtherEndpoint => route.endpoint == of.endpoint,
                NextRoute::OtherKey => route.key == of.key,
                NextRoute::LargerContext => {
                    let no_larger = route.context.zip(of.context).is_some_and(|(its, ours)| its <= ours);
                    route.model == of.model || no_larger
                }
            };
            for state in self.states.iter_mut().filter(|state| gone(&state.route)) {
                state.dead = true;
            }
        }
        let state = &mut self.states[current];
        state.silent |= silent;
        state.limited |= limited;
        let mut stop = match class.retry {
            true if self.broke => Stop::NoBudget,
            true => Stop::Exhausted,
            false => Stop::NotRetryable,
        };
        if let Some(wait) = retry_after {
            state.not_before = now.saturating_add(millis_up(wait));
            if wait > self.settings.max_retry_after || !fits(wait, remaining, self.settings.min_attempt) {
                state.dead = true;
                if class.retry {
                    stop = Stop::WaitTooLong(wait);
                }
            }
        }
        stop
    }

    /// The breaker of the route that was to be tried refuses.
    pub fn denied(
        &mut self,
        retry_after: Duration,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let Some(current) = self.current else { return Step::Stop(Stop::NotRetryable) };
        // At least a moment, or the same route would be asked again without end.
        self.states[current].blocked_until = Some(now.saturating_add(millis_up(retry_after).max(1)));
        // No attempt was made, so none is counted.
        match self.reason {
            Reason::Retry(_) => {
                self.retries -= 1;
                self.paid = true;
            }
            Reason::First | Reason::Fallback => {
                self.states[current].tried = false;
                // On its way round it has waited and was counted.
                if self.rotates && self.retries > 0 {
                    self.retries -= 1;
                    self.paid = true;
                }
            }
        }
        let soonest =
            self.states.iter().filter(|state| !state.dead).filter_map(|state| state.blocked_until).min();
        let wait = soonest.map_or(retry_after, |until| Duration::from_millis(until.saturating_sub(now)));
        self.next(now, remaining, rng, Stop::CircuitOpen(wait))
    }

    /// The retry that was to be made is one too many for the budget, and so is any other.
    pub fn unaffordable(&mut self, now: u64, remaining: Option<Duration>, rng: &mut dyn Rng) -> Step {
        if let Reason::Retry(_) = self.reason {
            self.retries -= 1;
        }
        self.broke = true;
        self.next(now, remaining, rng, Stop::NoBudget)
    }

    fn next(&mut self, now: u64, remaining: Option<Duration>, rng: &mut dyn Rng, stop: Stop) -> Step {
        self.late = false;
        loop {
            if let Some(step) = self.within_model(now, remaining, rng) {
                return step;
            }
            let Some(model) =
                self.states.iter().map(|state| state.route.model).filter(|m| *m > self.model).min()
            else {
                return Step::Stop(match stop {
                    Stop::Exhausted | Stop::NotRetryable if self.late => Stop::Deadline,
                    stop => stop,
                });
            };
            self.enter(model);
        }
    }

    fn within_model(&mut self, now: u64, remaining: Option<Duration>, rng: &mut dyn Rng) -> Option<Step> {
        let open = |state: &State| !state.dead && state.blocked_until.is_none_or(|until| until <= now);
        let usable = |state: &State| state.route.model == self.model && open(state);
        let first = self.current.is_none();
        let begun = self.states.iter().any(|state| state.route.model == self.model && state.tried);
        let untried =
            self.states.iter().position(|state| usable(state) && !state.tried && state.not_before <= now);
        let rotating = self.rotates && begun;
        if let Some(index) = untried.filter(|_| !rotating) {
            let reason = if first { Reason::First } else { Reason::Fallback };
            return Some(self.take(index, Duration::ZERO, false, reason));
        }
        // The next endpoint costs no budget, though it waits for its turn.
        let free = self.broke && rotating && untried.is_some();
        if self.retries >= self.settings.max_retries || (self.broke && !free) {
            return None;
        }
        // Somewhere to go instead of asking a silent route again.
        let elsewhere =
            self.states.iter().any(|state| open(state) && !state.silent && state.route.model >= self.model);
        // Somewhere to go instead of waiting for a rate limit.
        let fresh =
            self.states.iter().any(|state| open(state) && !state.tried && state.route.model > self.model);
        let avoided = |state: &State| (elsewhere && state.silent) || (fresh && state.limited);
        let backoff = match (self.paid, &self.waits) {
            (true, _) => Duration::ZERO,
            (false, Some(own)) => own.delay(self.retries, rng),
            (false, None) => self.settings.backoff.delay(self.retries, self.previous_delay, rng),
        };
        let due = now.saturating_add(millis_up(backoff));
        // Round robin from the one after the current; those whose server asked for a longer wait come
        // when their time is there.
        let start = self.current.map_or(0, |current| current + 1);
        let count = self.states.len();
        let index = (0..count)
            .map(|step| (start + step) % count)
            .filter(|index| usable(&self.states[*index]) && !avoided(&self.states[*index]))
            .filter(|index| !free || !self.states[*index].tried)
            .min_by_key(|index| self.states[*index].not_before.max(due))?;
        let asked = Duration::from_millis(self.states[index].not_before.saturating_sub(now));
        let wait = backoff.max(asked);
        if !fits(wait, remaining, self.settings.min_attempt) {
            self.late = true;
            return None;
        }
        self.retries += 1;
        if !self.paid {
            self.previous_delay = Some(backoff);
        }
        self.paid = false;
        let reason = match rotating && !self.states[index].tried {
            true => Reason::Fallback,
            false => Reason::Retry(self.retries),
        };
        Some(self.take(index, wait, asked > backoff, reason))
    }

    fn take(&mut self, index: usize, wait: Duration, asked: bool, reason: Reason) -> Step {
        self.states[index].tried = true;
        self.current = Some(index);
        self.reason = reason;
        Step::Try { route: self.states[index].route, wait, asked, reason }
    }
}

/// Whether there is time for an attempt after this wait.
fn fits(wait: Duration, remaining: Option<Duration>, min_attempt: Duration) -> bool {
    remaining.is_none_or(|left| wait < left && wait.saturating_add(min_attempt) <= left)
}

/// Never sooner than asked: a part of a millisecond counts as a whole one.
fn millis_up(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
