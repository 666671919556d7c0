//! The queue of a route: its order, and how its calls end.

use futures::future::join_all;
use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, error_response, stream};
use crate::error::Kind;

fn rate_limited(seconds: u64) -> Reply {
    error_response(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

/// A call whose request names `user`. Its estimate is `max_tokens` and four tokens for the prompt.
fn from_user(delay_ms: u64, user: u64, max_tokens: u64) -> TestCall {
    let request = json!({ "messages": [{}], "max_tokens": max_tokens, "user": user.to_string() });
    TestCall { request, delay_ms, ..TestCall::default() }
}

fn users(harness: &Harness) -> Vec<u64> {
    let user = |body: Value| body["user"].as_str().unwrap().parse().unwrap();
    harness.requests().iter().map(|request| user(request.json())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_its_slot_stays_ahead_of_a_larger_later_one() {
    let options = json!({ "maxConcurrent": 1, "rateLimit": { "capacity": 10, "tokensPerMinute": 600 } });
    let harness = Harness::new(options, vec![answer(&["a"]).head_after(1_000); 3]);
    // The second call waits for a slot and returns its tokens. The third waits for the rate limit.
    let calls = [from_user(0, 0, 96), from_user(10, 1, 96), from_user(20, 2, 596)];
    let outcomes = join_all(calls.map(|call| harness.run(call))).await;
    assert!(outcomes.iter().all(|outcome| outcome.text() == "a"));
    assert_eq!((users(&harness), harness.request_times()[1]), (vec![0, 1, 2], 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_past_the_deadline_ends_a_queued_call() {
    let options = json!({ "maxRetries": 0, "rateLimit": { "capacity": 1, "refillRate": 1 } });
    let harness = Harness::new(options, vec![rate_limited(30).head_after(500)]);
    let hurried =
        TestCall { options: json!({ "totalTimeoutMs": 5_000 }), delay_ms: 10, ..TestCall::default() };
    let (first, hurried) = futures::join!(harness.call(), harness.run(hurried));
    assert_eq!((first.error().kind, first.at), (Kind::RateLimit, 500));
    let error = hurried.error();
    assert_eq!((error.kind, error.retry_after.unwrap().as_secs()), (Kind::RateLimit, 29));
    assert!((1_000..1_003).contains(&hurried.at), "{}", hurried.at);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_estimate_exceeds_a_lowered_limit_is_admitted_at_the_limit() {
    let limit = json!({ "capacity": 10, "tokensPerMinute": 6_000, "adapt": "headers" });
    let limited = stream().header("x-ratelimit-limit-tokens", 1_000).head_after(500);
    let limited = limited.delta("a").wait(60_000).finish().done();
    let harness = Harness::new(json!({ "rateLimit": limit }), vec![limited, answer(&["b"])]);
    // Neither call has `max_tokens`, so each is estimated to need the entire limit.
    let second = TestCall { delay_ms: 10, ..TestCall::default() };
    let (first, second) = futures::join!(harness.call(), harness.run(second));
    assert_eq!((first.text(), second.text()), ("a", "b"));
    assert!((9_900..10_100).contains(&second.at), "{}", second.at);
}

#[tokio::test(start_paused = true)]
async fn a_route_with_an_empty_queue_is_preferred() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1 } });
    let harness = Harness::two_endpoints(options, vec![answer(&["a"]); 3], vec![answer(&["b"])]);
    let calls = [0, 10, 20].map(|delay_ms| harness.run(TestCall { delay_ms, ..TestCall::default() }));
    let outcomes = join_all(calls).await;
    let texts: Vec<&str> = outcomes.iter().map(|outcome| outcome.text()).collect();
    assert_eq!((texts, harness.request_hosts().as_str()), (vec!["a", "a", "b"], "aab"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_arrives_after_a_cooldown_does_not_overtake_the_queue() {
    let mut script = vec![answer(&["a"]).head_after(500); 5];
    script[0] = rate_limited(1);
    let harness = Harness::new(json!({ "maxConcurrent": 1, "maxRetries": 0 }), script);
    // The last call arrives after the cooldown, while the first of the three others runs.
    let calls = [(0, 0), (10, 1), (20, 2), (30, 3), (1_100, 4)];
    join_all(calls.map(|(delay_ms, user)| harness.run(from_user(delay_ms, user, 5)))).await;
    assert_eq!(users(&harness), [0, 1, 2, 3, 4]);
    assert_eq!(harness.request_times(), [0, 1_000, 1_500, 2_000, 2_500]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_its_slot_without_a_token_rejoins_a_full_queue() {
    let limit = json!({ "capacity": 2, "refillRate": 1, "maxQueue": 1, "adapt": "headers" });
    let limited = stream()
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "5s")
        .head_after(500);
    let limited = limited.delta("0").wait(500).finish().done();
    let options = json!({ "maxConcurrent": 1, "rateLimit": limit });
    let harness = Harness::new(options, vec![limited, answer(&["1"]), answer(&["2"])]);
    // The second call waits for a slot when the third takes the only position in the queue of the limiter.
    let calls = [from_user(0, 0, 5), from_user(10, 1, 5), from_user(600, 2, 5)];
    let [a, b, c] = calls.map(|call| harness.run(call));
    let outcomes = <[_; 3]>::from(futures::join!(a, b, c));
    assert_eq!(outcomes.map(|outcome| outcome.text().to_owned()), ["0", "2", "1"]);
}
