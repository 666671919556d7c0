//! Every default and every validation, here and nowhere else. The vocabulary of the policies
//! (`Backoff`, breaker and bucket options) is theirs; what they are set to when nobody says
//! anything, and what is accepted, is said here.

pub mod defaults;
mod endpoint;
pub mod reader;
mod recovery;
mod routing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use endpoint::{Endpoint, base_url, headers};
pub use recovery::{Mode, Recovery};

use crate::error::{Error, Result};
use crate::policy::backoff::{Backoff, Jitter, Shape};
use crate::policy::circuit_breaker;
use crate::policy::route::Strategy;
use defaults as d;
use reader::{Reader, show};

/// A key. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Checks a key: trimmed, not empty, visible ASCII. What was given is never part of the error.
pub fn api_key(name: &str, key: &str) -> Result<Secret> {
    let accepted = "a key without spaces, line breaks or control characters";
    let key = key.trim();
    if key.is_empty() {
        return Err(Error::invalid(name, "an empty string", accepted));
    }
    if let Some((place, _)) = key.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        let given = format!("a key with a character at position {place} that no header can hold");
        return Err(Error::invalid(name, given, accepted));
    }
    Ok(Secret(key.into()))
}

/// When an answer counts as complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Completion {
    /// Every choice needs its finish reason.
    #[default]
    Strict,
    /// `[DONE]` is enough.
    Lenient,
}

pub const COMPLETIONS: &[(&str, Completion)] =
    &[("strict", Completion::Strict), ("lenient", Completion::Lenient)];

/// What holds for one call: the client's values, overridden by those of the call.
#[derive(Clone, Debug)]
pub struct CallConfig {
    pub connect_timeout: Duration,
    pub first_token_timeout: Duration,
    pub idle_timeout: Duration,
    pub total_timeout: Option<Duration>,
    pub max_retries: u32,
    pub completion: Completion,
    /// Headers beside the engine's own: lower-case names.
    pub headers: Vec<(String, String)>,
    pub idempotency_key: Option<String>,
    pub recovery: Recovery,
    /// Deltas of a tool call are held until it is whole.
    pub hold_tool_calls: bool,
    /// Exactly one attempt, whatever routes there are (`executeStream`).
    pub single: bool,
}

impl Default for CallConfig {
    fn default() -> Self {
        CallConfig {
            connect_timeout: d::CONNECT_TIMEOUT,
            first_token_timeout: d::FIRST_TOKEN_TIMEOUT,
            idle_timeout: d::IDLE_TIMEOUT,
            total_timeout: None,
            max_retries: d::MAX_RETRIES,
            completion: Completion::Strict,
            headers: Vec::new(),
            idempotency_key: None,
            recovery: Recovery::default(),
            hold_tool_calls: true,
            single: false,
        }
    }
}

impl CallConfig {
    /// The options of one call on top of these.
    pub fn with(&self, options: &Value) -> Result<CallConfig> {
        let mut reader = Reader::new("", options)?;
        let call = self.read(&mut reader)?;
        reader.also(&["signal"]);
        reader.finish()?;
        Ok(call)
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<CallConfig> {
        let mut call = self.clone();
        let set = |place: &mut Duration, given: Option<Duration>| {
            if let Some(given) = given {
                *place = given;
            }
        };
        set(&mut call.connect_timeout, reader.millis("connectTimeoutMs", 1)?);
        set(&mut call.first_token_timeout, reader.millis("firstTokenTimeoutMs", 1)?);
        set(&mut call.idle_timeout, reader.millis("idleTimeoutMs", 1)?);
        call.total_timeout = reader.millis("totalTimeoutMs", 1)?.or(call.total_timeout);
        if let Some(retries) = reader.whole("maxRetries", 0, 10_000)? {
            call.max_retries = retries as u32;
        }
        call.completion = reader.choice("completion", COMPLETIONS)?.unwrap_or(call.completion);
        for (name, value) in headers(reader, "headers")? {
            call.headers.retain(|(have, _)| *have != name);
            call.headers.push((name, value));
        }
        if let Some(key) = reader.text("idempotencyKey", "a string of 1 to 255 visible ASCII characters")? {
            if key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return reader.bad(
                    "idempotencyKey",
                    &Value::from(key),
                    "a string of 1 to 255 visible ASCII characters",
                );
            }
            call.idempotency_key = Some(key.to_owned());
        }
        if let Some(recovery) = reader.raw("recovery") {
            call.recovery = call.recovery.with("recovery", recovery)?;
        }
        if let Some(hold) = reader.choice("toolCalls", &[("hold", true), ("stream", false)])? {
            call.hold_tool_calls = hold;
        }
        call.single = reader.flag("$single")?.unwrap_or(false);
        // Said on the JavaScript side, which alone it concerns; validated here like the rest.
        reader.flag("coalesce")?;
        Ok(call)
    }
}

/// The bucket of a limiter and how many may wait for it.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    pub capacity: f64,
    pub refill_per_second: f64,
    pub tokens_per_minute: Option<f64>,
    pub max_queue: usize,
    pub follow_server: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit {
            capacity: d::CAPACITY,
            refill_per_second: d::REFILL_RATE,
            tokens_per_minute: None,
            max_queue: d::MAX_QUEUE,
            follow_server: false,
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
        limit.follow_server = reader.flag("followServer")?.unwrap_or(limit.follow_server);
        reader.finish()?;
        Ok(limit)
    }
}

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

// The policies name what can be set; what it is set to when nobody says anything is said here.

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            shape: Shape::Exponential,
            base: d::BASE_DELAY,
            max: d::MAX_DELAY,
            multiplier: d::MULTIPLIER,
            jitter: Jitter::Full,
            min: Duration::ZERO,
        }
    }
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

/// The options of a breaker. `isFailure` and `onStateChange` live in JavaScript.
pub fn breaker(path: &str, value: &Value) -> Result<circuit_breaker::Options> {
    let mut reader = Reader::new(path, value)?;
    let preset = circuit_breaker::Options::default();
    let options = circuit_breaker::Options {
        failure_threshold: reader
            .whole("failureThreshold", 1, 1_000_000)?
            .map_or(preset.failure_threshold, |n| n as u32),
        timeout: reader.millis("timeout", 0)?.unwrap_or(preset.timeout),
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

fn breaker_choice(reader: &mut Reader<'_>, key: &'static str) -> Result<BreakerChoice> {
    Ok(match reader.raw(key) {
        None => BreakerChoice::Auto,
        Some(Value::Bool(false)) => BreakerChoice::Off,
        Some(Value::String(word)) if word == "$shared" => BreakerChoice::Shared,
        Some(value) => BreakerChoice::On(breaker(&reader.name(key), value)?),
    })
}

fn rate_limit(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<RateLimit>> {
    Ok(match reader.raw(key) {
        None | Some(Value::Bool(false)) => None,
        Some(value) => Some(RateLimit::read(&reader.name(key), value)?),
    })
}

/// How a call is retried.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    pub backoff: Backoff,
    /// A server that asks for a longer wait than this is not waited for.
    pub max_retry_after: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig { backoff: Backoff::default(), max_retry_after: d::MAX_RETRY_AFTER }
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
        let mut reader = Reader::new(path, value)?;
        let mut retry = RetryConfig::default();
        let backoff = &mut retry.backoff;
        if let Some(shape) = reader.raw("backoff") {
            backoff.shape = shape_of(&reader, shape)?;
        }
        backoff.base = reader.millis("baseDelayMs", 0)?.unwrap_or(backoff.base);
        backoff.max = reader.millis("maxDelayMs", 0)?.unwrap_or(backoff.max);
        backoff.multiplier = reader.real("multiplier", 1.0, 100.0)?.unwrap_or(backoff.multiplier);
        backoff.jitter = reader.choice("jitter", JITTERS)?.unwrap_or(backoff.jitter);
        retry.max_retry_after = reader.millis("maxRetryAfterMs", 0)?.unwrap_or(retry.max_retry_after);
        reader.finish()?;
        Ok(retry)
    }
}

fn shape_of(reader: &Reader<'_>, value: &Value) -> Result<Shape> {
    let accepted = "'exponential', 'linear', 'constant' or an array of milliseconds";
    match value {
        Value::String(word) if word == "exponential" => Ok(Shape::Exponential),
        Value::String(word) if word == "linear" => Ok(Shape::Linear),
        Value::String(word) if word == "constant" => Ok(Shape::Constant),
        Value::Array(items) if !items.is_empty() => {
            let read = |item: &Value| {
                item.as_u64().filter(|ms| *ms as f64 <= reader::MAX_MS).map(Duration::from_millis)
            };
            match items.iter().map(read).collect() {
                Some(schedule) => Ok(Shape::Schedule(schedule)),
                None => reader.bad("backoff", value, accepted),
            }
        }
        other => reader.bad("backoff", other, accepted),
    }
}

/// Everything that a client was told.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub endpoints: Vec<Arc<Endpoint>>,
    pub model: String,
    pub fallback_models: Vec<String>,
    pub routing: Strategy,
    /// How often the endpoints are probed.
    pub health_check: Option<Duration>,
    pub call: CallConfig,
    pub retry: RetryConfig,
    pub breaker: BreakerChoice,
    pub rate_limit: Option<RateLimit>,
    pub max_concurrent: Option<usize>,
    pub max_queue: usize,
    pub ca: Option<Arc<str>>,
}

impl ClientConfig {
    /// Reads and checks the options of a client.
    pub fn read(options: &Value) -> Result<ClientConfig> {
        let mut reader = Reader::new("", options)?;
        let call = CallConfig::default().read(&mut reader)?;
        let key = match reader.raw("apiKey") {
            None => None,
            Some(Value::String(key)) => Some(api_key("apiKey", key)?),
            // Not `show`: whatever it is, it may be the secret.
            Some(_) => return Err(Error::invalid("apiKey", "something that is no string", "a string")),
        };
        let base = match reader.raw("baseUrl") {
            None => None,
            Some(Value::String(url)) => Some(base_url("baseUrl", url)?),
            Some(other) => return reader.bad("baseUrl", other, endpoint::BASE_URL_ACCEPTED),
        };
        let endpoints = match reader.raw("endpoints") {
            None => {
                let Some(key) = key else {
                    return Err(Error::invalid(
                        "apiKey",
                        "nothing",
                        "a key, or HOLYSHEEP_API_KEY in the environment",
                    ));
                };
                vec![Arc::new(Endpoint::single(base.as_deref().unwrap_or(d::BASE_URL), key))]
            }
            Some(_) if base.is_some() => {
                return Err(Error::invalid("baseUrl", "a URL beside `endpoints`", "one of the two"));
            }
            Some(Value::Array(items)) if !items.is_empty() => endpoint::read_all(items, key.as_ref())?,
            Some(other) => return reader.bad("endpoints", other, "an array with at least one endpoint"),
        };
        let retry = match reader.raw("retry") {
            None => RetryConfig::default(),
            Some(value) => RetryConfig::read("retry", value)?,
        };
        let config = ClientConfig {
            endpoints,
            model: reader.text("model", "a model's name")?.unwrap_or(d::MODEL).to_owned(),
            fallback_models: reader.texts("fallbackModels", "an array of models' names")?.unwrap_or_default(),
            routing: routing::strategy(&mut reader)?,
            health_check: reader.millis("healthCheckMs", 10)?,
            call,
            retry,
            breaker: breaker_choice(&mut reader, "circuitBreaker")?,
            rate_limit: rate_limit(&mut reader, "rateLimit")?,
            max_concurrent: reader.whole("maxConcurrent", 1, 1_000_000)?.map(|n| n as usize),
            max_queue: reader.whole("maxQueue", 0, 1_000_000)?.map_or(d::MAX_QUEUE, |n| n as usize),
            ca: ca(&mut reader)?,
        };
        reader.also(&["onEvent"]);
        reader.finish()?;
        Ok(config)
    }
}

/// The certificates of the `ca` option, one string or several, as one PEM text. Whether they parse
/// is the transport's to say.
fn ca(reader: &mut Reader<'_>) -> Result<Option<Arc<str>>> {
    let accepted = "certificates in PEM: a string or an array of strings";
    let Some(value) = reader.raw("ca") else { return Ok(None) };
    let texts = match value {
        Value::String(pem) => vec![pem.clone()],
        Value::Array(_) => reader.texts("ca", accepted)?.unwrap_or_default(),
        other => return Err(Error::invalid("ca", show(other), accepted)),
    };
    let pem = texts.join("\n");
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Error::invalid("ca", "a text without a certificate", accepted));
    }
    Ok(Some(pem.into()))
}

#[cfg(test)]
mod tests;
