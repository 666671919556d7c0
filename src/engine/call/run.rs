//! The loop over the attempts of a call.

use std::time::Duration;

use super::budget;
use super::call::Call;
use super::recovery::MAX_FORMS;
use super::round::Round;
use super::stop::{interrupted, no_capacity};
use super::stopwatch::Stage;
use crate::config::Mode;
use crate::engine::admission::{Rejected, try_admit};
use crate::engine::shared::event::Event;
use crate::engine::shared::sink::DeliveryMode;
use crate::engine::time::clock;
use crate::error::{Error, Kind, Phase, Result};
use crate::policy::plan::{Step, Stop};

impl Call<'_> {
    /// Runs the call to completion. The future may be dropped at any time.
    pub async fn run(&mut self) -> Result<()> {
        if self.recovery.continues
            && let Some(ended) = self.begin_resumed()
        {
            return ended;
        }
        let ctx = self.ctx;
        ctx.client.budget.deposit(ctx.request.tenant());
        let mut step = match self.kept.route {
            Some(route) => self.plan.start_where_kept(route, clock::now(), ctx.remaining(), &mut rand::rng()),
            None => self.plan.start(clock::now(), ctx.remaining(), &mut rand::rng()),
        };
        // The error of the last attempt, and that of the last rejection.
        let mut last: Option<Error> = None;
        let mut rejection: Option<Error> = None;
        loop {
            let (route, wait, server_requested, reason) = match step {
                Step::Try { route, wait, server_requested, reason } => {
                    (route.id, wait, server_requested, reason)
                }
                Step::Stop(Stop::NoCapacity) if rejection.is_some() => {
                    return Err(no_capacity(rejection, last));
                }
                Step::Stop(stop) => return Err(self.stopped(stop, last)),
            };
            self.wait(wait, if server_requested { "retry-after" } else { "backoff" }).await;
            let committed = self.transcript.committed;
            self.routes[route].needs_no_tokens = self.kept_position(route).is_some();
            let rejected = match try_admit(ctx, &self.routes[route], committed, self.plan.must_queue()) {
                Err(rejected) => rejected,
                Ok(permit) => {
                    let attempts_before = self.history.len();
                    let mut round = self.plan_round(route, reason);
                    let Err(error) = self.run_round(&mut round, permit).await else { return Ok(()) };
                    if self.history.len() > attempts_before {
                        step = match self.after_failure(&round, &error) {
                            NextAction::Next(step) => step,
                            NextAction::Complete => return Ok(()),
                            NextAction::Fail => {
                                let mut error = error;
                                error.cause = error.cause.take().or(last);
                                return Err(error);
                            }
                            NextAction::Interrupt(why) => return Err(interrupted(error, &why)),
                            NextAction::Stop(stop) => return Err(self.stopped(stop, Some(error))),
                        };
                        last = Some(error);
                        continue;
                    }
                    Rejected::from_error(error, &self.routes[route], self.transcript.committed)
                }
            };
            step = match rejected {
                Rejected::Call(error) => return Err(no_capacity(Some(error), last)),
                Rejected::CircuitOpen(retry_after) => {
                    budget::refund(ctx, reason, self.transcript.committed);
                    self.plan.circuit_open(retry_after, clock::now(), ctx.remaining(), &mut rand::rng())
                }
                Rejected::Route(unavailable, error) => {
                    budget::refund(ctx, reason, self.transcript.committed);
                    rejection = error.or(rejection);
                    self.plan.route_unavailable(unavailable, clock::now(), ctx.remaining(), &mut rand::rng())
                }
            };
            step = budget::charge(ctx, step, &mut self.plan, self.transcript.committed);
        }
    }

    /// Starts from a snapshot of a partial answer. `Some` if nothing is left to request.
    fn begin_resumed(&mut self) -> Option<Result<()>> {
        let ctx = self.ctx;
        if ctx.request.resume_from.as_ref().is_some_and(|snapshot| snapshot.answer.complete) {
            ctx.sink.complete(&self.transcript.journal.first_choice().text);
            return Some(Ok(()));
        }
        if self.kept.route.is_some_and(|route| self.kept_position(route).is_some()) {
            self.emit_recovery(Duration::ZERO);
            return None;
        }
        if let Some(why) = self.recovery.not_resumable(ctx, &self.transcript) {
            let message = format!("the answer cannot be resumed: {why}");
            return Some(Err(Error::new(Kind::Interrupted, message)));
        }
        if self.recovery.is_used_up(ctx, &self.transcript) {
            self.end_at_length();
            return Some(Ok(()));
        }
        self.emit_recovery(Duration::ZERO);
        None
    }

    /// What follows a failed attempt.
    fn after_failure(&mut self, round: &Round, error: &Error) -> NextAction {
        let ctx = self.ctx;
        let route = round.settle_race(&mut self.plan);
        if matches!(
            error.kind,
            Kind::QueueFull | Kind::NeverFits | Kind::CostCap | Kind::InvalidArgument | Kind::AnswerTooLarge
        ) {
            // The last request was not sent, so the reason is the failure before it; or the answer is too large, which it
            // would be again.
            return NextAction::Fail;
        }
        if error.kind == Kind::Timeout(Phase::Paused) {
            // Nobody would read another attempt either.
            return NextAction::Fail;
        }
        let (is_kept, has_progressed) = self.rest_is_kept(route);
        if !is_kept && self.recovery.is_used_up(ctx, &self.transcript) {
            self.end_at_length();
            return NextAction::Complete;
        }
        let prefers_document = self.prefers_document();
        let has_begun =
            self.recovery.has_begun(ctx, &self.transcript, &self.routes[route]) && !prefers_document;
        if has_begun && self.transcript.journal.is_complete() {
            return NextAction::Interrupt("after its finish reason, so nothing is left to continue".into());
        }
        // An empty answer is requested once more.
        if error.kind == Kind::EmptyAnswer && self.history.count(error.code()) > 1 {
            return NextAction::Fail;
        }
        if has_begun && let Some(why) = self.recovery.not_recoverable(ctx, &self.transcript, is_kept) {
            if self.may_end_after_call() {
                self.end_after_call();
                return NextAction::Complete;
            }
            return NextAction::Interrupt(why);
        }
        let options = &ctx.request.options;
        if options.max_attempts.is_some_and(|max| self.history.attempts_made() >= max as usize) {
            return NextAction::Stop(Stop::RetriesExhausted);
        }
        self.note_place();
        let mut failure = self.failure(route, error, round.silence.as_deref().copied().unwrap_or_default());
        let in_vain = has_begun && error.kind == Kind::ContinuationMismatch && self.recovery.failed_last;
        if in_vain && self.recovery.failed_forms >= MAX_FORMS {
            return NextAction::Interrupt(format!("{MAX_FORMS} continuations failed their checks"));
        }
        let asks_again = in_vain && self.recovery.may_ask_again(ctx, route, self.plan.routes_left() > 0);
        // The route cannot continue this answer.
        failure.class.retryable &= !in_vain;
        // Only what the consumer has counts as progress: anything else is requested again.
        let has_deltas = self.history.last_record().is_some_and(|attempt| attempt.deltas > 0);
        if has_begun && (has_deltas || has_progressed) {
            self.plan.attempt_progressed();
        }
        let (now, remaining) = (clock::now(), ctx.remaining());
        let step = match (is_kept, asks_again) {
            (true, _) => self.plan.attempt_failed_with_answer_kept(failure, now, remaining, &mut rand::rng()),
            // The provider is healthy: nothing is gained by a wait.
            (false, true) => self.plan.retry_at_once(),
            (false, false) => self.plan.attempt_failed(failure, now, remaining, &mut rand::rng()),
        };
        let step = budget::charge(ctx, step, &mut self.plan, self.transcript.committed);
        // What nobody has yet is continued only where the next route does it itself.
        let has_begun = match &step {
            Step::Try { route, .. } => {
                let next = &self.routes[route.id];
                self.recovery.has_begun(ctx, &self.transcript, next) && !prefers_document
            }
            Step::Stop(_) => has_begun,
        };
        self.recovery.continues = has_begun && options.recovery.mode == Mode::Continue;
        if has_begun && let Step::Try { wait, .. } = &step {
            self.recovery.count += 1;
            self.publish();
            self.emit_recovery(*wait);
        }
        NextAction::Next(step)
    }

    async fn wait(&mut self, wait: Duration, reason: &'static str) {
        if wait.is_zero() {
            return;
        }
        self.ctx.events.wait(wait, reason);
        self.stopwatch.begin(Stage::Wait);
        clock::sleep(wait).await;
        self.stopwatch.end();
    }

    /// Every token that the caller allowed was received before the interruption: the answer ends there.
    fn end_at_length(&mut self) {
        let ctx = self.ctx;
        self.set_finish_reason("length");
        let journal = &self.transcript.journal;
        if let Some(events) = &mut self.transcript.events {
            let events = events.end_at_token_limit();
            let is_read = ctx.sink.mode() == DeliveryMode::Chunks;
            events.iter().filter(|_| is_read).for_each(|event| ctx.sink.delta(&event.sse()));
        } else if ctx.sink.mode() == DeliveryMode::Chunks {
            ctx.sink.delta(&journal.chunk(0, serde_json::json!({}), Some("length")));
            if let Some(usage) = self.recovery.usage.as_ref().filter(|_| ctx.request.chat.wants_usage()) {
                ctx.sink.delta(&journal.usage_chunk(usage));
            }
        }
        let first = journal.first_choice();
        ctx.request.live.update_answer(|answer| answer.finish(first));
        ctx.sink.complete(&first.text);
    }

    fn set_finish_reason(&mut self, reason: &str) {
        if let Some(choice) = self.transcript.journal.choice(0) {
            choice.finish_reason = Some(reason.to_owned());
            choice.tool_calls.clear();
        }
    }

    /// Whether the answer was cut off only at its end: the request allows one tool call, and the consumer has it.
    fn may_end_after_call(&self) -> bool {
        let request = &self.ctx.request;
        let ends = self.transcript.events.as_ref().is_some_and(|events| events.ends_with_call());
        ends && request.options.recovery.mode == Mode::Continue
            && request.chat.dialect().allows_one_call(&request.chat)
    }

    /// Nothing can follow the tool call that the consumer has: the answer ends there.
    fn end_after_call(&mut self) {
        let ctx = self.ctx;
        self.set_finish_reason("tool_calls");
        let events = self.transcript.events.as_mut().map(|events| events.end_after_call());
        let is_read = ctx.sink.mode() == DeliveryMode::Chunks;
        events.iter().flatten().filter(|_| is_read).for_each(|event| ctx.sink.delta(&event.sse()));
        let first = self.transcript.journal.first_choice();
        ctx.request.live.update_answer(|answer| answer.finish(first));
        ctx.sink.complete(&first.text);
    }

    fn emit_recovery(&self, wait: Duration) {
        let last = self.history.last_record();
        self.ctx.events.emit(Event::Recovery {
            call: self.ctx.events.call.clone(),
            request_id: self.ctx.events.last_request(),
            count: self.recovery.count,
            received: self.transcript.journal.first_choice().text.chars().count(),
            endpoint: last.map(|record| record.endpoint.clone()).unwrap_or_default(),
            model: last.map(|record| record.model.clone()).unwrap_or_default(),
            wait_ms: wait.as_millis() as u64,
        });
    }
}

/// What follows a failed attempt.
enum NextAction {
    Next(Step),
    /// The answer is complete anyway.
    Complete,
    /// The call fails with the error of the attempt.
    Fail,
    /// The answer is not recovered, for this reason.
    Interrupt(String),
    Stop(Stop),
}
