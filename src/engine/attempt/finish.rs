//! The end of an attempt: the reports to the breaker, the limiters and the counters, and its record.

use std::mem;

use serde_json::Value;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::report::report;
use super::transcript::Transcript;
use crate::engine::admission::{CallContext, CallRoute, CostReservation, Permit, Settlement, is_rejection};
use crate::engine::shared::event::Event;
use crate::engine::shared::limiter::Consumption;
use crate::engine::time::clock;
use crate::error::{AttemptRecord, Error, HEDGE_LOST, Kind, LocalResource, Phase, truncate};
use crate::policy::circuit_breaker::Outcome;
use crate::policy::classify::classify;
use crate::policy::usage_bound::{RequestFacts, UsageBound};
use crate::session::splice::{ContinuationMismatch, Join};

/// How an attempt ended.
#[derive(Clone, Copy)]
pub enum AttemptEnd<'e> {
    Complete,
    Failed(&'e Error),
    /// The attempt that it raced received its first token first.
    LostRace,
}

impl<'e> AttemptEnd<'e> {
    pub fn of(error: Option<&'e Error>) -> Self {
        error.map_or(AttemptEnd::Complete, AttemptEnd::Failed)
    }

    fn error(self) -> Option<&'e Error> {
        match self {
            AttemptEnd::Failed(error) => Some(error),
            AttemptEnd::Complete | AttemptEnd::LostRace => None,
        }
    }

    /// The outcome in the record.
    fn as_str(self) -> &'static str {
        match self {
            AttemptEnd::Complete => "complete",
            AttemptEnd::Failed(error) => error.code(),
            AttemptEnd::LostRace => HEDGE_LOST,
        }
    }
}

/// What a provider reports of its usage.
#[derive(Clone, Copy)]
pub struct Usage<'u> {
    pub report: &'u Value,
    /// The length of what was received, in bytes.
    pub received_bytes: usize,
}

impl<'u> Usage<'u> {
    /// The usage that the running attempt has reported.
    pub fn of(transcript: &'u Transcript) -> Option<Self> {
        let journal = &transcript.journal;
        Some(Usage { report: journal.usage.as_ref()?, received_bytes: journal.size() })
    }
}

/// The result of an attempt.
pub struct FinishedAttempt {
    pub record: AttemptRecord,
    /// Our id of the request.
    pub request_id: String,
    /// The code of its error.
    pub code: Option<&'static str>,
    /// `None` if nothing was reserved.
    pub cost: Option<Settlement>,
    /// The reservation for the attempt that reads the answer on.
    pub kept_cost: Option<Box<CostReservation>>,
    /// The completion of the answer has been reported.
    pub is_settled: bool,
    /// It read the rest of a stream that the provider keeps.
    pub is_rest: bool,
    /// How its text was joined to that of earlier attempts.
    pub join: Option<Join>,
    /// The check that its text failed.
    pub mismatch: Option<ContinuationMismatch>,
}

impl Attempt {
    /// Ends the attempt and settles its permit. `is_failure` is the caller's own classification of the error, if any;
    /// `usage` is the provider's report.
    pub fn finish(
        mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        end: AttemptEnd<'_>,
        is_failure: Option<bool>,
        usage: Option<Usage<'_>>,
    ) -> FinishedAttempt {
        self.take_head();
        let usage = self.plausible(ctx, route, usage);
        // The success of a settled answer was reported at once.
        if !self.is_settled() {
            let outcome = self.breaker_outcome(end, is_failure);
            report(ctx, route, self.permit.admission(), outcome, &self.request_id);
        }
        let consumption = self.consumption(usage);
        self.permit.admission().settle_limits(consumption);
        if let AttemptEnd::Complete = end {
            learn_length(ctx, route, usage);
        }
        self.conclude(ctx, route, end, usage)
    }

    /// Ends an attempt whose form alone the provider rejected. The next attempt reuses the permit.
    pub fn finish_rejected_form(
        mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        error: &Error,
        usage: Option<Usage<'_>>,
    ) -> (FinishedAttempt, Box<Permit>) {
        self.take_head();
        let usage = self.plausible(ctx, route, usage);
        let finished = self.conclude(ctx, route, AttemptEnd::Failed(error), usage);
        (finished, self.permit)
    }

    /// The usage, unless the request cannot have caused it. Then the attempt is charged as one without usage.
    fn plausible<'u>(
        &self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        usage: Option<Usage<'u>>,
    ) -> Option<&'u Value> {
        let Usage { report, received_bytes } = usage?;
        let (chat, model) = (&ctx.request.chat, &route.model);
        let facts = RequestFacts {
            body_bytes: self.body_bytes as u64,
            images: chat.images() as u64,
            has_stored_prompt: chat.has_stored_prompt(),
            max_tokens: chat.max_tokens(),
            model_limit: ctx.client.config.catalogue.max_output_tokens(model),
            choices: chat.choices() as u64,
            received_bytes: received_bytes as u64,
        };
        let bound = UsageBound::of(&facts);
        if bound.allows(report) {
            return Some(report);
        }
        let count = |name: &str| report.get(name).and_then(Value::as_f64);
        ctx.events.emit(Event::ImplausibleUsage {
            call: ctx.events.call.clone(),
            attempt: self.number,
            endpoint: route.endpoint.config.name.clone(),
            model: model.clone(),
            request_id: self.request_id.clone(),
            prompt_tokens: count("prompt_tokens"),
            completion_tokens: count("completion_tokens"),
            total_tokens: count("total_tokens"),
            max_prompt_tokens: bound.prompt,
            max_completion_tokens: bound.completion,
        });
        None
    }

    /// Settles the cost, counts the attempt and reports it.
    fn conclude(
        &mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        end: AttemptEnd<'_>,
        usage: Option<&Value>,
    ) -> FinishedAttempt {
        let is_settled = self.is_settled();
        // A refused request for the rest does not mean that the answer was not generated.
        let status = self.progress.status.filter(|_| !self.is_rest);
        let kept_cost = self.keeps_cost.then(|| Box::new(self.permit.take_cost()));
        let cost = match &kept_cost {
            Some(_) => None,
            None => self.permit.settle_cost(ctx, route, status, is_settled, usage),
        };
        let error = end.error();
        let code = error.map(Error::code);
        let record = self.record(route, end);
        // An attempt that lost to its hedge would have taken even longer. Without it slow attempts would never count,
        // and hedges would start earlier and earlier.
        let outlasted = matches!(end, AttemptEnd::LostRace) && !self.is_hedge && self.lacks().is_none();
        let first_token_ms = record.first_token_ms.or(outlasted.then_some(record.duration_ms));
        if let Some(ms) = first_token_ms {
            route.state.stats.update(|stats| stats.record_first_token(ms));
        }
        ctx.client.metrics.attempt_ended(&record, first_token_ms, code, usage);
        if let AttemptEnd::LostRace = end {
            ctx.events.emit(Event::HedgeLost {
                call: ctx.events.call.clone(),
                attempt: self.number,
                endpoint: record.endpoint.clone(),
                model: record.model.clone(),
                request_id: self.request_id.clone(),
                hedge: self.is_hedge,
                duration_ms: record.duration_ms,
            });
        }
        if let Some(error) = error {
            ctx.events.emit(Event::AttemptFailed {
                call: ctx.events.call.clone(),
                attempt: self.number,
                endpoint: record.endpoint.clone(),
                model: record.model.clone(),
                request_id: self.request_id.clone(),
                class: error.kind.class(),
                provider_request_id: self.progress.request_id.clone(),
                code: error.code(),
                phase: error.kind.phase().map(Phase::as_str),
                status: record.status,
                message: record.message.clone().unwrap_or_default(),
                duration_ms: record.duration_ms,
            });
        }
        FinishedAttempt {
            record,
            request_id: mem::take(&mut self.request_id),
            code,
            cost,
            kept_cost,
            is_settled,
            is_rest: self.is_rest,
            join: self.join.take(),
            mismatch: self.mismatch.take(),
        }
    }

    fn record(&self, route: &CallRoute, end: AttemptEnd<'_>) -> AttemptRecord {
        let since_start = |at: Instant| at.saturating_duration_since(self.started).as_millis() as u64;
        let progress = &self.progress;
        AttemptRecord {
            attempt: self.number,
            endpoint: route.endpoint.config.name.clone(),
            model: route.model.clone(),
            request_id: progress.request_id.clone().unwrap_or_else(|| self.request_id.clone()),
            outcome: end.as_str().to_owned(),
            status: progress.status,
            message: end.error().map(|error| truncate(&error.message, 300).to_owned()),
            wait_ms: self.waited.as_millis() as u64,
            duration_ms: since_start(progress.settled.unwrap_or_else(clock::instant)),
            first_token_ms: progress.first_token.map(since_start),
            deltas: progress.deltas,
        }
    }

    /// The outcome for the breaker.
    fn breaker_outcome(&self, end: AttemptEnd<'_>, is_failure: Option<bool>) -> Outcome {
        match is_failure {
            Some(true) => return Outcome::Failure,
            Some(false) => return Outcome::Ignored,
            None => {}
        }
        // Cut off by the total deadline: silence until then counts against the route, unless this machine was the reason.
        // An answer that was arriving does not count.
        let is_silent = self.progress.first_token.is_none() && self.lacks().is_none();
        match end {
            AttemptEnd::Complete => Outcome::Success,
            AttemptEnd::LostRace => Outcome::Ignored,
            AttemptEnd::Failed(error) if error.kind == Kind::Timeout(Phase::Total) && !is_silent => {
                Outcome::Ignored
            }
            AttemptEnd::Failed(error) => classify(error).breaker,
        }
    }

    /// What this machine lacked, so that nothing was sent.
    pub fn lacks(&self) -> Option<LocalResource> {
        self.head.update(|head| head.lacks())
    }

    /// The attempt's consumption of its rate limits.
    fn consumption(&self, usage: Option<&Value>) -> Consumption {
        let (was_sent, status) = self.head.update(|head| (head.was_sent, head.status));
        match usage.and_then(|usage| usage.get("total_tokens")?.as_f64()) {
            _ if !was_sent => Consumption::Nothing,
            // The tokens were counted with the request for the answer.
            _ if self.is_rest => Consumption::Tokens(0.0),
            Some(tokens) => Consumption::Tokens(tokens),
            None if is_rejection(status) => Consumption::Tokens(0.0),
            None => Consumption::Unknown,
        }
    }
}

/// Records the length of a complete answer that had no limit.
fn learn_length(ctx: &CallContext<'_>, route: &CallRoute, usage: Option<&Value>) {
    let tokens = usage.and_then(|usage| usage.get("completion_tokens")?.as_u64());
    if let (Some(tokens), None) = (tokens, ctx.request.chat.max_tokens()) {
        let per_choice = tokens.div_ceil(ctx.request.chat.choices().max(1) as u64);
        ctx.client.costs.lengths.update(|lengths| lengths.observe(&route.model, per_choice));
    }
}
