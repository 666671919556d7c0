//! Probes of the endpoints, and what they change.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::provider::{Reply, answer, no_connection, refusal, status, unavailable};
use super::support::{Ask, Scene};
use crate::config::BreakerChoice;
use crate::engine::Client;
use crate::engine::breaker::SharedBreaker;
use crate::engine::health::watch;
use crate::policy::circuit_breaker::{Options, State};

fn list() -> Reply {
    status(200).header("content-type", "application/json").raw("{\"data\":[]}")
}

async fn probe(scene: &Scene) -> Vec<Value> {
    let found = scene.client.check_health(&CancellationToken::new()).await.unwrap();
    found.iter().map(|health| serde_json::to_value(health).unwrap()).collect()
}

/// The breakers' states, of each endpoint in turn.
fn circuits(scene: &Scene) -> Vec<Value> {
    let metrics = serde_json::to_value(scene.client.metrics()).unwrap();
    metrics["breakers"].as_array().unwrap().iter().map(|breaker| breaker["state"].clone()).collect()
}

fn breakers(timeout: u64) -> Value {
    json!({ "maxRetries": 0, "circuitBreaker": { "failureThreshold": 1, "timeout": timeout } })
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_is_asked_for_its_models_with_its_own_key_one_after_the_other() {
    let scene = Scene::two(json!({}), vec![list().head_after(70)], vec![unavailable().head_after(30)]);
    let [a, b]: [Value; 2] = probe(&scene).await.try_into().unwrap();
    assert_eq!(a, json!({ "endpoint": "a", "healthy": true, "status": 200, "latencyMs": 70 }));
    assert_eq!(
        (&b["healthy"], &b["status"], &b["code"]),
        (&json!(false), &json!(503), &json!("SERVER_ERROR"))
    );
    assert_eq!((scene.times(), scene.now()), (vec![0, 70], 100));
    let seen = scene.requests();
    assert_eq!((seen[0].url.as_str(), seen[0].body.len()), ("http://a/v1/models", 0));
    let keys: Vec<_> = seen.iter().map(|seen| seen.header("authorization").unwrap()).collect();
    assert_eq!(keys, ["Bearer key-of-a", "Bearer key-of-b"]);
    assert_eq!((seen[0].header("x-of"), seen[1].header("x-of")), (Some("a"), None));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_has_no_list_of_models_is_healthy_and_one_that_is_silent_is_not() {
    let scene = Scene::two(json!({}), vec![status(404)], vec![list().never_answers()]);
    let found = probe(&scene).await;
    assert_eq!((&found[0]["healthy"], &found[0]["status"]), (&json!(true), &json!(404)));
    assert_eq!((&found[1]["healthy"], &found[1]["code"]), (&json!(false), &json!("TIMEOUT")));
    assert_eq!(found[1]["latencyMs"], 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_is_waited_for_no_longer_than_the_interval() {
    let scene = Scene::two(json!({ "healthCheckMs": 300 }), vec![list().never_answers()], vec![list()]);
    probe(&scene).await;
    assert_eq!(scene.times(), [0, 300]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_quotes_the_key_back_does_not_tell_it() {
    let quoting = refusal(401, "invalid_api_key", "wrong key: key-of-a");
    let scene = Scene::two(json!({}), vec![quoting], vec![no_connection()]);
    let found = probe(&scene).await;
    assert_eq!((&found[0]["healthy"], &found[0]["code"]), (&json!(false), &json!("AUTH_FAILED")));
    assert!(!found[0].to_string().contains("key-of-a"), "{}", found[0]);
    assert_eq!((&found[1]["code"], found[1].get("status")), (&json!("ECONNREFUSED"), None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_makes_an_open_breaker_half_open_before_its_time_and_the_next_call_decides() {
    let a = vec![unavailable(), list(), answer(&["a"])];
    let scene = Scene::two(breakers(60_000), a, vec![answer(&["b"]), list()]);
    scene.call().await;
    assert_eq!(circuits(&scene), ["OPEN", "CLOSED"]);
    probe(&scene).await;
    assert_eq!(circuits(&scene), ["HALF_OPEN", "CLOSED"]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), scene.went_to().as_str()), ("a", "ababa"));
    let changes: Vec<_> = ended.events("circuit").iter().map(|event| event["to"].clone()).collect();
    assert_eq!(changes, ["HALF_OPEN", "CLOSED"]);
    assert_eq!(ended.events("circuit")[0].get("call"), None);
}

#[tokio::test(start_paused = true)]
async fn with_several_successes_needed_they_are_those_of_calls() {
    let mut options = breakers(60_000);
    options["circuitBreaker"]["successThreshold"] = json!(2);
    let a = vec![unavailable(), list(), answer(&["a"]), list(), answer(&["a"])];
    let scene = Scene::two(options, a, vec![answer(&["b"]), list(), list()]);
    scene.call().await;
    for closed in ["HALF_OPEN", "CLOSED"] {
        probe(&scene).await;
        assert_eq!(circuits(&scene)[0], "HALF_OPEN");
        scene.call().await;
        assert_eq!(circuits(&scene)[0], closed);
    }
}

#[tokio::test(start_paused = true)]
async fn where_only_the_list_of_models_works_one_call_finds_out_after_each_probe() {
    let mut a = vec![unavailable()];
    (0..3).for_each(|_| a.extend([list(), unavailable().head_after(10)]));
    let mut b = vec![answer(&["b"])];
    (0..3).for_each(|_| b.extend([list(), answer(&["b"]), answer(&["b"]), answer(&["b"])]));
    let scene = Scene::two(breakers(60_000), a, b);
    scene.call().await;
    for _ in 0..3 {
        probe(&scene).await;
        let (_, _, third) = futures::join!(scene.call(), scene.call(), scene.call());
        assert_eq!(third.text(), "b");
        assert_eq!(circuits(&scene)[0], "OPEN");
    }
    let asked = scene.went_to().matches('a').count();
    assert_eq!(asked, 1 + 3 + 3, "{}", scene.went_to());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_due_spares_a_call_to_find_out_and_opens_the_breaker_again() {
    let a = vec![unavailable(), unavailable().head_after(100)];
    let scene = Scene::two(breakers(1_000), a, vec![answer(&["b"]), answer(&["b"]), list(), answer(&["b"])]);
    scene.call().await;
    sleep(Duration::from_millis(1_500)).await;
    let meanwhile = scene.ask(Ask { after: 50, ..Ask::default() });
    let (_, ended) = futures::join!(probe(&scene), meanwhile);
    assert_eq!((ended.text(), circuits(&scene)[0].as_str()), ("b", Some("OPEN")));
    sleep(Duration::from_millis(950)).await;
    scene.call().await;
    assert_eq!(scene.went_to(), "ababbb", "open from the probe's failure on");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_models_does_not_count_against_failures_of_calls_in_a_row() {
    let mut options = breakers(60_000);
    options["circuitBreaker"]["failureThreshold"] = json!(2);
    let scene = Scene::new(options, vec![unavailable(), list(), unavailable()]);
    scene.call().await;
    probe(&scene).await;
    scene.call().await;
    assert_eq!(circuits(&scene), ["OPEN"]);
}

#[tokio::test(start_paused = true)]
async fn probes_count_for_the_health_that_routing_goes_by() {
    let options = json!({ "routing": "score", "circuitBreaker": false });
    let a = vec![answer(&["a"]), unavailable()];
    let scene = Scene::two(options, a, vec![answer(&["b"]), list(), answer(&["b"])]);
    scene.call().await;
    scene.call().await;
    probe(&scene).await;
    scene.call().await;
    assert_eq!(scene.went_to(), "ababb", "a was first of the two before");
}

/// A client that is probed every second, and where the watch finds it.
fn watched() -> (Scene, Arc<Mutex<Option<Arc<Client>>>>) {
    let mut scene = Scene::new(json!({ "healthCheckMs": 1_000 }), vec![list(); 100]);
    // The scene keeps one of the same state.
    let config = scene.client.config().clone();
    let other = scene.client.reconfigured(config);
    let client = Arc::new(std::mem::replace(&mut scene.client, other));
    (scene, Arc::new(Mutex::new(Some(client))))
}

fn finder(place: &Arc<Mutex<Option<Arc<Client>>>>) -> impl Fn() -> Option<Arc<Client>> + Send + 'static {
    let weak: Weak<_> = Arc::downgrade(place);
    move || weak.upgrade()?.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn the_watch_probes_at_its_interval_give_or_take_a_fifth_until_the_client_is_closed() {
    let (scene, place) = watched();
    let task = tokio::spawn(watch(finder(&place), CancellationToken::new()));
    sleep(Duration::from_secs(30)).await;
    scene.client.close();
    task.await.unwrap();
    let times = [vec![0], scene.times()].concat();
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((24..=38).contains(&gaps.len()), "{gaps:?}");
    assert!(gaps.iter().all(|gap| (800..=1_201).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "{gaps:?}");
    assert_eq!(scene.now(), 30_000, "it ends at once");
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_when_its_client_has_gone_away() {
    let (scene, place) = watched();
    let client = Arc::downgrade(place.lock().unwrap().as_ref().unwrap());
    let task = tokio::spawn(watch(finder(&place), CancellationToken::new()));
    sleep(Duration::from_millis(100)).await;
    drop(place);
    assert!(client.upgrade().is_none(), "between two rounds nothing holds the client");
    task.await.unwrap();
    assert_eq!(scene.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_at_once_when_it_is_stopped() {
    let (scene, place) = watched();
    let stop = CancellationToken::new();
    let task = tokio::spawn(watch(finder(&place), stop.clone()));
    sleep(Duration::from_millis(100)).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(scene.now(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_all_routes_share_is_not_one_endpoints_to_close() {
    let mut scene = Scene::two(json!({}), vec![unavailable(), list()], vec![list()]);
    let options = Options { failure_threshold: 1, ..Options::default() };
    let shared = SharedBreaker::new(options);
    let mut config = scene.client.config().clone();
    config.breaker = BreakerChoice::Shared;
    config.call.max_retries = 0;
    let transport = Arc::clone(&scene.client.state.transport);
    scene.client = Client::new(config, transport, Some(shared.clone()), None);
    scene.call().await;
    assert_eq!((shared.state(), scene.went_to().as_str()), (State::Open, "a"));
    let found = scene.client.check_health(&CancellationToken::new()).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(shared.state(), State::Open);
}
