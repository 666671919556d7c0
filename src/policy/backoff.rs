//! The delay before a retry. Jitter follows Brooker, "Exponential Backoff and Jitter" (AWS Architecture
//! Blog, 2015). The maximum is applied after the jitter, so no delay exceeds it.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How the delay grows with the number of the retry, `n`, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `base · multiplier^n`.
    Exponential,
    /// `base · (n + 1)`.
    Linear,
    /// `base`.
    Constant,
    /// The n-th of these delays; the last one repeats. An empty schedule has no delay.
    Schedule(Vec<Duration>),
}

/// How a delay `d` is randomized, so that clients that failed together do not retry together.
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
    /// Between `base` and three times the previous delay (`base` before the first retry). Ignores the
    /// shape and the number of the retry.
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

/// The delays between the attempts of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    /// Default exponential.
    pub shape: Shape,
    /// The first delay. Default 1 s.
    pub base: Duration,
    /// The longest delay, with jitter and `min`. Default 60 s.
    pub max: Duration,
    /// The factor of the exponential shape. Default 2. Negative counts as 0, NaN as 1.
    pub multiplier: f64,
    /// Default full.
    pub jitter: Jitter,
    /// The shortest delay, unless `max` is shorter. Default 0.
    pub min: Duration,
}

impl Backoff {
    /// The delay before retry number `retry`, counted from 0. `previous` is the delay before the
    /// previous retry; only [`Jitter::Decorrelated`] uses it. Never panics: an overflow yields `max`.
    pub fn delay(&self, retry: u32, previous: Option<Duration>, rng: &mut dyn Rng) -> Duration {
        let seconds = self.unjittered_seconds(retry).min(self.max.as_secs_f64());
        let uniform = |rng: &mut dyn Rng, from: f64, to: f64| from + (to - from) * rng.random::<f64>();
        let jittered = match self.jitter {
            Jitter::None => seconds,
            Jitter::Full => uniform(rng, 0.0, seconds),
            Jitter::Equal => uniform(rng, seconds * 0.5, seconds),
            Jitter::Proportional => uniform(rng, seconds * 0.5, seconds * 1.5),
            Jitter::Decorrelated => {
                let base = self.base.as_secs_f64();
                let widest = previous.unwrap_or(self.base).as_secs_f64() * 3.0;
                uniform(rng, base, widest.max(base))
            }
        };
        Duration::try_from_secs_f64(jittered).unwrap_or(self.max).max(self.min).min(self.max)
    }

    /// The delay in seconds before jitter and limits. May be infinite, but never negative or NaN.
    fn unjittered_seconds(&self, retry: u32) -> f64 {
        let base = self.base.as_secs_f64();
        match &self.shape {
            Shape::Constant => base,
            Shape::Linear => base * (f64::from(retry) + 1.0),
            Shape::Schedule(delays) => {
                let index = (retry as usize).min(delays.len().saturating_sub(1));
                delays.get(index).map_or(0.0, Duration::as_secs_f64)
            }
            Shape::Exponential if base == 0.0 => 0.0,
            Shape::Exponential => {
                let multiplier = if self.multiplier.is_nan() { 1.0 } else { self.multiplier.max(0.0) };
                base * multiplier.powf(f64::from(retry))
            }
        }
    }
}

/// Retry delays that are specific to a failure. They replace the backoff and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryDelays {
    /// The n-th of these before the n-th retry; the last one repeats. An empty schedule has no delay.
    Schedule(Arc<[Duration]>),
    /// Uniformly distributed over this range.
    Uniform(RangeInclusive<Duration>),
}

impl RetryDelays {
    /// The delay before retry number `retry`, counted from 0.
    pub fn delay(&self, retry: u32, rng: &mut dyn Rng) -> Duration {
        match self {
            RetryDelays::Schedule(delays) => {
                let index = (retry as usize).min(delays.len().saturating_sub(1));
                delays.get(index).copied().unwrap_or_default()
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

    fn no_jitter() -> Backoff {
        Backoff { jitter: Jitter::None, ..Backoff::default() }
    }

    fn delays(backoff: &Backoff, count: u32) -> Vec<u128> {
        let mut rng = StdRng::seed_from_u64(7);
        (0..count).map(|retry| backoff.delay(retry, None, &mut rng).as_millis()).collect()
    }

    #[test]
    fn each_shape_has_its_growth() {
        assert_eq!(delays(&no_jitter(), 8), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(delays(&Backoff { shape: Shape::Linear, ..no_jitter() }, 3), [1_000, 2_000, 3_000]);
        assert_eq!(delays(&Backoff { shape: Shape::Constant, ..no_jitter() }, 3), [1_000; 3]);
        let schedule = Shape::Schedule([1, 2, 4].map(Duration::from_secs).to_vec());
        assert_eq!(
            delays(&Backoff { shape: schedule, ..no_jitter() }, 5),
            [1_000, 2_000, 4_000, 4_000, 4_000]
        );
        assert_eq!(delays(&Backoff { shape: Shape::Schedule(Vec::new()), ..no_jitter() }, 2), [0, 0]);
        let gentle = Backoff { base: Duration::from_millis(100), multiplier: 1.5, ..no_jitter() };
        assert_eq!(delays(&gentle, 3), [100, 150, 225]);
    }

    #[test]
    fn maximum_and_minimum_apply_after_the_jitter() {
        let backoff = Backoff { jitter: Jitter::Proportional, ..Backoff::default() };
        let mut rng = StdRng::seed_from_u64(1);
        let delays: Vec<_> = (0..200).map(|_| backoff.delay(20, None, &mut rng)).collect();
        assert!(delays.iter().all(|delay| *delay <= backoff.max));
        assert!(delays.contains(&backoff.max));
        let floor = Duration::from_millis(100);
        let backoff = Backoff { base: Duration::from_millis(1), min: floor, ..Backoff::default() };
        assert_eq!(backoff.delay(0, None, &mut rng), floor);
        let short = Backoff { max: Duration::from_millis(50), ..backoff };
        assert_eq!(short.delay(0, None, &mut rng), short.max);
    }

    #[test]
    fn decorrelated_jitter_depends_on_the_previous_delay() {
        let backoff = Backoff { jitter: Jitter::Decorrelated, ..Backoff::default() };
        let mut rng = StdRng::seed_from_u64(3);
        let mut longest = Duration::ZERO;
        for _ in 0..500 {
            let delay = backoff.delay(9, Some(Duration::from_secs(4)), &mut rng);
            assert!(delay >= backoff.base && delay <= Duration::from_secs(12));
            longest = longest.max(delay);
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
    fn retry_delays_ignore_the_backoff() {
        let mut rng = StdRng::seed_from_u64(5);
        let schedule = RetryDelays::Schedule([5, 10, 20].map(Duration::from_secs).into());
        let delays: Vec<u64> = (0..5).map(|retry| schedule.delay(retry, &mut rng).as_secs()).collect();
        assert_eq!(delays, [5, 10, 20, 20, 20]);
        let (from, to) = (Duration::from_secs(1), Duration::from_secs(3));
        let uniform = RetryDelays::Uniform(from..=to);
        let delays: Vec<Duration> = (0..200).map(|retry| uniform.delay(retry, &mut rng)).collect();
        assert!(delays.iter().all(|delay| (from..=to).contains(delay)));
        assert!(
            delays.iter().any(|delay| *delay < from * 5 / 4)
                && delays.iter().any(|delay| *delay > to * 5 / 6)
        );
        assert_eq!(RetryDelays::Uniform(to..=to).delay(0, &mut rng), to);
    }

    proptest! {
        #[test]
        fn every_delay_stays_within_its_bounds(
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
            let delay = backoff.delay(retry, previous, &mut StdRng::seed_from_u64(seed));
            prop_assert!(delay <= max && delay >= min.min(max));
        }

        #[test]
        fn each_jitter_stays_within_its_range(retry in 0..10u32, seed in any::<u64>()) {
            let mut rng = StdRng::seed_from_u64(seed);
            let max = Duration::from_secs(600);
            let d = Backoff { max, ..no_jitter() }.delay(retry, None, &mut rng);
            for (jitter, from, to) in
                [(Jitter::Full, 0, 2), (Jitter::Equal, 1, 2), (Jitter::Proportional, 1, 3)]
            {
                let delay = Backoff { max, jitter, ..no_jitter() }.delay(retry, None, &mut rng);
                prop_assert!(delay >= d * from / 2 && delay <= (d * to / 2).min(max));
            }
        }

        #[test]
        fn decorrelated_jitter_lies_between_the_base_and_three_times_the_previous_delay(
            base in 0..5_000u64,
            previous in prop::option::of(0..100_000u64),
            max in 0..100_000u64,
            seed in any::<u64>(),
        ) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
            let previous = previous.map(Duration::from_millis);
            let backoff = Backoff { base, max, jitter: Jitter::Decorrelated, ..no_jitter() };
            let delay = backoff.delay(3, previous, &mut StdRng::seed_from_u64(seed));
            let widest = (previous.unwrap_or(base) * 3).max(base);
            prop_assert!(delay >= base.min(max) && delay <= widest.min(max));
        }

        #[test]
        fn a_linear_delay_is_the_base_times_the_number_of_the_retry(base in 0..5_000u64, retry in 0..50u32) {
            let (base, max) = (Duration::from_millis(base), Duration::from_secs(60));
            let backoff = Backoff { base, max, shape: Shape::Linear, ..no_jitter() };
            let delay = backoff.delay(retry, None, &mut StdRng::seed_from_u64(1));
            prop_assert_eq!(delay, (base * (retry + 1)).min(max));
        }
    }
}
