use super::*;
use crate::error::Kind as Error;

fn read<'a>(answer: &mut Answer, data: &'a str) -> Said<'a> {
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
    event(json!({ "type": "message_start", "message": { "id": id, "model": "claude", "usage": usage } }))
}

fn stop(reason: &str, output: u64) -> String {
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    event(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": output } }))
}

/// An answer that broke after this text.
fn broken(said: &str) -> Answer {
    let mut answer = Answer::default();
    for data in [message("msg_1"), start(0, json!({ "type": "text", "text": "" })), text(0, said)] {
        read(&mut answer, &data);
    }
    answer
}

fn names(made: &[Made]) -> Vec<&str> {
    made.iter().map(|made| made.event.as_str()).collect()
}

#[test]
fn text_is_read_and_what_stands_around_it_is_frame() {
    let mut answer = Answer::default();
    assert!(matches!(read(&mut answer, &message("msg_1")), Said::Frame));
    assert!(matches!(read(&mut answer, r#"{"type":"ping"}"#), Said::Ping));
    assert!(matches!(read(&mut answer, &start(0, json!({ "type": "text", "text": "" }))), Said::Frame));
    assert_eq!(answer.identity(), (None, None), "nobody has it before text comes");
    let delta = text(0, "xin chào");
    let Said::Text(said) = read(&mut answer, &delta) else { panic!("no text") };
    assert!(matches!(said, std::borrow::Cow::Borrowed("xin chào")));
    assert_eq!(answer.identity(), (Some("msg_1"), Some("claude")));
    assert!(matches!(read(&mut answer, r#"{"type":"content_block_stop","index":0}"#), Said::Frame));
    assert!(matches!(read(&mut answer, &stop("end_turn", 7)), Said::End));
    assert_eq!(answer.ending(), Ending { reason: "stop".into(), usage: Some(counted(15, 7)) });
    assert_eq!(names(&answer.epilogue()), ["message_stop"]);
    assert_eq!(answer.hindrance(), None);
}

#[test]
fn a_stop_that_is_not_followed_by_anything_did_not_reach_the_consumer() {
    let mut answer = broken("half");
    read(&mut answer, r#"{"type":"content_block_stop","index":0}"#);
    answer.begin_again("");
    let made = answer.text(" whole");
    assert_eq!(made[0].data["index"], 0);
    assert_eq!(names(&made), ["content_block_delta"]);
}

#[test]
fn a_continuation_ends_the_first_message_with_the_sum_of_what_was_used() {
    let mut answer = broken("half");
    answer.begin_again("");
    for data in [message("msg_2"), start(0, json!({ "type": "text", "text": "" }))] {
        assert!(matches!(read(&mut answer, &data), Said::Frame));
    }
    assert!(matches!(read(&mut answer, &text(0, " whole")), Said::Text(_)));
    assert!(matches!(read(&mut answer, &stop("end_turn", 4)), Said::End));
    let made = answer.passed();
    assert_eq!(names(&made), ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(made[1].data["usage"], json!({ "input_tokens": 20, "output_tokens": 5 }));
    assert_eq!(answer.identity().0, Some("msg_1"));
    assert_eq!(answer.ending().usage, Some(counted(15, 4)), "of the last attempt alone");
}

#[test]
fn a_tool_that_follows_a_continued_text_stands_behind_it() {
    let mut answer = broken("half");
    answer.begin_again("");
    read(&mut answer, &message("msg_2"));
    let tool = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} });
    let begin = start(0, tool);
    assert!(matches!(read(&mut answer, &begin), Said::Other(_)));
    let made = answer.passed();
    assert_eq!(names(&made), ["content_block_stop", "content_block_start"]);
    assert_eq!((&made[0].data["index"], &made[1].data["index"]), (&json!(0), &json!(1)));
    let input = json!({ "type": "input_json_delta", "partial_json": "{}" });
    let input = event(json!({ "type": "content_block_delta", "index": 0, "delta": input }));
    assert!(matches!(read(&mut answer, &input), Said::Other(text) if text == "{}"));
    assert_eq!(answer.passed()[0].data["index"], 1);
    assert!(matches!(read(&mut answer, r#"{"type":"content_block_stop","index":0}"#), Said::Other(_)));
    assert_eq!(answer.passed()[0].data["index"], 1);
    assert!(answer.hindrance().is_some());
}

#[test]
fn what_is_thought_again_is_left_out() {
    let mut answer = broken("half");
    answer.begin_again("");
    let begin = start(0, json!({ "type": "thinking", "thinking": "" }));
    assert!(matches!(read(&mut answer, &begin), Said::Dropped(_)));
    let delta = json!({ "type": "thinking_delta", "thinking": "hm" });
    let delta = event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    assert!(matches!(read(&mut answer, &delta), Said::Dropped(text) if text == "hm"));
    assert_eq!(answer.hindrance(), None);
}

#[test]
fn reasoning_and_tools_cannot_be_taken_up_again() {
    for block in [json!({ "type": "thinking", "thinking": "" }), json!({ "type": "tool_use", "name": "f" })] {
        let mut answer = Answer::default();
        read(&mut answer, &message("msg_1"));
        let begin = start(0, block);
        assert!(matches!(read(&mut answer, &begin), Said::Other(_)));
        assert!(answer.hindrance().is_some());
    }
}

#[test]
fn white_space_that_a_prefill_could_not_end_with_comes_once() {
    for (pieces, rest) in [(vec!["\n", "\nmore"], "more"), (vec!["\n\nmore"], "more"), (vec!["more"], "more")]
    {
        let mut answer = broken("half\n\n");
        answer.begin_again("\n\n");
        let mut got = String::new();
        for piece in &pieces {
            let delta = text(0, piece);
            if let Said::Text(said) = read(&mut answer, &delta) {
                got.push_str(&said);
            }
        }
        assert_eq!(got, rest, "{pieces:?}");
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
            let Ok(Said::Failed(error)) = Answer::default().read(name, &data) else { panic!("no error") };
            assert_eq!((error.kind, error.provider_type.as_deref()), (is, Some(kind)));
        }
    }
    assert_eq!(Answer::default().read(None, "{\"typ").unwrap_err().kind, Error::Malformed);
}

#[test]
fn an_answer_that_has_all_its_tokens_is_ended_here() {
    let mut answer = broken("half");
    let made = answer.cut_short();
    assert_eq!(names(&made), ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(made[1].data["delta"]["stop_reason"], "max_tokens");
}

#[test]
fn so_many_frames_that_nothing_follows_are_handed_on_and_bounded() {
    let mut answer = broken("half");
    let empty = text(0, "");
    let frames = (1..MAX_PENDING).filter(|_| matches!(read(&mut answer, &empty), Said::Frame)).count();
    assert_eq!(frames, MAX_PENDING - 1);
    assert!(matches!(read(&mut answer, &empty), Said::Other(_)));
    assert!(answer.hindrance().is_some());
}
