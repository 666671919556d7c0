//! What one turn of a call is about, and what came of its race.

use std::time::Duration;

use crate::policy::plan::{Failure, Plan, Reason, RouteId};

/// What one turn is about.
pub(super) struct Turn {
    pub route: RouteId,
    pub reason: Reason,
    /// How many other routes are left if it fails.
    pub other_routes: usize,
    /// The routes that a hedge may go to, best first; empty where there is to be none.
    pub hedge_candidates: Vec<RouteId>,
    /// What came of the hedge. Boxed: most turns have none.
    pub race: Option<Box<RaceReport>>,
}

impl Turn {
    /// After a turn that failed: tells the plan what came of its hedge. Returns the route of the failure.
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

/// What came of a race, for the plan.
pub(super) struct RaceReport {
    pub hedge_route: RouteId,
    /// The one that failed while the other ran.
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
