//! Endpoints: the URL of a provider, and the key, headers, limits and breaker for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::authority::{host, is_authority, split_port};
use super::breaker::{BreakerChoice, breaker_choice};
use super::continuation::Continuation;
use super::defaults;
use super::headers::{headers, secret_values};
use super::rate_limit::{RateLimit, rate_limit};
use super::reader::{Reader, describe};
use super::routing;
use super::secret::{Secret, api_key};
use crate::error::{Error, Result, truncate};

/// One provider. Its key and headers are sent to it and to no other host.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name in results, errors and events, unique within a client. Its host and port by default.
    pub name: String,
    /// The base URL, without a slash at the end.
    pub url: String,
    /// Without one, requests have no `authorization` header.
    pub key: Option<Secret>,
    /// Headers that only this endpoint receives. Names in lower case, each once.
    pub headers: Vec<(String, String)>,
    /// The names of models at this endpoint, by the caller's names, if they differ.
    pub models: BTreeMap<String, String>,
    /// Its share of the calls relative to the other endpoints' weights, from 0.001 to 1,000,000. 1 by default.
    pub weight: f64,
    /// Overrides that of the call.
    pub require_finish_reason: Option<bool>,
    pub send_session_id: SendSessionId,
    /// How it is asked to continue the assistant turn. That of the client by default.
    pub continuation: Continuation,
    /// The limit of this endpoint, which applies in addition to the client's. None by default.
    pub rate_limit: Option<RateLimit>,
    /// Overrides that of the client unless it is [`BreakerChoice::Auto`].
    pub breaker: BreakerChoice,
}

impl Endpoint {
    /// An endpoint with a URL and a key, and defaults otherwise.
    pub fn from_url(url: &str, key: Secret, inherited: Inherited) -> Endpoint {
        Endpoint {
            name: host(url).to_owned(),
            url: url.to_owned(),
            key: Some(key),
            headers: Vec::new(),
            models: BTreeMap::new(),
            weight: defaults::WEIGHT,
            require_finish_reason: None,
            send_session_id: inherited.send_session_id.unwrap_or_else(|| SendSessionId::default_for(url)),
            continuation: inherited.continuation,
            rate_limit: None,
            breaker: BreakerChoice::Auto,
        }
    }

    /// The name of a model at this endpoint.
    pub fn model<'a>(&'a self, model: &'a str) -> &'a str {
        self.models.get(model).map_or(model, String::as_str)
    }

    /// What no error may quote: its key, and the values of its headers.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(Secret::expose).chain(secret_values(&self.headers))
    }

    fn read(path: &str, value: &Value, key: Option<&Secret>, inherited: Inherited) -> Result<Endpoint> {
        if let Value::String(url) = value {
            let Some(key) = key else {
                return Err(Error::invalid(
                    "apiKey",
                    "nothing",
                    "a key for the endpoints given as plain URLs, or HOLYSHEEP_API_KEY in the environment",
                ));
            };
            return Ok(Endpoint::from_url(&base_url(path, url)?, key.clone(), inherited));
        }
        let mut reader = Reader::new(path, value)?;
        let url = match reader.value("baseUrl") {
            Some(Value::String(url)) => base_url(&reader.full_name("baseUrl"), url)?,
            // `finish` rejects `url` and suggests `baseUrl`.
            None if value.get("url").is_some() => String::new(),
            None => return Err(Error::invalid(&reader.full_name("baseUrl"), "nothing", BASE_URL_ACCEPTED)),
            Some(other) => return reader.invalid("baseUrl", other, BASE_URL_ACCEPTED),
        };
        let key = match reader.value("apiKey") {
            None => None,
            Some(Value::String(key)) => Some(api_key(&reader.full_name("apiKey"), key)?),
            Some(_) => {
                return Err(Error::invalid(
                    &reader.full_name("apiKey"),
                    "a value that is not a string",
                    "a string",
                ));
            }
        };
        let endpoint = Endpoint {
            name: reader.string("name", "a name")?.unwrap_or(host(&url)).to_owned(),
            key,
            headers: headers(&mut reader, "headers")?,
            models: models(&mut reader)?,
            weight: routing::weight(&mut reader)?,
            require_finish_reason: reader.boolean("requireFinishReason")?,
            send_session_id: SendSessionId::read(&mut reader)?
                .or(inherited.send_session_id)
                .unwrap_or_else(|| SendSessionId::default_for(&url)),
            continuation: Continuation::read(&mut reader)?.unwrap_or(inherited.continuation),
            rate_limit: rate_limit(&mut reader, "rateLimit")?,
            breaker: breaker_choice(&mut reader, "circuitBreaker", "circuit breaker options or false")?,
            url,
        };
        reader.finish()?;
        Ok(endpoint)
    }
}

/// The options of a client that its endpoints inherit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherited {
    pub send_session_id: Option<SendSessionId>,
    pub continuation: Continuation,
}

/// Reads a list of endpoints. Breakers, events and results identify an endpoint by its name, so a default name that is
/// taken gets a suffix that no other name has.
///
/// # Errors
/// An invalid endpoint, or an explicit name that occurs twice.
pub fn read_all(items: &[Value], key: Option<&Secret>, inherited: Inherited) -> Result<Vec<Arc<Endpoint>>> {
    let explicit_names: Vec<&str> = items.iter().filter_map(|item| item.get("name")?.as_str()).collect();
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("endpoints[{index}]");
        let mut endpoint = Endpoint::read(&path, item, key, inherited)?;
        let is_taken = |name: &str| endpoints.iter().any(|other| other.name == name);
        if is_taken(&endpoint.name) {
            if item.get("name").is_some() {
                let problem = format!("'{}', which is already taken", truncate(&endpoint.name, 60));
                return Err(Error::invalid(&format!("{path}.name"), problem, "a unique name"));
            }
            let mut numbered = (index + 1..).map(|number| format!("{}#{number}", endpoint.name));
            let is_free = |name: &String| !is_taken(name) && !explicit_names.contains(&name.as_str());
            // One of the next numbers is free: the list is finite.
            endpoint.name = numbered.find(is_free).unwrap_or_default();
        }
        endpoints.push(Arc::new(endpoint));
    }
    Ok(endpoints)
}

/// Where a request carries the id of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendSessionId {
    /// In the header `x-session-id`. The default for other hosts than HolySheep's.
    Header,
    /// In the body's `session_id`, a field of HolySheep's API that a strict provider rejects.
    Body,
    /// In both. The default for HolySheep's hosts.
    Both,
    /// Nowhere.
    Off,
}

impl SendSessionId {
    /// Reads `sendSessionId`. `None` if it is absent.
    pub fn read(reader: &mut Reader<'_>) -> Result<Option<SendSessionId>> {
        const KEY: &str = "sendSessionId";
        Ok(Some(match reader.value(KEY) {
            None => return Ok(None),
            Some(Value::Bool(false)) => SendSessionId::Off,
            Some(Value::String(word)) if word == "header" => SendSessionId::Header,
            Some(Value::String(word)) if word == "body" => SendSessionId::Body,
            Some(Value::String(word)) if word == "both" => SendSessionId::Both,
            Some(other) => return reader.invalid(KEY, other, "'header', 'body', 'both' or false"),
        }))
    }

    /// The default for a base URL.
    fn default_for(url: &str) -> SendSessionId {
        if is_holysheep(url) { SendSessionId::Both } else { SendSessionId::Header }
    }

    /// Whether the header carries the id.
    pub fn in_header(self) -> bool {
        matches!(self, SendSessionId::Header | SendSessionId::Both)
    }

    /// Whether the body carries the id.
    pub fn in_body(self) -> bool {
        matches!(self, SendSessionId::Body | SendSessionId::Both)
    }
}

fn models(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>> {
    let accepted = "an object that maps model names to the endpoint's names";
    let mut models = BTreeMap::new();
    match reader.value("models") {
        None => {}
        Some(Value::Object(map)) => {
            for (name, endpoint_name) in map {
                let Some(text) = endpoint_name.as_str().filter(|text| !text.is_empty()) else {
                    return reader.invalid("models", endpoint_name, accepted);
                };
                models.insert(name.clone(), text.to_owned());
            }
        }
        Some(other) => return reader.invalid("models", other, accepted),
    }
    Ok(models)
}

/// Whether a URL is one of HolySheep's hosts.
fn is_holysheep(url: &str) -> bool {
    let name = split_port(host(url)).0.to_ascii_lowercase();
    name == "holysheep.ai" || name.ends_with(".holysheep.ai")
}

/// What [`base_url`] accepts, for errors.
pub const BASE_URL_ACCEPTED: &str = "an http or https URL up to and including /v1, such as \
     https://api.holysheep.ai/v1, without user, query or fragment; or a bare host";

/// Validates a base URL and removes slashes at its end. A bare host (`api.holysheep.ai`) means
/// `https://HOST/v1`. `name` is the name of the option.
///
/// # Errors
/// Another scheme, credentials, a query, a fragment, or the URL of a request; the error shows none of them.
pub fn base_url(name: &str, url: &str) -> Result<String> {
    let invalid = || Error::invalid(name, describe(&Value::from(without_secrets(url))), BASE_URL_ACCEPTED);
    let text = url.trim();
    let url = match text.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
            text.to_owned()
        }
        Some(_) => return Err(invalid()),
        None if text.contains('/') => return Err(invalid()),
        None => format!("https://{text}/v1"),
    };
    let is_visible = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    // The URL that is most often pasted instead of the base URL.
    let is_request_url = url.trim_end_matches('/').ends_with("/chat/completions");
    if !is_visible || is_request_url || url.contains(['?', '#', '@']) {
        return Err(invalid());
    }
    if !is_authority(host(&url)) {
        return Err(invalid());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// A URL as an error may show it: without user, password and query. A password may contain `?`, `#` or `://`, and a
/// query `@`. An ambiguous URL is not shown beyond its scheme.
fn without_secrets(url: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (&url[..scheme.len() + 3], rest),
        _ => ("", url),
    };
    match rest.rsplit_once('@') {
        None => format!("{scheme}{}", rest.split(['?', '#']).next().unwrap_or_default()),
        Some((credentials, _)) if credentials.contains(['?', '#']) => format!("{scheme}…"),
        Some((_, host)) => format!("{scheme}…@{}", host.split(['?', '#']).next().unwrap_or_default()),
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
