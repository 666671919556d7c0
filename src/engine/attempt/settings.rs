//! How an attempt reads its answer.

use std::time::Duration;

use crate::wire::dialect::Dialect;

#[derive(Clone, Copy)]
pub(super) struct ReadSettings {
    pub first_token_timeout: Duration,
    /// The timeout to the first token, including the connection, if the total deadline is shared with other routes.
    pub deadline_share: Option<Duration>,
    pub idle_timeout: Duration,
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
