//! The formats and shapes that providers use besides OpenAI's.

use serde_json::{Value, json};

use super::support::{STREAM, ask, chat, post, simulator};

fn choices(chunks: &[Value]) -> Vec<Value> {
    chunks.iter().map(|chunk| chunk["choices"][0].clone()).collect()
}

#[tokio::test]
async fn exact_events_take_the_place_of_the_chunks_in_any_format() {
    let scenario = r#"{"events":["not json",{"a":1},"two\nlines"]}"#;
    let received = chat(&simulator(scenario).await).await;
    assert_eq!(
        received.text(),
        "data: not json\n\ndata: {\"a\":1}\n\ndata: two\ndata: lines\n\ndata: [DONE]\n\n"
    );
    let lines = r#"{"events":["not json",{"a":1}],"format":"ndjson"}"#;
    let received = chat(&simulator(lines).await).await;
    assert_eq!(received.text(), "not json\n{\"a\":1}\n");
    assert_eq!(received.header("content-type"), Some("application/x-ndjson"));
    let cut = r#"{"events":[{"a":1},{"b":2}],"blankLines":false,"disconnect":{"afterChunks":1,"how":"errorEvent","error":"no"}}"#;
    let received = chat(&simulator(cut).await).await;
    assert_eq!(received.text(), "data: {\"a\":1}\ndata: {\"error\":\"no\"}\n");
}

#[tokio::test]
async fn exact_events_of_messages_have_the_names_of_their_types() {
    let simulator = simulator(r#"{"events":[{"type":"ping"}]}"#).await;
    let body = r#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    let request =
        post(body, "anthropic-version: 2023-06-01\r\n").replace("/v1/chat/completions", "/v1/messages");
    assert_eq!(ask(&simulator, &request).await.text(), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

#[tokio::test]
async fn the_format_is_independent_of_the_request() {
    let simulator = simulator(r#"{"chunks":["a","b"]}"#).await;
    let in_format = |format: &str, body: &str| {
        post(body, &format!("x-simulate: {{\"chunks\":[\"a\",\"b\"],\"format\":\"{format}\"}}\r\n"))
    };
    let received = ask(&simulator, &in_format("document", STREAM)).await;
    assert_eq!(received.json()["choices"][0]["message"]["content"], "ab");
    let received = ask(&simulator, &in_format("sse", &STREAM.replace("true", "false"))).await;
    assert_eq!(received.content(0), "ab");
    let received = ask(&simulator, &in_format("ndjson", STREAM)).await;
    let lines: Vec<Value> =
        received.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[2]["choices"][0]["delta"]["content"], "b");
}

#[tokio::test]
async fn text_and_indexes_have_the_shape_of_the_scenario() {
    let with = |fields: &str| format!(r#"{{"chunks":["a"],{fields}}}"#);
    for (fields, text, finish) in [
        (
            r#""shape":"message""#,
            json!({"index":0,"message":{"content":"a"},"logprobs":null,"finish_reason":null}),
            json!({"index":0,"message":{},"logprobs":null,"finish_reason":"stop"}),
        ),
        (
            r#""shape":"text","roleFirst":false"#,
            json!({"index":0,"text":"a","logprobs":null,"finish_reason":null}),
            json!({"index":0,"text":"","logprobs":null,"finish_reason":"stop"}),
        ),
        (
            r#""shape":"parts","choiceIndex":"none""#,
            json!({"delta":{"content":[{"type":"text","text":"a"}]},"logprobs":null,"finish_reason":null}),
            json!({"delta":{},"logprobs":null,"finish_reason":"stop"}),
        ),
        (
            r#""choiceIndex":"fromOne""#,
            json!({"index":1,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}),
            json!({"index":1,"delta":{},"logprobs":null,"finish_reason":"stop"}),
        ),
        (
            r#""choiceIndex":"string""#,
            json!({"index":"0","delta":{"content":"a"},"logprobs":null,"finish_reason":null}),
            json!({"index":"0","delta":{},"logprobs":null,"finish_reason":"stop"}),
        ),
    ] {
        let chunks = chat(&simulator(&with(fields)).await).await.chunks();
        assert_eq!(choices(&chunks)[chunks.len() - 2..], [text, finish], "{fields}");
    }
}

#[tokio::test]
async fn tool_calls_can_share_an_index_or_have_none() {
    let calls = r#""toolCalls":[{"id":"a","name":"f"},{"id":"b","name":"g"}]"#;
    for (style, index) in [("zero", json!([0, 0, 0, 0])), ("none", json!([null, null, null, null]))] {
        let scenario = format!(r#"{{{calls},"chunkChars":9,"toolCallIndex":"{style}"}}"#);
        let chunks = chat(&simulator(&scenario).await).await.chunks();
        let found: Vec<Value> =
            choices(&chunks)[1..5].iter().map(|c| c["delta"]["tool_calls"][0]["index"].clone()).collect();
        assert_eq!(json!(found), index, "{style}");
    }
}

#[tokio::test]
async fn usage_is_where_the_scenario_says() {
    for (place, pointer) in [
        ("choiceChunk", "/usage"),
        ("lastChunk", "/usage"),
        ("choice", "/choices/0/usage"),
        ("xGroq", "/x_groq/usage"),
        ("every", "/usage"),
    ] {
        let scenario = format!(r#"{{"chunks":["a"],"usage":{{"total_tokens":7}},"usageIn":"{place}"}}"#);
        let chunks = chat(&simulator(&scenario).await).await.chunks();
        let last = chunks.last().expect("chunks");
        assert_eq!(last.pointer(pointer), Some(&json!({"total_tokens":7})), "{place}");
        assert_eq!(chunks[0].pointer(pointer).is_some(), place == "every", "{place}");
        assert_eq!(last["choices"][0]["index"], 0, "{place}");
    }
}

#[tokio::test]
async fn text_and_errors_can_follow_the_finish_reason() {
    let scenario = r#"{"chunks":["a"],"lateText":"b","disconnect":{"afterFinish":true,"how":"errorEvent","error":"no"},"usage":true}"#;
    let received = chat(&simulator(scenario).await).await;
    let chunks = received.chunks();
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[3]["choices"][0]["delta"]["content"], "b");
    assert_eq!((&chunks[4], chunks.len()), (&json!({"error":"no"}), 5));
    assert!(!received.text().contains("[DONE]"));
    let simulator = simulator(r#"{"chunks":["a"],"lateText":"b"}"#).await;
    let whole = ask(&simulator, &post(&STREAM.replace("true", "false"), "")).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "ab");
}

#[tokio::test]
async fn chunks_can_have_other_fields_and_no_blank_lines() {
    let scenario =
        r#"{"chunks":["a"],"roleFirst":false,"chunkFields":{"created":"1","extra":[{}]},"blankLines":false}"#;
    let received = chat(&simulator(scenario).await).await;
    let chunks = received.chunks();
    assert!(chunks.iter().all(|chunk| chunk["created"] == "1" && chunk["extra"] == json!([{}])));
    assert!(!received.text().contains("\n\n"));
    assert_eq!(received.content(0), "a");
}
