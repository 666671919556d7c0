//! What the finish reasons of providers mean. The documented ones are OpenAI's, and those of Anthropic, Bedrock, Cohere,
//! DeepSeek, Gemini, Mistral, Moonshot, OpenRouter, SGLang, vLLM and Zhipu, which gateways pass through in any case and
//! with hyphens. An unknown reason with the same words is of the same kind; any other is the end of an answer.

use crate::error::truncate;

/// The longest finish reason, in bytes. What follows is cut off.
pub const MAX_REASON: usize = 256;

/// The meaning of a finish reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishKind {
    /// None: what JavaScript, Python and Go write for a missing value.
    Missing,
    /// The provider interrupted the answer.
    Interrupted,
    /// A limit or a filter ended the answer: it may be empty, and a tool call may be cut off.
    CutOff,
    /// The model ended the answer.
    Natural,
}

impl FinishKind {
    pub fn of(reason: &str) -> Self {
        const MISSING: &[&str] = &["", "0", "null", "none", "nil", "undefined"];
        const CUT_OFF: &[&str] = &[
            "length",
            "max_tokens",
            "max_output_tokens",
            "token_limit",
            "context_window",
            "error_limit",
            "filter",
            "safety",
            "recitation",
            "prohibited",
            "blocklist",
            "spii",
            "sensitive",
            "guardrail",
            "refusal",
            "toxic",
        ];
        const INTERRUPTED: &[&str] = &[
            "error",
            "abort",
            "fail",
            "timeout",
            "timed_out",
            "cancel",
            "interrupt",
            "insufficient",
            "malformed",
            "unexpected",
            "unspecified",
            "incomplete",
            "overload",
            "unavailable",
            "disconnect",
        ];
        // The common case.
        if reason == "stop" {
            return FinishKind::Natural;
        }
        let reason = truncate(reason, MAX_REASON).trim().to_ascii_lowercase().replace('-', "_");
        let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if MISSING.contains(&reason.as_str()) {
            FinishKind::Missing
        } else if has(CUT_OFF) {
            FinishKind::CutOff
        } else if has(INTERRUPTED) || reason == "other" {
            FinishKind::Interrupted
        } else {
            FinishKind::Natural
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FinishKind::{CutOff, Interrupted, Missing, Natural};
    use super::*;

    #[test]
    fn finish_reasons_of_many_providers() {
        for (kind, reasons) in [
            (Missing, "  |0|null|None|undefined|nil"),
            (
                Natural,
                "stop|STOP|end_turn|eos|eos_token|end|stop_sequence|COMPLETE|tool_calls|tool-calls|unknown",
            ),
            (
                CutOff,
                "length|MAX_TOKENS|model_length|max_output_tokens|model_context_window_exceeded|ERROR_LIMIT",
            ),
            (
                CutOff,
                "content_filter|content-filter|content_filtered|SAFETY|IMAGE_SAFETY|RECITATION|BLOCKLIST",
            ),
            (CutOff, "PROHIBITED_CONTENT|SPII|sensitive|guardrail_intervened|refusal|ERROR_TOXIC"),
            (
                Interrupted,
                "error|ERROR|abort|network_error|insufficient_system_resource|MALFORMED_FUNCTION_CALL|OTHER",
            ),
            (
                Interrupted,
                "UNEXPECTED_TOOL_CALL|engine_overloaded|cancelled|FINISH_REASON_UNSPECIFIED|timeout",
            ),
        ] {
            for reason in reasons.split('|') {
                assert_eq!(FinishKind::of(reason), kind, "{reason}");
            }
        }
    }
}
