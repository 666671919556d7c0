//! One turn of the loop: a breaker's permit, admission, an attempt, and its record.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::attempt::{Attempt, Progress, Settings};
use super::breaker::Guard;
use super::call::Running;
use super::client::random_id;
use super::clock::{self, timeout_at};
use super::closing::Ending;
use super::delivery::Delivery;
use super::event::Event;
use super::hedge::HEDGE;
use super::opening::{Head, Opened, Opening, Peek};
use super::recovery::{Form, refuses_to_continue};
use super::request::{self, Target, own, told, without_key};
use super::room::Reservations;
use super::route::Busy;
use crate::error::{Error, Kind, Phase, Result};
use crate::policy::deadline;
use crate::policy::plan::Reason;
use crate::store::Slot;
use crate::transport::{Method, Request};
use crate::wire::chat::{self, Instead};

/// What a turn holds until it is closed: outside of its future, so that a call whose time runs out in
/// the middle can still say what was learned.
pub(super) struct Engaged {
    pub place: usize,
    pub guard: Option<Guard>,
    /// What the limiters have given, from the admission on.
    pub reserved: Reservations,
    /// Whether the caller's `isFailure` counts the error as a failure.
    pub judged: Option<bool>,
    /// Its place among those that run, until the attempt is over.
    pub permit: Option<OwnedSemaphorePermit>,
    pub _busy: Busy,
}

/// The attempt that is under way.
pub(super) struct Current {
    pub place: usize,
    /// 1-based.
    pub number: u32,
    pub request_id: String,
    pub started: Instant,
    pub waited: Duration,
    pub asked_for_usage: bool,
    pub named_session: bool,
    /// Its part of the answer is written down.
    pub remembered: bool,
    pub is_hedge: bool,
    /// What its opening finds out.
    pub head: Slot<Head>,
    pub progress: Progress,
}

impl Current {
    /// Takes over what the opening has found out.
    pub fn take_head(&mut self) {
        let taken = |head: &mut Head| (head.sent, head.status, head.request_id.clone());
        let (sent, status, request_id) = self.head.update(taken);
        if sent {
            self.progress.bill.sent();
        }
        self.progress.status = status;
        self.progress.request_id = request_id;
    }
}

/// What an attempt begins with.
pub(super) struct Start<'s> {
    pub place: usize,
    /// The reason in its event.
    pub why: &'static str,
    pub others: usize,
    pub form: &'s Form,
    pub peeks: bool,
}

/// The opening of an attempt. It borrows nothing of the call's state.
pub(super) type Beginning<'a> = BoxFuture<'a, Result<Opened>>;

impl<'a> Running<'a> {
    /// The breaker's permit for a route, or how long it stays closed to us.
    pub(super) fn ask_breaker(&self, place: usize) -> std::result::Result<Option<Guard>, Duration> {
        let Some(breaker) = &self.routes[place].lane.breaker else { return Ok(None) };
        let (guard, transition) = breaker.acquire().map_err(|denied| denied.retry_after)?;
        self.report_transition(place, transition, self.previous_request());
        Ok(Some(guard))
    }

    /// One attempt, from its admission to its record. Where the provider refuses only the form of
    /// the request, it is asked once more in another form.
    pub(super) async fn turn(
        &mut self,
        place: usize,
        reason: Reason,
        last: bool,
        guard: Option<Guard>,
        reserved: Reservations,
    ) -> Result<()> {
        self.announce_fallback(place, reason);
        if let (Reason::Retry(_), Some(previous)) = (reason, &self.previous) {
            self.client.metrics.retried(previous.code.unwrap_or("complete"));
        }
        let estimated = self.estimated(place);
        let _busy = Busy::at(&self.routes[place].endpoint);
        self.engaged =
            Some(Engaged { place, guard, reserved: [None, None], judged: None, permit: None, _busy });
        let result = self.admitted(place, reason, last, estimated, reserved).await;
        if let Some(engaged) = &mut self.engaged {
            engaged.permit = None;
        }
        if let Err(error) = &result {
            let judged = self.judge(error).await;
            if let Some(engaged) = &mut self.engaged {
                engaged.judged = judged;
            }
        }
        self.close_turn(Ending::of(result.as_ref().err()));
        result
    }

    async fn admitted(
        &mut self,
        place: usize,
        reason: Reason,
        last: bool,
        estimated: f64,
        reserved: Reservations,
    ) -> Result<()> {
        let permit = self.admit(place, estimated, reserved).await?;
        if let Some(engaged) = &mut self.engaged {
            engaged.permit = permit;
        }
        let mut place = place;
        loop {
            let form = self.form(place);
            let style = form.style;
            let result = self.attempt(place, reason, last, form).await;
            let Err(error) = &result else { return result };
            // The hedge may have taken its place.
            place = self.current.as_ref().map_or(place, |current| current.place);
            if self.refused_field(error) {
                // Asked once more, without it.
            } else if error.kind != Kind::InvalidRequest || style.is_none() {
                return result;
            } else if !self.has_another_style(place, style) {
                return Err(refuses_to_continue(error));
            }
            self.close_attempt(Ending::Failed(error));
        }
    }

    /// True for a provider that does not know a field of ours: it is not sent to it again.
    pub(super) fn refused_field(&self, error: &Error) -> bool {
        let Some(current) = &self.current else { return false };
        let endpoint = &self.routes[current.place].endpoint;
        // Asked of this attempt and not of the endpoint, which another call may have found out meanwhile.
        let usage = current.asked_for_usage && request::refuses_usage(error);
        let session = current.named_session && request::refuses_session(error);
        for (refused, known) in [(usage, &endpoint.refuses_usage), (session, &endpoint.refuses_session)] {
            if refused {
                known.store(true, Ordering::Relaxed);
            }
        }
        usage || session
    }

    /// The consumer has been told that its answer is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.progress.complete)
    }

    /// The caller's own judgement of an error, where there is one and a breaker that listens.
    pub(super) async fn judge(&self, error: &Error) -> Option<bool> {
        self.engaged.as_ref()?.guard.as_ref()?;
        Some(self.sink.judge(error)?.await)
    }

    fn announce_fallback(&self, place: usize, reason: Reason) {
        let (Reason::Fallback, Some(before)) = (reason, self.attempts.last()) else { return };
        let route = &self.routes[place];
        self.emit(Event::Fallback {
            call: self.id.clone(),
            request_id: self.previous_request(),
            endpoint: route.endpoint.config.name.clone(),
            model: route.model.clone(),
            from_endpoint: before.endpoint.clone(),
            from_model: before.model.clone(),
        });
    }

    /// What an attempt holds before it is sent: what it may cost, its name, and the future that opens it.
    /// `others` is how many routes are left after it; `peeks` says that it races.
    pub(super) fn begin(&mut self, start: Start<'_>) -> Result<(Current, Beginning<'a>)> {
        let Start { place, why, others, form, peeks } = start;
        let limit = self.call.request.max_tokens().filter(|_| form.received > 0);
        let rest = limit.map(|max| max.saturating_sub(form.received));
        let bill = self.open_bill(place, form.messages.as_deref(), rest)?;
        let route = &self.routes[place];
        let endpoint = Arc::clone(&route.endpoint.config);
        let options = &self.call.options;
        let request_id = random_id("req_", &mut rand::rng());
        let number = (self.attempts.len() + usize::from(self.current.is_some())) as u32 + 1;
        let name = endpoint.model(&route.model);
        let dialect = self.call.request.dialect();
        let whole = !self.call.request.is_streamed();
        let asks_usage = !dialect.is_passed_on() && !route.endpoint.refuses_usage.load(Ordering::Relaxed);
        let session = self.call.session_id.as_str();
        let names_session = endpoint.send_session_id.in_body() && !dialect.is_passed_on();
        let named_session = names_session && !route.endpoint.refuses_session.load(Ordering::Relaxed);
        let target = Target {
            place,
            endpoint: &endpoint.name,
            model: name,
            asks_usage,
            session_id: named_session.then_some(session),
        };
        let encoded = match form.messages.as_deref().map(serde_json::from_str) {
            Some(Ok(messages)) => {
                let received = form.received;
                let instead = Instead { messages: Some(messages), received, ..Instead::default() };
                self.requests.encode_continuation(target, instead, &mut rand::rng())
            }
            _ => self.requests.encode(target, &mut rand::rng()),
        };
        let own = own(self.client, self.call, place);
        let mut headers = request::headers(&endpoint, self.call, &encoded.key, &request_id, number)?;
        let mut url = format!("{}{}", endpoint.url, dialect.path());
        if let Some(own) = own {
            request::add_own(&mut headers, &mut url, own)?;
        }
        self.emit(Event::Attempt {
            call: self.id.clone(),
            attempt: number,
            endpoint: endpoint.name.clone(),
            model: route.model.clone(),
            request_id: request_id.clone(),
            reason: why,
        });
        let started = clock::instant();
        let settings = Settings {
            // The head of an answer that is not streamed comes when all of it is written.
            first_token_timeout: match whole {
                true => options.whole_answer_timeout,
                false => options.first_token_timeout(others == 0),
            },
            share: self.share(others),
            idle_timeout: options.idle_timeout,
            require_finish_reason: endpoint.require_finish_reason.unwrap_or(options.require_finish_reason),
            asked_for_usage: asks_usage,
            skip_malformed: options.recovery.skip_malformed,
            whole: whole.then_some(dialect),
        };
        let transport_options = self.client.transport_options(options.connect_timeout);
        let head = Slot::<Head>::default();
        let limiters = self.limiters(&route.endpoint);
        let opening = Opening { settings, head: head.clone(), key: endpoint.key.clone(), limiters };
        let send = |on_sent| Request {
            method: Method::POST,
            url,
            headers,
            body: encoded.body,
            options: transport_options,
            on_sent,
        };
        let current = Current {
            place,
            number,
            request_id,
            started,
            waited: mem::take(&mut self.waited),
            asked_for_usage: asks_usage,
            named_session,
            remembered: false,
            is_hedge: why == HEDGE,
            head: head.clone(),
            progress: Progress { bill, ..Progress::default() },
        };
        let transport = &*self.client.transport;
        let limit = options.attempt_timeout;
        let choices = self.call.request.choices();
        let peek = (peeks && !whole).then_some(Peek {
            dialect,
            choices,
            buffer_tool_calls: options.buffer_tool_calls,
        });
        let beginning = async move {
            // What is pinned, and what is boxed because it is rare, takes no room a second time.
            let open = pin!(async move {
                let opened = opening.open(transport, send).await?;
                match peek {
                    None => Ok(opened),
                    Some(peek) => {
                        opened.peek(peek, head.update(|head| head.request_id.clone())).boxed().await
                    }
                }
            });
            let result = match limit {
                None => open.await,
                Some(limit) => timeout_at(started + limit, open)
                    .boxed()
                    .await
                    .unwrap_or_else(|_| Err(Error::timeout(Phase::Attempt, limit))),
            };
            result.map_err(|error| without_key(error, &endpoint, own))
        };
        Ok((current, beginning.boxed()))
    }

    async fn attempt(&mut self, place: usize, reason: Reason, last: bool, form: Form) -> Result<()> {
        let hedge_after = self.hedge_after(place, &form);
        let why = match reason {
            Reason::First => "first",
            Reason::Retry(_) => "retry",
            Reason::Fallback => "fallback",
        };
        let others = if last { 0 } else { self.others };
        let peeks = hedge_after.is_some();
        // In a block: what lives on to an await has a place in the future for as long as that lasts.
        let (due, beginning) = {
            let (current, beginning) = self.begin(Start { place, why, others, form: &form, peeks })?;
            let due = hedge_after.map(|after| current.started + after);
            self.current = Some(current);
            (due, beginning)
        };
        self.tell_writer();
        let opened = match due {
            None => beginning.await,
            Some(due) => self.race(beginning, due).boxed().await,
        };
        self.deliver(opened, form).await
    }

    /// Hands over what an attempt that was opened brings, to its end.
    async fn deliver(&mut self, opened: Result<Opened>, form: Form) -> Result<()> {
        let Some(current) = &mut self.current else {
            return Err(Error::new(Kind::Internal, "an attempt was delivered that has not begun"));
        };
        current.take_head();
        let Current { place, number, started, .. } = *current;
        let own = own(self.client, self.call, place);
        let route = &self.routes[place];
        let endpoint = &route.endpoint.config;
        let options = &self.call.options;
        let (result, join) = match opened {
            Err(error) => (Err(error), None),
            Ok(opened) => {
                let (sink, call, sent_id) = (self.sink, &self.id, current.request_id.clone());
                let head = current.head.clone();
                let on_first_token = || {
                    sink.event(Event::FirstToken {
                        call: call.clone(),
                        attempt: number,
                        endpoint: endpoint.name.clone(),
                        model: route.model.clone(),
                        request_id: sent_id.clone(),
                        first_token_ms: clock::instant().saturating_duration_since(started).as_millis()
                            as u64,
                        headers: head.update(|head| told(&mem::take(&mut head.headers), endpoint, own)),
                    });
                };
                let delivery = Delivery {
                    sink,
                    wants: sink.wants(),
                    journal: &mut self.journal,
                    progress: &mut current.progress,
                    committed: &mut self.committed,
                    live: &self.call.live,
                    on_first_token: &on_first_token,
                    caller_wants_usage: self.call.request.wants_usage(),
                    buffer_tool_calls: options.buffer_tool_calls,
                    continues: form.continues,
                    expects_tool_call: form.continues
                        && self.recovery.lost_tool_call
                        && options.buffer_tool_calls,
                    awaited: String::new(),
                    spent: self.recovery.spent.clone(),
                    splice: form.splice,
                    held: Vec::new(),
                    collected: 0,
                    shown: 0,
                    events: self.events.as_mut(),
                };
                let mut attempt = Attempt {
                    settings: opened.settings,
                    delivery,
                    peeks: false,
                    reader: chat::Reader::default(),
                };
                let read = {
                    let read = pin!(attempt.read(opened));
                    match options.attempt_timeout {
                        None => Ok(read.await),
                        Some(limit) => timeout_at(started + limit, read).boxed().await.map_err(|_| limit),
                    }
                };
                let result = match read {
                    Ok(result) => result,
                    // Only its usage was waited for.
                    Err(_) if attempt.delivery.progress.complete => Ok(()),
                    Err(limit) => Err(Error::timeout(Phase::Attempt, limit)),
                };
                let join = attempt.delivery.splice.as_ref().and_then(|splice| splice.join());
                (result.map_err(|error| without_key(error, endpoint, own)), join)
            }
        };
        let deltas = current.progress.deltas;
        let (endpoint, model) = (endpoint.name.clone(), route.model.clone());
        self.remember_segment(&endpoint, &model, deltas, join);
        if let Some(current) = &mut self.current {
            current.remembered = true;
        }
        result
    }

    /// Says where the answer comes from that is under way.
    pub(super) fn tell_writer(&self) {
        let Some(current) = &self.current else { return };
        let route = &self.routes[current.place];
        let writer = (route.endpoint.config.name.clone(), route.model.clone());
        self.call.live.update(|live| live.writer = Some(writer));
    }

    /// What the deadline leaves the next attempt to its first token, where other routes are to have
    /// time after it.
    fn share(&self, others: usize) -> Option<Duration> {
        let remaining = self.remaining().filter(|_| others > 0)?;
        Some(deadline::share(remaining, others))
    }
}
