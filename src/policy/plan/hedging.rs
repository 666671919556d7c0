//! A hedge: a second attempt that runs on another route in parallel with the current one.

use std::time::Duration;

use super::selection::Plan;
use super::types::{Failure, Route, RouteId};

impl Plan {
    /// The routes that a hedge may use, best first: those that this call has not tried yet and that are
    /// ready now, of the current model first, then of the models after it.
    pub fn hedge_candidates(&self, now: u64) -> Vec<Route> {
        self.routes
            .iter()
            .filter(|state| state.is_usable(now) && state.is_ready(now))
            .filter(|state| !state.tried && state.route.model >= self.model)
            .map(|state| state.route)
            .collect()
    }

    /// A hedge was sent to this route.
    pub fn hedge_started(&mut self, id: RouteId) {
        if let Some(index) = self.index_of(id) {
            self.routes[index].tried = true;
        }
    }

    /// One of the two attempts failed while the other one was still running. The other one decides what
    /// the call does next.
    pub fn hedge_failed(&mut self, id: RouteId, failure: &Failure, now: u64, remaining: Option<Duration>) {
        if let Some(index) = self.index_of(id) {
            self.record_failure(index, failure, now, remaining);
        }
    }

    /// Only the attempt on this route is left, so it becomes the current one. If it has received its
    /// first token, the call stays with its model, whose retries are still unused.
    pub fn hedge_settled(&mut self, id: RouteId, has_first_token: bool) {
        let Some(index) = self.index_of(id) else { return };
        self.current = Some(index);
        let model = self.routes[index].route.model;
        if has_first_token && model != self.model {
            self.enter_model(model);
        }
    }

    fn index_of(&self, id: RouteId) -> Option<usize> {
        self.routes.iter().position(|state| state.route.id == id)
    }
}
