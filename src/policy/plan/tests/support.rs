//! A plan under test, with its clock.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::policy::backoff::{Backoff, Jitter};
use crate::policy::circuit_breaker::Outcome;
use crate::policy::classify::{Classification, NextRoute};
use crate::policy::plan::selection::millis_ceil;
use crate::policy::plan::{Failure, Plan, Reason, Route, RouteId, RouteUnavailable, Settings, Step, Stop};

pub const NOW: u64 = 1_700_000_000_000;

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn settings(max_retries: u32) -> Settings {
    let backoff = Backoff { jitter: Jitter::None, ..Backoff::default() };
    Settings {
        max_retries,
        backoff,
        max_retry_after: ms(60_000),
        max_wait_before_fallback: Duration::ZERO,
        min_attempt_time: Duration::ZERO,
    }
}

/// `models` × `endpoints`, none of which is paused.
pub fn grid(models: usize, endpoints: usize) -> Vec<(Route, Option<u64>)> {
    let route = |index| {
        let endpoint = index % endpoints;
        let model = index / endpoints;
        Route { id: RouteId(index), endpoint, model, key: endpoint, context_tokens: None }
    };
    (0..models * endpoints).map(|index| (route(index), None)).collect()
}

pub fn classification(retryable: bool, next_route: NextRoute) -> Classification {
    Classification { retryable, breaker: Outcome::Failure, cools_down: false, next_route }
}

pub fn failure() -> Failure {
    let class = classification(true, NextRoute::Any);
    Failure {
        class,
        retry_after: None,
        timed_out: false,
        rate_limited: false,
        interruption: None,
        retry_delays: None,
    }
}

pub fn timed_out() -> Failure {
    Failure { timed_out: true, ..failure() }
}

pub fn not_retryable(next_route: NextRoute) -> Failure {
    Failure { class: classification(false, next_route), ..failure() }
}

pub fn retry_after(wait: u64) -> Failure {
    Failure { retry_after: Some(ms(wait)), ..failure() }
}

/// A plan under test. Each report advances the clock by the wait of the step that follows.
pub struct Scenario {
    pub plan: Plan,
    pub now: u64,
    deadline: Option<u64>,
    pub rng: StdRng,
    pub step: Step,
}

impl Scenario {
    pub fn new(settings: Settings, routes: Vec<(Route, Option<u64>)>, total: Option<u64>) -> Self {
        Self::of(Plan::new(settings, routes), total)
    }

    pub fn of(plan: Plan, total: Option<u64>) -> Self {
        let mut scenario = Scenario {
            plan,
            now: NOW,
            deadline: total.map(|total| NOW + total),
            rng: StdRng::seed_from_u64(1),
            step: Step::Stop(Stop::RetriesExhausted),
        };
        scenario.step = scenario.plan.start(scenario.now, scenario.remaining(), &mut scenario.rng);
        scenario.wait();
        scenario
    }

    pub fn fail(&mut self, failure: Failure) -> &mut Self {
        self.step = self.plan.attempt_failed(failure, self.now, self.remaining(), &mut self.rng);
        self.wait();
        self
    }

    pub fn circuit_open(&mut self, wait: u64) -> &mut Self {
        self.step = self.plan.circuit_open(ms(wait), self.now, self.remaining(), &mut self.rng);
        self.wait();
        self
    }

    pub fn unavailable(&mut self, cause: RouteUnavailable) -> &mut Self {
        self.step = self.plan.route_unavailable(cause, self.now, self.remaining(), &mut self.rng);
        self.wait();
        self
    }

    pub fn budget_exhausted(&mut self) -> &mut Self {
        self.step = self.plan.retry_budget_exhausted(self.now, self.remaining(), &mut self.rng);
        self.wait();
        self
    }

    /// The route, the wait in milliseconds and the reason of the current step.
    pub fn attempt(&self) -> (usize, u64, Reason) {
        match self.step {
            Step::Try { route, wait, reason, .. } => (route.id.0, wait.as_millis() as u64, reason),
            Step::Stop(stop) => panic!("the plan stopped: {stop:?}"),
        }
    }

    pub fn stop(&self) -> Stop {
        match self.step {
            Step::Stop(stop) => stop,
            step => panic!("the plan continues: {step:?}"),
        }
    }

    fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| ms(deadline.saturating_sub(self.now)))
    }

    fn wait(&mut self) {
        if let Step::Try { wait, .. } = self.step {
            self.now += millis_ceil(wait);
            if self.plan.must_queue() {
                let at = self.plan.current.and_then(|current| self.plan.routes[current].available_at);
                self.now = self.now.max(at.unwrap_or(0));
            }
        }
    }
}
