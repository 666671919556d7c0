//! Where the deltas of an answer go.

use futures::future::BoxFuture;

use super::event::Event;
use crate::error::Error;

/// What a consumer wants to be handed while the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The text of the first choice, piece by piece.
    Text,
    /// Every chunk, as JSON.
    Chunks,
    /// Nothing before the end.
    Nothing,
}

/// A consumer of one call. Handing over never blocks; `ready` is how a slow consumer slows the socket.
pub trait Sink: Send + Sync {
    fn wants(&self) -> Wants;
    /// One piece of text, or one chunk as JSON, as [`Sink::wants`] says.
    fn piece(&self, piece: &str);
    /// What [`Sink::piece`] was given may be collected until here: called before the engine waits.
    fn flush(&self) {}
    /// Every piece has been handed over; this is their sum. The result follows when the usage is there.
    fn complete(&self, text: &str);
    /// What was handed over so far is void: the answer begins anew (`recovery: { mode: 'restart' }`).
    fn restart(&self) {}
    fn event(&self, event: Event);
    /// Asks the caller whether an error counts as a failure for the breaker, where the caller has an
    /// opinion (`isFailure`).
    fn judge(&self, _error: &Error) -> Option<BoxFuture<'_, bool>> {
        None
    }
    /// Resolves when more may be handed over; `None` when that is now.
    fn ready(&self) -> Option<BoxFuture<'_, ()>>;
}
