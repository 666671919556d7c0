//! The deadline of a call, which covers queues, waits and attempts.

use serde_json::json;

use super::harness::{Harness, TestCall};
use super::scripted_provider::{answer, stream, unavailable};
use crate::error::{Kind, Phase, TimeBreakdown};

const TOTAL: Kind = Kind::Timeout(Phase::Total);

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_an_attempt_in_mid_stream_and_keeps_the_text() {
    let harness = Harness::new(
        json!({ "totalTimeoutMs": 500 }),
        vec![stream().delta("a").wait(400).delta("b").stall()],
    );
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (TOTAL, 500));
    assert_eq!(outcome.error().partial.as_deref(), Some("ab"));
    assert_eq!(
        (outcome.attempt_outcomes(), harness.requests()[0].closed_at()),
        (vec!["TIMEOUT".to_owned()], Some(500))
    );
    assert_eq!(
        outcome.error().message,
        "the call did not finish within 500 ms (in queues 0 ms, between attempts 0 ms, in 1 attempt 500 ms)"
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_waits_and_attempts() {
    let harness = Harness::new(
        json!({ "totalTimeoutMs": 5_000 }),
        vec![unavailable().head_after(500), unavailable().head_after(500), stream().stall()],
    );
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.error().kind, outcome.at, harness.request_times()),
        (TOTAL, 5_000, vec![0, 1_500, 4_000])
    );
    assert_eq!(outcome.error().attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_recoveries() {
    let broken = |text| stream().delta(text).wait(400).reset();
    let harness = Harness::new(
        json!({ "totalTimeoutMs": 1_000, "retry": { "baseDelayMs": 1, "jitter": "none" } }),
        vec![
            broken("one "),
            broken("two "),
            stream().delta("three, four, five, six, seven, eight, nine, ten, eleven, and twelve ").stall(),
        ],
    );
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (TOTAL, 1_000));
    assert_eq!(
        outcome.error().partial.as_deref(),
        Some("one two three, four, five, six, seven, eight, nine, ten, eleven, and twelve ")
    );
    assert_eq!((harness.requests().len(), harness.requests()[2].closed_at()), (3, Some(1_000)));
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_wait_exceeds_the_deadline_is_not_made() {
    let harness = Harness::new(json!({ "totalTimeoutMs": 3_000 }), vec![unavailable(), unavailable()]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::RetriesExhausted, 1_000));
    let suffix = "; the deadline leaves no time for another attempt (in queues 0 ms, between attempts 1000 ms, in 2 \
               attempts 0 ms)";
    assert!(outcome.error().message.ends_with(suffix), "{}", outcome.error());
    assert_eq!(
        outcome.error().time_breakdown,
        Some(TimeBreakdown { queue_ms: 0, wait_ms: 1_000, attempt_ms: 0 })
    );
    let harness = Harness::new(json!({ "totalTimeoutMs": 1_000 }), vec![unavailable()]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::Server, 0));
    assert!(outcome.error().message.contains("no time for another"), "{}", outcome.error());
    let harness = Harness::new(json!({ "totalTimeoutMs": 9_000, "maxRetries": 0 }), vec![unavailable()]);
    assert_eq!(harness.call().await.error().time_breakdown, None, "the deadline did not cause the failure");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_queue() {
    let options = json!({ "maxConcurrent": 1 });
    let harness = Harness::new(options, vec![stream().delta("a").wait(1_000).finish().done()]);
    let impatient = TestCall { options: json!({ "totalTimeoutMs": 300 }), ..TestCall::default() };
    let (first, second) = futures::join!(harness.call(), harness.run(impatient));
    assert_eq!((first.text(), second.error().kind, second.at), ("a", TOTAL, 300));
    assert_eq!(second.error().attempts.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_wait_for_the_rate_limit() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 1 } });
    let harness = Harness::new(options, vec![answer(&["a"])]);
    harness.call().await;
    let outcome = harness.call_with(json!({ "totalTimeoutMs": 300 })).await;
    assert_eq!((outcome.error().kind, outcome.at), (TOTAL, 300));
}

#[tokio::test(start_paused = true)]
async fn a_complete_answer_is_not_lost_while_waiting_for_its_usage() {
    let harness = Harness::new(json!({ "totalTimeoutMs": 500 }), vec![stream().delta("a").finish().stall()]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.text(), outcome.at, outcome.attempt_outcomes()),
        ("a", 500, vec!["complete".to_owned()])
    );
    assert_eq!(outcome.completed_at(), [500]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_as_a_failure_of_the_endpoint_only_if_it_was_silent() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 60_000 });
    let options = json!({ "circuitBreaker": breaker, "totalTimeoutMs": 500 });
    let harness =
        Harness::two_endpoints(options.clone(), vec![stream().never_answers()], vec![answer(&["b"])]);
    // A single attempt gets all of the time.
    assert_eq!(harness.call_once().await.error().kind, TOTAL);
    assert_eq!(harness.call().await.text(), "b", "the breaker of the silent endpoint is open");
    let harness =
        Harness::two_endpoints(options, vec![stream().delta("a").wait(900), answer(&["again"])], vec![]);
    assert_eq!(harness.call().await.error().kind, TOTAL);
    assert_eq!(harness.call().await.text(), "again");
}

#[tokio::test(start_paused = true)]
async fn the_error_breaks_down_where_the_time_went() {
    let options = json!({ "maxConcurrent": 1, "rateLimit": { "capacity": 3, "refillRate": 100 } });
    let slow = stream().delta("a").wait(700).finish().done();
    let harness = Harness::new(options, vec![slow, unavailable().head_after(100), stream().stall()]);
    let second = TestCall { options: json!({ "totalTimeoutMs": 5_000 }), ..TestCall::default() };
    let (_, outcome) = futures::join!(harness.call(), harness.run(second));
    let error = outcome.error();
    assert_eq!((error.kind, outcome.at), (TOTAL, 5_000));
    assert_eq!(
        error.time_breakdown,
        Some(TimeBreakdown { queue_ms: 700, wait_ms: 1_000, attempt_ms: 3_300 })
    );
    let suffix = "(in queues 700 ms, between attempts 1000 ms, in 2 attempts 3300 ms)";
    assert!(error.message.ends_with(suffix), "{error}");
    assert_eq!(outcome.events("failed")[0]["message"], error.message.as_str());
}

#[tokio::test(start_paused = true)]
async fn the_breakdown_includes_a_wait_that_the_deadline_cut_short() {
    let options = json!({ "maxConcurrent": 1 });
    let harness = Harness::new(options, vec![stream().delta("a").wait(900).finish().done()]);
    let second = TestCall { options: json!({ "totalTimeoutMs": 300 }), ..TestCall::default() };
    let (_, outcome) = futures::join!(harness.call(), harness.run(second));
    assert_eq!(
        outcome.error().time_breakdown,
        Some(TimeBreakdown { queue_ms: 300, wait_ms: 0, attempt_ms: 0 })
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_gets_a_share_of_the_remaining_time_while_other_routes_are_left() {
    let silent = || stream().never_answers();
    let options = json!({ "totalTimeoutMs": 9_000, "fallbackModels": ["m2"], "maxRetries": 0 });
    let harness =
        Harness::two_endpoints(options, vec![silent(), silent()], vec![silent(), silent().never_connects()]);
    let outcome = harness.call().await;
    assert_eq!((harness.request_times(), outcome.at), (vec![0, 2_250, 4_500, 6_750], 9_000));
    assert_eq!((outcome.error().kind, outcome.attempt_outcomes().len()), (TOTAL, 4));
}

#[tokio::test(start_paused = true)]
async fn connecting_counts_against_the_share() {
    let options = json!({ "totalTimeoutMs": 4_000 });
    let harness = Harness::two_endpoints(options, vec![stream().never_connects()], vec![answer(&["b"])]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), ("b", 2_000));
    let message = outcome.answer().attempts[0].message.as_deref();
    assert_eq!(message, Some("no connection within 2000 ms"));
}

#[tokio::test(start_paused = true)]
async fn a_share_never_extends_the_first_token_timeout_or_cuts_off_an_answer_after_its_first_token() {
    let options = json!({ "totalTimeoutMs": 60_000, "firstTokenTimeoutMs": 1_000 });
    let harness = Harness::two_endpoints(options, vec![stream().never_answers()], vec![answer(&["b"])]);
    assert_eq!(harness.call().await.at, 1_000);
    let slow = (0..9).fold(stream(), |reply, _| reply.delta("a").wait(1_000)).finish().done();
    let harness = Harness::two_endpoints(json!({ "totalTimeoutMs": 10_000 }), vec![slow], vec![]);
    assert_eq!(harness.call().await.text(), "aaaaaaaaa");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_have_too_little_time_left_is_not_made() {
    let harness = Harness::new(json!({ "totalTimeoutMs": 3_249 }), vec![unavailable(); 2]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::RetriesExhausted, 1_000));
    let harness =
        Harness::new(json!({ "totalTimeoutMs": 3_250 }), vec![unavailable(), unavailable(), answer(&["a"])]);
    assert_eq!(harness.call().await.at, 3_000);
}
