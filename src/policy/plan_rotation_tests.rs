//! Routes that take turns.

use super::*;

#[test]
fn a_rotating_plan_waits_and_counts_on_its_way_to_the_next_endpoint() {
    let mut walk = Walk::new(settings(2), grid(1, 3), None);
    walk.plan = Plan::new(settings(2), grid(1, 3)).rotating(true);
    walk.step = walk.plan.start(NOW, None, &mut walk.rng);
    assert_eq!(walk.tries(), (0, 0, Reason::First));
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Fallback));
    assert!(!walk.plan.is_last());
    assert_eq!(walk.fails(failure()).tries(), (2, 2_000, Reason::Fallback));
    assert!(walk.plan.is_last());
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
    // Round again: that is a retry. And a breaker that denies a turn takes none.
    walk.plan = Plan::new(settings(3), grid(1, 2)).rotating(true);
    walk.step = walk.plan.start(NOW, None, &mut walk.rng);
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Fallback));
    assert_eq!(walk.denied(60_000).tries(), (0, 0, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).tries(), (0, 2_000, Reason::Retry(2)));
    // Without a budget the next endpoint is asked all the same, and none twice.
    walk.plan = Plan::new(settings(9), grid(1, 3)).rotating(true);
    walk.step = walk.plan.start(NOW, None, &mut walk.rng);
    walk.fails(failure()).fails(failure()).fails(failure());
    assert_eq!(walk.tries().2, Reason::Retry(3));
    walk.plan.unaffordable(NOW, None, &mut walk.rng);
    assert_eq!(walk.plan.unaffordable(NOW, None, &mut walk.rng), Step::Stop(Stop::NoBudget));
    // Another model begins at once.
    walk.plan = Plan::new(settings(1), grid(2, 2)).rotating(true);
    walk.step = walk.plan.start(NOW, None, &mut walk.rng);
    walk.fails(failure());
    assert_eq!(walk.fails(failure()).tries(), (2, 0, Reason::Fallback));
}
