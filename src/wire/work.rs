//! Compares what two inputs cost, for tests.

use cpu_time::ThreadTime;

/// How many times as much of the processor's time `run` takes for `large` as for `small`, on this thread: the least of
/// several runs each, so that other load hardly counts. Quadratic work gives the square of the ratio of their lengths.
pub fn ratio<T: ?Sized>(small: &T, large: &T, run: impl Fn(&T)) -> f64 {
    let least = |input: &T| {
        let time = |_| {
            let started = ThreadTime::now();
            run(input);
            started.elapsed()
        };
        (0..5).map(time).min().unwrap_or_default().as_secs_f64()
    };
    let (small, large) = (least(small), least(large));
    // A difference of this much is noise.
    large / small.max(1e-4)
}
