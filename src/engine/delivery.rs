//! From events to deltas: the journal is written, and what the consumer wants is handed over. What a
//! continuation repeats is taken off here, and tool calls are held until they are whole.

use serde_json::{Value, json};

use super::attempt::{End, Progress};
use super::clock;
use super::live::Live;
use super::recovery::add_usage;
use super::sink::{Sink, Wants};
use crate::config::defaults as d;
use crate::error::{Error, Kind};
use crate::session::journal::Journal;
use crate::session::merge::merge;
use crate::session::splice::{Contradiction, Splice};
use crate::wire::chat;
use crate::wire::dialect::Events;

/// More role-only chunks than any provider sends.
pub(super) const MAX_HELD_CHUNKS: usize = 64;
/// About how many bytes are collected before they are handed over, where as many come at once; and what
/// a chunk and a piece count beside their own.
const MAX_COLLECTED: usize = 16 * 1024;
const CHUNK: usize = 64;
const PIECE: usize = 16;

pub(super) type Step = std::result::Result<(), End>;

pub struct Delivery<'a> {
    pub sink: &'a dyn Sink,
    /// What the consumer wants: it has said so before the call began.
    pub wants: Wants,
    pub journal: &'a mut Journal,
    pub progress: &'a mut Progress,
    /// Set when something has been handed to the consumer.
    pub committed: &'a mut bool,
    /// What [`Live`] shows grows with each piece.
    pub live: &'a Live,
    /// Called once, with the first token.
    pub on_first_token: &'a (dyn Fn() + Sync),
    /// The caller asked for the usage chunk.
    pub caller_wants_usage: bool,
    pub buffer_tool_calls: bool,
    /// This attempt goes on with an answer that was begun: its chunks are made anew, with the
    /// identity of the first one.
    pub continues: bool,
    /// A tool call was lost with an earlier attempt: an answer without one is not this answer, and its
    /// text is held in `awaited` until one comes.
    pub expects_tool_call: bool,
    pub awaited: String,
    /// The usage of the attempts before this one.
    pub spent: Option<Value>,
    pub splice: Option<Box<Splice>>,
    /// Chunks before the first token (a bare role): handed over with it, so that until then another
    /// attempt can take over unseen.
    pub held: Vec<String>,
    /// About the bytes since [`Delivery::flush`], and how many deltas [`Live`] shows.
    pub collected: usize,
    pub shown: u64,
    /// In a dialect whose events are handed on as they are.
    pub events: Option<&'a mut Box<dyn Events>>,
}

impl Delivery<'_> {
    /// Takes in one chunk. `raw` is its JSON.
    pub fn chunk(&mut self, chunk: &chat::Chunk<'_>, raw: &str) -> Step {
        self.collect(raw, |delivery| delivery.take_in(chunk, raw))
    }

    /// Takes in one of many: what it becomes is handed over with the next ones, until [`Delivery::flush`].
    pub(super) fn collect(&mut self, raw: &str, take_in: impl FnOnce(&mut Self) -> Step) -> Step {
        self.collected += CHUNK + raw.len();
        let step = take_in(self);
        if self.collected >= MAX_COLLECTED {
            self.flush();
        }
        step
    }

    /// Hands over what was collected. To be called before anything is waited for.
    pub fn flush(&mut self) {
        if self.collected == 0 {
            return;
        }
        self.collected = 0;
        // First: what the consumer has is never more than the snapshot.
        self.show();
        self.sink.flush();
    }

    /// Brings the text that [`Live`] shows up to date. While an attempt runs it only grows.
    fn show(&mut self) {
        let new = self.progress.deltas - std::mem::replace(&mut self.shown, self.progress.deltas);
        if new == 0 {
            return;
        }
        let text = &self.journal.first().text;
        self.live.update(|live| {
            let from = live.answer.text.len();
            live.answer.text.push_str(text.get(from..).unwrap_or_default());
            live.answer.deltas += new;
        });
    }

    fn take_in(&mut self, chunk: &chat::Chunk<'_>, raw: &str) -> Step {
        let complete = self.journal.is_complete();
        self.identify(chunk);
        if self.wants == Wants::Nothing && !chunk.repeats {
            self.extras(raw);
        }
        if let Some(usage) = chunk.usage.filter(|usage| usage.get() != "null") {
            self.journal.usage = serde_json::from_str(usage.get()).ok();
        }
        let choices = chunk.choices.as_deref().unwrap_or_default();
        let is_usage = choices.is_empty() && chunk.usage.is_some();
        if complete || is_usage {
            // Of what follows the last finish reason only the usage counts, and it is kept from a
            // caller who did not ask for it.
            if self.caller_wants_usage && choices.is_empty() && self.wants == Wants::Chunks {
                self.release();
                match (self.continues, &self.journal.usage) {
                    // That of the whole answer, which is the one that was asked for.
                    (true, Some(usage)) => {
                        let total = add_usage(self.spent.clone(), usage);
                        let made = self.journal.usage_chunk(&total);
                        self.hand_over(&made);
                    }
                    _ => self.hand_over(raw),
                }
            }
            return Ok(());
        }
        let token = choices.iter().any(|choice| choice.delta.as_ref().is_some_and(chat::Delta::is_token));
        if token && self.progress.first_token.is_none() {
            self.progress.first_token = Some(clock::instant());
            self.live.update(|live| live.answer.identity.clone_from(&self.journal.identity));
            (self.on_first_token)();
        }
        let has_tool_call = |choice: &chat::Choice<'_>| {
            choice
                .delta
                .as_ref()
                .and_then(|delta| delta.tool_calls.as_ref())
                .is_some_and(|calls| !calls.is_empty())
        };
        let verbatim = self.wants == Wants::Chunks
            && !self.continues
            && !(self.buffer_tool_calls && choices.iter().any(has_tool_call));
        if !verbatim {
            if self.wants == Wants::Chunks && !chunk.repeats {
                self.extras(raw);
            }
            return choices.iter().try_for_each(|choice| self.choice(choice, false));
        }
        // A tool call that is whole goes before the chunk that ends its choice.
        choices.iter().try_for_each(|choice| self.choice(choice, true))?;
        if token || self.progress.first_token.is_some() || self.held.len() >= MAX_HELD_CHUNKS {
            self.release();
            self.hand_over(raw);
        } else {
            self.held.push(raw.to_owned());
        }
        Ok(())
    }

    fn identify(&mut self, chunk: &chat::Chunk<'_>) {
        let identity = &mut self.journal.identity;
        let take = |place: &mut Option<String>, given: &Option<chat::Text<'_>>| {
            if let (None, Some(text)) = (&place, given) {
                *place = Some(text.0.to_string());
            }
        };
        take(&mut identity.id, &chunk.id);
        take(&mut identity.model, &chunk.model);
        take(&mut identity.system_fingerprint, &chunk.system_fingerprint);
        take(&mut identity.service_tier, &chunk.service_tier);
        identity.created = identity.created.or(chunk.created);
    }

    /// Takes in what a chunk says of one choice. `verbatim`: the chunk goes out as it is.
    fn choice(&mut self, given: &chat::Choice<'_>, verbatim: bool) -> Step {
        let index = given.index;
        let Some(choice) = self.journal.choice(index) else { return Ok(()) };
        if let Some(logprobs) = given.logprobs.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
            choice.add_logprobs(logprobs);
        }
        if let Some(delta) = &given.delta {
            self.delta(index, delta, verbatim)?;
        }
        let Some(reason) = given.finish_reason.as_ref().filter(|reason| !reason.0.is_empty()) else {
            return Ok(());
        };
        self.finish_choice(index, Some(&reason.0), verbatim)
    }

    fn delta(&mut self, index: u32, delta: &chat::Delta<'_>, verbatim: bool) -> Step {
        let rewritten = self.wants == Wants::Chunks && !verbatim;
        let some =
            |text: &Option<chat::Text<'_>>| text.as_ref().map(|t| t.0.to_string()).filter(|t| !t.is_empty());
        // Some send both names, and the same under both or nothing under one. What is thought again
        // after a break is not shown again.
        let reasoning =
            some(&delta.reasoning_content).or_else(|| some(&delta.reasoning)).filter(|_| !self.continues);
        let refusal = some(&delta.refusal);
        if let Some(choice) = self.journal.choice(index) {
            choice.reasoning.push_str(reasoning.as_deref().unwrap_or_default());
            choice.refusal.push_str(refusal.as_deref().unwrap_or_default());
        }
        if index == 0 && (reasoning.is_some() || refusal.is_some()) {
            self.live.update(|live| {
                live.answer.reasoning.push_str(reasoning.as_deref().unwrap_or_default());
                live.answer.refusal.push_str(refusal.as_deref().unwrap_or_default());
            });
        }
        if rewritten {
            for (name, text) in [("reasoning_content", reasoning), ("refusal", refusal)] {
                if let Some(text) = text {
                    self.hand_over_made(index, json!({ name: text }), None);
                }
            }
        }
        if let Some(content) = delta.content.as_ref().filter(|content| !content.0.is_empty()) {
            match &mut self.splice {
                Some(splice) if index == 0 => {
                    let new = splice.push(&content.0, clock::now()).map_err(|e| contradiction(&e))?;
                    self.new_text(index, &new, verbatim)?;
                }
                _ => self.new_text(index, &content.0, verbatim)?,
            }
        }
        let calls = delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        if index == 0 && (calls || delta.function_call.is_some()) {
            // The text before a call is over.
            self.end_text()?;
            self.let_through();
        }
        if let Some(part) = &delta.function_call {
            self.function_call(index, part, rewritten);
        }
        for part in delta.tool_calls.iter().flatten() {
            self.tool_call(index, part)?;
            if rewritten && !self.buffer_tool_calls {
                let at = self
                    .journal
                    .choice(index)
                    .map_or(0, |choice| choice.tool_call_index(part.index, id_of(part)));
                self.hand_over_made(index, json!({ "tool_calls": [part.value(at)] }), None);
            }
        }
        Ok(())
    }

    /// Text of a continuation, or of a first attempt.
    pub(super) fn new_text(&mut self, index: u32, text: &str, verbatim: bool) -> Step {
        if !(self.expects_tool_call && index == 0) {
            self.text(index, text, verbatim);
            return Ok(());
        }
        self.awaited.push_str(text);
        if self.awaited.len() > d::MAX_TOOL_CALL { Err(no_tool_call()) } else { Ok(()) }
    }

    /// The tool call that was lost has come, or the answer ends without one and may: what was held
    /// for it goes out.
    fn let_through(&mut self) {
        self.expects_tool_call = false;
        let awaited = std::mem::take(&mut self.awaited);
        self.text(0, &awaited, false);
    }

    /// Whatever the splice still holds is decided and goes on.
    pub(super) fn end_text(&mut self) -> Step {
        let Some(splice) = &mut self.splice else { return Ok(()) };
        let rest = splice.finish(clock::now()).map_err(|e| contradiction(&e))?;
        self.new_text(0, &rest, false)
    }

    fn function_call(&mut self, index: u32, part: &chat::Function<'_>, rewritten: bool) {
        let Some(choice) = self.journal.choice(index) else { return };
        let call = choice.function_call.get_or_insert_default();
        let text = |text: &Option<chat::Text<'_>>| text.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
        let (name, arguments) = (text(&part.name), text(&part.arguments));
        call.name.push_str(&name);
        call.arguments.push_str(&arguments);
        if rewritten {
            let call = json!({ "name": name, "arguments": arguments });
            self.hand_over_made(index, json!({ "function_call": call }), None);
        }
    }

    /// Text that is new.
    fn text(&mut self, index: u32, text: &str, verbatim: bool) {
        if text.is_empty() {
            return;
        }
        if let Some(choice) = self.journal.choice(index) {
            choice.text.push_str(text);
        }
        if index == 0 {
            self.progress.deltas += 1;
        }
        match self.wants {
            Wants::Text if index == 0 => self.hand_over(text),
            Wants::Chunks if !verbatim && self.events.is_some() => self.hand_over_text(text),
            Wants::Chunks if !verbatim => self.hand_over_made(index, json!({ "content": text }), None),
            // The chunk goes out as a whole, or nobody asked.
            _ => {}
        }
    }

    fn tool_call(&mut self, index: u32, part: &chat::ToolCall<'_>) -> Step {
        let hold = self.buffer_tool_calls;
        if index == 0 {
            self.live.update(|live| live.answer.lost_tool_call = true);
        }
        let Some(choice) = self.journal.choice(index) else { return Ok(()) };
        let at = choice.tool_call_index(part.index, id_of(part));
        let Some(call) = choice.tool_call(at) else { return Ok(()) };
        let (name, arguments) = part.said();
        if let Some(id) = id_of(part).filter(|_| call.id.is_empty()) {
            call.id.push_str(id);
        }
        if let Some(name) = name.filter(|_| call.name.is_empty()) {
            call.name.push_str(name);
        }
        call.arguments.push_str(arguments.unwrap_or_default());
        call.custom |= part.is_custom();
        merge(&mut call.extra, part.extra.clone());
        if hold && call.arguments.len() > d::MAX_TOOL_CALL {
            let limit = d::MAX_TOOL_CALL;
            let message =
                format!("a tool call is longer than {limit} bytes (toolCalls: 'stream' passes it on)");
            return Err(End::Failed(Error::new(Kind::TooLarge, message)));
        }
        Ok(())
    }

    /// A choice has its finish reason, or none comes any more: whatever is held of it goes out before.
    fn finish_choice(&mut self, index: u32, reason: Option<&str>, verbatim: bool) -> Step {
        let natural = !matches!(reason, Some("length" | "content_filter"));
        if index == 0 {
            self.end_text()?;
            if self.expects_tool_call && natural {
                return Err(no_tool_call());
            }
            self.let_through();
        }
        let hold = self.buffer_tool_calls;
        let Some(choice) = self.journal.choice(index) else { return Ok(()) };
        choice.settle_tool_calls(hold && natural).map_err(|name| {
            let message = format!("the arguments of the tool call '{name}' are no JSON");
            End::Failed(Error::new(Kind::Malformed, message))
        })?;
        let calls = (hold && !choice.tool_calls.is_empty()).then(|| choice.tool_call_deltas());
        if let Some(reason) = reason {
            choice.finish_reason = Some(reason.to_owned());
        }
        if self.wants != Wants::Chunks {
            return Ok(());
        }
        if let Some(calls) = calls {
            let mut delta = json!({ "tool_calls": calls });
            if !*self.committed && self.held.is_empty() {
                // It came with the first part of the call, which was held.
                delta["role"] = json!("assistant");
                delta["content"] = Value::Null;
            }
            self.hand_over_made(index, delta, None);
        }
        if !verbatim && reason.is_some() {
            self.hand_over_made(index, json!({}), reason);
        }
        Ok(())
    }

    /// The choice about held text cannot wait any longer.
    pub fn splice_timeout(&mut self) -> Step {
        let Some(splice) = &mut self.splice else { return Ok(()) };
        let text = splice.timeout(clock::now()).map_err(|e| contradiction(&e))?;
        self.collected += CHUNK;
        let step = self.new_text(0, &text, false);
        self.flush();
        step
    }

    /// The answer is whole: whatever is held goes out.
    pub fn finished(&mut self) -> Step {
        // Some choices have no finish reason where none is asked for (`requireFinishReason: false`).
        for index in 0..self.journal.len() as u32 {
            if self.journal.choice(index).is_some_and(|choice| choice.finish_reason.is_none()) {
                let step = self.finish_choice(index, None, false);
                if step.is_err() {
                    // A choice before it may have handed over something.
                    self.collected += CHUNK;
                    self.flush();
                    return step;
                }
            }
        }
        self.release();
        self.progress.complete = true;
        self.show();
        let first = self.journal.first();
        self.live.update(|live| live.answer.finish(first));
        self.sink.complete(&first.text);
        Ok(())
    }

    pub(super) fn hand_over_made(&mut self, index: u32, delta: Value, finish_reason: Option<&str>) {
        self.release();
        let chunk = self.journal.chunk(index, delta, finish_reason);
        self.hand_over(&chunk);
    }

    pub(super) fn hand_over(&mut self, piece: &str) {
        *self.committed = true;
        self.sink.piece(piece);
        // One chunk may become any number of deltas.
        self.collected += PIECE;
        if self.collected >= MAX_COLLECTED {
            self.flush();
        }
    }

    pub(super) fn release(&mut self) {
        for chunk in std::mem::take(&mut self.held) {
            self.hand_over(&chunk);
        }
    }
}

fn id_of<'a>(part: &'a chat::ToolCall<'_>) -> Option<&'a str> {
    part.id.as_ref().map(|id| &*id.0)
}

pub(super) fn contradiction(contradiction: &Contradiction) -> End {
    let message = format!("the continuation does not fit what was delivered: {contradiction}");
    End::Failed(Error::new(Kind::Contradiction, message))
}

fn no_tool_call() -> End {
    let message = "the continuation brought text where a tool call had begun";
    End::Failed(Error::new(Kind::Contradiction, message))
}
