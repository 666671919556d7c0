//! The order in which a call tries the endpoints.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, stream, unavailable};

/// Two endpoints with additional fields.
fn endpoints_with(mut options: Value, fields: [Value; 2], a: Vec<Reply>, b: Vec<Reply>) -> Harness {
    let mut endpoints = fields;
    for (endpoint, name) in endpoints.iter_mut().zip(["a", "b"]) {
        endpoint["name"] = json!(name);
        endpoint["baseUrl"] = json!(format!("http://{name}/v1"));
    }
    options["endpoints"] = json!(endpoints);
    Harness::with_hosts(options, vec![("a", a), ("b", b)])
}

fn with_breakers(routing: &str) -> Value {
    let breaker = json!({ "failureThreshold": 1, "timeout": 1_000 });
    json!({ "routing": routing, "maxRetries": 0, "circuitBreaker": breaker })
}

fn delayed(ms: u64) -> TestCall {
    TestCall { delay_ms: ms, ..TestCall::default() }
}

fn first_token_after(ms: u64) -> Reply {
    stream().wait(ms).delta("x").finish().done()
}

#[tokio::test(start_paused = true)]
async fn ordered_avoids_the_first_endpoint_only_while_it_is_down() {
    let a = vec![unavailable(), answer(&["1"]), answer(&["2"])];
    let harness = Harness::two_endpoints(with_breakers("ordered"), a, vec![answer(&["b"]), answer(&["b"])]);
    harness.call().await;
    harness.run(delayed(500)).await;
    harness.run(delayed(500)).await;
    harness.call().await;
    assert_eq!(harness.request_hosts(), "abbaa");
}

#[tokio::test(start_paused = true)]
async fn weighted_follows_the_weights() {
    let options = json!({ "routing": "weighted" });
    let fields = [json!({ "weight": 0.001 }), json!({ "weight": 1_000_000 })];
    let harness = endpoints_with(options, fields, vec![], vec![answer(&["b"]); 5]);
    for _ in 0..5 {
        harness.call().await;
    }
    assert_eq!(harness.request_hosts(), "bbbbb");
}

#[tokio::test(start_paused = true)]
async fn score_finds_the_faster_endpoint_and_stays_with_it() {
    let options = json!({ "routing": "score" });
    let harness =
        Harness::two_endpoints(options, vec![first_token_after(300)], vec![first_token_after(100); 4]);
    for _ in 0..5 {
        harness.call().await;
    }
    assert_eq!(harness.request_hosts(), "abbbb");
}

#[tokio::test(start_paused = true)]
async fn score_probes_a_due_breaker_once_and_returns_as_the_score_recovers() {
    let a = [vec![first_token_after(10), unavailable()], vec![first_token_after(10); 2]].concat();
    let b = vec![first_token_after(100); 6];
    let harness = Harness::two_endpoints(with_breakers("score"), a, b);
    // First a, then b because its speed is unknown. Then the faster one, a, fails.
    for _ in 0..3 {
        harness.call().await;
    }
    assert_eq!(harness.request_hosts(), "abab");
    harness.run(delayed(100)).await;
    assert_eq!(harness.request_hosts(), "ababb", "the breaker of a is open");
    harness.run(delayed(1_000)).await;
    assert_eq!(harness.request_hosts(), "ababba", "the probe");
    harness.call().await;
    assert_eq!(
        harness.request_hosts(),
        "ababbaa",
        "health 2/3 and ten times as fast: 47 + 30 against 70 + 3"
    );
}

#[tokio::test(start_paused = true)]
async fn least_busy_spreads_concurrent_calls() {
    let options = json!({ "routing": "least-busy" });
    let harness =
        Harness::two_endpoints(options, vec![first_token_after(500); 2], vec![first_token_after(300); 2]);
    futures::join!(harness.call(), harness.call(), harness.run(delayed(100)), harness.run(delayed(400)));
    assert_eq!(harness.request_hosts(), "abab");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_capacity_comes_after_one_with_capacity() {
    let limited = json!({ "rateLimit": { "capacity": 1, "refillRate": 1 } });
    let harness =
        endpoints_with(json!({}), [limited, json!({})], vec![answer(&["a"]); 2], vec![answer(&["b"])]);
    let times = [harness.call().await.at, harness.call().await.at, harness.run(delayed(1_000)).await.at];
    assert_eq!((harness.request_hosts().as_str(), times), ("aba", [0, 0, 1_000]));
}

#[tokio::test(start_paused = true)]
async fn ranking_an_endpoint_takes_no_probe_and_no_token() {
    let options = with_breakers("score");
    let limited = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.001 } });
    let harness = endpoints_with(options, [json!({}), limited], vec![], vec![]);
    let endpoint = &harness.client.state.endpoints[1];
    let route = endpoint.route("gpt-4.1", &harness.client.config().breaker, None, false);
    let breaker = route.breaker.as_ref().unwrap();
    breaker.update(|state| state.breaker.open(crate::engine::clock::now()));
    sleep(Duration::from_millis(1_000)).await;
    for _ in 0..3 {
        let candidate = endpoint.candidate(&route, harness.client.config().routing, 0.0);
        assert!(candidate.probe_due && candidate.has_capacity);
    }
    assert!(breaker.acquire().is_ok());
    assert!(endpoint.limiter.as_ref().unwrap().try_acquire(1.0));
    let candidate = endpoint.candidate(&route, harness.client.config().routing, 0.0);
    assert!(!candidate.has_capacity);
}

#[tokio::test(start_paused = true)]
async fn each_model_has_its_own_order() {
    let options =
        json!({ "routing": "score", "maxRetries": 0, "fallbackModels": ["m2"], "circuitBreaker": false });
    let a = vec![unavailable(), first_token_after(300), unavailable()];
    let b = vec![unavailable(), unavailable(), first_token_after(100), first_token_after(100)];
    let harness = Harness::two_endpoints(options, a, b);
    // m1 fails on both endpoints and a answers for m2. Then m1 fails on both again, and m2 on b is unknown.
    harness.call().await;
    let outcome = harness.call().await;
    assert_eq!((harness.request_hosts().as_str(), outcome.answer().endpoint.as_str()), ("abaabb", "b"));
}
