//! A short wait for a rate limit comes before another model.

use super::support::{NOW, Scenario, failure, grid, ms, not_retryable, retry_after, settings};
use crate::policy::classify::NextRoute;
use crate::policy::plan::{Failure, Reason, RouteUnavailable, Settings, Stop};

fn patient(max_retries: u32) -> Settings {
    Settings { max_wait_before_fallback: ms(5_000), ..settings(max_retries) }
}

fn limited(wait: u64) -> Failure {
    Failure { rate_limited: true, ..retry_after(wait) }
}

fn limited_without_wait() -> Failure {
    Failure { rate_limited: true, ..failure() }
}

#[test]
fn a_short_wait_comes_before_another_model_and_is_made_once() {
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    assert_eq!(scenario.fail(limited(2_000)).attempt(), (0, 2_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(limited(2_000)).attempt(), (1, 0, Reason::Fallback));
    // The last model waits as long as `max_retry_after` allows.
    assert_eq!(scenario.fail(limited(30_000)).attempt(), (1, 30_000, Reason::Retry(1)));
}

#[test]
fn without_a_wait_of_the_server_the_first_backoff_counts() {
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    assert_eq!(scenario.fail(limited_without_wait()).attempt(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(limited_without_wait()).attempt(), (1, 0, Reason::Fallback));
    let long = Settings { max_wait_before_fallback: ms(999), ..settings(3) };
    let mut scenario = Scenario::new(long, grid(2, 1), None);
    assert_eq!(scenario.fail(limited_without_wait()).attempt(), (1, 0, Reason::Fallback));
}

#[test]
fn a_longer_wait_does_not() {
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    assert_eq!(scenario.fail(limited(5_000)).attempt(), (0, 5_000, Reason::Retry(1)));
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    assert_eq!(scenario.fail(limited(5_001)).attempt(), (1, 0, Reason::Fallback));
}

#[test]
fn other_endpoints_of_the_model_come_before_the_wait() {
    let mut scenario = Scenario::new(patient(3), grid(2, 2), None);
    assert_eq!(scenario.fail(limited(2_000)).attempt(), (1, 0, Reason::Fallback));
    assert_eq!(scenario.fail(limited(1_000)).attempt(), (1, 1_000, Reason::Retry(1)), "the shortest wait");
    assert_eq!(scenario.fail(limited(1_000)).attempt(), (2, 0, Reason::Fallback));
}

#[test]
fn each_model_has_its_wait() {
    let mut scenario = Scenario::new(patient(3), grid(3, 1), None);
    let routes: Vec<usize> = (0..4).map(|_| scenario.fail(limited(1_000)).attempt().0).collect();
    assert_eq!(routes, [0, 1, 1, 2]);
}

#[test]
fn there_is_no_wait_without_retries_budget_or_time() {
    let mut scenario = Scenario::new(patient(0), grid(2, 1), None);
    assert_eq!(scenario.fail(limited(1_000)).attempt(), (1, 0, Reason::Fallback));
    let mut scenario = Scenario::new(patient(3), grid(2, 1), Some(1_000));
    assert_eq!(scenario.fail(limited(1_000)).attempt(), (1, 0, Reason::Fallback));
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    scenario.fail(limited(1_000));
    assert_eq!(scenario.budget_exhausted().attempt(), (1, 0, Reason::Fallback));
}

#[test]
fn a_row_that_says_fallback_is_not_a_wait() {
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    let fallback = Failure { retry_after: Some(ms(1_000)), ..not_retryable(NextRoute::Any) };
    assert_eq!(scenario.fail(fallback).attempt(), (1, 0, Reason::Fallback));
}

#[test]
fn a_call_that_begins_within_a_short_pause_waits_for_it() {
    let paused = |until: u64, settings: Settings| {
        let mut routes = grid(2, 1);
        routes[0].1 = Some(NOW + until);
        Scenario::new(settings, routes, None)
    };
    let scenario = paused(2_000, patient(3));
    assert_eq!(scenario.attempt(), (0, 2_000, Reason::First));
    assert!(!scenario.plan.must_queue(), "it is free to leave");
    let mut scenario = paused(2_000, patient(3));
    let extended = RouteUnavailable::RetryAfter(ms(30_000));
    assert_eq!(scenario.unavailable(extended).attempt(), (1, 0, Reason::First), "the pause was extended");
    let mut scenario = paused(2_000, patient(3));
    assert_eq!(scenario.fail(limited(1_000)).attempt(), (1, 0, Reason::Fallback), "it has waited");
    assert_eq!(paused(5_001, patient(3)).attempt(), (1, 0, Reason::First));
    assert_eq!(paused(2_000, settings(3)).attempt(), (1, 0, Reason::First), "it is turned off");
    // The limits of this client are no pause of the provider.
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    assert_eq!(scenario.unavailable(RouteUnavailable::Wait(ms(1_000))).attempt().0, 1);
    let mut scenario = Scenario::new(patient(3), grid(2, 1), None);
    assert_eq!(
        scenario.unavailable(RouteUnavailable::RetryAfter(ms(1_000))).attempt(),
        (0, 1_000, Reason::First)
    );
    assert_eq!(scenario.unavailable(RouteUnavailable::Rejected).attempt().0, 1);
}

#[test]
fn the_last_model_is_not_left() {
    let mut scenario = Scenario::new(patient(1), grid(1, 1), None);
    assert_eq!(scenario.fail(limited(10_000)).attempt(), (0, 10_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(limited(10_000)).stop(), Stop::RetriesExhausted);
}
