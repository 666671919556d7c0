//! Probes of endpoints and their effect on breakers and routing.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, connection_refused, error_response, status, unavailable};
use crate::config::BreakerChoice;
use crate::engine::Client;
use crate::engine::breaker::SharedBreaker;
use crate::engine::health::watch;
use crate::policy::circuit_breaker::{Options, State};

fn model_list() -> Reply {
    status(200).header("content-type", "application/json").raw("{\"data\":[]}")
}

async fn probe(harness: &Harness) -> Vec<Value> {
    let reports = harness.client.check_health(&CancellationToken::new()).await.unwrap();
    reports.iter().map(|health| serde_json::to_value(health).unwrap()).collect()
}

/// The state of each endpoint's breaker, in order.
fn breaker_states(harness: &Harness) -> Vec<Value> {
    let metrics = serde_json::to_value(harness.client.metrics()).unwrap();
    metrics["breakers"].as_array().unwrap().iter().map(|breaker| breaker["state"].clone()).collect()
}

fn breakers(timeout: u64) -> Value {
    json!({ "maxRetries": 0, "circuitBreaker": { "failureThreshold": 1, "timeout": timeout } })
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_are_probed_in_turn_each_with_its_own_key() {
    let harness = Harness::two_endpoints(
        json!({}),
        vec![model_list().head_after(70)],
        vec![unavailable().head_after(30)],
    );
    let [a, b]: [Value; 2] = probe(&harness).await.try_into().unwrap();
    assert_eq!(a, json!({ "endpoint": "a", "healthy": true, "status": 200, "latencyMs": 70 }));
    assert_eq!(
        (&b["healthy"], &b["status"], &b["code"]),
        (&json!(false), &json!(503), &json!("SERVER_ERROR"))
    );
    assert_eq!((harness.request_times(), harness.now()), (vec![0, 70], 100));
    let requests = harness.requests();
    assert_eq!((requests[0].url.as_str(), requests[0].body.len()), ("http://a/v1/models", 0));
    let keys: Vec<_> = requests.iter().map(|request| request.header("authorization").unwrap()).collect();
    assert_eq!(keys, ["Bearer key-of-a", "Bearer key-of-b"]);
    assert_eq!((requests[0].header("x-of"), requests[1].header("x-of")), (Some("a"), None));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_a_model_list_is_healthy_and_a_silent_one_is_not() {
    let harness = Harness::two_endpoints(json!({}), vec![status(404)], vec![model_list().never_answers()]);
    let reports = probe(&harness).await;
    assert_eq!((&reports[0]["healthy"], &reports[0]["status"]), (&json!(true), &json!(404)));
    assert_eq!((&reports[1]["healthy"], &reports[1]["code"]), (&json!(false), &json!("TIMEOUT")));
    assert_eq!(reports[1]["latencyMs"], 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_probe_takes_at_most_the_interval() {
    let harness = Harness::two_endpoints(
        json!({ "healthCheckMs": 300 }),
        vec![model_list().never_answers()],
        vec![model_list()],
    );
    probe(&harness).await;
    assert_eq!(harness.request_times(), [0, 300]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_probe_does_not_reveal_the_key() {
    let revealing = error_response(401, "invalid_api_key", "wrong key: key-of-a");
    let harness = Harness::two_endpoints(json!({}), vec![revealing], vec![connection_refused()]);
    let reports = probe(&harness).await;
    assert_eq!((&reports[0]["healthy"], &reports[0]["code"]), (&json!(false), &json!("AUTH_FAILED")));
    assert!(!reports[0].to_string().contains("key-of-a"), "{}", reports[0]);
    assert_eq!((&reports[1]["code"], reports[1].get("status")), (&json!("ECONNREFUSED"), None));
}

#[tokio::test(start_paused = true)]
async fn a_successful_probe_half_opens_a_breaker_early_and_the_next_call_closes_it() {
    let a = vec![unavailable(), model_list(), answer(&["a"])];
    let harness = Harness::two_endpoints(breakers(60_000), a, vec![answer(&["b"]), model_list()]);
    harness.call().await;
    assert_eq!(breaker_states(&harness), ["OPEN", "CLOSED"]);
    probe(&harness).await;
    assert_eq!(breaker_states(&harness), ["HALF_OPEN", "CLOSED"]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("a", "ababa"));
    let changes: Vec<_> = outcome.events("circuit").iter().map(|event| event["to"].clone()).collect();
    assert_eq!(changes, ["HALF_OPEN", "CLOSED"]);
    assert_eq!(outcome.events("circuit")[0].get("call"), None);
}

#[tokio::test(start_paused = true)]
async fn probes_do_not_count_toward_the_success_threshold() {
    let mut options = breakers(60_000);
    options["circuitBreaker"]["successThreshold"] = json!(2);
    let a = vec![unavailable(), model_list(), answer(&["a"]), model_list(), answer(&["a"])];
    let harness = Harness::two_endpoints(options, a, vec![answer(&["b"]), model_list(), model_list()]);
    harness.call().await;
    for closed in ["HALF_OPEN", "CLOSED"] {
        probe(&harness).await;
        assert_eq!(breaker_states(&harness)[0], "HALF_OPEN");
        harness.call().await;
        assert_eq!(breaker_states(&harness)[0], closed);
    }
}

#[tokio::test(start_paused = true)]
async fn only_one_call_tries_an_endpoint_after_each_probe_if_only_its_model_list_works() {
    let mut a = vec![unavailable()];
    (0..3).for_each(|_| a.extend([model_list(), unavailable().head_after(10)]));
    let mut b = vec![answer(&["b"])];
    (0..3).for_each(|_| b.extend([model_list(), answer(&["b"]), answer(&["b"]), answer(&["b"])]));
    let harness = Harness::two_endpoints(breakers(60_000), a, b);
    harness.call().await;
    for _ in 0..3 {
        probe(&harness).await;
        let (_, _, third) = futures::join!(harness.call(), harness.call(), harness.call());
        assert_eq!(third.text(), "b");
        assert_eq!(breaker_states(&harness)[0], "OPEN");
    }
    let requests_to_a = harness.request_hosts().matches('a').count();
    assert_eq!(requests_to_a, 1 + 3 + 3, "{}", harness.request_hosts());
}

#[tokio::test(start_paused = true)]
async fn a_failed_health_probe_reopens_a_breaker_that_is_due() {
    let a = vec![unavailable(), unavailable().head_after(100)];
    let harness = Harness::two_endpoints(
        breakers(1_000),
        a,
        vec![answer(&["b"]), answer(&["b"]), model_list(), answer(&["b"])],
    );
    harness.call().await;
    sleep(Duration::from_millis(1_500)).await;
    let call = harness.run(TestCall { delay_ms: 50, ..TestCall::default() });
    let (_, outcome) = futures::join!(probe(&harness), call);
    assert_eq!((outcome.text(), breaker_states(&harness)[0].as_str()), ("b", Some("OPEN")));
    sleep(Duration::from_millis(950)).await;
    harness.call().await;
    assert_eq!(harness.request_hosts(), "ababbb", "the failure of the probe restarts its open time");
}

#[tokio::test(start_paused = true)]
async fn a_successful_probe_does_not_reset_consecutive_failures() {
    let mut options = breakers(60_000);
    options["circuitBreaker"]["failureThreshold"] = json!(2);
    let harness = Harness::new(options, vec![unavailable(), model_list(), unavailable()]);
    harness.call().await;
    probe(&harness).await;
    harness.call().await;
    assert_eq!(breaker_states(&harness), ["OPEN"]);
}

#[tokio::test(start_paused = true)]
async fn probes_count_toward_the_health_score_of_routing() {
    let options = json!({ "routing": "score", "circuitBreaker": false });
    let a = vec![answer(&["a"]), unavailable()];
    let harness = Harness::two_endpoints(options, a, vec![answer(&["b"]), model_list(), answer(&["b"])]);
    harness.call().await;
    harness.call().await;
    probe(&harness).await;
    harness.call().await;
    assert_eq!(harness.request_hosts(), "ababb", "before the probe, a was first");
}

/// A client that is probed every second, in the slot from which the watch gets it.
fn watched() -> (Harness, Arc<Mutex<Option<Arc<Client>>>>) {
    let mut harness = Harness::new(json!({ "healthCheckMs": 1_000 }), vec![model_list(); 100]);
    // The harness keeps another client with the same state.
    let config = harness.client.config().clone();
    let other = harness.client.reconfigured(config);
    let client = Arc::new(std::mem::replace(&mut harness.client, other));
    (harness, Arc::new(Mutex::new(Some(client))))
}

fn finder(slot: &Arc<Mutex<Option<Arc<Client>>>>) -> impl Fn() -> Option<Arc<Client>> + Send + 'static {
    let weak: Weak<_> = Arc::downgrade(slot);
    move || weak.upgrade()?.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn the_watch_probes_at_its_interval_with_jitter_until_the_client_closes() {
    let (harness, slot) = watched();
    let task = tokio::spawn(watch(finder(&slot), CancellationToken::new()));
    sleep(Duration::from_secs(30)).await;
    harness.client.close();
    task.await.unwrap();
    let times = [vec![0], harness.request_times()].concat();
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((24..=38).contains(&gaps.len()), "{gaps:?}");
    assert!(gaps.iter().all(|gap| (800..=1_201).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "{gaps:?}");
    assert_eq!(harness.now(), 30_000, "it ends without a delay");
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_when_its_client_is_dropped() {
    let (harness, slot) = watched();
    let client = Arc::downgrade(slot.lock().unwrap().as_ref().unwrap());
    let task = tokio::spawn(watch(finder(&slot), CancellationToken::new()));
    sleep(Duration::from_millis(100)).await;
    drop(slot);
    assert!(client.upgrade().is_none(), "the watch does not keep the client alive between probes");
    task.await.unwrap();
    assert_eq!(harness.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_at_once_when_it_is_stopped() {
    let (harness, slot) = watched();
    let stop = CancellationToken::new();
    let task = tokio::spawn(watch(finder(&slot), stop.clone()));
    sleep(Duration::from_millis(100)).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(harness.now(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_probe_does_not_change_a_shared_breaker() {
    let mut harness =
        Harness::two_endpoints(json!({}), vec![unavailable(), model_list()], vec![model_list()]);
    let options = Options { failure_threshold: 1, ..Options::default() };
    let shared = SharedBreaker::new(options);
    let mut config = harness.client.config().clone();
    config.breaker = BreakerChoice::Shared;
    config.call.max_retries = 0;
    let transport = Arc::clone(&harness.client.state.transport);
    harness.client = Client::new(config, transport, Some(shared.clone()), None);
    harness.call().await;
    assert_eq!((shared.state(), harness.request_hosts().as_str()), (State::Open, "a"));
    let reports = harness.client.check_health(&CancellationToken::new()).await.unwrap();
    assert_eq!(reports.len(), 2);
    assert_eq!(shared.state(), State::Open);
}
