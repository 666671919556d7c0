//! A circuit breaker as a plain value. The owner passes in the time.
//!
//! The strategy decides when the circuit opens: [`Options::failure_threshold`] consecutive failures, or
//! [`Options::error_rate`] over a window. The state machine decides what open and half-open mean. The terms
//! are from Nygard, "Release It!", the split is that of cockatiel and resilience4j.
//!
//! There are two interfaces to the same state. With permits ([`Breaker::try_acquire`], [`Breaker::report`])
//! the breaker identifies each call, so a late result changes nothing. The manual interface
//! ([`Breaker::can_execute`], [`Breaker::record_success`], [`Breaker::record_failure`]) only counts calls.
//!
//! Times are milliseconds since the epoch. If the clock goes back, [`Breaker::try_acquire`] moves times that
//! are in the future to the present. So the circuit stays open for at most one more `timeout`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcomes::{OutcomeHistory, SlidingWindow};

/// The state of a circuit breaker. A new one is closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Consecutive failures. Kept while open; cleared by a success. Callers may set it: the next failure
    /// compares it with the threshold.
    pub failures: u32,
    /// The time of the last failure. Callers may set it: while open it determines when the first probe is
    /// due, and `None` makes it due at once.
    pub last_failure_time: Option<u64>,
    state: State,
    generation: u64,
    next_id: u64,
    /// Successes since the circuit became half-open.
    successes: u32,
    probes: Vec<Probe>,
    history: OutcomeHistory,
    window: SlidingWindow,
}

impl Breaker {
    /// A closed breaker without any history.
    pub fn new() -> Self {
        Breaker::default()
    }

    /// The current state. An open circuit stays open until it admits a call, even after `timeout`.
    pub fn state(&self) -> State {
        self.state
    }

    /// Incremented by each transition and each reset. A permit of an earlier generation has no effect.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The share of successes among the last 10 calls, 0 to 100; 100 without any call. Only
    /// [`Breaker::reset`] clears it.
    pub fn health_score(&self) -> f64 {
        self.history.score()
    }

    /// The transition since `before`, if any. [`Breaker::try_acquire`] and [`Breaker::can_execute`] may
    /// change open to half-open without returning the transition.
    pub fn transition_since(&self, before: State) -> Option<Transition> {
        (before != self.state).then_some(Transition { from: before, to: self.state })
    }

    /// Admits a call. Changes open to half-open once `timeout` has elapsed.
    ///
    /// # Errors
    /// [`Denial`] while open, and while half-open without a free probe slot.
    pub fn try_acquire(&mut self, options: &Options, now: u64) -> Result<Permit, Denial> {
        // If the clock went back, times in the future count as now.
        self.last_failure_time = self.last_failure_time.map(|time| time.min(now));
        for probe in &mut self.probes {
            probe.admitted_at = probe.admitted_at.min(now);
        }
        if let Some(retry_after) = self.retry_after(options, now) {
            return Err(Denial { retry_after });
        }
        if self.state == State::Open {
            self.enter(State::HalfOpen);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        if self.state == State::HalfOpen {
            let lease = options.lease_ms();
            self.probes.retain(|probe| now.saturating_sub(probe.admitted_at) < lease);
            self.probes.push(Probe { id, admitted_at: now });
        }
        Ok(Permit { generation: self.generation, id })
    }

    /// Records the result of an admitted call. A permit of an earlier generation has no effect. A probe
    /// that lost its slot after `timeout` still counts in the same half-open period. Otherwise a service
    /// that responds slower than `timeout` would stay half-open forever.
    pub fn report(
        &mut self,
        options: &Options,
        permit: Permit,
        outcome: Outcome,
        now: u64,
    ) -> Option<Transition> {
        if permit.generation != self.generation {
            return None;
        }
        self.probes.retain(|probe| probe.id != permit.id);
        match outcome {
            Outcome::Success => self.on_success(options, now),
            Outcome::Failure => self.on_failure(options, now),
            Outcome::Ignored => None,
        }
    }

    /// Whether a call would be admitted now. Changes nothing.
    pub fn would_admit(&self, options: &Options, now: u64) -> bool {
        self.retry_after(options, now).is_none()
    }

    /// The wait until a call may be admitted, at most `timeout`; `None` if it would be admitted now.
    pub fn retry_after(&self, options: &Options, now: u64) -> Option<Duration> {
        let (since, limit) = match self.state {
            State::Closed => return None,
            State::Open => (self.last_failure_time?, options.timeout_ms()),
            State::HalfOpen => {
                let lease = options.lease_ms();
                let is_live = |probe: &&Probe| now.saturating_sub(probe.admitted_at) < lease;
                let slots = options.half_open_max_calls.max(1) as usize;
                if self.probes.iter().filter(is_live).count() < slots {
                    return None;
                }
                (self.probes.iter().filter(is_live).map(|probe| probe.admitted_at).min()?, lease)
            }
        };
        let wait = limit.saturating_sub(now.saturating_sub(since));
        (wait > 0).then(|| Duration::from_millis(wait))
    }

    /// Manual interface: whether a call may be made now. While half-open an admitted call takes a probe
    /// slot until the next recorded result, or until `timeout`.
    pub fn can_execute(&mut self, options: &Options, now: u64) -> bool {
        self.try_acquire(options, now).is_ok()
    }

    /// Manual interface: records a success. Clears `failures` and closes the circuit. While half-open it
    /// takes `success_threshold` successes.
    pub fn record_success(&mut self, options: &Options, now: u64) -> Option<Transition> {
        self.release_oldest_probe();
        self.on_success(options, now)
    }

    /// Manual interface: records a failure. While half-open it opens the circuit at once. While open it
    /// restarts `timeout`.
    pub fn record_failure(&mut self, options: &Options, now: u64) -> Option<Transition> {
        self.release_oldest_probe();
        self.on_failure(options, now)
    }

    /// Opens the circuit for `timeout` from now. If it is open already, `timeout` restarts.
    pub fn open(&mut self, now: u64) -> Option<Transition> {
        self.last_failure_time = Some(now);
        self.enter(State::Open)
    }

    /// Changes open to half-open before `timeout` has elapsed: the next call is a probe.
    pub fn half_open(&mut self) -> Option<Transition> {
        if self.state != State::Open {
            return None;
        }
        self.last_failure_time = None;
        self.enter(State::HalfOpen)
    }

    /// Closes the circuit, and clears `failures` and the window of the error rate.
    pub fn close(&mut self) -> Option<Transition> {
        self.failures = 0;
        self.window.clear();
        self.enter(State::Closed)
    }

    /// Resets the breaker to a new one. Earlier permits no longer have an effect.
    pub fn reset(&mut self) -> Option<Transition> {
        let before = self.state;
        *self = Breaker {
            generation: self.generation.wrapping_add(1),
            next_id: self.next_id,
            ..Breaker::default()
        };
        self.transition_since(before)
    }

    /// Sets only the state, as an assignment in JavaScript does. `failures` and `last_failure_time` are
    /// kept. Setting the current state has no effect.
    pub fn set_state(&mut self, state: State) -> Option<Transition> {
        self.enter(state)
    }

    fn on_success(&mut self, options: &Options, now: u64) -> Option<Transition> {
        self.history.push(true);
        if self.state == State::HalfOpen {
            self.successes = self.successes.saturating_add(1);
            if self.successes < options.success_threshold.max(1) {
                return None;
            }
        }
        if self.state != State::Closed {
            return self.close();
        }
        self.failures = 0;
        self.window.push(options.window, now, true);
        None
    }

    fn on_failure(&mut self, options: &Options, now: u64) -> Option<Transition> {
        self.history.push(false);
        self.failures = self.failures.saturating_add(1);
        self.last_failure_time = Some(now);
        if self.state == State::Closed {
            self.window.push(options.window, now, false);
            let rate = self.window.failure_rate(options.minimum_calls);
            let rate_exceeded = options.error_rate.zip(rate).is_some_and(|(limit, rate)| rate >= limit);
            if self.failures < options.failure_threshold.max(1) && !rate_exceeded {
                return None;
            }
        }
        self.enter(State::Open)
    }

    /// The manual interface has no ids. The oldest probe is the most likely one to have ended.
    fn release_oldest_probe(&mut self) {
        if !self.probes.is_empty() {
            self.probes.remove(0);
        }
    }

    fn enter(&mut self, to: State) -> Option<Transition> {
        let from = self.state;
        if from == to {
            return None;
        }
        self.state = to;
        self.generation = self.generation.wrapping_add(1);
        self.successes = 0;
        self.probes.clear();
        Some(Transition { from, to })
    }
}

/// When a circuit opens and how it closes again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Consecutive failures that open the circuit. Default 5; 0 counts as 1.
    pub failure_threshold: u32,
    /// How long the circuit stays open after the last failure, and how long a probe without a report keeps
    /// its slot. Default 60 s. With 0 the circuit becomes half-open at once, and a probe keeps its slot for
    /// 1 ms.
    pub timeout: Duration,
    /// Concurrent probes while half-open. Default 1; 0 counts as 1.
    pub half_open_max_calls: u32,
    /// Successes while half-open that close the circuit. Default 1; 0 counts as 1.
    pub success_threshold: u32,
    /// The share of failures within `window`, 0 to 1, that opens the circuit as well. Checked on each
    /// failure. Default none.
    pub error_rate: Option<f64>,
    /// The window of `error_rate`. Default 30 s, with a resolution of a tenth.
    pub window: Duration,
    /// Calls within `window` below which `error_rate` does not apply. Default 10.
    pub minimum_calls: u32,
}

impl Options {
    fn timeout_ms(&self) -> u64 {
        u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long a probe without a report keeps its slot, in milliseconds.
    fn lease_ms(&self) -> u64 {
        self.timeout_ms().max(1)
    }
}

/// The state of a circuit. Serialized as `CLOSED`, `OPEN`, `HALF_OPEN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// All calls pass.
    #[default]
    Closed,
    /// No call passes until `timeout` has elapsed.
    Open,
    /// A few probes pass. Their results close the circuit or open it again.
    HalfOpen,
}

impl State {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Open => "OPEN",
            State::HalfOpen => "HALF_OPEN",
        }
    }
}

impl std::str::FromStr for State {
    type Err = ();

    /// Accepts exactly what [`State::as_str`] writes.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "CLOSED" => Ok(State::Closed),
            "OPEN" => Ok(State::Open),
            "HALF_OPEN" => Ok(State::HalfOpen),
            _ => Err(()),
        }
    }
}

/// The result of a call, as the breaker records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service works. This includes a response that rejects the request.
    Success,
    /// The service failed.
    Failure,
    /// The call says nothing about the service. A probe's slot becomes free.
    Ignored,
}

/// The permission to make one call. [`Breaker::report`] consumes it. It is not `Clone`, so each call is
/// reported at most once.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a permit that is never reported keeps a probe's slot until the timeout"]
pub struct Permit {
    /// The breaker's generation when the call was admitted.
    pub generation: u64,
    /// Identifies the call.
    pub id: u64,
}

/// The breaker does not admit the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The wait until the next call may be admitted. Exact while open. While half-open an upper bound: a
    /// probe slot may become free sooner.
    pub retry_after: Duration,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The previous state.
    pub from: State,
    /// The new state.
    pub to: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probe {
    id: u64,
    admitted_at: u64,
}

#[cfg(test)]
#[path = "circuit_breaker_tests.rs"]
mod tests;
