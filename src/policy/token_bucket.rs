//! A token bucket as a plain value: up to `capacity` tokens, refilled at `refill_per_second`. If it has too few
//! tokens, it returns the exact wait. As in governor, the time is an argument, and "not yet" differs from
//! "never".
//!
//! Times are milliseconds since the epoch, with a fraction if the caller's clock has one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server_refill::ServerRefill;

/// A wait shorter than this counts as none, so that rounding does not cause a second wait.
const TOLERANCE_MS: f64 = 1e-3;

/// The longest wait that a bucket returns: one year. A bucket that does not refill returns it too.
pub const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The largest debt of a bucket, in multiples of its capacity.
const MAX_DEBT: f64 = 60.0;

/// A token bucket. In any period of `t` seconds it grants at most `capacity + refill_per_second · t` tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The tokens of a full bucket. Callers may set it. Negative or NaN counts as 0.
    pub capacity: f64,
    /// Tokens per second. Callers may set it. Negative or NaN counts as 0.
    pub refill_per_second: f64,
    /// The tokens at `last_refill`. Callers may set it. Negative while the bucket is in debt.
    pub tokens: f64,
    /// The time of the last refill, in milliseconds since the epoch. Callers may set it.
    pub last_refill: f64,
    /// The server's limit. It applies if it is below `capacity`.
    #[serde(default)]
    server_limit: Option<f64>,
    /// No tokens are granted before this time, in milliseconds since the epoch.
    #[serde(default)]
    blocked_until: Option<f64>,
    #[serde(default)]
    server_refill: ServerRefill,
}

impl Bucket {
    /// A full bucket.
    pub fn new(capacity: f64, refill_per_second: f64, now: f64) -> Self {
        Bucket {
            capacity,
            refill_per_second,
            tokens: capacity,
            last_refill: now,
            server_limit: None,
            blocked_until: None,
            server_refill: ServerRefill::default(),
        }
    }

    /// The tokens of a full bucket: `capacity`, or the server's limit if that is less.
    pub fn effective_capacity(&self) -> f64 {
        self.server_limit.map_or(self.capacity, |limit| limit.min(self.capacity)).max(0.0)
    }

    /// Adds the tokens since the last refill. If the clock goes back, no tokens are added and the bucket
    /// continues from the new time.
    pub fn refill(&mut self, now: f64) {
        let elapsed = now - self.last_refill;
        if elapsed < 0.0 {
            self.blocked_until = self.blocked_until.map(|until| until + elapsed);
        }
        if self.blocked_until.is_some_and(|until| until <= now) {
            self.blocked_until = None;
        }
        let capacity = self.effective_capacity();
        let added = if elapsed > 0.0 { self.rate_per_ms() * elapsed } else { 0.0 };
        self.tokens = (self.tokens + added).max(-MAX_DEBT * capacity).min(capacity);
        self.last_refill = now;
    }

    /// Takes `n` tokens, all or none. Zero or less always succeeds and takes nothing. NaN and infinity
    /// never fit.
    pub fn try_take(&mut self, n: f64, now: f64) -> Acquisition {
        self.refill(now);
        match self.wait_ms(n) {
            None => Acquisition::NeverFits,
            Some(0.0) => {
                self.tokens -= n.max(0.0);
                Acquisition::Granted
            }
            Some(wait) => Acquisition::Wait(milliseconds(wait)),
        }
    }

    /// The wait until `n` tokens are available; `None` if that is never the case. Changes nothing.
    pub fn time_until(&self, n: f64, now: f64) -> Option<Duration> {
        let mut refilled = self.clone();
        refilled.refill(now);
        refilled.wait_ms(n).map(milliseconds)
    }

    /// The time to refill `n` tokens, at most [`MAX_WAIT`].
    pub fn refill_time(&self, n: f64) -> Duration {
        if n > 0.0 { milliseconds((n / self.rate_per_ms()).ceil()) } else { Duration::ZERO }
    }

    /// Returns unused tokens, up to the capacity. Negative `n` is ignored.
    pub fn refund(&mut self, n: f64) {
        self.adjust(-n.max(0.0));
    }

    /// Takes `n` more tokens than were reserved; a negative `n` returns tokens. The bucket may go into debt,
    /// which refills pay off first. The debt is limited to 60 times the capacity, so that a bogus usage does
    /// not block the bucket forever.
    pub fn adjust(&mut self, n: f64) {
        let capacity = self.effective_capacity();
        if !n.is_nan() {
            self.tokens = (self.tokens - n).max(-MAX_DEBT * capacity).min(capacity);
        }
    }

    /// Adapts to the server's headers (`x-ratelimit-*`).
    ///
    /// `limit` lowers the capacity, but never raises it above `self.capacity`, until the next limit. `remaining` only
    /// lowers the tokens, because the header does not include calls in flight yet. After a few responses the
    /// bucket can tell whether the server refills continuously. If so, it refills at the server's rate if that
    /// is slower. Otherwise, if nothing remains, it grants no tokens until `reset_after` has elapsed. Negative
    /// values, NaN and a limit of 0 are ignored.
    pub fn adapt_to_headers(
        &mut self,
        limit: Option<f64>,
        remaining: Option<f64>,
        reset_after: Option<Duration>,
        now: f64,
    ) {
        self.refill(now);
        if let Some(limit) = limit.filter(|limit| *limit > 0.0) {
            self.server_limit = Some(limit);
        }
        self.tokens = self.tokens.min(self.effective_capacity());
        let Some(remaining) = remaining.filter(|remaining| *remaining >= 0.0) else { return };
        self.tokens = self.tokens.min(remaining);
        if let (Some(limit), Some(reset)) = (limit, reset_after) {
            self.server_refill.observe(limit, remaining, reset);
        }
        if self.server_refill.rate_per_ms().is_some() {
            self.blocked_until = None;
            return;
        }
        if let Some(reset) = reset_after.filter(|_| remaining < 1.0) {
            let until = now + reset.min(MAX_WAIT).as_secs_f64() * 1e3;
            self.blocked_until = Some(self.blocked_until.map_or(until, |earlier| earlier.max(until)));
        }
    }

    fn rate_per_ms(&self) -> f64 {
        let rate = self.refill_per_second.max(0.0) / 1e3;
        self.server_refill.rate_per_ms().map_or(rate, |server_rate| server_rate.min(rate))
    }

    /// The wait from `last_refill` on in whole milliseconds; infinite without a refill.
    fn wait_ms(&self, n: f64) -> Option<f64> {
        if !n.is_finite() || n > self.effective_capacity() {
            return None;
        }
        if n <= 0.0 {
            return Some(0.0);
        }
        let missing = n - self.tokens;
        let refill = if missing <= 0.0 { 0.0 } else { missing / self.rate_per_ms() };
        let blocked = self.blocked_until.map_or(0.0, |until| until - self.last_refill);
        Some((refill.max(blocked) - TOLERANCE_MS).ceil().max(0.0))
    }
}

/// The result of [`Bucket::try_take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// The tokens were taken.
    Granted,
    /// No tokens were taken. They are available after this wait, in whole milliseconds and at most
    /// [`MAX_WAIT`], unless other calls take some first.
    Wait(Duration),
    /// More tokens than the bucket can ever hold.
    NeverFits,
}

fn milliseconds(wait: f64) -> Duration {
    let longest = MAX_WAIT.as_secs_f64() * 1e3;
    Duration::from_millis(wait.min(longest) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: f64 = 1_700_000_000_000.0;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_full_bucket_grants_its_capacity_and_then_returns_the_wait() {
        let mut bucket = Bucket::new(100.0, 10.0, T);
        assert_eq!(bucket.try_take(100.0, T), Acquisition::Granted);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(100)));
        assert_eq!(bucket.try_take(1.0, T + 99.0), Acquisition::Wait(ms(1)));
        assert_eq!(bucket.try_take(1.0, T + 100.0), Acquisition::Granted);
        assert_eq!(bucket.time_until(2.0, T + 100.0), Some(ms(200)));
        assert_eq!(bucket.try_take(101.0, T + 100.0), Acquisition::NeverFits);
        assert_eq!(bucket.try_take(f64::NAN, T + 100.0), Acquisition::NeverFits);
        assert_eq!(bucket.try_take(-5.0, T + 100.0), Acquisition::Granted);
        assert!(bucket.tokens < 1.0, "a negative amount returns no tokens");
        let mut thirds = Bucket::new(1.0, 3.0, T);
        thirds.tokens = 0.0;
        assert_eq!(thirds.try_take(1.0, T), Acquisition::Wait(ms(334)), "rounded up");
    }

    #[test]
    fn a_clock_that_goes_back_adds_nothing_and_does_not_freeze_the_bucket() {
        let mut bucket = Bucket::new(10.0, 10.0, T);
        bucket.tokens = 0.0;
        bucket.refill(T - 3_600_000.0);
        assert_eq!(bucket.tokens, 0.0);
        bucket.refill(T - 3_600_000.0 + 500.0);
        assert_eq!(bucket.tokens, 5.0);
    }

    #[test]
    fn a_bucket_that_does_not_refill_returns_the_longest_wait() {
        let mut bucket = Bucket::new(1.0, 0.0, T);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Granted);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(MAX_WAIT));
        bucket.refund(1.0);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Granted);
    }

    #[test]
    fn a_debt_is_paid_off_and_limited_to_sixty_times_the_capacity() {
        let mut bucket = Bucket::new(10.0, 10.0, T);
        bucket.adjust(45.0);
        assert_eq!(bucket.tokens, -35.0);
        assert_eq!(bucket.time_until(1.0, T), Some(ms(3_600)));
        bucket.refill(T + 1_000.0);
        assert_eq!(bucket.tokens, -25.0);
        bucket.adjust(f64::INFINITY);
        assert_eq!(bucket.tokens, -600.0);
        bucket.adjust(-1_000.0);
        assert_eq!(bucket.tokens, 10.0);
        bucket.refund(f64::NAN);
        assert_eq!(bucket.tokens, 10.0);
    }

    #[test]
    fn the_servers_headers_only_lower_the_bucket() {
        let mut bucket = Bucket::new(100.0, 1_000.0, T);
        bucket.adapt_to_headers(Some(60.0), Some(7.0), Some(ms(5_000)), T);
        assert_eq!(bucket.tokens, 7.0);
        assert_eq!(bucket.try_take(61.0, T), Acquisition::NeverFits);
        bucket.adapt_to_headers(Some(500.0), Some(400.0), None, T);
        assert_eq!((bucket.tokens, bucket.effective_capacity()), (7.0, 100.0));
        bucket.adapt_to_headers(None, Some(f64::NAN), None, T);
        assert_eq!(bucket.tokens, 7.0);
    }

    #[test]
    fn with_nothing_remaining_no_tokens_are_granted_before_the_reset() {
        let mut bucket = Bucket::new(100.0, 1_000.0, T);
        bucket.adapt_to_headers(None, Some(0.0), Some(ms(5_000)), T);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(5_000)));
        assert_eq!(bucket.try_take(1.0, T + 4_000.0), Acquisition::Wait(ms(1_000)));
        let mut earlier = bucket.clone();
        assert_eq!(bucket.try_take(1.0, T + 5_000.0), Acquisition::Granted);
        assert_eq!(earlier.try_take(1.0, T - 9e9), Acquisition::Wait(ms(1_000)), "the clock went back");
    }

    /// Applies the headers of a server whose bucket of 100 tokens, at 100 a second, has `remaining` left.
    fn apply_bucket_headers(bucket: &mut Bucket, remaining: f64, now: f64) {
        let reset = Duration::from_secs_f64((100.0 - remaining) / 100.0);
        bucket.adapt_to_headers(Some(100.0), Some(remaining.floor()), Some(reset), now);
    }

    #[test]
    fn a_server_that_refills_continuously_sets_the_rate() {
        let mut bucket = Bucket::new(1_000.0, 1_000.0, T);
        for remaining in (0..100).rev() {
            apply_bucket_headers(&mut bucket, f64::from(remaining), T);
        }
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(10)), "its rate instead of the whole reset");
        bucket.refill(T + 500.0);
        assert!((bucket.tokens - 50.0).abs() < 1.0, "{}", bucket.tokens);
        let mut slow = Bucket::new(1_000.0, 10.0, T);
        for remaining in (0..100).rev() {
            apply_bucket_headers(&mut slow, f64::from(remaining), T);
        }
        assert_eq!(slow.try_take(1.0, T), Acquisition::Wait(ms(100)), "the configured rate is slower");
    }

    #[test]
    fn a_server_with_a_fixed_window_is_waited_for() {
        let mut bucket = Bucket::new(60.0, 1.0, T);
        for (at, remaining) in (0..60).rev().enumerate() {
            let now = T + at as f64;
            bucket.adapt_to_headers(
                Some(60.0),
                Some(f64::from(remaining)),
                Some(ms(50_000 - at as u64)),
                now,
            );
        }
        assert_eq!(bucket.try_take(1.0, T + 59.0), Acquisition::Wait(ms(50_000 - 59)));
    }

    #[test]
    fn a_server_rate_is_dropped_if_later_samples_contradict_it() {
        let mut bucket = Bucket::new(100.0, 100.0, T);
        for remaining in (0..100).rev() {
            apply_bucket_headers(&mut bucket, f64::from(remaining), T);
        }
        bucket.adapt_to_headers(Some(100.0), Some(90.0), Some(ms(60_000)), T);
        bucket.adapt_to_headers(Some(100.0), Some(0.0), Some(ms(60_000)), T);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(60_000)));
    }

    proptest! {
        #[test]
        fn it_never_grants_more_than_capacity_and_rate_allow(
            capacity in 0.5..1e6f64,
            rate in 0.0..1e5f64,
            steps in prop::collection::vec((0.0..1.5f64, 0..5_000u32, any::<bool>()), 1..80),
        ) {
            let mut bucket = Bucket::new(capacity, rate, T);
            let mut now = T;
            let mut granted: Vec<(f64, f64)> = Vec::new();
            for (share, pause, waits) in steps {
                now += f64::from(pause);
                let n = share * capacity;
                match bucket.try_take(n, now) {
                    Acquisition::Granted => granted.push((now, n)),
                    Acquisition::Wait(wait) if waits && wait < MAX_WAIT => {
                        now += wait.as_secs_f64() * 1e3;
                        prop_assert_eq!(bucket.try_take(n, now), Acquisition::Granted);
                        granted.push((now, n));
                    }
                    Acquisition::Wait(_) => {}
                    Acquisition::NeverFits => prop_assert!(n > capacity),
                }
                for (first, (start, _)) in granted.iter().enumerate() {
                    let sum: f64 = granted[first..].iter().map(|(_, n)| n).sum();
                    let allowed = capacity + rate * (now - start) / 1e3;
                    prop_assert!(sum <= allowed * (1.0 + 1e-9) + rate * 1e-5 + 1e-6);
                }
            }
        }

        #[test]
        fn a_wait_is_exact(
            capacity in 0.5..1e6f64,
            rate in 0.001..1e5f64,
            taken in 0.0..1.0f64,
            share in 0.0..1.0f64,
        ) {
            let mut bucket = Bucket::new(capacity, rate, T);
            prop_assert_eq!(bucket.try_take(taken * capacity, T), Acquisition::Granted);
            let n = share * capacity;
            let Acquisition::Wait(wait) = bucket.try_take(n, T) else { return Ok(()) };
            if wait < MAX_WAIT {
                let end = T + wait.as_secs_f64() * 1e3;
                if wait > ms(2) {
                    prop_assert_eq!(bucket.try_take(n, end - 1.0), Acquisition::Wait(ms(1)));
                }
                prop_assert_eq!(bucket.try_take(n, end), Acquisition::Granted);
            }
        }
    }
}
