//! Recovery of broken answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{
    RecordedRequest, Reply, answer, chunk, error_response, status, stream, unavailable, usage_chunk,
};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;
use crate::session::snapshot::Snapshot;

pub(super) fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 } })
}

pub(super) fn broken(text: &str) -> Reply {
    stream().delta(text).reset()
}

pub(super) fn text(outcome: &Outcome) -> String {
    outcome.deltas().concat()
}

pub(super) fn messages(harness: &Harness, index: usize) -> Vec<Value> {
    harness.requests()[index].json()["messages"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_requested_and_duplicate_text_is_removed() {
    for (rest, kind) in [
        (" fox jumps.", "exact"),
        ("time: the quick brown fox jumps.", "overlap"),
        ("brown fox jumps.", "word"),
        ("Once upon a time: the quick brown fox jumps.", "restart"),
    ] {
        let first = broken("Once upon a time: the quick brown");
        let harness = Harness::new(options(), vec![first, answer(&[rest])]);
        let outcome = harness.call().await;
        assert_eq!(text(&outcome), "Once upon a time: the quick brown fox jumps.", "{kind}");
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!((&result["recoveries"], &result["joins"][0]["kind"]), (&json!(1), &json!(kind)));
        assert_eq!(result["text"], text(&outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_is_built_from_the_original_messages() {
    let script = vec![broken("one "), broken("two "), answer(&["three"])];
    let harness = Harness::new(options(), script);
    assert_eq!(text(&harness.call().await), "one two three");
    let second = messages(&harness, 1);
    let third = messages(&harness, 2);
    assert_eq!(second[0], json!({ "role": "user", "content": "hi" }));
    assert_eq!(second[1], json!({ "role": "assistant", "content": "one " }));
    assert_eq!(third[1], json!({ "role": "assistant", "content": "one two " }));
    assert_eq!((second.len(), third.len()), (3, 3));
    assert!(third[2]["content"].as_str().unwrap().contains("one two "));
    let requests = harness.requests();
    let keys: Vec<_> = requests.iter().map(|request| request.idempotency_key()).collect();
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_style_is_replaced_by_another_at_once() {
    let rejected = error_response(400, "invalid", "the last message must be the user's");
    let harness = Harness::new(options(), vec![broken("half "), rejected, answer(&["whole"])]);
    let outcome = harness.call().await;
    assert_eq!(text(&outcome), "half whole");
    assert_eq!(messages(&harness, 2)[1]["role"], "system");
    let times = harness.request_times();
    assert_eq!(times[2], times[1]);
}

#[tokio::test(start_paused = true)]
async fn the_call_is_interrupted_if_every_style_is_rejected() {
    let rejected = || error_response(400, "invalid", "no");
    let harness = Harness::new(options(), vec![broken("half "), rejected(), rejected(), rejected()]);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!((error.kind, error.partial.as_deref()), (Kind::Interrupted, Some("half ")));
    let cause = error.cause.as_ref().unwrap();
    assert_eq!((cause.kind, cause.status), (Kind::ContinuationMismatch, Some(400)));
    assert!(error.message.contains("rejects every continuation style"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_rejects_every_style_fails_over_and_the_next_one_gets_the_first_style() {
    let rejected = || error_response(400, "invalid", "no");
    let harness = Harness::two_endpoints(
        options(),
        vec![broken("half "), answer(&["whole"])],
        vec![rejected(), rejected(), rejected()],
    );
    let outcome = harness.call().await;
    assert_eq!((text(&outcome).as_str(), harness.request_hosts().as_str()), ("half whole", "abbba"));
    assert_eq!(messages(&harness, 2)[1]["role"], "system");
    let last = messages(&harness, 4);
    assert_eq!((last.len(), &last[1]["role"]), (3, &json!("assistant")));
}

#[tokio::test(start_paused = true)]
async fn a_style_that_one_route_rejects_is_still_used_on_another() {
    let b = vec![error_response(400, "invalid", "no"), unavailable()];
    let harness = Harness::two_endpoints(options(), vec![broken("half "), answer(&["whole"])], b);
    let outcome = harness.call().await;
    assert_eq!((text(&outcome).as_str(), harness.request_hosts().as_str()), ("half whole", "abba"));
    let first = |index: usize| messages(&harness, index)[1]["role"].clone();
    assert_eq!([first(1), first(2), first(3)], ["assistant", "system", "assistant"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_diverges_is_not_joined() {
    let other = answer(&["Once upon a time there was no king."]);
    let same = answer(&["Once upon a time: the end."]);
    let harness = Harness::new(options(), vec![broken("Once upon a time: the"), other, same]);
    assert_eq!(text(&harness.call().await), "Once upon a time: the end.");
}

#[tokio::test(start_paused = true)]
async fn an_error_response_to_a_recovery_is_retried_like_any_other() {
    let harness = Harness::new(options(), vec![broken("a "), unavailable(), answer(&["b"])]);
    let outcome = harness.call().await;
    assert_eq!((text(&outcome).as_str(), harness.requests().len()), ("a b", 3));
}

#[tokio::test(start_paused = true)]
async fn progress_resets_the_retries_and_recoveries_are_limited() {
    let deltas = ["one ", "two ", "three ", "four ", "five ", "six ", "seven "];
    let script = || deltas.iter().map(|delta| broken(delta)).chain([answer(&["end"])]).collect::<Vec<_>>();
    let mut unlimited = options();
    unlimited["maxRetries"] = json!(1);
    unlimited["recovery"] = json!({ "maxRecoveries": 9 });
    let all = deltas.concat() + "end";
    assert_eq!(text(&Harness::new(unlimited, script()).call().await), all);
    let harness = Harness::new(options(), script());
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, text(&outcome)), (Kind::Interrupted, deltas[..6].concat()));
    assert_eq!(harness.requests().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_delivered_until_the_end_can_be_continued_too() {
    let mut options = options();
    options["recovery"] = json!({ "buffered": "continue" });
    let harness = Harness::new(options.clone(), vec![broken("one half, "), answer(&["and the other"])]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    assert_eq!(outcome.text(), "one half, and the other");
    assert_eq!(messages(&harness, 1)[1], json!({ "role": "assistant", "content": "one half, " }));
    let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
    assert_eq!((&result["recoveries"], result["segments"].as_array().unwrap().len()), (&json!(1), 2));
    // An attempt without new text is not progress, so the retries run out.
    let harness = Harness::new(options, (0..4).map(|_| broken("half")).collect());
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::Interrupted, 4));
    assert_eq!(outcome.error().partial.as_deref(), Some("half"));
}

#[tokio::test(start_paused = true)]
async fn an_undelivered_answer_that_is_not_resumable_is_requested_again() {
    for field in [json!({ "n": 2 }), json!({ "response_format": { "type": "json_object" } })] {
        let mut request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        request.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        let mut second = stream().delta("whole").finish();
        if field.get("n").is_some() {
            let mut other = chunk(json!({ "content": "other" }), Some("stop"));
            other["choices"][0]["index"] = json!(1);
            second = second.event(&other);
        }
        let harness = Harness::new(options(), vec![broken("half"), second.done()]);
        let outcome =
            harness.run(TestCall { request, mode: DeliveryMode::Nothing, ..TestCall::default() }).await;
        assert_eq!((outcome.text(), messages(&harness, 1).len()), ("whole", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_after_a_break_have_the_identity_of_the_first() {
    let mut second = stream();
    for (delta, finish) in [(json!({ "role": "assistant" }), None), (json!({ "content": "b" }), Some("stop"))]
    {
        let mut event = chunk(delta, finish);
        event["id"] = json!("chatcmpl-2");
        event["model"] = json!("other");
        second = second.event(&event);
    }
    let harness = Harness::new(options(), vec![broken("a "), second.done()]);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    let chunks: Vec<Value> =
        outcome.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk["id"] == "chatcmpl-1" && chunk["model"] == "m-2025"));
    let joined: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(joined, "a b");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_text_yet_is_requested_with_the_original_request() {
    let reasoning = |text: &str| chunk(json!({ "reasoning_content": text }), None);
    let tool_call = |arguments: &str| {
        let function = json!({ "name": "weather", "arguments": arguments });
        chunk(json!({ "tool_calls": [{ "index": 0, "id": "c", "function": function }] }), None)
    };
    let thinks = || stream().event(&reasoning("hm"));
    let calls = stream()
        .event(&reasoning("again"))
        .event(&tool_call("{}"))
        .event(&chunk(json!({}), Some("tool_calls")))
        .done();
    for (first, rest, text, tool_calls) in [
        (thinks().reset(), answer(&["Hi"]), "Hi", 0),
        (thinks().event(&tool_call("{\"ci")).reset(), calls, "", 1),
    ] {
        let harness = Harness::new(options(), vec![first, rest]);
        let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
        let [first, second] = &harness.requests()[..] else { panic!("not two requests") };
        assert_eq!((&first.body, first.idempotency_key()), (&second.body, second.idempotency_key()));
        let choice = outcome.answer().journal.first_choice();
        assert_eq!((choice.text.as_str(), choice.tool_calls.len()), (text, tool_calls));
        assert_eq!(choice.reasoning, "hm", "repeated reasoning is not delivered");
        assert!(outcome.answer().joins.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_is_delivered_once_complete_and_requested_again_after_a_break() {
    let part = |arguments: &str, first: bool| {
        let mut call = json!({ "index": 0, "function": { "arguments": arguments } });
        if first {
            call["id"] = json!("call_1");
            call["function"]["name"] = json!("weather");
        }
        chunk(json!({ "tool_calls": [call] }), None)
    };
    let cut = stream().event(&part("{\"ci", true)).reset();
    let complete = stream()
        .event(&part("{\"city\":", true))
        .event(&part("\"Huế\"}", false))
        .event(&chunk(json!({}), Some("tool_calls")))
        .done();
    let harness = Harness::new(options(), vec![cut, complete]);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    let chunks: Vec<Value> =
        outcome.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    let calls: Vec<&Value> =
        chunks.iter().map(|c| &c["choices"][0]["delta"]["tool_calls"]).filter(|c| !c.is_null()).collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0][0]["function"], json!({ "name": "weather", "arguments": "{\"city\":\"Huế\"}" }));
}

#[tokio::test(start_paused = true)]
async fn max_tokens_is_reduced_by_the_received_text_and_zero_ends_with_length() {
    let request = |max: u64| json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": max });
    let cut = || stream().delta("a ").delta("b ").reset();
    let harness = Harness::new(options(), vec![cut(), answer(&["c"])]);
    let outcome = harness.run(TestCall { request: request(10), ..TestCall::default() }).await;
    assert_eq!((text(&outcome).as_str(), &harness.requests()[1].json()["max_tokens"]), ("a b c", &json!(8)));
    let harness = Harness::new(options(), vec![cut()]);
    let outcome = harness.run(TestCall { request: request(2), ..TestCall::default() }).await;
    assert_eq!(harness.requests().len(), 1);
    assert_eq!(outcome.answer().journal.first_choice().finish_reason.as_deref(), Some("length"));
}

#[tokio::test(start_paused = true)]
async fn json_is_requested_again_and_must_repeat_the_delivered_text() {
    let request = json!({
        "messages": [{ "role": "user", "content": "hi" }], "response_format": { "type": "json_object" }
    });
    let script = vec![broken("{\"a\":"), answer(&["{\"b\":2}"]), answer(&["{\"a\":1}"])];
    let harness = Harness::new(options(), script);
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(text(&outcome), "{\"a\":1}");
    assert_eq!(messages(&harness, 1).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn several_choices_and_logprobs_are_not_continued() {
    for field in [json!({ "n": 2 }), json!({ "logprobs": true })] {
        let mut request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        request.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        let harness = Harness::new(options(), vec![broken("half")]);
        let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
        assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::Interrupted, 1));
        assert!(outcome.error().message.contains("cannot be continued"));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_the_sum_over_the_attempts_that_reported_it() {
    let first = stream().delta("a ").event(&usage_chunk(3)).reset();
    let second = stream().delta("b").finish().event(&usage_chunk(4)).done();
    let harness = Harness::new(options(), vec![first, second]);
    let outcome = harness.call().await;
    assert_eq!(outcome.answer().journal.usage.as_ref().unwrap()["total_tokens"], 7);
}

#[tokio::test(start_paused = true)]
async fn the_next_model_continues_and_the_result_lists_the_segments() {
    let mut options = options();
    options["fallbackModels"] = json!(["m2"]);
    options["maxRetries"] = json!(0);
    let harness = Harness::new(options, vec![broken("ab "), answer(&["cde"])]);
    let outcome = harness.call().await;
    let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
    let segments: Vec<_> = result["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["model"].clone(), p["characters"].clone()))
        .collect();
    assert_eq!(segments, [(json!("gpt-4.1"), json!(3)), (json!("m2"), json!(3))]);
}

#[tokio::test(start_paused = true)]
async fn a_key_rejected_in_mid_answer_interrupts_the_call() {
    let harness = Harness::new(options(), vec![broken("half "), status(401)]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.error().status), (Kind::Interrupted, Some(401)));
}

#[tokio::test(start_paused = true)]
async fn a_break_costs_one_request_and_no_time() {
    let delivered = "Once upon a time: the quick brown f";
    for rest in [
        "ox jumps.",
        "a time: the quick brown fox jumps.",
        "fox jumps.",
        "Once upon a time: the quick brown fox jumps.",
    ] {
        let deltas: Vec<String> = rest.chars().map(String::from).collect();
        let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
        let harness = Harness::new(options(), vec![broken(delivered), answer(&deltas)]);
        let outcome = harness.call().await;
        assert_eq!(text(&outcome), "Once upon a time: the quick brown fox jumps.");
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!((harness.requests().len(), &result["joins"][0]["bufferedMs"]), (2, &json!(0)), "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_carries_the_session_id_in_the_places_its_endpoint_configures() {
    let mut options = options();
    options["endpoints"] = json!([
        { "name": "a", "baseUrl": "http://a/v1", "sendSessionId": "both" }, { "name": "b", "baseUrl": "http://b/v1" },
    ]);
    let harness =
        Harness::with_hosts(options, vec![("a", vec![broken("half ")]), ("b", vec![answer(&["whole"])])]);
    let outcome = harness.call_with(json!({ "sessionId": "mine" })).await;
    assert_eq!(text(&outcome), "half whole");
    let session_id =
        |r: &Arc<RecordedRequest>| (r.header("x-session-id") == Some("mine"), r.json()["session_id"].clone());
    let session_ids: Vec<_> = harness.requests().iter().map(session_id).collect();
    assert_eq!(session_ids, [(true, json!("mine")), (true, Value::Null)]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_resumes_even_if_recovery_is_off() {
    for recovery in [json!({}), json!(false), json!({ "mode": "restart" })] {
        let harness = Harness::new(options(), vec![broken("one "), status(401)]);
        let outcome = harness.call().await;
        let snapshot = Snapshot::parse(outcome.error().snapshot.as_deref().unwrap()).unwrap();
        let harness = Harness::new(json!({ "recovery": recovery }), vec![answer(&["two"])]);
        let outcome = harness.run(TestCall { snapshot: Some(snapshot), ..TestCall::default() }).await;
        assert_eq!((text(&outcome).as_str(), outcome.text()), ("two", "one two"), "{recovery}");
        let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
        assert_eq!((&result["recoveries"], result["attempts"].as_array().unwrap().len()), (&json!(2), 3));
        assert_eq!(result["attempts"][2]["attempt"], 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_usage_of_a_resumed_answer_includes_that_of_the_snapshot() {
    let mut snapshot = Snapshot::new("s".into());
    snapshot.answer.text = "one ".into();
    snapshot.usage = Some(json!({ "total_tokens": 10 }));
    let harness = Harness::new(options(), vec![stream().delta("two").finish().usage(5).done()]);
    let outcome = harness.run(TestCall { snapshot: Some(snapshot), ..TestCall::default() }).await;
    assert_eq!(outcome.answer().journal.usage, Some(json!({ "total_tokens": 15 })));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_not_resumable_fails_before_a_request() {
    let mut snapshot = Snapshot::new("s".into());
    snapshot.answer.text = "half".into();
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "n": 2 });
    let harness = Harness::new(options(), vec![]);
    let outcome = harness.run(TestCall { request, snapshot: Some(snapshot), ..TestCall::default() }).await;
    assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::Interrupted, 0));
    assert!(outcome.error().message.contains("several choices"));
    assert_eq!(outcome.error().partial.as_deref(), Some("half"));
}
