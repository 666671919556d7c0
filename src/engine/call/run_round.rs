//! One round of a call: the wait for capacity, the attempt, and its end. If the provider rejects only the form of the
//! request, the request is repeated in another form on the same permit.

use futures::FutureExt;

use super::call::Call;
use super::recovery::continuation_rejected;
use super::round::Round;
use super::stopwatch::Stage;
use crate::engine::admission::{Permit, wait_for_capacity};
use crate::engine::attempt::{Attempt, AttemptEnd, RequestForm, Start, Usage};
use crate::engine::shared::event::Event;
use crate::engine::shared::sink::DeliveryMode;
use crate::engine::time::clock;
use crate::error::{Error, Kind, Result};
use crate::policy::plan::{Reason, RouteId};

impl Call<'_> {
    /// The round on the route that is due.
    pub(super) fn plan_round(&self, route: RouteId, reason: Reason) -> Round {
        let options = &self.ctx.request.options;
        // The attempt and its hedge count separately.
        let may_hedge = options.hedge.is_some()
            && options.max_attempts.is_none_or(|max| self.history.attempts_made() + 2 <= max as usize);
        let candidates = may_hedge.then(|| self.plan.hedge_candidates(clock::now()));
        let hedge_candidates = candidates.into_iter().flatten().map(|route| route.id).collect();
        Round { route, reason, other_routes: self.plan.routes_left(), hedge_candidates, race: None }
    }

    /// Runs one round to the end of its attempt.
    pub(super) async fn run_round(&mut self, round: &mut Round, mut permit: Box<Permit>) -> Result<()> {
        self.report_reason(round);
        self.stopwatch.begin(Stage::Queue);
        let has_other_routes = self.routes.has_several();
        let route = &mut self.routes[round.route];
        let admitted = wait_for_capacity(self.ctx, route, has_other_routes, &mut permit).await;
        self.stopwatch.end();
        admitted?;
        let result = self.attempt_in_forms(round, permit).await;
        let mut is_failure = None;
        if let Some(attempt) = self.running.current_mut() {
            attempt.release_slot();
            if let Err(error) = &result
                && attempt.has_breaker()
                && let Some(is_failure_reply) = self.ctx.sink.is_failure(error)
            {
                is_failure = Some(is_failure_reply.await);
            }
        }
        if let Some(attempt) = self.running.take_current() {
            self.finish_attempt(attempt, AttemptEnd::of(result.as_ref().err()), is_failure);
        }
        result
    }

    /// Reports the round as a fallback or a retry.
    fn report_reason(&self, round: &Round) {
        match (round.reason, self.history.last_code(), self.history.last_record()) {
            (Reason::Retry(_), Some(code), _) => self.ctx.client.metrics.retry_started(code),
            (Reason::Fallback, _, Some(last)) => {
                let route = &self.routes[round.route];
                self.ctx.events.emit(Event::Fallback {
                    call: self.ctx.events.call.clone(),
                    request_id: self.ctx.events.last_request(),
                    endpoint: route.endpoint.config.name.clone(),
                    model: route.model.clone(),
                    from_endpoint: last.endpoint.clone(),
                    from_model: last.model.clone(),
                });
            }
            _ => {}
        }
    }

    /// Makes the attempt, and repeats it in another form if the provider rejects only the form.
    async fn attempt_in_forms(&mut self, round: &mut Round, mut permit: Box<Permit>) -> Result<()> {
        let mut route = round.route;
        let mut unstreamed = self.prefers_document();
        loop {
            let mut form = self.recovery.next_form(self.ctx, &self.routes[route], &mut self.transcript);
            if !form.continues {
                self.publish();
            }
            form.unstreamed = unstreamed;
            let (style, continues) = (form.style, form.continues);
            let result = self.run_attempt(round, route, permit, form).await;
            let Err(error) = &result else { return result };
            let Some(attempt) = self.running.current() else { return result };
            // It may be the hedge.
            route = attempt.route;
            if attempt.was_rejected_for_field(&self.routes[route], error) {
                // Repeated without the field.
            } else if !continues && attempt.was_empty(error) && self.may_request_unstreamed() {
                // Some servers report an error only to a request that is not streamed.
                unstreamed = true;
            } else if error.kind != Kind::InvalidRequest || style.is_none() {
                return result;
            } else if !self.recovery.has_another_style(self.ctx, route, style) {
                return Err(continuation_rejected(error));
            }
            let Some(attempt) = self.running.take_current() else { return result };
            let usage = Usage::of(&self.transcript);
            let finished;
            (finished, permit) = attempt.finish_rejected_form(self.ctx, &self.routes[route], error, usage);
            self.record(route, finished);
        }
    }

    /// Whether the next attempt requests the answer as one document: the caller waits for one, its streams were cut off, the
    /// last one before its first token, and there is no other route. Some servers cut off a stream for another request
    /// (llama-cpp-python), and some gateways cannot stream.
    pub(super) fn prefers_document(&self) -> bool {
        let truncated = Kind::Truncated.code();
        let made_no_progress = self
            .history
            .last_record()
            .is_some_and(|attempt| attempt.outcome == truncated && attempt.first_token_ms.is_none());
        made_no_progress
            && self.history.count(truncated) > 1
            && self.ctx.sink.mode() == DeliveryMode::Nothing
            && !self.transcript.committed
            && !self.routes.has_several()
            && !self.ctx.request.chat.dialect().is_passthrough()
    }

    /// Whether an answer whose stream was empty may be requested as one document: once for each call that retries.
    fn may_request_unstreamed(&mut self) -> bool {
        let options = &self.ctx.request.options;
        let may = !options.single_attempt
            && options.max_retries > 0
            && options.max_attempts.is_none_or(|max| self.history.attempts_made() + 1 < max as usize)
            && !self.ctx.request.chat.dialect().is_passthrough();
        may && !std::mem::replace(&mut self.requested_unstreamed, true)
    }

    /// Starts an attempt, opens it, in a race with a hedge if one is due, and delivers its answer.
    async fn run_attempt(
        &mut self,
        round: &mut Round,
        route: RouteId,
        permit: Box<Permit>,
        form: RequestForm,
    ) -> Result<()> {
        let hedge_after = self.hedge_after(round, route, &form);
        let reason = match round.reason {
            Reason::First => "first",
            Reason::Retry(_) => "retry",
            Reason::Fallback => "fallback",
        };
        // In a block: whatever lives across an await is stored in the future.
        let (due, open) = {
            let start = Start {
                reason,
                number: self.next_number(),
                waited: self.stopwatch.since_attempt(),
                other_routes: round.other_routes,
                form: &form,
                may_race: hedge_after.is_some(),
            };
            let (attempt, open) =
                Attempt::start(self.ctx, &self.routes[route], permit, &mut self.requests, start)?;
            self.stopwatch.attempt_started();
            let due = hedge_after.map(|after| attempt.started() + after);
            self.running.primary = Some(attempt);
            (due, open)
        };
        self.publish_writer();
        let opened = match due {
            None => open.await,
            Some(due) => self.race(round, open, due).boxed().await,
        };
        let opened = opened?;
        let prior = self.prior_attempts();
        let Some(attempt) = self.running.current_mut() else {
            return Err(Error::new(Kind::Internal, "an opened answer has no attempt"));
        };
        let route = &self.routes[attempt.route];
        attempt.deliver(self.ctx, route, opened, form, prior, &mut self.transcript).await
    }
}
