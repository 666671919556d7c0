//! A client: its options, the state that its calls share, and the frame of a call (deadline, abort).

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::answer::Answer;
use super::breaker::SharedBreaker;
use super::budget::RetryBudget;
use super::call::Running;
use super::clock;
use super::cost::Costs;
use super::event::Event;
use super::limiter::Limiter;
use super::live::Live;
use super::metrics::Metrics;
use super::models::Told;
use super::route::EndpointState;
use super::sink::Sink;
use super::waits::within;
use crate::config::{CallConfig, ClientConfig, RateLimit};
use crate::error::{Error, Kind, Phase, Result};
use crate::session::snapshot::Snapshot;
use crate::store::Slot;
use crate::transport::{Proxies, Transport, TransportOptions};
use crate::wire::chat::ChatRequest;

/// A client: its options, and the state that its calls share.
pub struct Client {
    pub(super) config: ClientConfig,
    pub(super) endpoints: Vec<Arc<EndpointState>>,
    pub(super) shared_breaker: Option<SharedBreaker>,
    pub(super) limiter: Option<Arc<Limiter>>,
    pub(super) admission: Arc<Admission>,
    pub(super) budget: RetryBudget,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) closed: CancellationToken,
    pub(super) told: Slot<Told>,
    pub(super) costs: Arc<Costs>,
    pub(super) metrics: Metrics,
    /// Held by the one who probes.
    pub(super) probing: Arc<Mutex<()>>,
    /// What happened outside of calls, to be told with the next one.
    pub(super) untold: Slot<VecDeque<Event>>,
}

/// One call.
pub struct Call {
    pub request: ChatRequest,
    pub options: CallConfig,
    /// The caller's name of the session, that of the snapshot, or a new one.
    pub session_id: String,
    pub live: Arc<Live>,
    /// What the answer goes on from.
    pub resumes: Option<Box<Snapshot>>,
}

impl Call {
    pub fn new(request: ChatRequest, options: CallConfig, resumes: Option<Snapshot>) -> Self {
        let given = options.session_id.clone().or_else(|| resumes.as_ref().map(|s| s.session_id.clone()));
        let session_id = given.unwrap_or_else(|| session_id(&mut rand::rng()));
        let live = Arc::new(Live::new(session_id.clone()));
        Call { request, options, session_id, live, resumes: resumes.map(Box::new) }
    }
}

impl Client {
    /// A client over this transport. `breaker` and `limiter` are the caller's own, where the options
    /// name them.
    pub fn new(
        config: ClientConfig,
        transport: Arc<dyn Transport>,
        breaker: Option<SharedBreaker>,
        limiter: Option<Arc<Limiter>>,
    ) -> Self {
        let follows = followed(&config);
        let endpoints = config.endpoints.iter();
        let own = config.rate_limit.clone().map(|limit| RateLimit {
            adapt_to_headers: limit.adapt_to_headers && follows.is_none(),
            ..limit
        });
        Client {
            endpoints: endpoints.map(|e| Arc::new(EndpointState::new(Arc::clone(e), follows))).collect(),
            shared_breaker: breaker,
            limiter: limiter.or_else(|| own.as_ref().map(Limiter::new)),
            admission: Arc::new(Admission::new(config.max_concurrent, config.max_queue)),
            transport,
            budget: RetryBudget::new(config.retry_budget),
            metrics: Metrics::default(),
            probing: Arc::default(),
            untold: Slot::new(VecDeque::new()),
            closed: CancellationToken::new(),
            told: Slot::default(),
            costs: Costs::new(),
            config,
        }
    }

    /// This client with other options, keeping the state of what stayed the same.
    pub fn reconfigured(&self, config: ClientConfig) -> Self {
        let endpoints = config.endpoints.iter().map(|endpoint| {
            let same = self.endpoints.iter().find(|have| {
                have.config.name == endpoint.name
                    && have.config.url == endpoint.url
                    && have.config.key == endpoint.key
            });
            let new = || Arc::new(EndpointState::new(Arc::clone(endpoint), followed(&config)));
            same.map_or_else(new, Arc::clone)
        });
        Client {
            endpoints: endpoints.collect(),
            shared_breaker: self.shared_breaker.clone(),
            limiter: self.limiter.clone(),
            admission: Arc::clone(&self.admission),
            transport: Arc::clone(&self.transport),
            budget: self.budget.with(config.retry_budget),
            metrics: self.metrics.clone(),
            probing: Arc::clone(&self.probing),
            untold: self.untold.clone(),
            closed: self.closed.clone(),
            told: self.told.clone(),
            costs: Arc::clone(&self.costs),
            config,
        }
    }

    /// This client with another breaker of the caller's own, where its options name one.
    pub fn with_breaker(&self, breaker: SharedBreaker) -> Self {
        Client { shared_breaker: Some(breaker), ..self.reconfigured(self.config.clone()) }
    }

    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The first endpoint that has the same key as this one: itself where it has none.
    pub(super) fn same_key(&self, endpoint: usize) -> usize {
        let key = |state: &EndpointState| state.config.key.clone();
        let Some(own) = self.endpoints.get(endpoint).and_then(|state| key(state)) else { return endpoint };
        self.endpoints.iter().position(|state| key(state).as_ref() == Some(&own)).unwrap_or(endpoint)
    }

    /// How the requests of this client travel.
    pub(super) fn transport_options(&self, connect_timeout: Duration) -> TransportOptions {
        let ClientConfig { ca, proxy, .. } = &self.config;
        let proxies =
            Proxies { http: proxy.http.clone(), https: proxy.https.clone(), no: Arc::clone(&proxy.no) };
        TransportOptions { connect_timeout, ca: ca.clone(), proxies }
    }

    /// What was spent in the window that is now, as JSON.
    pub fn cost(&self) -> serde_json::Value {
        self.costs.report(&self.config)
    }

    /// Ends what is in flight; calls that come later are refused.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Runs a call to its end. Cancelling ends it at once, wherever it is.
    pub async fn run(&self, call: &Call, sink: &dyn Sink, cancel: &CancellationToken) -> Result<Answer> {
        let started = clock::instant();
        let total = call.options.total_timeout;
        self.metrics.begun();
        self.untold.update(std::mem::take).into_iter().for_each(|event| sink.event(event));
        let mut running = Running::new(self, call, sink, started);
        let outcome = {
            // Pinned here: what is handed on by value takes its room twice, in every call that is open.
            let frame = pin!(async {
                Err(tokio::select! {
                    biased;
                    () = self.closed.cancelled() => Error::new(Kind::Closed, "the client was closed"),
                    () = cancel.cancelled() => Error::new(Kind::Aborted, "the call was aborted"),
                    () = sleep_until(total.map(|total| started + total)) => {
                        Error::timeout(Phase::Total, total.unwrap_or_default())
                    }
                })
            });
            let work = pin!(running.run());
            within(frame, work).await
        };
        running.finish(outcome)
    }
}

/// The client's limit where it follows the headers of several endpoints: each tells of its own bucket.
fn followed(config: &ClientConfig) -> Option<&RateLimit> {
    config.rate_limit.as_ref().filter(|limit| limit.adapt_to_headers && config.endpoints.len() > 1)
}

/// Sleeps until then; without a time, for ever.
pub(super) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A new name for a session: `session_`, the milliseconds since the epoch, `_` and nine characters of
/// base 36, as the documents make them.
pub fn session_id(rng: &mut dyn Rng) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let random: String = (0..9).map(|_| char::from(DIGITS[rng.random_range(0..36)])).collect();
    format!("session_{}_{random}", clock::now())
}

/// 128 random bits in hexadecimal.
pub fn random_id(prefix: &str, rng: &mut dyn Rng) -> String {
    format!("{prefix}{:032x}", rng.random::<u128>())
}
