//! The one deadline over queue, waits and attempts.

use serde_json::json;

use super::provider::{answer, stream, unavailable};
use super::support::{Ask, Scene};
use crate::error::{Kind, Phase};

const TOTAL: Kind = Kind::Timeout(Phase::Total);

#[tokio::test(start_paused = true)]
async fn it_cuts_an_attempt_in_mid_stream_and_keeps_the_text() {
    let scene =
        Scene::new(json!({ "totalTimeoutMs": 500 }), vec![stream().say("a").wait(400).say("b").stall()]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (TOTAL, 500));
    assert_eq!(ended.error().partial.as_deref(), Some("ab"));
    assert_eq!((ended.outcomes(), scene.requests()[0].closed_at()), (vec!["TIMEOUT".to_owned()], Some(500)));
    assert_eq!(ended.error().message, "the call was not finished within 500 ms");
}

#[tokio::test(start_paused = true)]
async fn it_covers_the_waits_and_the_attempts_together() {
    let scene = Scene::new(
        json!({ "totalTimeoutMs": 5_000 }),
        vec![unavailable().head_after(500), unavailable().head_after(500), stream().stall()],
    );
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at, scene.times()), (TOTAL, 5_000, vec![0, 1_500, 4_000]));
    assert_eq!(ended.error().attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_wait_does_not_fit_is_not_made() {
    let scene = Scene::new(json!({ "totalTimeoutMs": 3_000 }), vec![unavailable(), unavailable()]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::RetriesExhausted, 1_000));
    let scene = Scene::new(json!({ "totalTimeoutMs": 1_000 }), vec![unavailable()]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::Server, 0));
}

#[tokio::test(start_paused = true)]
async fn it_covers_the_queue() {
    let options = json!({ "maxConcurrent": 1 });
    let scene = Scene::new(options, vec![stream().say("a").wait(1_000).finish().done()]);
    let waits = Ask { options: json!({ "totalTimeoutMs": 300 }), ..Ask::default() };
    let (first, second) = futures::join!(scene.call(), scene.ask(waits));
    assert_eq!((first.text(), second.error().kind, second.at), ("a", TOTAL, 300));
    assert_eq!(second.error().attempts.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_covers_the_wait_for_the_rate_limit() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 1 } });
    let scene = Scene::new(options, vec![answer(&["a"])]);
    scene.call().await;
    let ended = scene.call_with(json!({ "totalTimeoutMs": 300 })).await;
    assert_eq!((ended.error().kind, ended.at), (TOTAL, 300));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_complete_is_not_lost_to_the_wait_for_its_usage() {
    let scene = Scene::new(json!({ "totalTimeoutMs": 500 }), vec![stream().say("a").finish().stall()]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at, ended.outcomes()), ("a", 500, vec!["complete".to_owned()]));
    assert_eq!(ended.completed_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_silent_until_the_deadline_has_failed_and_one_that_speaks_has_not() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 60_000 });
    let options = json!({ "circuitBreaker": breaker, "totalTimeoutMs": 500 });
    let scene = Scene::two(options.clone(), vec![stream().never_answers()], vec![answer(&["b"])]);
    assert_eq!(scene.call().await.error().kind, TOTAL);
    assert_eq!(scene.call().await.text(), "b", "the silent one is left alone");
    let scene = Scene::two(options, vec![stream().say("a").wait(900), answer(&["again"])], vec![]);
    assert_eq!(scene.call().await.error().kind, TOTAL);
    assert_eq!(scene.call().await.text(), "again");
}
