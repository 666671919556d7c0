//! How an attempt reads its answer.

use std::time::Duration;

use crate::policy::interruption::timeout_after_stall;
use crate::wire::dialect::Dialect;

#[derive(Clone, Copy)]
pub(super) struct ReadSettings {
    pub first_token_timeout: Duration,
    /// The timeout to the first token, including the connection, if the total deadline is shared with other routes.
    pub deadline_share: Option<Duration>,
    pub idle_timeout: Duration,
    /// The route has stalled at this place of the answer: until the attempt adds to it, the idle timeout is short.
    pub has_stalled: bool,
    /// The fewest tokens per second after the first token; zero for no limit.
    pub min_tokens_per_second: f64,
    /// How long the call may be paused because its consumer reads nothing.
    pub max_paused: Option<Duration>,
    pub usage_timeout: Duration,
    /// The largest event, in bytes.
    pub max_event: usize,
    pub require_finish_reason: bool,
    /// The request includes the usage chunk.
    pub expects_usage: bool,
    /// Events that are not JSON are skipped.
    pub skip_malformed: bool,
    /// The dialect of an answer that is not streamed.
    pub unstreamed: Option<Dialect>,
}

impl ReadSettings {
    /// How long the provider may be silent. `is_new`: the attempt has added to the answer.
    pub fn idle_timeout(&self, is_new: bool) -> Duration {
        match self.has_stalled && !is_new {
            true => timeout_after_stall(self.idle_timeout, Duration::ZERO),
            false => self.idle_timeout,
        }
    }

    /// The route has stalled at this place of the answer. `left` is what is left of the time for which it may be silent there.
    pub fn shorten(&mut self, left: Duration, continues: bool) {
        self.first_token_timeout = timeout_after_stall(self.first_token_timeout, left);
        self.has_stalled = continues;
    }
}
