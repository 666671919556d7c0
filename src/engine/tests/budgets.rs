//! The retry budget: what spends it, and what happens when it is used up.

use serde_json::{Value, json};

use super::provider::{Reply, answer, stream, unavailable};
use super::support::{Ended, Scene};
use crate::config::ClientConfig;
use crate::engine::retry_budget::{Exhausted, RetryBudget};
use crate::error::Kind;

/// A budget of so many retries in the ten seconds of its window, whatever the calls.
fn only(retries: u32) -> Value {
    json!({ "ratio": 0, "minPerSecond": f64::from(retries) / 10.0 })
}

fn budget(ended: &Ended) -> Vec<Value> {
    ended.events("retry-budget").iter().map(|event| event["budget"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn beyond_it_a_call_fails_with_the_error_itself() {
    let scene = Scene::new(json!({ "retryBudget": only(2) }), vec![unavailable(); 4]);
    let ended = scene.call().await;
    let error = ended.error();
    assert_eq!((error.kind, error.status, error.attempts.len()), (Kind::Server, Some(503), 3));
    assert_eq!(ended.at, 3_000, "it does not wait for what it cannot do");
    assert_eq!(budget(&ended), ["client"]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.error().attempts.len()), (Kind::Server, 1), "shared by all calls");
}

#[tokio::test(start_paused = true)]
async fn calls_buy_retries() {
    let budget = json!({ "ratio": 0.5, "minPerSecond": 0 });
    let script = vec![answer(&["a"]), unavailable(), answer(&["b"]), unavailable()];
    let scene = Scene::new(json!({ "retryBudget": budget }), script);
    scene.call().await.answer();
    assert_eq!(scene.call().await.text(), "b");
    assert_eq!(scene.call().await.error().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn the_first_try_of_another_endpoint_or_model_is_free() {
    let options = json!({ "retryBudget": only(0), "fallbackModels": ["m2"] });
    let scene = Scene::two(options, vec![unavailable(), answer(&["a"])], vec![unavailable()]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at, scene.went_to().as_str()), ("a", 0, "aba"));
    assert_eq!(budget(&ended), ["client"], "the retry that was due before the next model");
}

#[tokio::test(start_paused = true)]
async fn a_key_has_a_budget_of_its_own_beside_the_clients() {
    let options = json!({ "retryBudget": only(1), "maxRetries": 1 });
    let scene = Scene::new(options.clone(), vec![unavailable(); 3]);
    let ended = scene.call_with(json!({ "tenant": "u1" })).await;
    assert_eq!(ended.error().kind, Kind::RetriesExhausted);
    assert_eq!(budget(&scene.call_with(json!({ "tenant": "u2" })).await), ["client"]);
    let shared = RetryBudget::new(ClientConfig::read(&with_key(options)).unwrap().retry_budget);
    // Two keys have a retry each, and the client has one for both.
    assert_eq!(shared.try_spend(Some("u1")), Ok(()));
    assert_eq!(shared.try_spend(Some("u2")), Err(Exhausted::Client));
    let half = json!({ "retryBudget": { "ratio": 0.5, "minPerSecond": 0 } });
    let shared = RetryBudget::new(ClientConfig::read(&with_key(half)).unwrap().retry_budget);
    for _ in 0..10 {
        shared.deposit(None);
    }
    shared.deposit(Some("u1"));
    assert_eq!(shared.try_spend(Some("u1")), Err(Exhausted::Tenant), "half a retry");
    shared.deposit(Some("u1"));
    assert_eq!(shared.try_spend(Some("u1")), Ok(()));
    assert_eq!(shared.try_spend(None), Ok(()), "what was refused has spent nothing of the client's");
}

fn with_key(mut options: Value) -> Value {
    options["apiKey"] = json!("k");
    options
}

#[tokio::test(start_paused = true)]
async fn the_key_that_was_not_used_for_longest_is_forgotten() {
    let budget = RetryBudget::new(ClientConfig::read(&json!({ "apiKey": "k" })).unwrap().retry_budget);
    for key in 0..5_000 {
        budget.deposit(Some(&format!("u{key}")));
        budget.deposit(Some("busy"));
    }
    assert_eq!(budget.keys(), crate::config::defaults::MAX_TENANTS);
    assert!(budget.has_key("busy") && budget.has_key("u4999") && !budget.has_key("u0"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_breaker_keeps_back_is_given_back() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 60_000 });
    let options = json!({ "retryBudget": only(1), "circuitBreaker": breaker, "maxRetries": 1 });
    let scene = Scene::new(options, vec![unavailable()]);
    assert_eq!(scene.call().await.error().kind, Kind::CircuitOpen);
    assert_eq!(scene.client.state.budget.try_spend(None), Ok(()));
    assert_eq!(scene.client.state.budget.try_spend(None), Err(Exhausted::Client));
}

fn broken(text: &str) -> Reply {
    stream().say(text).breaks()
}

#[tokio::test(start_paused = true)]
async fn a_recovery_spends_it_even_as_the_first_try_of_another_route() {
    let options = json!({ "retryBudget": only(1), "recovery": { "mode": "continue" } });
    let (a, b) = (vec![broken("Hello wide, wide world of")], vec![broken(" letters and more")]);
    let scene = Scene::two(options.clone(), a, b);
    let ended = scene.call().await;
    let error = ended.error();
    assert_eq!((error.kind, error.attempts.len()), (Kind::Interrupted, 2));
    assert!(error.message.contains("the retry budget is exhausted"), "{error}");
    assert_eq!(error.partial.as_deref(), Some("Hello wide, wide world of letters and more"));
    assert_eq!((budget(&ended), ended.events("recovery").len()), (vec![json!("client")], 1));
    assert_eq!(scene.went_to(), "ab");
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_nothing_is_refused() {
    let options = json!({ "retryBudget": false, "maxRetries": 200, "retry": { "baseDelayMs": 0 } });
    let mut script = vec![unavailable(); 200];
    script.push(answer(&["a"]));
    let scene = Scene::new(options.clone(), script.clone());
    assert_eq!(scene.call().await.text(), "a");
    let mut options = options;
    options.as_object_mut().unwrap().remove("retryBudget");
    let scene = Scene::new(options, script);
    assert_eq!(
        scene.call().await.error().attempts.len(),
        101,
        "the floor of the default: 100 in ten seconds"
    );
}

#[tokio::test(start_paused = true)]
async fn other_options_of_a_client_keep_what_it_remembers() {
    let mut scene = Scene::new(json!({ "retryBudget": only(1) }), vec![unavailable(); 3]);
    scene.call().await;
    let mut config = scene.client.config().clone();
    config.call.max_retries = 9;
    scene.client = scene.client.reconfigured(config);
    assert_eq!(scene.call().await.error().attempts.len(), 1);
}
