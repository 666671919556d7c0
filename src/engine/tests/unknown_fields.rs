//! Fields of a provider's stream that the engine does not interpret.

use serde_json::{Value, json};

use super::harness::Harness;
use super::scripted_provider::{Reply, chunk, stream};
use crate::engine::sink::DeliveryMode;

async fn completion(script: Vec<Reply>) -> Value {
    let harness = Harness::new(json!({ "retry": { "baseDelayMs": 1 } }), script);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    serde_json::from_str::<Value>(&outcome.answer().completion()).unwrap()["completion"].take()
}

async fn chunks(script: Vec<Reply>) -> Vec<Value> {
    let harness = Harness::new(json!({ "retry": { "baseDelayMs": 1 } }), script);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    outcome.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect()
}

fn with_field(mut chunk: Value, name: &str, value: Value) -> Value {
    chunk[name] = value;
    chunk
}

#[tokio::test(start_paused = true)]
async fn a_completion_merges_unknown_fields_of_its_chunks() {
    let text = |text: &str, details: &str| {
        let details = json!([{ "index": 0, "type": "reasoning.text", "text": details }]);
        with_field(
            chunk(json!({ "content": text, "reasoning_details": details }), None),
            "citations",
            json!(["a"]),
        )
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
async fn a_buffered_tool_call_keeps_its_unknown_fields() {
    let call = json!({
        "id": "call_1",
        "type": "function",
        "function": { "name": "f", "arguments": "{\"a\":1}" },
        "extra_content": { "google": { "thought_signature": "abc" } },
    });
    let message = completion(signed()).await["choices"][0]["message"].take();
    assert_eq!(message["tool_calls"], json!([call]));
    let chunks = chunks(signed()).await;
    let details = &chunks[0]["choices"][0]["delta"];
    assert_eq!(
        (&details["role"], &details["reasoning_details"][0]["data"]),
        (&json!("assistant"), &json!("x"))
    );
    assert_eq!(chunks[1]["choices"][0]["delta"]["tool_calls"], json!([with_field(call, "index", json!(0))]));
    assert!(chunks[1]["choices"][0]["delta"].get("role").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_custom_tool_call_keeps_its_shape_and_its_input_is_any_text() {
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
    let call = json!({ "id": "c", "type": "custom", "custom": { "name": "run", "input": "print(1)" } });
    assert_eq!(completion(reply()).await["choices"][0]["message"]["tool_calls"], json!([call]));
    let delta = chunks(reply()).await[0]["choices"][0]["delta"].take();
    assert_eq!(delta["tool_calls"], json!([with_field(call, "index", json!(0))]));
}

#[tokio::test(start_paused = true)]
async fn tool_calls_without_an_index_are_distinguished_by_their_ids() {
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
async fn fields_beside_a_usage_that_nobody_requested_arrive() {
    let last =
        json!({ "choices": [], "usage": { "total_tokens": 3 }, "search_results": [1], "service_tier": "x" });
    let reply = stream().delta("a").finish().event(&last).done();
    let chunks = chunks(vec![reply]).await;
    let found: Vec<&Value> = chunks.iter().filter(|chunk| !chunk["search_results"].is_null()).collect();
    assert_eq!(
        (found.len(), &found[0]["search_results"], &found[0]["choices"]),
        (1, &json!([1]), &json!([]))
    );
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

/// Two deltas whose unknown field has one half of a character each, in chunks that are delivered unchanged or rebuilt.
fn halved_field(rebuilt: bool) -> Vec<Reply> {
    let delta = |text: &str| {
        let details =
            format!(r#"{{"reasoning_details":[{{"index":0,"type":"reasoning.text","text":"{text}"}}]}}"#);
        // A message in place of the delta is rebuilt.
        let parent = if rebuilt { "message" } else { "delta" };
        format!("data: {{\"id\":\"i\",\"choices\":[{{\"index\":0,\"{parent}\":{details}}}]}}\n\n")
    };
    let halves = stream().raw(&delta("a\\ud83d")).raw(&delta("\\ude00b"));
    vec![halves.raw(&delta("c\\ud83d")).delta("text").finish().done()]
}

#[tokio::test(start_paused = true)]
async fn a_character_that_is_split_over_two_deltas_of_an_unknown_field_arrives() {
    for rebuilt in [false, true] {
        let message = completion(halved_field(rebuilt)).await["choices"][0]["message"].take();
        assert_eq!(message["reasoning_details"][0]["text"], "a😀bc\u{FFFD}");
    }
    let chunks = chunks(halved_field(true)).await;
    let details = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_details"][0]["text"].as_str());
    assert_eq!(details.collect::<String>(), "a😀bc\u{FFFD}");
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop", "it comes after the text");
}

#[tokio::test(start_paused = true)]
async fn annotations_after_a_join_are_delivered() {
    let annotations = json!([{ "type": "url_citation" }]);
    let replies = vec![
        stream().delta("It is a long way to go. ").reset(),
        stream()
            .delta("The end.")
            .event(&chunk(json!({ "annotations": annotations, "reasoning_details": [1] }), None))
            .finish()
            .done(),
    ];
    let chunks = chunks(replies).await;
    let all: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert!(all.iter().any(|delta| delta["annotations"] == annotations), "{all:?}");
    assert!(all.iter().all(|delta| delta.get("reasoning_details").is_none() && delta.get("role").is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_rebuilt_chunk_keeps_the_fields_of_the_chunk_and_of_the_choice() {
    // A message in place of the delta, as in whole answers where a stream was requested.
    let choice = json!({
        "index": 0,
        "message": { "content": "Hi" },
        "content_filter_results": { "hate": { "filtered": false } },
        "logprobs": { "content": [{ "token": "Hi" }] },
        "finish_reason": "stop",
    });
    let event = json!({ "id": "i", "provider": "p", "citations": ["c"], "choices": [choice] });
    let chunks = chunks(vec![stream().event(&event).done()]).await;
    assert_eq!((&chunks[0]["provider"], &chunks[0]["citations"]), (&json!("p"), &json!(["c"])));
    let rebuilt = &chunks[0]["choices"][0];
    assert_eq!(rebuilt["delta"]["content"], "Hi");
    assert_eq!(rebuilt["content_filter_results"], choice["content_filter_results"]);
    assert_eq!(rebuilt["logprobs"], choice["logprobs"]);
    assert_eq!(chunks[1]["choices"][0]["logprobs"], Value::Null, "they come once");
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_of_a_function_arrive() {
    // Relays of Gemini have its signature here.
    let function = json!({ "name": "f", "arguments": "{}", "thought_signature": "s" });
    let call = json!({ "index": 0, "id": "a", "type": "function", "function": function });
    let reply = || {
        let call = chunk(json!({ "tool_calls": [call] }), None);
        vec![stream().event(&call).event(&chunk(json!({}), Some("tool_calls"))).done()]
    };
    let message = completion(reply()).await["choices"][0]["message"].take();
    assert_eq!(message["tool_calls"][0]["function"], function);
    assert_eq!(chunks(reply()).await[0]["choices"][0]["delta"]["tool_calls"], json!([call]));
}

#[tokio::test(start_paused = true)]
async fn a_surrogate_pair_in_two_deltas_of_a_call_arrives_joined() {
    let event =
        |delta: &str| format!("data: {{\"id\":\"i\",\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
    let deltas = [
        r#"{"function_call":{"name":"f","arguments":"\"\ud83d"}}"#,
        r#"{"function_call":{"arguments":"\ude00\""}}"#,
    ];
    let mut reply = stream();
    for delta in deltas {
        reply = reply.raw(&event(delta));
    }
    let reply = reply.event(&chunk(json!({}), Some("function_call"))).done();
    let message = completion(vec![reply.clone()]).await["choices"][0]["message"].take();
    assert_eq!(message["function_call"]["arguments"], "\"😀\"");
    let chunks = chunks(vec![reply]).await;
    let parts =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["function_call"]["arguments"].as_str());
    assert_eq!(parts.collect::<String>(), "\"😀\"");
}
