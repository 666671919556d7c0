//! The errors of calls for which nothing is left to try.

use super::call::Running;
use super::room::{asked_to_pause, no_room};
use crate::error::{Error, Kind};
use crate::policy::plan::Stop;

impl Running<'_> {
    /// The error of a call for which nothing is left to try.
    pub(super) fn stopped(&mut self, stop: Stop, last: Option<Error>) -> Error {
        match (stop, last) {
            (Stop::CircuitOpen(wait), last) => {
                let ms = wait.as_millis();
                let mut error = Error::new(
                    Kind::CircuitOpen,
                    format!("the circuit is open; the next try is due in {ms} ms"),
                )
                .with_retry_after(Some(wait));
                error.cause = last;
                error
            }
            (Stop::NoBudget, Some(last)) if self.committed => {
                interrupted(last, "the retry budget is used up")
            }
            (Stop::WaitTooLong(wait), Some(mut last)) if last.retry_after == Some(wait) => {
                if wait <= self.call.options.retry.max_retry_after {
                    last.message.push_str("; the deadline leaves no time for the wait that it asks for");
                    self.stopwatch.explain(&mut last, &self.attempts);
                }
                last
            }
            (Stop::WaitTooLong(_), last) => {
                let pauses = self.routes.iter().filter_map(|route| route.lane.line.pause());
                match pauses.min_by_key(|pause| pause.left) {
                    Some(pause) => no_room(Some(asked_to_pause(&pause)), last),
                    None => no_room(None, last),
                }
            }
            // What is left is a key without quota.
            (Stop::Exhausted | Stop::NoRoom, Some(last)) => self.exhausted(last),
            (Stop::Deadline, Some(last)) => {
                let mut error = self.exhausted(last);
                error.message.push_str("; the deadline leaves no time for another attempt");
                self.stopwatch.explain(&mut error, &self.attempts);
                error
            }
            (_, Some(last)) => last,
            (_, None) => Error::new(Kind::Internal, "there is no route to try"),
        }
    }

    fn exhausted(&self, last: Error) -> Error {
        let count = self.failed_attempts();
        if count < 2 {
            return last;
        }
        let mut error =
            Error::new(Kind::RetriesExhausted, format!("all {count} attempts failed; the last one: {last}"));
        error.status = last.status;
        error.retry_after = last.retry_after;
        error.request_id.clone_from(&last.request_id);
        error.with_cause(last)
    }

    pub(super) fn failed_attempts(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.has_lost()).count()
    }
}

/// The error of a stream that broke after deltas had been delivered.
pub(super) fn interrupted(cause: Error, why: &str) -> Error {
    let mut error = Error::new(Kind::Interrupted, format!("the answer was interrupted ({why}): {cause}"));
    error.status = cause.status;
    error.retry_after = cause.retry_after;
    error.time_breakdown = cause.time_breakdown;
    error.request_id.clone_from(&cause.request_id);
    error.with_cause(cause)
}
