//! Background responses: after a break the provider is asked for the rest of the stream that it keeps.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, error_response, stream, unavailable};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;
use crate::session::snapshot::Snapshot;
use crate::session::splice::{JoinKind, Tier};
use crate::wire::dialect::Dialect::Responses;

const USAGE: [u64; 2] = [5, 7];

fn request() -> Value {
    json!({ "model": "m", "input": "hi", "stream": true, "background": true })
}

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 }, "recovery": { "assurance": "any" } })
}

/// The events of a whole answer: reasoning, a tool call by the provider, text, a call of the consumer's function.
fn events() -> Vec<Value> {
    let response = json!({ "id": "resp_1", "model": "m", "status": "in_progress", "output": [] });
    let usage = json!({ "input_tokens": USAGE[0], "output_tokens": USAGE[1] });
    let mut events = vec![
        json!({ "type": "response.created", "response": response }),
        json!({ "type": "response.queued", "response": response }),
        json!({ "type": "response.in_progress", "response": response }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": { "type": "reasoning", "id": "rs", "summary": [] } }),
        json!({ "type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Think" }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": { "type": "reasoning", "id": "rs", "summary": [{ "text": "Think" }] } }),
        json!({ "type": "response.output_item.added", "output_index": 1, "item": { "type": "message", "id": "msg", "content": [] } }),
        json!({ "type": "response.content_part.added", "output_index": 1, "content_index": 0, "part": { "type": "output_text", "text": "" } }),
    ];
    for delta in ["ha ", "ha ", "ha "] {
        events.push(json!({ "type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": delta }));
    }
    events.extend([
        json!({ "type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "ha ha ha " }),
        json!({ "type": "response.output_item.done", "output_index": 1, "item": { "type": "message", "id": "msg", "content": [] } }),
        json!({ "type": "response.output_item.added", "output_index": 2, "item": { "type": "function_call", "id": "fc", "name": "f", "arguments": "" } }),
        json!({ "type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc", "delta": "{}" }),
        json!({ "type": "response.output_item.done", "output_index": 2, "item": { "type": "function_call", "id": "fc", "name": "f", "arguments": "{}" } }),
        json!({ "type": "response.completed", "response": { "id": "resp_1", "status": "completed", "usage": usage, "output": [] } }),
    ]);
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    events
}

fn sse(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
}

fn reply(events: &[Value]) -> Reply {
    events.iter().fold(stream(), |reply, event| reply.raw(&sse(event)))
}

async fn run(harness: &Harness, options: Value) -> Outcome {
    let call = TestCall {
        dialect: Responses,
        request: request(),
        options,
        mode: DeliveryMode::Chunks,
        ..TestCall::default()
    };
    harness.run(call).await
}

fn delivered(outcome: &Outcome) -> String {
    outcome.deltas().concat()
}

fn uncut() -> String {
    events().iter().map(sse).collect()
}

/// The paths of the requests, with their queries.
fn paths(harness: &Harness) -> Vec<String> {
    harness.requests().iter().map(|request| request.url.split_once("/v1").unwrap().1.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_anywhere_is_read_on_where_it_broke() {
    let (all, bytes) = (events(), uncut());
    // The others are delivered with the one that follows.
    let content = [4, 5, 8, 9, 10, 13, 14, 15, 16];
    let mut read = 0;
    for (cut, event) in all.iter().enumerate() {
        // After the event before, in the middle of this one, and before its last byte.
        for inside in [0, sse(event).len() / 2, sse(event).len() - 1] {
            let broken = stream().raw(&bytes[..read + inside]).reset();
            // It is asked for what follows the last event that was delivered, and may send more.
            let next = content.iter().filter(|number| **number < cut).max().map_or(0, |last| last + 1);
            for after in 0..=next {
                let harness = Harness::new(options(), vec![broken.clone(), reply(&all[after..])]);
                let outcome = run(&harness, json!({})).await;
                assert_eq!(delivered(&outcome), bytes, "cut in event {cut}, read on from {after}");
                let requests = harness.requests();
                if requests[1].method == "GET" {
                    assert!(paths(&harness)[1].starts_with("/responses/resp_1?stream=true"));
                    assert!(requests[1].body.is_empty() && requests[1].header("idempotency-key").is_none());
                } else {
                    assert_eq!(cut, 0, "only a response without an id is requested again");
                }
            }
        }
        read += sse(event).len();
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_requested_after_the_last_event_that_was_delivered() {
    let all = events();
    // Of the events before the first content nothing has been delivered.
    let harness = Harness::new(options(), vec![reply(&all[..3]).reset(), reply(&all)]);
    assert_eq!(delivered(&run(&harness, json!({})).await), uncut());
    assert_eq!(paths(&harness)[1], "/responses/resp_1?stream=true");
    // The beginning of an item is delivered with what follows it.
    let harness = Harness::new(options(), vec![reply(&all[..8]).reset(), reply(&all[6..])]);
    let outcome = run(&harness, json!({})).await;
    assert_eq!(delivered(&outcome), uncut());
    assert_eq!(paths(&harness)[1], "/responses/resp_1?stream=true&starting_after=5");
    let answer = outcome.answer();
    assert_eq!((answer.recoveries, answer.joins.len()), (1, 1));
    assert_eq!((answer.joins[0].kind, answer.joins[0].tier), (JoinKind::Exact, Tier::Resume));
    assert_eq!(outcome.attempt_outcomes(), ["ECONNRESET", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_breaks_is_read_on_too_and_progress_restores_the_retries() {
    let all = events();
    let ends = [5, 6, 9, 10, 11, 15, 16, 17];
    let script = std::iter::once(0).chain(ends).zip(ends).map(|(from, to)| reply(&all[from..to]).reset());
    let harness = Harness::new(
        json!({ "retry": { "baseDelayMs": 10 }, "maxRetries": 1, "recovery": { "maxRecoveries": 50 } }),
        script.collect(),
    );
    let outcome = run(&harness, json!({})).await;
    assert_eq!(delivered(&outcome), uncut());
    assert_eq!(outcome.answer().recoveries, 7);
    assert_eq!(harness.request_times(), [0; 8], "after progress the first request does not wait");
    assert!(outcome.answer().joins.iter().all(|join| join.tier == Tier::Resume));

    // Without progress the retries end.
    let harness = Harness::new(options(), vec![reply(&all[..5]).reset(), stream().reset(), stream().reset()]);
    let outcome = run(&harness, json!({})).await;
    assert_eq!(outcome.error().kind, Kind::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn events_that_come_twice_are_delivered_once_and_missing_ones_are_requested() {
    let all = events();
    let twice = [&all[..6], &all[4..6], &all[6..]].concat();
    let harness = Harness::new(options(), vec![reply(&twice)]);
    assert_eq!(delivered(&run(&harness, json!({})).await), uncut());

    // Out of order: the gap ends the attempt, and the provider has the events in order.
    let mixed = [&all[..8], &all[9..10], &all[8..9], &all[10..]].concat();
    let harness = Harness::new(options(), vec![reply(&mixed), reply(&all[6..])]);
    assert_eq!(delivered(&run(&harness, json!({})).await), uncut());
    assert_eq!(harness.requests().len(), 2);

    // A provider whose numbers have holes is asked once.
    let mut holes = all.clone();
    holes.iter_mut().skip(6).for_each(|event| {
        event["sequence_number"] = (event["sequence_number"].as_u64().unwrap() * 2).into();
    });
    let harness = Harness::new(options(), vec![reply(&holes), reply(&holes[6..])]);
    let outcome = run(&harness, json!({})).await;
    assert_eq!(delivered(&outcome), holes.iter().map(sse).collect::<String>());
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_refused_is_continued_in_another_way() {
    let all = events();
    let text_only: Vec<Value> = all.iter().filter(|event| event["output_index"] != 0).cloned().collect();
    let mut text_only = text_only[..6].to_vec();
    text_only.iter_mut().enumerate().for_each(|(number, event)| event["sequence_number"] = number.into());
    let rest = [
        json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "resp_2", "output": [] } }),
        json!({ "type": "response.output_text.delta", "sequence_number": 1, "output_index": 0, "content_index": 0, "delta": "and more" }),
        all[all.len() - 1].clone(),
    ];
    for (status, refusal) in [
        (404, "Response with id 'resp_1' not found."),
        (400, "This response can no longer be streamed because it is more than 5 minutes old."),
        (409, "conflict"),
        (401, "another key"),
    ] {
        let refused = error_response(status, "x", refusal);
        let harness = Harness::new(options(), vec![reply(&text_only).reset(), refused.clone(), reply(&rest)]);
        let outcome = run(&harness, json!({})).await;
        assert_eq!(outcome.text(), "ha and more", "{status}");
        let requests = harness.requests();
        assert_eq!(
            [&*requests[0].method, &*requests[1].method, &*requests[2].method],
            ["POST", "GET", "POST"]
        );
        assert_eq!(outcome.attempt_outcomes().len(), 3);
        assert!(outcome.answer().joins.iter().all(|join| join.tier != Tier::Resume));

        // Reasoning that was cut off can be continued by nobody else.
        let harness = Harness::new(options(), vec![reply(&all[..5]).reset(), refused.clone()]);
        let outcome = run(&harness, json!({})).await;
        let error = outcome.error();
        assert_eq!(error.kind, Kind::Interrupted);
        assert_eq!(error.cause.as_ref().unwrap().status, Some(status));
        assert!(error.snapshot.is_none() || error.snapshot.as_ref().unwrap().contains("resp_1"));

        // Of which nothing was delivered is requested again.
        let harness = Harness::new(options(), vec![reply(&all[..2]).reset(), refused, reply(&all)]);
        assert_eq!(delivered(&run(&harness, json!({})).await), uncut());
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_for_the_rest_is_asked_again_and_then_left() {
    let all = events();
    let harness = Harness::new(options(), vec![reply(&all[..5]).reset(), unavailable(), reply(&all[5..])]);
    let outcome = run(&harness, json!({})).await;
    assert_eq!(delivered(&outcome), uncut());
    assert_eq!(outcome.attempt_outcomes(), ["ECONNRESET", "SERVER_ERROR", "complete"]);

    // Its rest is nowhere else: another endpoint is not asked for it.
    let script = vec![reply(&all[..5]).reset(), unavailable(), unavailable()];
    let harness = Harness::two_endpoints(options(), script, vec![]);
    let outcome = run(&harness, json!({})).await;
    assert_eq!(outcome.error().kind, Kind::Interrupted);
    assert_eq!(harness.request_hosts(), "aaa");
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_requested_where_the_response_is_with_its_key() {
    let all = events();
    let harness = Harness::two_endpoints(options(), vec![reply(&all[..9]).reset(), reply(&all[9..])], vec![]);
    let outcome = run(&harness, json!({})).await;
    assert_eq!(delivered(&outcome), uncut());
    let requests = harness.requests();
    assert_eq!(requests[1].header("authorization"), Some("Bearer key-of-a"));
    assert_eq!(requests[1].header("x-of"), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_read_on_is_charged_once() {
    let all = events();
    let cost = json!({ "prices": { "m": { "input": 1, "output": 10 } } });
    let mut options = options();
    options["cost"] = cost;
    for cut in [3, 9, 14] {
        let harness = Harness::new(options.clone(), vec![reply(&all[..cut]).reset(), reply(&all)]);
        let outcome = run(&harness, json!({})).await;
        assert_eq!(outcome.answer().cost_usd, Some((5.0 + 70.0) / 1e6), "cut at {cut}");
    }
    // Without the rest, what was sent and received is charged.
    let harness = Harness::new(options, vec![reply(&all[..5]).reset(), error_response(404, "x", "gone")]);
    run(&harness, json!({})).await.error();
    assert!(harness.client.cost().to_string().contains("spent"));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_has_failed_is_not_read_on() {
    let all = events();
    let failed = json!({ "type": "response.failed", "sequence_number": 9, "response": { "id": "resp_1", "status": "failed", "error": { "code": "server_error", "message": "no" } } });
    let broken = [&all[..9], &[failed]].concat();
    let harness = Harness::new(options(), vec![reply(&broken)]);
    let outcome = run(&harness, json!({ "maxRetries": 0 })).await;
    assert!(outcome.result.is_err());
    assert_eq!(harness.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_process_reads_the_stream_on_from_a_snapshot() {
    let all = events();
    let script = vec![reply(&all[..10]).reset(), unavailable(), unavailable()];
    let harness = Harness::new(options(), script);
    let outcome = run(&harness, json!({ "recovery": { "maxRecoveries": 2 } })).await;
    let json = outcome.error().snapshot.clone().unwrap();
    let snapshot = Snapshot::parse(&json).unwrap();
    assert_eq!(snapshot.dialect.as_deref(), Some("responses"));
    let response = snapshot.response.clone().unwrap();
    assert_eq!((&*response.id, response.sequence_number, &*response.endpoint), ("resp_1", Some(9), "a"));

    let harness = Harness::new(options(), vec![reply(&all[10..])]);
    let call = |mode, snapshot| TestCall {
        dialect: Responses,
        request: request(),
        mode,
        snapshot: Some(snapshot),
        ..TestCall::default()
    };
    let outcome = harness.run(call(DeliveryMode::Chunks, snapshot.clone())).await;
    assert_eq!(delivered(&outcome), all[10..].iter().map(sse).collect::<String>());
    assert_eq!(outcome.text(), "ha ha ha ");
    assert_eq!(paths(&harness), ["/responses/resp_1?stream=true&starting_after=9"]);

    let harness = Harness::new(options(), vec![reply(&all[10..])]);
    let outcome = harness.run(call(DeliveryMode::Text, snapshot.clone())).await;
    assert_eq!((outcome.deltas().concat(), outcome.text()), ("ha ".into(), "ha ha ha "));

    // It is gone: the text is continued, unless more than text was delivered that is not complete.
    let gone = || error_response(404, "x", "gone");
    let more = json!({ "type": "response.output_text.delta", "sequence_number": 1, "output_index": 0, "content_index": 0, "delta": "and more." });
    let rest = [all[0].clone(), more, all[all.len() - 1].clone()];
    let harness = Harness::new(options(), vec![gone(), reply(&rest)]);
    let outcome = harness.run(call(DeliveryMode::Text, snapshot.clone())).await;
    assert_eq!((outcome.deltas().concat(), outcome.text()), ("and more.".into(), "ha ha and more."));
    let mut only_there = snapshot;
    only_there.response.as_mut().unwrap().only_there = true;
    let harness = Harness::new(options(), vec![gone()]);
    let outcome = harness.run(call(DeliveryMode::Text, only_there)).await;
    assert_eq!(outcome.error().kind, Kind::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn a_background_response_has_no_hedge() {
    let all = events();
    let mut slow = options();
    slow["hedge"] = json!({ "afterMs": 10 });
    let script = vec![all.iter().fold(stream().wait(100), |reply, event| reply.raw(&sse(event)))];
    let harness = Harness::two_endpoints(slow, script, vec![]);
    assert_eq!(delivered(&run(&harness, json!({})).await), uncut());
}
