//! The engine's end of one call: a sink that queues records for the JavaScript thread of the call.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::batch::{Batch, MAX_SPARE, RecordKind};
use super::errors::error_record;
use super::hub::{CallState, Hub};
use crate::engine::event::Event;
use crate::engine::sink::{DeliveryMode, Sink};
use crate::error::{Error, Result};

/// How far, in bytes, one call may be ahead of JavaScript before it waits.
const MAX_BACKLOG: usize = 64 * 1024;
/// The same while few batches wait: a busy event loop takes everything at once, but rarely.
const MAX_BACKLOG_OF_FEW: usize = 256 * 1024;
/// What a record counts in addition to its text, in bytes: its words in a [`Batch`], rounded up. Without it records with
/// little text would have no limit.
const RECORD_OVERHEAD: usize = 16;

/// Delivers one call to JavaScript: deltas, events, and the end.
pub struct EventChannel {
    pub id: u32,
    pub state: Arc<CallState>,
    hub: Arc<Hub>,
    options: ChannelOptions,
    backlog: Mutex<Backlog>,
}

impl EventChannel {
    /// Registers a call with a hub. Its last record is [`RecordKind::End`] or [`RecordKind::Error`].
    pub fn open(hub: &Arc<Hub>, options: ChannelOptions) -> Self {
        let (id, state) = hub.register();
        EventChannel { id, state, hub: Arc::clone(hub), options, backlog: Mutex::default() }
    }

    /// Sends the last record of the call. The state stays until JavaScript has seen it: JavaScript may still
    /// ask for a snapshot. A call that JavaScript has detached ends without a record, which nobody would read.
    pub fn end(self, result: Result<String>) {
        self.flush();
        let Backlog { last_batch, counted_in, .. } = *self.backlog();
        if !self.state.end() {
            return self.hub.end_detached(self.id, last_batch, counted_in);
        }
        let (kind, text) = match result {
            Ok(json) => (RecordKind::End, json),
            Err(error) => (RecordKind::Error, error_record(&error).to_string()),
        };
        POLL_BUFFER.with_borrow_mut(|buffer| {
            buffer.batch.push(self.id, kind, &text);
            self.hub.push_ending(&mut buffer.batch, last_batch, counted_in);
        });
    }

    /// Queues a record behind the buffered ones.
    fn push(&self, kind: RecordKind, text: &str) {
        POLL_BUFFER.with_borrow_mut(|buffer| {
            buffer.finish_delta();
            buffer.batch.push(self.id, kind, text);
            self.enqueue(&mut buffer.batch);
        });
    }

    fn enqueue(&self, records: &mut Batch) {
        if self.state.is_detached() {
            return records.clear(MAX_SPARE);
        }
        let mut backlog = self.backlog();
        backlog.bytes += records.text_len() + RECORD_OVERHEAD * records.record_count();
        backlog.last_batch = self.hub.push(records, &mut backlog.counted_in);
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for EventChannel {
    fn mode(&self) -> DeliveryMode {
        self.state.mode.get().copied().unwrap_or(DeliveryMode::Nothing)
    }

    fn delta(&self, delta: &str) {
        POLL_BUFFER.with_borrow_mut(|buffer| {
            if self.options.coalesce && self.mode() == DeliveryMode::Text {
                buffer.join_delta(self.id, delta);
            } else {
                buffer.batch.push(self.id, RecordKind::Delta, delta);
            }
        });
    }

    fn flush(&self) {
        POLL_BUFFER.with_borrow_mut(|buffer| {
            buffer.finish_delta();
            if !buffer.batch.is_empty() {
                self.enqueue(&mut buffer.batch);
            }
        });
    }

    fn complete(&self, text: &str) {
        // A consumer of deltas has the text already.
        let text = if self.mode() == DeliveryMode::Nothing { text } else { "" };
        self.push(RecordKind::Complete, text);
    }

    fn restart(&self) {
        self.push(RecordKind::Restart, "");
    }

    fn wants_events(&self) -> bool {
        self.options.events && !self.state.is_detached()
    }

    fn event(&self, event: Event) {
        if matches!(event, Event::Attempt { .. }) {
            self.state.attempt_begins();
        }
        if self.wants_events() {
            // Strings and numbers always encode.
            self.push(RecordKind::Event, &serde_json::to_string(&event).unwrap_or_default());
        }
    }

    fn is_failure(&self, error: &Error) -> Option<BoxFuture<'_, bool>> {
        if !self.options.custom_is_failure || self.state.is_detached() {
            return None;
        }
        let reply = self.state.expect_is_failure();
        self.push(RecordKind::IsFailure, &error_record(error).to_string());
        // Without a reply the call is over for JavaScript, and the error does not count.
        Some(async move { reply.await.unwrap_or(false) }.boxed())
    }

    fn wants_end(&self) -> bool {
        !self.state.is_detached()
    }

    fn last_taken(&self) -> Option<Instant> {
        *self.state.last_taken()
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        let bytes = self.backlog().bytes;
        let is_ahead = bytes >= MAX_BACKLOG && (bytes >= MAX_BACKLOG_OF_FEW || !self.hub.has_few_batches());
        if !is_ahead && !self.state.is_paused() {
            return None;
        }
        let wait = async move {
            if is_ahead {
                let last_batch = self.backlog().last_batch;
                self.hub.wait_until_taken(last_batch).await;
                self.backlog().bytes = 0;
            }
            self.state.wait_until_resumed().await;
        };
        Some(wait.boxed())
    }
}

/// What JavaScript receives of a call besides deltas and the end, and how.
#[derive(Clone, Copy, Default)]
pub struct ChannelOptions {
    pub events: bool,
    /// JavaScript decides which errors count as failures.
    pub custom_is_failure: bool,
    /// Deltas that arrive together are joined.
    pub coalesce: bool,
}

/// How far a call is ahead of JavaScript.
#[derive(Default)]
struct Backlog {
    /// The bytes queued since JavaScript was last known to have taken everything.
    bytes: usize,
    /// The batch of the last record.
    last_batch: u64,
    /// The window in which the queue last counted the call.
    counted_in: u64,
}

thread_local! {
    /// The records of the call that this thread polls. They are queued before the poll ends, so one buffer
    /// serves all calls and stays in the cache.
    static POLL_BUFFER: RefCell<PollBuffer> = RefCell::default();
}

#[derive(Default)]
struct PollBuffer {
    batch: Batch,
    /// The delta that later ones are joined with, and its call.
    delta: String,
    delta_call: u32,
}

impl PollBuffer {
    fn join_delta(&mut self, id: u32, delta: &str) {
        if self.delta_call != id {
            self.finish_delta();
            self.delta_call = id;
        }
        self.delta.push_str(delta);
    }

    /// Moves the joined delta to the batch.
    fn finish_delta(&mut self) {
        if !self.delta.is_empty() {
            self.batch.push(self.delta_call, RecordKind::Delta, &self.delta);
            self.delta.clear();
        }
    }
}
