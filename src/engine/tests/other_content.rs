//! Breaks after content other than text, in the dialects whose events are passed through: what is complete and harmless is
//! no obstacle to a continuation.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;
use crate::wire::dialect::Dialect::{self, Messages, Responses};

fn reply(events: &[Value]) -> Reply {
    events.iter().fold(stream(), |reply, event| {
        reply.raw(&format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
    })
}

fn events(outcome: &Outcome) -> Vec<Value> {
    let data = |event: &String| serde_json::from_str(event.split_once("data: ").unwrap().1).unwrap();
    outcome.deltas().iter().map(data).collect()
}

async fn run(harness: &Harness, dialect: Dialect, extra: Value) -> Outcome {
    let mut request = match dialect {
        Messages => {
            json!({ "model": "m", "max_tokens": 100, "stream": true, "messages": [{ "role": "user", "content": "hi" }] })
        }
        _ => json!({ "model": "m", "input": "hi", "stream": true }),
    };
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let options = json!({ "recovery": { "assurance": "any" } });
    harness
        .run(TestCall { dialect, request, options, mode: DeliveryMode::Chunks, ..TestCall::default() })
        .await
}

fn harness(script: Vec<Reply>) -> Harness {
    Harness::new(json!({ "retry": { "baseDelayMs": 10 } }), script)
}

/// The events of an answer with these blocks: each is what begins it, its deltas, and whether it ends.
fn answer(dialect: Dialect, blocks: &[(Value, &[Value], bool)]) -> Vec<Value> {
    let mut events = match dialect {
        Messages => vec![
            json!({ "type": "message_start", "message": { "id": "a", "model": "m", "content": [], "usage": { "input_tokens": 5, "output_tokens": 1 } } }),
        ],
        _ => vec![
            json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "a", "model": "m", "output": [] } }),
        ],
    };
    for (index, (block, deltas, ends)) in blocks.iter().enumerate() {
        let with = |kind: &str, name: &str, value: &Value| match dialect {
            Messages => json!({ "type": kind, "index": index, name: value }),
            _ => {
                json!({ "type": kind, "sequence_number": 0, "output_index": index, "item_id": "x", "content_index": 0, "summary_index": 0, name: value })
            }
        };
        let (begin, field) = match dialect {
            Messages => ("content_block_start", "content_block"),
            _ => ("response.output_item.added", "item"),
        };
        events.push(with(begin, field, block));
        for delta in *deltas {
            events.push(match dialect {
                Messages => with("content_block_delta", "delta", delta),
                _ => with(delta["kind"].as_str().unwrap(), "delta", &delta["delta"]),
            });
        }
        if *ends {
            let mut whole = block.clone();
            if whole["type"] == "reasoning" {
                whole["summary"] = json!([{ "type": "summary_text", "text": "hm" }]);
            }
            events.push(match dialect {
                Messages => json!({ "type": "content_block_stop", "index": index }),
                _ => with("response.output_item.done", "item", &whole),
            });
        }
    }
    if dialect == Responses {
        events.iter_mut().enumerate().for_each(|(number, event)| event["sequence_number"] = number.into());
    }
    events
}

fn finish(dialect: Dialect) -> Vec<Value> {
    match dialect {
        Messages => vec![
            json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 7 } }),
            json!({ "type": "message_stop" }),
        ],
        _ => vec![
            json!({ "type": "response.completed", "sequence_number": 99, "response": { "status": "completed", "output": [] } }),
        ],
    }
}

type Block = (Value, Vec<Value>);

fn text(dialect: Dialect, text: &str) -> Block {
    match dialect {
        Messages => {
            (json!({ "type": "text", "text": "" }), vec![json!({ "type": "text_delta", "text": text })])
        }
        _ => (
            json!({ "type": "message", "id": "msg", "role": "assistant", "content": [] }),
            vec![json!({ "kind": "response.output_text.delta", "delta": text })],
        ),
    }
}

fn reasoning(dialect: Dialect) -> Block {
    match dialect {
        Messages => (
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
            vec![
                json!({ "type": "thinking_delta", "thinking": "hm" }),
                json!({ "type": "signature_delta", "signature": "s" }),
            ],
        ),
        _ => (
            json!({ "type": "reasoning", "id": "rs", "summary": [] }),
            vec![json!({ "kind": "response.reasoning_summary_text.delta", "delta": "hm" })],
        ),
    }
}

fn search(dialect: Dialect) -> Block {
    match dialect {
        Messages => {
            (json!({ "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} }), vec![])
        }
        _ => (json!({ "type": "web_search_call", "id": "ws", "status": "completed" }), vec![]),
    }
}

fn call(dialect: Dialect) -> Block {
    match dialect {
        Messages => (
            json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} }),
            vec![json!({ "type": "input_json_delta", "partial_json": "{}" })],
        ),
        _ => (
            json!({ "type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}" }),
            vec![json!({ "kind": "response.function_call_arguments.delta", "delta": "{}" })],
        ),
    }
}

fn build(dialect: Dialect, blocks: &[(&Block, bool)]) -> Vec<Value> {
    let blocks: Vec<_> =
        blocks.iter().map(|((block, deltas), ends)| (block.clone(), &**deltas, *ends)).collect();
    answer(dialect, &blocks)
}

fn delivered_text(outcome: &Outcome) -> String {
    let delta = |event: &Value| match (&event["delta"], event["type"].as_str().unwrap()) {
        (Value::String(text), "response.output_text.delta") => text.clone(),
        (delta, "content_block_delta") => delta["text"].as_str().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    events(outcome).iter().map(delta).collect()
}

#[tokio::test(start_paused = true)]
async fn text_after_complete_reasoning_or_a_complete_search_is_continued() {
    for dialect in [Messages, Responses] {
        for first in [reasoning(dialect), search(dialect)] {
            let broken = build(dialect, &[(&first, true), (&text(dialect, "one two "), false)]);
            let rest = [
                build(dialect, &[(&reasoning(dialect), true), (&text(dialect, "three"), true)]),
                finish(dialect),
            ]
            .concat();
            let harness = harness(vec![reply(&broken).reset(), reply(&rest)]);
            let outcome = run(&harness, dialect, json!({})).await;
            assert_eq!(delivered_text(&outcome), "one two three", "{dialect:?}");
            let events = events(&outcome);
            let begun = events.iter().filter(|event| {
                matches!(event["type"].as_str(), Some("content_block_start" | "response.output_item.added"))
            });
            assert_eq!(begun.count(), 2, "reasoning is not delivered again");
            if dialect == Responses {
                let numbers: Vec<_> =
                    events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
                assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
                let output = &events.last().unwrap()["response"]["output"];
                assert_eq!(
                    output[0]["type"], first.0["type"],
                    "the last event has the whole answer: {output}"
                );
                assert_eq!(output[1]["content"][0]["text"], "one two three");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_broke_after_complete_reasoning_is_requested_again() {
    for dialect in [Messages, Responses] {
        let broken = build(dialect, &[(&reasoning(dialect), true)]);
        let whole = [
            build(dialect, &[(&reasoning(dialect), true), (&text(dialect, "hello"), true)]),
            finish(dialect),
        ]
        .concat();
        let harness = harness(vec![reply(&broken).reset(), reply(&whole)]);
        let outcome = run(&harness, dialect, json!({})).await;
        assert_eq!(delivered_text(&outcome), "hello");
        let field = if dialect == Messages { "messages" } else { "input" };
        assert_eq!(harness.requests()[1].json()[field], harness.requests()[0].json()[field]);
        let events = events(&outcome);
        let text = events.iter().find(|event| event.to_string().contains("hello")).unwrap();
        let index = if dialect == Messages { &text["index"] } else { &text["output_index"] };
        assert_eq!(index, 1, "after the reasoning");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_or_could_be_repeated_is_an_error() {
    for dialect in [Messages, Responses] {
        let (text, reasoning, call) = (text(dialect, "half"), reasoning(dialect), call(dialect));
        for (blocks, why) in [
            (vec![(&reasoning, false)], "cut off"),
            (vec![(&text, true), (&call, false)], "cut off"),
            (vec![(&text, true), (&call, true)], "a tool call, which a continuation could repeat"),
            (vec![(&call, true), (&text, false)], "a tool call, which a continuation could repeat"),
        ] {
            let harness = harness(vec![reply(&build(dialect, &blocks)).reset()]);
            let outcome = run(&harness, dialect, json!({})).await;
            let error = outcome.error();
            assert_eq!(error.kind, Kind::Interrupted);
            assert!(error.message.contains(why), "{dialect:?}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_after_the_only_tool_call_that_it_may_have() {
    for (dialect, only_one) in [
        (Messages, json!({ "tool_choice": { "type": "auto", "disable_parallel_tool_use": true } })),
        (Responses, json!({ "parallel_tool_calls": false })),
    ] {
        let (text, call) = (text(dialect, "One moment."), call(dialect));
        let harness = harness(vec![reply(&build(dialect, &[(&text, true), (&call, true)])).reset()]);
        let outcome = run(&harness, dialect, only_one.clone()).await;
        let events = events(&outcome);
        let last = events.last().unwrap();
        match dialect {
            Messages => {
                assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
                assert_eq!(last["type"], "message_stop");
            }
            _ => {
                assert_eq!(last["type"], "response.completed");
                let kinds =
                    last["response"]["output"].as_array().unwrap().iter().map(|item| item["type"].clone());
                assert_eq!(kinds.collect::<Vec<_>>(), ["message", "function_call"]);
            }
        }
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!(result["finishReason"], "tool_calls");
        // Inside the call there is nothing to end.
        let harness = super::other_content::harness(vec![reply(&build(dialect, &[(&call, false)])).reset()]);
        assert_eq!(run(&harness, dialect, only_one).await.error().kind, Kind::Interrupted);
    }
}
