//! Tool calls: buffered until complete, and requested again after a break.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, answer, chunk, stream, unavailable};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;
use crate::session::snapshot::Snapshot;

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 }, "maxRetries": 3 })
}

fn part(index: u32, id: &str, arguments: &str) -> Value {
    let mut call = json!({ "index": index, "function": { "arguments": arguments } });
    if !id.is_empty() {
        call["id"] = json!(id);
        call["function"]["name"] = json!("weather");
    }
    chunk(json!({ "tool_calls": [call] }), None)
}

fn call(arguments: &str) -> Reply {
    stream().event(&part(0, "call_2", arguments)).event(&chunk(json!({}), Some("tool_calls"))).done()
}

/// Text and an incomplete tool call, then a connection reset.
fn broken() -> Reply {
    stream().delta("Let me see. ").event(&part(0, "call_1", "{\"ci")).reset()
}

fn prose() -> Reply {
    answer(&["It is ", "sunny."])
}

fn result(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.answer().result()).unwrap()
}

async fn chunks(script: Vec<Reply>, options: Value) -> (Outcome, Vec<Value>) {
    let outcome = Harness::new(options, script).call_with_mode(DeliveryMode::Chunks).await;
    let chunks = outcome.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    (outcome, chunks)
}

fn deltas<'a>(chunks: &'a [Value], name: &str) -> Vec<&'a Value> {
    chunks.iter().map(|chunk| &chunk["choices"][0]["delta"][name]).filter(|delta| !delta.is_null()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_tool_call_is_still_required_after_other_failures() {
    for between in [vec![unavailable()], vec![stream().reset()], vec![prose()], vec![prose(), unavailable()]]
    {
        let script = [vec![broken()], between, vec![call("{}")]].concat();
        let harness = Harness::new(options(), script);
        let outcome = harness.call().await;
        assert_eq!((outcome.deltas().concat().as_str(), outcome.text()), ("Let me see. ", "Let me see. "));
        assert_eq!(result(&outcome)["toolCalls"][0]["id"], "call_2");
    }
}

#[tokio::test(start_paused = true)]
async fn text_instead_of_a_lost_tool_call_is_not_delivered_and_interrupts_the_call() {
    for mode in [DeliveryMode::Text, DeliveryMode::Nothing] {
        let mut options = options();
        options["recovery"] = json!({ "buffered": "continue" });
        let harness = Harness::new(options, vec![broken(), prose(), unavailable(), prose(), prose()]);
        let outcome = harness.call_with_mode(mode).await;
        assert_eq!(
            (outcome.error().kind, outcome.error().partial.as_deref()),
            (Kind::Interrupted, Some("Let me see. "))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_that_lost_a_tool_call_is_requested_again_and_may_be_another() {
    let mut options = options();
    options["continuation"] = json!("prefix");
    let harness = Harness::new(options, vec![broken(), prose()]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    assert_eq!(outcome.text(), "It is sunny.");
    assert_eq!(harness.requests()[1].json(), harness.requests()[0].json());
}

#[tokio::test(start_paused = true)]
async fn a_lost_tool_call_is_required_in_a_resumed_answer_too() {
    let mut once = options();
    once["maxRetries"] = json!(0);
    let outcome = Harness::new(once.clone(), vec![broken()]).call().await;
    let snapshot = Snapshot::parse(outcome.error().snapshot.as_deref().unwrap()).unwrap();
    assert!(snapshot.answer.lost_tool_call);
    let resume = |snapshot| TestCall { snapshot: Some(snapshot), ..TestCall::default() };
    let outcome =
        Harness::new(once.clone(), vec![prose(), prose(), prose()]).run(resume(snapshot.clone())).await;
    assert_eq!(outcome.error().kind, Kind::Interrupted);
    let outcome = Harness::new(once, vec![call("{\"a\":1}")]).run(resume(snapshot)).await;
    assert_eq!(result(&outcome)["toolCalls"][0]["function"]["arguments"], "{\"a\":1}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_only_a_tool_call_keeps_its_role() {
    let mut first = part(0, "call_1", "{}");
    first["choices"][0]["delta"]["role"] = json!("assistant");
    let reply = stream().event(&first).event(&chunk(json!({}), Some("tool_calls"))).done();
    let (_, chunks) = chunks(vec![reply], options()).await;
    assert_eq!(deltas(&chunks, "role"), [&json!("assistant")]);
    assert_eq!(deltas(&chunks, "tool_calls").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_index_that_starts_at_one_adds_no_empty_call() {
    let reply = stream().event(&part(1, "call_1", "{}")).event(&chunk(json!({}), Some("tool_calls"))).done();
    let (outcome, chunks) = chunks(vec![reply], options()).await;
    assert_eq!(deltas(&chunks, "tool_calls")[0].as_array().unwrap().len(), 1);
    assert_eq!(result(&outcome)["toolCalls"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_cut_off_by_length_is_dropped_and_the_finish_reason_is_length() {
    let reply = stream().event(&part(0, "call_1", "{\"ci")).event(&chunk(json!({}), Some("length"))).done();
    let (outcome, chunks) = chunks(vec![reply], options()).await;
    assert!(deltas(&chunks, "tool_calls").is_empty());
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
    assert!(result(&outcome).get("toolCalls").is_none());
}

#[tokio::test(start_paused = true)]
async fn without_finish_reasons_a_buffered_tool_call_is_delivered_at_the_end_if_complete() {
    let mut lenient = options();
    lenient["requireFinishReason"] = json!(false);
    let open = |arguments: &str| stream().event(&part(0, "call_1", arguments)).done();
    let (_, delivered) = chunks(vec![open("{\"a\":1}")], lenient.clone()).await;
    assert_eq!(deltas(&delivered, "tool_calls").len(), 1);
    let (outcome, _) = chunks(vec![open("{\"a\":"), open("{}")], lenient).await;
    assert_eq!(outcome.attempt_outcomes(), ["MALFORMED_RESPONSE", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_at_max_tokens_ends_without_a_request_even_without_retries() {
    let mut options = options();
    options["maxRetries"] = json!(0);
    options["circuitBreaker"] = json!({ "failureThreshold": 1 });
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 2 });
    let harness = Harness::new(options, vec![stream().delta("a ").delta("b ").reset()]);
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(
        (&result(&outcome)["finishReason"], &result(&outcome)["recoveries"]),
        (&json!("length"), &json!(0))
    );
    assert_eq!((harness.requests().len(), outcome.events("circuit").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn single_letters_do_not_count_as_tokens() {
    let letters = "the quick brown fox".split("").filter(|c| !c.is_empty());
    let cut = letters.fold(stream(), |reply, letter| reply.delta(letter)).reset();
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 19 });
    let harness = Harness::new(options(), vec![cut, answer(&[" jumps"])]);
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(
        (outcome.text(), &harness.requests()[1].json()["max_tokens"]),
        ("the quick brown fox jumps", &json!(14))
    );
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_of_a_continued_answer_covers_all_attempts() {
    let usage = |id: &str, total: u64| json!({ "id": id, "choices": [], "usage": { "total_tokens": total } });
    let request = json!({
        "messages": [{ "role": "user", "content": "hi" }], "stream_options": { "include_usage": true },
    });
    let first = stream().delta("a ").event(&usage("chatcmpl-1", 3)).reset();
    let second = stream().delta("b").finish().event(&usage("chatcmpl-2", 4)).done();
    let harness = Harness::new(options(), vec![first, second]);
    let outcome = harness.run(TestCall { request, mode: DeliveryMode::Chunks, ..TestCall::default() }).await;
    let last: Value = serde_json::from_str(outcome.deltas().last().unwrap()).unwrap();
    assert_eq!((&last["id"], &last["usage"]["total_tokens"]), (&json!("chatcmpl-1"), &json!(7)));
}

#[tokio::test(start_paused = true)]
async fn max_recoveries_applies_to_an_undelivered_answer_too() {
    let mut few = options();
    few["recovery"] = json!({ "maxRecoveries": 2, "buffered": "continue" });
    let script = ["one ", "two ", "three "].map(|word| stream().delta(word).reset()).to_vec();
    let harness = Harness::new(few, script);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    let error = outcome.error();
    assert_eq!((error.kind, error.partial.as_deref()), (Kind::Interrupted, Some("one two three ")));
    assert_eq!(harness.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_the_limit_fails_with_everything_that_came_before_it() {
    // All of a choice's calls at once, and then one more of them after the other choice has gone on.
    let calls = |from: u32, to: u32| -> Value {
        let call = |at: u32| json!({ "index": at, "id": format!("c{at}"), "function": { "name": "f", "arguments": "{}" } });
        (from..to).map(call).collect()
    };
    let of = |index: u32, delta: Value, finish: Option<&str>| json!({ "id": "i", "choices": [{ "index": index, "delta": delta, "finish_reason": finish }] });
    for (buffered, finish) in [(true, Some("tool_calls")), (false, Some("tool_calls")), (false, None)] {
        let reply = stream()
            .event(&of(0, json!({ "content": "zero" }), None))
            .event(&of(1, json!({ "content": "one", "tool_calls": calls(0, 128) }), None))
            .event(&of(1, json!({}), finish))
            .event(&of(0, json!({ "content": " more" }), None))
            .event(&of(1, json!({ "tool_calls": calls(128, 129) }), None))
            .event(&of(0, json!({}), Some("stop")))
            .done();
        let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "n": 2 });
        let options = json!({ "toolCalls": if buffered { "buffer" } else { "stream" }, "recovery": { "mode": "fail" } });
        let call = TestCall { request, options, mode: DeliveryMode::Chunks, ..TestCall::default() };
        let outcome = Harness::new(json!({ "maxRetries": 0 }), vec![reply]).run(call).await;
        let error = outcome.error();
        let cause = error.cause.as_ref().map_or(error.kind, |cause| cause.kind);
        assert_eq!(cause, Kind::ResponseTooLarge, "{error:?}");
        assert!(error.message.contains("128 tool calls"), "{}", error.message);
        assert_eq!(error.partial.as_deref(), Some("zero more"));
        let chunks: Vec<Value> =
            outcome.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect();
        let choices = || chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
        let text = |of: u64| -> String {
            choices()
                .filter(|choice| choice["index"] == of)
                .filter_map(|choice| choice["delta"]["content"].as_str())
                .collect()
        };
        assert_eq!((text(0), text(1)), ("zero more".into(), "one".into()));
        let delivered: usize =
            choices().filter_map(|choice| choice["delta"]["tool_calls"].as_array()).map(Vec::len).sum();
        assert_eq!(delivered, 128);
    }
}
