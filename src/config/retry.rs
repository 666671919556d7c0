//! How a call is retried: delays, decisions, the budget.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::defaults;
use super::reader::{self, Reader, as_object, describe};
use crate::error::{Error, Kind, Result, truncate};
use crate::policy::backoff::{Backoff, Jitter, Shape};
use crate::policy::decisions::{CLASS_NAMES, Decision, DecisionTable};
use crate::policy::retry_budget;

/// When and after which failures an attempt is retried.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    /// The wait before a retry. Exponential by default, from 1 s to 60 s, with full jitter.
    pub backoff: Backoff,
    /// The longest `retry-after` to wait for; past it the call goes to the next route or fails. 60 s by
    /// default.
    pub max_retry_after: Duration,
    /// The longest wait for a rate limit that comes before another model. 5 s by default; zero disables it.
    pub max_wait_before_fallback: Duration,
    /// The wait after a reset connection, in place of the backoff: uniformly random in this range. Off by
    /// default.
    pub connection_reset: Option<RangeInclusive<Duration>>,
    /// What to do about a failure, if it differs from the built-in table.
    pub decisions: DecisionTable,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig {
            backoff: Backoff::default(),
            max_retry_after: defaults::MAX_RETRY_AFTER,
            max_wait_before_fallback: defaults::MAX_WAIT_BEFORE_FALLBACK,
            connection_reset: None,
            decisions: DecisionTable::default(),
        }
    }
}

const JITTERS: &[(&str, Jitter)] = &[
    ("none", Jitter::None),
    ("full", Jitter::Full),
    ("equal", Jitter::Equal),
    ("proportional", Jitter::Proportional),
    ("decorrelated", Jitter::Decorrelated),
];

impl RetryConfig {
    /// Reads the options named `path`.
    ///
    /// # Errors
    /// An invalid or unknown option, or a minimum above its maximum.
    pub fn read(path: &str, value: &Value) -> Result<RetryConfig> {
        RetryConfig::default().with(path, value)
    }

    /// These settings, overridden by the options in `value`. A decision table replaces the previous one.
    pub fn with(&self, path: &str, value: &Value) -> Result<RetryConfig> {
        let mut reader = Reader::new(path, value)?;
        let mut retry = self.clone();
        let backoff = &mut retry.backoff;
        if let Some(shape) = reader.value("backoff") {
            backoff.shape = shape_of(&reader, shape)?;
        }
        backoff.base = reader.milliseconds("baseDelayMs", 0)?.unwrap_or(backoff.base);
        backoff.max = reader.milliseconds("maxDelayMs", 0)?.unwrap_or(backoff.max);
        backoff.min = reader.milliseconds("minDelayMs", 0)?.unwrap_or(backoff.min);
        check_range(&reader, "minDelayMs", backoff.min, "maxDelayMs", backoff.max)?;
        backoff.multiplier = reader.number("multiplier", 1.0, 100.0)?.unwrap_or(backoff.multiplier);
        backoff.jitter = reader.one_of("jitter", JITTERS)?.unwrap_or(backoff.jitter);
        retry.max_retry_after = reader.milliseconds("maxRetryAfterMs", 0)?.unwrap_or(retry.max_retry_after);
        retry.max_wait_before_fallback =
            reader.milliseconds("maxWaitBeforeFallbackMs", 0)?.unwrap_or(retry.max_wait_before_fallback);
        if let Some(reset) = reader.value("connectionReset") {
            retry.connection_reset = connection_reset(&reader.full_name("connectionReset"), reset)?;
        }
        if let Some(table) = reader.value("retryOn") {
            retry.decisions = decisions(&reader.full_name("retryOn"), table)?;
        }
        reader.finish()?;
        Ok(retry)
    }
}

/// Rejects a minimum above its maximum.
fn check_range(reader: &Reader<'_>, low: &str, min: Duration, high: &str, max: Duration) -> Result<()> {
    if min <= max {
        return Ok(());
    }
    let accepted = format!("at most {high}, {} ms", max.as_millis());
    let mut error = Error::invalid(&reader.full_name(low), min.as_millis(), &accepted);
    error.kind = Kind::OutOfRange;
    Err(error)
}

fn shape_of(reader: &Reader<'_>, value: &Value) -> Result<Shape> {
    let accepted = "'exponential', 'linear', 'constant' or an array of milliseconds";
    match value {
        Value::String(word) if word == "exponential" => Ok(Shape::Exponential),
        Value::String(word) if word == "linear" => Ok(Shape::Linear),
        Value::String(word) if word == "constant" => Ok(Shape::Constant),
        Value::Array(items) => match delays(items) {
            Some(schedule) => Ok(Shape::Schedule(schedule)),
            None => reader.invalid("backoff", value, accepted),
        },
        other => reader.invalid("backoff", other, accepted),
    }
}

/// An array of delays in whole milliseconds, at least one.
fn delays(items: &[Value]) -> Option<Vec<Duration>> {
    let read =
        |item: &Value| item.as_u64().filter(|ms| *ms as f64 <= reader::MAX_MS).map(Duration::from_millis);
    items.iter().map(read).collect::<Option<Vec<_>>>().filter(|delays| !delays.is_empty())
}

/// Reads `connectionReset`; `true` is 1 to 3 s, the range of the HolySheep tutorials.
fn connection_reset(path: &str, value: &Value) -> Result<Option<RangeInclusive<Duration>>> {
    match value {
        Value::Bool(false) => Ok(None),
        Value::Bool(true) => Ok(Some(defaults::RESET_MIN_DELAY..=defaults::RESET_MAX_DELAY)),
        Value::Object(_) => {
            let mut reader = Reader::new(path, value)?;
            let min = reader.milliseconds("minDelayMs", 0)?.unwrap_or(defaults::RESET_MIN_DELAY);
            let max = reader.milliseconds("maxDelayMs", 0)?.unwrap_or(defaults::RESET_MAX_DELAY);
            check_range(&reader, "minDelayMs", min, "maxDelayMs", max)?;
            reader.finish()?;
            Ok(Some(min..=max))
        }
        other => Err(Error::invalid(path, describe(other), "true, false or an object")),
    }
}

/// Reads a decision table named `path`.
///
/// # Errors
/// A key that [`DecisionTable::is_valid_name`] rejects, an invalid decision, or a retry of an exhausted quota.
pub fn decisions(path: &str, value: &Value) -> Result<DecisionTable> {
    let accepted = "an object that maps statuses, codes or classes to decisions";
    let Some(map) = as_object(value) else {
        return Err(Error::invalid(path, describe(value), accepted));
    };
    let mut table = DecisionTable::default();
    for (key, value) in map {
        let name = format!("{path}['{}']", truncate(key, 60).escape_debug());
        if !DecisionTable::is_valid_name(key) {
            let message = format!(
                "{name}: unknown failure; accepted: a status from '400' to '599', '4xx', '5xx', a class ({}) or an \
                 error code such as 'TIMEOUT', 'ECONNRESET' or 'SERVER_ERROR'",
                CLASS_NAMES.join(", ")
            );
            return Err(Error::new(Kind::InvalidArgument, message));
        }
        // JavaScript's `undefined`, which is the same as an absent key.
        if !value.is_null() {
            table.insert(key, decision(&name, key, value)?);
        }
    }
    Ok(table)
}

fn decision(name: &str, key: &str, value: &Value) -> Result<Decision> {
    let accepted = "'retry', 'never', 'fallback', or delays in whole milliseconds: { delaysMs: [1000, 2000] } or just \
                    the array";
    let invalid = || Error::invalid(name, describe(value), accepted);
    let decision = match value {
        Value::String(word) if word == "retry" => Decision::Retry,
        Value::String(word) if word == "never" => Decision::Never,
        Value::String(word) if word == "fallback" => Decision::Fallback,
        Value::Array(items) => Decision::Delays(delays(items).ok_or_else(invalid)?.into()),
        Value::Object(_) if as_object(value).is_some() => {
            let mut reader = Reader::new(name, value)?;
            let array = reader.value("delaysMs");
            let repeat = reader.boolean("repeat")?.unwrap_or(true);
            reader.finish()?;
            let items =
                array.and_then(Value::as_array).and_then(|items| delays(items)).ok_or_else(invalid)?;
            if repeat { Decision::Delays(items.into()) } else { Decision::FiniteDelays(items.into()) }
        }
        _ => return Err(invalid()),
    };
    let is_quota = matches!(key, "quota" | "QUOTA_EXHAUSTED" | "402");
    if is_quota && matches!(decision, Decision::Retry | Decision::Delays(_) | Decision::FiniteDelays(_)) {
        let accepted = "'never' or 'fallback': a key whose quota is exhausted is not retried";
        return Err(Error::invalid(name, describe(value), accepted));
    }
    Ok(decision)
}

/// What [`tenant`] accepts, for errors.
pub const TENANT_ACCEPTED: &str = "a string of 1 to 255 characters";

/// Validates the name of a tenant: at most 255 characters.
pub fn tenant(reader: &Reader<'_>, name: &str) -> Result<String> {
    if name.chars().count() > 255 {
        return reader.invalid("tenant", &Value::from(name), TENANT_ACCEPTED);
    }
    Ok(name.to_owned())
}

/// Reads the retry budget; `None` (`false`) disables it. On by default.
pub fn budget(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<retry_budget::Options>> {
    let default = retry_budget::Options::default();
    match reader.value(key) {
        None => Ok(Some(default)),
        Some(Value::Bool(false)) => Ok(None),
        Some(value @ Value::Object(_)) => {
            let mut reader = Reader::new(&reader.full_name(key), value)?;
            let options = retry_budget::Options {
                ratio: match reader.value("ratio") {
                    None => default.ratio,
                    Some(value) => match value.as_f64().filter(|ratio| (0.0..=1.0).contains(ratio)) {
                        Some(ratio) => ratio,
                        None => {
                            return reader.invalid(
                                "ratio",
                                value,
                                "a fraction of the calls from 0 to 1 (0.2 is 20%)",
                            );
                        }
                    },
                },
                min_per_second: reader.number("minPerSecond", 0.0, 1e6)?.unwrap_or(default.min_per_second),
                window: reader.milliseconds("windowMs", 100)?.unwrap_or(default.window),
            };
            reader.finish()?;
            Ok(Some(options))
        }
        Some(other) => reader.invalid(key, other, "retry budget options, or false for no budget"),
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            shape: Shape::Exponential,
            base: defaults::BASE_DELAY,
            max: defaults::MAX_DELAY,
            multiplier: defaults::MULTIPLIER,
            jitter: Jitter::Full,
            min: defaults::MIN_DELAY,
        }
    }
}

impl Default for retry_budget::Options {
    fn default() -> Self {
        retry_budget::Options {
            ratio: defaults::BUDGET_RATIO,
            min_per_second: defaults::BUDGET_MIN_PER_SECOND,
            window: defaults::BUDGET_WINDOW,
        }
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
