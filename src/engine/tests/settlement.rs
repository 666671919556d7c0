//! A settled answer whose usage is awaited holds nothing that another call may need, and is charged once.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cost::{capped, spent_and_reserved, with_max_tokens};
use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, stream, unavailable};
use crate::engine::CallRequest;
use crate::engine::event::Event;
use crate::engine::sink::{DeliveryMode, Sink};
use crate::error::Kind;
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;

/// An answer that is settled at 1000 ms, and whose usage comes at 5000 ms.
fn late_usage() -> Reply {
    let usage = json!({ "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 });
    settled().wait(5_000).event(&json!({ "choices": [], "usage": usage })).done()
}

/// An answer that is settled at 1000 ms. What follows is up to the test.
fn settled() -> Reply {
    stream().delta("a").finish()
}

fn with(options: Value) -> Value {
    let mut all = json!({ "usageTimeoutMs": 10_000, "maxRetries": 0, "model": "m" });
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    all
}

fn after(delay_ms: u64) -> TestCall {
    TestCall { delay_ms, ..TestCall::default() }
}

#[tokio::test(start_paused = true)]
async fn the_slot_of_a_settled_answer_is_free_while_its_usage_is_awaited() {
    let harness = Harness::new(with(json!({ "maxConcurrent": 1 })), vec![late_usage(), answer(&["b"])]);
    let (first, second) = futures::join!(harness.call(), harness.call());
    assert_eq!((first.completed_at(), first.at), (vec![1_000], 5_000));
    assert!(first.answer().journal.usage.is_some());
    assert_eq!((second.text(), harness.request_times()), ("b", vec![0, 1_000]));
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_answer_is_settled_closes_the_breaker_while_its_usage_is_awaited() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 1_000 });
    let harness = Harness::new(
        with(json!({ "circuitBreaker": breaker })),
        vec![unavailable(), late_usage(), answer(&["b"]), answer(&["c"])],
    );
    assert_eq!(harness.call().await.error().kind, Kind::Server);
    // The probe runs from 1000 ms to its settlement at 2000 ms.
    let (probe, early, late) =
        futures::join!(harness.run(after(1_000)), harness.run(after(1_500)), harness.run(after(2_100)));
    assert_eq!(early.error().kind, Kind::CircuitOpen);
    assert_eq!((late.text(), late.at, probe.at), ("b", 2_100, 6_000));
    let states: Vec<_> = probe.events("circuit").into_iter().map(|event| event["to"].clone()).collect();
    assert_eq!(states, ["HALF_OPEN", "CLOSED"], "the outcome is reported once");
    assert_eq!(harness.call().await.text(), "c");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_not_busy_with_an_answer_that_is_settled() {
    let options = with(json!({ "routing": "least-busy" }));
    let harness = Harness::two_endpoints(options, vec![late_usage(), answer(&["b"])], vec![]);
    let (_, second) = futures::join!(harness.call(), harness.run(after(1_500)));
    assert_eq!((second.text(), harness.request_hosts().as_str()), ("b", "aa"));
}

#[tokio::test(start_paused = true)]
async fn late_usage_is_charged_once_to_the_rate_limit_and_the_ledger() {
    let mut options = with(capped(1_000.0));
    options["rateLimit"] = json!({ "tokensPerMinute": 200, "requestsPerMinute": 60 });
    let harness = Harness::new(options, vec![late_usage(), answer(&["b"])]);
    let check = async {
        sleep(Duration::from_millis(2_000)).await;
        let (spent, reserved) = spent_and_reserved(&harness);
        assert_eq!(spent, 0.0);
        assert!(reserved > 0.0, "until the usage has come");
        sleep(Duration::from_millis(3_001)).await;
        assert_eq!(spent_and_reserved(&harness), (7.0, 0.0));
    };
    let (first, ()) = futures::join!(harness.run(with_max_tokens(150)), check);
    assert_eq!(first.at, 5_000);
    // 7 of 200 tokens were used, and not the 150 that were reserved.
    let second = harness.run(with_max_tokens(150)).await;
    assert_eq!(second.answer().attempts[0].wait_ms, 0);
}

#[tokio::test(start_paused = true)]
async fn a_settled_answer_whose_usage_does_not_come_is_charged_its_estimate_once() {
    let mut options = with(capped(1_000.0));
    options["maxConcurrent"] = json!(1);
    options["rateLimit"] = json!({ "capacity": 2, "refillRate": 0.001 });
    // The prompt is 9 tokens, and the answer 1.
    const ESTIMATE: (f64, f64) = (10.0, 0.0);
    let new = || Harness::new(options.clone(), vec![settled().stall(), answer(&["b"])]);

    // The usage timeout passes, or the provider closes the connection.
    let harness = new();
    assert_eq!((harness.call().await.at, spent_and_reserved(&harness)), (10_000, ESTIMATE));
    let harness = Harness::new(options.clone(), vec![settled().wait(3_000).reset()]);
    assert_eq!((harness.call().await.at, spent_and_reserved(&harness)), (3_000, ESTIMATE));

    // The call is aborted, or its client is closed.
    let harness = new();
    let outcome = harness.call_aborted_after(3_000).await;
    assert_eq!((outcome.text(), outcome.at, spent_and_reserved(&harness)), ("a", 3_000, ESTIMATE));
    let harness = new();
    let close = async {
        sleep(Duration::from_millis(3_000)).await;
        harness.client.close();
    };
    let (outcome, ()) = futures::join!(harness.call(), close);
    assert_eq!((outcome.text(), outcome.at, spent_and_reserved(&harness)), ("a", 3_000, ESTIMATE));

    // The future is dropped: what was used stays used.
    let harness = new();
    assert!(timeout(Duration::from_millis(3_000), harness.call()).await.is_err());
    assert_eq!(spent_and_reserved(&harness), ESTIMATE);
    assert_eq!(harness.call().await.text(), "b");
    let cancel = CancellationToken::new();
    let third = harness.run(TestCall { cancel: cancel.clone(), ..TestCall::default() });
    assert!(timeout(Duration::from_millis(500_000), third).await.is_err(), "the rate limit is used up");
}

#[tokio::test(start_paused = true)]
async fn the_slot_is_free_before_the_consumer_learns_that_the_answer_is_complete() {
    // At `[DONE]`, and at an abort after the finish reason.
    for reply in [answer(&["a"]), settled().stall()] {
        let harness = Harness::new(with(json!({ "maxConcurrent": 1 })), vec![reply]);
        let chat = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let chat = ChatRequest::parse_as(Dialect::Chat, &chat).unwrap();
        let request = CallRequest::new(chat, harness.client.config().call.clone(), None);
        let consumer = NextCaller { harness: &harness, had_slot: AtomicBool::default() };
        let cancel = CancellationToken::new();
        let abort = async {
            sleep(Duration::from_millis(500)).await;
            cancel.cancel();
        };
        let (result, ()) = futures::join!(harness.client.run(&request, &consumer, &cancel), abort);
        assert!(result.is_ok() && consumer.had_slot.load(Relaxed));
    }
}

/// A consumer that would make its next call as soon as the answer is complete.
struct NextCaller<'a> {
    harness: &'a Harness,
    had_slot: AtomicBool,
}

impl Sink for NextCaller<'_> {
    fn mode(&self) -> DeliveryMode {
        DeliveryMode::Text
    }

    fn delta(&self, _: &str) {}

    fn complete(&self, _: &str) {
        self.had_slot.store(self.harness.client.state.concurrency.try_acquire().is_some(), Relaxed);
    }

    fn event(&self, _: Event) {}

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_settled_answer_counts_once_in_the_health_of_its_route() {
    let harness = Harness::new(with(json!({})), vec![late_usage(), unavailable()]);
    harness.call().await;
    harness.call().await;
    let routes = harness.client.state.endpoints[0].routes();
    assert_eq!(routes[0].1.stats.update(|stats| stats.health()), 50.0);
}

#[tokio::test(start_paused = true)]
async fn the_complete_event_and_the_durations_are_those_of_the_settlement() {
    let harness = Harness::new(
        with(json!({ "maxRetries": 1, "retryBudget": false })),
        vec![unavailable(), late_usage()],
    );
    let outcome = harness.call().await;
    let waited = outcome.answer().attempts[1].wait_ms;
    assert_eq!((outcome.completed_at(), outcome.at), (vec![waited + 1_000], waited + 5_000));
    let [complete] = &outcome.events("complete")[..] else { panic!("one event") };
    assert_eq!((&complete["attempts"], &complete["durationMs"]), (&json!(2), &json!(waited + 1_000)));
    assert_eq!(complete["requestId"], outcome.events("attempt")[1]["requestId"]);
    assert_eq!(outcome.answer().attempts[1].duration_ms, 1_000);
    let times: Vec<u64> = outcome.sink.events.lock().unwrap().iter().map(|(at, _)| *at).collect();
    assert_eq!(times.last(), Some(&(waited + 1_000)));

    // Without the settlement, the end of the call completes the answer, once.
    let harness = Harness::new(with(json!({})), vec![settled().stall()]);
    let outcome = harness.call_aborted_after(1_500).await;
    assert_eq!(outcome.events("complete").len(), 1);
}
