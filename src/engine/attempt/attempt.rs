//! The attempt as a value.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use tokio::time::Instant;

use super::deliver::{Consumer, Continuation, Delivery, Milestone};
use super::form::RequestForm;
use super::open::OpenResponse;
use super::progress::{Progress, ResponseHead};
use super::read::Reader;
use super::report::{report_completion, report_success};
use super::request::{explain_missing_key, first_endpoint_extras, rejects_session, rejects_usage};
use super::transcript::Transcript;
use crate::config::Mode;
use crate::engine::admission::{CallContext, CallRoute, Permit};
use crate::engine::shared::call_request::CallRequest;
use crate::engine::shared::event::Event;
use crate::engine::shared::redaction::{event_headers, without_secrets};
use crate::engine::time::clock::{self, timeout_at};
use crate::error::{Error, Kind, Phase, Result};
use crate::policy::interruption::Silence;
use crate::policy::plan::RouteId;
use crate::session::splice::{ContinuationMismatch, Join};
use crate::store::SharedState;

/// A running attempt. It owns its permit, which settles itself when the attempt is dropped; [`Attempt::finish`] settles
/// it according to the outcome.
pub struct Attempt {
    pub(super) permit: Box<Permit>,
    pub route: RouteId,
    pub is_hedge: bool,
    /// No other route is left if it fails.
    pub(super) is_last_route: bool,
    /// 1-based.
    pub(super) number: u32,
    /// Our id of the request.
    pub(super) request_id: String,
    pub(super) started: Instant,
    /// The length of the request's body.
    pub(super) body_bytes: usize,
    /// How long the call waited for this attempt.
    pub(super) waited: Duration,
    /// The optional fields in the request.
    pub(super) sent_fields: OptionalFields,
    /// Filled by the future that opens it.
    pub(super) head: SharedState<ResponseHead>,
    pub(super) progress: Progress,
    /// How its text was joined to that of earlier attempts.
    pub(super) join: Option<Join>,
    pub(super) mismatch: Option<ContinuationMismatch>,
    /// It reads the rest of a stream that the provider keeps.
    pub(super) is_rest: bool,
    /// Its cost is not settled at its end: the provider keeps the answer, and another attempt reads it on.
    pub(super) keeps_cost: bool,
}

/// Fields that this package adds to a request, and that not every provider supports.
#[derive(Clone, Copy)]
pub(super) struct OptionalFields {
    pub usage: bool,
    pub session: bool,
}

/// What an attempt needs to know of the attempts before it.
pub struct PriorAttempts {
    pub count: u32,
    /// One of them failed.
    pub has_failed: bool,
    /// A tool call was interrupted.
    pub lost_tool_call: bool,
    pub usage: Option<Value>,
}

impl Attempt {
    /// Reads an open answer completely and delivers it.
    pub async fn deliver(
        &mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        opened: OpenResponse,
        form: RequestForm,
        prior: PriorAttempts,
        transcript: &mut Transcript,
    ) -> Result<()> {
        self.take_head();
        let options = &ctx.request.options;
        let extras = first_endpoint_extras(ctx.request, route.endpoint_index);
        // These closures borrow fields of the attempt: a local for each would make every call's future larger.
        let on_milestone = |milestone| {
            if !ctx.sink.wants_events() {
                return;
            }
            let endpoint = &route.endpoint.config;
            let call = ctx.events.call.clone();
            let request_id = self.request_id.clone();
            ctx.sink.event(match milestone {
                Milestone::FirstToken => Event::FirstToken {
                    call,
                    attempt: self.number,
                    endpoint: endpoint.name.clone(),
                    model: route.model.clone(),
                    request_id,
                    first_token_ms: clock::instant().saturating_duration_since(self.started).as_millis()
                        as u64,
                    headers: self.head.update(|head| event_headers(&head.headers, &ctx.redactor)),
                },
                // Nothing was to be recovered, or the answer starts over.
                Milestone::OutgrewRecovery if options.recovery.mode != Mode::Continue => return,
                Milestone::OutgrewRecovery => {
                    let max_bytes = options.recovery.max_bytes;
                    Event::RecoveryDisabled { call, request_id, max_bytes }
                }
            });
        };
        let (cost, admission) = self.permit.parts();
        let mut on_settled = |has_token: bool| {
            report_success(ctx, route, admission, &self.request_id);
            let headers = match has_token || !ctx.sink.wants_events() {
                true => BTreeMap::new(),
                false => self.head.update(|head| event_headers(&head.headers, &ctx.redactor)),
            };
            let (endpoint, model) = (&*route.endpoint.config.name, &*route.model);
            let request_id = Some(self.request_id.clone());
            report_completion(ctx, request_id, endpoint, model, prior.count + 1, prior.has_failed, headers);
        };
        let consumer = Consumer {
            sink: ctx.sink,
            mode: ctx.sink.mode(),
            live: &ctx.request.live,
            on_milestone: &on_milestone,
            on_settled: &mut on_settled,
            wants_usage: ctx.request.chat.wants_usage(),
            buffer_tool_calls: options.buffer_tool_calls,
            request: ctx.request,
            redactor: &ctx.redactor,
        };
        let joins_rest = form.rest.as_ref().is_some_and(|rest| rest.joins);
        let continuation = Continuation {
            is_active: form.continues,
            expects_tool_call: form.continues && prior.lost_tool_call && options.buffer_tool_calls,
            earlier_usage: prior.usage,
            splice: form.splice,
            turn_start: form.turn_start,
        };
        let delivery = Delivery::new(consumer, transcript, &mut self.progress, continuation);
        let OpenResponse { settings, body, first_token_until } = opened;
        let mut reader = Reader::new(settings, delivery, cost);
        let read = {
            let read = pin!(reader.read(body, first_token_until));
            match options.attempt_timeout {
                None => Ok(read.await),
                Some(limit) => timeout_at(self.started + limit, read).boxed().await.map_err(|_| limit),
            }
        };
        let result = match read {
            Ok(result) => result,
            // Only the usage was pending.
            Err(_) if reader.delivery.progress.settled.is_some() => Ok(()),
            Err(_) if reader.delivery.transcript.journal.is_complete() => reader.complete(),
            Err(limit) => Err(Error::timeout(Phase::Attempt, limit)),
        };
        let splice = reader.delivery.continuation.splice.as_ref();
        self.mismatch = splice.and_then(|splice| splice.mismatch());
        if result.is_err() {
            reader.delivery.keep_vouched_text();
        }
        let continuation = &reader.delivery.continuation;
        let dropped = continuation.turn_start.as_ref().map_or(0, |start| start.dropped);
        let join = continuation.splice.as_ref().and_then(|splice| splice.join());
        self.join = join.map(|join| Join { trimmed: join.trimmed + dropped, ..join });
        if joins_rest && reader.delivery.progress.first_token.is_some() {
            self.join = Some(Join::RESUMED);
        }
        let endpoint = &route.endpoint.config;
        result.map_err(|error| {
            let error = without_secrets(self.head.update(|head| head.describe(error)), &ctx.redactor);
            explain_missing_key(error, endpoint, extras)
        })
    }

    /// Whether completion was reported to the consumer.
    pub fn is_settled(&self) -> bool {
        self.progress.settled.is_some()
    }

    /// Whether the body of a successful response had nothing in it.
    pub fn was_empty(&self, error: &Error) -> bool {
        error.kind == Kind::Truncated && !self.progress.has_content
    }

    /// Whether the provider accepted the form of the request: it has begun to answer.
    pub fn was_accepted(&self) -> bool {
        self.progress.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Another attempt reads the answer on, and takes over the cost.
    pub fn keep_cost(&mut self) {
        self.keeps_cost = true;
    }

    /// Whether a breaker awaits the outcome.
    pub fn has_breaker(&self) -> bool {
        self.permit.has_breaker()
    }

    /// Releases the concurrency slot: nothing more is expected but the usage, or the decision on an error.
    pub fn release_slot(&mut self) {
        self.permit.admission().release_slot();
    }

    /// How long nothing has been heard from the provider, for the plan.
    pub fn silence(&self, request: &CallRequest) -> Silence {
        let (options, progress) = (&request.options, &self.progress);
        let has_begun = progress.first_token.is_some();
        let since = if has_begun { progress.heard.or(progress.first_token) } else { None };
        let lasted = clock::instant().saturating_duration_since(since.unwrap_or(self.started));
        let limit =
            if has_begun { options.idle_timeout } else { options.first_token_timeout(self.is_last_route) };
        let limit = options.attempt_timeout.map_or(limit, |attempt| attempt.min(limit));
        Silence { lasted, limit, at_start: !has_begun, is_streamed: request.chat.is_streamed() }
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// Whether the provider rejected the request for an optional field of ours. The endpoint is not sent that field
    /// again. This checks the attempt and not the endpoint, whose state another call may have updated in the meantime.
    pub fn was_rejected_for_field(&self, route: &CallRoute, error: &Error) -> bool {
        let usage = self.sent_fields.usage && rejects_usage(error);
        let session = self.sent_fields.session && rejects_session(error);
        for (is_rejected, known) in
            [(usage, &route.endpoint.rejects_usage), (session, &route.endpoint.rejects_session)]
        {
            if is_rejected {
                known.store(true, Ordering::Relaxed);
            }
        }
        usage || session
    }

    /// Takes over the progress of opening the attempt.
    pub(super) fn take_head(&mut self) {
        let progress = |head: &mut ResponseHead| (head.was_sent, head.status, head.request_id.clone());
        let (was_sent, status, request_id) = self.head.update(progress);
        if was_sent {
            self.permit.mark_sent();
        }
        self.progress.status = status;
        self.progress.request_id = request_id;
    }
}
