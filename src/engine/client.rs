//! A client: its options, the state that its calls share, and the frame of a call (deadline, abort).

use std::collections::VecDeque;
use std::sync::Arc;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::answer::Answer;
use super::breaker::SharedBreaker;
use super::call::Running;
use super::clock;
use super::event::Event;
use super::limiter::Limiter;
use super::metrics::Metrics;
use super::route::EndpointState;
use super::sink::Sink;
use crate::config::{CallConfig, ClientConfig};
use crate::error::{Error, Kind, Phase, Result};
use crate::store::Slot;
use crate::transport::Transport;
use crate::wire::chat::ChatRequest;

/// A client: its options, and the state that its calls share.
pub struct Client {
    pub(super) config: ClientConfig,
    pub(super) endpoints: Vec<Arc<EndpointState>>,
    pub(super) shared_breaker: Option<SharedBreaker>,
    pub(super) limiter: Option<Arc<Limiter>>,
    pub(super) admission: Arc<Admission>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) metrics: Metrics,
    /// Held by the one who probes.
    pub(super) probing: Arc<Mutex<()>>,
    /// What happened outside of calls, to be told with the next one.
    pub(super) untold: Slot<VecDeque<Event>>,
    pub(super) closed: CancellationToken,
}

/// One call.
pub struct Call {
    pub request: ChatRequest,
    pub options: CallConfig,
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
        Client {
            endpoints: config.endpoints.iter().map(|e| Arc::new(EndpointState::new(Arc::clone(e)))).collect(),
            shared_breaker: breaker,
            limiter: limiter.or_else(|| config.rate_limit.as_ref().map(Limiter::new)),
            admission: Arc::new(Admission::new(config.max_concurrent, config.max_queue)),
            transport,
            metrics: Metrics::default(),
            probing: Arc::default(),
            untold: Slot::new(VecDeque::new()),
            closed: CancellationToken::new(),
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
            same.map_or_else(|| Arc::new(EndpointState::new(Arc::clone(endpoint))), Arc::clone)
        });
        Client {
            endpoints: endpoints.collect(),
            shared_breaker: self.shared_breaker.clone(),
            limiter: self.limiter.clone(),
            admission: Arc::clone(&self.admission),
            transport: Arc::clone(&self.transport),
            metrics: self.metrics.clone(),
            probing: Arc::clone(&self.probing),
            untold: self.untold.clone(),
            closed: self.closed.clone(),
            config,
        }
    }

    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Ends what is in flight; calls that come later are refused.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Runs a call to its end. Cancelling ends it at once, wherever it is.
    pub async fn run(&self, call: Call, sink: &dyn Sink, cancel: &CancellationToken) -> Result<Answer> {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let id = random_id("call_", &mut rng);
        let started = clock::instant();
        let total = call.options.total_timeout;
        self.metrics.begun();
        self.untold.update(std::mem::take).into_iter().for_each(|event| sink.event(event));
        let mut running = Running::new(self, &call, sink, id, started, rng);
        let outcome = tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::new(Kind::Closed, "the client was closed")),
            () = cancel.cancelled() => Err(Error::new(Kind::Aborted, "the call was aborted")),
            () = sleep_until(total.map(|total| started + total)) => {
                Err(Error::timeout(Phase::Total, total.unwrap_or_default()))
            }
            outcome = running.run() => outcome,
        };
        running.finish(outcome)
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// 128 random bits in hexadecimal.
pub fn random_id(prefix: &str, rng: &mut dyn Rng) -> String {
    format!("{prefix}{:032x}", rng.random::<u128>())
}
