//! The caller's decision table, and where a call goes after each kind of failure.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome};
use super::scripted_provider::{Reply, answer, connection_refused, error_response, stream, unavailable};
use crate::config::ClientConfig;
use crate::error::Kind;

fn table(rows: Value) -> Value {
    json!({ "retry": { "retryOn": rows } })
}

fn rate_limited() -> Reply {
    error_response(429, "rate_limit_exceeded", "slow down")
}

fn context_too_long() -> Reply {
    error_response(400, "context_length_exceeded", "too long")
}

fn quota_exhausted() -> Reply {
    error_response(429, "insufficient_quota", "no quota")
}

fn content_filtered() -> Reply {
    error_response(400, "content_filter", "no")
}

fn models(harness: &Harness) -> Vec<Value> {
    harness.requests().iter().map(|request| request.json()["model"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_status_has_the_delays_of_the_table() {
    let rows = json!({
        "408": [1000, 2000, 4000], "500": [1000, 2000, 4000], "502": [1000, 2000, 4000], "504": [1000, 2000, 4000],
        "429": { "delaysMs": [5000, 10000, 20000] },
    });
    for (reply, times) in [
        (error_response(500, "x", "x"), [0, 1_000, 3_000, 7_000]),
        (error_response(408, "x", "x"), [0, 1_000, 3_000, 7_000]),
        (rate_limited(), [0, 5_000, 15_000, 35_000]),
        (rate_limited().header("retry-after", 7), [0, 7_000, 17_000, 37_000]),
    ] {
        let mut options = table(rows.clone());
        options["retry"]["baseDelayMs"] = json!(60_000);
        let harness = Harness::new(options, vec![reply; 4]);
        assert_eq!(harness.call().await.error().kind, Kind::RetriesExhausted);
        assert_eq!(harness.request_times(), times);
    }
}

#[tokio::test(start_paused = true)]
async fn delays_without_repeat_limit_the_attempts() {
    let rows = json!({ "4xx": { "delaysMs": [1000, 2000], "repeat": false } });
    let harness = Harness::new(table(rows), vec![error_response(422, "x", "x"); 4]);
    assert_eq!(harness.call().await.error().status, Some(422));
    assert_eq!(harness.request_times(), [0, 1_000, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn never_fails_at_once_with_the_original_error() {
    let harness = Harness::two_endpoints(table(json!({ "5xx": "never" })), vec![unavailable()], vec![]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.error().status, outcome.at), (Kind::Server, Some(503), 0));
}

#[tokio::test(start_paused = true)]
async fn fallback_excludes_the_route_for_the_rest_of_the_call() {
    let options = table(json!({ "ECONNREFUSED": "fallback" }));
    let harness = Harness::two_endpoints(
        options,
        vec![connection_refused()],
        vec![unavailable(), unavailable(), answer(&["b"])],
    );
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("b", "abbb"));
    let harness = Harness::new(table(json!({ "503": "fallback" })), vec![unavailable()]);
    assert_eq!(harness.call().await.error().kind, Kind::Server, "there is no other route");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_not_retryable_can_be_made_retryable() {
    let harness =
        Harness::new(table(json!({ "404": "retry" })), vec![error_response(404, "no", "no"), answer(&["a"])]);
    assert_eq!((harness.call().await.text(), harness.request_times()), ("a", vec![0, 1_000]));
}

#[tokio::test(start_paused = true)]
async fn the_table_overrides_x_should_retry() {
    let not_retryable = unavailable().header("x-should-retry", "false");
    let harness = Harness::new(table(json!({ "503": "retry" })), vec![not_retryable, answer(&["a"])]);
    assert_eq!(harness.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_filtered_prompt_fails_over_only_where_the_table_says_so() {
    let harness =
        Harness::two_endpoints(json!({ "fallbackModels": ["m2"] }), vec![content_filtered()], vec![]);
    assert_eq!(harness.call().await.error().kind, Kind::ContentFiltered);
    let options = table(json!({ "content-filter": "fallback" }));
    let harness = Harness::two_endpoints(options, vec![content_filtered()], vec![answer(&["b"])]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.answer().endpoint.as_str()), ("b", "b"));
}

/// A call on one endpoint for the model `m8`, whose context is 8,000 tokens, and the models of its requests.
async fn prompt_too_long(fallbacks: Value, script: Vec<Reply>) -> (Outcome, Vec<Value>) {
    let context = |tokens: u64| json!({ "contextTokens": tokens });
    let known = json!({ "m4": context(4_000), "m8": context(8_000), "m32": context(32_000) });
    let options = json!({ "model": "m8", "fallbackModels": fallbacks, "models": known });
    let harness = Harness::new(options, script);
    let outcome = harness.call().await;
    (outcome, models(&harness))
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_is_too_long_goes_to_a_model_with_a_larger_context() {
    let (outcome, models) =
        prompt_too_long(json!(["m4", "m32"]), vec![context_too_long(), answer(&["a"])]).await;
    assert_eq!((outcome.answer().model.as_str(), models), ("m32", vec![json!("m8"), json!("m32")]));
    let (outcome, models) =
        prompt_too_long(json!(["m4", "other"]), vec![context_too_long(), answer(&["a"])]).await;
    assert_eq!((outcome.answer().model.as_str(), models.len()), ("other", 2), "its context may be larger");
    let (outcome, models) = prompt_too_long(json!(["m4"]), vec![context_too_long()]).await;
    assert_eq!((outcome.error().kind, models.len()), (Kind::ContextLength, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_with_an_exhausted_quota_is_not_used_again_on_any_endpoint() {
    let keys = |keys: [&str; 3]| {
        let endpoints: Vec<Value> = ["a", "b", "c"]
            .iter()
            .zip(keys)
            .map(|(host, key)| json!({ "name": host, "baseUrl": format!("http://{host}/v1"), "apiKey": key }))
            .collect();
        json!({ "endpoints": endpoints, "fallbackModels": ["m2"], "retry": { "retryOn": { "429": [1] } } })
    };
    let options = keys(["k1", "k1", "k2"]);
    let harness =
        Harness::with_hosts(options, vec![("a", vec![quota_exhausted()]), ("c", vec![answer(&["c"])])]);
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("c", "ac"));
    let harness = Harness::with_hosts(keys(["k1", "k1", "k1"]), vec![("a", vec![quota_exhausted()])]);
    assert_eq!(harness.call().await.error().kind, Kind::QuotaExhausted);
}

#[tokio::test(start_paused = true)]
async fn a_429_fails_over_to_another_model_without_a_wait() {
    let options = json!({ "model": "m1", "fallbackModels": ["m2"] });
    let harness = Harness::new(options, vec![rate_limited().header("retry-after", 30), answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!((outcome.at, models(&harness)), (0, vec![json!("m1"), json!("m2")]));
}

#[tokio::test(start_paused = true)]
async fn a_429_with_configured_delays_is_retried_on_its_route() {
    let mut options = table(json!({ "429": [5000] }));
    options["fallbackModels"] = json!(["m2"]);
    let harness = Harness::new(options, vec![rate_limited(), answer(&["a"])]);
    harness.call().await.answer();
    assert_eq!((harness.request_times(), models(&harness)[0] == models(&harness)[1]), (vec![0, 5_000], true));
}

#[tokio::test(start_paused = true)]
async fn the_wait_after_a_connection_reset_is_within_the_configured_range() {
    let retry =
        json!({ "connectionReset": { "minDelayMs": 2000, "maxDelayMs": 2500 }, "baseDelayMs": 60_000 });
    let broken = || stream().reset();
    let harness = Harness::new(json!({ "retry": retry }), vec![broken(), broken(), answer(&["a"])]);
    harness.call().await.answer();
    let times = harness.request_times();
    for pair in times.windows(2) {
        assert!((2_000..=2_501).contains(&(pair[1] - pair[0])), "{times:?}");
    }
    let harness = Harness::new(json!({ "retry": retry }), vec![connection_refused(), answer(&["a"])]);
    harness.call().await.answer();
    assert_eq!(harness.request_times(), [0, 60_000], "a refused connection is not a reset");
}

#[test]
fn a_bare_status_gets_the_same_decision_as_its_response() {
    let table = ClientConfig::read(&json!({ "apiKey": "k" })).unwrap().call.retry.decisions.clone();
    for status in 400..600u16 {
        let error = crate::wire::provider_error::from_response(status, None, b"", &|_| None, 0);
        let by_error = table.decide(error.code(), error.status);
        assert_eq!(table.decide(&status.to_string(), None), by_error, "{status}");
    }
}
