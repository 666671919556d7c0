//! Reads an answer to the end.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::Poll;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::Instant;

use super::deliver::{Delivery, ReadEnd};
use super::remainder::{drain, keep_connection};
use super::settings::ReadSettings;
use super::throughput::Meter;
use super::unstreamed::read_unstreamed;
use crate::config::defaults;
use crate::engine::admission::CostReservation;
use crate::engine::time::clock;
use crate::engine::time::{Deadline, unless_silent_until};
use crate::error::{Error, Kind, Phase, Result};
use crate::transport::Body;
use crate::wire::body::Events;
use crate::wire::{chat, provider_error, sse};

/// After this many bytes other tasks have their turn. One read of a socket is at most about as long.
const MAX_UNYIELDED: usize = 256 * 1024;

/// Reads one answer, and passes it to its [`Delivery`].
pub(super) struct Reader<'a> {
    pub settings: ReadSettings,
    pub delivery: Delivery<'a>,
    /// Counts the cost of the answer.
    pub cost: &'a mut CostReservation,
    /// Reading ends at the first token ([`super::peek`]).
    pub stops_at_first_token: bool,
    chunks: chat::Reader,
    has_read_chunk: bool,
    /// Text has arrived after the last finish reason.
    is_unreliable: bool,
    /// When the provider last sent anything after the last finish reason.
    finished_at: Option<Instant>,
    /// Measures the throughput from the first token on, if the caller sets a minimum.
    meter: Option<Box<Meter>>,
    /// How many bytes were read since the last time that other tasks had their turn.
    unyielded: usize,
}

/// What remains of a body after the answer.
pub(super) enum BodyRemainder {
    /// The usage may still follow.
    Usage(Events),
    /// A connection worth reusing.
    Connection,
    Nothing,
}

impl<'a> Reader<'a> {
    pub fn new(settings: ReadSettings, mut delivery: Delivery<'a>, cost: &'a mut CostReservation) -> Self {
        delivery.new_tokens = (settings.min_tokens_per_second > 0.0).then_some(0);
        Reader {
            settings,
            delivery,
            cost,
            stops_at_first_token: false,
            chunks: chat::Reader::default(),
            has_read_chunk: false,
            is_unreliable: false,
            finished_at: None,
            meter: None,
            unyielded: 0,
        }
    }

    /// Reads the answer to the end.
    pub async fn read(&mut self, mut body: Body, first_token_until: Instant) -> Result<()> {
        if let Some(dialect) = self.settings.unstreamed {
            let read = read_unstreamed(&mut self.delivery, dialect, body, self.settings.idle_timeout);
            read.boxed().await?;
            return self.complete();
        }
        match self.read_stream(&mut body, first_token_until).await? {
            BodyRemainder::Usage(events) => {
                let until = self.finished_at.unwrap_or_else(clock::instant) + self.settings.usage_timeout;
                let expects_usage = self.settings.expects_usage;
                drain(&mut self.delivery, expects_usage, until, events, body).boxed().await;
            }
            BodyRemainder::Connection => keep_connection(body),
            BodyRemainder::Nothing => {}
        }
        Ok(())
    }

    /// Reads until the answer is settled, or up to its first token if reading stops there.
    ///
    /// An answer is settled at `[DONE]`, at the end of the body, when the usage has come after the last finish reason (in a
    /// chunk of its own, which is OpenAI's last one) and with it everything that was sent, or
    /// [`defaults::SETTLE_TIMEOUT`] after it. Until then the provider may still add to it, or report an error.
    pub async fn read_stream(
        &mut self,
        body: &mut (impl Stream<Item = Result<Bytes>> + Unpin),
        mut first_token_until: Instant,
    ) -> Result<BodyRemainder> {
        let mut events = Events::new(self.settings.max_event, self.delivery.transcript.max_size());
        // Idle is the time between two reads: many servers send the head immediately and compute afterwards.
        let mut idle_until = None;
        let mut settle_until: Option<Instant> = None;
        let mut deadline = Deadline::new(first_token_until);
        loop {
            let idle = self.settings.idle_timeout(self.delivery.progress.deltas > 0);
            let token_until = self.delivery.progress.first_token.is_none().then_some(first_token_until);
            let (mut until, phase) = match (token_until, idle_until) {
                (Some(token), Some(idle)) if idle < token => (idle, Phase::Idle),
                (Some(token), _) => (token, Phase::FirstToken),
                (None, idle) => (idle.unwrap_or(first_token_until), Phase::Idle),
            };
            let settles = settle_until.filter(|at| *at <= until);
            until = settles.unwrap_or(until);
            // Text that the splice holds must not wait for the next read.
            let splice = self.delivery.continuation.splice.as_ref();
            let splice_until = splice.and_then(|splice| splice.deadline());
            let splice_until = splice_until.map(clock::instant_at).filter(|at| *at < until);
            let until = splice_until.unwrap_or(until);
            let check_at = self.meter.as_ref().map(|meter| meter.next_check()).filter(|at| *at < until);
            let until = check_at.unwrap_or(until);
            let delivery = &mut self.delivery;
            let journal = &delivery.transcript.journal;
            // What has arrived behind the usage is still read, and nothing is waited for.
            let settles_at_once =
                delivery.usage_chunk_arrived && journal.is_complete() && !self.is_unreliable;
            let unyielded = &mut self.unyielded;
            let next = poll_fn(|context| {
                // A body that is always ready would keep its thread from everything else: other calls, timers, the deadline
                // of this one.
                if *unyielded >= MAX_UNYIELDED {
                    *unyielded = 0;
                    delivery.flush();
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if let Poll::Ready(read) = body.poll_next_unpin(context) {
                    return Poll::Ready(Some(read));
                }
                // Everything that has arrived is accepted; now it is delivered.
                delivery.flush();
                if settles_at_once {
                    return Poll::Ready(None);
                }
                deadline.poll(until, context).map(|()| None)
            });
            let Some(read) = next.await else {
                if settles_at_once {
                    self.complete()?;
                    return Ok(BodyRemainder::Usage(events));
                }
                if check_at.is_some() {
                    self.measure_throughput()?;
                    continue;
                }
                if splice_until.is_some() {
                    if let Err(ReadEnd::Failed(error)) = self.delivery.splice_timeout() {
                        return Err(error);
                    }
                    // New text ends the short timeout of an attempt without any.
                    let idle = self.settings.idle_timeout(self.delivery.progress.deltas > 0);
                    idle_until = self.delivery.progress.heard.map(|heard| heard + idle);
                    continue;
                }
                if settles.is_some() {
                    self.complete()?;
                    return Ok(BodyRemainder::Usage(events));
                }
                let limit = if phase == Phase::Idle { idle } else { self.settings.first_token_timeout };
                return Err(Error::timeout(phase, limit));
            };
            let was_complete = self.delivery.transcript.journal.is_complete();
            let accepted = self.delivery.accepted;
            let end = match read {
                Some(Ok(bytes)) => match self.feed(&mut events, &bytes) {
                    Ok(None) if events.is_page() => {
                        Some(ReadEnd::Failed(self.not_an_answer(events.stray(false))))
                    }
                    Ok(end) => end,
                    Err(_) if events.is_document() => Some(self.delivery.too_large()),
                    Err(too_long) => {
                        Some(ReadEnd::Failed(Error::new(Kind::ResponseTooLarge, too_long.to_string())))
                    }
                },
                // The connection is lost, and everything has arrived.
                Some(Err(_)) if was_complete => {
                    self.complete()?;
                    return Ok(BodyRemainder::Nothing);
                }
                Some(Err(error)) => Some(ReadEnd::Failed(error)),
                None => {
                    let finished = loop {
                        match events.finish(|event| self.on_last_event(&event)) {
                            Ok(Some(ReadEnd::Pause)) => {
                                self.delivery.flush();
                                self.unyielded = 0;
                                tokio::task::yield_now().await;
                            }
                            finished => break finished,
                        }
                    };
                    self.delivery.flush();
                    match finished {
                        Ok(Some(ReadEnd::Failed(mut error))) => {
                            error.is_unexplained =
                                events.is_document() && provider_error::is_unexplained(&error);
                            return Err(error);
                        }
                        Ok(Some(ReadEnd::FirstToken | ReadEnd::Pause)) => {}
                        Ok(Some(ReadEnd::Done)) => self.end(true, events.stray(self.has_read_chunk))?,
                        _ => self.end(false, events.stray(self.has_read_chunk))?,
                    }
                    return Ok(BodyRemainder::Nothing);
                }
            };
            if end.is_some() {
                self.delivery.flush();
            }
            match end {
                Some(ReadEnd::Failed(error)) => return Err(error),
                Some(ReadEnd::FirstToken) => return Ok(BodyRemainder::Nothing),
                Some(ReadEnd::Done) => {
                    self.end(true, events.stray(self.has_read_chunk))?;
                    return Ok(BodyRemainder::Connection);
                }
                Some(ReadEnd::Pause) | None => {}
            }
            self.measure_throughput()?;
            if self.delivery.transcript.journal.is_complete() {
                // Text after a finish reason: the provider sends one with every chunk, and only silence ends the answer.
                // Usage shortens it.
                let awaits_text = was_complete && self.is_unreliable && !self.delivery.usage_chunk_arrived;
                let wait = if awaits_text { idle } else { defaults::SETTLE_TIMEOUT };
                // Pings do not keep an answer open.
                if settle_until.is_none() || self.delivery.accepted > accepted {
                    let now = clock::instant();
                    self.finished_at = Some(now);
                    settle_until = Some(now + wait);
                }
            }
            if let Some(ready) = self.delivery.consumer.sink.ready() {
                let since = clock::instant();
                self.delivery.flush();
                self.wait_for_consumer(ready).await?;
                // The time that a slow consumer takes does not count against the server.
                let waited = clock::instant().saturating_duration_since(since);
                first_token_until += waited;
                settle_until = settle_until.map(|until| until + waited);
                if let Some(meter) = &mut self.meter {
                    meter.exclude(waited);
                }
            }
            let now = clock::instant();
            self.delivery.progress.heard = Some(now);
            idle_until = Some(now + self.settings.idle_timeout(self.delivery.progress.deltas > 0));
        }
    }

    fn measure_throughput(&mut self) -> Result<()> {
        Meter::measure(&mut self.meter, self.settings.min_tokens_per_second, self.delivery.take_tokens())
    }

    fn feed(
        &mut self,
        events: &mut Events,
        bytes: &[u8],
    ) -> std::result::Result<Option<ReadEnd>, sse::TooLong> {
        self.unyielded += bytes.len();
        events.feed(bytes, |event| self.on_event(&event))
    }

    /// Accepts an event at the end of the body, where a document may have any number of them.
    fn on_last_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<ReadEnd> {
        self.on_event(event)?;
        self.unyielded += event.data.len();
        if self.unyielded >= MAX_UNYIELDED {
            return ControlFlow::Break(ReadEnd::Pause);
        }
        ControlFlow::Continue(())
    }

    /// Waits until a slow consumer accepts more, at most [`ReadSettings::max_paused`] after it last took something.
    fn wait_for_consumer<'s>(&self, ready: BoxFuture<'s, ()>) -> BoxFuture<'s, Result<()>>
    where
        'a: 's,
    {
        let (sink, limit) = (self.delivery.consumer.sink, self.settings.max_paused);
        let wait = async move {
            let Some(limit) = limit else {
                ready.await;
                return Ok(());
            };
            let mut ready = ready;
            let mut since = clock::instant();
            // A process that was frozen gives its consumer time to go on.
            while unless_silent_until(since + limit, &mut ready).await.is_err() {
                match sink.last_taken().filter(|taken| *taken > since) {
                    Some(taken) => since = taken,
                    None => return Err(Error::timeout(Phase::Paused, limit)),
                }
            }
            Ok(())
        };
        wait.boxed()
    }

    /// Accepts one event.
    fn on_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<ReadEnd> {
        self.delivery.progress.has_content = true;
        match self.delivery.transcript.events.is_some() {
            true => self.on_dialect_event(event)?,
            false => self.on_chunk(event)?,
        }
        match self.stops_at_first_token && self.delivery.progress.first_token.is_some() {
            true => ControlFlow::Break(ReadEnd::FirstToken),
            false => ControlFlow::Continue(()),
        }
    }

    fn on_dialect_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<ReadEnd> {
        let deltas = self.delivery.progress.deltas;
        let was_complete = self.delivery.transcript.journal.is_complete();
        let flow = self.delivery.accept_event(event, self.settings.skip_malformed, self.cost);
        self.is_unreliable |= was_complete && self.delivery.progress.deltas > deltas;
        flow
    }

    fn on_chunk(&mut self, event: &sse::Event<'_>) -> ControlFlow<ReadEnd> {
        if self.delivery.takes_text_as_it_comes()
            && let Some(chunk) = self.chunks.read_text(event.event, &event.data)
        {
            self.is_unreliable |= self.delivery.transcript.journal.is_complete();
            if let Err(end) = self.delivery.accept_text(chunk, &event.data) {
                return ControlFlow::Break(end);
            }
            let counted = self.cost.count_text(chunk.content);
            return self.unless_over_cap(counted);
        }
        let chunk = match self.chunks.read(event.event, &event.data) {
            Ok(chat::StreamEvent::Chunk(chunk)) => chunk,
            Ok(chat::StreamEvent::Other) => return ControlFlow::Continue(()),
            Ok(chat::StreamEvent::Done) => return ControlFlow::Break(ReadEnd::Done),
            Ok(chat::StreamEvent::Error(value)) => {
                let mut error = provider_error::from_event_at(&value, clock::now());
                error.request_id = self.delivery.progress.request_id.clone();
                return ControlFlow::Break(ReadEnd::Failed(error));
            }
            // A partial event at the end of the body is a truncation, which `end` reports.
            Err(_) if event.at_end || self.settings.skip_malformed => return ControlFlow::Continue(()),
            // After the last finish reason only a chunk is part of the answer.
            Err(_) if self.delivery.transcript.journal.is_complete() && !event.data.starts_with('{') => {
                return ControlFlow::Continue(());
            }
            Err(mut error) => {
                // If the first event is not a JSON object, it will not be one the next time either.
                if !self.has_read_chunk && !event.data.trim_ascii_start().starts_with('{') {
                    error.should_retry = Some(false);
                }
                return ControlFlow::Break(ReadEnd::Failed(error));
            }
        };
        self.has_read_chunk = true;
        self.is_unreliable |= self.delivery.transcript.journal.is_complete()
            && chunk
                .choices
                .iter()
                .flatten()
                .any(|choice| choice.delta.as_ref().is_some_and(chat::Delta::is_token));
        if let Err(end) = self.delivery.accept_chunk(&chunk, &event.data) {
            return ControlFlow::Break(end);
        }
        // After the delivery, because it is billed either way.
        let counted = self.cost.count(&chunk);
        self.unless_over_cap(counted)
    }

    /// An answer that exceeds the cost cap fails, unless it is complete.
    fn unless_over_cap(&self, counted: Result<()>) -> ControlFlow<ReadEnd> {
        match counted {
            Err(error) if !self.delivery.transcript.journal.is_complete() => {
                ControlFlow::Break(ReadEnd::Failed(error))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// The body has ended, or `[DONE]` has arrived.
    fn end(&mut self, done: bool, stray: &[u8]) -> Result<()> {
        let journal = &self.delivery.transcript.journal;
        if journal.is_complete()
            && !done
            && let Some(mut error) =
                provider_error::after_answer(&String::from_utf8_lossy(stray), clock::now())
        {
            error.request_id.clone_from(&self.delivery.progress.request_id);
            return Err(error);
        }
        let is_lenient =
            done && (!self.settings.require_finish_reason || journal.shared_finish_reason().is_some());
        if journal.is_complete() || is_lenient || journal.is_complete_without_others() {
            return self.complete();
        }
        if !stray.trim_ascii().is_empty() {
            self.delivery.progress.has_content = true;
            return Err(self.not_an_answer(stray));
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

    /// The error of a body that is not an answer, or in which something else takes the place of the rest of the answer.
    fn not_an_answer(&self, stray: &[u8]) -> Error {
        let status = self.delivery.progress.status.unwrap_or(200);
        let text = String::from_utf8_lossy(stray);
        let error = provider_error::from_text(&text, status, &|_| None, clock::now());
        let mut error = error.unwrap_or_else(|| Error::new(Kind::Malformed, "the body has no answer"));
        error.request_id.clone_from(&self.delivery.progress.request_id);
        if self.has_read_chunk && error.kind == Kind::Malformed {
            // The answer had begun: it is cut off.
            error.kind = Kind::Truncated;
            error.should_retry = None;
        }
        error
    }

    pub fn complete(&mut self) -> Result<()> {
        self.delivery.complete().map_err(|end| match end {
            ReadEnd::Failed(error) => error,
            ReadEnd::Done | ReadEnd::FirstToken | ReadEnd::Pause => {
                Error::new(Kind::Internal, "a complete answer was completed again")
            }
        })
    }
}
