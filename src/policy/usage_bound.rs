//! Which usage reports can be true. A provider's count decides what a call is charged, so a count that its request cannot
//! have caused must not empty a budget.

use serde_json::Value;

/// Tokens that a provider may add to a prompt without being asked: its own instructions, its chat template, the texts of
/// its tools.
const UNSTATED_PROMPT: u64 = 100_000;
/// Tokens of a prompt part of which the provider has or fetches itself: the largest context window of any model.
const STORED_PROMPT: u64 = 2_000_000;
/// The most tokens of an image ([`crate::policy::estimate`] counts as many).
const IMAGE: u64 = 4_000;
/// The longest answer of a model whose limit is not known or may be out of date.
const LONGEST_ANSWER: u64 = 131_072;
/// Reasoning beyond `max_tokens`, which some providers do not apply to it.
const UNLIMITED_REASONING: u64 = 32_768;

/// What is known of a request and of its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts {
    /// The length of the body, in bytes. A byte-level tokenizer makes no more tokens of it.
    pub body_bytes: u64,
    pub images: u64,
    /// The provider has a part of the prompt, or fetches it: an earlier response, a file, a search.
    pub has_stored_prompt: bool,
    /// The caller's limit on the answer, in tokens.
    pub max_tokens: Option<u64>,
    /// The catalogue's limit on the answer, in tokens.
    pub model_limit: Option<u64>,
    pub choices: u64,
    /// The length of what was received, in bytes.
    pub received_bytes: u64,
}

/// The largest usage that a request can have, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageBound {
    pub prompt: u64,
    pub completion: u64,
}

impl UsageBound {
    pub fn of(facts: &RequestFacts) -> Self {
        let unstated = if facts.has_stored_prompt { STORED_PROMPT } else { UNSTATED_PROMPT };
        let images = facts.images.saturating_mul(IMAGE);
        let answer = match facts.max_tokens {
            Some(max) => max.saturating_mul(2).saturating_add(UNLIMITED_REASONING),
            None => facts.model_limit.unwrap_or(0).max(LONGEST_ANSWER),
        };
        UsageBound {
            prompt: facts.body_bytes.saturating_add(images).saturating_add(unstated),
            completion: answer.saturating_mul(facts.choices.max(1)).max(facts.received_bytes),
        }
    }

    /// Whether a report can be true: no count in it is negative or beyond the bound.
    pub fn allows(self, usage: &Value) -> bool {
        let total = self.prompt.saturating_add(self.completion);
        let limits =
            [("prompt_tokens", self.prompt), ("completion_tokens", self.completion), ("total_tokens", total)];
        limits.into_iter().all(|(name, limit)| {
            let count = usage.get(name).and_then(Value::as_f64);
            count.is_none_or(|count| count >= 0.0 && count <= limit as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn allows(facts: &RequestFacts, prompt: impl Into<Value>, completion: impl Into<Value>) -> bool {
        let usage = json!({ "prompt_tokens": prompt.into(), "completion_tokens": completion.into() });
        UsageBound::of(facts).allows(&usage)
    }

    #[test]
    fn absurd_counts_are_not_allowed() {
        let facts = RequestFacts { body_bytes: 200, max_tokens: Some(10), choices: 1, ..Default::default() };
        for absurd in [json!(u64::MAX), json!(-1), json!(1e300), json!(10_000_000)] {
            assert!(!allows(&facts, absurd.clone(), 1), "{absurd}");
            assert!(!allows(&facts, 1, absurd.clone()), "{absurd}");
            assert!(!UsageBound::of(&facts).allows(&json!({ "total_tokens": absurd })));
        }
    }

    #[test]
    fn what_a_provider_adds_and_hidden_reasoning_are_allowed() {
        let facts = RequestFacts { body_bytes: 200, max_tokens: Some(10), choices: 1, ..Default::default() };
        assert!(allows(&facts, 50_000, 20_000));
        assert!(!allows(&facts, 500_000, 1));
        assert!(allows(&RequestFacts { has_stored_prompt: true, ..facts }, 500_000, 1));
        assert!(allows(&RequestFacts { images: 100, ..facts }, 450_000, 1));
        assert!(allows(&RequestFacts { received_bytes: 200_000, ..facts }, 1, 150_000));
        assert!(allows(&RequestFacts { max_tokens: None, model_limit: Some(200_000), ..facts }, 1, 200_000));
        assert!(allows(&RequestFacts { max_tokens: None, choices: 4, ..facts }, 1, 500_000));
        assert!(UsageBound::of(&facts).allows(&json!({ "prompt_tokens": null, "total_tokens": "NaN" })));
    }
}
