//! Circuit breakers.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{answer, connection_refused, error_response, status, stream, unavailable};
use crate::error::Kind;

fn delayed(ms: u64) -> TestCall {
    TestCall { delay_ms: ms, ..TestCall::default() }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_five_failures_and_rejects_calls_until_its_probe() {
    let mut script = vec![unavailable(); 5];
    script.push(answer(&["a"]));
    let harness = Harness::new(json!({ "circuitBreaker": {}, "maxRetries": 0 }), script);
    for _ in 0..4 {
        assert_eq!(harness.call().await.error().kind, Kind::Server);
    }
    let fifth = harness.call().await;
    let opened = &fifth.events("circuit")[0];
    assert_eq!((&opened["from"], &opened["to"]), (&json!("CLOSED"), &json!("OPEN")));
    let rejected = harness.run(delayed(10_000)).await;
    assert_eq!((rejected.error().kind, rejected.at), (Kind::CircuitOpen, 10_000));
    assert_eq!(rejected.error().retry_after, Some(Duration::from_secs(50)));
    assert_eq!(rejected.error().attempts.len(), 0);
    let probe = harness.run(delayed(50_000)).await;
    assert_eq!(probe.text(), "a");
    let changes: Vec<Value> = probe.events("circuit").iter().map(|event| event["to"].clone()).collect();
    assert_eq!(changes, ["HALF_OPEN", "CLOSED"]);
}

#[tokio::test(start_paused = true)]
async fn calls_are_rejected_while_a_probe_is_in_flight() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 1_000 });
    let probe = stream().delta("a").wait(100).finish().done();
    let harness =
        Harness::new(json!({ "circuitBreaker": breaker, "maxRetries": 0 }), vec![unavailable(), probe]);
    harness.call().await;
    let (probe, other) = futures::join!(harness.run(delayed(1_000)), harness.run(delayed(1_050)));
    assert_eq!((probe.text(), other.error().kind, other.at), ("a", Kind::CircuitOpen, 1_050));
}

#[tokio::test(start_paused = true)]
async fn the_breaker_is_checked_before_every_attempt() {
    let harness =
        Harness::new(json!({ "circuitBreaker": { "failureThreshold": 2 } }), vec![unavailable(); 2]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.error().attempts.len()), (Kind::CircuitOpen, 2));
    assert_eq!(outcome.error().cause.as_ref().unwrap().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn client_errors_and_429_do_not_open_a_breaker() {
    for response in [
        error_response(400, "x", "no"),
        error_response(401, "x", "no"),
        error_response(429, "rate_limit", "no"),
    ] {
        let mut script = vec![response; 5];
        script.push(answer(&["a"]));
        let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
        let harness = Harness::new(options, script);
        for _ in 0..5 {
            harness.call().await.error();
        }
        assert_eq!(harness.call().await.text(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_result_from_before_the_opening_is_ignored() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
    let slow = stream().delta("a").wait(500).finish().done();
    let harness = Harness::new(options, vec![slow, unavailable()]);
    let (late, failed) = futures::join!(harness.call(), harness.run(delayed(100)));
    assert_eq!((late.text(), failed.error().kind), ("a", Kind::Server));
    assert_eq!(harness.call().await.error().kind, Kind::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_fails_over_to_the_next_endpoint_at_once() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
    let harness = Harness::two_endpoints(options, vec![unavailable()], vec![answer(&["1"]), answer(&["2"])]);
    harness.call().await;
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at, harness.request_hosts().as_str()), ("2", 0, "abb"));
    assert_eq!(outcome.attempt_outcomes(), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_breaker_rejects_does_not_count() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 1, "endpoints": [
        { "name": "a", "baseUrl": "http://a/v1" },
        { "name": "b", "baseUrl": "http://b/v1", "circuitBreaker": false },
    ] });
    let b = vec![unavailable(), answer(&["b"])];
    let harness = Harness::with_hosts(options, vec![("a", vec![unavailable()]), ("b", b)]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.text(), harness.request_hosts().as_str(), harness.request_times()),
        ("b", "abb", vec![0, 0, 1_000])
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_route_is_retried_if_the_breaker_of_the_other_one_is_open() {
    let options = json!({ "maxRetries": 1, "firstTokenTimeoutMs": 1_000, "endpoints": [
        { "name": "a", "baseUrl": "http://a/v1", "circuitBreaker": false },
        { "name": "b", "baseUrl": "http://b/v1", "circuitBreaker": { "failureThreshold": 1 } },
    ] });
    let a = vec![unavailable(), answer(&["0"]), stream().never_answers(), answer(&["a"])];
    let harness = Harness::with_hosts(options, vec![("a", a), ("b", vec![unavailable()])]);
    assert_eq!(harness.call().await.text(), "0");
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("a", "abaaa"));
}

#[tokio::test(start_paused = true)]
async fn the_circuit_event_names_the_attempt_that_opened_the_breaker() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 2 } });
    let outcome = Harness::new(options, vec![unavailable(), unavailable()]).call().await;
    assert_eq!(outcome.events("circuit")[0]["requestId"], outcome.events("attempt")[1]["requestId"]);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_service_failure_opens_a_breaker() {
    let overloaded = json!({ "error": { "message": "overloaded" } });
    for failure in [
        unavailable(),
        connection_refused(),
        stream().never_answers(),
        stream().role().stall(),
        stream().role(),
        stream().role().reset(),
        stream().delta("a").reset(),
        stream().event(&overloaded),
        stream().raw("data: {oops\n\n"),
        status(200).header("content-type", "text/html").raw("<html>"),
    ] {
        let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
        let harness = Harness::new(options, vec![failure]);
        harness.call().await.error();
        assert_eq!(harness.call().await.error().kind, Kind::CircuitOpen);
    }
}
