//! The options of a limiter.

use serde_json::Value;

use super::defaults;
use super::reader::Reader;
use crate::error::{Error, Result};

/// A token bucket of requests, optionally one of model tokens, and a bounded queue.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// The burst size, in requests. 100 by default.
    pub capacity: f64,
    /// Requests per second. 10 by default.
    pub refill_per_second: f64,
    /// Model tokens per minute. No limit by default.
    pub tokens_per_minute: Option<f64>,
    /// The maximum number of attempts that wait; a further one fails. 1,000 by default.
    pub max_queue: usize,
    /// The limits follow the provider's rate-limit headers, which lower them and never raise them. False by
    /// default.
    pub adapt_to_headers: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit {
            capacity: defaults::CAPACITY,
            refill_per_second: defaults::REFILL_RATE,
            tokens_per_minute: None,
            max_queue: defaults::MAX_QUEUE,
            adapt_to_headers: false,
        }
    }
}

impl RateLimit {
    /// Reads the options named `path`.
    ///
    /// # Errors
    /// An invalid or unknown option, or `requestsPerMinute` together with `capacity` or `refillRate`.
    pub fn read(path: &str, value: &Value) -> Result<RateLimit> {
        let mut reader = Reader::new(path, value)?;
        let mut limit = RateLimit::default();
        let rate = reader.number("refillRate", 0.001, 1e9)?;
        let capacity = reader.number("capacity", 1.0, 1e9)?;
        if let Some(per_minute) = reader.number("requestsPerMinute", 0.1, 1e9)? {
            if rate.or(capacity).is_some() {
                let problem = "a value in addition to `capacity` or `refillRate`";
                return Err(Error::invalid(
                    &reader.full_name("requestsPerMinute"),
                    problem,
                    "only one of the two",
                ));
            }
            limit.refill_per_second = per_minute / 60.0;
            // Providers count by the minute, so the requests of a minute may come in one burst.
            limit.capacity = per_minute.max(1.0);
        }
        limit.refill_per_second = rate.unwrap_or(limit.refill_per_second);
        limit.capacity = capacity.unwrap_or(limit.capacity);
        limit.tokens_per_minute = reader.number("tokensPerMinute", 1.0, 1e12)?;
        limit.max_queue = reader.integer("maxQueue", 0, 1_000_000)?.map_or(limit.max_queue, |n| n as usize);
        if let Some(adapt) = reader.value("adapt") {
            limit.adapt_to_headers = match adapt {
                Value::Bool(false) => false,
                Value::String(word) if word == "headers" => true,
                other => return reader.invalid("adapt", other, "'headers' or false"),
            };
        }
        reader.finish()?;
        Ok(limit)
    }
}

/// Reads the option `key`. `None` if it is absent or `false`: no limit.
pub(super) fn rate_limit(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<RateLimit>> {
    Ok(match reader.value(key) {
        None | Some(Value::Bool(false)) => None,
        Some(value @ Value::Object(_)) => Some(RateLimit::read(&reader.full_name(key), value)?),
        Some(other) => {
            return reader.invalid(
                key,
                other,
                "rate limit options, such as { requestsPerMinute: 100 }, or false",
            );
        }
    })
}
