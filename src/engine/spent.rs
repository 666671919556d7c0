//! What the time of a call goes into.

use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use crate::error::{AttemptRecord, Error, TimeBreakdown};

/// Where a call stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// For a place, or for the rate limit.
    Queue,
    /// Between two attempts.
    Wait,
}

/// Counts the time that a call stands still; readable when the future that waits was dropped.
#[derive(Default)]
pub struct Stopwatch {
    queue: Duration,
    wait: Duration,
    open: Option<(Stage, Instant)>,
}

impl Stopwatch {
    pub fn begin(&mut self, stage: Stage) {
        self.end();
        self.open = Some((stage, clock::instant()));
    }

    pub fn end(&mut self) {
        let Some((stage, since)) = self.open.take() else { return };
        let passed = clock::instant().saturating_duration_since(since);
        match stage {
            Stage::Queue => self.queue += passed,
            Stage::Wait => self.wait += passed,
        }
    }

    /// Writes into an error what the time of its call went into.
    pub fn explain(&mut self, error: &mut Error, attempts: &[AttemptRecord]) {
        self.end();
        let spent = TimeBreakdown {
            queue_ms: self.queue.as_millis() as u64,
            wait_ms: self.wait.as_millis() as u64,
            attempt_ms: attempts.iter().map(|attempt| attempt.duration_ms).sum(),
        };
        let TimeBreakdown { queue_ms, wait_ms, attempt_ms } = spent;
        let count = attempts.len();
        let plural = if count == 1 { "" } else { "s" };
        error.message.push_str(&format!(
            " (in queues {queue_ms} ms, between attempts {wait_ms} ms, in {count} attempt{plural} {attempt_ms} ms)"
        ));
        error.time_breakdown = Some(spent);
    }
}
