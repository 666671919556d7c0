//! Providers that do not support `stream_options`.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, error_response, unavailable};
use crate::error::Kind;

fn rejects_stream_options() -> Reply {
    error_response(400, "unknown_parameter", "Unrecognized request argument: stream_options")
}

#[tokio::test(start_paused = true)]
async fn the_request_is_repeated_at_once_without_stream_options_and_the_endpoint_is_remembered() {
    let harness = Harness::new(
        json!({ "maxRetries": 0 }),
        vec![rejects_stream_options(), answer(&["a"]), answer(&["b"])],
    );
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), ("a", 0));
    assert_eq!(outcome.attempt_outcomes(), ["INVALID_REQUEST", "complete"]);
    assert_eq!(harness.call().await.text(), "b");
    let requests = harness.requests();
    let options: Vec<Value> =
        requests.iter().map(|request| request.json()["stream_options"].clone()).collect();
    assert_eq!(options, [json!({ "include_usage": true }), Value::Null, Value::Null]);
    assert_ne!(requests[0].idempotency_key(), requests[1].idempotency_key());
}

#[tokio::test(start_paused = true)]
async fn the_repeated_request_does_not_count_as_a_retry() {
    let mut script = vec![rejects_stream_options()];
    script.extend(vec![unavailable(); 4]);
    let harness = Harness::new(json!({}), script);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.error().kind, harness.request_times()),
        (Kind::RetriesExhausted, vec![0, 0, 1_000, 3_000, 7_000])
    );
}

#[tokio::test(start_paused = true)]
async fn another_error_response_is_not_repeated() {
    let harness = Harness::new(
        json!({}),
        vec![rejects_stream_options(), error_response(400, "x", "stream_options again")],
    );
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.error().attempts.len()), (Kind::InvalidRequest, 2));
    let harness = Harness::new(json!({}), vec![error_response(400, "x", "temperature")]);
    assert_eq!(harness.run(TestCall::default()).await.error().attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_concurrent_calls_that_are_rejected_are_both_repeated() {
    let slow = || rejects_stream_options().head_after(10);
    let harness = Harness::new(json!({}), vec![slow(), slow(), answer(&["a"]), answer(&["b"])]);
    let (first, second) = futures::join!(harness.call(), harness.call());
    assert_eq!((first.text(), second.text()), ("a", "b"));
}
