//! An answer that crawls is left: `minTokensPerSecond`.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, chunk, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::{Kind, Phase};
use crate::wire::dialect::Dialect;

const MINIMUM: f64 = 2.0;

fn options() -> Value {
    json!({ "minTokensPerSecond": MINIMUM, "fallbackModels": ["m2"] })
}

/// A reply that sends a word every `period` milliseconds, `count` times.
fn paced(reply: Reply, period: u64, count: usize) -> Reply {
    (0..count).fold(reply, |reply, _| reply.wait(period).delta("word "))
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_crawls_goes_on_at_another_route_after_text_was_delivered() {
    let crawls = paced(stream().delta("word "), 1_010, 60);
    let delivered = "word ".repeat(10);
    let harness = Harness::new(options(), vec![crawls, answer(&[&delivered, "and the rest."])]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), (&*format!("{delivered}and the rest."), 10_000));
    assert_eq!((outcome.answer().model.as_str(), outcome.answer().recoveries), ("m2", 1));
    let failed = &outcome.events("attempt-failed")[0];
    assert_eq!((&failed["code"], &failed["phase"]), (&json!("TIMEOUT"), &json!("throughput")));
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("1.0 tokens per second") && message.contains("less than 2 "), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_fast_enough_is_read_to_its_end_and_off_is_the_default() {
    let fast = || paced(stream(), 500, 100).finish().done();
    assert_eq!(Harness::new(options(), vec![fast()]).call().await.at, 50_000);
    let slow = || paced(stream(), 5_000, 20).finish().done();
    assert_eq!(Harness::new(json!({}), vec![slow()]).call().await.at, 100_000);
    let off = json!({ "minTokensPerSecond": false });
    assert_eq!(Harness::new(options(), vec![slow()]).call_with(off).await.at, 100_000);
}

#[tokio::test(start_paused = true)]
async fn the_time_before_the_first_token_and_after_the_last_finish_reason_does_not_count() {
    let reply = paced(stream().wait(50_000), 500, 4).finish().wait(900).usage(7).done();
    let options = json!({ "minTokensPerSecond": 1_000.0, "maxRetries": 0 });
    let short = Harness::new(options, vec![reply]).call().await;
    assert_eq!((short.text(), short.at), ("word word word word ", 52_900));
    let options = json!({ "minTokensPerSecond": 1_000.0, "usageTimeoutMs": 10_000 });
    let late = stream().delta("word").finish().wait(9_000).usage(7).done();
    assert_eq!(Harness::new(options, vec![late]).call().await.text(), "word");
}

#[tokio::test(start_paused = true)]
async fn long_deltas_reasoning_and_tool_calls_count_by_their_length() {
    let long = "a long delta of about twenty tokens, as some gateways send them at once, every five seconds ";
    let bursts = (0..8).fold(stream(), |reply, _| reply.delta(long).wait(5_000)).finish().done();
    assert!(Harness::new(options(), vec![bursts]).call().await.result.is_ok());
    let thinks = |reply: Reply| reply.event(&chunk(json!({ "reasoning_content": "hm " }), None)).wait(400);
    let reasoning = (0..40).fold(stream(), |reply, _| thinks(reply)).delta("a").finish().done();
    assert_eq!(Harness::new(options(), vec![reasoning]).call().await.text(), "a");
    let part =
        json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f", "arguments": "1" } }] });
    let calls = (0..40).fold(stream(), |reply, _| reply.event(&chunk(part.clone(), None)).wait(400));
    let calls = calls.event(&chunk(json!({}), Some("tool_calls"))).done();
    assert!(Harness::new(options(), vec![calls]).call().await.result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn pings_are_no_tokens() {
    let pings = (0..40).fold(stream().delta("a"), |reply, _| reply.wait(500).ping());
    let outcome = Harness::new(options(), vec![pings, answer(&["ab"])]).call().await;
    assert_eq!(
        (outcome.at, outcome.events("attempt-failed")[0]["phase"].as_str()),
        (10_000, Some("throughput"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_reads_slowly_does_not_make_the_answer_crawl() {
    let reply = paced(stream(), 100, 30).finish().done();
    let call = TestCall { pause: Some(Duration::from_secs(20)), ..TestCall::default() };
    let outcome = Harness::new(options(), vec![reply]).run(call).await;
    assert_eq!(outcome.text(), "word ".repeat(30));
}

#[tokio::test(start_paused = true)]
async fn the_only_route_is_asked_again_and_the_error_says_why_it_was_left() {
    let crawls = || stream().delta("word ").wait(2_000).delta("by ").wait(2_000).delta("word ").stall();
    let options = json!({ "minTokensPerSecond": MINIMUM, "maxRetries": 1 });
    let harness = Harness::new(options, vec![crawls(), answer(&["word by word ", "to the end."])]);
    assert_eq!(harness.call().await.text(), "word by word to the end.");
    let options = json!({ "minTokensPerSecond": MINIMUM, "recovery": { "mode": "fail" } });
    let outcome = Harness::new(options, vec![crawls()]).call().await;
    let error = outcome.error();
    assert_eq!((error.kind, error.partial.as_deref()), (Kind::Interrupted, Some("word by word ")));
    assert_eq!(error.cause.as_ref().unwrap().kind, Kind::Timeout(Phase::Throughput));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_another_dialect_may_not_crawl_either() {
    let event = |reply: Reply, data: Value| {
        let name = data["type"].as_str().unwrap().to_owned();
        reply.raw(&format!("event: {name}\ndata: {data}\n\n"))
    };
    let delta = json!({ "type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0,
        "delta": "word " });
    let crawls = (0..20).fold(stream(), |reply, _| event(reply, delta.clone()).wait(1_000));
    let harness =
        Harness::new(json!({ "minTokensPerSecond": MINIMUM, "recovery": { "mode": "fail" } }), vec![crawls]);
    let request = json!({ "model": "m", "input": "q", "stream": true });
    let call =
        TestCall { dialect: Dialect::Responses, request, mode: DeliveryMode::Chunks, ..TestCall::default() };
    let outcome = harness.run(call).await;
    assert_eq!(
        (outcome.at, outcome.events("attempt-failed")[0]["phase"].as_str()),
        (10_000, Some("throughput"))
    );
}
