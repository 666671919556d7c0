//! The line before a route: who comes after whom, and what those who stand in it hear.

use futures::future::join_all;
use serde_json::{Value, json};

use super::provider::{Reply, answer, refusal, stream};
use super::support::{Ask, Scene};
use crate::error::Kind;

fn limited(seconds: u64) -> Reply {
    refusal(429, "rate_limit_exceeded", "slow down").header("retry-after", seconds)
}

/// A call that names itself, and asks for so many tokens at most: its prompt counts as four more.
fn named(after: u64, user: u64, max_tokens: u64) -> Ask {
    let request = json!({ "messages": [{}], "max_tokens": max_tokens, "user": user.to_string() });
    Ask { request, after, ..Ask::default() }
}

fn users(scene: &Scene) -> Vec<u64> {
    let user = |body: Value| body["user"].as_str().unwrap().parse().unwrap();
    scene.requests().iter().map(|seen| user(seen.json())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_place_comes_is_not_put_behind_a_larger_one_that_came_later() {
    let options = json!({ "maxConcurrent": 1, "rateLimit": { "capacity": 10, "tokensPerMinute": 600 } });
    let scene = Scene::new(options, vec![answer(&["a"]).head_after(1_000); 3]);
    // The second waits for a place, and gives back what it had of the limit. The third waits for the limit.
    let calls = [named(0, 0, 96), named(10, 1, 96), named(20, 2, 596)];
    let ended = join_all(calls.map(|call| scene.ask(call))).await;
    assert!(ended.iter().all(|ended| ended.text() == "a"));
    assert_eq!((users(&scene), scene.times()[1]), (vec![0, 1, 2], 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_comes_while_a_call_stands_in_line_and_outlasts_its_deadline_ends_it() {
    let options = json!({ "maxRetries": 0, "rateLimit": { "capacity": 1, "refillRate": 1 } });
    let scene = Scene::new(options, vec![limited(30).head_after(500)]);
    let hurried = Ask { options: json!({ "totalTimeoutMs": 5_000 }), after: 10, ..Ask::default() };
    let (first, hurried) = futures::join!(scene.call(), scene.ask(hurried));
    assert_eq!((first.error().kind, first.at), (Kind::RateLimit, 500));
    let error = hurried.error();
    assert_eq!((error.kind, error.retry_after.unwrap().as_secs()), (Kind::RateLimit, 30));
    assert!((1_000..1_003).contains(&hurried.at), "{}", hurried.at);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lowered_below_what_a_call_was_reckoned_for_lets_it_through_with_less() {
    let limit = json!({ "capacity": 10, "tokensPerMinute": 6_000, "adapt": "headers" });
    let told = stream().header("x-ratelimit-limit-tokens", 1_000).head_after(500);
    let told = told.say("a").wait(60_000).finish().done();
    let scene = Scene::new(json!({ "rateLimit": limit }), vec![told, answer(&["b"])]);
    // Nobody has said how long either may be: each is reckoned to need all that the limit holds.
    let second = Ask { after: 10, ..Ask::default() };
    let (first, second) = futures::join!(scene.call(), scene.ask(second));
    assert_eq!((first.text(), second.text()), ("a", "b"));
    assert!((9_900..10_100).contains(&second.at), "{}", second.at);
}

#[tokio::test(start_paused = true)]
async fn a_route_in_whose_line_somebody_stands_comes_after_one_whose_line_is_empty() {
    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.1 } });
    let scene = Scene::two(options, vec![answer(&["a"]); 3], vec![answer(&["b"])]);
    let calls = [0, 10, 20].map(|after| scene.ask(Ask { after, ..Ask::default() }));
    let ended = join_all(calls).await;
    let texts: Vec<&str> = ended.iter().map(|ended| ended.text()).collect();
    assert_eq!((texts, scene.went_to().as_str()), (vec!["a", "a", "b"], "aab"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_after_a_pause_does_not_overtake_those_that_still_stand_in_line() {
    let mut script = vec![answer(&["a"]).head_after(500); 5];
    script[0] = limited(1);
    let scene = Scene::new(json!({ "maxConcurrent": 1, "maxRetries": 0 }), script);
    // The last one comes when the pause is over, and one of the three before it has its turn.
    let calls = [(0, 0), (10, 1), (20, 2), (30, 3), (1_100, 4)];
    join_all(calls.map(|(after, user)| scene.ask(named(after, user, 5)))).await;
    assert_eq!(users(&scene), [0, 1, 2, 3, 4]);
    assert_eq!(scene.times(), [0, 1_000, 1_500, 2_000, 2_500]);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_limit_is_gone_when_its_place_comes_is_not_turned_away_by_a_queue_that_has_filled_up() {
    let limit = json!({ "capacity": 2, "refillRate": 1, "maxQueue": 1, "adapt": "headers" });
    let told = stream()
        .header("x-ratelimit-remaining-requests", 0)
        .header("x-ratelimit-reset-requests", "5s")
        .head_after(500);
    let told = told.say("0").wait(500).finish().done();
    let options = json!({ "maxConcurrent": 1, "rateLimit": limit });
    let scene = Scene::new(options, vec![told, answer(&["1"]), answer(&["2"])]);
    // The second waits for a place when the third takes the only one in the queue of the limit.
    let calls = [named(0, 0, 5), named(10, 1, 5), named(600, 2, 5)];
    let [a, b, c] = calls.map(|call| scene.ask(call));
    let ended = <[_; 3]>::from(futures::join!(a, b, c));
    assert_eq!(ended.map(|ended| ended.text().to_owned()), ["0", "2", "1"]);
}
