//! An abort ends a call at once at any stage and releases what the call holds.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::harness::{Harness, TestCall};
use super::scripted_provider::{answer, stream, unavailable};
use crate::error::Kind;

#[tokio::test(start_paused = true)]
async fn an_abort_during_the_backoff_ends_the_call_at_once() {
    let harness = Harness::new(json!({}), vec![unavailable()]);
    let outcome = harness.call_aborted_after(400).await;
    assert_eq!((outcome.error().kind, outcome.at, outcome.error().attempts.len()), (Kind::Aborted, 400, 1));
}

#[tokio::test(start_paused = true)]
async fn an_abort_before_the_connection_or_the_head_closes_the_socket() {
    for reply in [stream().never_connects(), stream().never_answers()] {
        let harness = Harness::new(json!({}), vec![reply]);
        let outcome = harness.call_aborted_after(400).await;
        assert_eq!((outcome.error().kind, outcome.at), (Kind::Aborted, 400));
        assert_eq!(harness.requests()[0].closed_at(), Some(400));
        assert_eq!(outcome.attempt_outcomes(), ["ABORTED"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_in_mid_stream_returns_the_partial_answer() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").stall()]);
    let outcome = harness.call_aborted_after(400).await;
    assert_eq!((outcome.error().kind, outcome.error().partial.as_deref()), (Kind::Aborted, Some("a")));
    assert_eq!(harness.requests()[0].closed_at(), Some(400), "the socket is closed");
    assert_eq!(outcome.events("failed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_abort_before_the_call_sends_no_request() {
    let harness = Harness::new(json!({}), vec![]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = harness.run(TestCall { cancel, ..TestCall::default() }).await;
    assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::Aborted, 0));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_call_frees_its_slot_for_the_next_one() {
    let harness =
        Harness::new(json!({ "maxConcurrent": 1 }), vec![stream().delta("a").stall(), answer(&["b"])]);
    let (first, second) = futures::join!(harness.call_aborted_after(400), harness.call());
    assert_eq!((first.error().kind, second.text(), second.at), (Kind::Aborted, "b", 400));
    assert_eq!(second.answer().attempts[0].wait_ms, 400);
    assert_eq!(second.events("wait")[0]["reason"], "queue");
}

#[tokio::test(start_paused = true)]
async fn a_call_aborted_in_the_queue_leaves_it() {
    let options = json!({ "maxConcurrent": 1, "maxQueue": 1 });
    let slow = stream().delta("a").wait(1_000).finish().done();
    let harness = Harness::new(options, vec![slow, answer(&["c"])]);
    let third = TestCall { delay_ms: 500, ..TestCall::default() };
    let (first, second, third) =
        futures::join!(harness.call(), harness.call_aborted_after(400), harness.run(third));
    assert_eq!((first.text(), second.error().kind, second.at), ("a", Kind::Aborted, 400));
    assert_eq!((third.text(), third.at), ("c", 1_000));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_probe_is_released_to_the_next_call() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 1_000 });
    let options = json!({ "circuitBreaker": breaker, "maxRetries": 0 });
    let stalls = || stream().stall();
    let harness = Harness::new(options, vec![unavailable(), stalls(), stalls(), answer(&["a"])]);
    harness.call().await;
    sleep(Duration::from_millis(1_000)).await;
    assert_eq!(harness.call_aborted_after(10).await.error().kind, Kind::Aborted);
    // Dropping the future of a call aborts it too.
    assert!(timeout(Duration::from_millis(10), harness.call()).await.is_err());
    assert_eq!(harness.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn close_ends_calls_in_flight_and_rejects_later_ones() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").stall()]);
    let close = async {
        sleep(Duration::from_millis(50)).await;
        harness.client.close();
    };
    let (outcome, ()) = futures::join!(harness.call(), close);
    assert_eq!((outcome.error().kind, outcome.at), (Kind::Closed, 50));
    assert_eq!(harness.call().await.error().kind, Kind::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_abort_after_the_last_delta_does_not_fail_the_call() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").finish().stall()]);
    let outcome = harness.call_aborted_after(400).await;
    assert_eq!((outcome.text(), outcome.at), ("a", 400));
    assert_eq!(harness.requests()[0].closed_at(), Some(400));
}

#[tokio::test(start_paused = true)]
async fn a_call_aborted_in_the_queue_returns_its_rate_limit_token() {
    let options = json!({ "maxConcurrent": 1, "rateLimit": { "capacity": 2, "refillRate": 0.001 } });
    let slow = stream().delta("a").wait(1_000).finish().done();
    let harness = Harness::new(options, vec![slow, answer(&["c"])]);
    futures::join!(harness.call(), harness.call_aborted_after(400));
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), ("c", 1_000));
}
