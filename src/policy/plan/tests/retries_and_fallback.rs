//! Retries on the routes of one model, and the fallback to the next model.

use std::time::Duration;

use super::support::{NOW, Scenario, failure, grid, ms, not_retryable, retry_after, settings, timed_out};
use crate::policy::classify::NextRoute;
use crate::policy::plan::{Failure, Reason, Step, Stop};

#[test]
fn one_route_is_tried_once_and_retried_with_backoff() {
    let mut scenario = Scenario::new(settings(2), grid(1, 1), None);
    assert_eq!(scenario.attempt(), (0, 0, Reason::First));
    assert_eq!(scenario.fail(failure()).attempt(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(failure()).attempt(), (0, 2_000, Reason::Retry(2)));
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
}

#[test]
fn the_first_try_of_each_replica_is_immediate_and_retries_rotate() {
    let mut scenario = Scenario::new(settings(3), grid(1, 3), None);
    let mut routes = vec![scenario.attempt().0];
    for _ in 0..5 {
        routes.push(scenario.fail(failure()).attempt().0);
    }
    assert_eq!(routes, [0, 1, 2, 0, 1, 2]);
    assert_eq!(scenario.now - NOW, 7_000);
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
}

#[test]
fn the_next_model_gets_its_own_first_try_and_retries() {
    let mut scenario = Scenario::new(settings(1), grid(2, 1), None);
    assert_eq!(scenario.fail(failure()).attempt(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 0, Reason::Fallback));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 1_000, Reason::Retry(1)), "the backoff starts over");
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
}

#[test]
fn a_rejected_request_ends_the_call_and_a_rejecting_route_is_only_excluded() {
    let mut scenario = Scenario::new(settings(3), grid(2, 2), None);
    assert_eq!(scenario.fail(not_retryable(NextRoute::Never)).stop(), Stop::NotRetryable);
    let mut scenario = Scenario::new(settings(3), grid(1, 2), None);
    assert_eq!(scenario.fail(not_retryable(NextRoute::Any)).attempt().0, 1);
    assert_eq!(
        scenario.fail(failure()).attempt(),
        (1, 1_000, Reason::Retry(1)),
        "the rejecting route is excluded"
    );
    assert_eq!(scenario.fail(not_retryable(NextRoute::Any)).stop(), Stop::NotRetryable);
}

#[test]
fn a_rejected_key_excludes_every_model_of_its_endpoint() {
    let mut scenario = Scenario::new(settings(0), grid(2, 2), None);
    assert_eq!(scenario.fail(not_retryable(NextRoute::OtherEndpoint)).attempt().0, 1);
    assert_eq!(scenario.fail(failure()).attempt(), (3, 0, Reason::Fallback));
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
}

#[test]
fn no_attempt_starts_before_retry_after() {
    let mut scenario = Scenario::new(settings(3), grid(1, 1), None);
    assert_eq!(scenario.fail(retry_after(5_000)).attempt(), (0, 5_000, Reason::Retry(1)));
    assert!(matches!(scenario.step, Step::Try { server_requested: true, .. }));
    assert_eq!(
        scenario.fail(retry_after(100)).attempt(),
        (0, 2_000, Reason::Retry(2)),
        "the backoff is longer"
    );
    assert!(matches!(scenario.step, Step::Try { server_requested: false, .. }));
    let fractional = Failure { retry_after: Some(Duration::from_micros(9_000_001)), ..failure() };
    assert_eq!(scenario.fail(fractional).attempt().1, 9_001, "a fraction of a millisecond is rounded up");
}

#[test]
fn a_retry_after_past_the_maximum_or_the_deadline_is_not_waited_for() {
    let mut scenario = Scenario::new(settings(3), grid(1, 1), None);
    assert_eq!(scenario.fail(retry_after(60_001)).stop(), Stop::WaitTooLong(ms(60_001)));
    let mut scenario = Scenario::new(settings(3), grid(1, 1), Some(5_000));
    assert_eq!(scenario.fail(retry_after(5_000)).stop(), Stop::WaitTooLong(ms(5_000)));
    let mut scenario = Scenario::new(settings(3), grid(1, 2), Some(5_000));
    assert_eq!(scenario.fail(retry_after(5_000)).attempt(), (1, 0, Reason::Fallback));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 1_000, Reason::Retry(1)));
}

#[test]
fn a_backoff_that_reaches_the_deadline_stops_the_plan() {
    let mut scenario = Scenario::new(settings(3), grid(1, 1), Some(3_000));
    scenario.fail(failure());
    assert_eq!(
        scenario.fail(failure()).stop(),
        Stop::Deadline,
        "1 s has elapsed, and another 2 s end on the deadline"
    );
}

#[test]
fn a_retry_goes_to_the_route_that_is_ready_first() {
    let mut scenario = Scenario::new(settings(9), grid(1, 2), None);
    scenario.fail(retry_after(3_500));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 2_000, Reason::Retry(2)));
    assert_eq!(scenario.fail(failure()).attempt(), (0, 4_000, Reason::Retry(3)), "its wait is over by then");
}

#[test]
fn a_route_that_timed_out_is_retried_only_if_no_other_is_usable() {
    let mut scenario = Scenario::new(settings(2), grid(1, 2), None);
    scenario.fail(timed_out());
    assert_eq!(scenario.fail(failure()).attempt().0, 1);
    assert_eq!(scenario.fail(failure()).attempt().0, 1);
    let mut scenario = Scenario::new(settings(2), grid(1, 2), None);
    scenario.fail(timed_out());
    assert_eq!(scenario.fail(timed_out()).attempt(), (0, 1_000, Reason::Retry(1)), "both timed out");
    let mut scenario = Scenario::new(settings(2), grid(2, 1), None);
    assert_eq!(
        scenario.fail(timed_out()).attempt(),
        (1, 0, Reason::Fallback),
        "the next model is an alternative"
    );
    assert_eq!(scenario.fail(timed_out()).attempt(), (1, 1_000, Reason::Retry(1)));
    let mut scenario = Scenario::new(settings(2), grid(1, 2), None);
    scenario.circuit_open(9_000);
    assert_eq!(
        scenario.fail(timed_out()).attempt(),
        (1, 1_000, Reason::Retry(1)),
        "the circuit of the other route is open"
    );
}

#[test]
fn the_last_route_has_no_alternative() {
    let mut scenario = Scenario::new(settings(1), grid(1, 2), None);
    assert!(!scenario.plan.is_last_route());
    scenario.fail(timed_out());
    assert!(scenario.plan.is_last_route(), "the other route timed out");
    let mut scenario = Scenario::new(settings(1), grid(2, 1), None);
    scenario.fail(failure());
    assert!(!scenario.plan.is_last_route(), "a retry of the first model");
    scenario.fail(failure());
    assert!(scenario.plan.is_last_route());
    assert!(Scenario::new(settings(3), grid(1, 1), None).plan.is_last_route());
    let mut scenario = Scenario::new(settings(0), grid(1, 2), None);
    scenario.fail(failure());
    assert!(scenario.plan.is_last_route(), "the first route has no retry left");
}

#[test]
fn an_open_circuit_excludes_its_route_until_the_probe_is_due() {
    let mut scenario = Scenario::new(settings(1), grid(1, 2), None);
    assert_eq!(scenario.circuit_open(800).attempt(), (1, 0, Reason::First));
    scenario.now += 900;
    assert_eq!(
        scenario.fail(failure()).attempt(),
        (0, 0, Reason::Fallback),
        "its first try is still immediate"
    );
    let mut scenario = Scenario::new(settings(1), grid(1, 2), None);
    scenario.circuit_open(5_000);
    assert_eq!(scenario.circuit_open(3_000).stop(), Stop::CircuitOpen(ms(3_000)));
}

#[test]
fn a_retry_that_meets_an_open_circuit_is_not_counted_and_does_not_wait_twice() {
    let mut scenario = Scenario::new(settings(1), grid(1, 2), None);
    scenario.fail(failure()).fail(failure());
    assert_eq!(scenario.attempt(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.circuit_open(60_000).attempt(), (1, 0, Reason::Retry(1)));
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
}

#[test]
fn a_plan_without_routes_stops() {
    let scenario = Scenario::new(settings(3), Vec::new(), None);
    assert_eq!(scenario.stop(), Stop::NotRetryable);
    assert!(scenario.plan.is_last_route());
}
