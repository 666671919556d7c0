//! What a call has come to, readable from outside while it runs: the snapshot of a stream is taken by
//! the JavaScript thread in the middle of an attempt.

use std::sync::{Mutex, PoisonError};

use crate::session::snapshot::Snapshot;

/// The snapshot of a call that is under way. It is never behind what was handed to the consumer.
pub struct Live(Mutex<Snapshot>);

impl Live {
    pub fn new(session_id: String) -> Self {
        Live(Mutex::new(Snapshot::new(session_id)))
    }

    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Snapshot) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The consumer has something of the answer.
    pub fn has_begun(&self) -> bool {
        self.update(|snapshot| snapshot.has_content())
    }

    /// The snapshot as JSON.
    pub fn json(&self) -> String {
        self.update(|snapshot| snapshot.json())
    }
}
