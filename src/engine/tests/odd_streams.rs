//! Streams that differ from OpenAI's, and that its SDK reads all the same.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, chunk, stream};
use crate::engine::sink::DeliveryMode;

const MODES: [DeliveryMode; 3] = [DeliveryMode::Text, DeliveryMode::Chunks, DeliveryMode::Nothing];

async fn read(mode: DeliveryMode, reply: &Reply) -> (Outcome, Vec<Value>) {
    let outcome = Harness::new(json!({}), vec![reply.clone()]).call_with_mode(mode).await;
    let deltas = if mode == DeliveryMode::Chunks { outcome.deltas() } else { Vec::new() };
    let chunks = deltas.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    (outcome, chunks)
}

/// The strings at a place of the first delta of each chunk, joined.
fn joined(chunks: &[Value], pointer: &str) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"].pointer(pointer)?.as_str()).collect()
}

fn finish_reasons(chunks: &[Value]) -> Vec<&Value> {
    let reasons = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]);
    reasons.filter(|reason| !reason.is_null()).collect()
}

fn call(id: Option<&str>, arguments: &str) -> Value {
    let name = id.map(|_| "weather");
    json!({ "tool_calls": [{ "index": 0, "id": id, "function": { "name": name, "arguments": arguments } }] })
}

#[tokio::test(start_paused = true)]
async fn usage_in_the_middle_does_not_end_an_answer_with_a_finish_reason_in_every_chunk() {
    let text = |text: &str| chunk(json!({ "content": text }), Some("stop"));
    for mode in MODES {
        let reply =
            stream().event(&text("one ")).event(&text("two ")).usage(5).wait(500).event(&text("three"));
        let (outcome, _) = read(mode, &reply.wait(5_000).done()).await;
        let answer = outcome.answer();
        let result: Value = serde_json::from_str(&answer.result()).unwrap();
        assert_eq!((&result["text"], &result["usage"]["total_tokens"]), (&json!("one two three"), &json!(5)));
        assert_eq!(outcome.at, 1_500, "a second after the last text");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_may_have_a_finish_reason_with_each_delta() {
    for (between, last) in [("tool_calls", "tool_calls"), ("stop", "tool_calls"), ("length", "stop")] {
        let mut reply = stream();
        for (id, arguments) in [(Some("a"), ""), (None, "{\"x\""), (None, ":1}"), (None, "\n")] {
            reply = reply.event(&chunk(call(id, arguments), Some(between))).wait(1);
        }
        let reply = reply.event(&chunk(json!({}), Some(last))).usage(5).done();
        for mode in MODES {
            let (outcome, chunks) = read(mode, &reply).await;
            let choice = outcome.answer().journal.first_choice();
            assert_eq!(choice.tool_calls.len(), 1);
            assert_eq!(choice.tool_calls[0].arguments.trim_end(), "{\"x\":1}");
            assert_eq!(choice.finish_reason.as_deref(), Some(last));
            if mode == DeliveryMode::Chunks {
                assert_eq!(joined(&chunks, "/tool_calls/0/function/arguments"), "{\"x\":1}");
                assert_eq!(*finish_reasons(&chunks).last().unwrap(), last);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_arguments_is_delivered_before_its_finish_reason() {
    let reply =
        stream().event(&chunk(call(Some("a"), ""), None)).event(&chunk(json!({}), Some("tool_calls"))).done();
    let (_, chunks) = read(DeliveryMode::Chunks, &reply).await;
    assert_eq!(joined(&chunks, "/tool_calls/0/function/arguments"), "{}");
    assert_eq!(finish_reasons(&chunks), ["tool_calls"]);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test(start_paused = true)]
async fn a_surrogate_pair_is_joined_across_a_finish_reason() {
    let half = |text: &str| {
        let json = chunk(json!({ "content": "TEXT" }), Some("stop")).to_string().replace("TEXT", text);
        format!("data: {json}\n\n")
    };
    let joins = stream().raw(&half(r"a\ud83d")).wait(1).raw(&half(r"\ude00b")).done();
    let is_alone = stream().raw(&half(r"a\ud83d")).done();
    let goes_on = stream().raw(&half(r"a\ud83d")).wait(1).raw(&half("b")).done();
    for (reply, text) in [(joins, "a😀b"), (is_alone, "a\u{FFFD}"), (goes_on, "a\u{FFFD}b")] {
        for mode in MODES {
            let (outcome, chunks) = read(mode, &reply).await;
            assert_eq!(outcome.text(), text);
            if mode == DeliveryMode::Chunks {
                assert_eq!(joined(&chunks, "/content"), text);
                assert_eq!(finish_reasons(&chunks), ["stop"; 1], "{chunks:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_finish_reason_in_every_chunk_makes_no_text_a_repetition() {
    for name in ["text", "message"] {
        let content = |text: &str| if name == "text" { json!(text) } else { json!({ "content": text }) };
        let mut reply = stream();
        for (text, reason) in [("", "length"), ("one ", "length"), ("two ", "length"), ("three", "stop")] {
            let choice = json!({ "index": 0, name: content(text), "finish_reason": reason });
            reply = reply.event(&json!({ "choices": [choice] }));
        }
        for mode in MODES {
            let (outcome, chunks) = read(mode, &reply.clone().done()).await;
            assert_eq!(outcome.text(), "one two three", "{name}");
            if mode == DeliveryMode::Chunks {
                assert_eq!(joined(&chunks, "/content"), "one two three");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_index_of_the_only_choice_does_not_matter() {
    let mut reply = stream();
    for (index, text) in [(json!(0), "a"), (json!(1), "b"), (json!(-1), "c"), (json!("x"), "d")] {
        let mut chunk = chunk(json!({ "content": text }), None);
        chunk["choices"][0]["index"] = index;
        reply = reply.event(&chunk);
    }
    let reply = reply.event(&chunk(json!({}), Some("stop"))).done();
    for mode in MODES {
        let (outcome, chunks) = read(mode, &reply).await;
        assert_eq!(outcome.text(), "abcd");
        if mode == DeliveryMode::Chunks {
            assert_eq!(joined(&chunks, "/content"), "abcd");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_before_the_first_token_is_bounded() {
    let mut large = chunk(json!({ "role": "assistant" }), None);
    large["x"] = json!("x".repeat(100 * 1024));
    let mut reply = stream();
    for _ in 0..5 {
        reply = reply.event(&large).wait(10);
    }
    let reply = reply.wait(100).delta("a").finish().done();
    let (outcome, chunks) = read(DeliveryMode::Chunks, &reply).await;
    assert_eq!((outcome.text(), chunks.len()), ("a", 7));
    assert_eq!(outcome.delta_times()[0], 20);
}

#[tokio::test(start_paused = true)]
async fn half_a_character_waits_for_the_rest_of_its_choice_when_choices_are_counted_from_one() {
    let choices = |texts: &[(u32, &str)], finish: Option<&str>| {
        let choices = texts.iter().map(
            |(index, text)| json!({ "index": index, "delta": { "content": text }, "finish_reason": finish }),
        );
        let chunk = json!({ "id": "c", "choices": choices.collect::<Vec<_>>() });
        // JSON's own escapes cannot be written with `json!`.
        format!("data: {}\n\n", chunk.to_string().replace("HIGH", r"\ud83d").replace("LOW", r"\udc11"))
    };
    let reply = stream()
        .raw(&choices(&[(1, "a HIGH"), (2, "b")], None))
        .raw(&choices(&[(1, "LOW c")], None))
        .raw(&choices(&[(1, ""), (2, "")], Some("stop")))
        .done();
    let request = json!({ "messages": [{}], "n": 2 });
    let outcome = Harness::new(json!({}), vec![reply]).run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(outcome.deltas().concat(), "a 🐑 c");
}
