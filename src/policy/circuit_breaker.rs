//! The circuit breaker as a plain value: whoever owns it passes the time in.
//!
//! *When* it opens is the strategy ([`Options::failure_threshold`] failures in a row, or
//! [`Options::error_rate`] over a window); *what* open and half-open mean is the state machine.
//! Names after Nygard, "Release It!"; the split after cockatiel and resilience4j.
//!
//! There are two ways in. With permits ([`Breaker::try_acquire`], [`Breaker::report`]) each call is
//! known, so that a late result changes nothing. By hand ([`Breaker::can_execute`],
//! [`Breaker::record_success`], [`Breaker::record_failure`]) calls are only counted. Both work on
//! the same state.
//!
//! Times are milliseconds since the epoch. Where the clock goes back, what lies in the future is
//! taken to have happened at the next look that may write, so a step never shuts the breaker for
//! longer than one more `timeout`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcomes::{OutcomeHistory, SlidingWindow};

/// When a breaker opens and how it closes again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Failures in a row that open it. Default 5; 0 counts as 1.
    pub failure_threshold: u32,
    /// How long it stays open after the last failure, and how long an unreported probe keeps its
    /// place. Default 60 s. With 0 it is half-open at once, and a probe keeps its place for 1 ms.
    pub timeout: Duration,
    /// Probes that may be under way at the same time while half-open. Default 1; 0 counts as 1.
    pub half_open_max_calls: u32,
    /// Successes while half-open that close it. Default 1; 0 counts as 1.
    pub success_threshold: u32,
    /// Share of failures within `window`, 0 to 1, that opens it too. Default none. It is looked at
    /// when a failure is counted.
    pub error_rate: Option<f64>,
    /// How far back `error_rate` looks. Default 30 s, kept in steps of a tenth.
    pub window: Duration,
    /// Calls that `window` must hold before `error_rate` says anything. Default 10.
    pub minimum_calls: u32,
}

impl Options {
    fn timeout_ms(&self) -> u64 {
        u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long a probe that nobody reports keeps its place, in milliseconds.
    fn lease_ms(&self) -> u64 {
        self.timeout_ms().max(1)
    }
}

/// Whether calls pass. Written `CLOSED`, `OPEN`, `HALF_OPEN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// All calls pass.
    #[default]
    Closed,
    /// No call passes before `timeout` is over.
    Open,
    /// A few probes pass; they decide.
    HalfOpen,
}

impl State {
    /// The one public spelling.
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

/// How an admitted call ended, as far as the breaker is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service answered; also when it refused the request as wrong.
    Success,
    /// The service failed.
    Failure,
    /// Nothing was learnt: the call was given up. Its place is free again.
    Ignored,
}

/// The right to make one call. It is used up by [`Breaker::report`], hence not `Clone`: a report
/// counts once.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a permit that is never reported keeps a probe's place until the timeout"]
pub struct Permit {
    /// The breaker's generation when the call was admitted.
    pub generation: u64,
    /// Tells this call from the others.
    pub id: u64,
}

/// A call that was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// When to ask again. Open: exact. Half-open: the latest time at which a place is free again.
    pub retry_after: Duration,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probe {
    id: u64,
    admitted_at: u64,
}

/// What a breaker knows. A new one is closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Failures in a row. Stays readable while open; a success clears it. May be written: it is
    /// compared with the threshold at the next failure.
    pub failures: u32,
    /// When the last failure was counted. May be written; while open it decides when the first
    /// probe passes, and `None` lets it pass at once.
    pub last_failure_time: Option<u64>,
    state: State,
    generation: u64,
    next_id: u64,
    /// Successes since the breaker became half-open.
    successes: u32,
    probes: Vec<Probe>,
    history: OutcomeHistory,
    window: SlidingWindow,
}

impl Breaker {
    /// A closed breaker that has seen nothing.
    pub fn new() -> Self {
        Breaker::default()
    }

    /// The state as it stands. Open lasts until a call is admitted, however much time has passed.
    pub fn state(&self) -> State {
        self.state
    }

    /// Grows by one with each change of state and each reset. A permit of another generation
    /// changes nothing.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Share of successes among the last 10 calls, 0 to 100; 100 when there was none. Neither
    /// opening nor closing empties it, only [`Breaker::reset`].
    pub fn health_score(&self) -> f64 {
        self.history.score()
    }

    /// The change since `before`, for those who watch a call that may change the state without
    /// saying so: [`Breaker::try_acquire`] and [`Breaker::can_execute`] turn open into half-open.
    pub fn transition_since(&self, before: State) -> Option<Transition> {
        (before != self.state).then_some(Transition { from: before, to: self.state })
    }

    /// Admits a call or says how long to wait. Turns open into half-open when `timeout` is over.
    ///
    /// # Errors
    /// [`Denial`] while open, and while half-open with all probes under way.
    pub fn try_acquire(&mut self, options: &Options, now: u64) -> Result<Permit, Denial> {
        // The clock went back: what lies in the future has just happened.
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

    /// Takes in how an admitted call ended. A permit of an earlier generation changes nothing. A
    /// probe that has lost its place after `timeout` still counts while its half-open lasts: or a
    /// service that answers well, but slower than `timeout`, would stay half-open for ever.
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
            Outcome::Success => self.success(options, now),
            Outcome::Failure => self.failure(options, now),
            Outcome::Ignored => None,
        }
    }

    /// Whether a call would be admitted now. Looking spends nothing and changes nothing.
    pub fn would_admit(&self, options: &Options, now: u64) -> bool {
        self.retry_after(options, now).is_none()
    }

    /// How long until a call may be admitted; `None` when it would be now. At most `timeout`.
    pub fn retry_after(&self, options: &Options, now: u64) -> Option<Duration> {
        let (since, limit) = match self.state {
            State::Closed => return None,
            State::Open => (self.last_failure_time?, options.timeout_ms()),
            State::HalfOpen => {
                let lease = options.lease_ms();
                let live = |probe: &&Probe| now.saturating_sub(probe.admitted_at) < lease;
                let places = options.half_open_max_calls.max(1) as usize;
                if self.probes.iter().filter(live).count() < places {
                    return None;
                }
                (self.probes.iter().filter(live).map(|probe| probe.admitted_at).min()?, lease)
            }
        };
        let wait = limit.saturating_sub(now.saturating_sub(since));
        (wait > 0).then(|| Duration::from_millis(wait))
    }

    /// By hand: whether a call may be made now. While half-open an admitted call takes a place,
    /// which the next record, or `timeout`, gives back.
    pub fn can_execute(&mut self, options: &Options, now: u64) -> bool {
        self.try_acquire(options, now).is_ok()
    }

    /// By hand: a call succeeded. Clears `failures` and closes; while half-open only when it is
    /// the `success_threshold`-th success.
    pub fn record_success(&mut self, options: &Options, now: u64) -> Option<Transition> {
        self.release_oldest();
        self.success(options, now)
    }

    /// By hand: a call failed. While half-open it opens at once; while open it counts and starts
    /// `timeout` again.
    pub fn record_failure(&mut self, options: &Options, now: u64) -> Option<Transition> {
        self.release_oldest();
        self.failure(options, now)
    }

    /// Opens it for `timeout` from now on, or for that long again.
    pub fn open(&mut self, now: u64) -> Option<Transition> {
        self.last_failure_time = Some(now);
        self.enter(State::Open)
    }

    /// Closes it and clears `failures` and the window of the error rate.
    pub fn close(&mut self) -> Option<Transition> {
        self.failures = 0;
        self.window.clear();
        self.enter(State::Closed)
    }

    /// Makes it new: closed and without a memory. Permits given before change nothing any more.
    pub fn reset(&mut self) -> Option<Transition> {
        let before = self.state;
        *self = Breaker {
            generation: self.generation.wrapping_add(1),
            next_id: self.next_id,
            ..Breaker::default()
        };
        self.transition_since(before)
    }

    /// Sets the state alone, as an assignment in JavaScript does; `failures` and
    /// `last_failure_time` stay. The same state again changes nothing.
    pub fn set_state(&mut self, state: State) -> Option<Transition> {
        self.enter(state)
    }

    fn success(&mut self, options: &Options, now: u64) -> Option<Transition> {
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

    fn failure(&mut self, options: &Options, now: u64) -> Option<Transition> {
        self.history.push(false);
        self.failures = self.failures.saturating_add(1);
        self.last_failure_time = Some(now);
        if self.state == State::Closed {
            self.window.push(options.window, now, false);
            let rate = self.window.failure_rate(options.minimum_calls);
            let too_often = options.error_rate.zip(rate).is_some_and(|(limit, rate)| rate >= limit);
            if self.failures < options.failure_threshold.max(1) && !too_often {
                return None;
            }
        }
        self.enter(State::Open)
    }

    /// Without an id the oldest probe is the likeliest to have ended.
    fn release_oldest(&mut self) {
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

#[cfg(test)]
#[path = "circuit_breaker_tests.rs"]
mod tests;
