//! The cost of calls. Here a token costs a millionth of a dollar, and the bound of the prompt `hi` is 9 tokens.

use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::harness::{Harness, Outcome, TestCall};
use super::scripted_provider::{
    Reply, answer, connection_refused, error_response, status, stream, unavailable,
};
use crate::error::Kind;

fn prices() -> Value {
    json!({
        "m": { "input": 1, "output": 1 },
        "expensive": { "input": 10, "output": 10 },
        "cheap": { "input": 0.1, "output": 0.1 },
    })
}

/// Options with a cap of `tokens` tokens.
pub fn capped(tokens: f64) -> Value {
    json!({ "model": "m", "maxRetries": 0, "cost": { "hardCapUsd": tokens / 1e6, "prices": prices() } })
}

fn uncapped() -> Value {
    json!({ "model": "m", "cost": { "prices": prices() } })
}

pub fn with_max_tokens(max_tokens: u64) -> TestCall {
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": max_tokens });
    TestCall { request, ..TestCall::default() }
}

pub fn with_usage(reply: Reply, prompt: u64, completion: u64) -> Reply {
    let usage = json!({ "prompt_tokens": prompt, "completion_tokens": completion });
    reply.finish().event(&json!({ "choices": [], "usage": usage })).done()
}

/// The cost that the window has spent and reserved, in tokens.
pub fn spent_and_reserved(harness: &Harness) -> (f64, f64) {
    let report = harness.client.cost();
    let tokens = |name: &str| (report[name].as_f64().unwrap() * 1e6 * 1e3).round() / 1e3;
    (tokens("spentUsd"), tokens("reservedUsd"))
}

fn result(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.answer().result()).unwrap()
}

fn tokens_of(outcome: &Outcome) -> f64 {
    (result(outcome)["costUsd"].as_f64().unwrap() * 1e6).round()
}

#[tokio::test(start_paused = true)]
async fn a_call_costs_what_its_usage_reports() {
    let harness = Harness::new(uncapped(), vec![with_usage(stream().delta("a"), 100, 20)]);
    let outcome = harness.call().await;
    assert_eq!((tokens_of(&outcome), spent_and_reserved(&harness)), (120.0, (120.0, 0.0)));
    let completion: Value = serde_json::from_str(&outcome.answer().completion()).unwrap();
    assert_eq!(completion["about"]["costUsd"], result(&outcome)["costUsd"]);
    assert_eq!(harness.client.cost()["byModel"]["m"]["spentUsd"], result(&outcome)["costUsd"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_cap_calls_are_priced_from_the_catalogue_and_never_rejected() {
    let script = vec![with_usage(stream().delta("a"), 100_000, 0), with_usage(stream().delta("a"), 1, 1)];
    let harness = Harness::new(json!({}), script);
    assert_eq!(result(&harness.call().await)["costUsd"], 0.8);
    let unknown =
        TestCall { request: json!({ "model": "unknown", "messages": [{}] }), ..TestCall::default() };
    assert_eq!(result(&harness.run(unknown).await)["costUsd"], Value::Null);
    assert_eq!(harness.client.cost()["spentUsd"], 0.8);
}

#[tokio::test(start_paused = true)]
async fn the_cost_of_an_answer_without_usage_is_overestimated() {
    let harness = Harness::new(uncapped(), vec![answer(&["hello", " you"])]);
    assert_eq!(tokens_of(&harness.call().await), 9.0 + 3.0 + 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_costs_its_prompt_unless_it_was_not_sent_or_rejected() {
    for (failed, cost) in [
        (unavailable(), 9.0),
        (stream().never_answers(), 9.0),
        (status(408), 9.0),
        (stream().event(&json!({ "error": { "message": "overloaded" } })), 9.0),
        (connection_refused(), 0.0),
        (error_response(429, "rate_limit", "no"), 0.0),
    ] {
        let mut options = uncapped();
        options["fallbackModels"] = json!(["cheap"]);
        options["maxRetries"] = json!(0);
        options["firstTokenTimeoutMs"] = json!(10);
        let harness = Harness::new(options, vec![failed, with_usage(stream().delta("a"), 10, 10)]);
        let outcome = harness.call().await;
        assert_eq!((tokens_of(&outcome), spent_and_reserved(&harness)), (cost + 2.0, (cost + 2.0, 0.0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_over_the_cap_is_rejected_before_a_request_is_sent() {
    let harness = Harness::new(capped(100.0), vec![]);
    let outcome = harness.run(with_max_tokens(92)).await;
    let error = outcome.error();
    assert_eq!((error.kind, error.attempts.len()), (Kind::CostCap, 0));
    let cap = error.cost_cap.as_ref().unwrap();
    assert_eq!((cap.cap_usd, cap.needed_usd, cap.window), (0.0001, 0.000_101, "day"));
    assert_eq!(spent_and_reserved(&harness), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_call_over_the_cap_takes_no_rate_limit_token() {
    let mut options = capped(150.0);
    options["rateLimit"] = json!({ "capacity": 2, "refillRate": 0.001 });
    let harness = Harness::new(
        options,
        vec![with_usage(stream().delta("a"), 1, 1), with_usage(stream().delta("b"), 1, 1)],
    );
    harness.run(with_max_tokens(1)).await.answer();
    assert_eq!(harness.run(with_max_tokens(1_000)).await.error().kind, Kind::CostCap);
    assert_eq!(harness.run(with_max_tokens(1)).await.text(), "b");
    let rejected = harness.run(with_max_tokens(1_000)).await;
    assert_eq!((rejected.error().kind, rejected.at), (Kind::CostCap, 0));
}

#[tokio::test(start_paused = true)]
async fn the_reservation_of_a_call_in_flight_is_not_available_to_others() {
    let slow = with_usage(stream().delta("a").wait(100), 1, 1);
    let harness = Harness::new(capped(150.0), vec![slow, with_usage(stream().delta("b"), 1, 1)]);
    let later = TestCall { delay_ms: 50, ..with_max_tokens(91) };
    let (first, second) = futures::join!(harness.run(with_max_tokens(91)), harness.run(later));
    assert_eq!((first.text(), second.error().kind), ("a", Kind::CostCap));
    let cap = second.error().cost_cap.as_ref().unwrap();
    assert_eq!((cap.reserved_usd, cap.spent_usd), (0.0001, 0.0));
    assert_eq!(spent_and_reserved(&harness), (2.0, 0.0));
    assert_eq!(harness.run(with_max_tokens(91)).await.text(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_max_tokens_is_cut_off_at_the_cap() {
    let long = (0..20).fold(stream(), |reply, _| reply.delta("abcd").wait(10)).finish().done();
    let harness = Harness::new(capped(30.0), vec![long]);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!(error.kind, Kind::CostCap, "{error:?}");
    // 9 tokens for the prompt and 2 for each delta: the eleventh reaches the cap.
    assert_eq!(error.partial.as_deref(), Some("abcd".repeat(11).as_str()));
    assert_eq!(outcome.deltas().len(), 11);
    assert_eq!(harness.requests()[0].closed_at(), Some(100), "the socket is closed");
    assert_eq!(error.attempts[0].outcome, "COST_CAP");
    assert_eq!(spent_and_reserved(&harness), (30.0, 0.0));
    assert_eq!(harness.call().await.error().kind, Kind::CostCap);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_max_tokens_uses_what_other_calls_release() {
    let long = (0..20).fold(stream(), |reply, _| reply.delta("abcd").wait(10)).finish().done();
    let brief = with_usage(stream().delta("b").wait(20), 1, 1);
    let harness = Harness::new(capped(100.0), vec![brief, long]);
    let (_, long) = futures::join!(
        harness.run(with_max_tokens(51)),
        harness.run(TestCall { delay_ms: 5, ..TestCall::default() })
    );
    assert_eq!(
        long.text().len(),
        80,
        "it needs 49 tokens; the other call reserved 60 of 100 and released most of them"
    );
    assert_eq!(spent_and_reserved(&harness).1, 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_within_max_tokens_is_never_cut_off() {
    // The estimate is far above 50 tokens, but the usage of the provider is 50.
    let words = "internationalization ".repeat(10);
    let harness = Harness::new(capped(59.0), vec![with_usage(stream().delta(&words), 9, 50)]);
    assert_eq!(harness.run(with_max_tokens(50)).await.text(), words);
    assert_eq!(spent_and_reserved(&harness), (59.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_past_max_tokens_is_cut_off_at_the_cap() {
    let harness = Harness::new(capped(59.0), vec![stream().delta(&"word ".repeat(100)).stall()]);
    let outcome = harness.run(with_max_tokens(50)).await;
    assert_eq!((outcome.error().kind, spent_and_reserved(&harness)), (Kind::CostCap, (59.0, 0.0)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_early_releases_the_rest_of_its_reservation() {
    let reply = || stream().delta("abcd").stall();
    let harness = Harness::new(capped(1_000.0), vec![reply(), reply(), reply()]);
    harness.call_aborted_after(50).await;
    assert_eq!(spent_and_reserved(&harness), (11.0, 0.0), "after an abort");
    harness.call_with(json!({ "totalTimeoutMs": 50 })).await.error();
    assert_eq!(spent_and_reserved(&harness), (22.0, 0.0), "after the deadline");
    let mut call = Box::pin(harness.run(with_max_tokens(500)));
    for _ in 0..20 {
        assert!((&mut call).now_or_never().is_none());
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(spent_and_reserved(&harness), (22.0, 509.0));
    drop(call);
    assert_eq!(spent_and_reserved(&harness), (33.0, 0.0), "after its future was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_call_aborted_before_its_request_is_sent_costs_nothing() {
    let harness = Harness::new(capped(1_000.0), vec![stream().never_connects()]);
    harness.call_aborted_after(50).await;
    assert_eq!(spent_and_reserved(&harness), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_reserves_again_and_the_cap_error_has_the_partial_answer() {
    let mut options = capped(2_000.0);
    options["recovery"] = json!({ "mode": "continue" });
    options["maxRetries"] = json!(3);
    let broken = || stream().delta("one two three four").reset();
    let harness = Harness::new(options.clone(), vec![broken(), with_usage(stream().delta(" five"), 100, 5)]);
    assert_eq!(harness.run(with_max_tokens(500)).await.text(), "one two three four five");
    let (spent, reserved) = spent_and_reserved(&harness);
    assert!(spent > 105.0 + 9.0 && spent < 140.0 && reserved == 0.0, "{spent}");
    options["cost"]["hardCapUsd"] = json!(60e-6);
    let harness = Harness::new(options, vec![broken()]);
    let outcome = harness.run(with_max_tokens(50)).await;
    assert_eq!(outcome.error().kind, Kind::CostCap);
    assert_eq!(outcome.error().partial.as_deref(), Some("one two three four"));
    assert!(outcome.error().cause.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_model_is_tried_first_past_the_soft_limit() {
    let mut options = uncapped();
    options["model"] = json!("expensive");
    options["fallbackModels"] = json!(["m", "cheap"]);
    options["cost"]["softLimitUsd"] = json!(100e-6);
    let script = (0..4).map(|_| with_usage(stream().delta("a"), 5, 5)).collect();
    let harness = Harness::new(options, script);
    let first = harness.call().await;
    assert_eq!(first.events("soft-limit").len(), 1, "ten tokens for ten millionths of a dollar each");
    let event = &first.events("soft-limit")[0];
    assert_eq!((&event["window"], &event["softLimitUsd"]), (&json!("day"), &json!(0.0001)));
    assert_eq!(event["spentUsd"], json!(0.0001));
    for _ in 0..2 {
        let outcome = harness.call().await;
        assert_eq!(outcome.events("soft-limit").len(), 0, "one event per window");
        assert_eq!(outcome.answer().model, "cheap");
        assert_eq!(outcome.events("attempt")[0]["model"], "cheap");
    }
    let models: Vec<_> = harness.requests().iter().map(|request| request.json()["model"].clone()).collect();
    assert_eq!(models, ["expensive", "cheap", "cheap"]);
}

#[tokio::test(start_paused = true)]
async fn the_window_ends_at_its_utc_boundary() {
    let mut options = capped(10.0);
    options["cost"]["window"] = json!("minute");
    let harness = Harness::new(
        options,
        vec![with_usage(stream().delta("a"), 9, 1), with_usage(stream().delta("b"), 9, 1)],
    );
    harness.run(with_max_tokens(1)).await.answer();
    assert_eq!(harness.run(with_max_tokens(1)).await.error().kind, Kind::CostCap);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(harness.run(with_max_tokens(1)).await.text(), "b");
    assert_eq!(harness.client.cost()["since"].as_u64().unwrap() % 60_000, 0);
}

#[tokio::test(start_paused = true)]
async fn each_tenant_has_a_cap() {
    let mut options = uncapped();
    options["cost"]["tenantCapUsd"] = json!(10e-6);
    let harness = Harness::new(options, vec![with_usage(stream().delta("a"), 9, 1); 3]);
    let from = |tenant: &str| TestCall { options: json!({ "tenant": tenant }), ..with_max_tokens(1) };
    harness.run(from("ann")).await.answer();
    assert_eq!(harness.run(from("ann")).await.error().kind, Kind::CostCap);
    harness.run(from("bob")).await.answer();
    // A call without a tenant has no cap, and reserves nothing.
    harness.call().await.answer();
    let report = harness.client.cost();
    assert_eq!(report["byTenant"]["ann"], report["byTenant"]["bob"]);
    assert_eq!(spent_and_reserved(&harness), (30.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_cap_rejects_models_without_a_price() {
    let harness = Harness::new(capped(10.0), vec![]);
    let unknown =
        TestCall { request: json!({ "model": "unknown", "messages": [{}] }), ..TestCall::default() };
    let error = harness.run(unknown).await.error().clone();
    assert_eq!(error.kind, Kind::InvalidArgument);
    assert!(error.message.starts_with("request.model: got 'unknown', which has no price"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_callers_token_count_of_the_prompt_is_reserved() {
    let slow = with_usage(stream().delta("a").wait(10), 1, 1);
    let harness = Harness::new(capped(1_000.0), vec![slow]);
    let counted =
        |tokens| TestCall { prompt_tokens: [("m".to_owned(), tokens)].into(), ..with_max_tokens(100) };
    let observe = async {
        sleep(Duration::from_millis(5)).await;
        spent_and_reserved(&harness)
    };
    let (_, during) = futures::join!(harness.run(counted(700)), observe);
    assert_eq!(during, (0.0, 700.0 + 8.0 + 100.0));
    assert_eq!(harness.run(counted(900)).await.error().kind, Kind::CostCap);
}

#[tokio::test(start_paused = true)]
async fn usage_corrects_a_bound_that_was_too_low() {
    let slow = with_usage(stream().delta("a").wait(10), 10, 1);
    let harness = Harness::new(capped(1_000.0), vec![with_usage(stream().delta("a"), 10, 1), slow]);
    harness.run(with_max_tokens(100)).await.answer();
    let observe = async {
        sleep(Duration::from_millis(5)).await;
        spent_and_reserved(&harness).1
    };
    let (_, reserved) = futures::join!(harness.run(with_max_tokens(100)), observe);
    assert_eq!(reserved, 110.0, "the estimated prompt is 9");
}

#[tokio::test(start_paused = true)]
async fn the_reservation_covers_all_choices() {
    let harness = Harness::new(capped(100.0), vec![]);
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 31, "n": 3 });
    let outcome = harness.run(TestCall { request, ..TestCall::default() }).await;
    assert_eq!(outcome.error().cost_cap.as_ref().unwrap().needed_usd, 102e-6);
}

/// One usage that nobody can have caused, in each of the ways in which providers get it wrong.
#[tokio::test(start_paused = true)]
async fn an_absurd_usage_does_not_exhaust_the_cap() {
    for (prompt, completion) in [
        (json!(u64::MAX), json!(1)),
        (json!(9), json!(u64::MAX)),
        (json!(1e300), json!(1e300)),
        (json!(-5), json!(3)),
        (json!(2_000_000), json!(3)),
    ] {
        let absurd = json!({ "prompt_tokens": prompt, "completion_tokens": completion });
        let replies = (0..2).map(|_| {
            let reply = stream().delta("hello").finish();
            reply.event(&json!({ "choices": [], "usage": absurd })).done()
        });
        let harness = Harness::new(capped(100.0), replies.collect());
        for call in 1..=2 {
            let outcome = harness.run(with_max_tokens(20)).await;
            // The bound of the prompt, and of the text that arrived.
            assert_eq!(spent_and_reserved(&harness), (12.0 * f64::from(call), 0.0), "{absurd}");
            assert_eq!(result(&outcome)["usage"], absurd, "the caller sees what was reported");
            let told = &outcome.events("implausible-usage");
            assert_eq!(told.len(), 1, "{absurd}");
            assert_eq!(told[0]["maxCompletionTokens"], 32_808);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_absurd_usage_does_not_exhaust_a_rate_limit_nor_predict_longer_answers() {
    for total in [json!(1e18), json!(-1e18)] {
        let absurd = json!({ "prompt_tokens": 9, "completion_tokens": total, "total_tokens": total });
        let replies = (0..3).map(|_| {
            stream().delta("hello").finish().event(&json!({ "choices": [], "usage": absurd })).done()
        });
        let options = json!({ "model": "m", "maxRetries": 0, "rateLimit": { "tokensPerMinute": 6000 } });
        let harness = Harness::new(options, replies.collect());
        for _ in 0..3 {
            let outcome = harness.run(with_max_tokens(20)).await;
            assert_eq!((outcome.text(), outcome.events("wait").len()), ("hello", 0), "{total}");
        }
        let without_limit = Harness::new(
            json!({ "model": "m", "maxRetries": 0, "rateLimit": { "tokensPerMinute": 6000 } }),
            (0..2)
                .map(|_| {
                    stream().delta("a").finish().event(&json!({ "choices": [], "usage": absurd })).done()
                })
                .collect(),
        );
        for _ in 0..2 {
            assert_eq!((without_limit.call().await.text(), total.is_number()), ("a", true));
        }
        let metrics = &serde_json::to_value(without_limit.client.metrics()).unwrap()["routes"][0];
        assert_eq!(metrics["tokensOut"], 0, "{metrics}");
    }
}
