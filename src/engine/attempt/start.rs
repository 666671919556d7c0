//! Starts an attempt: reserves its cost, encodes its request, and creates the future that opens it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::attempt::{Attempt, OptionalFields};
use super::form::RequestForm;
use super::open::{OpenRequest, OpenResponse};
use super::peek::Peek;
use super::progress::{Progress, ResponseHead};
use super::request::{self, Encoded, Requests, Target, explain_missing_key, first_endpoint_extras};
use super::settings::ReadSettings;
use super::transcript::SizeLimits;
use crate::engine::admission::{CallContext, CallRoute, Permit};
use crate::engine::shared::event::Event;
use crate::engine::shared::ids::random_id;
use crate::engine::shared::redaction::without_secrets;
use crate::engine::time::clock::{self, timeout_at};
use crate::error::{Error, Phase, Result};
use crate::policy::deadline;
use crate::session::native::NativeForm;
use crate::store::SharedState;
use crate::transport::{Method, Request};
use crate::wire::chat::Overrides;

/// The reason of a hedge in its event.
pub const HEDGE: &str = "hedge";

/// The future that opens an attempt. It borrows nothing from the attempt or the state of its call.
pub type OpenFuture<'a> = BoxFuture<'a, Result<OpenResponse>>;

/// How an attempt starts.
pub struct Start<'s> {
    /// The reason reported in its event.
    pub reason: &'static str,
    /// 1-based.
    pub number: u32,
    /// How long the call waited for it.
    pub waited: Duration,
    /// How many other routes are left if it fails.
    pub other_routes: usize,
    /// What is left of the time for which the route may be silent, if it has stalled at this place of the answer.
    pub silence_left: Option<Duration>,
    pub form: &'s mut RequestForm,
    /// It may race another attempt: opening it includes the first token.
    pub may_race: bool,
}

impl Attempt {
    /// Starts an attempt. On an error the permit is returned as unused.
    ///
    /// # Errors
    /// [`crate::error::Kind::CostCap`], and invalid headers.
    pub fn start<'a>(
        ctx: &'a CallContext<'a>,
        route: &CallRoute,
        mut permit: Box<Permit>,
        requests: &mut Requests<'_>,
        start: Start<'_>,
    ) -> Result<(Attempt, OpenFuture<'a>)> {
        let Start { reason, number, waited, other_routes, silence_left, form, may_race } = start;
        let (client, call) = (ctx.client, ctx.request);
        let max_tokens = call.chat.max_tokens().filter(|_| form.received_tokens > 0);
        let rest = max_tokens.map(|max| max.saturating_sub(form.received_tokens));
        match form.rest.as_mut().and_then(|rest| rest.cost.take()) {
            Some(reserved) => permit.continue_cost(*reserved),
            None => permit.reserve_cost(ctx, route, form.messages.as_deref(), rest)?,
        }
        let endpoint = Arc::clone(&route.endpoint.config);
        let request_id = random_id("req_", &mut rand::rng());
        let sent_fields = optional_fields(ctx, route);
        let target = Target {
            route: route.id,
            endpoint: &endpoint.name,
            model: endpoint.model(&route.model),
            include_usage: sent_fields.usage,
            session_id: sent_fields.session.then_some(&*call.session_id),
        };
        let rest_of_stream = form.rest.as_ref().map(|rest| &rest.position);
        let encoded = match form.messages.as_deref().map(serde_json::from_str) {
            _ if rest_of_stream.is_some() => Encoded { body: Bytes::new(), key: String::new() },
            Some(Ok(messages)) => {
                let received = form.received_tokens;
                let fields = form.native.map_or(&[][..], NativeForm::body_fields);
                let overrides =
                    Overrides { messages: Some(messages), received, fields, ..Overrides::default() };
                requests.encode_continuation(target, overrides, &mut rand::rng())
            }
            _ if form.unstreamed => requests.encode_unstreamed(target, &mut rand::rng()),
            _ => requests.encode(target, &mut rand::rng()),
        };
        let extras = first_endpoint_extras(call, route.endpoint_index);
        let dialect = call.chat.dialect();
        let mut headers = request::headers(&endpoint, call, &encoded.key, &request_id, number)?;
        let mut url = format!("{}{}", endpoint.url, dialect.path());
        if let Some(position) = rest_of_stream {
            let (path, query) = dialect.rest_of_stream(&call.chat, position);
            url = format!("{}{path}?{query}", endpoint.url);
        }
        if let Some(extras) = extras {
            request::add_extras(&mut headers, &mut url, extras)?;
        }
        let is_rest = rest_of_stream.is_some();
        if is_rest {
            headers = request::headers_of_rest(headers);
        }
        ctx.events.emit(Event::Attempt {
            call: ctx.events.call.clone(),
            attempt: number,
            endpoint: endpoint.name.clone(),
            model: route.model.clone(),
            request_id: request_id.clone(),
            reason,
        });
        let started = clock::instant();
        let mut settings = read_settings(ctx, route, other_routes, sent_fields.usage);
        if let Some(left) = silence_left.filter(|_| settings.unstreamed.is_none()) {
            settings.shorten(left, form.continues);
        }
        if form.unstreamed {
            settings.first_token_timeout = call.options.whole_answer_timeout;
        }
        let head = SharedState::<ResponseHead>::default();
        let limiters = [client.limiter.clone(), route.endpoint.limiter.clone()];
        let open_request =
            OpenRequest { settings, head: head.clone(), redactor: Arc::clone(&ctx.redactor), limiters };
        let body_bytes = match is_rest {
            // What its usage is compared with is the request for the answer.
            true => call.chat.encode(target.model, target.include_usage, &Overrides::default()).len(),
            false => encoded.body.len(),
        };
        let method = if is_rest { Method::GET } else { Method::POST };
        let transport_options = client.transport_options(call.options.connect_timeout);
        let send = |on_sent, shortage| Request {
            method,
            url,
            headers,
            body: encoded.body,
            options: transport_options,
            on_sent,
            shortage,
        };
        let attempt = Attempt {
            permit,
            route: route.id,
            is_hedge: reason == HEDGE,
            is_last_route: other_routes == 0,
            number,
            request_id,
            started,
            body_bytes,
            waited,
            sent_fields,
            head: head.clone(),
            progress: Progress::default(),
            join: None,
            mismatch: None,
            is_rest,
            keeps_cost: false,
        };
        let peek = (may_race && call.chat.is_streamed()).then_some(Peek {
            request: call,
            dialect,
            choices: call.chat.choices(),
            buffer_tool_calls: call.options.buffer_tool_calls,
            limits: SizeLimits::of(&call.options),
        });
        let transport = &*client.transport;
        let attempt_timeout = call.options.attempt_timeout;
        let open_head = head.clone();
        let future = async move {
            // Pinned, or boxed if rare, so that the future does not occupy its size twice.
            let open = pin!(async move {
                let opened = open_request.open(transport, send).await?;
                match peek {
                    None => Ok(opened),
                    Some(peek) => {
                        let request_id = head.update(|head| head.request_id.clone());
                        let peeked = peek.read_to_first_token(opened, request_id).boxed().await;
                        peeked.map_err(|error| head.update(|head| head.describe(error)))
                    }
                }
            });
            let result = match attempt_timeout {
                None => open.await,
                Some(limit) => timeout_at(started + limit, open).boxed().await.unwrap_or_else(|_| {
                    let lacks = open_head.update(|head| head.lacks());
                    Err(lacks.map_or_else(|| Error::timeout(Phase::Attempt, limit), Error::local_resource))
                }),
            };
            result.map_err(|error| {
                explain_missing_key(without_secrets(error, &ctx.redactor), &endpoint, extras)
            })
        };
        Ok((attempt, future.boxed()))
    }
}

/// The optional fields for this endpoint: those that it is not known to reject.
fn optional_fields(ctx: &CallContext<'_>, route: &CallRoute) -> OptionalFields {
    let endpoint = &route.endpoint;
    let is_chat = !ctx.request.chat.dialect().is_passthrough();
    OptionalFields {
        usage: is_chat && !endpoint.rejects_usage.load(Ordering::Relaxed),
        session: is_chat
            && endpoint.config.send_session_id.in_body()
            && !endpoint.rejects_session.load(Ordering::Relaxed),
    }
}

fn read_settings(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    other_routes: usize,
    expects_usage: bool,
) -> ReadSettings {
    let options = &ctx.request.options;
    let unstreamed = (!ctx.request.chat.is_streamed()).then(|| ctx.request.chat.dialect());
    // Leaves time for the other routes.
    let remaining = ctx.remaining().filter(|_| other_routes > 0);
    ReadSettings {
        // The head of an answer that is not streamed arrives only once the answer is complete.
        first_token_timeout: match unstreamed {
            Some(_) => options.whole_answer_timeout,
            None => options.first_token_timeout(other_routes == 0),
        },
        deadline_share: remaining.map(|remaining| deadline::fair_share(remaining, other_routes)),
        idle_timeout: options.idle_timeout,
        has_stalled: false,
        min_tokens_per_second: options.min_tokens_per_second.unwrap_or_default(),
        max_paused: options.max_paused,
        usage_timeout: options.usage_timeout,
        max_event: options.max_event,
        require_finish_reason: route
            .endpoint
            .config
            .require_finish_reason
            .unwrap_or(options.require_finish_reason),
        expects_usage,
        skip_malformed: options.recovery.skip_malformed,
        unstreamed,
    }
}
