//! What follows an answer in its body: the usage, and whatever must be read so that the connection can be reused.

use std::ops::ControlFlow;

use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::deliver::Delivery;
use crate::config::defaults;
use crate::engine::time::clock::timeout_at;
use crate::transport::Body;
use crate::wire::body::Events;
use crate::wire::{chat, sse};

/// How much is read after the answer, in bytes: for its usage, and so that the connection can be reused. A new connection
/// is cheaper than more.
const MAX_AFTER_ANSWER: usize = 256 * 1024;

/// Reads on after the answer, up to its usage if one is expected or until `until`, and so that the connection can be
/// reused. The text has been delivered, so nothing here is an error.
pub(super) async fn drain(
    delivery: &mut Delivery<'_>,
    expects_usage: bool,
    until: Instant,
    mut events: Events,
    mut body: Body,
) {
    let mut is_at_end = false;
    let mut read = 0;
    while expects_usage && delivery.transcript.journal.usage.is_none() {
        let is_open = match timeout_at(until, body.next()).await {
            Ok(Some(Ok(_))) if read > MAX_AFTER_ANSWER => return,
            Ok(Some(Ok(bytes))) => {
                read += bytes.len();
                matches!(events.feed(&bytes, |event| on_late_event(delivery, &event)), Ok(None))
            }
            Ok(None) => {
                // The last event may lack its blank line.
                let _ = events.finish(|event| on_late_event(delivery, &event));
                is_at_end = true;
                false
            }
            Ok(Some(Err(_))) | Err(_) => return,
        };
        if !is_open {
            break;
        }
    }
    delivery.deliver_missing_usage();
    delivery.flush();
    if !is_at_end {
        keep_connection(body);
    }
}

/// Accepts an event after the answer: only the usage counts.
fn on_late_event(delivery: &mut Delivery<'_>, event: &sse::Event<'_>) -> ControlFlow<()> {
    match chat::read(event.event, &event.data) {
        Ok(chat::StreamEvent::Chunk(chunk)) => {
            if let Some(usage) = chunk.usage() {
                delivery.transcript.journal.usage = Some(usage);
            }
            ControlFlow::Continue(())
        }
        Ok(chat::StreamEvent::Other) | Err(_) => ControlFlow::Continue(()),
        Ok(chat::StreamEvent::Done | chat::StreamEvent::Error(_)) => ControlFlow::Break(()),
    }
}

/// Reads the remainder of a finished body, so that the connection can be reused. Mostly it has arrived with the answer:
/// then the next call finds the connection in the pool. Otherwise it is read in the background.
#[allow(clippy::disallowed_methods)] // The socket's time is real, whatever clock the call uses.
pub(super) fn keep_connection(mut body: Body) {
    let read = async move {
        let mut read = 0;
        while let Some(Ok(bytes)) = body.next().await {
            read += bytes.len();
            if read > MAX_AFTER_ANSWER {
                break;
            }
        }
    };
    let mut read = read.boxed();
    if (&mut read).now_or_never().is_none() {
        tokio::spawn(tokio::time::timeout(defaults::DRAIN_TIMEOUT, read));
    }
}
