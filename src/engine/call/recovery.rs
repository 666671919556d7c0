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
use crate::session::native::NativeForm;
use crate::session::prompts::{self, Style};
use crate::session::snapshot::{Segment, Snapshot};
use crate::session::splice::{ContinuationMismatch, Expectation, Join, Limits, Splice};
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
    /// Styles in which the last break was continued in vain, with the route.
    failed_styles: Vec<(RouteId, Style)>,
    /// The style of the attempt that runs.
    asked: Option<(RouteId, Style)>,
    /// How many continuations have failed their checks since the last break.
    pub failed_forms: u8,
    /// The last attempt was one of them.
    pub failed_last: bool,
    /// One of them had nothing to add.
    found_nothing: bool,
    /// Native forms that were rejected, with the route that rejected them.
    pub(super) rejected_native: Vec<(RouteId, NativeForm)>,
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

    /// Whether there is a partial answer that an attempt on this route continues: the consumer has it, or waits for the
    /// complete answer and nothing was lost.
    pub fn has_begun(&self, ctx: &CallContext<'_>, transcript: &Transcript, route: &CallRoute) -> bool {
        transcript.committed || self.continues_kept(ctx, transcript, route)
    }

    /// Why an interrupted answer is not recovered; `None` if it is. `is_kept`: its provider sends the rest.
    pub fn not_recoverable(
        &self,
        ctx: &CallContext<'_>,
        transcript: &Transcript,
        is_kept: bool,
    ) -> Option<String> {
        let options = &ctx.request.options.recovery;
        if options.mode == Mode::Fail || ctx.request.options.single_attempt {
            return Some("recovery is disabled".into());
        }
        if self.count - self.earlier_count >= options.max_recoveries {
            let max = options.max_recoveries;
            return Some(format!("it was already recovered {max} times (recovery.maxRecoveries)"));
        }
        if is_kept || options.mode == Mode::Restart { None } else { self.not_resumable(ctx, transcript) }
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
        let continues = ctx.request.options.recovery.mode == Mode::Continue;
        continues
            && (transcript.committed || self.is_kept(ctx, transcript))
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
        // Another route than the one that was due, or it has rejected the form in which it would have been continued.
        self.continues &= transcript.committed || self.continues_kept(ctx, transcript, route);
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
        self.segment_start = transcript.journal.first_choice().text.len();
        if self.segment_start > 0
            && let Some(form) = self.native_form(ctx, transcript, route)
        {
            return self.native_request(ctx, route, transcript, form);
        }
        let style = self.style(ctx, route.id);
        let text = &transcript.journal.first_choice().text;
        if let Some(events) = &mut transcript.events {
            events.resume("");
        }
        // Only reasoning or a part of a tool call was received: there is no text to continue.
        if text.is_empty() {
            return RequestForm::original(true);
        }
        let options = &ctx.request.options.recovery;
        let limits = Limits {
            assurance: options.assurance,
            min_overlap: options.min_overlap,
            may_be_complete: self.found_nothing,
            ..Limits::default()
        };
        if request.wants_json() {
            // A schema makes the provider start over: what arrives must repeat what was delivered.
            let splice = Splice::new(text, limits, Expectation::Restart);
            return RequestForm { splice: Some(Box::new(splice)), ..RequestForm::original(true) };
        }
        self.asked = Some((route.id, style));
        let prompt = prompts::continuation(&request.conversation(), text, style);
        let expect = prompt.anchor.map_or(Expectation::Continuation, Expectation::Anchor);
        RequestForm {
            continues: true,
            messages: Some(prompt.messages.into()),
            // What is repeated counts once more.
            received_tokens: if style == Style::Repeat { 0 } else { received_tokens(text, self.deltas) },
            splice: Some(Box::new(Splice::new(text, limits, expect))),
            style: Some(style),
            native: None,
            turn_start: None,
            unstreamed: false,
            rest: None,
        }
    }

    /// An attempt that continues the text starts.
    pub fn begin_segment(&mut self, transcript: &Transcript) {
        self.segment_start = transcript.journal.first_choice().text.len();
    }

    /// Whether another form is left for a provider that rejects a form of continuation. Each is tried once; after a native
    /// one the model is asked, or the answer that nobody has yet is requested again.
    pub fn has_another_form(
        &mut self,
        ctx: &CallContext<'_>,
        route: RouteId,
        native: Option<NativeForm>,
        style: Option<Style>,
    ) -> bool {
        self.rejected_native.extend(native.map(|form| (route, form)));
        self.rejected_styles.extend(style.map(|style| (route, style)));
        !self.rejected_styles.contains(&(route, self.style(ctx, route)))
    }

    /// Records the contribution of an attempt.
    pub fn attempt_ended(&mut self, route: &CallRoute, transcript: &Transcript, finished: &FinishedAttempt) {
        self.deltas += finished.record.deltas;
        self.joins.extend(finished.join);
        let first = transcript.journal.first_choice();
        let characters = first.text.get(self.segment_start..).map_or(0, |new| new.chars().count());
        let asked = self.asked.take();
        self.failed_last = false;
        if let (Some(mismatch), Some(asked)) = (finished.mismatch, asked) {
            self.failed_last = true;
            self.failed_styles.push(asked);
            self.failed_forms = self.failed_forms.saturating_add(1);
            self.found_nothing |= mismatch == ContinuationMismatch::NothingAdded;
        }
        if characters > 0 {
            self.failed_styles.clear();
            self.failed_forms = 0;
            self.found_nothing = false;
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

    /// Whether a route that answers in vain may be asked in another style. A route leaves one of the requests to the others.
    pub fn may_ask_again(&self, ctx: &CallContext<'_>, route: RouteId, has_other_routes: bool) -> bool {
        let failed = self.failed_styles.iter().filter(|(id, _)| *id == route).count();
        let is_left = |style: &Style| self.is_open(route, *style) && !self.has_failed(*style);
        (!has_other_routes || failed + 1 < usize::from(MAX_FORMS)) && styles(ctx).any(|style| is_left(&style))
    }

    /// The style of the next continuation: the caller's, then those that this route has not rejected. After a break each is
    /// used once, as long as another is left.
    fn style(&self, ctx: &CallContext<'_>, route: RouteId) -> Style {
        let open = || styles(ctx).filter(move |style| self.is_open(route, *style));
        let untried = open().find(|style| !self.has_failed(*style));
        let untried = untried.or_else(|| open().find(|style| !self.failed_styles.contains(&(route, *style))));
        untried.or_else(|| open().next()).or_else(|| styles(ctx).next()).unwrap_or(Style::Dialog)
    }

    fn is_open(&self, route: RouteId, style: Style) -> bool {
        !self.rejected_styles.contains(&(route, style))
    }

    fn has_failed(&self, style: Style) -> bool {
        self.failed_styles.iter().any(|(_, failed)| *failed == style)
    }
}

/// How often the rest is requested after one break.
pub(super) const MAX_FORMS: u8 = 3;

/// The styles of continuation in their order. Conversations of Anthropic's dialect have no system messages.
fn styles(ctx: &CallContext<'_>) -> impl Iterator<Item = Style> {
    let has_system = ctx.request.chat.dialect() != Dialect::Messages;
    let styles = Style::in_order(ctx.request.options.recovery.style);
    styles.filter(move |style| *style != Style::System || has_system)
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
pub(super) fn received_tokens(text: &str, deltas: u64) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let is_split = ascii == text.len() as u64 && 2 * ascii < 3 * deltas;
    if is_split { ascii.div_ceil(4) } else { deltas.max(text.len() as u64 / 16) }
}
