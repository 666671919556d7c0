use super::*;
use crate::error::Kind;
use crate::wire::dialect::codec::chat_usage;
use crate::wire::dialect::response_object::{ending, not_resumable};
use crate::wire::dialect_spec::Dialect;
use crate::wire::request::ChatRequest;

fn read<'a>(answer: &mut Answer, data: &'a str) -> DecodedEvent<'a> {
    answer.read(None, data).unwrap()
}

fn event(kind: &str, number: u64, fields: Value) -> String {
    let mut data = json!({ "type": kind, "sequence_number": number });
    data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    data.to_string()
}

fn message(id: &str) -> Value {
    json!({ "id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant" })
}

/// The structural events before the first text.
fn structural_events(id: &str) -> Vec<String> {
    let response = json!({ "id": format!("resp_{id}"), "status": "in_progress", "model": "m", "output": [], "usage": null });
    let part = json!({ "type": "output_text", "text": "", "annotations": [] });
    vec![
        event("response.created", 0, json!({ "response": response })),
        event("response.in_progress", 1, json!({ "response": response })),
        event("response.output_item.added", 2, json!({ "output_index": 0, "item": message(id) })),
        event(
            "response.content_part.added",
            3,
            json!({ "item_id": id, "output_index": 0, "content_index": 0, "part": part }),
        ),
    ]
}

fn text(number: u64, text: &str) -> String {
    let fields = json!({ "item_id": "a", "output_index": 0, "content_index": 0, "delta": text });
    event("response.output_text.delta", number, fields)
}

/// An answer that broke after this text.
fn broken(sent: &str) -> Answer {
    let mut answer = Answer::default();
    for data in structural_events("a").iter().chain([&text(4, sent)]) {
        read(&mut answer, data);
    }
    answer
}

fn names(events: &[SyntheticEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.strip_prefix("response.").unwrap_or(&event.event)).collect()
}

#[test]
fn text_is_read_and_the_events_around_it_are_structural() {
    let mut answer = Answer::default();
    for data in structural_events("a") {
        assert!(matches!(read(&mut answer, &data), DecodedEvent::Structural), "{data}");
    }
    assert_eq!(answer.identity(), (None, None), "the consumer has nothing before text comes");
    let delta = text(4, "xin chào");
    assert!(matches!(read(&mut answer, &delta), DecodedEvent::Text(std::borrow::Cow::Borrowed("xin chào"))));
    assert_eq!(answer.identity(), (Some("resp_a"), Some("m")));
    let usage = json!({ "input_tokens": 3, "output_tokens": 4 });
    let end =
        event("response.completed", 5, json!({ "response": { "status": "completed", "usage": usage } }));
    assert!(matches!(read(&mut answer, &end), DecodedEvent::Finish));
    assert_eq!(answer.ending(), Ending { reason: "stop".into(), usage: Some(chat_usage(3, 4)) });
}

#[test]
fn a_continuation_continues_the_numbering_and_ends_the_first_response() {
    let mut answer = broken("half");
    // An error that was not passed through has not used up its number.
    let error = event("error", 5, json!({ "code": "server_error", "message": "sorry" }));
    assert!(matches!(read(&mut answer, &error), DecodedEvent::Error(_)));
    // Held back, as nothing came after it.
    let done = event(
        "response.output_text.done",
        5,
        json!({ "output_index": 0, "content_index": 0, "text": "half" }),
    );
    assert!(matches!(read(&mut answer, &done), DecodedEvent::Structural));
    answer.resume("");
    for data in structural_events("b") {
        assert!(matches!(read(&mut answer, &data), DecodedEvent::Structural));
    }
    assert!(matches!(read(&mut answer, &text(4, " whole")), DecodedEvent::Text(_)));
    let added = answer.append_text(" whole").remove(0).data;
    assert_eq!(
        (&added["sequence_number"], &added["item_id"], &added["delta"]),
        (&json!(5), &json!("a"), &json!(" whole"))
    );
    let usage = json!({ "input_tokens": 30, "output_tokens": 4 });
    let response = json!({ "id": "resp_b", "status": "completed", "usage": usage, "output": [message("b")] });
    let end = event("response.completed", 9, json!({ "response": response }));
    assert!(matches!(read(&mut answer, &end), DecodedEvent::Finish));
    let events = answer.finish();
    assert_eq!(names(&events), ["output_text.done", "content_part.done", "output_item.done", "completed"]);
    let numbers: Vec<_> =
        events.iter().map(|event| event.data["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [6, 7, 8, 9]);
    assert_eq!(events[0].data["text"], "half whole");
    let response = &events[3].data["response"];
    assert_eq!(
        (&response["id"], &response["status"], &response["usage"]),
        (&json!("resp_a"), &json!("completed"), &usage)
    );
    assert_eq!(response["output"], json!([events[2].data["item"]]));
    assert_eq!(response["output"][0]["content"][0]["text"], "half whole");
    assert_eq!(response["output"][0]["id"], "a");
}

#[test]
fn a_continuation_that_ends_without_a_response_is_malformed() {
    for kind in ["response.completed", "response.incomplete"] {
        for fields in [json!({}), json!({ "response": null }), json!({ "response": "resp_b" })] {
            let mut answer = broken("half");
            answer.resume("");
            let error = answer.read(None, &event(kind, 9, fields)).unwrap_err();
            assert_eq!(error.kind, Kind::Malformed);
            assert!(answer.finish().is_empty());
        }
    }
}

#[test]
fn indices_and_sequence_numbers_saturate() {
    let mut answer = broken("half");
    let text = json!({ "output_index": u64::MAX, "content_index": 0, "delta": "x" });
    read(&mut answer, &event("response.output_text.delta", u64::MAX, text));
    let added = json!({ "output_index": u64::MAX, "item": message("b") });
    read(&mut answer, &event("response.output_item.added", u64::MAX, added));
    read(
        &mut answer,
        &event(
            "response.output_text.delta",
            u64::MAX,
            json!({ "output_index": 0, "content_index": 0, "delta": "y" }),
        ),
    );
    answer.resume("");
    let call = json!({ "output_index": 0, "item": { "type": "function_call" } });
    read(&mut answer, &event("response.output_item.added", 0, call));
    let call = answer.rewrite_last().pop().unwrap().data;
    assert_eq!(
        (call["output_index"].as_u64(), call["sequence_number"].as_u64()),
        (Some(u64::MAX), Some(u64::MAX))
    );
    assert_eq!(answer.append_text("z").len(), 3);
}

#[test]
fn a_call_after_a_continued_text_gets_the_next_index() {
    let mut answer = broken("half");
    answer.resume("");
    let call = json!({ "id": "fc_1", "type": "function_call", "name": "f", "arguments": "" });
    let begin = event("response.output_item.added", 2, json!({ "output_index": 0, "item": call }));
    assert!(matches!(read(&mut answer, &begin), DecodedEvent::Content(_)));
    let events = answer.rewrite_last();
    assert_eq!(
        names(&events),
        ["output_text.done", "content_part.done", "output_item.done", "output_item.added"]
    );
    assert_eq!(events[3].data["output_index"], 1);
    let delta =
        event("response.function_call_arguments.delta", 3, json!({ "output_index": 0, "delta": "{}" }));
    assert!(matches!(read(&mut answer, &delta), DecodedEvent::Content(text) if text == "{}"));
    assert_eq!(answer.rewrite_last()[0].data["output_index"], 1);
    let done = event("response.output_item.done", 4, json!({ "output_index": 0, "item": call }));
    read(&mut answer, &done);
    answer.rewrite_last();
    let end =
        event("response.completed", 5, json!({ "response": { "status": "completed", "output": [call] } }));
    read(&mut answer, &end);
    let response = answer.finish().pop().unwrap().data;
    let kinds: Vec<_> =
        response["response"]["output"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
    assert_eq!(kinds, ["message", "function_call"]);
    assert!(answer.not_resumable().is_some());
}

#[test]
fn reasoning_without_content_is_structural() {
    let item = |summary: Value| json!({ "id": "rs_1", "type": "reasoning", "summary": summary });
    let added =
        |item: Value| event("response.output_item.added", 2, json!({ "output_index": 0, "item": item }));
    let mut answer = Answer::default();
    let begin = added(item(json!([])));
    assert!(matches!(read(&mut answer, &begin), DecodedEvent::Structural));
    let done = event("response.output_item.done", 3, json!({ "output_index": 0, "item": item(json!([])) }));
    assert!(matches!(read(&mut answer, &done), DecodedEvent::Structural));
    assert_eq!(answer.not_resumable(), None);
    let summary =
        event("response.reasoning_summary_text.delta", 4, json!({ "output_index": 0, "delta": "hm" }));
    assert!(matches!(read(&mut answer, &summary), DecodedEvent::Content(text) if text == "hm"));
    assert!(answer.not_resumable().is_some());
    let mut again = broken("half");
    again.resume("");
    read(&mut again, &begin);
    assert!(matches!(read(&mut again, &summary), DecodedEvent::Dropped(_)));
}

#[test]
fn a_refusal_in_place_of_the_rest_is_an_error() {
    let mut answer = broken("half");
    answer.resume("");
    for data in &structural_events("b")[..3] {
        read(&mut answer, data);
    }
    let part = json!({ "type": "refusal", "refusal": "" });
    let added = event(
        "response.content_part.added",
        3,
        json!({ "output_index": 0, "content_index": 0, "part": part }),
    );
    let DecodedEvent::Error(error) = read(&mut answer, &added) else { panic!("no error") };
    assert_eq!(error.kind, Kind::ContinuationMismatch);
}

#[test]
fn failures_have_their_kind() {
    for (code, kind) in [
        ("server_error", Kind::Server),
        ("rate_limit_exceeded", Kind::RateLimit),
        ("invalid_prompt", Kind::InvalidRequest),
        ("image_too_large", Kind::InvalidRequest),
        ("insufficient_quota", Kind::QuotaExhausted),
    ] {
        let error = json!({ "code": code, "message": "no" });
        let failed =
            event("response.failed", 3, json!({ "response": { "status": "failed", "error": error } }));
        let plain = event("error", 3, error);
        for data in [failed, plain] {
            let DecodedEvent::Error(error) = read(&mut Answer::default(), &data) else { panic!("no error") };
            assert_eq!((error.kind, error.provider_code.as_deref()), (kind, Some(code)), "{data}");
        }
        let whole = json!({ "status": "failed", "error": { "code": code, "message": "no" } });
        assert_eq!(ending("response", &whole).unwrap_err().kind, kind);
    }
}

#[test]
fn an_answer_at_its_token_limit_is_ended_locally() {
    let events = broken("half").end_at_token_limit();
    assert_eq!(names(&events), ["output_text.done", "content_part.done", "output_item.done", "incomplete"]);
    let response = &events[3].data["response"];
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(response["output"][0]["status"], "incomplete");
}

#[test]
fn an_answer_stored_by_the_provider_is_not_resumable() {
    for (field, value) in [("conversation", json!("conv_1")), ("top_logprobs", json!(2))] {
        let body = json!({ "input": "hi", field: value }).to_string();
        assert!(
            not_resumable(&ChatRequest::parse_as(Dialect::Responses, &body).unwrap()).is_some(),
            "{field}"
        );
    }
    let plain = ChatRequest::parse_as(Dialect::Responses, r#"{"input":"hi","background":false}"#).unwrap();
    assert_eq!(not_resumable(&plain), None);
}

#[test]
fn errors_of_other_shapes_are_found_in_the_stream() {
    for (event, data) in [
        (None, r#"{"error":{"message":"no channel"}}"#),
        (None, r#"{"type":"new_api_error","error":{"message":"no channel"}}"#),
        (None, r#"{"type":"error","code":"x","message":"no channel"}"#),
        (Some("error"), r#"{"message":"no channel"}"#),
        (Some("error"), r#"{"message":"no channel","type":"server_error","code":"x"}"#),
        (Some("error"), r#"{"type":"response.failed","response":{"error":{"message":"no channel"}}}"#),
        (Some("error"), "no channel"),
    ] {
        let Ok(DecodedEvent::Error(error)) = Answer::default().read(event, data) else { panic!("{data}") };
        assert!(error.message.contains("no channel"), "{data}: {error}");
    }
    assert_eq!(Answer::default().read_normal(None, r#"{"a":1}"#).unwrap_err().kind, Kind::Malformed);
}

#[test]
fn an_event_named_error_stays_one_while_half_of_a_pair_waits() {
    let mut answer = broken("half");
    let half = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"\ud83d"}"#;
    answer.normalize(None, half);
    assert!(answer.awaits_half());
    let data = r#"{"message":"no channel","type":"server_error"}"#;
    let [event] = <[_; 1]>::try_from(answer.normalize(Some("error"), data)).unwrap();
    let read = answer.read_normal(event.name.as_deref(), &event.data);
    assert!(matches!(read, Ok(DecodedEvent::Error(error)) if error.kind == Kind::Server));
}

#[test]
fn only_arguments_that_are_json_in_a_string_become_one() {
    let arguments = json!({ "goal": "weather" });
    for (kind, is_string) in [
        ("function_call", true),
        ("mcp_call", true),
        ("mcp_approval_request", true),
        ("tool_search_call", false),
    ] {
        let item = json!({ "id": "i", "type": kind, "arguments": arguments });
        let response = json!({ "id": "r", "object": "response", "status": "completed", "output": [item] });
        let expected = if is_string { arguments.to_string().into() } else { arguments.clone() };
        let at = json!({ "output_index": 0, "item": item });
        for data in [
            event("response.output_item.added", 1, at.clone()),
            event("response.output_item.done", 2, at),
            event("response.completed", 3, json!({ "response": response })),
        ] {
            let mut answer = Answer::default();
            let is_unusual = matches!(read(&mut answer, &data), DecodedEvent::Unusual);
            assert_eq!(is_unusual, is_string, "{data}");
            let normal = answer.normalize(None, &data).pop().unwrap();
            let normal: Value = serde_json::from_str(&normal.data).unwrap();
            let item = normal.get("item").unwrap_or(&normal["response"]["output"][0]);
            assert_eq!(item["arguments"], expected, "{data}");
        }
        // A whole response where a stream was requested.
        let events = Answer::default().normalize(None, &response.to_string());
        let events: Vec<Value> =
            events.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
        let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
        let begun = if is_string { json!("") } else { json!({}) };
        assert_eq!(of("response.output_item.added")["item"]["arguments"], begun);
        assert_eq!(of("response.output_item.done")["item"]["arguments"], expected);
        assert_eq!(of("response.completed")["response"]["output"][0]["arguments"], expected);
    }
}
