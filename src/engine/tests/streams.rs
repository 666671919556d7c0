//! Answers that come well: what is handed over, when, and what the result says.

use serde_json::{Value, json};

use super::provider::{answer, chunk, status, stream, usage_chunk};
use super::support::{Ask, Scene};
use crate::engine::sink::Wants;
use crate::error::Kind;

#[tokio::test(start_paused = true)]
async fn each_piece_comes_once_and_in_order_and_complete_before_the_result() {
    let reply = stream().head_after(50).role().wait(10).say("xin ").wait(10).say("chào").finish().wait(300);
    let scene = Scene::new(json!({}), vec![reply.usage(9).done()]);
    let ended = scene.call().await;
    assert_eq!(ended.deltas(), ["xin ", "chào"]);
    assert_eq!(ended.piece_times(), [60, 70]);
    assert_eq!((ended.completed_at(), ended.at), (vec![70], 370));
    assert_eq!(ended.text(), "xin chào");
    let answer = ended.answer();
    assert_eq!(answer.journal.usage, Some(json!({ "total_tokens": 9 })));
    let record = &answer.attempts[0];
    assert_eq!((record.attempt, record.outcome.as_str(), record.deltas), (1, "complete", 2));
    assert_eq!((record.first_token_ms, record.duration_ms, record.status), (Some(60), 370, Some(200)));
    let sent = &scene.requests()[0];
    assert_eq!(sent.url, "http://a/v1/chat/completions");
    assert_eq!(sent.header("authorization"), Some("Bearer key-of-the-client"));
    assert_eq!(sent.header("x-holysheep-attempt"), Some("1"));
    assert_eq!(sent.json()["stream_options"], json!({ "include_usage": true }));
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_good_call_tell_its_story() {
    let scene = Scene::new(json!({}), vec![answer(&["a"])]);
    let ended = scene.call().await;
    let events: Vec<Value> =
        ended.sink.events.lock().unwrap().iter().map(|(_, e)| e["type"].clone()).collect();
    assert_eq!(events, ["attempt", "first-token", "complete"]);
    assert_eq!(ended.events("attempt")[0]["reason"], "first");
    assert_eq!(ended.events("complete")[0]["attempts"], 1);
}

#[tokio::test(start_paused = true)]
async fn who_wants_nothing_gets_nothing_before_the_end_and_then_the_whole_text() {
    let scene = Scene::new(json!({}), vec![answer(&["a", "b"])]);
    let ended = scene.call_wanting(Wants::Nothing).await;
    assert_eq!(ended.deltas(), [""; 0]);
    assert_eq!(ended.sink.complete.lock().unwrap()[0].1, "ab");
    assert_eq!(ended.answer().attempts[0].deltas, 2);
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_is_kept_from_a_caller_who_did_not_ask_for_it() {
    let scene = Scene::new(json!({}), vec![stream().say("a").finish().usage(5).done()]);
    let ended = scene.call_wanting(Wants::Chunks).await;
    let chunks: Vec<Value> = ended.deltas().iter().map(|c| serde_json::from_str(c).unwrap()).collect();
    assert_eq!(chunks, [chunk(json!({ "content": "a" }), None), chunk(json!({}), Some("stop"))]);
    assert_eq!(ended.answer().journal.usage, Some(json!({ "total_tokens": 5 })));
}

fn asks_for_usage() -> Ask {
    let request = json!({ "messages": [{}], "stream_options": { "include_usage": true } });
    Ask { request, wants: Wants::Chunks, ..Ask::default() }
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_is_given_to_a_caller_who_asked_for_it() {
    let scene = Scene::new(json!({}), vec![stream().say("a").finish().wait(100).usage(5).done()]);
    let ended = scene.ask(asks_for_usage()).await;
    assert_eq!(ended.deltas()[2], usage_chunk(5).to_string());
    assert_eq!((ended.piece_times(), ended.completed_at()), (vec![0, 0, 100], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn after_the_finish_reason_usage_is_waited_for_at_most_a_second() {
    let scene = Scene::new(json!({}), vec![stream().say("a").finish().stall()]);
    let ended = scene.call().await;
    assert_eq!((ended.completed_at(), ended.at, ended.text()), (vec![0], 1_000, "a"));
    assert_eq!(scene.requests()[0].closed_at(), Some(1_000));
}

#[tokio::test(start_paused = true)]
async fn the_end_without_done_is_no_error_where_the_finish_reason_came() {
    let scene = Scene::new(json!({}), vec![stream().say("a").finish()]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at), ("a", 0));
}

#[tokio::test(start_paused = true)]
async fn done_without_a_finish_reason_is_a_truncation_unless_none_is_required() {
    let reply = || stream().say("a").done();
    let ended = Scene::new(json!({ "maxRetries": 0 }), vec![reply()]).call().await;
    assert_eq!(ended.error().kind, Kind::Interrupted);
    let cause = ended.error().cause.as_ref().unwrap();
    assert_eq!(cause.kind, Kind::Truncated);
    assert!(cause.message.contains("requireFinishReason: false"), "{cause}");
    let ended = Scene::new(json!({ "requireFinishReason": false }), vec![reply()]).call().await;
    assert_eq!(ended.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_body_without_done_is_a_truncation_where_no_finish_reason_is_required_too() {
    let scene = Scene::new(json!({ "requireFinishReason": false, "maxRetries": 0 }), vec![stream().say("a")]);
    assert_eq!(scene.call().await.error().kind, Kind::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_two_choices_is_complete_when_both_have_their_finish_reason() {
    let part = |index: u32, text: &str, finish: Option<&str>| json!({ "choices": [{ "index": index, "delta": { "content": text }, "finish_reason": finish }] });
    let reply = stream()
        .event(&part(1, "one", None))
        .event(&part(0, "zero", Some("stop")))
        .wait(2_000)
        .event(&part(1, "!", Some("length")))
        .done();
    let scene = Scene::new(json!({}), vec![reply.clone()]);
    let request = json!({ "messages": [{}], "n": 2 });
    let ended = scene.ask(Ask { request, ..Ask::default() }).await;
    assert_eq!((ended.deltas(), ended.completed_at()), (vec!["zero".to_owned()], vec![2_000]));
    let completion = ended.answer().journal.completion();
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
    let scene = Scene::new(json!({}), vec![reply]);
    let ended = scene.call_wanting(Wants::Nothing).await;
    let calls = ended.answer().journal.first_choice().tool_calls();
    assert_eq!(calls[0]["function"], json!({ "name": "f", "arguments": "{\"a\":1}" }));
    assert_eq!((&calls[1]["id"], &calls[1]["function"]["name"]), (&json!("c1"), &json!("g")));
    assert!(ended.answer().attempts[0].first_token_ms.is_some(), "a tool call is a token");
}

#[tokio::test(start_paused = true)]
async fn the_identity_is_that_of_the_first_chunk() {
    let mut later = chunk(json!({ "content": "b" }), Some("stop"));
    later["id"] = json!("other");
    later["created"] = json!(8);
    later["model"] = json!("other");
    let ended = Scene::new(json!({}), vec![stream().say("a").event(&later).done()]).call().await;
    let completion = ended.answer().journal.completion();
    assert_eq!((&completion["id"], &completion["created"]), (&json!("chatcmpl-1"), &json!(7)));
    assert_eq!(completion["model"], "m-2025");
}

#[tokio::test(start_paused = true)]
async fn the_request_id_is_the_providers_where_it_sends_one() {
    let scene = Scene::new(
        json!({ "maxRetries": 1, "retry": { "baseDelayMs": 1 } }),
        vec![status(503).header("x-request-id", "p-1"), answer(&["a"]).header("x-request-id", "p-2")],
    );
    let ended = scene.call().await;
    let answer = ended.answer();
    let ids: Vec<&str> = answer.attempts.iter().map(|attempt| attempt.request_id.as_str()).collect();
    assert_eq!((answer.request_id.as_str(), ids), ("p-2", vec!["p-1", "p-2"]));
    let ours = Scene::new(json!({}), vec![super::provider::answer(&["a"])]);
    let ended = ours.call().await;
    let sent = ours.requests()[0].header("x-client-request-id").unwrap().to_owned();
    assert_eq!(ended.answer().request_id, sent);
}

#[tokio::test(start_paused = true)]
async fn a_character_cut_by_a_read_arrives_whole() {
    let text = format!("data: {}\n\n", chunk(json!({ "content": "chào 👋" }), None));
    let mut reply = stream();
    for byte in text.bytes() {
        reply = reply.act(super::provider::Act::Bytes(vec![byte].into())).wait(1);
    }
    let ended = Scene::new(json!({}), vec![reply.finish().done()]).call().await;
    assert_eq!(ended.deltas(), ["chào 👋"]);
}

#[tokio::test(start_paused = true)]
async fn text_after_the_finish_reason_is_no_part_of_the_answer_however_the_reads_are_cut() {
    let late = chunk(json!({ "content": "late" }), None);
    let finish = chunk(json!({ "content": "a" }), Some("stop"));
    let together = stream().raw(&format!("data: {finish}\n\ndata: {late}\n\n"));
    let apart = stream().event(&finish).wait(5).event(&late).usage(3);
    for reply in [together.usage(3), apart] {
        for wants in [Wants::Text, Wants::Chunks] {
            let scene = Scene::new(json!({}), vec![reply.clone()]);
            let ended = scene.call_wanting(wants).await;
            assert_eq!((ended.text(), ended.deltas().len()), ("a", 1));
            assert_eq!(ended.sink.complete.lock().unwrap()[0].1, "a");
            assert!(ended.answer().journal.usage.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_of_an_empty_answer_reaches_the_caller_who_asked_for_it() {
    let scene = Scene::new(json!({}), vec![stream().role().finish().wait(100).usage(5).done()]);
    let ended = scene.ask(asks_for_usage()).await;
    assert_eq!(ended.deltas().len(), 3);
    assert_eq!(ended.deltas()[2], usage_chunk(5).to_string());
    assert_eq!(ended.text(), "");
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_after_the_finish_reason_is_no_error() {
    let long = "x".repeat(1024 * 1024 + 9);
    for end in [
        stream().say("a").finish().wait(5).breaks(),
        stream().say("a").finish().raw("data: {\"error\":{\"message\":\"late\"}}\n\n"),
        stream().say("a").finish().wait(5).raw("data: {oops\n\n"),
        stream().raw(&format!("data: {}\n\ndata: {long}", chunk(json!({ "content": "a" }), Some("stop")))),
    ] {
        let scene = Scene::new(json!({}), vec![end]);
        let ended = scene.call().await;
        assert_eq!((ended.text(), ended.completed_at().len()), ("a", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn reasoning_is_read_under_both_of_its_names_even_when_one_is_empty() {
    let reply = stream()
        .event(&chunk(json!({ "reasoning_content": "h", "reasoning": "h" }), None))
        .event(&chunk(json!({ "reasoning_content": "", "reasoning": "m" }), None))
        .finish()
        .done();
    let ended = Scene::new(json!({}), vec![reply]).call().await;
    assert_eq!(ended.answer().journal.first_choice().reasoning, "hm");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_open_takes_little_room() {
    // A thousand may be open at once: what one of them moves about by value, or holds for a rare case, counts
    // a thousand times.
    let room = Scene::new(json!({}), vec![]).room_of_a_call();
    assert!(room < 7 * 1024, "{room} bytes");
}
