//! What is known of models: how much they take in, how much they say at most, and what they cost.
//!
//! The table ages. It refuses no call by itself: it bounds what a call can cost, and where the caller
//! asks for it (`validateModel`) it helps to tell a misspelt name from a new one.

use std::collections::BTreeMap;

use serde::Serialize;

/// What is known of one model; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Prompt and answer together, in tokens.
    pub context_tokens: Option<u64>,
    /// The longest answer, in tokens.
    pub max_output_tokens: Option<u64>,
    /// USD for a million tokens of the prompt.
    pub input_usd_per_million: Option<f64>,
    /// USD for a million tokens of the answer.
    pub output_usd_per_million: Option<f64>,
}

impl Model {
    const fn known(context: u64, output: u64, usd: Option<f64>) -> Self {
        Model {
            context_tokens: Some(context),
            max_output_tokens: Some(output),
            input_usd_per_million: usd,
            output_usd_per_million: usd,
        }
    }

    /// Both prices, in and out, where both are known.
    pub fn price(&self) -> Option<(f64, f64)> {
        Some((self.input_usd_per_million?, self.output_usd_per_million?))
    }

    /// What `other` knows replaces what is known here.
    fn learn(&mut self, other: &Model) {
        self.context_tokens = other.context_tokens.or(self.context_tokens);
        self.max_output_tokens = other.max_output_tokens.or(self.max_output_tokens);
        self.input_usd_per_million = other.input_usd_per_million.or(self.input_usd_per_million);
        self.output_usd_per_million = other.output_usd_per_million.or(self.output_usd_per_million);
    }
}

/// The models that are known without being told. Prices: HolySheep's own list (the same for the
/// prompt and the answer). Limits of gpt-4.1: HolySheep's; of the others: their makers' model pages
/// at the end of 2025.
const BUILT_IN: &[(&str, Model)] = &[
    ("gpt-4.1", Model::known(128_000, 16_384, Some(8.0))),
    ("gpt-4-turbo", Model::known(128_000, 4_096, None)),
    ("claude-sonnet-4.5", Model::known(200_000, 64_000, Some(15.0))),
    ("gemini-2.5-flash", Model::known(1_048_576, 65_536, Some(2.5))),
    ("deepseek-v3.2", Model::known(128_000, 65_536, Some(0.42))),
];

/// The built-in table, and what the caller has added to it. Names are compared exactly.
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
    /// Adds a model, or replaces what is known of it, field by field.
    pub fn add(&mut self, name: &str, model: &Model) {
        self.models.entry(name.to_owned()).or_default().learn(model);
    }

    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// How many tokens fit into the model's context, prompt and answer together.
    pub fn context_tokens(&self, name: &str) -> Option<u64> {
        self.get(name)?.context_tokens
    }

    /// How many tokens its longest answer has.
    pub fn max_output_tokens(&self, name: &str) -> Option<u64> {
        self.get(name)?.max_output_tokens
    }

    /// USD for a million tokens, in and out.
    pub fn price(&self, name: &str) -> Option<(f64, f64)> {
        self.get(name)?.price()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }
}

/// The names that are nearest to `name`, nearest first: at most three, none whose distance is more
/// than half of the name's length.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    // A name longer than any model's is not worth comparing.
    let name: Vec<char> = name.chars().take(100).flat_map(char::to_lowercase).collect();
    let most = (name.len() / 2).max(1);
    let mut found: Vec<(usize, &str)> =
        known.map(|have| (distance(&name, have), have)).filter(|(distance, _)| *distance <= most).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(3).map(|(_, have)| have).collect()
}

/// How many characters have to be inserted, deleted or replaced (Levenshtein, 1966), case aside.
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
    fn the_documents_prices_and_limits_are_known() {
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
    fn what_is_added_replaces_only_what_it_says() {
        let mut catalogue = Catalogue::default();
        catalogue.add("gpt-4.1", &Model { output_usd_per_million: Some(9.0), ..Model::default() });
        catalogue.add("mine", &Model { context_tokens: Some(5), ..Model::default() });
        assert_eq!(catalogue.price("gpt-4.1"), Some((8.0, 9.0)));
        assert_eq!(catalogue.context_tokens("gpt-4.1"), Some(128_000));
        assert_eq!((catalogue.context_tokens("mine"), catalogue.price("mine")), (Some(5), None));
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbours_and_a_strange_one_none() {
        let catalogue = Catalogue::default();
        assert_eq!(nearest("gtp-4.1", catalogue.names()), ["gpt-4.1"]);
        assert_eq!(nearest("Claude-Sonet-4.5", catalogue.names()), ["claude-sonnet-4.5"]);
        assert_eq!(nearest("gpt-4", catalogue.names()), ["gpt-4.1"]);
        assert!(nearest("llama", catalogue.names()).is_empty());
    }
}
