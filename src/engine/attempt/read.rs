//! Reads an answer to the end.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::Poll;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::Instant;

use super::deliver::{Delivery, ReadEnd};
use super::settings::ReadSettings;
use super::unstreamed::read_unstreamed;
use crate::config::defaults;
use crate::engine::admission::CostReservation;
use crate::engine::time::Deadline;
use crate::engine::time::clock::{self, timeout_at};
use crate::error::{Error, Kind, Phase, Result};
use crate::transport::Body;
use crate::wire::{chat, provider_error, sse};

/// Reads one answer, and passes it to its [`Delivery`].
pub(super) struct Reader<'a> {
    pub settings: ReadSettings,
    pub delivery: Delivery<'a>,
    /// Counts the cost of the answer.
    pub cost: &'a mut CostReservation,
    /// Reading ends at the first token ([`super::peek`]).
    pub stops_at_first_token: bool,
    chunks: chat::Reader,
}

/// What remains of a body after the answer.
pub(super) enum BodyRemainder {
    /// The usage may still follow.
    Usage(sse::Parser),
    /// A connection worth reusing.
    Connection,
    Nothing,
}

impl<'a> Reader<'a> {
    pub fn new(settings: ReadSettings, delivery: Delivery<'a>, cost: &'a mut CostReservation) -> Self {
        Reader { settings, delivery, cost, stops_at_first_token: false, chunks: chat::Reader::default() }
    }

    /// Reads the answer to the end.
    pub async fn read(&mut self, mut body: Body, first_token_until: Instant) -> Result<()> {
        if let Some(dialect) = self.settings.unstreamed {
            let read = read_unstreamed(&mut self.delivery, dialect, body, self.settings.idle_timeout);
            read.boxed().await?;
            return self.complete();
        }
        match self.read_stream(&mut body, first_token_until).await? {
            BodyRemainder::Usage(parser) => self.drain(parser, body).boxed().await,
            BodyRemainder::Connection => keep_connection(body),
            BodyRemainder::Nothing => {}
        }
        Ok(())
    }

    /// Reads until the answer is complete, or up to its first token if reading stops there.
    pub async fn read_stream(
        &mut self,
        body: &mut (impl Stream<Item = Result<Bytes>> + Unpin),
        mut first_token_until: Instant,
    ) -> Result<BodyRemainder> {
        let mut parser = sse::Parser::new(defaults::MAX_LINE);
        let idle = self.settings.idle_timeout;
        // Idle is the time between two reads: many servers send the head immediately and compute afterwards.
        let mut idle_until = None;
        let mut deadline = Deadline::new(first_token_until);
        loop {
            let token_until = self.delivery.progress.first_token.is_none().then_some(first_token_until);
            let (until, phase) = match (token_until, idle_until) {
                (Some(token), Some(idle)) if idle < token => (idle, Phase::Idle),
                (Some(token), _) => (token, Phase::FirstToken),
                (None, idle) => (idle.unwrap_or(first_token_until), Phase::Idle),
            };
            // Text that the splice holds must not wait for the next read.
            let splice = self.delivery.continuation.splice.as_ref();
            let splice_until = splice.and_then(|splice| splice.deadline());
            let splice_until = splice_until.map(clock::instant_at).filter(|at| *at < until);
            let until = splice_until.unwrap_or(until);
            let delivery = &mut self.delivery;
            let next = poll_fn(|context| {
                if let Poll::Ready(read) = body.poll_next_unpin(context) {
                    return Poll::Ready(Some(read));
                }
                // Everything that has arrived is accepted; now it is delivered.
                delivery.flush();
                deadline.poll(until, context).map(|()| None)
            });
            let Some(read) = next.await else {
                if splice_until.is_some() {
                    if let Err(ReadEnd::Failed(error)) = self.delivery.splice_timeout() {
                        return Err(error);
                    }
                    continue;
                }
                let limit = if phase == Phase::Idle { idle } else { self.settings.first_token_timeout };
                return Err(Error::timeout(phase, limit));
            };
            let end = match read {
                Some(Ok(bytes)) => match parser.feed(&bytes, |event| self.on_event(&event)) {
                    Ok(sse::FeedResult::All) => None,
                    Ok(sse::FeedResult::Stopped { value, .. }) => Some(value),
                    Err(too_long) => {
                        Some(ReadEnd::Failed(Error::new(Kind::ResponseTooLarge, too_long.to_string())))
                    }
                },
                Some(Err(error)) => Some(ReadEnd::Failed(error)),
                None => {
                    let finished = parser.finish(|event| self.on_event(&event));
                    self.delivery.flush();
                    match finished {
                        Ok(Some(ReadEnd::Failed(error))) => return Err(error),
                        Ok(Some(ReadEnd::FirstToken)) => {}
                        Ok(Some(ReadEnd::Done)) => self.end(true)?,
                        _ => self.end(false)?,
                    }
                    return Ok(BodyRemainder::Nothing);
                }
            };
            if end.is_some() {
                self.delivery.flush();
            }
            let is_complete = self.delivery.transcript.journal.is_complete();
            match end {
                // Nothing after the last finish reason is an error.
                Some(ReadEnd::Failed(_)) if is_complete => {
                    self.complete()?;
                    return Ok(BodyRemainder::Nothing);
                }
                Some(ReadEnd::Failed(error)) => return Err(error),
                Some(ReadEnd::FirstToken) => return Ok(BodyRemainder::Nothing),
                Some(ReadEnd::Done) => {
                    self.end(true)?;
                    return Ok(BodyRemainder::Connection);
                }
                None => {}
            }
            if is_complete {
                self.complete()?;
                return Ok(BodyRemainder::Usage(parser));
            }
            if let Some(ready) = self.delivery.consumer.sink.ready() {
                let since = clock::instant();
                self.delivery.flush();
                ready.await;
                // The time that a slow consumer takes does not count against the server.
                first_token_until += clock::instant().saturating_duration_since(since);
            }
            idle_until = Some(clock::instant() + idle);
        }
    }

    /// Accepts one event.
    fn on_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<ReadEnd> {
        let flow = match self.delivery.transcript.events.is_some() {
            true => self.delivery.accept_event(event, self.settings.skip_malformed, self.cost),
            false => self.on_chunk(event),
        };
        flow?;
        match self.stops_at_first_token && self.delivery.progress.first_token.is_some() {
            true => ControlFlow::Break(ReadEnd::FirstToken),
            false => ControlFlow::Continue(()),
        }
    }

    fn on_chunk(&mut self, event: &sse::Event<'_>) -> ControlFlow<ReadEnd> {
        let chunk = match self.chunks.read(event.event, &event.data) {
            Ok(chat::StreamEvent::Chunk(chunk)) => chunk,
            Ok(chat::StreamEvent::Other) => return ControlFlow::Continue(()),
            Ok(chat::StreamEvent::Done) => return ControlFlow::Break(ReadEnd::Done),
            // Nothing after the last finish reason is an error.
            _ if self.delivery.transcript.journal.is_complete() => return ControlFlow::Break(ReadEnd::Done),
            Ok(chat::StreamEvent::Error(value)) => {
                let mut error = provider_error::from_event(&value);
                error.request_id = self.delivery.progress.request_id.clone();
                return ControlFlow::Break(ReadEnd::Failed(error));
            }
            // A partial event at the end of the body is a truncation, which `end` reports.
            Err(_) if event.at_end || self.settings.skip_malformed => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(ReadEnd::Failed(error)),
        };
        if let Err(end) = self.delivery.accept_chunk(&chunk, &event.data) {
            return ControlFlow::Break(end);
        }
        // After the delivery, because it is billed either way.
        match self.cost.count(&chunk) {
            Err(error) if !self.delivery.transcript.journal.is_complete() => {
                ControlFlow::Break(ReadEnd::Failed(error))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// The body has ended, or `[DONE]` has arrived.
    fn end(&mut self, done: bool) -> Result<()> {
        let is_lenient = done && !self.settings.require_finish_reason;
        if self.delivery.transcript.journal.is_complete() || is_lenient {
            return self.complete();
        }
        if let Some(events) = &self.delivery.transcript.events {
            let message =
                format!("the stream ended without {}: the answer is cut off", events.terminal_events());
            return Err(Error::new(Kind::Truncated, message));
        }
        let what = if done { "sent [DONE]" } else { "ended" };
        Err(Error::new(
            Kind::Truncated,
            format!(
                "the stream {what} without a finish reason: the answer is cut off \
                 (requireFinishReason: false is for a provider that sends none)"
            ),
        ))
    }

    fn complete(&mut self) -> Result<()> {
        self.delivery.complete().map_err(|end| match end {
            ReadEnd::Failed(error) => error,
            ReadEnd::Done | ReadEnd::FirstToken => {
                Error::new(Kind::Internal, "a complete answer was completed again")
            }
        })
    }

    /// Reads on after the last finish reason, for the usage and so that the connection can be reused. The text has been
    /// delivered, so nothing here is an error.
    async fn drain(&mut self, mut parser: sse::Parser, mut body: Body) {
        let until = clock::instant() + defaults::DRAIN_TIMEOUT;
        while self.settings.expects_usage && self.delivery.transcript.journal.usage.is_none() {
            let Ok(Some(Ok(bytes))) = timeout_at(until, body.next()).await else { return };
            let fed = parser.feed(&bytes, |event| self.on_event(&event));
            self.delivery.flush();
            if !matches!(fed, Ok(sse::FeedResult::All)) {
                break;
            }
        }
        keep_connection(body);
    }
}

/// Reads the remainder of a finished body in the background, so that the connection can be reused.
#[allow(clippy::disallowed_methods)] // The socket's time is real, whatever clock the call uses.
fn keep_connection(mut body: Body) {
    let read = async move { while let Some(Ok(_)) = body.next().await {} };
    tokio::spawn(tokio::time::timeout(defaults::DRAIN_TIMEOUT, read));
}
