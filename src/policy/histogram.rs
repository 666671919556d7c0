//! A histogram of durations with fixed buckets and constant size. Quantiles are estimated from the buckets.

/// The upper bounds of the buckets in milliseconds. They double from 10 ms, as OpenTelemetry's conventions for
/// generative AI recommend for call durations, with three more buckets up to almost 11 minutes. A last bucket
/// without a bound takes the rest.
pub const BOUNDS_MS: [u64; 17] = [
    10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 40_960, 81_920, 163_840, 327_680,
    655_360,
];

/// Counts of durations by bucket, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BOUNDS_MS.len()],
    count: u64,
    sum_ms: u64,
}

impl Histogram {
    /// Adds a duration. One that equals a bound belongs to the bucket of that bound, as in Prometheus (`le`).
    pub fn add(&mut self, ms: u64) {
        if let Some(bucket) = self.buckets.get_mut(BOUNDS_MS.partition_point(|bound| *bound < ms)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all durations, in milliseconds.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// Each bound in milliseconds, with the number of durations up to it. Only [`Histogram::count`] includes those
    /// above the last bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut total = 0;
        BOUNDS_MS.iter().zip(self.buckets).map(move |(bound, count)| {
            total += count;
            (*bound, total)
        })
    }

    /// The `q`-quantile (0 to 1) in milliseconds; `None` without any duration. Estimated like Prometheus'
    /// `histogram_quantile`: linear interpolation within a bucket, and the last bound above it.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * self.count as f64;
        let (mut lower, mut before) = (0, 0);
        for (bound, total) in self.cumulative() {
            if total > before && total as f64 >= rank {
                let share = (rank - before as f64) / (total - before) as f64;
                return Some(lower as f64 + (bound - lower) as f64 * share);
            }
            (lower, before) = (bound, total);
        }
        BOUNDS_MS.last().map(|bound| *bound as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|ms| histogram.add(*ms));
        histogram
    }

    #[test]
    fn a_duration_on_a_bound_belongs_to_that_bucket() {
        let counts: Vec<(u64, u64)> = filled(&[0, 10, 11, 20]).cumulative().take(3).collect();
        assert_eq!(counts, [(10, 2), (20, 4), (40, 4)]);
    }

    #[test]
    fn a_duration_above_all_bounds_is_counted_and_summed() {
        let histogram = filled(&[5, 700_000]);
        assert_eq!((histogram.count(), histogram.sum_ms()), (2, 700_005));
        assert_eq!(histogram.cumulative().last(), Some((655_360, 1)));
        assert_eq!(histogram.quantile_ms(1.0), Some(655_360.0), "capped at the last bound");
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(filled(&[]).quantile_ms(0.5), None);
    }

    #[test]
    fn quantiles_are_interpolated_within_a_bucket() {
        let histogram = filled(&[100; 4]);
        assert_eq!((histogram.quantile_ms(0.5), histogram.quantile_ms(1.0)), (Some(120.0), Some(160.0)));
        assert_eq!(filled(&[5, 100]).quantile_ms(0.5), Some(10.0), "an empty bucket in between is skipped");
    }

    proptest! {
        #[test]
        fn an_estimated_quantile_lies_in_the_bucket_of_the_exact_one(
            mut times in prop::collection::vec(0..600_000_u64, 1..200),
            q in 0.01..1.0_f64,
        ) {
            let estimated = filled(&times).quantile_ms(q).unwrap();
            times.sort_unstable();
            let rank = (q * times.len() as f64).ceil() as usize;
            let exact = times[rank.clamp(1, times.len()) - 1];
            let at = BOUNDS_MS.partition_point(|bound| *bound < exact);
            let lower = if at == 0 { 0 } else { BOUNDS_MS[at - 1] };
            prop_assert!(estimated >= lower as f64 && estimated <= BOUNDS_MS[at] as f64 + 1e-6);
        }
    }
}
