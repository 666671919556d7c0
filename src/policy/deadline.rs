//! How the time of a call is divided among its attempts as its deadline comes near.

use std::time::Duration;

/// No attempt is left with less than this part of what remains, however many routes follow.
const MOST_SHARES: usize = 4;

/// The least time that is worth an attempt: `floor`, or a tenth of a deadline that is short itself.
/// Zero without a deadline.
pub fn min_attempt_time(total: Option<Duration>, floor: Duration) -> Duration {
    total.map_or(Duration::ZERO, |total| floor.min(total / 10))
}

/// How long an attempt may take to its first token so that `others`, the routes which are left after
/// it, have their time too: an even share of what remains, at least a quarter. The last route has
/// all of it.
pub fn fair_share(remaining: Duration, others: usize) -> Duration {
    let shares = (others + 1).min(MOST_SHARES);
    remaining / shares as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_remains_is_shared_evenly_and_the_last_has_all_of_it() {
        assert_eq!(fair_share(SECOND * 12, 0), SECOND * 12);
        assert_eq!(fair_share(SECOND * 12, 1), SECOND * 6);
        assert_eq!(fair_share(SECOND * 12, 2), SECOND * 4);
        assert_eq!(fair_share(SECOND * 12, 30), SECOND * 3);
    }

    #[test]
    fn the_least_time_is_a_tenth_of_a_short_deadline() {
        let floor = SECOND / 4;
        assert_eq!(min_attempt_time(Some(SECOND * 60), floor), floor);
        assert_eq!(min_attempt_time(Some(SECOND), floor), SECOND / 10);
        assert_eq!(min_attempt_time(None, floor), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn attempts_that_use_up_their_shares_never_pass_the_deadline(
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
