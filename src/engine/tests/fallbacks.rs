//! Failing over to other endpoints and models.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, connection_refused, error_response, stream, unavailable};
use crate::error::Kind;

fn rate_limited(seconds: u64) -> Reply {
    error_response(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

#[tokio::test(start_paused = true)]
async fn failing_over_to_the_next_endpoint_is_immediate_and_does_not_count_as_a_retry() {
    let harness =
        Harness::two_endpoints(json!({ "maxRetries": 0 }), vec![unavailable()], vec![answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!((outcome.at, harness.request_hosts().as_str()), (0, "ab"));
    assert_ne!(harness.requests()[0].idempotency_key(), harness.requests()[1].idempotency_key());
    assert_eq!((outcome.answer().endpoint.as_str(), outcome.attempt_outcomes().len()), ("b", 2));
    let fallback = &outcome.events("fallback")[0];
    assert_eq!((&fallback["endpoint"], &fallback["fromEndpoint"]), (&json!("b"), &json!("a")));
    assert_eq!(outcome.events("attempt")[1]["reason"], "fallback");
}

#[tokio::test(start_paused = true)]
async fn retries_alternate_between_the_endpoints() {
    let harness = Harness::two_endpoints(json!({}), vec![unavailable(); 3], vec![unavailable(); 2]);
    let outcome = harness.call().await;
    assert_eq!(
        (harness.request_hosts().as_str(), harness.request_times()),
        ("ababa", vec![0, 0, 1_000, 3_000, 7_000])
    );
    assert_eq!((outcome.error().kind, outcome.error().attempts.len()), (Kind::RetriesExhausted, 5));
}

#[tokio::test(start_paused = true)]
async fn the_next_model_is_tried_at_once_when_the_retries_are_exhausted() {
    let options = json!({ "maxRetries": 1, "fallbackModels": ["m2", "m1"] });
    let harness = Harness::new(options, vec![unavailable(), unavailable(), unavailable(), answer(&["a"])]);
    let request = json!({ "messages": [{}], "model": "m1" });
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    let models: Vec<Value> =
        harness.requests().iter().map(|request| request.json()["model"].clone()).collect();
    assert_eq!(models, ["m1", "m1", "m2", "m2"]);
    assert_eq!(harness.request_times(), [0, 1_000, 1_000, 2_000]);
    assert_eq!(outcome.answer().model, "m2");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_receives_only_its_own_key_and_headers() {
    let options = json!({ "headers": { "x-all": "1" } });
    let harness = Harness::two_endpoints(options, vec![connection_refused()], vec![answer(&["a"])]);
    harness.call().await;
    let requests = harness.requests();
    let key = |index: usize| requests[index].header("authorization");
    assert_eq!((key(0), key(1)), (Some("Bearer key-of-a"), Some("Bearer key-of-b")));
    assert_eq!((requests[0].header("x-of"), requests[1].header("x-of")), (Some("a"), None));
    assert_eq!(requests[1].header("x-all"), Some("1"));
    assert!(requests[0].headers["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_has_an_idempotency_key_and_each_model_a_body() {
    let options = json!({ "maxRetries": 1, "fallbackModels": ["m2"] });
    let harness = Harness::two_endpoints(options, vec![unavailable(); 4], vec![unavailable(); 2]);
    let outcome = harness.call_with(json!({ "idempotencyKey": "mine" })).await;
    assert_eq!((harness.request_hosts().as_str(), outcome.error().attempts.len()), ("abaaba", 6));
    let requests = harness.requests();
    let keys: Vec<&str> = requests.iter().map(|request| request.idempotency_key()).collect();
    assert_eq!((keys[0], keys[2], keys[3], keys[5]), ("mine", "mine", keys[5], keys[3]));
    let mut distinct = keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "endpoint × model: {keys:?}");
    assert_eq!(requests[0].body.as_ptr(), requests[1].body.as_ptr(), "encoded once for both endpoints");
    assert_ne!(requests[0].body, requests[3].body);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_can_map_the_name_of_a_model() {
    let options = json!({ "model": "alias", "endpoints": [
        { "name": "a", "baseUrl": "http://a/v1", "models": { "alias": "mapped" } },
        { "name": "b", "baseUrl": "http://b/v1" },
    ] });
    let scripts = vec![("a", vec![unavailable()]), ("b", vec![answer(&["x"])])];
    let harness = Harness::with_hosts(options, scripts);
    let outcome = harness.call().await;
    let models: Vec<Value> =
        harness.requests().iter().map(|request| request.json()["model"].clone()).collect();
    assert_eq!(models, ["mapped", "alias"]);
    assert_eq!(outcome.answer().attempts[0].model, "alias");
    assert_eq!(harness.requests()[0].header("authorization"), None, "the key of the client is not sent");
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_is_not_tried_twice_if_there_is_another() {
    let options = json!({ "firstTokenTimeoutMs": 1_000 });
    let harness = Harness::two_endpoints(options, vec![stream().never_answers()], vec![unavailable(); 4]);
    let outcome = harness.call().await;
    assert_eq!((harness.request_hosts().as_str(), outcome.error().kind), ("abbbb", Kind::RetriesExhausted));
}

#[tokio::test(start_paused = true)]
async fn a_silent_route_fails_over_to_the_next_model() {
    let options = json!({ "firstTokenTimeoutMs": 1_000, "fallbackModels": ["m2"] });
    let harness = Harness::new(options, vec![stream().never_answers(), answer(&["a"])]);
    let outcome = harness.call().await;
    assert_eq!((harness.request_times(), outcome.answer().model.as_str()), (vec![0, 1_000], "m2"));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_request_does_not_fail_over() {
    for code in [400, 422] {
        let harness = Harness::two_endpoints(json!({}), vec![error_response(code, "invalid", "no")], vec![]);
        assert_eq!(harness.call().await.error().kind, Kind::InvalidRequest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_or_a_missing_model_fails_over_to_another_endpoint() {
    for (code, provider_code) in [(401, "invalid_api_key"), (429, "insufficient_quota"), (404, "no_model")] {
        let rejected = error_response(code, provider_code, "no");
        let harness =
            Harness::two_endpoints(json!({ "maxRetries": 0 }), vec![rejected], vec![answer(&["a"])]);
        assert_eq!(harness.call().await.text(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_is_not_used_for_another_model_of_its_endpoint() {
    let options = json!({ "fallbackModels": ["m2"] });
    let rejected = error_response(401, "invalid_api_key", "no");
    let harness = Harness::two_endpoints(
        options,
        vec![rejected],
        vec![unavailable(), error_response(404, "no", "no"), answer(&["a"])],
    );
    let outcome = harness.call().await;
    assert_eq!((harness.request_hosts().as_str(), outcome.answer().model.as_str()), ("abbb", "m2"));
}

#[tokio::test(start_paused = true)]
async fn a_429_cools_its_route_down_for_other_calls() {
    let a = vec![rate_limited(10), answer(&["late"])];
    let harness = Harness::two_endpoints(json!({}), a, vec![answer(&["1"]), answer(&["2"])]);
    assert_eq!(harness.call().await.text(), "1");
    assert_eq!(harness.call().await.text(), "2");
    let outcome = harness.run(TestCall { delay_ms: 10_000, ..TestCall::default() }).await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("late", "abba"));
}

#[tokio::test(start_paused = true)]
async fn retries_use_the_other_endpoint_while_one_cools_down() {
    let options = json!({ "maxRetries": 4 });
    let harness =
        Harness::two_endpoints(options, vec![rate_limited(10), answer(&["a"])], vec![unavailable(); 4]);
    harness.call().await;
    let times = vec![0, 0, 1_000, 3_000, 7_000, 15_000];
    assert_eq!((harness.request_hosts().as_str(), harness.request_times()), ("abbbba", times));
}

#[tokio::test(start_paused = true)]
async fn no_request_reaches_an_endpoint_before_its_retry_after() {
    let a = vec![rate_limited(10), answer(&["late"])];
    let harness = Harness::two_endpoints(
        json!({ "maxRetries": 4 }),
        a,
        vec![answer(&["1"]), unavailable(), unavailable()],
    );
    harness.call().await;
    let outcome = harness.run(TestCall { delay_ms: 8_500, ..TestCall::default() }).await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("late", "abbba"));
    assert_eq!(harness.request_times()[2..], [8_500, 9_500, 10_000]);
}
