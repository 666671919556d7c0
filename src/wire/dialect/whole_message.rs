//! A whole message of Messages, where a stream was requested: the events that a stream would have had.

use serde_json::{Value, json};

use super::codec::MAX_PARTS;
use super::normal::{NormalEvent, delta_text};
use crate::wire::json;

/// The events of a message. `None` if this is not a message, or is one with more than [`MAX_PARTS`] blocks.
pub(super) fn events(data: &str) -> Option<Vec<NormalEvent>> {
    let mut message = json::value(data)?;
    let Value::Array(blocks) = message["content"].take() else { return None };
    // Objects of other APIs have a list of this name too.
    let is_message = message["type"] == "message" || message["role"] == "assistant";
    if !is_message || blocks.len() > MAX_PARTS {
        return None;
    }
    let reason = message["stop_reason"].take();
    let reason = if reason.is_string() { reason } else { "end_turn".into() };
    let sequence = message["stop_sequence"].take();
    if !message["usage"].is_object() {
        message["usage"] = json!({ "input_tokens": 0, "output_tokens": 0 });
    }
    let usage = message["usage"].clone();
    message["content"] = json!([]);
    let mut events = vec![json!({ "type": "message_start", "message": message })];
    for (index, block) in blocks.into_iter().filter(Value::is_object).enumerate() {
        add_block(index, block, &mut events);
    }
    let delta = json!({ "stop_reason": reason, "stop_sequence": sequence });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    events.push(json!({ "type": "message_stop" }));
    Some(events.iter().map(NormalEvent::new).collect())
}

fn add_block(index: usize, mut block: Value, events: &mut Vec<Value>) {
    let mut deltas = Vec::new();
    match block["type"].as_str() {
        Some("text") => {
            let text = take_text(&mut block, "text");
            deltas.extend(text.map(|text| json!({ "type": "text_delta", "text": text })));
            if let Some(Value::Array(citations)) = take(&mut block, "citations", json!([])) {
                let citation = |citation| json!({ "type": "citations_delta", "citation": citation });
                deltas.extend(citations.into_iter().map(citation));
            }
        }
        Some("thinking") => {
            let thinking = take_text(&mut block, "thinking");
            deltas.extend(thinking.map(|text| json!({ "type": "thinking_delta", "thinking": text })));
            let signature = take_text(&mut block, "signature");
            deltas.extend(signature.map(|text| json!({ "type": "signature_delta", "signature": text })));
        }
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
            let input = take(&mut block, "input", json!({})).map(|input| match input {
                Value::String(text) => text,
                input => input.to_string(),
            });
            deltas.extend(input.map(|input| json!({ "type": "input_json_delta", "partial_json": input })));
        }
        _ => {}
    }
    events.push(json!({ "type": "content_block_start", "index": index, "content_block": block }));
    events.extend(
        deltas
            .into_iter()
            .map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
    );
    events.push(json!({ "type": "content_block_stop", "index": index }));
}

/// The content of a block, which moves into deltas.
fn take(block: &mut Value, name: &str, empty: Value) -> Option<Value> {
    Some(std::mem::replace(block.get_mut(name)?, empty)).filter(|content| !content.is_null())
}

/// The text of a block, which is empty from now on.
fn take_text(block: &mut Value, name: &str) -> Option<String> {
    let content = std::mem::replace(&mut block[name], "".into());
    let text = match content {
        Value::String(text) => text,
        content => delta_text(&content.to_string()).lossy().into_owned(),
    };
    Some(text).filter(|text| !text.is_empty())
}
