//! The state of a running call, readable from outside: the JavaScript thread can take the snapshot of a stream in the
//! middle of an attempt.

use std::sync::{Mutex, PoisonError};

use crate::session::snapshot::{PartialAnswer, Snapshot};

/// The snapshot of a running call. It is never behind what was delivered to the consumer.
pub struct LiveSnapshot(Mutex<Snapshot>);

impl LiveSnapshot {
    pub fn new(session_id: String) -> Self {
        LiveSnapshot(Mutex::new(Snapshot::new(session_id)))
    }

    pub fn update<R>(&self, change: impl FnOnce(&mut Snapshot) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what was received, unless the answer has outgrown a snapshot.
    pub fn update_answer(&self, change: impl FnOnce(&mut PartialAnswer)) {
        self.update(|snapshot| {
            if !snapshot.is_released {
                change(&mut snapshot.answer);
            }
        });
    }

    /// The answer has outgrown a snapshot: its copy is released, and there is no snapshot from here on.
    pub fn release(&self) {
        self.update(|snapshot| {
            snapshot.is_released = true;
            snapshot.answer = PartialAnswer::default();
        });
    }

    /// Whether the consumer has received part of the answer.
    pub fn has_begun(&self) -> bool {
        self.update(|snapshot| snapshot.has_content())
    }

    /// The snapshot as JSON; `None` if the answer has outgrown it.
    pub fn json(&self) -> Option<String> {
        self.update(|snapshot| (!snapshot.is_released).then(|| snapshot.json()))
    }
}
