//! A provider that does not know `stream_options`.

use serde_json::{Value, json};

use super::provider::{Reply, answer, refusal, unavailable};
use super::support::{Ask, Scene};
use crate::error::Kind;

fn refuses_usage() -> Reply {
    refusal(400, "unknown_parameter", "Unrecognized request argument: stream_options")
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_again_without_them_at_once_under_another_key_and_remembered() {
    let scene = Scene::new(json!({ "maxRetries": 0 }), vec![refuses_usage(), answer(&["a"]), answer(&["b"])]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at), ("a", 0));
    assert_eq!(ended.outcomes(), ["INVALID_REQUEST", "complete"]);
    assert_eq!(scene.call().await.text(), "b");
    let seen = scene.requests();
    let options: Vec<Value> = seen.iter().map(|request| request.json()["stream_options"].clone()).collect();
    assert_eq!(options, [json!({ "include_usage": true }), Value::Null, Value::Null]);
    assert_ne!(seen[0].key(), seen[1].key());
}

#[tokio::test(start_paused = true)]
async fn it_is_no_retry_and_the_retries_are_all_left() {
    let mut script = vec![refuses_usage()];
    script.extend(vec![unavailable(); 4]);
    let scene = Scene::new(json!({}), script);
    let ended = scene.call().await;
    assert_eq!(
        (ended.error().kind, scene.times()),
        (Kind::RetriesExhausted, vec![0, 0, 1_000, 3_000, 7_000])
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_has_nothing_to_do_with_usage_is_the_callers() {
    let scene = Scene::new(json!({}), vec![refuses_usage(), refusal(400, "x", "stream_options again")]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.error().attempts.len()), (Kind::InvalidRequest, 2));
    let scene = Scene::new(json!({}), vec![refusal(400, "x", "temperature")]);
    assert_eq!(scene.ask(Ask::default()).await.error().attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_calls_that_are_refused_at_the_same_time_are_both_asked_again() {
    let slow = || refuses_usage().head_after(10);
    let scene = Scene::new(json!({}), vec![slow(), slow(), answer(&["a"]), answer(&["b"])]);
    let (first, second) = futures::join!(scene.call(), scene.call());
    assert_eq!((first.text(), second.text()), ("a", "b"));
}
