//! What a provider says beyond what the engine knows, in an answer that is put together or made anew.

use serde_json::{Value, json};

use super::delivery::Delivery;
use super::sink::Wants;
use crate::session::merge::merge;
use crate::wire::extras::{ChoiceExtras, Extras, extras};

impl Delivery<'_> {
    /// Takes in what nobody reads of a chunk that does not go out as it is.
    ///
    /// A chunk that differs from the one before in its text alone says nothing new and is not read for it.
    pub(super) fn extras(&mut self, raw: &str) {
        let Extras { chunk, choices } = extras(raw);
        self.journal.extra.extend(chunk);
        for ChoiceExtras { index, choice: of_choice, mut delta } in choices {
            // What is thought again after a break is not shown again.
            delta.retain(|name, _| !(self.continues && name.starts_with("reasoning")));
            let Some(choice) = self.journal.choice(index) else { continue };
            merge(&mut choice.extra, of_choice);
            if self.wants == Wants::Nothing {
                merge(&mut choice.message, delta);
                continue;
            }
            // It goes out as `reasoning_content`.
            delta.shift_remove("reasoning");
            delta.retain(|_, value| !is_empty(value));
            if delta.is_empty() {
                continue;
            }
            if !*self.committed && self.held.is_empty() {
                // It came with the first part of a tool call, which is held.
                delta.insert("role".into(), json!("assistant"));
                delta.insert("content".into(), Value::Null);
            }
            self.hand_over_made(index, delta.into(), None);
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
