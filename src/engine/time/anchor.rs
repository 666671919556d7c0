//! The point at which the wall clock was read: from then on the monotonic clock counts.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

pub(super) struct Anchor {
    pub since_epoch: Duration,
    pub started: Instant,
}

/// The anchor of this process, set on first use.
pub(super) fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| Anchor {
        since_epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        started: Instant::now(),
    })
}
