//! A second request beside a slow first one. A hedge is due after 100 ms here.

use serde_json::{Value, json};

use super::provider::{Reply, answer, chunk, no_connection, refusal, status, stream, unavailable};
use super::support::{Ask, Ended, Scene};
use crate::engine::sink::Wants;
use crate::error::{Kind, Phase};

/// An answer whose first token takes so long.
pub fn after(ms: u64, text: &str) -> Reply {
    stream().wait(ms).say(text).finish().done()
}

/// A refusal that takes so long.
fn fails_after(ms: u64) -> Reply {
    unavailable().head_after(ms)
}

pub fn with(mut options: Value) -> Value {
    options["hedge"] = json!({ "afterMs": 100 });
    options
}

pub fn two(options: Value, a: Vec<Reply>, b: Vec<Reply>) -> Scene {
    Scene::two(with(options), a, b)
}

/// The numbers of the attempts and their outcomes, in the order in which they ended.
fn ends(ended: &Ended) -> Vec<(u32, String)> {
    let attempts = ended.result.as_ref().map_or_else(|error| &error.attempts, |answer| &answer.attempts);
    attempts.iter().map(|attempt| (attempt.attempt, attempt.outcome.clone())).collect()
}

fn are(ends: &[(u32, &str)]) -> Vec<(u32, String)> {
    ends.iter().map(|(number, outcome)| (*number, (*outcome).to_owned())).collect()
}

fn closed(scene: &Scene) -> Vec<Option<u64>> {
    scene.requests().iter().map(|seen| seen.closed_at()).collect()
}

pub fn counts(scene: &Scene, names: &[&str]) -> Vec<u64> {
    let metrics = serde_json::to_value(scene.client.metrics()).unwrap();
    names.iter().map(|name| metrics[name].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn where_the_first_token_is_slow_another_route_is_asked_and_the_faster_one_goes_on() {
    for (wants, deltas) in [(Wants::Text, 2), (Wants::Chunks, 3), (Wants::Nothing, 0)] {
        let b = stream().wait(50).say("from ").wait(30).say("b").finish().done();
        let scene = two(json!({}), vec![after(1_000, "from a")], vec![b]);
        let ended = scene.call_wanting(wants).await;
        assert_eq!((ended.text(), ended.at, ended.answer().endpoint.as_str()), ("from b", 180, "b"));
        assert_eq!(ended.deltas().len(), deltas);
        assert_eq!((scene.went_to().as_str(), scene.times()), ("ab", vec![0, 100]));
        assert_eq!(closed(&scene)[0], Some(150), "with the winner's first token");
        assert_eq!(ends(&ended), are(&[(1, "hedge-lost"), (2, "complete")]));
        let names = ["hedges", "hedgeWins", "attempts", "retries", "fallbacks", "successAfterRetry"];
        assert_eq!(counts(&scene, &names), [1, 1, 2, 0, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_hedge_is_given_up_where_the_first_one_is_faster_after_all() {
    let scene = two(json!({}), vec![after(120, "a")], vec![after(50, "b")]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at, ended.answer().endpoint.as_str()), ("a", 120, "a"));
    assert_eq!(closed(&scene)[1], Some(120));
    assert_eq!(ends(&ended), are(&[(2, "hedge-lost"), (1, "complete")]));
    assert_eq!(counts(&scene, &["hedges", "hedgeWins"]), [1, 0]);
    let lost = &ended.events("hedge-lost")[0];
    assert_eq!(
        (&lost["attempt"], &lost["hedge"], &lost["durationMs"]),
        (&json!(2), &json!(true), &json!(20))
    );
}

#[tokio::test(start_paused = true)]
async fn a_hedge_is_an_attempt_with_a_number_and_names_of_its_own() {
    let scene = two(json!({}), vec![after(1_000, "a")], vec![after(10, "b")]);
    let ended = scene.call_with(json!({ "idempotencyKey": "k", "sessionId": "s1" })).await;
    let [a, b] = &scene.requests()[..] else { panic!("two requests") };
    assert_eq!((a.key(), b.key()), ("k", "k-b-2"));
    let header = |name: &str| (a.header(name).unwrap().to_owned(), b.header(name).unwrap().to_owned());
    assert_eq!(header("x-holysheep-attempt"), ("1".into(), "2".into()));
    assert_eq!(header("x-session-id"), ("s1".into(), "s1".into()));
    assert_eq!(header("authorization"), ("Bearer key-of-a".into(), "Bearer key-of-b".into()));
    let (first, second) = header("x-client-request-id");
    assert_ne!(first, second);
    let attempts = ended.events("attempt");
    assert_eq!(attempts.iter().map(|event| &event["reason"]).collect::<Vec<_>>(), ["first", "hedge"]);
    assert_eq!((&attempts[0]["requestId"], &attempts[1]["requestId"]), (&json!(first), &json!(second)));
    let token = &ended.events("first-token")[0];
    assert_eq!(
        (&token["requestId"], &token["attempt"], &token["firstTokenMs"]),
        (&json!(second), &json!(2), &json!(10))
    );
    let lost = &ended.events("hedge-lost")[0];
    assert_eq!(
        (&lost["requestId"], &lost["endpoint"], &lost["hedge"]),
        (&json!(first), &json!("a"), &json!(false))
    );
    assert!(ended.events("fallback").is_empty() && ended.events("attempt-failed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_option_without_need_and_without_another_route_there_is_none() {
    let scene = Scene::two(json!({}), vec![after(1_000, "a")], vec![]);
    assert_eq!(scene.call().await.at, 1_000);
    let scene = two(json!({}), vec![after(99, "a"), after(1_000, "b")], vec![]);
    assert_eq!(scene.call().await.at, 99);
    let off = json!({ "hedge": false });
    assert_eq!(scene.call_with(off).await.text(), "b");
    let scene = Scene::new(with(json!({})), vec![after(1_000, "a")]);
    assert_eq!(scene.call().await.at, 1_000);
    let scene = two(json!({}), vec![after(1_000, "a")], vec![]);
    assert_eq!(scene.call_with(json!({ "$single": true })).await.at, 1_000);
}

#[tokio::test(start_paused = true)]
async fn it_goes_to_another_endpoint_of_the_model_and_where_there_is_none_to_the_next_model() {
    let scene =
        Scene::new(with(json!({ "fallbackModels": ["m2"] })), vec![after(1_000, "a"), after(10, "b")]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.answer().model.as_str()), ("b", "m2"));
    assert_eq!(scene.requests()[1].json()["model"], "m2");
    let scene = two(json!({ "fallbackModels": ["m2"] }), vec![after(1_000, "a")], vec![after(10, "b")]);
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("b", "ab"));
    assert_ne!(scene.requests()[1].json()["model"], "m2");
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_the_first_token_is_delivered_once_and_in_order() {
    let tokens = ["one", "two"];
    let b = stream().ping().role().wait(20).say(tokens[0]).say(tokens[1]).finish().done();
    let scene = two(json!({}), vec![stream().role().wait(500).say("no")], vec![b]);
    let ended = scene.call_wanting(Wants::Chunks).await;
    let role = chunk(json!({ "role": "assistant", "content": "" }), None).to_string();
    let mut expected = vec![role];
    expected.extend(tokens.map(|text| chunk(json!({ "content": text }), None).to_string()));
    expected.push(chunk(json!({}), Some("stop")).to_string());
    assert_eq!(ended.deltas(), expected);
    assert_eq!(ended.piece_times(), [120; 4]);
}

#[tokio::test(start_paused = true)]
async fn where_the_first_one_fails_meanwhile_the_hedge_is_the_attempt() {
    let broken: [Reply; 5] = [
        fails_after(200),
        stream().wait(200).raw("data: {\"error\":{\"message\":\"no\"}}\n\n"),
        stream().role().wait(200),
        stream().wait(200).breaks(),
        status(200).header("content-type", "text/html").head_after(200),
    ];
    for reply in broken {
        let scene = two(json!({ "maxRetries": 2 }), vec![reply], vec![after(300, "b")]);
        let ended = scene.call().await;
        assert_eq!((ended.text(), ended.at, scene.went_to().as_str()), ("b", 400, "ab"));
        assert_eq!(ended.events("attempt-failed").len(), 1);
        assert_eq!(ended.events("attempt-failed")[0]["durationMs"], 200);
        assert_eq!(counts(&scene, &["hedges", "hedgeWins", "successAfterRetry"]), [1, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_hedge_fails_the_first_one_goes_on() {
    for reply in [fails_after(50), no_connection(), refusal(400, "bad", "no such thing")] {
        let scene = two(json!({}), vec![after(300, "a")], vec![reply]);
        let ended = scene.call().await;
        assert_eq!((ended.text(), ended.at, scene.went_to().as_str()), ("a", 300, "ab"));
        let numbers: Vec<u32> = ends(&ended).iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [2, 1]);
        assert_eq!(counts(&scene, &["hedges", "hedgeWins"]), [1, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_both_fail_the_call_goes_on_as_after_two_failed_routes() {
    let scene =
        two(json!({ "maxRetries": 1 }), vec![fails_after(200), answer(&["a"])], vec![fails_after(150)]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), scene.times()), ("a", vec![0, 100, 1_250]));
    let expected = are(&[(1, "SERVER_ERROR"), (2, "SERVER_ERROR"), (3, "complete")]);
    assert_eq!(ends(&ended), expected);

    let options = json!({ "maxRetries": 0, "fallbackModels": ["m2"] });
    let scene = two(options, vec![fails_after(300), answer(&["m2"])], vec![fails_after(150)]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.answer().model.as_str(), ended.at), ("m2", "m2", 300));

    let scene = two(json!({ "maxRetries": 0 }), vec![fails_after(300)], vec![fails_after(150)]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at, scene.times().len()), (Kind::RetriesExhausted, 300, 2));
    assert!(ended.error().message.starts_with("all 2 attempts failed"), "{}", ended.error());
}

#[tokio::test(start_paused = true)]
async fn what_the_first_of_two_failures_said_holds_after_the_second() {
    // Its server asks for 5 s: the retry, which would be its turn, goes to the other one.
    let limited = refusal(429, "rate_limit_exceeded", "slow down").header("retry-after", 5).head_after(200);
    let scene = two(json!({ "maxRetries": 1 }), vec![limited], vec![fails_after(150), answer(&["b"])]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), scene.went_to().as_str()), ("b", "abb"));
    assert_eq!(scene.times(), [0, 100, 1_250]);
    // The request is at fault: no retry mends it.
    let scene = two(json!({}), vec![refusal(400, "bad", "no").head_after(200)], vec![fails_after(150)]);
    assert_eq!((scene.call().await.error().kind, scene.times().len()), (Kind::RetriesExhausted, 2));
}

#[tokio::test(start_paused = true)]
async fn a_silent_first_one_times_out_and_the_hedge_has_the_time_of_the_last_route() {
    let scene = two(json!({ "maxRetries": 0 }), vec![stream().stall()], vec![after(119_000, "b")]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at), ("b", 119_100));
    assert_eq!(closed(&scene)[0], Some(60_000));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_one_attempt_is_that_of_each_of_the_two() {
    let options = json!({ "attemptTimeoutMs": 400, "maxRetries": 0 });
    let b = stream().wait(50).say("b").wait(1_000);
    let scene = two(options, vec![stream().stall()], vec![b]);
    let ended = scene.call_wanting(Wants::Chunks).await;
    assert_eq!((ended.at, closed(&scene)), (500, vec![Some(150), Some(500)]));
    assert_eq!(ends(&ended)[1].1, "TIMEOUT");
}

#[tokio::test(start_paused = true)]
async fn the_95th_percentile_is_that_of_the_model_once_20_first_tokens_are_known() {
    let mut a = vec![after(90, "a"); 20];
    a.extend(vec![after(1_000, "slow"); 2]);
    a.insert(19, after(1_000, "slow but alone"));
    let options = json!({ "hedge": {} });
    let scene = Scene::two(options, a, vec![after(10, "b"), after(10, "c")]);
    for _ in 0..19 {
        scene.call().await;
    }
    assert_eq!(scene.call().await.text(), "slow but alone", "19 are known");
    assert_eq!(scene.call_with(json!({ "hedge": false })).await.text(), "a");
    let began = scene.now();
    // 20 of 21 were between 80 and 160 ms, as the histogram has it.
    assert_eq!((scene.call().await.text(), scene.now() - began), ("b", 170));
    let other = Ask { request: json!({ "model": "m2", "messages": [{}] }), ..Ask::default() };
    assert_eq!(scene.ask(other).await.text(), "slow", "of another model none are known");
}

#[tokio::test(start_paused = true)]
async fn one_that_lost_to_its_hedge_counts_as_slow_and_a_hedge_that_lost_not_at_all() {
    let scene =
        two(json!({}), vec![after(1_000, "a"), after(130, "a")], vec![after(50, "b"), after(90, "b")]);
    scene.call().await;
    scene.call().await;
    let metrics = serde_json::to_value(scene.client.metrics()).unwrap();
    let times = |route: usize| {
        let times = &metrics["routes"][route]["firstTokenMs"];
        (times["count"].as_u64().unwrap(), times["sum"].as_u64().unwrap())
    };
    assert_eq!((times(0), times(1)), ((2, 150 + 130), (1, 50)));
    assert_eq!([&metrics["routes"][0]["failures"], &metrics["routes"][1]["failures"]], [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_abort_the_deadline_and_a_close_end_both_at_once() {
    let scripts = || (vec![stream().stall()], vec![stream().never_answers()]);
    let (a, b) = scripts();
    let scene = two(json!({}), a, b);
    let ended = scene.call_aborted_after(250).await;
    assert_eq!((ended.error().kind, ended.at, closed(&scene)), (Kind::Aborted, 250, vec![Some(250); 2]));
    assert_eq!(ends(&ended), are(&[(1, "ABORTED"), (2, "ABORTED")]));

    let (a, b) = scripts();
    let scene =
        two(json!({ "totalTimeoutMs": 300, "maxRetries": 0 }), a, vec![b[0].clone().connects_after(0)]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::Timeout(Phase::Total), 300));
    assert_eq!((closed(&scene)[1], ends(&ended).len()), (Some(300), 2));

    let (a, b) = scripts();
    let scene = two(json!({}), a, b);
    let close = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        scene.client.close();
    };
    let (ended, ()) = futures::join!(scene.call(), close);
    assert_eq!((ended.error().kind, closed(&scene)), (Kind::Closed, vec![Some(150); 2]));
    assert_eq!(counts(&scene, &["inFlight"]), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_begun_is_not_hedged_and_goes_on_from_the_winner() {
    let text = "Hello wide, wide world of";
    // The hedge has won and breaks: the rest comes from a, however long it takes.
    let a = vec![after(1_000, "no"), after(700, " letters")];
    let b = vec![stream().wait(20).say(text).wait(10).breaks()];
    let scene = two(json!({}), a, b);
    let ended = scene.call().await;
    assert_eq!(ended.text(), format!("{text} letters"));
    assert_eq!((scene.went_to().as_str(), ended.answer().recoveries), ("aba", 1));
    assert_eq!(ends(&ended), are(&[(1, "hedge-lost"), (2, "ECONNRESET"), (3, "complete")]));
    assert_eq!(scene.requests()[2].header("x-holysheep-attempt"), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn what_continues_a_broken_answer_is_not_hedged_though_a_route_is_free() {
    for wants in [Wants::Text, Wants::Chunks, Wants::Nothing] {
        let broken = stream().say("Hello wide, wide world of").breaks();
        let options = json!({ "fallbackModels": ["m2"] });
        let scene = two(options, vec![broken], vec![after(700, " letters")]);
        let ended = scene.call_wanting(wants).await;
        assert_eq!((ended.text(), scene.went_to().as_str()), ("Hello wide, wide world of letters", "ab"));
        assert_eq!(counts(&scene, &["hedges", "recoveries"]), [0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_hedged_too_where_a_route_has_not_been_tried() {
    let options = json!({ "fallbackModels": ["m2"] });
    let scene = Scene::new(with(options), vec![unavailable(), after(500, "slow"), after(10, "m2")]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), scene.times()), ("m2", vec![0, 1_000, 1_100]));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_on_the_next_model_that_has_begun_the_answer_keeps_the_call_there() {
    let options = json!({ "fallbackModels": ["m2"], "maxRetries": 1 });
    let text = "Hello wide, wide world of";
    let broken = stream().wait(10).say(text).breaks();
    let scene = Scene::new(with(options), vec![after(500, "no"), broken, answer(&[" letters"])]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.answer().model.as_str()), ("Hello wide, wide world of letters", "m2"));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_the_usage_chunk_in_a_race_is_asked_again_only_when_it_is_alone() {
    let refuses = |ms| refusal(400, "unknown", "unknown field stream_options").head_after(ms);
    let scene = two(json!({ "maxRetries": 0 }), vec![refuses(150)], vec![after(200, "b")]);
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("b", "ab"));
    let scene = two(json!({ "maxRetries": 0 }), vec![fails_after(150)], vec![refuses(100), answer(&["b"])]);
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("b", "abb"));
    assert!(scene.requests()[2].json().get("stream_options").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_token_and_one_that_only_chatters_win_too() {
    let empty = stream().wait(50).finish().done();
    let scene = two(json!({}), vec![after(500, "a")], vec![empty]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at, ended.answer().endpoint.as_str()), ("", 150, "b"));
    let ping = format!(": {}\n\n", "x".repeat(1_000));
    let chatter = (0..300).fold(stream().wait(50), |reply, _| reply.raw(&ping));
    let scene = two(json!({}), vec![after(500, "a")], vec![chatter.wait(600).say("b").finish().done()]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at, closed(&scene)[0]), ("b", 750, Some(150)));
}
