//! OpenAI's Responses: the items of an answer, as far as they are kept to resume it.

use serde_json::{Value, json};

use super::codec::MAX_ID;
use super::other_content::OtherKind;
use crate::error::truncate;

/// What an item of the attempt is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ItemKind {
    Message,
    Reasoning,
    Other,
}

/// The text part that is open at the consumer.
pub(super) struct OpenPart {
    pub item: Value,
    pub output_index: u64,
    pub content_index: u64,
    pub text: String,
}

/// What an item is. Reasoning of which nothing is shown has no content.
pub(super) fn item_kind(item: &Value) -> ItemKind {
    let empty = |name: &str| item[name].as_array().is_none_or(Vec::is_empty);
    match item["type"].as_str() {
        Some("message") => ItemKind::Message,
        Some("reasoning") if empty("summary") && empty("content") => ItemKind::Reasoning,
        _ => ItemKind::Other,
    }
}

/// What an item other than text means for a continuation.
pub(super) fn other_kind(item: &Value) -> OtherKind {
    match item["type"].as_str().unwrap_or_default() {
        "reasoning" | "web_search_call" | "file_search_call" => OtherKind::Harmless,
        "function_call" | "custom_tool_call" => OtherKind::Call,
        _ => OtherKind::Unrepeatable,
    }
}

/// Cuts off a text that is repeated in generated events.
pub(super) fn shorten(value: &mut Value) {
    if let Value::String(text) = value {
        text.truncate(truncate(text, MAX_ID).len());
    }
}

/// What is left of a response whose answer is not resumed.
pub(super) fn identity_of(response: &Value) -> Value {
    json!({ "id": response["id"], "model": response["model"] })
}
