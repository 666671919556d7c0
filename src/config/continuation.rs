//! The `continuation` option: how a provider is asked to continue the assistant turn, and which providers are known to.

use std::time::Duration;

use serde_json::Value;

use super::authority::{host, split_port};
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::session::native::NativeForm;

/// How the rest of a broken answer is requested, if the provider can continue the assistant turn itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Continuation {
    /// As a probe has found, or as is known of the provider's host; otherwise the model is asked. The default.
    #[default]
    Auto,
    /// In this form.
    Form(NativeForm),
    /// Not at all: the model is asked.
    Off,
}

const MISTRAL: &str = "api.mistral.ai";

const WORDS: &[(&str, Continuation)] = &[
    ("auto", Continuation::Auto),
    ("continue_final_message", Continuation::Form(NativeForm::ContinueFinalMessage)),
    ("prefix", Continuation::Form(NativeForm::Prefix)),
    ("partial", Continuation::Form(NativeForm::Partial)),
    ("assistant", Continuation::Form(NativeForm::Assistant)),
    ("none", Continuation::Off),
];

impl Continuation {
    /// Reads `continuation`. `None` if it is absent.
    pub fn read(reader: &mut Reader<'_>) -> Result<Option<Continuation>> {
        reader.one_of("continuation", WORDS)
    }
}

/// The options of a continuation probe.
#[derive(Clone, Debug, Default)]
pub struct ProbeOptions {
    /// The names of the endpoints; all of them by default.
    pub endpoints: Option<Vec<String>>,
    /// The client's model and fallback models by default.
    pub models: Option<Vec<String>>,
    /// `messages` for Anthropic's dialect; chat completions by default.
    pub dialect: Option<&'static str>,
    /// The deadline of each request. The client's by default.
    pub total_timeout: Option<Duration>,
}

impl ProbeOptions {
    /// Reads and validates the options.
    ///
    /// # Errors
    /// An invalid or unknown option.
    pub fn read(options: &Value) -> Result<ProbeOptions> {
        let mut reader = Reader::new("", options)?;
        let read = ProbeOptions {
            endpoints: some_names(&mut reader, "endpoints", "an array of names of endpoints, at least one")?,
            models: some_names(&mut reader, "models", "an array of model names, at least one")?,
            dialect: reader.one_of("dialect", &[("chat", None), ("messages", Some("messages"))])?.flatten(),
            total_timeout: reader.milliseconds("totalTimeoutMs", 1)?,
        };
        reader.allow(&["signal"]);
        reader.finish()?;
        Ok(read)
    }
}

fn some_names(reader: &mut Reader<'_>, key: &'static str, accepted: &str) -> Result<Option<Vec<String>>> {
    match reader.strings(key, accepted)? {
        Some(names) if names.is_empty() => {
            Err(Error::invalid(&reader.full_name(key), "an empty array", accepted))
        }
        names => Ok(names),
    }
}

/// The form that the provider of a chat completion is known to continue. Only what its host, or the host and the name of the
/// model, tell for sure: a provider that ignores the form would write a new turn, and nothing would be compared.
pub fn chat_preset(url: &str, model: &str) -> Option<NativeForm> {
    match &*hostname(url) {
        MISTRAL => Some(NativeForm::Prefix),
        // Elsewhere the field is an error.
        "api.deepseek.com" if url.ends_with("/beta") => Some(NativeForm::Prefix),
        // Its other models reason first.
        "api.moonshot.ai" | "api.moonshot.cn" if model.starts_with("moonshot-v1") => {
            Some(NativeForm::Partial)
        }
        _ => None,
    }
}

/// The same for a message in Anthropic's dialect: Claude up to 4.5. Later models reject a last assistant turn with a 400.
pub fn messages_preset(url: &str, model: &str) -> Option<NativeForm> {
    let is_known = hostname(url) == "api.anthropic.com" && claude_version(model)? <= (4, 5);
    is_known.then_some(NativeForm::Assistant)
}

/// Whether the provider is known to repeat the turn before it continues it.
pub fn repeats_turn(url: &str) -> bool {
    hostname(url) == MISTRAL
}

/// The version in the name of a Claude model: (4, 5) of `claude-sonnet-4-5-20250929`, (3, 0) of `claude-3-opus-latest`.
fn claude_version(model: &str) -> Option<(u32, u32)> {
    let parts = model.strip_prefix("claude-")?.split('-');
    let mut numbers = parts.filter(|part| part.len() <= 2).filter_map(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

fn hostname(url: &str) -> String {
    split_port(host(url)).0.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::ClientConfig;

    #[test]
    fn a_preset_needs_what_tells_it_for_sure() {
        let chat = |url| chat_preset(url, "m");
        assert_eq!(chat("https://api.mistral.ai/v1"), Some(NativeForm::Prefix));
        assert_eq!(chat("https://API.DeepSeek.com:443/beta"), Some(NativeForm::Prefix));
        assert_eq!(chat("https://api.deepseek.com/v1"), None);
        assert_eq!(chat("https://api.mistral.ai.example/v1"), None);
        assert_eq!(chat("https://api.openai.com/v1"), None);
        assert_eq!(chat_preset("https://api.moonshot.ai/v1", "moonshot-v1-8k"), Some(NativeForm::Partial));
        assert_eq!(chat_preset("https://api.moonshot.ai/v1", "kimi-k2.6"), None);
    }

    #[test]
    fn claude_is_known_to_continue_up_to_version_4_5() {
        let preset = |model| messages_preset("https://api.anthropic.com/v1", model).is_some();
        for model in [
            "claude-3-opus-20240229",
            "claude-3-7-sonnet-latest",
            "claude-sonnet-4-20250514",
            "claude-opus-4-1-20250805",
            "claude-haiku-4-5",
        ] {
            assert!(preset(model), "{model}");
        }
        for model in ["claude-opus-4-6", "claude-opus-5", "claude-sonnet-5-5", "claude-next", "gpt-4.1"] {
            assert!(!preset(model), "{model}");
        }
        assert_eq!(messages_preset("https://gateway.example/v1", "claude-haiku-4-5"), None);
    }

    #[test]
    fn an_endpoint_overrides_the_client() {
        let config = ClientConfig::read(&json!({
            "apiKey": "k",
            "continuation": "prefix",
            "endpoints": ["https://a/v1", { "baseUrl": "https://b/v1", "continuation": "none" }],
        }))
        .unwrap();
        let of = |index: usize| config.endpoints[index].continuation;
        assert_eq!((of(0), of(1)), (Continuation::Form(NativeForm::Prefix), Continuation::Off));
        let one = ClientConfig::read(&json!({ "apiKey": "k", "continuation": "assistant" })).unwrap();
        assert_eq!(one.endpoints[0].continuation, Continuation::Form(NativeForm::Assistant));
        let none = ClientConfig::read(&json!({ "apiKey": "k" })).unwrap();
        assert_eq!(none.endpoints[0].continuation, Continuation::Auto);
    }

    #[test]
    fn another_word_is_rejected_with_the_accepted_ones() {
        let accepted = "accepted: 'auto', 'continue_final_message', 'prefix', 'partial', 'assistant', 'none'";
        let error = ClientConfig::read(&json!({ "apiKey": "k", "continuation": "prefill" })).unwrap_err();
        assert_eq!(error.message, format!("continuation: got 'prefill' (a string); {accepted}"));
        let of_endpoint = json!({ "endpoints": [{ "baseUrl": "https://b/v1", "continuation": true }] });
        let error = ClientConfig::read(&of_endpoint).unwrap_err();
        assert_eq!(error.message, format!("endpoints[0].continuation: got true; {accepted}"));
    }
}
