//! The one ceiling over queue, backoff, attempts and recovery of a call.

use std::time::Duration;

/// A point in time that a call must not pass, in milliseconds of the caller's clock: since the
/// epoch or since any other start, as long as `now` is told in the same. The default is no
/// deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<u64>);

impl Deadline {
    /// No deadline: everything fits.
    pub const NONE: Deadline = Deadline(None);

    /// `total` after `now`. `None`, and a time too long to be counted, is no deadline.
    pub fn after(now: u64, total: Option<Duration>) -> Self {
        Deadline(total.and_then(|total| now.checked_add(u64::try_from(total.as_millis()).ok()?)))
    }

    /// The time that is left: zero when it has passed, `None` without a deadline.
    pub fn remaining(self, now: u64) -> Option<Duration> {
        self.0.map(|end| Duration::from_millis(end.saturating_sub(now)))
    }

    /// Whether it has been reached.
    pub fn is_over(self, now: u64) -> bool {
        self.0.is_some_and(|end| now >= end)
    }

    /// Whether something can still be done after `wait`. A wait that ends on the deadline does not
    /// fit: nothing would be left for the attempt.
    pub fn fits(self, wait: Duration, now: u64) -> bool {
        self.remaining(now).is_none_or(|left| wait < left)
    }

    /// `limit`, or what is left of the call where that is less.
    pub fn cap(self, limit: Duration, now: u64) -> Duration {
        self.remaining(now).map_or(limit, |left| left.min(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wait_fits_only_when_time_is_left_after_it() {
        let deadline = Deadline::after(5_000, Some(SECOND));
        assert_eq!(deadline.remaining(5_400), Some(Duration::from_millis(600)));
        assert!(deadline.fits(Duration::from_millis(599), 5_400));
        assert!(!deadline.fits(Duration::from_millis(600), 5_400));
        assert!(!deadline.fits(Duration::ZERO, 6_000));
        assert_eq!((deadline.is_over(5_999), deadline.is_over(6_000)), (false, true));
        assert_eq!(deadline.remaining(9_000), Some(Duration::ZERO));
        assert_eq!(deadline.cap(SECOND * 9, 5_400), Duration::from_millis(600));
    }

    #[test]
    fn without_a_deadline_everything_fits() {
        for deadline in [Deadline::NONE, Deadline::after(1, None), Deadline::after(1, Some(Duration::MAX))] {
            assert_eq!(deadline, Deadline::default());
            assert!(deadline.fits(Duration::MAX, u64::MAX));
            assert_eq!(deadline.remaining(7), None);
            assert_eq!(deadline.cap(SECOND, 7), SECOND);
        }
    }
}
