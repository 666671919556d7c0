//! The test clock of `holysheep/simulator`.

use std::sync::Arc;
use std::time::Duration;

use napi_derive::napi;

use crate::engine::test_clock::TestClock;

#[napi]
pub struct NativeClock {
    clock: Arc<TestClock>,
}

/// What the calls that follow a clock are about.
#[napi(object)]
pub struct ClockActivity {
    pub calls: u32,
    pub resting: u32,
    pub quiet_ms: f64,
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[napi]
impl NativeClock {
    /// Stops the time of this thread.
    #[napi(constructor)]
    #[allow(clippy::new_without_default)] // It does something.
    pub fn new() -> Self {
        NativeClock { clock: TestClock::install() }
    }

    #[napi(getter)]
    pub fn elapsed_ms(&self) -> f64 {
        ms(self.clock.elapsed())
    }

    /// How long until somebody's wait is over; null where nobody waits.
    #[napi(getter)]
    pub fn until_next_ms(&self) -> Option<f64> {
        self.clock.until_next().map(ms)
    }

    /// Goes on until the clock has gone so far in all, in milliseconds.
    #[napi(catch_unwind)]
    pub fn advance_to(&self, elapsed_ms: f64) {
        // Past what a duration can hold there is nothing.
        let to = Duration::try_from_secs_f64(elapsed_ms / 1000.0).unwrap_or_default();
        self.clock.advance(to.saturating_sub(self.clock.elapsed()));
    }

    /// Goes on until the next wait is over.
    #[napi(catch_unwind)]
    pub fn advance_to_next(&self) {
        self.clock.advance(self.clock.until_next().unwrap_or_default());
    }

    #[napi(getter)]
    pub fn activity(&self) -> ClockActivity {
        let activity = self.clock.activity();
        ClockActivity {
            calls: activity.calls as u32,
            resting: activity.sleeping as u32,
            quiet_ms: ms(activity.quiet),
        }
    }

    /// Time goes on by itself again.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        // Waits that are woken look at the runtime's time.
        self.clock.release();
    }
}
