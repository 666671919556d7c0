//! One round of a call, and the result of its race.

use std::time::Duration;

use crate::policy::interruption::Silence;
use crate::policy::plan::{Failure, Plan, Reason, RouteId};

/// One round of a call: an attempt on a route, and possibly its hedge.
pub(super) struct Round {
    pub route: RouteId,
    pub reason: Reason,
    /// How many other routes are left if it fails.
    pub other_routes: usize,
    /// The routes that a hedge may use, best first; empty if hedging is not allowed.
    pub hedge_candidates: Vec<RouteId>,
    /// How long its attempt was silent before it failed. Boxed: most rounds have none.
    pub silence: Option<Box<Silence>>,
    /// The result of the race with a hedge. Boxed: most rounds have none.
    pub race: Option<Box<RaceReport>>,
}

impl Round {
    /// After a failed round: reports the race to the plan. Returns the route of the failure.
    pub fn settle_race(&self, plan: &mut Plan) -> RouteId {
        let Some(race) = &self.race else { return self.route };
        plan.hedge_started(race.hedge_route);
        if let Some(failed) = &race.failed {
            plan.hedge_failed(failed.route, &failed.failure, failed.at, failed.remaining);
        }
        plan.hedge_settled(race.remaining_route, race.has_token);
        race.remaining_route
    }
}

/// The result of a race, for the plan.
pub(super) struct RaceReport {
    pub hedge_route: RouteId,
    /// The attempt that failed while the other one was running.
    pub failed: Option<FailedAttempt>,
    /// The route of the attempt that remained, and whether its first token arrived.
    pub remaining_route: RouteId,
    pub has_token: bool,
}

/// An attempt that failed during the race.
pub(super) struct FailedAttempt {
    pub route: RouteId,
    pub failure: Failure,
    pub at: u64,
    pub remaining: Option<Duration>,
}
