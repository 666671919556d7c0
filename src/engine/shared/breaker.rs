//! A circuit breaker that calls share: the state machine of [`crate::policy::circuit_breaker`] behind a lock, and
//! permits that release their slot if no outcome is reported.

use crate::engine::time::clock;
use crate::policy::circuit_breaker::{Breaker, Denial, Options, Outcome, Permit, State, Transition};
use crate::store::SharedState;

pub struct Inner {
    pub options: Options,
    pub breaker: Breaker,
}

#[derive(Clone)]
pub struct SharedBreaker(SharedState<Inner>);

impl SharedBreaker {
    pub fn new(options: Options) -> Self {
        SharedBreaker(SharedState::new(Inner { options, breaker: Breaker::new() }))
    }

    /// Runs one decision on the breaker.
    pub fn update<R>(&self, decide: impl FnOnce(&mut Inner) -> R) -> R {
        self.0.update(decide)
    }

    /// Requests a permit. Also returns the transition from OPEN to HALF_OPEN if the request caused it.
    pub fn acquire(&self) -> Result<(BreakerPermit, Option<Transition>), Denial> {
        self.update(|inner| {
            let before = inner.breaker.state();
            let permit = inner.breaker.try_acquire(&inner.options, clock::now())?;
            let transition = inner.breaker.transition_since(before);
            Ok((BreakerPermit { breaker: self.clone(), permit: Some(permit) }, transition))
        })
    }

    /// A probe's permit of a breaker that is not closed; `None` if no probe is due. Also returns the transition from
    /// OPEN to HALF_OPEN if the request caused it.
    pub fn acquire_probe(&self) -> Option<(BreakerPermit, Option<Transition>)> {
        self.update(|inner| {
            let before = inner.breaker.state();
            if before == State::Closed {
                return None;
            }
            let permit = inner.breaker.try_acquire(&inner.options, clock::now()).ok()?;
            let transition = inner.breaker.transition_since(before);
            Some((BreakerPermit { breaker: self.clone(), permit: Some(permit) }, transition))
        })
    }

    /// Whether the breaker is not closed and would admit a probe now. Changes nothing.
    pub fn is_probe_due(&self) -> bool {
        self.update(|inner| {
            inner.breaker.state() != State::Closed && inner.breaker.would_admit(&inner.options, clock::now())
        })
    }

    /// Whether a call would be admitted now. Changes nothing.
    pub fn would_admit(&self) -> bool {
        self.update(|inner| inner.breaker.would_admit(&inner.options, clock::now()))
    }

    pub fn state(&self) -> State {
        self.update(|inner| inner.breaker.state())
    }
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
        self.breaker.update(|inner| inner.breaker.report(&inner.options, permit, outcome, clock::now()))
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker
                .update(|inner| inner.breaker.report(&inner.options, permit, Outcome::Ignored, clock::now()));
        }
    }
}
