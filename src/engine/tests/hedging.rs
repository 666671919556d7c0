//! Hedging: a second request when the first token is slow. Here a hedge starts after 100 ms.

use serde_json::{Value, json};

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{
    Reply, answer, chunk, connection_refused, error_response, status, stream, unavailable,
};
use crate::engine::sink::DeliveryMode;
use crate::error::{Kind, Phase};

/// An answer whose first token arrives after `ms` milliseconds.
pub fn first_token_after(ms: u64, text: &str) -> Reply {
    stream().wait(ms).delta(text).finish().done()
}

/// An error response after `ms` milliseconds.
fn fails_after(ms: u64) -> Reply {
    unavailable().head_after(ms)
}

/// The options with hedging.
pub fn with_hedge(mut options: Value) -> Value {
    options["hedge"] = json!({ "afterMs": 100 });
    options
}

/// Two endpoints, with hedging.
pub fn hedged(options: Value, a: Vec<Reply>, b: Vec<Reply>) -> Harness {
    Harness::two_endpoints(with_hedge(options), a, b)
}

/// The numbers of the attempts and their outcomes, in the order in which they ended.
fn outcomes_by_number(outcome: &Outcome) -> Vec<(u32, String)> {
    let attempts = outcome.result.as_ref().map_or_else(|error| &error.attempts, |answer| &answer.attempts);
    attempts.iter().map(|attempt| (attempt.attempt, attempt.outcome.clone())).collect()
}

fn by_number(outcomes: &[(u32, &str)]) -> Vec<(u32, String)> {
    outcomes.iter().map(|(number, outcome)| (*number, (*outcome).to_owned())).collect()
}

fn close_times(harness: &Harness) -> Vec<Option<u64>> {
    harness.requests().iter().map(|request| request.closed_at()).collect()
}

pub fn metric_values(harness: &Harness, names: &[&str]) -> Vec<u64> {
    let metrics = serde_json::to_value(harness.client.metrics()).unwrap();
    names.iter().map(|name| metrics[name].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_token_starts_a_hedge_and_the_faster_attempt_continues() {
    for (mode, deltas) in [(DeliveryMode::Text, 2), (DeliveryMode::Chunks, 3), (DeliveryMode::Nothing, 0)] {
        let b = stream().wait(50).delta("from ").wait(30).delta("b").finish().done();
        let harness = hedged(json!({}), vec![first_token_after(1_000, "from a")], vec![b]);
        let outcome = harness.call_with_mode(mode).await;
        assert_eq!((outcome.text(), outcome.at, outcome.answer().endpoint.as_str()), ("from b", 180, "b"));
        assert_eq!(outcome.deltas().len(), deltas);
        assert_eq!((harness.request_hosts().as_str(), harness.request_times()), ("ab", vec![0, 100]));
        assert_eq!(close_times(&harness)[0], Some(150), "closed by the first token of the winner");
        assert_eq!(outcomes_by_number(&outcome), by_number(&[(1, "hedge-lost"), (2, "complete")]));
        let names = ["hedges", "hedgeWins", "attempts", "retries", "fallbacks", "successAfterRetry"];
        assert_eq!(metric_values(&harness, &names), [1, 1, 2, 0, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_hedge_is_canceled_if_the_first_attempt_is_faster() {
    let harness = hedged(json!({}), vec![first_token_after(120, "a")], vec![first_token_after(50, "b")]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at, outcome.answer().endpoint.as_str()), ("a", 120, "a"));
    assert_eq!(close_times(&harness)[1], Some(120));
    assert_eq!(outcomes_by_number(&outcome), by_number(&[(2, "hedge-lost"), (1, "complete")]));
    assert_eq!(metric_values(&harness, &["hedges", "hedgeWins"]), [1, 0]);
    let lost = &outcome.events("hedge-lost")[0];
    assert_eq!(
        (&lost["attempt"], &lost["hedge"], &lost["durationMs"]),
        (&json!(2), &json!(true), &json!(20))
    );
}

#[tokio::test(start_paused = true)]
async fn a_hedge_has_its_own_attempt_number_key_and_request_id() {
    let harness = hedged(json!({}), vec![first_token_after(1_000, "a")], vec![first_token_after(10, "b")]);
    let outcome = harness.call_with(json!({ "idempotencyKey": "k", "sessionId": "s1" })).await;
    let [a, b] = &harness.requests()[..] else { panic!("two requests") };
    assert_eq!((a.idempotency_key(), b.idempotency_key()), ("k", "k-b-2"));
    let header = |name: &str| (a.header(name).unwrap().to_owned(), b.header(name).unwrap().to_owned());
    assert_eq!(header("x-holysheep-attempt"), ("1".into(), "2".into()));
    assert_eq!(header("x-session-id"), ("s1".into(), "s1".into()));
    assert_eq!(header("authorization"), ("Bearer key-of-a".into(), "Bearer key-of-b".into()));
    let (first, second) = header("x-client-request-id");
    assert_ne!(first, second);
    let attempts = outcome.events("attempt");
    assert_eq!(attempts.iter().map(|event| &event["reason"]).collect::<Vec<_>>(), ["first", "hedge"]);
    assert_eq!((&attempts[0]["requestId"], &attempts[1]["requestId"]), (&json!(first), &json!(second)));
    let token = &outcome.events("first-token")[0];
    assert_eq!(
        (&token["requestId"], &token["attempt"], &token["firstTokenMs"]),
        (&json!(second), &json!(2), &json!(10))
    );
    let lost = &outcome.events("hedge-lost")[0];
    assert_eq!(
        (&lost["requestId"], &lost["endpoint"], &lost["hedge"]),
        (&json!(first), &json!("a"), &json!(false))
    );
    assert!(outcome.events("fallback").is_empty() && outcome.events("attempt-failed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn there_is_no_hedge_without_the_option_a_slow_first_token_or_another_route() {
    let harness = Harness::two_endpoints(json!({}), vec![first_token_after(1_000, "a")], vec![]);
    assert_eq!(harness.call().await.at, 1_000);
    let harness = hedged(json!({}), vec![first_token_after(99, "a"), first_token_after(1_000, "b")], vec![]);
    assert_eq!(harness.call().await.at, 99);
    let off = json!({ "hedge": false });
    assert_eq!(harness.call_with(off).await.text(), "b");
    let harness = Harness::new(with_hedge(json!({})), vec![first_token_after(1_000, "a")]);
    assert_eq!(harness.call().await.at, 1_000);
    let harness = hedged(json!({}), vec![first_token_after(1_000, "a")], vec![]);
    assert_eq!(harness.call_once().await.at, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_prefers_another_endpoint_of_the_model_to_the_next_model() {
    let harness = Harness::new(
        with_hedge(json!({ "fallbackModels": ["m2"] })),
        vec![first_token_after(1_000, "a"), first_token_after(10, "b")],
    );
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.answer().model.as_str()), ("b", "m2"));
    assert_eq!(harness.requests()[1].json()["model"], "m2");
    let harness = hedged(
        json!({ "fallbackModels": ["m2"] }),
        vec![first_token_after(1_000, "a")],
        vec![first_token_after(10, "b")],
    );
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("b", "ab"));
    assert_ne!(harness.requests()[1].json()["model"], "m2");
}

#[tokio::test(start_paused = true)]
async fn chunks_before_the_first_token_are_delivered_once_and_in_order() {
    let tokens = ["one", "two"];
    let b = stream().ping().role().wait(20).delta(tokens[0]).delta(tokens[1]).finish().done();
    let harness = hedged(json!({}), vec![stream().role().wait(500).delta("no")], vec![b]);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    let role = chunk(json!({ "role": "assistant", "content": "" }), None).to_string();
    let mut expected = vec![role];
    expected.extend(tokens.map(|text| chunk(json!({ "content": text }), None).to_string()));
    expected.push(chunk(json!({}), Some("stop")).to_string());
    assert_eq!(outcome.deltas(), expected);
    assert_eq!(outcome.delta_times(), [120; 4]);
}

#[tokio::test(start_paused = true)]
async fn the_hedge_continues_as_the_attempt_if_the_first_attempt_fails() {
    let broken: [Reply; 5] = [
        fails_after(200),
        stream().wait(200).raw("data: {\"error\":{\"message\":\"no\"}}\n\n"),
        stream().role().wait(200),
        stream().wait(200).reset(),
        status(200).header("content-type", "text/html").head_after(200),
    ];
    for reply in broken {
        let harness = hedged(json!({ "maxRetries": 2 }), vec![reply], vec![first_token_after(300, "b")]);
        let outcome = harness.call().await;
        assert_eq!((outcome.text(), outcome.at, harness.request_hosts().as_str()), ("b", 400, "ab"));
        assert_eq!(outcome.events("attempt-failed").len(), 1);
        assert_eq!(outcome.events("attempt-failed")[0]["durationMs"], 200);
        assert_eq!(metric_values(&harness, &["hedges", "hedgeWins", "successAfterRetry"]), [1, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_continues_if_the_hedge_fails() {
    for reply in [fails_after(50), connection_refused(), error_response(400, "bad", "no such thing")] {
        let harness = hedged(json!({}), vec![first_token_after(300, "a")], vec![reply]);
        let outcome = harness.call().await;
        assert_eq!((outcome.text(), outcome.at, harness.request_hosts().as_str()), ("a", 300, "ab"));
        let numbers: Vec<u32> = outcomes_by_number(&outcome).iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [2, 1]);
        assert_eq!(metric_values(&harness, &["hedges", "hedgeWins"]), [1, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn if_both_fail_the_call_continues_as_after_two_failed_routes() {
    let harness =
        hedged(json!({ "maxRetries": 1 }), vec![fails_after(200), answer(&["a"])], vec![fails_after(150)]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), harness.request_times()), ("a", vec![0, 100, 1_250]));
    let expected = by_number(&[(1, "SERVER_ERROR"), (2, "SERVER_ERROR"), (3, "complete")]);
    assert_eq!(outcomes_by_number(&outcome), expected);

    let options = json!({ "maxRetries": 0, "fallbackModels": ["m2"] });
    let harness = hedged(options, vec![fails_after(300), answer(&["m2"])], vec![fails_after(150)]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.answer().model.as_str(), outcome.at), ("m2", "m2", 300));

    let harness = hedged(json!({ "maxRetries": 0 }), vec![fails_after(300)], vec![fails_after(150)]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.error().kind, outcome.at, harness.request_times().len()),
        (Kind::RetriesExhausted, 300, 2)
    );
    assert!(outcome.error().message.starts_with("all 2 attempts failed"), "{}", outcome.error());
}

#[tokio::test(start_paused = true)]
async fn the_first_of_two_failures_still_counts_after_the_second() {
    // The first endpoint asks for 5 s, so the retry goes to the other one although it is not its turn.
    let limited =
        error_response(429, "rate_limit_exceeded", "slow down").header("retry-after", 5).head_after(200);
    let harness = hedged(json!({ "maxRetries": 1 }), vec![limited], vec![fails_after(150), answer(&["b"])]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("b", "abb"));
    assert_eq!(harness.request_times(), [0, 100, 1_250]);
    // A request that is invalid is not retried.
    let harness =
        hedged(json!({}), vec![error_response(400, "bad", "no").head_after(200)], vec![fails_after(150)]);
    assert_eq!(
        (harness.call().await.error().kind, harness.request_times().len()),
        (Kind::RetriesExhausted, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_first_attempt_times_out_and_the_hedge_has_the_timeout_of_the_last_route() {
    let harness =
        hedged(json!({ "maxRetries": 0 }), vec![stream().stall()], vec![first_token_after(119_000, "b")]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at), ("b", 119_100));
    assert_eq!(close_times(&harness)[0], Some(60_000));
}

#[tokio::test(start_paused = true)]
async fn the_attempt_timeout_applies_to_each_of_the_two() {
    let options = json!({ "attemptTimeoutMs": 400, "maxRetries": 0 });
    let b = stream().wait(50).delta("b").wait(1_000);
    let harness = hedged(options, vec![stream().stall()], vec![b]);
    let outcome = harness.call_with_mode(DeliveryMode::Chunks).await;
    assert_eq!((outcome.at, close_times(&harness)), (500, vec![Some(150), Some(500)]));
    assert_eq!(outcomes_by_number(&outcome)[1].1, "TIMEOUT");
}

#[tokio::test(start_paused = true)]
async fn p95_needs_20_first_token_times_of_the_model() {
    let mut a = vec![first_token_after(90, "a"); 20];
    a.extend(vec![first_token_after(1_000, "slow"); 2]);
    a.insert(19, first_token_after(1_000, "slow but not hedged"));
    let options = json!({ "hedge": {} });
    let harness =
        Harness::two_endpoints(options, a, vec![first_token_after(10, "b"), first_token_after(10, "c")]);
    for _ in 0..19 {
        harness.call().await;
    }
    assert_eq!(harness.call().await.text(), "slow but not hedged", "19 times are known");
    assert_eq!(harness.call_with(json!({ "hedge": false })).await.text(), "a");
    let start = harness.now();
    // The histogram has 20 of 21 times in its bucket from 80 to 160 ms.
    assert_eq!((harness.call().await.text(), harness.now() - start), ("b", 170));
    let other = TestCall { request: json!({ "model": "m2", "messages": [{}] }), ..TestCall::default() };
    assert_eq!(harness.run(other).await.text(), "slow", "no times of the other model are known");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_loses_to_its_hedge_counts_as_slow_and_a_hedge_that_loses_does_not_count() {
    let harness = hedged(
        json!({}),
        vec![first_token_after(1_000, "a"), first_token_after(130, "a")],
        vec![first_token_after(50, "b"), first_token_after(90, "b")],
    );
    harness.call().await;
    harness.call().await;
    let metrics = serde_json::to_value(harness.client.metrics()).unwrap();
    let times = |route: usize| {
        let times = &metrics["routes"][route]["firstTokenMs"];
        (times["count"].as_u64().unwrap(), times["sum"].as_u64().unwrap())
    };
    assert_eq!((times(0), times(1)), ((2, 150 + 130), (1, 50)));
    assert_eq!([&metrics["routes"][0]["failures"], &metrics["routes"][1]["failures"]], [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_abort_the_deadline_and_close_end_both_attempts_at_once() {
    let scripts = || (vec![stream().stall()], vec![stream().never_answers()]);
    let (a, b) = scripts();
    let harness = hedged(json!({}), a, b);
    let outcome = harness.call_aborted_after(250).await;
    assert_eq!(
        (outcome.error().kind, outcome.at, close_times(&harness)),
        (Kind::Aborted, 250, vec![Some(250); 2])
    );
    assert_eq!(outcomes_by_number(&outcome), by_number(&[(1, "ABORTED"), (2, "ABORTED")]));

    let (a, b) = scripts();
    let harness =
        hedged(json!({ "totalTimeoutMs": 300, "maxRetries": 0 }), a, vec![b[0].clone().connects_after(0)]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, outcome.at), (Kind::Timeout(Phase::Total), 300));
    assert_eq!((close_times(&harness)[1], outcomes_by_number(&outcome).len()), (Some(300), 2));

    let (a, b) = scripts();
    let harness = hedged(json!({}), a, b);
    let close = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        harness.client.close();
    };
    let (outcome, ()) = futures::join!(harness.call(), close);
    assert_eq!((outcome.error().kind, close_times(&harness)), (Kind::Closed, vec![Some(150); 2]));
    assert_eq!(metric_values(&harness, &["inFlight"]), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_after_a_hedge_won_is_not_hedged() {
    let text = "Hello wide, wide world of";
    // The hedge wins and breaks. The rest comes from `a`, however long it takes.
    let a = vec![first_token_after(1_000, "no"), first_token_after(700, " letters")];
    let b = vec![stream().wait(20).delta(text).wait(10).reset()];
    let harness = hedged(json!({}), a, b);
    let outcome = harness.call().await;
    assert_eq!(outcome.text(), format!("{text} letters"));
    assert_eq!((harness.request_hosts().as_str(), outcome.answer().recoveries), ("aba", 1));
    assert_eq!(
        outcomes_by_number(&outcome),
        by_number(&[(1, "hedge-lost"), (2, "ECONNRESET"), (3, "complete")])
    );
    assert_eq!(harness.requests()[2].header("x-holysheep-attempt"), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_not_hedged_even_if_a_route_is_free() {
    for mode in [DeliveryMode::Text, DeliveryMode::Chunks, DeliveryMode::Nothing] {
        let broken = stream().delta("Hello wide, wide world of").reset();
        let options = json!({ "fallbackModels": ["m2"], "recovery": { "buffered": "continue" } });
        let harness = hedged(options, vec![broken], vec![first_token_after(700, " letters")]);
        let outcome = harness.call_with_mode(mode).await;
        assert_eq!(
            (outcome.text(), harness.request_hosts().as_str()),
            ("Hello wide, wide world of letters", "ab")
        );
        assert_eq!(metric_values(&harness, &["hedges", "recoveries"]), [0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_hedged_if_there_is_an_untried_route() {
    let options = json!({ "fallbackModels": ["m2"] });
    let harness = Harness::new(
        with_hedge(options),
        vec![unavailable(), first_token_after(500, "slow"), first_token_after(10, "m2")],
    );
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), harness.request_times()), ("m2", vec![0, 1_000, 1_100]));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_stays_on_the_model_whose_hedge_won() {
    let options = json!({ "fallbackModels": ["m2"], "maxRetries": 1 });
    let text = "Hello wide, wide world of";
    let broken = stream().wait(10).delta(text).reset();
    let harness =
        Harness::new(with_hedge(options), vec![first_token_after(500, "no"), broken, answer(&[" letters"])]);
    let outcome = harness.call().await;
    assert_eq!(
        (outcome.text(), outcome.answer().model.as_str()),
        ("Hello wide, wide world of letters", "m2")
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_rejects_stream_options_in_a_race_is_asked_again_only_if_the_other_attempt_failed() {
    let rejects = |ms| error_response(400, "unknown", "unknown field stream_options").head_after(ms);
    let harness = hedged(json!({ "maxRetries": 0 }), vec![rejects(150)], vec![first_token_after(200, "b")]);
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("b", "ab"));
    let harness =
        hedged(json!({ "maxRetries": 0 }), vec![fails_after(150)], vec![rejects(100), answer(&["b"])]);
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("b", "abb"));
    assert!(harness.requests()[2].json().get("stream_options").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_or_a_stream_of_comments_can_win() {
    let empty = stream().wait(50).finish().done();
    let options = json!({ "allowEmptyAnswer": true });
    let harness = hedged(options, vec![first_token_after(500, "a")], vec![empty]);
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at, outcome.answer().endpoint.as_str()), ("", 150, "b"));
    let ping = format!(": {}\n\n", "x".repeat(1_000));
    let chatter = (0..300).fold(stream().wait(50), |reply, _| reply.raw(&ping));
    let harness = hedged(
        json!({}),
        vec![first_token_after(500, "a")],
        vec![chatter.wait(600).delta("b").finish().done()],
    );
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), outcome.at, close_times(&harness)[0]), ("b", 750, Some(150)));
}
