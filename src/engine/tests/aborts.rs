//! An abort ends a call at once, wherever it is, and gives back what it held.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::provider::{answer, stream, unavailable};
use super::support::{Ask, Scene};
use crate::error::Kind;

#[tokio::test(start_paused = true)]
async fn in_the_backoff() {
    let scene = Scene::new(json!({}), vec![unavailable()]);
    let ended = scene.call_aborted_after(400).await;
    assert_eq!((ended.error().kind, ended.at, ended.error().attempts.len()), (Kind::Aborted, 400, 1));
}

#[tokio::test(start_paused = true)]
async fn before_the_connection_and_before_the_head() {
    for reply in [stream().never_connects(), stream().never_answers()] {
        let scene = Scene::new(json!({}), vec![reply]);
        let ended = scene.call_aborted_after(400).await;
        assert_eq!((ended.error().kind, ended.at), (Kind::Aborted, 400));
        assert_eq!(scene.requests()[0].closed_at(), Some(400));
        assert_eq!(ended.outcomes(), ["ABORTED"]);
    }
}

#[tokio::test(start_paused = true)]
async fn in_mid_stream_with_what_was_received() {
    let scene = Scene::new(json!({}), vec![stream().say("a").stall()]);
    let ended = scene.call_aborted_after(400).await;
    assert_eq!((ended.error().kind, ended.error().partial.as_deref()), (Kind::Aborted, Some("a")));
    assert_eq!(scene.requests()[0].closed_at(), Some(400), "the socket is closed");
    assert_eq!(ended.events("failed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_abort_before_the_call_sends_nothing() {
    let scene = Scene::new(json!({}), vec![]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let ended = scene.ask(Ask { cancel, ..Ask::default() }).await;
    assert_eq!((ended.error().kind, scene.requests().len()), (Kind::Aborted, 0));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_call_gives_its_place_to_the_next() {
    let scene = Scene::new(json!({ "maxConcurrent": 1 }), vec![stream().say("a").stall(), answer(&["b"])]);
    let (first, second) = futures::join!(scene.call_aborted_after(400), scene.call());
    assert_eq!((first.error().kind, second.text(), second.at), (Kind::Aborted, "b", 400));
    assert_eq!(second.answer().attempts[0].wait_ms, 400);
    assert_eq!(second.events("wait")[0]["reason"], "queue");
}

#[tokio::test(start_paused = true)]
async fn a_call_aborted_in_the_queue_leaves_it() {
    let options = json!({ "maxConcurrent": 1, "maxQueue": 1 });
    let busy = stream().say("a").wait(1_000).finish().done();
    let scene = Scene::new(options, vec![busy, answer(&["c"])]);
    let third = Ask { after: 500, ..Ask::default() };
    let (first, second, third) =
        futures::join!(scene.call(), scene.call_aborted_after(400), scene.ask(third));
    assert_eq!((first.text(), second.error().kind, second.at), ("a", Kind::Aborted, 400));
    assert_eq!((third.text(), third.at), ("c", 1_000));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_probe_gives_its_place_back() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 1_000 });
    let options = json!({ "circuitBreaker": breaker, "maxRetries": 0 });
    let stalls = || stream().stall();
    let scene = Scene::new(options, vec![unavailable(), stalls(), stalls(), answer(&["a"])]);
    scene.call().await;
    sleep(Duration::from_millis(1_000)).await;
    assert_eq!(scene.call_aborted_after(10).await.error().kind, Kind::Aborted);
    // A call that is not even polled any more.
    assert!(timeout(Duration::from_millis(10), scene.call()).await.is_err());
    assert_eq!(scene.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn close_ends_what_is_in_flight_and_refuses_what_comes_later() {
    let scene = Scene::new(json!({}), vec![stream().say("a").stall()]);
    let close = async {
        sleep(Duration::from_millis(50)).await;
        scene.client.close();
    };
    let (ended, ()) = futures::join!(scene.call(), close);
    assert_eq!((ended.error().kind, ended.at), (Kind::Closed, 50));
    assert_eq!(scene.call().await.error().kind, Kind::Closed);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_piece_there_is_nothing_left_to_abort() {
    let scene = Scene::new(json!({}), vec![stream().say("a").finish().stall()]);
    let ended = scene.call_aborted_after(400).await;
    assert_eq!((ended.text(), ended.at), ("a", 400));
    assert_eq!(scene.requests()[0].closed_at(), Some(400));
}

#[tokio::test(start_paused = true)]
async fn a_call_aborted_in_the_queue_gives_its_token_of_the_rate_limit_back() {
    let options = json!({ "maxConcurrent": 1, "rateLimit": { "capacity": 2, "refillRate": 0.001 } });
    let busy = stream().say("a").wait(1_000).finish().done();
    let scene = Scene::new(options, vec![busy, answer(&["c"])]);
    futures::join!(scene.call(), scene.call_aborted_after(400));
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at), ("c", 1_000));
}
