//! What a client counts.

use serde_json::{Value, json};

use super::provider::{answer, refusal, stream, unavailable};
use super::support::Scene;

fn metrics(scene: &Scene) -> Value {
    serde_json::to_value(scene.client.metrics()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_its_attempts_and_its_retries_are_counted() {
    let limited = refusal(429, "rate_limit_exceeded", "slow down").header("retry-after", 5);
    let scene =
        Scene::new(json!({}), vec![unavailable(), limited, answer(&["a"]), refusal(400, "bad", "no")]);
    scene.call().await;
    scene.call().await;
    let counted = metrics(&scene);
    let counts = ["calls", "inFlight", "successes", "failures", "successAfterRetry", "attempts", "retries"];
    assert_eq!(counts.map(|name| counted[name].as_u64().unwrap()), [2, 0, 1, 1, 1, 4, 2]);
    assert_eq!(counted["retriesByCause"], json!({ "RATE_LIMITED": 1, "SERVER_ERROR": 1 }));
    assert_eq!(counted["failuresByCode"], json!({ "INVALID_REQUEST": 1 }));
    assert_eq!(counted["waits"], json!({ "backoff": 1, "retry-after": 1 }));
    assert_eq!(counted["waitMs"], 6_000);
}

#[tokio::test(start_paused = true)]
async fn times_and_tokens_are_counted_by_route() {
    let usage =
        json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 } });
    let slow = stream().wait(300).say("a").wait(700).finish().event(&usage).done();
    let scene = Scene::two(json!({}), vec![unavailable()], vec![slow]);
    scene.call().await;
    let counted = metrics(&scene);
    let [a, b] = [&counted["routes"][0], &counted["routes"][1]];
    assert_eq!((&a["endpoint"], &a["attempts"], &a["failures"]), (&json!("a"), &json!(1), &json!(1)));
    assert_eq!(a["failuresByCode"], json!({ "SERVER_ERROR": 1 }));
    assert_eq!((&b["endpoint"], &b["attempts"], &b["failures"]), (&json!("b"), &json!(1), &json!(0)));
    assert_eq!((&b["tokensIn"], &b["tokensOut"]), (&json!(7), &json!(3)));
    assert_eq!((&b["firstTokenMs"]["sum"], &b["durationMs"]["sum"]), (&json!(300), &json!(1_000)));
    assert_eq!((&a["firstTokenMs"]["count"], &a["firstTokenMs"]["p95"]), (&json!(0), &Value::Null));
    assert_eq!((&counted["fallbacks"], &counted["tokensIn"]), (&json!(1), &json!(7)));
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_is_in_flight_and_an_aborted_one_no_failure() {
    let scene = Scene::new(json!({}), vec![stream().say("a").stall()]);
    let call = scene.call_aborted_after(500);
    let look = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        metrics(&scene)["inFlight"].clone()
    };
    assert_eq!(futures::join!(call, look).1, 1);
    let counted = metrics(&scene);
    let counts = ["calls", "inFlight", "failures", "aborted"];
    assert_eq!(counts.map(|name| counted[name].as_u64().unwrap()), [1, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_is_counted_and_its_state_is_told() {
    let options = json!({ "maxRetries": 0, "circuitBreaker": { "failureThreshold": 1 } });
    let scene = Scene::two(options, vec![unavailable()], vec![answer(&["a"])]);
    scene.call().await;
    let counted = metrics(&scene);
    assert_eq!(counted["circuitOpenings"], 1);
    let states = [("a", "OPEN"), ("b", "CLOSED")]
        .map(|(endpoint, state)| json!({ "endpoint": endpoint, "model": "gpt-4.1", "state": state }));
    assert_eq!(counted["breakers"], json!(states));
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_costs_is_part_of_its_route_and_of_the_sum() {
    let usage = json!({
        "id": "chatcmpl-1", "choices": [],
        "usage": { "prompt_tokens": 1_000_000, "completion_tokens": 500_000, "total_tokens": 1_500_000 },
    });
    let scene = Scene::new(json!({}), vec![stream().say("a").finish().event(&usage).done()]);
    scene.call().await;
    let counted = metrics(&scene);
    assert_eq!((&counted["costUsd"], &counted["routes"][0]["costUsd"]), (&json!(12.0), &json!(12.0)));
}

#[tokio::test(start_paused = true)]
async fn every_event_names_the_request_that_it_is_about() {
    let refused = refusal(503, "overloaded", "no").header("x-request-id", "p-1");
    let b = stream().say("one two").breaks();
    let options = json!({ "maxRetries": 1, "recovery": { "mode": "continue" } });
    let scene = Scene::two(options, vec![refused, answer(&[" three"])], vec![b]);
    let ended = scene.call().await;
    assert_eq!(ended.text(), "one two three");
    let sent: Vec<String> =
        scene.requests().iter().map(|seen| seen.header("x-client-request-id").unwrap().to_owned()).collect();
    let told: Vec<(String, usize)> = ended
        .sink
        .events
        .lock()
        .unwrap()
        .iter()
        .map(|(_, event)| {
            let request = sent.iter().position(|id| event["requestId"] == json!(id));
            (event["type"].as_str().unwrap().to_owned(), request.unwrap())
        })
        .collect();
    let expected = [
        ("attempt", 0),
        ("attempt-failed", 0),
        ("fallback", 0),
        ("attempt", 1),
        ("first-token", 1),
        ("attempt-failed", 1),
        ("recovery", 1),
        ("wait", 1),
        ("attempt", 2),
        ("first-token", 2),
        ("complete", 2),
    ];
    assert_eq!(told, expected.map(|(kind, request)| (kind.to_owned(), request)));
    assert_eq!(ended.events("attempt-failed")[0]["providerRequestId"], "p-1");
}

#[tokio::test(start_paused = true)]
async fn the_text_for_prometheus_has_the_same_numbers_in_seconds() {
    let scene = Scene::new(json!({}), vec![unavailable(), stream().wait(300).say("a").finish().done()]);
    scene.call().await;
    let text = scene.client.metrics().text();
    for line in [
        "# TYPE holysheep_calls_total counter",
        "holysheep_calls_total{outcome=\"success\"} 1",
        "holysheep_retries_total{cause=\"SERVER_ERROR\"} 1",
        "holysheep_attempts_total{endpoint=\"a\",model=\"gpt-4.1\"} 2",
        "holysheep_attempt_failures_total{endpoint=\"a\",model=\"gpt-4.1\",code=\"SERVER_ERROR\"} 1",
        "holysheep_wait_seconds_total 1",
        "holysheep_first_token_seconds_bucket{endpoint=\"a\",model=\"gpt-4.1\",le=\"0.32\"} 1",
        "holysheep_first_token_seconds_sum{endpoint=\"a\",model=\"gpt-4.1\"} 0.3",
        "holysheep_attempt_duration_seconds_count{endpoint=\"a\",model=\"gpt-4.1\"} 2",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
}
