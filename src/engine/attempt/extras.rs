//! Unknown provider fields in an answer that is assembled or rebuilt.

use serde_json::{Map, Value, json};

use super::deliver::{Delivery, Flow, MAX_HELD_BYTES};
use super::pending_extras::PendingExtras;
use crate::engine::shared::sink::DeliveryMode;
use crate::session::merge::is_appended;
use crate::wire::chat::{self, is_reasoning};
use crate::wire::extras::{ChoiceExtras, Extras, extras};
use crate::wire::json::{Halved, TooLarge};

impl Delivery<'_> {
    /// Accepts the unknown fields of a chunk that is not delivered unchanged.
    ///
    /// A chunk that differs from the one before only in its text has no new ones and is not searched for them.
    pub(super) fn accept_extras(&mut self, update: &chat::Chunk<'_>, raw: &str) -> Flow {
        let read = extras(raw, self.transcript.max_size());
        let Extras { chunk, choices } = read.map_err(|TooLarge| self.too_large())?;
        // A consumer of chunks has them, and nobody else gets them before the answer is complete.
        let is_kept = self.consumer.mode == DeliveryMode::Nothing;
        if is_kept {
            self.transcript.journal.set_extra(chunk);
        } else if !chunk.is_empty() {
            let pending = self.pending_extras(raw.len());
            pending.chunk.extend(chunk);
        }
        let is_alone = choices.len() == 1;
        for ChoiceExtras { index: of_provider, choice: of_choice, mut delta, halved } in choices {
            // Repeated reasoning of a continuation is not delivered again.
            delta.retain(|name, _| !(self.continuation.is_active && is_reasoning(name)));
            let Some((index, moved)) = self.transcript.journal.locate(of_provider, is_alone) else {
                continue;
            };
            if moved {
                self.first_choice_changed();
            }
            let updates = update.choices.as_deref().unwrap_or_default();
            let update = updates.iter().find(|choice| is_alone || choice.index == of_provider);
            if update.is_some_and(|update| self.is_summary(index, update)) {
                delta.retain(|name, _| !self.has_field(index, name));
            }
            self.join_halves(index, &mut delta, halved);
            if is_kept {
                self.transcript.journal.add_extra(index, of_choice, delta);
                continue;
            }
            if !of_choice.is_empty() {
                self.pending_extras(raw.len()).choice(index).extend(of_choice);
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

    /// Joins characters of which half came in an earlier delta.
    fn join_halves(&mut self, index: u32, delta: &mut Map<String, Value>, halved: Vec<Halved>) {
        if halved.is_empty() && self.field_halves.is_none() {
            return;
        }
        let halves = self.field_halves.get_or_insert_default();
        halves.join(index, delta, halved, is_appended);
        self.field_halves.take_if(|halves| halves.is_empty());
    }

    /// Replaces the halves of characters in the unknown fields of a choice whose other half did not arrive.
    pub(super) fn finish_field_halves(&mut self, index: u32) {
        let Some(halves) = &mut self.field_halves else { return };
        let ended = halves.take(index);
        self.field_halves.take_if(|halves| halves.is_empty());
        for fields in ended {
            if self.consumer.mode == DeliveryMode::Nothing {
                self.transcript.journal.add_extra(index, Map::new(), fields);
            } else {
                self.deliver_delta(index, fields.into(), None);
            }
        }
    }

    /// Accepts the `logprobs` of a choice whose chunk is not delivered unchanged.
    pub(super) fn accept_logprobs(&mut self, index: u32, json: &str, update: &chat::Choice<'_>) -> Flow {
        // Those of a text that has come before are not new. What a continuation repeats, nobody knows of them.
        let mode = self.consumer.mode;
        let is_unwanted = mode == DeliveryMode::Text
            || (mode == DeliveryMode::Chunks && self.continuation.is_active)
            || self.is_summary(index, update);
        if is_unwanted {
            return Ok(());
        }
        let Some(Value::Object(logprobs)) = self.value(json)? else { return Ok(()) };
        if mode == DeliveryMode::Nothing {
            self.transcript.journal.add_logprobs(index, logprobs);
        } else {
            self.pending_extras(json.len()).add_logprobs(index, logprobs);
        }
        Ok(())
    }

    /// A generated chunk with the unknown fields that wait for one.
    pub(super) fn generate(&mut self, index: u32, delta: Value, finish_reason: Option<&str>) -> String {
        let journal = &self.transcript.journal;
        let Some(mut pending) = self.pending_extras.take() else {
            return journal.chunk(index, delta, finish_reason);
        };
        let mut chunk = journal.chunk_value(index, delta, finish_reason);
        add(&mut chunk, std::mem::take(&mut pending.chunk));
        if let Some(at) = pending.choices.iter().position(|(known, _)| *known == index) {
            add(&mut chunk["choices"][0], pending.choices.swap_remove(at).1);
        }
        // The other choices have chunks of their own.
        self.pending_extras = Some(pending).filter(|pending| !pending.choices.is_empty());
        chunk.to_string()
    }

    /// Delivers the unknown fields for which no chunk was generated, in one of their own. Before the first token it is held
    /// like a bare role.
    pub(super) fn deliver_pending_extras(&mut self) {
        while let Some(pending) = &self.pending_extras {
            let of_choice = pending.choices.first().map(|(index, _)| *index);
            let chunk = match of_choice {
                Some(index) => self.generate(index, json!({}), None),
                None => {
                    let mut chunk = self.transcript.journal.chunk_value(0, Value::Null, None);
                    chunk["choices"] = json!([]);
                    add(&mut chunk, self.pending_extras.take().unwrap_or_default().chunk);
                    chunk.to_string()
                }
            };
            self.deliver_or_hold(&chunk);
        }
    }

    /// The fields that wait, to which those of so many bytes of JSON are added. Too many are delivered first.
    fn pending_extras(&mut self, size: usize) -> &mut PendingExtras {
        if self.pending_extras.as_ref().is_some_and(|pending| pending.size + size > MAX_HELD_BYTES) {
            self.deliver_pending_extras();
        }
        let pending = self.pending_extras.get_or_insert_default();
        pending.size += size;
        pending
    }
}

/// Adds fields to a generated object. Those that it has itself stay, except for null.
fn add(object: &mut Value, fields: Map<String, Value>) {
    for (name, value) in fields {
        if object[&*name].is_null() {
            object[&*name] = value;
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
