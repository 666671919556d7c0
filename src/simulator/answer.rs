//! From a request and its scenario to the plan of an answer, the same for HTTP/1.1 and HTTP/2.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};

use super::chat::ChatRequest;
use super::check;
use super::continuation;
use super::dialect::{Dialect, Spoken};
use super::events::Events;
use super::messages;
use super::pieces::{Pieces, Seeded};
use super::play::{Ending, Framing, Head, Plain, Plan, Script, Start};
use super::reply;
use super::responses;
use super::scenario::{DisconnectHow, Scenario, Usage};
use super::stream::{Content, Identity, Stream, Tool};

/// What an answer depends on besides its request and its scenario.
pub(super) struct Context<'a> {
    /// Another than chat completions.
    pub(super) dialect: Option<Dialect>,
    pub(super) seed: u64,
    pub(super) index: u64,
    /// The default answer as exact pieces, if that is how it was given.
    pub(super) pieces: Option<&'a [String]>,
    /// The default answer.
    pub(super) text: &'a str,
    /// The model of a request that names none.
    pub(super) model: &'a str,
}

const JSON: &str = "application/json";

/// A plain reply, at once.
pub(super) fn plain(status: u16, content_type: &'static str, body: Bytes) -> Plan {
    let headers = vec![(Cow::Borrowed("content-type"), Cow::Borrowed(content_type))];
    let framing = Framing::Length(body.len());
    Plan {
        delay: Duration::ZERO,
        start: Start::Reply,
        head: Head { status, headers, framing, size: 0, keep_alive: true },
        script: Script::Plain(Plain { wait: Duration::ZERO, body, cut: None }),
        packets: None,
        pings: None,
    }
}

pub(super) fn json(status: u16, body: Bytes) -> Plan {
    plain(status, JSON, body)
}

/// A 400 in OpenAI's shape.
pub(super) fn refuse(message: &str, param: Option<&str>, code: Option<&str>) -> Plan {
    json(400, reply::error(message, "invalid_request_error", param, code))
}

/// The answer of `scenario` to a chat request.
pub(super) fn plan(scenario: &Arc<Scenario>, request: &ChatRequest, context: &Context<'_>) -> Plan {
    let mut seeded = Seeded::new(scenario.seed.unwrap_or(context.seed), context.index);
    let id = match context.dialect {
        None => format!("chatcmpl-{}", seeded.id(29)),
        Some(Dialect::Responses) => format!("resp_{}", seeded.id(48)),
        Some(Dialect::Messages) => format!("msg_{}", seeded.id(24)),
    };
    let request_id = format!("req_{:016x}{:016x}", seeded.next(), seeded.next());
    let model = request.model.as_deref().unwrap_or(context.model);
    let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let identity = Identity { id: &id, model, created };

    let refusal = refusal(scenario, request);
    // A cut is one of the answer, and a refusal is none.
    let is_refused = refusal.is_some();
    let mut plan = refusal
        .or_else(|| fixed(scenario, model))
        .unwrap_or_else(|| answered(scenario, request, context, &identity, &mut seeded));
    if scenario.body.is_none() && !scenario.html {
        reshape(&mut plan, context.dialect);
    }
    if let Script::Plain(script) = &mut plan.script {
        script.wait = check::wait(scenario.first_token_delay_ms);
        if script.cut.is_none() && !is_refused {
            script.cut = cut_of_plain(scenario, script.body.len());
        }
    }
    plan.delay = check::wait(scenario.headers_delay_ms);
    plan.start = match scenario {
        s if s.connect_reset => Start::Reset,
        s if s.close_before_headers => Start::Close,
        s if s.hang => Start::Hang,
        _ => Start::Reply,
    };
    plan.packets = scenario.packets;
    plan.pings.clone_from(&scenario.pings);
    plan.head.size = scenario.header_bytes.unwrap_or(0);
    let ends_with_connection = plan.head.framing == Framing::UntilClose;
    plan.head.keep_alive = scenario.keep_alive.unwrap_or(true) && !ends_with_connection;
    head(&mut plan.head, scenario, request_id);
    if context.dialect == Some(Dialect::Messages) {
        // As Anthropic names it.
        let headers = &mut plan.head.headers;
        headers.retain(|(name, _)| name != "openai-processing-ms");
        headers
            .iter_mut()
            .filter(|(name, _)| name == "x-request-id")
            .for_each(|(name, _)| *name = "request-id".into());
    }
    plan
}

/// Gives an error the shape that it has in this dialect.
pub(super) fn reshape(plan: &mut Plan, dialect: Option<Dialect>) {
    if let (Some(dialect), Script::Plain(script), 400..) = (dialect, &mut plan.script, plan.head.status) {
        script.body = dialect.error(plan.head.status, &script.body);
        plan.head.framing = Framing::Length(script.body.len());
    }
}

/// The 400 of a provider that does not take this form of request.
fn refusal(scenario: &Scenario, request: &ChatRequest) -> Option<Plan> {
    if scenario.refuse_stream_options && request.has_stream_options {
        let message = "Unknown parameter: 'stream_options'.";
        return Some(refuse(message, Some("stream_options"), Some("unknown_parameter")));
    }
    if scenario.refuse_prefill && request.ends_with_assistant() {
        let message = "The last message must not have the role 'assistant': prefill is not supported.";
        return Some(refuse(message, Some("messages"), Some("invalid_value")));
    }
    if scenario.refuse_system_tail && request.ends_with_system() {
        let message = "System message must be at the beginning.";
        return Some(refuse(message, Some("messages"), Some("invalid_value")));
    }
    None
}

/// A reply that is no answer: an error, a page, a given body.
fn fixed(scenario: &Scenario, model: &str) -> Option<Plan> {
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
        None if scenario.html => ("text/html", reply::html(status)),
        None if matches!(status, 204 | 205 | 304) => (JSON, Bytes::new()),
        None if !(200..300).contains(&status) => (JSON, reply::error_of(status, model)),
        None => return None,
    };
    Some(plain(status, content_type, body))
}

fn answered(
    scenario: &Arc<Scenario>,
    request: &ChatRequest,
    context: &Context<'_>,
    identity: &Identity<'_>,
    seeded: &mut Seeded,
) -> Plan {
    let content = content(scenario, request, context, seeded);
    let streamed = request.stream && !scenario.json_instead;
    if let Some(dialect) = context.dialect {
        return spoken(dialect, scenario, request, &content, identity, streamed, seeded);
    }
    let usage = match &scenario.usage {
        Some(Usage::Exactly(usage)) => Some(Value::Object(usage.clone()).to_string()),
        Some(Usage::Sent(false)) => None,
        None if streamed && !request.include_usage && !scenario.usage_in_last_chunk => None,
        _ => {
            let (prompt, completion) = (request.prompt_tokens(), content.pieces() * request.choices);
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
        let body = reply::completion(&content, request.choices, identity, usage.as_deref(), finish);
        return json_answer(scenario, status, body);
    }
    let stream =
        Stream::new(Arc::clone(scenario), content, request.choices, identity, usage, request.include_usage);
    event_stream(scenario, Script::Stream(Box::new(stream)))
}

fn event_stream(scenario: &Scenario, script: Script) -> Plan {
    let headers = vec![
        (Cow::Borrowed("content-type"), Cow::Borrowed("text/event-stream; charset=utf-8")),
        (Cow::Borrowed("cache-control"), Cow::Borrowed("no-cache")),
    ];
    let framing = if scenario.chunked.unwrap_or(true) { Framing::Chunked } else { Framing::UntilClose };
    let status = scenario.status.unwrap_or(200);
    Plan {
        delay: Duration::ZERO,
        start: Start::Reply,
        head: Head { status, headers, framing, size: 0, keep_alive: true },
        script,
        packets: None,
        pings: None,
    }
}

/// An answer in another dialect.
fn spoken(
    dialect: Dialect,
    scenario: &Arc<Scenario>,
    request: &ChatRequest,
    content: &Content,
    identity: &Identity<'_>,
    streamed: bool,
    seeded: &mut Seeded,
) -> Plan {
    let finish = scenario.finish.unwrap_or(true);
    let speak = match dialect {
        Dialect::Responses => responses::speak,
        Dialect::Messages => messages::speak,
    };
    let Spoken { events, whole } = speak(content, identity, request.prompt_tokens(), finish, seeded);
    if !streamed {
        return json_answer(scenario, scenario.status.unwrap_or(200), Bytes::from(whole.to_string()));
    }
    event_stream(scenario, Script::Events(Box::new(Events::new(dialect, Arc::clone(scenario), events))))
}

/// A whole answer, with those cuts that change what it says.
fn json_answer(scenario: &Scenario, status: u16, body: Bytes) -> Plan {
    let Some(cut) = &scenario.disconnect else { return json(status, body) };
    match cut.how {
        DisconnectHow::ErrorEvent | DisconnectHow::ErrorEventNamed => {
            let body = match &cut.error {
                Some(error) => Bytes::from(json!({ "error": error }).to_string()),
                None => reply::error_of(500, ""),
            };
            let mut plan = json(status, body);
            ended_early(&mut plan);
            plan
        }
        DisconnectHow::Malformed => {
            let mut plan = json(status, body.slice(..cut_at(cut.after_bytes, body.len())));
            ended_early(&mut plan);
            plan
        }
        DisconnectHow::Done | DisconnectHow::NoFinish => {
            let mut plan = json(status, body);
            ended_early(&mut plan);
            plan
        }
        DisconnectHow::Reset | DisconnectHow::Close | DisconnectHow::Stall => json(status, body),
    }
}

/// Sends all of the body, and records it as cut.
fn ended_early(plan: &mut Plan) {
    if let Script::Plain(script) = &mut plan.script {
        script.cut = Some((script.body.len(), Ending::Clean));
    }
}

fn cut_of_plain(scenario: &Scenario, length: usize) -> Option<(usize, Ending)> {
    let cut = scenario.disconnect.as_ref()?;
    let ending = match cut.how {
        DisconnectHow::Reset => Ending::Reset,
        DisconnectHow::Close => Ending::Close,
        DisconnectHow::Stall => Ending::Stall,
        _ => return None,
    };
    Some((cut_at(cut.after_bytes, length), ending))
}

/// Pieces do not count in a plain body: without a number of bytes, it is cut in the middle.
fn cut_at(after_bytes: Option<u64>, length: usize) -> usize {
    after_bytes.map_or(length / 2, |bytes| usize::try_from(bytes).unwrap_or(length).min(length))
}

fn content(
    scenario: &Scenario,
    request: &ChatRequest,
    context: &Context<'_>,
    seeded: &mut Seeded,
) -> Content {
    let size = scenario.chunk_chars;
    let given = scenario.text.is_some() || scenario.chunks.is_some() || scenario.repeat.is_some();
    let text = if given || (scenario.refusal.is_none() && scenario.tool_calls.is_empty()) {
        continued(text(scenario, context, seeded), scenario, request, seeded)
    } else {
        Pieces::none()
    };
    let mut split = |text: &str| Pieces::split(text.to_owned(), size, seeded);
    let reasoning = scenario.reasoning.as_deref().map_or_else(Pieces::none, &mut split);
    let refusal = scenario.refusal.as_deref().map_or_else(Pieces::none, &mut split);
    let tools = scenario.tool_calls.iter().map(|call| Tool {
        id: call.id.clone().unwrap_or_else(|| format!("call_{}", seeded.id(24))),
        name: call.name.clone(),
        arguments: match &call.arguments {
            None => Pieces::split("{}".to_owned(), size, seeded),
            Some(Value::String(text)) => Pieces::split(text.clone(), size, seeded),
            Some(value) => Pieces::split(value.to_string(), size, seeded),
        },
    });
    let tools: Vec<Tool> = tools.collect();
    let finish = if tools.is_empty() { "stop" } else { "tool_calls" };
    let finish = scenario.finish_reason.as_deref().unwrap_or(finish).to_owned();
    Content { reasoning, text, refusal, tools, finish }
}

/// The whole reference answer.
fn text(scenario: &Scenario, context: &Context<'_>, seeded: &mut Seeded) -> Pieces {
    match (scenario.repeat, &scenario.chunks, &scenario.text) {
        (Some(count), Some(pieces), _) => Pieces::Cycle { units: pieces.clone(), count },
        (Some(count), None, Some(text)) => Pieces::Cycle { units: vec![text.clone()], count },
        (Some(count), None, None) if scenario.stamp => Pieces::Stamped { count },
        (Some(count), None, None) => Pieces::Numbered { count },
        (None, Some(pieces), _) => Pieces::exact(pieces),
        (None, None, Some(text)) => Pieces::split(text.clone(), scenario.chunk_chars, seeded),
        (None, None, None) => match context.pieces {
            Some(pieces) => Pieces::exact(pieces),
            None => Pieces::split(context.text.to_owned(), scenario.chunk_chars, seeded),
        },
    }
}

/// The answer, or the rest of it to a request that continues it.
fn continued(whole: Pieces, scenario: &Scenario, request: &ChatRequest, seeded: &mut Seeded) -> Pieces {
    // A benchmark's answer is only put together for a request that can be a continuation.
    let repeated = !matches!(whole, Pieces::Split { .. });
    if request.messages.len() < 2 && !request.ends_with_assistant()
        || repeated && !continuation::is_likely(&request.messages)
    {
        return whole;
    }
    let text = whole.text();
    let Some(point) = continuation::point(&request.messages, &text) else { return whole };
    match continuation::resume(&text, point, scenario.on_continue, scenario.overlap_chars) {
        Some(0) => whole,
        Some(from) => whole.skip(from),
        None => Pieces::split(continuation::DIFFERENT.to_owned(), scenario.chunk_chars, seeded),
    }
}

fn head(head: &mut Head, scenario: &Scenario, request_id: String) {
    let mut add = |name: &'static str, value: String| head.headers.push((name.into(), value.into()));
    add("x-request-id", request_id);
    add("openai-processing-ms", (scenario.headers_delay_ms.min(check::MAX_WAIT_MS) + 1).to_string());
    if let Some(seconds) = scenario.retry_after {
        add("retry-after", seconds.to_string());
    }
    if let Some(seconds) = scenario.retry_after_date {
        // A date has no fractions: rounded up, it is never sooner than asked for.
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
