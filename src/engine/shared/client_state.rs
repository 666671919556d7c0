//! The state of a client: its options, and everything that its calls share.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::breaker::SharedBreaker;
use super::concurrency::ConcurrencyLimit;
use super::costs::Costs;
use super::endpoint::EndpointState;
use super::event::Event;
use super::limiter::Limiter;
use super::metrics::Metrics;
use super::redaction::Redactors;
use super::retry_budget::RetryBudget;
use crate::config::{ClientConfig, RateLimit, Secret};
use crate::store::SharedState;
use crate::transport::{Proxies, Transport, TransportOptions};

pub struct ClientState {
    pub config: ClientConfig,
    pub endpoints: Vec<Arc<EndpointState>>,
    /// The caller's own breaker, if the options name one.
    pub shared_breaker: Option<SharedBreaker>,
    pub limiter: Option<Arc<Limiter>>,
    pub concurrency: Arc<ConcurrencyLimit>,
    pub budget: RetryBudget,
    pub transport: Arc<dyn Transport>,
    pub closed: CancellationToken,
    /// Names of models that the providers have listed.
    pub known_models: SharedState<BTreeSet<String>>,
    pub costs: Arc<Costs>,
    pub metrics: Metrics,
    pub redactors: Redactors,
    /// Held while the endpoints are probed.
    pub probing: Arc<Mutex<()>>,
    /// Events that occurred outside calls; the next call delivers them.
    pub pending_events: SharedState<VecDeque<Event>>,
}

impl ClientState {
    /// The state of a new client. `breaker` and `limiter` are the caller's own, if the options name them.
    pub fn new(
        config: ClientConfig,
        transport: Arc<dyn Transport>,
        breaker: Option<SharedBreaker>,
        limiter: Option<Arc<Limiter>>,
    ) -> Self {
        let per_endpoint = adapted_per_endpoint(&config);
        let endpoints = config.endpoints.iter();
        let rate_limit = config.rate_limit.clone().map(|limit| RateLimit {
            adapt_to_headers: limit.adapt_to_headers && per_endpoint.is_none(),
            ..limit
        });
        ClientState {
            endpoints: endpoints.map(|e| Arc::new(EndpointState::new(Arc::clone(e), per_endpoint))).collect(),
            shared_breaker: breaker,
            limiter: limiter.or_else(|| rate_limit.as_ref().map(Limiter::new)),
            concurrency: Arc::new(ConcurrencyLimit::new(config.max_concurrent, config.max_queue)),
            transport,
            budget: RetryBudget::new(config.retry_budget),
            metrics: Metrics::default(),
            redactors: Redactors::default(),
            probing: Arc::default(),
            pending_events: SharedState::new(VecDeque::new()),
            closed: CancellationToken::new(),
            known_models: SharedState::default(),
            costs: Costs::new(),
            config,
        }
    }

    /// The same state with other options: whatever is unchanged is kept.
    pub fn reconfigured(&self, config: ClientConfig) -> Self {
        let endpoints = config.endpoints.iter().map(|endpoint| {
            let same = self.endpoints.iter().find(|have| {
                have.config.name == endpoint.name
                    && have.config.url == endpoint.url
                    && have.config.key == endpoint.key
            });
            let new = || Arc::new(EndpointState::new(Arc::clone(endpoint), adapted_per_endpoint(&config)));
            same.map_or_else(new, Arc::clone)
        });
        ClientState {
            endpoints: endpoints.collect(),
            shared_breaker: self.shared_breaker.clone(),
            limiter: self.limiter.clone(),
            concurrency: Arc::clone(&self.concurrency),
            transport: Arc::clone(&self.transport),
            budget: self.budget.with(config.retry_budget),
            metrics: self.metrics.clone(),
            redactors: self.redactors.clone(),
            probing: Arc::clone(&self.probing),
            pending_events: self.pending_events.clone(),
            closed: self.closed.clone(),
            known_models: self.known_models.clone(),
            costs: Arc::clone(&self.costs),
            config,
        }
    }

    /// The transport options of this client's requests.
    pub fn transport_options(&self, connect_timeout: Duration) -> TransportOptions {
        let ClientConfig { ca, proxy, .. } = &self.config;
        let proxies = Proxies {
            http: proxy.http.clone(),
            https: proxy.https.clone(),
            no_proxy: Arc::clone(&proxy.no_proxy),
        };
        TransportOptions { connect_timeout, ca: ca.clone(), proxies }
    }

    /// The number of an endpoint's key: the index of the first endpoint that has the same key. An endpoint
    /// without a key has its own index.
    pub fn key_id(&self, endpoint: usize) -> usize {
        let key_of =
            |endpoint: usize| -> Option<&Secret> { self.endpoints.get(endpoint)?.config.key.as_ref() };
        let Some(key) = key_of(endpoint) else { return endpoint };
        (0..self.endpoints.len()).find(|index| key_of(*index) == Some(key)).unwrap_or(endpoint)
    }

    /// The endpoints that use the same key as this one, including itself.
    pub fn endpoints_with_same_key(&self, endpoint: usize) -> impl Iterator<Item = &EndpointState> {
        let key = self.key_id(endpoint);
        let same_key = move |(index, _): &(usize, _)| self.key_id(*index) == key;
        self.endpoints.iter().enumerate().filter(same_key).map(|(_, endpoint)| &**endpoint)
    }
}

/// The client's limit, if it adapts to the headers of several endpoints: each of these reports its own bucket.
fn adapted_per_endpoint(config: &ClientConfig) -> Option<&RateLimit> {
    config.rate_limit.as_ref().filter(|limit| limit.adapt_to_headers && config.endpoints.len() > 1)
}
