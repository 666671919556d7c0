//! How a call is retried: waits, decisions, the budget.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::defaults as d;
use super::reader::{self, Reader, show};
use crate::error::{Error, Kind, Result, truncate};
use crate::policy::backoff::{Backoff, Jitter, Shape};
use crate::policy::decisions::{CLASS_NAMES, Decision, DecisionTable};
use crate::policy::retry_budget;

/// How a call is retried.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    pub backoff: Backoff,
    /// A server that asks for a longer wait than this is not waited for.
    pub max_retry_after: Duration,
    /// The wait after a reset connection, in place of the backoff; any of these, evenly.
    pub connection_reset: Option<RangeInclusive<Duration>>,
    /// What the caller decides about failures.
    pub decisions: DecisionTable,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig {
            backoff: Backoff::default(),
            max_retry_after: d::MAX_RETRY_AFTER,
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
    pub fn read(path: &str, value: &Value) -> Result<RetryConfig> {
        RetryConfig::default().with(path, value)
    }

    /// These, on top of which `value` says otherwise. A decision table replaces the one that was.
    pub fn with(&self, path: &str, value: &Value) -> Result<RetryConfig> {
        let mut reader = Reader::new(path, value)?;
        let mut retry = self.clone();
        let backoff = &mut retry.backoff;
        if let Some(shape) = reader.raw("backoff") {
            backoff.shape = shape_of(&reader, shape)?;
        }
        backoff.base = reader.millis("baseDelayMs", 0)?.unwrap_or(backoff.base);
        backoff.max = reader.millis("maxDelayMs", 0)?.unwrap_or(backoff.max);
        backoff.min = reader.millis("minDelayMs", 0)?.unwrap_or(backoff.min);
        at_most(&reader, "minDelayMs", backoff.min, "maxDelayMs", backoff.max)?;
        backoff.multiplier = reader.real("multiplier", 1.0, 100.0)?.unwrap_or(backoff.multiplier);
        backoff.jitter = reader.choice("jitter", JITTERS)?.unwrap_or(backoff.jitter);
        retry.max_retry_after = reader.millis("maxRetryAfterMs", 0)?.unwrap_or(retry.max_retry_after);
        if let Some(reset) = reader.raw("connectionReset") {
            retry.connection_reset = connection_reset(&reader.name("connectionReset"), reset)?;
        }
        if let Some(table) = reader.raw("retryOn") {
            retry.decisions = decisions(&reader.name("retryOn"), table)?;
        }
        reader.finish()?;
        Ok(retry)
    }
}

/// Refuses a lower bound above the upper one.
fn at_most(reader: &Reader<'_>, low: &str, min: Duration, high: &str, max: Duration) -> Result<()> {
    if min <= max {
        return Ok(());
    }
    let accepted = format!("at most {high}, {} ms", max.as_millis());
    let mut error = Error::invalid(&reader.name(low), min.as_millis(), &accepted);
    error.kind = Kind::OutOfRange;
    Err(error)
}

fn shape_of(reader: &Reader<'_>, value: &Value) -> Result<Shape> {
    let accepted = "'exponential', 'linear', 'constant' or an array of milliseconds";
    match value {
        Value::String(word) if word == "exponential" => Ok(Shape::Exponential),
        Value::String(word) if word == "linear" => Ok(Shape::Linear),
        Value::String(word) if word == "constant" => Ok(Shape::Constant),
        Value::Array(items) => match waits(items) {
            Some(schedule) => Ok(Shape::Schedule(schedule)),
            None => reader.bad("backoff", value, accepted),
        },
        other => reader.bad("backoff", other, accepted),
    }
}

/// Waits in whole milliseconds, at least one.
fn waits(items: &[Value]) -> Option<Vec<Duration>> {
    let read =
        |item: &Value| item.as_u64().filter(|ms| *ms as f64 <= reader::MAX_MS).map(Duration::from_millis);
    items.iter().map(read).collect::<Option<Vec<_>>>().filter(|waits| !waits.is_empty())
}

/// `true` is 1 to 3 s, the range of the HolySheep tutorials.
fn connection_reset(path: &str, value: &Value) -> Result<Option<RangeInclusive<Duration>>> {
    match value {
        Value::Bool(false) => Ok(None),
        Value::Bool(true) => Ok(Some(d::RESET_MIN_DELAY..=d::RESET_MAX_DELAY)),
        Value::Object(_) => {
            let mut reader = Reader::new(path, value)?;
            let min = reader.millis("minDelayMs", 0)?.unwrap_or(d::RESET_MIN_DELAY);
            let max = reader.millis("maxDelayMs", 0)?.unwrap_or(d::RESET_MAX_DELAY);
            at_most(&reader, "minDelayMs", min, "maxDelayMs", max)?;
            reader.finish()?;
            Ok(Some(min..=max))
        }
        other => Err(Error::invalid(path, show(other), "true, false or an object")),
    }
}

/// Reads a decision table: [`DecisionTable::is_valid_name`] says which keys there are.
pub fn decisions(path: &str, value: &Value) -> Result<DecisionTable> {
    let accepted = "an object of statuses, codes or classes and decisions";
    let Some(map) = value.as_object().filter(|map| !map.contains_key("$given")) else {
        return Err(Error::invalid(path, show(value), accepted));
    };
    let mut table = DecisionTable::default();
    for (key, value) in map {
        let name = format!("{path}['{}']", truncate(key, 60).escape_debug());
        if !DecisionTable::is_valid_name(key) {
            let message = format!(
                "{name}: unknown failure; accepted: a status from '400' to '599', '4xx', '5xx', a class ({}) or an \
                 error's code such as 'TIMEOUT', 'ECONNRESET' or 'SERVER_ERROR'",
                CLASS_NAMES.join(", ")
            );
            return Err(Error::new(Kind::InvalidArgument, message));
        }
        // Said with `undefined`: as if it were not there.
        if !value.is_null() {
            table.insert(key, decision(&name, key, value)?);
        }
    }
    Ok(table)
}

fn decision(name: &str, key: &str, value: &Value) -> Result<Decision> {
    let accepted = "'retry', 'never', 'fallback', or waits in whole milliseconds: { delaysMs: [1000, 2000] } or the \
                    array alone";
    let bad = || Error::invalid(name, show(value), accepted);
    let decision = match value {
        Value::String(word) if word == "retry" => Decision::Retry,
        Value::String(word) if word == "never" => Decision::Never,
        Value::String(word) if word == "fallback" => Decision::Fallback,
        Value::Array(items) => Decision::Delays(waits(items).ok_or_else(bad)?.into()),
        Value::Object(map) if !map.contains_key("$given") => {
            let mut reader = Reader::new(name, value)?;
            let given = reader.raw("delaysMs");
            let repeat = reader.flag("repeat")?.unwrap_or(true);
            reader.finish()?;
            let items = given.and_then(Value::as_array).and_then(|items| waits(items)).ok_or_else(bad)?;
            if repeat { Decision::Delays(items.into()) } else { Decision::FiniteDelays(items.into()) }
        }
        _ => return Err(bad()),
    };
    let no_money = matches!(key, "quota" | "QUOTA_EXHAUSTED" | "402");
    if no_money && matches!(decision, Decision::Retry | Decision::Delays(_) | Decision::FiniteDelays(_)) {
        let accepted = "'never' or 'fallback': a key whose quota is exhausted is not tried again";
        return Err(Error::invalid(name, show(value), accepted));
    }
    Ok(decision)
}

pub const TENANT_ACCEPTED: &str = "a string of 1 to 255 characters";

/// Checks the name of a tenant.
pub fn tenant(reader: &Reader<'_>, name: &str) -> Result<String> {
    if name.chars().count() > 255 {
        return reader.bad("tenant", &Value::from(name), TENANT_ACCEPTED);
    }
    Ok(name.to_owned())
}

/// The budget of retries; `false` is none.
pub fn budget(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<retry_budget::Options>> {
    let preset = retry_budget::Options::default();
    match reader.raw(key) {
        None => Ok(Some(preset)),
        Some(Value::Bool(false)) => Ok(None),
        Some(value @ Value::Object(_)) => {
            let mut reader = Reader::new(&reader.name(key), value)?;
            let options = retry_budget::Options {
                ratio: match reader.raw("ratio") {
                    None => preset.ratio,
                    Some(given) => match given.as_f64().filter(|ratio| (0.0..=1.0).contains(ratio)) {
                        Some(ratio) => ratio,
                        None => {
                            return reader.bad(
                                "ratio",
                                given,
                                "a share of the calls from 0 to 1 (0.2 is 20 %)",
                            );
                        }
                    },
                },
                min_per_second: reader.real("minPerSecond", 0.0, 1e6)?.unwrap_or(preset.min_per_second),
                window: reader.millis("windowMs", 100)?.unwrap_or(preset.window),
            };
            reader.finish()?;
            Ok(Some(options))
        }
        Some(other) => reader.bad(key, other, "options of the budget, or false for none"),
    }
}

impl Default for retry_budget::Options {
    fn default() -> Self {
        retry_budget::Options {
            ratio: d::BUDGET_RATIO,
            min_per_second: d::BUDGET_MIN_PER_SECOND,
            window: d::BUDGET_WINDOW,
        }
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
