//! Responses and Messages: the engine's promises hold in dialects whose events are handed on as they are.

use serde_json::{Value, json};

use super::provider::{Reply, refusal, status, stream};
use super::support::{Ask, Ended, Scene};
use crate::engine::sink::Wants;
use crate::error::{Kind, Phase};
use crate::wire::dialect::Dialect::{self, Messages, Responses};

const BOTH: [Dialect; 2] = [Responses, Messages];

fn event(reply: Reply, data: Value) -> Reply {
    reply.raw(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()))
}

/// What comes before the first text.
fn begun(dialect: Dialect, id: &str) -> Reply {
    let frames = match dialect {
        Messages => vec![
            json!({ "type": "message_start", "message": { "id": id, "model": "m", "usage": { "input_tokens": 5, "output_tokens": 1 } } }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ],
        _ => vec![
            json!({ "type": "response.created", "sequence_number": 0, "response": { "id": id, "model": "m", "status": "in_progress", "output": [] } }),
            json!({ "type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": { "id": format!("{id}_item"), "type": "message", "content": [] } }),
            json!({ "type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0, "part": { "type": "output_text", "text": "" } }),
        ],
    };
    frames.into_iter().fold(stream(), event)
}

fn say(dialect: Dialect, reply: Reply, text: &str) -> Reply {
    let data = match dialect {
        Messages => {
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
        }
        _ => {
            json!({ "type": "response.output_text.delta", "sequence_number": 3, "item_id": "x", "output_index": 0, "content_index": 0, "delta": text })
        }
    };
    event(reply, data)
}

fn end(dialect: Dialect, reply: Reply) -> Reply {
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
        _ => {
            let usage = json!({ "input_tokens": 5, "output_tokens": 7 });
            event(
                reply,
                json!({ "type": "response.completed", "sequence_number": 4, "response": { "status": "completed", "usage": usage, "output": [] } }),
            )
        }
    }
}

fn answer(dialect: Dialect, id: &str, text: &str) -> Reply {
    end(dialect, say(dialect, begun(dialect, id), text))
}

fn request(dialect: Dialect, stream: bool) -> Value {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    match dialect {
        Messages => json!({ "model": "m", "max_tokens": 100, "messages": messages, "stream": stream }),
        _ => json!({ "model": "m", "input": "hi", "stream": stream }),
    }
}

async fn ask(scene: &Scene, dialect: Dialect, stream: bool) -> Ended {
    ask_with(scene, dialect, request(dialect, stream), json!({})).await
}

async fn ask_with(scene: &Scene, dialect: Dialect, request: Value, options: Value) -> Ended {
    scene.ask(Ask { dialect, request, options, wants: Wants::Chunks, ..Ask::default() }).await
}

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 } })
}

/// The data of the events that were handed over.
fn events(ended: &Ended) -> Vec<Value> {
    let data = |piece: &String| serde_json::from_str(piece.split_once("data: ").unwrap().1).unwrap();
    ended.deltas().iter().map(data).collect()
}

fn text(ended: &Ended) -> String {
    let delta = |event: &Value| match &event["delta"] {
        Value::String(text) => text.clone(),
        delta => delta["text"].as_str().unwrap_or_default().to_owned(),
    };
    events(ended).iter().map(delta).collect()
}

fn terminal(dialect: Dialect) -> &'static str {
    if dialect == Messages { "message_stop" } else { "response.completed" }
}

#[tokio::test(start_paused = true)]
async fn an_answer_passes_event_by_event_as_it_came() {
    for dialect in BOTH {
        let scene = Scene::new(options(), vec![answer(dialect, "a", "hello")]);
        let ended = ask(&scene, dialect, true).await;
        let whole = ended.deltas().concat();
        assert!(whole.starts_with("event: "), "{whole}");
        assert_eq!(events(&ended).last().unwrap()["type"], terminal(dialect));
        let count = if dialect == Messages { 6 } else { 5 };
        assert_eq!(ended.deltas().len(), count);
        assert_eq!(ended.text(), "hello");
        let result: Value = serde_json::from_str(&ended.answer().result()).unwrap();
        assert_eq!(
            result["usage"],
            json!({ "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 })
        );
        assert_eq!((&result["id"], &result["finishReason"]), (&json!("a"), &json!("stop")));
    }
}

#[tokio::test(start_paused = true)]
async fn each_goes_to_its_own_path_with_its_own_key_header() {
    for (dialect, path) in [(Responses, "http://a/v1/responses"), (Messages, "http://a/v1/messages")] {
        let scene = Scene::new(options(), vec![answer(dialect, "a", "hello")]);
        ask(&scene, dialect, true).await;
        let seen = scene.requests().remove(0);
        assert_eq!(seen.url, path);
        assert_eq!(seen.json(), request(dialect, true), "the caller's own request");
        let messages = dialect == Messages;
        assert_eq!(seen.header("x-api-key"), messages.then_some("key-of-the-client"));
        assert_eq!(seen.header("authorization").is_some(), !messages);
        assert_eq!(seen.header("anthropic-version"), messages.then_some("2023-06-01"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_callers_version_of_the_api_stays() {
    let scene = Scene::new(options(), vec![answer(Messages, "a", "hello")]);
    let headers = json!({ "headers": { "anthropic-version": "2099-01-01" } });
    ask_with(&scene, Messages, request(Messages, true), headers).await;
    assert_eq!(scene.requests()[0].header("anthropic-version"), Some("2099-01-01"));
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_first_text_is_retried_unseen() {
    for dialect in BOTH {
        let overloaded =
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
        let script = vec![
            status(529).header("content-type", "application/json").raw(&overloaded.to_string()),
            event(begun(dialect, "b"), overloaded),
            begun(dialect, "c").breaks(),
            begun(dialect, "d"),
            answer(dialect, "e", "hello"),
        ];
        let options = json!({ "retry": { "baseDelayMs": 10 }, "maxRetries": 4 });
        let scene = Scene::new(options, script);
        let ended = ask(&scene, dialect, true).await;
        assert_eq!(text(&ended), "hello");
        assert_eq!(
            ended.outcomes(),
            ["SERVER_ERROR", "SERVER_ERROR", "ECONNRESET", "STREAM_TRUNCATED", "complete"]
        );
        assert_eq!(ended.deltas().len(), if dialect == Messages { 6 } else { 5 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_waited_for_as_long_as_it_says() {
    for dialect in BOTH {
        let limited = refusal(429, "rate_limit_exceeded", "slow down").header("retry-after", 7);
        let scene = Scene::new(options(), vec![limited, answer(dialect, "a", "hello")]);
        assert_eq!(text(&ask(&scene, dialect, true).await), "hello");
        assert_eq!(scene.times(), [0, 7000]);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_an_attempt_at_each_stage() {
    for dialect in BOTH {
        let frames_only = begun(dialect, "a").stall();
        let ping = |reply: Reply| event(reply.wait(30), json!({ "type": "ping" }));
        let pings = (0..9).fold(begun(dialect, "b"), |reply, _| ping(reply)).stall();
        let script = vec![frames_only, pings, answer(dialect, "c", "hello")];
        let options = json!({ "retry": { "baseDelayMs": 10 }, "firstTokenTimeoutMs": 100 });
        let scene = Scene::new(options, script);
        assert_eq!(text(&ask(&scene, dialect, true).await), "hello");
        assert_eq!(scene.times(), [0, 110, 230]);

        let script = vec![say(dialect, begun(dialect, "a"), "half").stall(), answer(dialect, "b", " whole")];
        let scene = Scene::new(json!({ "retry": { "baseDelayMs": 10 }, "idleTimeoutMs": 200 }), script);
        assert_eq!(text(&ask(&scene, dialect, true).await), "half whole");
        assert_eq!(scene.times(), [0, 210]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_answer_is_taken_up_again_under_its_first_identity() {
    for dialect in BOTH {
        let broken = say(dialect, begun(dialect, "first"), "the quick brown fox ").breaks();
        let scene = Scene::new(options(), vec![broken, answer(dialect, "second", "quick brown fox jumps")]);
        let ended = ask(&scene, dialect, true).await;
        assert_eq!(text(&ended), "the quick brown fox jumps");
        assert_eq!(ended.text(), "the quick brown fox jumps");
        let all = ended.deltas().concat();
        assert!(all.contains("first") && !all.contains("second"), "{all}");
        let events = events(&ended);
        assert_eq!(events.last().unwrap()["type"], terminal(dialect));
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
        let asked = scene.requests()[1].json();
        assert_eq!(asked[field][1], json!({ "role": "assistant", "content": "the quick brown fox " }));
        assert!(asked[field][2]["content"].as_str().unwrap().contains("the quick brown fox "));
        assert_eq!(ended.answer().recoveries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefill_does_not_end_with_white_space_and_the_text_has_it_once() {
    let broken = say(Messages, begun(Messages, "a"), "one two ").breaks();
    let options = json!({ "retry": { "baseDelayMs": 10 }, "recovery": { "style": "prefill" } });
    let scene = Scene::new(options, vec![broken, answer(Messages, "b", " three")]);
    assert_eq!(text(&ask(&scene, Messages, true).await), "one two three");
    let messages = scene.requests()[1].json()["messages"].clone();
    assert_eq!(messages[1], json!({ "role": "assistant", "content": "one two" }));
    assert_eq!(messages.as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_prefill_that_is_refused_gives_way_to_an_instruction() {
    let broken = say(Messages, begun(Messages, "a"), "one two ").breaks();
    let refused = refusal(400, "invalid_request_error", "prefill is not supported");
    let options = json!({ "retry": { "baseDelayMs": 10 }, "recovery": { "style": "prefill" } });
    let scene = Scene::new(options, vec![broken, refused, answer(Messages, "b", "three")]);
    assert_eq!(text(&ask(&scene, Messages, true).await), "one two three");
    assert_eq!(scene.requests()[2].json()["messages"].as_array().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_break_after_more_than_text_is_an_error_with_what_was_received() {
    let tool = json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "name": "f" } });
    let call = json!({ "type": "response.output_item.added", "sequence_number": 4, "output_index": 1, "item": { "type": "function_call", "id": "fc" } });
    for (dialect, other) in [(Messages, tool), (Responses, call)] {
        let broken = event(say(dialect, begun(dialect, "a"), "half"), other).breaks();
        let scene = Scene::new(options(), vec![broken]);
        let ended = ask(&scene, dialect, true).await;
        let error = ended.error();
        assert_eq!(error.kind, Kind::Interrupted);
        assert_eq!(error.partial.as_deref(), Some("half"));
        assert!(error.message.contains("content other than text was sent"), "{error}");
        assert!(error.snapshot.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_all_its_tokens_when_it_breaks_is_ended_here() {
    for dialect in BOTH {
        let words = ["a b c d e f g h ", "i j k l m n o p "];
        let broken = words.iter().fold(begun(dialect, "a"), |reply, text| say(dialect, reply, text)).breaks();
        let scene = Scene::new(options(), vec![broken]);
        let mut request = request(dialect, true);
        request[if dialect == Messages { "max_tokens" } else { "max_output_tokens" }] = json!(2);
        let ended = ask_with(&scene, dialect, request, json!({})).await;
        assert_eq!(text(&ended), words.concat());
        let last = events(&ended).pop().unwrap();
        assert_eq!(last["type"], if dialect == Messages { "message_stop" } else { "response.incomplete" });
        assert_eq!(ended.answer().journal.first_choice().finish_reason.as_deref(), Some("length"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_structured_answer_is_asked_for_again_and_goes_on_where_it_broke() {
    for dialect in BOTH {
        let (first, all) = (r#"{"name":"Dolly the first","#, r#"{"name":"Dolly the first","age":6}"#);
        let broken = say(dialect, begun(dialect, "a"), first).breaks();
        let scene = Scene::new(options(), vec![broken, answer(dialect, "b", all)]);
        let mut request = request(dialect, true);
        let format = json!({ "format": { "type": "json_schema" } });
        request[if dialect == Messages { "output_config" } else { "text" }] = format;
        let ended = ask_with(&scene, dialect, request.clone(), json!({})).await;
        assert_eq!(text(&ended), all);
        assert_eq!(scene.requests()[1].json(), request);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_request_is_the_callers_at_once() {
    let refused = refusal(400, "invalid_request_error", "no such field");
    for dialect in BOTH {
        let scene = Scene::new(options(), vec![refused.clone()]);
        assert_eq!(ask(&scene, dialect, true).await.error().kind, Kind::InvalidRequest);
    }
}

fn whole(dialect: Dialect) -> Value {
    match dialect {
        Messages => {
            json!({ "id": "a", "type": "message", "model": "m", "content": [{ "type": "text", "text": "hello" }], "stop_reason": "end_turn", "usage": { "input_tokens": 5, "output_tokens": 7 } })
        }
        _ => {
            json!({ "id": "a", "model": "m", "status": "completed", "error": null, "output": [], "usage": { "input_tokens": 5, "output_tokens": 7 } })
        }
    }
}

fn page(body: &str) -> Reply {
    status(200).header("content-type", "application/json").raw(body)
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_passes_as_it_is_after_its_retries() {
    for dialect in BOTH {
        let body = format!(" {} \n", whole(dialect));
        let cut = page(&body[..30]);
        let scene = Scene::new(options(), vec![refusal(500, "server_error", "sorry"), cut, page(&body)]);
        let ended = ask(&scene, dialect, false).await;
        assert_eq!(ended.deltas(), [body]);
        let result: Value = serde_json::from_str(&ended.answer().result()).unwrap();
        assert_eq!((&result["id"], &result["usage"]["total_tokens"]), (&json!("a"), &json!(12)));
        assert_eq!(scene.requests()[2].header("accept"), Some("application/json"));
        assert_eq!(ended.outcomes(), ["SERVER_ERROR", "MALFORMED_RESPONSE", "complete"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_in_one_piece_that_failed_is_tried_again() {
    let failed =
        json!({ "id": "a", "status": "failed", "error": { "code": "server_error", "message": "sorry" } });
    let scene = Scene::new(options(), vec![page(&failed.to_string()), page(&whole(Responses).to_string())]);
    let ended = ask(&scene, Responses, false).await;
    assert_eq!(ended.outcomes(), ["SERVER_ERROR", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_may_take_longer_than_a_first_token() {
    let slow = page(&whole(Messages).to_string()).head_after(450);
    let options = json!({ "firstTokenTimeoutMs": 100, "wholeAnswerTimeoutMs": 500, "maxRetries": 0 });
    let scene = Scene::new(options.clone(), vec![slow]);
    ask(&scene, Messages, false).await.answer();
    let scene = Scene::new(options, vec![page("{}").never_answers()]);
    let ended = ask(&scene, Messages, false).await;
    assert_eq!((ended.error().kind, ended.at), (Kind::Timeout(Phase::FirstToken), 500));
}

#[tokio::test(start_paused = true)]
async fn usage_is_charged_by_the_price_of_the_model() {
    for dialect in BOTH {
        for streamed in [true, false] {
            let reply =
                if streamed { answer(dialect, "a", "hello") } else { page(&whole(dialect).to_string()) };
            let cost = json!({ "prices": { "m": { "input": 1, "output": 10 } } });
            let scene = Scene::new(json!({ "cost": cost }), vec![reply]);
            let ended = ask(&scene, dialect, streamed).await;
            assert_eq!(ended.answer().cost_usd, Some((5.0 + 70.0) / 1e6));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_faster_writes_the_answer_alone() {
    for dialect in BOTH {
        let slow = end(dialect, say(dialect, begun(dialect, "slow").wait(900), "slow"));
        let fast = answer(dialect, "fast", "fast");
        let scene = Scene::two(json!({ "hedge": { "afterMs": 100 } }), vec![slow], vec![fast]);
        let ended = ask(&scene, dialect, true).await;
        assert_eq!(text(&ended), "fast");
        assert!(!ended.deltas().concat().contains("slow"));
    }
}
