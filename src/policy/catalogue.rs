//! The catalogue of models: context window, output limit and prices.
//!
//! The built-in table goes out of date, so it alone never rejects a call. It bounds the cost of a call.
//! With `validateModel` it also distinguishes a misspelled model name from a new one.

use std::collections::BTreeMap;

use serde::Serialize;

/// The limits and prices of one model; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// The context window, prompt and answer together, in tokens.
    pub context_tokens: Option<u64>,
    /// The longest answer, in tokens.
    pub max_output_tokens: Option<u64>,
    /// USD per million prompt tokens.
    pub input_usd_per_million: Option<f64>,
    /// USD per million answer tokens.
    pub output_usd_per_million: Option<f64>,
}

impl Model {
    const fn built_in(context: u64, output: u64, usd: Option<f64>) -> Self {
        Model {
            context_tokens: Some(context),
            max_output_tokens: Some(output),
            input_usd_per_million: usd,
            output_usd_per_million: usd,
        }
    }

    /// The prices for input and output in USD per million tokens, if both are known.
    pub fn price(&self) -> Option<(f64, f64)> {
        Some((self.input_usd_per_million?, self.output_usd_per_million?))
    }

    /// Overwrites the fields that are known in `other`.
    fn update_from(&mut self, other: &Model) {
        self.context_tokens = other.context_tokens.or(self.context_tokens);
        self.max_output_tokens = other.max_output_tokens.or(self.max_output_tokens);
        self.input_usd_per_million = other.input_usd_per_million.or(self.input_usd_per_million);
        self.output_usd_per_million = other.output_usd_per_million.or(self.output_usd_per_million);
    }
}

/// The built-in models. Prices are from HolySheep's price list (the same for input and output). The limits
/// of gpt-4.1 are HolySheep's, those of the others are from their vendors' model pages at the end of 2025.
const BUILT_IN: &[(&str, Model)] = &[
    ("gpt-4.1", Model::built_in(128_000, 16_384, Some(8.0))),
    ("gpt-4-turbo", Model::built_in(128_000, 4_096, None)),
    ("claude-sonnet-4.5", Model::built_in(200_000, 64_000, Some(15.0))),
    ("gemini-2.5-flash", Model::built_in(1_048_576, 65_536, Some(2.5))),
    ("deepseek-v3.2", Model::built_in(128_000, 65_536, Some(0.42))),
];

/// The built-in models and those that the caller adds. Names are compared exactly.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Catalogue {
    models: BTreeMap<String, Model>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Catalogue { models: BUILT_IN.iter().map(|(name, model)| ((*name).to_owned(), *model)).collect() }
    }
}

impl Catalogue {
    /// Adds a model, or overwrites the known fields of an existing one.
    pub fn add(&mut self, name: &str, model: &Model) {
        self.models.entry(name.to_owned()).or_default().update_from(model);
    }

    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// The context window in tokens, prompt and answer together.
    pub fn context_tokens(&self, name: &str) -> Option<u64> {
        self.get(name)?.context_tokens
    }

    /// The longest answer, in tokens.
    pub fn max_output_tokens(&self, name: &str) -> Option<u64> {
        self.get(name)?.max_output_tokens
    }

    /// The prices for input and output in USD per million tokens.
    pub fn price(&self, name: &str) -> Option<(f64, f64)> {
        self.get(name)?.price()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }
}

/// The known names most similar to `name`, nearest first. At most three, each within an edit distance of half
/// the length of `name`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    // Bounds the quadratic cost. No model has a longer name.
    let name: Vec<char> = name.chars().take(100).flat_map(char::to_lowercase).collect();
    let max_distance = (name.len() / 2).max(1);
    let mut matches: Vec<(usize, &str)> = known
        // The distance is at least the difference of the lengths, and a character has up to four bytes.
        .filter(|known| known.len() <= 4 * (name.len() + max_distance))
        .map(|known| (distance(&name, known), known))
        .filter(|(distance, _)| *distance <= max_distance)
        .collect();
    matches.sort_unstable();
    matches.dedup();
    matches.into_iter().take(3).map(|(_, known)| known).collect()
}

/// The edit distance, case-insensitive (Levenshtein, 1966).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tutorials_prices_and_limits_are_built_in() {
        let catalogue = Catalogue::default();
        for (name, usd) in [
            ("gpt-4.1", 8.0),
            ("claude-sonnet-4.5", 15.0),
            ("gemini-2.5-flash", 2.5),
            ("deepseek-v3.2", 0.42),
        ] {
            assert_eq!(catalogue.price(name), Some((usd, usd)), "{name}");
        }
        assert_eq!(catalogue.context_tokens("gpt-4.1"), Some(128_000));
        assert_eq!(catalogue.max_output_tokens("gpt-4.1"), Some(16_384));
        assert_eq!(catalogue.context_tokens("GPT-4.1"), None, "names are compared exactly");
        assert_eq!(catalogue.price("gpt-4-turbo"), None);
    }

    #[test]
    fn adding_a_model_overwrites_only_the_given_fields() {
        let mut catalogue = Catalogue::default();
        catalogue.add("gpt-4.1", &Model { output_usd_per_million: Some(9.0), ..Model::default() });
        catalogue.add("mine", &Model { context_tokens: Some(5), ..Model::default() });
        assert_eq!(catalogue.price("gpt-4.1"), Some((8.0, 9.0)));
        assert_eq!(catalogue.context_tokens("gpt-4.1"), Some(128_000));
        assert_eq!((catalogue.context_tokens("mine"), catalogue.price("mine")), (Some(5), None));
    }

    #[test]
    fn a_misspelled_name_has_similar_names_and_an_unrelated_one_has_none() {
        let catalogue = Catalogue::default();
        assert_eq!(nearest("gtp-4.1", catalogue.names()), ["gpt-4.1"]);
        assert_eq!(nearest("Claude-Sonet-4.5", catalogue.names()), ["claude-sonnet-4.5"]);
        assert_eq!(nearest("gpt-4", catalogue.names()), ["gpt-4.1"]);
        assert!(nearest("llama", catalogue.names()).is_empty());
    }
}
