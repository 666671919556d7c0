//! Routes that pause, and routes without room.

use super::*;

#[test]
fn a_route_that_pauses_is_passed_over_and_not_used_before_its_time() {
    let mut routes = grid(1, 2);
    routes[0].1 = Some(NOW + 2_500);
    let mut walk = Walk::new(settings(3), routes, None);
    assert_eq!(walk.tries(), (1, 0, Reason::First));
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).tries(), (0, 0, Reason::Fallback), "sooner than a retry");
    assert_eq!((walk.plan.queues(), walk.now), (true, NOW + 2_500));
}

#[test]
fn where_every_route_pauses_the_first_that_is_free_is_waited_for() {
    let mut routes = grid(1, 2);
    (routes[0].1, routes[1].1) = (Some(NOW + 2_500), Some(NOW + 1_000));
    let mut walk = Walk::new(settings(0), routes.clone(), None);
    assert_eq!((walk.tries(), walk.now), ((1, 0, Reason::First), NOW + 1_000));
    assert_eq!((walk.fails(failure()).tries(), walk.now), ((0, 0, Reason::Fallback), NOW + 2_500));
    assert_eq!(Walk::new(settings(3), routes.clone(), Some(1_000)).stop(), Stop::WaitTooLong(ms(1_000)));
    (routes[0].1, routes[1].1) = (Some(NOW + 70_000), Some(NOW + 60_001));
    assert_eq!(Walk::new(settings(3), routes, None).stop(), Stop::WaitTooLong(ms(60_001)));
}

#[test]
fn a_route_without_room_is_passed_over_and_where_none_has_room_the_first_that_has_is_waited_for() {
    let mut walk = Walk::new(settings(0), grid(1, 3), None);
    assert_eq!(walk.crowded(Crowded::For(ms(900))).tries(), (1, 0, Reason::First));
    assert_eq!(walk.crowded(Crowded::For(ms(200))).tries(), (2, 0, Reason::First));
    assert!(!walk.plan.queues());
    assert_eq!((walk.crowded(Crowded::For(ms(300))).tries(), walk.now), ((1, 0, Reason::First), NOW + 200));
    assert!(walk.plan.queues());
    assert_eq!((walk.fails(failure()).tries(), walk.now), ((2, 0, Reason::Fallback), NOW + 300));
}

#[test]
fn what_never_fits_goes_to_the_next_model_and_ends_where_no_route_takes_it() {
    let mut walk = Walk::new(settings(3), grid(2, 1), None);
    assert_eq!(walk.crowded(Crowded::Never).tries(), (1, 0, Reason::First));
    assert_eq!(walk.crowded(Crowded::Never).stop(), Stop::NoRoom);
}

#[test]
fn a_model_that_was_passed_over_is_come_back_to_with_its_retries() {
    let mut walk = Walk::new(settings(1), grid(2, 1), None);
    assert_eq!(walk.crowded(Crowded::For(ms(100))).tries(), (1, 0, Reason::First));
    assert_eq!(walk.crowded(Crowded::For(ms(500))).tries(), (0, 0, Reason::First));
    assert_eq!((walk.now, walk.fails(failure()).tries()), (NOW + 100, (1, 0, Reason::Fallback)));
    let mut walk = Walk::new(settings(1), grid(2, 1), None);
    walk.crowded(Crowded::For(ms(100))).crowded(Crowded::For(ms(9_000)));
    assert_eq!(walk.fails(failure()).tries(), (0, 1_000, Reason::Retry(1)), "sooner than the other has room");
    assert_eq!((walk.fails(failure()).tries(), walk.now), ((1, 0, Reason::Fallback), NOW + 9_000));
    assert_eq!(walk.fails(failure()).tries(), (1, 1_000, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
}

#[test]
fn a_retry_that_finds_no_room_waits_in_line_and_is_neither_counted_nor_waited_for_twice() {
    let mut walk = Walk::new(settings(1), grid(1, 1), None);
    assert_eq!(walk.fails(failure()).tries(), (0, 1_000, Reason::Retry(1)));
    let asked = Crowded::Asked(ms(5_000));
    assert_eq!((walk.crowded(asked).tries(), walk.now), ((0, 0, Reason::Retry(1)), NOW + 6_000));
    assert_eq!(walk.fails(failure()).stop(), Stop::Exhausted);
    let mut walk = Walk::new(settings(1), grid(1, 1), None);
    walk.fails(failure());
    assert_eq!(walk.crowded(Crowded::Asked(ms(61_000))).stop(), Stop::WaitTooLong(ms(61_000)));
}

#[test]
fn a_model_that_is_come_back_to_has_made_the_retries_that_it_had_made() {
    let mut walk = Walk::new(settings(1), grid(2, 2), None);
    assert_eq!(walk.fails(failure()).tries(), (1, 0, Reason::Fallback));
    assert_eq!(walk.crowded(Crowded::For(ms(5_000))).tries(), (0, 1_000, Reason::Retry(1)));
    assert_eq!(walk.fails(failure()).tries(), (2, 0, Reason::Fallback));
    assert_eq!(walk.crowded(Crowded::For(ms(9_000))).tries(), (3, 0, Reason::Fallback));
    let back = walk.crowded(Crowded::For(ms(9_000)));
    assert_eq!((back.tries(), back.now), ((1, 0, Reason::Fallback), NOW + 5_000));
    let on = walk.fails(failure());
    assert_eq!((on.tries(), on.now), ((2, 0, Reason::Fallback), NOW + 10_000), "no retry was left");
}

#[test]
fn a_model_that_is_come_back_to_twice_has_made_the_retries_of_both_times() {
    let mut walk = Walk::new(settings(1), grid(2, 2), None);
    walk.crowded(Crowded::For(ms(500))).crowded(Crowded::For(ms(3_000)));
    assert_eq!(walk.crowded(Crowded::For(ms(1_500))).tries(), (3, 0, Reason::First));
    assert_eq!(walk.crowded(Crowded::Never).tries(), (0, 0, Reason::First), "once");
    assert_eq!(walk.fails(failure()).tries(), (0, 1_000, Reason::Retry(1)));
    assert_eq!((walk.now, walk.fails(failure()).tries()), (NOW + 1_500, (2, 0, Reason::Fallback)));
    assert_eq!(walk.crowded(Crowded::For(ms(5_000))).tries(), (1, 0, Reason::Fallback), "twice");
    let on = walk.fails(failure());
    assert_eq!((on.tries(), on.now), ((2, 0, Reason::Fallback), NOW + 6_500), "no retry was left");
}
