//! Answers of OpenAI's Responses.

use serde_json::{Value, json};

use super::content::{Content, Identity};
use super::deltas::Deltas;
use super::dialect::{DialectAnswer, Event};
use super::rng;
use crate::rng::SeededRng;

struct Writer {
    events: Vec<Event>,
    output: Vec<Value>,
}

impl Writer {
    fn event(&mut self, name: &'static str, fields: Value, is_delta: bool) {
        let mut data = json!({ "type": name, "sequence_number": self.events.len() });
        if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
            data.extend(fields);
        }
        self.events.push(Event { name: Some(name.into()), data, is_delta });
    }

    fn begin(&mut self, item: Value) {
        let index = self.output.len();
        self.event("response.output_item.added", json!({ "output_index": index, "item": item }), false);
    }

    fn end(&mut self, item: Value) {
        let index = self.output.len();
        self.event("response.output_item.done", json!({ "output_index": index, "item": item }), false);
        self.output.push(item);
    }

    /// Writes all events of one part of a message.
    fn part(
        &mut self,
        id: &str,
        names: [&'static str; 2],
        field: &str,
        deltas: &Deltas,
        part: &dyn Fn(&str) -> Value,
    ) {
        let at = json!({ "item_id": id, "output_index": self.output.len(), "content_index": 0 });
        let with = |name: &str, value: Value| {
            let mut fields = at.clone();
            fields[name] = value;
            fields
        };
        let text = deltas.text();
        self.event("response.content_part.added", with("part", part("")), false);
        for delta in deltas.iter() {
            let mut fields = with("delta", delta.into());
            if field == "text" {
                fields["logprobs"] = json!([]);
            }
            self.event(names[0], fields, true);
        }
        let mut done = with(field, text.as_str().into());
        if field == "text" {
            done["logprobs"] = json!([]);
        }
        self.event(names[1], done, false);
        self.event("response.content_part.done", with("part", part(&text)), false);
    }

    fn message(&mut self, content: &Content, finished: bool, rng: &mut SeededRng) {
        let id = format!("msg_{}", rng::id(rng, 48));
        let item = |status: &str, parts: Value| json!({ "id": id, "type": "message", "status": status, "content": parts, "role": "assistant" });
        self.begin(item("in_progress", json!([])));
        let refused = content.refusal.len() > 0;
        let part = |text: &str| match refused {
            true => json!({ "type": "refusal", "refusal": text }),
            false => json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text }),
        };
        if refused {
            let names = ["response.refusal.delta", "response.refusal.done"];
            self.part(&id, names, "refusal", &content.refusal, &part);
        } else {
            let names = ["response.output_text.delta", "response.output_text.done"];
            self.part(&id, names, "text", &content.text, &part);
        }
        let visible = if refused { &content.refusal } else { &content.text };
        let status = if finished { "completed" } else { "incomplete" };
        self.end(item(status, json!([part(&visible.text())])));
    }

    fn reasoning(&mut self, summary: &Deltas, rng: &mut SeededRng) {
        let id = format!("rs_{}", rng::id(rng, 48));
        let text = summary.text();
        let at = json!({ "item_id": id, "output_index": self.output.len(), "summary_index": 0 });
        let with = |name: &str, value: Value| {
            let mut fields = at.clone();
            fields[name] = value;
            fields
        };
        let part = |text: &str| json!({ "type": "summary_text", "text": text });
        self.begin(json!({ "id": id, "type": "reasoning", "summary": [] }));
        self.event("response.reasoning_summary_part.added", with("part", part("")), false);
        for delta in summary.iter() {
            self.event("response.reasoning_summary_text.delta", with("delta", delta.into()), true);
        }
        self.event("response.reasoning_summary_text.done", with("text", text.as_str().into()), false);
        self.event("response.reasoning_summary_part.done", with("part", part(&text)), false);
        self.end(json!({ "id": id, "type": "reasoning", "summary": [part(&text)] }));
    }
}

/// Builds the answer. Without `finish`, the events that end it are left out.
pub(super) fn build(
    content: &Content,
    identity: &Identity<'_>,
    prompt_tokens: u64,
    finish: bool,
    background: bool,
    rng: &mut SeededRng,
) -> DialectAnswer {
    let mut writer = Writer { events: Vec::new(), output: Vec::new() };
    let mut response = json!({
        "id": identity.id, "object": "response", "created_at": identity.created, "status": "in_progress",
        "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
        "model": identity.model, "output": [], "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": { "effort": null, "summary": null }, "store": true, "temperature": 1.0,
        "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": null, "metadata": {},
    });
    if background {
        response["background"] = true.into();
        response["status"] = "queued".into();
        writer.event("response.created", json!({ "response": response }), false);
        writer.event("response.queued", json!({ "response": response }), false);
        response["status"] = "in_progress".into();
    } else {
        writer.event("response.created", json!({ "response": response }), false);
    }
    writer.event("response.in_progress", json!({ "response": response }), false);
    let reason = match content.finish.as_str() {
        "length" => Some("max_output_tokens"),
        "content_filter" => Some("content_filter"),
        _ => None,
    };
    if content.reasoning.len() > 0 {
        writer.reasoning(&content.reasoning, rng);
    }
    if content.text.len() > 0 || content.refusal.len() > 0 || content.tools.is_empty() {
        writer.message(content, reason.is_none(), rng);
    }
    for tool in &content.tools {
        let id = format!("fc_{}", rng::id(rng, 48));
        let item = |status: &str, arguments: &str| {
            json!({ "id": id, "type": "function_call", "status": status, "arguments": arguments,
                "call_id": tool.id, "name": tool.name })
        };
        writer.begin(item("in_progress", ""));
        let index = writer.output.len();
        for delta in tool.arguments.iter() {
            let fields = json!({ "item_id": id, "output_index": index, "delta": delta });
            writer.event("response.function_call_arguments.delta", fields, true);
        }
        let text = tool.arguments.text();
        let fields = json!({ "item_id": id, "output_index": index, "name": tool.name, "arguments": text });
        writer.event("response.function_call_arguments.done", fields, false);
        writer.end(item("completed", &text));
    }
    let (name, status) = match reason {
        Some(_) => ("response.incomplete", "incomplete"),
        None => ("response.completed", "completed"),
    };
    response["status"] = status.into();
    if let Some(reason) = reason {
        response["incomplete_details"] = json!({ "reason": reason });
    }
    let output_tokens = content.delta_count().max(1);
    response["output"] = writer.output.clone().into();
    response["usage"] = json!({
        "input_tokens": prompt_tokens, "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": output_tokens, "output_tokens_details": { "reasoning_tokens": content.reasoning.len() },
        "total_tokens": prompt_tokens + output_tokens,
    });
    if finish {
        writer.event(name, json!({ "response": response }), false);
    }
    DialectAnswer { events: writer.events, whole: response }
}
