//! The progress of an attempt. Both types live outside the futures that fill them, so they survive an abort.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, LocalResource};
use crate::transport::Shortage;

/// The progress of opening an attempt.
#[derive(Clone, Default)]
pub(super) struct ResponseHead {
    /// The request is on its way.
    pub was_sent: bool,
    pub status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The headers shown to the caller, still with the secrets that the provider quotes.
    pub headers: Vec<(String, String)>,
    /// The wait that its headers ask for.
    pub retry_after: Option<Duration>,
    /// Filled by the transport.
    pub shortage: Shortage,
}

impl ResponseHead {
    /// What this machine lacked, so that nothing was sent: no time and no error counts against the provider.
    pub fn lacks(&self) -> Option<LocalResource> {
        self.shortage.get().filter(|_| !self.was_sent)
    }

    /// Adds what the head says to an error that the body of the response reports.
    pub fn describe(&self, mut error: Error) -> Error {
        if error.body.is_some() || error.status.is_some() {
            error.headers.clone_from(&self.headers);
            error.retry_after = error.retry_after.or(self.retry_after);
            error.request_id = error.request_id.take().or_else(|| self.request_id.clone());
        }
        error
    }
}

/// The progress of reading an answer.
#[derive(Default)]
pub(super) struct Progress {
    pub status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    pub first_token: Option<Instant>,
    /// When bytes last arrived, or the consumer last took what had arrived.
    pub heard: Option<Instant>,
    /// The body has had an event, or anything else but white space.
    pub has_content: bool,
    /// The number of text deltas received.
    pub deltas: u64,
    /// When the answer was settled: its completion has been reported, and only the usage may still come.
    pub settled: Option<Instant>,
}
