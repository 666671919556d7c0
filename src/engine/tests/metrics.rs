//! The metrics of a client.

use serde_json::{Value, json};

use super::harness::Harness;
use super::scripted_provider::{answer, error_response, stream, unavailable};

fn metrics(harness: &Harness) -> Value {
    serde_json::to_value(harness.client.metrics()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_attempts_and_retries_are_counted() {
    let limited = error_response(429, "rate_limit_exceeded", "slow down").header("retry-after", 5);
    let harness = Harness::new(
        json!({}),
        vec![unavailable(), limited, answer(&["a"]), error_response(400, "bad", "no")],
    );
    harness.call().await;
    harness.call().await;
    let counted = metrics(&harness);
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
    let slow = stream().wait(300).delta("a").wait(700).finish().event(&usage).done();
    let harness = Harness::two_endpoints(json!({}), vec![unavailable()], vec![slow]);
    harness.call().await;
    let counted = metrics(&harness);
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
async fn a_running_call_is_in_flight_and_an_aborted_one_is_not_a_failure() {
    let harness = Harness::new(json!({}), vec![stream().delta("a").stall()]);
    let call = harness.call_aborted_after(500);
    let observe = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        metrics(&harness)["inFlight"].clone()
    };
    assert_eq!(futures::join!(call, observe).1, 1);
    let counted = metrics(&harness);
    let counts = ["calls", "inFlight", "failures", "aborted"];
    assert_eq!(counts.map(|name| counted[name].as_u64().unwrap()), [1, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn openings_of_breakers_are_counted_and_their_states_reported() {
    let options = json!({ "maxRetries": 0, "circuitBreaker": { "failureThreshold": 1 } });
    let harness = Harness::two_endpoints(options, vec![unavailable()], vec![answer(&["a"])]);
    harness.call().await;
    let counted = metrics(&harness);
    assert_eq!(counted["circuitOpenings"], 1);
    let states = [("a", "OPEN"), ("b", "CLOSED")]
        .map(|(endpoint, state)| json!({ "endpoint": endpoint, "model": "gpt-4.1", "state": state }));
    assert_eq!(counted["breakers"], json!(states));
}

#[tokio::test(start_paused = true)]
async fn the_cost_of_an_attempt_counts_for_its_route_and_in_total() {
    let usage = json!({
        "id": "chatcmpl-1", "choices": [],
        "usage": { "prompt_tokens": 100_000, "completion_tokens": 50_000, "total_tokens": 150_000 },
    });
    let harness = Harness::new(json!({}), vec![stream().delta("a").finish().event(&usage).done()]);
    harness.call().await;
    let counted = metrics(&harness);
    assert_eq!((&counted["costUsd"], &counted["routes"][0]["costUsd"]), (&json!(1.2), &json!(1.2)));
}

#[tokio::test(start_paused = true)]
async fn every_event_has_the_id_of_its_request() {
    let rejected = error_response(503, "overloaded", "no").header("x-request-id", "p-1");
    let b = stream().delta("one two").reset();
    let options = json!({ "maxRetries": 1, "recovery": { "mode": "continue" } });
    let harness = Harness::two_endpoints(options, vec![rejected, answer(&[" three"])], vec![b]);
    let outcome = harness.call().await;
    assert_eq!(outcome.text(), "one two three");
    let sent: Vec<String> = harness
        .requests()
        .iter()
        .map(|request| request.header("x-client-request-id").unwrap().to_owned())
        .collect();
    let events: Vec<(String, usize)> = outcome
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
    assert_eq!(events, expected.map(|(kind, request)| (kind.to_owned(), request)));
    assert_eq!(outcome.events("attempt-failed")[0]["providerRequestId"], "p-1");
}

#[tokio::test(start_paused = true)]
async fn the_prometheus_text_has_the_same_numbers_in_seconds() {
    let harness = Harness::new(json!({}), vec![unavailable(), stream().wait(300).delta("a").finish().done()]);
    harness.call().await;
    let text = harness.client.metrics().text();
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
