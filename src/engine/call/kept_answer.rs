//! An answer whose stream the provider keeps: after a break the same route is asked for the rest of it. Nothing is generated
//! a second time, so there is nothing to compare.

use super::call::Call;
use super::kept::{KeptAnswer, MAX_FRUITLESS};
use crate::config::Mode;
use crate::engine::admission::CallRoute;
use crate::engine::attempt::{RequestForm, RestOfStream};
use crate::policy::plan::RouteId;
use crate::session::snapshot::KeptResponse;
use crate::wire::dialect::StreamPosition;

impl Call<'_> {
    /// Continues from a snapshot of an answer that its provider keeps.
    pub(super) fn restore_kept(&mut self, response: Option<KeptResponse>) {
        let (Some(response), Some(events)) = (response, &mut self.transcript.events) else { return };
        self.ctx.request.live.update(|live| live.response = Some(response.clone()));
        let KeptResponse { id, sequence_number: after, endpoint, only_there } = response;
        // Only the provider that has it knows the id. A single endpoint is taken for it, whatever its name.
        let has_it = |route: &&CallRoute| route.endpoint.config.name == endpoint;
        let only_one = self.routes.iter().next().filter(|_| self.routes.are_one_endpoint());
        let route = self.routes.iter().find(has_it).or(only_one);
        events.restore(StreamPosition { id, after }, only_there);
        let route = route.map(|route| route.id);
        self.kept = KeptAnswer { route, started_after: after, ..KeptAnswer::default() };
    }

    /// Where the rest of the answer begins, if this route can send it.
    pub(super) fn kept_position(&self, route: RouteId) -> Option<StreamPosition> {
        let is_there = self.kept.route == Some(route) && !self.kept.is_refused;
        self.transcript.events.as_ref().filter(|_| is_there)?.position()
    }

    /// The request for the rest, if this route can send it.
    pub(super) fn form_of_rest(&mut self, route: RouteId) -> Option<RequestForm> {
        let position = self.kept_position(route)?;
        let events = self.transcript.events.as_mut()?;
        events.reattach();
        self.kept.started_after = position.after;
        self.recovery.begin_segment(&self.transcript);
        let (joins, cost) = (self.transcript.committed, self.kept.cost.take());
        Some(RequestForm::rest(RestOfStream { position, joins, cost }))
    }

    /// Another answer is requested, from this route.
    pub(super) fn begin_answer_at(&mut self, route: RouteId) {
        self.settle_kept_cost();
        self.ctx.request.live.update(|live| live.response = None);
        self.kept = KeptAnswer { route: Some(route), ..KeptAnswer::default() };
    }

    /// The provider does not send the rest. Whether the answer can be continued in another way, or requested again.
    pub(super) fn rest_refused(&mut self) -> bool {
        self.kept.is_refused = true;
        self.lost_reason().is_none()
    }

    /// Why an answer whose rest is out of reach cannot be continued.
    pub(super) fn lost_reason(&self) -> Option<String> {
        let continues = self.transcript.committed && self.recovery.continues && self.kept.route.is_some();
        self.recovery.not_resumable(self.ctx, &self.transcript).filter(|_| continues)
    }

    /// After a failed attempt on this route: whether the provider is asked for the rest, and whether the attempt brought
    /// something.
    pub(super) fn rest_is_kept(&mut self, route: RouteId) -> (bool, bool) {
        let Some(position) = self.kept_position(route) else { return (false, false) };
        let has_progressed = position.after != self.kept.started_after;
        let was_rest = self.history.last_was_rest();
        self.kept.fruitless = match (has_progressed, was_rest) {
            (true, _) => 0,
            (false, true) => self.kept.fruitless + 1,
            (false, false) => self.kept.fruitless,
        };
        self.kept.is_refused = self.kept.fruitless >= MAX_FRUITLESS;
        let may_recover = !self.transcript.committed || self.ctx.request.options.recovery.mode != Mode::Fail;
        (may_recover && !self.kept.is_refused, has_progressed)
    }

    /// Settles what is reserved for an answer that is not read on.
    pub(super) fn settle_kept_cost(&mut self) {
        let Some((route, cost)) = self.kept.route.zip(self.kept.cost.take()) else { return };
        let settled = cost.settle(self.ctx, &self.routes[route], None, false, None);
        self.history.cost.add(settled);
    }
}
