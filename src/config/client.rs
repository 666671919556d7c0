//! The options of a client.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::breaker::{BREAKER_ACCEPTED, BreakerChoice, breaker_choice};
use super::call::CallConfig;
use super::certificates::certificates;
use super::continuation::Continuation;
use super::cost::{self, Cost};
use super::defaults;
use super::endpoint::{self, Endpoint, Inherited, SendSessionId, base_url};
use super::proxy::{self, ProxyConfig};
use super::rate_limit::{RateLimit, rate_limit};
use super::reader::Reader;
use super::retry;
use super::routing;
use super::secret::api_key;
use crate::error::{Error, Result};
use crate::policy::catalogue::Catalogue;
use crate::policy::retry_budget;
use crate::policy::routing::Strategy;

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// At least one, best first.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The model for requests that do not name one. `gpt-4.1` by default.
    pub model: String,
    /// The order in which a call tries the endpoints of a model. `ordered` by default.
    pub routing: Strategy,
    /// The interval at which the endpoints are probed. They are not probed by default.
    pub health_check: Option<Duration>,
    /// What applies to each call that does not override it.
    pub call: CallConfig,
    /// `None` disables it. On by default, with the defaults of its options.
    pub retry_budget: Option<retry_budget::Options>,
    pub breaker: BreakerChoice,
    /// The limit of all endpoints together. None by default.
    pub rate_limit: Option<RateLimit>,
    /// The maximum number of concurrent attempts; further ones wait in a queue. No limit by default.
    pub max_concurrent: Option<usize>,
    /// The maximum number of attempts in that queue; a further one fails with `QUEUE_FULL`. 1,000 by default.
    pub max_queue: usize,
    /// Certificates in PEM to trust in addition to the system's. None by default.
    pub ca: Option<Arc<str>>,
    pub proxy: ProxyConfig,
    /// The limits and prices of models.
    pub catalogue: Arc<Catalogue>,
    /// `None`, the default, is neither a cap nor a soft limit.
    pub cost: Option<Cost>,
    /// Models that the catalogue does not have are rejected. False by default.
    pub validate_model: bool,
}

impl ClientConfig {
    /// Reads and validates the options of a client.
    ///
    /// # Errors
    /// An invalid, unknown or missing option.
    pub fn read(options: &Value) -> Result<ClientConfig> {
        ClientConfig::read_accepting(options, &[])
    }

    /// Like [`ClientConfig::read`], for a caller that has already read the options in `also_accepted`: an error lists
    /// them too.
    pub fn read_accepting(options: &Value, also_accepted: &[&str]) -> Result<ClientConfig> {
        let mut reader = Reader::new("", options)?;
        reader.misplaced(&["signal", "idempotencyKey", "sessionId"], "a call, not to a client");
        let call = CallConfig::default().read(&mut reader)?;
        let key = match reader.value("apiKey") {
            None => None,
            Some(Value::String(key)) => Some(api_key("apiKey", key)?),
            // Not `Reader::invalid`, which shows the value: it may be the secret.
            Some(_) => return Err(Error::invalid("apiKey", "a value that is not a string", "a string")),
        };
        let base = match reader.value("baseUrl") {
            None => None,
            Some(Value::String(url)) => Some(base_url("baseUrl", url)?),
            Some(other) => return reader.invalid("baseUrl", other, endpoint::BASE_URL_ACCEPTED),
        };
        let inherited = Inherited {
            send_session_id: SendSessionId::read(&mut reader)?,
            continuation: Continuation::read(&mut reader)?.unwrap_or_default(),
        };
        let endpoints = match reader.value("endpoints") {
            None => {
                let Some(key) = key else {
                    return Err(Error::invalid(
                        "apiKey",
                        "nothing",
                        "a key, or HOLYSHEEP_API_KEY in the environment",
                    ));
                };
                let url = base.as_deref().unwrap_or(defaults::BASE_URL);
                vec![Arc::new(Endpoint::from_url(url, key, inherited))]
            }
            Some(_) if base.is_some() => {
                return Err(Error::invalid(
                    "baseUrl",
                    "a URL in addition to `endpoints`",
                    "only one of the two",
                ));
            }
            Some(Value::Array(items)) if !items.is_empty() => {
                endpoint::read_all(items, key.as_ref(), inherited)?
            }
            Some(other) => {
                return reader.invalid("endpoints", other, "an array with at least one endpoint");
            }
        };
        let (catalogue, cost) = cost::read(&mut reader, &call.fallback_models)?;
        let config = ClientConfig {
            endpoints,
            model: reader.string("model", "a model name")?.unwrap_or(defaults::MODEL).to_owned(),
            routing: routing::strategy(&mut reader)?,
            health_check: reader.milliseconds("healthCheckMs", 10)?,
            call,
            retry_budget: retry::budget(&mut reader, "retryBudget")?,
            breaker: breaker_choice(&mut reader, "circuitBreaker", BREAKER_ACCEPTED)?,
            rate_limit: rate_limit(&mut reader, "rateLimit")?,
            max_concurrent: reader.integer("maxConcurrent", 1, 1_000_000)?.map(|n| n as usize),
            max_queue: reader.integer("maxQueue", 0, 1_000_000)?.map_or(defaults::MAX_QUEUE, |n| n as usize),
            ca: certificates(&mut reader)?,
            proxy: proxy::read(&mut reader)?,
            catalogue,
            cost,
            validate_model: reader.boolean("validateModel")?.unwrap_or(defaults::VALIDATE_MODEL),
        };
        reader.allow(&["onEvent"]);
        reader.allow(also_accepted);
        reader.finish()?;
        Ok(config)
    }
}
