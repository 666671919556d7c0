//! What was received of an answer, and whether any of it was delivered.

use crate::session::journal::Journal;
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::{Dialect, EventCodec};

/// The answer so far, over all attempts of a call.
pub struct Transcript {
    pub journal: Journal,
    /// The event reader of a dialect whose events are passed through; `None` for chat chunks.
    pub events: Option<Box<dyn EventCodec>>,
    /// Something has been delivered: from now on another attempt is visible to the consumer.
    pub committed: bool,
    /// Something was received that a continuation would deliver a second time: audio, images, annotations, a field that
    /// the engine does not know, a choice that was not requested.
    pub unrepeatable: bool,
}

impl Transcript {
    pub fn new(dialect: Dialect, choices: usize) -> Self {
        Transcript {
            journal: Journal::new(choices),
            events: dialect.codec(),
            committed: false,
            unrepeatable: false,
        }
    }

    /// Clears everything received: the answer starts over.
    pub fn clear(&mut self, request: &ChatRequest) {
        self.journal = Journal::new(request.choices());
        self.events = request.dialect().codec();
        self.unrepeatable = false;
    }
}
