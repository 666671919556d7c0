//! What models cost and take, and what a client may spend.

use std::sync::Arc;

use super::defaults as d;
use super::reader::Reader;
use crate::error::{Error, Kind, Result, truncate};
use crate::policy::catalogue::{Catalogue, Model};
use crate::policy::ledger::{Limits, Window, usd_to_pico};

/// The highest price that is accepted, in USD for a million tokens.
const MAX_PRICE: f64 = 1e6;
/// The most tokens that a limit may name.
const MAX_TOKENS: u64 = 1_000_000_000;

/// The highest cap, in USD.
const MAX_USD: f64 = 1e6;
const WINDOWS: &[(&str, Window)] = &[
    ("minute", Window::Minute),
    ("hour", Window::Hour),
    ("day", Window::Day),
    ("month", Window::Month),
    ("total", Window::Total),
];

/// The names and values of an object whose keys are models.
fn each_model(
    reader: &mut Reader<'_>,
    key: &'static str,
    mut read: impl FnMut(&str, &mut Reader<'_>) -> Result<()>,
) -> Result<()> {
    let Some(value) = reader.raw(key) else { return Ok(()) };
    let path = reader.name(key);
    let Some(map) = value.as_object().filter(|map| !map.contains_key("$given")) else {
        return reader.bad(key, value, "an object of models by their names");
    };
    for (name, value) in map {
        let path = format!("{path}['{}']", truncate(name, 60).escape_debug());
        if name.is_empty() {
            return Err(Error::invalid(&path, "an empty name", "a model's name"));
        }
        let mut model = Reader::new(&path, value)?;
        read(name, &mut model)?;
        model.finish()?;
    }
    Ok(())
}

/// What a client may spend.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    pub limits: Limits,
}

impl Default for Cost {
    fn default() -> Self {
        let limits = Limits { window: d::COST_WINDOW, hard_cap: None, tenant_cap: None, soft_limit: None };
        Cost { limits }
    }
}

impl Cost {
    /// Reads the `cost` option; its prices go into the catalogue. `None` where nothing was said.
    fn read(reader: &mut Reader<'_>, catalogue: &mut Catalogue, models: &[String]) -> Result<Option<Cost>> {
        let Some(value) = reader.raw("cost") else { return Ok(None) };
        let mut reader = Reader::new(&reader.name("cost"), value)?;
        each_model(&mut reader, "prices", |name, price| {
            let given = Model {
                input_usd_per_million: price.real("input", 0.0, MAX_PRICE)?,
                output_usd_per_million: price.real("output", 0.0, MAX_PRICE)?,
                ..Model::default()
            };
            if given.price().is_none() {
                let path = format!("cost.prices['{}']", truncate(name, 60).escape_debug());
                return Err(Error::invalid(
                    &path,
                    "half a price",
                    "{ input, output }, in USD per million tokens",
                ));
            }
            catalogue.add(name, &given);
            Ok(())
        })?;
        let mut cost = Cost::default();
        let limits = &mut cost.limits;
        limits.window = reader.choice("window", WINDOWS)?.unwrap_or(limits.window);
        limits.hard_cap = reader.real("hardCapUsd", 0.0, MAX_USD)?.map(usd_to_pico);
        limits.tenant_cap = reader.real("tenantCapUsd", 0.0, MAX_USD)?.map(usd_to_pico);
        limits.soft_limit = reader.real("softLimitUsd", 0.0, MAX_USD)?.map(usd_to_pico);
        if let (Some(soft), Some(hard)) = (limits.soft_limit, limits.hard_cap)
            && soft > hard
        {
            let [soft, hard] = ["softLimitUsd", "hardCapUsd"].map(|key| value[key].to_string());
            let accepted = format!("at most hardCapUsd, {hard}: past the cap there is nothing to warn of");
            let mut error = Error::invalid("cost.softLimitUsd", soft, &accepted);
            error.kind = Kind::OutOfRange;
            return Err(error);
        }
        reader.also(&["countTokens", "onSoftLimit"]);
        reader.finish()?;
        if cost.is_capped()
            && let Some(model) = models.iter().find(|model| catalogue.price(model).is_none())
        {
            return Err(unpriced("fallbackModels", model));
        }
        Ok(Some(cost))
    }

    /// Whether a call may have to be refused or cut.
    pub fn is_capped(&self) -> bool {
        self.limits.hard_cap.is_some() || self.limits.tenant_cap.is_some()
    }
}

/// The error of a model whose cost cannot be bounded.
pub fn unpriced(option: &str, model: &str) -> Error {
    let given = format!("'{}', which has no price", truncate(model, 60));
    Error::invalid(option, given, "with a cost cap: a model whose price is known (`cost.prices`, `models`)")
}

/// The catalogue of a client and what it may spend. `models`: those that it falls back to.
pub fn read(reader: &mut Reader<'_>, models: &[String]) -> Result<(Arc<Catalogue>, Option<Cost>)> {
    let mut catalogue = catalogue(reader)?;
    let cost = Cost::read(reader, &mut catalogue, models)?;
    Ok((Arc::new(catalogue), cost))
}

/// The built-in catalogue, and `models` on top of it.
fn catalogue(reader: &mut Reader<'_>) -> Result<Catalogue> {
    let mut catalogue = Catalogue::default();
    each_model(reader, "models", |name, model| {
        let given = Model {
            context_tokens: model.whole("contextTokens", 1, MAX_TOKENS)?,
            max_output_tokens: model.whole("maxOutputTokens", 1, MAX_TOKENS)?,
            input_usd_per_million: model.real("inputUsdPerMillion", 0.0, MAX_PRICE)?,
            output_usd_per_million: model.real("outputUsdPerMillion", 0.0, MAX_PRICE)?,
        };
        catalogue.add(name, &given);
        Ok(())
    })?;
    Ok(catalogue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientConfig;
    use serde_json::Value;
    use serde_json::json;

    fn read(mut options: Value) -> Result<ClientConfig> {
        options["apiKey"] = json!("k");
        ClientConfig::read(&options)
    }

    #[test]
    fn models_extend_the_catalogue() {
        let models =
            json!({ "mine": { "contextTokens": 9, "inputUsdPerMillion": 0.1, "outputUsdPerMillion": 0.2 } });
        let config = read(json!({ "models": models })).unwrap();
        assert_eq!(config.catalogue.context_tokens("mine"), Some(9));
        assert_eq!(config.catalogue.price("mine"), Some((0.1, 0.2)));
        assert_eq!(config.catalogue.price("gpt-4.1"), Some((8.0, 8.0)));
    }

    #[test]
    fn a_cost_has_a_window_caps_and_prices() {
        let prices = json!({ "mine": { "input": 1, "output": 2 } });
        let cost = json!({ "hardCapUsd": 1.5, "tenantCapUsd": 0.5, "softLimitUsd": 1, "window": "month", "prices": prices });
        let config = read(json!({ "cost": cost, "fallbackModels": ["mine"] })).unwrap();
        let limits = config.cost.unwrap().limits;
        assert_eq!(
            (limits.window, limits.hard_cap, limits.tenant_cap),
            (Window::Month, Some(usd_to_pico(1.5)), Some(usd_to_pico(0.5)))
        );
        assert_eq!(config.catalogue.price("mine"), Some((1.0, 2.0)));
        assert_eq!(read(json!({ "cost": {} })).unwrap().cost, Some(Cost::default()));
        assert_eq!(read(json!({})).unwrap().cost, None);
    }

    #[test]
    fn a_cost_that_is_none_is_refused() {
        for (cost, message) in [
            (json!(5), "cost: got 5"),
            (json!({ "hardCapUsd": -1 }), "cost.hardCapUsd: got -1"),
            (json!({ "window": "week" }), "cost.window: got 'week'"),
            (json!({ "prices": { "m": { "input": 1 } } }), "cost.prices['m']: got half a price"),
            (json!({ "prices": { "m": { "input": -1, "output": 1 } } }), "cost.prices['m'].input: got -1"),
            (json!({ "cap": 1 }), "cost.cap: unknown option"),
            (json!({ "hardCapUsd": 1 }), "fallbackModels: got 'gpt-4-turbo', which has no price"),
        ] {
            let error = read(json!({ "cost": cost, "fallbackModels": ["gpt-4-turbo"] })).unwrap_err();
            assert!(error.message.starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_wrong_entry_is_named_in_full() {
        for (models, message) in [
            (json!([]), "models: got an array"),
            (json!({ "m": 3 }), "models['m']: got 3"),
            (json!({ "m": { "contextTokens": 0 } }), "models['m'].contextTokens: got 0"),
            (json!({ "m": { "price": 0 } }), "models['m'].price: unknown option"),
            (json!({ "": {} }), "models['']: got an empty name"),
        ] {
            let error = read(json!({ "models": models })).unwrap_err();
            assert!(error.message.starts_with(message), "{error}");
        }
    }
}
