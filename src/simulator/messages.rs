//! An answer as Anthropic's Messages has it.

use serde_json::{Value, json};

use super::dialect::{Event, Spoken, each};
use super::pieces::Seeded;
use super::stream::{Content, Identity};

struct Writer {
    events: Vec<Event>,
    blocks: Vec<Value>,
}

impl Writer {
    fn event(&mut self, name: &'static str, data: Value, piece: bool) {
        self.events.push(Event { name, data, piece });
    }

    fn begin(&mut self, block: Value) {
        let index = self.blocks.len();
        self.event(
            "content_block_start",
            json!({ "type": "content_block_start", "index": index, "content_block": block }),
            false,
        );
    }

    fn delta(&mut self, delta: Value, piece: bool) {
        let index = self.blocks.len();
        self.event(
            "content_block_delta",
            json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            piece,
        );
    }

    fn end(&mut self, whole: Value) {
        let index = self.blocks.len();
        self.event("content_block_stop", json!({ "type": "content_block_stop", "index": index }), false);
        self.blocks.push(whole);
    }
}

/// The answer as events and in one piece. Without `finish`, what ends it is left out.
pub(super) fn speak(
    content: &Content,
    identity: &Identity<'_>,
    prompt_tokens: u64,
    finish: bool,
    seeded: &mut Seeded,
) -> Spoken {
    let mut writer = Writer { events: Vec::new(), blocks: Vec::new() };
    let mut message = json!({
        "id": identity.id, "type": "message", "role": "assistant", "model": identity.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": prompt_tokens, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": 1 },
    });
    writer.event("message_start", json!({ "type": "message_start", "message": message }), false);
    if content.reasoning.len() > 0 {
        let signature = seeded.id(64);
        writer.begin(json!({ "type": "thinking", "thinking": "", "signature": "" }));
        for piece in each(&content.reasoning) {
            writer.delta(json!({ "type": "thinking_delta", "thinking": piece }), true);
        }
        writer.delta(json!({ "type": "signature_delta", "signature": signature }), false);
        writer
            .end(json!({ "type": "thinking", "thinking": content.reasoning.text(), "signature": signature }));
    }
    // A refusal is text here; the stop reason tells it.
    let said = if content.refusal.len() > 0 { &content.refusal } else { &content.text };
    if said.len() > 0 || content.tools.is_empty() {
        writer.begin(json!({ "type": "text", "text": "" }));
        writer.event("ping", json!({ "type": "ping" }), false);
        for piece in each(said) {
            writer.delta(json!({ "type": "text_delta", "text": piece }), true);
        }
        writer.end(json!({ "type": "text", "text": said.text() }));
    }
    for tool in &content.tools {
        let id = tool.id.replacen("call_", "toolu_", 1);
        writer.begin(json!({ "type": "tool_use", "id": id, "name": tool.name, "input": {} }));
        for piece in std::iter::once(String::new()).chain(each(&tool.arguments)) {
            let counts = !piece.is_empty();
            writer.delta(json!({ "type": "input_json_delta", "partial_json": piece }), counts);
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
    let usage = json!({ "output_tokens": content.pieces().max(1) });
    if finish {
        let delta = json!({ "stop_reason": stop, "stop_sequence": null });
        let data = json!({ "type": "message_delta", "delta": delta, "usage": usage });
        writer.event("message_delta", data, false);
        writer.event("message_stop", json!({ "type": "message_stop" }), false);
        message["stop_reason"] = stop.into();
    }
    message["content"] = writer.blocks.into();
    message["usage"]["output_tokens"] = usage["output_tokens"].clone();
    Spoken { events: writer.events, whole: message }
}
