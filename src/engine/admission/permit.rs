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
use crate::engine::shared::limiter::{Consumption, LimitReservation};
use crate::error::Result;
use crate::policy::circuit_breaker::{Outcome, Transition};

/// The permission of one attempt to run on a route. It owns what admission reserved: the breaker's permit, the rate
/// limits, a concurrency slot, and the cost. [`Admission::report`] and [`Admission::settle_limits`] report the outcome of
/// the attempt. Dropping the permit without that returns everything as unused, except for the cost of what was sent and
/// received.
pub struct Permit {
    admission: Admission,
    cost: CostReservation,
}

/// What a permit holds besides the cost.
pub struct Admission {
    breaker: Option<BreakerPermit>,
    limits: LimitReservations,
    slot: Option<OwnedSemaphorePermit>,
    in_flight: Option<InFlight>,
}

impl Permit {
    pub(super) fn new(
        endpoint: &Arc<EndpointState>,
        breaker: Option<BreakerPermit>,
        limits: LimitReservations,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let cost = CostReservation::default();
        let in_flight = Some(InFlight::enter(endpoint));
        Permit { admission: Admission { breaker, limits, slot, in_flight }, cost }
    }

    /// Takes out the rate limits that were reserved so far, to complete them.
    pub(super) fn take_limits(&mut self) -> LimitReservations {
        mem::take(&mut self.admission.limits)
    }

    pub(super) fn set_capacity(&mut self, limits: LimitReservations, slot: Option<OwnedSemaphorePermit>) {
        self.admission.limits = limits;
        self.admission.slot = slot;
    }

    /// Reserves what the attempt may cost. `messages` replace the caller's own, and `max_tokens` the caller's limit, if
    /// the attempt continues an answer.
    ///
    /// # Errors
    /// [`crate::error::Kind::CostCap`].
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

    /// Takes over the reservation of an earlier attempt, whose answer this one reads on.
    pub fn continue_cost(&mut self, reserved: CostReservation) {
        self.cost = reserved;
    }

    /// Takes out the reservation, for the attempt that reads the answer on.
    pub fn take_cost(&mut self) -> CostReservation {
        mem::take(&mut self.cost)
    }

    /// The request is on its way: from now on it costs.
    pub fn mark_sent(&mut self) {
        self.cost.mark_sent();
    }

    /// What counts the cost of the answer while it is read, and what is returned once the answer is settled.
    pub fn parts(&mut self) -> (&mut CostReservation, &mut Admission) {
        (&mut self.cost, &mut self.admission)
    }

    pub fn admission(&mut self) -> &mut Admission {
        &mut self.admission
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
        self.admission.breaker.is_some()
    }
}

impl Admission {
    /// Releases the concurrency slot: nothing more is expected but the usage, or the decision on an error.
    pub fn release_slot(&mut self) {
        self.slot = None;
    }

    /// The answer is settled: from here on other attempts may run in its place. The rate limits count as consumed as
    /// reserved, until [`Admission::settle_limits`] corrects them by the usage.
    pub fn answered(&mut self) {
        self.release_slot();
        self.in_flight = None;
        self.limits.iter_mut().flatten().for_each(LimitReservation::consume);
    }

    /// Reports the outcome to the breaker. Returns its change of state.
    pub fn report(&mut self, outcome: Outcome) -> Option<Transition> {
        self.breaker.take().and_then(|breaker| breaker.report(outcome))
    }

    /// Reports to the limiters what was consumed.
    pub fn settle_limits(&mut self, consumption: Consumption) {
        for limit in self.limits.iter_mut().filter_map(Option::take) {
            limit.settle(consumption);
        }
    }
}
