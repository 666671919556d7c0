//! Rate limits of routes: a call skips a route without capacity, and waits only if there is no other.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, error_response, unavailable};
use crate::error::Kind;

/// Endpoints with these limits (`null`: no limit) and scripts.
fn limited_hosts(mut options: Value, hosts: Vec<(&str, Value, Vec<Reply>)>) -> Harness {
    let endpoint = |(name, limit, _): &(&str, Value, Vec<Reply>)| {
        let mut endpoint = json!({ "name": name, "baseUrl": format!("http://{name}/v1"), "apiKey": name });
        if !limit.is_null() {
            endpoint["rateLimit"] = limit.clone();
        }
        endpoint
    };
    options["endpoints"] = hosts.iter().map(endpoint).collect();
    Harness::with_hosts(options, hosts.into_iter().map(|(name, _, script)| (name, script)).collect())
}

fn large_call() -> TestCall {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 500 });
    TestCall { request, ..TestCall::default() }
}

#[tokio::test(start_paused = true)]
async fn failover_skips_an_endpoint_whose_limiter_is_exhausted() {
    for queue in [0, 1000] {
        let few = json!({ "capacity": 2, "refillRate": 0.01, "maxQueue": queue });
        let harness = limited_hosts(
            json!({ "maxRetries": 0, "circuitBreaker": false }),
            vec![
                ("a", Value::Null, vec![unavailable().head_after(50); 6]),
                ("b", few, vec![answer(&["b"]); 2]),
                ("c", Value::Null, vec![answer(&["c"]); 4]),
            ],
        );
        let calls: Vec<_> = (0..6).map(|_| harness.call()).collect();
        let outcomes = futures::future::join_all(calls).await;
        let mut texts: Vec<&str> = outcomes.iter().map(|outcome| outcome.text()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["b", "b", "c", "c", "c", "c"]);
        assert_eq!(harness.now(), 50, "no call waited");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_fits_an_endpoint_goes_to_the_next_model() {
    let small = json!({ "tokensPerMinute": 100 });
    let harness = limited_hosts(
        json!({ "maxRetries": 0, "fallbackModels": ["deepseek-v3.2"] }),
        vec![("a", Value::Null, vec![unavailable(), answer(&["a"])]), ("b", small, vec![])],
    );
    let outcome = harness.run(large_call()).await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("a", "aa"));
    assert_eq!(outcome.attempt_outcomes(), ["SERVER_ERROR", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn the_error_is_the_limiters_if_no_route_is_left() {
    let small = json!({ "tokensPerMinute": 100 });
    let harness = limited_hosts(
        json!({ "maxRetries": 0 }),
        vec![("a", Value::Null, vec![unavailable()]), ("b", small, vec![])],
    );
    let outcome = harness.run(large_call()).await;
    assert_eq!(outcome.error().kind, Kind::NeverFits);
    assert_eq!(outcome.error().cause.as_ref().unwrap().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_endpoint_that_has_capacity_first() {
    let limit = |rate: f64| json!({ "capacity": 1, "refillRate": rate });
    let harness = limited_hosts(
        json!({}),
        vec![("a", limit(0.01), vec![answer(&["a"])]), ("b", limit(5.0), vec![answer(&["b"]); 2])],
    );
    harness.call().await;
    harness.call().await;
    let outcome = harness.call().await;
    assert_eq!(outcome.text(), "b");
    assert!((200..203).contains(&outcome.at), "{}", outcome.at);
    assert_eq!(outcome.events("wait")[0]["reason"], "rate-limit");
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_for_capacity_is_preferred_to_a_longer_backoff() {
    let limit = json!({ "capacity": 1, "refillRate": 5 });
    let harness = limited_hosts(
        json!({ "circuitBreaker": false }),
        vec![("a", Value::Null, vec![unavailable(); 2]), ("b", limit, vec![answer(&["1"]), answer(&["2"])])],
    );
    let (first, second) = futures::join!(harness.call(), harness.call());
    assert_eq!((first.text(), first.at, second.text()), ("1", 0, "2"));
    assert!((200..203).contains(&second.at), "{}", second.at);
    assert_eq!(
        second.attempt_outcomes(),
        ["SERVER_ERROR", "complete"],
        "an attempt that was not made is not counted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cap_too_small_for_one_model_falls_back_to_a_cheaper_one() {
    let prices =
        json!({ "expensive": { "input": 100, "output": 100 }, "cheap": { "input": 1, "output": 1 } });
    let options = json!({
        "model": "expensive", "fallbackModels": ["cheap"], "cost": { "hardCapUsd": 0.01, "prices": prices },
    });
    let harness = Harness::new(options, vec![answer(&["a"])]);
    let outcome = harness.run(large_call()).await;
    assert_eq!(outcome.answer().model, "cheap");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_slot_hold_no_tokens_to_burst_with_later() {
    let slow = answer(&["a"]).head_after(10_000);
    let mut script = vec![answer(&["a"]); 8];
    script[..2].fill(slow);
    let limit = json!({ "capacity": 2, "refillRate": 1 });
    let harness = Harness::new(json!({ "maxConcurrent": 2, "rateLimit": limit }), script);
    let outcomes = futures::future::join_all((0..8).map(|_| harness.call())).await;
    assert!(outcomes.iter().all(|outcome| outcome.text() == "a"));
    let seconds: Vec<u64> = harness.request_times().iter().map(|ms| ms / 1_000).collect();
    assert_eq!(seconds, [0, 0, 10, 10, 11, 12, 13, 14]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_does_not_reject_a_call_that_it_admitted_earlier() {
    let slow = answer(&["a"]).head_after(1_000);
    let limit = json!({ "capacity": 1, "refillRate": 1, "maxQueue": 1 });
    let harness = Harness::new(json!({ "maxConcurrent": 1, "rateLimit": limit }), vec![slow; 4]);
    let call = |after| harness.run(TestCall { delay_ms: after, ..TestCall::default() });
    // The second call is in both queues before the others arrive.
    let outcomes = futures::future::join_all([call(0), call(10), call(1_500), call(1_600)]).await;
    let rejected = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    assert_eq!((outcomes[0].text(), outcomes[1].text(), rejected), ("a", "a", 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_returns_to_the_queue_for_a_cooldown_returns_its_token() {
    let rate_limited =
        error_response(429, "rate_limit_exceeded", "no").header("retry-after", 5).head_after(1_000);
    let limit = json!({ "capacity": 2, "refillRate": 0.01 });
    let options = json!({ "maxConcurrent": 1, "maxRetries": 0, "rateLimit": limit });
    let harness = Harness::new(options, vec![rate_limited, answer(&["a"])]);
    let (first, second) =
        futures::join!(harness.call(), harness.run(TestCall { delay_ms: 10, ..TestCall::default() }));
    assert_eq!((first.error().kind, second.text(), second.at), (Kind::RateLimit, "a", 6_000));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_its_slot_without_a_token_goes_to_a_route_with_capacity() {
    let limit = json!({ "capacity": 1, "refillRate": 0.01 });
    let script = vec![answer(&["a"]).head_after(100)];
    let options = json!({ "maxConcurrent": 1 });
    let harness = limited_hosts(
        options,
        vec![("a", limit.clone(), script), ("b", limit, vec![answer(&["b"]).head_after(100)])],
    );
    let (first, second) = futures::join!(harness.call(), harness.call());
    assert_eq!((first.text(), second.text(), second.at), ("a", "b", 200));
}
