//! Where an answer goes.

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::event::Event;
use crate::error::Error;

/// What a consumer receives while the answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// The text of the first choice, delta by delta.
    Text,
    /// Every chunk, as JSON.
    Chunks,
    /// Nothing until the answer is complete.
    Nothing,
}

/// The consumer of one call. Delivery never blocks; a slow consumer applies backpressure through `ready`.
pub trait Sink: Send + Sync {
    fn mode(&self) -> DeliveryMode;
    /// Delivers one delta of text, or one chunk as JSON, depending on [`Sink::mode`].
    fn delta(&self, delta: &str);
    /// Ends a batch of [`Sink::delta`]: called before the engine waits.
    fn flush(&self) {}
    /// Everything has been delivered; `text` is the complete text. The result follows once the usage is known.
    fn complete(&self, text: &str);
    /// Revokes everything delivered so far: the answer starts over (`recovery: { mode: 'restart' }`).
    fn restart(&self) {}
    fn event(&self, event: Event);
    /// Whether anyone reads the events. The more expensive ones are not made otherwise.
    fn wants_events(&self) -> bool {
        true
    }
    /// Asks the caller whether an error counts as a failure for the breaker; `None` if the caller has no
    /// `isFailure`.
    fn is_failure(&self, _error: &Error) -> Option<BoxFuture<'_, bool>> {
        None
    }
    /// Whether anyone reads the end of the call: nobody does once the caller has aborted it.
    fn wants_end(&self) -> bool {
        true
    }
    /// When a consumer that is not [`Sink::ready`] last took something.
    fn last_taken(&self) -> Option<Instant> {
        None
    }
    /// Resolves when the consumer can accept more; `None` if it can now.
    fn ready(&self) -> Option<BoxFuture<'_, ()>>;
}
