//! Concurrency limits and rate limits.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{
    Reply, answer, connection_refused, error_response, status, stream, unavailable,
};
use crate::error::Kind;

fn delayed(ms: u64) -> TestCall {
    TestCall { delay_ms: ms, ..TestCall::default() }
}

fn slow_answer() -> Reply {
    stream().delta("a").wait(100).finish().done()
}

#[tokio::test(start_paused = true)]
async fn excess_calls_wait_in_order_in_a_bounded_queue() {
    let harness = Harness::new(json!({ "maxConcurrent": 2, "maxQueue": 2 }), vec![slow_answer(); 4]);
    let calls: Vec<_> = (0..5).map(|index| harness.run(delayed(index))).collect();
    let outcomes = futures::future::join_all(calls).await;
    let ends: Vec<u64> = outcomes.iter().map(|outcome| outcome.at).collect();
    assert_eq!(ends, [100, 101, 200, 201, 4]);
    assert_eq!((outcomes[4].error().kind, outcomes[4].error().attempts.len()), (Kind::QueueFull, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_holds_no_slot_during_its_backoff() {
    let harness =
        Harness::new(json!({ "maxConcurrent": 1 }), vec![unavailable(), answer(&["b"]), answer(&["a"])]);
    let (first, second) = futures::join!(harness.call(), harness.run(delayed(10)));
    assert_eq!((first.text(), first.at, second.text(), second.at), ("a", 1_000, "b", 10));
}

#[tokio::test(start_paused = true)]
async fn calls_pass_the_rate_limit_in_order() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 10 } });
    let harness = Harness::new(options, vec![answer(&["a"]); 4]);
    let calls: Vec<_> = (0..4).map(|index| harness.run(delayed(index))).collect();
    let outcomes = futures::future::join_all(calls).await;
    let ends: Vec<u64> = outcomes.iter().map(|outcome| outcome.at).collect();
    for (end, due) in ends.iter().zip([0, 100, 200, 300]) {
        assert!((due..due + 3).contains(end), "{ends:?}");
    }
    assert_eq!(outcomes[3].events("wait")[0]["reason"], "rate-limit");
}

#[tokio::test(start_paused = true)]
async fn a_retry_passes_the_rate_limit_again() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1 } });
    let harness = Harness::new(options, vec![unavailable(), answer(&["a"])]);
    let outcome = harness.call().await;
    assert!((10_000..10_003).contains(&harness.request_times()[1]), "{:?}", harness.request_times());
    assert_eq!(outcome.answer().attempts[1].wait_ms, harness.request_times()[1]);
}

#[tokio::test(start_paused = true)]
async fn usage_corrects_the_token_estimate() {
    let options = json!({ "rateLimit": { "tokensPerMinute": 600 } });
    let reply = || stream().delta("a").finish().usage(10).done();
    let harness = Harness::new(options, vec![reply(), reply(), reply()]);
    let large =
        || TestCall { request: json!({ "messages": [{}], "max_tokens": 500 }), ..TestCall::default() };
    for _ in 0..2 {
        assert_eq!(harness.run(large()).await.at, 0, "504 tokens were reserved and 10 used");
    }
    let greedy = stream().delta("a").finish().usage(1_000).done();
    let harness = Harness::new(json!({ "rateLimit": { "tokensPerMinute": 600 } }), vec![greedy, reply()]);
    harness.call().await;
    assert!(harness.run(large()).await.at > 60_000, "1 token was reserved and 1,000 used");
}

fn with_request(request: Value) -> TestCall {
    TestCall { request, ..TestCall::default() }
}

#[tokio::test(start_paused = true)]
async fn a_failure_returns_to_the_limiter_what_the_provider_did_not_count() {
    let options = |limit: Value| json!({ "maxRetries": 0, "rateLimit": limit });
    let large = || with_request(json!({ "messages": [{}], "max_tokens": 400 }));
    let mut script = vec![connection_refused(); 3];
    script.push(answer(&["a"]));
    let harness = Harness::new(options(json!({ "capacity": 3, "refillRate": 0.001 })), script);
    for _ in 0..3 {
        harness.call().await;
    }
    assert_eq!((harness.call().await.text(), harness.now()), ("a", 0), "request tokens were returned");
    for failure in [connection_refused(), error_response(400, "x", "no")] {
        let script = vec![failure.clone(), failure.clone(), failure, answer(&["a"])];
        let harness = Harness::new(options(json!({ "tokensPerMinute": 1_000 })), script);
        for _ in 0..3 {
            harness.run(large()).await;
        }
        assert_eq!(
            (harness.run(large()).await.text(), harness.now()),
            ("a", 0),
            "model tokens were returned"
        );
    }
    let limit = json!({ "capacity": 1, "refillRate": 0.1 });
    let harness = Harness::new(options(limit), vec![error_response(400, "x", "no"), answer(&["a"])]);
    harness.call().await;
    assert!(harness.call().await.at >= 10_000, "a rejected request still counts as a request");
}

#[tokio::test(start_paused = true)]
async fn an_abort_after_sending_returns_nothing_to_the_limiter() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1 } });
    let harness = Harness::new(options, vec![stream().never_answers(), answer(&["a"])]);
    harness.call_aborted_after(100).await;
    assert!(harness.call().await.at >= 10_000);
}

#[tokio::test(start_paused = true)]
async fn the_estimate_without_max_tokens_is_the_catalogues_limit_until_an_answer_is_known() {
    let reply = || {
        let usage = json!({ "prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100 });
        stream()
            .delta("a")
            .wait(100)
            .finish()
            .event(&json!({ "id": "1", "choices": [], "usage": usage }))
            .done()
    };
    let harness = Harness::new(json!({ "rateLimit": { "tokensPerMinute": 1_000 } }), vec![reply(); 10]);
    let (first, second) = futures::join!(harness.call(), harness.call());
    assert_eq!((first.at, second.events("wait").len()), (100, 1), "the first call reserves the entire limit");
    assert!(second.at < 7_000, "{}", second.at);
    let start = harness.now();
    let both = futures::join!(harness.call(), harness.call());
    assert_eq!((both.0.at, both.1.at), (start + 100, start + 100), "each is estimated at 90");
}

#[tokio::test(start_paused = true)]
async fn usage_past_the_estimate_delays_later_calls() {
    let greedy = stream().delta("a").finish().usage(3_000).done();
    let options = json!({ "rateLimit": { "tokensPerMinute": 600 } });
    let harness = Harness::new(options, vec![greedy, answer(&["b"])]);
    harness.run(with_request(json!({ "messages": [{}], "max_tokens": 1 }))).await;
    let at = harness.run(with_request(json!({ "messages": [{}], "max_tokens": 1 }))).await.at;
    assert!((240_000..242_000).contains(&at), "2,400 tokens over the estimate, at 10 a second: {at}");
}

#[tokio::test(start_paused = true)]
async fn adapt_headers_follows_the_limits_of_the_provider() {
    let options = json!({ "rateLimit": { "adapt": "headers" } });
    let limited =
        answer(&["a"]).header("x-ratelimit-remaining-requests", 0).header("x-ratelimit-reset-requests", "3s");
    let harness = Harness::new(options, vec![limited, answer(&["b"])]);
    harness.call().await;
    assert_eq!(harness.call().await.at, 3_000);
}

#[tokio::test(start_paused = true)]
async fn every_failed_attempt_frees_its_slot() {
    let long = format!("data: {}", "x".repeat(1024 * 1024 + 9));
    let script = vec![
        stream().never_answers(),
        stream().raw("data: {oops\n\n"),
        stream().raw(&long),
        status(204),
        stream().delta("a").reset(),
        answer(&["a"]),
    ];
    let options = json!({ "maxConcurrent": 1, "maxQueue": 0, "maxRetries": 0, "firstTokenTimeoutMs": 10 });
    let harness = Harness::new(options, script);
    for _ in 0..5 {
        assert_ne!(harness.call().await.error().kind, Kind::QueueFull);
    }
    assert_eq!(harness.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_call_rejected_by_a_full_queue_takes_no_rate_limit_token() {
    let options = json!({
        "maxConcurrent": 1, "maxQueue": 0, "rateLimit": { "capacity": 2, "refillRate": 0.001 }
    });
    let harness = Harness::new(options, vec![slow_answer(), slow_answer()]);
    let (first, second) = futures::join!(harness.call(), harness.run(delayed(10)));
    assert_eq!((first.text(), second.error().kind), ("a", Kind::QueueFull));
    assert_eq!(harness.call().await.at, 200);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_fits_fails_at_once_even_behind_others() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1, "tokensPerMinute": 100 } });
    let harness = Harness::new(options, vec![answer(&["a"]), answer(&["b"])]);
    let large = TestCall { request: json!({ "messages": [{}], "max_tokens": 500 }), ..delayed(10) };
    let (_, _, large) = futures::join!(harness.call(), harness.run(delayed(1)), harness.run(large));
    assert_eq!((large.error().kind, large.at), (Kind::NeverFits, 10));
}

#[tokio::test(start_paused = true)]
async fn a_small_call_does_not_overtake_a_large_one_ahead_of_it() {
    let options = json!({ "rateLimit": { "capacity": 100, "tokensPerMinute": 600 } });
    let harness = Harness::new(options, vec![answer(&["a"]), answer(&["b"]), answer(&["c"])]);
    let call = |tokens: u64, ms| TestCall {
        request: json!({ "messages": [{}], "max_tokens": tokens }),
        ..delayed(ms)
    };
    let (_, large, small) =
        futures::join!(harness.run(call(596, 0)), harness.run(call(496, 10)), harness.run(call(6, 20)),);
    assert_eq!(large.events("wait").len(), 1);
    assert!((50_000..50_003).contains(&large.at), "{}", large.at);
    assert!((51_000..51_003).contains(&small.at), "{}", small.at);
}

#[tokio::test(start_paused = true)]
async fn a_request_id_that_contains_the_key_is_masked() {
    let with_key = |reply: Reply| reply.header("x-request-id", "of key-of-the-client");
    let page = || status(200).header("content-type", "text/html").raw("<html>");
    let replies = [unavailable(), page(), stream().event(&json!({ "error": { "message": "no" } }))];
    for reply in replies.map(with_key) {
        let outcome = Harness::new(json!({ "maxRetries": 0 }), vec![reply]).call().await;
        let shown = format!("{:?} {:?}", outcome.error(), outcome.sink.events.lock().unwrap());
        assert!(shown.contains("of ") && !shown.contains("key-of-the-client"), "{shown}");
    }
    let outcome = Harness::new(json!({}), vec![with_key(answer(&["a"]))]).call().await;
    assert!(!format!("{:?}", outcome.answer().attempts).contains("key-of-the-client"));
}

#[tokio::test(start_paused = true)]
async fn rate_limit_headers_apply_before_the_answer_ends() {
    let options = json!({ "rateLimit": { "capacity": 10, "refillRate": 10, "adapt": "headers" } });
    let limited = stream()
        .header("x-ratelimit-limit-requests", 10)
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "5s");
    let slow = limited.delta("a").wait(30_000).delta("b").finish().done();
    let harness = Harness::new(options, vec![slow, answer(&["c"])]);
    let (first, second) = futures::join!(harness.call(), harness.run(delayed(1_000)));
    assert_eq!((first.text(), second.text(), harness.request_times()), ("ab", "c", vec![0, 5_000]));
}
