//! A short wait for a rate limit comes before another model.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, answer, error_response};

fn limited() -> Reply {
    error_response(429, "rate_limit_exceeded", "slow down")
}

fn limited_for(seconds: u64) -> Reply {
    limited().header("retry-after", seconds)
}

fn harness(mut options: Value, script: Vec<Reply>) -> Harness {
    options["fallbackModels"] = json!(["m2"]);
    Harness::new(options, script)
}

fn model(outcome: &Outcome) -> &str {
    &outcome.answer().model
}

#[tokio::test(start_paused = true)]
async fn the_model_that_was_asked_for_answers_after_a_short_retry_after() {
    let harness = harness(json!({}), vec![limited_for(2), answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!((model(&outcome), harness.request_times()), ("gpt-4.1", vec![0, 2_000]));
    assert_eq!(outcome.events("wait")[0]["reason"], "retry-after");
}

#[tokio::test(start_paused = true)]
async fn a_lasting_rate_limit_without_a_wait_goes_to_another_model_after_the_first_backoff() {
    let harness = harness(json!({}), vec![limited(), limited(), answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!((model(&outcome), harness.request_times()), ("m2", vec![0, 1_000, 1_000]));
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_zero_a_row_and_the_tutorials_go_to_another_model_at_once() {
    let at_once = |options: Value, first: Reply| async move {
        let harness = harness(options, vec![first, answer(&["a"])]);
        let outcome = harness.call().await;
        (model(&outcome).to_owned(), outcome.at)
    };
    let m2 = ("m2".to_owned(), 0);
    assert_eq!(at_once(json!({}), limited_for(6)).await, m2);
    let off = json!({ "retry": { "maxWaitBeforeFallbackMs": 0 } });
    assert_eq!(at_once(off.clone(), limited_for(1)).await, m2);
    assert_eq!(at_once(off, limited()).await, m2);
    let row = json!({ "retry": { "retryOn": { "429": "fallback" } } });
    assert_eq!(at_once(row, limited_for(1)).await, m2);
    let hurried = json!({ "totalTimeoutMs": 1_000 });
    assert_eq!(at_once(hurried, limited_for(1)).await, m2);
    let harness = harness(json!({}), vec![limited_for(1), answer(&["a"])]);
    let outcome = harness.run(TestCall { is_mirrored: true, ..TestCall::default() }).await;
    assert_eq!((model(&outcome), outcome.at), ("m2", 0));
}

#[tokio::test(start_paused = true)]
async fn other_endpoints_of_the_model_come_first() {
    let options = json!({ "fallbackModels": ["m2"] });
    let harness = Harness::two_endpoints(options, vec![limited_for(2)], vec![limited_for(1), answer(&["b"])]);
    let outcome = harness.call().await;
    assert_eq!((model(&outcome), harness.request_hosts().as_str(), outcome.at), ("gpt-4.1", "abb", 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_begins_within_the_pause_waits_for_it_too() {
    let harness = harness(json!({}), vec![limited_for(2), answer(&["a"]), answer(&["b"])]);
    let late = TestCall { delay_ms: 500, ..TestCall::default() };
    let (first, second) = futures::join!(harness.call(), harness.run(late));
    assert_eq!((model(&first), model(&second)), ("gpt-4.1", "gpt-4.1"));
    assert_eq!((first.at, second.at), (2_000, 2_000));
}
