//! The continuation probe.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::harness::Harness;
use super::scripted_provider::{Reply, answer, error_response, stream, unavailable};
use crate::engine::{ContinuationProbe, Dialect};
use crate::error::Kind;

fn probe() -> ContinuationProbe {
    ContinuationProbe { endpoints: None, models: None, dialect: Dialect::Chat }
}

async fn run(harness: &Harness, probe: ContinuationProbe) -> Value {
    let options = harness.client.config().call.clone();
    let found = harness.client.probe_continuation(&probe, &options, &CancellationToken::new()).await;
    serde_json::to_value(found.unwrap()).unwrap()
}

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 }, "model": "m" })
}

fn continued() -> [Reply; 2] {
    [answer(&[" moonbasket above"]), answer(&["basket above the green door."])]
}

fn new_turn() -> Reply {
    answer(&["The old lighthouse keeper hung"])
}

fn rejected() -> Reply {
    error_response(400, "invalid_request_error", "no")
}

fn outcomes(found: &Value) -> Vec<&str> {
    found[0]["forms"].as_array().unwrap().iter().map(|form| form["outcome"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_form_that_is_continued_is_found_and_used_from_then_on() {
    let mut script = vec![new_turn(), rejected()];
    script.extend(continued());
    script.extend([stream().delta("one ").reset(), answer(&[" one two"])]);
    let harness = Harness::new(options(), script);
    let found = run(&harness, probe()).await;
    assert_eq!((&found[0]["endpoint"], &found[0]["model"]), (&json!("a"), &json!("m")));
    assert_eq!(found[0]["continuation"], "prefix");
    assert_eq!(outcomes(&found), ["new-turn", "rejected", "continued"]);
    assert_eq!(found[0]["forms"][0]["text"], "The old lighthouse keeper hung");
    assert_eq!(found[0]["forms"][1]["status"], 400);
    for (index, request) in harness.requests().iter().enumerate() {
        let body = request.json();
        let turn = &body["messages"][1];
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0), &json!(16)));
        assert_eq!(body["continue_final_message"], if index == 1 { json!(true) } else { Value::Null });
        assert_eq!(turn["prefix"], if index > 1 { json!(true) } else { Value::Null });
        let cut = if index == 3 { "hung a moon" } else { "hung a" };
        assert!(turn["content"].as_str().unwrap().ends_with(cut));
    }
    let outcome = harness.call().await;
    assert_eq!(outcome.deltas().concat(), "one one two");
    assert_eq!(harness.requests()[5].json()["messages"][1]["prefix"], true);
}

#[tokio::test(start_paused = true)]
async fn a_new_turn_that_looks_like_a_continuation_is_none() {
    for (first, second) in [
        // Without the space that belongs between the words.
        (answer(&["moonbasket above the green door."]), None),
        // Whatever it was asked to continue.
        (answer(&[" moonbasket"]), Some(answer(&[" basket above"]))),
        // It ends at once, or only reasons.
        (stream().finish().done(), None),
    ] {
        let mut script = vec![first];
        script.extend(second);
        script.extend((0..3).map(|_| new_turn()));
        script.extend([stream().delta("one ").reset(), answer(&["one two"])]);
        let count = script.len();
        let harness = Harness::new(options(), script);
        let found = run(&harness, probe()).await;
        assert_eq!((&found[0]["continuation"], outcomes(&found)), (&json!("none"), vec!["new-turn"; 4]));
        assert_eq!(harness.requests().len(), count - 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_probe_did_not_find_is_not_tried_although_the_host_is_known() {
    let mut options = options();
    options["baseUrl"] = json!("https://api.mistral.ai/v1");
    let mut script: Vec<Reply> = (0..4).map(|_| new_turn()).collect();
    script.extend([stream().delta("one two three ").reset(), answer(&["one two three four"])]);
    let harness = Harness::with_hosts(options, vec![("api.mistral.ai", script)]);
    assert_eq!(run(&harness, probe()).await[0]["continuation"], "none");
    assert_eq!(harness.call().await.deltas().concat(), "one two three four");
    assert_eq!(harness.requests()[5].json()["messages"].as_array().unwrap().last().unwrap()["role"], "user");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_rejects_every_form_is_asked_once_without_one() {
    let mut script: Vec<Reply> = (0..4).map(|_| rejected()).collect();
    script.push(new_turn());
    let harness = Harness::new(options(), script);
    let found = run(&harness, probe()).await;
    assert_eq!((&found[0]["continuation"], outcomes(&found)), (&json!("none"), vec!["rejected"; 4]));
    let plain = harness.requests()[4].json();
    assert_eq!(plain["messages"].as_array().unwrap().len(), 1);
    // It rejects the request itself.
    let harness = Harness::new(options(), (0..5).map(|_| rejected()).collect());
    let found = run(&harness, probe()).await;
    assert_eq!(found[0]["continuation"], Value::Null);
    assert_eq!(outcomes(&found), ["rejected", "rejected", "rejected", "failed"]);
    assert_eq!(found[0]["forms"][3]["code"], "INVALID_REQUEST");
}

#[tokio::test(start_paused = true)]
async fn a_failure_decides_nothing_and_the_next_endpoint_is_probed() {
    let mut b: Vec<Reply> = continued().into();
    b.push(answer(&["hi"]));
    let mut options = options();
    options["maxRetries"] = json!(1);
    let harness = Harness::two_endpoints(options, vec![unavailable(), unavailable()], b);
    let found = run(&harness, probe()).await;
    let of = |index: usize| (found[index]["endpoint"].clone(), found[index]["continuation"].clone());
    assert_eq!((of(0), of(1)), ((json!("a"), Value::Null), (json!("b"), json!("assistant"))));
    assert_eq!(found[0]["forms"][0]["status"], 503);
    assert_eq!((outcomes(&found), harness.request_hosts().as_str()), (vec!["failed"], "aabb"));
    // Each with its own key, and counted like calls.
    assert_eq!(harness.requests()[0].header("authorization"), Some("Bearer key-of-a"));
    assert_eq!(harness.requests()[2].header("authorization"), Some("Bearer key-of-b"));
    let metrics = serde_json::to_value(harness.client.metrics()).unwrap();
    assert_eq!(metrics["calls"], 3);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_named_is_probed_and_a_breaker_stays_one() {
    let harness = Harness::two_endpoints(options(), vec![], continued().into());
    let named = ContinuationProbe {
        endpoints: Some(vec!["b".into()]),
        models: Some(vec!["other".into()]),
        ..probe()
    };
    let found = run(&harness, named).await;
    assert_eq!((found.as_array().unwrap().len(), &found[0]["model"]), (1, &json!("other")));
    assert_eq!(harness.requests()[0].json()["model"], "other");
    let metrics = serde_json::to_value(harness.client.metrics()).unwrap().to_string();
    assert!(metrics.contains("CLOSED") || metrics.contains("closed"), "{metrics}");
    let unknown = ContinuationProbe { endpoints: Some(vec!["x".into()]), ..probe() };
    let options = harness.client.config().call.clone();
    let error = harness.client.probe_continuation(&unknown, &options, &CancellationToken::new()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, Kind::InvalidArgument);
    assert_eq!(error.message, "endpoints: got 'x'; accepted: names of endpoints: 'a', 'b'");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_probe_rejects_and_remembers_nothing() {
    let harness = Harness::new(options(), vec![stream().stall(), new_turn()]);
    let cancel = CancellationToken::new();
    let options = harness.client.config().call.clone();
    let probe = probe();
    let running = harness.client.probe_continuation(&probe, &options, &cancel);
    let (found, ()) = tokio::join!(running, async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        cancel.cancel();
    });
    assert_eq!(found.unwrap_err().kind, Kind::Aborted);
}
