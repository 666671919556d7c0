//! What the calls of a client share of each endpoint and of each route (an endpoint and a model): limiter,
//! breaker, queue, statistics, and what was learned about the provider.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::breaker::SharedBreaker;
use super::continuation::KnownContinuation;
use super::limiter::Limiter;
use super::queue::RouteQueue;
use crate::config::{BreakerChoice, Endpoint, RateLimit, defaults};
use crate::engine::time::clock;
use crate::policy::circuit_breaker;
use crate::policy::routing::{Candidate, RouteSnapshot, RouteStats, Strategy};
use crate::store::SharedState;

/// The maximum number of routes kept for an endpoint. Callers choose the model names, so the list must be bounded.
const MAX_ROUTES: usize = 1024;

pub struct EndpointState {
    pub config: Arc<Endpoint>,
    pub limiter: Option<Arc<Limiter>>,
    /// The provider has rejected `stream_options`: it is not sent again.
    pub rejects_usage: AtomicBool,
    /// The provider has rejected `session_id`: it is not sent again.
    pub rejects_session: AtomicBool,
    /// Its key is considered out of quota until then, in milliseconds since the epoch; 0 if it is not.
    quota_exhausted_until: AtomicU64,
    /// Attempts in flight, including those waiting for its limiter.
    in_flight: AtomicUsize,
    routes: Mutex<HashMap<String, RouteState>>,
}

/// The shared state of one model at one endpoint.
#[derive(Clone)]
pub struct RouteState {
    pub breaker: Option<SharedBreaker>,
    /// The queue of its attempts.
    pub queue: Arc<RouteQueue>,
    pub stats: SharedState<RouteStats>,
    /// How its provider continues an answer, as far as it was learned.
    pub continuation: SharedState<KnownContinuation>,
}

impl EndpointState {
    /// `adapted`: the client's limit, if it adapts to the headers of each endpoint separately.
    pub fn new(config: Arc<Endpoint>, adapted: Option<&RateLimit>) -> Self {
        let limit = config.rate_limit.clone().map(|limit| RateLimit {
            adapt_to_headers: limit.adapt_to_headers || adapted.is_some(),
            ..limit
        });
        EndpointState {
            limiter: limit.as_ref().or(adapted).map(Limiter::new),
            config,
            quota_exhausted_until: AtomicU64::new(0),
            rejects_usage: AtomicBool::new(false),
            rejects_session: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            routes: Mutex::default(),
        }
    }

    /// The provider reported that the quota of the key is exhausted: the key is not used for [`defaults::QUOTA_COOLDOWN`].
    pub fn mark_quota_exhausted(&self) {
        self.quota_exhausted_until
            .store(clock::now() + defaults::QUOTA_COOLDOWN.as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether the key is considered out of quota.
    pub fn is_quota_exhausted(&self) -> bool {
        let until = self.quota_exhausted_until.load(Ordering::Relaxed);
        until != 0 && until > clock::now()
    }

    /// The endpoint has answered, so its key has quota. Returns whether it was considered out of quota.
    pub fn restore_quota(&self) -> bool {
        self.quota_exhausted_until.load(Ordering::Relaxed) != 0
            && self.quota_exhausted_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Whether an attempt may use the key. After [`defaults::QUOTA_COOLDOWN`] a single attempt may, as a probe.
    pub fn try_quota(&self) -> bool {
        let until = self.quota_exhausted_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let now = clock::now();
        let next = now + defaults::QUOTA_COOLDOWN.as_millis() as u64;
        let relaxed = Ordering::Relaxed;
        until <= now && self.quota_exhausted_until.compare_exchange(until, next, relaxed, relaxed).is_ok()
    }

    /// This endpoint as a routing candidate, for a call that needs this many tokens of its limiter.
    pub fn candidate(&self, route: &RouteState, strategy: Strategy, tokens: f64) -> Candidate {
        Candidate {
            weight: self.config.weight,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            snapshot: match strategy {
                Strategy::Score => route.stats.update(|stats| stats.snapshot(clock::now())),
                _ => RouteSnapshot::default(),
            },
            probe_due: route.breaker.as_ref().is_some_and(SharedBreaker::is_probe_due),
            has_capacity: !route.queue.is_deprioritized()
                && self.limiter.as_ref().is_none_or(|limiter| limiter.would_admit(1.0, tokens)),
        }
    }

    /// The routes of this endpoint that were used so far, sorted by model.
    pub fn routes(&self) -> Vec<(String, RouteState)> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes: Vec<_> = routes.iter().map(|(model, route)| (model.clone(), route.clone())).collect();
        routes.sort_by(|a, b| a.0.cmp(&b.0));
        routes
    }

    /// The route of a model, created on first use. `choice` and `shared` are the client's breaker; the endpoint's own
    /// choice takes precedence. `only_route`: there is no other route.
    pub fn route(
        &self,
        model: &str,
        choice: &BreakerChoice,
        shared: Option<&SharedBreaker>,
        only_route: bool,
    ) -> RouteState {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let choice = match &self.config.breaker {
            BreakerChoice::Auto => choice,
            choice => choice,
        };
        if let Some(route) = routes.get_mut(model) {
            // A reconfigured client may have another shared breaker.
            if matches!(choice, BreakerChoice::Shared) {
                route.breaker = shared.cloned();
            }
            return route.clone();
        }
        let breaker = match choice {
            BreakerChoice::Off => None,
            BreakerChoice::Auto if only_route => None,
            BreakerChoice::Auto => Some(SharedBreaker::new(circuit_breaker::Options::default())),
            BreakerChoice::On(options) => Some(SharedBreaker::new(options.clone())),
            BreakerChoice::Shared => shared.cloned(),
        };
        let route = RouteState {
            breaker,
            queue: Arc::default(),
            stats: SharedState::new(RouteStats::default()),
            continuation: SharedState::default(),
        };
        if routes.len() >= MAX_ROUTES {
            // A closed breaker without waiters has little state to lose; what a probe has found would cost a probe.
            routes.retain(|_, route| {
                !route.queue.is_free()
                    || route.continuation.update(|known| known.is_probed())
                    || route.breaker.as_ref().is_some_and(|b| b.state() != circuit_breaker::State::Closed)
            });
        }
        if routes.len() < MAX_ROUTES {
            routes.insert(model.to_owned(), route.clone());
        }
        route
    }
}

/// Counts one attempt in flight at an endpoint until it is dropped.
pub struct InFlight(Arc<EndpointState>);

impl InFlight {
    pub fn enter(endpoint: &Arc<EndpointState>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(endpoint))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
