//! The retry budget: what spends it, and what happens when it is exhausted.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome};
use super::scripted_provider::{Reply, answer, stream, unavailable};
use crate::config::ClientConfig;
use crate::engine::retry_budget::{Exhausted, RetryBudget};
use crate::error::Kind;

/// A budget of `retries` retries in its window of ten seconds, however many calls there are.
fn only(retries: u32) -> Value {
    json!({ "ratio": 0, "minPerSecond": f64::from(retries) / 10.0 })
}

fn budget(outcome: &Outcome) -> Vec<Value> {
    outcome.events("retry-budget").iter().map(|event| event["budget"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_with_its_last_error_when_the_budget_is_exhausted() {
    let harness = Harness::new(json!({ "retryBudget": only(2) }), vec![unavailable(); 4]);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!((error.kind, error.status, error.attempts.len()), (Kind::Server, Some(503), 3));
    assert_eq!(outcome.at, 3_000, "it does not wait for a retry that it cannot make");
    assert_eq!(budget(&outcome), ["client"]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.error().kind, outcome.error().attempts.len()),
        (Kind::Server, 1),
        "all calls share the budget"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_fill_the_retry_budget() {
    let budget = json!({ "ratio": 0.5, "minPerSecond": 0 });
    let script = vec![answer(&["a"]), unavailable(), answer(&["b"]), unavailable()];
    let harness = Harness::new(json!({ "retryBudget": budget }), script);
    harness.call().await.answer();
    assert_eq!(harness.call().await.text(), "b");
    assert_eq!(harness.call().await.error().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn failing_over_to_another_endpoint_or_model_is_free() {
    let options = json!({ "retryBudget": only(0), "fallbackModels": ["m2"] });
    let harness = Harness::two_endpoints(options, vec![unavailable(), answer(&["a"])], vec![unavailable()]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at, harness.request_hosts().as_str()), ("a", 0, "aba"));
    assert_eq!(budget(&outcome), ["client"], "the retry before the next model");
}

#[tokio::test(start_paused = true)]
async fn a_retry_spends_the_budgets_of_the_tenant_and_of_the_client() {
    let options = json!({ "retryBudget": only(1), "maxRetries": 1 });
    let harness = Harness::new(options.clone(), vec![unavailable(); 3]);
    let outcome = harness.call_with(json!({ "tenant": "u1" })).await;
    assert_eq!(outcome.error().kind, Kind::RetriesExhausted);
    assert_eq!(budget(&harness.call_with(json!({ "tenant": "u2" })).await), ["client"]);
    let shared = RetryBudget::new(ClientConfig::read(&with_key(options)).unwrap().retry_budget);
    // Each tenant has a retry, and the client has one for both.
    assert_eq!(shared.try_spend(Some("u1")), Ok(()));
    assert_eq!(shared.try_spend(Some("u2")), Err(Exhausted::Client));
    let half = json!({ "retryBudget": { "ratio": 0.5, "minPerSecond": 0 } });
    let shared = RetryBudget::new(ClientConfig::read(&with_key(half)).unwrap().retry_budget);
    for _ in 0..10 {
        shared.deposit(None);
    }
    shared.deposit(Some("u1"));
    assert_eq!(shared.try_spend(Some("u1")), Err(Exhausted::Tenant), "the tenant has half a retry");
    shared.deposit(Some("u1"));
    assert_eq!(shared.try_spend(Some("u1")), Ok(()));
    assert_eq!(shared.try_spend(None), Ok(()), "a rejected retry spends nothing of the client's budget");
}

fn with_key(mut options: Value) -> Value {
    options["apiKey"] = json!("k");
    options
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_tenant_is_dropped() {
    let budget = RetryBudget::new(ClientConfig::read(&json!({ "apiKey": "k" })).unwrap().retry_budget);
    for key in 0..5_000 {
        budget.deposit(Some(&format!("u{key}")));
        budget.deposit(Some("busy"));
    }
    assert_eq!(budget.keys(), crate::config::defaults::MAX_TENANTS);
    assert!(budget.has_key("busy") && budget.has_key("u4999") && !budget.has_key("u0"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_breaker_rejects_is_refunded() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 60_000 });
    let options = json!({ "retryBudget": only(1), "circuitBreaker": breaker, "maxRetries": 1 });
    let harness = Harness::new(options, vec![unavailable()]);
    assert_eq!(harness.call().await.error().kind, Kind::CircuitOpen);
    assert_eq!(harness.client.state.budget.try_spend(None), Ok(()));
    assert_eq!(harness.client.state.budget.try_spend(None), Err(Exhausted::Client));
}

fn broken(text: &str) -> Reply {
    stream().delta(text).reset()
}

#[tokio::test(start_paused = true)]
async fn a_recovery_spends_the_budget_even_on_a_new_route() {
    let options = json!({ "retryBudget": only(1), "recovery": { "mode": "continue" } });
    let (a, b) = (vec![broken("Hello wide, wide world of")], vec![broken(" letters and more")]);
    let harness = Harness::two_endpoints(options.clone(), a, b);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!((error.kind, error.attempts.len()), (Kind::Interrupted, 2));
    assert!(error.message.contains("the retry budget is exhausted"), "{error}");
    assert_eq!(error.partial.as_deref(), Some("Hello wide, wide world of letters and more"));
    assert_eq!((budget(&outcome), outcome.events("recovery").len()), (vec![json!("client")], 1));
    assert_eq!(harness.request_hosts(), "ab");
}

#[tokio::test(start_paused = true)]
async fn retries_are_unlimited_without_a_budget() {
    let options = json!({ "retryBudget": false, "maxRetries": 200, "retry": { "baseDelayMs": 0 } });
    let mut script = vec![unavailable(); 200];
    script.push(answer(&["a"]));
    let harness = Harness::new(options.clone(), script.clone());
    assert_eq!(harness.call().await.text(), "a");
    let mut options = options;
    options.as_object_mut().unwrap().remove("retryBudget");
    let harness = Harness::new(options, script);
    assert_eq!(harness.call().await.error().attempts.len(), 101, "the default minimum: 100 in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_reconfigured_client_keeps_its_budget() {
    let mut harness = Harness::new(json!({ "retryBudget": only(1) }), vec![unavailable(); 3]);
    harness.call().await;
    let mut config = harness.client.config().clone();
    config.call.max_retries = 9;
    harness.client = harness.client.reconfigured(config);
    assert_eq!(harness.call().await.error().attempts.len(), 1);
}
