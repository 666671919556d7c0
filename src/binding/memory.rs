//! Returns memory to the system after many calls have ended.
//!
//! glibc keeps what is freed below a piece that is still used, in an arena for each thread, and releases it only when it is
//! told to. After a thousand connections that were read faster than they were delivered, that is hundreds of megabytes.
//! Other allocators do this by themselves.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::runtime::runtime;

/// Fewer calls at the same time leave little behind.
const MIN_PEAK: usize = 128;
/// Memory is returned when fewer than one in this many calls of the peak is left.
const SHARE_LEFT: usize = 4;
/// How long after that: connections are closed in the background, and the next calls may follow at once.
const DELAY: Duration = Duration::from_secs(1);

static CALLS: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static IS_DUE: AtomicBool = AtomicBool::new(false);

/// A call has begun.
pub(super) fn call_opened() {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    PEAK.fetch_max(calls, Ordering::Relaxed);
}

/// A call has been forgotten.
pub(super) fn call_closed() {
    let left = CALLS.fetch_sub(1, Ordering::Relaxed) - 1;
    if is_due(left, PEAK.load(Ordering::Relaxed)) && !IS_DUE.swap(true, Ordering::AcqRel) {
        // A call that has ended had a runtime.
        if let Ok(runtime) = runtime() {
            runtime.spawn(trim_soon());
        }
    }
}

fn is_due(left: usize, peak: usize) -> bool {
    peak >= MIN_PEAK && left * SHARE_LEFT < peak
}

#[allow(clippy::disallowed_methods)] // The memory is real, whatever clock the calls follow.
async fn trim_soon() {
    tokio::time::sleep(DELAY).await;
    IS_DUE.store(false, Ordering::Release);
    let left = CALLS.load(Ordering::Relaxed);
    if is_due(left, PEAK.swap(left, Ordering::Relaxed)) {
        // Takes milliseconds, so not on a thread that serves calls.
        let _ = tokio::task::spawn_blocking(trim).await;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: has no preconditions, and frees only memory that is not in use.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_returned_once_few_of_many_calls_are_left() {
        assert!(!is_due(0, MIN_PEAK - 1));
        assert!(!is_due(500, 1000));
        assert!(is_due(249, 1000));
    }
}
