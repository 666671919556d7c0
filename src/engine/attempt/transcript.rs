//! What was received of an answer, and whether any of it was delivered.

use crate::config::CallConfig;
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
    /// The answer takes more memory than may be kept for a recovery: it is not continued any more.
    pub outgrew_recovery: bool,
    limits: SizeLimits,
}

/// How much of an answer a call keeps, in bytes of memory.
#[derive(Clone, Copy)]
pub struct SizeLimits {
    /// All of it.
    pub answer: usize,
    /// What is kept to continue it.
    pub recovery: usize,
}

impl SizeLimits {
    pub fn of(options: &CallConfig) -> Self {
        SizeLimits { answer: options.max_answer, recovery: options.recovery.max_bytes }
    }
}

impl Transcript {
    pub fn new(dialect: Dialect, choices: usize, limits: SizeLimits) -> Self {
        Transcript {
            journal: Journal::new(choices),
            events: dialect.codec(),
            committed: false,
            unrepeatable: false,
            outgrew_recovery: false,
            limits,
        }
    }

    /// The provider keeps the stream of the answer, if the request asks for that.
    pub fn expect_kept_stream(&mut self, request: &ChatRequest) {
        if let Some(events) = self.events.as_mut().filter(|_| request.dialect().is_kept(request)) {
            events.keep_stream();
        }
    }

    /// The most that the call keeps, in bytes.
    pub fn max_size(&self) -> usize {
        self.limits.answer
    }

    /// Whether the answer is too large to be kept.
    pub fn is_too_large(&self) -> bool {
        self.journal.size() > self.limits.answer
    }

    /// Whether what is kept besides its texts is not too large.
    pub fn fits_without_texts(&self) -> bool {
        self.journal.size() - self.journal.size_of_texts().min(self.journal.size()) <= self.limits.answer
    }

    /// Whether what is kept to continue the answer has just outgrown its limit.
    pub fn outgrows_recovery(&self) -> bool {
        let held = || self.events.as_ref().map_or(0, |events| events.held());
        !self.outgrew_recovery && self.journal.size() + held() > self.limits.recovery
    }

    /// Releases what is kept only to continue the answer, and keeps nothing more for that.
    pub fn give_up_recovery(&mut self) {
        self.outgrew_recovery = true;
        if let Some(events) = &mut self.events {
            events.release();
        }
    }

    /// Clears everything received: the answer starts over.
    pub fn clear(&mut self, request: &ChatRequest) {
        self.journal = Journal::new(request.choices());
        self.events = request.dialect().codec();
        if let Some(events) = self.events.as_mut().filter(|_| self.outgrew_recovery) {
            events.release();
        }
        self.unrepeatable = false;
        self.expect_kept_stream(request);
    }
}
