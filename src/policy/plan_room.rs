//! Routes that cannot take an attempt at the moment (their provider has asked for a pause, or their rate
//! limit has no room): passed over where another one can be tried sooner, and waited for where none can.

use std::time::Duration;

use rand::Rng;

use super::{Plan, Reason, State, Step, Stop, millis_up};

/// Why a route cannot take an attempt at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// It would wait for so long.
    For(Duration),
    /// Its provider has asked for a pause, of which so much is left.
    Asked(Duration),
    /// It will not take this one: the call never fits, or as many wait as may.
    Never,
}

impl Plan {
    /// The route that was to be tried cannot be. No attempt was made, so none is counted. What comes next is
    /// whatever can be tried soonest; where that is a route that has to be waited for, [`Plan::queues`] says
    /// so.
    pub fn crowded(
        &mut self,
        crowded: Crowded,
        now: u64,
        remaining: Option<Duration>,
        rng: &mut dyn Rng,
    ) -> Step {
        let Some(current) = self.current else { return Step::Stop(Stop::NotRetryable) };
        self.uncount();
        let mut stop = Stop::NoRoom;
        let state = &mut self.states[current];
        match crowded {
            Crowded::For(wait) => state.room_at = Some(now.saturating_add(millis_up(wait).max(1))),
            Crowded::Never => state.dead = true,
            Crowded::Asked(wait) => {
                state.room_at = Some(now.saturating_add(millis_up(wait).max(1)));
                if self.settings.is_too_long(wait, remaining) {
                    state.dead = true;
                    stop = Stop::WaitTooLong(wait);
                }
            }
        }
        self.next(now, remaining, rng, stop)
    }

    /// The route that is to be tried now has to be waited for, and nothing else can be tried sooner: its line
    /// is to be waited in.
    pub fn queues(&self) -> bool {
        self.queues
    }

    /// Gives up the routes whose pause is too long, and says how long the shortest of these is.
    pub(super) fn give_up_long_pauses(&mut self, now: u64, remaining: Option<Duration>) -> Option<Duration> {
        let mut shortest: Option<Duration> = None;
        for state in &mut self.states {
            let left = state.room_at.map_or(0, |at| at.saturating_sub(now));
            let wait = Duration::from_millis(left);
            if left > 0 && self.settings.is_too_long(wait, remaining) {
                state.dead = true;
                shortest = Some(shortest.map_or(wait, |least| least.min(wait)));
            }
        }
        shortest
    }

    /// No attempt was made on the current route, so none is counted.
    pub(super) fn uncount(&mut self) {
        let was_retry = matches!(self.reason, Reason::Retry(_));
        if let (false, Some(current)) = (was_retry, self.current) {
            self.states[current].tried = false;
        }
        // On its way round a first try has waited and was counted too.
        if was_retry || (self.rotates && self.retries > 0) {
            self.retries -= 1;
            self.paid = true;
        }
    }

    /// The route that can be tried first among those that have to be waited for, and when.
    pub(super) fn first_later(&self, now: u64) -> Option<(usize, u64)> {
        // What was left for the next model is not come back to.
        let reached = self.states.iter().filter(|state| state.tried).map(|state| state.route.model).max();
        let later = |(index, state): (usize, &State)| {
            if state.dead || state.blocked_until.is_some_and(|until| until > now) {
                return None;
            }
            // A retry waits for its backoff first.
            let retries = || state.route.model == self.model && self.paid && self.may_retry();
            let in_turn = self.rotates && state.route.model == self.model && self.begun();
            let may = match state.tried {
                true => retries(),
                false => Some(state.route.model) >= reached && (!in_turn || self.may_retry()),
            };
            state.room_at.filter(|at| *at > now && may).map(|at| (index, at.max(state.not_before)))
        };
        self.states.iter().enumerate().filter_map(later).min_by_key(|(_, at)| *at)
    }

    /// Takes a route that has to be waited for.
    pub(super) fn wait_at(&mut self, index: usize) -> Step {
        let State { route, tried, .. } = self.states[index];
        if let Some(at) = self.left.iter().position(|(model, _)| *model == route.model) {
            // Its routes were passed over, and those of the next model have no room either.
            let retries = self.left[at].1;
            self.enter(route.model);
            self.left.truncate(at);
            self.retries = retries;
        } else if route.model != self.model {
            self.enter(route.model);
        }
        let begun = self.begun();
        if tried || (self.rotates && begun) {
            self.retries += 1;
        }
        let reason = match tried {
            true => Reason::Retry(self.retries),
            false => self.first_or_fallback(),
        };
        self.paid = false;
        let step = self.take(index, Duration::ZERO, false, reason);
        self.queues = true;
        step
    }

    /// A route of this model was tried.
    pub(super) fn begun(&self) -> bool {
        self.states.iter().any(|state| state.route.model == self.model && state.tried)
    }

    pub(super) fn first_or_fallback(&self) -> Reason {
        match self.states.iter().any(|state| state.tried) {
            true => Reason::Fallback,
            false => Reason::First,
        }
    }
}
