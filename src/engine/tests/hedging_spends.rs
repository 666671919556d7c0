//! What a second request spends, and where there is no room for one.

use serde_json::{Value, json};

use super::hedging::{after, counts, two, with};
use super::provider::{answer, stream};
use super::support::{Ask, Scene};

#[tokio::test(start_paused = true)]
async fn a_hedge_spends_the_retry_budget_and_is_not_made_beyond_it() {
    let budget = |per_second: f64| json!({ "retryBudget": { "ratio": 0, "minPerSecond": per_second } });
    let scene = two(budget(0.1), vec![after(500, "a"); 2], vec![after(10, "b")]);
    assert_eq!(scene.call().await.text(), "b");
    let ended = scene.call().await;
    assert_eq!((ended.text(), scene.went_to().as_str()), ("a", "aba"));
    assert_eq!(ended.events("retry-budget")[0]["budget"], "client");
    assert_eq!(counts(&scene, &["hedges"]), [1]);
    let half = json!({ "retryBudget": { "ratio": 0.5, "minPerSecond": 0 } });
    let scene = two(half, vec![after(500, "a"); 2], vec![after(10, "b")]);
    scene.call_with(json!({ "hedge": false })).await;
    let ended = scene.call_with(json!({ "tenant": "u" })).await;
    assert_eq!((ended.text(), &ended.events("retry-budget")[0]["budget"]), ("a", &json!("tenant")));
}

#[tokio::test(start_paused = true)]
async fn a_route_that_could_not_take_it_at_once_gets_none_and_nothing_is_spent() {
    let budget = json!({ "ratio": 0, "minPerSecond": 0.1 });
    let endpoint = |name: &str| json!({ "name": name, "baseUrl": format!("http://{name}/v1") });
    let mut full = endpoint("b");
    full["rateLimit"] = json!({ "capacity": 1, "refillRate": 0.001 });
    let options = json!({ "endpoints": [endpoint("a"), full], "retryBudget": budget });
    let scripts = vec![("a", vec![after(500, "a"); 2]), ("b", vec![after(10, "b")])];
    let scene = Scene::hosts(with(options), scripts);
    assert_eq!(scene.client.state.endpoints[1].limiter.as_ref().unwrap().waiting(), 0);
    assert!(scene.client.state.endpoints[1].limiter.as_ref().unwrap().try_acquire(1.0));
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("a", "a"));

    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.001 } });
    let scene = two(options, vec![after(500, "a")], vec![]);
    assert_eq!(scene.call().await.text(), "a");
    let scene = two(json!({ "maxConcurrent": 1 }), vec![after(500, "a")], vec![]);
    assert_eq!(scene.call().await.text(), "a");

    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "retryBudget": budget });
    let scene = two(options, vec![after(500, "a")], vec![]);
    let route = scene.client.state.endpoints[1].route("gpt-4.1", &scene.client.config().breaker, None, false);
    route.breaker.unwrap().update(|inner| inner.breaker.open(crate::engine::clock::now()));
    assert_eq!(scene.call().await.text(), "a");
    assert_eq!(scene.client.state.budget.try_spend(None), Ok(()), "nothing was spent");

    let scene = two(json!({}), vec![after(500, "a")], vec![]);
    let route = scene.client.state.endpoints[1].route("gpt-4.1", &scene.client.config().breaker, None, false);
    // Asked for while the attempt is under way.
    let call = scene.call();
    let cools = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        route.queue.cool_down(std::time::Duration::from_secs(1));
    };
    assert_eq!(futures::join!(call, cools).0.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_route_without_room_is_passed_over_for_the_next_one() {
    let endpoint = |name: &str| json!({ "name": name, "baseUrl": format!("http://{name}/v1") });
    let mut full = endpoint("b");
    full["rateLimit"] = json!({ "capacity": 1, "refillRate": 0.001 });
    let options = json!({ "endpoints": [endpoint("a"), full, endpoint("c")] });
    let scripts = vec![("a", vec![after(500, "a")]), ("b", vec![]), ("c", vec![after(10, "c")])];
    let scene = Scene::hosts(with(options), scripts);
    assert!(scene.client.state.endpoints[1].limiter.as_ref().unwrap().try_acquire(1.0));
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("c", "ac"));
}

#[tokio::test(start_paused = true)]
async fn it_takes_its_token_of_the_limiter_and_its_place_among_those_that_run() {
    let options = json!({ "rateLimit": { "capacity": 10, "refillRate": 0.001 }, "maxConcurrent": 2 });
    let scene = two(options, vec![after(500, "a"), answer(&["c"])], vec![after(100, "b")]);
    // The third request waits until the loser has given its place back.
    let later = scene.ask(Ask { after: 150, ..Ask::default() });
    let (ended, later) = futures::join!(scene.call(), later);
    assert_eq!((ended.text(), later.text(), scene.times()), ("b", "c", vec![0, 100, 200]));
    let limiter = scene.client.state.limiter.as_ref().unwrap();
    assert!(limiter.would_admit(7.0, 0.0) && !limiter.would_admit(8.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_loser_says_nothing_to_its_breaker_and_gives_its_probe_back() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1, "timeout": 1_000 } });
    let scene = two(options, vec![after(500, "a")], vec![after(10, "b")]);
    let route = scene.client.state.endpoints[0].route("gpt-4.1", &scene.client.config().breaker, None, false);
    let breaker = route.breaker.unwrap();
    breaker.update(|inner| inner.breaker.open(crate::engine::clock::now()));
    tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
    assert_eq!((scene.call().await.text(), scene.went_to().as_str()), ("b", "ab"));
    assert_eq!(breaker.state().as_str(), "HALF_OPEN");
    assert!(breaker.would_admit(), "the place of the probe is free again");
}

fn priced(mut options: Value) -> Value {
    options["model"] = json!("m");
    options["cost"]["prices"] = json!({ "m": { "input": 1, "output": 1 } });
    with(options)
}

/// What the window has spent and reserved, in tokens.
fn books(scene: &Scene) -> (f64, f64) {
    let report = scene.client.cost();
    let tokens = |name: &str| (report[name].as_f64().unwrap() * 1e6).round();
    (tokens("spentUsd"), tokens("reservedUsd"))
}

fn asking(max_tokens: u64) -> Ask {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": max_tokens });
    Ask { request, ..Ask::default() }
}

#[tokio::test(start_paused = true)]
async fn a_loser_costs_what_was_sent_and_one_that_was_not_sent_nothing() {
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 20 } });
    let b = || stream().wait(10).say("b").finish().event(&usage).done();
    let scene = Scene::two(priced(json!({})), vec![after(500, "a")], vec![b()]);
    let ended = scene.ask(asking(50)).await;
    // The prompt is 9 at most.
    assert_eq!((books(&scene), ended.answer().cost_usd), ((129.0, 0.0), Some(129e-6)));
    let scene = Scene::two(priced(json!({})), vec![stream().never_connects()], vec![b()]);
    scene.ask(asking(50)).await;
    assert_eq!(books(&scene), (120.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_does_not_fit_under_the_cap_beside_the_first_one_is_not_made() {
    let capped = |tokens: f64| priced(json!({ "cost": { "hardCapUsd": tokens / 1e6 } }));
    let scene = Scene::two(capped(100.0), vec![after(500, "a")], vec![]);
    assert_eq!(scene.ask(asking(50)).await.text(), "a");
    let scene = Scene::two(capped(120.0), vec![after(500, "a")], vec![after(10, "b")]);
    let call = scene.ask(asking(50));
    let look = async {
        tokio::time::sleep(std::time::Duration::from_millis(105)).await;
        books(&scene)
    };
    let (ended, books) = futures::join!(call, look);
    assert_eq!((ended.text(), books), ("b", (0.0, 118.0)), "both were reserved");
}

#[tokio::test(start_paused = true)]
async fn an_abort_settles_what_both_have_reserved() {
    let scene = Scene::two(priced(json!({})), vec![stream().stall()], vec![stream().stall()]);
    scene.call_aborted_after(250).await;
    assert_eq!(books(&scene), (18.0, 0.0));
}
