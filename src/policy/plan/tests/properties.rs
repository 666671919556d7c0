//! Invariants that hold for any sequence of events.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::support::{NOW, classification, failure, grid, ms, settings};
use crate::policy::backoff::{Backoff, Shape};
use crate::policy::classify::NextRoute;
use crate::policy::interruption::Interruption;
use crate::policy::plan::selection::millis_ceil;
use crate::policy::plan::{Failure, Plan, Reason, Route, Settings, Step, Stop};

#[derive(Clone, Debug)]
enum Event {
    Failure(Failure),
    CircuitOpen(u64),
    /// The retry budget does not cover the attempt that is due.
    BudgetExhausted,
}

fn interruption() -> impl Strategy<Value = Option<Interruption>> {
    let stalled = (0..60_000u64, 0..60_000u64).prop_map(|(silence, allowance)| Interruption::Stalled {
        silence: ms(silence),
        allowance: ms(allowance),
    });
    prop::option::of(prop_oneof![Just(Interruption::Broken), stalled])
}

fn event() -> impl Strategy<Value = Event> {
    let next_route = prop_oneof![
        9 => Just(NextRoute::Any),
        1 => Just(NextRoute::OtherKey),
        1 => Just(NextRoute::OtherEndpoint),
        1 => Just(NextRoute::LargerContext),
        1 => Just(NextRoute::Never)
    ];
    let failure = (
        prop::bool::weighted(0.8),
        next_route,
        prop::option::of(0..90_000u64),
        any::<bool>(),
        any::<bool>(),
        interruption(),
    )
        .prop_map(|(retryable, next_route, wait, timed_out, rate_limited, interruption)| {
            let retry_after = wait.map(ms);
            let class = classification(retryable, next_route);
            let timed_out = timed_out || matches!(interruption, Some(Interruption::Stalled { .. }));
            Event::Failure(Failure {
                class,
                retry_after,
                timed_out,
                rate_limited,
                interruption,
                retry_delays: None,
            })
        });
    let circuit_open = (0..90_000u64).prop_map(Event::CircuitOpen);
    prop_oneof![30 => failure, 7 => circuit_open, 1 => Just(Event::BudgetExhausted)]
}

proptest! {
    #[test]
    fn any_sequence_of_events_respects_the_rules_and_ends(
        models in 1..4usize,
        endpoints in 1..4usize,
        keys in prop::collection::vec(0..3usize, 3),
        contexts in prop::collection::vec(prop::option::of(1..4u64), 3),
        pauses in prop::collection::vec(prop::option::weighted(0.3, 1..90_000u64), 9),
        max_retries in 0..5u32,
        total in prop::option::of(1..300_000u64),
        base in 0..5_000u64,
        max_wait_before_fallback in 0..10_000u64,
        seed in any::<u64>(),
        events in prop::collection::vec((event(), 0..70_000u64), 1..80),
    ) {
        let mut routes = grid(models, endpoints);
        for (route, pause) in routes.iter_mut().zip(&pauses) {
            route.1 = pause.map(|pause| NOW + pause);
            (route.0.key, route.0.context_tokens) = (keys[route.0.endpoint], contexts[route.0.model]);
        }
        let backoff = Backoff { base: ms(base), ..Backoff { shape: Shape::Exponential, ..Backoff::default() } };
        let max_wait_before_fallback = ms(max_wait_before_fallback);
        let settings = Settings { backoff, max_wait_before_fallback, ..settings(max_retries) };
        let max_wait = settings.max_retry_after;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut plan = Plan::new(settings, routes.clone());
        let deadline = total.map(|total| NOW + total);
        let remaining = |now: u64| deadline.map(|deadline| ms(deadline.saturating_sub(now)));
        let count = routes.len();
        let (mut now, mut last_model) = (NOW, 0);
        let mut not_before = vec![0u64; count];
        for (route, paused_until) in &routes {
            not_before[route.id.0] = paused_until.unwrap_or(0);
        }
        // A pause that is too long excludes its route at the start.
        let is_too_long = |until: u64| {
            let wait = ms(until - NOW);
            wait > max_wait || remaining(NOW).is_some_and(|remaining| wait >= remaining)
        };
        let mut circuit_open_until = vec![0u64; count];
        let mut excluded: Vec<bool> = routes
            .iter()
            .map(|(_, until)| until.is_some_and(|until| until > NOW && is_too_long(until)))
            .collect();
        let mut timed_out = vec![false; count];
        let mut ended_here = vec![0u32; count];
        let mut attempts = vec![0u32; models];
        let mut budget_exhausted = false;
        let mut step = plan.start(now, remaining(now), &mut rng);
        let mut stopped = false;
        for (event, duration) in events {
            let Step::Try { route, wait, reason, .. } = step else { stopped = true; break };
            let id = route.id.0;
            prop_assert!(route.model >= last_model, "the plan returns to an earlier model");
            prop_assert!(!excluded[id], "an excluded route is used again");
            prop_assert!(
                remaining(now).is_none_or(|remaining| wait.is_zero() || wait < remaining),
                "past the deadline"
            );
            prop_assert!(circuit_open_until[id] <= now, "the circuit was known to be open");
            let is_retry = matches!(reason, Reason::Retry(_));
            let is_short = wait <= max_wait_before_fallback;
            prop_assert!(is_retry || wait.is_zero() || is_short, "a first try does not wait for long");
            if let Reason::Retry(number) = reason {
                prop_assert!(!budget_exhausted, "a retry without budget");
                prop_assert!(number <= max_retries && number >= 1);
            }
            if is_retry && (timed_out[id] || ended_here[id] > 1) {
                let is_alternative = |r: &Route| {
                    r.model >= route.model
                        && !excluded[r.id.0]
                        && !timed_out[r.id.0]
                        && ended_here[r.id.0] < 2
                        && circuit_open_until[r.id.0] <= now
                };
                prop_assert!(!routes.iter().any(|(r, _)| is_alternative(r)), "no progress, with an alternative");
            }
            if matches!((&event, reason), (Event::BudgetExhausted, Reason::Retry(_))) {
                budget_exhausted = true;
                step = plan.retry_budget_exhausted(now, remaining(now), &mut rng);
                continue;
            }
            now += millis_ceil(wait);
            if plan.must_queue() {
                now = now.max(not_before[id]);
            }
            prop_assert!(not_before[id] <= now, "sooner than the server asked");
            match event {
                Event::CircuitOpen(wait) => {
                    circuit_open_until[id] = now + wait.max(1);
                    step = plan.circuit_open(ms(wait), now, remaining(now), &mut rng);
                }
                // A first try does not use the budget.
                Event::BudgetExhausted => {
                    last_model = route.model;
                    step = plan.attempt_failed(failure(), now, remaining(now), &mut rng);
                }
                Event::Failure(failure) => {
                    last_model = route.model;
                    attempts[route.model] += 1;
                    prop_assert!(attempts[route.model] <= endpoints as u32 + max_retries);
                    now += duration;
                    timed_out[id] |= failure.timed_out;
                    ended_here[id] += u32::from(failure.interruption.is_some());
                    if !failure.class.retryable {
                        excluded[id] = true;
                        let no_larger = |r: &Route| {
                            r.context_tokens.zip(route.context_tokens).is_some_and(|(a, b)| a <= b)
                        };
                        for (r, _) in &routes {
                            excluded[r.id.0] |= match failure.class.next_route {
                                NextRoute::OtherKey => r.key == route.key,
                                NextRoute::OtherEndpoint => r.endpoint == route.endpoint,
                                NextRoute::LargerContext => r.model == route.model || no_larger(r),
                                NextRoute::Any | NextRoute::Never => false,
                            };
                        }
                    }
                    if let Some(wait) = failure.retry_after {
                        not_before[id] = now + millis_ceil(wait);
                        excluded[id] |=
                            wait > max_wait || remaining(now).is_some_and(|remaining| wait >= remaining);
                    }
                    let class = failure.class;
                    step = plan.attempt_failed(failure, now, remaining(now), &mut rng);
                    if !class.retryable && class.next_route == NextRoute::Never {
                        prop_assert_eq!(step, Step::Stop(Stop::NotRetryable));
                    }
                }
            }
        }
        let max_attempts = models as u32 * (endpoints as u32 + max_retries);
        prop_assert!(attempts.iter().sum::<u32>() <= max_attempts);
        // Open circuits cost nothing. Without them the number of attempts bounds the plan.
        if !stopped {
            while let Step::Try { wait, .. } = step {
                now += millis_ceil(wait);
                attempts[0] += 1;
                prop_assert!(attempts.iter().sum::<u32>() <= max_attempts);
                step = plan.attempt_failed(failure(), now, remaining(now), &mut rng);
            }
        }
    }
}
