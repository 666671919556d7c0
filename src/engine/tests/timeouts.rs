//! The stages of one attempt: connection, first token, silence between bytes.

use std::time::Duration;

use serde_json::json;

use super::provider::{Reply, answer, chunk, status, stream};
use super::support::{Ask, Ended, Scene};
use crate::engine::sink::Wants;
use crate::error::{Kind, Phase};
use crate::wire::dialect::Dialect;

/// One attempt with a first-token timeout of 5 s and an idle timeout of 300 ms.
async fn once(reply: Reply) -> Ended {
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 5_000, "idleTimeoutMs": 300 });
    Scene::new(options, vec![reply]).call().await
}

fn phase(ended: &Ended) -> Kind {
    ended.error().cause.as_ref().unwrap_or(ended.error()).kind
}

#[tokio::test(start_paused = true)]
async fn an_explicit_first_token_timeout_is_obeyed_on_the_only_route_too() {
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 30_000 });
    let ended = Scene::new(options, vec![stream().never_answers()]).call().await;
    assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::FirstToken), 30_000));
}

#[tokio::test(start_paused = true)]
async fn the_default_first_token_timeout_is_longer_on_the_last_route() {
    let hangs = || stream().never_answers();
    let ended = Scene::new(json!({ "maxRetries": 0 }), vec![hangs()]).call().await;
    assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::FirstToken), 120_000));
    let scene = Scene::two(json!({ "maxRetries": 0 }), vec![hangs()], vec![hangs()]);
    let ended = scene.call().await;
    assert_eq!((scene.times(), ended.at), (vec![0, 60_000], 180_000));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_streamed_has_a_timeout_of_its_own() {
    for (options, limit) in [
        (json!({ "maxRetries": 0, "firstTokenTimeoutMs": 1_000 }), 300_000),
        (json!({ "maxRetries": 0, "wholeAnswerTimeoutMs": 2_000 }), 2_000),
    ] {
        let request = || json!({ "model": "m", "input": "q" });
        let ask = || Ask { dialect: Dialect::Responses, request: request(), ..Ask::default() };
        let ended = Scene::new(options.clone(), vec![stream().never_answers()]).ask(ask()).await;
        assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::FirstToken), limit));
        let body = json!({ "object": "response", "status": "completed", "output": [] }).to_string();
        let late = status(200).header("content-type", "application/json").raw(&body).head_after(limit - 1);
        let ended = Scene::new(options, vec![late]).ask(ask()).await;
        assert_eq!((ended.outcomes(), ended.at), (vec!["complete".to_owned()], limit - 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_before_the_request_is_on_its_way_is_not_the_servers() {
    let ended = once(answer(&["a"]).connects_after(60_000).head_after(4_999)).await;
    assert_eq!((ended.text(), ended.at), ("a", 64_999));
    let ended = once(stream().connects_after(60_000).never_answers()).await;
    assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::FirstToken), 65_000));
}

#[tokio::test(start_paused = true)]
async fn every_route_has_the_first_token_timeout_that_was_set() {
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 1_000 });
    let silent = || stream().never_answers();
    let scene = Scene::two(options, vec![silent()], vec![silent()]);
    let ended = scene.call().await;
    assert_eq!((scene.times(), ended.at), (vec![0, 1_000], 2_000));
}

#[tokio::test(start_paused = true)]
async fn silence_between_two_reads_is_cut_off_after_the_idle_timeout() {
    let ended = once(stream().wait(100).say("a").wait(299).say("b").stall()).await;
    assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::Idle), 699));
    assert_eq!((ended.error().kind, ended.error().partial.as_deref()), (Kind::Interrupted, Some("ab")));
}

#[tokio::test(start_paused = true)]
async fn pings_hold_off_the_idle_timeout_and_not_the_first_token_timeout() {
    let pings = |reply: Reply| (0..40).fold(reply, |reply, _| reply.ping().wait(200));
    let ended = once(pings(stream())).await;
    assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::FirstToken), 5_000));
    let ended = once(pings(stream().say("a")).finish().done()).await;
    assert_eq!((ended.text(), ended.at), ("a", 8_000));
}

#[tokio::test(start_paused = true)]
async fn a_bare_role_is_no_first_token_and_reasoning_is_one() {
    let slow = |reply: Reply| (0..30).fold(reply, |reply, _| reply.wait(200).ping());
    let ended = once(slow(stream().role()).say("a").finish().done()).await;
    assert_eq!(phase(&ended), Kind::Timeout(Phase::FirstToken));
    let thinks = stream().event(&chunk(json!({ "reasoning_content": "hm" }), None));
    let ended = once(slow(thinks).say("a").finish().done()).await;
    assert_eq!((ended.text(), ended.answer().attempts[0].first_token_ms), ("a", Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_long_healthy_answer_is_never_cut() {
    let reply = (0..1_000).fold(stream(), |reply, _| reply.say("a").wait(290)).finish().done();
    let ended = once(reply).await;
    assert_eq!((ended.text().len(), ended.at), (1_000, 290_000));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_slow_consumer_is_not_the_servers() {
    let reply = stream().say("a").wait(200).say("b").wait(200).say("c").finish().done();
    let options = json!({ "maxRetries": 0, "idleTimeoutMs": 300 });
    let scene = Scene::new(options, vec![reply]);
    let ended = scene.ask(Ask { slow: Some(Duration::from_secs(10)), ..Ask::default() }).await;
    assert_eq!(ended.text(), "abc");
}

#[tokio::test(start_paused = true)]
async fn a_silent_attempt_is_recorded_as_what_it_was() {
    let options = json!({ "firstTokenTimeoutMs": 100 });
    let scene = Scene::new(options, vec![stream().never_answers(), answer(&["a"])]);
    let ended = scene.call_wanting(Wants::Nothing).await;
    let record = &ended.answer().attempts[0];
    assert_eq!((record.outcome.as_str(), record.duration_ms, record.status), ("TIMEOUT", 100, None));
    assert_eq!(record.message.as_deref(), Some("no first token within 100 ms"));
    assert_eq!(scene.requests()[0].closed_at(), Some(100), "the socket is let go of");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_pauses_before_the_first_token_does_not_use_up_its_time() {
    // The role has been read when the consumer pauses for longer than the first token may take.
    let reply = stream().role().wait(900).say("a").finish().done();
    let options = json!({ "maxRetries": 0, "firstTokenTimeoutMs": 1_000 });
    let scene = Scene::new(options, vec![reply]);
    let slow = Some(Duration::from_secs(10));
    let ended = scene.ask(Ask { slow, paused: true, ..Ask::default() }).await;
    assert_eq!(ended.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_head_without_a_byte_after_it_waits_for_the_first_token_and_not_for_the_next_byte() {
    let ended = once(stream().wait(4_000).say("a").finish().done()).await;
    assert_eq!(ended.text(), "a");
    let ended = once(stream().stall()).await;
    assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::FirstToken), 5_000));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_cut_off_though_it_goes_on_talking() {
    let slow = || (0..40).fold(stream().say("a"), |reply, _| reply.wait(150).say("b"));
    let options = json!({ "maxRetries": 0, "attemptTimeoutMs": 1_000, "recovery": false });
    let ended = Scene::new(options.clone(), vec![slow()]).call().await;
    assert_eq!((phase(&ended), ended.at), (Kind::Timeout(Phase::Attempt), 1_000));
    assert_eq!(ended.error().partial.as_deref().map(str::len), Some(7));
    // One attempt, not the call: the next route has its own time.
    let options = json!({ "maxRetries": 0, "attemptTimeoutMs": 1_000 });
    let ended = Scene::two(options, vec![stream().never_answers()], vec![answer(&["b"]).head_after(900)]);
    assert_eq!(ended.call().await.at, 1_900);
}
