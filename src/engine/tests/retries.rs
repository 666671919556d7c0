//! What is tried again on the same route, and when.

use std::time::Duration;

use serde_json::{Value, json};

use super::provider::{Reply, answer, no_connection, refusal, status, stream, unavailable};
use super::support::Scene;
use crate::engine::clock;
use crate::engine::sink::Wants;
use crate::error::Kind;

fn limited() -> Reply {
    refusal(429, "rate_limit_exceeded", "slow down")
}

#[tokio::test(start_paused = true)]
async fn four_times_503_is_exhausted_with_four_attempts_and_the_cause() {
    let scene = Scene::new(json!({}), vec![unavailable(); 4]);
    let ended = scene.call().await;
    let error = ended.error();
    assert_eq!((error.kind, error.status, error.attempts.len()), (Kind::RetriesExhausted, Some(503), 4));
    assert_eq!(error.cause.as_ref().unwrap().kind, Kind::Server);
    assert_eq!(scene.times(), [0, 1_000, 3_000, 7_000]);
    let waited: Vec<u64> = error.attempts.iter().map(|attempt| attempt.wait_ms).collect();
    assert_eq!(waited, [0, 1_000, 2_000, 4_000]);
    let numbers: Vec<u32> = error.attempts.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let reasons: Vec<Value> = ended.events("attempt").iter().map(|e| e["reason"].clone()).collect();
    assert_eq!(reasons, ["first", "retry", "retry", "retry"]);
    assert_eq!(ended.events("wait").len(), 3);
    assert_eq!(ended.events("wait")[2]["ms"], 4_000);
    assert_eq!(ended.events("attempt-failed").len(), 4);
    assert_eq!(ended.events("failed")[0]["code"], "RETRIES_EXHAUSTED");
}

#[tokio::test(start_paused = true)]
async fn a_retry_has_the_same_idempotency_key_and_the_same_bytes_and_its_own_number() {
    let scene = Scene::new(json!({}), vec![unavailable(), unavailable(), answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!(ended.outcomes(), ["SERVER_ERROR", "SERVER_ERROR", "complete"]);
    let seen = scene.requests();
    assert!(seen.iter().all(|request| request.key() == seen[0].key()));
    assert!(seen.iter().all(|request| request.body.as_ptr() == seen[0].body.as_ptr()), "encoded once");
    assert_eq!(seen[2].header("x-holysheep-attempt"), Some("3"));
    assert_ne!(seen[0].header("x-client-request-id"), seen[1].header("x-client-request-id"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_past_the_longest_allowed_fails_now_with_the_wait_in_the_error() {
    let scene = Scene::new(json!({}), vec![limited().header("retry-after", 61)]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::RateLimit, 0));
    assert_eq!(ended.error().retry_after, Some(Duration::from_secs(61)));
    let allowed = json!({ "retry": { "maxRetryAfterMs": 61_000 } });
    let scene = Scene::new(allowed, vec![limited().header("retry-after", 61), answer(&["a"])]);
    scene.call().await.answer();
    assert_eq!(scene.times(), [0, 61_000]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_past_the_deadline_fails_now_with_the_wait_in_the_error() {
    let scene = Scene::new(json!({ "totalTimeoutMs": 5_000 }), vec![limited().header("retry-after", 5)]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::RateLimit, 0));
    assert_eq!(ended.error().retry_after, Some(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_refuses_is_not_asked_again() {
    for (code, provider_code, kind) in [
        (400, "invalid_value", Kind::InvalidRequest),
        (401, "invalid_api_key", Kind::Authentication),
        (403, "forbidden", Kind::Authentication),
        (404, "model_not_found", Kind::InvalidRequest),
        (422, "unprocessable", Kind::InvalidRequest),
        (429, "insufficient_quota", Kind::QuotaExhausted),
        (400, "context_length_exceeded", Kind::ContextLength),
    ] {
        let scene = Scene::new(json!({}), vec![refusal(code, provider_code, "no")]);
        let ended = scene.call().await;
        assert_eq!((ended.error().kind, ended.error().status, ended.at), (kind, Some(code), 0));
        assert_eq!(ended.error().provider_code.as_deref(), Some(provider_code));
        assert_eq!(ended.error().attempts.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn x_should_retry_has_the_last_word() {
    let scene = Scene::new(json!({}), vec![unavailable().header("x-should-retry", "false")]);
    assert_eq!(scene.call().await.error().kind, Kind::Server);
    let conflict = refusal(409, "conflict", "busy").header("x-should-retry", "true");
    let scene = Scene::new(json!({}), vec![conflict, answer(&["a"])]);
    assert_eq!(scene.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_is_made_again() {
    let scene = Scene::new(json!({}), vec![no_connection(), answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!(ended.outcomes(), ["ECONNREFUSED", "complete"]);
    assert_eq!(ended.answer().attempts[0].status, None);
    assert_eq!(scene.times(), [0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_cut_before_its_first_piece_is_asked_again_in_silence() {
    for cut in [stream().role(), stream().role().breaks(), stream().role().done(), stream(), status(200)] {
        for wants in [Wants::Text, Wants::Chunks] {
            let scene = Scene::new(json!({}), vec![cut.clone(), answer(&["a"])]);
            let ended = scene.call_wanting(wants).await;
            assert_eq!(ended.text(), "a");
            assert_eq!(ended.deltas().len(), if wants == Wants::Text { 1 } else { 2 });
            let seen = scene.requests();
            assert_eq!((seen.len(), seen[0].key()), (2, seen[1].key()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_recovery_a_stream_cut_after_a_piece_is_interrupted_with_the_exact_text_and_asked_no_more() {
    for cut in [stream().say("xin ").say("ch").breaks(), stream().say("xin ").say("ch")] {
        let scene = Scene::new(json!({ "recovery": false }), vec![cut.header("x-request-id", "p-1")]);
        let ended = scene.call().await;
        let error = ended.error();
        assert_eq!((error.kind, error.partial.as_deref()), (Kind::Interrupted, Some("xin ch")));
        assert_eq!((error.attempts.len(), error.attempts[0].deltas), (1, 2));
        assert_eq!(error.request_id.as_deref(), Some("p-1"));
        assert!(matches!(error.cause.as_ref().unwrap().kind, Kind::Connection(_) | Kind::Truncated));
        assert_eq!((ended.deltas().concat(), ended.completed_at()), ("xin ch".to_owned(), vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn without_recovery_who_wants_nothing_before_the_end_is_answered_anew() {
    let scene =
        Scene::new(json!({ "recovery": false }), vec![stream().say("half").breaks(), answer(&["whole"])]);
    let ended = scene.call_wanting(Wants::Nothing).await;
    assert_eq!(ended.text(), "whole");
    assert_eq!(ended.sink.complete.lock().unwrap()[0].1, "whole");
}

#[tokio::test(start_paused = true)]
async fn max_retries_zero_is_one_attempt_and_its_own_error() {
    let scene = Scene::new(json!({ "maxRetries": 0 }), vec![unavailable()]);
    assert_eq!(scene.call().await.error().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn exactly_one_attempt_is_made_where_that_is_asked_for_whatever_routes_there_are() {
    let options = json!({ "fallbackModels": ["m2"] });
    let scene = Scene::two(options, vec![unavailable()], vec![]);
    let ended = scene.call_with(json!({ "$single": true })).await;
    assert_eq!((ended.error().kind, ended.error().attempts.len()), (Kind::Server, 1));
}

#[tokio::test(start_paused = true)]
async fn a_429_is_never_retried_sooner_than_it_asks() {
    let date = |ms| {
        let then = Duration::from_millis(clock::now() + ms);
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + then)
    };
    for (name, value, least, most) in [
        ("retry-after", "9".to_owned(), 9_000, 9_000),
        ("retry-after-ms", "2500.5".to_owned(), 2_501, 2_501),
        // A date has whole seconds.
        ("retry-after", String::new(), 11_000, 12_001),
        // Less than the backoff: the backoff holds.
        ("retry-after-ms", "5".to_owned(), 1_000, 1_000),
    ] {
        let value = if value.is_empty() { date(12_000) } else { value };
        let scene = Scene::new(json!({}), vec![limited().header(name, &value), answer(&["a"])]);
        let ended = scene.call().await;
        let second = scene.times()[1];
        assert!((least..=most).contains(&second), "{name}: {value}: {second}");
        assert_eq!(ended.answer().attempts[1].wait_ms, second);
        let reason = if least == 1_000 { "backoff" } else { "retry-after" };
        assert_eq!(ended.events("wait")[0]["reason"], reason);
    }
}

#[tokio::test(start_paused = true)]
async fn any_failure_may_ask_for_a_wait() {
    let scene = Scene::new(json!({}), vec![unavailable().header("retry-after", 4), answer(&["a"])]);
    scene.call().await.answer();
    assert_eq!(scene.times(), [0, 4_000]);
}

#[tokio::test(start_paused = true)]
async fn an_error_after_the_first_attempt_keeps_what_was_tried_before() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.001, "maxQueue": 0 } });
    let scene = Scene::new(options, vec![unavailable()]);
    let ended = scene.call().await;
    let error = ended.error();
    assert_eq!((error.kind, error.attempts.len()), (Kind::QueueFull, 1));
    assert_eq!(error.cause.as_ref().map(|cause| cause.kind), Some(Kind::Server));
}
