//! The permission of one attempt to run, and everything that was reserved for it.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::cost_reservation::CostReservation;
use super::limits::LimitReservations;
use crate::engine::shared::breaker::BreakerPermit;
use crate::engine::shared::endpoint::{EndpointState, InFlight};
use crate::engine::shared::limiter::Consumption;
use crate::policy::circuit_breaker::{Outcome, Transition};

/// The permission of one attempt to run on a route. It owns what admission reserved: the breaker's permit, the rate
/// limits, a concurrency slot, and the cost. [`Permit::settle`] reports the outcome of the attempt. Dropping the permit
/// without that returns everything as unused, except for the cost of what was sent and received.
pub struct Permit {
    breaker: Option<BreakerPermit>,
    pub(super) limits: LimitReservations,
    pub(super) slot: Option<OwnedSemaphorePermit>,
    pub cost: CostReservation,
    _in_flight: InFlight,
}

impl Permit {
    pub(super) fn new(
        endpoint: &Arc<EndpointState>,
        breaker: Option<BreakerPermit>,
        limits: LimitReservations,
    ) -> Self {
        let (slot, cost) = (None, CostReservation::default());
        Permit { breaker, limits, slot, cost, _in_flight: InFlight::enter(endpoint) }
    }

    /// Whether a breaker awaits the outcome.
    pub fn has_breaker(&self) -> bool {
        self.breaker.is_some()
    }

    /// Releases the concurrency slot: the answer has been received, and only its settlement is left.
    pub fn release_slot(&mut self) {
        self.slot = None;
    }

    /// Reports the outcome to the breaker, and what was consumed to the limiters. Returns the breaker's change of
    /// state.
    pub fn settle(&mut self, outcome: Outcome, consumption: Consumption) -> Option<Transition> {
        let transition = self.breaker.take().and_then(|breaker| breaker.report(outcome));
        for limit in self.limits.iter_mut().filter_map(Option::take) {
            limit.settle(consumption);
        }
        transition
    }
}
