//! The end of an answer: its choices are finished, and what is held is delivered.

use std::mem;

use serde_json::json;

use super::deliver::{Delivery, Flow, ReadEnd, missing_tool_call};
use super::part::Part;
use super::request::accepts_empty;
use crate::engine::shared::sink::DeliveryMode;
use crate::engine::time::clock;
use crate::error::{Error, Kind};
use crate::wire::chat::FinishKind;

impl Delivery<'_> {
    /// Ends a choice, with or without a finish reason. What is held of it is delivered first.
    pub(super) fn finish_choice(&mut self, index: u32, reason: Option<&str>, verbatim: bool) -> Flow {
        let is_natural = is_natural(reason);
        // Without a reason the answer has ended. With one, the text may continue: some providers send one with each chunk.
        let is_settled = reason.is_none();
        if is_settled {
            self.finish_halves(index)?;
        }
        if index == 0 {
            self.finish_text(!is_natural)?;
            if self.continuation.expects_tool_call && is_natural {
                return Err(missing_tool_call());
            }
            self.release_withheld_text();
        }
        let is_complete = self.finish_tool_calls(index, is_natural, is_settled)? && !self.has_half(index);
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok(()) };
        let is_new = reason.is_some() && choice.finish_reason.as_deref() != reason;
        choice.holds_finish = !is_complete || (choice.holds_finish && !is_new && !verbatim);
        if let Some(reason) = reason {
            choice.finish_reason = Some(reason.to_owned());
        }
        if self.consumer.mode == DeliveryMode::Chunks && !verbatim && is_new && is_complete {
            self.deliver_finish(index, reason);
        }
        Ok(())
    }

    /// Whether the half of a surrogate pair waits at the end of a text of this choice.
    fn has_half(&self, index: u32) -> bool {
        self.surrogates.has(|(of, _)| *of == index)
            || self.field_halves.as_ref().is_some_and(|halves| halves.has(index))
    }

    /// Replaces the half of a surrogate pair at the end of each text, whose other half did not arrive.
    fn finish_halves(&mut self, index: u32) -> Flow {
        let content = self.surrogates.finish(&(index, Part::Content));
        if !content.is_empty() {
            self.received_text(index, content, false)?;
        }
        let reasoning = self.surrogates.finish(&(index, Part::Reasoning));
        let refusal = self.surrogates.finish(&(index, Part::Refusal));
        self.transcript.journal.append_reasoning_and_refusal(index, reasoning, refusal);
        let rebuilds = self.consumer.mode == DeliveryMode::Chunks;
        for (name, text) in [("reasoning_content", reasoning), ("refusal", refusal)] {
            if rebuilds && !text.is_empty() {
                self.deliver_delta(index, json!({ name: text }), None);
            }
        }
        self.finish_arguments(index);
        self.finish_field_halves(index);
        Ok(())
    }

    /// The answer is complete: releases everything held.
    pub fn complete(&mut self) -> Flow {
        if self.transcript.events.is_none() {
            self.transcript.journal.drop_missing_choices();
            let flow = self.finish_choices();
            self.flush_failed(flow)?;
            self.check_not_empty()?;
        } else {
            let flow = self.complete_events();
            self.flush_failed(flow)?;
        }
        self.deliver_pending_extras();
        self.release_held_chunks();
        self.deliver_missing_usage();
        self.progress.settled = Some(clock::instant());
        (self.consumer.on_settled)(self.progress.first_token.is_some());
        self.publish();
        let first = self.transcript.journal.first_choice();
        self.consumer.live.update_answer(|answer| answer.finish(first));
        self.consumer.sink.complete(&first.text);
        Ok(())
    }

    /// Finishes the choices without a finish reason, if none is required or one stands for all, and what arrived after
    /// one.
    fn finish_choices(&mut self) -> Flow {
        let shared = self.transcript.journal.shared_finish_reason().map(str::to_owned);
        for index in 0..self.transcript.journal.choice_count() as u32 {
            let Some(choice) = self.transcript.journal.choice(index) else { continue };
            let reason = choice.finish_reason.clone();
            if reason.is_none() {
                self.finish_choice(index, shared.as_deref(), false)?;
            }
            if let Some(reason) = reason.or_else(|| shared.clone()) {
                self.finish_halves(index)?;
                self.finish_tool_calls(index, is_natural(Some(&reason)), true)?;
                self.deliver_held_finish(index, &reason);
            }
        }
        Ok(())
    }

    fn deliver_held_finish(&mut self, index: u32, reason: &str) {
        let Some(choice) = self.transcript.journal.choice(index) else { return };
        if mem::take(&mut choice.holds_finish) && self.consumer.mode == DeliveryMode::Chunks {
            self.deliver_finish(index, Some(reason));
        }
    }

    /// Delivers a generated chunk with a finish reason. Before the first token it is held like a bare role: an empty answer
    /// is requested again.
    fn deliver_finish(&mut self, index: u32, reason: Option<&str>) {
        let chunk = self.generate(index, json!({}), reason);
        self.deliver_or_hold(&chunk);
    }

    /// Fails if there is nothing in the answer: gateways make such answers of error pages and of prompts that are too
    /// long.
    fn check_not_empty(&self) -> Flow {
        let journal = &self.transcript.journal;
        let is_natural = is_natural(journal.first_choice().finish_reason.as_deref());
        let is_failure = is_natural && journal.is_empty() && !self.continuation.is_active;
        if !is_failure || accepts_empty(self.consumer.request) {
            return Ok(());
        }
        let message = "the answer is empty: no text, no reasoning, no refusal and no tool call \
                       (allowEmptyAnswer: true accepts it)";
        Err(ReadEnd::Failed(Error::new(Kind::EmptyAnswer, message)))
    }
}

/// Whether the model ended the answer itself.
pub(super) fn is_natural(reason: Option<&str>) -> bool {
    reason.is_none_or(|reason| FinishKind::of(reason) != FinishKind::CutOff)
}
