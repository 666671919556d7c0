//! Responses and Messages: the rules of the engine apply in the dialects whose events it delivers unchanged.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, error_response, status, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::{Kind, Phase};
use crate::wire::dialect::Dialect::{self, Chat, Messages, Responses};

const BOTH: [Dialect; 2] = [Responses, Messages];

fn event(reply: Reply, data: Value) -> Reply {
    reply.raw(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()))
}

/// The events before the first text.
fn preamble(dialect: Dialect, id: &str) -> Reply {
    let frames = match dialect {
        Messages => vec![
            json!({ "type": "message_start", "message": { "id": id, "model": "m", "usage": { "input_tokens": 5, "output_tokens": 1 } } }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ],
        Responses => vec![
            json!({ "type": "response.created", "sequence_number": 0, "response": { "id": id, "model": "m", "status": "in_progress", "output": [] } }),
            json!({ "type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": { "id": format!("{id}_item"), "type": "message", "content": [] } }),
            json!({ "type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0, "part": { "type": "output_text", "text": "" } }),
        ],
        Chat => unreachable!(),
    };
    frames.into_iter().fold(stream(), event)
}

fn text_delta(dialect: Dialect, reply: Reply, text: &str) -> Reply {
    let data = match dialect {
        Messages => {
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
        }
        Responses => {
            json!({ "type": "response.output_text.delta", "sequence_number": 3, "item_id": "x", "output_index": 0, "content_index": 0, "delta": text })
        }
        Chat => unreachable!(),
    };
    event(reply, data)
}

fn finish(dialect: Dialect, reply: Reply) -> Reply {
    match dialect {
        Messages => {
            let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
            let reply = event(reply, json!({ "type": "content_block_stop", "index": 0 }));
            let reply = event(
                reply,
                json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 7 } }),
            );
            event(reply, json!({ "type": "message_stop" }))
        }
        Responses => {
            let usage = json!({ "input_tokens": 5, "output_tokens": 7 });
            event(
                reply,
                json!({ "type": "response.completed", "sequence_number": 4, "response": { "status": "completed", "usage": usage, "output": [] } }),
            )
        }
        Chat => unreachable!(),
    }
}

fn answer(dialect: Dialect, id: &str, text: &str) -> Reply {
    finish(dialect, text_delta(dialect, preamble(dialect, id), text))
}

fn request(dialect: Dialect, stream: bool) -> Value {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    match dialect {
        Messages => json!({ "model": "m", "max_tokens": 100, "messages": messages, "stream": stream }),
        Responses => json!({ "model": "m", "input": "hi", "stream": stream }),
        Chat => unreachable!(),
    }
}

async fn run(harness: &Harness, dialect: Dialect, stream: bool) -> Outcome {
    run_with(harness, dialect, request(dialect, stream), json!({})).await
}

async fn run_with(harness: &Harness, dialect: Dialect, request: Value, options: Value) -> Outcome {
    harness
        .run(TestCall { dialect, request, options, mode: DeliveryMode::Chunks, ..TestCall::default() })
        .await
}

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 } })
}

/// The data of the delivered events.
fn events(outcome: &Outcome) -> Vec<Value> {
    let data = |event: &String| serde_json::from_str(event.split_once("data: ").unwrap().1).unwrap();
    outcome.deltas().iter().map(data).collect()
}

fn text(outcome: &Outcome) -> String {
    let delta = |event: &Value| match &event["delta"] {
        Value::String(text) => text.clone(),
        delta => delta["text"].as_str().unwrap_or_default().to_owned(),
    };
    events(outcome).iter().map(delta).collect()
}

fn terminal_event(dialect: Dialect) -> &'static str {
    match dialect {
        Messages => "message_stop",
        Responses => "response.completed",
        Chat => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_delivered_unchanged_one_at_a_time() {
    for dialect in BOTH {
        let harness = Harness::new(options(), vec![answer(dialect, "a", "hello")]);
        let outcome = run(&harness, dialect, true).await;
        let stream = outcome.deltas().concat();
        assert!(stream.starts_with("event: "), "{stream}");
        assert_eq!(events(&outcome).last().unwrap()["type"], terminal_event(dialect));
        let count = if dialect == Messages { 6 } else { 5 };
        assert_eq!(outcome.deltas().len(), count);
        assert_eq!(outcome.text(), "hello");
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!(
            result["usage"],
            json!({ "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 })
        );
        assert_eq!((&result["id"], &result["finishReason"]), (&json!("a"), &json!("stop")));
    }
}

#[tokio::test(start_paused = true)]
async fn each_dialect_has_its_path_and_key_header() {
    for (dialect, path) in [(Responses, "http://a/v1/responses"), (Messages, "http://a/v1/messages")] {
        let harness = Harness::new(options(), vec![answer(dialect, "a", "hello")]);
        run(&harness, dialect, true).await;
        let sent = harness.requests().remove(0);
        assert_eq!(sent.url, path);
        assert_eq!(sent.json(), request(dialect, true), "the caller's request, unchanged");
        let messages = dialect == Messages;
        assert_eq!(sent.header("x-api-key"), messages.then_some("key-of-the-client"));
        assert_eq!(sent.header("authorization").is_some(), !messages);
        assert_eq!(sent.header("anthropic-version"), messages.then_some("2023-06-01"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_version_from_the_caller_is_not_replaced() {
    let harness = Harness::new(options(), vec![answer(Messages, "a", "hello")]);
    let headers = json!({ "headers": { "anthropic-version": "2099-01-01" } });
    run_with(&harness, Messages, request(Messages, true), headers).await;
    assert_eq!(harness.requests()[0].header("anthropic-version"), Some("2099-01-01"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_text_is_retried_without_a_trace_in_the_stream() {
    for dialect in BOTH {
        let overloaded =
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
        let script = vec![
            status(529).header("content-type", "application/json").raw(&overloaded.to_string()),
            event(preamble(dialect, "b"), overloaded),
            preamble(dialect, "c").reset(),
            preamble(dialect, "d"),
            answer(dialect, "e", "hello"),
        ];
        let options = json!({ "retry": { "baseDelayMs": 10 }, "maxRetries": 4 });
        let harness = Harness::new(options, script);
        let outcome = run(&harness, dialect, true).await;
        assert_eq!(text(&outcome), "hello");
        assert_eq!(
            outcome.attempt_outcomes(),
            ["SERVER_ERROR", "SERVER_ERROR", "ECONNRESET", "STREAM_TRUNCATED", "complete"]
        );
        assert_eq!(outcome.deltas().len(), if dialect == Messages { 6 } else { 5 });
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honored() {
    for dialect in BOTH {
        let limited = error_response(429, "rate_limit_exceeded", "slow down").header("retry-after", 7);
        let harness = Harness::new(options(), vec![limited, answer(dialect, "a", "hello")]);
        assert_eq!(text(&run(&harness, dialect, true).await), "hello");
        assert_eq!(harness.request_times(), [0, 7000]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_token_and_idle_timeouts_apply() {
    for dialect in BOTH {
        let preamble_only = preamble(dialect, "a").stall();
        let ping = |reply: Reply| event(reply.wait(30), json!({ "type": "ping" }));
        let pings = (0..9).fold(preamble(dialect, "b"), |reply, _| ping(reply)).stall();
        for silent in [preamble_only, pings] {
            let options = json!({ "retry": { "baseDelayMs": 10 }, "firstTokenTimeoutMs": 100 });
            let harness = Harness::new(options, vec![silent, answer(dialect, "c", "hello")]);
            assert_eq!(text(&run(&harness, dialect, true).await), "hello");
            assert_eq!(harness.request_times(), [0, 110]);
        }

        let script =
            vec![text_delta(dialect, preamble(dialect, "a"), "half").stall(), answer(dialect, "b", " whole")];
        let harness = Harness::new(json!({ "retry": { "baseDelayMs": 10 }, "idleTimeoutMs": 200 }), script);
        assert_eq!(text(&run(&harness, dialect, true).await), "half whole");
        assert_eq!(harness.request_times(), [0, 210]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovered_answer_keeps_the_identity_of_its_first_part() {
    for dialect in BOTH {
        let broken = text_delta(dialect, preamble(dialect, "first"), "the quick brown fox ").reset();
        let harness =
            Harness::new(options(), vec![broken, answer(dialect, "second", "quick brown fox jumps")]);
        let outcome = run(&harness, dialect, true).await;
        assert_eq!(text(&outcome), "the quick brown fox jumps");
        assert_eq!(outcome.text(), "the quick brown fox jumps");
        let all = outcome.deltas().concat();
        assert!(all.contains("first") && !all.contains("second"), "{all}");
        let events = events(&outcome);
        assert_eq!(events.last().unwrap()["type"], terminal_event(dialect));
        if dialect == Responses {
            let numbers: Vec<_> =
                events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
            assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
            assert_eq!(
                events.last().unwrap()["response"]["output"][0]["content"][0]["text"],
                "the quick brown fox jumps"
            );
        } else {
            let usage = &events[events.len() - 2]["usage"];
            assert_eq!(usage, &json!({ "input_tokens": 10, "output_tokens": 8 }));
        }
        let field = if dialect == Messages { "messages" } else { "input" };
        let recovery = harness.requests()[1].json();
        assert_eq!(recovery[field][1], json!({ "role": "assistant", "content": "the quick brown fox " }));
        assert!(recovery[field][2]["content"].as_str().unwrap().contains("the quick brown fox "));
        assert_eq!(outcome.answer().recoveries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_continued_turn_has_no_trailing_white_space_and_the_text_has_it_once() {
    let broken = text_delta(Messages, preamble(Messages, "a"), "one two ").reset();
    let options = json!({ "retry": { "baseDelayMs": 10 }, "continuation": "assistant" });
    let harness = Harness::new(options, vec![broken, answer(Messages, "b", " three")]);
    assert_eq!(text(&run(&harness, Messages, true).await), "one two three");
    let messages = harness.requests()[1].json()["messages"].clone();
    assert_eq!(messages[1], json!({ "role": "assistant", "content": "one two" }));
    assert_eq!(messages.as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_turn_falls_back_to_an_instruction() {
    let broken = text_delta(Messages, preamble(Messages, "a"), "one two ").reset();
    let rejected = error_response(400, "invalid_request_error", "prefill is not supported");
    let options = json!({ "retry": { "baseDelayMs": 10 }, "continuation": "assistant" });
    let harness = Harness::new(options, vec![broken, rejected, answer(Messages, "b", "three")]);
    assert_eq!(text(&run(&harness, Messages, true).await), "one two three");
    assert_eq!(harness.requests()[2].json()["messages"].as_array().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_break_after_more_than_text_is_an_error_with_the_partial_answer() {
    let tool = json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "name": "f" } });
    let call = json!({ "type": "response.output_item.added", "sequence_number": 4, "output_index": 1, "item": { "type": "function_call", "id": "fc" } });
    for (dialect, other) in [(Messages, tool), (Responses, call)] {
        let broken = event(text_delta(dialect, preamble(dialect, "a"), "half"), other).reset();
        let harness = Harness::new(options(), vec![broken]);
        let outcome = run(&harness, dialect, true).await;
        let error = outcome.error();
        assert_eq!(error.kind, Kind::Interrupted);
        assert_eq!(error.partial.as_deref(), Some("half"));
        assert!(error.message.contains("content other than text was sent"), "{error}");
        assert!(error.snapshot.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_after_all_its_tokens_ends_without_another_request() {
    for dialect in BOTH {
        let words = ["a b c d e f g h ", "i j k l m n o p "];
        let broken =
            words.iter().fold(preamble(dialect, "a"), |reply, text| text_delta(dialect, reply, text)).reset();
        let harness = Harness::new(options(), vec![broken]);
        let mut request = request(dialect, true);
        request[if dialect == Messages { "max_tokens" } else { "max_output_tokens" }] = json!(2);
        let outcome = run_with(&harness, dialect, request, json!({})).await;
        assert_eq!(text(&outcome), words.concat());
        let last = events(&outcome).pop().unwrap();
        assert_eq!(last["type"], if dialect == Messages { "message_stop" } else { "response.incomplete" });
        assert_eq!(outcome.answer().journal.first_choice().finish_reason.as_deref(), Some("length"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_structured_answer_is_requested_again_and_continues_at_the_break() {
    for dialect in BOTH {
        let (first, all) = (r#"{"name":"Dolly the first","#, r#"{"name":"Dolly the first","age":6}"#);
        let broken = text_delta(dialect, preamble(dialect, "a"), first).reset();
        let harness = Harness::new(options(), vec![broken, answer(dialect, "b", all)]);
        let mut request = request(dialect, true);
        let format = json!({ "format": { "type": "json_schema" } });
        request[if dialect == Messages { "output_config" } else { "text" }] = format;
        let outcome = run_with(&harness, dialect, request.clone(), json!({})).await;
        assert_eq!(text(&outcome), all);
        assert_eq!(harness.requests()[1].json(), request);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_fails_at_once() {
    let rejected = error_response(400, "invalid_request_error", "no such field");
    for dialect in BOTH {
        let harness = Harness::new(options(), vec![rejected.clone()]);
        assert_eq!(run(&harness, dialect, true).await.error().kind, Kind::InvalidRequest);
    }
}

fn unstreamed_answer(dialect: Dialect) -> Value {
    match dialect {
        Messages => {
            json!({ "id": "a", "type": "message", "model": "m", "content": [{ "type": "text", "text": "hello" }], "stop_reason": "end_turn", "usage": { "input_tokens": 5, "output_tokens": 7 } })
        }
        Responses => {
            json!({ "id": "a", "model": "m", "status": "completed", "error": null, "output": [], "usage": { "input_tokens": 5, "output_tokens": 7 } })
        }
        Chat => unreachable!(),
    }
}

fn json_response(body: &str) -> Reply {
    status(200).header("content-type", "application/json").raw(body)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_streamed_is_delivered_unchanged_after_retries() {
    for dialect in BOTH {
        let body = format!(" {} \n", unstreamed_answer(dialect));
        let cut = json_response(&body[..30]);
        let harness = Harness::new(
            options(),
            vec![error_response(500, "server_error", "sorry"), cut, json_response(&body)],
        );
        let outcome = run(&harness, dialect, false).await;
        assert_eq!(outcome.deltas(), [body]);
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!((&result["id"], &result["usage"]["total_tokens"]), (&json!("a"), &json!(12)));
        assert_eq!(harness.requests()[2].header("accept"), Some("application/json"));
        assert_eq!(outcome.attempt_outcomes(), ["SERVER_ERROR", "MALFORMED_RESPONSE", "complete"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_that_is_not_streamed_is_retried() {
    let failed =
        json!({ "id": "a", "status": "failed", "error": { "code": "server_error", "message": "sorry" } });
    let harness = Harness::new(
        options(),
        vec![json_response(&failed.to_string()), json_response(&unstreamed_answer(Responses).to_string())],
    );
    let outcome = run(&harness, Responses, false).await;
    assert_eq!(outcome.attempt_outcomes(), ["SERVER_ERROR", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_streamed_has_the_whole_answer_timeout() {
    let slow = json_response(&unstreamed_answer(Messages).to_string()).head_after(450);
    let options = json!({ "firstTokenTimeoutMs": 100, "wholeAnswerTimeoutMs": 500, "maxRetries": 0 });
    let harness = Harness::new(options.clone(), vec![slow]);
    run(&harness, Messages, false).await.answer();
    let harness = Harness::new(options, vec![json_response("{}").never_answers()]);
    let outcome = run(&harness, Messages, false).await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::Timeout(Phase::FirstToken), 500));
}

#[tokio::test(start_paused = true)]
async fn usage_is_charged_at_the_price_of_the_model() {
    for dialect in BOTH {
        for streamed in [true, false] {
            let reply = if streamed {
                answer(dialect, "a", "hello")
            } else {
                json_response(&unstreamed_answer(dialect).to_string())
            };
            let cost = json!({ "prices": { "m": { "input": 1, "output": 10 } } });
            let harness = Harness::new(json!({ "cost": cost }), vec![reply]);
            let outcome = run(&harness, dialect, streamed).await;
            assert_eq!(outcome.answer().cost_usd, Some((5.0 + 70.0) / 1e6));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_faster_hedge_writes_the_entire_answer() {
    for dialect in BOTH {
        let slow = finish(dialect, text_delta(dialect, preamble(dialect, "slow").wait(900), "slow"));
        let fast = answer(dialect, "fast", "fast");
        let harness = Harness::two_endpoints(json!({ "hedge": { "afterMs": 100 } }), vec![slow], vec![fast]);
        let outcome = run(&harness, dialect, true).await;
        assert_eq!(text(&outcome), "fast");
        assert!(!outcome.deltas().concat().contains("slow"));
    }
}
