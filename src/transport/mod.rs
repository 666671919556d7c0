//! How bytes travel. The engine knows only this trait; [`http`] is the one place that knows reqwest.

mod handshake;
pub mod http;
pub mod proxy;
pub mod trust;

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

/// What a pool of connections depends on: two calls with equal options share their connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TransportOptions {
    /// Name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca: Option<Arc<str>>,
    pub proxies: Proxies,
}

/// One HTTP request. A GET has no body.
pub struct Request {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub options: TransportOptions,
    /// Fires when the connection is there and the request is on its way: from here the server's time
    /// counts. Waiting for a connection or for a place on an HTTP/2 connection comes before it.
    pub on_sent: oneshot::Sender<()>,
}

pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
}

/// The bytes of a response as they come. Dropping it closes the stream or the connection.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

pub trait Transport: Send + Sync + 'static {
    /// Sends the request and resolves when the response's head is there. Dropping the future ends it.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response>>;
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_name_in_punycode_is_taken_as_it_is() {
        // Cargo.toml leaves the tables of Unicode host names out of the build.
        let url = reqwest::Url::parse("https://xn--bcher-kva.example/v1").unwrap();
        assert_eq!(url.host_str(), Some("xn--bcher-kva.example"));
    }
}
