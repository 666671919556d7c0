//! Peeks at an answer that is still in a race: reads it up to its first token, and puts it back.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, Fuse};
use futures::{Stream, StreamExt};

use super::deliver::{Consumer, Continuation, Delivery};
use super::open::OpenResponse;
use super::progress::Progress;
use super::read::Reader;
use super::transcript::{SizeLimits, Transcript};
use crate::config::defaults;
use crate::engine::admission::CostReservation;
use crate::engine::shared::call_request::CallRequest;
use crate::engine::shared::event::Event;
use crate::engine::shared::live_snapshot::LiveSnapshot;
use crate::engine::shared::sink::{DeliveryMode, Sink};
use crate::error::Result;
use crate::transport::Body;
use crate::wire::dialect::Dialect;
use crate::wire::redactor::Redactor;

/// What peeking needs to know about the call.
#[derive(Clone, Copy)]
pub(super) struct Peek<'a> {
    pub request: &'a CallRequest,
    pub dialect: Dialect,
    pub choices: usize,
    pub buffer_tool_calls: bool,
    pub limits: SizeLimits,
}

impl Peek<'_> {
    /// Reads up to the first token, or to the end of an answer that has none, with the same reader and the same limits
    /// as afterwards, and puts back what was read. After [`defaults::MAX_PEEK`] bytes without a token it stops, and the answer
    /// counts as started.
    pub async fn read_to_first_token(
        self,
        opened: OpenResponse,
        request_id: Option<String>,
    ) -> Result<OpenResponse> {
        let OpenResponse { settings, body, first_token_until } = opened;
        let mut tee = Tee { body: body.fuse(), read: Vec::new(), bytes: 0, is_full: false };
        let mut transcript = Transcript::new(self.dialect, self.choices, self.limits);
        let mut progress = Progress { request_id, ..Progress::default() };
        let live = LiveSnapshot::new(String::new());
        let consumer = Consumer {
            sink: &NullSink,
            mode: DeliveryMode::Nothing,
            live: &live,
            on_milestone: &|_| {},
            on_settled: &mut |_| {},
            wants_usage: false,
            buffer_tool_calls: self.buffer_tool_calls,
            request: self.request,
            redactor: &NO_SECRETS,
        };
        let mut cost = CostReservation::default();
        let delivery = Delivery::new(consumer, &mut transcript, &mut progress, Continuation::default());
        let mut reader = Reader::new(settings, delivery, &mut cost);
        reader.stops_at_first_token = true;
        let result = reader.read_stream(&mut tee, first_token_until).await;
        if !tee.is_full {
            result?;
        }
        let Tee { body, read, .. } = tee;
        let body = stream::iter(read).map(Ok).chain(body).boxed();
        Ok(OpenResponse { settings, body, first_token_until })
    }
}

/// What is read here is read again for the consumer, so nobody sees it.
static NO_SECRETS: LazyLock<Redactor> = LazyLock::new(Redactor::default);

/// A body that records what was read from it, and appears to end once that exceeds [`defaults::MAX_PEEK`].
struct Tee {
    body: Fuse<Body>,
    read: Vec<Bytes>,
    bytes: usize,
    is_full: bool,
}

impl Stream for Tee {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.bytes > defaults::MAX_PEEK {
            self.is_full = true;
            return Poll::Ready(None);
        }
        let polled = self.body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.bytes += bytes.len();
            self.read.push(bytes.clone());
        }
        polled
    }
}

/// A consumer that discards everything.
struct NullSink;

impl Sink for NullSink {
    fn mode(&self) -> DeliveryMode {
        DeliveryMode::Nothing
    }

    fn delta(&self, _: &str) {}

    fn complete(&self, _: &str) {}

    fn event(&self, _: Event) {}

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}
