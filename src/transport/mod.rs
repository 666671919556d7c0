//! HTTP as the engine sees it: the [`Transport`] trait. [`http`] implements it with reqwest, which no module
//! outside this one may name.

mod client_pool;
mod connection;
mod content_coding;
mod dns;
pub mod http;
mod http_error;
pub mod proxy;
pub mod root_certs;
#[cfg(test)]
mod tests;
mod tls;
mod tls_diagnostics;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

pub use reqwest::Method;
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::Result;
pub use proxy::Proxies;

pub trait Transport: Send + Sync + 'static {
    /// Sends the request and resolves once the response head has arrived. Dropping the future cancels the
    /// request.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response>>;

    /// Closes the idle connections that no other transport uses. Called when no request follows.
    fn close(&self) {}
}

/// One HTTP request. A GET has no body.
pub struct Request {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub options: TransportOptions,
    /// Fires when the connection is established and the request is being written: the server's time counts
    /// from here. Waiting for a connection or for an HTTP/2 stream slot happens before.
    pub on_sent: oneshot::Sender<()>,
}

/// The options that select a connection pool: requests with equal options share connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TransportOptions {
    /// Limits name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// PEM certificates to trust in addition to the system's.
    pub ca: Option<Arc<str>>,
    pub proxies: Proxies,
}

pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
}

/// The bytes of a response as they arrive. Dropping it closes the stream or the connection.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;
