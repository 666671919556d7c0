//! Attempts that end at the same place of an answer, again and again.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, answer, error_response, status, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::{Kind, Phase};

/// The beginning of the answer, sent by a provider that always begins anew.
fn beginning() -> Reply {
    stream().delta("Rate limits arrive ").delta("without warning, ")
}

/// The rest, from a provider that goes on.
fn rest() -> Reply {
    answer(&["Rate limits arrive without warning, ", "and streams die halfway."])
}

const WHOLE: &str = "Rate limits arrive without warning, and streams die halfway.";

fn with_fallback(mut options: Value, script: Vec<Reply>) -> Harness {
    options["fallbackModels"] = json!(["m2"]);
    Harness::new(options, script)
}

fn models(outcome: &Outcome) -> Vec<String> {
    let attempts = match &outcome.result {
        Ok(answer) => &answer.attempts,
        Err(error) => &error.attempts,
    };
    attempts.iter().map(|attempt| attempt.model.clone()).collect()
}

fn phases(outcome: &Outcome) -> Vec<Value> {
    outcome.events("attempt-failed").iter().map(|event| event["phase"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_closed_twice_at_the_same_place_goes_on_at_another_route() {
    for cut in [beginning(), beginning().reset()] {
        let harness = with_fallback(json!({}), vec![cut.clone(), cut, rest()]);
        let outcome = harness.call().await;
        assert_eq!(outcome.text(), WHOLE);
        assert_eq!((harness.request_times(), models(&outcome)[2].as_str()), (vec![0, 1_000, 1_000], "m2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_closed_after_a_long_silence_goes_on_at_another_route_at_once() {
    for idle in [60_000, 120_000, 30_100] {
        let harness = with_fallback(json!({ "idleTimeoutMs": idle }), vec![beginning().wait(30_000), rest()]);
        let outcome = harness.call().await;
        assert_eq!((outcome.text(), harness.request_times()), (WHOLE, vec![0, 30_000]));
        assert_eq!(outcome.answer().model, "m2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_gives_up_waiting_is_left_like_a_timeout() {
    for reply in [
        error_response(504, "gateway_timeout", "upstream timed out").head_after(30_000),
        error_response(524, "timeout", "a timeout occurred").head_after(30_000),
        status(200).header("content-type", "text/event-stream").head_after(1_000).wait(29_000),
    ] {
        let harness = with_fallback(json!({}), vec![reply, answer(&["a"])]);
        let outcome = harness.call().await;
        assert_eq!((outcome.text(), harness.request_times()), ("a", vec![0, 30_000]));
        assert_eq!(outcome.answer().model, "m2");
    }
    // It says so at once: a retry may find another upstream.
    let early = error_response(504, "gateway_timeout", "upstream timed out");
    let harness = with_fallback(json!({}), vec![early, answer(&["a"])]);
    assert_eq!(models(&harness.call().await), ["gpt-4.1", "gpt-4.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_accepts_and_says_nothing_gets_its_timeout_and_a_short_attempt() {
    for silent in [stream().never_answers(), stream().stall(), stream().role().stall()] {
        let harness = Harness::new(json!({ "firstTokenTimeoutMs": 30_000 }), vec![silent.clone(), silent]);
        let outcome = harness.call().await;
        assert_eq!(outcome.attempt_outcomes(), ["TIMEOUT", "TIMEOUT"]);
        assert_eq!((harness.request_times(), outcome.at), (vec![0, 31_000], 36_000));
        assert_eq!(outcome.error().kind, Kind::RetriesExhausted);
        let message = outcome.error().attempts[1].message.clone().unwrap();
        assert!(message.contains("within 5000 ms"), "the timeout that applied: {message}");
        assert_eq!(phases(&outcome), [json!("first-token"), json!("first-token")]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_timeout_of_the_only_route_is_not_multiplied_either() {
    let silent = || stream().never_answers();
    let harness = Harness::new(json!({}), vec![silent(), silent()]);
    assert_eq!(harness.call().await.at, 141_000);
    let closes = || stream().wait(50_000);
    let harness = Harness::new(json!({ "maxRetries": 9 }), vec![closes(), closes(), closes()]);
    let outcome = harness.call().await;
    // 120 s of silence in all, and the backoff.
    assert_eq!((harness.request_times(), outcome.at), (vec![0, 51_000, 103_000], 123_000));
}

#[tokio::test(start_paused = true)]
async fn a_stall_at_the_same_place_takes_less_than_two_idle_timeouts() {
    let stalls = || beginning().stall();
    let harness = Harness::new(json!({ "idleTimeoutMs": 30_000 }), vec![stalls(), stalls()]);
    let outcome = harness.call().await;
    assert_eq!((harness.request_times(), outcome.at), (vec![0, 31_000], 36_000));
    assert_eq!(outcome.error().kind, Kind::Interrupted);
    assert_eq!(outcome.error().partial.as_deref(), Some("Rate limits arrive without warning, "));
    assert_eq!(phases(&outcome), [json!("idle"), json!("idle")]);
    // The provider closes the connection itself, or does not even begin.
    let closes = || beginning().wait(30_000);
    let harness = Harness::new(json!({}), vec![closes(), closes()]);
    assert_eq!(harness.call().await.at, 41_000);
    let harness = Harness::new(json!({ "idleTimeoutMs": 30_000 }), vec![stalls(), stream().never_answers()]);
    assert_eq!(harness.call().await.at, 51_000);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_thinks_before_it_writes_may_think_again() {
    let thinks = |ms| stream().wait(ms).delta("Rate limits arrive ").delta("without warning, ");
    let again = thinks(50_000).delta("and streams die halfway.").finish().done();
    let harness = Harness::new(json!({ "idleTimeoutMs": 30_000 }), vec![thinks(40_000).stall(), again]);
    assert_eq!(harness.call().await.text(), WHOLE);
}

#[tokio::test(start_paused = true)]
async fn new_text_ends_the_short_timeout() {
    let stalls = || beginning().stall();
    let slow =
        beginning().wait(9_000).delta("and streams ").wait(25_000).delta("die halfway.").finish().done();
    let harness = Harness::new(json!({ "idleTimeoutMs": 60_000 }), vec![stalls(), slow]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), (WHOLE, 95_000));
}

#[tokio::test(start_paused = true)]
async fn a_route_that_adds_to_the_answer_is_asked_again_and_again() {
    let script = vec![
        stream().delta("one ").stall(),
        stream().delta("one two ").stall(),
        stream().delta("one two three ").stall(),
        answer(&["one two three four"]),
    ];
    let harness = Harness::new(json!({ "idleTimeoutMs": 10_000 }), script);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.text(), harness.request_times()),
        ("one two three four", vec![0, 11_000, 22_000, 33_000])
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_has_yet_has_a_place_too() {
    let cut = || stream().delta("{\"a\":").reset();
    let request = json!({
        "messages": [{ "role": "user", "content": "hi" }], "response_format": { "type": "json_object" },
    });
    let harness = with_fallback(json!({}), vec![cut(), cut(), answer(&["{\"a\":1}"])]);
    let outcome = harness.run(TestCall { request, mode: DeliveryMode::Nothing, ..TestCall::default() }).await;
    assert_eq!((outcome.text(), models(&outcome)[2].as_str()), ("{\"a\":1}", "m2"));
}

#[tokio::test(start_paused = true)]
async fn the_methods_of_the_tutorials_and_rows_for_a_failure_keep_their_attempts() {
    let silent = || vec![stream().never_answers(); 4];
    let options = json!({ "firstTokenTimeoutMs": 30_000 });
    let harness = Harness::new(options.clone(), silent());
    let outcome = harness.run(TestCall { is_mirrored: true, ..TestCall::default() }).await;
    assert_eq!(harness.request_times(), [0, 31_000, 63_000, 97_000]);
    assert_eq!(outcome.at, 127_000);
    let harness = Harness::new(options, silent());
    harness.call_with(json!({ "retry": { "retryOn": { "timeout": "retry" } } })).await;
    assert_eq!(harness.request_times(), [0, 31_000, 63_000, 97_000]);
}

#[tokio::test(start_paused = true)]
async fn the_attempt_timeout_counts_as_silence_if_nothing_came() {
    let options = json!({ "attemptTimeoutMs": 10_000 });
    let harness = Harness::new(options, vec![stream().never_answers(); 2]);
    let outcome = harness.call().await;
    assert_eq!((harness.request_times(), outcome.at), (vec![0, 11_000], 21_000));
    assert_eq!(outcome.error().cause.as_ref().unwrap().kind, Kind::Timeout(Phase::Attempt));
}
