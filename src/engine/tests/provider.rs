//! A provider that plays a script.

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

use crate::error::{ConnectionFailure, Error, Kind, Result};
use crate::transport::{HeaderMap, HeaderName, HeaderValue, Request, Response, Transport};

/// What a body does next.
#[derive(Clone)]
pub enum Act {
    Wait(u64),
    Bytes(Bytes),
    Break,
    Stall,
}

/// How one request is answered.
#[derive(Clone)]
pub struct Reply {
    /// Milliseconds before the request is on its way; `None` for a connection that is never made.
    connect: Option<u64>,
    /// Milliseconds from there to the head; `None` for a server that never answers.
    head: Option<u64>,
    refused: Option<Error>,
    status: u16,
    headers: Vec<(&'static str, String)>,
    acts: Vec<Act>,
}

/// An event stream that says nothing yet.
pub fn stream() -> Reply {
    status(200).header("content-type", "text/event-stream")
}

pub fn status(status: u16) -> Reply {
    Reply { connect: Some(0), head: Some(0), refused: None, status, headers: Vec::new(), acts: Vec::new() }
}

/// A provider's refusal, in OpenAI's form.
pub fn refusal(code: u16, provider_code: &str, message: &str) -> Reply {
    let body = json!({ "error": { "message": message, "code": provider_code } }).to_string();
    status(code).header("content-type", "application/json").raw(&body)
}

pub fn unavailable() -> Reply {
    refusal(503, "overloaded", "try again")
}

pub fn no_connection() -> Reply {
    let refused = Error::new(Kind::Connection(ConnectionFailure::Refused), "connection refused");
    Reply { refused: Some(refused), ..status(0) }
}

/// A whole answer: `deltas`, a finish reason, `[DONE]`.
pub fn answer(deltas: &[&str]) -> Reply {
    deltas.iter().fold(stream(), |reply, piece| reply.say(piece)).finish().done()
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
        self.connect = Some(ms);
        self
    }

    pub fn never_connects(mut self) -> Self {
        self.connect = None;
        self
    }

    pub fn head_after(mut self, ms: u64) -> Self {
        self.head = Some(ms);
        self
    }

    pub fn never_answers(mut self) -> Self {
        self.head = None;
        self
    }

    pub fn act(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    pub fn raw(self, text: &str) -> Self {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.act(Act::Bytes(bytes))
    }

    pub fn event(self, data: &Value) -> Self {
        self.raw(&format!("data: {data}\n\n"))
    }

    pub fn say(self, text: &str) -> Self {
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
        self.act(Act::Wait(ms))
    }

    pub fn stall(self) -> Self {
        self.act(Act::Stall)
    }

    pub fn breaks(self) -> Self {
        self.act(Act::Break)
    }
}

/// One request as it came.
pub struct Seen {
    /// Milliseconds since the scene began.
    pub at: u64,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When the exchange was let go of, in milliseconds.
    closed: Arc<Mutex<Option<u64>>>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn key(&self) -> &str {
        self.header("idempotency-key").unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn closed_at(&self) -> Option<u64> {
        *self.closed.lock().unwrap()
    }
}

/// Lives as long as the exchange.
struct Exchange {
    began: Instant,
    closed: Arc<Mutex<Option<u64>>>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        *self.closed.lock().unwrap() = Some(self.began.elapsed().as_millis() as u64);
    }
}

struct PlayedBody {
    acts: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    _exchange: Exchange,
}

impl Stream for PlayedBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.acts.poll_next_unpin(context)
    }
}

fn play(acts: Vec<Act>) -> impl Stream<Item = Result<Bytes>> + Send {
    futures::stream::unfold(VecDeque::from(acts), |mut acts| async move {
        loop {
            match acts.pop_front()? {
                Act::Wait(ms) => sleep(Duration::from_millis(ms)).await,
                Act::Bytes(bytes) => return Some((Ok(bytes), acts)),
                Act::Break => {
                    let error = Error::new(Kind::Connection(ConnectionFailure::Reset), "connection reset");
                    return Some((Err(error), VecDeque::new()));
                }
                Act::Stall => std::future::pending().await,
            }
        }
    })
}

/// Answers each request to a host with the next reply of that host's script.
pub struct Fake {
    pub began: Instant,
    pub scripts: Mutex<HashMap<String, VecDeque<Reply>>>,
    pub seen: Mutex<Vec<Arc<Seen>>>,
}

impl Transport for Fake {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response>> {
        let host = request.url.split('/').nth(2).unwrap().to_owned();
        let closed = Arc::new(Mutex::new(None));
        let exchange = Exchange { began: self.began, closed: Arc::clone(&closed) };
        self.seen.lock().unwrap().push(Arc::new(Seen {
            at: self.began.elapsed().as_millis() as u64,
            url: request.url,
            headers: request.headers,
            body: request.body,
            closed,
        }));
        let reply = self.scripts.lock().unwrap().get_mut(&host).and_then(VecDeque::pop_front);
        let reply = reply.unwrap_or_else(|| panic!("a request to {host} that the script does not expect"));
        async move {
            let exchange = exchange;
            match reply.connect {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            if let Some(error) = reply.refused {
                return Err(error);
            }
            let _ = request.on_sent.send(());
            match reply.head {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            let mut headers = HeaderMap::new();
            for (name, value) in reply.headers {
                headers.append(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
            }
            let body = PlayedBody { acts: Box::pin(play(reply.acts)), _exchange: exchange };
            Ok(Response { status: reply.status, headers, body: Box::pin(body) })
        }
        .boxed()
    }
}
