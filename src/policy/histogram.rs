//! A histogram of times as a plain value: fixed buckets, so that it costs the same whatever comes,
//! and quantiles that are estimated from them.

/// The upper bounds of the buckets, in milliseconds: doubling from 10 ms, as OpenTelemetry's
/// conventions for generative AI advise for the duration of a call, and three steps further up to
/// almost 11 minutes. A last bucket without a bound takes the rest.
pub const BOUNDS_MS: [u64; 17] = [
    10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 40_960, 81_920, 163_840, 327_680,
    655_360,
];

/// How many times fell into which bucket, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BOUNDS_MS.len()],
    count: u64,
    sum_ms: u64,
}

impl Histogram {
    /// Counts one time. A time on a bound belongs to the bucket below it (Prometheus' `le`).
    pub fn add(&mut self, ms: u64) {
        if let Some(bucket) = self.buckets.get_mut(BOUNDS_MS.partition_point(|bound| *bound < ms)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all times, in milliseconds.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// Each bound, in milliseconds, and how many times were at most that. Those above the last bound
    /// are only in [`Histogram::count`].
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        BOUNDS_MS.iter().zip(self.buckets).map(move |(bound, count)| {
            below += count;
            (*bound, below)
        })
    }

    /// The time, in milliseconds, that a share `q` (0 to 1) of all times did not exceed; `None` when
    /// there were none. Estimated as Prometheus' `histogram_quantile` does: evenly spread within a
    /// bucket, and the last bound for what lies above it.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * self.count as f64;
        let (mut lower, mut before) = (0, 0);
        for (bound, below) in self.cumulative() {
            if below > before && below as f64 >= rank {
                let share = (rank - before as f64) / (below - before) as f64;
                return Some(lower as f64 + (bound - lower) as f64 * share);
            }
            (lower, before) = (bound, below);
        }
        BOUNDS_MS.last().map(|bound| *bound as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|ms| histogram.add(*ms));
        histogram
    }

    #[test]
    fn a_time_on_a_bound_belongs_to_the_bucket_below_it() {
        let counts: Vec<(u64, u64)> = of(&[0, 10, 11, 20]).cumulative().take(3).collect();
        assert_eq!(counts, [(10, 2), (20, 4), (40, 4)]);
    }

    #[test]
    fn a_time_above_all_bounds_is_counted_and_summed() {
        let histogram = of(&[5, 700_000]);
        assert_eq!((histogram.count(), histogram.sum_ms()), (2, 700_005));
        assert_eq!(histogram.cumulative().last(), Some((655_360, 1)));
        assert_eq!(histogram.quantile_ms(1.0), Some(655_360.0), "the last bound stands for what is above");
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(of(&[]).quantile_ms(0.5), None);
    }

    #[test]
    fn times_are_taken_to_be_spread_evenly_within_their_bucket() {
        let histogram = of(&[100; 4]);
        assert_eq!((histogram.quantile_ms(0.5), histogram.quantile_ms(1.0)), (Some(120.0), Some(160.0)));
        assert_eq!(of(&[5, 100]).quantile_ms(0.5), Some(10.0), "an empty bucket between is skipped");
    }

    proptest! {
        #[test]
        fn a_quantile_lies_in_the_bucket_of_the_true_one(
            mut times in prop::collection::vec(0..600_000_u64, 1..200),
            q in 0.01..1.0_f64,
        ) {
            let estimated = of(&times).quantile_ms(q).unwrap();
            times.sort_unstable();
            let rank = (q * times.len() as f64).ceil() as usize;
            let exact = times[rank.clamp(1, times.len()) - 1];
            let at = BOUNDS_MS.partition_point(|bound| *bound < exact);
            let lower = if at == 0 { 0 } else { BOUNDS_MS[at - 1] };
            prop_assert!(estimated >= lower as f64 && estimated <= BOUNDS_MS[at] as f64 + 1e-6);
        }
    }
}
