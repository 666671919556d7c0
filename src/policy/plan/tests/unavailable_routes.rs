//! Routes that are paused or have no rate limit capacity.

use super::support::{NOW, Scenario, failure, grid, ms, settings};
use crate::policy::plan::{Reason, RouteUnavailable, Stop};

#[test]
fn a_paused_route_is_skipped_and_not_used_before_its_pause_ends() {
    let mut routes = grid(1, 2);
    routes[0].1 = Some(NOW + 2_500);
    let mut scenario = Scenario::new(settings(3), routes, None);
    assert_eq!(scenario.attempt(), (1, 0, Reason::First));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(failure()).attempt(), (0, 0, Reason::Fallback), "ready before a retry");
    assert_eq!((scenario.plan.must_queue(), scenario.now), (true, NOW + 2_500));
}

#[test]
fn if_every_route_is_paused_the_call_waits_for_the_shortest_pause() {
    let mut routes = grid(1, 2);
    (routes[0].1, routes[1].1) = (Some(NOW + 2_500), Some(NOW + 1_000));
    let mut scenario = Scenario::new(settings(0), routes.clone(), None);
    assert_eq!((scenario.attempt(), scenario.now), ((1, 0, Reason::First), NOW + 1_000));
    assert_eq!((scenario.fail(failure()).attempt(), scenario.now), ((0, 0, Reason::Fallback), NOW + 2_500));
    assert_eq!(Scenario::new(settings(3), routes.clone(), Some(1_000)).stop(), Stop::WaitTooLong(ms(1_000)));
    (routes[0].1, routes[1].1) = (Some(NOW + 70_000), Some(NOW + 60_001));
    assert_eq!(Scenario::new(settings(3), routes, None).stop(), Stop::WaitTooLong(ms(60_001)));
}

#[test]
fn a_route_without_capacity_is_skipped_and_if_none_has_capacity_the_call_queues_for_the_first() {
    let mut scenario = Scenario::new(settings(0), grid(1, 3), None);
    assert_eq!(scenario.unavailable(RouteUnavailable::Wait(ms(900))).attempt(), (1, 0, Reason::First));
    assert_eq!(scenario.unavailable(RouteUnavailable::Wait(ms(200))).attempt(), (2, 0, Reason::First));
    assert!(!scenario.plan.must_queue());
    assert_eq!(
        (scenario.unavailable(RouteUnavailable::Wait(ms(300))).attempt(), scenario.now),
        ((1, 0, Reason::First), NOW + 200)
    );
    assert!(scenario.plan.must_queue());
    assert_eq!((scenario.fail(failure()).attempt(), scenario.now), ((2, 0, Reason::Fallback), NOW + 300));
}

#[test]
fn a_rejected_call_goes_to_the_next_model_and_stops_after_the_last() {
    let mut scenario = Scenario::new(settings(3), grid(2, 1), None);
    assert_eq!(scenario.unavailable(RouteUnavailable::Rejected).attempt(), (1, 0, Reason::First));
    assert_eq!(scenario.unavailable(RouteUnavailable::Rejected).stop(), Stop::NoCapacity);
}

#[test]
fn a_skipped_model_is_resumed_with_its_retries() {
    let mut scenario = Scenario::new(settings(1), grid(2, 1), None);
    assert_eq!(scenario.unavailable(RouteUnavailable::Wait(ms(100))).attempt(), (1, 0, Reason::First));
    assert_eq!(scenario.unavailable(RouteUnavailable::Wait(ms(500))).attempt(), (0, 0, Reason::First));
    assert_eq!((scenario.now, scenario.fail(failure()).attempt()), (NOW + 100, (1, 0, Reason::Fallback)));
    let mut scenario = Scenario::new(settings(1), grid(2, 1), None);
    scenario.unavailable(RouteUnavailable::Wait(ms(100))).unavailable(RouteUnavailable::Wait(ms(9_000)));
    assert_eq!(
        scenario.fail(failure()).attempt(),
        (0, 1_000, Reason::Retry(1)),
        "ready before the other route has capacity"
    );
    assert_eq!((scenario.fail(failure()).attempt(), scenario.now), ((1, 0, Reason::Fallback), NOW + 9_000));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
}

#[test]
fn a_retry_that_queues_for_capacity_is_counted_once_and_waits_once() {
    let mut scenario = Scenario::new(settings(1), grid(1, 1), None);
    assert_eq!(scenario.fail(failure()).attempt(), (0, 1_000, Reason::Retry(1)));
    let paused = RouteUnavailable::RetryAfter(ms(5_000));
    assert_eq!(
        (scenario.unavailable(paused).attempt(), scenario.now),
        ((0, 0, Reason::Retry(1)), NOW + 6_000)
    );
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
    let mut scenario = Scenario::new(settings(1), grid(1, 1), None);
    scenario.fail(failure());
    assert_eq!(
        scenario.unavailable(RouteUnavailable::RetryAfter(ms(61_000))).stop(),
        Stop::WaitTooLong(ms(61_000))
    );
}

#[test]
fn a_resumed_model_keeps_its_retry_count() {
    let mut scenario = Scenario::new(settings(1), grid(2, 2), None);
    assert_eq!(scenario.fail(failure()).attempt(), (1, 0, Reason::Fallback));
    assert_eq!(
        scenario.unavailable(RouteUnavailable::Wait(ms(5_000))).attempt(),
        (0, 1_000, Reason::Retry(1))
    );
    assert_eq!(scenario.fail(failure()).attempt(), (2, 0, Reason::Fallback));
    assert_eq!(scenario.unavailable(RouteUnavailable::Wait(ms(9_000))).attempt(), (3, 0, Reason::Fallback));
    let resumed = scenario.unavailable(RouteUnavailable::Wait(ms(9_000)));
    assert_eq!((resumed.attempt(), resumed.now), ((1, 0, Reason::Fallback), NOW + 5_000));
    let next = scenario.fail(failure());
    assert_eq!((next.attempt(), next.now), ((2, 0, Reason::Fallback), NOW + 10_000), "no retry was left");
}

#[test]
fn a_model_resumed_twice_keeps_the_retry_count_of_both_times() {
    let mut scenario = Scenario::new(settings(1), grid(2, 2), None);
    scenario.unavailable(RouteUnavailable::Wait(ms(500))).unavailable(RouteUnavailable::Wait(ms(3_000)));
    assert_eq!(scenario.unavailable(RouteUnavailable::Wait(ms(1_500))).attempt(), (3, 0, Reason::First));
    assert_eq!(scenario.unavailable(RouteUnavailable::Rejected).attempt(), (0, 0, Reason::First), "once");
    assert_eq!(scenario.fail(failure()).attempt(), (0, 1_000, Reason::Retry(1)));
    assert_eq!((scenario.now, scenario.fail(failure()).attempt()), (NOW + 1_500, (2, 0, Reason::Fallback)));
    assert_eq!(
        scenario.unavailable(RouteUnavailable::Wait(ms(5_000))).attempt(),
        (1, 0, Reason::Fallback),
        "twice"
    );
    let next = scenario.fail(failure());
    assert_eq!((next.attempt(), next.now), ((2, 0, Reason::Fallback), NOW + 6_500), "no retry was left");
}
