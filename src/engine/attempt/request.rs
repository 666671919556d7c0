//! The requests of a call: each distinct body is encoded once and has one idempotency key.

use bytes::Bytes;
use rand::Rng;

use crate::config::{Endpoint, FirstEndpointExtras};
use crate::engine::shared::call_request::CallRequest;
use crate::engine::shared::ids::random_id;
use crate::error::{Error, Kind, Result};
use crate::policy::plan::RouteId;
use crate::transport::{HeaderMap, HeaderName, HeaderValue};
use crate::wire::chat::{ChatRequest, Overrides};
use crate::wire::dialect::Dialect;

#[derive(Clone)]
pub struct Encoded {
    pub body: Bytes,
    /// The idempotency key: the same on every retry of this body at this endpoint.
    pub key: String,
}

struct CachedRequest {
    route: RouteId,
    model: String,
    include_usage: bool,
    has_session: bool,
    encoded: Encoded,
}

/// What a body depends on besides the caller's request.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    pub route: RouteId,
    pub endpoint: &'t str,
    /// The endpoint's name for the model.
    pub model: &'t str,
    pub include_usage: bool,
    /// The session id, if the body carries it.
    pub session_id: Option<&'t str>,
}

/// The distinct requests of one call.
pub struct Requests<'a> {
    request: &'a ChatRequest,
    caller_key: Option<&'a str>,
    cached: Vec<CachedRequest>,
    /// The last continuation, with its route.
    continuation: Option<(RouteId, Encoded)>,
    /// The number of keys issued.
    keys: usize,
}

impl<'a> Requests<'a> {
    /// `resumes`: the first request continues an answer, so the caller's key does not apply to it.
    pub fn new(request: &'a ChatRequest, caller_key: Option<&'a str>, resumes: bool) -> Self {
        Requests { request, caller_key, cached: Vec::new(), continuation: None, keys: usize::from(resumes) }
    }

    /// The request for the rest of an answer. Without any progress it is the same request again.
    pub fn encode_continuation(
        &mut self,
        target: Target<'_>,
        overrides: Overrides<'_>,
        rng: &mut dyn Rng,
    ) -> Encoded {
        let overrides = Overrides { session_id: target.session_id, ..overrides };
        let body: Bytes = self.request.encode(target.model, target.include_usage, &overrides).into();
        if let Some((last, encoded)) = &self.continuation
            && *last == target.route
            && encoded.body == body
        {
            return encoded.clone();
        }
        let encoded = Encoded { body, key: self.key(target.endpoint, rng) };
        self.continuation = Some((target.route, encoded.clone()));
        encoded
    }

    /// A key that is unique among the requests of this call.
    fn key(&mut self, endpoint: &str, rng: &mut dyn Rng) -> String {
        self.keys += 1;
        match (self.caller_key, self.keys) {
            (None, _) => random_id("key_", rng),
            (Some(key), 1) => key.to_owned(),
            (Some(key), count) => format!("{key}-{endpoint}-{count}"),
        }
    }

    /// The request for a route, for an answer that is one document.
    pub fn encode_unstreamed(&mut self, target: Target<'_>, rng: &mut dyn Rng) -> Encoded {
        let overrides = Overrides { session_id: target.session_id, unstreamed: true, ..Overrides::default() };
        let body = self.request.encode(target.model, false, &overrides).into();
        Encoded { body, key: self.key(target.endpoint, rng) }
    }

    /// The request for a route, encoded on first use.
    pub fn encode(&mut self, target: Target<'_>, rng: &mut dyn Rng) -> Encoded {
        let Target { route, endpoint, model, include_usage, session_id } = target;
        let has_session = session_id.is_some();
        let same_body = |cached: &&CachedRequest| {
            cached.model == model
                && cached.include_usage == include_usage
                && cached.has_session == has_session
        };
        let mut bodies = self.cached.iter().filter(same_body);
        if let Some(cached) = bodies.clone().find(|cached| cached.route == route) {
            return cached.encoded.clone();
        }
        let body = match bodies.next() {
            Some(cached) => cached.encoded.body.clone(),
            None => {
                let overrides = Overrides { session_id, ..Overrides::default() };
                self.request.encode(model, include_usage, &overrides).into()
            }
        };
        let encoded = Encoded { body, key: self.key(endpoint, rng) };
        // Most calls have a single one.
        self.cached.reserve_exact(1);
        self.cached.push(CachedRequest {
            route,
            model: model.to_owned(),
            include_usage,
            has_session,
            encoded: encoded.clone(),
        });
        encoded
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    value_of(text.as_bytes())
}

/// The value of a header of a `fetch` request, each of whose characters stands for one byte (Fetch standard, "isomorphic
/// encode").
fn received_value(text: &str) -> Result<HeaderValue> {
    match latin1(text) {
        Some(bytes) => value_of(&bytes),
        None => value(text),
    }
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(char).ok()).collect()
}

fn value_of(bytes: &[u8]) -> Result<HeaderValue> {
    // The text may be a secret, so the error does not quote it.
    HeaderValue::from_bytes(bytes).map_err(|_| {
        Error::new(Kind::InvalidArgument, "a header value contains a character that is not allowed there")
    })
}

/// The headers of every request to an endpoint: its own, those of the call, its key.
pub fn common_headers(
    dialect: Dialect,
    endpoint: &Endpoint,
    extra: &[(String, String)],
    accept: &'static str,
    request_id: &str,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, text) in endpoint.headers.iter().chain(extra) {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::invalid("headers", "an invalid header name", "letters, digits and -"))?;
        headers.insert(name, value(text)?);
    }
    for (name, text) in dialect.headers() {
        headers.entry(*name).or_insert(HeaderValue::from_static(text));
    }
    if let Some(key) = &endpoint.key {
        let (name, scheme) = dialect.key_header();
        let mut secret = value(&format!("{scheme}{}", key.expose()))?;
        secret.set_sensitive(true);
        headers.insert(name, secret);
    }
    headers.insert("accept", HeaderValue::from_static(accept));
    headers.insert("x-client-request-id", value(request_id)?);
    Ok(headers)
}

/// The headers of one attempt.
pub(super) fn headers(
    endpoint: &Endpoint,
    request: &CallRequest,
    idempotency_key: &str,
    request_id: &str,
    attempt: u32,
) -> Result<HeaderMap> {
    let accept = if request.chat.is_streamed() { "text/event-stream" } else { "application/json" };
    let mut headers =
        common_headers(request.chat.dialect(), endpoint, &request.options.headers, accept, request_id)?;
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("idempotency-key", value(idempotency_key)?);
    if endpoint.send_session_id.in_header() {
        headers.insert("x-session-id", value(&request.session_id)?);
    }
    headers.insert("x-holysheep-attempt", attempt.into());
    Ok(headers)
}

/// The headers of a request for the rest of a stream: it has no body, and is the same however often it is sent.
pub(super) fn headers_of_rest(mut headers: HeaderMap) -> HeaderMap {
    for name in ["content-type", "content-length", "idempotency-key"] {
        headers.remove(name);
    }
    headers
}

/// Whether an answer without content is not a failure: the caller says so, or the conversation ends with the result of a
/// tool, after which models end so.
pub(super) fn accepts_empty(request: &CallRequest) -> bool {
    request.options.allow_empty_answer || request.chat.ends_with_tool_result()
}

/// What a call sends to the first endpoint only; `None` for other endpoints.
pub(super) fn first_endpoint_extras(
    request: &CallRequest,
    endpoint_index: usize,
) -> Option<&FirstEndpointExtras> {
    request.options.first_endpoint_extras.as_ref().filter(|_| endpoint_index == 0)
}

/// Adds what the call sends to this endpoint only.
pub(super) fn add_extras(
    headers: &mut HeaderMap,
    url: &mut String,
    extras: &FirstEndpointExtras,
) -> Result<()> {
    for (name, text) in &extras.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::invalid("headers", "an invalid header name", "letters, digits and -"))?;
        let mut text = received_value(text.expose())?;
        text.set_sensitive(true);
        headers.insert(name, text);
    }
    if let Some(query) = &extras.query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(query.expose());
    }
    Ok(())
}

/// Says in the error of a 401 that no key was sent, if that is so.
pub(super) fn explain_missing_key(
    mut error: Error,
    endpoint: &Endpoint,
    extras: Option<&FirstEndpointExtras>,
) -> Error {
    if error.status == Some(401) && endpoint.key.is_none() && endpoint.headers.is_empty() && extras.is_none()
    {
        let name = &endpoint.name;
        error.message += &format!(
            " (no key was sent: endpoint '{name}' has no apiKey, and the client's key is not sent to it)"
        );
    }
    error
}

/// Whether the provider rejects `stream_options`.
pub fn rejects_usage(error: &Error) -> bool {
    rejects(error, &["stream_options", "include_usage"])
}

/// Whether the provider rejects `session_id`.
pub fn rejects_session(error: &Error) -> bool {
    rejects(error, &["session_id"])
}

fn rejects(error: &Error, fields: &[&str]) -> bool {
    let names_it = |text: &str| fields.iter().any(|field| text.contains(field));
    error.kind == Kind::InvalidRequest
        && (names_it(&error.message) || error.body.as_deref().is_some_and(names_it))
}
