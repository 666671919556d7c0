//! Bodies that violate the protocol.

use std::time::Duration;

use serde_json::json;

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, answer, chunk, error_response, status, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::{Error, Kind};

async fn once(reply: Reply) -> Outcome {
    Harness::new(json!({ "maxRetries": 0 }), vec![reply]).call().await
}

/// An answer that is not streamed.
fn document(text: &str) -> Reply {
    let body = json!({ "id": "a", "object": "chat.completion", "choices": [{ "index": 0,
        "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] });
    status(200).header("content-type", "application/json").raw(&body.to_string())
}

fn cause(outcome: &Outcome) -> &Error {
    outcome.error().cause.as_ref().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_stream_is_classified_like_any_other() {
    let error = |code: &str| json!({ "error": { "message": "no", "code": code } });
    for (code, kind) in [
        ("rate_limit_exceeded", Kind::RateLimit),
        ("server_error", Kind::Server),
        ("insufficient_quota", Kind::QuotaExhausted),
        ("context_length_exceeded", Kind::ContextLength),
    ] {
        let outcome = once(stream().header("x-request-id", "p-1").role().event(&error(code))).await;
        assert_eq!((outcome.error().kind, outcome.error().request_id.as_deref()), (kind, Some("p-1")));
    }
    let outcome = once(stream().delta("a").raw("event: error\ndata: overloaded\n\n")).await;
    assert_eq!((outcome.error().kind, cause(&outcome).kind), (Kind::Interrupted, Kind::Server));
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_stream_before_the_first_delta_is_retried_silently() {
    let overloaded = stream().role().event(&json!({ "error": { "message": "overloaded" } }));
    let harness = Harness::new(json!({}), vec![overloaded, answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.attempt_outcomes(), outcome.deltas()),
        (vec!["SERVER_ERROR".into(), "complete".into()], vec!["a".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_json_ends_the_attempt() {
    let outcome = once(stream().delta("a").raw("data: {oops}\n\n").delta("b").finish().done()).await;
    assert_eq!((cause(&outcome).kind, outcome.error().partial.as_deref()), (Kind::Malformed, Some("a")));
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_event_at_the_end_of_the_body_is_a_truncation() {
    for half in ["data: {\"choices\":[{\"delta\":{\"content\":\"b", "data: [DO", "data: ", "da"] {
        let outcome = once(stream().delta("a").raw(half)).await;
        assert_eq!((cause(&outcome).kind, outcome.error().partial.as_deref()), (Kind::Truncated, Some("a")));
    }
    let event = format!("data: {}", chunk(json!({ "content": "b" }), Some("stop")));
    assert_eq!(once(stream().delta("a").raw(&event)).await.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn html_or_json_instead_of_a_stream_is_named_and_not_retried() {
    for (kind, body, name) in [
        ("text/html; charset=utf-8", "<html>hi", "HTML page"),
        ("application/json", "{}", "not the requested stream"),
    ] {
        let reply = || status(200).header("content-type", kind).raw(body);
        let harness = Harness::new(json!({}), vec![reply()]);
        let outcome = harness.call().await;
        assert_eq!((outcome.error().kind, outcome.at), (Kind::Malformed, 0));
        assert!(outcome.error().message.contains(name), "{}", outcome.error());
        assert_eq!(outcome.error().body.as_deref(), Some(body));
        let harness = Harness::two_endpoints(json!({}), vec![reply()], vec![answer(&["a"])]);
        assert_eq!(harness.call().await.text(), "a");
        assert_eq!(harness.request_hosts(), "ab");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_longer_than_its_limit_is_too_large() {
    let mut reply = stream().raw("data: ");
    for _ in 0..17 {
        reply = reply.raw(&"x".repeat(64 * 1024));
    }
    let harness = Harness::new(json!({ "maxEventBytes": 1024 * 1024 }), vec![reply.stall()]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.error().kind, outcome.at, harness.request_times().len()),
        (Kind::ResponseTooLarge, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_an_error_and_is_not_followed() {
    let outcome = once(status(302).header("location", "http://evil/x?key=secret")).await;
    assert_eq!(outcome.error().kind, Kind::Redirect);
    assert!(!outcome.error().message.contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_body_stalls_has_the_partial_body() {
    let options = json!({ "maxRetries": 0, "idleTimeoutMs": 500 });
    let reply = status(503).header("content-type", "text/plain").raw("half").stall();
    let outcome = Harness::new(options, vec![reply]).call().await;
    assert_eq!((outcome.error().status, outcome.error().body.as_deref()), (Some(503), Some("half")));
    assert_eq!(outcome.at, 500);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_error_is_bounded() {
    let reply = (0..100).fold(status(500), |reply, _| reply.raw(&"y".repeat(16 * 1024)));
    let outcome = once(reply.stall()).await;
    assert_eq!((outcome.at, outcome.error().body.as_ref().unwrap().len()), (0, 2048));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_response_has_its_retry_after() {
    let outcome =
        once(error_response(429, "rate_limit_exceeded", "no").header("retry-after-ms", 1_500)).await;
    assert_eq!(outcome.error().retry_after, Some(Duration::from_millis(1_500)));
}

#[tokio::test(start_paused = true)]
async fn an_error_document_with_status_200_is_classified_and_its_retry_after_honored() {
    let body = json!({ "error": { "message": "slow down", "code": "rate_limit_exceeded" } }).to_string();
    let reply = status(200).header("content-type", "application/json").header("retry-after", 7).raw(&body);
    let harness = Harness::new(json!({}), vec![reply, answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.attempt_outcomes()[0].as_str(), harness.request_times()),
        ("RATE_LIMITED", vec![0, 7_000])
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_stream_is_requested_once_as_a_document_which_may_name_the_reason() {
    let reason = error_response(400, "context_length_exceeded", "too long");
    let harness = Harness::new(json!({}), vec![stream(), reason]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::ContextLength, 0));
    let requests = harness.requests();
    assert_eq!((&requests[0].json()["stream"], &requests[1].json()["stream"]), (&json!(true), &json!(false)));
    assert!(requests[1].json().get("stream_options").is_none());
    let harness = Harness::new(json!({}), vec![stream(), document("Hello")]);
    assert_eq!(harness.call().await.text(), "Hello");
    let harness = Harness::new(json!({ "maxRetries": 0 }), vec![stream()]);
    assert_eq!(harness.call().await.error().kind, Kind::Truncated);
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_a_document_gets_one_after_streams_that_are_cut_off_before_their_first_token() {
    let cut = || stream().role().done();
    let started = || stream().delta("a").done();
    let streamed = async |harness: &Harness, mode| {
        let outcome = harness.call_with_mode(mode).await;
        let forms: Vec<bool> =
            harness.requests().iter().map(|request| request.json()["stream"] == true).collect();
        (outcome.text().to_owned(), forms)
    };
    let whole = || document("Hello");
    let harness = Harness::new(json!({}), vec![cut(), cut(), whole()]);
    assert_eq!(streamed(&harness, DeliveryMode::Nothing).await, ("Hello".into(), vec![true, true, false]));
    // What arrived before is requested again.
    let harness = Harness::new(json!({}), vec![started(), cut(), whole()]);
    assert_eq!(streamed(&harness, DeliveryMode::Nothing).await, ("Hello".into(), vec![true, true, false]));
    // Not after progress, for a reader of a stream, or where another route may stream.
    let harness = Harness::new(json!({}), vec![cut(), started(), answer(&["b"])]);
    assert_eq!(streamed(&harness, DeliveryMode::Nothing).await, ("b".into(), vec![true, true, true]));
    let harness = Harness::new(json!({}), vec![cut(), cut(), answer(&["b"])]);
    assert_eq!(streamed(&harness, DeliveryMode::Text).await, ("b".into(), vec![true, true, true]));
    let harness = Harness::two_endpoints(json!({}), vec![cut(), answer(&["b"])], vec![cut()]);
    assert_eq!(streamed(&harness, DeliveryMode::Nothing).await, ("b".into(), vec![true, true, true]));
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_requested_once_more_on_the_next_route_if_there_is_one() {
    let empty = || stream().role().finish().done();
    let harness = Harness::new(json!({}), vec![empty(), answer(&["a"])]);
    assert_eq!(harness.call().await.text(), "a");
    let harness = Harness::new(json!({}), vec![empty(), empty()]);
    let outcome = harness.call().await;
    assert_eq!(outcome.error().kind, Kind::EmptyAnswer);
    assert_eq!(outcome.deltas(), [""; 0]);
    let harness = Harness::two_endpoints(json!({}), vec![empty()], vec![answer(&["a"])]);
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("a", "ab"));
    let request = json!({ "messages": [{ "role": "tool", "content": "5" }] });
    let harness = Harness::new(json!({}), vec![empty()]);
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(outcome.text(), "");
    // The model did not end these itself.
    for reason in ["length", "content_filter"] {
        let cut = stream().role().event(&chunk(json!({}), Some(reason))).done();
        assert_eq!(Harness::new(json!({}), vec![cut]).call().await.text(), "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_finish_reason_that_reports_an_interruption_is_a_break() {
    for reason in
        ["error", "abort", "network_error", "insufficient_system_resource", "MALFORMED_FUNCTION_CALL"]
    {
        let broken = stream().delta("a").event(&chunk(json!({ "content": "" }), Some(reason))).done();
        for mode in [DeliveryMode::Text, DeliveryMode::Chunks] {
            let harness = Harness::new(json!({ "recovery": false }), vec![broken.clone()]);
            let outcome = harness.call_with_mode(mode).await;
            assert_eq!((outcome.error().kind, cause(&outcome).kind), (Kind::Interrupted, Kind::Truncated));
            assert!(cause(&outcome).message.contains(reason));
            assert!(outcome.deltas().iter().all(|delta| !delta.contains(reason)));
        }
    }
    let choice = json!({ "index": 0, "delta": { "content": "" }, "finish_reason": "error",
        "error": { "code": 502, "message": "upstream failed" } });
    let harness = Harness::new(
        json!({ "recovery": false }),
        vec![stream().delta("a").event(&json!({ "choices": [choice] })).done()],
    );
    let outcome = harness.call().await;
    assert_eq!((cause(&outcome).kind, cause(&outcome).status), (Kind::Server, Some(502)));
}

#[tokio::test(start_paused = true)]
async fn what_a_continuation_would_repeat_is_not_continued() {
    let audio = json!({ "audio": { "data": "QUJD" } });
    let annotations = json!({ "annotations": [{ "url": "u" }] });
    for delta in [audio, annotations, json!({ "images": [1] }), json!({ "x": "y" })] {
        let broken = || stream().delta("a").event(&chunk(delta.clone(), None)).reset();
        let harness = Harness::new(json!({}), vec![broken()]);
        let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
        assert_eq!((outcome.error().kind, outcome.deltas().len()), (Kind::Interrupted, 2), "{delta}");
        // A reader of the text has not received any of it.
        let harness = Harness::new(json!({}), vec![broken(), answer(&["b"])]);
        assert_eq!(harness.call().await.text(), "ab");
    }
}
