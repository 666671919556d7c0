//! Which endpoint a call goes to first.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::provider::{Reply, answer, stream, unavailable};
use super::support::{Ask, Scene};

/// Two endpoints with these fields beside their own.
fn two(mut options: Value, fields: [Value; 2], a: Vec<Reply>, b: Vec<Reply>) -> Scene {
    let mut endpoints = fields;
    for (endpoint, name) in endpoints.iter_mut().zip(["a", "b"]) {
        endpoint["name"] = json!(name);
        endpoint["baseUrl"] = json!(format!("http://{name}/v1"));
    }
    options["endpoints"] = json!(endpoints);
    Scene::hosts(options, vec![("a", a), ("b", b)])
}

fn with_breakers(routing: &str) -> Value {
    let breaker = json!({ "failureThreshold": 1, "timeout": 1_000 });
    json!({ "routing": routing, "maxRetries": 0, "circuitBreaker": breaker })
}

fn after(ms: u64) -> Ask {
    Ask { after: ms, ..Ask::default() }
}

fn first_token_after(ms: u64) -> Reply {
    stream().wait(ms).say("x").finish().done()
}

#[tokio::test(start_paused = true)]
async fn ordered_leaves_the_first_endpoint_only_while_it_is_down() {
    let a = vec![unavailable(), answer(&["1"]), answer(&["2"])];
    let scene = Scene::two(with_breakers("ordered"), a, vec![answer(&["b"]), answer(&["b"])]);
    scene.call().await;
    scene.ask(after(500)).await;
    scene.ask(after(500)).await;
    scene.call().await;
    assert_eq!(scene.went_to(), "abbaa");
}

#[tokio::test(start_paused = true)]
async fn weighted_goes_by_the_weights() {
    let options = json!({ "routing": "weighted" });
    let fields = [json!({ "weight": 0.001 }), json!({ "weight": 1_000_000 })];
    let scene = two(options, fields, vec![], vec![answer(&["b"]); 5]);
    for _ in 0..5 {
        scene.call().await;
    }
    assert_eq!(scene.went_to(), "bbbbb");
}

#[tokio::test(start_paused = true)]
async fn score_finds_the_faster_endpoint_and_stays_with_it() {
    let options = json!({ "routing": "score" });
    let scene = Scene::two(options, vec![first_token_after(300)], vec![first_token_after(100); 4]);
    for _ in 0..5 {
        scene.call().await;
    }
    assert_eq!(scene.went_to(), "abbbb");
}

#[tokio::test(start_paused = true)]
async fn score_probes_an_endpoint_whose_breaker_is_due_once_and_returns_to_it_as_it_proves_itself() {
    let a = [vec![first_token_after(10), unavailable()], vec![first_token_after(10); 2]].concat();
    let b = vec![first_token_after(100); 6];
    let scene = Scene::two(with_breakers("score"), a, b);
    // a, then b for it is not known; the faster one fails.
    for _ in 0..3 {
        scene.call().await;
    }
    assert_eq!(scene.went_to(), "abab");
    scene.ask(after(100)).await;
    assert_eq!(scene.went_to(), "ababb", "the breaker is open");
    scene.ask(after(1_000)).await;
    assert_eq!(scene.went_to(), "ababba", "the probe");
    scene.call().await;
    assert_eq!(scene.went_to(), "ababbaa", "two of three and ten times as fast: 47 + 30 against 70 + 3");
}

#[tokio::test(start_paused = true)]
async fn least_busy_spreads_calls_that_are_under_way() {
    let options = json!({ "routing": "least-busy" });
    let scene = Scene::two(options, vec![first_token_after(500); 2], vec![first_token_after(300); 2]);
    futures::join!(scene.call(), scene.call(), scene.ask(after(100)), scene.ask(after(400)));
    assert_eq!(scene.went_to(), "abab");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_limiter_is_full_is_left_for_one_that_has_room() {
    let limited = json!({ "rateLimit": { "capacity": 1, "refillRate": 1 } });
    let scene = two(json!({}), [limited, json!({})], vec![answer(&["a"]); 2], vec![answer(&["b"])]);
    let times = [scene.call().await.at, scene.call().await.at, scene.ask(after(1_000)).await.at];
    assert_eq!((scene.went_to().as_str(), times), ("aba", [0, 0, 1_000]));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_only_looked_at_spends_nothing() {
    let options = with_breakers("score");
    let limited = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.001 } });
    let scene = two(options, [json!({}), limited], vec![], vec![]);
    let endpoint = &scene.client.state.endpoints[1];
    let route = endpoint.route("gpt-4.1", &scene.client.config().breaker, None, false);
    let breaker = route.breaker.as_ref().unwrap();
    breaker.update(|inner| inner.breaker.open(crate::engine::clock::now()));
    sleep(Duration::from_millis(1_000)).await;
    for _ in 0..3 {
        let candidate = endpoint.candidate(&route, scene.client.config().routing, 0.0);
        assert!(candidate.probe_due && candidate.has_capacity);
    }
    assert!(breaker.acquire().is_ok());
    assert!(endpoint.limiter.as_ref().unwrap().try_acquire(1.0));
    let candidate = endpoint.candidate(&route, scene.client.config().routing, 0.0);
    assert!(!candidate.has_capacity);
}

#[tokio::test(start_paused = true)]
async fn each_model_has_its_own_order() {
    let options =
        json!({ "routing": "score", "maxRetries": 0, "fallbackModels": ["m2"], "circuitBreaker": false });
    let a = vec![unavailable(), first_token_after(300), unavailable()];
    let b = vec![unavailable(), unavailable(), first_token_after(100), first_token_after(100)];
    let scene = Scene::two(options, a, b);
    // m1 fails at both, m2 is answered by a. Then m1 fails at both again, and m2 at b is not known yet.
    scene.call().await;
    let ended = scene.call().await;
    assert_eq!((scene.went_to().as_str(), ended.answer().endpoint.as_str()), ("abaabb", "b"));
}
