//! One turn of the loop: a breaker's permit, admission, an attempt, and its record.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::attempt::{Attempt, Progress, Settings};
use super::breaker::Guard;
use super::call::{Previous, Running};
use super::client::random_id;
use super::clock;
use super::delivery::Delivery;
use super::event::Event;
use super::limiter::{Limiter, Reserved};
use super::recovery::{Form, refuses_to_continue};
use super::request::{self, Target};
use super::route::{Busy, EndpointState};
use super::spent::Stage;
use crate::config::{Endpoint, Secret, defaults as d};
use crate::error::{AttemptRecord, Error, Kind, Phase, Result, cut};
use crate::policy::circuit_breaker::{Outcome, Transition};
use crate::policy::classify::{Verdict, classify};
use crate::policy::deadline;
use crate::policy::plan::Reason;
use crate::transport::{Method, Request, TransportOptions};
use crate::wire::chat::Instead;
use crate::wire::limits::Limits;
use crate::wire::secrets;

/// What a turn holds until it is closed: outside of its future, so that a call whose time runs out in
/// the middle can still say what was learned.
pub(super) struct Engaged {
    place: usize,
    guard: Option<Guard>,
    /// What the limiters were told that the call would use.
    estimated: f64,
    /// Whether the caller's `isFailure` counts the error as a failure.
    judged: Option<bool>,
    _busy: Busy,
}

/// The attempt that is under way.
pub(super) struct Current {
    place: usize,
    request_id: String,
    started: Instant,
    waited: Duration,
    asked_for_usage: bool,
    named_session: bool,
    /// Its part of the answer is written down.
    remembered: bool,
    progress: Progress,
}

impl Running<'_> {
    /// The breaker's permit for a route, or how long it stays closed to us.
    pub(super) fn ask_breaker(&self, place: usize) -> std::result::Result<Option<Guard>, Duration> {
        let Some(breaker) = &self.routes[place].lane.breaker else { return Ok(None) };
        let (guard, transition) = breaker.acquire().map_err(|denied| denied.retry_after)?;
        self.report_transition(place, transition);
        Ok(Some(guard))
    }

    fn report_transition(&self, place: usize, transition: Option<Transition>) {
        let Some(Transition { from, to }) = transition else { return };
        let route = &self.routes[place];
        self.emit(Event::Circuit {
            call: Some(self.id.clone()),
            request_id: self.previous_request(),
            endpoint: route.endpoint.config.name.clone(),
            model: route.model.clone(),
            from: from.as_str(),
            to: to.as_str(),
        });
    }

    /// One attempt, from its admission to its record. Where the provider refuses only the form of
    /// the request, it is asked once more in another form.
    pub(super) async fn turn(
        &mut self,
        place: usize,
        reason: Reason,
        last: bool,
        guard: Option<Guard>,
    ) -> Result<()> {
        self.check_cost(place)?;
        self.announce_fallback(place, reason);
        if let (Reason::Retry(_), Some(previous)) = (reason, &self.previous) {
            self.client.metrics.retried(previous.code.unwrap_or("complete"));
        }
        let estimated = self.estimated(place);
        let _busy = Busy::at(&self.routes[place].endpoint);
        self.engaged = Some(Engaged { place, guard, estimated, judged: None, _busy });
        let result = self.admitted(place, reason, last, estimated).await;
        if let Err(error) = &result {
            let judged = self.judge(error).await;
            if let Some(engaged) = &mut self.engaged {
                engaged.judged = judged;
            }
        }
        self.close_turn(result.as_ref().err());
        result
    }

    async fn admitted(&mut self, place: usize, reason: Reason, last: bool, estimated: f64) -> Result<()> {
        let endpoint = Arc::clone(&self.routes[place].endpoint);
        // Held until the attempt is over.
        let _permit = self.admit(&endpoint, estimated).await?;
        loop {
            let form = self.form(place);
            let style = form.style;
            let result = self.attempt(place, reason, last, form).await;
            let Err(error) = &result else { return result };
            // Asked of this attempt and not of the endpoint, which another call may have found out meanwhile.
            let asked = self.current.as_ref().map(|current| (current.asked_for_usage, current.named_session));
            let (asked_for_usage, named_session) = asked.unwrap_or_default();
            if asked_for_usage && request::refuses_usage(error) {
                endpoint.refuses_usage.store(true, Ordering::Relaxed);
            } else if named_session && request::refuses_session(error) {
                endpoint.refuses_session.store(true, Ordering::Relaxed);
            } else if error.kind != Kind::InvalidRequest || style.is_none() {
                return result;
            } else if !self.has_another_style(place, style) {
                return Err(refuses_to_continue(error));
            }
            self.close_attempt(Some(error));
        }
    }

    /// Ends the turn that is under way, if one is: tells the breaker and the limiters what was learned,
    /// and writes the record.
    pub(super) fn close_turn(&mut self, error: Option<&Error>) {
        if let Some(Engaged { place, guard, estimated, judged, _busy }) = self.engaged.take() {
            let outcome = self.outcome(error, judged);
            if self.current.is_some() && outcome != Outcome::Ignored {
                let success = outcome == Outcome::Success;
                self.routes[place].lane.record.update(|record| record.ended(success, clock::now()));
            }
            if let Some(guard) = guard {
                self.report_transition(place, guard.report(outcome));
            }
            if self.current.is_some() {
                self.learn(&self.routes[place].endpoint, estimated);
            }
        }
        self.close_attempt(error);
    }

    /// What the breaker learns.
    fn outcome(&self, error: Option<&Error>, judged: Option<bool>) -> Outcome {
        match judged {
            Some(true) => return Outcome::Failure,
            Some(false) => return Outcome::Ignored,
            None => {}
        }
        // Cut off by the call's own deadline: silence until then is the route's, while an answer that
        // was coming, or a queue of our own, says nothing against it.
        let silent = self.current.as_ref().is_some_and(|current| current.progress.first_token.is_none());
        match error {
            None => Outcome::Success,
            Some(error) if error.kind == Kind::Timeout(Phase::Total) && !silent => Outcome::Ignored,
            Some(error) => match classify(error).breaker {
                Verdict::Success => Outcome::Success,
                Verdict::Failure => Outcome::Failure,
                Verdict::Ignored => Outcome::Ignored,
            },
        }
    }

    /// The consumer has been told that its answer is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.progress.complete)
    }

    /// The caller's own judgement of an error, where there is one and a breaker that listens.
    async fn judge(&self, error: &Error) -> Option<bool> {
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

    fn limiters(&self, endpoint: &EndpointState) -> [Option<Arc<Limiter>>; 2] {
        [self.client.limiter.clone(), endpoint.limiter.clone()]
    }

    /// The limiters of the client and of the endpoint, then a place among those that run.
    async fn admit(&mut self, endpoint: &EndpointState, tokens: f64) -> Result<Option<OwnedSemaphorePermit>> {
        let since = clock::instant();
        self.stopwatch.begin(Stage::Queue);
        let mut reserved = Vec::new();
        for limiter in self.limiters(endpoint).into_iter().flatten() {
            reserved.push(limiter.reserve(tokens, || self.wait_event(Duration::ZERO, "rate-limit")).await?);
        }
        let permit = self.client.admission.enter(|| self.wait_event(Duration::ZERO, "queue")).await?;
        reserved.into_iter().for_each(Reserved::spend);
        self.stopwatch.end();
        self.waited += clock::instant().saturating_duration_since(since);
        Ok(permit)
    }

    /// Corrects the estimate by what was used.
    fn learn(&self, endpoint: &EndpointState, estimated: f64) {
        let used = self.journal.usage.as_ref().and_then(|usage| usage.get("total_tokens")?.as_f64());
        for limiter in self.limiters(endpoint).into_iter().flatten() {
            if let Some(used) = used {
                limiter.settle(estimated, used);
            }
        }
    }

    async fn attempt(&mut self, place: usize, reason: Reason, last: bool, form: Form) -> Result<()> {
        let limit = self.call.request.max_tokens().filter(|_| form.received > 0);
        let rest = limit.map(|max| max.saturating_sub(form.received));
        let bill = self.open_bill(place, form.messages.as_deref(), rest)?;
        let route = &self.routes[place];
        let endpoint = &route.endpoint.config;
        let options = &self.call.options;
        let request_id = random_id("req_", &mut self.rng);
        let number = self.attempts.len() as u32 + 1;
        let name = endpoint.model(&route.model);
        let asks_usage = !route.endpoint.refuses_usage.load(Ordering::Relaxed);
        let session = self.call.session_id.as_str();
        let named_session = endpoint.session_field && !route.endpoint.refuses_session.load(Ordering::Relaxed);
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
                self.requests.encode_continuation(target, instead, &mut self.rng)
            }
            _ => self.requests.encode(target, &mut self.rng),
        };
        let headers =
            request::headers(endpoint, &options.headers, &encoded.key, &request_id, session, number)?;
        self.emit(Event::Attempt {
            call: self.id.clone(),
            attempt: number,
            endpoint: endpoint.name.clone(),
            model: route.model.clone(),
            request_id: request_id.clone(),
            reason: match reason {
                Reason::First => "first",
                Reason::Retry(_) => "retry",
                Reason::Fallback => "fallback",
            },
        });
        let started = clock::instant();
        let stretch = if last && options.stretch_last_route { d::LAST_ROUTE_STRETCH } else { 1 };
        let settings = Settings {
            first_token_timeout: options.first_token_timeout.saturating_mul(stretch),
            share: self.share(),
            idle_timeout: options.idle_timeout,
            completion: endpoint.completion.unwrap_or(options.completion),
            asked_for_usage: asks_usage,
            skip_malformed: options.recovery.skip_malformed,
        };
        let (sink, call, sent_id) = (self.sink, &self.id, request_id.clone());
        let on_first_token = || {
            sink.event(Event::FirstToken {
                call: call.clone(),
                attempt: number,
                endpoint: endpoint.name.clone(),
                model: route.model.clone(),
                request_id: sent_id.clone(),
                after_ms: clock::instant().saturating_duration_since(started).as_millis() as u64,
            });
        };
        let url = format!("{}{}", endpoint.url, crate::wire::chat::PATH);
        let transport_options =
            TransportOptions { connect_timeout: options.connect_timeout, ca: self.client.config.ca.clone() };
        self.call.live.update(|live| live.writer = Some((endpoint.name.clone(), route.model.clone())));
        let limiters = self.limiters(&route.endpoint);
        let waited = std::mem::take(&mut self.waited);
        let current = self.current.insert(Current {
            place,
            request_id,
            started,
            waited,
            asked_for_usage: asks_usage,
            named_session,
            remembered: false,
            progress: Progress { bill, ..Progress::default() },
        });
        let delivery = Delivery {
            sink,
            journal: &mut self.journal,
            progress: &mut current.progress,
            committed: &mut self.committed,
            live: &self.call.live,
            on_first_token: &on_first_token,
            caller_wants_usage: self.call.request.wants_usage(),
            hold_tool_calls: options.hold_tool_calls,
            continues: form.continues,
            expects_tool_call: form.continues && self.recovery.lost_tool_call && options.hold_tool_calls,
            awaited: String::new(),
            spent: self.recovery.spent.clone(),
            splice: form.splice,
            held: Vec::new(),
        };
        let on_limits =
            |limits: &Limits| limiters.iter().flatten().for_each(|limiter| limiter.follow(limits));
        let mut attempt = Attempt { settings, on_limits: &on_limits, delivery };
        let send = |on_sent| Request {
            method: Method::POST,
            url,
            headers,
            body: encoded.body,
            options: transport_options,
            on_sent,
        };
        let run = attempt.run(&*self.client.transport, send);
        let result = match options.attempt_timeout {
            None => run.await,
            Some(limit) => match tokio::time::timeout(limit, run).await {
                Ok(result) => result,
                // Only its usage was waited for.
                Err(_) if attempt.delivery.progress.complete => Ok(()),
                Err(_) => Err(Error::timeout(Phase::Attempt, limit)),
            },
        };
        let result = result.map_err(|error| without_key(error, endpoint));
        let seam = attempt.delivery.splice.as_ref().and_then(|splice| splice.seam());
        let pieces = current.progress.pieces;
        let (endpoint, model) = (endpoint.name.clone(), route.model.clone());
        self.remember_part(&endpoint, &model, pieces, seam);
        if let Some(current) = &mut self.current {
            current.remembered = true;
        }
        result
    }

    /// What the deadline leaves the next attempt to its first token, where other routes are to have
    /// time after it.
    fn share(&self) -> Option<Duration> {
        let remaining = self.remaining().filter(|_| self.others > 0)?;
        Some(deadline::share(remaining, self.others))
    }

    /// Writes the record of the attempt that is under way, if one is.
    fn close_attempt(&mut self, error: Option<&Error>) {
        let Some(mut current) = self.current.take() else { return };
        self.settle_bill(current.place, &mut current.progress);
        if !current.remembered {
            let route = &self.routes[current.place];
            let (endpoint, model) = (route.endpoint.config.name.clone(), route.model.clone());
            self.remember_part(&endpoint, &model, current.progress.pieces, None);
        }
        self.recovery.lost_tool_call |= error.is_some() && !self.journal.first().tool_calls.is_empty();
        let usage = self.journal.usage.clone();
        self.spend_usage();
        let route = &self.routes[current.place];
        let since_start = |at: Instant| at.saturating_duration_since(current.started).as_millis() as u64;
        let progress = current.progress;
        let number = self.attempts.len() as u32 + 1;
        let record = AttemptRecord {
            attempt: number,
            endpoint: route.endpoint.config.name.clone(),
            model: route.model.clone(),
            request_id: progress.request_id.clone().unwrap_or_else(|| current.request_id.clone()),
            outcome: error.map_or("complete", Error::code).to_owned(),
            status: progress.status,
            message: error.map(|error| cut(&error.message, 300).to_owned()),
            waited_ms: current.waited.as_millis() as u64,
            duration_ms: since_start(clock::instant()),
            first_token_ms: progress.first_token.map(since_start),
            pieces: progress.pieces,
        };
        if let Some(ms) = record.first_token_ms {
            route.lane.record.update(|known| known.first_token(ms));
        }
        let code = error.map(Error::code);
        self.client.metrics.ended(&record, code, usage.as_ref());
        if let Some(error) = error {
            self.emit(Event::AttemptFailed {
                call: self.id.clone(),
                attempt: number,
                endpoint: record.endpoint.clone(),
                model: record.model.clone(),
                request_id: current.request_id.clone(),
                class: error.kind.class(),
                provider_request_id: progress.request_id,
                code: error.code(),
                status: record.status,
                message: record.message.clone().unwrap_or_default(),
                duration_ms: record.duration_ms,
            });
        }
        self.attempts.push(record);
        self.previous = Some(Previous { request_id: current.request_id, code });
        self.publish();
    }
}

/// The error without the key of its endpoint, in whatever form the provider has quoted it back.
pub(super) fn without_key(mut error: Error, endpoint: &Endpoint) -> Error {
    if let Some(key) = endpoint.key.as_ref().map(Secret::expose) {
        let said = &mut *error;
        said.message = secrets::without(&said.message, key);
        let fields = [&mut said.body, &mut said.provider_code, &mut said.provider_type, &mut said.param];
        for text in fields {
            *text = text.as_deref().map(|text| secrets::without(text, key));
        }
    }
    error
}
