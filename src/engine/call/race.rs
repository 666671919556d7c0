//! Hedging: if the first token of an attempt is slow to arrive, a second attempt starts on another route. The one whose
//! first token arrives first continues, and the other is canceled. Until then the engine only peeks at both, so the
//! answer and its consumer never see two attempts.
//!
//! After Dean and Barroso, "The Tail at Scale" (CACM 56(2), 2013): the second request is sent when the first has
//! taken longer than the 95th percentile.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::budget;
use super::call::Call;
use super::round::{FailedAttempt, RaceReport, Round};
use super::running_attempts::Racer;
use crate::config::{Hedge, defaults};
use crate::engine::admission::{Permit, try_admit_hedge, would_admit};
use crate::engine::attempt::{Attempt, AttemptEnd, HEDGE, OpenFuture, OpenResponse, RequestForm, Start};
use crate::engine::time::clock::{self, sleep_until};
use crate::error::{Error, Result};
use crate::policy::plan::RouteId;

impl<'a> Call<'a> {
    /// How long to wait for an attempt before its hedge starts; `None` if it is not hedged.
    pub(super) fn hedge_after(&self, round: &Round, route: RouteId, form: &RequestForm) -> Option<Duration> {
        let hedge = self.ctx.request.options.hedge?;
        // A provider that keeps the stream goes on with an answer that nobody reads.
        let chat = &self.ctx.request.chat;
        let is_kept = chat.dialect().is_kept(chat);
        if is_kept || self.transcript.committed || form.continues || round.hedge_candidates.is_empty() {
            return None;
        }
        match hedge {
            Hedge::After(after) => Some(after),
            Hedge::P95 => {
                let (quantile, min_calls) = (defaults::HEDGE_QUANTILE, defaults::HEDGE_MINIMUM_CALLS);
                let model = &self.routes[route].model;
                self.ctx.client.metrics.first_token_quantile(model, quantile, min_calls)
            }
        }
    }

    /// Opens the running attempt and, from `due` on, its hedge too. The one whose first token arrives first remains, and
    /// is the current attempt from then on. If both fail, the last one remains, and the error is its own.
    pub(super) async fn race(
        &mut self,
        round: &mut Round,
        mut first: OpenFuture<'a>,
        due: Instant,
    ) -> Result<OpenResponse> {
        tokio::select! {
            biased;
            opened = &mut first => return opened,
            () = sleep_until(due) => {}
        }
        let Some((hedge_route, mut second)) = self.start_hedge(round) else { return first.await };
        let (ended, result) = tokio::select! {
            biased;
            opened = &mut first => (Racer::Primary, opened),
            opened = &mut second => (Racer::Hedge, opened),
        };
        let mut other = if ended == Racer::Primary { second } else { first };
        let mut failed = None;
        let result = match result {
            Ok(opened) => {
                // Closes its socket.
                drop(other);
                if let Some(loser) = self.running.take(ended.other()) {
                    self.finish_attempt(loser, AttemptEnd::LostRace, None);
                }
                Ok(opened)
            }
            Err(error) => {
                let early;
                (failed, early) = self.end_failed_racer(ended, &error, &mut other).await;
                self.publish_writer();
                match early {
                    Some(opened) => opened,
                    None => other.await,
                }
            }
        };
        if let Some(remaining) = self.running.current() {
            let (remaining_route, has_token) = (remaining.route, result.is_ok());
            if has_token && remaining.is_hedge {
                self.ctx.client.metrics.hedge_won();
            }
            round.race = Some(Box::new(RaceReport { hedge_route, failed, remaining_route, has_token }));
        }
        self.publish_writer();
        result
    }

    /// One of the two attempts has failed: ends it, while the other continues. Returns what the failure means for the
    /// plan, and the result of the other attempt if it has arrived in the meantime.
    async fn end_failed_racer(
        &mut self,
        racer: Racer,
        error: &Error,
        other: &mut OpenFuture<'a>,
    ) -> (Option<FailedAttempt>, Option<Result<OpenResponse>>) {
        let Some(attempt) = self.running.get(racer) else { return (None, None) };
        let silence = attempt.silence(self.ctx.request);
        let (mut early, mut is_failure) = (None, None);
        let is_failure_reply = attempt.has_breaker().then(|| self.ctx.sink.is_failure(error));
        if let Some(mut reply) = is_failure_reply.flatten() {
            is_failure = Some(loop {
                tokio::select! {
                    biased;
                    reply = &mut reply => break reply,
                    opened = &mut *other, if early.is_none() => early = Some(opened),
                }
            });
        }
        // A rejected field concerns only the form: the plan may return to the route.
        let route = attempt.route;
        let failed = (!attempt.was_rejected_for_field(&self.routes[route], error)).then(|| FailedAttempt {
            route,
            failure: self.failure(route, error, silence),
            at: clock::now(),
            remaining: self.ctx.remaining(),
        });
        if let Some(attempt) = self.running.take(racer) {
            self.finish_attempt(attempt, AttemptEnd::Failed(error), is_failure);
        }
        (failed, early)
    }

    /// Starts the hedge that is due, if a route has capacity for it and the retry budget covers it.
    fn start_hedge(&mut self, round: &mut Round) -> Option<(RouteId, OpenFuture<'a>)> {
        let ctx = self.ctx;
        let slot = ctx.client.concurrency.try_acquire()?;
        let committed = self.transcript.committed;
        let candidates = mem::take(&mut round.hedge_candidates);
        let mut candidates = candidates.into_iter();
        let route = candidates.find(|route| would_admit(ctx, &self.routes[*route], committed))?;
        if !budget::try_spend(ctx) {
            return None;
        }
        // Another call may have been faster, or the cost exceeds the cap after all.
        let permit = try_admit_hedge(ctx, &self.routes[route], slot);
        let open = permit.and_then(|permit| self.open_hedge(round, route, permit));
        if open.is_none() {
            ctx.client.budget.refund(ctx.request.tenant());
        }
        open.map(|open| (route, open))
    }

    fn open_hedge(&mut self, round: &Round, route: RouteId, permit: Box<Permit>) -> Option<OpenFuture<'a>> {
        let start = Start {
            reason: HEDGE,
            number: self.next_number(),
            waited: Duration::ZERO,
            // The first attempt's route is no longer available.
            other_routes: round.other_routes.saturating_sub(1),
            silence_left: None,
            form: &mut RequestForm::original(false),
            may_race: true,
        };
        let (attempt, open) =
            Attempt::start(self.ctx, &self.routes[route], permit, &mut self.requests, start).ok()?;
        self.running.hedge = Some(Box::new(attempt));
        Some(open)
    }
}
