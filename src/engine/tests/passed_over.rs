//! Routes that were due and on which no attempt was made: what it costs, and where the call goes then.

use serde_json::json;

use super::provider::{Reply, answer, refusal, stream, unavailable};
use super::support::{Ask, Scene};
use crate::engine::retry_budget::Exhausted;
use crate::error::Kind;

fn limited(seconds: u64) -> Reply {
    refusal(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_meets_the_pause_of_another_call_goes_to_a_route_that_does_not_pause() {
    let a = vec![unavailable(), limited(10), answer(&["a"])];
    let b = vec![unavailable(), answer(&["b"]), answer(&["b"])];
    let scene = Scene::two(json!({ "circuitBreaker": false }), a, b);
    let other = Ask { after: 500, ..Ask::default() };
    let (ended, other) = futures::join!(scene.call(), scene.ask(other));
    assert_eq!((ended.text(), ended.at), ("b", 1_000));
    assert_eq!((other.text(), other.at, scene.went_to().as_str()), ("b", 500, "ababb"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_pause_keeps_back_is_spent_once() {
    let options = json!({ "retryBudget": { "ratio": 0, "minPerSecond": 0.1 } });
    let scene = Scene::new(options, vec![unavailable(), limited(5), answer(&["a"])]);
    let other = Ask { options: json!({ "maxRetries": 0 }), after: 500, ..Ask::default() };
    let (ended, other) = futures::join!(scene.call(), scene.ask(other));
    assert_eq!(other.error().kind, Kind::RateLimit);
    assert_eq!((ended.text(), ended.at), ("a", 5_500));
    assert_eq!(scene.client.state.budget.try_spend(None), Err(Exhausted::Client));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_begun_is_not_given_to_a_cheaper_model_where_the_cap_leaves_too_little() {
    let prices = json!({ "m": { "input": 1, "output": 1 }, "cheap": { "input": 0.1, "output": 0.1 } });
    let options = json!({
        "model": "m", "fallbackModels": ["cheap"], "recovery": { "mode": "continue" },
        "cost": { "hardCapUsd": 60e-6, "prices": prices },
    });
    let scene = Scene::new(options, vec![stream().say("one two").breaks(), answer(&[" three"])]);
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 50 });
    let ended = scene.ask(Ask { request, ..Ask::default() }).await;
    assert_eq!((ended.error().kind, ended.error().partial.as_deref()), (Kind::CostCap, Some("one two")));
    assert_eq!(scene.requests().len(), 1);
}
