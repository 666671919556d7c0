//! What a call keeps of its answer is bounded: all of it, and what is kept for a recovery.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, chunk, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;
use crate::wire::dialect::Dialect;

/// The deltas of an answer, each much smaller than the limits, and all of them much larger.
const DELTAS: usize = 100;
const DELTA_BYTES: usize = 4 * 1024;

fn text() -> String {
    "x".repeat(DELTA_BYTES)
}

fn limits() -> Value {
    json!({ "maxRetries": 3, "maxEventBytes": 16 * 1024, "maxAnswerBytes": 128 * 1024 })
}

fn reply(delta: &Value) -> Reply {
    repeated(&chunk(delta.clone(), None))
}

fn repeated(event: &Value) -> Reply {
    let event = format!("data: {event}\n\n");
    (0..DELTAS).fold(stream().delta("a"), |reply, _| reply.raw(&event)).finish().done()
}

fn call(mode: DeliveryMode, options: Value) -> TestCall {
    TestCall { mode, options, ..TestCall::default() }
}

fn function(arguments: &str) -> Value {
    json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f", "arguments": arguments } }] })
}

#[tokio::test(start_paused = true)]
async fn every_field_that_is_kept_counts() {
    let (text, all) = (text(), [DeliveryMode::Text, DeliveryMode::Chunks, DeliveryMode::Nothing]);
    let numbers = json!(vec![0; 400]);
    for (delta, modes) in [
        (json!({ "content": text }), &all[2..]),
        (json!({ "reasoning_content": text }), &all[2..]),
        (json!({ "refusal": text }), &all[2..]),
        (json!({ "function_call": { "arguments": text } }), &all[..]),
        (function(&text), &all[..]),
        (json!({ "tool_calls": [{ "index": 0, "function": {}, "extra_content": { "x": text } }] }), &all[..]),
        (json!({ "audio": { "data": text } }), &all[2..]),
        (json!({ "annotations": [{ "url": text }] }), &all[2..]),
        (json!({ "x": numbers }), &all[2..]),
    ] {
        for &mode in modes {
            let harness = Harness::new(limits(), vec![reply(&delta)]);
            let outcome = harness.run(call(mode, json!({ "toolCalls": "stream" }))).await;
            assert_too_large(&outcome, &harness, &format!("{mode:?}: {:.60}", delta.to_string()));
        }
    }
}

fn assert_too_large(outcome: &Outcome, harness: &Harness, what: &str) {
    let error = outcome.result.as_ref().err().unwrap_or_else(|| panic!("{what} is not bounded"));
    assert_eq!((error.kind, error.code()), (Kind::AnswerTooLarge, "ANSWER_TOO_LARGE"), "{what}: {error}");
    assert!(error.message.contains("131072 bytes"), "{error}");
    assert!(error.partial.as_ref().is_none_or(|partial| partial.len() <= 132 * 1024), "{what}");
    assert_eq!(harness.requests().len(), 1, "{what}: it would be as large again");
}

#[tokio::test(start_paused = true)]
async fn the_fields_of_chunks_and_choices_count_where_they_are_kept() {
    let text = text();
    let content = json!([{ "token": text, "logprob": -1, "top_logprobs": [] }]);
    let event = json!({ "choices": [{ "index": 0, "delta": { "content": "a" }, "logprobs": { "content": content } }] });
    let harness = Harness::new(limits(), vec![repeated(&event)]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    assert_too_large(&outcome, &harness, "logprobs");
    let harness = Harness::new(limits(), vec![repeated(&event)]);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    assert_eq!(outcome.deltas().len(), DELTAS + 2, "a stream passes them on");
    // A field that each chunk repeats is kept once.
    let repeats = json!({ "citations": [text], "choices": [{ "index": 0, "delta": { "content": "a" } }] });
    let harness = Harness::new(limits(), vec![repeated(&repeats)]);
    assert_eq!(harness.call_with_mode(DeliveryMode::Nothing).await.text().len(), DELTAS + 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_passes_on_and_does_not_keep_has_no_limit() {
    let image = json!({ "images": [{ "image_url": { "url": text() } }] });
    let harness = Harness::new(limits(), vec![reply(&image)]);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    assert_eq!(outcome.deltas().len(), DELTAS + 2);
    assert_eq!(outcome.text(), "a");
    // A text is kept for the result, up to the limit.
    for mode in [DeliveryMode::Text, DeliveryMode::Chunks] {
        for name in ["content", "reasoning_content", "refusal"] {
            let harness = Harness::new(limits(), vec![reply(&json!({ name: text() }))]);
            let outcome = harness.call_with_mode(mode).await;
            let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
            assert_eq!(
                (&result["tooLargeFor"], &result["text"]),
                (&json!(128 * 1024), &json!("")),
                "{mode:?}"
            );
            let has_all = mode == DeliveryMode::Chunks || name == "content";
            assert_eq!(outcome.deltas().concat().len() > DELTAS * DELTA_BYTES, has_all, "{mode:?}: {name}");
            assert_eq!(outcome.events("recovery-disabled").len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_buffered_tool_call_is_bounded_in_all_its_fields() {
    let field =
        json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f" }, "x": text() }] });
    for mode in [DeliveryMode::Text, DeliveryMode::Chunks, DeliveryMode::Nothing] {
        let harness = Harness::new(json!({ "maxRetries": 0 }), vec![reply(&field)]);
        let outcome = harness.call_with_mode(mode).await;
        let error = outcome.error();
        assert!(error.message.contains("262144 bytes") || error.cause.is_some(), "{mode:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_would_take_too_much_memory_is_not_built() {
    let numbers = json!(vec![0; 6_000]);
    // A message in place of a delta is rebuilt, passed on, and not kept.
    let event = json!({ "choices": [{ "index": 0, "message": { "content": "b", "x": numbers } }] });
    for mode in [DeliveryMode::Nothing, DeliveryMode::Chunks] {
        let harness = Harness::new(limits(), vec![stream().event(&event).finish().done()]);
        let outcome = harness.call_with_mode(mode).await;
        assert_too_large(&outcome, &harness, "one event of 12 kB that takes 400 kB");
    }
}

fn small_recovery() -> Value {
    json!({ "maxRetries": 3, "recovery": { "maxBytes": 64 * 1024 } })
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_outgrows_its_recovery_goes_on_and_says_so_once() {
    for mode in [DeliveryMode::Text, DeliveryMode::Chunks] {
        let harness = Harness::new(small_recovery(), vec![reply(&json!({ "content": text() }))]);
        let outcome = harness.call_with_mode(mode).await;
        assert_eq!(outcome.text().len(), DELTAS * DELTA_BYTES + 1);
        let events = outcome.events("recovery-disabled");
        assert_eq!(events.len(), 1, "{mode:?}");
        assert_eq!(events[0]["maxBytes"], 64 * 1024);
        assert!(events[0]["requestId"].is_string() && events[0]["call"].is_string());
    }
    let quiet = json!({ "recovery": { "mode": "fail", "maxBytes": 64 * 1024 } });
    let harness = Harness::new(quiet, vec![reply(&json!({ "content": text() }))]);
    assert_eq!(harness.call().await.events("recovery-disabled").len(), 0, "nothing was disabled");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_outgrown_its_recovery_is_not_continued() {
    let event = format!("data: {}\n\n", chunk(json!({ "content": text() }), None));
    let broken = |deltas: usize| (0..deltas).fold(stream(), |reply, _| reply.raw(&event)).reset();
    let harness = Harness::new(small_recovery(), vec![broken(40)]);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!(error.kind, Kind::Interrupted);
    assert!(error.message.contains("recovery.maxBytes"), "{error}");
    assert_eq!(error.partial.as_ref().map(String::len), Some(40 * DELTA_BYTES));
    assert!(error.snapshot.is_none());
    assert_eq!(harness.requests().len(), 1);
    // A smaller one is.
    let harness = Harness::new(small_recovery(), vec![broken(4), stream().delta(" end").finish().done()]);
    let outcome = harness.call().await;
    assert_eq!(outcome.text().len(), 4 * DELTA_BYTES + 4);
    assert_eq!(outcome.events("recovery-disabled").len(), 0);
}

/// Images of a response are passed on, and its items are kept only to resume it.
#[tokio::test(start_paused = true)]
async fn a_large_response_is_passed_on_and_not_kept() {
    let item =
        json!({ "id": "i", "type": "message", "status": "completed", "content": [], "result": text() });
    let mut reply = stream();
    let events = (0..DELTAS).flat_map(|index| {
        let done = json!({ "type": "response.output_item.done", "output_index": index, "item": item });
        let text = json!({
            "type": "response.output_text.delta", "output_index": index, "content_index": 0, "item_id": "i", "delta": "a",
        });
        [done, text]
    });
    let last = json!({ "type": "response.completed", "response": { "id": "r", "status": "completed", "output": [] } });
    for event in events.chain([last]) {
        reply = reply.raw(&format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()));
    }
    let harness = Harness::new(small_recovery(), vec![reply]);
    let request = json!({ "model": "m", "input": "hi", "stream": true });
    let call =
        TestCall { dialect: Dialect::Responses, request, mode: DeliveryMode::Chunks, ..TestCall::default() };
    let outcome = harness.run(call).await;
    assert_eq!(outcome.text().len(), DELTAS);
    assert_eq!(outcome.deltas().len(), 2 * DELTAS + 1);
    assert_eq!(outcome.events("recovery-disabled").len(), 1);
}
