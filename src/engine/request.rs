//! What is sent: each distinct request is encoded once and has one idempotency key.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::Rng;

use super::client::{Call, Client, random_id};
use crate::config::{Endpoint, Own, Secret};
use crate::error::{Error, Kind, Result};
use crate::transport::{HeaderMap, HeaderName, HeaderValue};
use crate::wire::chat::{ChatRequest, Instead};
use crate::wire::dialect::Dialect;
use crate::wire::secrets;

#[derive(Clone)]
pub struct Encoded {
    pub body: Bytes,
    /// The same on every retry of this body at this endpoint, another for any other request.
    pub key: String,
}

struct Known {
    place: usize,
    model: String,
    asks_usage: bool,
    has_session: bool,
    encoded: Encoded,
}

/// What a body depends on beside the caller's request.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    pub place: usize,
    pub endpoint: &'t str,
    /// The endpoint's name of the model.
    pub model: &'t str,
    pub asks_usage: bool,
    /// Where the body is to name the session.
    pub session_id: Option<&'t str>,
}

/// The distinct requests of one call.
pub struct Requests<'a> {
    request: &'a ChatRequest,
    given_key: Option<&'a str>,
    known: Vec<Known>,
    /// The last continuation, and its route.
    continuation: Option<(usize, Encoded)>,
    /// How many keys were given out.
    keys: usize,
}

impl<'a> Requests<'a> {
    /// `goes_on`: the first request is one for the rest of an answer, and not the one that the caller's
    /// key was given for.
    pub fn new(request: &'a ChatRequest, given_key: Option<&'a str>, goes_on: bool) -> Self {
        Requests { request, given_key, known: Vec::new(), continuation: None, keys: usize::from(goes_on) }
    }

    /// The request for the rest of an answer. Asked again without progress it is the same request.
    pub fn encode_continuation(
        &mut self,
        target: Target<'_>,
        instead: Instead<'_>,
        rng: &mut dyn Rng,
    ) -> Encoded {
        let instead = Instead { session_id: target.session_id, ..instead };
        let body: Bytes = self.request.encode(target.model, target.asks_usage, &instead).into();
        if let Some((last, encoded)) = &self.continuation
            && *last == target.place
            && encoded.body == body
        {
            return encoded.clone();
        }
        let encoded = Encoded { body, key: self.key(target.endpoint, rng) };
        self.continuation = Some((target.place, encoded.clone()));
        encoded
    }

    /// A key that no other request of this call has.
    fn key(&mut self, endpoint: &str, rng: &mut dyn Rng) -> String {
        self.keys += 1;
        match (self.given_key, self.keys) {
            (None, _) => random_id("key_", rng),
            (Some(given), 1) => given.to_owned(),
            (Some(given), count) => format!("{given}-{endpoint}-{count}"),
        }
    }

    /// The request for a route, encoded at its first use.
    pub fn encode(&mut self, target: Target<'_>, rng: &mut dyn Rng) -> Encoded {
        let Target { place, endpoint, model, asks_usage, session_id } = target;
        let has_session = session_id.is_some();
        let same_body = |known: &&Known| {
            known.model == model && known.asks_usage == asks_usage && known.has_session == has_session
        };
        let mut bodies = self.known.iter().filter(same_body);
        if let Some(known) = bodies.clone().find(|known| known.place == place) {
            return known.encoded.clone();
        }
        let body = match bodies.next() {
            Some(known) => known.encoded.body.clone(),
            None => {
                let instead = Instead { session_id, ..Instead::default() };
                self.request.encode(model, asks_usage, &instead).into()
            }
        };
        let encoded = Encoded { body, key: self.key(endpoint, rng) };
        // Mostly it stays the only one.
        self.known.reserve_exact(1);
        self.known.push(Known {
            place,
            model: model.to_owned(),
            asks_usage,
            has_session,
            encoded: encoded.clone(),
        });
        encoded
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    // The text may be a secret: it is not shown.
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Error::new(Kind::Invalid, "a header's value holds a character that no header can hold"))
}

/// The headers of every request to an endpoint: its own, the call's, its key.
pub fn common_headers(
    dialect: Dialect,
    endpoint: &Endpoint,
    extra: &[(String, String)],
    accept: &'static str,
    request_id: &str,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, text) in endpoint.headers.iter().chain(extra) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Error::invalid("headers", "a name that no header can have", "letters, digits and -")
        })?;
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
pub fn headers(
    endpoint: &Endpoint,
    call: &Call,
    idempotency_key: &str,
    request_id: &str,
    attempt: u32,
) -> Result<HeaderMap> {
    let accept = if call.request.is_streamed() { "text/event-stream" } else { "application/json" };
    let mut headers =
        common_headers(call.request.dialect(), endpoint, &call.options.headers, accept, request_id)?;
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("idempotency-key", value(idempotency_key)?);
    if endpoint.send_session_id.in_header() {
        headers.insert("x-session-id", value(&call.session_id)?);
    }
    headers.insert("x-holysheep-attempt", attempt.into());
    Ok(headers)
}

/// What a call says to the endpoint of a route and to no other.
pub fn own<'a>(client: &Client, call: &'a Call, place: usize) -> Option<&'a Own> {
    call.options.own.as_ref().filter(|_| place.is_multiple_of(client.endpoints.len()))
}

/// Adds what the call says to this endpoint alone.
pub fn add_own(headers: &mut HeaderMap, url: &mut String, own: &Own) -> Result<()> {
    for (name, text) in &own.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Error::invalid("headers", "a name that no header can have", "letters, digits and -")
        })?;
        let mut text = value(text.expose())?;
        text.set_sensitive(true);
        headers.insert(name, text);
    }
    if let Some(query) = &own.query {
        url.push('?');
        url.push_str(query.expose());
    }
    Ok(())
}

/// The error without the key of its endpoint, in whatever form the provider has quoted it back. Where none was sent, that
/// is said.
pub fn without_key(mut error: Error, endpoint: &Endpoint, own: Option<&Own>) -> Error {
    if error.status == Some(401) && endpoint.key.is_none() && endpoint.headers.is_empty() && own.is_none() {
        let name = &endpoint.name;
        error.message += &format!(
            " (no key was sent: endpoint '{name}' has no apiKey of its own, and the client's is not for it)"
        );
    }
    for key in keys(endpoint, own) {
        let said = &mut *error;
        said.message = secrets::without(&said.message, key);
        let fields = [&mut said.body, &mut said.provider_code, &mut said.provider_type, &mut said.param];
        for text in fields.into_iter().chain([&mut said.request_id]) {
            *text = text.as_deref().map(|text| secrets::without(text, key));
        }
        said.headers.iter_mut().for_each(|(_, text)| *text = secrets::without(text, key));
    }
    error
}

fn keys<'a>(endpoint: &'a Endpoint, own: Option<&'a Own>) -> impl Iterator<Item = &'a str> {
    let key = endpoint.key.as_ref().map(Secret::expose);
    key.into_iter().chain(own.into_iter().flat_map(Own::secrets))
}

/// The headers of a response as an event tells them: without the key, where the provider has quoted it.
pub fn told(
    headers: &[(String, String)],
    endpoint: &Endpoint,
    own: Option<&Own>,
) -> BTreeMap<String, String> {
    let without =
        |text: &String| keys(endpoint, own).fold(text.clone(), |text, key| secrets::without(&text, key));
    headers.iter().map(|(name, text)| (name.clone(), without(text))).collect()
}

/// True for the error of a provider that does not know `stream_options`.
pub fn refuses_usage(error: &Error) -> bool {
    refuses(error, &["stream_options", "include_usage"])
}

/// True for the error of a provider that does not know `session_id`.
pub fn refuses_session(error: &Error) -> bool {
    refuses(error, &["session_id"])
}

fn refuses(error: &Error, fields: &[&str]) -> bool {
    let names_it = |text: &str| fields.iter().any(|field| text.contains(field));
    error.kind == Kind::InvalidRequest
        && (names_it(&error.message) || error.body.as_deref().is_some_and(names_it))
}
