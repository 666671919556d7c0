//! Delivery to one JavaScript thread: deltas, ends and errors of all its calls in one queue, and at
//! most one wake-up under way.
//!
//! Tokio tasks append records ([`super::queue`]). The first one wakes JavaScript, which takes a bounded
//! batch. As long as there is more it comes back for it by itself (`setImmediate`), so that a burst
//! cannot hold the event loop; and while many calls stream it comes every two milliseconds by itself,
//! without being woken. A call that is far ahead of JavaScript waits, and with it its socket.
//!
//! Facts behind this shape: many wake-ups cost more than any format; a ThreadsafeFunction (TSFN)
//! looked at by the loop costs at every turn, so there is one; ends travel with the deltas because
//! with separate TSFNs a promise can resolve before its last deltas.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::future::BoxFuture;
use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue};
use napi::{Env, sys};
use napi_derive::napi;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outlet::{Outlet, Told};
use super::queue::{Batch, MAX_RECORDS, PACE_MS, Queue, WORDS};
use super::start_in_order;
use crate::engine::live::Live;
use crate::engine::sink::Wants;

/// Words before the records in the shared array: their number, and when the next batch is taken
/// ([`super::queue::Next`]).
const HEADER: usize = 2;

type Waker = ThreadsafeFunction<(), UnknownReturnValue, (), Status, false, true, 0>;

/// The queue of one JavaScript thread.
pub struct Hub {
    queue: Mutex<Queue>,
    calls: Mutex<Calls>,
    /// How many batches JavaScript has taken.
    pub(super) taken: watch::Sender<u64>,
    wake: OnceLock<Waker>,
    /// The environment is going away.
    shutdown: CancellationToken,
}

/// The calls by their number. A number is given anew when JavaScript has been told the end of its call:
/// so it finds a call in an array.
#[derive(Default)]
struct Calls {
    /// That of number 1 first: no call is number 0.
    states: Vec<Option<Arc<CallState>>>,
    free: Vec<u32>,
}

impl Calls {
    fn enter(&mut self, state: Arc<CallState>) -> u32 {
        if let Some(id) = self.free.pop() {
            self.states[id as usize - 1] = Some(state);
            return id;
        }
        self.states.push(Some(state));
        self.states.len() as u32
    }

    fn get(&self, id: u32) -> Option<&Arc<CallState>> {
        self.states.get((id as usize).checked_sub(1)?)?.as_ref()
    }

    fn leave(&mut self, id: u32) {
        let place = (id as usize).checked_sub(1).and_then(|at| self.states.get_mut(at));
        if place.and_then(Option::take).is_some() {
            self.free.push(id);
        }
    }
}

/// What both sides know of one call.
pub struct CallState {
    pub cancel: CancellationToken,
    pub(super) paused: AtomicBool,
    pub(super) resumed: Notify,
    /// What JavaScript wants to be handed; the call begins when it is said.
    pub(super) wants: OnceLock<Wants>,
    /// The call itself, until then.
    parked: Mutex<Option<BoxFuture<'static, ()>>>,
    /// What the call has come to, where it is one whose answer can be taken up again.
    pub live: OnceLock<Arc<Live>>,
    /// Who waits for the answer to [`Record::Judge`].
    pub(super) answer: Mutex<Option<oneshot::Sender<bool>>>,
}

impl Hub {
    /// Hands over what a call has collected, and wakes JavaScript where that is due. Returns the batch
    /// that it is in.
    pub(super) fn push(&self, collected: &mut Batch, counted: &mut u64, ends: bool) -> u64 {
        let (batch, wakes) = self.queue().push(collected, counted, ends, now);
        if wakes {
            self.wake();
        }
        batch
    }

    fn wake(&self) {
        let Some(wake) = self.wake.get() else { return };
        if wake.call((), ThreadsafeFunctionCallMode::NonBlocking) != Status::Ok {
            // The environment is closing: nobody will take anything any more.
            self.shutdown.cancel();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a call. It ends with one record [`Record::End`] or [`Record::Error`].
    pub fn open(self: &Arc<Self>, told: Told) -> Outlet {
        let state = Arc::new(CallState {
            cancel: self.shutdown.child_token(),
            paused: AtomicBool::new(false),
            resumed: Notify::new(),
            wants: OnceLock::new(),
            parked: Mutex::default(),
            live: OnceLock::new(),
            answer: Mutex::default(),
        });
        let id = self.calls().enter(Arc::clone(&state));
        Outlet::new(Arc::clone(self), id, state, told)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, id: u32) -> Option<Arc<CallState>> {
        self.calls().get(id).cloned()
    }
}

impl CallState {
    /// Keeps the call until JavaScript says what it wants.
    pub fn park(&self, call: BoxFuture<'static, ()>) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }
}

/// The JavaScript side of the queue.
#[napi]
pub struct NativeHub {
    pub(super) hub: Arc<Hub>,
    shared: Uint32Array,
    in_flight: u32,
    /// The batch that was taken last, for its memory.
    spare: Batch,
}

#[napi]
impl NativeHub {
    /// `shared` takes the records of a batch; `wake` is called when there is one.
    #[napi(constructor, catch_unwind, ts_args_type = "shared: Uint32Array, wake: () => void, paces: boolean")]
    pub fn new(
        env: Env,
        shared: Uint32Array,
        wake: Function<(), UnknownReturnValue>,
        paces: bool,
    ) -> Result<Self> {
        if shared.len() < Self::shared_words() as usize {
            return Err(napi::Error::from_reason("the shared array is too small"));
        }
        let hub = Arc::new(Hub {
            queue: Mutex::new(Queue::new(now(), paces)),
            calls: Mutex::default(),
            taken: watch::Sender::new(0),
            wake: OnceLock::new(),
            shutdown: CancellationToken::new(),
        });
        // The TSFN holds nothing of ours: no cycle keeps the process alive.
        let wake: Waker = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        let _ = hub.wake.set(wake);
        // `worker.terminate()` and `process.exit()`: every task of this environment ends.
        env.add_env_cleanup_hook(hub.shutdown.clone(), |shutdown| shutdown.cancel())?;
        Ok(NativeHub { hub, shared, in_flight: 0, spare: Batch::default() })
    }

    /// How many words the shared array needs.
    #[napi]
    pub fn shared_words() -> u32 {
        (HEADER + WORDS * MAX_RECORDS) as u32
    }

    /// Wakes JavaScript in the next turn of its loop: for one that has no timers of its own.
    #[napi]
    pub fn again(&self) {
        self.hub.wake();
    }

    /// How long it waits, in milliseconds, while it takes batches without being woken.
    #[napi]
    pub fn pace_ms() -> u32 {
        PACE_MS
    }

    /// Takes a batch: the text of its short records joined, those of the others as strings of their own
    /// into `own`, and the records into the shared array.
    #[napi(catch_unwind, ts_return_type = "string", ts_args_type = "own: string[]")]
    pub fn take<'env>(&mut self, env: &'env Env, own: Unknown<'env>) -> Result<Unknown<'env>> {
        let (batch, next, taken) = self.hub.queue().take(mem::take(&mut self.spare), now);
        self.hub.taken.send_replace(taken);
        // SAFETY: JavaScript reads the array on this thread only, after this call.
        let shared = unsafe { self.shared.as_mut() };
        shared[0] = (batch.words.len() / WORDS) as u32;
        shared[1] = next as u32;
        shared[HEADER..HEADER + batch.words.len()].copy_from_slice(&batch.words);
        for (index, text) in batch.own().enumerate() {
            let text = string(env, text, text.is_ascii())?;
            // SAFETY: two values of this environment.
            let status = unsafe { sys::napi_set_element(env.raw(), own.raw(), index as u32, text.raw()) };
            check_status!(status)?;
        }
        let text = string(env, &batch.text, !batch.non_ascii)?;
        self.spare = batch;
        Ok(text)
    }

    /// A call has begun: the process stays alive until it has ended.
    #[napi]
    pub fn begun(&mut self, env: &Env) -> Result<()> {
        self.in_flight += 1;
        if self.in_flight == 1 { self.set_ref(env, true) } else { Ok(()) }
    }

    /// JavaScript has been told the end of a call: what is known of it can go, and its number can be
    /// another's.
    #[napi]
    pub fn ended(&mut self, env: &Env, id: u32) -> Result<()> {
        self.hub.calls().leave(id);
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

/// The load is one of this process, whatever time a test clock tells the calls.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

fn string<'env>(env: &'env Env, text: &str, ascii: bool) -> Result<Unknown<'env>> {
    let mut made = std::ptr::null_mut();
    // SAFETY: the pointer and the length are those of a live string, which both calls copy.
    let status = unsafe {
        let (bytes, length) = (text.as_ptr().cast(), text.len() as isize);
        match ascii {
            true => sys::napi_create_string_latin1(env.raw(), bytes, length, &mut made),
            false => sys::napi_create_string_utf8(env.raw(), bytes, length, &mut made),
        }
    };
    check_status!(status)?;
    // SAFETY: a value that was just made in this environment.
    Ok(unsafe { Unknown::from_raw_unchecked(env.raw(), made) })
}
