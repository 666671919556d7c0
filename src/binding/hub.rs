//! Delivery to one JavaScript thread: pieces, ends and errors of all its calls in one queue, and at
//! most one wake-up under way.
//!
//! Tokio tasks append records. The first one arms the queue; a pacer wakes JavaScript, the first
//! time at once and then at most once a millisecond. JavaScript takes a bounded batch, and as long as
//! there is more it comes back for it by itself (`setImmediate`), so that a burst cannot hold the
//! event loop. A call that is far ahead of JavaScript waits, and with it its socket.
//!
//! Facts behind this shape: many wake-ups cost more than any format; a ThreadsafeFunction (TSFN)
//! looked at by the loop costs at every turn, so there is one; ends travel with the pieces because
//! with separate TSFNs a promise can resolve before its last pieces.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue};
use napi::{Env, sys};
use napi_derive::napi;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{runtime, start_in_order};
use crate::engine::clock;
use crate::engine::event::Event;
use crate::engine::live::Live;
use crate::engine::sink::{Sink, Wants};
use crate::error::Error;

/// The shortest time between two wake-ups.
const GAP: Duration = Duration::from_millis(1);
/// The most records of one batch; the shared array has room for as many.
const MAX_RECORDS: usize = 4096;
/// A batch is closed when its text has reached this many bytes. Small, because a piece of text that
/// JavaScript keeps can pin its whole batch.
const MAX_TEXT: usize = 32 * 1024;
/// How far, in bytes, one call may be ahead of JavaScript before it waits.
const MAX_AHEAD: usize = 64 * 1024;
/// Words before the records in the shared array: their number, and whether there is more.
const HEADER: usize = 2;

/// What a record is. `src/js/hub.ts` has the same numbers.
#[derive(Clone, Copy)]
pub enum Record {
    Piece = 0,
    Complete = 1,
    End = 2,
    Error = 3,
    Event = 4,
    /// A question: does this error count as a failure? Answered with `NativeHub.answer`.
    Judge = 5,
    /// What was handed over is void.
    Restart = 6,
}

type Wake = ThreadsafeFunction<(), UnknownReturnValue, (), Status, false, true, 0>;

#[derive(Default)]
struct Batch {
    text: String,
    /// Call, kind, length in UTF-16 units; three words a record.
    records: Vec<u32>,
    non_ascii: bool,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// JavaScript has been or will be woken, or comes by itself.
    armed: bool,
    /// How many batches were begun.
    begun: u64,
    spare: Option<Batch>,
}

/// The queue of one JavaScript thread.
pub struct Hub {
    queue: Mutex<Queue>,
    calls: Mutex<HashMap<u32, Arc<CallState>>>,
    next_id: AtomicU32,
    notify: Notify,
    /// How many batches JavaScript has taken.
    taken: watch::Sender<u64>,
    wake: OnceLock<Wake>,
    /// The environment is going away.
    shutdown: CancellationToken,
}

/// What both sides know of one call.
pub struct CallState {
    pub cancel: CancellationToken,
    paused: AtomicBool,
    resumed: Notify,
    /// What JavaScript wants to be handed; the call begins when it is said.
    wants: OnceLock<Wants>,
    /// The call itself, until then.
    parked: Mutex<Option<BoxFuture<'static, ()>>>,
    /// What the call has come to, where it is one whose answer can be taken up again.
    pub live: OnceLock<Arc<Live>>,
    /// Who waits for the answer to [`Record::Judge`].
    answer: Mutex<Option<oneshot::Sender<bool>>>,
}

impl Hub {
    fn push(&self, id: u32, record: Record, text: &str) -> u64 {
        let ascii = text.is_ascii();
        let length = if ascii { text.len() } else { text.encode_utf16().count() };
        let (begun, wake) = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let full = queue
                .batches
                .back()
                .is_none_or(|batch| batch.records.len() >= 3 * MAX_RECORDS || batch.text.len() >= MAX_TEXT);
            if full {
                let batch = queue.spare.take().unwrap_or_default();
                queue.batches.push_back(batch);
                queue.begun += 1;
            }
            if let Some(batch) = queue.batches.back_mut() {
                batch.text.push_str(text);
                batch.records.extend_from_slice(&[id, record as u32, length as u32]);
                batch.non_ascii |= !ascii;
            }
            (queue.begun, !std::mem::replace(&mut queue.armed, true))
        };
        if wake {
            self.notify.notify_one();
        }
        begun
    }

    fn take(&self) -> Option<(Batch, bool)> {
        let (batch, more, taken) = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = queue.batches.pop_front();
            let more = !queue.batches.is_empty();
            queue.armed = more;
            (batch, more, queue.begun - queue.batches.len() as u64)
        };
        self.taken.send_replace(taken);
        batch.map(|batch| (batch, more))
    }

    fn recycle(&self, mut batch: Batch) {
        if batch.text.capacity() <= 2 * MAX_TEXT {
            batch.text.clear();
            batch.records.clear();
            batch.non_ascii = false;
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).spare = Some(batch);
        }
    }

    /// Enters a call. It ends with one record [`Record::End`] or [`Record::Error`].
    pub fn open(self: &Arc<Self>, events: bool, judges: bool) -> Outlet {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(CallState {
            cancel: self.shutdown.child_token(),
            paused: AtomicBool::new(false),
            resumed: Notify::new(),
            wants: OnceLock::new(),
            parked: Mutex::default(),
            live: OnceLock::new(),
            answer: Mutex::default(),
        });
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&state));
        Outlet { hub: Arc::clone(self), id, state, events, judges, ahead: Mutex::new((0, 0)) }
    }

    fn call(&self, id: u32) -> Option<Arc<CallState>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// Wakes JavaScript when there is something, and not too often.
#[allow(clippy::disallowed_methods)] // It paces the delivery, not a call.
async fn pacer(hub: Arc<Hub>) {
    let mut next = clock::instant();
    loop {
        tokio::select! {
            () = hub.notify.notified() => {}
            () = hub.shutdown.cancelled() => return,
        }
        tokio::time::sleep_until(next).await;
        next = clock::instant() + GAP;
        let Some(wake) = hub.wake.get() else { continue };
        if wake.call((), ThreadsafeFunctionCallMode::NonBlocking) != Status::Ok {
            // The environment is closing: nobody will take anything any more.
            hub.shutdown.cancel();
            return;
        }
    }
}

/// The engine's side of one call.
pub struct Outlet {
    hub: Arc<Hub>,
    pub id: u32,
    pub state: Arc<CallState>,
    events: bool,
    judges: bool,
    /// Bytes handed over since it was last known that JavaScript had taken everything, and the batch
    /// that the last of them is in.
    ahead: Mutex<(usize, u64)>,
}

impl CallState {
    /// Keeps the call until JavaScript says what it wants.
    pub fn park(&self, call: BoxFuture<'static, ()>) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }
}

impl Outlet {
    /// The last record of the call. Its state stays until JavaScript has taken that: a snapshot may
    /// still be asked for.
    pub fn end(self, result: std::result::Result<String, Error>) {
        match result {
            Ok(json) => self.hub.push(self.id, Record::End, &json),
            Err(error) => self.hub.push(self.id, Record::Error, &super::errors::record(&error).to_string()),
        };
    }
}

impl Sink for Outlet {
    fn wants(&self) -> Wants {
        self.state.wants.get().copied().unwrap_or(Wants::Nothing)
    }

    fn piece(&self, piece: &str) {
        let batch = self.hub.push(self.id, Record::Piece, piece);
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        // A record costs more than its bytes.
        *ahead = (ahead.0 + piece.len() + 16, batch);
    }

    fn complete(&self, text: &str) {
        // Whoever had the pieces has the text.
        let text = if self.wants() == Wants::Nothing { text } else { "" };
        self.hub.push(self.id, Record::Complete, text);
    }

    fn restart(&self) {
        self.hub.push(self.id, Record::Restart, "");
    }

    fn event(&self, event: Event) {
        if self.events {
            // Strings and numbers always encode.
            self.hub.push(self.id, Record::Event, &serde_json::to_string(&event).unwrap_or_default());
        }
    }

    fn judge(&self, error: &Error) -> Option<BoxFuture<'_, bool>> {
        if !self.judges {
            return None;
        }
        let (sender, answer) = oneshot::channel();
        *self.state.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        self.hub.push(self.id, Record::Judge, &super::errors::record(error).to_string());
        // Without an answer the call is over on the other side: it counts for nothing.
        Some(async move { answer.await.unwrap_or(false) }.boxed())
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        let (bytes, batch) = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes < MAX_AHEAD && !self.state.paused.load(Ordering::Acquire) {
            return None;
        }
        let wait = async move {
            if bytes >= MAX_AHEAD {
                let mut taken = self.hub.taken.subscribe();
                // An error means that the hub is gone, and then nothing waits any more.
                let _ = taken.wait_for(|taken| *taken >= batch).await;
                self.ahead.lock().unwrap_or_else(PoisonError::into_inner).0 = 0;
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

/// The JavaScript side of the queue.
#[napi]
pub struct NativeHub {
    pub(super) hub: Arc<Hub>,
    shared: Uint32Array,
    in_flight: u32,
}

#[napi]
impl NativeHub {
    /// `shared` takes the records of a batch; `wake` is called when there is one.
    #[napi(constructor, catch_unwind, ts_args_type = "shared: Uint32Array, wake: () => void")]
    pub fn new(env: Env, shared: Uint32Array, wake: Function<(), UnknownReturnValue>) -> Result<Self> {
        if shared.len() < Self::shared_words() as usize {
            return Err(napi::Error::from_reason("the shared array is too small"));
        }
        let hub = Arc::new(Hub {
            queue: Mutex::default(),
            calls: Mutex::default(),
            next_id: AtomicU32::new(1),
            notify: Notify::new(),
            taken: watch::Sender::new(0),
            wake: OnceLock::new(),
            shutdown: CancellationToken::new(),
        });
        // The TSFN holds nothing of ours: no cycle keeps the process alive.
        let wake: Wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        let _ = hub.wake.set(wake);
        // `worker.terminate()` and `process.exit()`: every task of this environment ends.
        env.add_env_cleanup_hook(hub.shutdown.clone(), |shutdown| shutdown.cancel())?;
        runtime().spawn(pacer(Arc::clone(&hub)));
        Ok(NativeHub { hub, shared, in_flight: 0 })
    }

    /// How many words the shared array needs.
    #[napi]
    pub fn shared_words() -> u32 {
        (HEADER + 3 * MAX_RECORDS) as u32
    }

    /// Takes a batch: its text, with its records in the shared array.
    #[napi(ts_return_type = "string")]
    pub fn take<'env>(&mut self, env: &'env Env) -> Result<Unknown<'env>> {
        let (batch, more) = self.hub.take().unwrap_or_default();
        // SAFETY: JavaScript reads the array on this thread only, after this call.
        let shared = unsafe { self.shared.as_mut() };
        shared[0] = (batch.records.len() / 3) as u32;
        shared[1] = u32::from(more);
        shared[HEADER..HEADER + batch.records.len()].copy_from_slice(&batch.records);
        let mut text = std::ptr::null_mut();
        // SAFETY: the pointer and the length are those of a live string, which both calls copy.
        let status = unsafe {
            let (bytes, length) = (batch.text.as_ptr().cast(), batch.text.len() as isize);
            match batch.non_ascii {
                true => sys::napi_create_string_utf8(env.raw(), bytes, length, &mut text),
                false => sys::napi_create_string_latin1(env.raw(), bytes, length, &mut text),
            }
        };
        check_status!(status)?;
        self.hub.recycle(batch);
        // SAFETY: a value that was just made in this environment.
        Ok(unsafe { Unknown::from_raw_unchecked(env.raw(), text) })
    }

    /// A call has begun: the process stays alive until it has ended.
    #[napi]
    pub fn begun(&mut self, env: &Env) -> Result<()> {
        self.in_flight += 1;
        if self.in_flight == 1 { self.set_ref(env, true) } else { Ok(()) }
    }

    /// JavaScript has been told the end of a call: what is known of it can go.
    #[napi]
    pub fn ended(&mut self, env: &Env, id: u32) -> Result<()> {
        self.hub.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 { self.set_ref(env, false) } else { Ok(()) }
    }

    fn set_ref(&self, env: &Env, held: bool) -> Result<()> {
        let Some(wake) = self.hub.wake.get() else { return Ok(()) };
        // SAFETY: the TSFN lives as long as the hub, and this is its environment's thread.
        let status = unsafe {
            match held {
                true => sys::napi_ref_threadsafe_function(env.raw(), wake.raw()),
                false => sys::napi_unref_threadsafe_function(env.raw(), wake.raw()),
            }
        };
        check_status!(status)
    }

    /// Lets a call begin. `mode`: 0 text, 1 chunks, 2 nothing before the end.
    #[napi]
    pub fn begin(&self, id: u32, mode: u32) {
        let wants = match mode {
            0 => Wants::Text,
            1 => Wants::Chunks,
            _ => Wants::Nothing,
        };
        if let Some(call) = self.hub.call(id) {
            // Said twice, the first one holds.
            let _ = call.wants.set(wants);
            let parked = call.parked.lock().unwrap_or_else(PoisonError::into_inner).take();
            parked.into_iter().for_each(start_in_order);
        }
    }

    #[napi]
    pub fn cancel(&self, id: u32) {
        if let Some(call) = self.hub.call(id) {
            call.cancel.cancel();
        }
    }

    /// The snapshot of a call that is under way, as JSON.
    #[napi]
    pub fn snapshot(&self, id: u32) -> Option<String> {
        Some(self.hub.call(id)?.live.get()?.json())
    }

    /// The answer to a question about an error.
    #[napi]
    pub fn answer(&self, id: u32, is_failure: bool) {
        let waiting = self
            .hub
            .call(id)
            .and_then(|call| call.answer.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(waiting) = waiting {
            // Nobody waits when the call was ended meanwhile.
            let _ = waiting.send(is_failure);
        }
    }

    /// JavaScript is behind with this call: its socket waits.
    #[napi]
    pub fn pause(&self, id: u32) {
        if let Some(call) = self.hub.call(id) {
            call.paused.store(true, Ordering::Release);
        }
    }

    #[napi]
    pub fn resume(&self, id: u32) {
        if let Some(call) = self.hub.call(id) {
            call.paused.store(false, Ordering::Release);
            call.resumed.notify_waiters();
        }
    }
}
