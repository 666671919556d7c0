//! What follows from the cause of a failure, from the retry budget and from a near deadline.

use super::*;

fn with(waits: Waits) -> Failure {
    Failure { waits: Some(waits), ..failure() }
}

fn limited() -> Failure {
    Failure { limited: true, ..failure() }
}

/// One endpoint, and a model for each of these contexts.
fn contexts(contexts: &[Option<u64>]) -> Vec<(Route, Option<u64>)> {
    let mut routes = grid(contexts.len(), 1);
    for (route, context) in routes.iter_mut().zip(contexts) {
        route.0.context = *context;
    }
    routes
}

#[test]
fn a_failure_may_have_waits_of_its_own() {
    let schedule = || with(Waits::Schedule([ms(5_000), ms(10_000)].into()));
    let mut walk = Walk::new(settings(4), grid(1, 1), None);
    assert_eq!(walk.fails(schedule()).tries(), (0, 5_000, Reason::Retry(1)));
    assert_eq!(walk.fails(schedule()).tries(), (0, 10_000, Reason::Retry(2)));
    assert_eq!(walk.fails(schedule()).tries(), (0, 10_000, Reason::Retry(3)), "the last one repeats");
    assert_eq!(walk.fails(failure()).tries(), (0, 8_000, Reason::Retry(4)), "another failure, the backoff");
}

#[test]
fn a_failures_own_wait_is_never_sooner_than_the_server_asked() {
    let waits = Some(Waits::Schedule([ms(5_000)].into()));
    let mut walk = Walk::new(settings(2), grid(1, 1), None);
    assert_eq!(walk.fails(Failure { waits: waits.clone(), ..asks(7_000) }).tries().1, 7_000);
    assert_eq!(walk.fails(Failure { waits, ..asks(3_000) }).tries().1, 5_000);
}

#[test]
fn a_key_without_money_is_not_used_at_any_endpoint_or_model_again() {
    let mut routes = grid(2, 3);
    for (route, _) in &mut routes {
        route.key = [0, 0, 2][route.endpoint];
    }
    let mut walk = Walk::new(settings(3), routes.clone(), None);
    assert_eq!(walk.fails(refusal(NextRoute::OtherKey)).tries(), (2, 0, Reason::Fallback));
    for _ in 0..3 {
        assert_eq!(walk.fails(failure()).tries().0, 2);
    }
    assert_eq!(walk.fails(failure()).tries(), (5, 0, Reason::Fallback));
    let mut walk = Walk::new(settings(3), routes[..2].to_vec(), None);
    assert_eq!(walk.fails(refusal(NextRoute::OtherKey)).stop(), Stop::NotRetryable);
}

#[test]
fn a_prompt_that_is_too_long_goes_to_a_model_whose_context_may_be_larger() {
    let routes = contexts(&[Some(8_000), Some(4_000), Some(8_000), Some(32_000), None]);
    let mut walk = Walk::new(settings(3), routes, None);
    assert_eq!(walk.fails(refusal(NextRoute::LargerContext)).tries(), (3, 0, Reason::Fallback));
    assert_eq!(walk.fails(refusal(NextRoute::LargerContext)).tries(), (4, 0, Reason::Fallback));
    assert_eq!(walk.fails(refusal(NextRoute::LargerContext)).stop(), Stop::NotRetryable);
    let mut walk = Walk::new(settings(3), contexts(&[None, Some(4_000)]), None);
    assert_eq!(walk.fails(refusal(NextRoute::LargerContext)).tries().0, 1, "who knows");
    let mut walk = Walk::new(settings(3), grid(1, 2), None);
    assert_eq!(walk.fails(refusal(NextRoute::LargerContext)).stop(), Stop::NotRetryable, "the same model");
}

#[test]
fn a_rate_limit_is_not_waited_for_while_a_model_was_not_tried_yet() {
    let mut walk = Walk::new(settings(2), grid(2, 1), None);
    assert_eq!(walk.fails(limited()).tries(), (1, 0, Reason::Fallback));
    assert_eq!(walk.fails(limited()).tries(), (1, 1_000, Reason::Retry(1)), "nothing else is left");
    let mut walk = Walk::new(settings(2), grid(2, 2), None);
    assert_eq!(walk.fails(limited()).tries().0, 1);
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)), "the one that is not limited");
}

#[test]
fn beyond_the_budget_only_first_tries_are_made() {
    let mut walk = Walk::new(settings(3), grid(2, 1), None);
    walk.fails(failure());
    walk.step = walk.plan.unaffordable(walk.now, None, &mut walk.rng);
    assert_eq!(walk.tries(), (1, 0, Reason::Fallback));
    assert!(walk.plan.is_last());
    assert_eq!(walk.fails(failure()).stop(), Stop::NoBudget);
    let mut walk = Walk::new(settings(3), grid(1, 1), None);
    walk.fails(failure());
    assert_eq!(walk.plan.unaffordable(walk.now, None, &mut walk.rng), Step::Stop(Stop::NoBudget));
}

#[test]
fn a_retry_that_the_deadline_leaves_no_time_is_not_made() {
    let settings = Settings { min_attempt: ms(250), ..settings(3) };
    let mut walk = Walk::new(settings.clone(), grid(1, 1), Some(1_250));
    assert_eq!(walk.fails(failure()).tries().1, 1_000);
    let mut walk = Walk::new(settings.clone(), grid(1, 1), Some(1_249));
    assert_eq!(walk.fails(failure()).stop(), Stop::Deadline);
    let mut walk = Walk::new(settings, grid(1, 1), Some(5_200));
    assert_eq!(walk.fails(asks(5_000)).stop(), Stop::WaitTooLong(ms(5_000)));
}

#[test]
fn the_routes_that_are_left_are_counted() {
    let mut walk = Walk::new(settings(1), grid(2, 2), None);
    assert_eq!(walk.plan.others(), 3);
    walk.fails(silence());
    assert_eq!(walk.plan.others(), 2, "a silent one is not gone back to");
    walk.fails(refusal(NextRoute::Allowed));
    assert_eq!(walk.plan.others(), 1);
}
