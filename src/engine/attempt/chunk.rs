//! Chat chunks: each is journaled by choice, and delivered unchanged or rebuilt.

use serde_json::{Value, json};

use super::deliver::{Delivery, Flow, MAX_HELD_CHUNKS, ReadEnd, missing_tool_call};
use crate::config::defaults;
use crate::engine::shared::sink::DeliveryMode;
use crate::error::{Error, Kind};
use crate::session::merge::merge;
use crate::usage::add_usage;
use crate::wire::chat;

impl Delivery<'_> {
    /// Accepts one chunk. `raw` is its JSON.
    pub fn accept_chunk(&mut self, chunk: &chat::Chunk<'_>, raw: &str) -> Flow {
        self.batch(raw, |delivery| delivery.apply_chunk(chunk, raw))
    }

    fn apply_chunk(&mut self, chunk: &chat::Chunk<'_>, raw: &str) -> Flow {
        let is_complete = self.transcript.journal.is_complete();
        self.identify(chunk);
        if self.consumer.mode == DeliveryMode::Nothing && !chunk.only_text_changed {
            self.accept_extras(raw);
        }
        if let Some(usage) = chunk.usage.filter(|usage| usage.get() != "null") {
            self.transcript.journal.usage = serde_json::from_str(usage.get()).ok();
        }
        let choices = chunk.choices.as_deref().unwrap_or_default();
        let is_usage = choices.is_empty() && chunk.usage.is_some();
        if is_complete || is_usage {
            // After the last finish reason only the usage counts, and only a caller who requested it gets it.
            if self.consumer.wants_usage && choices.is_empty() && self.consumer.mode == DeliveryMode::Chunks {
                self.deliver_usage(raw);
            }
            return Ok(());
        }
        let has_token = choices.iter().any(|choice| choice.delta.as_ref().is_some_and(chat::Delta::is_token));
        if has_token {
            self.mark_first_token();
        }
        let is_verbatim = self.consumer.mode == DeliveryMode::Chunks
            && !self.continuation.is_active
            && !(self.consumer.buffer_tool_calls && choices.iter().any(has_tool_call));
        if !is_verbatim {
            if self.consumer.mode == DeliveryMode::Chunks && !chunk.only_text_changed {
                self.accept_extras(raw);
            }
            return choices.iter().try_for_each(|choice| self.accept_choice(choice, false));
        }
        // A buffered tool call is delivered before the chunk that ends its choice.
        choices.iter().try_for_each(|choice| self.accept_choice(choice, true))?;
        let has_begun = has_token || self.progress.first_token.is_some();
        if has_begun || self.held_chunks.len() >= MAX_HELD_CHUNKS {
            self.release_held_chunks();
            self.deliver(raw);
        } else {
            self.held_chunks.push(raw.to_owned());
        }
        Ok(())
    }

    fn deliver_usage(&mut self, raw: &str) {
        self.release_held_chunks();
        match (self.continuation.is_active, &self.transcript.journal.usage) {
            // The caller requested the usage of the complete answer.
            (true, Some(usage)) => {
                let total = add_usage(self.continuation.earlier_usage.clone(), usage);
                let chunk = self.transcript.journal.usage_chunk(&total);
                self.deliver(&chunk);
            }
            _ => self.deliver(raw),
        }
    }

    fn identify(&mut self, chunk: &chat::Chunk<'_>) {
        let identity = &mut self.transcript.journal.identity;
        let keep_first = |known: &mut Option<String>, received: &Option<chat::Text<'_>>| {
            if let (None, Some(text)) = (&known, received) {
                *known = Some(text.0.to_string());
            }
        };
        keep_first(&mut identity.id, &chunk.id);
        keep_first(&mut identity.model, &chunk.model);
        keep_first(&mut identity.system_fingerprint, &chunk.system_fingerprint);
        keep_first(&mut identity.service_tier, &chunk.service_tier);
        identity.created = identity.created.or(chunk.created);
    }

    /// Accepts one choice of a chunk. `verbatim`: the chunk is delivered unchanged.
    fn accept_choice(&mut self, update: &chat::Choice<'_>, verbatim: bool) -> Flow {
        let index = update.index;
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok(()) };
        if let Some(logprobs) = update.logprobs.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
            choice.add_logprobs(logprobs);
        }
        if let Some(delta) = &update.delta {
            self.accept_delta(index, delta, verbatim)?;
        }
        let Some(reason) = update.finish_reason.as_ref().filter(|reason| !reason.0.is_empty()) else {
            return Ok(());
        };
        self.finish_choice(index, Some(&reason.0), verbatim)
    }

    fn accept_delta(&mut self, index: u32, delta: &chat::Delta<'_>, verbatim: bool) -> Flow {
        let rebuilds = self.consumer.mode == DeliveryMode::Chunks && !verbatim;
        self.accept_reasoning_and_refusal(index, delta, rebuilds);
        if let Some(content) = delta.content.as_ref().filter(|content| !content.0.is_empty()) {
            self.received_text(index, &content.0, verbatim)?;
        }
        let has_calls = delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        if index == 0 && (has_calls || delta.function_call.is_some()) {
            // The text before a tool call has ended.
            self.finish_text()?;
            self.release_withheld_text();
        }
        if let Some(part) = &delta.function_call {
            self.accept_function_call(index, part, rebuilds);
        }
        for part in delta.tool_calls.iter().flatten() {
            self.accept_tool_call(index, part)?;
            if rebuilds && !self.consumer.buffer_tool_calls {
                let journal = &mut self.transcript.journal;
                let at =
                    journal.choice(index).map_or(0, |choice| choice.tool_call_index(part.index, id_of(part)));
                self.deliver_delta(index, json!({ "tool_calls": [part.to_json(at)] }), None);
            }
        }
        Ok(())
    }

    fn accept_reasoning_and_refusal(&mut self, index: u32, delta: &chat::Delta<'_>, rebuilds: bool) {
        let text =
            |text: &Option<chat::Text<'_>>| text.as_ref().map(|t| t.0.to_string()).filter(|t| !t.is_empty());
        // Some providers send both names: the same text under both, or nothing under one of them. Repeated reasoning of
        // a continuation is not delivered again.
        let reasoning = text(&delta.reasoning_content)
            .or_else(|| text(&delta.reasoning))
            .filter(|_| !self.continuation.is_active);
        let refusal = text(&delta.refusal);
        if let Some(choice) = self.transcript.journal.choice(index) {
            choice.reasoning.push_str(reasoning.as_deref().unwrap_or_default());
            choice.refusal.push_str(refusal.as_deref().unwrap_or_default());
        }
        if index == 0 && (reasoning.is_some() || refusal.is_some()) {
            self.consumer.live.update(|live| {
                live.answer.reasoning.push_str(reasoning.as_deref().unwrap_or_default());
                live.answer.refusal.push_str(refusal.as_deref().unwrap_or_default());
            });
        }
        if !rebuilds {
            return;
        }
        for (name, text) in [("reasoning_content", reasoning), ("refusal", refusal)] {
            if let Some(text) = text {
                self.deliver_delta(index, json!({ name: text }), None);
            }
        }
    }

    fn accept_function_call(&mut self, index: u32, part: &chat::Function<'_>, rebuilds: bool) {
        let Some(choice) = self.transcript.journal.choice(index) else { return };
        let call = choice.function_call.get_or_insert_default();
        let text = |text: &Option<chat::Text<'_>>| text.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
        let (name, arguments) = (text(&part.name), text(&part.arguments));
        call.name.push_str(&name);
        call.arguments.push_str(&arguments);
        if rebuilds {
            let call = json!({ "name": name, "arguments": arguments });
            self.deliver_delta(index, json!({ "function_call": call }), None);
        }
    }

    fn accept_tool_call(&mut self, index: u32, part: &chat::ToolCall<'_>) -> Flow {
        if index == 0 {
            self.consumer.live.update(|live| live.answer.lost_tool_call = true);
        }
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok(()) };
        let at = choice.tool_call_index(part.index, id_of(part));
        let Some(call) = choice.tool_call(at) else { return Ok(()) };
        let (name, arguments) = part.name_and_arguments();
        if let Some(id) = id_of(part).filter(|_| call.id.is_empty()) {
            call.id.push_str(id);
        }
        if let Some(name) = name.filter(|_| call.name.is_empty()) {
            call.name.push_str(name);
        }
        call.arguments.push_str(arguments.unwrap_or_default());
        call.custom |= part.is_custom();
        merge(&mut call.extra, part.extra.clone());
        if self.consumer.buffer_tool_calls && call.arguments.len() > defaults::MAX_TOOL_CALL {
            let limit = defaults::MAX_TOOL_CALL;
            let message =
                format!("a tool call is longer than {limit} bytes (toolCalls: 'stream' passes it through)");
            return Err(ReadEnd::Failed(Error::new(Kind::ResponseTooLarge, message)));
        }
        Ok(())
    }

    /// Ends a choice, with or without a finish reason. What is held of it is delivered first.
    fn finish_choice(&mut self, index: u32, reason: Option<&str>, verbatim: bool) -> Flow {
        let is_natural = !matches!(reason, Some("length" | "content_filter"));
        if index == 0 {
            self.finish_text()?;
            if self.continuation.expects_tool_call && is_natural {
                return Err(missing_tool_call());
            }
            self.release_withheld_text();
        }
        let buffered = self.consumer.buffer_tool_calls;
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok(()) };
        choice.finalize_tool_calls(buffered && is_natural).map_err(|name| {
            let message = format!("the arguments of the tool call '{name}' are not valid JSON");
            ReadEnd::Failed(Error::new(Kind::Malformed, message))
        })?;
        let calls = (buffered && !choice.tool_calls.is_empty()).then(|| choice.tool_call_deltas());
        if let Some(reason) = reason {
            choice.finish_reason = Some(reason.to_owned());
        }
        if self.consumer.mode != DeliveryMode::Chunks {
            return Ok(());
        }
        if let Some(calls) = calls {
            let mut delta = json!({ "tool_calls": calls });
            if !self.transcript.committed && self.held_chunks.is_empty() {
                // These arrived with the first delta of the call, which was buffered.
                delta["role"] = json!("assistant");
                delta["content"] = Value::Null;
            }
            self.deliver_delta(index, delta, None);
        }
        if !verbatim && reason.is_some() {
            self.deliver_delta(index, json!({}), reason);
        }
        Ok(())
    }

    /// The answer is complete: releases everything held.
    pub fn complete(&mut self) -> Flow {
        let flow = self.finish_open_choices();
        self.flush_failed(flow)?;
        self.release_held_chunks();
        self.progress.is_complete = true;
        self.publish();
        let first = self.transcript.journal.first_choice();
        self.consumer.live.update(|live| live.answer.finish(first));
        self.consumer.sink.complete(&first.text);
        Ok(())
    }

    /// Finishes the choices without a finish reason, if none is required.
    fn finish_open_choices(&mut self) -> Flow {
        for index in 0..self.transcript.journal.choice_count() as u32 {
            let choice = self.transcript.journal.choice(index);
            if choice.is_some_and(|choice| choice.finish_reason.is_none()) {
                self.finish_choice(index, None, false)?;
            }
        }
        Ok(())
    }
}

fn has_tool_call(choice: &chat::Choice<'_>) -> bool {
    let calls = choice.delta.as_ref().and_then(|delta| delta.tool_calls.as_ref());
    calls.is_some_and(|calls| !calls.is_empty())
}

fn id_of<'a>(part: &'a chat::ToolCall<'_>) -> Option<&'a str> {
    part.id.as_ref().map(|id| &*id.0)
}
