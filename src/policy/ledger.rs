//! The cost ledger: what was spent by window, tenant and model, and what calls in flight have reserved.
//!
//! A call reserves the upper bound of its cost before it sends anything, and a reservation must fit under the
//! cap. So spent and reserved together never exceed the cap, with any number of concurrent calls. Amounts are
//! whole pico-dollars (10⁻¹² USD), so a sum does not depend on the order of its terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::LimitScope;

/// An amount in pico-dollars, 10⁻¹² USD.
pub type PicoUsd = u64;

/// Pico-dollars in a dollar.
pub const PICO_PER_USD: f64 = 1e12;

/// Tenants and models with their own balance in a window. Any further ones share a balance.
const MAX_TENANTS: usize = 10_000;
const MAX_MODELS: usize = 256;
/// The name of the shared balance.
pub const OTHERS: &str = "(others)";
/// Past windows kept for the reservations that were made in them.
const MAX_PAST: usize = 64;

/// The ledger of a client: the current window, and the past windows with open reservations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    past: Vec<Period>,
    current: Period,
}

impl Ledger {
    /// The window that contains `now`. If the clock goes back, the current window stays.
    pub fn period(&mut self, window: Window, now: u64) -> &mut Period {
        let since = window.start(now);
        if since > self.current.since {
            let ended = std::mem::replace(&mut self.current, Period { since, ..Period::default() });
            if ended.open > 0 {
                if self.past.len() == MAX_PAST {
                    self.past.remove(0);
                }
                self.past.push(ended);
            }
        }
        &mut self.current
    }

    /// Reserves `max`, or the amount that is available if it is at least `min`.
    ///
    /// # Errors
    /// [`CapExceeded`] if less than `min` is available.
    pub fn reserve(
        &mut self,
        limits: &Limits,
        tenant: Option<&str>,
        model: &str,
        (min, max): (PicoUsd, PicoUsd),
        now: u64,
    ) -> Result<Reservation, CapExceeded> {
        let period = self.period(limits.window, now);
        let headroom = period.headroom(limits, tenant);
        let amount = max.min(headroom.available);
        if amount < min.min(max) {
            return Err(headroom.exceeded(min.min(max)));
        }
        period.open += 1;
        period.for_each_balance(tenant, model, |balance| balance.reserve(amount));
        Ok(Reservation {
            since: period.since,
            tenant: tenant.map(str::to_owned),
            model: model.to_owned(),
            amount,
        })
    }

    /// Whether `amount` could be reserved now.
    ///
    /// # Errors
    /// [`CapExceeded`] if it could not.
    pub fn check(
        &mut self,
        limits: &Limits,
        tenant: Option<&str>,
        amount: PicoUsd,
        now: u64,
    ) -> Result<(), CapExceeded> {
        let headroom = self.period(limits.window, now).headroom(limits, tenant);
        if amount <= headroom.available {
            return Ok(());
        }
        Err(headroom.exceeded(amount))
    }

    /// Increases a reservation by `more`, or by the amount that is available in its window.
    ///
    /// # Errors
    /// [`CapExceeded`] if nothing is available.
    pub fn grow(
        &mut self,
        limits: &Limits,
        reservation: &mut Reservation,
        more: PicoUsd,
    ) -> Result<(), CapExceeded> {
        let amount = reservation.amount;
        let tenant = reservation.tenant.clone();
        let needed = amount.saturating_add(more);
        let Some(period) = self.period_of(reservation) else {
            let scope = LimitScope::Client;
            return Err(CapExceeded { scope, cap: 0, spent: 0, reserved: amount, needed });
        };
        let headroom = period.headroom(limits, tenant.as_deref());
        let added = more.min(headroom.available);
        if added == 0 {
            return Err(headroom.exceeded(needed));
        }
        period.for_each_balance(tenant.as_deref(), &reservation.model, |balance| balance.reserve(added));
        reservation.amount += added;
        Ok(())
    }

    /// Releases a reservation and records the actual cost, in the window of the reservation.
    pub fn settle(&mut self, reservation: Reservation, cost: PicoUsd) {
        let Some(period) = self.period_of(&reservation) else { return };
        period.open = period.open.saturating_sub(1);
        period.for_each_balance(reservation.tenant.as_deref(), &reservation.model, |balance| {
            balance.settle(reservation.amount, cost);
        });
        let current = self.current.since;
        self.past.retain(|period| period.open > 0 && period.since < current);
    }

    /// Whether the spending in the current window has reached the soft limit.
    pub fn is_past_soft_limit(&mut self, limits: &Limits, now: u64) -> bool {
        let Some(limit) = limits.soft_limit else { return false };
        self.period(limits.window, now).total.spent >= limit
    }

    /// Once per window, when the soft limit is reached: the start of the window and the amount spent.
    pub fn take_soft_limit_notice(&mut self, limits: &Limits, now: u64) -> Option<(u64, PicoUsd)> {
        if !self.is_past_soft_limit(limits, now)
            || std::mem::replace(&mut self.current.soft_limit_reported, true)
        {
            return None;
        }
        Some((self.current.since, self.current.total.spent))
    }

    fn period_of(&mut self, reservation: &Reservation) -> Option<&mut Period> {
        let mut periods = std::iter::once(&mut self.current).chain(&mut self.past);
        periods.find(|period| period.since == reservation.since)
    }
}

/// An amount that a call has reserved. It must be settled with [`Ledger::settle`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the amount stays reserved until the reservation is settled"]
pub struct Reservation {
    since: u64,
    tenant: Option<String>,
    model: String,
    amount: PicoUsd,
}

impl Reservation {
    pub fn amount(&self) -> PicoUsd {
        self.amount
    }

    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}

/// A reservation does not fit under a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapExceeded {
    /// Whose cap it is.
    pub scope: LimitScope,
    pub cap: PicoUsd,
    pub spent: PicoUsd,
    pub reserved: PicoUsd,
    pub needed: PicoUsd,
}

/// The caps and the soft limit of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub window: Window,
    /// The cap of all calls together.
    pub hard_cap: Option<PicoUsd>,
    /// The cap of each tenant.
    pub tenant_cap: Option<PicoUsd>,
    /// Once this much is spent, cheaper models are tried first.
    pub soft_limit: Option<PicoUsd>,
}

impl Limits {
    /// Whether a cap applies to the calls of this tenant.
    pub fn is_capped(&self, tenant: Option<&str>) -> bool {
        self.hard_cap.is_some() || (self.tenant_cap.is_some() && tenant.is_some())
    }
}

/// The balances of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The start of the window, in milliseconds since the epoch.
    pub since: u64,
    pub total: Balance,
    pub tenants: BTreeMap<String, Balance>,
    pub models: BTreeMap<String, Balance>,
    /// The number of open reservations.
    open: u64,
    soft_limit_reported: bool,
}

impl Period {
    /// Updates each balance that a reservation counts toward.
    fn for_each_balance(&mut self, tenant: Option<&str>, model: &str, mut update: impl FnMut(&mut Balance)) {
        update(&mut self.total);
        if let Some(tenant) = tenant {
            update(balance_of(&mut self.tenants, tenant, MAX_TENANTS));
        }
        update(balance_of(&mut self.models, model, MAX_MODELS));
    }

    /// The headroom of the cap that leaves the least.
    fn headroom(&mut self, limits: &Limits, tenant: Option<&str>) -> Headroom {
        let total = Headroom::new(LimitScope::Client, self.total, limits.hard_cap);
        let (Some(tenant), Some(cap)) = (tenant, limits.tenant_cap) else { return total };
        let balance = *balance_of(&mut self.tenants, tenant, MAX_TENANTS);
        let tenant = Headroom::new(LimitScope::Tenant, balance, Some(cap));
        if tenant.available < total.available { tenant } else { total }
    }
}

/// The amount that can still be reserved under one cap.
struct Headroom {
    scope: LimitScope,
    available: PicoUsd,
    balance: Balance,
    cap: PicoUsd,
}

impl Headroom {
    /// Without a cap everything is available.
    fn new(scope: LimitScope, balance: Balance, cap: Option<PicoUsd>) -> Self {
        let committed = balance.spent.saturating_add(balance.reserved);
        let available = cap.map_or(PicoUsd::MAX, |cap| cap.saturating_sub(committed));
        Headroom { scope, available, balance, cap: cap.unwrap_or(PicoUsd::MAX) }
    }

    fn exceeded(&self, needed: PicoUsd) -> CapExceeded {
        let Balance { spent, reserved } = self.balance;
        CapExceeded { scope: self.scope, cap: self.cap, spent, reserved, needed }
    }
}

/// What was spent and what is reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub spent: PicoUsd,
    pub reserved: PicoUsd,
}

impl Balance {
    fn reserve(&mut self, amount: PicoUsd) {
        self.reserved = self.reserved.saturating_add(amount);
    }

    fn settle(&mut self, reserved: PicoUsd, cost: PicoUsd) {
        self.reserved = self.reserved.saturating_sub(reserved);
        self.spent = self.spent.saturating_add(cost);
    }
}

fn balance_of<'a>(balances: &'a mut BTreeMap<String, Balance>, name: &str, max: usize) -> &'a mut Balance {
    let name = if balances.len() < max || balances.contains_key(name) { name } else { OTHERS };
    balances.entry(name.to_owned()).or_default()
}

/// The window of a cap. Windows start at UTC boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    Minute,
    Hour,
    Day,
    Month,
    /// A single window that never ends.
    Total,
}

impl Window {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            Window::Minute => "minute",
            Window::Hour => "hour",
            Window::Day => "day",
            Window::Month => "month",
            Window::Total => "total",
        }
    }

    /// The start of the window that contains `now`, in milliseconds since the epoch; 0 for
    /// [`Window::Total`].
    pub fn start(self, now: u64) -> u64 {
        const DAY: u64 = 86_400_000;
        let floor = |length: u64| now - now % length;
        match self {
            Window::Minute => floor(60_000),
            Window::Hour => floor(3_600_000),
            Window::Day => floor(DAY),
            Window::Month => floor(DAY) - (day_of_month(now / DAY) - 1) * DAY,
            Window::Total => 0,
        }
    }
}

/// The day of the month, from 1, of a day since the epoch. This is `civil_from_days` of Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", where years start in March so that the leap day is last.
fn day_of_month(days: u64) -> u64 {
    let day_of_era = (days + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month + 2) / 5 + 1
}

/// The price of one token, rounded up.
pub fn price_of_token(usd_per_million: f64) -> PicoUsd {
    (usd_per_million / 1e6 * PICO_PER_USD).ceil() as PicoUsd
}

/// Converts dollars, rounding down.
pub fn usd_to_pico(usd: f64) -> PicoUsd {
    (usd * PICO_PER_USD) as PicoUsd
}

/// Converts to dollars.
pub fn pico_to_usd(amount: PicoUsd) -> f64 {
    amount as f64 / PICO_PER_USD
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
