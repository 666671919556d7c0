//! Single functions: the same decisions as the engine's, for helpers in JavaScript.

use std::collections::HashMap;
use std::time::Duration;

use napi_derive::napi;
use serde_json::Value;

use super::errors::{OrThrow, parse};
use crate::config::{self, RetryConfig, decisions, defaults};
use crate::engine::decisions::{self, DecisionTable};
use crate::engine::{self, catalogue, clock, complexity, retry_after};
use crate::error::Error;

/// The defaults by the names of their options, as JSON.
#[napi]
pub fn defaults() -> String {
    defaults::list().to_string()
}

/// The built-in catalogue of models, as JSON.
#[napi]
pub fn catalogue() -> String {
    // Strings and numbers always encode.
    serde_json::to_string(&catalogue::Catalogue::default()).unwrap_or_default()
}

/// How hard a conversation is: 'simple', 'moderate' or 'complex'. Throws for what is none.
#[napi(catch_unwind)]
pub fn classify_complexity(messages: String) -> napi::Result<String> {
    Ok(complexity::classify_messages(&messages).or_throw()?.as_str().to_owned())
}

/// Whether a failure with this code (Node's, ours, or a status as text) is retried.
#[napi]
pub fn is_retryable_code(code: String) -> bool {
    engine::is_retryable_code(&code)
}

/// How long a response asks to wait, in milliseconds; null where it says nothing that can be read.
/// The names of the headers are in lower case.
#[napi]
pub fn retry_after_ms(headers: HashMap<String, String>) -> Option<f64> {
    let header = |name: &str| headers.get(name).cloned();
    retry_after::parse(&header, clock::now()).map(|wait| wait.as_secs_f64() * 1000.0)
}

/// A new name for a session.
#[napi]
pub fn session_id() -> String {
    engine::session_id(&mut rand::rng())
}

/// The wait before retry number `retry`, counted from 0, in milliseconds, under these options (`retry` of a client).
/// `previous_ms` is the wait before that one, which decorrelated jitter looks at.
#[napi(catch_unwind)]
pub fn backoff_delay(options: String, retry: u32, previous_ms: Option<f64>) -> napi::Result<f64> {
    let options = RetryConfig::read("", &parse(&options)?).or_throw()?;
    let previous = previous_ms.map(|ms| {
        let bad = || Error::invalid("previousMs", ms, "milliseconds from 0");
        Duration::try_from_secs_f64(ms / 1000.0).map_err(|_| bad())
    });
    let wait = decisions::backoff_delay(&options.backoff, retry, previous.transpose().or_throw()?);
    Ok(wait.as_secs_f64() * 1000.0)
}

/// What is done about a failure with this code (Node's, ours, or a status as text) and perhaps this status, under
/// this table (`retry.retryOn`; `null` is the default one), as JSON: a `RetryDecision`.
#[napi(catch_unwind)]
pub fn decide(retry_on: String, code: String, status: Option<u32>) -> napi::Result<String> {
    Ok(decisions::decide(&table(&retry_on)?, &code, as_status(status)).to_string())
}

/// What this table itself says of a failure; null where it has no row for it.
#[napi(catch_unwind)]
pub fn decision_row(retry_on: String, code: String, status: Option<u32>) -> napi::Result<Option<String>> {
    Ok(decisions::row(&table(&retry_on)?, &code, as_status(status)).map(|decision| decision.to_string()))
}

fn table(retry_on: &str) -> napi::Result<DecisionTable> {
    match parse(retry_on)? {
        Value::Null => Ok(DecisionTable::default()),
        rows => decisions("retry.retryOn", &rows).or_throw(),
    }
}

fn as_status(status: Option<u32>) -> Option<u16> {
    status.and_then(|status| u16::try_from(status).ok())
}

/// ` (did you mean …?)`, where a name of `known` is near to `name`; else nothing.
#[napi]
pub fn did_you_mean(name: String, known: Vec<String>) -> String {
    config::did_you_mean(&name, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The version of this package.
#[napi]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
