//! The end of a turn: what the breaker and the limiters learn, and the record of the attempt.

use tokio::time::Instant;

use super::call::{Previous, Running};
use super::clock;
use super::event::Event;
use super::turn::Engaged;
use crate::error::{AttemptRecord, Error, HEDGE_LOST, Kind, Phase, cut};
use crate::policy::circuit_breaker::{Outcome, Transition};
use crate::policy::classify::{Verdict, classify};

/// How an attempt ended.
#[derive(Clone, Copy)]
pub(super) enum Ending<'e> {
    Complete,
    Failed(&'e Error),
    /// Another one, which ran beside it, had its first token first.
    Lost,
}

impl<'e> Ending<'e> {
    pub fn of(error: Option<&'e Error>) -> Self {
        error.map_or(Ending::Complete, Ending::Failed)
    }

    /// The outcome in the record.
    fn as_str(self) -> &'static str {
        match self {
            Ending::Complete => "complete",
            Ending::Failed(error) => error.code(),
            Ending::Lost => HEDGE_LOST,
        }
    }
}

impl Running<'_> {
    /// Ends the turn that is under way, if one is: tells the breaker and the limiters what was learned,
    /// and writes the record.
    pub(super) fn close_turn(&mut self, ending: Ending<'_>) {
        if let Some(Engaged { place, guard, reserved, judged, .. }) = self.engaged.take() {
            let outcome = self.outcome(ending, judged);
            if self.current.is_some() && outcome != Outcome::Ignored {
                let success = outcome == Outcome::Success;
                self.routes[place].lane.record.update(|record| record.ended(success, clock::now()));
            }
            if let Some(guard) = guard {
                let by = self.current.as_ref().map(|current| current.request_id.clone());
                self.report_transition(place, guard.report(outcome), by.or_else(|| self.previous_request()));
            }
            if let Ending::Complete = ending {
                self.learn_length(place);
                self.regain_quota(place);
            }
            let used = self.used();
            reserved.into_iter().flatten().for_each(|reserved| reserved.settle(used));
        }
        self.close_attempt(ending);
    }

    /// What the breaker learns.
    fn outcome(&self, ending: Ending<'_>, judged: Option<bool>) -> Outcome {
        match judged {
            Some(true) => return Outcome::Failure,
            Some(false) => return Outcome::Ignored,
            None => {}
        }
        // Cut off by the call's own deadline: silence until then is the route's, while an answer that
        // was coming, or a queue of our own, says nothing against it.
        let silent = self.current.as_ref().is_some_and(|current| current.progress.first_token.is_none());
        match ending {
            Ending::Complete => Outcome::Success,
            Ending::Lost => Outcome::Ignored,
            Ending::Failed(error) if error.kind == Kind::Timeout(Phase::Total) && !silent => Outcome::Ignored,
            Ending::Failed(error) => match classify(error).breaker {
                Verdict::Success => Outcome::Success,
                Verdict::Failure => Outcome::Failure,
                Verdict::Ignored => Outcome::Ignored,
            },
        }
    }

    /// Tells of a breaker that has changed, and the request that has changed it.
    pub(super) fn report_transition(
        &self,
        place: usize,
        transition: Option<Transition>,
        request_id: Option<String>,
    ) {
        let Some(Transition { from, to }) = transition else { return };
        let route = &self.routes[place];
        self.emit(Event::Circuit {
            call: Some(self.id.clone()),
            request_id,
            endpoint: route.endpoint.config.name.clone(),
            model: route.model.clone(),
            from: from.as_str(),
            to: to.as_str(),
        });
    }

    /// Writes the record of the attempt that is under way, if one is.
    pub(super) fn close_attempt(&mut self, ending: Ending<'_>) {
        let Some(mut current) = self.current.take() else { return };
        current.take_head();
        let error = match ending {
            Ending::Failed(error) => Some(error),
            Ending::Complete | Ending::Lost => None,
        };
        self.settle_bill(current.place, &mut current.progress);
        if !current.remembered {
            let route = &self.routes[current.place];
            let (endpoint, model) = (route.endpoint.config.name.clone(), route.model.clone());
            self.remember_segment(&endpoint, &model, current.progress.deltas, None);
        }
        self.recovery.lost_tool_call |= error.is_some() && !self.journal.first().tool_calls.is_empty();
        let usage = self.journal.usage.clone();
        self.spend_usage();
        let route = &self.routes[current.place];
        let since_start = |at: Instant| at.saturating_duration_since(current.started).as_millis() as u64;
        let progress = current.progress;
        let number = current.number;
        let record = AttemptRecord {
            attempt: number,
            endpoint: route.endpoint.config.name.clone(),
            model: route.model.clone(),
            request_id: progress.request_id.clone().unwrap_or_else(|| current.request_id.clone()),
            outcome: ending.as_str().to_owned(),
            status: progress.status,
            message: error.map(|error| cut(&error.message, 300).to_owned()),
            wait_ms: current.waited.as_millis() as u64,
            duration_ms: since_start(clock::instant()),
            first_token_ms: progress.first_token.map(since_start),
            deltas: progress.deltas,
        };
        // One that has lost to its hedge would have taken longer still: without it the slow ones would
        // never be counted, and hedges would be due sooner and sooner.
        let outlasted = matches!(ending, Ending::Lost) && !current.is_hedge;
        let first_token_ms = record.first_token_ms.or(outlasted.then_some(record.duration_ms));
        if let Some(ms) = first_token_ms {
            route.lane.record.update(|known| known.first_token(ms));
        }
        let code = error.map(Error::code);
        self.client.metrics.ended(&record, first_token_ms, code, usage.as_ref());
        if let Ending::Lost = ending {
            self.emit(Event::HedgeLost {
                call: self.id.clone(),
                attempt: number,
                endpoint: record.endpoint.clone(),
                model: record.model.clone(),
                request_id: current.request_id.clone(),
                hedge: current.is_hedge,
                duration_ms: record.duration_ms,
            });
        }
        if let Some(error) = error {
            self.emit(Event::AttemptFailed {
                call: self.id.clone(),
                attempt: number,
                endpoint: record.endpoint.clone(),
                model: record.model.clone(),
                request_id: current.request_id.clone(),
                class: error.kind.class(),
                provider_request_id: progress.request_id,
                code: error.code(),
                status: record.status,
                message: record.message.clone().unwrap_or_default(),
                duration_ms: record.duration_ms,
            });
        }
        self.attempts.push(record);
        self.previous = Some(Previous { request_id: current.request_id, code });
        self.publish();
    }
}
