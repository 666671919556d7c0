//! The end of a call: an answer, or an error with the reason and what was received.

use std::collections::BTreeMap;

use super::answer::Answer;
use super::call::Call;
use super::stop::interrupted;
use crate::engine::attempt::{Attempt, AttemptEnd, report_completion};
use crate::engine::shared::event::Event;
use crate::engine::time::clock;
use crate::error::{Error, Kind, Phase, Result};

impl Call<'_> {
    /// Ends the call with the result of its future, or with the error that interrupted it: ends the attempts that are
    /// still running, reports the outcome, and builds the answer or completes the error.
    pub fn finish(mut self, outcome: Result<()>) -> Result<Answer> {
        // Interrupted while only the usage was pending: the answer is complete anyway.
        let is_complete = match self.running.current() {
            Some(attempt) => attempt.is_settled() || self.settle(),
            None => false,
        };
        let outcome = if is_complete { Ok(()) } else { outcome };
        let outcome = outcome.map_err(|error| self.classify_interruption(self.with_shortage(error)));
        let end = AttemptEnd::of(outcome.as_ref().err());
        while let Some(attempt) = self.running.take_current() {
            self.finish_attempt(attempt, end, None);
        }
        self.settle_kept_cost();
        match outcome {
            Ok(()) => Ok(self.complete()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Settles an answer that has its last finish reason, if it has content. False if it does not.
    fn settle(&mut self) -> bool {
        let journal = &self.transcript.journal;
        if self.transcript.events.is_some() || !journal.is_complete() || journal.is_empty() {
            return false;
        }
        if let Some(attempt) = self.running.current_mut() {
            attempt.release_slot();
        }
        let first = self.transcript.journal.first_choice();
        self.ctx.request.live.update_answer(|answer| answer.finish(first));
        self.ctx.sink.complete(&first.text);
        true
    }

    /// A deadline that passed while the attempt waited for what this machine lacks has that as its cause.
    fn with_shortage(&self, mut error: Error) -> Error {
        if error.kind == Kind::Timeout(Phase::Total) && error.cause.is_none() {
            error.cause = self.running.current().and_then(Attempt::lacks).map(Error::local_resource);
        }
        error
    }

    /// If part of the answer was received, the error becomes an interruption, unless its own class is more specific.
    fn classify_interruption(&self, error: Error) -> Error {
        match error.kind {
            Kind::Interrupted
            | Kind::Aborted
            | Kind::Closed
            | Kind::CostCap
            | Kind::AnswerTooLarge
            | Kind::Timeout(Phase::Total | Phase::Paused) => error,
            _ if self.transcript.committed || self.recovery.is_kept(self.ctx, &self.transcript) => {
                interrupted(error, "nothing is left to try")
            }
            _ => error,
        }
    }

    fn complete(mut self) -> Answer {
        // A successful call has a last attempt, or resumed a complete answer.
        let last = self.history.last_record();
        let (endpoint, model, request_id) = last
            .map(|record| (record.endpoint.clone(), record.model.clone(), record.request_id.clone()))
            .unwrap_or_default();
        if !self.history.is_settled {
            let (attempts, after_retry) = (self.history.len() as u32, self.history.without_lost_races() > 1);
            let request_id = self.ctx.events.last_request();
            report_completion(
                self.ctx,
                request_id,
                &endpoint,
                &model,
                attempts,
                after_retry,
                BTreeMap::new(),
            );
        }
        self.recovery.add_usage(&mut self.transcript);
        self.transcript.journal.usage = self.recovery.usage.take();
        Answer {
            max_size: self.transcript.max_size(),
            journal: self.transcript.journal,
            cost_usd: self.history.cost.usd(),
            endpoint,
            model,
            request_id,
            attempts: self.history.records,
            recoveries: self.recovery.count,
            segments: self.recovery.segments,
            joins: self.recovery.joins,
            session_id: self.ctx.request.session_id.clone(),
        }
    }

    fn fail(mut self, mut error: Error) -> Error {
        if error.kind == Kind::Timeout(Phase::Total) {
            self.stopwatch.explain(&mut error, &self.history.records);
        }
        self.ctx.events.emit(Event::Failed {
            call: self.ctx.events.call.clone(),
            request_id: self.ctx.events.last_request(),
            attempts: self.history.len() as u32,
            code: error.code(),
            message: error.message.clone(),
            duration_ms: self.duration_ms(),
        });
        if !self.ctx.sink.wants_end() {
            return error;
        }
        let partial = &self.transcript.journal.first_choice().text;
        if !partial.is_empty() || error.kind == Kind::Interrupted {
            error.partial = Some(partial.clone());
        }
        let live = &self.ctx.request.live;
        let is_kept = live.update(|live| live.response.is_some());
        // What is not text of a passed-through dialect is not journaled.
        let is_text = match &self.transcript.events {
            Some(events) => events.not_resumable().is_none(),
            None => true,
        };
        if is_kept || (is_text && live.has_begun()) {
            error.snapshot = live.json();
        }
        if let Some(last) = self.history.last_record()
            && error.request_id.is_none()
        {
            error.request_id = Some(last.request_id.clone());
        }
        error.attempts = self.history.records;
        error
    }

    fn duration_ms(&self) -> u64 {
        clock::instant().saturating_duration_since(self.ctx.started).as_millis() as u64
    }
}
