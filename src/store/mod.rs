//! Shared state. The state of a circuit breaker or a token bucket is a small plain value, and a decision is a
//! pure function of it. A [`SharedState`] holds one such value in the memory of this process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A value that all clones share.
pub struct SharedState<S>(Arc<Mutex<S>>);

impl<S> Clone for SharedState<S> {
    fn clone(&self) -> Self {
        SharedState(Arc::clone(&self.0))
    }
}

impl<S: Default> Default for SharedState<S> {
    fn default() -> Self {
        SharedState::new(S::default())
    }
}

impl<S> SharedState<S> {
    /// A shared state with this initial value.
    pub fn new(state: S) -> Self {
        SharedState(Arc::new(Mutex::new(state)))
    }

    /// Runs a decision on the state. It holds a lock, so it must be short and must not wait.
    pub fn update<R>(&self, decide: impl FnOnce(&mut S) -> R) -> R {
        // The state is a plain value. A decision that panicked is at worst not recorded.
        decide(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: fmt::Debug> fmt::Debug for SharedState<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.update(|state| state.fmt(f))
    }
}
