//! A provider's rate limit: a bucket of requests for each key, reported in the headers of every answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;

use super::answer;
use super::bodies;
use super::plan::Plan;

/// The maximum number of keys that have a bucket. Full buckets are dropped first.
const MAX_KEYS: usize = 10_000;

/// How many chat requests a key may make.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// The burst, in requests; default 100.
    pub capacity: f64,
    /// The refill, in requests a second; default 10.
    pub refill_per_second: f64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { capacity: 100.0, refill_per_second: 10.0 }
    }
}

impl RateLimit {
    pub(super) fn check(&self) -> Result<(), String> {
        super::validate::in_range("rateLimit.capacity", self.capacity, 1.0, 1e9)?;
        super::validate::in_range("rateLimit.refillPerSecond", self.refill_per_second, 0.001, 1e9)
    }
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The buckets of all keys.
pub(super) struct RateLimiter {
    limit: RateLimit,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// Whether a request was admitted, and the state of its bucket.
pub(super) struct Decision {
    pub(super) admitted: bool,
    limit: RateLimit,
    /// The tokens that are left, with their fraction.
    tokens: f64,
}

impl RateLimiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// Takes a token of this key, if there is one.
    pub(super) fn take(&self, key: &str, now: Instant) -> Decision {
        let RateLimit { capacity, refill_per_second } = self.limit;
        let level = |bucket: &Bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + passed * refill_per_second).min(capacity)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| level(bucket) < capacity);
            if buckets.len() >= MAX_KEYS {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: capacity, at: now });
        bucket.tokens = level(bucket);
        bucket.at = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        Decision { admitted, limit: self.limit, tokens: bucket.tokens }
    }
}

impl Decision {
    /// Adds the limit to the head of an answer, in OpenAI's form: the reset is the time until the bucket is
    /// full, as Go prints a duration.
    pub(super) fn add_headers(&self, plan: &mut Plan) {
        let full_ms = (self.limit.capacity - self.tokens) / self.limit.refill_per_second * 1e3;
        let mut add = |name: &'static str, value: String| plan.head.headers.push((name.into(), value.into()));
        add("x-ratelimit-limit-requests", format!("{}", self.limit.capacity.floor()));
        add("x-ratelimit-remaining-requests", format!("{}", self.tokens.floor()));
        add("x-ratelimit-reset-requests", go_duration(full_ms.ceil().max(0.0) as u64));
        if !self.admitted {
            let wait = (1.0 - self.tokens) / self.limit.refill_per_second * 1e3;
            add("retry-after-ms", format!("{}", wait.ceil()));
        }
    }

    /// The 429 for a request without a token.
    pub(super) fn rejection(&self) -> Plan {
        let mut plan = answer::json(429, bodies::error_of(429, ""));
        self.add_headers(&mut plan);
        plan
    }
}

fn go_duration(ms: u64) -> String {
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    match (minutes, ms) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1000) => format!("{ms}ms"),
        (0, _) => format!("{}s", ms as f64 / 1e3),
        _ => format!("{minutes}m{}s", ms as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_has_a_burst_and_then_a_rate() {
        let rate_limiter = RateLimiter::new(RateLimit { capacity: 3.0, refill_per_second: 2.0 });
        let start = Instant::now();
        let admitted =
            |key: &str, ms: u64| rate_limiter.take(key, start + Duration::from_millis(ms)).admitted;
        assert_eq!(
            [0, 0, 0, 0, 499, 500, 501].map(|ms| admitted("a", ms)),
            [true, true, true, false, false, true, false]
        );
        assert!(admitted("b", 501), "another key has its own");
    }

    #[test]
    fn the_headers_are_those_of_providers() {
        let rate_limiter = RateLimiter::new(RateLimit { capacity: 3.0, refill_per_second: 2.0 });
        let now = Instant::now();
        for _ in 0..3 {
            rate_limiter.take("a", now);
        }
        let plan = rate_limiter.take("a", now).rejection();
        let header =
            |name: &str| plan.head.headers.iter().find(|(have, _)| have == name).map(|(_, value)| &**value);
        assert_eq!(plan.head.status, 429);
        assert_eq!(header("x-ratelimit-limit-requests"), Some("3"));
        assert_eq!(header("x-ratelimit-remaining-requests"), Some("0"));
        assert_eq!(header("x-ratelimit-reset-requests"), Some("1.5s"));
        assert_eq!(header("retry-after-ms"), Some("500"));
        assert_eq!([0, 20, 1_000, 60_000, 90_500].map(go_duration), ["0s", "20ms", "1s", "1m0s", "1m30.5s"]);
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let rate_limiter = RateLimiter::new(RateLimit::default());
        let now = Instant::now();
        for key in 0..2 * MAX_KEYS {
            rate_limiter.take(&key.to_string(), now);
        }
        assert!(rate_limiter.buckets.lock().unwrap().len() <= MAX_KEYS);
    }
}
