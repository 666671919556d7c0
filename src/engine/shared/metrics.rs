//! The counters of a client. Each is a sum since the client was created, and their number is bounded: routes are
//! capped, codes and reasons come from fixed sets. A call takes a few short locks, a delta none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::event::Event;
use crate::error::{AttemptRecord, Kind};
use crate::policy::histogram::Histogram;
use crate::store::SharedState;

/// The maximum number of routes that are counted separately. Callers choose the model names, so all further routes
/// share one row whose endpoint and model are both [`OTHER`].
pub const MAX_ROUTES: usize = 256;
pub const OTHER: &str = "other";

/// Counts by a name from a fixed set, such as an error code or the reason for a wait.
pub type Counts = BTreeMap<&'static str, u64>;

/// The counters of one client, kept across reconfigurations.
#[derive(Clone)]
pub struct Metrics(SharedState<Counters>);

impl Metrics {
    /// The current counters.
    pub fn snapshot(&self) -> Counters {
        self.0.update(|counters| counters.clone())
    }

    pub fn call_started(&self) {
        self.0.update(|counters| counters.calls += 1);
    }

    /// Counts an event.
    pub fn observe(&self, event: &Event) {
        self.0.update(|counters| match event {
            Event::Attempt { endpoint, model, reason, .. } => {
                counters.route(endpoint, model).attempts += 1;
                counters.hedges += u64::from(*reason == "hedge");
            }
            Event::Wait { reason, .. } => count(&mut counters.waits, reason),
            Event::Fallback { .. } => counters.fallbacks += 1,
            Event::Recovery { .. } => counters.recoveries += 1,
            Event::Circuit { to: "OPEN", .. } => counters.circuit_openings += 1,
            Event::Complete { after_retry, .. } => {
                counters.successes += 1;
                counters.successes_after_retry += u64::from(*after_retry);
            }
            Event::Failed { code, .. } if *code == Kind::Aborted.code() => counters.aborted += 1,
            Event::Failed { code, .. } => count(&mut counters.failures, code),
            // Counted in `attempt_ended`, which has more data.
            _ => {}
        });
    }

    /// Counts a retry after a failure with this code.
    pub fn retry_started(&self, code: &'static str) {
        self.0.update(|counters| count(&mut counters.retries, code));
    }

    /// Counts a hedge that won its race.
    pub fn hedge_won(&self) {
        self.0.update(|counters| counters.hedge_wins += 1);
    }

    /// The `q` quantile of a model's time to the first token, over all endpoints; `None` with fewer than `at_least`
    /// samples.
    pub fn first_token_quantile(&self, model: &str, q: f64, at_least: u64) -> Option<Duration> {
        let mut times = Histogram::default();
        self.0.update(|counters| {
            let of_model = counters.routes.iter().filter(|route| route.model == model);
            of_model.for_each(|route| times.merge(&route.first_token));
        });
        let ms = times.quantile_ms(q).filter(|_| times.count() >= at_least)?;
        Some(Duration::from_millis(ms.ceil() as u64))
    }

    /// Counts a finished attempt. `first_token_ms` is the time to record for its first token, `code` the code of its
    /// error, `usage` the provider's report.
    pub fn attempt_ended(
        &self,
        record: &AttemptRecord,
        first_token_ms: Option<u64>,
        code: Option<&'static str>,
        usage: Option<&Value>,
    ) {
        let tokens = |name| usage.and_then(|usage| usage.get(name)?.as_u64()).unwrap_or_default();
        let (tokens_in, tokens_out) = (tokens("prompt_tokens"), tokens("completion_tokens"));
        self.0.update(|counters| {
            counters.wait_ms += record.wait_ms;
            let route = counters.route(&record.endpoint, &record.model);
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

    /// Adds the cost of an attempt.
    pub fn charge(&self, endpoint: &str, model: &str, usd: f64) {
        self.0.update(|counters| counters.route(endpoint, model).cost_usd += usd);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics(SharedState::new(Counters::default()))
    }
}

#[derive(Clone, Default)]
pub struct Counters {
    pub calls: u64,
    pub successes: u64,
    /// Answers that followed a failed attempt.
    pub successes_after_retry: u64,
    pub aborted: u64,
    /// Calls that failed, by code.
    pub failures: Counts,
    /// Retries, by the code of the failure before them.
    pub retries: Counts,
    pub fallbacks: u64,
    pub hedges: u64,
    /// Hedges that won their race.
    pub hedge_wins: u64,
    pub recoveries: u64,
    pub circuit_openings: u64,
    /// The number of waits, by reason.
    pub waits: Counts,
    /// How long calls waited for their attempts, in queues and between attempts, in milliseconds: the sum of
    /// [`AttemptRecord::wait_ms`].
    pub wait_ms: u64,
    pub routes: Vec<RouteMetrics>,
}

#[derive(Clone, Default)]
pub struct RouteMetrics {
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

impl Counters {
    fn route(&mut self, endpoint: &str, model: &str) -> &mut RouteMetrics {
        let at = |routes: &[RouteMetrics], endpoint: &str, model: &str| {
            routes.iter().position(|route| route.endpoint == endpoint && route.model == model)
        };
        let found = at(&self.routes, endpoint, model).or_else(|| {
            // The last row is shared by all further routes.
            (self.routes.len() >= MAX_ROUTES - 1).then(|| at(&self.routes, OTHER, OTHER)).flatten()
        });
        let index = found.unwrap_or_else(|| {
            let (endpoint, model) =
                if self.routes.len() < MAX_ROUTES - 1 { (endpoint, model) } else { (OTHER, OTHER) };
            self.routes.push(RouteMetrics {
                endpoint: endpoint.to_owned(),
                model: model.to_owned(),
                ..RouteMetrics::default()
            });
            self.routes.len() - 1
        });
        &mut self.routes[index]
    }
}

fn count(counts: &mut Counts, name: &'static str) {
    *counts.entry(name).or_default() += 1;
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
    fn routes_past_the_limit_share_a_row() {
        let metrics = Metrics::default();
        for model in 0..2 * MAX_ROUTES {
            metrics.observe(&attempt("a", &model.to_string()));
        }
        metrics.observe(&attempt("a", "7"));
        metrics.charge("a", "never seen", 0.5);
        let routes = metrics.snapshot().routes;
        assert_eq!(routes.len(), MAX_ROUTES);
        assert_eq!(routes[7].attempts, 2, "a route that has a row keeps it");
        let last = &routes[MAX_ROUTES - 1];
        assert_eq!((last.endpoint.as_str(), last.model.as_str()), (OTHER, OTHER));
        assert_eq!((last.attempts, last.cost_usd), (MAX_ROUTES as u64 + 1, 0.5));
        assert_eq!(routes.iter().map(|route| route.attempts).sum::<u64>(), 2 * MAX_ROUTES as u64 + 1);
    }
}
