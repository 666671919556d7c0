//! One attempt: a request sent, a head checked, a stream read to its end.

use std::ops::ControlFlow;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::clock;
use super::sink::{Sink, Wants};
use crate::config::{Completion, defaults as d};
use crate::error::{Error, Kind, Phase, Result};
use crate::session::journal::Journal;
use crate::transport::{Body, HeaderMap, Request, Response, Transport};
use crate::wire::{chat, limits, provider_error, retry_after, sse};

/// What one attempt is told.
pub struct Settings {
    pub first_token_timeout: Duration,
    pub idle_timeout: Duration,
    pub completion: Completion,
    /// The caller asked for the usage chunk.
    pub caller_wants_usage: bool,
    /// The request asks for it.
    pub asked_for_usage: bool,
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
    pub limits: Option<limits::Limits>,
}

pub struct Attempt<'a> {
    pub settings: Settings,
    pub sink: &'a dyn Sink,
    pub journal: &'a mut Journal,
    pub progress: &'a mut Progress,
    /// Set when something has been handed to the consumer.
    pub committed: &'a mut bool,
    /// Called once, with the first token.
    pub on_first_token: &'a (dyn Fn() + Sync),
    /// Chunks before the first token (a bare role): handed over with it, so that until then another
    /// attempt can take over unseen.
    pub held: Vec<String>,
}

/// Why reading an event broke off.
enum End {
    Done,
    Failed(Error),
}

/// More role-only chunks than any provider sends.
const MAX_HELD: usize = 64;

impl Attempt<'_> {
    /// Runs the attempt to the end of the answer.
    pub async fn run(
        mut self,
        transport: &dyn Transport,
        request: impl FnOnce(oneshot::Sender<()>) -> Request,
    ) -> Result<()> {
        let (on_sent, mut sent) = oneshot::channel();
        let mut send = transport.send(request(on_sent));
        // The server's time starts when the request is on its way, not while a connection is made.
        let first_token = self.settings.first_token_timeout;
        let early = tokio::select! {
            biased;
            response = &mut send => Some(response?),
            _ = &mut sent => None,
        };
        let until = clock::instant() + first_token;
        let response = match early {
            Some(response) => response,
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
        self.progress.status = Some(response.status);
        let id = ["x-request-id", "request-id"].iter().find_map(|name| text(&response.headers, name));
        self.progress.request_id = id.map(str::to_owned);
        let header = |name: &str| text(&response.headers, name).map(str::to_owned);
        self.progress.limits = Some(limits::parse(&header, clock::now()));
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
            error.request_id = self.progress.request_id.clone();
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
            let token_until = self.progress.first_token.is_none().then_some(first_token_until);
            let (until, phase) = match (token_until, idle_until) {
                (Some(token), Some(idle)) if idle < token => (idle, Phase::Idle),
                (Some(token), _) => (token, Phase::FirstToken),
                (None, idle) => (idle.unwrap_or(first_token_until), Phase::Idle),
            };
            let Ok(read) = timeout_at(until, body.next()).await else {
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
                Some(End::Failed(_)) if self.journal.is_complete() => return self.finished(),
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
            if self.journal.is_complete() {
                self.finished()?;
                return self.drain(parser, body).await;
            }
            if let Some(ready) = self.sink.ready() {
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
        if self.journal.is_complete() || (done && self.settings.completion == Completion::Lenient) {
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

    /// The answer is whole: whatever is held goes out.
    fn finished(&mut self) -> Result<()> {
        self.release();
        self.progress.complete = true;
        self.sink.complete(&self.journal.first().text);
        Ok(())
    }

    /// After the last finish reason: usage comes here, and the connection is worth keeping. The text
    /// has been handed over; nothing that happens here is an error.
    async fn drain(&mut self, mut parser: sse::Parser, mut body: Body) -> Result<()> {
        let until = clock::instant() + d::DRAIN;
        while self.settings.asked_for_usage && self.journal.usage.is_none() {
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

    /// Takes in one event. What is to be handed over is handed over here.
    fn on_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<End> {
        let chunk = match chat::read(event.event, &event.data) {
            Ok(chat::Read::Chunk(chunk)) => chunk,
            Ok(chat::Read::Other) => return ControlFlow::Continue(()),
            Ok(chat::Read::Done) => return ControlFlow::Break(End::Done),
            // After the last finish reason nothing is an error any more.
            _ if self.journal.is_complete() => return ControlFlow::Break(End::Done),
            Ok(chat::Read::Error(value)) => {
                let mut error = provider_error::from_event(&value);
                error.request_id = self.progress.request_id.clone();
                return ControlFlow::Break(End::Failed(error));
            }
            // Half an event at the end of the body is a truncation, which `ended` tells.
            Err(_) if event.at_end => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(End::Failed(error)),
        };
        let complete = self.journal.is_complete();
        self.identify(&chunk);
        if let Some(usage) = chunk.usage.filter(|usage| usage.get() != "null") {
            self.journal.usage = serde_json::from_str(usage.get()).ok();
        }
        let choices = chunk.choices.as_deref().unwrap_or_default();
        if complete {
            // The answer is whole, and its consumer may know: of what follows only the usage counts.
            if self.settings.caller_wants_usage && choices.is_empty() && self.sink.wants() == Wants::Chunks {
                self.release();
                self.hand_over(&event.data);
            }
            return ControlFlow::Continue(());
        }
        // The usage chunk is kept from a caller who did not ask for it.
        let shown = !choices.is_empty() || self.settings.caller_wants_usage || chunk.usage.is_none();
        let token = choices.iter().any(|choice| choice.delta.as_ref().is_some_and(chat::Delta::is_token));
        if token && self.progress.first_token.is_none() {
            self.progress.first_token = Some(clock::instant());
            (self.on_first_token)();
        }
        if shown && self.sink.wants() == Wants::Chunks {
            if token || self.progress.first_token.is_some() || self.held.len() >= MAX_HELD {
                self.release();
                self.hand_over(&event.data);
            } else {
                self.held.push(event.data.to_string());
            }
        }
        for choice in choices {
            self.on_choice(choice);
        }
        ControlFlow::Continue(())
    }

    fn identify(&mut self, chunk: &chat::Chunk<'_>) {
        let identity = &mut self.journal.identity;
        let take = |place: &mut Option<String>, given: &Option<chat::Text<'_>>| {
            if let (None, Some(text)) = (&place, given) {
                *place = Some(text.0.to_string());
            }
        };
        take(&mut identity.id, &chunk.id);
        take(&mut identity.model, &chunk.model);
        take(&mut identity.system_fingerprint, &chunk.system_fingerprint);
        take(&mut identity.service_tier, &chunk.service_tier);
        identity.created = identity.created.or(chunk.created);
    }

    fn on_choice(&mut self, given: &chat::Choice<'_>) {
        let Some(choice) = self.journal.choice(given.index) else { return };
        let mut text = None;
        if let Some(delta) = &given.delta {
            if let Some(content) = &delta.content {
                choice.text.push_str(&content.0);
                text = Some(&*content.0).filter(|piece| !piece.is_empty() && given.index == 0);
            }
            // Some send both names, and the same under both or nothing under one.
            let names = [&delta.reasoning_content, &delta.reasoning];
            if let Some(reasoning) = names.into_iter().flatten().find(|text| !text.0.is_empty()) {
                choice.reasoning.push_str(&reasoning.0);
            }
            if let Some(refusal) = &delta.refusal {
                choice.refusal.push_str(&refusal.0);
            }
            for part in delta.tool_calls.iter().flatten() {
                let Some(call) = choice.tool_call(part.index) else { continue };
                let function = part.function.as_ref();
                if let Some(id) = part.id.as_ref().filter(|_| call.id.is_empty()) {
                    call.id.push_str(&id.0);
                }
                if let Some(name) = function.and_then(|f| f.name.as_ref()).filter(|_| call.name.is_empty()) {
                    call.name.push_str(&name.0);
                }
                if let Some(arguments) = function.and_then(|f| f.arguments.as_ref()) {
                    call.arguments.push_str(&arguments.0);
                }
            }
        }
        if let Some(logprobs) = given.logprobs.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
            choice.add_logprobs(logprobs);
        }
        if let Some(reason) = given.finish_reason.as_ref().filter(|reason| !reason.0.is_empty()) {
            choice.finish_reason = Some(reason.0.to_string());
        }
        if let Some(piece) = text {
            match self.sink.wants() {
                Wants::Text => self.hand_over(piece),
                // The chunk went out as a whole, or nobody asked; it is counted all the same.
                Wants::Chunks | Wants::Nothing => self.progress.pieces += 1,
            }
        }
    }

    fn hand_over(&mut self, piece: &str) {
        *self.committed = true;
        if self.sink.wants() == Wants::Text {
            self.progress.pieces += 1;
        }
        self.sink.piece(piece);
    }

    fn release(&mut self) {
        for chunk in std::mem::take(&mut self.held) {
            self.hand_over(&chunk);
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
