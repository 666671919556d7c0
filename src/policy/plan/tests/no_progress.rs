//! Attempts that end at the same place: another route comes before a third time, and one route has its time.

use proptest::prelude::*;

use super::support::{Scenario, failure, grid, ms, settings, timed_out};
use crate::policy::interruption::{Interruption, timeout_after_stall};
use crate::policy::plan::{Failure, Reason, Step, Stop};

fn broken() -> Failure {
    Failure { interruption: Some(Interruption::Broken), ..failure() }
}

fn stalled(silence: u64, allowance: u64) -> Failure {
    let interruption = Interruption::Stalled { silence: ms(silence), allowance: ms(allowance) };
    Failure { interruption: Some(interruption), ..timed_out() }
}

#[test]
fn a_route_that_broke_twice_at_the_same_place_is_not_asked_a_third_time_while_another_is_left() {
    let mut scenario = Scenario::new(settings(3), grid(2, 1), None);
    assert_eq!(scenario.fail(broken()).attempt(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(broken()).attempt(), (1, 0, Reason::Fallback));
    // The last route.
    assert_eq!(scenario.fail(broken()).attempt().0, 1);
    assert_eq!(scenario.fail(broken()).attempt().0, 1);
    assert_eq!(scenario.fail(broken()).attempt().0, 1);
    assert_eq!(scenario.fail(broken()).stop(), Stop::RetriesExhausted);
}

#[test]
fn the_endpoints_of_one_model_take_turns_until_each_broke_twice() {
    let mut scenario = Scenario::new(settings(9), grid(2, 2), None);
    let mut routes = vec![scenario.attempt().0];
    while let Step::Try { route, .. } = scenario.fail(broken()).step {
        routes.push(route.id.0);
        if routes.len() == 5 {
            break;
        }
    }
    assert_eq!(routes, [0, 1, 0, 1, 2]);
}

#[test]
fn new_text_begins_the_count_again() {
    let mut scenario = Scenario::new(settings(9), grid(2, 1), None);
    for _ in 0..5 {
        scenario.plan.place_changed();
        assert_eq!(scenario.fail(broken()).attempt().0, 0);
    }
    assert_eq!(scenario.fail(broken()).attempt().0, 1);
}

#[test]
fn a_stall_goes_to_another_route_at_once() {
    let mut scenario = Scenario::new(settings(3), grid(2, 1), None);
    assert_eq!(scenario.plan.silence_left(), None);
    assert_eq!(scenario.fail(stalled(30_000, 0)).attempt(), (1, 0, Reason::Fallback));
    assert_eq!(scenario.plan.silence_left(), None, "the other route has its full time");
}

#[test]
fn the_only_route_may_stall_twice_within_an_answer() {
    let mut scenario = Scenario::new(settings(9), grid(1, 1), None);
    assert_eq!(scenario.fail(stalled(30_000, 0)).attempt().0, 0);
    assert_eq!(scenario.plan.silence_left(), Some(ms(0)));
    assert_eq!(scenario.fail(stalled(5_000, 0)).stop(), Stop::RetriesExhausted);
    // It added to the answer in the meantime.
    let mut scenario = Scenario::new(settings(9), grid(1, 1), None);
    assert_eq!(scenario.fail(stalled(30_000, 0)).attempt().0, 0);
    scenario.plan.place_changed();
    assert_eq!(
        (scenario.fail(stalled(30_000, 0)).attempt().0, scenario.plan.silence_left()),
        (0, Some(ms(0)))
    );
}

#[test]
fn before_the_answer_the_only_route_may_be_silent_for_its_timeout_in_all() {
    let mut scenario = Scenario::new(settings(9), grid(1, 1), None);
    // It closes the connection after 20 of 60 s.
    assert_eq!(scenario.fail(stalled(20_000, 60_000)).attempt().0, 0);
    assert_eq!(scenario.plan.silence_left(), Some(ms(40_000)));
    assert_eq!(scenario.fail(stalled(20_000, 60_000)).attempt().0, 0);
    assert_eq!(scenario.plan.silence_left(), Some(ms(20_000)));
    assert_eq!(scenario.fail(stalled(20_000, 60_000)).stop(), Stop::RetriesExhausted);
    // The first attempt uses all of it: one more, and a short one.
    let mut scenario = Scenario::new(settings(9), grid(1, 1), None);
    assert_eq!(scenario.fail(stalled(60_000, 60_000)).attempt().0, 0);
    assert_eq!(scenario.plan.silence_left(), Some(ms(0)));
    assert_eq!(scenario.fail(stalled(10_000, 60_000)).stop(), Stop::RetriesExhausted);
}

proptest! {
    /// With a route that accepts every request and then says nothing.
    #[test]
    fn silence_on_one_route_stays_within_the_timeout_and_one_short_attempt(
        timeout in 1..200_000u64,
        closes_after in prop::option::of(1..200_000u64),
        within_answer in any::<bool>(),
        max_retries in 0..20u32,
    ) {
        let mut scenario = Scenario::new(settings(max_retries), grid(1, 1), None);
        let timeout = ms(timeout);
        let allowance = if within_answer { ms(0) } else { timeout };
        let mut total = ms(0);
        while let Step::Try { .. } = scenario.step {
            let limit = scenario.plan.silence_left().map_or(timeout, |left| timeout_after_stall(timeout, left));
            let silence = closes_after.map_or(limit, |after| limit.min(ms(after)));
            total += silence;
            scenario.fail(stalled(silence.as_millis() as u64, allowance.as_millis() as u64));
        }
        prop_assert!(total <= timeout + timeout_after_stall(timeout, ms(0)), "{total:?}");
    }
}
