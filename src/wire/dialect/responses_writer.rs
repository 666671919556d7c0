//! OpenAI's Responses: the events of a resumed answer that did not come from the provider, or not in this form.

use serde_json::{Value, json};

use super::{Answer, MAX_PARTS, OpenPart, SyntheticEvent};

impl Answer {
    fn numbered(&mut self, mut data: Value) -> SyntheticEvent {
        data["sequence_number"] = self.next_sequence.into();
        self.next_sequence = self.next_sequence.saturating_add(1);
        SyntheticEvent::new(data)
    }

    /// The events that end the text part and its message.
    pub(super) fn close(&mut self, status: &str) -> Vec<SyntheticEvent> {
        let Some(OpenPart { mut item, output_index, content_index, text }) = self.open.take() else {
            return Vec::new();
        };
        let id = item["id"].clone();
        let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text });
        item["status"] = status.into();
        match item["content"].as_array_mut() {
            Some(parts) => parts.push(part.clone()),
            None => item["content"] = json!([part]),
        }
        self.keep_item(output_index, item.clone());
        let at = |kind: &str, name: &str, value: Value| {
            json!({
                "type": kind, "sequence_number": 0, "item_id": id, "output_index": output_index,
                "content_index": content_index, name: value,
            })
        };
        let mut done = at("response.output_text.done", "text", text.into());
        done["logprobs"] = json!([]);
        let part = at("response.content_part.done", "part", part);
        let item = json!({ "type": "response.output_item.done", "sequence_number": 0, "output_index": output_index, "item": item });
        [done, part, item].map(|event| self.numbered(event)).into()
    }

    /// The last events. `last` is the response as the last attempt reports it.
    pub(super) fn end(&mut self, last: &Value) -> Vec<SyntheticEvent> {
        let status = last["status"].as_str().unwrap_or("completed").to_owned();
        let mut events = self.close(&status);
        let mut response = if self.response.is_object() { self.response.take() } else { last.clone() };
        for name in ["status", "error", "incomplete_details", "completed_at", "service_tier", "usage"] {
            if let Some(value) = last.get(name) {
                response[name] = value.clone();
            }
        }
        response["output"] = self.items.values().cloned().collect();
        let event = format!("response.{status}");
        let event = json!({ "type": event, "sequence_number": 0, "response": response });
        events.push(self.numbered(event));
        events
    }

    /// [`EventCodec::rewrite_last`](super::EventCodec::rewrite_last).
    pub(super) fn rewritten(&mut self) -> Vec<SyntheticEvent> {
        let Some(mut event) = self.last.take() else { return Vec::new() };
        self.other.unrepeatable();
        let mut events = self.close("completed");
        if let Some(index) = event["output_index"].as_u64() {
            let next = self.next_item;
            let is_known = self.indices.len() < MAX_PARTS || self.indices.contains_key(&index);
            let renumbered = if is_known { *self.indices.entry(index).or_insert(next) } else { next };
            self.next_item = next.max(renumbered.saturating_add(1));
            event["output_index"] = renumbered.into();
            if event["type"] == "response.output_item.done" {
                self.keep_item(renumbered, event["item"].clone());
            }
        }
        events.push(self.numbered(event));
        events
    }

    /// [`EventCodec::append_text`](super::EventCodec::append_text).
    pub(super) fn appended(&mut self, text: &str) -> Vec<SyntheticEvent> {
        let mut events = Vec::new();
        if self.open.is_none() {
            let index = self.next_item;
            self.next_item = index.saturating_add(1);
            let id = format!("msg_{}_{index}", self.response["id"].as_str().unwrap_or_default());
            let item = json!({ "id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant" });
            let part = json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": "" });
            let added = json!({ "type": "response.output_item.added", "sequence_number": 0, "output_index": index, "item": item });
            events.push(self.numbered(added));
            let added = json!({ "type": "response.content_part.added", "sequence_number": 0, "item_id": id, "output_index": index, "content_index": 0, "part": part });
            events.push(self.numbered(added));
            self.open = Some(OpenPart { item, output_index: index, content_index: 0, text: String::new() });
        }
        if let Some(open) = &mut self.open {
            open.text.push_str(text);
            self.held += text.len();
            let delta = json!({
                "type": "response.output_text.delta", "sequence_number": 0, "item_id": open.item["id"],
                "output_index": open.output_index, "content_index": open.content_index, "delta": text,
                "logprobs": [],
            });
            events.push(self.numbered(delta));
        }
        events
    }
}
