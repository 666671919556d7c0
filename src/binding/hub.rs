//! Delivery to one JavaScript thread: the records of all its calls in one queue, and at most one wake-up
//! pending.
//!
//! Tokio tasks append records to the [`queue`](super::queue). The first record wakes JavaScript, which takes a
//! bounded batch. If more is left, JavaScript polls again (`setImmediate`), so that a burst cannot hold
//! the event loop. While many calls stream, it polls every two milliseconds instead of being woken. A call far
//! ahead of JavaScript waits, and so does its socket.
//!
//! Why this shape: wake-ups cost more than any encoding does. The event loop checks every ThreadsafeFunction
//! (TSFN) in each of its rounds, so there is only one. Ends travel with the deltas, because with a TSFN of its
//! own a promise may resolve before its last deltas arrive.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::future::BoxFuture;
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::memory;
use super::queue::{NextTake, Queue, Taken};
use super::runtime::spawn_in_order;
use crate::engine::clock;
use crate::engine::live_snapshot::LiveSnapshot;
use crate::engine::sink::DeliveryMode;

/// The function that wakes JavaScript.
pub type WakeFunction = ThreadsafeFunction<(), UnknownReturnValue, (), Status, false, true, 0>;

/// The calls and the queue of one JavaScript thread.
pub struct Hub {
    queue: Mutex<Queue>,
    calls: Mutex<Calls>,
    /// How many batches JavaScript has taken.
    batches_taken: watch::Sender<u64>,
    waker: OnceLock<WakeFunction>,
    /// Canceled when the environment shuts down.
    shutdown: CancellationToken,
}

impl Hub {
    /// Set `can_poll` if JavaScript has a timer to poll with.
    pub fn new(can_poll: bool) -> Self {
        Hub {
            queue: Mutex::new(Queue::new(now(), can_poll)),
            calls: Mutex::default(),
            batches_taken: watch::Sender::new(0),
            waker: OnceLock::new(),
            shutdown: CancellationToken::new(),
        }
    }

    pub fn set_waker(&self, waker: WakeFunction) {
        // Set once, by the constructor of `NativeHub`.
        let _ = self.waker.set(waker);
    }

    pub fn waker(&self) -> Option<&WakeFunction> {
        self.waker.get()
    }

    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Registers a call, and returns its id and its state.
    pub fn register(&self) -> (u32, Arc<CallState>) {
        let state = Arc::new(CallState::new(self.shutdown.child_token()));
        memory::call_opened();
        (self.calls().insert(Arc::clone(&state)), state)
    }

    /// Releases the id of a call whose end JavaScript has seen.
    pub fn unregister(&self, id: u32) {
        self.calls().remove(id);
    }

    pub fn call(&self, id: u32) -> Option<Arc<CallState>> {
        self.calls().get(id).cloned()
    }

    /// Queues records of one call, and wakes JavaScript if necessary. Returns the number of their batch. `counted_in` is
    /// the queue's: see [`Queue::push`].
    pub fn push(&self, records: &mut Batch, counted_in: &mut u64) -> u64 {
        let (batch, wake) = self.queue().push(records, counted_in, now);
        if wake {
            self.wake();
        }
        batch
    }

    /// Queues the last record of a call: see [`Queue::push_ending`].
    pub fn push_ending(&self, ending: &mut Batch, last_batch: u64, counted_in: u64) {
        let wake = self.queue().push_ending(ending, last_batch, counted_in, now);
        if wake {
            self.wake();
        }
    }

    /// Forgets a detached call that has ended. JavaScript does not learn of it.
    pub fn end_detached(&self, id: u32, last_batch: u64, counted_in: u64) {
        let is_free = self.queue().end_detached(id, last_batch, counted_in);
        if is_free {
            self.unregister(id);
        }
    }

    /// Takes the next batch for JavaScript. `spare` is a batch to reuse.
    pub fn take(&self, spare: Batch) -> (Batch, NextTake) {
        let Taken { batch, next, batches_taken, free_ids } = self.queue().take(spare, now);
        if !free_ids.is_empty() {
            let mut calls = self.calls();
            free_ids.into_iter().for_each(|id| calls.remove(id));
        }
        self.batches_taken.send_replace(batches_taken);
        (batch, next)
    }

    /// Waits until JavaScript has taken the batch with this number.
    pub async fn wait_until_taken(&self, batch: u64) {
        // Fails only if the hub is gone, and then there is nothing to wait for.
        let _ = self.batches_taken.subscribe().wait_for(|taken| *taken >= batch).await;
    }

    /// Whether few batches wait, so that a call may be further ahead.
    pub fn has_few_batches(&self) -> bool {
        self.queue().has_few_batches()
    }

    pub fn wake(&self) {
        let Some(waker) = self.waker.get() else { return };
        if waker.call((), ThreadsafeFunctionCallMode::NonBlocking) != Status::Ok {
            // The environment is closing: no one takes batches anymore.
            self.shutdown.cancel();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of one call that both sides share.
pub struct CallState {
    pub cancel: CancellationToken,
    /// How the answer is delivered to JavaScript. Set when the call begins.
    pub mode: OnceLock<DeliveryMode>,
    /// The progress of a call that can be resumed.
    pub live: OnceLock<Arc<LiveSnapshot>>,
    /// The task of the call and its runtime, until it begins.
    parked: Mutex<Option<(&'static Runtime, BoxFuture<'static, ()>)>>,
    /// Whether the call runs, has ended, or is detached: the first of both decides who forgets it.
    phase: AtomicU8,
    /// How many attempts have begun.
    attempts: AtomicU32,
    paused: AtomicBool,
    resumed: Notify,
    /// When the consumer last took something while the call was paused.
    last_taken: Mutex<Option<Instant>>,
    /// Waits for the reply to [`RecordKind::IsFailure`](super::batch::RecordKind::IsFailure).
    is_failure: Mutex<Option<oneshot::Sender<bool>>>,
}

impl CallState {
    fn new(cancel: CancellationToken) -> Self {
        CallState {
            cancel,
            mode: OnceLock::new(),
            live: OnceLock::new(),
            parked: Mutex::default(),
            phase: AtomicU8::new(RUNNING),
            attempts: AtomicU32::new(0),
            paused: AtomicBool::new(false),
            resumed: Notify::new(),
            last_taken: Mutex::default(),
            is_failure: Mutex::default(),
        }
    }

    /// Keeps the task of the call until [`CallState::begin`].
    pub fn park(&self, runtime: &'static Runtime, task: BoxFuture<'static, ()>) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some((runtime, task));
    }

    /// Starts the parked task. Only the first call has an effect.
    pub fn begin(&self, mode: DeliveryMode) {
        let _ = self.mode.set(mode);
        let parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((runtime, task)) = parked {
            spawn_in_order(runtime, task);
        }
    }

    /// Ends the call for JavaScript, which receives nothing more of it and has forgotten it: its end needs no record. False if
    /// its last record is on the way.
    pub fn detach(&self) -> bool {
        let detached = self.leave_running(DETACHED);
        // A parked call must run to be counted as ended.
        self.begin(DeliveryMode::Nothing);
        self.cancel.cancel();
        detached
    }

    /// Ends the call in Rust. False if it was detached, and nobody receives its last record.
    pub fn end(&self) -> bool {
        self.leave_running(ENDED)
    }

    pub fn is_detached(&self) -> bool {
        self.phase.load(Ordering::Acquire) == DETACHED
    }

    pub fn attempt_begins(&self) {
        self.attempts.fetch_add(1, Ordering::Release);
    }

    /// How many attempts have begun.
    pub fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Acquire)
    }

    fn leave_running(&self, phase: u8) -> bool {
        self.phase.compare_exchange(RUNNING, phase, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn pause(&self) {
        *self.last_taken() = None;
        self.paused.store(true, Ordering::Release);
    }

    /// The consumer of a paused call has taken something.
    pub fn took(&self) {
        *self.last_taken() = Some(clock::instant());
    }

    /// When the consumer last took something while the call was paused.
    pub fn last_taken(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn resume(&self) {
        self.paused.store(false, Ordering::Release);
        self.resumed.notify_waiters();
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub async fn wait_until_resumed(&self) {
        loop {
            let resumed = self.resumed.notified();
            if !self.is_paused() {
                return;
            }
            resumed.await;
        }
    }

    /// The receiver of the next [`CallState::reply_is_failure`].
    pub fn expect_is_failure(&self) -> oneshot::Receiver<bool> {
        let (sender, reply) = oneshot::channel();
        *self.is_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        reply
    }

    pub fn reply_is_failure(&self, is_failure: bool) {
        let sender = self.is_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // No one receives the reply if the call has ended in the meantime.
            let _ = sender.send(is_failure);
        }
    }
}

/// The phases of [`CallState`].
const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const DETACHED: u8 = 2;

/// The calls of a hub by id. An id is reused once JavaScript has seen the end of its call, or all records of a call that it
/// has detached, so that JavaScript can keep its calls in an array.
#[derive(Default)]
struct Calls {
    /// Starts with the call of id 1; there is no id 0.
    states: Vec<Option<Arc<CallState>>>,
    free_ids: Vec<u32>,
}

impl Calls {
    fn insert(&mut self, state: Arc<CallState>) -> u32 {
        if let Some(id) = self.free_ids.pop() {
            self.states[id as usize - 1] = Some(state);
            return id;
        }
        self.states.push(Some(state));
        self.states.len() as u32
    }

    fn get(&self, id: u32) -> Option<&Arc<CallState>> {
        self.states.get((id as usize).checked_sub(1)?)?.as_ref()
    }

    fn remove(&mut self, id: u32) {
        let state = (id as usize).checked_sub(1).and_then(|index| self.states.get_mut(index));
        if state.and_then(Option::take).is_some() {
            self.free_ids.push(id);
            memory::call_closed();
        }
    }
}

/// Real time: the load is the process's own, whatever clock the calls follow.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
