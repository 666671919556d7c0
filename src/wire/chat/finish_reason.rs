//! What the finish reasons of providers mean. The documented ones are OpenAI's, and those of Anthropic, Bedrock, Cohere,
//! DeepSeek, Gemini, Mistral, Moonshot, OpenRouter, SGLang, vLLM and Zhipu, which gateways pass through in any case and
//! with hyphens, and with words of their own around them.
//!
//! There is no closed list of what ends an answer: each engine names its own tokens and rules. What breaks one off is
//! named with few words, everywhere the same: those of errors, of connections, of load and of time, the status codes of
//! gRPC among them. So a reason with such a word is a break, whatever else is in it (`content_filter_error`: the filter
//! failed), but for the documented reasons that have one and are an end; one with a word of limits or filters cut the
//! answer off; any other is the end of an answer.

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
        // gRPC's codes, but for `unknown`: gateways write it for a reason that they do not know.
        const BROKEN_OFF: &[&str] = &["other", "image_other", "internal", "data_loss", "out_of_memory"];
        // Single words, which are parts of others.
        const BREAK_WORDS: &[&str] =
            &["oom", "busy", "lost", "reset", "closed", "killed", "quota", "broken", "evicted", "hung"];
        const BREAKS: &[&str] = &[
            "error",
            "exception",
            "fail",
            "abort",
            "cancel",
            "interrupt",
            "terminated",
            "crash",
            "panic",
            "corrupt",
            "malformed",
            "invalid",
            "unexpected",
            "unspecified",
            "missing",
            "incomplete",
            "too_many_tool",
            "too_many_request",
            "rate_limit",
            "ratelimit",
            "throttl",
            "capacity",
            "overload",
            "insufficient",
            "exhausted",
            "unavailable",
            "preempt",
            "shutdown",
            "shut_down",
            "shutting_down",
            "timeout",
            "timed_out",
            "deadline",
            "network",
            "connection",
            "disconnect",
        ];
        // Cohere's ends with the word error.
        const ENDS: &[&str] = &["error_limit", "error_toxic"];
        const CUT_OFF: &[&str] = &[
            "length",
            "limit",
            "max_tokens",
            "max_output_tokens",
            "context_window",
            "truncated",
            "filter",
            "safety",
            "recitation",
            "prohibited",
            "blocked",
            "blocklist",
            "spii",
            "sensitive",
            "guardrail",
            "moderation",
            "violation",
            "refusal",
            "toxic",
        ];
        // The common case.
        if reason == "stop" {
            return FinishKind::Natural;
        }
        let reason = words(truncate(reason, MAX_REASON));
        let has = |parts: &[&str]| parts.iter().any(|part| reason.contains(part));
        let breaks = || has(BREAKS) || reason.split('_').any(|word| BREAK_WORDS.contains(&word));
        if MISSING.contains(&reason.as_str()) {
            FinishKind::Missing
        } else if BROKEN_OFF.contains(&reason.as_str()) || (!ENDS.contains(&reason.as_str()) && breaks()) {
            FinishKind::Interrupted
        } else if has(CUT_OFF) {
            FinishKind::CutOff
        } else {
            FinishKind::Natural
        }
    }
}

/// In lower case, with one underscore between words, `camelCase` too.
fn words(reason: &str) -> String {
    let mut words = String::with_capacity(reason.len() + 4);
    let mut was_lower = false;
    for c in reason.trim().chars() {
        let starts_word = !c.is_alphanumeric() || (was_lower && c.is_ascii_uppercase());
        if starts_word && !words.is_empty() && !words.ends_with('_') {
            words.push('_');
        }
        was_lower = c.is_ascii_lowercase();
        if c.is_alphanumeric() {
            words.push(c.to_ascii_lowercase());
        }
    }
    words.truncate(words.trim_end_matches('_').len());
    words
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
            (
                Interrupted,
                "function_call_filter: MALFORMED_FUNCTION_CALL|MISSING_THOUGHT_SIGNATURE|MALFORMED_RESPONSE",
            ),
            (
                Interrupted,
                "TOO_MANY_TOOL_CALLS|content_filter_error|IMAGE_OTHER|rate_limit|rateLimitExceeded",
            ),
            (Interrupted, "resource_exhausted|DEADLINE_EXCEEDED|UNAVAILABLE|aborted|internal|data_loss"),
            (
                Interrupted,
                "exception|connection_lost|ConnectionClosed|network|server busy|shutdown|terminated",
            ),
            (
                Interrupted,
                "broken|crash|killed|preempted|upstream_closed|connection reset|quota_exceeded|oom",
            ),
            (
                CutOff,
                "content_filter: PROHIBITED_CONTENT|context_length_exceeded|token_limit|time_limit|limit",
            ),
            (CutOff, "content_policy_violation|blocked|contentFilter|maxTokens|IMAGE_PROHIBITED_CONTENT"),
            // The end of a file is an end that models of code write themselves.
            (Natural, "eof|eom|toolCalls|function_call|pause_turn|repetition|ended|preset|enclosed"),
        ] {
            for reason in reasons.split('|') {
                assert_eq!(FinishKind::of(reason), kind, "{reason}");
            }
        }
    }
}
