//! How the cause of a failure, the retry budget and a near deadline change the next step.

use super::support::{Scenario, failure, grid, ms, not_retryable, retry_after, settings, timed_out};
use crate::policy::backoff::RetryDelays;
use crate::policy::classify::NextRoute;
use crate::policy::plan::{Failure, Reason, Route, Settings, Stop};

fn with_delays(delays: RetryDelays) -> Failure {
    Failure { retry_delays: Some(delays), ..failure() }
}

fn rate_limited() -> Failure {
    Failure { rate_limited: true, ..failure() }
}

/// One endpoint, and one model per context window.
fn models_with_contexts(contexts: &[Option<u64>]) -> Vec<(Route, Option<u64>)> {
    let mut routes = grid(contexts.len(), 1);
    for (route, context) in routes.iter_mut().zip(contexts) {
        route.0.context_tokens = *context;
    }
    routes
}

#[test]
fn a_failure_can_set_its_own_retry_delays() {
    let schedule = || with_delays(RetryDelays::Schedule([ms(5_000), ms(10_000)].into()));
    let mut scenario = Scenario::new(settings(4), grid(1, 1), None);
    assert_eq!(scenario.fail(schedule()).attempt(), (0, 5_000, Reason::Retry(1)));
    assert_eq!(scenario.fail(schedule()).attempt(), (0, 10_000, Reason::Retry(2)));
    assert_eq!(scenario.fail(schedule()).attempt(), (0, 10_000, Reason::Retry(3)), "the last delay repeats");
    assert_eq!(
        scenario.fail(failure()).attempt(),
        (0, 8_000, Reason::Retry(4)),
        "any other failure uses the backoff"
    );
}

#[test]
fn a_retry_delay_never_undercuts_retry_after() {
    let delays = Some(RetryDelays::Schedule([ms(5_000)].into()));
    let mut scenario = Scenario::new(settings(2), grid(1, 1), None);
    assert_eq!(
        scenario.fail(Failure { retry_delays: delays.clone(), ..retry_after(7_000) }).attempt().1,
        7_000
    );
    assert_eq!(scenario.fail(Failure { retry_delays: delays, ..retry_after(3_000) }).attempt().1, 5_000);
}

#[test]
fn a_key_whose_quota_is_exhausted_is_not_used_again() {
    let mut routes = grid(2, 3);
    for (route, _) in &mut routes {
        route.key = [0, 0, 2][route.endpoint];
    }
    let mut scenario = Scenario::new(settings(3), routes.clone(), None);
    assert_eq!(scenario.fail(not_retryable(NextRoute::OtherKey)).attempt(), (2, 0, Reason::Fallback));
    for _ in 0..3 {
        assert_eq!(scenario.fail(failure()).attempt().0, 2);
    }
    assert_eq!(scenario.fail(failure()).attempt(), (5, 0, Reason::Fallback));
    let mut scenario = Scenario::new(settings(3), routes[..2].to_vec(), None);
    assert_eq!(scenario.fail(not_retryable(NextRoute::OtherKey)).stop(), Stop::NotRetryable);
}

#[test]
fn a_prompt_that_is_too_long_goes_to_a_model_with_a_possibly_larger_context() {
    let routes = models_with_contexts(&[Some(8_000), Some(4_000), Some(8_000), Some(32_000), None]);
    let mut scenario = Scenario::new(settings(3), routes, None);
    assert_eq!(scenario.fail(not_retryable(NextRoute::LargerContext)).attempt(), (3, 0, Reason::Fallback));
    assert_eq!(scenario.fail(not_retryable(NextRoute::LargerContext)).attempt(), (4, 0, Reason::Fallback));
    assert_eq!(scenario.fail(not_retryable(NextRoute::LargerContext)).stop(), Stop::NotRetryable);
    let mut scenario = Scenario::new(settings(3), models_with_contexts(&[None, Some(4_000)]), None);
    assert_eq!(
        scenario.fail(not_retryable(NextRoute::LargerContext)).attempt().0,
        1,
        "the first context is unknown"
    );
    let mut scenario = Scenario::new(settings(3), grid(1, 2), None);
    assert_eq!(
        scenario.fail(not_retryable(NextRoute::LargerContext)).stop(),
        Stop::NotRetryable,
        "the same model"
    );
}

#[test]
fn an_untried_model_comes_before_waiting_for_a_rate_limit() {
    let mut scenario = Scenario::new(settings(2), grid(2, 1), None);
    assert_eq!(scenario.fail(rate_limited()).attempt(), (1, 0, Reason::Fallback));
    assert_eq!(
        scenario.fail(rate_limited()).attempt(),
        (1, 1_000, Reason::Retry(1)),
        "no alternative is left"
    );
    let mut scenario = Scenario::new(settings(2), grid(2, 2), None);
    assert_eq!(scenario.fail(rate_limited()).attempt().0, 1);
    assert_eq!(
        scenario.fail(failure()).attempt(),
        (1, 1_000, Reason::Retry(1)),
        "the route that is not rate limited"
    );
}

#[test]
fn without_retry_budget_only_first_tries_are_made() {
    let mut scenario = Scenario::new(settings(3), grid(2, 1), None);
    scenario.fail(failure());
    assert_eq!(scenario.budget_exhausted().attempt(), (1, 0, Reason::Fallback));
    assert!(scenario.plan.is_last_route());
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetryBudgetExhausted);
    let mut scenario = Scenario::new(settings(3), grid(1, 1), None);
    scenario.fail(failure());
    assert_eq!(scenario.budget_exhausted().stop(), Stop::RetryBudgetExhausted);
}

#[test]
fn no_retry_is_made_without_time_before_the_deadline() {
    let settings = Settings { min_attempt_time: ms(250), ..settings(3) };
    let mut scenario = Scenario::new(settings.clone(), grid(1, 1), Some(1_250));
    assert_eq!(scenario.fail(failure()).attempt().1, 1_000);
    let mut scenario = Scenario::new(settings.clone(), grid(1, 1), Some(1_249));
    assert_eq!(scenario.fail(failure()).stop(), Stop::Deadline);
    let mut scenario = Scenario::new(settings, grid(1, 1), Some(5_200));
    assert_eq!(scenario.fail(retry_after(5_000)).stop(), Stop::WaitTooLong(ms(5_000)));
}

#[test]
fn routes_left_counts_the_alternatives() {
    let mut scenario = Scenario::new(settings(1), grid(2, 2), None);
    assert_eq!(scenario.plan.routes_left(), 3);
    scenario.fail(timed_out());
    assert_eq!(scenario.plan.routes_left(), 2, "a route that timed out is not an alternative");
    scenario.fail(not_retryable(NextRoute::Any));
    assert_eq!(scenario.plan.routes_left(), 1);
}
