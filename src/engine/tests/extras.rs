//! What a provider says beyond what the engine knows.

use serde_json::{Value, json};

use super::provider::{Reply, chunk, stream};
use super::support::Scene;
use crate::engine::sink::Wants;

async fn completion(reply: Vec<Reply>) -> Value {
    let scene = Scene::new(json!({ "retry": { "baseDelayMs": 1 } }), reply);
    let ended = scene.call_wanting(Wants::Nothing).await;
    serde_json::from_str::<Value>(&ended.answer().completion()).unwrap()["completion"].take()
}

async fn chunks(reply: Vec<Reply>) -> Vec<Value> {
    let scene = Scene::new(json!({ "retry": { "baseDelayMs": 1 } }), reply);
    let ended = scene.call_wanting(Wants::Chunks).await;
    ended.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect()
}

fn with(mut chunk: Value, name: &str, value: Value) -> Value {
    chunk[name] = value;
    chunk
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_has_what_its_chunks_said() {
    let text = |text: &str, details: &str| {
        let details = json!([{ "index": 0, "type": "reasoning.text", "text": details }]);
        with(chunk(json!({ "content": text, "reasoning_details": details }), None), "citations", json!(["a"]))
    };
    let annotations = chunk(json!({ "annotations": [{ "type": "url_citation" }], "audio": null }), None);
    let mut last = chunk(json!({}), Some("stop"));
    last["choices"][0]["native_finish_reason"] = json!("end_turn");
    let after = json!({ "id": "i", "choices": [], "usage": { "total_tokens": 3 }, "search_results": [1] });
    let reply = stream()
        .event(&text("a", "th"))
        .event(&text("b", "ink"))
        .event(&annotations)
        .event(&last)
        .event(&after)
        .done();
    let answer = completion(vec![reply]).await;
    assert_eq!((&answer["citations"], &answer["search_results"]), (&json!(["a"]), &json!([1])));
    assert_eq!(answer["choices"][0]["native_finish_reason"], "end_turn");
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "ab");
    assert_eq!(message["annotations"], json!([{ "type": "url_citation" }]));
    assert_eq!(message["reasoning_details"][0]["text"], "think");
    assert!(message.get("audio").is_none());
}

fn signed() -> Vec<Reply> {
    let signature = json!({ "google": { "thought_signature": "abc" } });
    let call = |arguments: &str| json!({ "index": 0, "function": { "arguments": arguments } });
    let mut first = call("{\"a\"");
    first["id"] = json!("call_1");
    first["function"]["name"] = json!("f");
    first["extra_content"] = signature;
    let details = json!([{ "type": "reasoning.encrypted", "data": "x" }]);
    vec![
        stream()
            .event(&chunk(json!({ "tool_calls": [first], "reasoning_details": details }), None))
            .event(&chunk(json!({ "tool_calls": [call(":1}")] }), None))
            .event(&chunk(json!({}), Some("tool_calls")))
            .done(),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_that_was_held_has_all_that_was_said_of_it() {
    let whole = json!({
        "id": "call_1",
        "type": "function",
        "function": { "name": "f", "arguments": "{\"a\":1}" },
        "extra_content": { "google": { "thought_signature": "abc" } },
    });
    let message = completion(signed()).await["choices"][0]["message"].take();
    assert_eq!(message["tool_calls"], json!([whole]));
    let chunks = chunks(signed()).await;
    let details = &chunks[0]["choices"][0]["delta"];
    assert_eq!(
        (&details["role"], &details["reasoning_details"][0]["data"]),
        (&json!("assistant"), &json!("x"))
    );
    assert_eq!(chunks[1]["choices"][0]["delta"]["tool_calls"], json!([with(whole, "index", json!(0))]));
    assert!(chunks[1]["choices"][0]["delta"].get("role").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_custom_tool_keeps_its_shape_and_its_input_is_any_text() {
    let part = |call: Value| chunk(json!({ "tool_calls": [call] }), None);
    let reply = || {
        let begin =
            json!({ "index": 0, "id": "c", "type": "custom", "custom": { "name": "run", "input": "pri" } });
        let rest = json!({ "index": 0, "custom": { "input": "nt(1)" } });
        vec![
            stream()
                .event(&part(begin))
                .event(&part(rest))
                .event(&chunk(json!({}), Some("tool_calls")))
                .done(),
        ]
    };
    let whole = json!({ "id": "c", "type": "custom", "custom": { "name": "run", "input": "print(1)" } });
    assert_eq!(completion(reply()).await["choices"][0]["message"]["tool_calls"], json!([whole]));
    let delta = chunks(reply()).await[0]["choices"][0]["delta"].take();
    assert_eq!(delta["tool_calls"], json!([with(whole, "index", json!(0))]));
}

#[tokio::test(start_paused = true)]
async fn tool_calls_without_an_index_are_told_apart_by_their_ids() {
    let call =
        |id: &str, arguments: &str| json!({ "id": id, "function": { "name": id, "arguments": arguments } });
    let reply = stream()
        .event(&chunk(json!({ "tool_calls": [call("a", "{}"), call("b", "{\"x\"")] }), None))
        .event(&chunk(json!({ "tool_calls": [{ "function": { "arguments": ":1}" } }] }), None))
        .event(&chunk(json!({}), Some("tool_calls")))
        .done();
    let calls = completion(vec![reply]).await["choices"][0]["message"]["tool_calls"].take();
    let arguments = |at: usize| calls[at]["function"]["arguments"].clone();
    assert_eq!((arguments(0), arguments(1)), (json!("{}"), json!("{\"x\":1}")));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_behind_a_seam_is_passed_on() {
    let annotations = json!([{ "type": "url_citation" }]);
    let replies = vec![
        stream().say("It is a long way to go. ").breaks(),
        stream()
            .say("The end.")
            .event(&chunk(json!({ "annotations": annotations, "reasoning_details": [1] }), None))
            .finish()
            .done(),
    ];
    let chunks = chunks(replies).await;
    let all: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert!(all.iter().any(|delta| delta["annotations"] == annotations), "{all:?}");
    assert!(all.iter().all(|delta| delta.get("reasoning_details").is_none() && delta.get("role").is_none()));
}
