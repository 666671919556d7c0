//! Recovery of an interrupted answer: whether it can be continued, what the next attempt requests, and the segments
//! received so far.

use std::mem;

use serde_json::Value;

use crate::config::Mode;
use crate::engine::admission::{CallContext, CallRoute};
use crate::engine::attempt::{FinishedAttempt, RequestForm, Transcript};
use crate::engine::shared::sink::DeliveryMode;
use crate::error::{Error, Kind};
use crate::policy::plan::RouteId;
use crate::session::prompts::{self, Style};
use crate::session::snapshot::{Segment, Snapshot};
use crate::session::splice::{Expectation, Join, Limits, Splice};
use crate::usage::add_usage;
use crate::wire::dialect::Dialect;

/// The recovery state of a call.
#[derive(Default)]
pub(super) struct Recovery {
    /// The number of recoveries.
    pub count: u32,
    /// How many of these recoveries came before the snapshot that the call resumes.
    earlier_count: u32,
    pub segments: Vec<Segment>,
    pub joins: Vec<Join>,
    /// The usage of finished attempts.
    pub usage: Option<Value>,
    /// Text deltas over all attempts: approximately the number of tokens received.
    pub deltas: u64,
    /// The length of the text when the attempt started, in bytes.
    segment_start: usize,
    /// A tool call was interrupted, and no other has arrived since.
    pub lost_tool_call: bool,
    /// Styles of continuation that were rejected, with the route that rejected them.
    rejected_styles: Vec<(RouteId, Style)>,
    /// The next attempt continues what was received.
    pub continues: bool,
}

impl Recovery {
    /// The state of a call that resumes a partial answer from a snapshot.
    pub fn resume(snapshot: &mut Snapshot) -> Self {
        let continues = snapshot.has_content();
        // Resuming an incomplete answer counts as a recovery.
        let resumed = continues && !snapshot.answer.complete;
        let count = snapshot.recoveries + u32::from(resumed);
        Recovery {
            count,
            earlier_count: count,
            segments: mem::take(&mut snapshot.segments),
            joins: mem::take(&mut snapshot.joins),
            usage: snapshot.usage.take(),
            deltas: snapshot.answer.deltas,
            lost_tool_call: snapshot.answer.lost_tool_call,
            continues,
            ..Recovery::default()
        }
    }

    /// Whether there is a partial answer that another attempt can continue: the consumer has it, or waits for the
    /// complete answer and nothing was lost.
    pub fn has_begun(&self, ctx: &CallContext<'_>, transcript: &Transcript) -> bool {
        let is_kept = ctx.sink.mode() == DeliveryMode::Nothing
            && ctx.request.options.recovery.mode == Mode::Continue
            && !ctx.request.chat.wants_json()
            && self.not_resumable(ctx, transcript).is_none()
            && !transcript.journal.first_choice().text.is_empty()
            && !transcript.journal.is_complete();
        transcript.committed || is_kept
    }

    /// Why an interrupted answer is not recovered; `None` if it is.
    pub fn not_recoverable(&self, ctx: &CallContext<'_>, transcript: &Transcript) -> Option<String> {
        let options = &ctx.request.options.recovery;
        if options.mode == Mode::Fail || ctx.request.options.single_attempt {
            return Some("recovery is disabled".into());
        }
        if self.count - self.earlier_count >= options.max_recoveries {
            let max = options.max_recoveries;
            return Some(format!("it was already recovered {max} times (recovery.maxRecoveries)"));
        }
        if options.mode == Mode::Restart { None } else { self.not_resumable(ctx, transcript) }
    }

    /// Why this answer cannot be continued; `None` if it can.
    pub fn not_resumable(&self, ctx: &CallContext<'_>, transcript: &Transcript) -> Option<String> {
        let request = &ctx.request.chat;
        let max_bytes = ctx.request.options.recovery.max_bytes;
        if transcript.outgrew_recovery || transcript.journal.size() > max_bytes {
            return Some(format!("it takes more than {max_bytes} bytes of memory (recovery.maxBytes)"));
        }
        if let Some(events) = &transcript.events {
            let reason = events.not_resumable().or_else(|| request.dialect().not_resumable(request));
            return reason.map(str::to_owned);
        }
        let choice = transcript.journal.first_choice();
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
        if transcript.unrepeatable && ctx.sink.mode() != DeliveryMode::Text {
            return Some(
                "it has audio, images, annotations or other fields that a continuation would repeat".into(),
            );
        }
        let in_tool_call = self.lost_tool_call || !choice.tool_calls.is_empty();
        if !ctx.request.options.buffer_tool_calls && in_tool_call {
            return Some("it was interrupted inside a tool call (toolCalls: 'stream')".into());
        }
        None
    }

    /// Whether the answer had reached its token limit when it was interrupted: it ends there.
    pub fn is_used_up(&self, ctx: &CallContext<'_>, transcript: &Transcript) -> bool {
        let request = &ctx.request.chat;
        let text = &transcript.journal.first_choice().text;
        let continues =
            ctx.request.options.recovery.mode == Mode::Continue && self.has_begun(ctx, transcript);
        continues
            && !text.is_empty()
            && !request.wants_json()
            && self.not_resumable(ctx, transcript).is_none()
            && request.reaches_token_limit(received_tokens(text, self.deltas))
    }

    /// What the next attempt requests from a route. An answer that is not continued starts over, and what was delivered
    /// of it is revoked.
    pub fn next_form(
        &mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        transcript: &mut Transcript,
    ) -> RequestForm {
        if !self.continues {
            if transcript.committed {
                ctx.sink.restart();
                transcript.committed = false;
            }
            self.start_over();
            transcript.clear(&ctx.request.chat);
            return RequestForm::original(false);
        }
        let request = &ctx.request.chat;
        transcript.journal.prepare_continuation();
        let style = self.style(ctx, route.id);
        // Nothing can follow white space at the end of a prefill.
        let trims = style == Style::Prefill && request.dialect() == Dialect::Messages;
        let text = &transcript.journal.first_choice().text;
        if let Some(events) = &mut transcript.events {
            events.resume(if trims { &text[text.trim_end().len()..] } else { "" });
        }
        self.segment_start = text.len();
        // Only reasoning or a part of a tool call was received: there is no text to continue.
        if text.is_empty() {
            return RequestForm::original(true);
        }
        let limits = Limits { min_overlap: ctx.request.options.recovery.min_overlap, ..Limits::default() };
        if request.wants_json() {
            // A schema makes the provider start over: what arrives must repeat what was delivered.
            let splice = Splice::new(text, limits, Expectation::Restart);
            return RequestForm { splice: Some(Box::new(splice)), ..RequestForm::original(true) };
        }
        let partial: &str = if trims { text.trim_end() } else { text };
        let prompt = prompts::continuation(&request.conversation(), partial, style);
        let expect = prompt.anchor.map_or(Expectation::Continuation, Expectation::Anchor);
        RequestForm {
            continues: true,
            messages: Some(prompt.messages),
            received_tokens: received_tokens(text, self.deltas),
            splice: Some(Box::new(Splice::new(text, limits, expect))),
            style: Some(style),
            unstreamed: false,
        }
    }

    /// Whether another style is left for a provider that rejects a style of continuation. Each is tried once.
    pub fn has_another_style(
        &mut self,
        ctx: &CallContext<'_>,
        route: RouteId,
        rejected: Option<Style>,
    ) -> bool {
        self.rejected_styles.extend(rejected.map(|style| (route, style)));
        !self.rejected_styles.contains(&(route, self.style(ctx, route)))
    }

    /// Records the contribution of an attempt.
    pub fn attempt_ended(&mut self, route: &CallRoute, transcript: &Transcript, finished: &FinishedAttempt) {
        self.deltas += finished.record.deltas;
        self.joins.extend(finished.join);
        let first = transcript.journal.first_choice();
        let characters = first.text.get(self.segment_start..).map_or(0, |new| new.chars().count());
        if characters > 0 {
            self.segments.push(Segment {
                endpoint: route.endpoint.config.name.clone(),
                model: route.model.clone(),
                characters,
            });
        }
        self.segment_start = first.text.len();
        self.lost_tool_call |= finished.code.is_some() && !first.tool_calls.is_empty();
    }

    /// Adds the usage of a finished attempt to the total.
    pub fn add_usage(&mut self, transcript: &mut Transcript) {
        if let Some(usage) = transcript.journal.usage.take() {
            self.usage = Some(add_usage(self.usage.take(), &usage));
        }
    }

    fn start_over(&mut self) {
        self.segment_start = 0;
        self.deltas = 0;
        self.lost_tool_call = false;
        self.segments.clear();
        self.joins.clear();
    }

    /// The style of the next continuation: the caller's, then those that this route has not rejected.
    fn style(&self, ctx: &CallContext<'_>, route: RouteId) -> Style {
        let (first, others) = styles(ctx.request.chat.dialect(), ctx.request.options.recovery.style);
        let mut order = std::iter::once(first).chain(others.iter().copied());
        order.find(|style| !self.rejected_styles.contains(&(route, *style))).unwrap_or(first)
    }
}

/// The first style of continuation, and those that replace it if it is rejected. Conversations of Anthropic's dialect
/// have no system messages.
fn styles(dialect: Dialect, preferred: Style) -> (Style, &'static [Style]) {
    match (dialect, preferred) {
        (Dialect::Messages, Style::System) => (Style::Dialog, &[]),
        (Dialect::Messages, Style::Dialog) => (preferred, &[]),
        (Dialect::Messages, _) => (preferred, &[Style::Dialog]),
        _ => (preferred, preferred.fallbacks()),
    }
}

/// The error of a provider that accepts no style of continuation. Another route may accept one, and the caller's
/// request is not at fault.
pub(super) fn continuation_rejected(rejection: &Error) -> Error {
    let message = format!("the provider rejects every continuation style: {}", rejection.message);
    let mut error = Error::new(Kind::ContinuationMismatch, message);
    error.status = rejection.status;
    error.should_retry = Some(false);
    error.request_id.clone_from(&rejection.request_id);
    error.with_cause(rejection.clone())
}

/// The approximate number of tokens of a text that arrived in `deltas` deltas: one each, unless the provider sends
/// single letters.
fn received_tokens(text: &str, deltas: u64) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let is_split = ascii == text.len() as u64 && 2 * ascii < 3 * deltas;
    if is_split { ascii.div_ceil(4) } else { deltas.max(text.len() as u64 / 16) }
}
