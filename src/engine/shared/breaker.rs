//! A circuit breaker that calls share: the state machine of [`crate::policy::circuit_breaker`] behind a lock, and
//! permits that release their slot if no outcome is reported.

use crate::engine::time::clock;
use crate::policy::circuit_breaker::{Breaker, Denial, Options, Outcome, Permit, State, Transition};
use crate::store::SharedState;

#[derive(Clone)]
pub struct SharedBreaker(SharedState<BreakerState>);

impl SharedBreaker {
    pub fn new(options: Options) -> Self {
        SharedBreaker(SharedState::new(BreakerState { options, breaker: Breaker::new() }))
    }

    /// Runs one decision on the breaker.
    pub fn update<R>(&self, decide: impl FnOnce(&mut BreakerState) -> R) -> R {
        self.0.update(decide)
    }

    /// Requests a permit. Also returns the transition from OPEN to HALF_OPEN if the request caused it.
    pub fn acquire(&self) -> Result<(BreakerPermit, Option<Transition>), Denial> {
        self.update(|state| {
            let before = state.breaker.state();
            let permit = state.breaker.try_acquire(&state.options, clock::now())?;
            let transition = state.breaker.transition_since(before);
            Ok((BreakerPermit { breaker: self.clone(), permit: Some(permit) }, transition))
        })
    }

    /// A probe's permit of a breaker that is not closed; `None` if no probe is due. Also returns the transition from
    /// OPEN to HALF_OPEN if the request caused it.
    pub fn acquire_probe(&self) -> Option<(BreakerPermit, Option<Transition>)> {
        self.update(|state| {
            let before = state.breaker.state();
            if before == State::Closed {
                return None;
            }
            let permit = state.breaker.try_acquire(&state.options, clock::now()).ok()?;
            let transition = state.breaker.transition_since(before);
            Some((BreakerPermit { breaker: self.clone(), permit: Some(permit) }, transition))
        })
    }

    /// Whether the breaker is not closed and would admit a probe now. Changes nothing.
    pub fn is_probe_due(&self) -> bool {
        self.update(|state| {
            state.breaker.state() != State::Closed && state.breaker.would_admit(&state.options, clock::now())
        })
    }

    /// Whether a call would be admitted now. Changes nothing.
    pub fn would_admit(&self) -> bool {
        self.update(|state| state.breaker.would_admit(&state.options, clock::now()))
    }

    pub fn state(&self) -> State {
        self.update(|state| state.breaker.state())
    }
}

/// What a breaker's lock protects.
pub struct BreakerState {
    pub options: Options,
    pub breaker: Breaker,
}

/// A permit of a breaker. Dropping it without a report records nothing.
pub struct BreakerPermit {
    breaker: SharedBreaker,
    permit: Option<Permit>,
}

impl BreakerPermit {
    /// Reports how the call ended.
    pub fn report(mut self, outcome: Outcome) -> Option<Transition> {
        let permit = self.permit.take()?;
        self.breaker.update(|state| state.breaker.report(&state.options, permit, outcome, clock::now()))
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker
                .update(|state| state.breaker.report(&state.options, permit, Outcome::Ignored, clock::now()));
        }
    }
}
