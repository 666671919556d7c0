//! What is sent: each distinct request is encoded once and has one idempotency key.

use bytes::Bytes;
use rand::Rng;

use super::client::random_id;
use crate::config::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::transport::{HeaderMap, HeaderName, HeaderValue};
use crate::wire::chat::{ChatRequest, Instead};

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
    encoded: Encoded,
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
    pub fn new(request: &'a ChatRequest, given_key: Option<&'a str>) -> Self {
        Requests { request, given_key, known: Vec::new(), continuation: None, keys: 0 }
    }

    /// The request for the rest of an answer. Asked again without progress it is the same request.
    pub fn encode_continuation(
        &mut self,
        place: usize,
        endpoint: &str,
        model: &str,
        asks_usage: bool,
        instead: &Instead<'_>,
        rng: &mut dyn Rng,
    ) -> Encoded {
        let body: Bytes = self.request.encode(model, asks_usage, instead).into();
        if let Some((last, encoded)) = &self.continuation
            && *last == place
            && encoded.body == body
        {
            return encoded.clone();
        }
        let encoded = Encoded { body, key: self.key(endpoint, rng) };
        self.continuation = Some((place, encoded.clone()));
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

    /// The request for a route, encoded at its first use. `model` is the endpoint's name of it.
    pub fn encode(
        &mut self,
        place: usize,
        endpoint: &str,
        model: &str,
        asks_usage: bool,
        rng: &mut dyn Rng,
    ) -> Encoded {
        let same_body = |known: &&Known| known.model == model && known.asks_usage == asks_usage;
        let mut bodies = self.known.iter().filter(same_body);
        if let Some(known) = bodies.clone().find(|known| known.place == place) {
            return known.encoded.clone();
        }
        let body = match bodies.next() {
            Some(known) => known.encoded.body.clone(),
            None => self.request.encode(model, asks_usage, &Instead::default()).into(),
        };
        let encoded = Encoded { body, key: self.key(endpoint, rng) };
        self.known.push(Known { place, model: model.to_owned(), asks_usage, encoded: encoded.clone() });
        encoded
    }
}

/// The headers of one attempt: ours, the endpoint's, the call's.
pub fn headers(
    endpoint: &Endpoint,
    extra: &[(String, String)],
    idempotency_key: &str,
    request_id: &str,
    attempt: u32,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let value = |text: &str| {
        // The text may be a secret: it is not shown.
        HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            Error::new(Kind::Invalid, "a header's value holds a character that no header can hold")
        })
    };
    for (name, text) in endpoint.headers.iter().chain(extra) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Error::invalid("headers", "a name that no header can have", "letters, digits and -")
        })?;
        headers.insert(name, value(text)?);
    }
    if let Some(key) = &endpoint.key {
        let mut bearer = value(&format!("Bearer {}", key.expose()))?;
        bearer.set_sensitive(true);
        headers.insert("authorization", bearer);
    }
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("accept", HeaderValue::from_static("text/event-stream"));
    headers.insert("idempotency-key", value(idempotency_key)?);
    headers.insert("x-client-request-id", value(request_id)?);
    headers.insert("x-holysheep-attempt", attempt.into());
    Ok(headers)
}

/// True for the error of a provider that does not know `stream_options`.
pub fn refuses_usage(error: &Error) -> bool {
    let names_it = |text: &str| text.contains("stream_options") || text.contains("include_usage");
    error.kind == Kind::InvalidRequest
        && (names_it(&error.message) || error.body.as_deref().is_some_and(names_it))
}
