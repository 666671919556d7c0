//! The retry budgets of a client and of each tenant. Retries on a route, hedges and recoveries spend them. The first
//! attempt on a route does not, or an outage would disable the fallback too.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::defaults;
use crate::engine::time::clock;
use crate::policy::retry_budget::{Budget, Options};
use crate::store::SharedState;

/// The budget that is exhausted.
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

/// The client's budget and those of the tenants.
#[derive(Default)]
struct Budgets {
    client: Budget,
    /// At most [`defaults::MAX_TENANTS`], each with the number of its last use.
    keys: HashMap<Arc<str>, (u64, Budget)>,
    uses: u64,
}

impl Budgets {
    fn key(&mut self, key: &str) -> &mut Budget {
        self.uses += 1;
        if !self.keys.contains_key(key) && self.keys.len() >= defaults::MAX_TENANTS {
            let oldest = self.keys.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| Arc::clone(key));
            if let Some(oldest) = oldest {
                self.keys.remove(&oldest);
            }
        }
        let (used, budget) = self.keys.entry(key.into()).or_default();
        *used = self.uses;
        budget
    }

    /// Applies `change` to the client's budget and the tenant's.
    fn each(&mut self, key: Option<&str>, change: impl Fn(&mut Budget)) {
        change(&mut self.client);
        if let Some(key) = key {
            change(self.key(key));
        }
    }
}

/// A client's budgets, shared by its calls. Without options there is no limit.
#[derive(Clone)]
pub struct RetryBudget {
    options: Option<Options>,
    state: SharedState<Budgets>,
}

impl RetryBudget {
    pub fn new(options: Option<Options>) -> Self {
        RetryBudget { options, state: SharedState::new(Budgets::default()) }
    }

    /// The same budgets under other options.
    pub fn with(&self, options: Option<Options>) -> Self {
        RetryBudget { options, ..self.clone() }
    }

    /// Deposits the share of a new call.
    pub fn deposit(&self, key: Option<&str>) {
        let Some(options) = &self.options else { return };
        let now = clock::now();
        self.state.update(|budgets| budgets.each(key, |budget| budget.deposit(options, now)));
    }

    /// Spends one retry from both budgets, or from neither if one of them is exhausted.
    pub fn try_spend(&self, key: Option<&str>) -> Result<(), Exhausted> {
        let Some(options) = &self.options else { return Ok(()) };
        let now = clock::now();
        self.state.update(|budgets| {
            if !budgets.client.can_spend(options, now) {
                return Err(Exhausted::Client);
            }
            if key.is_some_and(|key| !budgets.key(key).can_spend(options, now)) {
                return Err(Exhausted::Tenant);
            }
            budgets.each(key, |budget| budget.spend(options, now));
            Ok(())
        })
    }

    /// Refunds a retry that was not made.
    pub fn refund(&self, key: Option<&str>) {
        let Some(options) = &self.options else { return };
        let now = clock::now();
        self.state.update(|budgets| budgets.each(key, |budget| budget.refund(options, now)));
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
