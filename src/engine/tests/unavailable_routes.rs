//! Routes that become unavailable before an attempt on them: where the call goes, and what it spends.

use serde_json::json;

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, error_response, stream, unavailable};
use crate::engine::retry_budget::Exhausted;
use crate::error::Kind;

fn rate_limited(seconds: u64) -> Reply {
    error_response(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

#[tokio::test(start_paused = true)]
async fn a_retry_avoids_a_route_that_another_call_has_cooled_down() {
    let a = vec![unavailable(), rate_limited(10), answer(&["a"])];
    let b = vec![unavailable(), answer(&["b"]), answer(&["b"])];
    let harness = Harness::two_endpoints(json!({ "circuitBreaker": false }), a, b);
    let other = TestCall { delay_ms: 500, ..TestCall::default() };
    let (outcome, other) = futures::join!(harness.call(), harness.run(other));
    assert_eq!((outcome.text(), outcome.at), ("b", 1_000));
    assert_eq!((other.text(), other.at, harness.request_hosts().as_str()), ("b", 500, "ababb"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_cooldown_delays_spends_the_budget_once() {
    let options = json!({ "retryBudget": { "ratio": 0, "minPerSecond": 0.1 } });
    let harness = Harness::new(options, vec![unavailable(), rate_limited(5), answer(&["a"])]);
    let other = TestCall { options: json!({ "maxRetries": 0 }), delay_ms: 500, ..TestCall::default() };
    let (outcome, other) = futures::join!(harness.call(), harness.run(other));
    assert_eq!(other.error().kind, Kind::RateLimit);
    assert_eq!((outcome.text(), outcome.at), ("a", 5_500));
    assert_eq!(harness.client.state.budget.try_spend(None), Err(Exhausted::Client));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_over_the_cap_does_not_move_to_a_cheaper_model() {
    let prices = json!({ "m": { "input": 1, "output": 1 }, "cheap": { "input": 0.1, "output": 0.1 } });
    let options = json!({
        "model": "m", "fallbackModels": ["cheap"], "recovery": { "mode": "continue" },
        "cost": { "hardCapUsd": 60e-6, "prices": prices },
    });
    let harness = Harness::new(options, vec![stream().delta("one two").reset(), answer(&[" three"])]);
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 50 });
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!((outcome.error().kind, outcome.error().partial.as_deref()), (Kind::CostCap, Some("one two")));
    assert_eq!(harness.requests().len(), 1);
}
