//! The engine's side of one call: what a task hands over goes into the queue of its JavaScript thread.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::hub::{CallState, Hub};
use super::queue::{Batch, Record, WORDS};
use crate::engine::event::Event;
use crate::engine::sink::{Sink, Wants};
use crate::error::Error;

/// How far, in bytes, one call may be ahead of JavaScript before it waits.
const MAX_AHEAD: usize = 64 * 1024;

/// What a call's JavaScript side is told beside its deltas and its end, and how.
#[derive(Clone, Copy, Default)]
pub struct Told {
    pub events: bool,
    /// It is asked which errors are failures.
    pub judges: bool,
    /// Deltas of text that come together are joined.
    pub coalesce: bool,
}

/// The engine's side of one call.
pub struct Outlet {
    hub: Arc<Hub>,
    pub id: u32,
    pub state: Arc<CallState>,
    told: Told,
    ahead: Mutex<Ahead>,
}

/// How far a call is ahead of JavaScript.
#[derive(Default)]
struct Ahead {
    /// Bytes handed over since it was last known that JavaScript had taken everything, and the batch
    /// that the last of them is in.
    bytes: usize,
    batch: u64,
    /// The window in which the call was counted last.
    counted: u64,
}

thread_local! {
    /// The deltas of the call that this thread polls: they are handed over before the poll ends, so one
    /// buffer is enough for all calls, and it is always in the cache.
    static COLLECTED: RefCell<Collected> = RefCell::default();
}

#[derive(Default)]
struct Collected {
    batch: Batch,
    /// The piece that others are joined with, and whose it is.
    joined: String,
    owner: u32,
}

impl Collected {
    fn join(&mut self, id: u32, piece: &str) {
        if self.owner != id {
            self.close();
            self.owner = id;
        }
        self.joined.push_str(piece);
    }

    /// Nothing more is joined with the last piece.
    fn close(&mut self) {
        if !self.joined.is_empty() {
            self.batch.push(self.owner, Record::Piece, &self.joined);
            self.joined.clear();
        }
    }
}

impl Outlet {
    pub(super) fn new(hub: Arc<Hub>, id: u32, state: Arc<CallState>, told: Told) -> Self {
        Outlet { hub, id, state, told, ahead: Mutex::default() }
    }

    /// The last record of the call. Its state stays until JavaScript has taken that: a snapshot may
    /// still be asked for.
    pub fn end(self, result: std::result::Result<String, Error>) {
        match result {
            Ok(json) => self.push(Record::End, &json, true),
            Err(error) => self.push(Record::Error, &super::errors::record(&error).to_string(), true),
        };
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a record, behind what was collected.
    fn push(&self, record: Record, text: &str, ends: bool) {
        COLLECTED.with_borrow_mut(|collected| {
            collected.close();
            collected.batch.push(self.id, record, text);
            self.hand_over(&mut collected.batch, ends);
        });
    }

    fn hand_over(&self, collected: &mut Batch, ends: bool) {
        let mut ahead = self.ahead();
        // A record costs more than its bytes.
        ahead.bytes += collected.bytes() + 16 * collected.words.len() / WORDS;
        ahead.batch = self.hub.push(collected, &mut ahead.counted, ends);
    }
}

impl Sink for Outlet {
    fn wants(&self) -> Wants {
        self.state.wants.get().copied().unwrap_or(Wants::Nothing)
    }

    fn piece(&self, piece: &str) {
        COLLECTED.with_borrow_mut(|collected| {
            if self.told.coalesce && self.wants() == Wants::Text {
                collected.join(self.id, piece);
            } else {
                collected.batch.push(self.id, Record::Piece, piece);
            }
        });
    }

    fn flush(&self) {
        COLLECTED.with_borrow_mut(|collected| {
            collected.close();
            if !collected.batch.is_empty() {
                self.hand_over(&mut collected.batch, false);
            }
        });
    }

    fn complete(&self, text: &str) {
        // Whoever had the deltas has the text.
        let text = if self.wants() == Wants::Nothing { text } else { "" };
        self.push(Record::Complete, text, false);
    }

    fn restart(&self) {
        self.push(Record::Restart, "", false);
    }

    fn event(&self, event: Event) {
        if self.told.events {
            // Strings and numbers always encode.
            self.push(Record::Event, &serde_json::to_string(&event).unwrap_or_default(), false);
        }
    }

    fn judge(&self, error: &Error) -> Option<BoxFuture<'_, bool>> {
        if !self.told.judges {
            return None;
        }
        let (sender, answer) = oneshot::channel();
        *self.state.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        self.push(Record::Judge, &super::errors::record(error).to_string(), false);
        // Without an answer the call is over on the other side: it counts for nothing.
        Some(async move { answer.await.unwrap_or(false) }.boxed())
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        let bytes = self.ahead().bytes;
        if bytes < MAX_AHEAD && !self.state.paused.load(Ordering::Acquire) {
            return None;
        }
        let wait = async move {
            if bytes >= MAX_AHEAD {
                let mut taken = self.hub.taken.subscribe();
                let batch = self.ahead().batch;
                // An error means that the hub is gone, and then nothing waits any more.
                let _ = taken.wait_for(|taken| *taken >= batch).await;
                self.ahead().bytes = 0;
            }
            loop {
                let resumed = self.state.resumed.notified();
                if !self.state.paused.load(Ordering::Acquire) {
                    return;
                }
                resumed.await;
            }
        };
        Some(wait.boxed())
    }
}
