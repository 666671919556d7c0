//! Retries on the same route.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::Harness;
use super::scripted_provider::{Reply, answer, connection_refused, error_response, stream, unavailable};
use crate::engine::clock;
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;

fn rate_limited() -> Reply {
    error_response(429, "rate_limit_exceeded", "slow down")
}

#[tokio::test(start_paused = true)]
async fn four_503s_exhaust_the_retries_and_the_error_has_four_attempts_and_the_cause() {
    let harness = Harness::new(json!({}), vec![unavailable(); 4]);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!((error.kind, error.status, error.attempts.len()), (Kind::RetriesExhausted, Some(503), 4));
    assert_eq!(error.cause.as_ref().unwrap().kind, Kind::Server);
    assert_eq!(harness.request_times(), [0, 1_000, 3_000, 7_000]);
    let waits: Vec<u64> = error.attempts.iter().map(|attempt| attempt.wait_ms).collect();
    assert_eq!(waits, [0, 1_000, 2_000, 4_000]);
    let numbers: Vec<u32> = error.attempts.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let reasons: Vec<Value> = outcome.events("attempt").iter().map(|e| e["reason"].clone()).collect();
    assert_eq!(reasons, ["first", "retry", "retry", "retry"]);
    assert_eq!(outcome.events("wait").len(), 3);
    assert_eq!(outcome.events("wait")[2]["ms"], 4_000);
    assert_eq!(outcome.events("attempt-failed").len(), 4);
    assert_eq!(outcome.events("failed")[0]["code"], "RETRIES_EXHAUSTED");
}

#[tokio::test(start_paused = true)]
async fn a_retry_has_the_same_key_and_bytes_and_the_next_attempt_number() {
    let harness = Harness::new(json!({}), vec![unavailable(), unavailable(), answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!(outcome.attempt_outcomes(), ["SERVER_ERROR", "SERVER_ERROR", "complete"]);
    let requests = harness.requests();
    assert!(requests.iter().all(|request| request.idempotency_key() == requests[0].idempotency_key()));
    assert!(
        requests.iter().all(|request| request.body.as_ptr() == requests[0].body.as_ptr()),
        "encoded once"
    );
    assert_eq!(requests[2].header("x-holysheep-attempt"), Some("3"));
    assert_ne!(requests[0].header("x-client-request-id"), requests[1].header("x-client-request-id"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_past_the_maximum_fails_at_once_with_the_wait_in_the_error() {
    let harness = Harness::new(json!({}), vec![rate_limited().header("retry-after", 61)]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::RateLimit, 0));
    assert_eq!(outcome.error().retry_after, Some(Duration::from_secs(61)));
    let allowed = json!({ "retry": { "maxRetryAfterMs": 61_000 } });
    let harness = Harness::new(allowed, vec![rate_limited().header("retry-after", 61), answer(&["a"])]);
    harness.call().await.answer();
    assert_eq!(harness.request_times(), [0, 61_000]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_past_the_deadline_fails_at_once_with_the_wait_in_the_error() {
    let harness =
        Harness::new(json!({ "totalTimeoutMs": 5_000 }), vec![rate_limited().header("retry-after", 5)]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::RateLimit, 0));
    assert_eq!(outcome.error().retry_after, Some(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_is_not_retried() {
    for (code, provider_code, kind) in [
        (400, "invalid_value", Kind::InvalidRequest),
        (401, "invalid_api_key", Kind::Authentication),
        (403, "forbidden", Kind::Authentication),
        (404, "model_not_found", Kind::InvalidRequest),
        (422, "unprocessable", Kind::InvalidRequest),
        (429, "insufficient_quota", Kind::QuotaExhausted),
        (400, "context_length_exceeded", Kind::ContextLength),
    ] {
        let harness = Harness::new(json!({}), vec![error_response(code, provider_code, "no")]);
        let outcome = harness.call().await;
        assert_eq!((outcome.error().kind, outcome.error().status, outcome.at), (kind, Some(code), 0));
        assert_eq!(outcome.error().provider_code.as_deref(), Some(provider_code));
        assert_eq!(outcome.error().attempts.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn x_should_retry_overrides_the_classification() {
    let harness = Harness::new(json!({}), vec![unavailable().header("x-should-retry", "false")]);
    assert_eq!(harness.call().await.error().kind, Kind::Server);
    let conflict = error_response(409, "conflict", "busy").header("x-should-retry", "true");
    let harness = Harness::new(json!({}), vec![conflict, answer(&["a"])]);
    assert_eq!(harness.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_is_retried() {
    let harness = Harness::new(json!({}), vec![connection_refused(), answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!(outcome.attempt_outcomes(), ["ECONNREFUSED", "complete"]);
    assert_eq!(outcome.answer().attempts[0].status, None);
    assert_eq!(harness.request_times(), [0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_before_its_first_delta_is_retried_silently() {
    for cut in [stream().role(), stream().role().reset(), stream().role().done()] {
        for mode in [DeliveryMode::Text, DeliveryMode::Chunks] {
            let harness = Harness::new(json!({}), vec![cut.clone(), answer(&["a"])]);
            let outcome = harness.call_with_mode(mode).await;
            assert_eq!(outcome.text(), "a");
            assert_eq!(outcome.deltas().len(), if mode == DeliveryMode::Text { 1 } else { 2 });
            let requests = harness.requests();
            assert_eq!((requests.len(), requests[0].idempotency_key()), (2, requests[1].idempotency_key()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_recovery_a_stream_that_ends_after_a_delta_fails_with_the_exact_partial_text() {
    for cut in [stream().delta("xin ").delta("ch").reset(), stream().delta("xin ").delta("ch")] {
        let harness = Harness::new(json!({ "recovery": false }), vec![cut.header("x-request-id", "p-1")]);
        let outcome = harness.call().await;
        let error = outcome.error();
        assert_eq!((error.kind, error.partial.as_deref()), (Kind::Interrupted, Some("xin ch")));
        assert_eq!((error.attempts.len(), error.attempts[0].deltas), (1, 2));
        assert_eq!(error.request_id.as_deref(), Some("p-1"));
        assert!(matches!(error.cause.as_ref().unwrap().kind, Kind::Connection(_) | Kind::Truncated));
        assert_eq!((outcome.deltas().concat(), outcome.completed_at()), ("xin ch".to_owned(), vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn without_recovery_an_undelivered_answer_is_requested_again() {
    let harness =
        Harness::new(json!({ "recovery": false }), vec![stream().delta("half").reset(), answer(&["whole"])]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    assert_eq!(outcome.text(), "whole");
    assert_eq!(outcome.sink.complete.lock().unwrap()[0].1, "whole");
}

#[tokio::test(start_paused = true)]
async fn max_retries_zero_is_one_attempt_and_its_original_error() {
    let harness = Harness::new(json!({ "maxRetries": 0 }), vec![unavailable()]);
    assert_eq!(harness.call().await.error().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn single_attempt_makes_one_attempt_however_many_routes_there_are() {
    let options = json!({ "fallbackModels": ["m2"] });
    let harness = Harness::two_endpoints(options, vec![unavailable()], vec![]);
    let outcome = harness.call_once().await;
    assert_eq!((outcome.error().kind, outcome.error().attempts.len()), (Kind::Server, 1));
}

#[tokio::test(start_paused = true)]
async fn a_429_is_never_retried_before_its_retry_after() {
    let date = |ms| {
        let then = Duration::from_millis(clock::now() + ms);
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + then)
    };
    for (name, value, min, max) in [
        ("retry-after", "9".to_owned(), 9_000, 9_000),
        ("retry-after-ms", "2500.5".to_owned(), 2_501, 2_501),
        // The HTTP date has a resolution of a second.
        ("retry-after", String::new(), 11_000, 12_001),
        // Shorter than the backoff, so the backoff applies.
        ("retry-after-ms", "5".to_owned(), 1_000, 1_000),
    ] {
        let value = if value.is_empty() { date(12_000) } else { value };
        let harness = Harness::new(json!({}), vec![rate_limited().header(name, &value), answer(&["a"])]);
        let outcome = harness.call().await;
        let second = harness.request_times()[1];
        assert!((min..=max).contains(&second), "{name}: {value}: {second}");
        assert_eq!(outcome.answer().attempts[1].wait_ms, second);
        let reason = if min == 1_000 { "backoff" } else { "retry-after" };
        assert_eq!(outcome.events("wait")[0]["reason"], reason);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honored_on_any_failure() {
    let harness = Harness::new(json!({}), vec![unavailable().header("retry-after", 4), answer(&["a"])]);
    harness.call().await.answer();
    assert_eq!(harness.request_times(), [0, 4_000]);
}

#[tokio::test(start_paused = true)]
async fn an_error_before_a_retry_lists_the_earlier_attempts() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.001, "maxQueue": 0 } });
    let harness = Harness::new(options, vec![unavailable()]);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!((error.kind, error.attempts.len()), (Kind::QueueFull, 1));
    assert_eq!(error.cause.as_ref().map(|cause| cause.kind), Some(Kind::Server));
}
