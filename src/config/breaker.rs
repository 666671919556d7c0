//! The options of a circuit breaker.

use std::time::Duration;

use serde_json::Value;

use super::defaults;
use super::reader::{Reader, as_object};
use crate::error::{Error, Result};
use crate::policy::circuit_breaker;

/// Whether the routes of a client have breakers.
#[derive(Clone, Debug, Default)]
pub enum BreakerChoice {
    /// No option: on if a model has several routes, off if it has one.
    #[default]
    Auto,
    /// No breaker.
    Off,
    /// A breaker for each route, with these options.
    On(circuit_breaker::Options),
    /// One breaker for all routes, which the caller has created.
    Shared,
}

impl Default for circuit_breaker::Options {
    fn default() -> Self {
        circuit_breaker::Options {
            failure_threshold: defaults::FAILURE_THRESHOLD,
            timeout: defaults::BREAKER_TIMEOUT,
            half_open_max_calls: defaults::HALF_OPEN_MAX_CALLS,
            success_threshold: defaults::SUCCESS_THRESHOLD,
            error_rate: None,
            window: defaults::ERROR_RATE_WINDOW,
            minimum_calls: defaults::MINIMUM_CALLS,
        }
    }
}

pub(super) const BREAKER_ACCEPTED: &str =
    "circuit breaker options ({} for the defaults), a CircuitBreaker, or false";

/// Reads the options of a breaker named `path`. Accepts `isFailure` and `onStateChange`, which JavaScript
/// handles.
///
/// # Errors
/// An invalid or unknown option, or both `openMs` and `timeout`.
pub fn breaker(path: &str, value: &Value) -> Result<circuit_breaker::Options> {
    let mut reader = Reader::new(path, value)?;
    let default = circuit_breaker::Options::default();
    let options = circuit_breaker::Options {
        failure_threshold: reader
            .integer("failureThreshold", 1, 1_000_000)?
            .map_or(default.failure_threshold, |n| n as u32),
        timeout: open_time(&mut reader)?.unwrap_or(default.timeout),
        half_open_max_calls: reader
            .integer("halfOpenMaxCalls", 1, 1000)?
            .map_or(default.half_open_max_calls, |n| n as u32),
        success_threshold: reader
            .integer("successThreshold", 1, 1000)?
            .map_or(default.success_threshold, |n| n as u32),
        error_rate: reader.number("errorRate", 0.01, 1.0)?,
        window: reader.milliseconds("windowMs", 100)?.unwrap_or(default.window),
        minimum_calls: reader
            .integer("minimumCalls", 1, 1_000_000)?
            .map_or(default.minimum_calls, |n| n as u32),
    };
    reader.allow(&["isFailure", "onStateChange"]);
    reader.finish()?;
    Ok(options)
}

/// How long a breaker stays open: `openMs`, or `timeout` as the HolySheep tutorials call it.
fn open_time(reader: &mut Reader<'_>) -> Result<Option<Duration>> {
    let open = reader.milliseconds("openMs", 0)?;
    let timeout = reader.milliseconds("timeout", 0)?;
    if open.is_some() && timeout.is_some() {
        let name = reader.full_name("openMs");
        let problem = "a value in addition to `timeout`, which means the same";
        return Err(Error::invalid(&name, problem, "only one of the two"));
    }
    Ok(open.or(timeout))
}

/// Reads the option `key`, which turns breakers on or off.
pub(super) fn breaker_choice(
    reader: &mut Reader<'_>,
    key: &'static str,
    accepted: &str,
) -> Result<BreakerChoice> {
    Ok(match reader.value(key) {
        None => BreakerChoice::Auto,
        Some(Value::Bool(false)) => BreakerChoice::Off,
        Some(value) if as_object(value).is_some() => {
            BreakerChoice::On(breaker(&reader.full_name(key), value)?)
        }
        Some(other) => return reader.invalid(key, other, accepted),
    })
}
