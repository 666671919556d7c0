use super::*;
use proptest::prelude::*;

const NO_LIMITS: Limits = Limits { window: Window::Day, hard_cap: None, tenant_cap: None, soft_limit: None };
const DAY: u64 = 86_400_000;

fn capped(cap: PicoUsd) -> Limits {
    Limits { hard_cap: Some(cap), ..NO_LIMITS }
}

fn exactly(amount: PicoUsd) -> (PicoUsd, PicoUsd) {
    (amount, amount)
}

/// 2024-02-29T12:34:56.789Z.
const LEAP_DAY: u64 = 1_709_210_096_789;

#[test]
fn windows_start_at_utc_boundaries() {
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
fn every_month_starts_on_its_first_day() {
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
fn a_reservation_past_the_cap_is_rejected_with_its_amounts() {
    let mut ledger = Ledger::default();
    let reservation = ledger.reserve(&capped(100), None, "m", exactly(60), 0).unwrap();
    ledger.settle(reservation, 50);
    let reservation = ledger.reserve(&capped(100), None, "m", exactly(30), 0).unwrap();
    let error = ledger.reserve(&capped(100), None, "m", exactly(21), 0).unwrap_err();
    let scope = LimitScope::Client;
    assert_eq!(error, CapExceeded { scope, cap: 100, spent: 50, reserved: 30, needed: 21 });
    assert_eq!(ledger.check(&capped(100), None, 21, 0), Err(error));
    ledger.settle(reservation, 0);
    let reservation = ledger.reserve(&capped(100), None, "m", exactly(21), 0).unwrap();
    ledger.settle(reservation, 0);
}

#[test]
fn a_reservation_with_a_range_takes_what_is_available() {
    let mut ledger = Ledger::default();
    let mut reservation = ledger.reserve(&capped(100), None, "m", (10, 1_000), 0).unwrap();
    assert_eq!(reservation.amount(), 100);
    assert!(ledger.reserve(&capped(100), None, "m", (1, 1_000), 0).is_err());
    assert_eq!(ledger.grow(&capped(100), &mut reservation, 5).unwrap_err().needed, 105);
    ledger.grow(&capped(103), &mut reservation, 5).unwrap();
    assert_eq!(reservation.amount(), 103);
    ledger.settle(reservation, 40);
    assert_eq!(ledger.period(Window::Day, 0).total, Balance { spent: 40, reserved: 0 });
}

#[test]
fn each_tenant_has_its_own_cap() {
    let mut ledger = Ledger::default();
    let limits = Limits { tenant_cap: Some(10), ..capped(15) };
    let one = ledger.reserve(&limits, Some("a"), "m", exactly(10), 0).unwrap();
    let exceeded = ledger.reserve(&limits, Some("a"), "m", exactly(1), 0).unwrap_err();
    assert_eq!((exceeded.cap, exceeded.scope), (10, LimitScope::Tenant));
    let two = ledger.reserve(&limits, Some("b"), "m", exactly(5), 0).unwrap();
    let exceeded = ledger.reserve(&limits, Some("b"), "m", exactly(1), 0).unwrap_err();
    assert_eq!((exceeded.cap, exceeded.scope), (15, LimitScope::Client));
    ledger.settle(one, 4);
    ledger.settle(two, 5);
    let period = ledger.period(Window::Day, 0);
    assert_eq!((period.tenants["a"].spent, period.tenants["b"].spent, period.models["m"].spent), (4, 5, 9));
}

#[test]
fn a_reservation_is_settled_in_its_own_window() {
    let mut ledger = Ledger::default();
    let mut old = ledger.reserve(&capped(100), None, "m", exactly(90), DAY - 1).unwrap();
    let new = ledger.reserve(&capped(100), None, "m", exactly(100), DAY).unwrap();
    ledger.grow(&capped(100), &mut old, 20).unwrap();
    assert_eq!(old.amount(), 100, "its own window had 10 left");
    ledger.settle(old, 95);
    assert_eq!(ledger.period(Window::Day, DAY).total, Balance { spent: 0, reserved: 100 });
    assert!(ledger.past.is_empty(), "settled windows are dropped");
    ledger.settle(new, 1);
    assert_eq!(ledger.period(Window::Day, DAY).total, Balance { spent: 1, reserved: 0 });
}

#[test]
fn a_clock_that_goes_back_reopens_no_window() {
    let mut ledger = Ledger::default();
    let reservation = ledger.reserve(&capped(100), None, "m", exactly(100), DAY).unwrap();
    ledger.settle(reservation, 100);
    assert!(ledger.reserve(&capped(100), None, "m", exactly(1), DAY - 1).is_err());
}

#[test]
fn the_soft_limit_is_reported_once_per_window() {
    let mut ledger = Ledger::default();
    let limits = Limits { soft_limit: Some(50), ..NO_LIMITS };
    let spend = |ledger: &mut Ledger, amount, now| {
        let reservation = ledger.reserve(&limits, None, "m", exactly(amount), now).unwrap();
        ledger.settle(reservation, amount);
    };
    spend(&mut ledger, 49, 5);
    assert!(!ledger.is_past_soft_limit(&limits, 5) && ledger.take_soft_limit_notice(&limits, 5).is_none());
    spend(&mut ledger, 1, 5);
    assert_eq!(ledger.take_soft_limit_notice(&limits, 5), Some((0, 50)));
    assert!(ledger.is_past_soft_limit(&limits, 5) && ledger.take_soft_limit_notice(&limits, 5).is_none());
    assert!(!ledger.is_past_soft_limit(&limits, DAY));
    spend(&mut ledger, 60, DAY);
    assert_eq!(ledger.take_soft_limit_notice(&limits, DAY), Some((DAY, 60)));
}

#[test]
fn tenants_models_and_past_windows_are_bounded() {
    let mut ledger = Ledger::default();
    let limits = Limits { tenant_cap: Some(10), ..NO_LIMITS };
    for index in 0..MAX_TENANTS + 5 {
        let name = index.to_string();
        let reservation = ledger.reserve(&limits, Some(&name), &name, exactly(1), 0).unwrap();
        ledger.settle(reservation, 1);
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
fn a_ledger_survives_serialization() {
    let mut ledger = Ledger::default();
    let reservation = ledger.reserve(&capped(100), Some("k"), "m", exactly(7), 5).unwrap();
    let mut copy: Ledger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
    assert_eq!(copy, ledger);
    copy.settle(reservation, 3);
    assert_eq!(copy.period(Window::Day, 5).total, Balance { spent: 3, reserved: 0 });
}

#[test]
fn prices_are_exact_and_round_up() {
    assert_eq!(price_of_token(0.42), 420_000);
    assert_eq!(price_of_token(8.0), 8_000_000);
    assert_eq!(price_of_token(1e-9), 1);
    assert_eq!(pico_to_usd(usd_to_pico(1.5)), 1.5);
}

#[derive(Clone, Debug)]
enum Action {
    Reserve {
        min: PicoUsd,
        more: PicoUsd,
        tenant: u8,
    },
    Grow(usize, PicoUsd),
    /// The cost in thousandths of the reservation.
    Settle(usize, u64),
    Advance(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        (0u64..300, 0u64..300, 0u8..4).prop_map(|(min, more, tenant)| Action::Reserve { min, more, tenant }),
        (any::<usize>(), 1u64..100).prop_map(|(at, more)| Action::Grow(at, more)),
        (any::<usize>(), 0u64..=1000).prop_map(|(at, part)| Action::Settle(at, part)),
        (0u64..40_000).prop_map(Action::Advance),
    ];
    proptest::collection::vec(action, 1..200)
}

proptest! {
    /// With reservations in any order no window and no tenant exceeds its cap, the balances add up, and
    /// nothing stays reserved after the last settlement.
    #[test]
    fn no_window_exceeds_its_cap(actions in actions()) {
        let limits = Limits { window: Window::Minute, hard_cap: Some(1_000), tenant_cap: Some(400), soft_limit: None };
        let mut ledger = Ledger::default();
        let mut reservations: Vec<Reservation> = Vec::new();
        let mut now = 0;
        for action in actions {
            match action {
                Action::Reserve { min, more, tenant } => {
                    let tenant = format!("k{tenant}");
                    let tenant = (tenant != "k3").then_some(tenant.as_str());
                    reservations.extend(ledger.reserve(&limits, tenant, "m", (min, min + more), now).ok());
                }
                Action::Grow(at, more) if !reservations.is_empty() => {
                    let at = at % reservations.len();
                    let _ = ledger.grow(&limits, &mut reservations[at], more);
                }
                Action::Settle(at, part) if !reservations.is_empty() => {
                    let reservation = reservations.swap_remove(at % reservations.len());
                    let cost = reservation.amount() * part / 1000;
                    ledger.settle(reservation, cost);
                }
                Action::Advance(ms) => now += ms,
                _ => {}
            }
            for period in std::iter::once(&ledger.current).chain(&ledger.past) {
                prop_assert!(period.total.spent + period.total.reserved <= 1_000);
                prop_assert!(period.tenants.values().all(|balance| balance.spent + balance.reserved <= 400));
                let sum = |pick: fn(&Balance) -> PicoUsd| period.models.values().map(pick).sum::<PicoUsd>();
                prop_assert_eq!(sum(|balance| balance.spent), period.total.spent);
                prop_assert_eq!(sum(|balance| balance.reserved), period.total.reserved);
            }
        }
        for reservation in reservations {
            let cost = reservation.amount();
            ledger.settle(reservation, cost);
        }
        prop_assert_eq!(ledger.current.total.reserved, 0);
        prop_assert!(ledger.past.is_empty());
    }
}
