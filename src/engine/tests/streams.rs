//! Successful streams: what is delivered, when, and what the result has.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{answer, chunk, status, stream, usage_chunk};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;

#[tokio::test(start_paused = true)]
async fn each_delta_is_delivered_once_and_in_order_and_complete_precedes_the_result() {
    let reply =
        stream().head_after(50).role().wait(10).delta("xin ").wait(10).delta("chào").finish().wait(300);
    let harness = Harness::new(json!({}), vec![reply.usage(9).done()]);
    let outcome = harness.call().await;
    assert_eq!(outcome.deltas(), ["xin ", "chào"]);
    assert_eq!(outcome.delta_times(), [60, 70]);
    assert_eq!((outcome.completed_at(), outcome.at), (vec![370], 370));
    assert_eq!(outcome.text(), "xin chào");
    let answer = outcome.answer();
    assert_eq!(answer.journal.usage, Some(json!({ "total_tokens": 9 })));
    let record = &answer.attempts[0];
    assert_eq!((record.attempt, record.outcome.as_str(), record.deltas), (1, "complete", 2));
    assert_eq!((record.first_token_ms, record.duration_ms, record.status), (Some(60), 370, Some(200)));
    let sent = &harness.requests()[0];
    assert_eq!(sent.url, "http://a/v1/chat/completions");
    assert_eq!(sent.header("authorization"), Some("Bearer key-of-the-client"));
    assert_eq!(sent.header("x-holysheep-attempt"), Some("1"));
    assert_eq!(sent.json()["stream_options"], json!({ "include_usage": true }));
}

#[tokio::test(start_paused = true)]
async fn a_successful_call_emits_attempt_first_token_and_complete() {
    let harness = Harness::new(json!({}), vec![answer(&["a"])]);
    let outcome = harness.call().await;
    let events: Vec<Value> =
        outcome.sink.events.lock().unwrap().iter().map(|(_, e)| e["type"].clone()).collect();
    assert_eq!(events, ["attempt", "first-token", "complete"]);
    assert_eq!(outcome.events("attempt")[0]["reason"], "first");
    assert_eq!(outcome.events("complete")[0]["attempts"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_without_deltas_gets_the_complete_text_at_the_end() {
    let harness = Harness::new(json!({}), vec![answer(&["a", "b"])]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    assert_eq!(outcome.deltas(), [""; 0]);
    assert_eq!(outcome.sink.complete.lock().unwrap()[0].1, "ab");
    assert_eq!(outcome.answer().attempts[0].deltas, 2);
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_is_withheld_from_a_caller_who_did_not_request_it() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").finish().usage(5).done()]);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    let chunks: Vec<Value> = outcome.deltas().iter().map(|c| serde_json::from_str(c).unwrap()).collect();
    assert_eq!(chunks, [chunk(json!({ "content": "a" }), None), chunk(json!({}), Some("stop"))]);
    assert_eq!(outcome.answer().journal.usage, Some(json!({ "total_tokens": 5 })));
}

fn requests_usage() -> TestCall {
    let request = json!({ "messages": [{}], "stream_options": { "include_usage": true } });
    TestCall { request, mode: DeliveryMode::Chunks, ..TestCall::default() }
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_is_delivered_to_a_caller_who_requested_it() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").finish().wait(100).usage(5).done()]);
    let outcome = harness.run(requests_usage()).await;
    assert_eq!(outcome.deltas()[2], usage_chunk(5).to_string());
    assert_eq!((outcome.delta_times(), outcome.completed_at()), (vec![0, 0, 100], vec![100]));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_settled_a_second_after_the_finish_reason_and_its_usage_may_come_later() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").finish().stall()]);
    let outcome = harness.call().await;
    assert_eq!((outcome.delta_times(), outcome.completed_at()), (vec![0], vec![1_000]));
    assert_eq!((outcome.at, outcome.text()), (1_000, "a"));
    assert_eq!(harness.requests()[0].closed_at(), Some(1_000));
    let reply = stream().delta("a").finish().wait(2_500).usage(5).stall();
    let harness = Harness::new(json!({ "usageTimeoutMs": 3_000 }), vec![reply]);
    let outcome = harness.call().await;
    assert_eq!((outcome.completed_at(), outcome.at), (vec![1_000], 2_500));
    assert_eq!(outcome.answer().journal.usage, Some(json!({ "total_tokens": 5 })));
}

#[tokio::test(start_paused = true)]
async fn usage_that_comes_after_the_settlement_is_delivered_to_a_caller_who_requested_it() {
    let usage = format!("data: {}", usage_chunk(5));
    let late = || stream().delta("a").finish().wait(2_500);
    for reply in [
        late().usage(5).stall(),
        late().usage(5).done(),
        // The body ends, and its last event has no blank line.
        late().raw(&usage),
    ] {
        let harness = Harness::new(json!({ "usageTimeoutMs": 3_000 }), vec![reply]);
        let outcome = harness.run(requests_usage()).await;
        assert_eq!((outcome.delta_times(), outcome.completed_at()), (vec![0, 0, 2_500], vec![1_000]));
        let chunk: serde_json::Value = serde_json::from_str(&outcome.deltas()[2]).unwrap();
        assert_eq!((&chunk["usage"], &chunk["choices"]), (&json!({ "total_tokens": 5 }), &json!([])));
        assert_eq!(outcome.answer().journal.usage, Some(json!({ "total_tokens": 5 })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_done_after_the_finish_reason_is_not_an_error() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").finish()]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), ("a", 0));
}

#[tokio::test(start_paused = true)]
async fn done_without_a_finish_reason_is_a_truncation_unless_none_is_required() {
    let reply = || stream().delta("a").done();
    let outcome = Harness::new(json!({ "maxRetries": 0 }), vec![reply()]).call().await;
    assert_eq!(outcome.error().kind, Kind::Interrupted);
    let cause = outcome.error().cause.as_ref().unwrap();
    assert_eq!(cause.kind, Kind::Truncated);
    assert!(cause.message.contains("requireFinishReason: false"), "{cause}");
    let outcome = Harness::new(json!({ "requireFinishReason": false }), vec![reply()]).call().await;
    assert_eq!(outcome.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn without_a_required_finish_reason_a_missing_done_is_a_truncation() {
    let harness =
        Harness::new(json!({ "requireFinishReason": false, "maxRetries": 0 }), vec![stream().delta("a")]);
    assert_eq!(harness.call().await.error().kind, Kind::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_two_choices_is_complete_when_both_have_a_finish_reason() {
    let part = |index: u32, text: &str, finish: Option<&str>| json!({ "choices": [{ "index": index, "delta": { "content": text }, "finish_reason": finish }] });
    let reply = stream()
        .event(&part(1, "one", None))
        .event(&part(0, "zero", Some("stop")))
        .wait(2_000)
        .event(&part(1, "!", Some("length")))
        .done();
    let harness = Harness::new(json!({}), vec![reply.clone()]);
    let request = json!({ "messages": [{}], "n": 2 });
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!((outcome.deltas(), outcome.completed_at()), (vec!["zero".to_owned()], vec![2_000]));
    let completion = outcome.answer().journal.completion();
    assert_eq!(completion["choices"][1]["message"]["content"], "one!");
    assert_eq!(completion["choices"][1]["finish_reason"], "length");
}

#[tokio::test(start_paused = true)]
async fn tool_calls_are_assembled() {
    let part = |call: Value| chunk(json!({ "tool_calls": [call] }), None);
    let reply = stream()
        .event(&part(json!({ "index": 0, "id": "c0", "function": { "name": "f", "arguments": "" } })))
        .event(&part(json!({ "index": 0, "function": { "arguments": "{\"a\"" } })))
        .event(&part(json!({ "index": 1, "id": "c1", "function": { "name": "g", "arguments": "{}" } })))
        .event(&part(json!({ "index": 0, "function": { "arguments": ":1}" } })))
        .event(&chunk(json!({}), Some("tool_calls")))
        .done();
    let harness = Harness::new(json!({}), vec![reply]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    let calls = outcome.answer().journal.first_choice().tool_calls.clone();
    let calls = crate::session::tool_calls::message(&calls);
    assert_eq!(calls[0]["function"], json!({ "name": "f", "arguments": "{\"a\":1}" }));
    assert_eq!((&calls[1]["id"], &calls[1]["function"]["name"]), (&json!("c1"), &json!("g")));
    assert!(outcome.answer().attempts[0].first_token_ms.is_some(), "a tool call is a first token");
}

#[tokio::test(start_paused = true)]
async fn the_answer_has_the_identity_of_its_first_chunk() {
    let mut later = chunk(json!({ "content": "b" }), Some("stop"));
    later["id"] = json!("other");
    later["created"] = json!(8);
    later["model"] = json!("other");
    let outcome = Harness::new(json!({}), vec![stream().delta("a").event(&later).done()]).call().await;
    let completion = outcome.answer().journal.completion();
    assert_eq!((&completion["id"], &completion["created"]), (&json!("chatcmpl-1"), &json!(7)));
    assert_eq!(completion["model"], "m-2025");
}

#[tokio::test(start_paused = true)]
async fn the_request_id_is_the_providers_if_it_sends_one() {
    let harness = Harness::new(
        json!({ "maxRetries": 1, "retry": { "baseDelayMs": 1 } }),
        vec![status(503).header("x-request-id", "p-1"), answer(&["a"]).header("x-request-id", "p-2")],
    );
    let outcome = harness.call().await;
    let answer = outcome.answer();
    let ids: Vec<&str> = answer.attempts.iter().map(|attempt| attempt.request_id.as_str()).collect();
    assert_eq!((answer.request_id.as_str(), ids), ("p-2", vec!["p-1", "p-2"]));
    let without_id = Harness::new(json!({}), vec![super::scripted_provider::answer(&["a"])]);
    let outcome = without_id.call().await;
    let sent = without_id.requests()[0].header("x-client-request-id").unwrap().to_owned();
    assert_eq!(outcome.answer().request_id, sent);
}

#[tokio::test(start_paused = true)]
async fn a_character_split_across_reads_is_delivered_intact() {
    let text = format!("data: {}\n\n", chunk(json!({ "content": "chào 👋" }), None));
    let mut reply = stream();
    for byte in text.bytes() {
        reply = reply.step(super::scripted_provider::BodyStep::Bytes(vec![byte].into())).wait(1);
    }
    let outcome = Harness::new(json!({}), vec![reply.finish().done()]).call().await;
    assert_eq!(outcome.deltas(), ["chào 👋"]);
}

#[tokio::test(start_paused = true)]
async fn text_after_the_finish_reason_belongs_to_the_answer_however_the_reads_are_split() {
    let late = chunk(json!({ "content": "late" }), None);
    let finish = chunk(json!({ "content": "a" }), Some("stop"));
    let together = stream().raw(&format!("data: {finish}\n\ndata: {late}\n\n"));
    let apart = stream().event(&finish).wait(5).event(&late).usage(3);
    for reply in [together.usage(3), apart] {
        for mode in [DeliveryMode::Text, DeliveryMode::Chunks] {
            let harness = Harness::new(json!({}), vec![reply.clone()]);
            let outcome = harness.call_with_mode(mode).await;
            assert_eq!((outcome.text(), outcome.deltas().len()), ("alate", 2));
            assert_eq!(outcome.sink.complete.lock().unwrap()[0].1, "alate");
            assert!(outcome.answer().journal.usage.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_of_an_empty_answer_is_delivered_to_a_caller_who_requested_it() {
    let reply = stream().role().finish().wait(100).usage(5).done();
    let harness = Harness::new(json!({ "allowEmptyAnswer": true }), vec![reply]);
    let outcome = harness.run(requests_usage()).await;
    assert_eq!(outcome.deltas().len(), 3);
    assert_eq!(outcome.deltas()[2], usage_chunk(5).to_string());
    assert_eq!(outcome.text(), "");
}

#[tokio::test(start_paused = true)]
async fn the_headers_are_reported_once_with_the_first_token_or_with_the_end_of_an_answer_without_one() {
    for (reply, event, other) in [
        (stream().role().finish().done(), "complete", "first-token"),
        (stream().role().delta("a").finish().done(), "first-token", "complete"),
    ] {
        let reply = reply.header("x-ratelimit-remaining", 7);
        let harness = Harness::new(json!({ "allowEmptyAnswer": true }), vec![reply]);
        let outcome = harness.call().await;
        assert_eq!(outcome.events(event)[0]["headers"]["x-ratelimit-remaining"], "7");
        assert!(outcome.events(other).iter().all(|event| event.get("headers").is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_or_garbage_after_the_finish_reason_is_not_an_error() {
    for end in [
        stream().delta("a").finish().wait(5).reset(),
        stream().delta("a").finish().wait(5).raw("data: oops\n\n"),
        stream().raw(&format!("data: {}\n\ndata: {{oops", chunk(json!({ "content": "a" }), Some("stop")))),
    ] {
        let harness = Harness::new(json!({}), vec![end]);
        let outcome = harness.call().await;
        assert_eq!((outcome.text(), outcome.completed_at().len()), ("a", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_after_the_finish_reason_is_an_error() {
    let late = r#"data: {"error":{"message":"late"}}"#;
    for end in [
        stream().delta("a").finish().raw(&format!("{late}\n\n")),
        stream().delta("a").finish().wait(500).raw(&format!("{late}\n\n")),
        stream().delta("a").finish().wait(5).raw("data: {oops\n\n"),
    ] {
        let harness = Harness::new(json!({}), vec![end]);
        let outcome = harness.call().await;
        assert_eq!(
            (outcome.error().kind, outcome.error().partial.as_deref()),
            (Kind::Interrupted, Some("a"))
        );
        assert!(outcome.completed_at().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn reasoning_is_read_under_both_of_its_names_even_if_one_is_empty() {
    let reply = stream()
        .event(&chunk(json!({ "reasoning_content": "h", "reasoning": "h" }), None))
        .event(&chunk(json!({ "reasoning_content": "", "reasoning": "m" }), None))
        .finish()
        .done();
    let outcome = Harness::new(json!({}), vec![reply]).call().await;
    assert_eq!(outcome.answer().journal.first_choice().reasoning, "hm");
}

#[tokio::test(start_paused = true)]
async fn the_future_of_a_call_is_small() {
    // A thousand calls may run at once, so what the future moves by value, or stores for a rare case, counts a
    // thousand times.
    let size = Harness::new(json!({}), vec![]).call_future_size();
    assert!(size < 7 * 1024, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_surrogate_pair_split_over_two_chunks_is_one_character_and_half_of_one_is_replaced() {
    let event =
        |content: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n");
    let contents = |deltas: Vec<String>| -> String {
        let text = |chunk: &String| serde_json::from_str::<Value>(chunk).unwrap();
        deltas
            .iter()
            .map(|delta| text(delta)["choices"][0]["delta"]["content"].as_str().unwrap_or("").to_owned())
            .collect()
    };
    for (parts, text) in [
        (["a\\ud83d", "\\ude00b"], "a😀b"),
        (["a\\ud83d", "b"], "a\u{FFFD}b"),
        (["a", "b\\ud83d"], "ab\u{FFFD}"),
    ] {
        let reply = parts.iter().fold(stream(), |reply, part| reply.raw(&event(part))).finish().done();
        let outcome = Harness::new(json!({}), vec![reply.clone()]).call().await;
        assert_eq!((outcome.text(), outcome.deltas().concat()), (text, text.to_owned()));
        let outcome = Harness::new(json!({}), vec![reply]).call_with_mode(DeliveryMode::Chunks).await;
        assert_eq!(contents(outcome.deltas()), text);
    }
}
