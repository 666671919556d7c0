//! A call and its parts.

use super::history::History;
use super::kept::KeptAnswer;
use super::planning;
use super::recovery::Recovery;
use super::running_attempts::RunningAttempts;
use super::stopwatch::Stopwatch;
use crate::engine::admission::{CallContext, Routes};
use crate::engine::attempt::{
    Attempt, AttemptEnd, FinishedAttempt, PriorAttempts, Requests, SizeLimits, Transcript, Usage,
};
use crate::error::Error;
use crate::policy::interruption::Silence;
use crate::policy::plan::{Failure, Plan, RouteId};
use crate::session::snapshot::Snapshot;
use crate::usage::add_usage;

/// One call. It lives outside the future that runs it, so that its state survives when that future is dropped:
/// [`Call::finish`] ends the attempts that are still running.
pub struct Call<'a> {
    pub(super) ctx: &'a CallContext<'a>,
    pub(super) routes: Routes,
    pub(super) plan: Plan,
    pub(super) requests: Requests<'a>,
    pub(super) transcript: Transcript,
    pub(super) history: History,
    pub(super) recovery: Recovery,
    pub(super) stopwatch: Stopwatch,
    pub(super) running: RunningAttempts,
    /// The answer was requested as one document, after a stream of it that was empty.
    pub(super) requested_unstreamed: bool,
    /// How much of an answer any attempt has reached, in bytes.
    furthest: usize,
    pub(super) kept: KeptAnswer,
}

impl<'a> Call<'a> {
    pub fn new(ctx: &'a CallContext<'a>) -> Self {
        let request = ctx.request;
        let chat = &request.chat;
        let resumes = request.resume_from.as_deref().is_some_and(Snapshot::has_content);
        let routes = Routes::new(ctx);
        let mut call = Call {
            ctx,
            plan: planning::plan(ctx, &routes),
            routes,
            requests: Requests::new(chat, request.options.idempotency_key.as_deref(), resumes),
            transcript: Transcript::new(chat.dialect(), chat.choices(), SizeLimits::of(&request.options)),
            history: History::default(),
            recovery: Recovery::default(),
            stopwatch: Stopwatch::default(),
            running: RunningAttempts::default(),
            requested_unstreamed: false,
            furthest: 0,
            kept: KeptAnswer::default(),
        };
        call.transcript.expect_kept_stream(chat);
        if let Some(snapshot) = &request.resume_from {
            call.restore(Snapshot::clone(snapshot));
        }
        call
    }

    /// Continues from a snapshot, whose content has been delivered.
    fn restore(&mut self, mut snapshot: Snapshot) {
        self.transcript.committed = snapshot.has_content();
        self.transcript.journal = snapshot.journal(self.ctx.request.chat.choices());
        self.furthest = self.transcript.journal.first_choice().text.len();
        self.recovery = Recovery::resume(&mut snapshot);
        self.restore_kept(snapshot.response.take());
        self.history = History::resume(snapshot.attempts, snapshot.cost_usd);
        self.publish();
    }

    /// What the failure of the running or last attempt means for the plan.
    pub(super) fn failure(&self, route: RouteId, error: &Error, mut silence: Silence) -> Failure {
        let again = self.history.count(error.code()) > 1;
        silence.at_start &= self.furthest == 0;
        planning::failure(self.ctx, &self.routes[route], error, self.history.attempts_made(), again, silence)
    }

    /// After a failed attempt: whether the answer is longer than at the end of any attempt before.
    pub(super) fn note_place(&mut self) {
        let first = self.transcript.journal.first_choice();
        let calls = first.tool_calls.iter().map(|call| call.arguments.len()).sum::<usize>();
        let place = first.text.len() + first.reasoning.len() + first.refusal.len() + calls;
        if place > self.furthest {
            self.furthest = place;
            self.plan.place_changed();
        }
    }

    /// Publishes the state between two deltas in [`crate::engine::shared::live_snapshot::LiveSnapshot`].
    pub(super) fn publish(&self) {
        let (recovery, journal) = (&self.recovery, &self.transcript.journal);
        let choice = journal.first_choice();
        let usage = match &journal.usage {
            Some(more) => Some(add_usage(recovery.usage.clone(), more)),
            None => recovery.usage.clone(),
        };
        self.ctx.request.live.update(|live| {
            if !live.is_released {
                // A revoked text is replaced; a longer one was written delta by delta.
                if live.answer.text.len() != choice.text.len() {
                    live.answer.text.clone_from(&choice.text);
                }
                live.answer.reasoning.clone_from(&choice.reasoning);
                live.answer.refusal.clone_from(&choice.refusal);
            }
            live.answer.identity.clone_from(&journal.identity);
            live.answer.deltas = recovery.deltas;
            live.answer.lost_tool_call = recovery.lost_tool_call;
            live.usage = usage;
            live.cost_usd = self.history.cost.usd();
            live.attempts.clone_from(&self.history.records);
            live.recoveries = recovery.count;
            live.segments.clone_from(&recovery.segments);
            live.joins.clone_from(&recovery.joins);
        });
    }

    /// Ends an attempt and records it.
    pub(super) fn finish_attempt(&mut self, attempt: Attempt, end: AttemptEnd<'_>, is_failure: Option<bool>) {
        let route = attempt.route;
        let usage = Usage::of(&self.transcript);
        let finished = attempt.finish(self.ctx, &self.routes[route], end, is_failure, usage);
        self.record(route, finished);
    }

    pub(super) fn record(&mut self, route: RouteId, mut finished: FinishedAttempt) {
        self.kept.keep_cost(finished.kept_cost.take());
        self.recovery.attempt_ended(&self.routes[route], &self.transcript, &finished);
        self.recovery.add_usage(&mut self.transcript);
        self.ctx.events.attempt_ended(&finished.request_id);
        self.history.push(finished);
        self.publish();
    }

    /// The number of the next attempt, 1-based.
    pub(super) fn next_number(&self) -> u32 {
        (self.history.len() + self.running.len()) as u32 + 1
    }

    /// What the next attempt needs to know of earlier ones.
    pub(super) fn prior_attempts(&self) -> PriorAttempts {
        PriorAttempts {
            count: self.history.len() as u32,
            has_failed: self.history.without_lost_races() > 0,
            lost_tool_call: self.recovery.lost_tool_call,
            usage: self.recovery.usage.clone(),
        }
    }

    /// Publishes which route writes the answer.
    pub(super) fn publish_writer(&self) {
        let Some(attempt) = self.running.current() else { return };
        let route = &self.routes[attempt.route];
        let writer = (route.endpoint.config.name.clone(), route.model.clone());
        self.ctx.request.live.update(|live| live.writer = Some(writer));
    }
}
