//! Responses and Messages in other forms than the protocol: what is journaled is what the consumer has.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;
use crate::wire::dialect::Dialect::{self, Messages, Responses};

const MESSAGE: &str = r#"{"type":"message_start","message":{"id":"a","model":"m","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}"#;
const BLOCK: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const END: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;
const RESPONSE: &str = r#"{"type":"response.created","response":{"id":"a","model":"m","output":[]}}"#;
const COMPLETED: &str = r#"{"type":"response.completed","response":{"status":"completed","output":[],"usage":{"input_tokens":"5","output_tokens":"7"}}}"#;

/// A delta whose text is this JSON.
fn delta(dialect: Dialect, json: &str) -> String {
    match dialect {
        Messages => {
            format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{json}}}}}"#
            )
        }
        _ => format!(
            r#"{{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":{json}}}"#
        ),
    }
}

fn reply(events: &[&str]) -> Reply {
    events.iter().fold(stream(), |reply, data| {
        let name = data.split('"').nth(3).unwrap();
        reply.raw(&format!("event: {name}\ndata: {data}\n\n"))
    })
}

/// The beginning of an answer with these texts.
fn broken(dialect: Dialect, texts: &[&str]) -> Reply {
    let deltas: Vec<_> = texts.iter().map(|json| delta(dialect, json)).collect();
    let begin: &[&str] = if dialect == Messages { &[MESSAGE, BLOCK] } else { &[RESPONSE] };
    reply(&[begin, &deltas.iter().map(String::as_str).collect::<Vec<_>>()].concat())
}

fn answer(dialect: Dialect, texts: &[&str]) -> Reply {
    let end: &[&str] = if dialect == Messages { &[END, STOP] } else { &[COMPLETED] };
    end.iter().fold(broken(dialect, texts), |reply, data| {
        let name = data.split('"').nth(3).unwrap();
        reply.raw(&format!("event: {name}\ndata: {data}\n\n"))
    })
}

async fn run(harness: &Harness, dialect: Dialect) -> Outcome {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let request = match dialect {
        Messages => json!({ "model": "m", "max_tokens": 100, "messages": messages, "stream": true }),
        _ => json!({ "model": "m", "input": "hi", "stream": true }),
    };
    let call = TestCall { dialect, request, mode: DeliveryMode::Chunks, ..TestCall::default() };
    harness.run(call).await
}

/// The text that a consumer of the events has.
fn text(outcome: &Outcome) -> String {
    let delta = |event: &String| {
        let event: Value = serde_json::from_str(event.split_once("data: ")?.1).unwrap();
        event["delta"].as_str().or(event["delta"]["text"].as_str()).map(str::to_owned)
    };
    outcome.deltas().iter().filter_map(delta).collect()
}

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 } })
}

#[tokio::test(start_paused = true)]
async fn the_journal_has_the_text_that_the_consumer_has() {
    let texts: [(&[&str], &str); 5] = [
        (&[r#""a\ud83d""#, r#""\ude00b""#], "a😀b"),
        (&[r#""a\ud83d""#, r#""b""#], "a\u{FFFD}b"),
        (&[r#""a""#, r#""b\ud83d""#], "ab\u{FFFD}"),
        (&["1", "2.5", "true", r#"["a",{"text":"b"}]"#], "12.5trueab"),
        (&[r#""\ude00""#, r#""""#, r#""\ud83d""#, r#""\ude00""#], "\u{FFFD}😀"),
    ];
    for dialect in [Messages, Responses] {
        for (deltas, expected) in texts {
            let harness = Harness::new(options(), vec![answer(dialect, deltas)]);
            let outcome = run(&harness, dialect).await;
            assert_eq!((text(&outcome).as_str(), outcome.text()), (expected, expected));
            let usage = outcome.answer().journal.usage.clone().unwrap();
            assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(5), &json!(7)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_break_after_half_of_a_pair_delivers_no_half_and_loses_none() {
    for dialect in [Messages, Responses] {
        let first = broken(dialect, &[r#""the quick brown fox \ud83d""#]).reset();
        let rest = answer(dialect, &[r#""\ud83d""#, r#""\ude00 jumps""#]);
        let mut options = options();
        options["recovery"] = json!({ "assurance": "any" });
        let harness = Harness::new(options, vec![first, rest]);
        let outcome = run(&harness, dialect).await;
        assert_eq!(text(&outcome), "the quick brown fox 😀 jumps");
        assert_eq!(outcome.text(), "the quick brown fox 😀 jumps");
        let field = if dialect == Messages { "messages" } else { "input" };
        assert_eq!(harness.requests()[1].json()[field][1]["content"], "the quick brown fox ");
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_journaled() {
    let message = json!({ "type": "message", "id": "a", "model": "m", "content": [{ "type": "text", "text": "hello" }], "stop_reason": "max_tokens", "usage": { "input_tokens": 5, "output_tokens": 7 } });
    let item =
        json!({ "type": "message", "id": "i", "content": [{ "type": "output_text", "text": "hello" }] });
    let details = json!({ "reason": "max_output_tokens" });
    let response = json!({ "object": "response", "id": "a", "model": "m", "status": "incomplete", "incomplete_details": details, "output": [item], "usage": { "input_tokens": 5, "output_tokens": 7 } });
    for (dialect, document) in [(Messages, message), (Responses, response)] {
        let harness = Harness::new(options(), vec![stream().raw(&document.to_string())]);
        let outcome = run(&harness, dialect).await;
        assert_eq!((text(&outcome).as_str(), outcome.text()), ("hello", "hello"));
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!((&result["id"], &result["finishReason"]), (&json!("a"), &json!("length")));
        assert_eq!(result["usage"]["total_tokens"], 12);
    }
}

#[tokio::test(start_paused = true)]
async fn text_after_the_stop_reason_is_part_of_the_answer_and_an_error_fails_it() {
    let more = delta(Messages, r#"" and more""#);
    let hello = delta(Messages, r#""hello""#);
    let harness = Harness::new(options(), vec![reply(&[MESSAGE, BLOCK, &hello, END, &more, STOP])]);
    let outcome = run(&harness, Messages).await;
    assert_eq!((text(&outcome).as_str(), outcome.text()), ("hello and more", "hello and more"));
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let harness = Harness::new(options(), vec![reply(&[MESSAGE, BLOCK, &hello, END, error])]);
    let outcome = run(&harness, Messages).await;
    assert_eq!(outcome.error().kind, Kind::Interrupted);
    assert!(outcome.error().message.contains("after its finish reason"), "{}", outcome.error());
    assert_eq!(harness.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_its_last_event_is_settled_by_silence() {
    let hello = delta(Messages, r#""hello""#);
    let harness = Harness::new(options(), vec![reply(&[MESSAGE, BLOCK, &hello, END]).stall()]);
    let outcome = run(&harness, Messages).await;
    assert_eq!(outcome.text(), "hello");
    assert!(outcome.deltas().last().unwrap().contains("message_stop"));
    assert_eq!(outcome.at, 1000);
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_keep_an_answer_open() {
    let hello = delta(Messages, r#""hello""#);
    let finished = reply(&[MESSAGE, BLOCK, &hello, END]);
    let ping = |reply: Reply| reply.wait(300).raw("event: ping\ndata: {\"type\":\"ping\"}\n\n");
    let harness = Harness::new(options(), vec![(0..20).fold(finished, |reply, _| ping(reply))]);
    let outcome = run(&harness, Messages).await;
    assert_eq!((outcome.text(), outcome.at), ("hello", 1000));
    assert!(outcome.deltas().last().unwrap().contains("message_stop"));
}

#[tokio::test(start_paused = true)]
async fn a_resumed_answer_ends_once_with_all_of_its_text() {
    let first = broken(Messages, &[r#""the quick brown fox ""#]).reset();
    let (jumps, over) = (delta(Messages, r#""jumps ""#), delta(Messages, r#""over""#));
    let rest = reply(&[MESSAGE, BLOCK, &jumps, END, &over, STOP]);
    let harness = Harness::new(options(), vec![first, rest]);
    let outcome = run(&harness, Messages).await;
    assert_eq!(
        (text(&outcome).as_str(), outcome.text()),
        ("the quick brown fox jumps over", "the quick brown fox jumps over")
    );
    let all = outcome.deltas().concat();
    assert_eq!(all.matches("event: message_delta").count(), 1);
    assert!(all.trim_end().ends_with(STOP));
}
