//! How long to wait before a retry. Jitter after Brooker, "Exponential Backoff and Jitter" (AWS
//! Architecture Blog, 2015); the limit is applied after the jitter, so that no wait passes it.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How the wait grows with the number of retries `n`, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `base · multiplier^n`.
    Exponential,
    /// `base · (n + 1)`.
    Linear,
    /// `base`.
    Constant,
    /// The n-th of these; the last one repeats. An empty schedule does not wait.
    Schedule(Vec<Duration>),
}

/// How a wait `d` is spread, so that clients which failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// `d` itself.
    None,
    /// Between 0 and `d`.
    Full,
    /// Between `d / 2` and `d`.
    Equal,
    /// Between 50 % and 150 % of `d`.
    Proportional,
    /// Between `base` and three times the wait before (for the first retry, three times `base`).
    /// The shape and the number of the retry do not matter then.
    Decorrelated,
}

impl Jitter {
    /// The name in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Jitter::None => "none",
            Jitter::Full => "full",
            Jitter::Equal => "equal",
            Jitter::Proportional => "proportional",
            Jitter::Decorrelated => "decorrelated",
        }
    }
}

impl FromStr for Jitter {
    type Err = ();

    /// Accepts exactly what [`Jitter::as_str`] writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        use Jitter::*;
        [None, Full, Equal, Proportional, Decorrelated]
            .into_iter()
            .find(|jitter| jitter.as_str() == text)
            .ok_or(())
    }
}

/// The waits between the attempts of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    /// Default exponential.
    pub shape: Shape,
    /// The first wait. Default 1 s.
    pub base: Duration,
    /// No wait is longer, jitter and `min` included. Default 60 s.
    pub max: Duration,
    /// Of the exponential shape. Default 2; less than 0 counts as 0, NaN as 1.
    pub multiplier: f64,
    /// Default full.
    pub jitter: Jitter,
    /// No wait is shorter, unless `max` is. Default 0.
    pub min: Duration,
}

impl Backoff {
    /// The wait before retry number `retry`, counted from 0. `previous` is the wait before that
    /// one, which only [`Jitter::Decorrelated`] looks at. Never panics: what is too large is `max`.
    pub fn delay(&self, retry: u32, previous: Option<Duration>, rng: &mut dyn Rng) -> Duration {
        let seconds = self.plain(retry).min(self.max.as_secs_f64());
        let spread = |rng: &mut dyn Rng, from: f64, to: f64| from + (to - from) * rng.random::<f64>();
        let jittered = match self.jitter {
            Jitter::None => seconds,
            Jitter::Full => spread(rng, 0.0, seconds),
            Jitter::Equal => spread(rng, seconds * 0.5, seconds),
            Jitter::Proportional => spread(rng, seconds * 0.5, seconds * 1.5),
            Jitter::Decorrelated => {
                let base = self.base.as_secs_f64();
                let widest = previous.unwrap_or(self.base).as_secs_f64() * 3.0;
                spread(rng, base, widest.max(base))
            }
        };
        Duration::try_from_secs_f64(jittered).unwrap_or(self.max).max(self.min).min(self.max)
    }

    /// Seconds before limit and jitter; may be infinite, never negative or NaN.
    fn plain(&self, retry: u32) -> f64 {
        let base = self.base.as_secs_f64();
        match &self.shape {
            Shape::Constant => base,
            Shape::Linear => base * (f64::from(retry) + 1.0),
            Shape::Schedule(waits) => {
                let index = (retry as usize).min(waits.len().saturating_sub(1));
                waits.get(index).map_or(0.0, Duration::as_secs_f64)
            }
            Shape::Exponential if base == 0.0 => 0.0,
            Shape::Exponential => {
                let multiplier = if self.multiplier.is_nan() { 1.0 } else { self.multiplier.max(0.0) };
                base * multiplier.powf(f64::from(retry))
            }
        }
    }
}

/// The waits that a failure has of its own, in place of the backoff and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryDelays {
    /// The n-th of these before the n-th retry; the last one repeats. An empty one does not wait.
    Schedule(Arc<[Duration]>),
    /// Any of these, evenly.
    Uniform(RangeInclusive<Duration>),
}

impl RetryDelays {
    /// The wait before retry number `retry`, counted from 0.
    pub fn delay(&self, retry: u32, rng: &mut dyn Rng) -> Duration {
        match self {
            RetryDelays::Schedule(waits) => {
                let index = (retry as usize).min(waits.len().saturating_sub(1));
                waits.get(index).copied().unwrap_or_default()
            }
            RetryDelays::Uniform(range) => {
                let width = range.end().saturating_sub(*range.start());
                range.start().saturating_add(width.mul_f64(rng.random::<f64>())).min(*range.end())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn plain() -> Backoff {
        Backoff { jitter: Jitter::None, ..Backoff::default() }
    }

    fn waits(backoff: &Backoff, count: u32) -> Vec<u128> {
        let mut rng = StdRng::seed_from_u64(7);
        (0..count).map(|retry| backoff.delay(retry, None, &mut rng).as_millis()).collect()
    }

    #[test]
    fn each_shape_grows_as_it_says() {
        assert_eq!(waits(&plain(), 8), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(waits(&Backoff { shape: Shape::Linear, ..plain() }, 3), [1_000, 2_000, 3_000]);
        assert_eq!(waits(&Backoff { shape: Shape::Constant, ..plain() }, 3), [1_000; 3]);
        let schedule = Shape::Schedule([1, 2, 4].map(Duration::from_secs).to_vec());
        assert_eq!(waits(&Backoff { shape: schedule, ..plain() }, 5), [1_000, 2_000, 4_000, 4_000, 4_000]);
        assert_eq!(waits(&Backoff { shape: Shape::Schedule(Vec::new()), ..plain() }, 2), [0, 0]);
        let gentle = Backoff { base: Duration::from_millis(100), multiplier: 1.5, ..plain() };
        assert_eq!(waits(&gentle, 3), [100, 150, 225]);
    }

    #[test]
    fn the_limit_comes_after_the_jitter_and_the_floor_under_it() {
        let backoff = Backoff { jitter: Jitter::Proportional, ..Backoff::default() };
        let mut rng = StdRng::seed_from_u64(1);
        let late: Vec<_> = (0..200).map(|_| backoff.delay(20, None, &mut rng)).collect();
        assert!(late.iter().all(|wait| *wait <= backoff.max));
        assert!(late.contains(&backoff.max));
        let floor = Duration::from_millis(100);
        let backoff = Backoff { base: Duration::from_millis(1), min: floor, ..Backoff::default() };
        assert_eq!(backoff.delay(0, None, &mut rng), floor);
        let short = Backoff { max: Duration::from_millis(50), ..backoff };
        assert_eq!(short.delay(0, None, &mut rng), short.max);
    }

    #[test]
    fn decorrelated_jitter_depends_on_the_wait_before() {
        let backoff = Backoff { jitter: Jitter::Decorrelated, ..Backoff::default() };
        let mut rng = StdRng::seed_from_u64(3);
        let mut longest = Duration::ZERO;
        for _ in 0..500 {
            let wait = backoff.delay(9, Some(Duration::from_secs(4)), &mut rng);
            assert!(wait >= backoff.base && wait <= Duration::from_secs(12));
            longest = longest.max(wait);
            assert!(backoff.delay(9, None, &mut rng) <= Duration::from_secs(3));
        }
        assert!(longest > Duration::from_secs(11));
    }

    #[test]
    fn a_jitter_has_one_spelling() {
        for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Proportional, Jitter::Decorrelated]
        {
            assert_eq!(jitter.as_str().parse(), Ok(jitter));
            assert_eq!(serde_json::to_value(jitter).unwrap(), jitter.as_str());
        }
        assert_eq!("Full".parse::<Jitter>(), Err(()));
    }

    #[test]
    fn a_failures_own_waits_are_taken_as_they_are() {
        let mut rng = StdRng::seed_from_u64(5);
        let own = RetryDelays::Schedule([5, 10, 20].map(Duration::from_secs).into());
        let waits: Vec<u64> = (0..5).map(|retry| own.delay(retry, &mut rng).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 20, 20]);
        let (from, to) = (Duration::from_secs(1), Duration::from_secs(3));
        let between = RetryDelays::Uniform(from..=to);
        let waits: Vec<Duration> = (0..200).map(|retry| between.delay(retry, &mut rng)).collect();
        assert!(waits.iter().all(|wait| (from..=to).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < from * 5 / 4) && waits.iter().any(|wait| *wait > to * 5 / 6));
        assert_eq!(RetryDelays::Uniform(to..=to).delay(0, &mut rng), to);
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds_whatever_the_numbers(
            shape in prop_oneof![
                Just(Shape::Exponential),
                Just(Shape::Linear),
                Just(Shape::Constant),
                Just(Shape::Schedule(vec![Duration::MAX, Duration::ZERO])),
            ],
            jitter in prop_oneof![
                Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Equal),
                Just(Jitter::Proportional), Just(Jitter::Decorrelated),
            ],
            multiplier in prop::num::f64::ANY,
            base in any::<Duration>(),
            max in any::<Duration>(),
            min in any::<Duration>(),
            retry in prop_oneof![0..10u32, any::<u32>()],
            previous in any::<Option<Duration>>(),
            seed in any::<u64>(),
        ) {
            let backoff = Backoff { shape, base, max, multiplier, jitter, min };
            let wait = backoff.delay(retry, previous, &mut StdRng::seed_from_u64(seed));
            prop_assert!(wait <= max && wait >= min.min(max));
        }

        #[test]
        fn each_jitter_keeps_to_its_range(retry in 0..10u32, seed in any::<u64>()) {
            let mut rng = StdRng::seed_from_u64(seed);
            let max = Duration::from_secs(600);
            let d = Backoff { max, ..plain() }.delay(retry, None, &mut rng);
            for (jitter, from, to) in
                [(Jitter::Full, 0, 2), (Jitter::Equal, 1, 2), (Jitter::Proportional, 1, 3)]
            {
                let wait = Backoff { max, jitter, ..plain() }.delay(retry, None, &mut rng);
                prop_assert!(wait >= d * from / 2 && wait <= (d * to / 2).min(max));
            }
        }

        #[test]
        fn decorrelated_jitter_lies_between_the_base_and_three_times_the_wait_before(
            base in 0..5_000u64,
            previous in prop::option::of(0..100_000u64),
            max in 0..100_000u64,
            seed in any::<u64>(),
        ) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
            let previous = previous.map(Duration::from_millis);
            let backoff = Backoff { base, max, jitter: Jitter::Decorrelated, ..plain() };
            let wait = backoff.delay(3, previous, &mut StdRng::seed_from_u64(seed));
            let widest = (previous.unwrap_or(base) * 3).max(base);
            prop_assert!(wait >= base.min(max) && wait <= widest.min(max));
        }

        #[test]
        fn a_linear_wait_is_the_base_times_the_number_of_the_attempt(base in 0..5_000u64, retry in 0..50u32) {
            let (base, max) = (Duration::from_millis(base), Duration::from_secs(60));
            let backoff = Backoff { base, max, shape: Shape::Linear, ..plain() };
            let wait = backoff.delay(retry, None, &mut StdRng::seed_from_u64(1));
            prop_assert_eq!(wait, (base * (retry + 1)).min(max));
        }
    }
}
