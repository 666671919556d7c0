//! Timeouts of one attempt: connection, first token, silence between bytes.

use std::time::Duration;

use serde_json::json;

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{Reply, answer, chunk, status, stream};
use crate::engine::sink::DeliveryMode;
use crate::error::{Kind, Phase};
use crate::wire::dialect::Dialect;

/// A call of one attempt with a first-token timeout of 5 s and an idle timeout of 300 ms.
async fn once(reply: Reply) -> Outcome {
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 5_000, "idleTimeoutMs": 300 });
    Harness::new(options, vec![reply]).call().await
}

fn phase(outcome: &Outcome) -> Kind {
    outcome.error().cause.as_ref().unwrap_or(outcome.error()).kind
}

#[tokio::test(start_paused = true)]
async fn an_explicit_first_token_timeout_applies_to_the_only_route_too() {
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 30_000 });
    let outcome = Harness::new(options, vec![stream().never_answers()]).call().await;
    assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::FirstToken), 30_000));
}

#[tokio::test(start_paused = true)]
async fn the_default_first_token_timeout_is_longer_on_the_last_route() {
    let hangs = || stream().never_answers();
    let outcome = Harness::new(json!({ "maxRetries": 0 }), vec![hangs()]).call().await;
    assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::FirstToken), 120_000));
    let harness = Harness::two_endpoints(json!({ "maxRetries": 0 }), vec![hangs()], vec![hangs()]);
    let outcome = harness.call().await;
    assert_eq!((harness.request_times(), outcome.at), (vec![0, 60_000], 180_000));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_streamed_has_the_whole_answer_timeout() {
    for (options, limit) in [
        (json!({ "maxRetries": 0, "firstTokenTimeoutMs": 1_000 }), 300_000),
        (json!({ "maxRetries": 0, "wholeAnswerTimeoutMs": 2_000 }), 2_000),
    ] {
        let request = || json!({ "model": "m", "input": "q" });
        let call = || TestCall { dialect: Dialect::Responses, request: request(), ..TestCall::default() };
        let outcome = Harness::new(options.clone(), vec![stream().never_answers()]).run(call()).await;
        assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::FirstToken), limit));
        let body = json!({ "object": "response", "status": "completed", "output": [] }).to_string();
        let late = status(200).header("content-type", "application/json").raw(&body).head_after(limit - 1);
        let outcome = Harness::new(options, vec![late]).run(call()).await;
        assert_eq!((outcome.attempt_outcomes(), outcome.at), (vec!["complete".to_owned()], limit - 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_token_timeout_starts_when_the_request_is_sent() {
    let outcome = once(answer(&["a"]).connects_after(60_000).head_after(4_999)).await;
    assert_eq!((outcome.text(), outcome.at), ("a", 64_999));
    let outcome = once(stream().connects_after(60_000).never_answers()).await;
    assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::FirstToken), 65_000));
}

#[tokio::test(start_paused = true)]
async fn an_explicit_first_token_timeout_applies_to_every_route() {
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 1_000 });
    let silent = || stream().never_answers();
    let harness = Harness::two_endpoints(options, vec![silent()], vec![silent()]);
    let outcome = harness.call().await;
    assert_eq!((harness.request_times(), outcome.at), (vec![0, 1_000], 2_000));
}

#[tokio::test(start_paused = true)]
async fn silence_between_two_reads_hits_the_idle_timeout() {
    let outcome = once(stream().wait(100).delta("a").wait(299).delta("b").stall()).await;
    assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::Idle), 699));
    assert_eq!((outcome.error().kind, outcome.error().partial.as_deref()), (Kind::Interrupted, Some("ab")));
}

#[tokio::test(start_paused = true)]
async fn pings_reset_the_idle_timeout_but_not_the_first_token_timeout() {
    let pings = |reply: Reply| (0..40).fold(reply, |reply, _| reply.ping().wait(200));
    let outcome = once(pings(stream())).await;
    assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::FirstToken), 5_000));
    let outcome = once(pings(stream().delta("a")).finish().done()).await;
    assert_eq!((outcome.text(), outcome.at), ("a", 8_000));
}

#[tokio::test(start_paused = true)]
async fn a_bare_role_is_not_a_first_token_but_reasoning_is() {
    let slow = |reply: Reply| (0..30).fold(reply, |reply, _| reply.wait(200).ping());
    let outcome = once(slow(stream().role()).delta("a").finish().done()).await;
    assert_eq!(phase(&outcome), Kind::Timeout(Phase::FirstToken));
    let thinks = stream().event(&chunk(json!({ "reasoning_content": "hm" }), None));
    let outcome = once(slow(thinks).delta("a").finish().done()).await;
    assert_eq!((outcome.text(), outcome.answer().attempts[0].first_token_ms), ("a", Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_long_healthy_answer_is_never_cut_off() {
    let reply = (0..1_000).fold(stream(), |reply, _| reply.delta("a").wait(290)).finish().done();
    let outcome = once(reply).await;
    assert_eq!((outcome.text().len(), outcome.at), (1_000, 290_000));
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_a_slow_consumer_do_not_count_as_idle_time() {
    let reply = stream().delta("a").wait(200).delta("b").wait(200).delta("c").finish().done();
    let options = json!({ "maxRetries": 0, "idleTimeoutMs": 300 });
    let harness = Harness::new(options, vec![reply]);
    let outcome = harness.run(TestCall { pause: Some(Duration::from_secs(10)), ..TestCall::default() }).await;
    assert_eq!(outcome.text(), "abc");
}

#[tokio::test(start_paused = true)]
async fn a_silent_attempt_is_recorded_as_a_timeout() {
    let options = json!({ "firstTokenTimeoutMs": 100 });
    let harness = Harness::new(options, vec![stream().never_answers(), answer(&["a"])]);
    let outcome = harness.call_with_mode(DeliveryMode::Nothing).await;
    let record = &outcome.answer().attempts[0];
    assert_eq!((record.outcome.as_str(), record.duration_ms, record.status), ("TIMEOUT", 100, None));
    assert_eq!(record.message.as_deref(), Some("no first token within 100 ms"));
    assert_eq!(harness.requests()[0].closed_at(), Some(100), "the socket is closed");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_pauses_before_the_first_token_does_not_use_up_its_timeout() {
    // The consumer pauses after the role for longer than the first-token timeout.
    let reply = stream().role().wait(900).delta("a").finish().done();
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 1_000 });
    let harness = Harness::new(options, vec![reply]);
    let pause = Some(Duration::from_secs(10));
    let outcome = harness.run(TestCall { pause, pauses_first: true, ..TestCall::default() }).await;
    assert_eq!(outcome.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn the_idle_timeout_does_not_apply_between_the_head_and_the_first_byte() {
    let outcome = once(stream().wait(4_000).delta("a").finish().done()).await;
    assert_eq!(outcome.text(), "a");
    let outcome = once(stream().stall()).await;
    assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::FirstToken), 5_000));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_past_its_timeout_is_cut_off_even_if_it_still_sends() {
    let slow = || (0..40).fold(stream().delta("a"), |reply, _| reply.wait(150).delta("b"));
    let options = json!({ "maxRetries": 0, "attemptTimeoutMs": 1_000, "recovery": false });
    let outcome = Harness::new(options.clone(), vec![slow()]).call().await;
    assert_eq!((phase(&outcome), outcome.at), (Kind::Timeout(Phase::Attempt), 1_000));
    assert_eq!(outcome.error().partial.as_deref().map(str::len), Some(7));
    // The timeout is that of one attempt: the next route has the full time.
    let options = json!({ "maxRetries": 0, "attemptTimeoutMs": 1_000 });
    let harness =
        Harness::two_endpoints(options, vec![stream().never_answers()], vec![answer(&["b"]).head_after(900)]);
    assert_eq!(harness.call().await.at, 1_900);
}

/// A consumer that pauses for an hour after its first delta.
fn paused() -> TestCall {
    TestCall { pause: Some(Duration::from_secs(3600)), ..TestCall::default() }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_consumer_reads_nothing_ends_after_max_paused_ms() {
    let reply = || stream().delta("a").wait(10).delta("b").finish().done();
    let harness = Harness::new(json!({}), vec![reply(), reply()]);
    let outcome = harness.run(paused()).await;
    let error = outcome.error();
    assert_eq!((error.kind, outcome.at), (Kind::Timeout(Phase::Paused), 600_000));
    assert_eq!((error.code(), error.kind.class()), ("TIMEOUT", "TimeoutError"));
    assert_eq!(error.message, "nothing was read of the paused answer within 600000 ms");
    // Nothing is lost, and nothing is requested again.
    assert_eq!(error.partial.as_deref(), Some("a"));
    assert!(error.snapshot.as_deref().is_some_and(|json| json.contains("\"a\"")));
    assert_eq!(outcome.attempt_outcomes(), ["TIMEOUT"]);
    assert!(harness.requests()[0].closed_at().is_some());
}

#[tokio::test(start_paused = true)]
async fn each_delta_that_a_paused_consumer_takes_begins_the_time_again() {
    let reply = stream().delta("a").wait(10).delta("b").finish().done();
    let harness = Harness::new(json!({ "maxPausedMs": 60_000 }), vec![reply]);
    let takes_every = Some(Duration::from_secs(50));
    let outcome = harness.run(TestCall { takes_every, ..paused() }).await;
    assert_eq!(outcome.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn without_max_paused_ms_a_call_may_be_paused_for_ever() {
    let reply = stream().delta("a").finish().done();
    let harness = Harness::new(json!({ "maxPausedMs": false }), vec![reply]);
    assert_eq!(harness.run(paused()).await.text(), "a");
}
