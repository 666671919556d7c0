//! Opens an attempt: sends the request and checks the head of the response.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::progress::ResponseHead;
use super::settings::ReadSettings;
use crate::config::{Secret, defaults as d};
use crate::engine::shared::limiter::Limiter;
use crate::engine::time::clock::{self, sleep_until_some};
use crate::engine::time::unless_silent_until;
use crate::error::{BODY_LIMIT, Error, Kind, Phase, Result, truncate};
use crate::store::Slot;
use crate::transport::{Body, HeaderMap, Request, Response, Transport};
use crate::wire::header_allowlist;
use crate::wire::{limits, provider_error, retry_after, secrets};

/// Opens one attempt. It borrows nothing from the call, so two attempts can be opened at once.
pub(super) struct Opening {
    pub settings: ReadSettings,
    pub head: Slot<ResponseHead>,
    /// Masked in the headers and the request id, in case the provider quotes it.
    pub key: Option<Secret>,
    /// The limiters that adapt to the head immediately: it is stale by the end of the answer.
    pub limiters: [Option<Arc<Limiter>>; 2],
}

/// An open response whose answer has not been read.
pub struct Opened {
    pub(super) settings: ReadSettings,
    pub(super) body: Body,
    pub(super) first_token_until: Instant,
}

impl Opening {
    /// Sends the request and checks the head. An unexpected content type is an error.
    pub async fn open(
        mut self,
        transport: &dyn Transport,
        request: impl FnOnce(oneshot::Sender<()>) -> Request,
    ) -> Result<Opened> {
        let (on_sent, mut sent) = oneshot::channel();
        let give_up_at = self.settings.deadline_share.map(|share| clock::instant() + share);
        let mut send = transport.send(request(on_sent));
        // The first-token timeout starts when the request is on its way, not while it connects.
        let early = tokio::select! {
            biased;
            response = &mut send => Some(response),
            _ = &mut sent => None,
            () = sleep_until_some(give_up_at) => {
                return Err(Error::timeout(Phase::Connect, self.settings.deadline_share.unwrap_or_default()));
            }
        };
        if matches!(early, None | Some(Ok(_))) || sent.try_recv().is_ok() {
            self.head.update(|head| head.was_sent = true);
        }
        let left = give_up_at.map(|at| at.saturating_duration_since(clock::instant()));
        let first_token = self.settings.first_token_timeout.min(left.unwrap_or(Duration::MAX));
        self.settings.first_token_timeout = first_token;
        let until = clock::instant() + first_token;
        let response = match early {
            Some(response) => response?,
            None => unless_silent_until(until, send)
                .await
                .map_err(|_| Error::timeout(Phase::FirstToken, first_token))??,
        };
        self.read_head(&response);
        let Response { status, headers, body } = response;
        if !(200..300).contains(&status) {
            return Err(self.with_headers(self.error_response(status, &headers, body, until).await));
        }
        let content_type = header_text(&headers, "content-type").unwrap_or_default().to_ascii_lowercase();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let expected: &[&str] = match self.settings.unstreamed.is_some() {
            true => &["", "application/json"],
            false => &["", "text/event-stream", "text/plain", "application/octet-stream"],
        };
        if !expected.contains(&kind) {
            return Err(self.with_headers(self.unexpected_content(status, kind, &headers, body, until).await));
        }
        Ok(Opened { settings: self.settings, body, first_token_until: until })
    }

    fn request_id(&self) -> Option<String> {
        self.head.update(|head| head.request_id.clone())
    }

    fn read_head(&self, response: &Response) {
        let id = ["x-request-id", "request-id"].iter().find_map(|name| header_text(&response.headers, name));
        self.head.update(|head| {
            head.status = Some(response.status);
            let masked = |text: &str| match &self.key {
                Some(key) => secrets::mask_key(text, key.expose()),
                None => text.to_owned(),
            };
            head.request_id = id.map(masked);
            let pairs = response.headers.iter();
            let pairs = pairs.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            head.headers = header_allowlist::allowed(pairs);
            head.headers.iter_mut().for_each(|(_, text)| *text = masked(text));
        });
        let header = |name: &str| header_text(&response.headers, name).map(str::to_owned);
        let limits = limits::parse(&header, clock::now());
        self.limiters.iter().flatten().for_each(|limiter| limiter.adapt(&limits));
    }

    /// Adds the headers of the response to an error.
    fn with_headers(&self, mut error: Error) -> Error {
        error.headers = self.head.update(|head| head.headers.clone());
        error
    }

    /// The error of a response whose status is not 2xx.
    async fn error_response(&self, status: u16, headers: &HeaderMap, body: Body, until: Instant) -> Error {
        let body = self.read_prefix(body, until).await;
        let header = |name: &str| header_text(headers, name).map(str::to_owned);
        provider_error::from_response(
            status,
            header_text(headers, "content-type"),
            &body,
            &header,
            clock::now(),
        )
    }

    /// A 2xx response with an unexpected content type: an error in disguise, or not an API.
    async fn unexpected_content(
        &self,
        status: u16,
        kind: &str,
        headers: &HeaderMap,
        body: Body,
        until: Instant,
    ) -> Error {
        let body = self.read_prefix(body, until).await;
        let value: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        if let Some(value) = value.as_ref().filter(|value| value.get("error").is_some_and(|e| !e.is_null())) {
            let mut error = provider_error::from_event(value);
            let header = |name: &str| header_text(headers, name).map(str::to_owned);
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
        let expected = if self.settings.unstreamed.is_some() { "a JSON document" } else { "an event stream" };
        let mut error = Error::new(
            Kind::Malformed,
            format!("expected {expected}, got {what} (status {status}): does the base URL point to an API?"),
        );
        error.status = Some(status);
        error.request_id = self.request_id();
        error.body = Some(truncate(&text_of_body, BODY_LIMIT).to_owned());
        // The same server would send the same page again.
        error.should_retry = Some(false);
        error
    }

    /// The part of a body that arrives in time, truncated.
    async fn read_prefix(&self, mut body: Body, until: Instant) -> Vec<u8> {
        let mut read = Vec::new();
        let until = until.min(clock::instant() + self.settings.idle_timeout.min(d::ERROR_BODY_TIMEOUT));
        while let Ok(Some(Ok(bytes))) = unless_silent_until(until, body.next()).await {
            let remaining = d::MAX_ERROR_BODY - read.len();
            read.extend_from_slice(&bytes[..bytes.len().min(remaining)]);
            if read.len() == d::MAX_ERROR_BODY {
                break;
            }
        }
        read
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
