//! The caller's decisions about failures, and where the cause of a failure leads.

use serde_json::{Value, json};

use super::provider::{Reply, answer, no_connection, refusal, stream, unavailable};
use super::support::{Ended, Scene};
use crate::config::ClientConfig;
use crate::error::Kind;

fn table(rows: Value) -> Value {
    json!({ "retry": { "retryOn": rows } })
}

fn limited() -> Reply {
    refusal(429, "rate_limit_exceeded", "slow down")
}

fn too_long() -> Reply {
    refusal(400, "context_length_exceeded", "too long")
}

fn no_money() -> Reply {
    refusal(429, "insufficient_quota", "no money")
}

fn filtered() -> Reply {
    refusal(400, "content_filter", "no")
}

fn models(scene: &Scene) -> Vec<Value> {
    scene.requests().iter().map(|seen| seen.json()["model"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_documents_waits_are_kept_for_each_status() {
    let rows = json!({
        "408": [1000, 2000, 4000], "500": [1000, 2000, 4000], "502": [1000, 2000, 4000], "504": [1000, 2000, 4000],
        "429": { "delaysMs": [5000, 10000, 20000] },
    });
    for (reply, times) in [
        (refusal(500, "x", "x"), [0, 1_000, 3_000, 7_000]),
        (refusal(408, "x", "x"), [0, 1_000, 3_000, 7_000]),
        (limited(), [0, 5_000, 15_000, 35_000]),
        (limited().header("retry-after", 7), [0, 7_000, 17_000, 37_000]),
    ] {
        let mut options = table(rows.clone());
        options["retry"]["baseDelayMs"] = json!(60_000);
        let scene = Scene::new(options, vec![reply; 4]);
        assert_eq!(scene.call().await.error().kind, Kind::RetriesExhausted);
        assert_eq!(scene.times(), times);
    }
}

#[tokio::test(start_paused = true)]
async fn waits_that_are_not_repeated_bound_the_attempts() {
    let rows = json!({ "4xx": { "delaysMs": [1000, 2000], "repeat": false } });
    let scene = Scene::new(table(rows), vec![refusal(422, "x", "x"); 4]);
    assert_eq!(scene.call().await.error().status, Some(422));
    assert_eq!(scene.times(), [0, 1_000, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn never_fails_now_with_the_error_itself() {
    let scene = Scene::two(table(json!({ "5xx": "never" })), vec![unavailable()], vec![]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.error().status, ended.at), (Kind::Server, Some(503), 0));
}

#[tokio::test(start_paused = true)]
async fn fallback_leaves_the_route_for_good() {
    let options = table(json!({ "ECONNREFUSED": "fallback" }));
    let scene =
        Scene::two(options, vec![no_connection()], vec![unavailable(), unavailable(), answer(&["b"])]);
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("b", "abbb"));
    let scene = Scene::new(table(json!({ "503": "fallback" })), vec![unavailable()]);
    assert_eq!(scene.call().await.error().kind, Kind::Server, "there is no next one");
}

#[tokio::test(start_paused = true)]
async fn what_is_never_retried_can_be_told_to_be() {
    let scene = Scene::new(table(json!({ "404": "retry" })), vec![refusal(404, "no", "no"), answer(&["a"])]);
    assert_eq!((scene.call().await.text(), scene.times()), ("a", vec![0, 1_000]));
}

#[tokio::test(start_paused = true)]
async fn a_row_has_the_last_word_over_the_servers_x_should_retry() {
    let refused = unavailable().header("x-should-retry", "false");
    let scene = Scene::new(table(json!({ "503": "retry" })), vec![refused, answer(&["a"])]);
    assert_eq!(scene.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_filtered_prompt_goes_elsewhere_only_where_that_was_asked_for() {
    let scene = Scene::two(json!({ "fallbackModels": ["m2"] }), vec![filtered()], vec![]);
    assert_eq!(scene.call().await.error().kind, Kind::ContentFiltered);
    let options = table(json!({ "content-filter": "fallback" }));
    let scene = Scene::two(options, vec![filtered()], vec![answer(&["b"])]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.answer().endpoint.as_str()), ("b", "b"));
}

/// One endpoint, the model `m8` of 8000 tokens, and these to fall back to.
async fn prompt_too_long(fallbacks: Value, script: Vec<Reply>) -> (Ended, Vec<Value>) {
    let context = |tokens: u64| json!({ "contextTokens": tokens });
    let known = json!({ "m4": context(4_000), "m8": context(8_000), "m32": context(32_000) });
    let options = json!({ "model": "m8", "fallbackModels": fallbacks, "models": known });
    let scene = Scene::new(options, script);
    let ended = scene.call().await;
    (ended, models(&scene))
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_is_too_long_goes_to_a_model_with_a_larger_context() {
    let (ended, asked) = prompt_too_long(json!(["m4", "m32"]), vec![too_long(), answer(&["a"])]).await;
    assert_eq!((ended.answer().model.as_str(), asked), ("m32", vec![json!("m8"), json!("m32")]));
    let (ended, asked) = prompt_too_long(json!(["m4", "other"]), vec![too_long(), answer(&["a"])]).await;
    assert_eq!((ended.answer().model.as_str(), asked.len()), ("other", 2), "it may be larger");
    let (ended, asked) = prompt_too_long(json!(["m4"]), vec![too_long()]).await;
    assert_eq!((ended.error().kind, asked.len()), (Kind::ContextLength, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_without_money_is_never_used_again_whatever_endpoint_has_it() {
    let keys = |keys: [&str; 3]| {
        let endpoints: Vec<Value> = ["a", "b", "c"]
            .iter()
            .zip(keys)
            .map(|(host, key)| json!({ "name": host, "baseUrl": format!("http://{host}/v1"), "apiKey": key }))
            .collect();
        json!({ "endpoints": endpoints, "fallbackModels": ["m2"], "retry": { "retryOn": { "429": [1] } } })
    };
    let options = keys(["k1", "k1", "k2"]);
    let scene = Scene::hosts(options, vec![("a", vec![no_money()]), ("c", vec![answer(&["c"])])]);
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("c", "ac"));
    let scene = Scene::hosts(keys(["k1", "k1", "k1"]), vec![("a", vec![no_money()])]);
    assert_eq!(scene.call().await.error().kind, Kind::QuotaExhausted);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_not_waited_for_while_another_model_is_there() {
    let options = json!({ "model": "m1", "fallbackModels": ["m2"] });
    let scene = Scene::new(options, vec![limited().header("retry-after", 30), answer(&["a"])]);
    let ended = scene.call().await;
    assert_eq!((ended.at, models(&scene)), (0, vec![json!("m1"), json!("m2")]));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_that_the_caller_has_decided_about_is_retried_where_it_was() {
    let mut options = table(json!({ "429": [5000] }));
    options["fallbackModels"] = json!(["m2"]);
    let scene = Scene::new(options, vec![limited(), answer(&["a"])]);
    scene.call().await.answer();
    assert_eq!((scene.times(), models(&scene)[0] == models(&scene)[1]), (vec![0, 5_000], true));
}

#[tokio::test(start_paused = true)]
async fn a_wait_after_a_reset_is_within_the_range_that_was_asked_for() {
    let retry =
        json!({ "connectionReset": { "minDelayMs": 2000, "maxDelayMs": 2500 }, "baseDelayMs": 60_000 });
    let broken = || stream().breaks();
    let scene = Scene::new(json!({ "retry": retry }), vec![broken(), broken(), answer(&["a"])]);
    scene.call().await.answer();
    let times = scene.times();
    for pair in times.windows(2) {
        assert!((2_000..=2_501).contains(&(pair[1] - pair[0])), "{times:?}");
    }
    let scene = Scene::new(json!({ "retry": retry }), vec![no_connection(), answer(&["a"])]);
    scene.call().await.answer();
    assert_eq!(scene.times(), [0, 60_000], "a refused connection is none");
}

#[test]
fn a_bare_status_is_decided_as_its_response_is() {
    let none = ClientConfig::read(&json!({ "apiKey": "k" })).unwrap().call.retry.decisions.clone();
    for status in 400..600u16 {
        let error = crate::wire::provider_error::from_response(status, None, b"", &|_| None, 0);
        let by_error = none.decide(error.code(), error.status);
        assert_eq!(none.decide(&status.to_string(), None), by_error, "{status}");
    }
}
