//! Probes: each endpoint is asked for its models with its own key, one endpoint at a time. What it
//! answers counts for the health of its routes, and it can lead an open breaker through half-open.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rand::RngExt;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::breaker::{Guard, SharedBreaker};
use super::client::Client;
use super::clock::{self, timeout};
use super::event::Event;
use super::route::{EndpointState, Lane};
use crate::config::{BreakerChoice, Secret, defaults as d};
use crate::error::{Error, Kind, Phase, Result};
use crate::policy::circuit_breaker::{Outcome, State, Transition};
use crate::policy::classify::{Verdict, classify};
use crate::transport::Response;
use crate::wire::{provider_error, secrets};

/// What a probe has found. It is healthy when it answers with success, or does not know the path
/// (404, 405, 501), which not every endpoint has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub endpoint: String,
    pub healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub latency_ms: u64,
    /// The code of the error, and what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Client {
    /// Probes each endpoint once, one after the other.
    pub async fn check_health(&self, cancel: &CancellationToken) -> Result<Vec<Health>> {
        let probes = async {
            // One at a time, whoever asks.
            let _turn = self.probing.lock().await;
            let mut found = Vec::with_capacity(self.endpoints.len());
            for endpoint in &self.endpoints {
                found.push(self.probe(endpoint).await);
            }
            found
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::new(Kind::Closed, "the client was closed")),
            () = cancel.cancelled() => Err(Error::new(Kind::Aborted, "the call was aborted")),
            found = probes => Ok(found),
        }
    }

    async fn probe(&self, endpoint: &EndpointState) -> Health {
        // A breaker that is shared by all endpoints is not one endpoint's to close.
        let shared = self.shared_breaker.is_some() && matches!(endpoint.config.breaker, BreakerChoice::Auto);
        let lanes = endpoint.lanes();
        let watched = |lane: &Lane| lane.breaker.clone().filter(|_| !shared);
        // Where a probe is due anyway, this is it: no call has to be the one that finds out.
        let mut due: Vec<Option<(Guard, Option<Transition>)>> = Vec::with_capacity(lanes.len());
        for (model, lane) in &lanes {
            let permit = watched(lane).and_then(|breaker| breaker.acquire_if_due());
            self.tell(endpoint, model, permit.as_ref().and_then(|(_, transition)| *transition));
            due.push(permit);
        }
        // A silent endpoint may not hold up the next round.
        let limit = d::HEALTH_CHECK_TIMEOUT.min(self.config.health_check.unwrap_or(Duration::MAX));
        let started = clock::instant();
        let (status, answer) = match timeout(limit, self.ask_health(endpoint)).await {
            Ok(answered) => answered,
            Err(_) => {
                let message = format!("no answer within {} ms", limit.as_millis());
                (None, Err(Error::new(Kind::Timeout(Phase::FirstToken), message)))
            }
        };
        let latency_ms = clock::instant().saturating_duration_since(started).as_millis() as u64;
        let verdict = answer.as_ref().err().map_or(Verdict::Success, |error| classify(error).breaker);
        for ((model, lane), permit) in lanes.iter().zip(due) {
            if verdict != Verdict::Ignored {
                lane.record.update(|record| record.ended(verdict == Verdict::Success, clock::now()));
            }
            let transition = match (permit, verdict) {
                (Some((guard, _)), Verdict::Failure) => guard.report(Outcome::Failure),
                // Its place is free again, for the call that decides.
                (Some((guard, _)), Verdict::Success) => guard.report(Outcome::Ignored),
                (None, Verdict::Success) => watched(lane).and_then(|breaker| revive(&breaker)),
                (_, Verdict::Ignored) | (None, Verdict::Failure) => None,
            };
            self.tell(endpoint, model, transition);
        }
        let error = answer.err();
        Health {
            endpoint: endpoint.config.name.clone(),
            healthy: error.is_none(),
            status,
            latency_ms,
            code: error.as_ref().map(Error::code),
            error: error.map(|error| match endpoint.config.key.as_ref().map(Secret::expose) {
                Some(key) => secrets::mask_key(&error.message, key),
                None => error.message.clone(),
            }),
        }
    }

    async fn ask_health(&self, endpoint: &EndpointState) -> (Option<u16>, Result<()>) {
        let request = match self.models_request(&endpoint.config) {
            Ok(request) => request,
            Err(error) => return (None, Err(error)),
        };
        let Response { status, headers, mut body } = match self.transport.send(request).await {
            Ok(response) => response,
            Err(error) => return (None, Err(error)),
        };
        // Read as far as it is short, so that its connection can be used again.
        let mut read = Vec::new();
        while let Some(Ok(bytes)) = body.next().await {
            let room = d::MAX_ERROR_BODY - read.len();
            read.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if read.len() == d::MAX_ERROR_BODY {
                break;
            }
        }
        if (200..300).contains(&status) || matches!(status, 404 | 405 | 501) {
            return (Some(status), Ok(()));
        }
        let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let kind = header("content-type");
        let error = provider_error::from_response(status, kind.as_deref(), &read, &header, clock::now());
        (Some(status), Err(error))
    }

    /// A probe belongs to no call: what it did to a breaker is told with the next one.
    fn tell(&self, endpoint: &EndpointState, model: &str, transition: Option<Transition>) {
        let Some(Transition { from, to }) = transition else { return };
        let event = Event::Circuit {
            call: None,
            request_id: None,
            endpoint: endpoint.config.name.clone(),
            model: model.to_owned(),
            from: from.as_str(),
            to: to.as_str(),
        };
        self.metrics.observe(&event);
        self.untold.update(|untold| {
            if untold.len() == d::MAX_UNTOLD {
                untold.pop_front();
            }
            untold.push_back(event);
        });
    }
}

/// An open breaker whose service has answered need not wait for its time: it becomes half-open now. A list of
/// models is no answer of a model, so what closes it is the next call.
fn revive(breaker: &SharedBreaker) -> Option<Transition> {
    breaker.update(|inner| {
        let before = inner.breaker.state();
        if before != State::Open {
            return None;
        }
        inner.breaker.last_failure_time = None;
        let permit = inner.breaker.try_acquire(&inner.options, clock::now()).ok()?;
        inner.breaker.report(&inner.options, permit, Outcome::Ignored, clock::now());
        inner.breaker.transition_since(before)
    })
}

/// Probes the endpoints of a client again and again, until `find` gives none any more or `stop` is
/// cancelled. Between two rounds nothing of the client is held, so that it can go away.
pub async fn watch(find: impl Fn() -> Option<Arc<Client>> + Send, stop: CancellationToken) {
    let mut next = clock::instant();
    loop {
        let Some((every, closed)) =
            find().and_then(|client| Some((client.config.health_check?, client.closed.clone())))
        else {
            return;
        };
        next += jittered(every);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = closed.cancelled() => return,
            () = clock::sleep_until(next) => {}
        }
        // The time of the probes is part of the interval, but missed rounds are not made up for.
        next = clock::instant();
        let Some(client) = find() else { return };
        if client.check_health(&stop).await.is_err() {
            return;
        }
    }
}

/// Up to a fifth less or more: clients that were started together do not probe together.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(rand::rng().random_range(0.8..=1.2))
}
