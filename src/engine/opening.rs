//! The beginning of an attempt: a request is sent and the head of its response checked; where two
//! attempts race, the answer is looked at up to its first token.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, Fuse};
use futures::{Stream, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::attempt::{Attempt, Progress, Settings};
use super::client::sleep_until;
use super::clock::{self, timeout_at};
use super::delivery::Delivery;
use super::event::Event;
use super::limiter::Limiter;
use super::live::Live;
use super::sink::{Sink, Wants};
use crate::config::{Secret, defaults as d};
use crate::error::{Error, Kind, Phase, Result};
use crate::session::journal::Journal;
use crate::store::Slot;
use crate::transport::{Body, HeaderMap, Request, Response, Transport};
use crate::wire::dialect::Dialect;
use crate::wire::telling::telling;
use crate::wire::{chat, limits, provider_error, retry_after, secrets};

/// What an opening has found out so far; readable when its future was dropped.
#[derive(Clone, Default)]
pub struct Head {
    /// The request is on its way.
    pub sent: bool,
    pub status: Option<u16>,
    /// The provider's own id of the request.
    pub request_id: Option<String>,
    /// Headers that a caller is told.
    pub headers: Vec<(String, String)>,
}

/// What opens an attempt. It borrows nothing of its call, so that two can be under way.
pub struct Opening {
    pub settings: Settings,
    pub head: Slot<Head>,
    /// It may be quoted back where nobody expects it.
    pub key: Option<Secret>,
    /// Told at once what the head says of the provider's limits: it is old by the end of the answer.
    pub limiters: [Option<Arc<Limiter>>; 2],
}

/// An answer that has begun.
pub struct Opened {
    pub settings: Settings,
    pub body: Body,
    pub first_token_until: Instant,
}

impl Opening {
    /// Sends the request and reads the head. A response that is no event stream is an error.
    pub async fn open(
        mut self,
        transport: &dyn Transport,
        request: impl FnOnce(oneshot::Sender<()>) -> Request,
    ) -> Result<Opened> {
        let (on_sent, mut sent) = oneshot::channel();
        let give_up_at = self.settings.share.map(|share| clock::instant() + share);
        let mut send = transport.send(request(on_sent));
        // The server's time starts when the request is on its way, not while a connection is made.
        let early = tokio::select! {
            biased;
            response = &mut send => Some(response),
            _ = &mut sent => None,
            () = sleep_until(give_up_at) => {
                return Err(Error::timeout(Phase::Connect, self.settings.share.unwrap_or_default()));
            }
        };
        if matches!(early, None | Some(Ok(_))) || sent.try_recv().is_ok() {
            self.head.update(|head| head.sent = true);
        }
        let left = give_up_at.map(|at| at.saturating_duration_since(clock::instant()));
        let first_token = self.settings.first_token_timeout.min(left.unwrap_or(Duration::MAX));
        self.settings.first_token_timeout = first_token;
        let until = clock::instant() + first_token;
        let response = match early {
            Some(response) => response?,
            None => timeout_at(until, send)
                .await
                .map_err(|_| Error::timeout(Phase::FirstToken, first_token))??,
        };
        self.look_at_head(&response);
        let Response { status, headers, body } = response;
        if !(200..300).contains(&status) {
            return Err(self.told(self.refused(status, &headers, body, until).await));
        }
        let content_type = text(&headers, "content-type").unwrap_or_default().to_ascii_lowercase();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let expected: &[&str] = match self.settings.whole.is_some() {
            true => &["", "application/json"],
            false => &["", "text/event-stream", "text/plain", "application/octet-stream"],
        };
        if !expected.contains(&kind) {
            return Err(self.told(self.not_a_stream(status, kind, &headers, body, until).await));
        }
        Ok(Opened { settings: self.settings, body, first_token_until: until })
    }

    fn request_id(&self) -> Option<String> {
        self.head.update(|head| head.request_id.clone())
    }

    fn look_at_head(&self, response: &Response) {
        let id = ["x-request-id", "request-id"].iter().find_map(|name| text(&response.headers, name));
        self.head.update(|head| {
            head.status = Some(response.status);
            let masked = |text: &str| match &self.key {
                Some(key) => secrets::without(text, key.expose()),
                None => text.to_owned(),
            };
            head.request_id = id.map(masked);
            let pairs = response.headers.iter();
            let pairs = pairs.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            head.headers = telling(pairs);
            head.headers.iter_mut().for_each(|(_, text)| *text = masked(text));
        });
        let header = |name: &str| text(&response.headers, name).map(str::to_owned);
        let limits = limits::parse(&header, clock::now());
        self.limiters.iter().flatten().for_each(|limiter| limiter.follow(&limits));
    }

    /// The error, with the headers of the response.
    fn told(&self, mut error: Error) -> Error {
        error.headers = self.head.update(|head| head.headers.clone());
        error
    }

    /// The error of a response that is no success.
    async fn refused(&self, status: u16, headers: &HeaderMap, body: Body, until: Instant) -> Error {
        let body = self.read_some(body, until).await;
        let header = |name: &str| text(headers, name).map(str::to_owned);
        provider_error::from_response(status, text(headers, "content-type"), &body, &header, clock::now())
    }

    /// A success that is no event stream: an error in disguise, or the wrong kind of server.
    async fn not_a_stream(
        &self,
        status: u16,
        kind: &str,
        headers: &HeaderMap,
        body: Body,
        until: Instant,
    ) -> Error {
        let body = self.read_some(body, until).await;
        let value: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        if let Some(value) = value.as_ref().filter(|value| value.get("error").is_some_and(|e| !e.is_null())) {
            let mut error = provider_error::from_event(value);
            let header = |name: &str| text(headers, name).map(str::to_owned);
            error.retry_after = retry_after::parse(&header, clock::now());
            error.request_id = self.request_id();
            return error;
        }
        let text_of_body = String::from_utf8_lossy(&body);
        let what = match kind {
            "text/html" => "an HTML page",
            "application/json" => "a JSON document",
            "text/event-stream" => "an event stream",
            other => other,
        };
        let expected = if self.settings.whole.is_some() { "a JSON document" } else { "an event stream" };
        let mut error = Error::new(
            Kind::Malformed,
            format!("expected {expected}, got {what} (status {status}): is the base URL that of an API?"),
        );
        error.status = Some(status);
        error.request_id = self.request_id();
        error.body = Some(crate::error::cut(&text_of_body, crate::error::BODY_LIMIT).to_owned());
        // Asking the same server again would bring the same page.
        error.should_retry = Some(false);
        error
    }

    /// The start of a body, as far as it comes in time: an error is reported with what is there.
    async fn read_some(&self, mut body: Body, until: Instant) -> Vec<u8> {
        let mut read = Vec::new();
        let until = until.min(clock::instant() + self.settings.idle_timeout.min(d::ERROR_BODY_TIME));
        while let Ok(Some(Ok(bytes))) = timeout_at(until, body.next()).await {
            let room = d::MAX_ERROR_BODY - read.len();
            read.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if read.len() == d::MAX_ERROR_BODY {
                break;
            }
        }
        read
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a look at an answer has to know of its call.
#[derive(Clone, Copy)]
pub struct Peek {
    pub dialect: Dialect,
    pub choices: usize,
    pub buffer_tool_calls: bool,
}

impl Opened {
    /// Reads up to the first token, or to the end of an answer that has none, with the same reader and
    /// the same limits as afterwards, and puts back what was read. Past [`d::MAX_PEEK`] bytes of what is
    /// no token it stops looking: the answer counts as begun.
    pub async fn peek(self, peek: Peek, request_id: Option<String>) -> Result<Opened> {
        let Opened { settings, body, first_token_until } = self;
        let mut tee = Tee { body: body.fuse(), read: Vec::new(), bytes: 0, is_full: false };
        let mut journal = Journal::new(peek.choices);
        let mut events = peek.dialect.events();
        let mut progress = Progress { request_id, ..Progress::default() };
        let delivery = Delivery {
            sink: &Nowhere,
            wants: Wants::Nothing,
            journal: &mut journal,
            progress: &mut progress,
            committed: &mut false,
            live: &Live::new(String::new()),
            on_first_token: &|| {},
            caller_wants_usage: false,
            buffer_tool_calls: peek.buffer_tool_calls,
            continues: false,
            expects_tool_call: false,
            awaited: String::new(),
            spent: None,
            splice: None,
            held: Vec::new(),
            collected: 0,
            shown: 0,
            events: events.as_mut(),
        };
        let mut attempt = Attempt { settings, delivery, peeks: true, reader: chat::Reader::default() };
        let result = attempt.read_stream(&mut tee, first_token_until).await;
        if !tee.is_full {
            result?;
        }
        let Tee { body, read, .. } = tee;
        let body = stream::iter(read).map(Ok).chain(body).boxed();
        Ok(Opened { settings, body, first_token_until })
    }
}

/// A body that remembers what was read of it, and seems to end at the bound of that.
struct Tee {
    body: Fuse<Body>,
    read: Vec<Bytes>,
    bytes: usize,
    is_full: bool,
}

impl Stream for Tee {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.bytes > d::MAX_PEEK {
            self.is_full = true;
            return Poll::Ready(None);
        }
        let polled = self.body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.bytes += bytes.len();
            self.read.push(bytes.clone());
        }
        polled
    }
}

/// A consumer of nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn wants(&self) -> Wants {
        Wants::Nothing
    }

    fn piece(&self, _: &str) {}

    fn complete(&self, _: &str) {}

    fn event(&self, _: Event) {}

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}
