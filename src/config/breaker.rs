//! The options of a circuit breaker.

use std::time::Duration;

use serde_json::Value;

use super::defaults as d;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::policy::circuit_breaker;

/// Whether the routes of a client have breakers.
#[derive(Clone, Debug, Default)]
pub enum BreakerChoice {
    /// Nothing was said: on where there is another route to go to, off where there is none.
    #[default]
    Auto,
    Off,
    On(circuit_breaker::Options),
    /// One breaker that the caller made and shares.
    Shared,
}

impl Default for circuit_breaker::Options {
    fn default() -> Self {
        circuit_breaker::Options {
            failure_threshold: d::FAILURE_THRESHOLD,
            timeout: d::BREAKER_TIMEOUT,
            half_open_max_calls: d::HALF_OPEN_MAX_CALLS,
            success_threshold: d::SUCCESS_THRESHOLD,
            error_rate: None,
            window: d::ERROR_RATE_WINDOW,
            minimum_calls: d::MINIMUM_CALLS,
        }
    }
}

pub(super) const BREAKER_ACCEPTED: &str =
    "options of a breaker ({} for the defaults), a CircuitBreaker, or false";

/// The options of a breaker. `isFailure` and `onStateChange` live in JavaScript.
pub fn breaker(path: &str, value: &Value) -> Result<circuit_breaker::Options> {
    let mut reader = Reader::new(path, value)?;
    let preset = circuit_breaker::Options::default();
    let options = circuit_breaker::Options {
        failure_threshold: reader
            .whole("failureThreshold", 1, 1_000_000)?
            .map_or(preset.failure_threshold, |n| n as u32),
        timeout: open_time(&mut reader)?.unwrap_or(preset.timeout),
        half_open_max_calls: reader
            .whole("halfOpenMaxCalls", 1, 1000)?
            .map_or(preset.half_open_max_calls, |n| n as u32),
        success_threshold: reader
            .whole("successThreshold", 1, 1000)?
            .map_or(preset.success_threshold, |n| n as u32),
        error_rate: reader.real("errorRate", 0.01, 1.0)?,
        window: reader.millis("windowMs", 100)?.unwrap_or(preset.window),
        minimum_calls: reader.whole("minimumCalls", 1, 1_000_000)?.map_or(preset.minimum_calls, |n| n as u32),
    };
    reader.also(&["isFailure", "onStateChange"]);
    reader.finish()?;
    Ok(options)
}

/// How long a breaker stays open: `openMs`, or `timeout`, its name in the HolySheep tutorials.
fn open_time(reader: &mut Reader<'_>) -> Result<Option<Duration>> {
    let open = reader.millis("openMs", 0)?;
    let timeout = reader.millis("timeout", 0)?;
    if open.is_some() && timeout.is_some() {
        let name = reader.name("openMs");
        let given = "a value beside `timeout`, which means the same";
        return Err(Error::invalid(&name, given, "one of the two"));
    }
    Ok(open.or(timeout))
}

pub(super) fn breaker_choice(
    reader: &mut Reader<'_>,
    key: &'static str,
    accepted: &str,
) -> Result<BreakerChoice> {
    Ok(match reader.raw(key) {
        None => BreakerChoice::Auto,
        Some(Value::Bool(false)) => BreakerChoice::Off,
        Some(value @ Value::Object(map)) if !map.contains_key("$given") => {
            BreakerChoice::On(breaker(&reader.name(key), value)?)
        }
        Some(other) => return reader.bad(key, other, accepted),
    })
}
