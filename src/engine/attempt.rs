//! One attempt: a stream read to its end. Before that it was opened ([`super::opening`]).

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::Instant;

use super::bill::Bill;
use super::clock::{self, timeout_at};
use super::delivery::Delivery;
use super::opening::Opened;
use super::waits::Deadline;
use crate::config::defaults as d;
use crate::error::{Error, Kind, Phase, Result};
use crate::transport::Body;
use crate::wire::dialect::Dialect;
use crate::wire::{chat, provider_error, sse};

/// What one attempt is told.
#[derive(Clone, Copy)]
pub struct Settings {
    pub first_token_timeout: Duration,
    /// All the time to the first token, connection included, where a deadline divides it.
    pub share: Option<Duration>,
    pub idle_timeout: Duration,
    pub require_finish_reason: bool,
    /// The request asks for the usage chunk.
    pub asked_for_usage: bool,
    /// An event that is no JSON is passed over.
    pub skip_malformed: bool,
    /// The answer comes in one piece, in this dialect.
    pub whole: Option<Dialect>,
}

/// What one attempt has come to so far; readable when its future was dropped.
#[derive(Default)]
pub struct Progress {
    pub status: Option<u16>,
    pub request_id: Option<String>,
    pub first_token: Option<Instant>,
    pub deltas: u64,
    /// The consumer was told that the answer is complete.
    pub complete: bool,
    /// What is reserved for it, and what it has come to.
    pub bill: Bill,
}

pub struct Attempt<'a> {
    pub settings: Settings,
    pub delivery: Delivery<'a>,
    /// It only looks for the first token.
    pub peeks: bool,
    pub reader: chat::Reader,
}

/// What is left of a body when the answer has been read.
pub(super) enum Rest {
    /// The usage may come yet.
    Usage(sse::Parser),
    /// A connection that is worth keeping.
    Connection,
    Nothing,
}

/// Why reading an event broke off.
pub enum End {
    Done,
    /// See [`Attempt::peeks`].
    FirstToken,
    Failed(Error),
}

impl Attempt<'_> {
    /// Reads the answer to its end.
    pub async fn read(&mut self, opened: Opened) -> Result<()> {
        let Opened { mut body, first_token_until, .. } = opened;
        if let Some(dialect) = self.settings.whole {
            return self.read_whole(dialect, body).boxed().await;
        }
        match self.read_stream(&mut body, first_token_until).await? {
            Rest::Usage(parser) => self.drain(parser, body).boxed().await,
            Rest::Connection => keep_connection(body),
            Rest::Nothing => {}
        }
        Ok(())
    }

    /// Reads until the answer is whole, or, where it only peeks, until its first token.
    pub(super) async fn read_stream(
        &mut self,
        body: &mut (impl Stream<Item = Result<Bytes>> + Unpin),
        mut first_token_until: Instant,
    ) -> Result<Rest> {
        let mut parser = sse::Parser::new(d::MAX_LINE);
        let idle = self.settings.idle_timeout;
        // Idle is between two reads: many servers send the head at once and then think.
        let mut idle_until = None;
        let mut deadline = Deadline::new(first_token_until);
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
            let until = splice_until.unwrap_or(until);
            let delivery = &mut self.delivery;
            let next = poll_fn(|context| {
                if let Poll::Ready(read) = body.poll_next_unpin(context) {
                    return Poll::Ready(Some(read));
                }
                // All that has come is taken in: now it is handed over.
                delivery.flush();
                deadline.poll(until, context).map(|()| None)
            });
            let Some(read) = next.await else {
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
                    let finished = parser.finish(|event| self.on_event(&event));
                    self.delivery.flush();
                    match finished {
                        Ok(Some(End::Failed(error))) => return Err(error),
                        Ok(Some(End::FirstToken)) => {}
                        Ok(Some(End::Done)) => self.ended(true)?,
                        _ => self.ended(false)?,
                    }
                    return Ok(Rest::Nothing);
                }
            };
            if end.is_some() {
                self.delivery.flush();
            }
            match end {
                // What follows the last finish reason is no error.
                Some(End::Failed(_)) if self.delivery.journal.is_complete() => {
                    self.finished()?;
                    return Ok(Rest::Nothing);
                }
                Some(End::Failed(error)) => return Err(error),
                Some(End::FirstToken) => return Ok(Rest::Nothing),
                Some(End::Done) => {
                    self.ended(true)?;
                    return Ok(Rest::Connection);
                }
                None => {}
            }
            if self.delivery.journal.is_complete() {
                self.finished()?;
                return Ok(Rest::Usage(parser));
            }
            if let Some(ready) = self.delivery.sink.ready() {
                let since = clock::instant();
                self.delivery.flush();
                ready.await;
                // The time that a slow consumer took is not the server's.
                first_token_until += clock::instant().saturating_duration_since(since);
            }
            idle_until = Some(clock::instant() + idle);
        }
    }

    /// The body has ended, or `[DONE]` has come.
    fn ended(&mut self, done: bool) -> Result<()> {
        if self.delivery.journal.is_complete() || (done && !self.settings.require_finish_reason) {
            return self.finished();
        }
        if let Some(events) = &self.delivery.events {
            return Err(super::dialect::truncated(events.terminal()));
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

    pub(super) fn finished(&mut self) -> Result<()> {
        self.delivery.finished().map_err(|end| match end {
            End::Failed(error) => error,
            End::Done | End::FirstToken => {
                Error::new(Kind::Internal, "an answer that is whole has ended twice")
            }
        })
    }

    /// After the last finish reason: usage comes here, and the connection is worth keeping. The text
    /// has been handed over; nothing that happens here is an error.
    async fn drain(&mut self, mut parser: sse::Parser, mut body: Body) {
        let until = clock::instant() + d::DRAIN;
        while self.settings.asked_for_usage && self.delivery.journal.usage.is_none() {
            let Ok(Some(Ok(bytes))) = timeout_at(until, body.next()).await else { return };
            let fed = parser.feed(&bytes, |event| self.on_event(&event));
            self.delivery.flush();
            if !matches!(fed, Ok(sse::Fed::All)) {
                break;
            }
        }
        keep_connection(body);
    }

    /// Takes in one event.
    fn on_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<End> {
        if self.delivery.events.is_some() {
            return self.on_passed_event(event);
        }
        let chunk = match self.reader.read(event.event, &event.data) {
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
        if self.peeks && self.delivery.progress.first_token.is_some() {
            return ControlFlow::Break(End::FirstToken);
        }
        // After it was handed over: it is paid for.
        match self.delivery.progress.bill.count(&chunk) {
            Err(error) if !self.delivery.journal.is_complete() => ControlFlow::Break(End::Failed(error)),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Reads a finished body to its end in the background, so that its connection can be used again.
#[allow(clippy::disallowed_methods)] // Its time is the socket's, whatever clock the call follows.
fn keep_connection(mut body: Body) {
    let read = async move { while let Some(Ok(_)) = body.next().await {} };
    tokio::spawn(tokio::time::timeout(d::DRAIN, read));
}
