//! The options of a limiter.

use serde_json::Value;

use super::defaults as d;
use super::reader::Reader;
use crate::error::{Error, Result};

/// The bucket of a limiter and how many may wait for it.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    pub capacity: f64,
    pub refill_per_second: f64,
    pub tokens_per_minute: Option<f64>,
    pub max_queue: usize,
    /// The limits follow the provider's rate-limit headers.
    pub adapt_to_headers: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit {
            capacity: d::CAPACITY,
            refill_per_second: d::REFILL_RATE,
            tokens_per_minute: None,
            max_queue: d::MAX_QUEUE,
            adapt_to_headers: false,
        }
    }
}

impl RateLimit {
    pub fn read(path: &str, value: &Value) -> Result<RateLimit> {
        let mut reader = Reader::new(path, value)?;
        let mut limit = RateLimit::default();
        let rate = reader.real("refillRate", 0.001, 1e9)?;
        let capacity = reader.real("capacity", 1.0, 1e9)?;
        if let Some(per_minute) = reader.real("requestsPerMinute", 0.1, 1e9)? {
            if rate.or(capacity).is_some() {
                let given = "a value beside capacity or refillRate";
                return Err(Error::invalid(&reader.name("requestsPerMinute"), given, "one of the two"));
            }
            limit.refill_per_second = per_minute / 60.0;
            // A minute's worth may come at once, as providers count it.
            limit.capacity = per_minute.max(1.0);
        }
        limit.refill_per_second = rate.unwrap_or(limit.refill_per_second);
        limit.capacity = capacity.unwrap_or(limit.capacity);
        limit.tokens_per_minute = reader.real("tokensPerMinute", 1.0, 1e12)?;
        limit.max_queue = reader.whole("maxQueue", 0, 1_000_000)?.map_or(limit.max_queue, |n| n as usize);
        if let Some(adapt) = reader.raw("adapt") {
            limit.adapt_to_headers = match adapt {
                Value::Bool(false) => false,
                Value::String(word) if word == "headers" => true,
                other => return reader.bad("adapt", other, "'headers' or false"),
            };
        }
        reader.finish()?;
        Ok(limit)
    }
}

pub(super) fn rate_limit(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<RateLimit>> {
    Ok(match reader.raw(key) {
        None | Some(Value::Bool(false)) => None,
        Some(value @ Value::Object(_)) => Some(RateLimit::read(&reader.name(key), value)?),
        Some(other) => {
            return reader.bad(
                key,
                other,
                "options of a limiter, such as { requestsPerMinute: 100 }, or false",
            );
        }
    })
}
