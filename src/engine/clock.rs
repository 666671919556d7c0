//! The time of the engine: milliseconds since the epoch that never go backwards. Read once from the
//! wall clock, counted on with the monotonic one, so that a clock that is set back reopens nothing.
//!
//! Everything that waits or looks at the time does it here, so that a test clock ([`super::test_clock`])
//! can stand in for both. Without one that costs one relaxed load.

use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::test_clock::followed;

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
    match followed() {
        None => Instant::now(),
        Some(clock) => clock.instant(),
    }
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

/// Waits, with nothing else under way that could end the wait or change what it is for.
pub async fn sleep(wait: Duration) {
    match followed() {
        None => tokio::time::sleep(wait).await,
        Some(clock) => clock.rest(wait).await,
    }
}

/// Waits beside something else, which may come first.
pub async fn sleep_until(at: Instant) {
    match followed() {
        None => tokio::time::sleep_until(at).await,
        Some(clock) => clock.sleep_until(at).await,
    }
}

/// The time was up first.
#[derive(Debug)]
pub struct Elapsed;

pub async fn timeout_at<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    match followed() {
        None => tokio::time::timeout_at(at, future).await.map_err(|_| Elapsed),
        Some(clock) => tokio::select! {
            biased;
            output = future => Ok(output),
            () = clock.sleep_until(at) => Err(Elapsed),
        },
    }
}

/// Past what a clock can count is for ever.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    match instant().checked_add(limit) {
        Some(at) => timeout_at(at, future).await,
        None => Ok(future.await),
    }
}
