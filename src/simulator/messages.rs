//! Answers of Anthropic's Messages.

use serde_json::{Value, json};

use super::content::{Content, Identity};
use super::dialect::{DialectAnswer, Event};
use super::rng;
use crate::rng::SeededRng;

struct Writer {
    events: Vec<Event>,
    blocks: Vec<Value>,
}

impl Writer {
    fn event(&mut self, name: &'static str, data: Value, is_delta: bool) {
        self.events.push(Event { name: Some(name.into()), data, is_delta });
    }

    fn begin(&mut self, block: Value) {
        let index = self.blocks.len();
        self.event(
            "content_block_start",
            json!({ "type": "content_block_start", "index": index, "content_block": block }),
            false,
        );
    }

    fn delta(&mut self, delta: Value, is_delta: bool) {
        let index = self.blocks.len();
        self.event(
            "content_block_delta",
            json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            is_delta,
        );
    }

    fn end(&mut self, whole: Value) {
        let index = self.blocks.len();
        self.event("content_block_stop", json!({ "type": "content_block_stop", "index": index }), false);
        self.blocks.push(whole);
    }
}

/// Builds the answer. Without `finish`, the events that end it are left out.
pub(super) fn build(
    content: &Content,
    identity: &Identity<'_>,
    prompt_tokens: u64,
    finish: bool,
    rng: &mut SeededRng,
) -> DialectAnswer {
    let mut writer = Writer { events: Vec::new(), blocks: Vec::new() };
    let mut message = json!({
        "id": identity.id, "type": "message", "role": "assistant", "model": identity.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": prompt_tokens, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": 1 },
    });
    writer.event("message_start", json!({ "type": "message_start", "message": message }), false);
    if content.reasoning.len() > 0 {
        let signature = rng::id(rng, 64);
        writer.begin(json!({ "type": "thinking", "thinking": "", "signature": "" }));
        for delta in content.reasoning.iter() {
            writer.delta(json!({ "type": "thinking_delta", "thinking": delta }), true);
        }
        writer.delta(json!({ "type": "signature_delta", "signature": signature }), false);
        writer
            .end(json!({ "type": "thinking", "thinking": content.reasoning.text(), "signature": signature }));
    }
    // A refusal is a text with its own stop reason here.
    let visible = if content.refusal.len() > 0 { &content.refusal } else { &content.text };
    if visible.len() > 0 || content.tools.is_empty() {
        writer.begin(json!({ "type": "text", "text": "" }));
        writer.event("ping", json!({ "type": "ping" }), false);
        for delta in visible.iter() {
            writer.delta(json!({ "type": "text_delta", "text": delta }), true);
        }
        writer.end(json!({ "type": "text", "text": visible.text() }));
    }
    for tool in &content.tools {
        let id = tool.id.replacen("call_", "toolu_", 1);
        writer.begin(json!({ "type": "tool_use", "id": id, "name": tool.name, "input": {} }));
        for delta in std::iter::once(String::new()).chain(tool.arguments.iter()) {
            let counts = !delta.is_empty();
            writer.delta(json!({ "type": "input_json_delta", "partial_json": delta }), counts);
        }
        let input: Value = serde_json::from_str(&tool.arguments.text()).unwrap_or_default();
        writer.end(json!({ "type": "tool_use", "id": id, "name": tool.name, "input": input }));
    }
    let stop = match content.finish.as_str() {
        _ if content.refusal.len() > 0 => "refusal",
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        other => other,
    };
    let usage = json!({ "output_tokens": content.delta_count().max(1) });
    if finish {
        let delta = json!({ "stop_reason": stop, "stop_sequence": null });
        let data = json!({ "type": "message_delta", "delta": delta, "usage": usage });
        writer.event("message_delta", data, false);
        writer.event("message_stop", json!({ "type": "message_stop" }), false);
        message["stop_reason"] = stop.into();
    }
    message["content"] = writer.blocks.into();
    message["usage"]["output_tokens"] = usage["output_tokens"].clone();
    DialectAnswer { events: writer.events, whole: message }
}
