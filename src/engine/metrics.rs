//! What a client counts. Everything is a sum since the client was made, and bounded: routes are
//! capped, codes and reasons are ours. A call costs a few short locks, a piece nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::event::Event;
use crate::error::{AttemptRecord, Kind};
use crate::policy::histogram::Histogram;
use crate::store::Slot;

/// The most routes that are counted one by one. Models are named by callers: the rest goes to one
/// row whose endpoint and model are both [`OTHER`].
pub const MAX_ROUTES: usize = 256;
pub const OTHER: &str = "other";

/// Counts by a name that is ours: an error's code, a reason to wait.
pub type Counts = BTreeMap<&'static str, u64>;

/// The counters of one client, shared with what it becomes by another configuration.
#[derive(Clone)]
pub struct Metrics(Slot<State>);

#[derive(Clone, Default)]
pub struct State {
    pub calls: u64,
    pub successes: u64,
    /// Answers before which an attempt failed.
    pub successes_after_retry: u64,
    pub aborted: u64,
    /// Calls that failed, by code.
    pub failures: Counts,
    /// Retries, by the code of the failure before them.
    pub retries: Counts,
    pub fallbacks: u64,
    pub hedges: u64,
    /// Hedges whose first token came first.
    pub hedge_wins: u64,
    pub recoveries: u64,
    pub circuit_openings: u64,
    /// Waits, by reason.
    pub waits: Counts,
    pub wait_ms: u64,
    pub routes: Vec<RouteState>,
}

#[derive(Clone, Default)]
pub struct RouteState {
    pub endpoint: String,
    pub model: String,
    pub attempts: u64,
    /// Attempts that failed, by code.
    pub failures: Counts,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cost_usd: f64,
    pub first_token: Histogram,
    pub duration: Histogram,
}

impl State {
    fn route(&mut self, endpoint: &str, model: &str) -> &mut RouteState {
        let at = |routes: &[RouteState], endpoint: &str, model: &str| {
            routes.iter().position(|route| route.endpoint == endpoint && route.model == model)
        };
        let found = at(&self.routes, endpoint, model).or_else(|| {
            // The last place is for what finds no other.
            (self.routes.len() >= MAX_ROUTES - 1).then(|| at(&self.routes, OTHER, OTHER)).flatten()
        });
        let place = found.unwrap_or_else(|| {
            let (endpoint, model) =
                if self.routes.len() < MAX_ROUTES - 1 { (endpoint, model) } else { (OTHER, OTHER) };
            self.routes.push(RouteState {
                endpoint: endpoint.to_owned(),
                model: model.to_owned(),
                ..RouteState::default()
            });
            self.routes.len() - 1
        });
        &mut self.routes[place]
    }
}

fn count(counts: &mut Counts, name: &'static str) {
    *counts.entry(name).or_default() += 1;
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics(Slot::new(State::default()))
    }
}

impl Metrics {
    /// The counters as they stand.
    pub fn state(&self) -> State {
        self.0.update(|state| state.clone())
    }

    /// A call has begun.
    pub fn begun(&self) {
        self.0.update(|state| state.calls += 1);
    }

    /// Counts what the engine reports.
    pub fn observe(&self, event: &Event) {
        self.0.update(|state| match event {
            Event::Attempt { endpoint, model, reason, .. } => {
                state.route(endpoint, model).attempts += 1;
                state.hedges += u64::from(*reason == "hedge");
            }
            Event::Wait { reason, .. } => count(&mut state.waits, reason),
            Event::Fallback { .. } => state.fallbacks += 1,
            Event::Recovery { .. } => state.recoveries += 1,
            Event::Circuit { to: "OPEN", .. } => state.circuit_openings += 1,
            Event::Complete { after_retry, .. } => {
                state.successes += 1;
                state.successes_after_retry += u64::from(*after_retry);
            }
            Event::Failed { code, .. } if *code == Kind::Aborted.code() => state.aborted += 1,
            Event::Failed { code, .. } => count(&mut state.failures, code),
            // The attempt's record says more.
            _ => {}
        });
    }

    /// A retry begins, after a failure with this code.
    pub fn retried(&self, code: &'static str) {
        self.0.update(|state| count(&mut state.retries, code));
    }

    /// A hedge has had its first token first.
    pub fn hedge_won(&self) {
        self.0.update(|state| state.hedge_wins += 1);
    }

    /// The time after which so large a share of a model's first tokens had come, over all endpoints; `None` as
    /// long as fewer than `at_least` are known.
    pub fn first_token_quantile(&self, model: &str, q: f64, at_least: u64) -> Option<Duration> {
        let mut times = Histogram::default();
        self.0.update(|state| {
            let of_model = state.routes.iter().filter(|route| route.model == model);
            of_model.for_each(|route| times.merge(&route.first_token));
        });
        let ms = times.quantile_ms(q).filter(|_| times.count() >= at_least)?;
        Some(Duration::from_millis(ms.ceil() as u64))
    }

    /// An attempt is over; `first_token_ms` is what counts as the time to its first token, `code` that of
    /// its error, `usage` what the provider counted.
    pub fn ended(
        &self,
        record: &AttemptRecord,
        first_token_ms: Option<u64>,
        code: Option<&'static str>,
        usage: Option<&Value>,
    ) {
        let tokens = |name| usage.and_then(|usage| usage.get(name)?.as_u64()).unwrap_or_default();
        let (tokens_in, tokens_out) = (tokens("prompt_tokens"), tokens("completion_tokens"));
        self.0.update(|state| {
            state.wait_ms += record.wait_ms;
            let route = state.route(&record.endpoint, &record.model);
            route.duration.add(record.duration_ms);
            if let Some(ms) = first_token_ms {
                route.first_token.add(ms);
            }
            if let Some(code) = code {
                count(&mut route.failures, code);
            }
            route.tokens_in = route.tokens_in.saturating_add(tokens_in);
            route.tokens_out = route.tokens_out.saturating_add(tokens_out);
        });
    }

    /// What an attempt on this route has cost.
    pub fn charge(&self, endpoint: &str, model: &str, usd: f64) {
        self.0.update(|state| state.route(endpoint, model).cost_usd += usd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(endpoint: &str, model: &str) -> Event {
        Event::Attempt {
            call: String::new(),
            attempt: 1,
            endpoint: endpoint.into(),
            model: model.into(),
            request_id: String::new(),
            reason: "first",
        }
    }

    #[test]
    fn routes_past_the_bound_are_counted_together() {
        let metrics = Metrics::default();
        for model in 0..2 * MAX_ROUTES {
            metrics.observe(&attempt("a", &model.to_string()));
        }
        metrics.observe(&attempt("a", "7"));
        metrics.charge("a", "never seen", 0.5);
        let routes = metrics.state().routes;
        assert_eq!(routes.len(), MAX_ROUTES);
        assert_eq!(routes[7].attempts, 2, "a route that has its row keeps it");
        let last = &routes[MAX_ROUTES - 1];
        assert_eq!((last.endpoint.as_str(), last.model.as_str()), (OTHER, OTHER));
        assert_eq!((last.attempts, last.cost_usd), (MAX_ROUTES as u64 + 1, 0.5));
        assert_eq!(routes.iter().map(|route| route.attempts).sum::<u64>(), 2 * MAX_ROUTES as u64 + 1);
    }
}
