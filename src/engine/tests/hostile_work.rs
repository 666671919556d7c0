//! Answers that are made to be expensive: the work for each is proportional to its length.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::config::ClientConfig;
use crate::engine::event::Event;
use crate::engine::sink::{DeliveryMode, Sink};
use crate::engine::{CallRequest, Client};
use crate::error::{Kind, Phase, Result};
use crate::transport::{HeaderMap, HeaderValue, Request, Response, Transport};
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;
use crate::wire::work;

/// How many times as long the larger answer of each shape is. Quadratic work would take the square of it.
const GROWTH: usize = 8;
/// Between the two, for a busy machine.
const MAX_RATIO: f64 = 24.0;

/// A body of about this many bytes, and how it is received.
struct Shape {
    name: &'static str,
    dialect: Dialect,
    mode: DeliveryMode,
    bytes: usize,
    body: fn(usize) -> String,
}

const SHAPES: &[Shape] = &[
    chat("entries with indexes", DeliveryMode::Nothing, 100_000, |bytes| {
        let list = |field: &str| {
            let entries = repeat(bytes / 2, |at| format!("{{\"index\":{},\"{field}\":0}},", at * 7));
            event(&format!(
                "{{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\",\"x\":[{entries}0]}}}}]}}"
            ))
        };
        list("a") + &list("b")
    }),
    chat("a long id and many rebuilt choices", DeliveryMode::Chunks, 100_000, |bytes| {
        let id = "i".repeat(bytes / 2);
        let choice = "{\"index\":0,\"delta\":{\"content\":[{\"value\":\"a\"}]}},";
        let choices = repeat(bytes / 2, |_| choice.to_owned());
        event(&format!("{{\"id\":\"{id}\",\"choices\":[{choices}null]}}"))
    }),
    chat("finish reasons after held arguments", DeliveryMode::Chunks, 200_000, |bytes| {
        let arguments = format!("{{\\\"a\\\":\\\"{}\\\"}}", "x".repeat(bytes / 8));
        let call = |index: usize, arguments: &str| {
            event(&format!(
                "{{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{index},\"id\":\"c{index}\",\"function\":{{\"name\":\"f\",\"arguments\":\"{arguments}\"}}}}]}}}}]}}"
            ))
        };
        let held = call(0, &arguments) + &call(1, "{");
        held + &repeat(bytes / 2, |_| {
            event("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}")
        })
    }),
    chat("white space instead of arguments", DeliveryMode::Chunks, 200_000, |bytes| {
        let call = format!(
            "{{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":0,\"id\":\"c\",\"function\":{{\"name\":\"f\",\"arguments\":\"{}\"}}}}]}}}}]}}",
            " ".repeat(bytes / 8)
        );
        event(&call)
            + &repeat(bytes / 2, |_| {
                event("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}")
            })
    }),
    chat("names after invalid arguments", DeliveryMode::Chunks, 200_000, |bytes| {
        let call = |arguments: &str| {
            event(&format!(
                "{{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"function\":{{\"name\":\"f\",\"arguments\":\"{arguments}\"}}}}]}}}}]}}"
            ))
        };
        let arguments = format!("{{\\\"a\\\":\\\"{}\\\"}}}}", "x".repeat((bytes / 8).min(200_000)));
        call(&arguments) + &repeat(bytes / 2, |_| call(""))
    }),
    chat("event names behind data", DeliveryMode::Chunks, 200_000, |bytes| {
        let name = "n".repeat(bytes / 2);
        format!("event: {name}\ndata: 1\n{}\n", repeat(bytes / 2, |_| "event: x\n".to_owned()))
    }),
    chat("keys that occur again and again", DeliveryMode::Nothing, 100_000, |bytes| {
        let fields = repeat(bytes, |at| format!("\"x{}\":\"\\ud83d\",", at % 9));
        event(&format!("{{{fields}\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\"}}}}]}}"))
    }),
    chat("odd values in many levels", DeliveryMode::Nothing, 200_000, |bytes| {
        let text = "x".repeat(bytes);
        let nested = format!("{}1e400,\"{text}\"{}", "[".repeat(90), "]".repeat(90));
        event(&format!("{{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\",\"x\":{nested}}}}}]}}"))
    }),
    chat("many small chunks in one document", DeliveryMode::Chunks, 200_000, |bytes| {
        let chunks =
            repeat(bytes, |_| "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]},".to_owned());
        format!("[{chunks}{{\"choices\":[]}}]")
    }),
    chat("an error of many fields with waits", DeliveryMode::Chunks, 200_000, |bytes| {
        let words = "wait".repeat(400);
        let fields = repeat(bytes, |at| format!("\"m{}essage\":\"{words}\",", "-".repeat(at + 1)));
        event(&format!("{{\"error\":{{{fields}\"code\":1}}}}"))
    }),
    chat("an error with many quoted headers", DeliveryMode::Chunks, 200_000, |bytes| {
        let headers = repeat(bytes, |at| format!("\"h{at}\":1,"));
        event(&format!(
            "{{\"error\":{{\"message\":\"x\",\"metadata\":{{\"headers\":{{{headers}\"a\":1}}}}}}}}"
        ))
    }),
    Shape {
        name: "an unusual event of many fields",
        dialect: Dialect::Messages,
        mode: DeliveryMode::Chunks,
        bytes: 100_000,
        body: |bytes| {
            let fields = repeat(bytes, |at| format!("\"k{at}\":0,"));
            format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"content\":[],\"usage\":{{}}}}}}\n\n\
                 event: content_block_delta\ndata: {{{fields}\"type\":\"content_block_delta\",\"index\":\"0\",\"delta\":{{}}}}\n\n"
            )
        },
    },
    Shape {
        name: "a long stop reason and many empty events",
        dialect: Dialect::Messages,
        mode: DeliveryMode::Chunks,
        bytes: 100_000,
        body: |bytes| {
            let reason = "r".repeat(bytes / 2);
            let empty = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\"}}\n\n";
            format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"content\":[],\"usage\":{{}}}}}}\n\n\
                 event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{reason}\"}},\"usage\":{{}}}}\n\n{}",
                repeat(bytes / 2, |_| empty.to_owned())
            )
        },
    },
    Shape {
        name: "a whole response with a long id and many parts",
        dialect: Dialect::Responses,
        mode: DeliveryMode::Chunks,
        bytes: 60_000,
        body: |bytes| {
            let id = "i".repeat(bytes / 2);
            let parts =
                repeat((bytes / 2).min(28_000), |_| "{\"type\":\"output_text\",\"text\":\"a\"},".to_owned());
            format!(
                "data: {{\"object\":\"response\",\"output\":[{{\"type\":\"message\",\"id\":\"{id}\",\"content\":[{parts}null]}}]}}\n\n"
            )
        },
    },
];

const fn chat(name: &'static str, mode: DeliveryMode, bytes: usize, body: fn(usize) -> String) -> Shape {
    Shape { name, dialect: Dialect::Chat, mode, bytes, body }
}

/// Parts of together at least this many bytes.
fn repeat(bytes: usize, part: impl Fn(usize) -> String) -> String {
    let mut all = String::with_capacity(bytes + 100);
    let mut at = 0;
    while all.len() < bytes {
        all.push_str(&part(at));
        at += 1;
    }
    all
}

fn event(json: &str) -> String {
    format!("data: {json}\n\n")
}

#[test]
fn the_work_for_an_answer_grows_with_its_length_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for Shape { name, dialect, mode, bytes, body } in SHAPES {
        let (small, large) = (body(*bytes), body(GROWTH * bytes));
        let growth = large.len() as f64 / small.len() as f64;
        let ratio = work::ratio(&small, &large, |body| runtime.block_on(receive(*dialect, *mode, body)));
        assert!(ratio < MAX_RATIO, "{name}: {ratio:.1} times as much for {growth:.1} times the length");
    }
}

/// Receives one answer, whatever becomes of it.
async fn receive(dialect: Dialect, mode: DeliveryMode, body: &str) {
    let options = json!({
        "baseUrl": "http://a/v1", "apiKey": "key", "maxRetries": 0, "usageTimeoutMs": 0, "allowEmptyAnswer": true,
        "recovery": { "mode": "fail", "onMalformed": "skip" }, "maxAnswerBytes": 512 * 1024 * 1024,
    });
    let config = ClientConfig::read(&options).unwrap();
    let call = config.call.clone();
    let client = Client::new(config, Arc::new(OneBody(body.to_owned())), None, None);
    let request = json!({ "model": "m", "messages": [{ "role": "user" }], "input": "x", "max_tokens": 9, "stream": true });
    let chat = ChatRequest::parse_as(dialect, &request.to_string()).unwrap();
    let request = CallRequest::new(chat, call, None);
    // Most of them fail; only the time counts.
    let _ = client.run(&request, &Discard(mode), &CancellationToken::new()).await;
}

struct OneBody(String);

impl Transport for OneBody {
    fn send(&self, _: Request) -> BoxFuture<'static, Result<Response>> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
        let body = Bytes::from(self.0.clone());
        // As a socket delivers it.
        let parts: Vec<Bytes> = body.chunks(64 * 1024).map(|part| body.slice_ref(part)).collect();
        let body = stream::iter(parts).map(Ok).boxed();
        async { Ok(Response { status: 200, headers, body }) }.boxed()
    }
}

struct Discard(DeliveryMode);

impl Sink for Discard {
    fn mode(&self) -> DeliveryMode {
        self.0
    }

    fn delta(&self, _: &str) {}

    fn complete(&self, _: &str) {}

    fn event(&self, _: Event) {}

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}

/// A body that is always ready does not keep its thread from other tasks, nor from its own deadline.
#[test]
#[allow(clippy::disallowed_methods)] // The deadline is real here: paused time passes only while everything waits.
fn a_body_that_is_always_ready_lets_others_have_their_turn() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let part =
            repeat(64 * 1024, |_| event("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}"));
        receive(Dialect::Chat, DeliveryMode::Chunks, &part.repeat(64)).await;
        // One for each 256 KiB.
        assert!(turns.load(Relaxed) >= 10, "{} turns", turns.load(Relaxed));
        let list = part.replace("data: ", "").replace("\n\n", ",").repeat(64);
        turns.store(0, Relaxed);
        receive(Dialect::Chat, DeliveryMode::Chunks, &format!("[{list}{{\"choices\":[]}}]")).await;
        assert!(turns.load(Relaxed) >= 10, "{} turns in a document", turns.load(Relaxed));
        other.abort();

        // Comments keep an answer alive for ever, up to the deadline.
        let options =
            json!({ "baseUrl": "http://a/v1", "apiKey": "key", "maxRetries": 0, "totalTimeoutMs": 20 });
        let config = ClientConfig::read(&options).unwrap();
        let call = config.call.clone();
        let endless = OneBody(": ping\n\n".repeat(64 * 1024 * 200));
        let client = Client::new(config, Arc::new(endless), None, None);
        let chat = ChatRequest::parse_as(Dialect::Chat, "{\"messages\":[{}]}").unwrap();
        let request = CallRequest::new(chat, call, None);
        let result = client.run(&request, &Discard(DeliveryMode::Text), &CancellationToken::new()).await;
        assert_eq!(result.err().map(|error| error.kind), Some(Kind::Timeout(Phase::Total)));
    });
}
