//! What this machine lacks: no provider has a part in it.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::harness::Harness;
use super::scripted_provider::{Reply, answer, lacks, status, stream};
use crate::error::{Error, Kind, LocalResource, Phase};

const DESCRIPTORS: LocalResource = LocalResource::Descriptors;
const LACKS: Kind = Kind::LocalResource(DESCRIPTORS);

/// A route that one failure would close, with one token of a rate limit that hardly refills.
fn sensitive() -> Value {
    json!({
        "circuitBreaker": { "failureThreshold": 1 },
        "rateLimit": { "capacity": 1, "refillRate": 0.001 },
    })
}

/// Whatever `reply` ended with, the next call finds the breaker closed, the token of the limiter, and its route.
async fn blames_nobody(options: Value, reply: Reply, expected: Kind) {
    let mut all = sensitive();
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let harness = Harness::two_endpoints(all, vec![reply, answer(&["a"])], vec![]);
    let failed = harness.call().await;
    assert_eq!(failed.error().kind, expected);
    assert_eq!(failed.error().attempts.len(), 1);
    assert!(failed.events("circuit").is_empty() && failed.events("wait").is_empty());
    let next = harness.call_with(json!({ "totalTimeoutMs": 10_000 })).await;
    assert_eq!((next.text(), next.answer().attempts.len(), harness.request_hosts()), ("a", 1, "aa".into()));
    assert!(next.events("wait").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_descriptor_blames_neither_route_nor_limits() {
    blames_nobody(json!({}), lacks(DESCRIPTORS, 100), LACKS).await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_a_descriptor_is_awaited_blames_nobody() {
    let waits = || status(0).waits_for(DESCRIPTORS).never_connects();
    blames_nobody(json!({ "attemptTimeoutMs": 500 }), waits(), LACKS).await;
    // Its share of the deadline is over: the other route would need a descriptor too.
    blames_nobody(json!({ "totalTimeoutMs": 500 }), waits(), LACKS).await;
}

#[tokio::test(start_paused = true)]
async fn a_total_deadline_has_the_shortage_as_its_cause() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "totalTimeoutMs": 500 });
    let waits = status(0).waits_for(DESCRIPTORS).never_connects();
    let harness = Harness::new(options, vec![waits, answer(&["a"])]);
    let failed = harness.call().await;
    assert_eq!(failed.error().kind, Kind::Timeout(Phase::Total));
    assert_eq!(failed.error().cause.as_ref().map(|cause| cause.kind), Some(LACKS));
    assert_eq!(harness.call().await.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_silent_after_the_shortage_is_blamed() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "totalTimeoutMs": 500 });
    let silent = status(200).waits_for(DESCRIPTORS).never_answers();
    let harness = Harness::new(options, vec![silent]);
    let failed = harness.call().await;
    assert_eq!(failed.error().kind, Kind::Timeout(Phase::Total));
    assert!(failed.error().cause.is_none());
    assert_eq!(harness.call().await.error().kind, Kind::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn probes_and_model_lists_blame_nobody() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 } });
    let replies =
        vec![lacks(DESCRIPTORS, 10), status(0).waits_for(DESCRIPTORS).never_connects(), answer(&["a"])];
    let harness = Harness::new(options, replies);
    for _ in 0..2 {
        let health = harness.client.check_health(&CancellationToken::new()).await.unwrap();
        assert_eq!((health[0].healthy, health[0].code), (false, Some("LOCAL_RESOURCE")));
    }
    assert_eq!(harness.call().await.text(), "a");
    let harness = Harness::two_endpoints(json!({}), vec![lacks(DESCRIPTORS, 10)], vec![]);
    assert_eq!(harness.client.models(&CancellationToken::new()).await.unwrap_err().kind, LACKS);
}

#[tokio::test(start_paused = true)]
async fn a_shortage_while_an_answer_is_read_blames_nobody_and_loses_nothing() {
    let broken = || stream().delta("some").fails(Error::local_resource(LocalResource::Memory));
    // The request was sent, so the rate limit counts it.
    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "recovery": { "mode": "fail" } });
    let harness = Harness::two_endpoints(options, vec![broken(), answer(&["a"])], vec![]);
    let failed = harness.call().await;
    let error = failed.error();
    assert_eq!(error.partial.as_deref(), Some("some"));
    let cause = error.cause.as_ref().map_or(error.kind, |cause| cause.kind);
    assert_eq!(cause, Kind::LocalResource(LocalResource::Memory));
    assert_eq!(error.attempts[0].outcome, "LOCAL_RESOURCE");
    assert!(failed.events("circuit").is_empty());
    let next = harness.call_with(json!({ "totalTimeoutMs": 10_000 })).await;
    assert_eq!((next.text(), harness.request_hosts()), ("a", "aa".into()));
}
