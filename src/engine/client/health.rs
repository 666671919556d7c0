//! Health checks: request the models of each endpoint with its own key, one endpoint at a time. The response counts
//! toward the health of its routes, and can make an open breaker half-open.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rand::RngExt;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Client;
use crate::config::{BreakerChoice, defaults};
use crate::engine::shared::breaker::{BreakerPermit, SharedBreaker};
use crate::engine::shared::endpoint::{EndpointState, RouteState};
use crate::engine::shared::event::Event;
use crate::engine::shared::redaction::without_secrets;
use crate::engine::time::clock::{self, timeout};
use crate::error::{Error, Kind, Phase, Result};
use crate::policy::circuit_breaker::{Outcome, Transition};
use crate::policy::classify::classify;
use crate::transport::Response;
use crate::wire::provider_error;

/// The result of a probe. An endpoint is healthy when it answers with success, or does not know the path (404, 405,
/// 501), which not every endpoint has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub endpoint: String,
    pub healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub latency_ms: u64,
    /// The code of the error, and its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Client {
    /// Probes each endpoint once, one after the other.
    pub async fn check_health(&self, cancel: &CancellationToken) -> Result<Vec<Health>> {
        let probes = async {
            // One check at a time, whatever triggers it.
            let _guard = self.state.probing.lock().await;
            let mut results = Vec::with_capacity(self.state.endpoints.len());
            for endpoint in &self.state.endpoints {
                results.push(self.probe(endpoint).await);
            }
            results
        };
        tokio::select! {
            biased;
            interrupted = self.interrupted(cancel) => Err(interrupted),
            results = probes => Ok(results),
        }
    }

    async fn probe(&self, endpoint: &EndpointState) -> Health {
        // One endpoint does not decide about a breaker that all endpoints share.
        let shared =
            self.state.shared_breaker.is_some() && matches!(endpoint.config.breaker, BreakerChoice::Auto);
        let routes = endpoint.routes();
        let breaker_of = |route: &RouteState| route.breaker.clone().filter(|_| !shared);
        // If a breaker is due for a probe, this request is the probe, so that no call has to be.
        let mut probes: Vec<Option<(BreakerPermit, Option<Transition>)>> = Vec::with_capacity(routes.len());
        for (model, route) in &routes {
            let permit = breaker_of(route).and_then(|breaker| breaker.acquire_probe());
            self.report_transition(endpoint, model, permit.as_ref().and_then(|(_, transition)| *transition));
            probes.push(permit);
        }
        // A silent endpoint must not delay the next round.
        let limit =
            defaults::HEALTH_CHECK_TIMEOUT.min(self.state.config.health_check.unwrap_or(Duration::MAX));
        let started = clock::instant();
        let (status, answer) = match timeout(limit, self.request_models(endpoint)).await {
            Ok(answered) => answered,
            Err(_) => {
                let message = format!("no answer within {} ms", limit.as_millis());
                (None, Err(Error::new(Kind::Timeout(Phase::FirstToken), message)))
            }
        };
        let latency_ms = clock::instant().saturating_duration_since(started).as_millis() as u64;
        let outcome = answer.as_ref().err().map_or(Outcome::Success, |error| classify(error).breaker);
        for ((model, route), permit) in routes.iter().zip(probes) {
            if outcome != Outcome::Ignored {
                route.stats.update(|stats| stats.record_outcome(outcome == Outcome::Success, clock::now()));
            }
            let transition = match (permit, outcome) {
                (Some((permit, _)), Outcome::Failure) => permit.report(Outcome::Failure),
                // Frees the permit for the call that decides.
                (Some((permit, _)), Outcome::Success) => permit.report(Outcome::Ignored),
                (None, Outcome::Success) => breaker_of(route).and_then(|breaker| half_open(&breaker)),
                (_, Outcome::Ignored) | (None, Outcome::Failure) => None,
            };
            self.report_transition(endpoint, model, transition);
        }
        let error = answer.err().map(|error| {
            let config = &self.state.config;
            without_secrets(error, &self.state.redactors.of(config, &config.call))
        });
        Health {
            endpoint: endpoint.config.name.clone(),
            healthy: error.is_none(),
            status,
            latency_ms,
            code: error.as_ref().map(Error::code),
            error: error.map(|error| error.message.clone()),
        }
    }

    async fn request_models(&self, endpoint: &EndpointState) -> (Option<u16>, Result<()>) {
        let request = match self.models_request(&endpoint.config) {
            Ok(request) => request,
            Err(error) => return (None, Err(error)),
        };
        let Response { status, headers, mut body } = match self.state.transport.send(request).await {
            Ok(response) => response,
            Err(error) => return (None, Err(error)),
        };
        // A short body is read completely, so that the connection can be reused.
        let mut read = Vec::new();
        while let Some(Ok(bytes)) = body.next().await {
            let remaining = defaults::MAX_ERROR_BODY - read.len();
            read.extend_from_slice(&bytes[..bytes.len().min(remaining)]);
            if read.len() == defaults::MAX_ERROR_BODY {
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

    /// A probe belongs to no call: its breaker transition is reported with the next one.
    fn report_transition(&self, endpoint: &EndpointState, model: &str, transition: Option<Transition>) {
        let Some(Transition { from, to }) = transition else { return };
        let event = Event::Circuit {
            call: None,
            request_id: None,
            endpoint: endpoint.config.name.clone(),
            model: model.to_owned(),
            from: from.as_str(),
            to: to.as_str(),
        };
        self.state.metrics.observe(&event);
        self.state.pending_events.update(|pending| {
            if pending.len() == defaults::MAX_PENDING_EVENTS {
                pending.pop_front();
            }
            pending.push_back(event);
        });
    }
}

/// The service behind an open breaker has answered. A list of models is not an answer of a model, so it takes a call to
/// close the breaker.
fn half_open(breaker: &SharedBreaker) -> Option<Transition> {
    breaker.update(|state| state.breaker.half_open())
}

/// Probes the endpoints of a client periodically, until `upgrade` returns none or `stop` is canceled. Between two rounds
/// nothing holds the client, so it can be dropped.
pub async fn watch(upgrade: impl Fn() -> Option<Arc<Client>> + Send, stop: CancellationToken) {
    let mut next = clock::instant();
    loop {
        let Some((every, closed)) = upgrade()
            .and_then(|client| Some((client.state.config.health_check?, client.state.closed.clone())))
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
        // The duration of the probes is part of the interval; missed rounds are skipped.
        next = clock::instant();
        let Some(client) = upgrade() else { return };
        if client.check_health(&stop).await.is_err() {
            return;
        }
    }
}

/// Up to a fifth less or more, so that clients which started together do not probe together.
fn jittered(every: Duration) -> Duration {
    every.mul_f64(rand::rng().random_range(0.8..=1.2))
}
