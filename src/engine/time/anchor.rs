//! The point at which the wall clock was read: from then on the monotonic clock counts.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

pub(super) struct Anchor {
    pub since_epoch: Duration,
    pub started: Instant,
}

/// The most time between the readings of the two clocks, and how often they are read again for it.
const MAX_GAP: Duration = Duration::from_micros(50);
const MAX_READINGS: usize = 20;

/// The anchor of this process, set when it is first asked for.
pub(super) fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(read_both_clocks)
}

/// Reads both clocks at the same time. A thread that is preempted between two readings reads them again, or the
/// clocks would stay apart by as much.
fn read_both_clocks() -> Anchor {
    let (mut anchor, mut smallest) = read_once();
    for _ in 1..MAX_READINGS {
        if smallest <= MAX_GAP {
            break;
        }
        let (another, gap) = read_once();
        if gap < smallest {
            (anchor, smallest) = (another, gap);
        }
    }
    anchor
}

/// A reading of both clocks, and the most by which they can be apart in it.
fn read_once() -> (Anchor, Duration) {
    let started = Instant::now();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let gap = Instant::now().saturating_duration_since(started);
    (Anchor { since_epoch, started }, gap)
}
