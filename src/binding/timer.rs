//! A timer for JavaScript that no test can fake.

use std::sync::{Arc, Weak};
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue};
use napi::{Env, Status, sys};
use napi_derive::napi;
use tokio::task::AbortHandle;

use super::errors::OrThrow;
use super::runtime::runtime;

type FireFunction = ThreadsafeFunction<(), UnknownReturnValue, (), Status, false, false, 0>;

/// Fires once, in real time. For a process whose `node:timers` were replaced before this package was loaded. It
/// keeps the process alive until it fires or is stopped, unless [`NativeTimer::unref`] was called.
#[napi]
pub struct NativeTimer {
    /// The task owns the function: a timer that has fired must not keep the process alive until it is collected.
    fire: Weak<FireFunction>,
    task: AbortHandle,
}

#[napi]
impl NativeTimer {
    /// Calls `fire` after `ms`. It may still be called once after `stop`.
    #[napi(constructor, catch_unwind, ts_args_type = "fire: () => void, ms: number")]
    pub fn new(fire: Function<(), UnknownReturnValue>, ms: f64) -> Result<Self> {
        let runtime = runtime().or_throw()?;
        let fire: Arc<FireFunction> = Arc::new(fire.build_threadsafe_function::<()>().build()?);
        // A wait that a duration cannot hold never ends.
        let wait = Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX);
        let owned = Arc::clone(&fire);
        let task = runtime.spawn(async move {
            sleep(wait).await;
            // Fails only if the environment is closing.
            let _ = owned.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(NativeTimer { fire: Arc::downgrade(&fire), task: task.abort_handle() })
    }

    #[napi(catch_unwind)]
    pub fn stop(&self) {
        self.task.abort();
    }

    /// No longer keeps the process alive.
    #[napi(catch_unwind)]
    pub fn unref(&self, env: &Env) -> Result<()> {
        let Some(fire) = self.fire.upgrade() else { return Ok(()) };
        // SAFETY: `fire` is alive, and this is the thread of its environment.
        let status = unsafe { sys::napi_unref_threadsafe_function(env.raw(), fire.raw()) };
        check_status!(status)
    }
}

/// Real time: these are JavaScript's timers, which a test clock does not move.
#[allow(clippy::disallowed_methods)]
async fn sleep(wait: Duration) {
    tokio::time::sleep(wait).await;
}
