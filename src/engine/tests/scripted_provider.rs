//! A transport that answers requests from a script.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::error::{ConnectionFailure, Error, Kind, LocalResource, Result};
use crate::transport::{HeaderMap, HeaderName, HeaderValue, Request, Response, Transport};

/// Answers each request to a host with the next reply of that host's script.
pub struct ScriptedProvider {
    pub started_at: Instant,
    pub scripts: Mutex<HashMap<String, VecDeque<Reply>>>,
    pub requests: Mutex<Vec<Arc<RecordedRequest>>>,
}

impl Transport for ScriptedProvider {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response>> {
        let host = request.url.split('/').nth(2).unwrap().to_owned();
        let closed = Arc::new(Mutex::new(None));
        let exchange = Exchange { started_at: self.started_at, closed: Arc::clone(&closed) };
        self.requests.lock().unwrap().push(Arc::new(RecordedRequest {
            at: self.started_at.elapsed().as_millis() as u64,
            method: request.method.to_string(),
            url: request.url,
            headers: request.headers,
            body: request.body,
            closed,
        }));
        let reply = self.scripts.lock().unwrap().get_mut(&host).and_then(VecDeque::pop_front);
        let reply = reply.unwrap_or_else(|| panic!("unexpected request to {host}: its script is exhausted"));
        async move {
            let exchange = exchange;
            if let Some(resource) = reply.lacks {
                request.shortage.record(resource);
            }
            match reply.connect_after {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            if let Some(error) = reply.connect_error {
                return Err(error);
            }
            let _ = request.on_sent.send(());
            match reply.head_after {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            let mut headers = HeaderMap::new();
            for (name, value) in reply.headers {
                headers.append(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
            }
            let body = ScriptedBody { chunks: Box::pin(play(reply.steps)), _exchange: exchange };
            Ok(Response { status: reply.status, headers, body: Box::pin(body) })
        }
        .boxed()
    }
}

/// One step of a body. Waits are in milliseconds.
#[derive(Clone)]
pub enum BodyStep {
    Wait(u64),
    Bytes(Bytes),
    /// End with an error.
    Fail(Error),
    /// Send nothing more.
    Stall,
}

/// The answer to one request.
#[derive(Clone)]
pub struct Reply {
    /// Milliseconds until the connection; `None`: never.
    connect_after: Option<u64>,
    /// Milliseconds from the connection to the head; `None`: never.
    head_after: Option<u64>,
    connect_error: Option<Error>,
    /// What the request waits for before it connects.
    lacks: Option<LocalResource>,
    status: u16,
    headers: Vec<(&'static str, String)>,
    steps: Vec<BodyStep>,
}

/// An event stream without events.
pub fn stream() -> Reply {
    status(200).header("content-type", "text/event-stream")
}

pub fn status(status: u16) -> Reply {
    Reply {
        connect_after: Some(0),
        head_after: Some(0),
        connect_error: None,
        lacks: None,
        status,
        headers: Vec::new(),
        steps: Vec::new(),
    }
}

/// A provider's error, in OpenAI's format.
pub fn error_response(code: u16, provider_code: &str, message: &str) -> Reply {
    let body = json!({ "error": { "message": message, "code": provider_code } }).to_string();
    status(code).header("content-type", "application/json").raw(&body)
}

pub fn unavailable() -> Reply {
    error_response(503, "overloaded", "try again")
}

/// Fails after a wait for what this machine lacks.
pub fn lacks(resource: LocalResource, after_ms: u64) -> Reply {
    Reply {
        connect_error: Some(Error::local_resource(resource)),
        ..status(0).waits_for(resource).connects_after(after_ms)
    }
}

pub fn connection_refused() -> Reply {
    let error = Error::new(Kind::Connection(ConnectionFailure::Refused), "connection refused");
    Reply { connect_error: Some(error), ..status(0) }
}

/// A complete answer: `deltas`, a finish reason, `[DONE]`.
pub fn answer(deltas: &[&str]) -> Reply {
    deltas.iter().fold(stream(), |reply, delta| reply.delta(delta)).finish().done()
}

pub fn chunk(delta: Value, finish: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m-2025",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
}

pub fn usage_chunk(total: u64) -> Value {
    json!({ "id": "chatcmpl-1", "choices": [], "usage": { "total_tokens": total } })
}

impl Reply {
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub fn connects_after(mut self, ms: u64) -> Self {
        self.connect_after = Some(ms);
        self
    }

    pub fn waits_for(mut self, resource: LocalResource) -> Self {
        self.lacks = Some(resource);
        self
    }

    pub fn never_connects(mut self) -> Self {
        self.connect_after = None;
        self
    }

    pub fn head_after(mut self, ms: u64) -> Self {
        self.head_after = Some(ms);
        self
    }

    pub fn never_answers(mut self) -> Self {
        self.head_after = None;
        self
    }

    pub fn step(mut self, step: BodyStep) -> Self {
        self.steps.push(step);
        self
    }

    pub fn raw(self, text: &str) -> Self {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.step(BodyStep::Bytes(bytes))
    }

    pub fn event(self, data: &Value) -> Self {
        self.raw(&format!("data: {data}\n\n"))
    }

    pub fn delta(self, text: &str) -> Self {
        self.event(&chunk(json!({ "content": text }), None))
    }

    pub fn role(self) -> Self {
        self.event(&chunk(json!({ "role": "assistant", "content": "" }), None))
    }

    pub fn finish(self) -> Self {
        self.event(&chunk(json!({}), Some("stop")))
    }

    pub fn usage(self, total: u64) -> Self {
        self.event(&usage_chunk(total))
    }

    pub fn done(self) -> Self {
        self.raw("data: [DONE]\n\n")
    }

    pub fn ping(self) -> Self {
        self.raw(": ping\n\n")
    }

    pub fn wait(self, ms: u64) -> Self {
        self.step(BodyStep::Wait(ms))
    }

    pub fn stall(self) -> Self {
        self.step(BodyStep::Stall)
    }

    pub fn reset(self) -> Self {
        self.fails(Error::new(Kind::Connection(ConnectionFailure::Reset), "connection reset"))
    }

    pub fn fails(self, error: Error) -> Self {
        self.step(BodyStep::Fail(error))
    }
}

/// A request as it arrived.
pub struct RecordedRequest {
    /// Milliseconds since the harness started.
    pub at: u64,
    pub method: String,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When the exchange was dropped, in the same milliseconds.
    closed: Arc<Mutex<Option<u64>>>,
}

impl RecordedRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn idempotency_key(&self) -> &str {
        self.header("idempotency-key").unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn closed_at(&self) -> Option<u64> {
        *self.closed.lock().unwrap()
    }
}

/// Records when an exchange is dropped.
struct Exchange {
    started_at: Instant,
    closed: Arc<Mutex<Option<u64>>>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        *self.closed.lock().unwrap() = Some(self.started_at.elapsed().as_millis() as u64);
    }
}

struct ScriptedBody {
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    _exchange: Exchange,
}

impl Stream for ScriptedBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

fn play(steps: Vec<BodyStep>) -> impl Stream<Item = Result<Bytes>> + Send {
    futures::stream::unfold(VecDeque::from(steps), |mut steps| async move {
        loop {
            match steps.pop_front()? {
                BodyStep::Wait(ms) => sleep(Duration::from_millis(ms)).await,
                BodyStep::Bytes(bytes) => return Some((Ok(bytes), steps)),
                BodyStep::Fail(error) => return Some((Err(error), VecDeque::new())),
                BodyStep::Stall => std::future::pending().await,
            }
        }
    })
}
