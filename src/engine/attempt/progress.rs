//! How far an attempt has come. Both are kept outside the futures that fill them, and so outlive an abort.

use tokio::time::Instant;

/// What opening an attempt has found out so far.
#[derive(Clone, Default)]
pub(super) struct ResponseHead {
    /// The request is on its way.
    pub was_sent: bool,
    pub status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The headers that the caller is shown.
    pub headers: Vec<(String, String)>,
}

/// What reading an answer has come to so far.
#[derive(Default)]
pub(super) struct Progress {
    pub status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    pub first_token: Option<Instant>,
    /// How many text deltas were received.
    pub deltas: u64,
    /// The consumer was told that the answer is complete.
    pub is_complete: bool,
}
