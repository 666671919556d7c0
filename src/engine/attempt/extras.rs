//! Unknown provider fields in an answer that is assembled or rebuilt.

use serde_json::{Value, json};

use super::deliver::{Delivery, Flow};
use crate::engine::shared::sink::DeliveryMode;
use crate::wire::chat::is_reasoning;
use crate::wire::extras::{ChoiceExtras, Extras, extras};
use crate::wire::json::TooLarge;

impl Delivery<'_> {
    /// Accepts the unknown fields of a chunk that is not delivered unchanged.
    ///
    /// A chunk that differs from the one before only in its text has no new ones and is not searched for them.
    pub(super) fn accept_extras(&mut self, raw: &str) -> Flow {
        let read = extras(raw, self.transcript.max_size());
        let Extras { chunk, choices } = read.map_err(|TooLarge| self.too_large())?;
        // A consumer of chunks has them, and nobody else gets them before the answer is complete.
        let is_kept = self.consumer.mode == DeliveryMode::Nothing;
        if is_kept {
            self.transcript.journal.set_extra(chunk);
        }
        let is_alone = choices.len() == 1;
        for ChoiceExtras { index, choice: of_choice, mut delta } in choices {
            // Repeated reasoning of a continuation is not delivered again.
            delta.retain(|name, _| !(self.continuation.is_active && is_reasoning(name)));
            let Some((index, _)) = self.transcript.journal.locate(index, is_alone) else { continue };
            if is_kept {
                self.transcript.journal.add_extra(index, of_choice, delta);
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
        Ok(())
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
