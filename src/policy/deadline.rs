//! How the time before a call's deadline is divided among its attempts.

use std::time::Duration;

/// However many routes follow, an attempt gets at least the remaining time divided by this.
const MAX_SHARES: usize = 4;

/// The time that an attempt needs at least: `floor`, or a tenth of the total timeout if that is shorter.
/// Zero without a deadline.
pub fn min_attempt_time(total: Option<Duration>, floor: Duration) -> Duration {
    total.map_or(Duration::ZERO, |total| floor.min(total / 10))
}

/// The time an attempt has until its first token, so that the `others` routes after it have time too: an
/// even share of the remaining time, at least a quarter. The last route gets all of it.
pub fn fair_share(remaining: Duration, others: usize) -> Duration {
    let shares = (others + 1).min(MAX_SHARES);
    remaining / shares as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_remaining_time_is_shared_evenly_and_the_last_route_gets_all_of_it() {
        assert_eq!(fair_share(SECOND * 12, 0), SECOND * 12);
        assert_eq!(fair_share(SECOND * 12, 1), SECOND * 6);
        assert_eq!(fair_share(SECOND * 12, 2), SECOND * 4);
        assert_eq!(fair_share(SECOND * 12, 30), SECOND * 3);
    }

    #[test]
    fn the_minimum_is_a_tenth_of_a_short_timeout() {
        let floor = SECOND / 4;
        assert_eq!(min_attempt_time(Some(SECOND * 60), floor), floor);
        assert_eq!(min_attempt_time(Some(SECOND), floor), SECOND / 10);
        assert_eq!(min_attempt_time(None, floor), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn attempts_that_use_up_their_shares_end_at_the_deadline(
            total in 1..600_000u64,
            routes in 1..12usize,
        ) {
            let mut remaining = Duration::from_millis(total);
            for others in (0..routes).rev() {
                let share = fair_share(remaining, others);
                prop_assert!(share <= remaining && share >= remaining / 4);
                remaining -= share;
            }
            prop_assert_eq!(remaining, Duration::ZERO);
        }
    }
}
