//! The native part of `CircuitBreaker`: one state machine, standalone or shared with clients.

use std::collections::HashMap;
use std::time::Duration;

use napi_derive::napi;
use serde_json::json;

use super::errors::{OrThrow, exception, parse_json};
use crate::config;
use crate::engine::breaker::{BreakerPermit, SharedBreaker};
use crate::engine::{Outcome, State, clock};
use crate::error::{Error, Kind};

#[napi]
pub struct NativeBreaker {
    pub(super) shared: SharedBreaker,
    permits: HashMap<u32, BreakerPermit>,
    next_permit: u32,
}

#[napi]
impl NativeBreaker {
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String) -> napi::Result<Self> {
        let options = config::breaker("", &parse_json(&options)?).or_throw()?;
        Ok(NativeBreaker { shared: SharedBreaker::new(options), permits: HashMap::new(), next_permit: 0 })
    }

    #[napi(getter, catch_unwind)]
    pub fn state(&self) -> String {
        self.shared.state().as_str().to_owned()
    }

    #[napi(setter, catch_unwind)]
    pub fn set_state(&mut self, state: String) -> napi::Result<()> {
        let state =
            [State::Closed, State::Open, State::HalfOpen].into_iter().find(|known| known.as_str() == state);
        let Some(state) = state else {
            return Err(exception(&Error::invalid(
                "state",
                "another value",
                "'CLOSED', 'OPEN', 'HALF_OPEN'",
            )));
        };
        self.shared.update(|shared| shared.breaker.set_state(state));
        Ok(())
    }

    #[napi(getter, catch_unwind)]
    pub fn failures(&self) -> u32 {
        self.shared.update(|state| state.breaker.failures)
    }

    #[napi(setter, catch_unwind)]
    pub fn set_failures(&mut self, failures: u32) {
        self.shared.update(|state| state.breaker.failures = failures);
    }

    #[napi(getter, catch_unwind)]
    pub fn last_failure_time(&self) -> Option<f64> {
        self.shared.update(|state| state.breaker.last_failure_time.map(|at| at as f64))
    }

    #[napi(setter, catch_unwind)]
    pub fn set_last_failure_time(&mut self, at: Option<f64>) {
        self.shared.update(|state| state.breaker.last_failure_time = at.map(|at| at.max(0.0) as u64));
    }

    /// Sets one option by its JavaScript name, in its JavaScript unit.
    #[napi(catch_unwind)]
    pub fn set_option(&mut self, name: String, value: String) -> napi::Result<()> {
        let value = parse_json(&value)?;
        let options = config::breaker("", &json!({ name.as_str(): value })).or_throw()?;
        self.shared.update(|state| match name.as_str() {
            "failureThreshold" => state.options.failure_threshold = options.failure_threshold,
            "timeout" => state.options.timeout = options.timeout,
            "halfOpenMaxCalls" => state.options.half_open_max_calls = options.half_open_max_calls,
            "successThreshold" => state.options.success_threshold = options.success_threshold,
            _ => {}
        });
        Ok(())
    }

    #[napi(getter, catch_unwind)]
    pub fn failure_threshold(&self) -> u32 {
        self.shared.update(|state| state.options.failure_threshold)
    }

    #[napi(getter, catch_unwind)]
    pub fn timeout(&self) -> f64 {
        self.shared.update(|state| state.options.timeout.as_millis() as f64)
    }

    #[napi(getter, catch_unwind)]
    pub fn half_open_max_calls(&self) -> u32 {
        self.shared.update(|state| state.options.half_open_max_calls)
    }

    #[napi(getter, catch_unwind)]
    pub fn success_threshold(&self) -> u32 {
        self.shared.update(|state| state.options.success_threshold)
    }

    #[napi(catch_unwind)]
    pub fn can_execute(&self) -> bool {
        self.shared.update(|state| state.breaker.can_execute(&state.options, clock::now()))
    }

    #[napi(catch_unwind)]
    pub fn record_success(&self) {
        self.shared.update(|state| state.breaker.record_success(&state.options, clock::now()));
    }

    #[napi(catch_unwind)]
    pub fn record_failure(&self) {
        self.shared.update(|state| state.breaker.record_failure(&state.options, clock::now()));
    }

    #[napi(catch_unwind)]
    pub fn health_score(&self) -> f64 {
        self.shared.update(|state| state.breaker.health_score())
    }

    #[napi(catch_unwind)]
    pub fn open(&self) {
        self.shared.update(|state| state.breaker.open(clock::now()));
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.shared.update(|state| state.breaker.close());
    }

    #[napi(catch_unwind)]
    pub fn reset(&self) {
        self.shared.update(|state| state.breaker.reset());
    }

    /// A permit for one call of `execute`. Throws if the breaker rejects the call.
    #[napi(catch_unwind)]
    pub fn acquire(&mut self) -> napi::Result<u32> {
        let (guard, _) = self.shared.acquire().map_err(|denied| {
            let ms = denied.retry_after.as_millis();
            let message = format!("the circuit is open; the next attempt is allowed in {ms} ms");
            exception(&Error::new(Kind::CircuitOpen, message).with_retry_after(Some(denied.retry_after)))
        })?;
        let id = self.next_permit;
        self.next_permit = self.next_permit.wrapping_add(1);
        self.permits.insert(id, guard);
        Ok(id)
    }

    /// Reports how a permitted call ended: 0 for success, 1 for failure, anything else to ignore it.
    #[napi(catch_unwind)]
    pub fn report(&mut self, permit: u32, outcome: u32) {
        if let Some(guard) = self.permits.remove(&permit) {
            guard.report(match outcome {
                0 => Outcome::Success,
                1 => Outcome::Failure,
                _ => Outcome::Ignored,
            });
        }
    }

    /// The time until a call may be admitted, in milliseconds; null if one may be admitted now.
    #[napi(catch_unwind)]
    pub fn retry_after_ms(&self) -> Option<f64> {
        let wait = self.shared.update(|state| state.breaker.retry_after(&state.options, clock::now()));
        wait.filter(|wait| *wait > Duration::ZERO).map(|wait| wait.as_millis() as f64)
    }
}
