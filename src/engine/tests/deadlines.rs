//! The one deadline over queue, waits and attempts.

use serde_json::json;

use super::provider::{answer, stream, unavailable};
use super::support::{Ask, Scene};
use crate::error::{Kind, Phase, TimeBreakdown};

const TOTAL: Kind = Kind::Timeout(Phase::Total);

#[tokio::test(start_paused = true)]
async fn it_cuts_an_attempt_in_mid_stream_and_keeps_the_text() {
    let scene =
        Scene::new(json!({ "totalTimeoutMs": 500 }), vec![stream().say("a").wait(400).say("b").stall()]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (TOTAL, 500));
    assert_eq!(ended.error().partial.as_deref(), Some("ab"));
    assert_eq!((ended.outcomes(), scene.requests()[0].closed_at()), (vec!["TIMEOUT".to_owned()], Some(500)));
    assert_eq!(
        ended.error().message,
        "the call was not finished within 500 ms (in queues 0 ms, between attempts 0 ms, in 1 attempt 500 ms)"
    );
}

#[tokio::test(start_paused = true)]
async fn it_covers_the_waits_and_the_attempts_together() {
    let scene = Scene::new(
        json!({ "totalTimeoutMs": 5_000 }),
        vec![unavailable().head_after(500), unavailable().head_after(500), stream().stall()],
    );
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at, scene.times()), (TOTAL, 5_000, vec![0, 1_500, 4_000]));
    assert_eq!(ended.error().attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_wait_does_not_fit_is_not_made() {
    let scene = Scene::new(json!({ "totalTimeoutMs": 3_000 }), vec![unavailable(), unavailable()]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::RetriesExhausted, 1_000));
    let why = "; the deadline leaves no time for another attempt (in queues 0 ms, between attempts 1000 ms, in 2 \
               attempts 0 ms)";
    assert!(ended.error().message.ends_with(why), "{}", ended.error());
    assert_eq!(
        ended.error().time_breakdown,
        Some(TimeBreakdown { queue_ms: 0, wait_ms: 1_000, attempt_ms: 0 })
    );
    let scene = Scene::new(json!({ "totalTimeoutMs": 1_000 }), vec![unavailable()]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::Server, 0));
    assert!(ended.error().message.contains("no time for another"), "{}", ended.error());
    let scene = Scene::new(json!({ "totalTimeoutMs": 9_000, "maxRetries": 0 }), vec![unavailable()]);
    assert_eq!(scene.call().await.error().time_breakdown, None, "it was not the deadline");
}

#[tokio::test(start_paused = true)]
async fn it_covers_the_queue() {
    let options = json!({ "maxConcurrent": 1 });
    let scene = Scene::new(options, vec![stream().say("a").wait(1_000).finish().done()]);
    let waits = Ask { options: json!({ "totalTimeoutMs": 300 }), ..Ask::default() };
    let (first, second) = futures::join!(scene.call(), scene.ask(waits));
    assert_eq!((first.text(), second.error().kind, second.at), ("a", TOTAL, 300));
    assert_eq!(second.error().attempts.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_covers_the_wait_for_the_rate_limit() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 1 } });
    let scene = Scene::new(options, vec![answer(&["a"])]);
    scene.call().await;
    let ended = scene.call_with(json!({ "totalTimeoutMs": 300 })).await;
    assert_eq!((ended.error().kind, ended.at), (TOTAL, 300));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_complete_is_not_lost_to_the_wait_for_its_usage() {
    let scene = Scene::new(json!({ "totalTimeoutMs": 500 }), vec![stream().say("a").finish().stall()]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at, ended.outcomes()), ("a", 500, vec!["complete".to_owned()]));
    assert_eq!(ended.completed_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_silent_until_the_deadline_has_failed_and_one_that_speaks_has_not() {
    let breaker = json!({ "failureThreshold": 1, "timeout": 60_000 });
    let options = json!({ "circuitBreaker": breaker, "totalTimeoutMs": 500 });
    let scene = Scene::two(options.clone(), vec![stream().never_answers()], vec![answer(&["b"])]);
    // A single attempt has all of the time.
    assert_eq!(scene.call_with(json!({ "$single": true })).await.error().kind, TOTAL);
    assert_eq!(scene.call().await.text(), "b", "the silent one is left alone");
    let scene = Scene::two(options, vec![stream().say("a").wait(900), answer(&["again"])], vec![]);
    assert_eq!(scene.call().await.error().kind, TOTAL);
    assert_eq!(scene.call().await.text(), "again");
}

#[tokio::test(start_paused = true)]
async fn its_error_says_what_the_time_went_into() {
    let options = json!({ "maxConcurrent": 1, "rateLimit": { "capacity": 3, "refillRate": 100 } });
    let slow = stream().say("a").wait(700).finish().done();
    let scene = Scene::new(options, vec![slow, unavailable().head_after(100), stream().stall()]);
    let second = Ask { options: json!({ "totalTimeoutMs": 5_000 }), ..Ask::default() };
    let (_, ended) = futures::join!(scene.call(), scene.ask(second));
    let error = ended.error();
    assert_eq!((error.kind, ended.at), (TOTAL, 5_000));
    assert_eq!(
        error.time_breakdown,
        Some(TimeBreakdown { queue_ms: 700, wait_ms: 1_000, attempt_ms: 3_300 })
    );
    let sentence = "(in queues 700 ms, between attempts 1000 ms, in 2 attempts 3300 ms)";
    assert!(error.message.ends_with(sentence), "{error}");
    assert_eq!(ended.events("failed")[0]["message"], error.message.as_str());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_it_cuts_short_is_counted_as_far_as_it_came() {
    let options = json!({ "maxConcurrent": 1 });
    let scene = Scene::new(options, vec![stream().say("a").wait(900).finish().done()]);
    let second = Ask { options: json!({ "totalTimeoutMs": 300 }), ..Ask::default() };
    let (_, ended) = futures::join!(scene.call(), scene.ask(second));
    assert_eq!(
        ended.error().time_breakdown,
        Some(TimeBreakdown { queue_ms: 300, wait_ms: 0, attempt_ms: 0 })
    );
}

#[tokio::test(start_paused = true)]
async fn while_other_routes_are_left_an_attempt_has_its_share_of_what_remains() {
    let silent = || stream().never_answers();
    let options = json!({ "totalTimeoutMs": 9_000, "fallbackModels": ["m2"], "maxRetries": 0 });
    let scene = Scene::two(options, vec![silent(), silent()], vec![silent(), silent().never_connects()]);
    let ended = scene.call().await;
    assert_eq!((scene.times(), ended.at), (vec![0, 2_250, 4_500, 6_750], 9_000));
    assert_eq!((ended.error().kind, ended.outcomes().len()), (TOTAL, 4));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_made_uses_up_the_share_as_well() {
    let options = json!({ "totalTimeoutMs": 4_000 });
    let scene = Scene::two(options, vec![stream().never_connects()], vec![answer(&["b"])]);
    let ended = scene.call().await;
    assert_eq!((ended.text(), ended.at), ("b", 2_000));
    let message = ended.answer().attempts[0].message.as_deref();
    assert_eq!(message, Some("no connection within 2000 ms"));
}

#[tokio::test(start_paused = true)]
async fn a_share_never_makes_a_first_token_timeout_longer_and_never_cuts_an_answer_that_has_begun() {
    let options = json!({ "totalTimeoutMs": 60_000, "firstTokenTimeoutMs": 1_000 });
    let scene = Scene::two(options, vec![stream().never_answers()], vec![answer(&["b"])]);
    assert_eq!(scene.call().await.at, 1_000);
    let slow = (0..9).fold(stream(), |reply, _| reply.say("a").wait(1_000)).finish().done();
    let scene = Scene::two(json!({ "totalTimeoutMs": 10_000 }), vec![slow], vec![]);
    assert_eq!(scene.call().await.text(), "aaaaaaaaa");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_have_no_time_left_is_not_made() {
    let scene = Scene::new(json!({ "totalTimeoutMs": 3_249 }), vec![unavailable(); 2]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.at), (Kind::RetriesExhausted, 1_000));
    let scene =
        Scene::new(json!({ "totalTimeoutMs": 3_250 }), vec![unavailable(), unavailable(), answer(&["a"])]);
    assert_eq!(scene.call().await.at, 3_000);
}
