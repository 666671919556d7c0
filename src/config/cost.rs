//! The prices and limits of models, and the spending limits of a client.

use std::sync::Arc;

use super::defaults;
use super::reader::{Reader, as_object};
use crate::error::{Error, Kind, Result, truncate};
use crate::policy::catalogue::{Catalogue, Model};
use crate::policy::ledger::{Limits, Window, usd_to_pico};

/// The maximum price, in USD per million tokens.
const MAX_PRICE: f64 = 1e6;
/// The maximum of a token limit.
const MAX_TOKENS: u64 = 1_000_000_000;
/// The maximum of a cap, in USD.
const MAX_USD: f64 = 1e6;
const WINDOWS: &[(&str, Window)] = &[
    ("minute", Window::Minute),
    ("hour", Window::Hour),
    ("day", Window::Day),
    ("month", Window::Month),
    ("total", Window::Total),
];

/// Reads an object whose keys are model names.
fn each_model(
    reader: &mut Reader<'_>,
    key: &'static str,
    mut read: impl FnMut(&str, &mut Reader<'_>) -> Result<()>,
) -> Result<()> {
    let Some(value) = reader.value(key) else { return Ok(()) };
    let path = reader.full_name(key);
    let Some(map) = as_object(value) else {
        return reader.invalid(key, value, "an object keyed by model name");
    };
    for (name, value) in map {
        let path = format!("{path}['{}']", truncate(name, 60).escape_debug());
        if name.is_empty() {
            return Err(Error::invalid(&path, "an empty name", "a model name"));
        }
        let mut model = Reader::new(&path, value)?;
        read(name, &mut model)?;
        model.finish()?;
    }
    Ok(())
}

/// The spending limits of a client: none by default, for a window of a day.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    pub limits: Limits,
}

impl Default for Cost {
    fn default() -> Self {
        let limits =
            Limits { window: defaults::COST_WINDOW, hard_cap: None, tenant_cap: None, soft_limit: None };
        Cost { limits }
    }
}

impl Cost {
    /// Reads the `cost` option and adds its prices to the catalogue. `None` if the option is absent.
    fn read(reader: &mut Reader<'_>, catalogue: &mut Catalogue, models: &[String]) -> Result<Option<Cost>> {
        let Some(value) = reader.value("cost") else { return Ok(None) };
        let mut reader = Reader::new(&reader.full_name("cost"), value)?;
        each_model(&mut reader, "prices", |name, price| {
            let model = Model {
                input_usd_per_million: price.number("input", 0.0, MAX_PRICE)?,
                output_usd_per_million: price.number("output", 0.0, MAX_PRICE)?,
                ..Model::default()
            };
            if model.price().is_none() {
                let path = format!("cost.prices['{}']", truncate(name, 60).escape_debug());
                return Err(Error::invalid(
                    &path,
                    "an incomplete price",
                    "{ input, output }, in USD per million tokens",
                ));
            }
            catalogue.add(name, &model);
            Ok(())
        })?;
        let mut cost = Cost::default();
        let limits = &mut cost.limits;
        limits.window = reader.one_of("window", WINDOWS)?.unwrap_or(limits.window);
        limits.hard_cap = reader.number("hardCapUsd", 0.0, MAX_USD)?.map(usd_to_pico);
        limits.tenant_cap = reader.number("tenantCapUsd", 0.0, MAX_USD)?.map(usd_to_pico);
        limits.soft_limit = reader.number("softLimitUsd", 0.0, MAX_USD)?.map(usd_to_pico);
        if let (Some(soft), Some(hard)) = (limits.soft_limit, limits.hard_cap)
            && soft > hard
        {
            let [soft, hard] = ["softLimitUsd", "hardCapUsd"].map(|key| value[key].to_string());
            let accepted = format!("at most hardCapUsd, {hard}: a soft limit above the cap has no effect");
            let mut error = Error::invalid("cost.softLimitUsd", soft, &accepted);
            error.kind = Kind::OutOfRange;
            return Err(error);
        }
        reader.allow(&["countTokens", "onSoftLimit"]);
        reader.finish()?;
        if cost.is_capped()
            && let Some(model) = models.iter().find(|model| catalogue.price(model).is_none())
        {
            return Err(unpriced_model("fallbackModels", model));
        }
        Ok(Some(cost))
    }

    /// Whether there is a cap, at which calls are rejected or cut off.
    pub fn is_capped(&self) -> bool {
        self.limits.hard_cap.is_some() || self.limits.tenant_cap.is_some()
    }
}

/// The error for a model without a price if a cap applies: what it costs has no bound.
pub fn unpriced_model(option: &str, model: &str) -> Error {
    let problem = format!("'{}', which has no price", truncate(model, 60));
    Error::invalid(
        option,
        problem,
        "a model with a known price (`cost.prices`, `models`), as a cost cap requires",
    )
}

/// Reads the catalogue and the spending limits of a client. `models` are its fallback models, each of which
/// needs a price if there is a cap.
pub fn read(reader: &mut Reader<'_>, models: &[String]) -> Result<(Arc<Catalogue>, Option<Cost>)> {
    let mut catalogue = catalogue(reader)?;
    let cost = Cost::read(reader, &mut catalogue, models)?;
    Ok((Arc::new(catalogue), cost))
}

/// The built-in catalogue, extended by the `models` option.
fn catalogue(reader: &mut Reader<'_>) -> Result<Catalogue> {
    let mut catalogue = Catalogue::default();
    each_model(reader, "models", |name, entry| {
        let model = Model {
            context_tokens: entry.integer("contextTokens", 1, MAX_TOKENS)?,
            max_output_tokens: entry.integer("maxOutputTokens", 1, MAX_TOKENS)?,
            input_usd_per_million: entry.number("inputUsdPerMillion", 0.0, MAX_PRICE)?,
            output_usd_per_million: entry.number("outputUsdPerMillion", 0.0, MAX_PRICE)?,
        };
        catalogue.add(name, &model);
        Ok(())
    })?;
    Ok(catalogue)
}
