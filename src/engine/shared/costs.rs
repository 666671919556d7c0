//! What the calls of a client share of costs: the ledger, and what was learned about prompts and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config::ClientConfig;
use crate::engine::time::clock;
use crate::policy::estimate::{AnswerLengths, TokenRatios};
use crate::policy::ledger::{self, Ledger, Limits, PicoUsd};
use crate::store::SharedState;

#[derive(Default)]
pub struct Costs {
    pub ledger: SharedState<Ledger>,
    /// Tokens per character of prompts, by model.
    pub ratios: SharedState<TokenRatios>,
    /// Lengths of recent answers, by model.
    pub lengths: SharedState<AnswerLengths>,
    /// When the client was created, in milliseconds since the epoch.
    created_at: u64,
}

impl Costs {
    pub fn new() -> Arc<Self> {
        Arc::new(Costs { created_at: clock::now(), ..Costs::default() })
    }

    /// Sorts the models of a call into the order in which they are tried: as listed, or cheapest first once the soft
    /// limit is reached. Models without a price come last.
    pub fn sort_models(&self, models: &mut [String], config: &ClientConfig) {
        let has_soft_limit = config.cost.as_ref().is_some_and(|cost| cost.limits.soft_limit.is_some());
        if has_soft_limit && self.is_past_soft_limit(config) {
            models.sort_by_key(|model| {
                Price::of(config, model).map_or(PicoUsd::MAX, |price| price.times(1, 1))
            });
        }
    }

    fn is_past_soft_limit(&self, config: &ClientConfig) -> bool {
        self.ledger.update(|ledger| ledger.is_past_soft_limit(&limits(config), clock::now()))
    }

    /// The spending in the current window, as JSON.
    pub fn report(&self, config: &ClientConfig) -> Value {
        let limits = limits(config);
        self.ledger.update(|ledger| {
            let period = ledger.period(limits.window, clock::now());
            let created_at = if limits.window == ledger::Window::Total { self.created_at } else { 0 };
            json!({
                "window": limits.window,
                "since": period.since.max(created_at),
                "spentUsd": ledger::pico_to_usd(period.total.spent),
                "reservedUsd": ledger::pico_to_usd(period.total.reserved),
                "capUsd": limits.hard_cap.map(ledger::pico_to_usd),
                "byTenant": by_name(&period.tenants),
                "byModel": by_name(&period.models),
            })
        })
    }
}

fn by_name(balances: &BTreeMap<String, ledger::Balance>) -> Value {
    let entry = |(name, balance): (&String, &ledger::Balance)| {
        let row = json!({ "spentUsd": ledger::pico_to_usd(balance.spent), "reservedUsd": ledger::pico_to_usd(balance.reserved) });
        (name.clone(), row)
    };
    balances.iter().map(entry).collect::<Map<_, _>>().into()
}

/// The configured limits; none if costs are not configured.
pub fn limits(config: &ClientConfig) -> Limits {
    config.cost.clone().unwrap_or_default().limits
}

/// The price of a model, per token.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    input: PicoUsd,
    pub output: PicoUsd,
}

impl Price {
    /// The price in the catalogue; `None` if the model has none.
    pub fn of(config: &ClientConfig, model: &str) -> Option<Price> {
        let (input, output) = config.catalogue.price(model)?;
        Some(Price { input: ledger::price_of_token(input), output: ledger::price_of_token(output) })
    }

    pub fn times(self, input: u64, output: u64) -> PicoUsd {
        self.input.saturating_mul(input).saturating_add(self.output.saturating_mul(output))
    }

    /// The cost of a usage report; `None` if it is incomplete. Tokens that are reported only as a total are charged at
    /// the higher price.
    pub fn of_usage(self, usage: &Value) -> Option<PicoUsd> {
        let tokens = |name: &str| usage.get(name).and_then(Value::as_u64);
        match (tokens("prompt_tokens"), tokens("completion_tokens"), tokens("total_tokens")) {
            (Some(input), Some(output), _) => Some(self.times(input, output)),
            (_, _, Some(total)) => Some(self.input.max(self.output).saturating_mul(total)),
            _ => None,
        }
    }
}
