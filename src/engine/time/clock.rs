//! The time of the engine: milliseconds since the epoch that never go backwards. The wall clock is read
//! once and the monotonic clock counts from there, so a clock that is set back reopens nothing.
//!
//! A test clock ([`super::test_clock`]) can stand in for both. Without one that costs a relaxed load.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::anchor::anchor;
use super::test_clock::installed;

/// Now, for measuring and for deadlines.
pub fn instant() -> Instant {
    match installed() {
        None => Instant::now(),
        Some(clock) => clock.instant(),
    }
}

fn since_epoch() -> Duration {
    let anchor = anchor();
    let now = instant();
    match now.checked_duration_since(anchor.started) {
        Some(since) => anchor.since_epoch + since,
        // With tokio's clock paused, another test whose time was ahead may have set the anchor.
        None => anchor.since_epoch - (anchor.started - now),
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

/// Sleeps when only time can end the wait: a test clock may jump over it.
pub async fn sleep(wait: Duration) {
    match installed() {
        None => tokio::time::sleep(wait).await,
        Some(clock) => clock.sleep(wait).await,
    }
}

/// Sleeps next to something else that may finish first.
pub async fn sleep_until(at: Instant) {
    match installed() {
        None => tokio::time::sleep_until(at).await,
        Some(clock) => clock.sleep_until(at).await,
    }
}

/// The deadline came first.
#[derive(Debug)]
pub struct Elapsed;

pub async fn timeout_at<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    match installed() {
        None => tokio::time::timeout_at(at, future).await.map_err(|_| Elapsed),
        Some(clock) => tokio::select! {
            biased;
            output = future => Ok(output),
            () = clock.sleep_until(at) => Err(Elapsed),
        },
    }
}

/// A limit beyond the range of a clock never expires.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    match instant().checked_add(limit) {
        Some(at) => timeout_at(at, future).await,
        None => Ok(future.await),
    }
}

/// Sleeps until `deadline`; forever without one.
pub async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
