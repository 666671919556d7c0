//! Every default and every validation, here and nowhere else. The vocabulary of the policies
//! (`Backoff`, breaker and bucket options) is theirs; what they are set to when nobody says
//! anything, and what is accepted, is said here.

mod breaker;
mod cost;
pub mod defaults;
mod endpoint;
mod hedge;
mod own;
mod proxy;
mod rate_limit;
pub mod reader;
mod recovery;
mod retry;
mod routing;
mod secret;
mod suggest;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use breaker::{BREAKER_ACCEPTED, breaker_choice};
pub use breaker::{BreakerChoice, breaker};
pub use cost::{Cost, unpriced};
use endpoint::certificates;
pub use endpoint::{Endpoint, SendSessionId, base_url, headers};
pub use hedge::Hedge;
pub use own::Own;
pub use proxy::ProxyConfig;
pub use rate_limit::RateLimit;
use rate_limit::rate_limit;
pub use recovery::{Mode, Recovery};
pub use retry::{RetryConfig, decisions};
pub use secret::{Secret, api_key};
pub use suggest::did_you_mean;

use crate::error::{Error, Result};
use crate::policy::backoff::{Backoff, Jitter, Shape};
use crate::policy::catalogue::Catalogue;
use crate::policy::retry_budget;
use crate::policy::routing::Strategy;
use defaults as d;
use reader::Reader;

/// What holds for one call: the client's values, overridden by those of the call.
#[derive(Clone, Debug)]
pub struct CallConfig {
    pub connect_timeout: Duration,
    /// As it was set; see [`CallConfig::first_token_timeout`].
    pub first_token_timeout: Option<Duration>,
    /// To the end of an answer that is not streamed, in place of the first-token timeout.
    pub whole_answer_timeout: Duration,
    pub idle_timeout: Duration,
    pub total_timeout: Option<Duration>,
    /// One attempt, to the end of its answer.
    pub attempt_timeout: Option<Duration>,
    pub max_retries: u32,
    pub retry: Arc<RetryConfig>,
    /// An answer is complete when every choice has its finish reason; otherwise `[DONE]` is enough.
    pub require_finish_reason: bool,
    /// Headers beside the engine's own: lower-case names.
    pub headers: Vec<(String, String)>,
    pub idempotency_key: Option<String>,
    /// Whose call it is, a user or a feature: whose retry budget and cost cap it counts towards.
    pub tenant: Option<String>,
    pub recovery: Recovery,
    /// Deltas of a tool call are buffered until it is complete.
    pub buffer_tool_calls: bool,
    /// The caller's name of the session; made for each call without.
    pub session_id: Option<String>,
    /// At most so many attempts in all, whatever retries and recoveries are left (the classes of the HolySheep tutorials).
    pub max_attempts: Option<u32>,
    /// How many tokens the text of the prompt has, by model, where the caller has counted.
    pub prompt_tokens: BTreeMap<String, u64>,
    /// Exactly one attempt, whatever routes there are (`executeStream`).
    pub single: bool,
    /// Models to go to, in order, when the requested one fails everywhere.
    pub fallback_models: Vec<String>,
    /// Every attempt after a model's first waits, counts as a retry, and goes to the next endpoint.
    pub rotate_endpoints: bool,
    /// When a second request is made on another route; never without.
    pub hedge: Option<Hedge>,
    /// What is said to the first endpoint alone.
    pub own: Option<Own>,
}

impl Default for CallConfig {
    fn default() -> Self {
        CallConfig {
            connect_timeout: d::CONNECT_TIMEOUT,
            first_token_timeout: None,
            whole_answer_timeout: d::WHOLE_ANSWER_TIMEOUT,
            idle_timeout: d::IDLE_TIMEOUT,
            total_timeout: None,
            attempt_timeout: None,
            max_retries: d::MAX_RETRIES,
            retry: Arc::default(),
            require_finish_reason: d::REQUIRE_FINISH_REASON,
            headers: Vec::new(),
            idempotency_key: None,
            tenant: None,
            recovery: Recovery::default(),
            buffer_tool_calls: true,
            session_id: None,
            max_attempts: None,
            prompt_tokens: BTreeMap::new(),
            single: false,
            fallback_models: Vec::new(),
            rotate_endpoints: d::ROTATE_ENDPOINTS,
            hedge: None,
            own: None,
        }
    }
}

impl CallConfig {
    /// How long the first token of an attempt is waited for. What was set is obeyed as it is; only the
    /// default is longer on the last route left.
    pub fn first_token_timeout(&self, is_last_route: bool) -> Duration {
        let default = if is_last_route { d::FIRST_TOKEN_TIMEOUT_LAST_ROUTE } else { d::FIRST_TOKEN_TIMEOUT };
        self.first_token_timeout.unwrap_or(default)
    }

    /// The options of one call on top of these.
    pub fn with(&self, options: &Value) -> Result<CallConfig> {
        self.with_also(options, &[])
    }

    /// The same. `also` are options that were read already: named in errors.
    pub fn with_also(&self, options: &Value, also: &[&str]) -> Result<CallConfig> {
        let mut reader = Reader::new("", options)?;
        let mut call = self.read(&mut reader)?;
        call.idempotency_key = header_text(&mut reader, "idempotencyKey")?;
        call.session_id = header_text(&mut reader, "sessionId")?;
        reader.also(&["signal"]);
        reader.also(also);
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
        call.first_token_timeout = reader.millis("firstTokenTimeoutMs", 1)?.or(call.first_token_timeout);
        set(&mut call.whole_answer_timeout, reader.millis("wholeAnswerTimeoutMs", 1)?);
        set(&mut call.idle_timeout, reader.millis("idleTimeoutMs", 1)?);
        call.total_timeout = reader.millis("totalTimeoutMs", 1)?.or(call.total_timeout);
        call.attempt_timeout = reader.millis("attemptTimeoutMs", 1)?.or(call.attempt_timeout);
        if let Some(retries) = reader.whole("maxRetries", 0, 10_000)? {
            call.max_retries = retries as u32;
        }
        if let Some(retry) = reader.raw("retry") {
            call.retry = Arc::new(call.retry.with("retry", retry)?);
        }
        call.require_finish_reason =
            reader.flag("requireFinishReason")?.unwrap_or(call.require_finish_reason);
        for (name, value) in headers(reader, "headers")? {
            call.headers.retain(|(have, _)| *have != name);
            call.headers.push((name, value));
        }
        if let Some(name) = reader.text("tenant", retry::TENANT_ACCEPTED)? {
            call.tenant = Some(retry::tenant(reader, name)?);
        }
        if let Some(recovery) = reader.raw("recovery") {
            call.recovery = call.recovery.with("recovery", recovery)?;
        }
        if let Some(buffer) = reader.choice("toolCalls", &[("buffer", true), ("stream", false)])? {
            call.buffer_tool_calls = buffer;
        }
        if let Some(models) = reader.texts("fallbackModels", "an array of models' names")? {
            call.fallback_models = models;
        }
        call.rotate_endpoints = reader.flag("rotateEndpoints")?.unwrap_or(call.rotate_endpoints);
        if let Some(hedge) = reader.raw("hedge") {
            call.hedge = Hedge::read(&reader.name("hedge"), hedge)?;
        }
        // Said on the JavaScript side, which alone it concerns; validated here like the rest.
        reader.flag("coalesce")?;
        Ok(call)
    }
}

/// A text that is sent as a header of its own.
fn header_text(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<String>> {
    const ACCEPTED: &str = "a string of 1 to 255 visible ASCII characters";
    let Some(text) = reader.text(key, ACCEPTED)? else { return Ok(None) };
    if text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return reader.bad(key, &Value::from(text), ACCEPTED);
    }
    Ok(Some(text.to_owned()))
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
            min: d::MIN_DELAY,
        }
    }
}

/// Everything that a client was told.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub endpoints: Vec<Arc<Endpoint>>,
    pub model: String,
    pub routing: Strategy,
    /// How often the endpoints are probed.
    pub health_check: Option<Duration>,
    pub call: CallConfig,
    pub retry_budget: Option<retry_budget::Options>,
    pub breaker: BreakerChoice,
    pub rate_limit: Option<RateLimit>,
    pub max_concurrent: Option<usize>,
    pub max_queue: usize,
    pub ca: Option<Arc<str>>,
    pub proxy: ProxyConfig,
    pub catalogue: Arc<Catalogue>,
    pub cost: Option<Cost>,
    pub validate_model: bool,
}

impl ClientConfig {
    /// Reads and checks the options of a client.
    pub fn read(options: &Value) -> Result<ClientConfig> {
        ClientConfig::read_also(options, &[])
    }

    /// The same. `also` are options that were read already: named in errors.
    pub fn read_also(options: &Value, also: &[&str]) -> Result<ClientConfig> {
        let mut reader = Reader::new("", options)?;
        reader.elsewhere(&["signal", "idempotencyKey", "sessionId"], "a call, not of a client");
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
        let send_session_id = SendSessionId::read(&mut reader)?;
        let endpoints = match reader.raw("endpoints") {
            None => {
                let Some(key) = key else {
                    return Err(Error::invalid(
                        "apiKey",
                        "nothing",
                        "a key, or HOLYSHEEP_API_KEY in the environment",
                    ));
                };
                vec![Arc::new(Endpoint::single(base.as_deref().unwrap_or(d::BASE_URL), key, send_session_id))]
            }
            Some(_) if base.is_some() => {
                return Err(Error::invalid("baseUrl", "a URL beside `endpoints`", "one of the two"));
            }
            Some(Value::Array(items)) if !items.is_empty() => {
                endpoint::read_all(items, key.as_ref(), send_session_id)?
            }
            Some(other) => return reader.bad("endpoints", other, "an array with at least one endpoint"),
        };
        let (catalogue, cost) = cost::read(&mut reader, &call.fallback_models)?;
        let config = ClientConfig {
            endpoints,
            model: reader.text("model", "a model's name")?.unwrap_or(d::MODEL).to_owned(),
            routing: routing::strategy(&mut reader)?,
            health_check: reader.millis("healthCheckMs", 10)?,
            call,
            retry_budget: retry::budget(&mut reader, "retryBudget")?,
            breaker: breaker_choice(&mut reader, "circuitBreaker", BREAKER_ACCEPTED)?,
            rate_limit: rate_limit(&mut reader, "rateLimit")?,
            max_concurrent: reader.whole("maxConcurrent", 1, 1_000_000)?.map(|n| n as usize),
            max_queue: reader.whole("maxQueue", 0, 1_000_000)?.map_or(d::MAX_QUEUE, |n| n as usize),
            ca: certificates(&mut reader)?,
            proxy: proxy::read(&mut reader)?,
            catalogue,
            cost,
            validate_model: reader.flag("validateModel")?.unwrap_or(d::VALIDATE_MODEL),
        };
        reader.also(&["onEvent"]);
        reader.also(also);
        reader.finish()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
