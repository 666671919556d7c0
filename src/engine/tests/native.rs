//! Providers that continue the assistant turn themselves, and answers of which nothing was delivered.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, answer, error_response, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;
use crate::session::snapshot::Snapshot;
use crate::wire::dialect::Dialect;

fn with(continuation: &str) -> Value {
    json!({ "retry": { "baseDelayMs": 10 }, "continuation": continuation })
}

fn broken(text: &str) -> Reply {
    stream().delta(text).reset()
}

fn rejected(status: u16) -> Reply {
    error_response(status, "invalid_request_error", "the last message must be the user's")
}

fn text(outcome: &Outcome) -> String {
    outcome.deltas().concat()
}

fn turn(harness: &Harness, index: usize) -> Value {
    harness.requests()[index].json()["messages"].as_array().unwrap().last().unwrap().clone()
}

fn join(outcome: &Outcome) -> Value {
    let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
    result["joins"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn each_form_is_one_request_with_its_fields_and_the_rest_is_compared_with_nothing() {
    let turn_of = |fields: Value| {
        let mut turn = json!({ "role": "assistant", "content": "la la la\nla la la" });
        turn.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        turn
    };
    for (form, body, message) in [
        (
            "continue_final_message",
            json!({ "continue_final_message": true, "add_generation_prompt": false }),
            json!({}),
        ),
        ("prefix", json!({}), json!({ "prefix": true })),
        ("partial", json!({}), json!({ "partial": true })),
        ("assistant", json!({}), json!({})),
    ] {
        // The same lines again, which an overlap rule would drop.
        let rest = answer(&["\nla la la", "\nla la la\n", "that is all"]);
        let harness = Harness::new(with(form), vec![broken("la la la\nla la la"), rest]);
        let outcome = harness.call().await;
        assert_eq!(text(&outcome), "la la la\nla la la\nla la la\nla la la\nthat is all", "{form}");
        assert_eq!((turn(&harness, 1), harness.requests().len()), (turn_of(message), 2));
        let sent = harness.requests()[1].json();
        for field in ["continue_final_message", "add_generation_prompt"] {
            assert_eq!(sent.get(field), body.get(field), "{form}");
        }
        let join = join(&outcome);
        assert_eq!((&join["kind"], &join["tier"]), (&json!("exact"), &json!("native")));
        assert_eq!(outcome.answer().recoveries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_fields_of_a_form_replace_those_of_the_caller() {
    let harness = Harness::new(with("continue_final_message"), vec![broken("half"), answer(&[" whole"])]);
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 50,
        "add_generation_prompt": true });
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(text(&outcome), "half whole");
    let raw = String::from_utf8(harness.requests()[1].body.to_vec()).unwrap();
    assert_eq!(raw.matches("add_generation_prompt").count(), 1, "{raw}");
    assert_eq!(harness.requests()[1].json()["max_tokens"], 49);
    assert_eq!(harness.requests()[0].json()["add_generation_prompt"], true);
}

#[tokio::test(start_paused = true)]
async fn white_space_at_the_cut_is_not_sent_and_delivered_once() {
    for (delivered, rest, whole) in [
        ("one two ", &[" three"][..], "one two three"),
        ("one two ", &["three"], "one two three"),
        ("one\n\n", &["\n", "\ntwo"], "one\n\ntwo"),
        ("f:\n    ", &["\n        x"], "f:\n        x"),
        (" \n", &[" \n", "one"], " \none"),
    ] {
        let harness = Harness::new(with("assistant"), vec![broken(delivered), answer(rest)]);
        let outcome = harness.call().await;
        assert_eq!(text(&outcome), whole);
        let partial = delivered.trim_end();
        let expected = if partial.is_empty() { json!("hi") } else { json!(partial) };
        assert_eq!(turn(&harness, 1)["content"], expected, "an empty turn is not sent");
        let dropped = delivered.len() + rest.concat().len() - whole.len();
        assert_eq!(join(&outcome)["trimmed"], dropped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_form_is_replaced_at_once_and_never_sent_to_that_route_again() {
    for status in [400, 422] {
        let script = || vec![broken("half "), rejected(status), answer(&["whole"])];
        let mut all = script();
        all.extend([broken("half "), answer(&["whole"])]);
        all.extend(script());
        let harness = Harness::new(with("prefix"), all);
        let outcome = harness.call().await;
        assert_eq!((text(&outcome).as_str(), outcome.answer().recoveries), ("half whole", 1));
        assert_eq!(
            (turn(&harness, 1)["prefix"].clone(), turn(&harness, 2)["role"].clone()),
            (json!(true), json!("user"))
        );
        let times = harness.request_times();
        assert_eq!(times[2], times[1]);
        // The next call asks the model at once.
        assert_eq!(text(&harness.call().await), "half whole");
        assert_eq!((harness.requests().len(), turn(&harness, 4)["role"].clone()), (5, json!("user")));
        // Another model is another route.
        let request = json!({ "model": "other", "messages": [{ "role": "user", "content": "hi" }] });
        assert_eq!(text(&harness.run(TestCall { request, ..TestCall::default() }).await), "half whole");
        assert_eq!((harness.requests().len(), turn(&harness, 6)["prefix"].clone()), (8, json!(true)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_rejects_every_form_was_asked_three_times_and_nothing_is_remembered() {
    let mut options = with("prefix");
    options["recovery"] = json!({ "style": "anchored" });
    let mut script = vec![broken("half of an answer that is long enough ")];
    script.extend((0..3).map(|_| rejected(400)));
    script.extend([broken("half "), answer(&["whole"])]);
    let harness = Harness::new(options, script);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::Interrupted, 4));
    assert_eq!(text(&harness.call().await), "half whole");
    assert_eq!(turn(&harness, 5)["prefix"], true);
}

#[tokio::test(start_paused = true)]
async fn each_route_is_asked_in_its_own_form() {
    let mut options = with("none");
    options["endpoints"] = json!([
        { "name": "a", "baseUrl": "http://a/v1", "continuation": "prefix" },
        { "name": "b", "baseUrl": "http://b/v1", "continuation": "continue_final_message" },
        { "name": "c", "baseUrl": "http://c/v1" },
    ]);
    options["maxRetries"] = json!(0);
    let scripts = vec![
        ("a", vec![broken("one ")]),
        ("b", vec![broken("two ")]),
        ("c", vec![answer(&["one two three"])]),
    ];
    let harness = Harness::with_hosts(options, scripts);
    let outcome = harness.call().await;
    assert_eq!((text(&outcome).as_str(), harness.request_hosts().as_str()), ("one two three", "abc"));
    assert_eq!(turn(&harness, 1), json!({ "role": "assistant", "content": "one" }));
    assert_eq!(harness.requests()[1].json()["continue_final_message"], true);
    assert_eq!(turn(&harness, 2)["role"], "user");
    let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
    let tiers: Vec<_> = result["joins"].as_array().unwrap().iter().map(|join| join["tier"].clone()).collect();
    assert_eq!(tiers, [json!("native"), json!("verified")]);
}

#[tokio::test(start_paused = true)]
async fn a_known_host_needs_no_option_and_none_turns_it_off() {
    for (continuation, role) in [("auto", "assistant"), ("none", "user")] {
        let mut options = with(continuation);
        options["baseUrl"] = json!("https://api.mistral.ai/v1");
        let script = vec![broken("one two three, "), answer(&["one two three, four"])];
        let harness = Harness::with_hosts(options, vec![("api.mistral.ai", script)]);
        let outcome = harness.call().await;
        assert_eq!(turn(&harness, 1)["role"], role, "{continuation}");
        let whole = if role == "user" { "one two three, four" } else { "one two three, one two three, four" };
        assert_eq!(text(&outcome), whole);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_caller_began_is_continued_in_one_turn() {
    let harness = Harness::new(with("prefix"), vec![broken(" of a"), answer(&[" whole"])]);
    let request = json!({ "messages": [
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": "half", "prefix": true },
    ] });
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(text(&outcome), " of a whole");
    assert_eq!(turn(&harness, 1), json!({ "role": "assistant", "content": "half of a", "prefix": true }));
    assert_eq!(harness.requests()[1].json()["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_the_provider_repeats_is_delivered_once() {
    let repeated = "The quick brown fox";
    let harness =
        Harness::new(with("prefix"), vec![broken("quick brown fox "), answer(&[repeated, " jumps"])]);
    let request = json!({ "messages": [
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": "The " },
    ] });
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(text(&outcome), "quick brown fox jumps");
    assert_eq!(
        (turn(&harness, 1)["content"].clone(), join(&outcome)["trimmed"].clone()),
        (json!(repeated), json!(20))
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_resumed_natively() {
    let mut options = with("assistant");
    options["maxRetries"] = json!(0);
    let harness = Harness::new(options, vec![broken("one two "), answer(&[" three"])]);
    let outcome = harness.call().await;
    let snapshot = Snapshot::parse(outcome.error().snapshot.as_ref().unwrap()).unwrap();
    let resumed = harness.run(TestCall { snapshot: Some(snapshot), ..TestCall::default() }).await;
    assert_eq!((resumed.text(), text(&resumed).as_str()), ("one two three", "three"));
    assert_eq!(join(&resumed)["tier"], "native");
}

#[tokio::test(start_paused = true)]
async fn claude_continues_its_turn_up_to_4_5_unless_it_thinks_first() {
    let event = |reply: Reply, data: Value| {
        reply.raw(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()))
    };
    let message = |reply: Reply, text: &str| {
        let message = json!({ "id": "a", "type": "message", "role": "assistant", "model": "m", "content": [],
            "usage": { "input_tokens": 1, "output_tokens": 1 } });
        let reply = event(reply, json!({ "type": "message_start", "message": message }));
        let block = json!({ "type": "text", "text": "" });
        let reply =
            event(reply, json!({ "type": "content_block_start", "index": 0, "content_block": block }));
        let delta = json!({ "type": "text_delta", "text": text });
        event(reply, json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
    };
    let end = |reply: Reply| {
        let reply = event(reply, json!({ "type": "content_block_stop", "index": 0 }));
        let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
        let usage = json!({ "output_tokens": 2 });
        let reply = event(reply, json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        event(reply, json!({ "type": "message_stop" }))
    };
    for (model, thinking, role) in [
        ("claude-haiku-4-5", json!(null), "assistant"),
        ("claude-haiku-4-5", json!({ "type": "disabled" }), "assistant"),
        ("claude-haiku-4-5", json!({ "type": "enabled", "budget_tokens": 1024 }), "user"),
        ("claude-opus-4-6", json!(null), "user"),
    ] {
        let options = json!({ "retry": { "baseDelayMs": 10 }, "baseUrl": "https://api.anthropic.com/v1" });
        let script = vec![message(stream(), "one two ").reset(), end(message(stream(), " three"))];
        let harness = Harness::with_hosts(options, vec![("api.anthropic.com", script)]);
        let mut request = json!({ "model": model, "max_tokens": 100, "stream": true,
            "messages": [{ "role": "user", "content": "hi" }] });
        if !thinking.is_null() {
            request["thinking"] = thinking;
        }
        let call = TestCall {
            dialect: Dialect::Messages,
            request,
            mode: DeliveryMode::Chunks,
            ..TestCall::default()
        };
        let outcome = harness.run(call).await;
        assert_eq!(turn(&harness, 1)["role"], role, "{model}");
        if role == "assistant" {
            assert_eq!(outcome.text(), "one two three");
            assert_eq!(turn(&harness, 1)["content"], "one two");
        }
    }
}

/// A call that waits for its whole answer, of at most 100 tokens.
async fn whole(harness: &Harness, buffered: &str) -> Outcome {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 100 });
    let options = json!({ "recovery": { "buffered": buffered } });
    harness.run(TestCall { request, options, mode: DeliveryMode::Nothing, ..TestCall::default() }).await
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_yet_is_continued_where_the_provider_does_it_and_else_requested_again() {
    for (continuation, buffered, continues) in [
        ("prefix", "auto", true),
        ("none", "auto", false),
        ("none", "continue", true),
        ("prefix", "restart", false),
        ("prefix", "continue", true),
    ] {
        let first = stream().delta("one ").delta("two ").usage(7).reset();
        // A native form is sent without the white space at its end.
        let second = match (continues, continuation) {
            (false, _) => "1, 2, 3",
            (true, "prefix") => " three",
            (true, _) => "three",
        };
        let second = answer(&[second]);
        let harness = Harness::new(with(continuation), vec![first, second]);
        let outcome = whole(&harness, buffered).await;
        let [first, second] = &harness.requests()[..] else { panic!("two requests") };
        let expected = if continues { "one two three" } else { "1, 2, 3" };
        assert_eq!(outcome.text(), expected, "{continuation} {buffered}");
        assert_eq!(first.json() != second.json(), continues);
        // A new answer may use all the tokens, and an idempotent provider may know the request.
        assert_eq!(second.json()["max_tokens"], if continues { 98 } else { 100 });
        assert_eq!(first.idempotency_key() != second.idempotency_key(), continues);
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!(result["recoveries"], u32::from(continues));
        assert_eq!(result["joins"].as_array().unwrap().len(), usize::from(continues));
        assert_eq!(result["segments"].as_array().unwrap().len(), 1 + usize::from(continues));
        assert_eq!(outcome.answer().attempts.len(), 2);
        assert_eq!(result["usage"]["total_tokens"], 7, "the usage of the broken attempt counts");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_answer_uses_up_the_retries_and_its_error_has_what_was_received() {
    let harness = Harness::new(with("none"), (0..4).map(|_| broken("half")).collect());
    let outcome = whole(&harness, "auto").await;
    let error = outcome.error();
    assert_eq!((error.kind, harness.requests().len()), (Kind::Interrupted, 4));
    assert_eq!(error.cause.as_ref().unwrap().kind, Kind::RetriesExhausted);
    assert_eq!(error.partial.as_deref(), Some("half"));
    // Resuming from the snapshot continues it all the same.
    let snapshot = Snapshot::parse(error.snapshot.as_ref().unwrap()).unwrap();
    assert_eq!((snapshot.answer.text.as_str(), snapshot.recoveries), ("half", 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_rejects_the_form_is_asked_again_for_what_nobody_has() {
    let harness = Harness::new(with("prefix"), vec![broken("half "), rejected(400), answer(&["the whole"])]);
    let outcome = whole(&harness, "auto").await;
    assert_eq!(outcome.text(), "the whole");
    let requests = harness.requests();
    assert_eq!((requests.len(), requests[2].json()), (3, requests[0].json()));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_yet_is_requested_again_from_a_route_that_does_not_continue_it() {
    let mut options = json!({ "maxRetries": 0, "retry": { "baseDelayMs": 10 } });
    options["endpoints"] = json!([
        { "name": "a", "baseUrl": "http://a/v1", "continuation": "prefix" },
        { "name": "b", "baseUrl": "http://b/v1" },
    ]);
    let scripts = vec![("a", vec![broken("half ")]), ("b", vec![answer(&["the whole"])])];
    let harness = Harness::with_hosts(options, scripts);
    let outcome = whole(&harness, "auto").await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("the whole", "ab"));
    let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
    assert_eq!((&result["recoveries"], result["segments"].as_array().unwrap().len()), (&json!(0), 1));
}
