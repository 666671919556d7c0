//! The retry budget of a client, and that of each `tenant`. Retries on a route, hedges and
//! recoveries spend it; the first try of a route does not, or an outage would shut the fallback too.

use std::collections::HashMap;
use std::sync::Arc;

use super::call::Running;
use super::clock;
use super::event::Event;
use crate::config::defaults as d;
use crate::policy::plan::{Plan, Reason, Step, Stop};
use crate::policy::retry_budget::{Budget, Options};
use crate::store::Slot;

/// The budget that had no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    Client,
    Tenant,
}

impl Exhausted {
    pub fn as_str(self) -> &'static str {
        match self {
            Exhausted::Client => "client",
            Exhausted::Tenant => "tenant",
        }
    }
}

/// What is remembered: the client's budget and those of the keys.
#[derive(Default)]
struct Budgets {
    client: Budget,
    /// At most [`d::MAX_TENANTS`], each with the number of its last use.
    keys: HashMap<Arc<str>, (u64, Budget)>,
    uses: u64,
}

impl Budgets {
    fn key(&mut self, key: &str) -> &mut Budget {
        self.uses += 1;
        if !self.keys.contains_key(key) && self.keys.len() >= d::MAX_TENANTS {
            let oldest = self.keys.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| Arc::clone(key));
            if let Some(oldest) = oldest {
                self.keys.remove(&oldest);
            }
        }
        let (used, budget) = self.keys.entry(key.into()).or_default();
        *used = self.uses;
        budget
    }

    /// Runs `change` on the client's budget and the key's.
    fn each(&mut self, key: Option<&str>, change: impl Fn(&mut Budget)) {
        change(&mut self.client);
        if let Some(key) = key {
            change(self.key(key));
        }
    }
}

/// A client's budgets, shared by its calls. Without options there are none, and nothing is refused.
#[derive(Clone)]
pub struct RetryBudget {
    options: Option<Options>,
    state: Slot<Budgets>,
}

impl RetryBudget {
    pub fn new(options: Option<Options>) -> Self {
        RetryBudget { options, state: Slot::new(Budgets::default()) }
    }

    /// The same memory with other options.
    pub fn with(&self, options: Option<Options>) -> Self {
        RetryBudget { options, ..self.clone() }
    }

    /// Counts a call.
    pub fn deposit(&self, key: Option<&str>) {
        let Some(options) = &self.options else { return };
        let now = clock::now();
        self.state.update(|budgets| budgets.each(key, |budget| budget.deposit(options, now)));
    }

    /// Spends one retry of both budgets, or nothing where one of them has no room.
    pub fn withdraw(&self, key: Option<&str>) -> Result<(), Exhausted> {
        let Some(options) = &self.options else { return Ok(()) };
        let now = clock::now();
        self.state.update(|budgets| {
            if !budgets.client.has_room(options, now) {
                return Err(Exhausted::Client);
            }
            if key.is_some_and(|key| !budgets.key(key).has_room(options, now)) {
                return Err(Exhausted::Tenant);
            }
            budgets.each(key, |budget| budget.spend(options, now));
            Ok(())
        })
    }

    /// What was withdrawn was not used.
    pub fn give_back(&self, key: Option<&str>) {
        let Some(options) = &self.options else { return };
        let now = clock::now();
        self.state.update(|budgets| budgets.each(key, |budget| budget.give_back(options, now)));
    }

    #[cfg(test)]
    pub fn keys(&self) -> usize {
        self.state.update(|budgets| budgets.keys.len())
    }

    #[cfg(test)]
    pub fn has_key(&self, key: &str) -> bool {
        self.state.update(|budgets| budgets.keys.contains_key(key))
    }
}

impl Running<'_> {
    pub(super) fn tenant(&self) -> Option<&str> {
        self.call.options.tenant.as_deref()
    }

    /// Whether an attempt spends the budget: a retry does, and whatever takes up a broken answer.
    fn costs(&self, reason: Reason) -> bool {
        matches!(reason, Reason::Retry(_)) || self.committed
    }

    /// Pays for the attempt that is due. Where the budget has no room, what is due is a first try of
    /// another route, which is free, or the end.
    pub(super) fn pay(&mut self, step: Step, plan: &mut Plan) -> Step {
        let Step::Try { reason, .. } = step else { return step };
        if !self.costs(reason) {
            return step;
        }
        if self.afford() {
            return step;
        }
        if self.committed {
            return Step::Stop(Stop::NoBudget);
        }
        plan.unaffordable(clock::now(), self.remaining(), &mut rand::rng())
    }

    /// Withdraws one retry, or tells which budget has no room for it.
    pub(super) fn afford(&self) -> bool {
        let Err(exhausted) = self.client.budget.withdraw(self.tenant()) else { return true };
        self.emit(Event::RetryBudget {
            call: self.id.clone(),
            request_id: self.previous_request(),
            budget: exhausted.as_str(),
        });
        false
    }

    /// The attempt that was due for this reason is not made.
    pub(super) fn unpay(&self, reason: Reason) {
        if self.costs(reason) {
            self.client.budget.give_back(self.tenant());
        }
    }
}
