//! An attempt that is made beside another one, on a spare route.

use std::time::Duration;

use super::{Failure, Plan, Route, State};

impl Plan {
    /// The routes beside the one that is tried now that this call has not tried yet and may, best first: those
    /// of the same model, then those of the next ones.
    pub fn spare(&self, now: u64) -> Vec<Route> {
        let free = |state: &State| {
            let open = !state.dead && state.is_open(now) && state.has_room(now);
            open && !state.tried && state.not_before <= now && state.route.model >= self.model
        };
        self.states.iter().filter(|state| free(state)).map(|state| state.route).collect()
    }

    /// A spare route was tried beside the current one.
    pub fn hedged(&mut self, place: usize) {
        if let Some(state) = self.states.iter_mut().find(|state| state.route.place == place) {
            state.tried = true;
        }
    }

    /// One of two attempts that ran beside each other has failed: what follows is that of the other one.
    pub fn fell(&mut self, place: usize, failure: &Failure, now: u64, remaining: Option<Duration>) {
        if let Some(index) = self.states.iter().position(|state| state.route.place == place) {
            self.mark(index, failure, now, remaining);
        }
    }

    /// The current route is this one from now on. Where it has brought a first token the call goes on with its
    /// model, whose retries are not used yet.
    pub fn moved(&mut self, place: usize, brought: bool) {
        let Some(index) = self.states.iter().position(|state| state.route.place == place) else { return };
        self.current = Some(index);
        let model = self.states[index].route.model;
        if brought && model != self.model {
            self.enter(model);
        }
    }
}
