//! The progress of an attempt. Both types live outside the futures that fill them, so they survive an abort.

use tokio::time::Instant;

/// The progress of opening an attempt.
#[derive(Clone, Default)]
pub(super) struct ResponseHead {
    /// The request is on its way.
    pub was_sent: bool,
    pub status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The headers shown to the caller.
    pub headers: Vec<(String, String)>,
}

/// The progress of reading an answer.
#[derive(Default)]
pub(super) struct Progress {
    pub status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    pub first_token: Option<Instant>,
    /// The number of text deltas received.
    pub deltas: u64,
    /// Completion was reported to the consumer.
    pub is_complete: bool,
}
