//! What was spent: by window, by tenant and by model, and what is reserved by calls under way.
//!
//! Nothing is sent before its upper bound has been reserved, and nothing is reserved that does not fit
//! under the cap: so what is spent and reserved together never passes it, however many calls run at
//! once. Money is counted in whole pico-dollars (10⁻¹² USD), so that no sum depends on its order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// 10⁻¹² USD.
pub type Pico = u64;

/// A dollar.
pub const USD: f64 = 1e12;

/// How many tenants and how many models have a line of their own in a window; what comes after them
/// shares one line.
const MAX_TENANTS: usize = 10_000;
const MAX_MODELS: usize = 256;
/// The line that is shared.
pub const OTHERS: &str = "(others)";
/// How many windows that are over are kept for calls that began in them.
const MAX_PAST: usize = 64;

/// The windows of a cap. They begin at UTC boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    Minute,
    Hour,
    Day,
    Month,
    /// It never ends.
    Total,
}

impl Window {
    pub fn as_str(self) -> &'static str {
        match self {
            Window::Minute => "minute",
            Window::Hour => "hour",
            Window::Day => "day",
            Window::Month => "month",
            Window::Total => "total",
        }
    }

    /// When the window began that `now` is in, in milliseconds since the epoch; 0 for the one that
    /// never ends.
    pub fn start(self, now: u64) -> u64 {
        const DAY: u64 = 86_400_000;
        let whole = |length: u64| now - now % length;
        match self {
            Window::Minute => whole(60_000),
            Window::Hour => whole(3_600_000),
            Window::Day => whole(DAY),
            Window::Month => whole(DAY) - (day_of_month(now / DAY) - 1) * DAY,
            Window::Total => 0,
        }
    }
}

/// The day of the month, from 1, of a day since the epoch. (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", civil_from_days: years begin in March, so that the leap day is last.)
fn day_of_month(days: u64) -> u64 {
    let day_of_era = (days + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month + 2) / 5 + 1
}

/// What may be spent in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub window: Window,
    /// All calls together.
    pub hard_cap: Option<Pico>,
    /// The calls of one tenant together.
    pub tenant_cap: Option<Pico>,
    /// From here on cheaper models go first.
    pub soft_limit: Option<Pico>,
}

impl Limits {
    /// Whether the calls of this tenant may be refused or cut.
    pub fn caps(&self, tenant: Option<&str>) -> bool {
        self.hard_cap.is_some() || (self.tenant_cap.is_some() && tenant.is_some())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub spent: Pico,
    pub reserved: Pico,
}

impl Line {
    fn left(&self, cap: Option<Pico>) -> Pico {
        cap.map_or(Pico::MAX, |cap| cap.saturating_sub(self.spent.saturating_add(self.reserved)))
    }

    fn reserve(&mut self, amount: Pico) {
        self.reserved = self.reserved.saturating_add(amount);
    }

    fn settle(&mut self, reserved: Pico, cost: Pico) {
        self.reserved = self.reserved.saturating_sub(reserved);
        self.spent = self.spent.saturating_add(cost);
    }
}

/// The books of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// When it began, in milliseconds since the epoch.
    pub since: u64,
    pub total: Line,
    pub tenants: BTreeMap<String, Line>,
    pub models: BTreeMap<String, Line>,
    /// Reservations that are not settled.
    open: u64,
    /// It was told that the soft limit is reached.
    told: bool,
}

impl Period {
    /// The lines that a reservation is on.
    fn lines(&mut self, tenant: Option<&str>, model: &str, mut each: impl FnMut(&mut Line)) {
        each(&mut self.total);
        if let Some(tenant) = tenant {
            each(line(&mut self.tenants, tenant, MAX_TENANTS));
        }
        each(line(&mut self.models, model, MAX_MODELS));
    }

    /// What may still be reserved, and the line and the cap that say so.
    fn left(&mut self, limits: &Limits, tenant: Option<&str>) -> (Pico, Line, Pico) {
        let all = (self.total.left(limits.hard_cap), self.total, limits.hard_cap.unwrap_or(Pico::MAX));
        let (Some(tenant), Some(cap)) = (tenant, limits.tenant_cap) else { return all };
        let own = *line(&mut self.tenants, tenant, MAX_TENANTS);
        let of_tenant = (own.left(Some(cap)), own, cap);
        if of_tenant.0 < all.0 { of_tenant } else { all }
    }
}

fn line<'a>(lines: &'a mut BTreeMap<String, Line>, name: &str, most: usize) -> &'a mut Line {
    let name = if lines.len() < most || lines.contains_key(name) { name } else { OTHERS };
    lines.entry(name.to_owned()).or_default()
}

/// What a call has reserved. It is settled once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is reserved stays reserved until it is settled"]
pub struct Reservation {
    since: u64,
    tenant: Option<String>,
    model: String,
    amount: Pico,
}

impl Reservation {
    pub fn amount(&self) -> Pico {
        self.amount
    }

    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}

/// Why nothing was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub cap: Pico,
    pub spent: Pico,
    pub reserved: Pico,
    pub needed: Pico,
}

/// The books: the window that is now, and before it those in which calls are still under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    past: Vec<Period>,
    current: Period,
}

impl Ledger {
    /// The books of the window that `now` is in.
    pub fn period(&mut self, window: Window, now: u64) -> &mut Period {
        let since = window.start(now);
        if since > self.current.since {
            let over = std::mem::replace(&mut self.current, Period { since, ..Period::default() });
            if over.open > 0 {
                if self.past.len() == MAX_PAST {
                    self.past.remove(0);
                }
                self.past.push(over);
            }
        }
        &mut self.current
    }

    /// Reserves `most`, or what is left where that is at least `least`.
    pub fn reserve(
        &mut self,
        limits: &Limits,
        tenant: Option<&str>,
        model: &str,
        (least, most): (Pico, Pico),
        now: u64,
    ) -> Result<Reservation, Refusal> {
        let period = self.period(limits.window, now);
        let (left, line, cap) = period.left(limits, tenant);
        let amount = most.min(left);
        if amount < least.min(most) {
            return Err(Refusal { cap, spent: line.spent, reserved: line.reserved, needed: least.min(most) });
        }
        period.open += 1;
        period.lines(tenant, model, |line| line.reserve(amount));
        Ok(Reservation {
            since: period.since,
            tenant: tenant.map(str::to_owned),
            model: model.to_owned(),
            amount,
        })
    }

    /// Whether `least` would be reserved now.
    pub fn fits(
        &mut self,
        limits: &Limits,
        tenant: Option<&str>,
        least: Pico,
        now: u64,
    ) -> Result<(), Refusal> {
        let (left, line, cap) = self.period(limits.window, now).left(limits, tenant);
        if least <= left {
            return Ok(());
        }
        Err(Refusal { cap, spent: line.spent, reserved: line.reserved, needed: least })
    }

    /// Makes a reservation larger, by `more` or by what is left in its window. An error where nothing
    /// is.
    pub fn grow(&mut self, limits: &Limits, held: &mut Reservation, more: Pico) -> Result<(), Refusal> {
        let amount = held.amount;
        let tenant = held.tenant.clone();
        let Some(period) = self.of(held) else {
            return Err(Refusal { cap: 0, spent: 0, reserved: amount, needed: amount.saturating_add(more) });
        };
        let (left, line, cap) = period.left(limits, tenant.as_deref());
        let more_now = more.min(left);
        if more_now == 0 {
            let needed = amount.saturating_add(more);
            return Err(Refusal { cap, spent: line.spent, reserved: line.reserved, needed });
        }
        period.lines(tenant.as_deref(), &held.model, |line| line.reserve(more_now));
        held.amount += more_now;
        Ok(())
    }

    /// Gives back what was reserved and writes down what it has cost, in the window in which it was
    /// reserved.
    pub fn settle(&mut self, held: Reservation, cost: Pico) {
        let Some(period) = self.of(&held) else { return };
        period.open = period.open.saturating_sub(1);
        period.lines(held.tenant.as_deref(), &held.model, |line| line.settle(held.amount, cost));
        let current = self.current.since;
        self.past.retain(|period| period.open > 0 && period.since < current);
    }

    fn of(&mut self, held: &Reservation) -> Option<&mut Period> {
        let all = std::iter::once(&mut self.current).chain(&mut self.past);
        all.into_iter().find(|period| period.since == held.since)
    }

    /// The soft limit is reached in this window.
    pub fn is_soft(&mut self, limits: &Limits, now: u64) -> bool {
        let Some(limit) = limits.soft_limit else { return false };
        self.period(limits.window, now).total.spent >= limit
    }

    /// The same, once a window: what was spent, for whoever tells of it.
    pub fn tell_soft(&mut self, limits: &Limits, now: u64) -> Option<(u64, Pico)> {
        if !self.is_soft(limits, now) || std::mem::replace(&mut self.current.told, true) {
            return None;
        }
        Some((self.current.since, self.current.total.spent))
    }
}

/// The price of one token where a million cost so many dollars, rounded up.
pub fn price_of_token(usd_per_million: f64) -> Pico {
    (usd_per_million / 1e6 * USD).ceil() as Pico
}

/// An amount in dollars, rounded down.
pub fn pico(usd: f64) -> Pico {
    (usd * USD) as Pico
}

/// An amount as dollars.
pub fn usd(amount: Pico) -> f64 {
    amount as f64 / USD
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
