//! One attempt: a request sent, a head checked, a stream read to its end.

use std::ops::ControlFlow;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::bill::Bill;
use super::client::sleep_until;
use super::clock;
use super::delivery::Delivery;
use crate::config::{Completion, defaults as d};
use crate::error::{Error, Kind, Phase, Result};
use crate::transport::{Body, HeaderMap, Request, Response, Transport};
use crate::wire::{chat, limits, provider_error, retry_after, sse};

/// What one attempt is told.
pub struct Settings {
    pub first_token_timeout: Duration,
    /// All the time to the first token, connection included, where a deadline divides it.
    pub share: Option<Duration>,
    pub idle_timeout: Duration,
    pub completion: Completion,
    /// The request asks for the usage chunk.
    pub asked_for_usage: bool,
    /// An event that is no JSON is passed over.
    pub skip_malformed: bool,
}

/// What one attempt has come to so far; readable when its future was dropped.
#[derive(Default)]
pub struct Progress {
    pub status: Option<u16>,
    pub request_id: Option<String>,
    pub first_token: Option<Instant>,
    pub pieces: u64,
    /// The consumer was told that the answer is complete.
    pub complete: bool,
    /// What is reserved for it, and what it has come to.
    pub bill: Bill,
}

pub struct Attempt<'a> {
    pub settings: Settings,
    /// Told at once what the head says of the provider's limits: it is old by the end of the answer.
    pub on_limits: &'a (dyn Fn(&limits::Limits) + Sync),
    pub delivery: Delivery<'a>,
}

/// Why reading an event broke off.
pub enum End {
    Done,
    Failed(Error),
}

impl Attempt<'_> {
    /// Runs the attempt to the end of the answer.
    pub async fn run(
        &mut self,
        transport: &dyn Transport,
        request: impl FnOnce(oneshot::Sender<()>) -> Request,
    ) -> Result<()> {
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
            self.delivery.progress.bill.sent();
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
            return Err(self.refused(status, &headers, body, until).await);
        }
        let content_type = text(&headers, "content-type").unwrap_or_default().to_ascii_lowercase();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if !matches!(kind, "" | "text/event-stream" | "text/plain" | "application/octet-stream") {
            return Err(self.not_a_stream(status, kind, &headers, body, until).await);
        }
        self.read_stream(body, until).await
    }

    fn look_at_head(&mut self, response: &Response) {
        self.delivery.progress.status = Some(response.status);
        let id = ["x-request-id", "request-id"].iter().find_map(|name| text(&response.headers, name));
        self.delivery.progress.request_id = id.map(str::to_owned);
        let header = |name: &str| text(&response.headers, name).map(str::to_owned);
        (self.on_limits)(&limits::parse(&header, clock::now()));
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
            error.request_id = self.delivery.progress.request_id.clone();
            return error;
        }
        let text_of_body = String::from_utf8_lossy(&body);
        let what = match kind {
            "text/html" => "an HTML page",
            "application/json" => "a JSON document",
            other => other,
        };
        let mut error = Error::new(
            Kind::Malformed,
            format!(
                "expected an event stream, got {what} (status {status}): is the base URL that of an API?"
            ),
        );
        error.status = Some(status);
        error.request_id = text(headers, "x-request-id").map(str::to_owned);
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

    async fn read_stream(&mut self, mut body: Body, mut first_token_until: Instant) -> Result<()> {
        let mut parser = sse::Parser::new(d::MAX_LINE);
        let idle = self.settings.idle_timeout;
        // Idle is between two reads: many servers send the head at once and then think.
        let mut idle_until = None;
        loop {
            let token_until = self.delivery.progress.first_token.is_none().then_some(first_token_until);
            let (until, phase) = match (token_until, idle_until) {
                (Some(token), Some(idle)) if idle < token => (idle, Phase::Idle),
                (Some(token), _) => (token, Phase::FirstToken),
                (None, idle) => (idle.unwrap_or(first_token_until), Phase::Idle),
            };
            // Held text may not wait for the next read.
            let splice_until = self.delivery.splice.as_ref().and_then(|splice| splice.deadline());
            let splice_until = splice_until.map(clock::instant_at).filter(|at| *at < until);
            let Ok(read) = timeout_at(splice_until.unwrap_or(until), body.next()).await else {
                if splice_until.is_some() {
                    if let Err(End::Failed(error)) = self.delivery.splice_timeout() {
                        return Err(error);
                    }
                    continue;
                }
                let limit = if phase == Phase::Idle { idle } else { self.settings.first_token_timeout };
                return Err(Error::timeout(phase, limit));
            };
            let end = match read {
                Some(Ok(bytes)) => match parser.feed(&bytes, |event| self.on_event(&event)) {
                    Ok(sse::Fed::All) => None,
                    Ok(sse::Fed::Stopped { value, .. }) => Some(value),
                    Err(too_long) => Some(End::Failed(Error::new(Kind::TooLarge, too_long.to_string()))),
                },
                Some(Err(error)) => Some(End::Failed(error)),
                None => {
                    return match parser.finish(|event| self.on_event(&event)) {
                        Ok(Some(End::Failed(error))) => Err(error),
                        Ok(Some(End::Done)) => self.ended(true),
                        _ => self.ended(false),
                    };
                }
            };
            match end {
                // What follows the last finish reason is no error.
                Some(End::Failed(_)) if self.delivery.journal.is_complete() => return self.finished(),
                Some(End::Failed(error)) => return Err(error),
                Some(End::Done) => {
                    let result = self.ended(true);
                    if result.is_ok() {
                        keep_connection(body);
                    }
                    return result;
                }
                None => {}
            }
            if self.delivery.journal.is_complete() {
                self.finished()?;
                return self.drain(parser, body).await;
            }
            if let Some(ready) = self.delivery.sink.ready() {
                let since = clock::instant();
                ready.await;
                // The time that a slow consumer took is not the server's.
                first_token_until += clock::instant().saturating_duration_since(since);
            }
            idle_until = Some(clock::instant() + idle);
        }
    }

    /// The body has ended, or `[DONE]` has come.
    fn ended(&mut self, done: bool) -> Result<()> {
        if self.delivery.journal.is_complete() || (done && self.settings.completion == Completion::Lenient) {
            return self.finished();
        }
        let what = if done { "sent [DONE]" } else { "ended" };
        Err(Error::new(
            Kind::Truncated,
            format!(
                "the stream {what} without a finish reason: the answer is cut off \
                 (completion: 'lenient' is for a provider that sends none)"
            ),
        ))
    }

    fn finished(&mut self) -> Result<()> {
        self.delivery.finished().map_err(|end| match end {
            End::Failed(error) => error,
            End::Done => Error::new(Kind::Internal, "an answer that is whole has ended twice"),
        })
    }

    /// After the last finish reason: usage comes here, and the connection is worth keeping. The text
    /// has been handed over; nothing that happens here is an error.
    async fn drain(&mut self, mut parser: sse::Parser, mut body: Body) -> Result<()> {
        let until = clock::instant() + d::DRAIN;
        while self.settings.asked_for_usage && self.delivery.journal.usage.is_none() {
            match timeout_at(until, body.next()).await {
                Ok(Some(Ok(bytes))) => match parser.feed(&bytes, |event| self.on_event(&event)) {
                    Ok(sse::Fed::All) => {}
                    _ => break,
                },
                _ => return Ok(()),
            }
        }
        keep_connection(body);
        Ok(())
    }

    /// Takes in one event.
    fn on_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<End> {
        let chunk = match chat::read(event.event, &event.data) {
            Ok(chat::Read::Chunk(chunk)) => chunk,
            Ok(chat::Read::Other) => return ControlFlow::Continue(()),
            Ok(chat::Read::Done) => return ControlFlow::Break(End::Done),
            // After the last finish reason nothing is an error any more.
            _ if self.delivery.journal.is_complete() => return ControlFlow::Break(End::Done),
            Ok(chat::Read::Error(value)) => {
                let mut error = provider_error::from_event(&value);
                error.request_id = self.delivery.progress.request_id.clone();
                return ControlFlow::Break(End::Failed(error));
            }
            // Half an event at the end of the body is a truncation, which `ended` tells.
            Err(_) if event.at_end || self.settings.skip_malformed => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(End::Failed(error)),
        };
        if let Err(end) = self.delivery.chunk(&chunk, &event.data) {
            return ControlFlow::Break(end);
        }
        // After it was handed over: it is paid for.
        match self.delivery.progress.bill.count(&chunk) {
            Err(error) if !self.delivery.journal.is_complete() => ControlFlow::Break(End::Failed(error)),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Reads a finished body to its end in the background, so that its connection can be used again.
fn keep_connection(mut body: Body) {
    let read = async move { while let Some(Ok(_)) = body.next().await {} };
    tokio::spawn(tokio::time::timeout(d::DRAIN, read));
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
