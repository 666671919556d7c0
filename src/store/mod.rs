//! Where shared state lives. What a breaker or a bucket knows is a small plain value, and a decision
//! is a pure function over it; a [`Slot`] is one such value in this process's memory.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// One piece of state, shared by everyone who holds a clone.
pub struct Slot<S>(Arc<Mutex<S>>);

impl<S> Clone for Slot<S> {
    fn clone(&self) -> Self {
        Slot(Arc::clone(&self.0))
    }
}

impl<S: Default> Default for Slot<S> {
    fn default() -> Self {
        Slot::new(S::default())
    }
}

impl<S> Slot<S> {
    pub fn new(state: S) -> Self {
        Slot(Arc::new(Mutex::new(state)))
    }

    /// Runs one decision over the state. The function must be short: it runs under a lock.
    pub fn update<R>(&self, decide: impl FnOnce(&mut S) -> R) -> R {
        // A decision that panicked has at worst not been recorded; the state itself is plain.
        decide(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: fmt::Debug> fmt::Debug for Slot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.update(|state| state.fmt(f))
    }
}
