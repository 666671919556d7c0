//! Cooldowns: a `retry-after` applies to all calls of the client, and their order is kept.

use futures::future::join_all;
use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, connection_refused, error_response, stream, unavailable};
use crate::error::Kind;

fn rate_limited(seconds: u64) -> Reply {
    error_response(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

fn delayed(ms: u64) -> TestCall {
    TestCall { delay_ms: ms, ..TestCall::default() }
}

/// A call whose request names `user`.
fn from_user(ms: u64, user: u64) -> TestCall {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "user": user.to_string() });
    TestCall { request, ..delayed(ms) }
}

fn users(harness: &Harness) -> Vec<u64> {
    let user = |body: Value| body["user"].as_str().unwrap_or("99").parse().unwrap();
    harness.requests().iter().map(|request| user(request.json())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_from_the_only_endpoint_applies_to_all_calls() {
    for reply in [rate_limited(10), unavailable().header("retry-after", 10)] {
        let harness = Harness::new(json!({ "maxRetries": 0 }), vec![reply, answer(&["a"])]);
        harness.call().await.error();
        let outcome = harness.call().await;
        assert_eq!((outcome.at, harness.request_times()), (10_000, vec![0, 10_000]));
        let wait = &outcome.events("wait")[0];
        assert_eq!((&wait["reason"], &wait["ms"]), (&json!("retry-after"), &json!(10_000)));
        assert_eq!(outcome.answer().attempts[0].wait_ms, 10_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_endpoint_whose_cooldown_ends_first() {
    let harness = Harness::two_endpoints(
        json!({ "maxRetries": 0 }),
        vec![rate_limited(10)],
        vec![rate_limited(5), answer(&["a"])],
    );
    assert_eq!(harness.call().await.error().kind, Kind::RetriesExhausted);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), ("a", 5_000));
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_that_is_too_long_fails_at_once_with_the_error_of_the_provider() {
    let harness = Harness::new(json!({ "maxRetries": 0 }), vec![rate_limited(3_600), answer(&["a"])]);
    harness.call().await.error();
    let outcome = harness.run(delayed(1_000)).await;
    let error = outcome.error();
    assert_eq!((error.kind, error.status, outcome.at), (Kind::RateLimit, Some(429), 1_000));
    assert_eq!((error.retry_after.unwrap().as_secs(), harness.requests().len()), (3_599, 1));
    assert!(error.message.ends_with("3599000 ms are left"), "{error}");
    let harness = Harness::new(json!({ "maxRetries": 0 }), vec![rate_limited(30), answer(&["a"])]);
    harness.call().await.error();
    let hurried = harness.call_with(json!({ "totalTimeoutMs": 20_000 })).await;
    assert_eq!((hurried.error().kind, hurried.at), (Kind::RateLimit, 0));
    assert_eq!(harness.call().await.at, 30_000, "calls without that deadline wait");
}

#[tokio::test(start_paused = true)]
async fn a_later_call_reports_what_is_left_of_the_wait() {
    for seconds in [100, 3_600, 90_000] {
        let harness = Harness::new(json!({ "maxRetries": 0 }), vec![rate_limited(seconds)]);
        assert_eq!(harness.call().await.error().retry_after.unwrap().as_secs(), seconds);
        let later = harness.run(delayed(30_000)).await;
        assert_eq!(later.error().retry_after.unwrap().as_secs(), seconds - 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_extended_past_the_limit_ends_the_wait() {
    let options = json!({ "maxRetries": 0, "rateLimit": { "capacity": 2, "refillRate": 1 } });
    let harness = Harness::new(options, vec![rate_limited(5), rate_limited(100)]);
    harness.call().await.error();
    let (first, second) = futures::join!(harness.call(), harness.run(from_user(0, 1)));
    assert_eq!((first.at, first.error().kind), (5_000, Kind::RateLimit));
    assert_eq!((second.at, second.error().kind), (5_000, Kind::RateLimit));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_one_call_applies_to_the_retry_of_another() {
    let script = vec![unavailable(), rate_limited(5), answer(&["a"]), answer(&["b"])];
    let harness = Harness::new(json!({}), script);
    let (first, second) = futures::join!(harness.call(), harness.run(delayed(500)));
    assert_eq!((first.at, second.at), (5_500, 5_500));
    assert_eq!(first.attempt_outcomes(), ["SERVER_ERROR", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn calls_pass_after_a_cooldown_in_the_order_of_their_arrival() {
    for rate_limit in [Value::Null, json!({ "capacity": 3, "refillRate": 10 })] {
        let mut script = vec![rate_limited(2)];
        script.resize(30, answer(&["a"]));
        let mut options = json!({ "maxRetries": 0 });
        if !rate_limit.is_null() {
            options["rateLimit"] = rate_limit;
        }
        let harness = Harness::new(options, script);
        harness.call().await.error();
        let outcomes = join_all((0..20).map(|user| harness.run(from_user(user % 7, user)))).await;
        assert!(outcomes.iter().all(|outcome| outcome.text() == "a"));
        let mut arrivals: Vec<u64> = (0..20).collect();
        arrivals.sort_by_key(|user| user % 7);
        assert_eq!(users(&harness)[1..], arrivals);
        assert!(harness.request_times()[1] >= 2_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_keeps_the_order_of_calls_that_wait_for_the_rate_limit() {
    let mut script = vec![answer(&["a"]), rate_limited(3).head_after(250)];
    script.resize(20, answer(&["a"]));
    let options = json!({ "maxRetries": 0, "rateLimit": { "capacity": 1, "refillRate": 10 } });
    let harness = Harness::new(options, script);
    let outcomes = join_all((0..10).map(|user| harness.run(from_user(user, user)))).await;
    assert_eq!(users(&harness), (0..10).collect::<Vec<_>>());
    assert_eq!(outcomes.iter().filter(|outcome| outcome.result.is_err()).count(), 1);
    let times = harness.request_times();
    assert!(times[2] < 350 && times[4] >= 3_350, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 99), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_keeps_the_order_of_calls_that_wait_for_a_slot() {
    let slow = || stream().delta("a").wait(500).finish().done();
    let mut script = vec![slow(), rate_limited(5).head_after(100)];
    script.resize(20, slow());
    let options = json!({ "maxRetries": 0, "maxConcurrent": 2 });
    let harness = Harness::new(options, script);
    let outcomes = join_all((0..8).map(|user| harness.run(from_user(user * 50, user)))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.result.is_err()).count(), 1);
    assert_eq!(users(&harness), (0..8).collect::<Vec<_>>());
    assert!(harness.request_times()[2] >= 5_150, "{:?}", harness.request_times());
}

#[tokio::test(start_paused = true)]
async fn a_call_aborted_during_a_cooldown_leaves_the_queue() {
    let harness = Harness::new(json!({ "maxRetries": 0 }), vec![rate_limited(2), answer(&["a"])]);
    harness.call().await.error();
    let (aborted, next) = futures::join!(harness.call_aborted_after(100), harness.run(delayed(50)));
    assert_eq!((aborted.error().kind, aborted.at), (Kind::Aborted, 100));
    assert_eq!((next.text(), next.at), ("a", 2_000));
}

#[tokio::test(start_paused = true)]
async fn adaptive_limits_and_retry_after_do_not_add_up() {
    let limited = rate_limited(4)
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "4s");
    let options = json!({ "maxRetries": 0, "rateLimit": { "adapt": "headers" } });
    let harness = Harness::new(options, vec![limited, answer(&["a"]), answer(&["b"])]);
    harness.call().await.error();
    let (first, second) = futures::join!(harness.call(), harness.call());
    assert!(first.at <= 4_001 && second.at <= 4_101, "{} {}", first.at, second.at);
}

#[tokio::test(start_paused = true)]
async fn rate_limit_headers_of_one_endpoint_do_not_affect_another() {
    let limited = answer(&["a"])
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "30s");
    let options = json!({ "rateLimit": { "adapt": "headers" } });
    let harness = Harness::two_endpoints(
        options,
        vec![limited, answer(&["late"])],
        vec![answer(&["b"]), answer(&["b"])],
    );
    for text in ["a", "b", "b"] {
        assert_eq!(harness.call().await.text(), text);
    }
    assert_eq!(harness.now(), 0);
    assert_eq!(harness.run(delayed(30_000)).await.text(), "late");
}

#[tokio::test(start_paused = true)]
async fn one_call_a_minute_tries_a_key_with_an_exhausted_quota_if_there_is_another() {
    let exhausted = || error_response(429, "insufficient_quota", "no quota");
    let mut a = vec![exhausted(), exhausted()];
    a.resize(20, answer(&["a"]));
    let harness = Harness::two_endpoints(json!({ "maxRetries": 0 }), a, vec![answer(&["b"]); 20]);
    let minute = async |after_ms: u64| {
        let earlier = harness.requests().len();
        join_all((0..4).map(|_| harness.run(delayed(after_ms)))).await;
        harness.request_hosts()[earlier..].matches('a').count()
    };
    harness.call().await;
    assert_eq!((minute(0).await, minute(60_000).await, minute(1_000).await), (0, 1, 0));
    assert!(minute(60_000).await >= 1);
    assert_eq!(minute(0).await, 4, "the key has quota again");
}

#[tokio::test(start_paused = true)]
async fn the_only_key_is_used_even_after_its_quota_was_exhausted() {
    let exhausted = error_response(429, "insufficient_quota", "no quota");
    let harness = Harness::new(json!({}), vec![exhausted.clone(), answer(&["a"])]);
    assert_eq!(harness.call().await.error().kind, Kind::QuotaExhausted);
    assert_eq!((harness.call().await.text(), harness.now()), ("a", 0));
    let harness = Harness::two_endpoints(
        json!({ "maxRetries": 0 }),
        vec![exhausted],
        vec![answer(&["1"]), connection_refused()],
    );
    harness.call().await;
    assert_eq!(harness.call().await.error().kind, Kind::Connection(crate::error::ConnectionFailure::Refused));
    assert_eq!(harness.request_hosts(), "abb", "the other endpoint is available, even if it fails");
}

#[tokio::test(start_paused = true)]
async fn a_429_without_retry_after_deprioritizes_its_endpoint_for_a_second() {
    let limited = error_response(429, "rate_limit_exceeded", "slow down");
    let harness = Harness::two_endpoints(json!({}), vec![limited, answer(&["a"])], vec![answer(&["b"]); 2]);
    for ms in [0, 999, 1] {
        harness.run(delayed(ms)).await;
    }
    assert_eq!(harness.request_hosts(), "abba");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_returns_to_the_queue_keeps_its_position() {
    let mut script = vec![answer(&["a"]); 7];
    script[1] = rate_limited(1);
    let options = json!({ "rateLimit": { "capacity": 3, "refillRate": 1 } });
    let harness = Harness::new(options, script);
    join_all((0..6).map(|user| harness.run(from_user(user, user)))).await;
    assert_eq!(users(&harness), [0, 1, 2, 1, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn the_error_for_a_cooldown_past_the_deadline_has_the_time_breakdown() {
    let harness = Harness::new(json!({}), vec![rate_limited(30).head_after(100)]);
    let hurried = harness.call_with(json!({ "totalTimeoutMs": 20_000 })).await;
    let error = hurried.error();
    assert_eq!((error.kind, error.retry_after.unwrap().as_secs(), hurried.at), (Kind::RateLimit, 30, 100));
    assert!(error.message.contains("; the deadline leaves no time for the requested wait"), "{error}");
    assert_eq!(error.time_breakdown.map(|breakdown| breakdown.attempt_ms), Some(100));
    let harness = Harness::new(json!({}), vec![rate_limited(3_600)]);
    let outcome = harness.call_with(json!({ "totalTimeoutMs": 20_000 })).await;
    assert!(!outcome.error().message.contains("deadline"), "the wait is longer than `maxRetryAfterMs`");
}
