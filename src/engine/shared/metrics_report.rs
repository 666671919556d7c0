//! The counters of a client as plain numbers for JavaScript and as text for Prometheus.

use serde::Serialize;

use super::client_state::ClientState;
use super::endpoint::RouteState;
use super::metrics::{Counts, MAX_ROUTES, RouteMetrics};
use crate::policy::circuit_breaker::State as Circuit;
use crate::policy::histogram::Histogram;
use crate::wire::prometheus::{Exposition, Type};

/// `client.metrics()`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    calls: u64,
    in_flight: u64,
    successes: u64,
    failures: u64,
    aborted: u64,
    success_after_retry: u64,
    failures_by_code: Counts,
    attempts: u64,
    retries: u64,
    retries_by_cause: Counts,
    fallbacks: u64,
    hedges: u64,
    hedge_wins: u64,
    recoveries: u64,
    circuit_openings: u64,
    waits: Counts,
    wait_ms: u64,
    tokens_in: u64,
    tokens_out: u64,
    cost_usd: f64,
    routes: Vec<Route>,
    breakers: Vec<Breaker>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    endpoint: String,
    model: String,
    attempts: u64,
    failures: u64,
    failures_by_code: Counts,
    tokens_in: u64,
    tokens_out: u64,
    cost_usd: f64,
    first_token_ms: Times,
    duration_ms: Times,
}

/// A histogram, in milliseconds.
#[derive(Serialize)]
struct Times {
    count: u64,
    sum: u64,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    buckets: Vec<Bucket>,
    #[serde(skip)]
    histogram: Histogram,
}

/// The number of durations up to `le`.
#[derive(Serialize)]
struct Bucket {
    le: u64,
    count: u64,
}

#[derive(Serialize)]
struct Breaker {
    endpoint: String,
    model: String,
    state: &'static str,
}

fn sum(counts: &Counts) -> u64 {
    counts.values().sum()
}

impl From<Histogram> for Times {
    fn from(histogram: Histogram) -> Self {
        Times {
            count: histogram.count(),
            sum: histogram.sum_ms(),
            p50: histogram.quantile_ms(0.5),
            p95: histogram.quantile_ms(0.95),
            p99: histogram.quantile_ms(0.99),
            buckets: histogram.cumulative().map(|(le, count)| Bucket { le, count }).collect(),
            histogram,
        }
    }
}

impl From<RouteMetrics> for Route {
    fn from(route: RouteMetrics) -> Self {
        Route {
            attempts: route.attempts,
            failures: sum(&route.failures),
            failures_by_code: route.failures,
            tokens_in: route.tokens_in,
            tokens_out: route.tokens_out,
            cost_usd: route.cost_usd,
            first_token_ms: route.first_token.into(),
            duration_ms: route.duration.into(),
            endpoint: route.endpoint,
            model: route.model,
        }
    }
}

impl Report {
    /// The current counters of a client.
    pub fn of(client: &ClientState) -> Self {
        let counters = client.metrics.snapshot();
        let failures = sum(&counters.failures);
        let ended = counters.successes + failures + counters.aborted;
        let breakers = client.endpoints.iter().flat_map(|endpoint| {
            let of = |(model, route): (String, RouteState)| {
                let state = route.breaker?.state().as_str();
                Some(Breaker { endpoint: endpoint.config.name.clone(), model, state })
            };
            endpoint.routes().into_iter().filter_map(of)
        });
        let total = |of: fn(&RouteMetrics) -> u64| counters.routes.iter().map(of).sum();
        Report {
            calls: counters.calls,
            in_flight: counters.calls.saturating_sub(ended),
            successes: counters.successes,
            failures,
            aborted: counters.aborted,
            success_after_retry: counters.successes_after_retry,
            failures_by_code: counters.failures,
            attempts: total(|route| route.attempts),
            retries: sum(&counters.retries),
            retries_by_cause: counters.retries,
            fallbacks: counters.fallbacks,
            hedges: counters.hedges,
            hedge_wins: counters.hedge_wins,
            recoveries: counters.recoveries,
            circuit_openings: counters.circuit_openings,
            waits: counters.waits,
            wait_ms: counters.wait_ms,
            tokens_in: total(|route| route.tokens_in),
            tokens_out: total(|route| route.tokens_out),
            // Not `sum()`, which starts at -0.
            cost_usd: counters.routes.iter().fold(0.0, |sum, route| sum + route.cost_usd),
            breakers: breakers.take(MAX_ROUTES).collect(),
            routes: counters.routes.into_iter().map(Route::from).collect(),
        }
    }
}

const CIRCUITS: [Circuit; 3] = [Circuit::Closed, Circuit::HalfOpen, Circuit::Open];

impl Report {
    /// `client.metricsText()`. Seconds and dollars; names start with `holysheep_`.
    pub fn text(&self) -> String {
        let mut text = Exposition::default();
        self.calls_text(&mut text);
        self.routes_text(&mut text);
        text.into_text()
    }

    fn calls_text(&self, text: &mut Exposition) {
        let mut single = |name: &str, kind, help: &str, value: f64| {
            text.family(name, kind, help);
            text.sample(name, &[], value);
        };
        use Type::{Counter, Gauge};
        single("holysheep_calls_in_flight", Gauge, "Calls in flight.", self.in_flight as f64);
        let after = self.success_after_retry as f64;
        single(
            "holysheep_calls_succeeded_after_retry_total",
            Counter,
            "Answers that took more than one attempt.",
            after,
        );
        single(
            "holysheep_fallbacks_total",
            Counter,
            "Failovers to another route within a call.",
            self.fallbacks as f64,
        );
        let hedges = self.hedges as f64;
        single("holysheep_hedges_total", Counter, "Requests sent to race a slow attempt.", hedges);
        let wins = self.hedge_wins as f64;
        single("holysheep_hedge_wins_total", Counter, "Hedges that won their race.", wins);
        single(
            "holysheep_recoveries_total",
            Counter,
            "Interrupted answers that were recovered.",
            self.recoveries as f64,
        );
        single(
            "holysheep_circuit_openings_total",
            Counter,
            "Times that a breaker opened.",
            self.circuit_openings as f64,
        );
        single(
            "holysheep_wait_seconds_total",
            Counter,
            "Time spent waiting before attempts.",
            seconds(self.wait_ms),
        );

        let name = "holysheep_calls_total";
        text.family(name, Counter, "Finished calls, by outcome.");
        for (outcome, value) in
            [("success", self.successes), ("failure", self.failures), ("aborted", self.aborted)]
        {
            text.sample(name, &[("outcome", outcome)], value as f64);
        }
        for (name, label, help, counts) in [
            ("holysheep_call_failures_total", "code", "Calls that failed, by code.", &self.failures_by_code),
            (
                "holysheep_retries_total",
                "cause",
                "Retries, by the code of the failure that caused them.",
                &self.retries_by_cause,
            ),
            ("holysheep_waits_total", "reason", "Waits, by reason.", &self.waits),
        ] {
            text.family(name, Counter, help);
            for (value, count) in counts {
                text.sample(name, &[(label, value)], *count as f64);
            }
        }
    }

    fn routes_text(&self, text: &mut Exposition) {
        use Type::{Counter, Gauge};
        let name = "holysheep_attempts_total";
        text.family(name, Counter, "Attempts, by route.");
        for route in &self.routes {
            text.sample(name, &route.labels(), route.attempts as f64);
        }
        let name = "holysheep_attempt_failures_total";
        text.family(name, Counter, "Failed attempts, by route and code.");
        for route in &self.routes {
            for (code, count) in &route.failures_by_code {
                let [endpoint, model] = route.labels();
                text.sample(name, &[endpoint, model, ("code", code)], *count as f64);
            }
        }
        let name = "holysheep_tokens_total";
        text.family(name, Counter, "Tokens as reported by the provider, by route and direction.");
        for route in &self.routes {
            let [endpoint, model] = route.labels();
            text.sample(name, &[endpoint, model, ("direction", "in")], route.tokens_in as f64);
            text.sample(name, &[endpoint, model, ("direction", "out")], route.tokens_out as f64);
        }
        let name = "holysheep_cost_usd_total";
        text.family(name, Counter, "Cost of attempts in USD, by route.");
        for route in &self.routes {
            text.sample(name, &route.labels(), route.cost_usd);
        }
        self.times_text(
            text,
            "holysheep_first_token_seconds",
            "Time from the start of an attempt to its first token.",
            |r| &r.first_token_ms,
        );
        self.times_text(
            text,
            "holysheep_attempt_duration_seconds",
            "Duration of attempts, including failed ones.",
            |r| &r.duration_ms,
        );
        let name = "holysheep_circuit_state";
        text.family(name, Gauge, "1 for the current state of the breaker of a route, else 0.");
        for breaker in &self.breakers {
            for state in CIRCUITS.map(Circuit::as_str) {
                let labels = [("endpoint", &*breaker.endpoint), ("model", &*breaker.model), ("state", state)];
                text.sample(name, &labels, f64::from(u8::from(breaker.state == state)));
            }
        }
    }

    fn times_text(&self, text: &mut Exposition, name: &str, help: &str, times: fn(&Route) -> &Times) {
        text.family(name, Type::Histogram, help);
        for route in &self.routes {
            let histogram = &times(route).histogram;
            let cumulative = histogram.cumulative().map(|(bound, count)| (seconds(bound), count));
            text.histogram(name, &route.labels(), cumulative, seconds(histogram.sum_ms()), histogram.count());
        }
    }
}

impl Route {
    fn labels(&self) -> [(&str, &str); 2] {
        [("endpoint", &self.endpoint), ("model", &self.model)]
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
