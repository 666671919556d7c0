//! The errors of calls that have nothing left to try.

use super::call::Call;
use super::history::History;
use crate::engine::admission::cooling_down;
use crate::error::{Error, Kind};
use crate::policy::plan::Stop;

impl Call<'_> {
    /// The error of a call that its plan ends. `last` is the error of the last attempt.
    pub(super) fn stopped(&mut self, stop: Stop, last: Option<Error>) -> Error {
        match (stop, last) {
            (Stop::CircuitOpen(wait), last) => {
                let ms = wait.as_millis();
                let message = format!("the circuit is open; the next attempt is allowed in {ms} ms");
                let mut error = Error::new(Kind::CircuitOpen, message).with_retry_after(Some(wait));
                error.cause = last;
                error
            }
            (Stop::RetryBudgetExhausted, Some(last)) if self.transcript.committed => {
                interrupted(last, "the retry budget is exhausted")
            }
            (Stop::WaitTooLong(wait), Some(mut last)) if last.retry_after == Some(wait) => {
                if wait <= self.ctx.request.options.retry.max_retry_after {
                    last.message.push_str("; the deadline leaves no time for the requested wait");
                    self.stopwatch.explain(&mut last, &self.history.records);
                }
                last
            }
            (Stop::WaitTooLong(_), last) => {
                let cooldowns = self.routes.iter().filter_map(|route| route.state.queue.cooldown());
                let shortest = cooldowns.min_by_key(|cooldown| cooldown.left);
                no_capacity(shortest.map(|cooldown| cooling_down(&cooldown)), last)
            }
            // The only key left has no quota.
            (Stop::RetriesExhausted | Stop::NoCapacity, Some(last)) => exhausted(last, &self.history),
            (Stop::Deadline, Some(last)) => {
                let mut error = exhausted(last, &self.history);
                error.message.push_str("; the deadline leaves no time for another attempt");
                self.stopwatch.explain(&mut error, &self.history.records);
                error
            }
            (_, Some(last)) => last,
            (_, None) => Error::new(Kind::Internal, "no route to try"),
        }
    }
}

fn exhausted(last: Error, history: &History) -> Error {
    let count = history.without_lost_races();
    if count < 2 {
        return last;
    }
    let message = format!("all {count} attempts failed; the last one: {last}");
    let mut error = Error::new(Kind::RetriesExhausted, message);
    error.status = last.status;
    error.retry_after = last.retry_after;
    error.request_id.clone_from(&last.request_id);
    error.with_cause(last)
}

/// The error of a call that no route admits: the last rejection, with the error of the last attempt as its cause.
pub(super) fn no_capacity(rejection: Option<Error>, last: Option<Error>) -> Error {
    let mut error =
        rejection.unwrap_or_else(|| Error::rejected(Kind::QueueFull, "no route has capacity for the call"));
    error.cause = error.cause.take().or(last);
    error
}

/// The error of an answer that was interrupted after part of it was delivered.
pub(super) fn interrupted(cause: Error, why: &str) -> Error {
    let mut error = Error::new(Kind::Interrupted, format!("the answer was interrupted ({why}): {cause}"));
    error.status = cause.status;
    error.retry_after = cause.retry_after;
    error.time_breakdown = cause.time_breakdown;
    error.request_id.clone_from(&cause.request_id);
    error.with_cause(cause)
}
