//! Pauses that a provider asks for: they hold for all calls of the client, and keep their order.

use futures::future::join_all;
use serde_json::{Value, json};

use super::provider::{Reply, answer, no_connection, refusal, stream, unavailable};
use super::support::{Ask, Scene};
use crate::error::Kind;

fn limited(seconds: u64) -> Reply {
    refusal(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

fn after(ms: u64) -> Ask {
    Ask { after: ms, ..Ask::default() }
}

/// A call that names itself.
fn named(ms: u64, user: u64) -> Ask {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "user": user.to_string() });
    Ask { request, ..after(ms) }
}

fn users(scene: &Scene) -> Vec<u64> {
    let user = |body: Value| body["user"].as_str().unwrap_or("99").parse().unwrap();
    scene.requests().iter().map(|seen| user(seen.json())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_the_only_endpoint_asks_for_holds_for_all_calls() {
    for reply in [limited(10), unavailable().header("retry-after", 10)] {
        let scene = Scene::new(json!({ "maxRetries": 0 }), vec![reply, answer(&["a"])]);
        scene.call().await.error();
        let ended = scene.call().await;
        assert_eq!((ended.at, scene.times()), (10_000, vec![0, 10_000]));
        let wait = &ended.events("wait")[0];
        assert_eq!((&wait["reason"], &wait["ms"]), (&json!("retry-after"), &json!(10_000)));
        assert_eq!(ended.answer().attempts[0].wait_ms, 10_000);
    }
}

#[tokio::test(start_paused = true)]
async fn where_both_endpoints_pause_the_first_that_is_free_is_waited_for() {
    let scene = Scene::two(json!({ "maxRetries": 0 }), vec![limited(10)], vec![limited(5), answer(&["a"])]);
    assert_eq!(scene.call().await.error().kind, Kind::RetriesExhausted);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at), ("a", 5_000));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_fails_at_once_with_what_the_provider_has_said() {
    let scene = Scene::new(json!({ "maxRetries": 0 }), vec![limited(3_600), answer(&["a"])]);
    scene.call().await.error();
    let ended = scene.ask(after(1_000)).await;
    let error = ended.error();
    assert_eq!((error.kind, error.status, ended.at), (Kind::RateLimit, Some(429), 1_000));
    assert_eq!((error.retry_after.unwrap().as_secs(), scene.requests().len()), (3_600, 1));
    assert!(error.message.ends_with("3599000 ms are left"), "{error}");
    let scene = Scene::new(json!({ "maxRetries": 0 }), vec![limited(30), answer(&["a"])]);
    scene.call().await.error();
    let hurried = scene.call_with(json!({ "totalTimeoutMs": 20_000 })).await;
    assert_eq!((hurried.error().kind, hurried.at), (Kind::RateLimit, 0));
    assert_eq!(scene.call().await.at, 30_000, "the others wait");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_grows_past_what_is_waited_for_ends_the_wait() {
    let options = json!({ "maxRetries": 0, "rateLimit": { "capacity": 2, "refillRate": 1 } });
    let scene = Scene::new(options, vec![limited(5), limited(100)]);
    scene.call().await.error();
    let (first, second) = futures::join!(scene.call(), scene.ask(named(0, 1)));
    assert_eq!((first.at, first.error().kind), (5_000, Kind::RateLimit));
    assert_eq!((second.at, second.error().kind), (5_000, Kind::RateLimit));
}

#[tokio::test(start_paused = true)]
async fn what_one_call_is_asked_to_wait_holds_for_the_retry_of_another() {
    let script = vec![unavailable(), limited(5), answer(&["a"]), answer(&["b"])];
    let scene = Scene::new(json!({}), script);
    let (first, second) = futures::join!(scene.call(), scene.ask(after(500)));
    assert_eq!((first.at, second.at), (5_500, 5_500));
    assert_eq!(first.outcomes(), ["SERVER_ERROR", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_meet_a_pause_are_let_through_in_the_order_in_which_they_came() {
    for rate_limit in [Value::Null, json!({ "capacity": 3, "refillRate": 10 })] {
        let mut script = vec![limited(2)];
        script.resize(30, answer(&["a"]));
        let mut options = json!({ "maxRetries": 0 });
        if !rate_limit.is_null() {
            options["rateLimit"] = rate_limit;
        }
        let scene = Scene::new(options, script);
        scene.call().await.error();
        let ended = join_all((0..20).map(|user| scene.ask(named(user % 7, user)))).await;
        assert!(ended.iter().all(|ended| ended.text() == "a"));
        let mut came: Vec<u64> = (0..20).collect();
        came.sort_by_key(|user| user % 7);
        assert_eq!(users(&scene)[1..], came);
        assert!(scene.times()[1] >= 2_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_comes_while_calls_wait_for_their_limit_keeps_their_order_and_their_limit() {
    let mut script = vec![answer(&["a"]), limited(3).head_after(250)];
    script.resize(20, answer(&["a"]));
    let options = json!({ "maxRetries": 0, "rateLimit": { "capacity": 1, "refillRate": 10 } });
    let scene = Scene::new(options, script);
    let ended = join_all((0..10).map(|user| scene.ask(named(user, user)))).await;
    assert_eq!(users(&scene), (0..10).collect::<Vec<_>>());
    assert_eq!(ended.iter().filter(|ended| ended.result.is_err()).count(), 1);
    let times = scene.times();
    assert!(times[2] < 350 && times[4] >= 3_350, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 99), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_comes_while_calls_wait_for_a_place_keeps_their_order() {
    let slow = || stream().say("a").wait(500).finish().done();
    let mut script = vec![slow(), limited(5).head_after(100)];
    script.resize(20, slow());
    let options = json!({ "maxRetries": 0, "maxConcurrent": 2 });
    let scene = Scene::new(options, script);
    let ended = join_all((0..8).map(|user| scene.ask(named(user * 50, user)))).await;
    assert_eq!(ended.iter().filter(|ended| ended.result.is_err()).count(), 1);
    assert_eq!(users(&scene), (0..8).collect::<Vec<_>>());
    assert!(scene.times()[2] >= 5_150, "{:?}", scene.times());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_aborted_leaves_the_line() {
    let scene = Scene::new(json!({ "maxRetries": 0 }), vec![limited(2), answer(&["a"])]);
    scene.call().await.error();
    let (gone, next) = futures::join!(scene.call_aborted_after(100), scene.ask(after(50)));
    assert_eq!((gone.error().kind, gone.at), (Kind::Aborted, 100));
    assert_eq!((next.text(), next.at), ("a", 2_000));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_follows_the_server_is_not_waited_for_twice() {
    let told =
        limited(4).header("x-ratelimit-remaining-requests", 0).header("x-ratelimit-reset-requests", "4s");
    let options = json!({ "maxRetries": 0, "rateLimit": { "adapt": "headers" } });
    let scene = Scene::new(options, vec![told, answer(&["a"]), answer(&["b"])]);
    scene.call().await.error();
    let (first, second) = futures::join!(scene.call(), scene.call());
    assert!(first.at <= 4_001 && second.at <= 4_101, "{} {}", first.at, second.at);
}

#[tokio::test(start_paused = true)]
async fn what_one_endpoint_tells_of_its_limits_does_not_keep_calls_from_another() {
    let spent = answer(&["a"])
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "30s");
    let options = json!({ "rateLimit": { "adapt": "headers" } });
    let scene = Scene::two(options, vec![spent, answer(&["late"])], vec![answer(&["b"]), answer(&["b"])]);
    for text in ["a", "b", "b"] {
        assert_eq!(scene.call().await.text(), text);
    }
    assert_eq!(scene.now(), 0);
    assert_eq!(scene.ask(after(30_000)).await.text(), "late");
}

#[tokio::test(start_paused = true)]
async fn a_key_without_quota_is_asked_by_one_call_a_minute_where_another_can_be() {
    let spent = || refusal(429, "insufficient_quota", "no money");
    let mut a = vec![spent(), spent()];
    a.resize(20, answer(&["a"]));
    let scene = Scene::two(json!({ "maxRetries": 0 }), a, vec![answer(&["b"]); 20]);
    let minute = async |after_ms: u64| {
        let began = scene.requests().len();
        join_all((0..4).map(|_| scene.ask(after(after_ms)))).await;
        scene.went_to()[began..].matches('a').count()
    };
    scene.call().await;
    assert_eq!((minute(0).await, minute(60_000).await, minute(1_000).await), (0, 1, 0));
    assert!(minute(60_000).await >= 1);
    assert_eq!(minute(0).await, 4, "it has some again");
}

#[tokio::test(start_paused = true)]
async fn the_only_key_is_asked_though_it_had_no_quota() {
    let spent = refusal(429, "insufficient_quota", "no money");
    let scene = Scene::new(json!({}), vec![spent.clone(), answer(&["a"])]);
    assert_eq!(scene.call().await.error().kind, Kind::QuotaExhausted);
    assert_eq!((scene.call().await.text(), scene.now()), ("a", 0));
    let scene = Scene::two(json!({ "maxRetries": 0 }), vec![spent], vec![answer(&["1"]), no_connection()]);
    scene.call().await;
    assert_eq!(scene.call().await.error().kind, Kind::Connection(crate::error::ConnectionFailure::Refused));
    assert_eq!(scene.went_to(), "abb", "the other one can be asked, though it fails");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_limits_without_a_time_comes_last_for_a_second() {
    let limited = refusal(429, "rate_limit_exceeded", "slow down");
    let scene = Scene::two(json!({}), vec![limited, answer(&["a"])], vec![answer(&["b"]); 2]);
    for ms in [0, 999, 1] {
        scene.ask(after(ms)).await;
    }
    assert_eq!(scene.went_to(), "abba");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_sent_back_goes_before_those_that_came_after_it() {
    let mut script = vec![answer(&["a"]); 7];
    script[1] = limited(1);
    let options = json!({ "rateLimit": { "capacity": 3, "refillRate": 1 } });
    let scene = Scene::new(options, script);
    join_all((0..6).map(|user| scene.ask(named(user, user)))).await;
    assert_eq!(users(&scene), [0, 1, 2, 1, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_deadline_leaves_no_time_for_is_told_with_what_the_time_went_into() {
    let scene = Scene::new(json!({}), vec![limited(30).head_after(100)]);
    let hurried = scene.call_with(json!({ "totalTimeoutMs": 20_000 })).await;
    let error = hurried.error();
    assert_eq!((error.kind, error.retry_after.unwrap().as_secs(), hurried.at), (Kind::RateLimit, 30, 100));
    assert!(error.message.contains("; the deadline leaves no time for the requested wait"), "{error}");
    assert_eq!(error.time_breakdown.map(|spent| spent.attempt_ms), Some(100));
    let scene = Scene::new(json!({}), vec![limited(3_600)]);
    let ended = scene.call_with(json!({ "totalTimeoutMs": 20_000 })).await;
    assert!(!ended.error().message.contains("deadline"), "it is longer than any call waits");
}
