use super::*;
use crate::error::Kind as Error;
use crate::wire::dialect::codec::chat_usage;
use crate::wire::dialect_spec::Dialect;

fn read<'a>(answer: &mut Answer, data: &'a str) -> DecodedEvent<'a> {
    answer.read(None, data).unwrap()
}

fn event(data: Value) -> String {
    data.to_string()
}

fn start(index: u64, block: Value) -> String {
    event(json!({ "type": "content_block_start", "index": index, "content_block": block }))
}

fn text(index: u64, text: &str) -> String {
    let delta = json!({ "type": "text_delta", "text": text });
    event(json!({ "type": "content_block_delta", "index": index, "delta": delta }))
}

fn message(id: &str) -> String {
    let usage = json!({ "input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1 });
    event(
        json!({ "type": "message_start", "message": { "id": id, "model": "claude", "content": [], "usage": usage } }),
    )
}

fn stop(reason: &str, output: u64) -> String {
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    event(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": output } }))
}

/// An answer that broke after this text.
fn broken(sent: &str) -> Answer {
    let mut answer = Answer::default();
    for data in [message("msg_1"), start(0, json!({ "type": "text", "text": "" })), text(0, sent)] {
        read(&mut answer, &data);
    }
    answer
}

fn names(events: &[SyntheticEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

#[test]
fn text_is_read_and_the_events_around_it_are_structural() {
    let mut answer = Answer::default();
    assert!(matches!(read(&mut answer, &message("msg_1")), DecodedEvent::Structural));
    assert!(matches!(read(&mut answer, r#"{"type":"ping"}"#), DecodedEvent::Ping));
    assert!(matches!(
        read(&mut answer, &start(0, json!({ "type": "text", "text": "" }))),
        DecodedEvent::Structural
    ));
    assert_eq!(answer.identity(), (None, None), "the consumer has nothing before text comes");
    let delta = text(0, "xin chào");
    let DecodedEvent::Text(text) = read(&mut answer, &delta) else { panic!("no text") };
    assert!(matches!(text, std::borrow::Cow::Borrowed("xin chào")));
    assert_eq!(answer.identity(), (Some("msg_1"), Some("claude")));
    assert!(matches!(
        read(&mut answer, r#"{"type":"content_block_stop","index":0}"#),
        DecodedEvent::Structural
    ));
    assert!(matches!(read(&mut answer, &stop("end_turn", 7)), DecodedEvent::Finish));
    assert_eq!(answer.ending(), Ending { reason: "stop".into(), usage: Some(chat_usage(15, 7)) });
    assert_eq!(names(&answer.finish()), ["message_stop"]);
    assert_eq!(answer.not_resumable(), None);
}

#[test]
fn a_stop_that_nothing_follows_has_not_reached_the_consumer() {
    let mut answer = broken("half");
    read(&mut answer, r#"{"type":"content_block_stop","index":0}"#);
    answer.resume("");
    let events = answer.append_text(" whole");
    assert_eq!(events[0].data["index"], 0);
    assert_eq!(names(&events), ["content_block_delta"]);
}

#[test]
fn a_continuation_ends_the_first_message_with_the_total_usage() {
    let mut answer = broken("half");
    answer.resume("");
    for data in [message("msg_2"), start(0, json!({ "type": "text", "text": "" }))] {
        assert!(matches!(read(&mut answer, &data), DecodedEvent::Structural));
    }
    assert!(matches!(read(&mut answer, &text(0, " whole")), DecodedEvent::Text(_)));
    assert!(matches!(read(&mut answer, &stop("end_turn", 4)), DecodedEvent::Finish));
    assert!(matches!(read(&mut answer, r#"{"type":"message_stop"}"#), DecodedEvent::End));
    let events = answer.finish();
    assert_eq!(names(&events), ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(events[1].data["usage"], json!({ "input_tokens": 20, "output_tokens": 5 }));
    assert_eq!(answer.identity().0, Some("msg_1"));
    assert_eq!(answer.ending().usage, Some(chat_usage(15, 4)), "only that of the last attempt");
}

#[test]
fn indices_and_counts_saturate() {
    for last in [start(u64::MAX, json!({ "type": "text", "text": "" })), text(u64::MAX, "x")] {
        let mut answer = Answer::default();
        read(&mut answer, &last);
        read(&mut answer, &text(u64::MAX, "y"));
        answer.resume("");
        read(&mut answer, &start(0, json!({ "type": "tool_use", "name": "f" })));
        assert_eq!(answer.rewrite_last().pop().unwrap().data["index"], u64::MAX);
        assert_eq!(answer.append_text("z").len(), 2);
    }
    let mut answer = Answer::default();
    read(&mut answer, &start(u64::MAX, json!({ "type": "tool_use", "name": "f" })));
    let usage = json!({ "input_tokens": u64::MAX, "cache_read_input_tokens": 1, "output_tokens": 1 });
    read(
        &mut answer,
        &event(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": usage })),
    );
    assert_eq!(answer.ending().usage, Some(chat_usage(u64::MAX, 1)));
}

#[test]
fn a_tool_after_a_continued_text_gets_the_next_index() {
    let mut answer = broken("half");
    answer.resume("");
    read(&mut answer, &message("msg_2"));
    let tool = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} });
    let begin = start(0, tool);
    assert!(matches!(read(&mut answer, &begin), DecodedEvent::Content(_)));
    let events = answer.rewrite_last();
    assert_eq!(names(&events), ["content_block_stop", "content_block_start"]);
    assert_eq!((&events[0].data["index"], &events[1].data["index"]), (&json!(0), &json!(1)));
    let input = json!({ "type": "input_json_delta", "partial_json": "{}" });
    let input = event(json!({ "type": "content_block_delta", "index": 0, "delta": input }));
    assert!(matches!(read(&mut answer, &input), DecodedEvent::Content(text) if text == "{}"));
    assert_eq!(answer.rewrite_last()[0].data["index"], 1);
    assert!(matches!(
        read(&mut answer, r#"{"type":"content_block_stop","index":0}"#),
        DecodedEvent::Content(_)
    ));
    assert_eq!(answer.rewrite_last()[0].data["index"], 1);
    assert!(answer.not_resumable().is_some());
}

#[test]
fn repeated_reasoning_is_dropped() {
    let mut answer = broken("half");
    answer.resume("");
    let begin = start(0, json!({ "type": "thinking", "thinking": "" }));
    assert!(matches!(read(&mut answer, &begin), DecodedEvent::Dropped(_)));
    let delta = json!({ "type": "thinking_delta", "thinking": "hm" });
    let delta = event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    assert!(matches!(read(&mut answer, &delta), DecodedEvent::Dropped(text) if text == "hm"));
    assert_eq!(answer.not_resumable(), None);
}

#[test]
fn answers_with_reasoning_or_tools_are_not_resumable() {
    for block in [json!({ "type": "thinking", "thinking": "" }), json!({ "type": "tool_use", "name": "f" })] {
        let mut answer = Answer::default();
        read(&mut answer, &message("msg_1"));
        let begin = start(0, block);
        assert!(matches!(read(&mut answer, &begin), DecodedEvent::Content(_)));
        assert!(answer.not_resumable().is_some());
    }
}

#[test]
fn white_space_trimmed_from_a_prefill_is_delivered_once() {
    for (deltas, rest) in [(vec!["\n", "\nmore"], "more"), (vec!["\n\nmore"], "more"), (vec!["more"], "more")]
    {
        let mut answer = broken("half\n\n");
        answer.resume("\n\n");
        let mut got = String::new();
        for delta in &deltas {
            let delta = text(0, delta);
            if let DecodedEvent::Text(text) = read(&mut answer, &delta) {
                got.push_str(&text);
            }
        }
        assert_eq!(got, rest, "{deltas:?}");
    }
}

#[test]
fn errors_in_the_stream_have_their_kind() {
    for (kind, is) in [
        ("overloaded_error", Error::Server),
        ("rate_limit_error", Error::RateLimit),
        ("api_error", Error::Server),
        ("invalid_request_error", Error::InvalidRequest),
        ("authentication_error", Error::Authentication),
    ] {
        let data = event(json!({ "type": "error", "error": { "type": kind, "message": "no" } }));
        for name in [None, Some("error")] {
            let Ok(DecodedEvent::Error(error)) = Answer::default().read(name, &data) else {
                panic!("no error")
            };
            assert_eq!((error.kind, error.provider_type.as_deref()), (is, Some(kind)));
        }
    }
    assert_eq!(Answer::default().read(None, "{\"typ").unwrap_err().kind, Error::Malformed);
}

#[test]
fn an_answer_at_its_token_limit_is_ended_locally() {
    let mut answer = broken("half");
    let events = answer.end_at_token_limit();
    assert_eq!(names(&events), ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(events[1].data["delta"]["stop_reason"], "max_tokens");
}

#[test]
fn the_number_of_pending_structural_events_is_bounded() {
    let mut answer = broken("half");
    let empty = text(0, "");
    let pending =
        (1..MAX_PENDING).filter(|_| matches!(read(&mut answer, &empty), DecodedEvent::Structural)).count();
    assert_eq!(pending, MAX_PENDING - 1);
    assert!(matches!(read(&mut answer, &empty), DecodedEvent::Content(_)));
    assert!(answer.not_resumable().is_some());
}

#[test]
fn errors_of_other_shapes_are_found_in_the_stream_and_in_a_whole_answer() {
    for data in [
        r#"{"error":{"message":"no channel"}}"#,
        r#"{"type":"new_api_error","error":{"message":"no channel"}}"#,
        r#"{"type":"error","code":"x","message":"no channel"}"#,
        r#"{"code":1,"message":"no channel","success":false}"#,
    ] {
        let mut answer = Answer::default();
        let DecodedEvent::Error(error) = read(&mut answer, data) else { panic!("{data}") };
        assert!(error.message.contains("no channel"), "{data}: {error}");
        let whole = serde_json::from_str(data).unwrap();
        for dialect in [Dialect::Messages, Dialect::Responses] {
            let error = dialect.read_unstreamed(&whole).unwrap_err();
            assert!(error.message.contains("no channel"), "{data}: {error}");
        }
    }
    let mut answer = Answer::default();
    assert!(matches!(answer.read(Some("error"), "boom"), Ok(DecodedEvent::Error(_))));
    assert_eq!(answer.read_normal(None, r#"{"a":1}"#).unwrap_err().kind, Error::Malformed);
    let whole = json!({ "type": "message", "content": [], "message": "no error", "stop_reason": "end_turn" });
    assert!(Dialect::Messages.read_unstreamed(&whole).is_ok());
}

#[test]
fn an_event_named_error_keeps_its_name_when_it_is_normalized() {
    let data = r#"{"message":"no channel","type":"server_error"}"#;
    let [event] = <[_; 1]>::try_from(Answer::default().normalize(Some("error"), data)).unwrap();
    assert_eq!(event.name.as_deref(), Some("error"));
}
