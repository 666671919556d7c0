//! What models cost and take, and what a client may spend.

use std::sync::Arc;

use super::reader::Reader;
use crate::error::{Error, Result, cut};
use crate::policy::catalogue::{Catalogue, Model};

/// The highest price that is accepted, in USD for a million tokens.
const MAX_PRICE: f64 = 1e6;
/// The most tokens that a limit may name.
const MAX_TOKENS: u64 = 1_000_000_000;

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
        let path = format!("{path}['{}']", cut(name, 60).escape_debug());
        if name.is_empty() {
            return Err(Error::invalid(&path, "an empty name", "a model's name"));
        }
        let mut model = Reader::new(&path, value)?;
        read(name, &mut model)?;
        model.finish()?;
    }
    Ok(())
}

/// The catalogue of a client: the built-in one, and `models` on top of it.
pub fn catalogue(reader: &mut Reader<'_>) -> Result<Arc<Catalogue>> {
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
    Ok(Arc::new(catalogue))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientConfig;
    use serde_json::{Value, json};

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
