//! Anthropic's Messages: the events of a resumed answer that did not come from the provider, or not in this form.

use serde_json::{Map, Value, json};

use super::{Answer, MAX_PARTS, SyntheticEvent, add_usage};

impl Answer {
    fn close(&mut self) -> Option<SyntheticEvent> {
        let index = self.open.take()?;
        Some(SyntheticEvent::new(json!({ "type": "content_block_stop", "index": index })))
    }

    /// The last events, with this `message_delta`.
    pub(super) fn end(&mut self, mut delta: Value) -> Vec<SyntheticEvent> {
        let sum = add_usage(self.earlier_usage.clone(), &Value::Object(self.usage.clone()));
        let reported = delta["usage"].as_object().cloned().unwrap_or_default();
        // A reader takes each count in this event for that of the whole answer.
        let mut usage = Map::new();
        for name in ["input_tokens", "output_tokens"].into_iter().chain(reported.keys().map(String::as_str)) {
            if let Some(value) = sum.get(name) {
                usage.insert(name.to_owned(), value.clone());
            }
        }
        delta["usage"] = usage.into();
        let mut events: Vec<SyntheticEvent> = self.close().into_iter().collect();
        events.push(SyntheticEvent::new(delta));
        events.push(SyntheticEvent::new(json!({ "type": "message_stop" })));
        self.stopped = true;
        events
    }

    /// [`EventCodec::rewrite_last`](super::EventCodec::rewrite_last).
    pub(super) fn rewritten(&mut self) -> Vec<SyntheticEvent> {
        let Some(mut event) = self.last.take() else { return Vec::new() };
        self.other.unrepeatable();
        let mut events: Vec<SyntheticEvent> = self.close().into_iter().collect();
        if let Some(index) = event["index"].as_u64() {
            let next = self.next;
            let is_known = self.indices.len() < MAX_PARTS || self.indices.contains_key(&index);
            let renumbered = if is_known { *self.indices.entry(index).or_insert(next) } else { next };
            self.next = next.max(renumbered.saturating_add(1));
            event["index"] = renumbered.into();
        }
        events.push(SyntheticEvent::new(event));
        events
    }

    /// [`EventCodec::append_text`](super::EventCodec::append_text).
    pub(super) fn appended(&mut self, text: &str) -> Vec<SyntheticEvent> {
        let mut events = Vec::new();
        let index = self.open.unwrap_or_else(|| {
            let index = self.next;
            self.next = index.saturating_add(1);
            let block = json!({ "type": "text", "text": "" });
            events.push(SyntheticEvent::new(
                json!({ "type": "content_block_start", "index": index, "content_block": block }),
            ));
            index
        });
        self.open = Some(index);
        let delta = json!({ "type": "text_delta", "text": text });
        events.push(SyntheticEvent::new(
            json!({ "type": "content_block_delta", "index": index, "delta": delta }),
        ));
        events
    }
}
