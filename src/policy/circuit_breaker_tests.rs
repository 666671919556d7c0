use proptest::prelude::*;

use super::*;

const T: u64 = 1_700_000_000_000;

fn options() -> Options {
    Options { failure_threshold: 3, timeout: Duration::from_secs(10), ..Options::default() }
}

/// A breaker that three failures opened at `T`.
fn open_breaker(options: &Options) -> Breaker {
    let mut breaker = Breaker::new();
    for _ in 0..3 {
        breaker.record_failure(options, T);
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn it_opens_at_the_threshold_of_consecutive_failures() {
    let options = options();
    let mut breaker = Breaker::new();
    assert_eq!(breaker.record_failure(&options, T), None);
    assert_eq!(breaker.record_failure(&options, T), None);
    breaker.record_success(&options, T);
    assert_eq!(breaker.failures, 0, "a success clears the count");
    breaker.record_failure(&options, T);
    breaker.record_failure(&options, T);
    let transition = breaker.record_failure(&options, T + 5);
    assert_eq!(transition, Some(Transition { from: State::Closed, to: State::Open }));
    assert_eq!((breaker.failures, breaker.last_failure_time), (3, Some(T + 5)));
}

#[test]
fn an_open_breaker_returns_the_exact_wait() {
    let options = options();
    let mut breaker = open_breaker(&options);
    let denial = breaker.try_acquire(&options, T + 9_999).unwrap_err();
    assert_eq!(denial.retry_after, Duration::from_millis(1));
    assert!(breaker.try_acquire(&options, T + 10_000).is_ok());
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn half_open_admits_one_probe_at_a_time() {
    let options = options();
    let mut breaker = open_breaker(&options);
    assert!(breaker.can_execute(&options, T + 10_000));
    assert!(!breaker.can_execute(&options, T + 10_001));
    assert!(!breaker.would_admit(&options, T + 10_001));
    assert_eq!(
        breaker.record_success(&options, T + 10_500),
        Some(Transition { from: State::HalfOpen, to: State::Closed })
    );
    assert_eq!(breaker.failures, 0);
}

#[test]
fn would_admit_takes_no_probe_slot() {
    let options = options();
    let mut breaker = open_breaker(&options);
    for _ in 0..5 {
        assert!(breaker.would_admit(&options, T + 10_000));
    }
    assert_eq!(breaker.state(), State::Open);
    assert!(breaker.can_execute(&options, T + 10_000));
}

#[test]
fn a_failed_probe_reopens_at_once_for_a_full_timeout() {
    let options = options();
    let mut breaker = open_breaker(&options);
    let permit = breaker.try_acquire(&options, T + 10_000).unwrap();
    let transition = breaker.report(&options, permit, Outcome::Failure, T + 12_000);
    assert_eq!(transition, Some(Transition { from: State::HalfOpen, to: State::Open }));
    assert_eq!(breaker.retry_after(&options, T + 12_000), Some(Duration::from_secs(10)));
}

#[test]
fn sequential_probes_reach_the_success_threshold() {
    let options = Options { success_threshold: 3, ..options() };
    let mut breaker = open_breaker(&options);
    for now in [T + 10_000, T + 10_100, T + 10_200] {
        assert_eq!(breaker.state() == State::HalfOpen, now > T + 10_000);
        assert!(breaker.can_execute(&options, now));
        breaker.record_success(&options, now);
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_late_result_from_before_the_opening_has_no_effect() {
    let options = options();
    let mut breaker = Breaker::new();
    let early = breaker.try_acquire(&options, T).unwrap();
    let earlier = breaker.try_acquire(&options, T).unwrap();
    for _ in 0..3 {
        let permit = breaker.try_acquire(&options, T).unwrap();
        breaker.report(&options, permit, Outcome::Failure, T);
    }
    let before = breaker.clone();
    assert_eq!(breaker.report(&options, early, Outcome::Success, T + 1), None);
    assert_eq!(breaker, before);
    let _probe = breaker.try_acquire(&options, T + 10_000).unwrap();
    let before = breaker.clone();
    assert_eq!(breaker.report(&options, earlier, Outcome::Failure, T + 10_001), None);
    assert_eq!(breaker, before);
}

#[test]
fn an_abandoned_probe_frees_its_slot() {
    let options = options();
    let mut breaker = open_breaker(&options);
    let permit = breaker.try_acquire(&options, T + 10_000).unwrap();
    assert!(!breaker.would_admit(&options, T + 10_001));
    assert_eq!(breaker.report(&options, permit, Outcome::Ignored, T + 10_001), None);
    assert!(breaker.would_admit(&options, T + 10_001));
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_probe_without_a_report_frees_its_slot_after_the_timeout() {
    let options = options();
    let mut breaker = open_breaker(&options);
    assert!(breaker.can_execute(&options, T + 10_000));
    assert_eq!(breaker.retry_after(&options, T + 12_000), Some(Duration::from_secs(8)));
    assert!(!breaker.can_execute(&options, T + 19_999));
    assert!(breaker.can_execute(&options, T + 20_000));
    assert!(!breaker.can_execute(&options, T + 20_000));
}

#[test]
fn a_probe_slower_than_the_timeout_still_closes_the_circuit() {
    let options = options();
    let mut breaker = open_breaker(&options);
    let slow = breaker.try_acquire(&options, T + 10_000).unwrap();
    let _second = breaker.try_acquire(&options, T + 20_000).unwrap();
    assert!(breaker.report(&options, slow, Outcome::Success, T + 25_000).is_some());
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn an_error_rate_opens_only_with_enough_calls_in_the_window() {
    let options = Options { failure_threshold: 100, error_rate: Some(0.5), ..options() };
    let mut breaker = Breaker::new();
    for call in 0..9 {
        if call % 2 == 0 {
            breaker.record_success(&options, T);
        } else {
            breaker.record_failure(&options, T);
        }
    }
    assert_eq!(breaker.state(), State::Closed);
    let mut later = breaker.clone();
    breaker.record_failure(&options, T + 1_000);
    assert_eq!(breaker.state(), State::Open, "5 of 10");
    later.record_failure(&options, T + 40_000);
    assert_eq!(later.state(), State::Closed, "the earlier calls have left the window");
}

#[test]
fn the_health_score_outlives_opening_and_closing() {
    let options = options();
    let mut breaker = open_breaker(&options);
    assert_eq!(breaker.health_score(), 0.0);
    assert!(breaker.can_execute(&options, T + 10_000));
    breaker.record_success(&options, T + 10_000);
    assert_eq!(breaker.health_score(), 25.0);
    breaker.reset();
    assert_eq!(breaker.health_score(), 100.0);
}

#[test]
fn the_time_of_the_last_failure_can_be_set() {
    let options = options();
    let mut breaker = open_breaker(&options);
    breaker.last_failure_time = Some(T - 10_000);
    assert!(breaker.would_admit(&options, T));
    breaker.last_failure_time = None;
    assert!(breaker.would_admit(&options, T));
    breaker.last_failure_time = Some(T + 1_000_000);
    assert!(!breaker.can_execute(&options, T), "a time in the future counts as now");
    assert!(breaker.can_execute(&options, T + 10_000));
}

#[test]
fn a_reset_invalidates_earlier_permits() {
    let options = options();
    let mut breaker = Breaker::new();
    let permit = breaker.try_acquire(&options, T).unwrap();
    assert_eq!(breaker.reset(), None);
    breaker.report(&options, permit, Outcome::Failure, T);
    assert_eq!(breaker.failures, 0);
}

#[test]
fn the_circuit_can_be_opened_and_closed_manually() {
    let options = options();
    let mut breaker = Breaker::new();
    assert!(breaker.open(T).is_some());
    assert!(!breaker.would_admit(&options, T + 9_999));
    assert!(breaker.close().is_some());
    assert!(breaker.would_admit(&options, T));
    assert!(breaker.set_state(State::HalfOpen).is_some());
    assert!(breaker.can_execute(&options, T));
}

#[test]
fn it_survives_serialization() {
    let options = options();
    let mut breaker = open_breaker(&options);
    let _probe = breaker.try_acquire(&options, T + 10_000).unwrap();
    let text = serde_json::to_string(&breaker).unwrap();
    assert!(text.contains("\"HALF_OPEN\""));
    assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
    assert_eq!(serde_json::from_str::<Breaker>("{}").unwrap(), Breaker::new());
    assert_eq!("HALF_OPEN".parse(), Ok(State::HalfOpen));
}

/// A reference model of the same rules: one variant per state, with only the fields that it needs.
enum Model {
    Closed { failures: u32 },
    Open { since: u64, failures: u32 },
    HalfOpen { failures: u32, successes: u32, probes: Vec<(usize, u64)> },
}

impl Model {
    fn acquire(&mut self, options: &Options, call: usize, now: u64) -> bool {
        let timeout = options.timeout.as_millis() as u64;
        if let Model::Open { since, failures } = *self
            && now - since >= timeout
        {
            *self = Model::HalfOpen { failures, successes: 0, probes: Vec::new() };
        }
        match self {
            Model::Closed { .. } => true,
            Model::Open { .. } => false,
            Model::HalfOpen { probes, .. } => {
                probes.retain(|probe| now - probe.1 < timeout);
                let has_slot = probes.len() < options.half_open_max_calls as usize;
                if has_slot {
                    probes.push((call, now));
                }
                has_slot
            }
        }
    }

    fn report(&mut self, options: &Options, call: usize, outcome: Outcome, now: u64) {
        match (&mut *self, outcome) {
            (Model::Closed { failures }, Outcome::Success) => *failures = 0,
            (Model::Closed { failures }, Outcome::Failure) => {
                *failures += 1;
                if *failures >= options.failure_threshold {
                    *self = Model::Open { since: now, failures: *failures };
                }
            }
            (Model::HalfOpen { failures, .. }, Outcome::Failure) => {
                *self = Model::Open { since: now, failures: *failures + 1 };
            }
            (Model::HalfOpen { successes, probes, .. }, Outcome::Success) => {
                probes.retain(|probe| probe.0 != call);
                *successes += 1;
                if *successes >= options.success_threshold {
                    *self = Model::Closed { failures: 0 };
                }
            }
            (Model::HalfOpen { probes, .. }, Outcome::Ignored) => probes.retain(|probe| probe.0 != call),
            _ => {}
        }
    }

    fn observed(&self) -> (State, u32) {
        match self {
            Model::Closed { failures } => (State::Closed, *failures),
            Model::Open { failures, .. } => (State::Open, *failures),
            Model::HalfOpen { failures, .. } => (State::HalfOpen, *failures),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Report(usize, Outcome),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Failure),
        2 => Just(Outcome::Success),
        1 => Just(Outcome::Ignored),
    ];
    prop_oneof![
        4 => Just(Step::Acquire),
        4 => (0..6usize, outcome).prop_map(|(call, outcome)| Step::Report(call, outcome)),
        2 => prop_oneof![0..50u64, 900..1_100u64].prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_interleaving_matches_the_reference_model(
        steps in prop::collection::vec(step(), 0..120),
        max in 1..4u32,
        successes in 1..4u32,
    ) {
        let options = Options {
            failure_threshold: 3,
            timeout: Duration::from_secs(1),
            half_open_max_calls: max,
            success_threshold: successes,
            ..Options::default()
        };
        let mut breaker = Breaker::new();
        let mut model = Model::Closed { failures: 0 };
        let mut now = T;
        // Permits in order, each with its call, and the time and state of its admission.
        let mut calls: Vec<(Permit, usize, u64, State)> = Vec::new();
        for (call, step) in steps.into_iter().enumerate() {
            let generation = breaker.generation();
            match step {
                Step::Wait(time) => now += time,
                Step::Acquire => {
                    let would_admit = breaker.would_admit(&options, now);
                    let permit = breaker.try_acquire(&options, now);
                    prop_assert_eq!(would_admit, permit.is_ok());
                    prop_assert_eq!(would_admit, model.acquire(&options, call, now));
                    if let Ok(permit) = permit {
                        calls.push((permit, call, now, breaker.state()));
                    }
                    let current = breaker.generation();
                    let live = calls.iter().filter(|(permit, _, at, state)| {
                        *state == State::HalfOpen && permit.generation == current && now - at < 1_000
                    });
                    prop_assert!(live.count() <= max as usize);
                }
                Step::Report(index, outcome) if index < calls.len() => {
                    let (permit, call, _, _) = calls.remove(index);
                    if permit.generation == generation {
                        model.report(&options, call, outcome, now);
                    }
                    let before = breaker.state();
                    let transition = breaker.report(&options, permit, outcome, now);
                    prop_assert_eq!(transition, breaker.transition_since(before));
                }
                Step::Report(..) => {}
            }
            prop_assert_eq!((breaker.state(), breaker.failures), model.observed());
        }
        // After any history, successful probes close the circuit.
        for _ in 0..successes {
            now += 1_000;
            let permit = breaker.try_acquire(&options, now);
            prop_assert!(permit.is_ok(), "the timeout has elapsed, but no call is admitted");
            breaker.report(&options, permit.unwrap(), Outcome::Success, now);
        }
        prop_assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn the_manual_interface_never_admits_more_probes_than_slots(
        steps in prop::collection::vec((0..4u8, 0..1_500u64), 0..100),
        max in 1..4u32,
    ) {
        let options = Options {
            failure_threshold: 1,
            timeout: Duration::from_secs(1),
            half_open_max_calls: max,
            success_threshold: 2,
            ..Options::default()
        };
        let mut breaker = Breaker::new();
        let mut now = T;
        let mut slots: Vec<u64> = Vec::new();
        for (kind, wait) in steps {
            match kind {
                0 => now += wait,
                1 => { breaker.record_failure(&options, now); }
                2 => {
                    breaker.record_success(&options, now);
                    if !slots.is_empty() { slots.remove(0); }
                }
                _ => if breaker.can_execute(&options, now) && breaker.state() == State::HalfOpen {
                    slots.push(now);
                }
            }
            if breaker.state() != State::HalfOpen {
                slots.clear();
            }
            slots.retain(|at| now - at < 1_000);
            prop_assert!(slots.len() <= max as usize);
        }
    }
}
