use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::policy::backoff::{Jitter, Shape};
use crate::policy::classify::Verdict;

#[path = "plan_causes_tests.rs"]
mod causes;

const NOW: u64 = 1_700_000_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings(max_retries: u32) -> Settings {
    let backoff = Backoff { jitter: Jitter::None, ..Backoff::default() };
    Settings { max_retries, backoff, max_retry_after: ms(60_000), min_attempt: Duration::ZERO }
}

/// `models` × `endpoints`, none of which cools.
fn grid(models: usize, endpoints: usize) -> Vec<(Route, Option<u64>)> {
    let route = |place| {
        let endpoint = place % endpoints;
        Route { place, endpoint, model: place / endpoints, key: endpoint, context: None }
    };
    (0..models * endpoints).map(|place| (route(place), None)).collect()
}

fn class(retry: bool, next_route: NextRoute) -> Class {
    Class { retry, breaker: Verdict::Failure, cools: false, next_route }
}

fn failure() -> Failure {
    let class = class(true, NextRoute::Allowed);
    Failure { class, retry_after: None, silent: false, limited: false, waits: None }
}

fn silence() -> Failure {
    Failure { silent: true, ..failure() }
}

fn refusal(next_route: NextRoute) -> Failure {
    Failure { class: class(false, next_route), ..failure() }
}

fn asks(wait: u64) -> Failure {
    Failure { retry_after: Some(ms(wait)), ..failure() }
}

/// A plan that is walked through, with its clock.
struct Walk {
    plan: Plan,
    now: u64,
    deadline: Option<u64>,
    rng: StdRng,
    step: Step,
}

impl Walk {
    fn new(settings: Settings, routes: Vec<(Route, Option<u64>)>, total: Option<u64>) -> Self {
        let mut walk = Walk {
            plan: Plan::new(settings, routes),
            now: NOW,
            deadline: total.map(|total| NOW + total),
            rng: StdRng::seed_from_u64(1),
            step: Step::Stop(Stop::Exhausted),
        };
        walk.step = walk.plan.start(walk.now, walk.remaining(), &mut walk.rng);
        walk.wait();
        walk
    }

    fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| ms(deadline.saturating_sub(self.now)))
    }

    fn wait(&mut self) {
        if let Step::Try { wait, .. } = self.step {
            self.now += millis_up(wait);
        }
    }

    fn fails(&mut self, failure: Failure) -> &mut Self {
        self.step = self.plan.failed(failure, self.now, self.remaining(), &mut self.rng);
        self.wait();
        self
    }

    fn denied(&mut self, wait: u64) -> &mut Self {
        self.step = self.plan.denied(ms(wait), self.now, self.remaining(), &mut self.rng);
        self.wait();
        self
    }

    /// The place, the wait in milliseconds and the reason of the step that is due.
    fn tries(&self) -> (usize, u64, Reason) {
        match self.step {
            Step::Try { route, wait, reason, .. } => (route.place, wait.as_millis() as u64, reason),
            Step::Stop(stop) => panic!("it stopped: {stop:?}"),
        }
    }

    fn stop(&self) -> Stop {
        match self.step {
            Step::Stop(stop) => stop,
            step => panic!("it goes on: {step:?}"),
        }
    }
}

#[test]
fn one_route_is_tried_once_and_retried_with_backoff() {
    let mut walk = Walk::new(settings(2), grid(1, 1), None);
    assert_eq!(walk.tries(), (0, 0, Reason::First));
    assert_eq!(walk.fails(failure()).tries(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).tries(), (0, 2_000, Reason::Retry(2)));
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
}

#[test]
fn the_first_try_of_each_replica_is_free_and_retries_go_round() {
    let mut walk = Walk::new(settings(3), grid(1, 3), None);
    let mut places = vec![walk.tries().0];
    for _ in 0..5 {
        places.push(walk.fails(failure()).tries().0);
    }
    assert_eq!(places, [0, 1, 2, 0, 1, 2]);
    assert_eq!(walk.now - NOW, 7_000);
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
}

#[test]
fn the_next_model_has_a_first_try_and_retries_of_its_own() {
    let mut walk = Walk::new(settings(1), grid(2, 1), None);
    assert_eq!(walk.fails(failure()).tries(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).tries(), (1, 0, Reason::Fallback));
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)), "the backoff begins anew");
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
}

#[test]
fn a_refusal_of_the_request_ends_the_call_and_one_of_the_route_only_the_route() {
    let mut walk = Walk::new(settings(3), grid(2, 2), None);
    assert_eq!(walk.fails(refusal(NextRoute::Never)).stop(), Stop::NotRetryable);
    let mut walk = Walk::new(settings(3), grid(1, 2), None);
    assert_eq!(walk.fails(refusal(NextRoute::Allowed)).tries().0, 1);
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)), "the refusing one is left");
    assert_eq!(walk.fails(refusal(NextRoute::Allowed)).stop(), Stop::NotRetryable);
}

#[test]
fn a_refused_key_takes_every_model_of_its_endpoint_along() {
    let mut walk = Walk::new(settings(0), grid(2, 2), None);
    assert_eq!(walk.fails(refusal(NextRoute::OtherEndpoint)).tries().0, 1);
    assert_eq!(walk.fails(failure()).tries(), (3, 0, Reason::Fallback));
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
}

#[test]
fn no_attempt_comes_sooner_than_the_server_asked() {
    let mut walk = Walk::new(settings(3), grid(1, 1), None);
    assert_eq!(walk.fails(asks(5_000)).tries(), (0, 5_000, Reason::Retry(1)));
    assert!(matches!(walk.step, Step::Try { asked: true, .. }));
    assert_eq!(walk.fails(asks(100)).tries(), (0, 2_000, Reason::Retry(2)), "the backoff is longer");
    assert!(matches!(walk.step, Step::Try { asked: false, .. }));
    let part = Failure { retry_after: Some(Duration::from_micros(9_000_001)), ..failure() };
    assert_eq!(walk.fails(part).tries().1, 9_001, "a part of a millisecond is a whole one");
}

#[test]
fn a_wait_past_the_longest_or_the_deadline_is_not_waited_for() {
    let mut walk = Walk::new(settings(3), grid(1, 1), None);
    assert_eq!(walk.fails(asks(60_001)).stop(), Stop::WaitTooLong(ms(60_001)));
    let mut walk = Walk::new(settings(3), grid(1, 1), Some(5_000));
    assert_eq!(walk.fails(asks(5_000)).stop(), Stop::WaitTooLong(ms(5_000)));
    let mut walk = Walk::new(settings(3), grid(1, 2), Some(5_000));
    assert_eq!(walk.fails(asks(5_000)).tries(), (1, 0, Reason::Fallback));
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)));
}

#[test]
fn a_backoff_that_does_not_fit_before_the_deadline_ends_the_plan() {
    let mut walk = Walk::new(settings(3), grid(1, 1), Some(3_000));
    walk.fails(failure());
    assert_eq!(walk.fails(failure()).stop(), Stop::Deadline, "1 s is over, 2 s would end on the deadline");
}

#[test]
fn a_retry_goes_where_it_may_be_made_soonest() {
    let mut walk = Walk::new(settings(9), grid(1, 2), None);
    walk.fails(asks(3_500));
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).tries(), (1, 2_000, Reason::Retry(2)));
    assert_eq!(walk.fails(failure()).tries(), (0, 4_000, Reason::Retry(3)), "its time is over by then");
}

#[test]
fn a_silent_route_is_asked_again_only_where_no_other_can_be_used() {
    let mut walk = Walk::new(settings(2), grid(1, 2), None);
    walk.fails(silence());
    assert_eq!(walk.fails(failure()).tries().0, 1);
    assert_eq!(walk.fails(failure()).tries().0, 1);
    let mut walk = Walk::new(settings(2), grid(1, 2), None);
    walk.fails(silence());
    assert_eq!(walk.fails(silence()).tries(), (0, 1_000, Reason::Retry(1)), "both are silent");
    let mut walk = Walk::new(settings(2), grid(2, 1), None);
    assert_eq!(walk.fails(silence()).tries(), (1, 0, Reason::Fallback), "the next model is another route");
    assert_eq!(walk.fails(silence()).tries(), (1, 1_000, Reason::Retry(1)));
    let mut walk = Walk::new(settings(2), grid(1, 2), None);
    walk.denied(9_000);
    assert_eq!(
        walk.fails(silence()).tries(),
        (1, 1_000, Reason::Retry(1)),
        "the other one's breaker is open"
    );
}

#[test]
fn the_last_route_is_the_one_with_nowhere_to_go_from() {
    let mut walk = Walk::new(settings(1), grid(1, 2), None);
    assert!(!walk.plan.is_last());
    walk.fails(silence());
    assert!(walk.plan.is_last(), "the other one is silent");
    let mut walk = Walk::new(settings(1), grid(2, 1), None);
    walk.fails(failure());
    assert!(!walk.plan.is_last(), "the retry of the first model");
    walk.fails(failure());
    assert!(walk.plan.is_last());
    assert!(Walk::new(settings(3), grid(1, 1), None).plan.is_last());
    let mut walk = Walk::new(settings(0), grid(1, 2), None);
    walk.fails(failure());
    assert!(walk.plan.is_last(), "the first one's turn is over");
}

#[test]
fn a_route_that_its_breaker_denies_is_left_until_its_time() {
    let mut walk = Walk::new(settings(1), grid(1, 2), None);
    assert_eq!(walk.denied(800).tries(), (1, 0, Reason::Fallback));
    walk.now += 900;
    assert_eq!(walk.fails(failure()).tries(), (0, 0, Reason::Fallback), "its first try is still free");
    let mut walk = Walk::new(settings(1), grid(1, 2), None);
    walk.denied(5_000);
    assert_eq!(walk.denied(3_000).stop(), Stop::CircuitOpen(ms(3_000)));
}

#[test]
fn a_retry_that_is_denied_is_neither_counted_nor_waited_for_twice() {
    let mut walk = Walk::new(settings(1), grid(1, 2), None);
    walk.fails(failure()).fails(failure());
    assert_eq!(walk.tries(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(walk.denied(60_000).tries(), (1, 0, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
}

#[test]
fn a_route_that_cools_is_used_last_and_not_before_its_time() {
    let mut routes = grid(1, 2);
    routes[0].1 = Some(NOW + 2_500);
    let mut walk = Walk::new(settings(3), routes.clone(), None);
    assert_eq!(walk.tries(), (1, 0, Reason::First));
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).tries(), (0, 2_000, Reason::Retry(2)));
    routes[1].1 = Some(NOW + 1_000);
    let walk = Walk::new(settings(3), routes, None);
    assert_eq!(walk.tries(), (1, 0, Reason::First), "all of them cool: that keeps nobody out");
}

#[test]
fn without_a_route_there_is_nothing_to_do() {
    let walk = Walk::new(settings(3), Vec::new(), None);
    assert_eq!(walk.stop(), Stop::NotRetryable);
    assert!(walk.plan.is_last());
}

#[derive(Clone, Debug)]
enum Happening {
    Fails(Failure),
    Denied(u64),
    /// What is due is more than the retry budget holds.
    Refused,
}

fn happening() -> impl Strategy<Value = Happening> {
    let next_route = prop_oneof![
        9 => Just(NextRoute::Allowed),
        1 => Just(NextRoute::OtherKey),
        1 => Just(NextRoute::OtherEndpoint),
        1 => Just(NextRoute::LargerContext),
        1 => Just(NextRoute::Never)
    ];
    let fails =
        (prop::bool::weighted(0.8), next_route, prop::option::of(0..90_000u64), any::<bool>(), any::<bool>())
            .prop_map(|(retry, next_route, wait, silent, limited)| {
                let retry_after = wait.map(ms);
                let class = class(retry, next_route);
                Happening::Fails(Failure { class, retry_after, silent, limited, waits: None })
            });
    let denied = (0..90_000u64).prop_map(Happening::Denied);
    prop_oneof![30 => fails, 7 => denied, 1 => Just(Happening::Refused)]
}

proptest! {
    #[test]
    fn whatever_happens_a_plan_keeps_its_rules_and_comes_to_an_end(
        models in 1..4usize,
        endpoints in 1..4usize,
        keys in prop::collection::vec(0..3usize, 3),
        contexts in prop::collection::vec(prop::option::of(1..4u64), 3),
        cooling in prop::collection::vec(prop::option::weighted(0.3, 1..90_000u64), 9),
        max_retries in 0..5u32,
        total in prop::option::of(1..300_000u64),
        base in 0..5_000u64,
        seed in any::<u64>(),
        events in prop::collection::vec((happening(), 0..70_000u64), 1..80),
    ) {
        let mut routes = grid(models, endpoints);
        for (route, cooling) in routes.iter_mut().zip(&cooling) {
            route.1 = cooling.map(|cooling| NOW + cooling);
            (route.0.key, route.0.context) = (keys[route.0.endpoint], contexts[route.0.model]);
        }
        let backoff = Backoff { base: ms(base), ..Backoff { shape: Shape::Exponential, ..Backoff::default() } };
        let settings = Settings { backoff, ..settings(max_retries) };
        let longest = settings.max_retry_after;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut plan = Plan::new(settings, routes.clone());
        let deadline = total.map(|total| NOW + total);
        let left = |now: u64| deadline.map(|deadline| ms(deadline.saturating_sub(now)));
        let count = routes.len();
        let (mut now, mut last_model) = (NOW, 0);
        let mut not_before = vec![0u64; count];
        for (route, cooling) in &routes {
            let free = |(r, c): &(Route, Option<u64>)| r.model == route.model && c.is_none();
            if routes.iter().any(free) {
                not_before[route.place] = cooling.unwrap_or(0);
            }
        }
        let mut blocked = vec![0u64; count];
        let (mut dead, mut silent) = (vec![false; count], vec![false; count]);
        let mut attempts = vec![0u32; models];
        let mut refused = false;
        let mut step = plan.start(now, left(now), &mut rng);
        let mut stopped = false;
        for (event, passes) in events {
            let Step::Try { route, wait, reason, .. } = step else { stopped = true; break };
            let place = route.place;
            prop_assert!(route.model >= last_model, "a model that was left comes back");
            last_model = route.model;
            prop_assert!(!dead[place], "a route that was given up comes back");
            prop_assert!(left(now).is_none_or(|left| wait.is_zero() || wait < left), "past the deadline");
            prop_assert!(blocked[place] <= now, "its breaker was known to be open");
            let counted = matches!(reason, Reason::Retry(_));
            prop_assert!(counted || wait.is_zero(), "a first try waits for nothing");
            if let Reason::Retry(number) = reason {
                prop_assert!(!refused, "a retry beyond the budget");
                prop_assert!(number <= max_retries && number >= 1);
            }
            if counted && silent[place] {
                let other = |r: &Route| {
                    r.model >= route.model && !dead[r.place] && !silent[r.place] && blocked[r.place] <= now
                };
                prop_assert!(!routes.iter().any(|(r, _)| other(r)), "silent, and there is another");
            }
            if matches!((&event, reason), (Happening::Refused, Reason::Retry(_))) {
                refused = true;
                step = plan.unaffordable(now, left(now), &mut rng);
                continue;
            }
            now += millis_up(wait);
            prop_assert!(not_before[place] <= now, "sooner than it was asked");
            match event {
                Happening::Denied(wait) => {
                    blocked[place] = now + wait.max(1);
                    step = plan.denied(ms(wait), now, left(now), &mut rng);
                }
                // A first try costs nothing.
                Happening::Refused => step = plan.failed(failure(), now, left(now), &mut rng),
                Happening::Fails(failure) => {
                    attempts[route.model] += 1;
                    prop_assert!(attempts[route.model] <= endpoints as u32 + max_retries);
                    now += passes;
                    silent[place] |= failure.silent;
                    if !failure.class.retry {
                        dead[place] = true;
                        let no_larger = |r: &Route| r.context.zip(route.context).is_some_and(|(a, b)| a <= b);
                        for (r, _) in &routes {
                            dead[r.place] |= match failure.class.next_route {
                                NextRoute::OtherKey => r.key == route.key,
                                NextRoute::OtherEndpoint => r.endpoint == route.endpoint,
                                NextRoute::LargerContext => r.model == route.model || no_larger(r),
                                NextRoute::Allowed | NextRoute::Never => false,
                            };
                        }
                    }
                    if let Some(wait) = failure.retry_after {
                        not_before[place] = now + millis_up(wait);
                        dead[place] |= wait > longest || left(now).is_some_and(|left| wait >= left);
                    }
                    let class = failure.class;
                    step = plan.failed(failure, now, left(now), &mut rng);
                    if !class.retry && class.next_route == NextRoute::Never {
                        prop_assert_eq!(step, Step::Stop(Stop::NotRetryable));
                    }
                }
            }
        }
        let most = models as u32 * (endpoints as u32 + max_retries);
        prop_assert!(attempts.iter().sum::<u32>() <= most);
        // Without denials, which cost nothing, the attempts bound the plan.
        if !stopped {
            while let Step::Try { wait, .. } = step {
                now += millis_up(wait);
                attempts[0] += 1;
                prop_assert!(attempts.iter().sum::<u32>() <= most);
                step = plan.failed(failure(), now, left(now), &mut rng);
            }
        }
    }
}

#[path = "plan_rotation_tests.rs"]
mod rotation;
