//! Other endpoints and other models.

use serde_json::{Value, json};

use super::provider::{Reply, answer, no_connection, refusal, stream, unavailable};
use super::support::{Ask, Scene};
use crate::error::Kind;

fn limited(seconds: u64) -> Reply {
    refusal(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

#[tokio::test(start_paused = true)]
async fn the_first_try_of_the_next_endpoint_does_not_wait_and_is_no_retry() {
    let scene = Scene::two(json!({ "maxRetries": 0 }), vec![unavailable()], vec![answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!((ended.at, scene.went_to().as_str()), (0, "ab"));
    assert_ne!(scene.requests()[0].key(), scene.requests()[1].key());
    assert_eq!((ended.answer().endpoint.as_str(), ended.outcomes().len()), ("b", 2));
    let fallback = &ended.events("fallback")[0];
    assert_eq!((&fallback["endpoint"], &fallback["fromEndpoint"]), (&json!("b"), &json!("a")));
    assert_eq!(ended.events("attempt")[1]["reason"], "fallback");
}

#[tokio::test(start_paused = true)]
async fn retries_go_round_the_endpoints_after_the_first_tries() {
    let scene = Scene::two(json!({}), vec![unavailable(); 3], vec![unavailable(); 2]);
    let ended = scene.call().await;
    assert_eq!((scene.went_to().as_str(), scene.times()), ("ababa", vec![0, 0, 1_000, 3_000, 7_000]));
    assert_eq!((ended.error().kind, ended.error().attempts.len()), (Kind::RetriesExhausted, 5));
}

#[tokio::test(start_paused = true)]
async fn the_next_model_comes_after_the_retries_and_without_a_wait() {
    let options = json!({ "maxRetries": 1, "fallbackModels": ["m2", "m1"] });
    let scene = Scene::new(options, vec![unavailable(), unavailable(), unavailable(), answer(&["a"])]);
    let request = json!({ "messages": [{}], "model": "m1" });
    let ended = scene.ask(Ask { request, ..Ask::default() }).await;
    let models: Vec<Value> = scene.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(models, ["m1", "m1", "m2", "m2"]);
    assert_eq!(scene.times(), [0, 1_000, 1_000, 2_000]);
    assert_eq!(ended.answer().model, "m2");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_its_own_key_and_headers_and_never_anothers() {
    let options = json!({ "headers": { "x-all": "1" } });
    let scene = Scene::two(options, vec![no_connection()], vec![answer(&["a"])]);
    scene.call().await;
    let seen = scene.requests();
    let key = |index: usize| seen[index].header("authorization");
    assert_eq!((key(0), key(1)), (Some("Bearer key-of-a"), Some("Bearer key-of-b")));
    assert_eq!((seen[0].header("x-of"), seen[1].header("x-of")), (Some("a"), None));
    assert_eq!(seen[1].header("x-all"), Some("1"));
    assert!(seen[0].headers["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_has_another_key_of_the_same_body_and_another_model_both_anew() {
    let options = json!({ "maxRetries": 1, "fallbackModels": ["m2"] });
    let scene = Scene::two(options, vec![unavailable(); 4], vec![unavailable(); 2]);
    let ended = scene.call_with(json!({ "idempotencyKey": "mine" })).await;
    assert_eq!((scene.went_to().as_str(), ended.error().attempts.len()), ("abaaba", 6));
    let seen = scene.requests();
    let keys: Vec<&str> = seen.iter().map(|request| request.key()).collect();
    assert_eq!((keys[0], keys[2], keys[3], keys[5]), ("mine", "mine", keys[5], keys[3]));
    let mut distinct = keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "endpoint × model: {keys:?}");
    assert_eq!(seen[0].body.as_ptr(), seen[1].body.as_ptr(), "encoded once for both endpoints");
    assert_ne!(seen[0].body, seen[3].body);
}

#[tokio::test(start_paused = true)]
async fn a_model_has_its_own_name_at_an_endpoint() {
    let options = json!({ "model": "ours", "endpoints": [
        { "name": "a", "baseUrl": "http://a/v1", "models": { "ours": "theirs" } },
        { "name": "b", "baseUrl": "http://b/v1" },
    ] });
    let scripts = vec![("a", vec![unavailable()]), ("b", vec![answer(&["x"])])];
    let scene = Scene::hosts(options, scripts);
    let ended = scene.call().await;
    let models: Vec<Value> = scene.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(models, ["theirs", "ours"]);
    assert_eq!(ended.answer().attempts[0].model, "ours");
    assert_eq!(scene.requests()[0].header("authorization"), None, "no key of another endpoint");
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_is_not_tried_twice_where_another_exists() {
    let options = json!({ "firstTokenTimeoutMs": 1_000 });
    let scene = Scene::two(options, vec![stream().never_answers()], vec![unavailable(); 4]);
    let ended = scene.call().await;
    assert_eq!((scene.went_to().as_str(), ended.error().kind), ("abbbb", Kind::RetriesExhausted));
}

#[tokio::test(start_paused = true)]
async fn a_silent_route_is_left_for_the_next_model() {
    let options = json!({ "firstTokenTimeoutMs": 1_000, "fallbackModels": ["m2"] });
    let scene = Scene::new(options, vec![stream().never_answers(), answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!((scene.times(), ended.answer().model.as_str()), (vec![0, 1_000], "m2"));
}

#[tokio::test(start_paused = true)]
async fn what_the_request_itself_is_refused_for_goes_nowhere_else() {
    for code in [400, 422] {
        let scene = Scene::two(json!({}), vec![refusal(code, "invalid", "no")], vec![]);
        assert_eq!(scene.call().await.error().kind, Kind::InvalidRequest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_and_a_missing_model_are_left_for_another_endpoint() {
    for (code, provider_code) in [(401, "invalid_api_key"), (429, "insufficient_quota"), (404, "no_model")] {
        let refused = refusal(code, provider_code, "no");
        let scene = Scene::two(json!({ "maxRetries": 0 }), vec![refused], vec![answer(&["a"])]);
        assert_eq!(scene.call().await.text(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_not_tried_with_another_model_at_the_same_endpoint() {
    let options = json!({ "fallbackModels": ["m2"] });
    let refused = refusal(401, "invalid_api_key", "no");
    let scene =
        Scene::two(options, vec![refused], vec![unavailable(), refusal(404, "no", "no"), answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!((scene.went_to().as_str(), ended.answer().model.as_str()), ("abbb", "m2"));
}

#[tokio::test(start_paused = true)]
async fn a_429_sends_other_calls_elsewhere_until_its_time_is_over() {
    let a = vec![limited(10), answer(&["late"])];
    let scene = Scene::two(json!({}), a, vec![answer(&["1"]), answer(&["2"])]);
    assert_eq!(scene.call().await.text(), "1");
    assert_eq!(scene.call().await.text(), "2");
    let ended = scene.ask(Ask { after: 10_000, ..Ask::default() }).await;
    assert_eq!((ended.text(), scene.went_to().as_str()), ("late", "abba"));
}

#[tokio::test(start_paused = true)]
async fn a_429_is_waited_for_at_the_other_endpoint() {
    let options = json!({ "maxRetries": 4 });
    let scene = Scene::two(options, vec![limited(10), answer(&["a"])], vec![unavailable(); 4]);
    scene.call().await;
    let times = vec![0, 0, 1_000, 3_000, 7_000, 15_000];
    assert_eq!((scene.went_to().as_str(), scene.times()), ("abbbba", times));
}

#[tokio::test(start_paused = true)]
async fn no_call_goes_to_a_cooling_endpoint_sooner_than_it_asked() {
    let a = vec![limited(10), answer(&["late"])];
    let scene = Scene::two(json!({ "maxRetries": 4 }), a, vec![answer(&["1"]), unavailable(), unavailable()]);
    scene.call().await;
    let ended = scene.ask(Ask { after: 8_500, ..Ask::default() }).await;
    assert_eq!((ended.text(), scene.went_to().as_str()), ("late", "abbba"));
    assert_eq!(scene.times()[2..], [8_500, 9_500, 10_000]);
}
