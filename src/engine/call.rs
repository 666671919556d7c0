//! One logical call: the loop over attempts. What comes next is decided by [`crate::policy::plan`];
//! here it is waited for, and its outcome is turned into an answer or an error. [`super::turn`] runs
//! and records the single attempt.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Answer;
use super::client::{Call, Client, random_id};
use super::clock;
use super::cost::{self, Tab};
use super::event::Event;
use super::hedge::Hedging;
use super::recovery::Recovery;
use super::request::Requests;
use super::room::no_room;
use super::route::{EndpointState, Lane};
use super::sink::Sink;
use super::spent::{Stage, Stopwatch};
use super::stopping::interrupted;
use super::turn::{Current, Engaged};
use crate::config::{Mode, defaults as d};
use crate::error::{AttemptRecord, Connection, Error, Kind, Phase, Result};
use crate::policy::backoff::Waits;
use crate::policy::classify::classify;
use crate::policy::deadline;
use crate::policy::decisions::Decision;
use crate::policy::plan::{self, Failure, Plan, Step, Stop};
use crate::policy::route;
use crate::session::journal::Journal;
use crate::session::snapshot::Snapshot;
use crate::wire::dialect::Events;

/// One route of this call.
pub(super) struct Route {
    pub endpoint: Arc<EndpointState>,
    /// Our name of the model.
    pub model: String,
    pub lane: Lane,
    /// The call's place in the order of arrival at the route's line, once it has come to it.
    pub ticket: Option<u64>,
    /// It had been let in there, and the limit was spent when its place came: no full queue turns it away.
    pub was_in: bool,
}

/// The attempt before: its id, as we sent it, and the code of its error.
pub(super) struct Previous {
    pub request_id: String,
    pub code: Option<&'static str>,
}

/// The state of a call, outside of the future that runs it: what it has come to stays readable when
/// that future is dropped.
pub(super) struct Running<'a> {
    pub client: &'a Client,
    pub call: &'a Call,
    pub sink: &'a dyn Sink,
    pub id: String,
    pub started: Instant,
    /// Model by model, each at every endpoint.
    pub routes: Vec<Route>,
    pub requests: Requests<'a>,
    pub journal: Journal,
    /// In a dialect whose events are handed on as they are.
    pub events: Option<Box<dyn Events>>,
    pub attempts: Vec<AttemptRecord>,
    pub previous: Option<Previous>,
    /// The turn, and in it the attempt, that is under way.
    pub engaged: Option<Engaged>,
    pub current: Option<Current>,
    /// Something has been handed to the consumer: from here on no attempt can start unseen.
    pub committed: bool,
    pub recovery: Recovery,
    pub tab: Tab,
    /// How long the call has waited since the last attempt.
    pub waited: Duration,
    pub stopwatch: Stopwatch,
    /// How many other routes are left to go to when this one fails.
    pub others: usize,
    pub hedging: Hedging,
}

impl<'a> Running<'a> {
    pub fn new(client: &'a Client, call: &'a Call, sink: &'a dyn Sink, started: Instant) -> Self {
        let config = &client.config;
        let id = random_id("call_", &mut rand::rng());
        let mut models = vec![call.request.model().unwrap_or_else(|| config.model.clone())];
        for model in &call.options.fallback_models {
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        cost::in_order(&mut models, &client.costs, config);
        let alone = models.len() * client.endpoints.len() == 1;
        let mut routes = Vec::with_capacity(models.len() * client.endpoints.len());
        for model in &models {
            for endpoint in &client.endpoints {
                let lane = endpoint.lane(model, &config.breaker, client.shared_breaker.as_ref(), alone);
                let (endpoint, model) = (Arc::clone(endpoint), model.clone());
                routes.push(Route { endpoint, model, lane, ticket: None, was_in: false });
            }
        }
        let goes_on = call.resumes.as_deref().is_some_and(Snapshot::has_begun);
        let mut running = Running {
            client,
            call,
            sink,
            id,
            started,
            routes,
            requests: Requests::new(&call.request, call.options.idempotency_key.as_deref(), goes_on),
            journal: Journal::new(call.request.choices()),
            events: call.request.dialect().events(),
            attempts: Vec::new(),
            previous: None,
            engaged: None,
            current: None,
            committed: false,
            recovery: Recovery::default(),
            tab: Tab::default(),
            waited: Duration::ZERO,
            stopwatch: Stopwatch::default(),
            others: 0,
            hedging: Hedging::default(),
        };
        if let Some(snapshot) = &call.resumes {
            running.restore(Snapshot::clone(snapshot));
        }
        running
    }

    fn plan(&mut self) -> Plan {
        let endpoints = self.client.endpoints.len();
        let order = self.order();
        let now = clock::now();
        let routes = order.into_iter().map(|place| {
            let route = &self.routes[place];
            let endpoint = place % endpoints;
            let key = self.client.same_key(endpoint);
            let context = self.client.config.catalogue.context_tokens(&route.model);
            let at = plan::Route { place, endpoint, model: place / endpoints, key, context };
            // Nothing is told of a part of a millisecond: the whole one is waited for.
            let left = route.lane.line.pause().map(|pause| pause.left.as_nanos().div_ceil(1_000_000) as u64);
            (at, left.map(|left| now + left))
        });
        let single = self.call.options.single;
        let settings = plan::Settings {
            max_retries: if single { 0 } else { self.call.options.max_retries },
            backoff: self.call.options.retry.backoff.clone(),
            max_retry_after: self.call.options.retry.max_retry_after,
            min_attempt: deadline::least(self.call.options.total_timeout, d::MIN_ATTEMPT),
        };
        Plan::new(settings, routes.take(if single { 1 } else { usize::MAX }).collect())
            .rotating(self.call.options.rotate_endpoints)
    }

    /// The places of the routes, model by model, each model's endpoints as the routing says.
    fn order(&mut self) -> Vec<usize> {
        let endpoints = self.client.endpoints.len();
        if endpoints == 1 {
            return (0..self.routes.len()).collect();
        }
        let tokens: Vec<f64> = (0..self.routes.len()).map(|place| self.estimated(place)).collect();
        let strategy = self.client.config.routing;
        let mut places = Vec::with_capacity(self.routes.len());
        for (model, routes) in self.routes.chunks(endpoints).enumerate() {
            let tokens = &tokens[model * endpoints..];
            let look =
                |(route, tokens): (&Route, &f64)| route.endpoint.candidate(&route.lane, strategy, *tokens);
            let candidates: Vec<_> = routes.iter().zip(tokens).map(look).collect();
            let order = route::order(strategy, &candidates, &mut rand::rng());
            places.extend(order.into_iter().map(|index| model * endpoints + index));
        }
        places
    }

    /// What the deadline leaves.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let total = self.call.options.total_timeout?;
        Some(total.saturating_sub(clock::instant().saturating_duration_since(self.started)))
    }

    pub async fn run(&mut self) -> Result<()> {
        if self.recovery.goes_on {
            if self.call.resumes.as_ref().is_some_and(|snapshot| snapshot.answer.complete) {
                return self.was_complete();
            }
            if let Some(why) = self.hindrance() {
                return Err(Error::new(Kind::Interrupted, format!("the answer cannot be resumed: {why}")));
            }
            if self.is_used_up() {
                return self.end_by_length();
            }
            self.break_event(Duration::ZERO);
        }
        let first = self.attempts.len();
        self.client.budget.deposit(self.tenant());
        let mut plan = self.plan();
        let mut step = plan.start(clock::now(), self.remaining(), &mut rand::rng());
        let mut last: Option<Error> = None;
        let mut refused: Option<Error> = None;
        loop {
            let (route, wait, asked, reason) = match step {
                Step::Try { route, wait, asked, reason } => (route, wait, asked, reason),
                Step::Stop(Stop::NoRoom) if refused.is_some() => return Err(no_room(refused, last)),
                Step::Stop(stop) => return Err(self.stopped(stop, last)),
            };
            self.pause(wait, if asked { "retry-after" } else { "backoff" }).await;
            let looked = self.look(route.place, &plan);
            let reserved = match looked {
                Ok(reserved) => reserved,
                Err(why) => match self.pass_over(why, reason, &mut plan, &mut refused) {
                    Ok(next) => {
                        step = next;
                        continue;
                    }
                    Err(error) => return Err(no_room(Some(error), last)),
                },
            };
            let guard = match self.ask_breaker(route.place) {
                Ok(guard) => guard,
                Err(retry_after) => {
                    self.unpay(reason);
                    step = plan.denied(retry_after, clock::now(), self.remaining(), &mut rand::rng());
                    step = self.pay(step, &mut plan);
                    continue;
                }
            };
            self.others = plan.others();
            self.prepare_hedge(first, &plan);
            let made = self.attempts.len();
            let turn = self.turn(route.place, reason, plan.is_last(), guard, reserved);
            let Err(mut error) = turn.await else {
                return Ok(());
            };
            if self.attempts.len() == made {
                let why = self.unmade(route.place, error);
                match self.pass_over(why, reason, &mut plan, &mut refused) {
                    Ok(next) => {
                        step = next;
                        continue;
                    }
                    Err(error) => return Err(no_room(Some(error), last)),
                }
            }
            let place = self.after_hedge(route.place, &mut plan);
            if matches!(error.kind, Kind::QueueFull | Kind::NeverFits | Kind::CostCap | Kind::Invalid) {
                // No attempt was made: why another one was needed is the failure before it.
                error.cause = error.cause.take().or(last);
                return Err(error);
            }
            if self.is_used_up() {
                return self.end_by_length();
            }
            let begun = self.has_begun();
            if begun && let Some(why) = self.obstacle() {
                return Err(interrupted(error, &why));
            }
            self.recovery.goes_on = begun && self.call.options.recovery.mode == Mode::Continue;
            if self.call.options.max_attempts.is_some_and(|max| self.attempts.len() - first >= max as usize) {
                return Err(self.stopped(Stop::Exhausted, Some(error)));
            }
            let failure = self.failure(place, &error);
            // Progress is what the consumer has: what it has not seen is asked for from the beginning.
            if begun && self.attempts.last().is_some_and(|attempt| attempt.deltas > 0) {
                plan.progressed();
            }
            step = plan.failed(failure, clock::now(), self.remaining(), &mut rand::rng());
            step = self.pay(step, &mut plan);
            if begun && let Step::Try { wait, .. } = &step {
                self.recovery.count += 1;
                self.publish();
                self.break_event(*wait);
            }
            last = Some(error);
        }
    }

    /// What a failure means for the plan. A route that asks for a pause cools from here on.
    pub(super) fn failure(&self, place: usize, error: &Error) -> Failure {
        let retry = &self.call.options.retry;
        let earlier = self.call.resumes.as_ref().map_or(0, |snapshot| snapshot.attempts.len());
        let decision = retry.decisions.of(error).map(|row| row.after(self.attempts.len() - earlier));
        let class = classify(error);
        let class = decision.map_or(class, |decision| decision.apply(class, error.kind));
        self.quieten(place, error, class.cools);
        Failure {
            class,
            retry_after: error.retry_after,
            silent: matches!(error.kind, Kind::Timeout(_)),
            // Unless the caller has said what is done about it.
            limited: class.cools && decision.is_none(),
            waits: match decision {
                Some(Decision::After(waits) | Decision::Only(waits)) => {
                    Some(Waits::Schedule(Arc::clone(waits)))
                }
                _ if is_reset(error) => retry.connection_reset.clone().map(Waits::Between),
                _ => None,
            },
        }
    }

    async fn pause(&mut self, wait: Duration, reason: &'static str) {
        if wait.is_zero() {
            return;
        }
        self.wait_event(wait, reason);
        let since = clock::instant();
        self.stopwatch.begin(Stage::Wait);
        clock::sleep(wait).await;
        self.stopwatch.end();
        self.waited += clock::instant().saturating_duration_since(since);
    }

    pub fn wait_event(&self, wait: Duration, reason: &'static str) {
        let (call, request_id) = (self.id.clone(), self.previous_request());
        self.emit(Event::Wait { call, request_id, ms: wait.as_millis() as u64, reason });
    }

    /// Every event passes here: it is counted, and then told.
    pub fn emit(&self, event: Event) {
        self.client.metrics.observe(&event);
        self.sink.event(event);
    }

    pub fn previous_request(&self) -> Option<String> {
        self.previous.as_ref().map(|previous| previous.request_id.clone())
    }

    /// Ends the call: closes what is open, tells, and builds the answer or completes the error.
    pub fn finish(mut self, outcome: Result<()>) -> Result<Answer> {
        // Cut off while it waited for the usage: the answer is whole all the same.
        let outcome = if self.is_complete() { Ok(()) } else { outcome };
        let outcome = outcome.map_err(|error| match error.kind {
            // Delivered text and an error of its own: the class says which, `partial` says what.
            Kind::Interrupted
            | Kind::Aborted
            | Kind::Closed
            | Kind::CostCap
            | Kind::Timeout(Phase::Total) => error,
            _ if self.has_begun() => interrupted(error, "nothing is left to try"),
            _ => error,
        });
        self.close_turns(outcome.as_ref().err());
        let duration_ms = clock::instant().saturating_duration_since(self.started).as_millis() as u64;
        let attempts = self.attempts.len() as u32;
        match outcome {
            Ok(()) => {
                // A call that ended well has a last attempt.
                let last = self.attempts.last();
                let (endpoint, model, request_id) = last
                    .map(|a| (a.endpoint.clone(), a.model.clone(), a.request_id.clone()))
                    .unwrap_or_default();
                self.emit(Event::Complete {
                    call: self.id.clone(),
                    request_id: self.previous_request(),
                    attempts,
                    after_retry: self.failed_attempts() > 1,
                    endpoint: endpoint.clone(),
                    model: model.clone(),
                    duration_ms,
                });
                self.total_usage();
                Ok(Answer {
                    journal: self.journal,
                    cost_usd: self.tab.usd(),
                    endpoint,
                    model,
                    request_id,
                    attempts: self.attempts,
                    recoveries: self.recovery.count,
                    segments: self.recovery.segments,
                    joins: self.recovery.joins,
                    session_id: self.call.session_id.clone(),
                })
            }
            Err(mut error) => {
                if error.kind == Kind::Timeout(Phase::Total) {
                    self.stopwatch.explain(&mut error, &self.attempts);
                }
                self.emit(Event::Failed {
                    call: self.id.clone(),
                    request_id: self.previous_request(),
                    attempts,
                    code: error.code(),
                    message: error.message.clone(),
                    duration_ms,
                });
                let partial = &self.journal.first().text;
                if !partial.is_empty() || error.kind == Kind::Interrupted {
                    error.partial = Some(partial.clone());
                }
                // What goes on elsewhere is taken apart here: events that only pass are not.
                if self.events.is_none() && self.call.live.has_begun() {
                    error.snapshot = Some(self.call.live.json());
                }
                if let Some(last) = self.attempts.last()
                    && error.request_id.is_none()
                {
                    error.request_id = Some(last.request_id.clone());
                }
                error.attempts = self.attempts;
                Err(error)
            }
        }
    }
}

/// ECONNRESET, before an answer or in the middle of it.
fn is_reset(error: &Error) -> bool {
    matches!(error.kind, Kind::Connection(Connection::Reset | Connection::Closed))
}
