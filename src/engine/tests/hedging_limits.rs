//! What a hedge spends, and the limits that prevent one.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::hedging::{first_token_after, hedged, metric_values, with_hedge};
use super::scripted_provider::{answer, stream};

#[tokio::test(start_paused = true)]
async fn a_hedge_spends_the_retry_budget_and_needs_it() {
    let budget = |per_second: f64| json!({ "retryBudget": { "ratio": 0, "minPerSecond": per_second } });
    let harness = hedged(budget(0.1), vec![first_token_after(500, "a"); 2], vec![first_token_after(10, "b")]);
    assert_eq!(harness.call().await.text(), "b");
    let outcome = harness.call().await;
    assert_eq!((outcome.text(), harness.request_hosts().as_str()), ("a", "aba"));
    assert_eq!(outcome.events("retry-budget")[0]["budget"], "client");
    assert_eq!(metric_values(&harness, &["hedges"]), [1]);
    let half = json!({ "retryBudget": { "ratio": 0.5, "minPerSecond": 0 } });
    let harness = hedged(half, vec![first_token_after(500, "a"); 2], vec![first_token_after(10, "b")]);
    harness.call_with(json!({ "hedge": false })).await;
    let outcome = harness.call_with(json!({ "tenant": "u" })).await;
    assert_eq!((outcome.text(), &outcome.events("retry-budget")[0]["budget"]), ("a", &json!("tenant")));
}

#[tokio::test(start_paused = true)]
async fn a_route_without_capacity_gets_no_hedge_and_spends_nothing() {
    let budget = json!({ "ratio": 0, "minPerSecond": 0.1 });
    let endpoint = |name: &str| json!({ "name": name, "baseUrl": format!("http://{name}/v1") });
    let mut full = endpoint("b");
    full["rateLimit"] = json!({ "capacity": 1, "refillRate": 0.001 });
    let options = json!({ "endpoints": [endpoint("a"), full], "retryBudget": budget });
    let scripts = vec![("a", vec![first_token_after(500, "a"); 2]), ("b", vec![first_token_after(10, "b")])];
    let harness = Harness::with_hosts(with_hedge(options), scripts);
    assert_eq!(harness.client.state.endpoints[1].limiter.as_ref().unwrap().waiting(), 0);
    assert!(harness.client.state.endpoints[1].limiter.as_ref().unwrap().try_acquire(1.0));
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("a", "a"));

    let options = json!({ "rateLimit": { "capacity": 1, "refillRate": 0.001 } });
    let harness = hedged(options, vec![first_token_after(500, "a")], vec![]);
    assert_eq!(harness.call().await.text(), "a");
    let harness = hedged(json!({ "maxConcurrent": 1 }), vec![first_token_after(500, "a")], vec![]);
    assert_eq!(harness.call().await.text(), "a");

    let options = json!({ "circuitBreaker": { "failureThreshold": 1 }, "retryBudget": budget });
    let harness = hedged(options, vec![first_token_after(500, "a")], vec![]);
    let route =
        harness.client.state.endpoints[1].route("gpt-4.1", &harness.client.config().breaker, None, false);
    route.breaker.unwrap().update(|state| state.breaker.open(crate::engine::clock::now()));
    assert_eq!(harness.call().await.text(), "a");
    assert_eq!(harness.client.state.budget.try_spend(None), Ok(()), "nothing was spent");

    let harness = hedged(json!({}), vec![first_token_after(500, "a")], vec![]);
    let route =
        harness.client.state.endpoints[1].route("gpt-4.1", &harness.client.config().breaker, None, false);
    // The route cools down while the attempt runs.
    let call = harness.call();
    let cool_down = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        route.queue.cool_down(std::time::Duration::from_secs(1));
    };
    assert_eq!(futures::join!(call, cool_down).0.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_skips_a_route_without_capacity() {
    let endpoint = |name: &str| json!({ "name": name, "baseUrl": format!("http://{name}/v1") });
    let mut full = endpoint("b");
    full["rateLimit"] = json!({ "capacity": 1, "refillRate": 0.001 });
    let options = json!({ "endpoints": [endpoint("a"), full, endpoint("c")] });
    let scripts = vec![
        ("a", vec![first_token_after(500, "a")]),
        ("b", vec![]),
        ("c", vec![first_token_after(10, "c")]),
    ];
    let harness = Harness::with_hosts(with_hedge(options), scripts);
    assert!(harness.client.state.endpoints[1].limiter.as_ref().unwrap().try_acquire(1.0));
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("c", "ac"));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_skips_a_key_whose_quota_is_exhausted() {
    let endpoint =
        |name: &str| json!({ "name": name, "baseUrl": format!("http://{name}/v1"), "apiKey": name });
    let options = json!({ "endpoints": [endpoint("a"), endpoint("b"), endpoint("c")] });
    let scripts = vec![
        ("a", vec![first_token_after(500, "a")]),
        ("b", vec![]),
        ("c", vec![first_token_after(10, "c")]),
    ];
    let harness = Harness::with_hosts(with_hedge(options), scripts);
    harness.client.state.endpoints[1].mark_quota_exhausted();
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("c", "ac"));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_takes_a_rate_limit_token_and_a_slot() {
    let options = json!({ "rateLimit": { "capacity": 10, "refillRate": 0.001 }, "maxConcurrent": 2 });
    let harness =
        hedged(options, vec![first_token_after(500, "a"), answer(&["c"])], vec![first_token_after(100, "b")]);
    // The third request waits until the loser frees its slot.
    let later = harness.run(TestCall { delay_ms: 150, ..TestCall::default() });
    let (outcome, later) = futures::join!(harness.call(), later);
    assert_eq!((outcome.text(), later.text(), harness.request_times()), ("b", "c", vec![0, 100, 200]));
    let limiter = harness.client.state.limiter.as_ref().unwrap();
    assert!(limiter.would_admit(7.0, 0.0) && !limiter.would_admit(8.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_loser_reports_nothing_to_its_breaker_and_releases_its_probe() {
    let options = json!({ "circuitBreaker": { "failureThreshold": 1, "timeout": 1_000 } });
    let harness = hedged(options, vec![first_token_after(500, "a")], vec![first_token_after(10, "b")]);
    let route =
        harness.client.state.endpoints[0].route("gpt-4.1", &harness.client.config().breaker, None, false);
    let breaker = route.breaker.unwrap();
    breaker.update(|state| state.breaker.open(crate::engine::clock::now()));
    tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
    assert_eq!((harness.call().await.text(), harness.request_hosts().as_str()), ("b", "ab"));
    assert_eq!(breaker.state().as_str(), "HALF_OPEN");
    assert!(breaker.would_admit(), "another probe is possible");
}

fn priced(mut options: Value) -> Value {
    options["model"] = json!("m");
    options["cost"]["prices"] = json!({ "m": { "input": 1, "output": 1 } });
    with_hedge(options)
}

/// The cost that the window has spent and reserved, in tokens.
fn spent_and_reserved(harness: &Harness) -> (f64, f64) {
    let report = harness.client.cost();
    let tokens = |name: &str| (report[name].as_f64().unwrap() * 1e6).round();
    (tokens("spentUsd"), tokens("reservedUsd"))
}

fn with_max_tokens(max_tokens: u64) -> TestCall {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": max_tokens });
    TestCall { request, ..TestCall::default() }
}

#[tokio::test(start_paused = true)]
async fn a_loser_costs_its_prompt_only_if_it_was_sent() {
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 20 } });
    let b = || stream().wait(10).delta("b").finish().event(&usage).done();
    let harness = Harness::two_endpoints(priced(json!({})), vec![first_token_after(500, "a")], vec![b()]);
    let outcome = harness.run(with_max_tokens(50)).await;
    // The bound of the prompt is 9 tokens.
    assert_eq!((spent_and_reserved(&harness), outcome.answer().cost_usd), ((129.0, 0.0), Some(129e-6)));
    let harness = Harness::two_endpoints(priced(json!({})), vec![stream().never_connects()], vec![b()]);
    harness.run(with_max_tokens(50)).await;
    assert_eq!(spent_and_reserved(&harness), (120.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_would_exceed_the_cap_is_not_made() {
    let capped = |tokens: f64| priced(json!({ "cost": { "hardCapUsd": tokens / 1e6 } }));
    let harness = Harness::two_endpoints(capped(100.0), vec![first_token_after(500, "a")], vec![]);
    assert_eq!(harness.run(with_max_tokens(50)).await.text(), "a");
    let harness = Harness::two_endpoints(
        capped(120.0),
        vec![first_token_after(500, "a")],
        vec![first_token_after(10, "b")],
    );
    let call = harness.run(with_max_tokens(50));
    let observe = async {
        tokio::time::sleep(std::time::Duration::from_millis(105)).await;
        spent_and_reserved(&harness)
    };
    let (outcome, costs) = futures::join!(call, observe);
    assert_eq!((outcome.text(), costs), ("b", (0.0, 118.0)), "both were reserved");
}

#[tokio::test(start_paused = true)]
async fn an_abort_settles_both_reservations() {
    let harness = Harness::two_endpoints(priced(json!({})), vec![stream().stall()], vec![stream().stall()]);
    harness.call_aborted_after(250).await;
    assert_eq!(spent_and_reserved(&harness), (18.0, 0.0));
}
