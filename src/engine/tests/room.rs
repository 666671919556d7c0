//! Rate limits of routes: a route without room is passed over, and waited for only where none is left.

use serde_json::{Value, json};

use super::provider::{Reply, answer, refusal, unavailable};
use super::support::{Ask, Scene};
use crate::error::Kind;

/// Endpoints with these limits, `null` for none, and their scripts.
fn scene(mut options: Value, hosts: Vec<(&str, Value, Vec<Reply>)>) -> Scene {
    let endpoint = |(name, limit, _): &(&str, Value, Vec<Reply>)| {
        let mut endpoint = json!({ "name": name, "baseUrl": format!("http://{name}/v1"), "apiKey": name });
        if !limit.is_null() {
            endpoint["rateLimit"] = limit.clone();
        }
        endpoint
    };
    options["endpoints"] = hosts.iter().map(endpoint).collect();
    Scene::hosts(options, hosts.into_iter().map(|(name, _, script)| (name, script)).collect())
}

fn long() -> Ask {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 500 });
    Ask { request, ..Ask::default() }
}

#[tokio::test(start_paused = true)]
async fn a_next_endpoint_whose_limiter_is_spent_is_passed_over_for_one_that_has_room() {
    for queue in [0, 1000] {
        let few = json!({ "capacity": 2, "refillRate": 0.01, "maxQueue": queue });
        let scene = scene(
            json!({ "maxRetries": 0, "circuitBreaker": false }),
            vec![
                ("a", Value::Null, vec![unavailable().head_after(50); 6]),
                ("b", few, vec![answer(&["b"]); 2]),
                ("c", Value::Null, vec![answer(&["c"]); 4]),
            ],
        );
        let calls: Vec<_> = (0..6).map(|_| scene.call()).collect();
        let ended = futures::future::join_all(calls).await;
        let mut texts: Vec<&str> = ended.iter().map(|ended| ended.text()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["b", "b", "c", "c", "c", "c"]);
        assert_eq!(scene.now(), 50, "nobody has waited");
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_fits_one_endpoint_goes_to_the_next_model() {
    let small = json!({ "tokensPerMinute": 100 });
    let scene = scene(
        json!({ "maxRetries": 0, "fallbackModels": ["deepseek-v3.2"] }),
        vec![("a", Value::Null, vec![unavailable(), answer(&["a"])]), ("b", small, vec![])],
    );
    let ended = scene.ask(long()).await;
    assert_eq!((ended.text(), scene.went_to().as_str()), ("a", "aa"));
    assert_eq!(ended.outcomes(), ["SERVER_ERROR", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn where_no_route_is_left_the_error_is_the_limiters() {
    let small = json!({ "tokensPerMinute": 100 });
    let scene = scene(
        json!({ "maxRetries": 0 }),
        vec![("a", Value::Null, vec![unavailable()]), ("b", small, vec![])],
    );
    let ended = scene.ask(long()).await;
    assert_eq!(ended.error().kind, Kind::NeverFits);
    assert_eq!(ended.error().cause.as_ref().unwrap().kind, Kind::Server);
}

#[tokio::test(start_paused = true)]
async fn of_endpoints_that_are_all_full_the_one_that_is_free_first_is_waited_for() {
    let limit = |rate: f64| json!({ "capacity": 1, "refillRate": rate });
    let scene = scene(
        json!({}),
        vec![("a", limit(0.01), vec![answer(&["a"])]), ("b", limit(5.0), vec![answer(&["b"]); 2])],
    );
    scene.call().await;
    scene.call().await;
    let ended = scene.call().await;
    assert_eq!(ended.text(), "b");
    assert!((200..203).contains(&ended.at), "{}", ended.at);
    assert_eq!(ended.events("wait")[0]["reason"], "rate-limit");
}

#[tokio::test(start_paused = true)]
async fn a_full_endpoint_is_waited_for_rather_than_a_longer_backoff() {
    let limit = json!({ "capacity": 1, "refillRate": 5 });
    let scene = scene(
        json!({ "circuitBreaker": false }),
        vec![("a", Value::Null, vec![unavailable(); 2]), ("b", limit, vec![answer(&["1"]), answer(&["2"])])],
    );
    let (first, second) = futures::join!(scene.call(), scene.call());
    assert_eq!((first.text(), first.at, second.text()), ("1", 0, "2"));
    assert!((200..203).contains(&second.at), "{}", second.at);
    assert_eq!(second.outcomes(), ["SERVER_ERROR", "complete"], "no attempt is counted that was not made");
}

#[tokio::test(start_paused = true)]
async fn a_cap_that_is_too_small_for_one_model_lets_a_cheaper_one_answer() {
    let prices = json!({ "dear": { "input": 100, "output": 100 }, "cheap": { "input": 1, "output": 1 } });
    let options = json!({
        "model": "dear", "fallbackModels": ["cheap"], "cost": { "hardCapUsd": 0.01, "prices": prices },
    });
    let scene = Scene::new(options, vec![answer(&["a"])]);
    let ended = scene.ask(long()).await;
    assert_eq!(ended.answer().model, "cheap");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_place_keeps_nothing_of_the_limit_that_would_be_sent_in_one_burst() {
    let slow = answer(&["a"]).head_after(10_000);
    let mut script = vec![answer(&["a"]); 8];
    script[..2].fill(slow);
    let limit = json!({ "capacity": 2, "refillRate": 1 });
    let scene = Scene::new(json!({ "maxConcurrent": 2, "rateLimit": limit }), script);
    let ended = futures::future::join_all((0..8).map(|_| scene.call())).await;
    assert!(ended.iter().all(|ended| ended.text() == "a"));
    let seconds: Vec<u64> = scene.times().iter().map(|ms| ms / 1_000).collect();
    assert_eq!(seconds, [0, 0, 10, 10, 11, 12, 13, 14]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_has_filled_up_does_not_turn_away_a_call_that_was_let_in() {
    let slow = answer(&["a"]).head_after(1_000);
    let limit = json!({ "capacity": 1, "refillRate": 1, "maxQueue": 1 });
    let scene = Scene::new(json!({ "maxConcurrent": 1, "rateLimit": limit }), vec![slow; 4]);
    let call = |after| scene.ask(Ask { after, ..Ask::default() });
    // The second is in both queues before the others come.
    let ended = futures::future::join_all([call(0), call(10), call(1_500), call(1_600)]).await;
    let refused = ended.iter().filter(|ended| ended.result.is_err()).count();
    assert_eq!((ended[0].text(), ended[1].text(), refused), ("a", "a", 1));
}

#[tokio::test(start_paused = true)]
async fn what_goes_back_to_the_line_for_a_pause_gives_back_what_it_had() {
    let refused = refusal(429, "rate_limit_exceeded", "no").header("retry-after", 5).head_after(1_000);
    let limit = json!({ "capacity": 2, "refillRate": 0.01 });
    let options = json!({ "maxConcurrent": 1, "maxRetries": 0, "rateLimit": limit });
    let scene = Scene::new(options, vec![refused, answer(&["a"])]);
    let (first, second) = futures::join!(scene.call(), scene.ask(Ask { after: 10, ..Ask::default() }));
    assert_eq!((first.error().kind, second.text(), second.at), (Kind::RateLimit, "a", 6_000));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_limit_is_spent_when_its_place_comes_goes_to_a_route_with_room() {
    let limit = json!({ "capacity": 1, "refillRate": 0.01 });
    let script = vec![answer(&["a"]).head_after(100)];
    let options = json!({ "maxConcurrent": 1 });
    let scene = scene(
        options,
        vec![("a", limit.clone(), script), ("b", limit, vec![answer(&["b"]).head_after(100)])],
    );
    let (first, second) = futures::join!(scene.call(), scene.call());
    assert_eq!((first.text(), second.text(), second.at), ("a", "b", 200));
}
