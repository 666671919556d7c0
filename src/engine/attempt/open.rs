//! Opens an attempt: sends the request and checks the head of the response.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::progress::ResponseHead;
use super::settings::ReadSettings;
use crate::config::defaults;
use crate::engine::shared::limiter::Limiter;
use crate::engine::time::clock::{self, sleep_until_some};
use crate::engine::time::unless_silent_until;
use crate::error::{Error, Phase, Result};
use crate::store::SharedState;
use crate::transport::{Body, HeaderMap, HeaderValue, Request, Response, Shortage, Transport};
use crate::wire::one_line::one_line;
use crate::wire::redactor::Redactor;
use crate::wire::{limits, provider_error, response_headers, retry_after};

/// The request of one attempt. It borrows nothing from the call, so two attempts can be opened at once.
pub(super) struct OpenRequest {
    pub settings: ReadSettings,
    pub head: SharedState<ResponseHead>,
    /// For the request id, in case the provider quotes a secret there.
    pub redactor: Arc<Redactor>,
    /// The limiters that adapt to the head immediately: it is stale by the end of the answer.
    pub limiters: [Option<Arc<Limiter>>; 2],
}

/// An open response whose answer has not been read.
pub struct OpenResponse {
    pub(super) settings: ReadSettings,
    pub(super) body: Body,
    pub(super) first_token_until: Instant,
}

impl OpenRequest {
    /// Sends the request and checks the head. An unexpected content type is an error.
    pub async fn open(
        mut self,
        transport: &dyn Transport,
        request: impl FnOnce(oneshot::Sender<()>, Shortage) -> Request,
    ) -> Result<OpenResponse> {
        let (on_sent, mut sent) = oneshot::channel();
        let give_up_at = self.settings.deadline_share.map(|share| clock::instant() + share);
        let shortage = self.head.update(|head| head.shortage.clone());
        let mut send = transport.send(request(on_sent, shortage));
        // The first-token timeout starts when the request is on its way, not while it connects.
        let early = tokio::select! {
            biased;
            response = &mut send => Some(response),
            _ = &mut sent => None,
            () = sleep_until_some(give_up_at) => {
                let timeout = || Error::timeout(Phase::Connect, self.settings.deadline_share.unwrap_or_default());
                return Err(self.head.update(|head| head.lacks().map_or_else(timeout, Error::local_resource)));
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
            let error = self.error_response(status, &headers, body, until).await;
            return Err(self.head.update(|head| head.describe(error)));
        }
        Ok(OpenResponse { settings: self.settings, body, first_token_until: until })
    }

    fn read_head(&self, response: &Response) {
        let id = ["x-request-id", "request-id"].iter().find_map(|name| header_text(&response.headers, name));
        self.head.update(|head| {
            head.status = Some(response.status);
            head.request_id = id.map(|id| one_line(&self.redactor.redact(id)).into_owned());
            let pairs: Vec<_> =
                response.headers.iter().map(|(name, value)| (name.as_str(), text_of(value))).collect();
            if pairs.iter().any(|(name, _)| retry_after::may_be_in(name)) {
                let header = |name: &str| header_text(&response.headers, name).map(str::to_owned);
                head.retry_after = retry_after::parse(&header, clock::now());
            }
            head.headers = response_headers::visible(pairs.iter().map(|(name, text)| (*name, text.as_ref())));
        });
        if self.limiters.iter().any(Option::is_some) {
            let header = |name: &str| header_text(&response.headers, name).map(str::to_owned);
            let limits = limits::parse(&header, clock::now());
            self.limiters.iter().flatten().for_each(|limiter| limiter.adapt(&limits));
        }
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

    /// The part of a body that arrives in time, truncated.
    async fn read_prefix(&self, mut body: Body, until: Instant) -> Vec<u8> {
        let mut read = Vec::new();
        let until =
            until.min(clock::instant() + self.settings.idle_timeout.min(defaults::ERROR_BODY_TIMEOUT));
        while let Ok(Some(Ok(bytes))) = unless_silent_until(until, body.next()).await {
            let remaining = defaults::MAX_ERROR_BODY - read.len();
            read.extend_from_slice(&bytes[..bytes.len().min(remaining)]);
            if read.len() == defaults::MAX_ERROR_BODY {
                break;
            }
        }
        read
    }
}

/// The value of a header as `fetch` shows it, each byte as one character (Fetch standard, "isomorphic decode").
fn text_of(value: &HeaderValue) -> Cow<'_, str> {
    match value.to_str() {
        Ok(text) => text.into(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
