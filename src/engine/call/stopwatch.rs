//! Where the time of a call goes.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::time::clock;
use crate::error::{AttemptRecord, Error, TimeBreakdown};

/// Why a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For a slot, or for the rate limit.
    Queue,
    /// Between two attempts.
    Wait,
}

/// Measures how long a call waits. It outlives the future that waits, so an aborted wait counts too.
#[derive(Default)]
pub(super) struct Stopwatch {
    queue: Duration,
    wait: Duration,
    /// The time that the call has waited since the last attempt started.
    since_attempt: Duration,
    running: Option<(Stage, Instant)>,
}

impl Stopwatch {
    pub fn begin(&mut self, stage: Stage) {
        self.end();
        self.running = Some((stage, clock::instant()));
    }

    pub fn end(&mut self) {
        let Some((stage, since)) = self.running.take() else { return };
        let passed = clock::instant().saturating_duration_since(since);
        match stage {
            Stage::Queue => self.queue += passed,
            Stage::Wait => self.wait += passed,
        }
        self.since_attempt += passed;
    }

    /// How long the call has waited since the last attempt started.
    pub fn since_attempt(&self) -> Duration {
        self.since_attempt
    }

    pub fn attempt_started(&mut self) {
        self.since_attempt = Duration::ZERO;
    }

    /// Adds the time breakdown of the call to its error.
    pub fn explain(&mut self, error: &mut Error, attempts: &[AttemptRecord]) {
        self.end();
        let breakdown = TimeBreakdown {
            queue_ms: self.queue.as_millis() as u64,
            wait_ms: self.wait.as_millis() as u64,
            attempt_ms: attempts.iter().map(|attempt| attempt.duration_ms).sum(),
        };
        let TimeBreakdown { queue_ms, wait_ms, attempt_ms } = breakdown;
        let count = attempts.len();
        let plural = if count == 1 { "" } else { "s" };
        error.message.push_str(&format!(
            " (in queues {queue_ms} ms, between attempts {wait_ms} ms, in {count} attempt{plural} {attempt_ms} ms)"
        ));
        error.time_breakdown = Some(breakdown);
    }
}
