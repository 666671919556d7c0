//! Unknown provider fields in an answer that is assembled or rebuilt.

use serde_json::{Value, json};

use super::deliver::Delivery;
use crate::engine::shared::sink::DeliveryMode;
use crate::session::merge::merge;
use crate::wire::chat::is_reasoning;
use crate::wire::extras::{ChoiceExtras, Extras, extras};

impl Delivery<'_> {
    /// Accepts the unknown fields of a chunk that is not delivered unchanged.
    ///
    /// A chunk that differs from the one before only in its text has no new ones and is not searched for them.
    pub(super) fn accept_extras(&mut self, raw: &str) {
        let Extras { chunk, choices } = extras(raw);
        self.transcript.journal.extra.extend(chunk);
        let is_alone = choices.len() == 1;
        for ChoiceExtras { index, choice: of_choice, mut delta } in choices {
            // Repeated reasoning of a continuation is not delivered again.
            delta.retain(|name, _| !(self.continuation.is_active && is_reasoning(name)));
            let Some((index, _)) = self.transcript.journal.locate(index, is_alone) else { continue };
            let Some(choice) = self.transcript.journal.choice(index) else { continue };
            merge(&mut choice.extra, of_choice);
            if self.consumer.mode == DeliveryMode::Nothing {
                merge(&mut choice.message_extra, delta);
                continue;
            }
            // Delivered as `reasoning_content`.
            delta.shift_remove("reasoning");
            delta.retain(|_, value| !is_empty(value));
            if delta.is_empty() {
                continue;
            }
            if !self.transcript.committed && self.held_chunks.is_empty() {
                // These arrived with the first delta of a tool call, which is buffered.
                delta.insert("role".into(), json!("assistant"));
                delta.insert("content".into(), Value::Null);
            }
            self.deliver_delta(index, delta.into(), None);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
