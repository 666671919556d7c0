//! Endpoints: where requests go, with which key, headers, limits and breaker.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::breaker::{BreakerChoice, breaker_choice};
use super::defaults as d;
use super::rate_limit::{RateLimit, rate_limit};
use super::reader::{Reader, show};
use super::routing;
use super::secret::{Secret, api_key};
use crate::error::{Error, Result, truncate};

pub const BASE_URL_ACCEPTED: &str = "an http or https URL up to and including /v1, such as https://api.holysheep.ai/v1, without user, query or \
     fragment; or a bare host";

/// Where a request names its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendSessionId {
    /// In the header `x-session-id`.
    Header,
    /// In the body's `session_id`: HolySheep's own field, which a strict provider would refuse.
    Body,
    Both,
    Off,
}

impl SendSessionId {
    /// Reads `sendSessionId`.
    pub fn read(reader: &mut Reader<'_>) -> Result<Option<SendSessionId>> {
        const KEY: &str = "sendSessionId";
        Ok(Some(match reader.raw(KEY) {
            None => return Ok(None),
            Some(Value::Bool(false)) => SendSessionId::Off,
            Some(Value::String(word)) if word == "header" => SendSessionId::Header,
            Some(Value::String(word)) if word == "body" => SendSessionId::Body,
            Some(Value::String(word)) if word == "both" => SendSessionId::Both,
            Some(other) => return reader.bad(KEY, other, "'header', 'body', 'both' or false"),
        }))
    }

    /// The default for a base URL.
    fn of(url: &str) -> SendSessionId {
        if is_holysheep(url) { SendSessionId::Both } else { SendSessionId::Header }
    }

    pub fn in_header(self) -> bool {
        matches!(self, SendSessionId::Header | SendSessionId::Both)
    }

    pub fn in_body(self) -> bool {
        matches!(self, SendSessionId::Body | SendSessionId::Both)
    }
}

/// One provider. Its key and headers go to it and to no other.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub name: String,
    /// Without a slash at the end.
    pub url: String,
    pub key: Option<Secret>,
    pub headers: Vec<(String, String)>,
    /// The names of models at this endpoint, where they differ.
    pub models: BTreeMap<String, String>,
    /// Its share of the calls, against the other endpoints' weights.
    pub weight: f64,
    pub require_finish_reason: Option<bool>,
    pub send_session_id: SendSessionId,
    pub rate_limit: Option<RateLimit>,
    pub breaker: BreakerChoice,
}

impl Endpoint {
    /// The endpoint of a client that was given nothing but a URL and a key.
    pub fn single(url: &str, key: Secret, send_session_id: Option<SendSessionId>) -> Endpoint {
        Endpoint {
            name: host(url).to_owned(),
            url: url.to_owned(),
            key: Some(key),
            headers: Vec::new(),
            models: BTreeMap::new(),
            weight: d::WEIGHT,
            require_finish_reason: None,
            send_session_id: send_session_id.unwrap_or_else(|| SendSessionId::of(url)),
            rate_limit: None,
            breaker: BreakerChoice::Auto,
        }
    }

    /// What the model is called here.
    pub fn model<'a>(&'a self, model: &'a str) -> &'a str {
        self.models.get(model).map_or(model, String::as_str)
    }

    fn read(
        path: &str,
        value: &Value,
        key: Option<&Secret>,
        send_session_id: Option<SendSessionId>,
    ) -> Result<Endpoint> {
        if let Value::String(url) = value {
            let Some(key) = key else {
                return Err(Error::invalid(
                    "apiKey",
                    "nothing",
                    "a key for the endpoints that are given as plain URLs, or HOLYSHEEP_API_KEY in the environment",
                ));
            };
            return Ok(Endpoint::single(&base_url(path, url)?, key.clone(), send_session_id));
        }
        let mut reader = Reader::new(path, value)?;
        let url = match reader.raw("baseUrl") {
            Some(Value::String(url)) => base_url(&reader.name("baseUrl"), url)?,
            // Refused below, with what was meant.
            None if value.get("url").is_some() => String::new(),
            None => return Err(Error::invalid(&reader.name("baseUrl"), "nothing", BASE_URL_ACCEPTED)),
            Some(other) => return reader.bad("baseUrl", other, BASE_URL_ACCEPTED),
        };
        let key = match reader.raw("apiKey") {
            None => None,
            Some(Value::String(key)) => Some(api_key(&reader.name("apiKey"), key)?),
            Some(_) => {
                return Err(Error::invalid(
                    &reader.name("apiKey"),
                    "something that is no string",
                    "a string",
                ));
            }
        };
        let endpoint = Endpoint {
            name: reader.text("name", "a name")?.unwrap_or(host(&url)).to_owned(),
            key,
            headers: headers(&mut reader, "headers")?,
            models: models(&mut reader)?,
            weight: routing::weight(&mut reader)?,
            require_finish_reason: reader.flag("requireFinishReason")?,
            send_session_id: SendSessionId::read(&mut reader)?
                .or(send_session_id)
                .unwrap_or_else(|| SendSessionId::of(&url)),
            rate_limit: rate_limit(&mut reader, "rateLimit")?,
            breaker: breaker_choice(&mut reader, "circuitBreaker", "options of a breaker or false")?,
            url,
        };
        reader.finish()?;
        Ok(endpoint)
    }
}

/// Reads a list of endpoints. The names must differ: breakers, events and results go by them.
pub fn read_all(
    items: &[Value],
    key: Option<&Secret>,
    send_session_id: Option<SendSessionId>,
) -> Result<Vec<Arc<Endpoint>>> {
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("endpoints[{index}]");
        let mut endpoint = Endpoint::read(&path, item, key, send_session_id)?;
        if endpoints.iter().any(|have| have.name == endpoint.name) {
            if item.get("name").is_some() {
                let given = format!("'{}', which is there already", truncate(&endpoint.name, 60));
                return Err(Error::invalid(&format!("{path}.name"), given, "a name of its own"));
            }
            endpoint.name = format!("{}#{}", endpoint.name, index + 1);
        }
        endpoints.push(Arc::new(endpoint));
    }
    Ok(endpoints)
}

fn models(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>> {
    let accepted = "an object of model names, ours to the endpoint's";
    let mut models = BTreeMap::new();
    match reader.raw("models") {
        None => {}
        Some(Value::Object(map)) => {
            for (ours, theirs) in map {
                let Some(theirs) = theirs.as_str().filter(|name| !name.is_empty()) else {
                    return reader.bad("models", theirs, accepted);
                };
                models.insert(ours.clone(), theirs.to_owned());
            }
        }
        Some(other) => return reader.bad("models", other, accepted),
    }
    Ok(models)
}

/// The host and port of a URL that [`base_url`] has accepted.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// True for HolySheep's own hosts.
fn is_holysheep(url: &str) -> bool {
    let host = host(url);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    name == "holysheep.ai" || name.ends_with(".holysheep.ai")
}

/// Checks a base URL. A bare host (`api.holysheep.ai`) means `https://HOST/v1`; anything with a scheme
/// is taken as it is. Credentials, a query or a fragment have no place in it.
pub fn base_url(name: &str, given: &str) -> Result<String> {
    let bad = || Error::invalid(name, show(&Value::from(without_secrets(given))), BASE_URL_ACCEPTED);
    let text = given.trim();
    let whole = match text.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
            text.to_owned()
        }
        Some(_) => return Err(bad()),
        None if text.contains('/') => return Err(bad()),
        None => format!("https://{text}/v1"),
    };
    let visible = whole.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    // What is copied most often instead of the base URL.
    let is_request_url = whole.trim_end_matches('/').ends_with("/chat/completions");
    if !visible || is_request_url || whole.contains(['?', '#', '@']) {
        return Err(bad());
    }
    let name = host(&whole);
    let (name, port) = match name.rsplit_once(':') {
        // `[::1]` has colons of its own.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (name, None),
    };
    let name_fits = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            !name.is_empty()
                && !name.starts_with(['.', '-'])
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    if !name_fits || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(bad());
    }
    Ok(whole.trim_end_matches('/').to_owned())
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

/// Headers that the engine sets itself: replacing one would break the request or the key's safety.
pub(super) const OURS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "host",
    "accept",
    "accept-encoding",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "idempotency-key",
    "x-session-id",
];

/// Reads an object of headers: names in lower case, values as they are.
pub fn headers(reader: &mut Reader<'_>, key: &'static str) -> Result<Vec<(String, String)>> {
    let Some(value) = reader.raw(key) else { return Ok(Vec::new()) };
    let accepted = "an object of names and strings";
    let Some(map) = value.as_object().filter(|map| !map.contains_key("$given")) else {
        return reader.bad(key, value, accepted);
    };
    let path = reader.name(key);
    let mut headers: Vec<(String, String)> = Vec::new();
    for (given, value) in map {
        let name = given.to_ascii_lowercase();
        let full = format!("{path}['{}']", truncate(given, 60).escape_debug());
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(Error::invalid(&full, "a name that no header can have", "letters, digits and -"));
        }
        if OURS.contains(&name.as_str()) {
            let accepted = "headers other than those that the client sets itself (key: apiKey, idempotency-key: idempotencyKey, x-session-id: sessionId)";
            return Err(Error::invalid(&full, "a header that the client sets itself", accepted));
        }
        let Some(text) = value.as_str() else {
            return Err(Error::invalid(&full, show(value), "a string"));
        };
        // The value may be a secret: it is not shown.
        if text.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f) {
            return Err(Error::invalid(
                &full,
                "a value with a line break or control character",
                "one line of text",
            ));
        }
        if headers.iter().any(|(have, _)| *have == name) {
            return Err(Error::invalid(&full, "the same name twice", "each name once"));
        }
        headers.push((name, text.to_owned()));
    }
    Ok(headers)
}

/// The certificates of the `ca` option, one string or several, as one PEM text. Whether they parse
/// is the transport's to say.
pub fn certificates(reader: &mut Reader<'_>) -> Result<Option<Arc<str>>> {
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
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bare_host_means_https_and_v1() {
        assert_eq!(base_url("baseUrl", "api.holysheep.ai").unwrap(), "https://api.holysheep.ai/v1");
        assert_eq!(base_url("baseUrl", "http://127.0.0.1:8080/v1/").unwrap(), "http://127.0.0.1:8080/v1");
        assert_eq!(base_url("baseUrl", "http://[::1]:80/x").unwrap(), "http://[::1]:80/x");
    }

    #[test]
    fn a_base_url_that_is_none_is_refused_without_its_secrets() {
        for bad in [
            "",
            " ",
            "not a url",
            "ftp://x/v1",
            "https://",
            "http://a b/",
            "https://x:99999/v1",
            "https://x/v1?key=secret",
            "https://user:secret@x/v1",
            "https://x/v1/chat/completions",
            "x/v1",
            "https://-x/",
            "https://x\n/v1",
            "http://[zz]/",
            "secret@x",
            "https://user:a#secret@x/v1",
            "https://user:a?secret@x/v1",
            "https://user:secret@x/v1?a@b",
            "user:secret://a@x/v1",
            "https://x/v1?to=a@b&key=secret",
        ] {
            let error = base_url("baseUrl", bad).unwrap_err();
            assert!(error.message.starts_with("baseUrl: got "), "{bad}: {error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn headers_that_would_replace_the_key_or_hold_a_line_break_are_refused() {
        for bad in [
            json!({"Authorization": "Bearer other"}),
            json!({"x-a": "1\r\nx-b: 2"}),
            json!({"x a": "1"}),
            json!({"x-a": 1}),
            json!({"x-a": "1", "X-A": "2"}),
            json!([1]),
        ] {
            let options = json!({ "headers": bad });
            let mut reader = Reader::new("", &options).unwrap();
            assert!(headers(&mut reader, "headers").is_err(), "{options}");
        }
    }

    #[test]
    fn an_endpoint_gets_its_own_key_and_a_plain_url_the_clients() {
        let key = api_key("apiKey", "k1").unwrap();
        let items = [
            json!("https://a/v1"),
            json!({"baseUrl": "https://b/v1"}),
            json!({"baseUrl": "https://c", "apiKey": "k3"}),
        ];
        let endpoints = read_all(&items, Some(&key), None).unwrap();
        let keys: Vec<_> =
            endpoints.iter().map(|e| e.key.as_ref().map(|key| key.expose().to_owned())).collect();
        assert_eq!(keys, [Some("k1".into()), None, Some("k3".into())]);
        assert!(read_all(&items[..1], None, None).is_err());
    }

    #[test]
    fn the_session_is_in_the_body_for_holysheeps_hosts_unless_set_otherwise() {
        let items =
            ["https://api.holysheep.ai/v1", "https://holysheep.ai:8443/v1", "https://notholysheep.ai/v1"];
        let items: Vec<Value> = items.iter().map(|url| json!({ "baseUrl": url })).collect();
        let of = |given| -> Vec<SendSessionId> {
            read_all(&items, None, given).unwrap().iter().map(|e| e.send_session_id).collect()
        };
        let (header, both) = (SendSessionId::Header, SendSessionId::Both);
        assert_eq!(of(None), [both, both, header]);
        assert_eq!(of(Some(SendSessionId::Off)), [SendSessionId::Off; 3]);
        let body = [json!({ "baseUrl": "https://x/v1", "sendSessionId": "body" })];
        assert_eq!(read_all(&body, None, Some(header)).unwrap()[0].send_session_id, SendSessionId::Body);
        let wrong = [json!({ "baseUrl": "https://x/v1", "sendSessionId": true })];
        let message = read_all(&wrong, None, None).unwrap_err().message.clone();
        assert_eq!(
            message,
            "endpoints[0].sendSessionId: got true; accepted: 'header', 'body', 'both' or false"
        );
    }

    #[test]
    fn endpoints_of_one_name_are_told_apart() {
        let items = [json!({"baseUrl": "https://a/v1"}), json!({"baseUrl": "https://a/v2"})];
        let endpoints = read_all(&items, None, None).unwrap();
        assert_eq!((endpoints[0].name.as_str(), endpoints[1].name.as_str()), ("a", "a#2"));
        let twice =
            [json!({"baseUrl": "https://a", "name": "x"}), json!({"baseUrl": "https://b", "name": "x"})];
        assert!(read_all(&twice, None, None).is_err());
    }
}
