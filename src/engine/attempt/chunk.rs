//! Chat chunks: each is journaled by choice, and delivered unchanged or rebuilt.

use serde_json::json;

use super::deliver::{Delivery, Flow, MAX_HELD_BYTES, MAX_HELD_CHUNKS, ReadEnd};
use super::part::Part;
use crate::engine::shared::redaction::label;
use crate::engine::shared::sink::DeliveryMode;
use crate::error::truncate;
use crate::session::choice::ContentSource;
use crate::session::journal::MAX_LABEL;
use crate::usage::add_usage;
use crate::wire::chat::{self, FinishKind, MAX_REASON, Source};

impl Delivery<'_> {
    /// Accepts one chunk. `raw` is its JSON.
    pub fn accept_chunk(&mut self, chunk: &chat::Chunk<'_>, raw: &str) -> Flow {
        self.accepted += 1;
        self.batch(raw, |delivery| delivery.apply_chunk(chunk, raw))
    }

    /// Whether text is journaled and delivered as it comes: no half of a character waits for it, and it is not part of a
    /// continuation.
    pub fn takes_text_as_it_comes(&self) -> bool {
        !self.continuation.is_active && !self.continuation.expects_tool_call && self.surrogates.is_empty()
    }

    /// [`Delivery::accept_chunk`] for the most frequent chunks, while [`Delivery::takes_text_as_it_comes`]. Everything but
    /// the text is known from the chunk before.
    pub fn accept_text(&mut self, chunk: chat::TextChunk<'_>, raw: &str) -> Flow {
        self.accepted += 1;
        self.batch(raw, |delivery| {
            delivery.mark_first_token();
            delivery.count_tokens([chunk.content]);
            let chunks = delivery.consumer.mode == DeliveryMode::Chunks;
            match delivery.transcript.journal.locate(chunk.index, true) {
                Some((index, moved)) => {
                    if moved {
                        delivery.first_choice_changed();
                    }
                    delivery.append_text(index, chunk.content, true);
                    delivery.transcript.journal.note_progress(index, true, false);
                }
                // As in `accept_choice`.
                None => delivery.transcript.unrepeatable |= chunks,
            }
            if chunks {
                delivery.deliver_or_hold(raw);
            }
            Ok(())
        })
    }

    fn apply_chunk(&mut self, chunk: &chat::Chunk<'_>, raw: &str) -> Flow {
        self.identify(chunk);
        self.began_before = self.progress.first_token.is_some();
        let mode = self.consumer.mode;
        if mode == DeliveryMode::Nothing && !chunk.only_text_changed {
            self.accept_extras(chunk, raw)?;
        }
        let usage = chunk.usage();
        let has_usage = usage.is_some();
        if has_usage {
            self.set_usage(usage);
        }
        let choices = chunk.choices.as_deref().unwrap_or_default();
        if choices.is_empty() {
            return self.accept_without_choices(chunk, raw, has_usage);
        }
        let is_alone = choices.len() == 1;
        let has_token = choices.iter().any(|choice| choice.delta.as_ref().is_some_and(chat::Delta::is_token));
        if has_token {
            self.mark_first_token();
            self.count_tokens_of(choices);
        }
        let interruption = choices.iter().find_map(interruption);
        let is_verbatim = mode == DeliveryMode::Chunks
            && !self.continuation.is_active
            && !chunk.must_rebuild
            && interruption.is_none()
            && self.surrogates.is_empty()
            && self.field_halves.is_none()
            && !(self.consumer.buffer_tool_calls && self.has_or_ends_tool_call(choices));
        if !is_verbatim {
            if mode == DeliveryMode::Chunks && !chunk.only_text_changed {
                self.accept_extras(chunk, raw)?;
            }
            choices.iter().try_for_each(|choice| self.accept_choice(choice, is_alone, false))?;
            // Those of a buffered tool call come with it.
            if !(self.consumer.buffer_tool_calls && choices.iter().any(has_tool_call)) {
                self.deliver_pending_extras();
            }
            return match interruption {
                Some(reason) => Err(ReadEnd::Failed(chat::interruption_error(reason))),
                None => Ok(()),
            };
        }
        // A buffered tool call is delivered before the chunk that ends its choice.
        choices.iter().try_for_each(|choice| self.accept_choice(choice, is_alone, true))?;
        self.deliver_or_hold(chunk.in_openai_shape(raw).as_deref().unwrap_or(raw));
        self.usage_delivered |= chunk.usage.is_some() && has_usage;
        Ok(())
    }

    /// A chunk with the usage, or with fields that belong to no choice (citations). Only a caller who requested the
    /// usage gets it.
    fn accept_without_choices(&mut self, chunk: &chat::Chunk<'_>, raw: &str, has_usage: bool) -> Flow {
        self.usage_chunk_arrived |= has_usage;
        if self.consumer.mode != DeliveryMode::Chunks {
            return Ok(());
        }
        // A held finish reason is delivered before the usage.
        let is_held = self.consumer.buffer_tool_calls && self.transcript.journal.has_open_tool_call();
        let is_verbatim = !self.continuation.is_active && !chunk.must_rebuild;
        if is_verbatim && (!has_usage || (self.consumer.wants_usage && !is_held)) {
            self.usage_delivered |= has_usage && chunk.usage.is_some();
            self.deliver_or_hold(raw);
        } else {
            // The usage has a chunk of its own, or is not wanted.
            self.accept_extras(chunk, raw)?;
            self.deliver_pending_extras();
        }
        Ok(())
    }

    pub(super) fn deliver_or_hold(&mut self, raw: &str) {
        let held: usize = self.held_chunks.iter().map(String::len).sum();
        let is_full = self.held_chunks.len() >= MAX_HELD_CHUNKS || held + raw.len() > MAX_HELD_BYTES;
        if self.progress.first_token.is_some() || is_full {
            self.release_held_chunks();
            self.deliver(raw);
        } else {
            self.held_chunks.push(raw.to_owned());
        }
    }

    /// Whether a choice has a tool call, or ends while one is buffered whose arguments are not complete.
    fn has_or_ends_tool_call(&self, choices: &[chat::Choice<'_>]) -> bool {
        let ends = choices.iter().any(|choice| finish_kind(choice) != FinishKind::Missing);
        choices.iter().any(has_tool_call) || (ends && self.transcript.journal.has_open_tool_call())
    }

    /// Delivers the usage to a caller who requested it, if no chunk has brought it where OpenAI sends it.
    /// After a recovery it is the usage of the complete answer.
    pub(super) fn deliver_missing_usage(&mut self) {
        if self.usage_delivered || !self.consumer.wants_usage || self.consumer.mode != DeliveryMode::Chunks {
            return;
        }
        let Some(usage) = &self.transcript.journal.usage else { return };
        let total = match self.continuation.is_active {
            true => add_usage(self.continuation.earlier_usage.clone(), usage),
            false => usage.clone(),
        };
        self.usage_delivered = true;
        let chunk = self.transcript.journal.usage_chunk(&total);
        self.deliver(&chunk);
    }

    fn identify(&mut self, chunk: &chat::Chunk<'_>) {
        let identity = &mut self.transcript.journal.identity;
        let keep_first = |known: &mut Option<String>, received: &Option<chat::Text<'_>>| {
            if let (None, Some(text)) = (&known, received) {
                *known = Some(label(&text.text, MAX_LABEL, self.consumer.redactor));
            }
        };
        keep_first(&mut identity.id, &chunk.id);
        keep_first(&mut identity.model, &chunk.model);
        keep_first(&mut identity.system_fingerprint, &chunk.system_fingerprint);
        keep_first(&mut identity.service_tier, &chunk.service_tier);
        identity.created = identity.created.or(chunk.created);
    }

    /// Accepts one choice of a chunk. `is_alone`: the chunk has no other. `verbatim`: it is delivered unchanged.
    fn accept_choice(&mut self, update: &chat::Choice<'_>, is_alone: bool, verbatim: bool) -> Flow {
        let Some((index, moved)) = self.transcript.journal.locate(update.index, is_alone) else {
            // Nobody asked for it. A consumer of chunks has it, and a continuation would not.
            self.transcript.unrepeatable |= verbatim;
            return Ok(());
        };
        if moved {
            self.first_choice_changed();
        }
        if let Some(logprobs) = update.logprobs.filter(|_| !verbatim) {
            self.accept_logprobs(index, logprobs.get(), update)?;
        }
        if let Some(delta) = &update.delta {
            self.accept_delta(index, delta, update, verbatim)?;
        }
        let kind = finish_kind(update);
        let reason = update.finish_reason.as_ref();
        let reason = reason.filter(|_| matches!(kind, FinishKind::Natural | FinishKind::CutOff));
        let has_content = update.delta.as_ref().is_some_and(|delta| !delta.is_empty());
        self.transcript.journal.note_progress(index, has_content, reason.is_some());
        let Some(reason) = reason else { return Ok(()) };
        let reason = self.consumer.redactor.redact(&reason.text);
        self.finish_choice(index, Some(truncate(&reason, MAX_REASON)), verbatim)
    }

    /// Another choice than before turns out to be the first ([`Journal::locate`](crate::session::journal::Journal::locate)
    /// has moved all of them): its text is the text of the answer.
    pub(super) fn first_choice_changed(&mut self) {
        let last = self.transcript.journal.choice_count() as u32 - 1;
        let move_choice = |index: &mut u32| *index = index.checked_sub(1).unwrap_or(last);
        self.surrogates.move_parts(|(index, _)| move_choice(index));
        if let Some(halves) = &mut self.field_halves {
            halves.move_choices(move_choice);
        }
        if let Some(messages) = &mut self.messages {
            messages.move_choices(move_choice);
        }
        if let Some(pending) = &mut self.pending_extras {
            pending.move_choices(move_choice);
        }
        let text = self.transcript.journal.first_choice().text.clone();
        if !text.is_empty() && self.consumer.mode == DeliveryMode::Text {
            self.progress.deltas += 1;
            self.deliver(&text);
        }
    }

    fn accept_delta(
        &mut self,
        index: u32,
        delta: &chat::Delta<'_>,
        update: &chat::Choice<'_>,
        verbatim: bool,
    ) -> Flow {
        let rebuilds = self.consumer.mode == DeliveryMode::Chunks && !verbatim;
        let is_summary = self.is_summary(index, update);
        self.check_comparable(index, update)?;
        if let Some(choice) = self.transcript.journal.choice(index) {
            choice.has_other |= delta.has_other;
            choice.note_others(delta.others.iter().map(|name| &**name));
            if delta.content.is_some() {
                let source = match update.source {
                    Source::Message => ContentSource::Message,
                    Source::Delta | Source::Text => ContentSource::Delta,
                };
                choice.content_source = choice.content_source.max(source);
            }
        }
        self.transcript.unrepeatable |= delta.has_other && self.consumer.mode != DeliveryMode::Text;
        self.accept_reasoning_and_refusal(index, delta, update, rebuilds);
        if let Some(content) = delta.content.as_ref().filter(|content| !content.is_empty()) {
            let content = self.surrogates.join((index, Part::Content), content);
            if update.source == Source::Delta {
                self.received_text(index, &content, verbatim)?;
            } else {
                let content = self.new_part(index, Part::Content, update, &content).into_owned();
                self.received_text(index, &content, verbatim)?;
            }
        }
        let has_calls = delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        if index == 0 && (has_calls || delta.function_call.is_some()) {
            // The text before a tool call has ended.
            self.finish_text(true)?;
            self.release_withheld_text();
        }
        // A message has whole tool calls, each once.
        let from_message = update.source == Source::Message;
        if let Some(part) = &delta.function_call {
            self.accept_function_call(index, part, from_message, rebuilds)?;
        }
        self.accept_tool_calls(index, delta, is_summary, rebuilds)
    }

    fn accept_reasoning_and_refusal(
        &mut self,
        index: u32,
        delta: &chat::Delta<'_>,
        update: &chat::Choice<'_>,
        rebuilds: bool,
    ) {
        // Some providers send both names: the same text under both, or nothing under one of them. Repeated reasoning of
        // a continuation is not delivered again.
        let reasoning = some(&delta.reasoning_content)
            .or_else(|| some(&delta.reasoning))
            .filter(|_| !self.continuation.is_active);
        let refusal = some(&delta.refusal);
        if reasoning.is_none() && refusal.is_none() {
            return;
        }
        let mut join = |part, text: Option<&chat::Text<'_>>| {
            text.map(|text| self.surrogates.join((index, part), text).into_owned()).unwrap_or_default()
        };
        let mut reasoning = join(Part::Reasoning, reasoning);
        let mut refusal = join(Part::Refusal, refusal);
        if update.source != Source::Delta {
            reasoning = self.new_part(index, Part::Reasoning, update, &reasoning).into_owned();
            refusal = self.new_part(index, Part::Refusal, update, &refusal).into_owned();
        }
        self.transcript.journal.append_reasoning_and_refusal(index, &reasoning, &refusal);
        if index == 0 {
            self.consumer.live.update_answer(|answer| {
                answer.reasoning.push_str(&reasoning);
                answer.refusal.push_str(&refusal);
            });
        }
        if !rebuilds {
            return;
        }
        for (name, text) in [("reasoning_content", reasoning), ("refusal", refusal)] {
            if !text.is_empty() {
                self.deliver_delta(index, json!({ name: text }), None);
            }
        }
    }
}

fn some<'d, 'a>(text: &'d Option<chat::Text<'a>>) -> Option<&'d chat::Text<'a>> {
    text.as_ref().filter(|text| !text.is_empty())
}

/// The finish reason of a choice that the provider interrupted.
fn interruption<'a>(choice: &'a chat::Choice<'_>) -> Option<&'a str> {
    let reason = choice.finish_reason.as_ref().filter(|_| finish_kind(choice) == FinishKind::Interrupted)?;
    Some(&reason.text)
}

fn finish_kind(choice: &chat::Choice<'_>) -> FinishKind {
    choice.finish_reason.as_ref().map_or(FinishKind::Missing, |reason| FinishKind::of(&reason.text))
}

fn has_tool_call(choice: &chat::Choice<'_>) -> bool {
    let calls = choice.delta.as_ref().and_then(|delta| delta.tool_calls.as_ref());
    calls.is_some_and(|calls| !calls.is_empty())
}
