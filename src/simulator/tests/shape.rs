//! The shape of a healthy answer, and how scenarios change it.

use serde_json::json;

use super::support::{STREAM, ask, chat, post, scenario_of, simulator};
use crate::simulator::{EndedBy, Options, Simulator};

#[tokio::test]
async fn a_stream_has_a_role_the_deltas_a_finish_reason_and_done() {
    let simulator = simulator(r#"{"chunks":["Hä","l\n","\"lo"]}"#).await;
    let received = chat(&simulator).await;
    assert_eq!((received.status(), received.complete), (200, true));
    assert_eq!(received.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(received.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    let chunks = received.chunks();
    assert_eq!(chunks.len(), 5);
    assert!(chunks.iter().all(|c| c["id"] == chunks[0]["id"] && c["model"] == "m"));
    assert!(chunks[0]["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert_eq!(chunks[0]["object"], "chat.completion.chunk");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role":"assistant","content":"","refusal":null}));
    assert_eq!(
        chunks[1]["choices"],
        json!([{"index":0,"delta":{"content":"Hä"},"logprobs":null,"finish_reason":null}])
    );
    assert_eq!(chunks[4]["choices"], json!([{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]));
    assert_eq!(received.events().last().map(String::as_str), Some("[DONE]"));
    assert_eq!(received.content(0), "Häl\n\"lo");
    let record = &simulator.requests()[0];
    assert_eq!((record.index, record.connection, record.protocol), (0, 1, "http/1.1"));
    assert_eq!((record.ended_by, record.bytes_sent as usize), (EndedBy::Complete, received.body.len()));
    assert_eq!((record.scenario.as_deref(), &record.json["model"]), (Some("default"), &json!("m")));
    let record = serde_json::to_value(record).expect("serializable");
    assert_eq!((&record["endedBy"], &record["body"]), (&json!("complete"), &json!(STREAM)));
}

#[tokio::test]
async fn the_same_seed_and_request_number_give_the_same_answer() {
    let mut bodies = Vec::new();
    for seed in [5, 5, 6] {
        let options = Options { seed, ..Options::default() };
        let simulator = Simulator::start(options).await.expect("a free port");
        let received = chat(&simulator).await;
        let deltas: Vec<_> =
            received.chunks().iter().map(|c| (c["id"].clone(), c["choices"].clone())).collect();
        bodies.push((deltas, received.content(0)));
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[0].0, bodies[2].0);
    assert_eq!(bodies[0].1, bodies[2].1);
}

#[tokio::test]
async fn usage_is_sent_on_request_always_never_or_in_the_last_chunk() {
    let simulator = simulator(r#"{"chunks":["a","b"],"usageDelayMs":1}"#).await;
    let asking = STREAM.replace("\"stream\"", "\"stream_options\":{\"include_usage\":true},\"stream\"");
    let with = |scenario: &str| post(&asking, &format!("x-simulate: {scenario}\r\n"));
    let received = ask(&simulator, &post(&asking, "")).await;
    let chunks = received.chunks();
    assert_eq!(chunks[0]["usage"], json!(null));
    assert!(chunks[0].get("usage").is_some());
    assert_eq!((&chunks[4]["choices"], &chunks[4]["usage"]["completion_tokens"]), (&json!([]), &json!(2)));
    let received = ask(&simulator, &with(r#"{"usage":false}"#)).await;
    assert!(received.chunks().iter().all(|chunk| chunk["usage"].is_null()));
    let received = ask(&simulator, &with(r#"{"usage":{"total_tokens":7},"usageIn":"lastChunk"}"#)).await;
    let last = received.chunks().pop().expect("chunks");
    assert_eq!(
        (&last["usage"], &last["choices"][0]["finish_reason"]),
        (&json!({"total_tokens":7}), &json!("stop"))
    );
    assert!(chat(&simulator).await.chunks().iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn choices_are_interleaved_and_reasoning_refusal_and_tool_calls_have_their_fields() {
    let simulator = simulator(
        r#"{"chunks":["a","b"],"reasoning":"why","refusal":"no","roleFirst":false,
        "toolCalls":[{"id":"call_1","name":"f","arguments":{"x":"ä"}},{"name":"g"}]}"#,
    )
    .await;
    let received = ask(&simulator, &post(&STREAM.replace("\"stream\"", "\"n\":2,\"stream\""), "")).await;
    assert_eq!((received.content(0).as_str(), received.content(1).as_str()), ("ab", "ab"));
    let chunks = received.chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let order: Vec<_> = chunks[..4].iter().map(|c| c["choices"][0]["index"].as_u64()).collect();
    assert_eq!(order, [Some(0), Some(1), Some(0), Some(1)]);
    let deltas = chunks.iter().map(|c| &c["choices"][0]).filter(|c| c["index"] == 0).map(|c| &c["delta"]);
    let deltas: Vec<_> = deltas.collect();
    let joined = |field: &str| deltas.iter().filter_map(|d| d[field].as_str()).collect::<String>();
    assert_eq!((joined("reasoning_content"), joined("refusal")), ("why".to_owned(), "no".to_owned()));
    let calls: Vec<_> = deltas.iter().filter_map(|d| d.get("tool_calls")).map(|calls| &calls[0]).collect();
    assert_eq!(
        calls[0],
        &json!({"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}})
    );
    let arguments = |index: u64| {
        let mine = calls.iter().filter(|call| call["index"] == index);
        mine.filter_map(|call| call["function"]["arguments"].as_str()).collect::<String>()
    };
    assert_eq!((arguments(0).as_str(), arguments(1).as_str()), (r#"{"x":"ä"}"#, "{}"));
    assert_eq!(received.finish().as_deref(), Some("tool_calls"));
}

#[tokio::test]
async fn an_unstreamed_request_gets_one_completion_with_the_same_text() {
    let simulator =
        simulator(r#"{"text":"Hällo","toolCalls":[{"id":"c","name":"f"}],"reasoning":"r"}"#).await;
    let received = ask(&simulator, &post(&STREAM.replace("true", "false"), "")).await;
    let body = received.json();
    assert_eq!(
        (&body["object"], received.header("content-type")),
        (&json!("chat.completion"), Some("application/json"))
    );
    let message = &body["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("Hällo"), &json!("r")));
    assert_eq!(message["tool_calls"][0]["function"], json!({"name":"f","arguments":"{}"}));
    assert!(body["usage"]["prompt_tokens"].is_u64());
    let received = ask(&simulator, &post(STREAM, "x-simulate: {\"format\":\"document\"}\r\n")).await;
    assert_eq!(received.json()["object"], "chat.completion");
}

#[tokio::test]
async fn a_status_has_its_error_headers_and_wait() {
    let simulator = simulator("{}").await;
    simulator.script(vec![
        scenario_of(r#"{"status":429,"retryAfter":2,"retryAfterMs":1500,"headers":{"X-Two":["a","b"]}}"#),
        scenario_of(r#"{"status":503,"retryAfterDate":30,"label":"busy"}"#),
        scenario_of(r#"{"status":502,"html":true}"#),
        scenario_of(r#"{"status":418,"body":{"teapot":true},"headers":{"content-type":"x/y"}}"#),
        scenario_of(r#"{"body":"<p>hi</p>","headerBytes":9000}"#),
    ]);
    let received = chat(&simulator).await;
    assert_eq!((received.status(), &received.json()["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    assert_eq!(
        (received.header("retry-after"), received.header("retry-after-ms")),
        (Some("2"), Some("1500"))
    );
    assert!(received.head.contains("x-two: a\r\nx-two: b"));
    let received = chat(&simulator).await;
    let date = received.header("retry-after").and_then(|date| httpdate::parse_http_date(date).ok());
    assert!(date.is_some_and(|date| date > std::time::SystemTime::now()));
    let received = chat(&simulator).await;
    assert_eq!((received.status(), received.header("content-type")), (502, Some("text/html")));
    assert!(received.text().contains("<h1>502 Bad Gateway</h1>"));
    let received = chat(&simulator).await;
    assert_eq!((received.header("content-type"), received.json()), (Some("x/y"), json!({"teapot": true})));
    let received = chat(&simulator).await;
    assert_eq!((received.head.len() + 4, received.text().as_str()), (9000, "<p>hi</p>"));
    let names: Vec<_> = simulator.requests().into_iter().filter_map(|r| r.scenario).collect();
    assert_eq!(names, ["script[0]", "busy", "script[2]", "script[3]", "script[4]"]);
}

#[tokio::test]
async fn a_scenario_can_reject_forms_of_a_request() {
    let simulator =
        simulator(r#"{"rejectStreamOptions":true,"rejectAssistantTail":422,"rejectSystemTail":true}"#).await;
    let with = |options: &str, role: &str| {
        let messages = format!(r#"[{{"role":"user","content":"a"}},{{"role":"{role}","content":"b"}}]"#);
        post(&format!(r#"{{"stream":true,{options}"messages":{messages}}}"#), "")
    };
    for (request, status, param) in [
        (with(r#""stream_options":{},"#, "user"), 400, "stream_options"),
        (with("", "assistant"), 422, "messages"),
        (with("", "system"), 400, "messages"),
    ] {
        let received = ask(&simulator, &request).await;
        assert_eq!((received.status(), &received.json()["error"]["param"]), (status, &json!(param)));
    }
    assert_eq!(ask(&simulator, &with("", "user")).await.status(), 200);
}

#[tokio::test]
async fn a_last_assistant_turn_is_continued_in_the_form_of_the_scenario_only() {
    let text = "one two three";
    for (form, body, message) in [
        ("assistant", "", ""),
        ("continue_final_message", r#""continue_final_message":true,"add_generation_prompt":false,"#, ""),
        ("prefix", "", r#","prefix":true"#),
        ("partial", "", r#","partial":true"#),
    ] {
        let simulator = simulator(&format!(r#"{{"text":"{text}","continues":"{form}"}}"#)).await;
        let ask_with = |body: &str, message: &str| {
            let turn = format!(r#"{{"role":"assistant","content":"one tw"{message}}}"#);
            post(
                &format!(r#"{{"stream":true,{body}"messages":[{{"role":"user","content":"a"}},{turn}]}}"#),
                "",
            )
        };
        assert_eq!(ask(&simulator, &ask_with(body, message)).await.content(0), "o three", "{form}");
        if form != "assistant" {
            assert_eq!(ask(&simulator, &ask_with("", "")).await.content(0), text, "{form}: a new turn");
        }
    }
}

#[tokio::test]
async fn line_ends_packets_pings_and_unchunked_bodies_do_not_change_the_text() {
    let simulator = simulator("{}").await;
    for scenario in [
        r#"{"text":"Schäf🐑chen","lineEnd":"crlf","packets":"bytes"}"#,
        r#"{"text":"Schäf🐑chen","lineEnd":"cr","packets":7}"#,
        r#"{"text":"Schäf🐑chen","packets":"event","chunked":false,"keepAlive":false}"#,
        r#"{"text":"Schäf🐑chen","pings":{"everyMs":1},"chunkDelayMs":3,"firstTokenDelayMs":5}"#,
        r#"{"text":"Schäf🐑chen","pings":{"everyMs":1,"style":"event"},"headersDelayMs":2,"firstTokenDelayMs":5}"#,
    ] {
        let received = ask(&simulator, &post(STREAM, &format!("x-simulate: {}\r\n", ascii(scenario)))).await;
        assert_eq!(received.content(0), "Schäf🐑chen", "{scenario}");
        assert_eq!(received.finish().as_deref(), Some("stop"), "{scenario}");
        let pinged =
            received.text().contains(": ping\n\n") || received.text().contains("event: ping\ndata: {");
        assert_eq!(pinged, scenario.contains("pings"), "{scenario}");
        assert_eq!(received.complete, !scenario.contains("false"), "{scenario}");
    }
}

/// A header's JSON, as a client with Latin-1 headers writes it.
fn ascii(text: &str) -> String {
    let mut units = [0; 2];
    let escaped = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    text.chars().map(escaped).collect()
}

#[tokio::test]
async fn repeat_sets_the_number_of_deltas() {
    let simulator = simulator(r#"{"repeat":5000}"#).await;
    let text: String = (0..5000).map(|at| format!(" {at}")).collect();
    assert_eq!(chat(&simulator).await.content(0), text);
    let received = ask(&simulator, &post(STREAM, "x-simulate: {\"repeat\":3,\"text\":\"ab\"}\r\n")).await;
    assert_eq!((received.content(0).as_str(), received.chunks().len()), ("ababab", 5));
}

#[tokio::test]
async fn each_delta_of_a_stamped_answer_is_the_time_of_its_write() {
    let simulator = simulator(r#"{"repeat":3,"stamp":true}"#).await;
    let text = chat(&simulator).await.content(0);
    let stamps: Vec<u64> = text.split_ascii_whitespace().filter_map(|stamp| stamp.parse().ok()).collect();
    assert_eq!((text.len(), stamps.len()), (30, 3), "{text}");
    let first = stamps[0];
    // In order, and within a second of each other: the digits can have wrapped in between.
    assert!(stamps.iter().all(|stamp| (stamp + 1_000_000_000 - first) % 1_000_000_000 < 1_000_000), "{text}");
}

#[tokio::test]
async fn a_cut_answer_is_continued_by_the_next_request() {
    let answer = "one two three four five six seven eight nine ten";
    for (style, expected) in [
        ("exact", "ree four five six seven eight nine ten"),
        ("overlap\",\"overlapChars\":4,\"label\":\"x", "o three four five six seven eight nine ten"),
        ("word", "three four five six seven eight nine ten"),
        ("restart", answer),
    ] {
        let simulator = Simulator::start(Options { answer: Some(answer.to_owned()), ..Options::default() })
            .await
            .expect("starts");
        let follow_up = format!(r#"{{"onContinue":"{style}"}}"#);
        simulator.script(vec![
            scenario_of(r#"{"chunkChars":5,"disconnect":{"afterChunks":2}}"#),
            scenario_of(&follow_up),
        ]);
        let partial = chat(&simulator).await.content(0);
        assert_eq!(partial, "one two th");
        let body = json!({"stream": true, "messages": [{"role": "user", "content": "count"},
            {"role": "assistant", "content": partial}, {"role": "user", "content": "go on"}]});
        let received = ask(&simulator, &post(&body.to_string(), "")).await;
        assert_eq!(received.content(0), expected, "{style}");
    }
}
