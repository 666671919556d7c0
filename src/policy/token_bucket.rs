//! A token bucket as a plain value: `capacity` tokens at most, filled at `refill_per_second`.
//! Asked for what it does not hold, it answers with the exact wait (after governor, which takes the
//! time as an argument too and tells "not yet" from "never").
//!
//! Times are milliseconds since the epoch, with a fraction where the caller's clock has one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is short by less than this is not short: the rounding of a wait must not cost another one.
const TOLERANCE_MS: f64 = 1e-3;

/// The longest wait a bucket names: one year. A bucket that does not refill names it too.
pub const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How many fillings a bucket may owe.
const MAX_DEBT: f64 = 60.0;

/// The answer to [`Bucket::try_take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// The tokens are taken.
    Granted,
    /// Nothing is taken. After this wait, in whole milliseconds and at most [`MAX_WAIT`], they are
    /// there, unless somebody else takes some before.
    Wait(Duration),
    /// More than the bucket can ever hold.
    NeverFits,
}

/// A token bucket. Over any time `t` it gives at most `capacity + refill_per_second · t` tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// How many tokens it holds when full. May be written; negative or NaN counts as 0.
    pub capacity: f64,
    /// Tokens for each second. May be written; negative or NaN counts as 0.
    pub refill_per_second: f64,
    /// Tokens there at `last_refill`. May be written; less than 0 after a [`Bucket::adjust`].
    pub tokens: f64,
    /// When `tokens` was true, in milliseconds since the epoch. May be written.
    pub last_refill: f64,
    /// The server's limit where it is below `capacity`.
    #[serde(default)]
    server_limit: Option<f64>,
    /// Nothing is given before this time, in milliseconds since the epoch.
    #[serde(default)]
    blocked_until: Option<f64>,
    /// What the server's headers have told of how its limit comes back.
    #[serde(default)]
    server: Server,
}

/// How the server's limit comes back.
///
/// A bucket is full again the sooner the less was taken: what is missing over the time of the reset
/// is its rate, however much is missing. A fixed window comes back at once, at the same moment,
/// however much was taken. Two looks with different amounts missing tell which it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Server {
    /// What was missing at the first look, and its quotient with the time of the reset.
    seen: Option<(f64, f64)>,
    /// It is a bucket: its tokens for each millisecond.
    rate: Option<f64>,
}

/// Below so many missing, the rounding of the headers is too much of the quotient.
const LEAST_MISSING: f64 = 4.0;

impl Server {
    fn look(&mut self, limit: f64, remaining: f64, reset: Duration) {
        let (missing, ms) = (limit - remaining, reset.as_secs_f64() * 1e3);
        if missing < LEAST_MISSING || ms <= 0.0 {
            return;
        }
        let quotient = missing / ms;
        let Some((first, before)) = self.seen else {
            self.seen = Some((missing, quotient));
            return;
        };
        if missing.max(first) < 2.0 * missing.min(first) {
            return;
        }
        let same = (0.75..1.33).contains(&(quotient / before));
        // The more is missing, the less the rounding counts.
        self.rate = same.then_some(if missing > first { quotient } else { before });
        if !same {
            self.seen = Some((missing, quotient));
        }
    }
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
            server: Server::default(),
        }
    }

    /// What the bucket holds when full: `capacity`, or the server's limit where that is less.
    pub fn effective_capacity(&self) -> f64 {
        self.server_limit.map_or(self.capacity, |limit| limit.min(self.capacity)).max(0.0)
    }

    /// Adds what has come since the last refill. A clock that goes back adds nothing: the bucket
    /// goes on from the new time.
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

    /// Takes `n` tokens, all or none. Zero or less takes nothing and always succeeds; NaN and
    /// infinities never fit.
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

    /// How long until `n` tokens are there: zero when they are, `None` when they can never be.
    /// Looking changes nothing.
    pub fn time_until(&self, n: f64, now: f64) -> Option<Duration> {
        let mut then = self.clone();
        then.refill(now);
        then.wait_ms(n).map(milliseconds)
    }

    /// How long `n` tokens take to come, at most [`MAX_WAIT`].
    pub fn refill_time(&self, n: f64) -> Duration {
        if n > 0.0 { milliseconds((n / self.rate_per_ms()).ceil()) } else { Duration::ZERO }
    }

    /// Gives back tokens that were taken and not used, up to the capacity. Less than 0 is ignored.
    pub fn refund(&mut self, n: f64) {
        self.adjust(-n.max(0.0));
    }

    /// Charges `by` tokens more than was reserved; a negative `by` gives back. What the bucket owes is
    /// paid back before it gives again, up to 60 fillings: a usage that is no usage does not shut it
    /// for ever.
    pub fn adjust(&mut self, by: f64) {
        let capacity = self.effective_capacity();
        if !by.is_nan() {
            self.tokens = (self.tokens - by).max(-MAX_DEBT * capacity).min(capacity);
        }
    }

    /// Follows what the server says in its headers (`x-ratelimit-*`). `limit` lowers the capacity,
    /// never past `self.capacity`, until another limit comes. `remaining` lowers the tokens, never
    /// raises them: calls under way are in the bucket and not yet in the header. A server whose
    /// limit comes back bit by bit is known by its quotients after a few answers: the bucket is then
    /// filled at the server's rate where that is the slower. Before that, and where the limit comes
    /// back at once, nothing is given before `reset_after` is over when nothing remains. Negative
    /// values and NaN are ignored, and so is a limit of 0.
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
            self.server.look(limit, remaining, reset);
        }
        if self.server.rate.is_some() {
            self.blocked_until = None;
            return;
        }
        if let Some(reset) = reset_after.filter(|_| remaining < 1.0) {
            let until = now + reset.min(MAX_WAIT).as_secs_f64() * 1e3;
            self.blocked_until = Some(self.blocked_until.map_or(until, |earlier| earlier.max(until)));
        }
    }

    fn rate_per_ms(&self) -> f64 {
        let own = self.refill_per_second.max(0.0) / 1e3;
        self.server.rate.map_or(own, |rate| rate.min(own))
    }

    /// Milliseconds from `last_refill` on, whole; infinite when nothing is refilled.
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
    fn a_full_bucket_gives_its_capacity_and_then_names_the_wait() {
        let mut bucket = Bucket::new(100.0, 10.0, T);
        assert_eq!(bucket.try_take(100.0, T), Acquisition::Granted);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(100)));
        assert_eq!(bucket.try_take(1.0, T + 99.0), Acquisition::Wait(ms(1)));
        assert_eq!(bucket.try_take(1.0, T + 100.0), Acquisition::Granted);
        assert_eq!(bucket.time_until(2.0, T + 100.0), Some(ms(200)));
        assert_eq!(bucket.try_take(101.0, T + 100.0), Acquisition::NeverFits);
        assert_eq!(bucket.try_take(f64::NAN, T + 100.0), Acquisition::NeverFits);
        assert_eq!(bucket.try_take(-5.0, T + 100.0), Acquisition::Granted);
        assert!(bucket.tokens < 1.0, "a negative take gives nothing back");
        let mut thirds = Bucket::new(1.0, 3.0, T);
        thirds.tokens = 0.0;
        assert_eq!(thirds.try_take(1.0, T), Acquisition::Wait(ms(334)), "never sooner");
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
    fn a_bucket_that_does_not_refill_names_the_longest_wait() {
        let mut bucket = Bucket::new(1.0, 0.0, T);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Granted);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(MAX_WAIT));
        bucket.refund(1.0);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Granted);
    }

    #[test]
    fn what_a_correction_charges_is_paid_back_up_to_sixty_fillings() {
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
    fn the_servers_headers_lower_the_bucket_and_never_raise_it() {
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
    fn with_nothing_remaining_nothing_is_given_before_the_reset() {
        let mut bucket = Bucket::new(100.0, 1_000.0, T);
        bucket.adapt_to_headers(None, Some(0.0), Some(ms(5_000)), T);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(5_000)));
        assert_eq!(bucket.try_take(1.0, T + 4_000.0), Acquisition::Wait(ms(1_000)));
        let mut back = bucket.clone();
        assert_eq!(bucket.try_take(1.0, T + 5_000.0), Acquisition::Granted);
        assert_eq!(back.try_take(1.0, T - 9e9), Acquisition::Wait(ms(1_000)), "the clock went back");
    }

    /// What a server tells whose own bucket holds so many of 100, at 100 a second.
    fn told_by_a_bucket(bucket: &mut Bucket, remaining: f64, now: f64) {
        let reset = Duration::from_secs_f64((100.0 - remaining) / 100.0);
        bucket.adapt_to_headers(Some(100.0), Some(remaining.floor()), Some(reset), now);
    }

    #[test]
    fn a_server_whose_limit_comes_back_bit_by_bit_is_followed_at_its_rate() {
        let mut bucket = Bucket::new(1_000.0, 1_000.0, T);
        for remaining in (0..100).rev() {
            told_by_a_bucket(&mut bucket, f64::from(remaining), T);
        }
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(10)), "its rate, and not the whole reset");
        bucket.refill(T + 500.0);
        assert!((bucket.tokens - 50.0).abs() < 1.0, "{}", bucket.tokens);
        let mut slow = Bucket::new(1_000.0, 10.0, T);
        for remaining in (0..100).rev() {
            told_by_a_bucket(&mut slow, f64::from(remaining), T);
        }
        assert_eq!(slow.try_take(1.0, T), Acquisition::Wait(ms(100)), "its own rate is the slower");
    }

    #[test]
    fn a_server_whose_limit_comes_back_at_once_is_waited_for() {
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
    fn a_server_that_turns_out_to_be_no_bucket_is_one_no_longer() {
        let mut bucket = Bucket::new(100.0, 100.0, T);
        for remaining in (0..100).rev() {
            told_by_a_bucket(&mut bucket, f64::from(remaining), T);
        }
        bucket.adapt_to_headers(Some(100.0), Some(90.0), Some(ms(60_000)), T);
        bucket.adapt_to_headers(Some(100.0), Some(0.0), Some(ms(60_000)), T);
        assert_eq!(bucket.try_take(1.0, T), Acquisition::Wait(ms(60_000)));
    }

    proptest! {
        #[test]
        fn it_never_gives_more_than_capacity_and_rate_allow(
            capacity in 0.5..1e6f64,
            rate in 0.0..1e5f64,
            steps in prop::collection::vec((0.0..1.5f64, 0..5_000u32, any::<bool>()), 1..80),
        ) {
            let mut bucket = Bucket::new(capacity, rate, T);
            let mut now = T;
            let mut given: Vec<(f64, f64)> = Vec::new();
            for (share, pause, waits) in steps {
                now += f64::from(pause);
                let n = share * capacity;
                match bucket.try_take(n, now) {
                    Acquisition::Granted => given.push((now, n)),
                    Acquisition::Wait(wait) if waits && wait < MAX_WAIT => {
                        now += wait.as_secs_f64() * 1e3;
                        prop_assert_eq!(bucket.try_take(n, now), Acquisition::Granted);
                        given.push((now, n));
                    }
                    Acquisition::Wait(_) => {}
                    Acquisition::NeverFits => prop_assert!(n > capacity),
                }
                for (first, (start, _)) in given.iter().enumerate() {
                    let sum: f64 = given[first..].iter().map(|(_, n)| n).sum();
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
