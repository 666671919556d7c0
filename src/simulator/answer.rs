//! Plans the answer to a request in a scenario, for HTTP/1.1 and HTTP/2 alike.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};

use super::bodies;
use super::chat_request::ChatRequest;
use super::chat_stream::ChatStream;
use super::chunk_writer::ChunkWriter;
use super::content::{Content, Identity, Tool};
use super::continuation::{self, Rest};
use super::cut::{cut_at, cut_of_fixed};
use super::deltas::Deltas;
use super::dialect::{Dialect, DialectAnswer};
use super::event_stream::EventStream;
use super::kept_responses::{self, KeptResponse, KeptResponses};
use super::messages;
use super::plan::{BodySource, FixedBody, Framing, Head, Plan, Start};
use super::responses;
use super::rng;
use super::scenario::{DisconnectHow, Scenario, Usage};
use super::step::Ending;
use super::validate;
use super::wire_format::Format;
use crate::rng::SeededRng;

/// What an answer depends on besides its request and its scenario.
pub(super) struct AnswerContext<'a> {
    /// The dialect, if it is not chat completions.
    pub(super) dialect: Option<Dialect>,
    pub(super) seed: u64,
    pub(super) index: u64,
    /// The deltas of the default answer, if the scenario lists them.
    pub(super) deltas: Option<&'a [String]>,
    /// The default answer.
    pub(super) text: &'a str,
    /// The model of a request without one.
    pub(super) model: &'a str,
    /// The key of the request.
    pub(super) key: Option<String>,
    pub(super) kept: &'a KeptResponses,
}

const JSON: &str = "application/json";

/// An immediate reply with a fixed body.
pub(super) fn reply(status: u16, content_type: &'static str, body: Bytes) -> Plan {
    let headers = vec![(Cow::Borrowed("content-type"), Cow::Borrowed(content_type))];
    let framing = Framing::Length(body.len());
    Plan {
        delay: Duration::ZERO,
        start: Start::Reply,
        head: Head { status, headers, framing, size: 0, keep_alive: true },
        source: BodySource::Fixed(FixedBody { wait: Duration::ZERO, body, cut: None }),
        packets: None,
        pings: None,
        encoding: None,
    }
}

pub(super) fn json(status: u16, body: Bytes) -> Plan {
    reply(status, JSON, body)
}

/// A 400 in OpenAI's shape.
pub(super) fn bad_request(message: &str, param: Option<&str>, code: Option<&str>) -> Plan {
    json(400, bodies::error(message, "invalid_request_error", param, code))
}

/// The answer of `scenario` to a chat request.
pub(super) fn plan(scenario: &Arc<Scenario>, request: &ChatRequest, context: &AnswerContext<'_>) -> Plan {
    let mut rng = rng::of_answer(scenario.seed.unwrap_or(context.seed), context.index);
    let id = match context.dialect {
        None => format!("chatcmpl-{}", rng::id(&mut rng, 29)),
        Some(Dialect::Responses) => format!("resp_{}", rng::id(&mut rng, 48)),
        Some(Dialect::Messages) => format!("msg_{}", rng::id(&mut rng, 24)),
    };
    let request_id = format!("req_{:016x}{:016x}", rng.next_u64(), rng.next_u64());
    let model = request.model.as_deref().unwrap_or(context.model);
    let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let identity = Identity { id: &id, model, created };

    let rejection = rejection(scenario, request);
    // A cut applies to answers, and a rejection is not one.
    let is_rejected = rejection.is_some();
    let plan = rejection
        .or_else(|| fixed_reply(scenario, model))
        .unwrap_or_else(|| model_answer(scenario, request, context, &identity, &mut rng));
    complete(plan, scenario, context, is_rejected, request_id)
}

/// Adds the faults and the headers of a scenario to a plan.
pub(super) fn complete(
    mut plan: Plan,
    scenario: &Scenario,
    context: &AnswerContext<'_>,
    is_rejected: bool,
    request_id: String,
) -> Plan {
    if scenario.body.is_none() && !scenario.html {
        apply_error_shape(&mut plan, context.dialect);
    }
    if let BodySource::Fixed(fixed) = &mut plan.source {
        fixed.wait = validate::bounded_wait(scenario.first_token_delay_ms);
        if fixed.cut.is_none() && !is_rejected {
            fixed.cut = cut_of_fixed(scenario, fixed.body.len());
        }
    }
    plan.delay = validate::bounded_wait(scenario.headers_delay_ms);
    plan.start = match scenario {
        s if s.connect_reset => Start::Reset,
        s if s.close_before_headers => Start::Close,
        s if s.hang => Start::Hang,
        _ => Start::Reply,
    };
    plan.packets = scenario.packets;
    plan.pings.clone_from(&scenario.pings);
    plan.head.size = scenario.header_bytes.unwrap_or(0);
    encode(&mut plan, scenario);
    let ends_with_connection = plan.head.framing == Framing::UntilClose;
    plan.head.keep_alive = scenario.keep_alive.unwrap_or(true) && !ends_with_connection;
    add_headers(&mut plan.head, scenario, request_id);
    if context.dialect == Some(Dialect::Messages) {
        // Anthropic's name for it.
        let headers = &mut plan.head.headers;
        headers.retain(|(name, _)| name != "openai-processing-ms");
        headers
            .iter_mut()
            .filter(|(name, _)| name == "x-request-id")
            .for_each(|(name, _)| *name = "request-id".into());
    }
    plan
}

/// Encodes the body. Its length is not known in advance then.
fn encode(plan: &mut Plan, scenario: &Scenario) {
    let Some(encoding) = scenario.content_encoding.filter(|_| plan.head.framing != Framing::Length(0)) else {
        return;
    };
    plan.encoding = Some(encoding);
    plan.head.headers.push(("content-encoding".into(), encoding.name().into()));
    if matches!(plan.head.framing, Framing::Length(_)) {
        plan.head.framing = Framing::Chunked;
    }
}

/// Converts an error to the shape of this dialect.
pub(super) fn apply_error_shape(plan: &mut Plan, dialect: Option<Dialect>) {
    if let (Some(dialect), BodySource::Fixed(fixed), 400..) = (dialect, &mut plan.source, plan.head.status) {
        fixed.body = dialect.error_body(plan.head.status, &fixed.body);
        plan.head.framing = Framing::Length(fixed.body.len());
    }
}

/// The 400 of a provider that does not accept this form of request.
fn rejection(scenario: &Scenario, request: &ChatRequest) -> Option<Plan> {
    if scenario.reject_stream_options && request.has_stream_options {
        let message = "Unknown parameter: 'stream_options'.";
        return Some(bad_request(message, Some("stream_options"), Some("unknown_parameter")));
    }
    if let Some(status) = scenario.reject_assistant_tail
        && request.ends_with_assistant()
        && !request.is_in_form(scenario.continues())
    {
        let message = "The last message must not have the role 'assistant': prefill is not supported.";
        let body = bodies::error(message, "invalid_request_error", Some("messages"), Some("invalid_value"));
        return Some(json(status, body));
    }
    if scenario.reject_system_tail && request.ends_with_system() {
        let message = "System message must be at the beginning.";
        return Some(bad_request(message, Some("messages"), Some("invalid_value")));
    }
    None
}

/// A reply that is not an answer: an error, an HTML page, or the body of the scenario.
pub(super) fn fixed_reply(scenario: &Scenario, model: &str) -> Option<Plan> {
    let status = scenario.status.unwrap_or(200);
    let (content_type, body) = match &scenario.body {
        Some(Value::String(text)) => {
            let content_type = match text.trim_start().as_bytes().first() {
                _ if scenario.html => "text/html",
                Some(b'<') => "text/html",
                Some(b'{' | b'[') => JSON,
                _ => "text/plain",
            };
            (content_type, Bytes::from(text.clone()))
        }
        Some(value) => (JSON, Bytes::from(value.to_string())),
        None if scenario.html => ("text/html", bodies::html(status)),
        None if matches!(status, 204 | 205 | 304) => (JSON, Bytes::new()),
        None if !(200..300).contains(&status) => (JSON, bodies::error_of(status, model)),
        None => return None,
    };
    Some(reply(status, content_type, body))
}

fn model_answer(
    scenario: &Arc<Scenario>,
    request: &ChatRequest,
    context: &AnswerContext<'_>,
    identity: &Identity<'_>,
    rng: &mut SeededRng,
) -> Plan {
    let format = scenario.format(request.stream);
    if let Some(events) = &scenario.events {
        let stream = EventStream::of_scenario(context.dialect, format, Arc::clone(scenario), events);
        return event_stream(scenario, format, BodySource::Events(Box::new(stream)));
    }
    let content = content(scenario, request, context, rng);
    if let Some(dialect) = context.dialect {
        return dialect_answer(dialect, scenario, request, context, &content, identity, rng);
    }
    let streamed = format != Format::Document;
    let usage = match &scenario.usage {
        Some(Usage::Exactly(usage)) => Some(Value::Object(usage.clone()).to_string()),
        Some(Usage::Sent(false)) => None,
        None if streamed && !request.include_usage && scenario.usage_in().has_own_chunk() => None,
        _ => {
            let (prompt, completion) = (request.prompt_tokens(), content.delta_count() * request.choices);
            let mut usage = json!({"prompt_tokens": prompt, "completion_tokens": completion,
                "total_tokens": prompt + completion});
            if content.reasoning.len() > 0 {
                let reasoning = content.reasoning.len() * request.choices;
                usage["completion_tokens_details"] = json!({"reasoning_tokens": reasoning});
            }
            Some(usage.to_string())
        }
    };
    let status = scenario.status.unwrap_or(200);
    if !streamed {
        let unfinished = scenario
            .disconnect
            .as_ref()
            .is_some_and(|cut| matches!(cut.how, DisconnectHow::Done | DisconnectHow::NoFinish));
        let finish = scenario.finish.unwrap_or(true) && !unfinished;
        let body =
            bodies::completion(&content, scenario, request.choices, identity, usage.as_deref(), finish);
        return unstreamed_answer(scenario, status, body);
    }
    let writer = ChunkWriter::new(Arc::clone(scenario), format, identity, usage, request.include_usage);
    let stream = ChatStream::new(Arc::clone(scenario), content, request.choices, writer);
    event_stream(scenario, format, BodySource::Stream(Box::new(stream)))
}

pub(super) fn event_stream(scenario: &Scenario, format: Format, source: BodySource) -> Plan {
    let is_ndjson = format == Format::Ndjson;
    let content_type = if is_ndjson { "application/x-ndjson" } else { "text/event-stream; charset=utf-8" };
    let headers = vec![
        (Cow::Borrowed("content-type"), Cow::Borrowed(content_type)),
        (Cow::Borrowed("cache-control"), Cow::Borrowed("no-cache")),
    ];
    let framing = if scenario.chunked.unwrap_or(true) { Framing::Chunked } else { Framing::UntilClose };
    let status = scenario.status.unwrap_or(200);
    Plan {
        delay: Duration::ZERO,
        start: Start::Reply,
        head: Head { status, headers, framing, size: 0, keep_alive: true },
        source,
        packets: None,
        pings: None,
        encoding: None,
    }
}

/// An answer in another dialect.
fn dialect_answer(
    dialect: Dialect,
    scenario: &Arc<Scenario>,
    request: &ChatRequest,
    context: &AnswerContext<'_>,
    content: &Content,
    identity: &Identity<'_>,
    rng: &mut SeededRng,
) -> Plan {
    let format = scenario.format(request.stream);
    let finish = scenario.finish.unwrap_or(true);
    let (prompt, background) = (request.prompt_tokens(), request.background);
    let DialectAnswer { events, mut whole } = match dialect {
        Dialect::Responses => responses::build(content, identity, prompt, finish, background, rng),
        Dialect::Messages => messages::build(content, identity, prompt, finish, rng),
    };
    if background {
        context.kept.keep(KeptResponse {
            id: identity.id.to_owned(),
            key: context.key.clone(),
            kept: scenario.kept,
            is_streamed: request.stream,
            events: events.clone(),
            whole: whole.clone(),
        });
        if format == Format::Document {
            whole = kept_responses::queued(&whole);
        }
    }
    if format == Format::Document {
        return unstreamed_answer(scenario, scenario.status.unwrap_or(200), Bytes::from(whole.to_string()));
    }
    let stream = EventStream::new(Some(dialect), format, Arc::clone(scenario), events);
    event_stream(scenario, format, BodySource::Events(Box::new(stream)))
}

/// An answer that is not streamed, with the cuts that change its content.
fn unstreamed_answer(scenario: &Scenario, status: u16, body: Bytes) -> Plan {
    let Some(cut) = &scenario.disconnect else { return json(status, body) };
    match cut.how {
        DisconnectHow::ErrorEvent | DisconnectHow::ErrorEventNamed => {
            let body = match &cut.error {
                Some(error) => Bytes::from(json!({ "error": error }).to_string()),
                None => bodies::error_of(500, ""),
            };
            let mut plan = json(status, body);
            record_as_cut(&mut plan);
            plan
        }
        DisconnectHow::Malformed => {
            let mut plan = json(status, body.slice(..cut_at(cut.after_bytes, body.len())));
            record_as_cut(&mut plan);
            plan
        }
        DisconnectHow::Done | DisconnectHow::NoFinish => {
            let mut plan = json(status, body);
            record_as_cut(&mut plan);
            plan
        }
        DisconnectHow::Reset | DisconnectHow::Close | DisconnectHow::Stall => json(status, body),
    }
}

/// Sends the whole body, and records the answer as cut.
fn record_as_cut(plan: &mut Plan) {
    if let BodySource::Fixed(fixed) = &mut plan.source {
        fixed.cut = Some((fixed.body.len(), Ending::Clean));
    }
}

fn content(
    scenario: &Scenario,
    request: &ChatRequest,
    context: &AnswerContext<'_>,
    rng: &mut SeededRng,
) -> Content {
    let size = scenario.chunk_chars;
    let has_text = scenario.text.is_some() || scenario.chunks.is_some() || scenario.repeat.is_some();
    let text = if has_text || (scenario.refusal.is_none() && scenario.tool_calls.is_empty()) {
        continue_or_answer(text(scenario, context, rng), scenario, request, rng)
    } else {
        Deltas::empty()
    };
    let mut split = |text: &str| Deltas::split(text.to_owned(), size, rng);
    let reasoning = scenario.reasoning.as_deref().map_or_else(Deltas::empty, &mut split);
    let refusal = scenario.refusal.as_deref().map_or_else(Deltas::empty, &mut split);
    let tools = scenario.tool_calls.iter().map(|call| Tool {
        id: call.id.clone().unwrap_or_else(|| format!("call_{}", rng::id(rng, 24))),
        name: call.name.clone(),
        arguments: match &call.arguments {
            None => Deltas::split("{}".to_owned(), size, rng),
            Some(Value::String(text)) => Deltas::split(text.clone(), size, rng),
            Some(value) => Deltas::split(value.to_string(), size, rng),
        },
    });
    let tools: Vec<Tool> = tools.collect();
    let finish = if tools.is_empty() { "stop" } else { "tool_calls" };
    let finish = scenario.finish_reason.as_deref().unwrap_or(finish).to_owned();
    Content { reasoning, text, refusal, tools, finish }
}

/// The text of the whole answer.
fn text(scenario: &Scenario, context: &AnswerContext<'_>, rng: &mut SeededRng) -> Deltas {
    match (scenario.repeat, &scenario.chunks, &scenario.text) {
        (Some(count), Some(deltas), _) => Deltas::Cycle { units: deltas.clone(), count },
        (Some(count), None, Some(text)) => Deltas::Cycle { units: vec![text.clone()], count },
        (Some(count), None, None) if scenario.stamp => Deltas::Stamped { count },
        (Some(count), None, None) => Deltas::Numbered { count },
        (None, Some(deltas), _) => Deltas::exact(deltas),
        (None, None, Some(text)) => Deltas::split(text.clone(), scenario.chunk_chars, rng),
        (None, None, None) => match context.deltas {
            Some(deltas) => Deltas::exact(deltas),
            None => Deltas::split(context.text.to_owned(), scenario.chunk_chars, rng),
        },
    }
}

/// The answer or, if the request continues it, the rest.
fn continue_or_answer(
    whole: Deltas,
    scenario: &Scenario,
    request: &ChatRequest,
    rng: &mut SeededRng,
) -> Deltas {
    if request.ends_with_assistant() && !request.is_in_form(scenario.continues()) {
        return whole;
    }
    // The text of a benchmark's answer is only assembled if the request can be a continuation.
    let repeated = !matches!(whole, Deltas::Split { .. });
    if request.messages.len() < 2 && !request.ends_with_assistant()
        || repeated && !continuation::may_continue(&request.messages)
    {
        return whole;
    }
    let text = whole.text();
    let Some(point) = continuation::resume_point(&request.messages, &text) else { return whole };
    let instruction = request.messages.last().map_or("", |message| message.text.as_str());
    match continuation::rest(&text, point, instruction, scenario.on_continue, scenario.overlap_chars) {
        Rest::From(0) => whole,
        Rest::From(from) => whole.skip(from),
        Rest::Other(other) => Deltas::split(other, scenario.chunk_chars, rng),
    }
}

fn add_headers(head: &mut Head, scenario: &Scenario, request_id: String) {
    let mut add = |name: &'static str, value: String| head.headers.push((name.into(), value.into()));
    add("x-request-id", request_id);
    add("openai-processing-ms", (scenario.headers_delay_ms.min(validate::MAX_WAIT_MS) + 1).to_string());
    if let Some(seconds) = scenario.retry_after {
        add("retry-after", seconds.to_string());
    }
    if let Some(seconds) = scenario.retry_after_date {
        // A date has no fraction. Rounded up, it is never too early.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = (now.as_secs_f64() + seconds.clamp(-1e9, 1e9)).ceil().max(0.0);
        add("retry-after", httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(at)));
    }
    if let Some(ms) = scenario.retry_after_ms {
        add("retry-after-ms", ms.to_string());
    }
    for (name, values) in &scenario.headers {
        let name = name.to_ascii_lowercase();
        head.headers.retain(|(n, _)| *n != name);
        for value in values.lines() {
            head.headers.push((name.clone().into(), value.clone().into()));
        }
    }
}
