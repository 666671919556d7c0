//! The JavaScript end of a hub.

use std::mem;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi::{Env, sys};
use napi_derive::napi;

use super::batch::{Batch, WORDS};
use super::hub::{CallState, Hub, WakeFunction};
use super::queue::{MAX_RECORDS, POLL_INTERVAL_MS};
use crate::engine::sink::DeliveryMode;

/// The words before the records in the shared array: the number of records, and when to take the next batch
/// ([`super::queue::NextTake`]).
const HEADER: usize = 2;

/// The queue of one JavaScript thread.
#[napi]
pub struct NativeHub {
    pub(super) hub: Arc<Hub>,
    shared: Uint32Array,
    /// JavaScript has a timer to poll with.
    can_poll: bool,
    /// The number of calls that keep the process alive: those in flight that are not paused. A paused call waits for its
    /// consumer, and whatever may make that go on keeps the process alive itself.
    keeping_alive: u32,
    /// The batch that was taken last, to reuse its memory.
    spare: Batch,
}

#[napi]
impl NativeHub {
    /// `shared` receives the records of each batch. `wake` is called when there is one. Set `canPoll` if
    /// JavaScript has a timer to poll with.
    #[napi(
        constructor,
        catch_unwind,
        ts_args_type = "shared: Uint32Array, wake: () => void, canPoll: boolean"
    )]
    pub fn new(
        env: Env,
        shared: Uint32Array,
        wake: Function<(), napi::threadsafe_function::UnknownReturnValue>,
        can_poll: bool,
    ) -> Result<Self> {
        if shared.len() < Self::shared_words() as usize {
            return Err(napi::Error::from_reason("the shared array is too small"));
        }
        let hub = Arc::new(Hub::new(can_poll));
        // The TSFN refers to nothing of ours, so no cycle keeps the process alive.
        let waker: WakeFunction = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        hub.set_waker(waker);
        // After `worker.terminate()` and `process.exit()` every task of this environment must end.
        env.add_env_cleanup_hook(hub.shutdown().clone(), |shutdown| shutdown.cancel())?;
        Ok(NativeHub { hub, shared, can_poll, keeping_alive: 0, spare: Batch::default() })
    }

    /// The length that the shared array needs.
    #[napi(catch_unwind)]
    pub fn shared_words() -> u32 {
        (HEADER + WORDS * MAX_RECORDS) as u32
    }

    /// How long JavaScript waits between two polls, in milliseconds.
    #[napi(catch_unwind)]
    pub fn poll_interval_ms() -> u32 {
        POLL_INTERVAL_MS
    }

    /// Wakes JavaScript in the next round of its event loop, if it has no timers.
    #[napi(catch_unwind)]
    pub fn schedule_wake(&self) {
        self.hub.wake();
    }

    /// Takes a batch. Returns its short texts joined, and writes its long texts to `longTexts` and its records
    /// to the shared array.
    #[napi(catch_unwind, ts_return_type = "string", ts_args_type = "longTexts: string[]")]
    pub fn take<'env>(&mut self, env: &'env Env, long_texts: Unknown<'env>) -> Result<Unknown<'env>> {
        let (batch, next) = self.hub.take(mem::take(&mut self.spare));
        // SAFETY: only JavaScript reads the array, on this thread, after this call.
        let shared = unsafe { self.shared.as_mut() };
        shared[0] = batch.record_count() as u32;
        shared[1] = next as u32;
        shared[HEADER..HEADER + batch.words.len()].copy_from_slice(&batch.words);
        for (index, text) in batch.long_texts().enumerate() {
            let text = js_string(env, text, text.is_ascii())?;
            // SAFETY: both values belong to this environment.
            let status =
                unsafe { sys::napi_set_element(env.raw(), long_texts.raw(), index as u32, text.raw()) };
            check_status!(status)?;
        }
        let text = js_string(env, &batch.short_text, !batch.non_ascii)?;
        self.spare = batch;
        Ok(text)
    }

    /// Keeps the process alive until the call has ended or is paused.
    #[napi(catch_unwind)]
    pub fn call_started(&mut self, env: &Env) -> Result<()> {
        self.keep_alive(env)
    }

    /// Forgets a call whose end JavaScript has seen. Its id may be reused. Returns how many attempts it has begun.
    #[napi(catch_unwind)]
    pub fn call_ended(&mut self, env: &Env, id: u32) -> Result<u32> {
        let Some(call) = self.hub.call(id) else { return Ok(0) };
        self.hub.unregister(id);
        if self.keeps_alive(&call) {
            self.let_exit(env)?;
        }
        Ok(call.attempts())
    }

    /// How many attempts a call has begun.
    #[napi(catch_unwind)]
    pub fn attempts(&self, id: u32) -> u32 {
        self.hub.call(id).map_or(0, |call| call.attempts())
    }

    /// Begins a call. `mode`: 0 for text, 1 for chunks, 2 for nothing before the end.
    #[napi(catch_unwind)]
    pub fn begin(&self, id: u32, mode: u32) {
        let mode = match mode {
            0 => DeliveryMode::Text,
            1 => DeliveryMode::Chunks,
            _ => DeliveryMode::Nothing,
        };
        if let Some(call) = self.hub.call(id) {
            call.begin(mode);
        }
    }

    /// Cancels a call. Returns how many attempts it has begun if JavaScript must forget it at once: it receives nothing more
    /// of it. Otherwise the call has ended, and its last record is on the way.
    #[napi(catch_unwind)]
    pub fn cancel(&mut self, env: &Env, id: u32) -> Result<Option<u32>> {
        let Some(call) = self.hub.call(id) else { return Ok(None) };
        if !call.detach() {
            return Ok(None);
        }
        if self.keeps_alive(&call) {
            self.let_exit(env)?;
        }
        Ok(Some(call.attempts()))
    }

    /// The snapshot of a call in flight, as JSON; empty if the answer has outgrown it.
    #[napi(catch_unwind)]
    pub fn snapshot(&self, id: u32) -> Option<String> {
        Some(self.hub.call(id)?.live.get()?.json().unwrap_or_default())
    }

    /// Replies to the question whether an error counts as a failure.
    #[napi(catch_unwind)]
    pub fn answer(&self, id: u32, is_failure: bool) {
        if let Some(call) = self.hub.call(id) {
            call.reply_is_failure(is_failure);
        }
    }

    /// Stops reading the call's socket until `resume`. JavaScript calls this only for a call that is not paused.
    #[napi(catch_unwind)]
    pub fn pause(&mut self, env: &Env, id: u32) -> Result<()> {
        let Some(call) = self.hub.call(id) else { return Ok(()) };
        let kept_alive = self.keeps_alive(&call);
        call.pause();
        if kept_alive && !self.keeps_alive(&call) { self.let_exit(env) } else { Ok(()) }
    }

    /// The consumer of a paused call has taken something, so the time that it may be paused begins again.
    #[napi(catch_unwind)]
    pub fn took(&self, id: u32) {
        if let Some(call) = self.hub.call(id) {
            call.took();
        }
    }

    #[napi(catch_unwind)]
    pub fn resume(&mut self, env: &Env, id: u32) -> Result<()> {
        let Some(call) = self.hub.call(id) else { return Ok(()) };
        let kept_alive = self.keeps_alive(&call);
        call.resume();
        if kept_alive { Ok(()) } else { self.keep_alive(env) }
    }

    /// Without a timer JavaScript is woken for each batch, and only a call in flight keeps the process alive until then.
    fn keeps_alive(&self, call: &CallState) -> bool {
        !call.is_paused() || !self.can_poll
    }

    fn keep_alive(&mut self, env: &Env) -> Result<()> {
        self.keeping_alive += 1;
        if self.keeping_alive == 1 { self.set_ref(env, true) } else { Ok(()) }
    }

    fn let_exit(&mut self, env: &Env) -> Result<()> {
        self.keeping_alive = self.keeping_alive.saturating_sub(1);
        if self.keeping_alive == 0 { self.set_ref(env, false) } else { Ok(()) }
    }

    fn set_ref(&self, env: &Env, keep_alive: bool) -> Result<()> {
        let Some(waker) = self.hub.waker() else { return Ok(()) };
        // SAFETY: the TSFN lives as long as the hub, and this is the thread of its environment.
        let status = unsafe {
            match keep_alive {
                true => sys::napi_ref_threadsafe_function(env.raw(), waker.raw()),
                false => sys::napi_unref_threadsafe_function(env.raw(), waker.raw()),
            }
        };
        check_status!(status)
    }
}

fn js_string<'env>(env: &'env Env, text: &str, ascii: bool) -> Result<Unknown<'env>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: the pointer and the length belong to a live string, which both functions copy.
    let status = unsafe {
        let (bytes, length) = (text.as_ptr().cast(), text.len() as isize);
        match ascii {
            true => sys::napi_create_string_latin1(env.raw(), bytes, length, &mut value),
            false => sys::napi_create_string_utf8(env.raw(), bytes, length, &mut value),
        }
    };
    check_status!(status)?;
    // SAFETY: the value was just created in this environment.
    Ok(unsafe { Unknown::from_raw_unchecked(env.raw(), value) })
}
