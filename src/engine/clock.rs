//! The time of the engine: milliseconds since the epoch that never go backwards. Read once from the
//! wall clock, counted on with the monotonic one, so that a clock that is set back reopens nothing.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

struct Anchor {
    epoch: Duration,
    started: Instant,
}

fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| Anchor {
        epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        started: Instant::now(),
    })
}

pub fn instant() -> Instant {
    Instant::now()
}

fn since_epoch() -> Duration {
    let anchor = anchor();
    let now = instant();
    match now.checked_duration_since(anchor.started) {
        Some(since) => anchor.epoch + since,
        // In tests with a paused clock: another test, whose time was ahead, set the anchor.
        None => anchor.epoch - (anchor.started - now),
    }
}

/// Nanoseconds since the epoch: enough until 2554.
pub fn nanos() -> u64 {
    since_epoch().as_nanos() as u64
}

/// Whole milliseconds since the epoch.
pub fn now() -> u64 {
    since_epoch().as_millis() as u64
}

/// The instant of a time in whole milliseconds since the epoch.
pub fn instant_at(epoch_ms: u64) -> Instant {
    instant() + Duration::from_millis(epoch_ms.saturating_sub(now()))
}

/// Milliseconds since the epoch with their fraction, as a bucket counts.
pub fn now_exact() -> f64 {
    since_epoch().as_secs_f64() * 1000.0
}
