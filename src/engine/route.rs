//! The routes of a client: endpoint × model, each with its breaker, its endpoint's limiter, and
//! what was learned about the endpoint.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::breaker::SharedBreaker;
use super::clock;
use super::limiter::Limiter;
use super::line::Line;
use crate::config::{BreakerChoice, Endpoint, RateLimit, defaults as d};
use crate::policy::circuit_breaker;
use crate::policy::route::{Candidate, Record, Shown, Strategy};
use crate::store::Slot;

/// The most breakers that a client keeps. Models are named by callers: the list must have an end.
const MAX_BREAKERS: usize = 1024;

pub struct EndpointState {
    pub config: Arc<Endpoint>,
    pub limiter: Option<Arc<Limiter>>,
    /// It has refused `stream_options`: not asked again.
    pub refuses_usage: AtomicBool,
    /// It has refused `session_id`: not sent again.
    pub refuses_session: AtomicBool,
    /// Its key has no quota until then, in milliseconds since the epoch; 0 where that is not known.
    spent_until: AtomicU64,
    /// Attempts under way, those that wait for its limiter too.
    in_flight: AtomicUsize,
    breakers: Mutex<HashMap<String, Lane>>,
}

/// What is known of one model at one endpoint.
#[derive(Clone)]
pub struct Lane {
    pub breaker: Option<SharedBreaker>,
    /// Where its attempts wait.
    pub line: Arc<Line>,
    pub record: Slot<Record>,
}

impl EndpointState {
    /// `follows`: the client's own limit, where it follows the provider's headers at each endpoint.
    pub fn new(config: Arc<Endpoint>, follows: Option<&RateLimit>) -> Self {
        let limit = config.rate_limit.clone().map(|limit| RateLimit {
            adapt_to_headers: limit.adapt_to_headers || follows.is_some(),
            ..limit
        });
        EndpointState {
            limiter: limit.as_ref().or(follows).map(Limiter::new),
            config,
            spent_until: AtomicU64::new(0),
            refuses_usage: AtomicBool::new(false),
            refuses_session: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            breakers: Mutex::default(),
        }
    }

    /// Its key has no quota.
    pub fn spend_quota(&self) {
        self.spent_until.store(clock::now() + d::QUOTA_REST.as_millis() as u64, Ordering::Relaxed);
    }

    /// Its key has no quota, and its rest is not over.
    pub fn is_spent(&self) -> bool {
        let until = self.spent_until.load(Ordering::Relaxed);
        until != 0 && until > clock::now()
    }

    /// It has answered: if its key had no quota, it has some again. False where it was not known to have none.
    pub fn regain_quota(&self) -> bool {
        self.spent_until.load(Ordering::Relaxed) != 0 && self.spent_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Whether its key may have quota. Of those who ask when its rest is over, one alone is told that it may.
    pub fn may_have_quota(&self) -> bool {
        let until = self.spent_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let now = clock::now();
        let next = now + d::QUOTA_REST.as_millis() as u64;
        let relaxed = Ordering::Relaxed;
        until <= now && self.spent_until.compare_exchange(until, next, relaxed, relaxed).is_ok()
    }

    /// This endpoint as routing sees it, for a call that needs so many tokens of its limiter.
    pub fn candidate(&self, lane: &Lane, strategy: Strategy, tokens: f64) -> Candidate {
        Candidate {
            weight: self.config.weight,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            shown: match strategy {
                Strategy::Score => lane.record.update(|record| record.shown(clock::now())),
                _ => Shown::default(),
            },
            due: lane.breaker.as_ref().is_some_and(SharedBreaker::is_due),
            free: !lane.line.rests()
                && self.limiter.as_ref().is_none_or(|limiter| limiter.has_room(1.0, tokens)),
        }
    }

    /// The models that have been asked for here, by name, and what is known of each.
    pub fn lanes(&self) -> Vec<(String, Lane)> {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lanes: Vec<_> = breakers.iter().map(|(model, lane)| (model.clone(), lane.clone())).collect();
        lanes.sort_by(|a, b| a.0.cmp(&b.0));
        lanes
    }

    /// The lane of a model. `choice` and `shared` are the client's; the endpoint's own choice goes
    /// first. `alone` says that there is no other route.
    pub fn lane(
        &self,
        model: &str,
        choice: &BreakerChoice,
        shared: Option<&SharedBreaker>,
        alone: bool,
    ) -> Lane {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let choice = match &self.config.breaker {
            BreakerChoice::Auto => choice,
            own => own,
        };
        if let Some(lane) = breakers.get_mut(model) {
            // The caller's own may be another one by now.
            if matches!(choice, BreakerChoice::Shared) {
                lane.breaker = shared.cloned();
            }
            return lane.clone();
        }
        let breaker = match choice {
            BreakerChoice::Off => None,
            BreakerChoice::Auto if alone => None,
            BreakerChoice::Auto => Some(SharedBreaker::new(circuit_breaker::Options::default())),
            BreakerChoice::On(options) => Some(SharedBreaker::new(options.clone())),
            BreakerChoice::Shared => shared.cloned(),
        };
        let lane = Lane { breaker, line: Arc::default(), record: Slot::new(Record::default()) };
        if breakers.len() >= MAX_BREAKERS {
            // The closed ones know little that is worth keeping.
            breakers.retain(|_, lane| {
                !lane.line.is_free()
                    || lane.breaker.as_ref().is_some_and(|b| b.state() != circuit_breaker::State::Closed)
            });
        }
        if breakers.len() < MAX_BREAKERS {
            breakers.insert(model.to_owned(), lane.clone());
        }
        lane
    }
}

/// One attempt under way at an endpoint, until it is dropped.
pub struct Busy(Arc<EndpointState>);

impl Busy {
    pub fn at(endpoint: &Arc<EndpointState>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(endpoint))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
