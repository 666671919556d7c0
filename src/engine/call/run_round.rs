//! One round of a call: the wait for capacity, the attempt, and its end. If the provider rejects only the form of the
//! request, the request is repeated in another form on the same permit.

use std::time::Duration;

use futures::FutureExt;

use super::call::Call;
use super::kept::is_refusal;
use super::recovery::{MAX_FORMS, continuation_rejected};
use super::round::Round;
use super::stop::interrupted;
use super::stopwatch::Stage;
use crate::engine::admission::{Permit, wait_for_capacity};
use crate::engine::attempt::{Attempt, AttemptEnd, RequestForm, Start, Usage};
use crate::engine::shared::event::Event;
use crate::engine::shared::sink::DeliveryMode;
use crate::engine::time::clock;
use crate::error::{Error, Kind, Result};
use crate::policy::interruption::{Interruption, interruption};
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
        Round {
            route,
            reason,
            other_routes: self.plan.routes_left(),
            hedge_candidates,
            silence: None,
            race: None,
        }
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
            // Before the caller's function takes its time.
            round.silence = result.is_err().then(|| Box::new(attempt.silence(self.ctx.request)));
            if let Err(error) = &result
                && attempt.has_breaker()
                && let Some(is_failure_reply) = self.ctx.sink.is_failure(error)
            {
                is_failure = Some(is_failure_reply.await);
            }
        }
        if let Some(mut attempt) = self.running.take_current() {
            if result.is_err() && self.kept_position(attempt.route).is_some() {
                attempt.keep_cost();
            }
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

    /// Makes the attempt, and repeats it in another form if the provider rejects only the form: at most
    /// [`MAX_FORMS`] forms of continuation.
    async fn attempt_in_forms(&mut self, round: &mut Round, mut permit: Box<Permit>) -> Result<()> {
        let mut route = round.route;
        let mut unstreamed = self.prefers_document();
        let mut forms = 0;
        loop {
            let mut form = self.next_form(route)?;
            if !form.continues {
                self.publish();
            }
            form.unstreamed = unstreamed;
            let (style, native, continues, is_rest) =
                (form.style, form.native, form.continues, form.rest.is_some());
            let result = self.run_attempt(round, route, permit, form).await;
            let Some(attempt) = self.running.current() else { return result };
            // It may be the hedge.
            route = attempt.route;
            if forms > 0 && native.is_none() && attempt.was_accepted() {
                self.recovery.remember_rejected(self.ctx, &self.routes[route]);
            }
            let Err(error) = &result else { return result };
            if is_rest {
                if !is_refusal(error) || !self.rest_refused() {
                    return result;
                }
                // The answer is continued in another way, or requested again.
            } else if attempt.was_rejected_for_field(&self.routes[route], error) {
                // Repeated without the field.
            } else if !continues && self.ended_at_once(error) && self.may_request_unstreamed() {
                // Some servers report an error only to a request that is not streamed.
                unstreamed = true;
            } else if error.kind != Kind::InvalidRequest || (style.is_none() && native.is_none()) {
                return result;
            } else {
                forms += 1;
                let has_another = self.recovery.has_another_form(self.ctx, route, native, style);
                if !has_another || forms >= MAX_FORMS {
                    return Err(continuation_rejected(error));
                }
            }
            let Some(attempt) = self.running.take_current() else { return result };
            let usage = Usage::of(&self.transcript);
            let finished;
            (finished, permit) = attempt.finish_rejected_form(self.ctx, &self.routes[route], error, usage);
            self.record(route, finished);
        }
    }

    /// What the next attempt requests from a route.
    fn next_form(&mut self, route: RouteId) -> Result<RequestForm> {
        if let Some(form) = self.form_of_rest(route) {
            return Ok(form);
        }
        if let Some(why) = self.lost_reason() {
            let cause = Error::new(Kind::Truncated, "the rest of the answer is kept by another provider");
            return Err(interrupted(cause, &why));
        }
        self.begin_answer_at(route);
        self.routes[route].needs_no_tokens = false;
        Ok(self.recovery.next_form(self.ctx, &self.routes[route], &mut self.transcript))
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

    /// What is left of the time for which the route that is due may be silent, if it has stalled at this place. A model that
    /// thinks before it writes does so again before it continues.
    fn silence_left(&self) -> Option<Duration> {
        let thought = self.history.last_record().and_then(|attempt| attempt.first_token_ms).unwrap_or(0);
        self.plan.silence_left().map(|left| left.max(Duration::from_millis(thought.saturating_mul(2))))
    }

    /// Whether the running attempt has ended without any answer, and without a long silence before its end: then nothing
    /// would be gained by another request, which may be silent for even longer.
    fn ended_at_once(&self, error: &Error) -> bool {
        let silence = |attempt: &Attempt| interruption(error, attempt.silence(self.ctx.request));
        self.running.current().is_some_and(|attempt| {
            attempt.was_empty(error) && !matches!(silence(attempt), Some(Interruption::Stalled { .. }))
        })
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
        mut form: RequestForm,
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
                // A hedge that goes on in another form has not been silent.
                silence_left: (route == round.route).then(|| self.silence_left()).flatten(),
                form: &mut form,
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
