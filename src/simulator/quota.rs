//! A provider's rate limit: a bucket of requests for each key, told in the headers of every answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;

use super::answer;
use super::play::Plan;
use super::reply;

/// The most keys that are told apart: those whose bucket is full again go first.
const MAX_KEYS: usize = 10_000;

/// How many chat requests a key may make.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Requests that may come at once; default 100.
    pub capacity: f64,
    /// Requests a second; default 10.
    pub refill_per_second: f64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { capacity: 100.0, refill_per_second: 10.0 }
    }
}

impl RateLimit {
    pub(super) fn check(&self) -> Result<(), String> {
        super::check::in_range("rateLimit.capacity", self.capacity, 1.0, 1e9)?;
        super::check::in_range("rateLimit.refillPerSecond", self.refill_per_second, 0.001, 1e9)
    }
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The buckets of all keys.
pub(super) struct Quota {
    limit: RateLimit,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What a request was told about its key's bucket.
pub(super) struct Told {
    pub(super) admitted: bool,
    limit: RateLimit,
    /// What is left, with its fraction.
    tokens: f64,
}

impl Quota {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// Takes a token of this key's, where there is one.
    pub(super) fn take(&self, key: &str, now: Instant) -> Told {
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
        Told { admitted, limit: self.limit, tokens: bucket.tokens }
    }
}

impl Told {
    /// Writes the limit into the head of an answer, as OpenAI does: the reset is the time until the
    /// bucket is full, as Go prints a duration.
    pub(super) fn tell(&self, plan: &mut Plan) {
        let full_ms = (self.limit.capacity - self.tokens) / self.limit.refill_per_second * 1e3;
        let mut tell =
            |name: &'static str, value: String| plan.head.headers.push((name.into(), value.into()));
        tell("x-ratelimit-limit-requests", format!("{}", self.limit.capacity.floor()));
        tell("x-ratelimit-remaining-requests", format!("{}", self.tokens.floor()));
        tell("x-ratelimit-reset-requests", go_duration(full_ms.ceil().max(0.0) as u64));
        if !self.admitted {
            let wait = (1.0 - self.tokens) / self.limit.refill_per_second * 1e3;
            tell("retry-after-ms", format!("{}", wait.ceil()));
        }
    }

    /// The answer of a request that finds no token.
    pub(super) fn refusal(&self) -> Plan {
        let mut plan = answer::json(429, reply::error_of(429, ""));
        self.tell(&mut plan);
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
    fn a_key_has_its_capacity_and_then_its_rate() {
        let quota = Quota::new(RateLimit { capacity: 3.0, refill_per_second: 2.0 });
        let start = Instant::now();
        let admitted = |key: &str, ms: u64| quota.take(key, start + Duration::from_millis(ms)).admitted;
        assert_eq!(
            [0, 0, 0, 0, 499, 500, 501].map(|ms| admitted("a", ms)),
            [true, true, true, false, false, true, false]
        );
        assert!(admitted("b", 501), "another key has its own");
    }

    #[test]
    fn what_is_told_is_what_providers_tell() {
        let quota = Quota::new(RateLimit { capacity: 3.0, refill_per_second: 2.0 });
        let now = Instant::now();
        for _ in 0..3 {
            quota.take("a", now);
        }
        let plan = quota.take("a", now).refusal();
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
    fn keys_do_not_pile_up() {
        let quota = Quota::new(RateLimit::default());
        let now = Instant::now();
        for key in 0..2 * MAX_KEYS {
            quota.take(&key.to_string(), now);
        }
        assert!(quota.buckets.lock().unwrap().len() <= MAX_KEYS);
    }
}
