//! Sizes that a change must update on purpose: a thousand streams may be open at once, and each delta passes here.
//!
//! The figures are those of 64-bit Linux. Another compiler may lay futures out a little differently, so each has a
//! margin; a figure outside it, in either direction, must be reviewed and updated.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::allocations::count;
use crate::config::ClientConfig;
use crate::engine::event::Event;
use crate::engine::sink::{DeliveryMode, Sink};
use crate::engine::{CallRequest, Client};
use crate::error::Result;
use crate::transport::{HeaderMap, HeaderValue, Request, Response, Transport};
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;

/// The future that runs a call, in bytes.
const CALL_FUTURE: f64 = 5_000.0;
/// What a stream holds whose first delta has arrived and that waits for the next, in bytes of heap: its future is in a
/// box, and its connection is not counted.
const IDLE_STREAM: f64 = 8_069.0;
/// Allocations for each delta of text, once the answer has begun.
const ALLOCATIONS_PER_DELTA: f64 = 0.0;

#[test]
fn the_future_of_a_call_has_its_known_size() {
    let (client, request) = (client(Vec::new()), request());
    let cancel = CancellationToken::new();
    let size = size_of_val(&client.run(&request, &Discard::default(), &cancel));
    assert_near("CALL_FUTURE", size as f64, CALL_FUTURE);
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_holds_its_known_amount_of_memory() {
    // The first call fills what the client keeps: its route, counters, a runtime's timer wheel.
    let client = client(vec![text_delta(); 1]);
    let idle = async |live: &mut Vec<i64>| {
        let (sink, cancel) = (Discard::default(), CancellationToken::new());
        let before = count().live_bytes;
        let request = request();
        let mut call = client.run(&request, &sink, &cancel).boxed();
        // Polls it until nothing more arrives.
        for _ in 0..10 {
            assert!(futures::poll!(&mut call).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(sink.deltas.load(Relaxed), 1);
        live.push(count().live_bytes - before);
    };
    let mut live = Vec::with_capacity(4);
    for _ in 0..3 {
        idle(&mut live).await;
    }
    assert_near("IDLE_STREAM", live[2] as f64, IDLE_STREAM);
}

#[tokio::test(start_paused = true)]
async fn a_delta_costs_its_known_number_of_allocations() {
    const DELTAS: usize = 10_000;
    let mut body = vec![text_delta(); DELTAS];
    body.push(Bytes::from_static(b"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"));
    let (client, request, sink) = (client(body), request(), Discard::default());
    let cancel = CancellationToken::new();
    client.run(&request, &sink, &cancel).await.unwrap();
    assert_eq!(sink.deltas.load(Relaxed), DELTAS);
    // From the second delta on: the first one begins the answer.
    let allocations = sink.last.load(Relaxed) - sink.second.load(Relaxed);
    assert_near("ALLOCATIONS_PER_DELTA", allocations as f64 / (DELTAS - 2) as f64, ALLOCATIONS_PER_DELTA);
}

/// Fails if a figure differs from the recorded one by more than 2 %.
fn assert_near(name: &str, measured: f64, known: f64) {
    let margin = (known * 0.02).max(0.01);
    assert!(
        (measured - known).abs() <= margin,
        "{name} is {measured} and was {known}: if that is intended, update the figure"
    );
}

fn text_delta() -> Bytes {
    Bytes::from_static(b"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n")
}

fn request() -> CallRequest {
    let chat = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let chat = ChatRequest::parse_as(Dialect::Chat, &chat.to_string()).unwrap();
    CallRequest::new(chat, config().call, None)
}

fn config() -> ClientConfig {
    ClientConfig::read(&json!({ "baseUrl": "http://a/v1", "apiKey": "key", "maxRetries": 0 })).unwrap()
}

fn client(body: Vec<Bytes>) -> Client {
    Client::new(config(), Arc::new(OneBody(body)), None, None)
}

/// Answers every request with the same body, which then stays open.
struct OneBody(Vec<Bytes>);

impl Transport for OneBody {
    fn send(&self, _: Request) -> BoxFuture<'static, Result<Response>> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
        let body = stream::iter(self.0.clone()).map(Ok).chain(stream::pending()).boxed();
        async { Ok(Response { status: 200, headers, body }) }.boxed()
    }
}

/// A consumer of text that keeps nothing.
#[derive(Default)]
struct Discard {
    deltas: AtomicUsize,
    /// The allocations of the thread at the second and at the last delta.
    second: AtomicU64,
    last: AtomicU64,
}

impl Sink for Discard {
    fn mode(&self) -> DeliveryMode {
        DeliveryMode::Text
    }

    fn delta(&self, _: &str) {
        let allocations = count().allocations;
        if self.deltas.fetch_add(1, Relaxed) == 1 {
            self.second.store(allocations, Relaxed);
        }
        self.last.store(allocations, Relaxed);
    }

    fn complete(&self, _: &str) {}

    fn event(&self, _: Event) {}

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}
