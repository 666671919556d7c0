//! A broken answer is taken up again: what is asked next, and what is remembered of it.

use std::time::Duration;

use serde_json::Value;

use super::call::Running;
use super::event::Event;
use super::sink::Wants;
use crate::config::Mode;
use crate::error::{Error, Kind, Result};
use crate::session::journal::Journal;
use crate::session::prompts::{self, Style};
use crate::session::snapshot::{Segment, Snapshot};
use crate::session::splice::{Expect, Join, Limits, Splice};
use crate::wire::dialect::Dialect;

/// What a call remembers of its breaks.
#[derive(Default)]
pub(super) struct Recovery {
    /// How often the answer was taken up again.
    pub count: u32,
    /// How many of these were made before this call, which goes on from a snapshot.
    pub earlier: u32,
    pub segments: Vec<Segment>,
    pub joins: Vec<Join>,
    /// Usage of the attempts before the last.
    pub spent: Option<Value>,
    /// Deltas of text that were delivered, over all attempts: about the tokens that were received.
    pub deltas: u64,
    /// The length of the text when the attempt began, in bytes.
    pub begun_at: usize,
    /// A tool call has begun and broke off, and none has come since.
    pub lost_tool_call: bool,
    /// Styles that were refused, and by which route.
    pub refused: Vec<(usize, Style)>,
    /// The next attempt goes on with what was received.
    pub goes_on: bool,
}

/// What the next attempt is.
pub(super) struct Form {
    /// It goes on with what was begun.
    pub continues: bool,
    /// The messages of a continuation; the caller's own without.
    pub messages: Option<String>,
    /// About how many tokens of the answer are there already.
    pub received: u64,
    /// Boxed: few answers are continued, and it would take its room in every one.
    pub splice: Option<Box<Splice>>,
    pub style: Option<Style>,
}

impl Form {
    pub(super) fn original(continues: bool) -> Self {
        Form { continues, messages: None, received: 0, splice: None, style: None }
    }
}

impl Running<'_> {
    /// Something of an answer is there that another attempt can go on with: the consumer has it, or
    /// waits for the whole and nothing was lost.
    pub(super) fn has_begun(&self) -> bool {
        let whole = self.sink.wants() == Wants::Nothing
            && self.call.options.recovery.mode == Mode::Continue
            && !self.call.request.wants_json()
            && self.hindrance().is_none()
            && !self.journal.first().text.is_empty();
        self.committed || whole
    }

    /// Why a broken answer is not taken up again; `None` where it is.
    pub(super) fn obstacle(&self) -> Option<String> {
        let options = &self.call.options.recovery;
        if options.mode == Mode::Fail || self.call.options.single {
            return Some("recovery is off".into());
        }
        if self.recovery.count - self.recovery.earlier >= options.max {
            return Some(format!(
                "it was taken up again {} times already (recovery.maxRecoveries)",
                options.max
            ));
        }
        if options.mode == Mode::Restart { None } else { self.hindrance() }
    }

    /// Why this answer cannot be continued; `None` where it can.
    pub(super) fn hindrance(&self) -> Option<String> {
        let request = &self.call.request;
        if let Some(events) = &self.events {
            let why = events.hindrance().or_else(|| request.dialect().hindrance(request));
            return why.map(str::to_owned);
        }
        let choice = self.journal.first();
        if request.choices() > 1 {
            return Some("an answer of several choices (n) cannot be continued".into());
        }
        if request.wants_logprobs() {
            return Some("an answer with logprobs cannot be continued".into());
        }
        if !choice.refusal.is_empty() {
            return Some("a refusal cannot be continued".into());
        }
        if choice.function_call.is_some() {
            return Some("a function_call cannot be continued".into());
        }
        let in_tool_call = self.recovery.lost_tool_call || !choice.tool_calls.is_empty();
        if !self.call.options.buffer_tool_calls && in_tool_call {
            return Some("it broke inside a tool call (toolCalls: 'stream')".into());
        }
        None
    }

    /// What the next attempt asks of a route.
    pub(super) fn form(&mut self, place: usize) -> Form {
        if !self.recovery.goes_on {
            // Nothing of an earlier attempt was delivered, or all of it is taken back: what the
            // journal has is worth nothing.
            if self.committed {
                self.sink.restart();
                self.committed = false;
            }
            self.begin_anew();
            return Form::original(false);
        }
        let options = &self.call.options.recovery;
        self.journal.begin_again();
        let style = self.style(place);
        // Nothing can follow white space at the end of a prefill.
        let trims = style == Style::Prefill && self.call.request.dialect() == Dialect::Messages;
        if let Some(events) = &mut self.events {
            let text = &self.journal.first().text;
            events.begin_again(if trims { &text[text.trim_end().len()..] } else { "" });
        }
        let text = &self.journal.first().text;
        self.recovery.begun_at = text.len();
        if text.is_empty() {
            return Form::original(true);
        }
        let limits = Limits { min_overlap: options.min_overlap, ..Limits::default() };
        if self.call.request.wants_json() {
            // A schema forces the provider to begin anew: what comes must repeat what was delivered.
            let splice = Splice::new(text, limits, Expect::Restart);
            return Form { splice: Some(Box::new(splice)), ..Form::original(true) };
        }
        let partial: &str = if trims { text.trim_end() } else { text };
        let prompt = prompts::continuation(&self.call.request.conversation(), partial, style);
        let expect = prompt.anchor.map_or(Expect::Continuation, Expect::Anchor);
        let received = received(text, self.recovery.deltas);
        Form {
            continues: true,
            messages: Some(prompt.messages),
            received,
            splice: Some(Box::new(Splice::new(text, limits, expect))),
            style: Some(style),
        }
    }

    fn begin_anew(&mut self) {
        self.journal = Journal::new(self.call.request.choices());
        self.events = self.call.request.dialect().events();
        let recovery = &mut self.recovery;
        recovery.begun_at = 0;
        recovery.deltas = 0;
        recovery.lost_tool_call = false;
        recovery.segments.clear();
        recovery.joins.clear();
        self.publish();
    }

    /// The style of the next continuation: the caller's, then those that this route has not refused.
    fn style(&self, place: usize) -> Style {
        let asked = self.call.options.recovery.style;
        let (first, others) = super::dialect::styles(self.call.request.dialect(), asked);
        let mut order = std::iter::once(first).chain(others.iter().copied());
        order.find(|style| !self.recovery.refused.contains(&(place, *style))).unwrap_or(first)
    }

    /// A provider that refuses a form of continuation gets another form, once each.
    pub(super) fn has_another_style(&mut self, place: usize, refused: Option<Style>) -> bool {
        self.recovery.refused.extend(refused.map(|style| (place, style)));
        !self.recovery.refused.contains(&(place, self.style(place)))
    }

    /// Puts what is known between two deltas where [`super::Live`] shows it.
    pub(super) fn publish(&self) {
        let choice = self.journal.first();
        let spent = self.recovery.spent.clone();
        let usage = match &self.journal.usage {
            Some(more) => Some(add_usage(spent, more)),
            None => spent,
        };
        self.call.live.update(|live| {
            // What was taken back is gone; what grew has been written piece by piece.
            if live.answer.text.len() != choice.text.len() {
                live.answer.text.clone_from(&choice.text);
            }
            live.answer.identity.clone_from(&self.journal.identity);
            live.answer.reasoning.clone_from(&choice.reasoning);
            live.answer.refusal.clone_from(&choice.refusal);
            live.answer.deltas = self.recovery.deltas;
            live.answer.lost_tool_call = self.recovery.lost_tool_call;
            live.usage = usage;
            live.cost_usd = self.tab.usd();
            live.attempts.clone_from(&self.attempts);
            live.recoveries = self.recovery.count;
            live.segments.clone_from(&self.recovery.segments);
            live.joins.clone_from(&self.recovery.joins);
        });
    }

    /// Goes on from a snapshot: what it holds has been delivered.
    pub(super) fn restore(&mut self, snapshot: Snapshot) {
        self.committed = snapshot.has_begun();
        self.journal = snapshot.journal(self.call.request.choices());
        self.attempts = snapshot.attempts;
        self.tab.restore(snapshot.cost_usd);
        self.recovery.goes_on = self.committed;
        self.recovery.lost_tool_call = snapshot.answer.lost_tool_call;
        // To resume what is not whole is to take it up again.
        let again = self.committed && !snapshot.answer.complete;
        self.recovery.earlier = snapshot.recoveries + u32::from(again);
        self.recovery.count = self.recovery.earlier;
        self.recovery.segments = snapshot.segments;
        self.recovery.joins = snapshot.joins;
        self.recovery.spent = snapshot.usage;
        self.recovery.deltas = snapshot.answer.deltas;
        self.publish();
    }

    /// The answer that goes on had as many tokens as were asked for when it broke: it ends here.
    pub(super) fn is_used_up(&self) -> bool {
        let request = &self.call.request;
        let text = &self.journal.first().text;
        let continues = self.call.options.recovery.mode == Mode::Continue && self.has_begun();
        continues
            && !text.is_empty()
            && !request.wants_json()
            && self.hindrance().is_none()
            && request.is_used_up(received(text, self.recovery.deltas))
    }

    /// The snapshot that the call goes on from was whole already.
    pub(super) fn was_complete(&mut self) -> Result<()> {
        self.sink.complete(&self.journal.first().text);
        Ok(())
    }

    /// Every token that the caller allowed was received before the break: nothing is left to ask for.
    pub(super) fn end_by_length(&mut self) -> Result<()> {
        if let Some(choice) = self.journal.choice(0) {
            choice.finish_reason = Some("length".to_owned());
            choice.tool_calls.clear();
        }
        if let Some(events) = &mut self.events {
            events.cut_short().iter().for_each(|event| self.sink.piece(&event.sse()));
        } else if self.sink.wants() == Wants::Chunks {
            self.sink.piece(&self.journal.chunk(0, serde_json::json!({}), Some("length")));
            if let Some(usage) = self.recovery.spent.as_ref().filter(|_| self.call.request.wants_usage()) {
                self.sink.piece(&self.journal.usage_chunk(usage));
            }
        }
        let first = self.journal.first();
        self.call.live.update(|live| live.answer.finish(first));
        self.sink.complete(&first.text);
        Ok(())
    }

    /// Remembers what an attempt has contributed.
    pub(super) fn remember_segment(&mut self, endpoint: &str, model: &str, deltas: u64, join: Option<Join>) {
        self.recovery.deltas += deltas;
        self.recovery.joins.extend(join);
        let text = &self.journal.first().text;
        let characters = text.get(self.recovery.begun_at..).map_or(0, |new| new.chars().count());
        if characters > 0 {
            self.recovery.segments.push(Segment {
                endpoint: endpoint.to_owned(),
                model: model.to_owned(),
                characters,
            });
        }
        self.recovery.begun_at = text.len();
    }

    /// An attempt has failed after something was received, and another will go on.
    pub(super) fn break_event(&self, wait: Duration) {
        let last = self.attempts.last();
        self.emit(Event::Recovery {
            call: self.id.clone(),
            request_id: self.previous_request(),
            count: self.recovery.count,
            received: self.journal.first().text.chars().count(),
            endpoint: last.map(|a| a.endpoint.clone()).unwrap_or_default(),
            model: last.map(|a| a.model.clone()).unwrap_or_default(),
            wait_ms: wait.as_millis() as u64,
        });
    }

    /// Moves the usage of an attempt that is over to the sum.
    pub(super) fn spend_usage(&mut self) {
        if let Some(usage) = self.journal.usage.take() {
            self.recovery.spent = Some(add_usage(self.recovery.spent.take(), &usage));
        }
    }

    /// The usage of the whole call.
    pub(super) fn total_usage(&mut self) {
        self.spend_usage();
        self.journal.usage = self.recovery.spent.take();
    }
}

/// A provider that takes none of the forms in which the rest of an answer can be asked for: another
/// route may, and the refusal is no fault of the caller's request.
pub(super) fn refuses_to_continue(refusal: &Error) -> Error {
    let message = format!("the provider refuses to continue an answer: {}", refusal.message);
    let mut error = Error::new(Kind::Contradiction, message);
    error.status = refusal.status;
    error.should_retry = Some(false);
    error.request_id.clone_from(&refusal.request_id);
    error.with_cause(refusal.clone())
}

/// About how many tokens this text is, which came in so many deltas: a piece is a token, unless the
/// provider sends single letters.
fn received(text: &str, deltas: u64) -> u64 {
    let letters = text.bytes().filter(u8::is_ascii).count() as u64;
    let split = letters == text.len() as u64 && 2 * letters < 3 * deltas;
    if split { letters.div_ceil(4) } else { deltas.max(text.len() as u64 / 16) }
}

/// The sum of two usages.
pub(super) fn add_usage(sum: Option<Value>, more: &Value) -> Value {
    match sum {
        Some(mut sum) => {
            add(&mut sum, more);
            sum
        }
        None => more.clone(),
    }
}

/// Adds up two usages, field by field.
fn add(sum: &mut Value, more: &Value) {
    match (sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (name, value) in more {
                match sum.get_mut(name) {
                    Some(have) => add(have, value),
                    None => {
                        sum.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (sum, more) => {
            if let (Some(a), Some(b)) = (sum.as_u64(), more.as_u64()) {
                *sum = (a + b).into();
            } else if let (Some(a), Some(b)) = (sum.as_f64(), more.as_f64()) {
                *sum = (a + b).into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn usage_is_added_up_field_by_field() {
        let mut sum = json!({"total_tokens": 3, "details": {"cached": 1}, "tier": "x"});
        add(&mut sum, &json!({"total_tokens": 4, "details": {"cached": 2, "audio": 1}, "tier": "y"}));
        assert_eq!(sum, json!({"total_tokens": 7, "details": {"cached": 3, "audio": 1}, "tier": "x"}));
    }
}
