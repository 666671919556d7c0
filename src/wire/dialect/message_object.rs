//! Anthropic's Messages: the stop reason and the usage, which a stream and an answer that is not streamed have.

use serde_json::{Map, Value};

use super::codec::{Ending, chat_usage};
use super::normal::count;
use crate::error::{Result, truncate};
use crate::weight::weight;
use crate::wire::chat::{FinishKind, MAX_REASON, interruption_error};

/// More counts than any usage has.
const MAX_COUNTS: usize = 64;
/// The largest usage that is read, in bytes of memory.
const MAX_USAGE: usize = 64 * 1024;

/// A `stop_reason` as a finish reason of chat completions.
pub(super) fn finish_reason(stop: &str) -> &str {
    match stop {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => other,
    }
}

/// Tokens read from the cache or written to it count as input too. `None` if nothing was counted.
pub(super) fn total_usage(usage: &Map<String, Value>) -> Option<Value> {
    let tokens = |name: &str| usage.get(name).and_then(count).unwrap_or(0);
    let input = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]
        .into_iter()
        .fold(0, |sum: u64, name| sum.saturating_add(tokens(name)));
    let output = tokens("output_tokens");
    ((input, output) != (0, 0)).then(|| chat_usage(input, output))
}

/// Replaces the counts reported before: Anthropic's are cumulative.
pub(super) fn update_usage(known: &mut Map<String, Value>, usage: &Value) {
    if weight(usage) > MAX_USAGE {
        return;
    }
    for (name, value) in usage.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let value = match count(value).filter(|_| name.ends_with("_tokens")) {
            Some(count) => count.into(),
            None => value.clone(),
        };
        if known.len() < MAX_COUNTS || known.contains_key(name) {
            known.insert(name.clone(), value);
        }
    }
}

/// How an answer that was not streamed ended.
///
/// # Errors
/// That of an answer that was broken off.
pub fn read_unstreamed(answer: &Value) -> Result<Ending> {
    let stop = answer["stop_reason"].as_str().unwrap_or("end_turn");
    if FinishKind::of(stop) == FinishKind::Interrupted {
        return Err(interruption_error(stop));
    }
    Ok(Ending {
        reason: finish_reason(truncate(stop, MAX_REASON)).to_owned(),
        usage: answer["usage"].as_object().and_then(total_usage),
    })
}
