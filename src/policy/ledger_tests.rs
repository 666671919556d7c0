use super::*;
use proptest::prelude::*;

const NO_LIMITS: Limits = Limits { window: Window::Day, hard_cap: None, tenant_cap: None, soft_limit: None };
const DAY: u64 = 86_400_000;

fn capped(cap: Pico) -> Limits {
    Limits { hard_cap: Some(cap), ..NO_LIMITS }
}

fn exactly(amount: Pico) -> (Pico, Pico) {
    (amount, amount)
}

/// 2024-02-29T12:34:56.789Z.
const LEAP_DAY: u64 = 1_709_210_096_789;

#[test]
fn windows_begin_at_utc_boundaries() {
    assert_eq!(Window::Minute.start(LEAP_DAY), 1_709_210_040_000);
    assert_eq!(Window::Hour.start(LEAP_DAY), 1_709_208_000_000);
    assert_eq!(Window::Day.start(LEAP_DAY), 1_709_164_800_000);
    assert_eq!(Window::Month.start(LEAP_DAY), 1_706_745_600_000, "2024-02-01");
    assert_eq!(Window::Total.start(LEAP_DAY), 0);
    assert_eq!(Window::Month.start(0), 0);
    // 2024-12-31T23:59:59.999Z and the next millisecond.
    assert_eq!(Window::Month.start(1_735_689_599_999), 1_733_011_200_000);
    assert_eq!(Window::Month.start(1_735_689_600_000), 1_735_689_600_000);
}

#[test]
fn every_month_begins_on_its_first_day() {
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut day = 0;
    for year in 1970..2104 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (month, length) in lengths.iter().enumerate() {
            let length = length + u64::from(leap && month == 1);
            for of_month in 0..length {
                assert_eq!(Window::Month.start((day + of_month) * DAY + 1), day * DAY, "{year} {month}");
            }
            day += length;
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_figures() {
    let mut ledger = Ledger::default();
    let held = ledger.reserve(&capped(100), None, "m", exactly(60), 0).unwrap();
    ledger.settle(held, 50);
    let held = ledger.reserve(&capped(100), None, "m", exactly(30), 0).unwrap();
    let refused = ledger.reserve(&capped(100), None, "m", exactly(21), 0).unwrap_err();
    assert_eq!(refused, Refusal { cap: 100, spent: 50, reserved: 30, needed: 21 });
    assert_eq!(ledger.fits(&capped(100), None, 21, 0), Err(refused));
    ledger.settle(held, 0);
    let held = ledger.reserve(&capped(100), None, "m", exactly(21), 0).unwrap();
    ledger.settle(held, 0);
}

#[test]
fn a_bound_that_may_be_reduced_takes_what_is_left() {
    let mut ledger = Ledger::default();
    let mut held = ledger.reserve(&capped(100), None, "m", (10, 1_000), 0).unwrap();
    assert_eq!(held.amount(), 100);
    assert!(ledger.reserve(&capped(100), None, "m", (1, 1_000), 0).is_err());
    assert_eq!(ledger.grow(&capped(100), &mut held, 5).unwrap_err().needed, 105);
    ledger.grow(&capped(103), &mut held, 5).unwrap();
    assert_eq!(held.amount(), 103);
    ledger.settle(held, 40);
    assert_eq!(ledger.period(Window::Day, 0).total, Line { spent: 40, reserved: 0 });
}

#[test]
fn a_tenant_has_a_cap_of_its_own() {
    let mut ledger = Ledger::default();
    let limits = Limits { tenant_cap: Some(10), ..capped(15) };
    let one = ledger.reserve(&limits, Some("a"), "m", exactly(10), 0).unwrap();
    assert_eq!(ledger.reserve(&limits, Some("a"), "m", exactly(1), 0).unwrap_err().cap, 10);
    let two = ledger.reserve(&limits, Some("b"), "m", exactly(5), 0).unwrap();
    assert_eq!(ledger.reserve(&limits, Some("b"), "m", exactly(1), 0).unwrap_err().cap, 15);
    ledger.settle(one, 4);
    ledger.settle(two, 5);
    let period = ledger.period(Window::Day, 0);
    assert_eq!((period.tenants["a"].spent, period.tenants["b"].spent, period.models["m"].spent), (4, 5, 9));
}

#[test]
fn what_was_reserved_before_a_boundary_is_settled_before_it() {
    let mut ledger = Ledger::default();
    let mut old = ledger.reserve(&capped(100), None, "m", exactly(90), DAY - 1).unwrap();
    let new = ledger.reserve(&capped(100), None, "m", exactly(100), DAY).unwrap();
    ledger.grow(&capped(100), &mut old, 20).unwrap();
    assert_eq!(old.amount(), 100, "its own window had 10 left");
    ledger.settle(old, 95);
    assert_eq!(ledger.period(Window::Day, DAY).total, Line { spent: 0, reserved: 100 });
    assert!(ledger.past.is_empty(), "nothing is kept that nobody needs");
    ledger.settle(new, 1);
    assert_eq!(ledger.period(Window::Day, DAY).total, Line { spent: 1, reserved: 0 });
}

#[test]
fn a_clock_that_goes_back_reopens_nothing() {
    let mut ledger = Ledger::default();
    let held = ledger.reserve(&capped(100), None, "m", exactly(100), DAY).unwrap();
    ledger.settle(held, 100);
    assert!(ledger.reserve(&capped(100), None, "m", exactly(1), DAY - 1).is_err());
}

#[test]
fn the_soft_limit_is_told_once_a_window() {
    let mut ledger = Ledger::default();
    let limits = Limits { soft_limit: Some(50), ..NO_LIMITS };
    let spend = |ledger: &mut Ledger, amount, now| {
        let held = ledger.reserve(&limits, None, "m", exactly(amount), now).unwrap();
        ledger.settle(held, amount);
    };
    spend(&mut ledger, 49, 5);
    assert!(!ledger.is_soft(&limits, 5) && ledger.tell_soft(&limits, 5).is_none());
    spend(&mut ledger, 1, 5);
    assert_eq!(ledger.tell_soft(&limits, 5), Some((0, 50)));
    assert!(ledger.is_soft(&limits, 5) && ledger.tell_soft(&limits, 5).is_none());
    assert!(!ledger.is_soft(&limits, DAY));
    spend(&mut ledger, 60, DAY);
    assert_eq!(ledger.tell_soft(&limits, DAY), Some((DAY, 60)));
}

#[test]
fn tenants_models_and_past_windows_are_bounded() {
    let mut ledger = Ledger::default();
    let limits = Limits { tenant_cap: Some(10), ..NO_LIMITS };
    for index in 0..MAX_TENANTS + 5 {
        let name = index.to_string();
        let held = ledger.reserve(&limits, Some(&name), &name, exactly(1), 0).unwrap();
        ledger.settle(held, 1);
    }
    let period = ledger.period(Window::Day, 0);
    assert_eq!((period.tenants.len(), period.models.len()), (MAX_TENANTS + 1, MAX_MODELS + 1));
    assert_eq!((period.tenants[OTHERS].spent, period.total.spent), (5, MAX_TENANTS as u64 + 5));
    for index in 1..200 {
        let _leaked = ledger.reserve(&limits, None, "m", exactly(1), index * DAY).unwrap();
    }
    assert_eq!(ledger.past.len(), MAX_PAST);
}

#[test]
fn the_books_can_be_written_down_and_read_again() {
    let mut ledger = Ledger::default();
    let held = ledger.reserve(&capped(100), Some("k"), "m", exactly(7), 5).unwrap();
    let mut copy: Ledger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
    assert_eq!(copy, ledger);
    copy.settle(held, 3);
    assert_eq!(copy.period(Window::Day, 5).total, Line { spent: 3, reserved: 0 });
}

#[test]
fn prices_are_exact_and_round_up() {
    assert_eq!(price_of_token(0.42), 420_000);
    assert_eq!(price_of_token(8.0), 8_000_000);
    assert_eq!(price_of_token(1e-9), 1);
    assert_eq!(usd(pico(1.5)), 1.5);
}

/// What one call does next.
#[derive(Clone, Debug)]
enum Act {
    Reserve {
        least: Pico,
        more: Pico,
        tenant: u8,
    },
    Grow(usize, Pico),
    /// In thousandths of what is reserved.
    Settle(usize, u64),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0u64..300, 0u64..300, 0u8..4).prop_map(|(least, more, tenant)| Act::Reserve { least, more, tenant }),
        (any::<usize>(), 1u64..100).prop_map(|(at, more)| Act::Grow(at, more)),
        (any::<usize>(), 0u64..=1000).prop_map(|(at, part)| Act::Settle(at, part)),
        (0u64..40_000).prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 1..200)
}

proptest! {
    /// Calls reserve, grow and settle in any order: no window and no tenant ever passes its cap, the
    /// lines add up, and when all is settled nothing is reserved.
    #[test]
    fn no_window_passes_its_cap(acts in acts()) {
        let limits = Limits { window: Window::Minute, hard_cap: Some(1_000), tenant_cap: Some(400), soft_limit: None };
        let mut ledger = Ledger::default();
        let mut held: Vec<Reservation> = Vec::new();
        let mut now = 0;
        for act in acts {
            match act {
                Act::Reserve { least, more, tenant } => {
                    let tenant = format!("k{tenant}");
                    let tenant = (tenant != "k3").then_some(tenant.as_str());
                    held.extend(ledger.reserve(&limits, tenant, "m", (least, least + more), now).ok());
                }
                Act::Grow(at, more) if !held.is_empty() => {
                    let at = at % held.len();
                    let _ = ledger.grow(&limits, &mut held[at], more);
                }
                Act::Settle(at, part) if !held.is_empty() => {
                    let reservation = held.swap_remove(at % held.len());
                    let cost = reservation.amount() * part / 1000;
                    ledger.settle(reservation, cost);
                }
                Act::Pass(ms) => now += ms,
                _ => {}
            }
            for period in std::iter::once(&ledger.current).chain(&ledger.past) {
                prop_assert!(period.total.spent + period.total.reserved <= 1_000);
                prop_assert!(period.tenants.values().all(|line| line.spent + line.reserved <= 400));
                let sum = |pick: fn(&Line) -> Pico| period.models.values().map(pick).sum::<Pico>();
                prop_assert_eq!(sum(|line| line.spent), period.total.spent);
                prop_assert_eq!(sum(|line| line.reserved), period.total.reserved);
            }
        }
        for reservation in held {
            let cost = reservation.amount();
            ledger.settle(reservation, cost);
        }
        prop_assert_eq!(ledger.current.total.reserved, 0);
        prop_assert!(ledger.past.is_empty());
    }
}
