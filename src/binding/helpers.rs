//! Standalone functions: the engine's decisions, for helpers in JavaScript.

use std::collections::HashMap;
use std::time::Duration;

use napi_derive::napi;
use serde_json::Value;

use super::errors::{OrThrow, parse_json};
use crate::config::{self, RetryConfig, decisions, defaults};
use crate::engine::decisions::{self, DecisionTable};
use crate::engine::{self, catalogue, clock, complexity, retry_after};
use crate::error::Error;

/// The default of each option, as JSON.
#[napi(catch_unwind)]
pub fn defaults() -> String {
    defaults::list().to_string()
}

/// The built-in catalogue of models, as JSON.
#[napi(catch_unwind)]
pub fn catalogue() -> String {
    // Strings and numbers always encode.
    serde_json::to_string(&catalogue::Catalogue::default()).unwrap_or_default()
}

/// The complexity of a conversation: 'simple', 'moderate' or 'complex'. Throws for invalid messages.
#[napi(catch_unwind)]
pub fn classify_complexity(messages: String) -> napi::Result<String> {
    Ok(complexity::classify_messages(&messages).or_throw()?.as_str().to_owned())
}

/// Whether a failure with this code (Node's, ours, or a status as text) is retryable.
#[napi(catch_unwind)]
pub fn is_retryable_code(code: String) -> bool {
    engine::is_retryable_code(&code)
}

/// The time of the calls of this thread, in milliseconds since the epoch: that of the test clock, if there is one.
#[napi(catch_unwind)]
pub fn epoch_ms() -> f64 {
    clock::now() as f64
}

/// How long a response asks the client to wait, in milliseconds; null without a valid header. Header names are
/// in lower case.
#[napi(catch_unwind)]
pub fn retry_after_ms(headers: HashMap<String, String>) -> Option<f64> {
    let header = |name: &str| headers.get(name).cloned();
    retry_after::parse(&header, clock::now()).map(|wait| wait.as_secs_f64() * 1000.0)
}

/// A new session id.
#[napi(catch_unwind)]
pub fn session_id() -> String {
    engine::session_id(&mut rand::rng())
}

/// The delay before retry number `retry`, counted from 0, in milliseconds, under these options (`retry` of a
/// client). `previousMs` is the delay before the previous retry, which decorrelated jitter uses.
#[napi(catch_unwind)]
pub fn backoff_delay(options: String, retry: u32, previous_ms: Option<f64>) -> napi::Result<f64> {
    let options = RetryConfig::read("", &parse_json(&options)?).or_throw()?;
    let previous = previous_ms.map(|ms| {
        Duration::try_from_secs_f64(ms / 1000.0)
            .map_err(|_| Error::invalid("previousMs", ms, "milliseconds from 0"))
    });
    let delay = decisions::backoff_delay(&options.backoff, retry, previous.transpose().or_throw()?);
    Ok(delay.as_secs_f64() * 1000.0)
}

/// The decision for a failure with this code (Node's, ours, or a status as text) and status, under this table
/// (`retry.retryOn`; `null` for the default), as JSON: a `RetryDecision`.
#[napi(catch_unwind)]
pub fn decide(retry_on: String, code: String, status: Option<u32>) -> napi::Result<String> {
    Ok(decisions::decide(&table(&retry_on)?, &code, to_status(status)).to_string())
}

/// The decision in the row of this table that matches a failure, as JSON; null if no row matches.
#[napi(catch_unwind)]
pub fn decision_row(retry_on: String, code: String, status: Option<u32>) -> napi::Result<Option<String>> {
    Ok(decisions::row(&table(&retry_on)?, &code, to_status(status)).map(|decision| decision.to_string()))
}

/// ` (did you mean …?)` if a name in `known` is similar to `name`, otherwise an empty string.
#[napi(catch_unwind)]
pub fn did_you_mean(name: String, known: Vec<String>) -> String {
    config::did_you_mean(&name, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The version of this package.
#[napi(catch_unwind)]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

fn table(retry_on: &str) -> napi::Result<DecisionTable> {
    match parse_json(retry_on)? {
        Value::Null => Ok(DecisionTable::default()),
        rows => decisions("retry.retryOn", &rows).or_throw(),
    }
}

fn to_status(status: Option<u32>) -> Option<u16> {
    status.and_then(|status| u16::try_from(status).ok())
}
