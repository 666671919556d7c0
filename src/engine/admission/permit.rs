//! The permission of one attempt to run, and everything that was reserved for it.

use std::mem;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::context::CallContext;
use super::cost::reserve_cost;
use super::cost_reservation::{CostReservation, Settlement};
use super::limits::LimitReservations;
use super::route::CallRoute;
use crate::engine::shared::breaker::BreakerPermit;
use crate::engine::shared::endpoint::{EndpointState, InFlight};
use crate::engine::shared::limiter::Consumption;
use crate::error::Result;
use crate::policy::circuit_breaker::{Outcome, Transition};

/// The permission of one attempt to run on a route. It owns what admission reserved: the breaker's permit, the rate
/// limits, a concurrency slot, and the cost. [`Permit::settle`] reports the outcome of the attempt. Dropping the permit
/// without that returns everything as unused, except for the cost of what was sent and received.
pub struct Permit {
    breaker: Option<BreakerPermit>,
    limits: LimitReservations,
    slot: Option<OwnedSemaphorePermit>,
    cost: CostReservation,
    _in_flight: InFlight,
}

impl Permit {
    pub(super) fn new(
        endpoint: &Arc<EndpointState>,
        breaker: Option<BreakerPermit>,
        limits: LimitReservations,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let cost = CostReservation::default();
        Permit { breaker, limits, slot, cost, _in_flight: InFlight::enter(endpoint) }
    }

    /// Takes out the rate limits that were reserved so far, to complete them.
    pub(super) fn take_limits(&mut self) -> LimitReservations {
        mem::take(&mut self.limits)
    }

    pub(super) fn set_capacity(&mut self, limits: LimitReservations, slot: Option<OwnedSemaphorePermit>) {
        self.limits = limits;
        self.slot = slot;
    }

    /// Reserves what the attempt may cost. `messages` replace the caller's own, and `max_tokens` the caller's limit, if
    /// the attempt continues an answer. Errors: [`crate::error::Kind::CostCap`].
    pub fn reserve_cost(
        &mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        messages: Option<&str>,
        max_tokens: Option<u64>,
    ) -> Result<()> {
        self.cost = reserve_cost(ctx, route, messages, max_tokens)?;
        Ok(())
    }

    /// The request is on its way: from now on it costs.
    pub fn mark_sent(&mut self) {
        self.cost.mark_sent();
    }

    /// Counts the cost of the answer while it is read.
    pub fn cost_counter(&mut self) -> &mut CostReservation {
        &mut self.cost
    }

    /// Settles the cost: by the usage report, else by what was sent and received. Another attempt with this permit
    /// must reserve again. `None` if nothing was reserved.
    pub fn settle_cost(
        &mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        status: Option<u16>,
        is_complete: bool,
        usage: Option<&Value>,
    ) -> Option<Settlement> {
        mem::take(&mut self.cost).settle(ctx, route, status, is_complete, usage)
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
