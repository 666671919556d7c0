//! Routes that rotate.

use super::support::{NOW, Scenario, failure, grid, settings};
use crate::policy::plan::{Plan, Reason, Step, Stop};

/// A rotating plan over `models` × `endpoints`.
fn rotating(max_retries: u32, models: usize, endpoints: usize) -> Scenario {
    Scenario::of(Plan::new(settings(max_retries), grid(models, endpoints)).with_rotation(true), None)
}

#[test]
fn with_rotation_the_next_endpoint_waits_for_the_backoff_and_counts_as_a_retry() {
    let mut scenario = rotating(2, 1, 3);
    assert_eq!(scenario.attempt(), (0, 0, Reason::First));
    assert_eq!(scenario.fail(failure()).attempt(), (1, 1_000, Reason::Fallback));
    assert!(!scenario.plan.is_last_route());
    assert_eq!(scenario.fail(failure()).attempt(), (2, 2_000, Reason::Fallback));
    assert!(scenario.plan.is_last_route());
    assert_eq!(scenario.fail(failure()).stop(), Stop::RetriesExhausted);
}

#[test]
fn an_open_circuit_does_not_use_up_a_turn_and_the_second_round_is_retries() {
    let mut scenario = rotating(3, 1, 2);
    assert_eq!(scenario.fail(failure()).attempt(), (1, 1_000, Reason::Fallback));
    assert_eq!(scenario.circuit_open(60_000).attempt(), (0, 0, Reason::Retry(1)));
    assert_eq!(scenario.fail(failure()).attempt(), (0, 2_000, Reason::Retry(2)));
}

#[test]
fn without_retry_budget_each_endpoint_is_tried_at_most_once() {
    let mut scenario = rotating(9, 1, 3);
    scenario.fail(failure()).fail(failure()).fail(failure());
    assert_eq!(scenario.attempt().2, Reason::Retry(3));
    scenario.plan.retry_budget_exhausted(NOW, None, &mut scenario.rng);
    let step = scenario.plan.retry_budget_exhausted(NOW, None, &mut scenario.rng);
    assert_eq!(step, Step::Stop(Stop::RetryBudgetExhausted));
}

#[test]
fn the_next_model_starts_at_once() {
    let mut scenario = rotating(1, 2, 2);
    scenario.fail(failure());
    assert_eq!(scenario.fail(failure()).attempt(), (2, 0, Reason::Fallback));
}
