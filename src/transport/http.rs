//! [`Transport`] over reqwest.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use tokio::sync::oneshot;

use super::http_error::{
    MAX_HEAD, Unanswered, from_reqwest, head_too_large, is_unavailable_address, unanswered,
};
use super::shortage::{Waits, lacks_ports};
use super::{
    HeaderMap, Method, Proxies, Request, Response, Transport, TransportOptions, client_pool, connection,
    content_coding, proxy, tls_diagnostics,
};
use crate::error::{ConnectionFailure, Error, Kind, LocalResource, Phase, Result};

/// The transport of one client. All of them share one pool of connections.
#[derive(Debug)]
pub struct HttpTransport {
    user: client_pool::UserId,
}

impl Default for HttpTransport {
    fn default() -> Self {
        static USERS: AtomicU64 = AtomicU64::new(0);
        HttpTransport { user: USERS.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for HttpTransport {
    fn drop(&mut self) {
        client_pool::forget(self.user);
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response>> {
        let user = self.user;
        async move {
            let Request { method, url, headers, body, options, on_sent, shortage } = request;
            let mut waits = Waits::new(options.connect_timeout);
            let mut exchange =
                Exchange { user, method, url, headers, body, options, on_sent: OnSent::new(on_sent) };
            // Not asking would allow any coding (RFC 9110, section 12.5.3).
            exchange.headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
            loop {
                let error = match exchange.run().await {
                    Ok(response) => return Ok(response),
                    Err(error) => error,
                };
                let Kind::LocalResource(resource) = error.kind else { return Err(error) };
                shortage.record(resource);
                if exchange.on_sent.has_fired() || !waits.wait().await {
                    return Err(error);
                }
            }
        }
        .boxed()
    }

    fn close(&self) {
        client_pool::close(self.user);
    }
}

/// A request, which is sent again after a [`Kind::LocalResource`].
struct Exchange {
    user: client_pool::UserId,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    options: TransportOptions,
    on_sent: OnSent,
}

impl Exchange {
    async fn run(&self) -> Result<Response> {
        let connect_timeout = self.options.connect_timeout;
        let url = reqwest::Url::parse(&self.url).ok();
        let address: Arc<str> = address(url.as_ref()).into();
        let proxy = proxy_name(&self.options.proxies, &self.url);
        // With a proxy in between, an early close says nothing about the server's handshake.
        let tls_to_server = proxy.is_none() && self.url.starts_with("https:");
        let client = client_pool::client(self.options.clone(), self.user).await?;
        let (mut sent, is_new) = connection::observe(self.send(client.pooled(), url.as_ref())).await;
        // The server closed a connection that had been idle, and the request crossed with that: it says nothing about
        // the server, and nothing of an answer was received.
        let unanswered = sent.as_ref().err().and_then(unanswered).filter(|_| !is_new);
        match unanswered {
            // Other idle connections may be closed too.
            Some(Unanswered::ConnectionLost) => sent = self.send(client.unpooled()?, url.as_ref()).await,
            // The pool does not use a connection that is shut down.
            Some(Unanswered::NotProcessed) => sent = self.send(client.pooled(), url.as_ref()).await,
            None => {}
        }
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => {
                let peer = proxy.as_deref().map_or_else(
                    || String::from(&*address),
                    |proxy| self::address(reqwest::Url::parse(proxy).ok().as_ref()),
                );
                if is_unavailable_address(&error) && lacks_ports(&peer).await {
                    return Err(Error::local_resource(LocalResource::Ports));
                }
                let mut error = from_reqwest(error, connect_timeout, &address, tls_to_server);
                if matches!(error.kind, Kind::LocalResource(_)) {
                    return Err(error);
                }
                if let Some(proxy) = proxy {
                    error.message = match error.kind {
                        // Only the proxy can have refused: it is the only peer.
                        Kind::Connection(ConnectionFailure::Refused) => {
                            format!("connection refused by the proxy {proxy} (connecting to {address})")
                        }
                        _ => format!("{} (through the proxy {proxy})", error.message),
                    };
                } else if tls_to_server
                    && error.kind == Kind::Timeout(Phase::Connect)
                    && tls_diagnostics::accepts_tcp(&address, connect_timeout).await
                {
                    error.message = format!(
                        "{}: TCP connects, but the TLS handshake did not complete; {}",
                        error.message,
                        tls_diagnostics::plain_http_hint(&address)
                    );
                }
                return Err(error);
            }
        };
        let status = response.status().as_u16();
        let mut headers = mem::take(response.headers_mut());
        let head: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if head > MAX_HEAD {
            return Err(head_too_large());
        }
        let body = ResponseBody { body: response.into(), connect_timeout, address };
        let body = content_coding::decoded(&mut headers, Box::pin(body));
        Ok(Response { status, headers, body })
    }

    fn send(
        &self,
        client: &reqwest::Client,
        url: Option<&reqwest::Url>,
    ) -> impl Future<Output = reqwest::Result<reqwest::Response>> + use<> {
        let body = RequestBody { bytes: Some(self.body.clone()), on_sent: self.on_sent.clone() };
        let request = match url {
            Some(url) => client.request(self.method.clone(), url.clone()),
            // Its error says what is wrong with the URL.
            None => client.request(self.method.clone(), &self.url),
        };
        request.headers(self.headers.clone()).body(reqwest::Body::wrap(body)).send()
    }
}

/// Fires once, whichever request of an [`Exchange`] is sent first.
#[derive(Clone)]
struct OnSent(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl OnSent {
    fn new(sender: oneshot::Sender<()>) -> Self {
        OnSent(Arc::new(Mutex::new(Some(sender))))
    }

    fn fire(&self) {
        if let Some(sender) = self.sender().take() {
            // The receiver is gone if the attempt was canceled in the meantime.
            let _ = sender.send(());
        }
    }

    fn has_fired(&self) -> bool {
        self.sender().is_none()
    }

    fn sender(&self) -> MutexGuard<'_, Option<oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request body that fires `on_sent` at its first poll: hyper polls it once the connection is established
/// and the head is being written.
struct RequestBody {
    bytes: Option<Bytes>,
    on_sent: OnSent,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        self.on_sent.fire();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

struct ResponseBody {
    body: reqwest::Body,
    connect_timeout: Duration,
    address: Arc<str>,
}

impl Stream for ResponseBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Some(Ok(bytes)),
                    // Trailers are not used.
                    Err(_) => continue,
                },
                Some(Err(error)) => {
                    Some(Err(match from_reqwest(error, self.connect_timeout, &self.address, false) {
                        // The connection was established, so this is the system's timeout on a dead connection.
                        error if matches!(error.kind, Kind::Timeout(_)) => {
                            let message = format!("connection reset by {} (timed out)", self.address);
                            Error::new(Kind::Connection(ConnectionFailure::Reset), message)
                        }
                        error => error,
                    }))
                }
            });
        }
    }
}

/// The proxy of a request, as an error may name it.
fn proxy_name(proxies: &Proxies, url: &str) -> Option<String> {
    if proxies.http.is_none() && proxies.https.is_none() {
        return None;
    }
    proxies.for_url(&reqwest::Url::parse(url).ok()?).map(proxy::without_credentials)
}

/// The host and port of a URL: the only part that an error may show.
fn address(url: Option<&reqwest::Url>) -> String {
    let parts = url.and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    parts.map_or_else(|| "the provider".to_owned(), |(host, port)| format!("{host}:{port}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::VecDeque;
    use std::io;

    use futures::StreamExt;

    use super::*;

    /// A body of these frames.
    struct Failing(VecDeque<io::Result<Frame<Bytes>>>);

    impl HttpBody for Failing {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    #[tokio::test]
    async fn what_this_machine_lacks_in_the_middle_of_a_body_is_named_so() {
        for (code, expected) in [
            (105, Kind::LocalResource(LocalResource::Memory)),
            (12, Kind::LocalResource(LocalResource::Memory)),
            (24, Kind::LocalResource(LocalResource::Descriptors)),
            (104, Kind::Connection(ConnectionFailure::Reset)),
        ] {
            let frames =
                [Ok(Frame::data(Bytes::from_static(b"some"))), Err(io::Error::from_raw_os_error(code))];
            let body = reqwest::Body::wrap(Failing(frames.into()));
            let mut body =
                ResponseBody { body, connect_timeout: Duration::from_secs(1), address: "a:443".into() };
            assert_eq!(body.next().await.unwrap().unwrap(), "some");
            assert_eq!(body.next().await.unwrap().unwrap_err().kind, expected, "{code}");
        }
    }
}
