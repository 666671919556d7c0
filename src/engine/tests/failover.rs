//! What a caller meets when a provider misbehaves, with the configuration that `docs/retries.md` recommends for hard cases: the
//! whole answer, from the same model if a retry is enough, and soon.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, answer, error_response, stream, unavailable};
use crate::engine::sink::DeliveryMode;
use crate::error::Kind;

const WHOLE: &str = "A gateway earns trust only when the provider behind it misbehaves.";

/// The configuration of `docs/retries.md`.
fn configuration() -> Value {
    json!({
        "fallbackModels": ["m2"],
        "maxRetries": 2,
        "firstTokenTimeoutMs": 10_000,
        "idleTimeoutMs": 10_000,
        "circuitBreaker": { "openMs": 15_000 },
    })
}

fn whole() -> Reply {
    answer(&["A gateway earns trust only ", "when the provider behind it misbehaves."])
}

fn beginning() -> Reply {
    stream().role().delta("A gateway earns trust only ")
}

#[tokio::test(start_paused = true)]
async fn each_fault_ends_in_the_whole_answer() {
    let (same, other) = ("gpt-4.1", "m2");
    let limited = || error_response(429, "rate_limit_exceeded", "slow down");
    let failed = || error_response(500, "server_error", "it failed");
    let too_long = || error_response(400, "context_length_exceeded", "the prompt is too long");
    let malformed = || beginning().raw("data: {\"choices\": [{\"delta\": {\"content\": \n\n").delta("when ");
    let cases: [(&str, Vec<Reply>, &[u64], &str); 12] = [
        ("limited once", vec![limited().header("retry-after", 2), whole()], &[0, 2_000], same),
        ("limited for good", vec![limited(), limited(), whole()], &[0, 1_000, 1_000], other),
        ("failed once", vec![failed(), whole()], &[0, 1_000], same),
        (
            "overloaded",
            vec![unavailable(), unavailable(), unavailable(), whole()],
            &[0, 1_000, 3_000, 3_000],
            other,
        ),
        ("reset before the answer", vec![stream().reset(), whole()], &[0, 1_000], same),
        ("silent", vec![stream().never_answers(), whole()], &[0, 10_000], other),
        ("slow to begin", vec![stream().wait(20_000).delta("A "), whole()], &[0, 10_000], other),
        ("cut in the middle", vec![beginning(), beginning(), whole()], &[0, 1_000, 1_000], other),
        ("stalled, then closed", vec![beginning().wait(30_000), whole()], &[0, 10_000], other),
        ("malformed in the middle", vec![malformed(), malformed(), whole()], &[0, 1_000, 1_000], other),
        (
            "without [DONE]",
            vec![beginning().delta("when the provider behind it misbehaves.").finish()],
            &[0],
            same,
        ),
        ("too long a prompt", vec![too_long(), whole()], &[0, 0], other),
    ];
    for (name, script, times, model) in cases {
        let harness = Harness::new(configuration(), script);
        let outcome = harness.call().await;
        assert_eq!((outcome.text(), outcome.deltas().concat().as_str()), (WHOLE, WHOLE), "{name}");
        assert_eq!(
            (harness.request_times(), outcome.answer().model.as_str()),
            (times.to_vec(), model),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_the_content_is_not_asked_again_anywhere() {
    let filtered = error_response(400, "content_policy_violation", "rejected by our safety system");
    let harness = Harness::new(configuration(), vec![filtered]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::ContentFiltered, 1));
}

#[tokio::test(start_paused = true)]
async fn the_model_that_answered_is_reported_with_its_usage() {
    let reply = stream().delta("a").finish().usage(81).done();
    let harness = Harness::new(configuration(), vec![unavailable(), unavailable(), unavailable(), reply]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    let answer = outcome.answer();
    assert_eq!((answer.model.as_str(), &answer.journal.usage), ("m2", &Some(json!({ "total_tokens": 81 }))));
    let models: Vec<Value> =
        harness.requests().iter().map(|request| request.json()["model"].clone()).collect();
    assert_eq!(models, ["gpt-4.1", "gpt-4.1", "gpt-4.1", "m2"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_bridged_and_its_end_is_noticed() {
    let mut options = configuration();
    options["endpoints"] =
        json!([{ "name": "a", "baseUrl": "http://a/v1" }, { "name": "b", "baseUrl": "http://b/v1" }]);
    // The first endpoint is down for a minute: five failures open its breaker, and two probes fail.
    let mut first = vec![unavailable(); 7];
    first.resize(20, whole());
    let harness = Harness::with_hosts(options, vec![("a", first), ("b", vec![whole(); 20])]);
    for number in 0..20 {
        let delay_ms = number * 4_000 - harness.now();
        let outcome = harness.run(TestCall { delay_ms, ..TestCall::default() }).await;
        assert_eq!((outcome.text(), outcome.at), (WHOLE, number * 4_000));
    }
    let requests = harness.requests();
    let to_first = requests.iter().filter(|request| request.url.starts_with("http://a"));
    let times: Vec<u64> = to_first.map(|request| request.at / 1_000).collect();
    assert_eq!(times, [0, 4, 8, 12, 16, 32, 48, 64, 68, 72, 76]);
}
