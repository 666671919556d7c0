//! The native part of the test clock of `holysheep/simulator`.

use std::sync::Arc;
use std::time::Duration;

use napi_derive::napi;
use tokio::runtime::Runtime;

use super::errors::{OrThrow, exception};
use super::runtime::runtime;
use crate::engine::IdleProbe;
use crate::engine::test_clock::TestClock;
use crate::error::{Error, LocalResource};

#[napi]
pub struct NativeClock {
    clock: Arc<TestClock>,
    probe: IdleProbe,
    runtime: &'static Runtime,
}

#[napi]
impl NativeClock {
    /// Stops time for the calls of this thread.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> napi::Result<Self> {
        let runtime = runtime().or_throw()?;
        let probe = runtime.block_on(IdleProbe::new()).map_err(|error| match LocalResource::of(&error) {
            Some(resource) => exception(&Error::local_resource(resource)),
            None => napi::Error::from_reason(format!("the test clock needs a socket on 127.0.0.1: {error}")),
        })?;
        Ok(NativeClock { clock: TestClock::install(), probe, runtime })
    }

    #[napi(getter, catch_unwind)]
    pub fn elapsed_ms(&self) -> f64 {
        ms(self.clock.elapsed())
    }

    /// The time until the next timer fires, in milliseconds; null without timers.
    #[napi(getter, catch_unwind)]
    pub fn until_next_ms(&self) -> Option<f64> {
        self.clock.until_next().map(ms)
    }

    /// Advances the clock until this much time has passed in total, in milliseconds.
    #[napi(catch_unwind)]
    pub fn advance_to(&self, elapsed_ms: f64) {
        // A time that a duration cannot hold leaves the clock unchanged.
        let total = Duration::try_from_secs_f64(elapsed_ms / 1000.0).unwrap_or_default();
        self.clock.advance(total.saturating_sub(self.clock.elapsed()));
    }

    /// Advances the clock until the next timer fires.
    #[napi(catch_unwind)]
    pub fn advance_to_next(&self) {
        self.clock.advance(self.clock.until_next().unwrap_or_default());
    }

    #[napi(getter, catch_unwind)]
    pub fn activity(&self) -> ClockActivity {
        let activity = self.clock.activity();
        ClockActivity {
            calls: activity.calls as u32,
            resting: activity.sleeping as u32,
            quiet_ms: ms(activity.quiet),
        }
    }

    /// Whether nothing is under way in this process: the runtime, which also runs the simulators, is idle, and no call
    /// was polled meanwhile.
    #[napi(catch_unwind)]
    pub fn is_idle(&self) -> bool {
        let before = self.clock.activity().active;
        self.runtime.block_on(self.probe.is_idle()) && self.clock.activity().active == before
    }

    /// Lets time pass automatically again.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.clock.release();
    }
}

/// What the calls that follow a test clock are doing.
#[napi(object)]
pub struct ClockActivity {
    pub calls: u32,
    pub resting: u32,
    pub quiet_ms: f64,
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
