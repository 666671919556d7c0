//! The money of calls. A token costs a millionth of a dollar here, and the prompt `hi` is 9 at most.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::provider::{Reply, answer, no_connection, refusal, status, stream, unavailable};
use super::support::{Ask, Ended, Scene};
use crate::error::Kind;

fn prices() -> Value {
    json!({
        "m": { "input": 1, "output": 1 },
        "dear": { "input": 10, "output": 10 },
        "cheap": { "input": 0.1, "output": 0.1 },
    })
}

/// A client with a cap of so many tokens.
fn capped(tokens: f64) -> Value {
    json!({ "model": "m", "maxRetries": 0, "cost": { "hardCapUsd": tokens / 1e6, "prices": prices() } })
}

fn uncapped() -> Value {
    json!({ "model": "m", "cost": { "prices": prices() } })
}

fn asking(max_tokens: u64) -> Ask {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": max_tokens });
    Ask { request, ..Ask::default() }
}

fn used(reply: Reply, prompt: u64, completion: u64) -> Reply {
    let usage = json!({ "prompt_tokens": prompt, "completion_tokens": completion });
    reply.finish().event(&json!({ "choices": [], "usage": usage })).done()
}

/// What the window has spent and reserved, in tokens.
fn books(scene: &Scene) -> (f64, f64) {
    let report = scene.client.cost();
    let tokens = |name: &str| (report[name].as_f64().unwrap() * 1e6 * 1e3).round() / 1e3;
    (tokens("spentUsd"), tokens("reservedUsd"))
}

fn result(ended: &Ended) -> Value {
    serde_json::from_str(&ended.answer().result()).unwrap()
}

fn tokens_of(ended: &Ended) -> f64 {
    (result(ended)["costUsd"].as_f64().unwrap() * 1e6).round()
}

#[tokio::test(start_paused = true)]
async fn a_call_costs_what_its_usage_says() {
    let scene = Scene::new(uncapped(), vec![used(stream().say("a"), 100, 20)]);
    let ended = scene.call().await;
    assert_eq!((tokens_of(&ended), books(&scene)), (120.0, (120.0, 0.0)));
    let completion: Value = serde_json::from_str(&ended.answer().completion()).unwrap();
    assert_eq!(completion["about"]["costUsd"], result(&ended)["costUsd"]);
    assert_eq!(scene.client.cost()["byModel"]["m"]["spentUsd"], result(&ended)["costUsd"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_option_the_catalogues_prices_hold_and_nothing_is_refused() {
    let script = vec![used(stream().say("a"), 1_000_000, 0), used(stream().say("a"), 1, 1)];
    let scene = Scene::new(json!({}), script);
    assert_eq!(result(&scene.call().await)["costUsd"], 8.0);
    let strange = Ask { request: json!({ "model": "strange", "messages": [{}] }), ..Ask::default() };
    assert_eq!(result(&scene.ask(strange).await)["costUsd"], Value::Null);
    assert_eq!(scene.client.cost()["spentUsd"], 8.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_usage_costs_what_was_sent_and_received_reckoned_high() {
    let scene = Scene::new(uncapped(), vec![answer(&["hello", " you"])]);
    assert_eq!(tokens_of(&scene.call().await), 9.0 + 3.0 + 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_costs_what_was_sent_unless_nothing_was_or_it_was_refused() {
    for (failed, cost) in [
        (unavailable(), 9.0),
        (stream().never_answers(), 9.0),
        (status(408), 9.0),
        (stream().event(&json!({ "error": { "message": "overloaded" } })), 9.0),
        (no_connection(), 0.0),
        (refusal(429, "rate_limit", "no"), 0.0),
    ] {
        let mut options = uncapped();
        options["fallbackModels"] = json!(["cheap"]);
        options["maxRetries"] = json!(0);
        options["firstTokenTimeoutMs"] = json!(10);
        let scene = Scene::new(options, vec![failed, used(stream().say("a"), 10, 10)]);
        let ended = scene.call().await;
        assert_eq!((tokens_of(&ended), books(&scene)), (cost + 2.0, (cost + 2.0, 0.0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_fit_is_refused_before_anything_is_sent() {
    let scene = Scene::new(capped(100.0), vec![]);
    let ended = scene.ask(asking(92)).await;
    let error = ended.error();
    assert_eq!((error.kind, error.attempts.len()), (Kind::CostCap, 0));
    let cap = error.cost_cap.as_ref().unwrap();
    assert_eq!((cap.cap_usd, cap.needed_usd, cap.window), (0.0001, 0.000_101, "day"));
    assert_eq!(books(&scene), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_fit_neither_waits_for_a_place_nor_takes_one() {
    let mut options = capped(150.0);
    options["rateLimit"] = json!({ "capacity": 2, "refillRate": 0.001 });
    let scene = Scene::new(options, vec![used(stream().say("a"), 1, 1), used(stream().say("b"), 1, 1)]);
    scene.ask(asking(1)).await.answer();
    assert_eq!(scene.ask(asking(1_000)).await.error().kind, Kind::CostCap);
    assert_eq!(scene.ask(asking(1)).await.text(), "b");
    let refused = scene.ask(asking(1_000)).await;
    assert_eq!((refused.error().kind, refused.at), (Kind::CostCap, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_call_under_way_has_reserved_is_nobody_elses() {
    let slow = used(stream().say("a").wait(100), 1, 1);
    let scene = Scene::new(capped(150.0), vec![slow, used(stream().say("b"), 1, 1)]);
    let later = Ask { after: 50, ..asking(91) };
    let (first, second) = futures::join!(scene.ask(asking(91)), scene.ask(later));
    assert_eq!((first.text(), second.error().kind), ("a", Kind::CostCap));
    let cap = second.error().cost_cap.as_ref().unwrap();
    assert_eq!((cap.reserved_usd, cap.spent_usd), (0.0001, 0.0));
    assert_eq!(books(&scene), (2.0, 0.0));
    assert_eq!(scene.ask(asking(91)).await.text(), "b");
}

#[tokio::test(start_paused = true)]
async fn without_max_tokens_a_stream_runs_against_what_is_left_and_is_cut_there() {
    let long = (0..20).fold(stream(), |reply, _| reply.say("abcd").wait(10)).finish().done();
    let scene = Scene::new(capped(30.0), vec![long]);
    let ended = scene.call().await;
    let error = ended.error();
    assert_eq!(error.kind, Kind::CostCap, "{error:?}");
    // 9 for the prompt and 2 for each piece: the eleventh reaches the cap.
    assert_eq!(error.partial.as_deref(), Some("abcd".repeat(11).as_str()));
    assert_eq!(ended.deltas().len(), 11);
    assert_eq!(scene.requests()[0].closed_at(), Some(100), "the socket is closed");
    assert_eq!(error.attempts[0].outcome, "COST_CAP");
    assert_eq!(books(&scene), (30.0, 0.0));
    assert_eq!(scene.call().await.error().kind, Kind::CostCap);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_runs_against_what_is_left_gets_what_others_give_back() {
    let long = (0..20).fold(stream(), |reply, _| reply.say("abcd").wait(10)).finish().done();
    let brief = used(stream().say("b").wait(20), 1, 1);
    let scene = Scene::new(capped(100.0), vec![brief, long]);
    let (_, long) = futures::join!(scene.ask(asking(51)), scene.ask(Ask { after: 5, ..Ask::default() }));
    assert_eq!(long.text().len(), 80, "49 need 40 of the other's 60");
    assert_eq!(books(&scene).1, 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_within_max_tokens_is_never_cut() {
    // Reckoned high it is far more than 50 tokens, but the provider has said that it is 50.
    let words = "internationalization ".repeat(10);
    let scene = Scene::new(capped(59.0), vec![used(stream().say(&words), 9, 50)]);
    assert_eq!(scene.ask(asking(50)).await.text(), words);
    assert_eq!(books(&scene), (59.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_keep_to_max_tokens_is_cut() {
    let scene = Scene::new(capped(59.0), vec![stream().say(&"word ".repeat(100)).stall()]);
    let ended = scene.ask(asking(50)).await;
    assert_eq!((ended.error().kind, books(&scene)), (Kind::CostCap, (59.0, 0.0)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_dies_gives_back_what_it_has_not_used() {
    let reply = || stream().say("abcd").stall();
    let scene = Scene::new(capped(1_000.0), vec![reply(), reply(), reply()]);
    scene.call_aborted_after(50).await;
    assert_eq!(books(&scene), (11.0, 0.0), "an abort");
    scene.call_with(json!({ "totalTimeoutMs": 50 })).await.error();
    assert_eq!(books(&scene), (22.0, 0.0), "a deadline");
    let mut call = Box::pin(scene.ask(asking(500)));
    for _ in 0..20 {
        assert!((&mut call).now_or_never().is_none());
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(books(&scene), (22.0, 509.0));
    drop(call);
    assert_eq!(books(&scene), (33.0, 0.0), "whoever ran it is gone");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_dies_before_its_request_went_out_costs_nothing() {
    let scene = Scene::new(capped(1_000.0), vec![stream().never_connects()]);
    scene.call_aborted_after(50).await;
    assert_eq!(books(&scene), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_reserves_anew_and_a_cap_keeps_what_was_received() {
    let mut options = capped(2_000.0);
    options["recovery"] = json!({ "mode": "continue" });
    options["maxRetries"] = json!(3);
    let broken = || stream().say("one two three four").breaks();
    let scene = Scene::new(options.clone(), vec![broken(), used(stream().say(" five"), 100, 5)]);
    assert_eq!(scene.ask(asking(500)).await.text(), "one two three four five");
    let (spent, reserved) = books(&scene);
    assert!(spent > 105.0 + 9.0 && spent < 140.0 && reserved == 0.0, "{spent}");
    options["cost"]["hardCapUsd"] = json!(60e-6);
    let scene = Scene::new(options, vec![broken()]);
    let ended = scene.ask(asking(50)).await;
    assert_eq!(ended.error().kind, Kind::CostCap);
    assert_eq!(ended.error().partial.as_deref(), Some("one two three four"));
    assert!(ended.error().cause.is_some());
}

#[tokio::test(start_paused = true)]
async fn past_the_soft_limit_the_cheapest_model_goes_first() {
    let mut options = uncapped();
    options["model"] = json!("dear");
    options["fallbackModels"] = json!(["m", "cheap"]);
    options["cost"]["softLimitUsd"] = json!(100e-6);
    let script = (0..4).map(|_| used(stream().say("a"), 5, 5)).collect();
    let scene = Scene::new(options, script);
    let first = scene.call().await;
    assert_eq!(first.events("soft-limit").len(), 1, "ten tokens at ten millionths");
    let told = &first.events("soft-limit")[0];
    assert_eq!((&told["window"], &told["softLimitUsd"]), (&json!("day"), &json!(0.0001)));
    assert_eq!(told["spentUsd"], json!(0.0001));
    for _ in 0..2 {
        let ended = scene.call().await;
        assert_eq!(ended.events("soft-limit").len(), 0, "once a window");
        assert_eq!(ended.answer().model, "cheap");
        assert_eq!(ended.events("attempt")[0]["model"], "cheap");
    }
    let models: Vec<_> = scene.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(models, ["dear", "cheap", "cheap"]);
}

#[tokio::test(start_paused = true)]
async fn the_window_ends_at_its_utc_boundary() {
    let mut options = capped(10.0);
    options["cost"]["window"] = json!("minute");
    let scene = Scene::new(options, vec![used(stream().say("a"), 9, 1), used(stream().say("b"), 9, 1)]);
    scene.ask(asking(1)).await.answer();
    assert_eq!(scene.ask(asking(1)).await.error().kind, Kind::CostCap);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.ask(asking(1)).await.text(), "b");
    assert_eq!(scene.client.cost()["since"].as_u64().unwrap() % 60_000, 0);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_cap() {
    let mut options = uncapped();
    options["cost"]["tenantCapUsd"] = json!(10e-6);
    let scene = Scene::new(options, vec![used(stream().say("a"), 9, 1); 3]);
    let of = |key: &str| Ask { options: json!({ "tenant": key }), ..asking(1) };
    scene.ask(of("ann")).await.answer();
    assert_eq!(scene.ask(of("ann")).await.error().kind, Kind::CostCap);
    scene.ask(of("bob")).await.answer();
    // Whoever names no key has no cap of a key; nor is there a bound to reserve.
    scene.call().await.answer();
    let report = scene.client.cost();
    assert_eq!(report["byTenant"]["ann"], report["byTenant"]["bob"]);
    assert_eq!(books(&scene), (30.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_model_without_a_price_is_refused_where_there_is_a_cap() {
    let scene = Scene::new(capped(10.0), vec![]);
    let strange = Ask { request: json!({ "model": "strange", "messages": [{}] }), ..Ask::default() };
    let error = scene.ask(strange).await.error().clone();
    assert_eq!(error.kind, Kind::InvalidArgument);
    assert!(error.message.starts_with("request.model: got 'strange', which has no price"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_count_of_the_prompt_is_what_is_reserved() {
    let slow = used(stream().say("a").wait(10), 1, 1);
    let scene = Scene::new(capped(1_000.0), vec![slow]);
    let ask = Ask { options: json!({ "$promptTokens": { "m": 700 } }), ..asking(100) };
    let look = async {
        sleep(Duration::from_millis(5)).await;
        books(&scene)
    };
    let (_, during) = futures::join!(scene.ask(ask), look);
    assert_eq!(during, (0.0, 700.0 + 8.0 + 100.0));
    let ask = Ask { options: json!({ "$promptTokens": { "m": 900 } }), ..asking(100) };
    assert_eq!(scene.ask(ask).await.error().kind, Kind::CostCap);
}

#[tokio::test(start_paused = true)]
async fn a_bound_that_was_too_low_is_corrected_by_the_usage() {
    let slow = used(stream().say("a").wait(10), 10, 1);
    let scene = Scene::new(capped(1_000.0), vec![used(stream().say("a"), 10, 1), slow]);
    scene.ask(asking(100)).await.answer();
    let look = async {
        sleep(Duration::from_millis(5)).await;
        books(&scene).1
    };
    let (_, reserved) = futures::join!(scene.ask(asking(100)), look);
    assert_eq!(reserved, 110.0, "9 by the rule");
}

#[tokio::test(start_paused = true)]
async fn all_choices_are_reserved() {
    let scene = Scene::new(capped(100.0), vec![]);
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 31, "n": 3 });
    let ended = scene.ask(Ask { request, ..Ask::default() }).await;
    assert_eq!(ended.error().cost_cap.as_ref().unwrap().needed_usd, 102e-6);
}

/// Calls of every fate, at random, all at once: at no moment has the window spent and reserved more
/// than its cap, and in the end nothing is reserved.
#[tokio::test(start_paused = true)]
async fn the_ledger_never_passes_the_cap_however_many_calls_run_at_once() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let cap = rng.random_range(50..2_000) as f64;
        let mut options = capped(cap);
        options["maxRetries"] = json!(2);
        options["recovery"] = json!({ "mode": "continue" });
        options["retry"] = json!({ "baseDelayMs": 5 });
        let replies = (0..400).map(|_| {
            let deltas = rng.random_range(0..30);
            let begun = (0..deltas).fold(stream(), |reply, _| {
                let reply = if rng.random_bool(0.3) { reply.wait(rng.random_range(1..20)) } else { reply };
                reply.say(&"word ".repeat(rng.random_range(1..3)))
            });
            match rng.random_range(0..6) {
                0 => unavailable(),
                1 => no_connection(),
                2 => begun.breaks(),
                // As many as are allowed below, and no more.
                3 => used(begun, rng.random_range(1..9), rng.random_range(0..20)),
                4 => begun.wait(1_000),
                _ => begun.finish().done(),
            }
        });
        let scene = Arc::new(Scene::new(options, replies.collect()));
        let calls = (0..60).map(|_| {
            let cancel = CancellationToken::new();
            let given_up = rng.random_bool(0.3).then(|| rng.random_range(0..100));
            let ask = if rng.random_bool(0.5) { asking(rng.random_range(20..60)) } else { Ask::default() };
            let ask = Ask { after: rng.random_range(0..200), cancel: cancel.clone(), ..ask };
            let scene = &scene;
            async move {
                let abort = async {
                    match given_up {
                        Some(ms) => {
                            sleep(Duration::from_millis(ms)).await;
                            cancel.cancel();
                        }
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = scene.ask(ask) => {}
                    () = abort => {}
                }
            }
        });
        let calls = futures::future::join_all(calls);
        let watch = async {
            loop {
                let (spent, reserved) = books(&scene);
                assert!(spent + reserved <= cap + 1e-3, "{seed}: {spent} + {reserved} of {cap}");
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = calls => {}
            () = watch => {}
        }
        let (spent, reserved) = books(&scene);
        assert!(
            spent > 0.0 && spent <= cap + 1e-3 && reserved == 0.0,
            "{seed}: {spent}, {reserved} of {cap}"
        );
    }
}

/// The same from many threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn reservations_from_many_threads_do_not_pass_the_cap() {
    use crate::policy::ledger::{Ledger, Limits, Window};
    use crate::store::Slot;

    let limits = Limits { window: Window::Total, hard_cap: Some(1_000), tenant_cap: None, soft_limit: None };
    let ledger: Slot<Ledger> = Slot::default();
    let tasks = (0..64).map(|seed| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            for _ in 0..200 {
                let amount = rng.random_range(1..100);
                let held = ledger.update(|ledger| ledger.reserve(&limits, None, "m", (amount, amount), 0));
                tokio::task::yield_now().await;
                let Ok(held) = held else { continue };
                let cost = if rng.random_bool(0.02) { amount } else { 0 };
                ledger.update(|ledger| {
                    let total = ledger.period(Window::Total, 0).total;
                    assert!(total.spent + total.reserved <= 1_000);
                    ledger.settle(held, cost);
                });
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    ledger.update(|ledger| assert_eq!(ledger.period(Window::Total, 0).total.reserved, 0));
}
