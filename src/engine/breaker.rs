//! A breaker that calls share: the state machine of [`crate::policy::circuit_breaker`] in a slot, and permits that
//! give their place back when nobody reports.

use crate::engine::clock;
use crate::policy::circuit_breaker::{Breaker, Denial, Options, Outcome, Permit, State, Transition};
use crate::store::Slot;

pub struct Inner {
    pub options: Options,
    pub breaker: Breaker,
}

#[derive(Clone)]
pub struct SharedBreaker(Slot<Inner>);

impl SharedBreaker {
    pub fn new(options: Options) -> Self {
        SharedBreaker(Slot::new(Inner { options, breaker: Breaker::new() }))
    }

    /// Runs one decision over the breaker.
    pub fn update<R>(&self, decide: impl FnOnce(&mut Inner) -> R) -> R {
        self.0.update(decide)
    }

    /// Asks for a place. The transition is the one from OPEN to HALF_OPEN, where asking made it.
    pub fn acquire(&self) -> Result<(Guard, Option<Transition>), Denial> {
        self.update(|inner| {
            let before = inner.breaker.state();
            let permit = inner.breaker.try_acquire(&inner.options, clock::now())?;
            let transition = inner.breaker.transition_since(before);
            Ok((Guard { breaker: self.clone(), permit: Some(permit) }, transition))
        })
    }

    /// A place in a breaker that is no longer closed, for the one that finds out; none where that is
    /// not due. The transition is the one from OPEN to HALF_OPEN, where asking made it.
    pub fn acquire_if_due(&self) -> Option<(Guard, Option<Transition>)> {
        self.update(|inner| {
            let before = inner.breaker.state();
            if before == State::Closed {
                return None;
            }
            let permit = inner.breaker.try_acquire(&inner.options, clock::now()).ok()?;
            let transition = inner.breaker.transition_since(before);
            Some((Guard { breaker: self.clone(), permit: Some(permit) }, transition))
        })
    }

    /// It is no longer closed, and would admit a call: one that finds out. Looking spends nothing.
    pub fn is_due(&self) -> bool {
        self.update(|inner| {
            inner.breaker.state() != State::Closed && inner.breaker.would_admit(&inner.options, clock::now())
        })
    }

    /// It would admit a call now. Looking spends nothing.
    pub fn would_admit(&self) -> bool {
        self.update(|inner| inner.breaker.would_admit(&inner.options, clock::now()))
    }

    pub fn state(&self) -> State {
        self.update(|inner| inner.breaker.state())
    }
}

/// One place in a breaker. Dropped without a report it was given up, and counts for nothing.
pub struct Guard {
    breaker: SharedBreaker,
    permit: Option<Permit>,
}

impl Guard {
    pub fn report(mut self, outcome: Outcome) -> Option<Transition> {
        let permit = self.permit.take()?;
        self.breaker.update(|inner| inner.breaker.report(&inner.options, permit, outcome, clock::now()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker
                .update(|inner| inner.breaker.report(&inner.options, permit, Outcome::Ignored, clock::now()));
        }
    }
}
