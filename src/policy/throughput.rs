//! Whether an answer crawls: the tokens of a sliding window, in buckets. Times are relative to the first token, without the
//! pauses that the provider is not to blame for.

use std::time::Duration;

/// The window over which the throughput is measured.
pub const WINDOW: Duration = Duration::from_secs(BUCKETS as u64);
const BUCKETS: usize = 10;
const BUCKET: Duration = Duration::from_secs(1);
/// A check that comes later than this was not due to the provider.
const ON_TIME: Duration = Duration::from_millis(20);

/// The throughput of an answer. Of a fixed size, and each step is constant work for each bucket that has passed.
#[derive(Clone, Debug)]
pub struct Throughput {
    min_per_second: f64,
    /// The tokens of the current bucket and of those of the window before it, as a ring.
    buckets: [u64; BUCKETS + 1],
    /// The number of the current bucket.
    current: u64,
    /// How much of the time was not the provider's.
    excluded: Duration,
}

impl Throughput {
    /// The measurement begins with the first token.
    pub fn new(min_per_second: f64) -> Self {
        Throughput { min_per_second, buckets: [0; BUCKETS + 1], current: 0, excluded: Duration::ZERO }
    }

    /// This much time was not the provider's: its answer was not read.
    pub fn exclude(&mut self, pause: Duration) {
        self.excluded = self.excluded.saturating_add(pause);
    }

    /// When the current bucket ends, and [`Throughput::advance`] is due.
    pub fn next_check(&self) -> Duration {
        self.excluded.saturating_add(BUCKET * u32::try_from(self.current + 1).unwrap_or(u32::MAX))
    }

    /// Advances to a time since the first token. Returns the tokens per second over the window that has ended, if they are
    /// too few.
    ///
    /// Time that passed after a check was due, without one, is excluded: the process was frozen, or too busy to read.
    pub fn advance(&mut self, at: Duration) -> Option<f64> {
        let late = at.saturating_sub(self.next_check());
        if late > ON_TIME {
            self.exclude(late);
        }
        if at < self.next_check() {
            return None;
        }
        // At most one bucket is complete here; later tokens are not counted.
        self.current += 1;
        // The oldest bucket is no longer part of the window.
        *self.bucket() = 0;
        let rate = self.buckets.iter().sum::<u64>() as f64 / WINDOW.as_secs_f64();
        (self.current >= BUCKETS as u64 && rate < self.min_per_second).then_some(rate)
    }

    /// Tokens have arrived.
    pub fn add(&mut self, tokens: u64) {
        let bucket = self.bucket();
        // Far more than any provider sends: the sum of the window does not overflow.
        *bucket = bucket.saturating_add(tokens.min(u64::from(u32::MAX))).min(u64::from(u32::MAX));
    }

    fn bucket(&mut self) -> &mut u64 {
        &mut self.buckets[(self.current % (BUCKETS as u64 + 1)) as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// When an answer with a token at each of these times is too slow, and its rate.
    fn crawls(min: f64, tokens: impl IntoIterator<Item = u64>, until: u64) -> Option<(u64, f64)> {
        let mut throughput = Throughput::new(min);
        let mut tokens = tokens.into_iter().peekable();
        while throughput.next_check() <= ms(until) {
            let check = throughput.next_check();
            while tokens.next_if(|at| ms(*at) < check).is_some() {
                throughput.add(1);
            }
            if let Some(rate) = throughput.advance(check) {
                return Some((check.as_millis() as u64, rate));
            }
        }
        None
    }

    #[test]
    fn an_answer_crawls_once_a_whole_window_was_too_slow() {
        let every = |period: u64| (0..100_000).map(move |n| n * period);
        assert_eq!(crawls(5.0, every(200), 60_000), None, "exactly at the limit");
        assert_eq!(crawls(5.0, every(250), 60_000), Some((10_000, 4.0)));
        assert_eq!(crawls(5.0, [], 60_000), Some((10_000, 0.0)));
        assert_eq!(crawls(0.1, every(10_000), 60_000), None);
        // Fast for 30 s, then one token a second.
        let slowing = (0..3_000).map(|n| n * 10).chain((30..100).map(|second| second * 1_000));
        assert_eq!(crawls(5.0, slowing, 60_000), Some((40_000, 1.0)));
        // A burst counts for its window.
        let bursts = (0..10).flat_map(|n| std::iter::repeat_n(n * 10_000, 50));
        assert_eq!(crawls(5.0, bursts, 99_000), None);
    }

    #[test]
    fn time_that_is_not_the_provider_s_does_not_count() {
        let mut throughput = Throughput::new(5.0);
        throughput.exclude(ms(60_000));
        assert_eq!((throughput.next_check(), throughput.advance(ms(60_500))), (ms(61_000), None));
        // A process that was frozen for an hour.
        assert_eq!(throughput.advance(ms(3_661_000)), None);
        assert_eq!(throughput.next_check(), ms(3_662_000));
        for second in 2..10 {
            assert_eq!(throughput.advance(ms(3_660_000 + second * 1_000)), None, "{second}");
        }
        assert_eq!(throughput.advance(ms(3_670_000)), Some(0.0));
    }

    proptest! {
        #[test]
        fn an_answer_that_keeps_the_rate_never_crawls_however_it_is_read(
            min in 1..50u64,
            reads in prop::collection::vec((1..3_000u64, 0..2_000u64), 1..200),
        ) {
            let mut throughput = Throughput::new(min as f64);
            let (mut now, mut counted, mut sent) = (0, 0, 0);
            for (running, pause) in reads {
                let until = now + running;
                while now < until {
                    let check = throughput.next_check().as_millis() as u64;
                    let next = until.min(check.max(now + 1));
                    counted += next - now;
                    now = next;
                    // The tokens for the time that the provider had, and for the bucket that ends.
                    let due = (counted / 1_000 + 1) * min;
                    throughput.add(due - sent);
                    sent = due;
                    prop_assert_eq!(throughput.advance(ms(now)), None);
                }
                throughput.exclude(ms(pause));
                now += pause;
            }
        }
    }
}
