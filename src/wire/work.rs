//! Compares what two inputs cost, for tests.

use std::time::Instant;

/// How many times as long `run` takes for `large` as for `small`: the fastest of several runs each, so that other load
/// hardly counts. Quadratic work gives the square of the ratio of their lengths.
pub fn ratio<T: ?Sized>(small: &T, large: &T, run: impl Fn(&T)) -> f64 {
    let fastest = |input: &T| {
        #[allow(clippy::disallowed_methods)] // Only the ratio of two times is used.
        let time = |_| {
            let started = Instant::now();
            run(input);
            started.elapsed()
        };
        (0..3).map(time).min().unwrap_or_default().as_secs_f64()
    };
    let (small, large) = (fastest(small), fastest(large));
    // A difference of this much is noise.
    large / small.max(1e-4)
}
