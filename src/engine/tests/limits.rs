//! Breakers, places and rate limits, as calls meet them.

use std::time::Duration;

use serde_json::{Value, json};

use super::provider::{Reply, answer, no_connection, refusal, status, stream, unavailable};
use super::support::{Ask, Scene};
use crate::error::Kind;

fn after(ms: u64) -> Ask {
    Ask { after: ms, ..Ask::default() }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_five_failures_and_denies_until_its_time_is_over() {
    let mut script = vec![unavailable(); 5];
    script.push(answer(&["a"]));
    let scene = Scene::new(json!({ "circuitBreaker": {}, "maxRetries": 0 }), script);
    for _ in 0..4 {
        assert_eq!(scene.call().await.error().kind, Kind::Server);
    }
    let fifth = scene.call().await;
    let opened = &fifth.events("circuit")[0];
    assert_eq!((&opened["from"], &opened["to"]), (&json!("CLOSED"), &json!("OPEN")));
    let denied = scene.ask(after(10_000)).await;
    assert_eq!((denied.error().kind, denied.at), (Kind::CircuitOpen, 10_000));
    assert_eq!(denied.error().retry_after, Some(Duration::from_secs(50)));
    assert_eq!(denied.error().attempts.len(), 0);
    let probe = scene.ask(after(50_000)).await;
    assert_eq!(probe.text(), "a");
    let changes: Vec<Value> = probe.events("circuit").iter().map(|event| event["to"].clone()).collect();
    assert_eq!(changes, ["HALF_OPEN", "CLOSED"]);
}

#[tokio::test(start_paused = true)]
async fn while_a_probe_is_under_way_others_are_denied() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 1_000 });
    let probe = stream().say("a").wait(100).finish().done();
    let scene = Scene::new(json!({ "circuitBreaker": breaker, "maxRetries": 0 }), vec![unavailable(), probe]);
    scene.call().await;
    let (probe, other) = futures::join!(scene.ask(after(1_000)), scene.ask(after(1_050)));
    assert_eq!((probe.text(), other.error().kind, other.at), ("a", Kind::CircuitOpen, 1_050));
}

#[tokio::test(start_paused = true)]
async fn the_breaker_is_asked_before_every_attempt() {
    let scene = Scene::new(json!({ "circuitBreaker": { "failureThreshold": 2 } }), vec![unavailable(); 2]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.error().attempts.len()), (Kind::CircuitOpen, 2));
    assert_eq!(ended.error().cause.as_ref().unwrap().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn client_errors_and_429_do_not_open_a_breaker() {
    for refused in [refusal(400, "x", "no"), refusal(401, "x", "no"), refusal(429, "rate_limit", "no")] {
        let mut script = vec![refused; 5];
        script.push(answer(&["a"]));
        let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
        let scene = Scene::new(options, script);
        for _ in 0..5 {
            scene.call().await.error();
        }
        assert_eq!(scene.call().await.text(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_result_from_before_the_opening_changes_nothing() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
    let slow = stream().say("a").wait(500).finish().done();
    let scene = Scene::new(options, vec![slow, unavailable()]);
    let (late, failed) = futures::join!(scene.call(), scene.ask(after(100)));
    assert_eq!((late.text(), failed.error().kind), ("a", Kind::Server));
    assert_eq!(scene.call().await.error().kind, Kind::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_sends_the_call_to_the_next_endpoint_at_once() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
    let scene = Scene::two(options, vec![unavailable()], vec![answer(&["1"]), answer(&["2"])]);
    scene.call().await;
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at, scene.went_to().as_str()), ("2", 0, "abb"));
    assert_eq!(ended.outcomes(), ["complete"]);
}

fn busy() -> Reply {
    stream().say("a").wait(100).finish().done()
}

#[tokio::test(start_paused = true)]
async fn calls_over_the_limit_wait_in_order_and_the_queue_has_an_end() {
    let scene = Scene::new(json!({ "maxConcurrent": 2, "maxQueue": 2 }), vec![busy(); 4]);
    let calls: Vec<_> = (0..5).map(|index| scene.ask(after(index))).collect();
    let ended = futures::future::join_all(calls).await;
    let ends: Vec<u64> = ended.iter().map(|ended| ended.at).collect();
    assert_eq!(ends, [100, 101, 200, 201, 4]);
    assert_eq!((ended[4].error().kind, ended[4].error().attempts.len()), (Kind::QueueFull, 0));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_during_the_backoff() {
    let scene =
        Scene::new(json!({ "maxConcurrent": 1 }), vec![unavailable(), answer(&["b"]), answer(&["a"])]);
    let (first, second) = futures::join!(scene.call(), scene.ask(after(10)));
    assert_eq!((first.text(), first.at, second.text(), second.at), ("a", 1_000, "b", 10));
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_is_passed_in_order() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 10 } });
    let scene = Scene::new(options, vec![answer(&["a"]); 4]);
    let calls: Vec<_> = (0..4).map(|index| scene.ask(after(index))).collect();
    let ended = futures::future::join_all(calls).await;
    let ends: Vec<u64> = ended.iter().map(|ended| ended.at).collect();
    for (end, due) in ends.iter().zip([0, 100, 200, 300]) {
        assert!((due..due + 3).contains(end), "{ends:?}");
    }
    assert_eq!(ended[3].events("wait")[0]["reason"], "rate-limit");
}

#[tokio::test(start_paused = true)]
async fn a_retry_passes_the_rate_limit_again() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1 } });
    let scene = Scene::new(options, vec![unavailable(), answer(&["a"])]);
    let ended = scene.call().await;
    assert!((10_000..10_003).contains(&scene.times()[1]), "{:?}", scene.times());
    assert_eq!(ended.answer().attempts[1].wait_ms, scene.times()[1]);
}

#[tokio::test(start_paused = true)]
async fn the_estimate_of_tokens_is_corrected_by_what_was_used() {
    let options = json!({ "rateLimit": { "tokensPerMinute": 600 } });
    let reply = || stream().say("a").finish().usage(10).done();
    let scene = Scene::new(options, vec![reply(), reply(), reply()]);
    let large = || Ask { request: json!({ "messages": [{}], "max_tokens": 500 }), ..Ask::default() };
    for _ in 0..2 {
        assert_eq!(scene.ask(large()).await.at, 0, "504 were reserved and 10 used");
    }
    let greedy = stream().say("a").finish().usage(1_000).done();
    let scene = Scene::new(json!({ "rateLimit": { "tokensPerMinute": 600 } }), vec![greedy, reply()]);
    scene.call().await;
    assert!(scene.ask(large()).await.at > 60_000, "1 was reserved and 1000 used");
}

fn tokens(request: Value) -> Ask {
    Ask { request, ..Ask::default() }
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_the_provider_is_given_back_to_the_limiter() {
    let options = |limit: Value| json!({ "maxRetries": 0, "rateLimit": limit });
    let large = || tokens(json!({ "messages": [{}], "max_tokens": 400 }));
    let mut script = vec![no_connection(); 3];
    script.push(answer(&["a"]));
    let scene = Scene::new(options(json!({ "capacity": 3, "refillRate": 0.001 })), script);
    for _ in 0..3 {
        scene.call().await;
    }
    assert_eq!((scene.call().await.text(), scene.now()), ("a", 0), "requests");
    for failure in [no_connection(), refusal(400, "x", "no")] {
        let script = vec![failure.clone(), failure.clone(), failure, answer(&["a"])];
        let scene = Scene::new(options(json!({ "tokensPerMinute": 1_000 })), script);
        for _ in 0..3 {
            scene.ask(large()).await;
        }
        assert_eq!((scene.ask(large()).await.text(), scene.now()), ("a", 0), "tokens");
    }
    let limit = json!({ "capacity": 1, "refillRate": 0.1 });
    let scene = Scene::new(options(limit), vec![refusal(400, "x", "no"), answer(&["a"])]);
    scene.call().await;
    assert!(scene.call().await.at >= 10_000, "a refused request is a request");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_then_aborted_is_not_given_back() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1 } });
    let scene = Scene::new(options, vec![stream().never_answers(), answer(&["a"])]);
    scene.call_aborted_after(100).await;
    assert!(scene.call().await.at >= 10_000);
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_length_nobody_limits_counts_as_the_catalogues_limit_until_one_was_seen() {
    let reply = || {
        let usage = json!({ "prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100 });
        stream()
            .say("a")
            .wait(100)
            .finish()
            .event(&json!({ "id": "1", "choices": [], "usage": usage }))
            .done()
    };
    let scene = Scene::new(json!({ "rateLimit": { "tokensPerMinute": 1_000 } }), vec![reply(); 10]);
    let (first, second) = futures::join!(scene.call(), scene.call());
    assert_eq!((first.at, second.events("wait").len()), (100, 1), "the first holds all that there is");
    assert!(second.at < 7_000, "{}", second.at);
    let began = scene.now();
    let both = futures::join!(scene.call(), scene.call());
    assert_eq!((both.0.at, both.1.at), (began + 100, began + 100), "90 each");
}

#[tokio::test(start_paused = true)]
async fn what_was_used_beyond_the_estimate_is_paid_back() {
    let greedy = stream().say("a").finish().usage(3_000).done();
    let options = json!({ "rateLimit": { "tokensPerMinute": 600 } });
    let scene = Scene::new(options, vec![greedy, answer(&["b"])]);
    scene.ask(tokens(json!({ "messages": [{}], "max_tokens": 1 }))).await;
    let at = scene.ask(tokens(json!({ "messages": [{}], "max_tokens": 1 }))).await.at;
    assert!((240_000..242_000).contains(&at), "2400 are owed at 10 a second: {at}");
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_limits_are_followed_where_that_is_asked_for() {
    let options = json!({ "rateLimit": { "adapt": "headers" } });
    let spent =
        answer(&["a"]).header("x-ratelimit-remaining-requests", 0).header("x-ratelimit-reset-requests", "3s");
    let scene = Scene::new(options, vec![spent, answer(&["b"])]);
    scene.call().await;
    assert_eq!(scene.call().await.at, 3_000);
}

#[tokio::test(start_paused = true)]
async fn the_place_is_free_when_the_attempt_has_failed_whatever_the_reason() {
    let long = format!("data: {}", "x".repeat(1024 * 1024 + 9));
    let script = vec![
        stream().never_answers(),
        stream().raw("data: {oops\n\n"),
        stream().raw(&long),
        status(204),
        stream().say("a").breaks(),
        answer(&["a"]),
    ];
    let options = json!({ "maxConcurrent": 1, "maxQueue": 0, "maxRetries": 0, "firstTokenTimeoutMs": 10 });
    let scene = Scene::new(options, script);
    for _ in 0..5 {
        assert_ne!(scene.call().await.error().kind, Kind::QueueFull);
    }
    assert_eq!(scene.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_breaker_denies_is_not_spent() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 1, "endpoints": [
        { "name": "a", "baseUrl": "http://a/v1" },
        { "name": "b", "baseUrl": "http://b/v1", "circuitBreaker": false },
    ] });
    let b = vec![unavailable(), answer(&["b"])];
    let scene = Scene::hosts(options, vec![("a", vec![unavailable()]), ("b", b)]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), scene.went_to().as_str(), scene.times()), ("b", "abb", vec![0, 0, 1_000]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_route_is_tried_again_where_the_other_one_is_closed_by_its_breaker() {
    let options = json!({ "maxRetries": 1, "firstTokenTimeoutMs": 1_000, "endpoints": [
        { "name": "a", "baseUrl": "http://a/v1", "circuitBreaker": false },
        { "name": "b", "baseUrl": "http://b/v1", "circuitBreaker": { "failureThreshold": 1 } },
    ] });
    let a = vec![unavailable(), answer(&["0"]), stream().never_answers(), answer(&["a"])];
    let scene = Scene::hosts(options, vec![("a", a), ("b", vec![unavailable()])]);
    assert_eq!(scene.call().await.text(), "0");
    let ended = scene.call().await;
    assert_eq!((ended.text(), scene.went_to().as_str()), ("a", "abaaa"));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_place_and_is_refused_spends_nothing_of_the_rate_limit() {
    let options = json!({
        "maxConcurrent": 1, "maxQueue": 0, "rateLimit": { "capacity": 2, "refillRate": 0.001 }
    });
    let scene = Scene::new(options, vec![busy(), busy()]);
    let (first, second) = futures::join!(scene.call(), scene.ask(after(10)));
    assert_eq!((first.text(), second.error().kind), ("a", Kind::QueueFull));
    assert_eq!(scene.call().await.at, 200);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_can_never_pass_fails_at_once_even_behind_others() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1, "tokensPerMinute": 100 } });
    let scene = Scene::new(options, vec![answer(&["a"]), answer(&["b"])]);
    let large = Ask { request: json!({ "messages": [{}], "max_tokens": 500 }), ..after(10) };
    let (_, _, large) = futures::join!(scene.call(), scene.ask(after(1)), scene.ask(large));
    assert_eq!((large.error().kind, large.at), (Kind::NeverFits, 10));
}

#[tokio::test(start_paused = true)]
async fn a_small_call_does_not_overtake_a_large_one_that_waits_before_it() {
    let options = json!({ "rateLimit": { "capacity": 100, "tokensPerMinute": 600 } });
    let scene = Scene::new(options, vec![answer(&["a"]), answer(&["b"]), answer(&["c"])]);
    let of =
        |tokens: u64, ms| Ask { request: json!({ "messages": [{}], "max_tokens": tokens }), ..after(ms) };
    let (_, large, small) =
        futures::join!(scene.ask(of(596, 0)), scene.ask(of(496, 10)), scene.ask(of(6, 20)),);
    assert_eq!(large.events("wait").len(), 1);
    assert!((50_000..50_003).contains(&large.at), "{}", large.at);
    assert!((51_000..51_003).contains(&small.at), "{}", small.at);
}

#[tokio::test(start_paused = true)]
async fn the_event_of_an_opening_names_the_attempt_that_opened_it() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 2 } });
    let ended = Scene::new(options, vec![unavailable(), unavailable()]).call().await;
    assert_eq!(ended.events("circuit")[0]["requestId"], ended.events("attempt")[1]["requestId"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_id_that_quotes_the_key_does_not_tell_it() {
    let quotes = |reply: Reply| reply.header("x-request-id", "of key-of-the-client");
    let page = || status(200).header("content-type", "text/html").raw("<html>");
    let replies = [unavailable(), page(), stream().event(&json!({ "error": { "message": "no" } }))];
    for reply in replies.map(quotes) {
        let ended = Scene::new(json!({ "maxRetries": 0 }), vec![reply]).call().await;
        let said = format!("{:?} {:?}", ended.error(), ended.sink.events.lock().unwrap());
        assert!(said.contains("of ") && !said.contains("key-of-the-client"), "{said}");
    }
    let ended = Scene::new(json!({}), vec![quotes(answer(&["a"]))]).call().await;
    assert!(!format!("{:?}", ended.answer().attempts).contains("key-of-the-client"));
}

#[tokio::test(start_paused = true)]
async fn every_way_in_which_a_service_fails_opens_a_breaker() {
    let overloaded = json!({ "error": { "message": "overloaded" } });
    for failure in [
        unavailable(),
        no_connection(),
        stream().never_answers(),
        stream().role().stall(),
        stream().role(),
        stream().role().breaks(),
        stream().say("a").breaks(),
        stream().event(&overloaded),
        stream().raw("data: {oops\n\n"),
        status(200).header("content-type", "text/html").raw("<html>"),
    ] {
        let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "maxRetries": 0 });
        let scene = Scene::new(options, vec![failure]);
        scene.call().await.error();
        assert_eq!(scene.call().await.error().kind, Kind::CircuitOpen);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_head_says_of_the_limits_holds_before_its_answer_has_ended() {
    let options = json!({ "rateLimit": { "capacity": 10, "refillRate": 10, "adapt": "headers" } });
    let told = stream()
        .header("x-ratelimit-limit-requests", 10)
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "5s");
    let slow = told.say("a").wait(30_000).say("b").finish().done();
    let scene = Scene::new(options, vec![slow, answer(&["c"])]);
    let (first, second) = futures::join!(scene.call(), scene.ask(after(1_000)));
    assert_eq!((first.text(), second.text(), scene.times()), ("ab", "c", vec![0, 5_000]));
}
