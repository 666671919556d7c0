//! Bodies that are not what the protocol promises.

use std::time::Duration;

use serde_json::json;

use super::provider::{Reply, answer, chunk, refusal, status, stream};
use super::support::{Ended, Scene};
use crate::error::{Error, Kind};

async fn once(reply: Reply) -> Ended {
    Scene::new(json!({ "maxRetries": 0 }), vec![reply]).call().await
}

fn cause(ended: &Ended) -> &Error {
    ended.error().cause.as_ref().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_error_inside_a_stream_is_classified_like_any_other() {
    let error = |code: &str| json!({ "error": { "message": "no", "code": code } });
    for (code, kind) in [
        ("rate_limit_exceeded", Kind::RateLimit),
        ("server_error", Kind::Server),
        ("insufficient_quota", Kind::QuotaExhausted),
        ("context_length_exceeded", Kind::ContextLength),
    ] {
        let ended = once(stream().header("x-request-id", "p-1").role().event(&error(code))).await;
        assert_eq!((ended.error().kind, ended.error().request_id.as_deref()), (kind, Some("p-1")));
    }
    let ended = once(stream().say("a").raw("event: error\ndata: overloaded\n\n")).await;
    assert_eq!((ended.error().kind, cause(&ended).kind), (Kind::Interrupted, Kind::Server));
}

#[tokio::test(start_paused = true)]
async fn an_error_inside_a_stream_before_the_first_piece_is_retried_in_silence() {
    let overloaded = stream().role().event(&json!({ "error": { "message": "overloaded" } }));
    let scene = Scene::new(json!({}), vec![overloaded, answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!(
        (ended.outcomes(), ended.deltas()),
        (vec!["SERVER_ERROR".into(), "complete".into()], vec!["a".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_no_json_ends_the_attempt() {
    let ended = once(stream().say("a").raw("data: {oops}\n\n").say("b").finish().done()).await;
    assert_eq!((cause(&ended).kind, ended.error().partial.as_deref()), (Kind::Malformed, Some("a")));
}

#[tokio::test(start_paused = true)]
async fn half_an_event_at_the_end_of_the_body_is_a_truncation_and_never_text() {
    for half in ["data: {\"choices\":[{\"delta\":{\"content\":\"b", "data: [DO", "data: ", "da"] {
        let ended = once(stream().say("a").raw(half)).await;
        assert_eq!((cause(&ended).kind, ended.error().partial.as_deref()), (Kind::Truncated, Some("a")));
    }
    let whole = format!("data: {}", chunk(json!({ "content": "b" }), Some("stop")));
    assert_eq!(once(stream().say("a").raw(&whole)).await.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_page_or_a_document_instead_of_a_stream_is_named_and_not_asked_for_again() {
    for (kind, body, name) in [
        ("text/html; charset=utf-8", "<html>hi", "an HTML page"),
        ("application/json", "{}", "a JSON document"),
    ] {
        let reply = || status(200).header("content-type", kind).raw(body);
        let scene = Scene::new(json!({}), vec![reply()]);
        let ended = scene.call().await;
        assert_eq!((ended.error().kind, ended.at), (Kind::Malformed, 0));
        assert!(ended.error().message.contains(name), "{}", ended.error());
        assert_eq!(ended.error().body.as_deref(), Some(body));
        let scene = Scene::two(json!({}), vec![reply()], vec![answer(&["a"])]);
        assert_eq!(scene.call().await.text(), "a");
        assert_eq!(scene.went_to(), "ab");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_longer_than_a_mebibyte_is_too_large() {
    let mut reply = stream().raw("data: ");
    for _ in 0..17 {
        reply = reply.raw(&"x".repeat(64 * 1024));
    }
    let scene = Scene::new(json!({}), vec![reply.stall()]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at, scene.times().len()), (Kind::ResponseTooLarge, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_an_error_and_is_not_followed() {
    let ended = once(status(302).header("location", "http://evil/x?key=secret")).await;
    assert_eq!(ended.error().kind, Kind::Redirect);
    assert!(!ended.error().message.contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_body_stalls_is_told_with_what_is_there() {
    let options = json!({ "maxRetries": 0, "idleTimeoutMs": 500 });
    let reply = status(503).header("content-type", "text/plain").raw("half").stall();
    let ended = Scene::new(options, vec![reply]).call().await;
    assert_eq!((ended.error().status, ended.error().body.as_deref()), (Some(503), Some("half")));
    assert_eq!(ended.at, 500);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_error_is_read_and_kept_within_bounds() {
    let reply = (0..100).fold(status(500), |reply, _| reply.raw(&"y".repeat(16 * 1024)));
    let ended = once(reply.stall()).await;
    assert_eq!((ended.at, ended.error().body.as_ref().unwrap().len()), (0, 2048));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_in_a_refusal_is_in_the_error() {
    let ended = once(refusal(429, "rate_limit_exceeded", "no").header("retry-after-ms", 1_500)).await;
    assert_eq!(ended.error().retry_after, Some(Duration::from_millis(1_500)));
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_json_document_with_status_200_is_that_error_and_its_wait_is_kept() {
    let body = json!({ "error": { "message": "slow down", "code": "rate_limit_exceeded" } }).to_string();
    let reply = status(200).header("content-type", "application/json").header("retry-after", 7).raw(&body);
    let scene = Scene::new(json!({}), vec![reply, answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!((ended.outcomes()[0].as_str(), scene.times()), ("RATE_LIMITED", vec![0, 7_000]));
}
