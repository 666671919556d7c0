//! HTTP over reqwest: the pool of the process, the request's body that tells when it is sent, and
//! the translation of its errors.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use super::{Proxies, Request, Response, Transport, TransportOptions, handshake, proxy, trust};
use crate::error::{Connection, Error, Kind, Phase, Result};

/// How many different transport options keep their own pool; the one that was made first goes first.
const MAX_POOLS: usize = 16;
/// The largest response head that is accepted, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// What one HTTP/2 stream may send ahead of its reader.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What all streams of an HTTP/2 connection may send ahead. Many times the window of one, so that
/// the readers that are slow cannot use it up for the others.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

type Pools = Vec<(TransportOptions, reqwest::Client)>;

/// The transport of the process. All values share one set of pools.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

fn pools() -> &'static Mutex<Pools> {
    static POOLS: OnceLock<Mutex<Pools>> = OnceLock::new();
    POOLS.get_or_init(Mutex::default)
}

fn pooled(options: &TransportOptions) -> Option<reqwest::Client> {
    let pools = pools().lock().unwrap_or_else(PoisonError::into_inner);
    pools.iter().find(|(have, _)| have == options).map(|(_, client)| client.clone())
}

/// The client for these options. The first build loads the system's certificates, which takes tens
/// of milliseconds: it is done on a thread that may block.
async fn client(options: TransportOptions) -> Result<reqwest::Client> {
    if let Some(client) = pooled(&options) {
        return Ok(client);
    }
    let build = move || -> Result<reqwest::Client> {
        let client = build(&options)?;
        let mut pools = pools().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = pools.iter().find(|(have, _)| *have == options) {
            return Ok(client.clone());
        }
        if pools.len() == MAX_POOLS {
            pools.remove(0);
        }
        pools.push((options, client.clone()));
        Ok(client)
    };
    tokio::task::spawn_blocking(build)
        .await
        .map_err(|error| Error::new(Kind::Internal, format!("the HTTP client could not be built: {error}")))?
}

fn build(options: &TransportOptions) -> Result<reqwest::Client> {
    // Fails when it is done already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let environment = trust::environment();
    let mut own = environment.extra.clone();
    if let Some(pem) = &options.ca {
        own.extend(trust::certificates("ca", pem)?);
    }
    let Some(mut instead) = environment.instead() else {
        let merged = builder(options)?.tls_certs_merge(roots(&own)?).build();
        return match merged {
            // Only its text tells it apart.
            Err(error) if chain(&error).contains("No CA certificates") => {
                let bundled: Vec<_> = environment.bundled.iter().chain(&own).cloned().collect();
                if bundled.is_empty() {
                    return Err(environment.nobody());
                }
                builder(options)?.tls_certs_only(roots(&bundled)?).build().map_err(unbuilt)
            }
            merged => merged.map_err(unbuilt),
        };
    };
    instead.extend(own);
    if instead.is_empty() {
        return Err(environment.nobody());
    }
    builder(options)?.tls_certs_only(roots(&instead)?).build().map_err(unbuilt)
}

/// Everything but whom it trusts.
fn builder(options: &TransportOptions) -> Result<reqwest::ClientBuilder> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("holysheep/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        // The key never follows a redirect: a redirect is an answer like any other.
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEAD as u32)
        .retry(reqwest::retry::never())
        // The environment is read where clients are made, and not here, on another thread.
        .no_proxy();
    Ok(match options.proxies.rule()? {
        Some(rule) => builder.proxy(rule),
        None => builder,
    })
}

fn roots(certificates: &[CertificateDer<'static>]) -> Result<Vec<reqwest::Certificate>> {
    certificates.iter().map(|der| reqwest::Certificate::from_der(der).map_err(unbuilt)).collect()
}

fn unbuilt(error: reqwest::Error) -> Error {
    Error::new(Kind::Internal, format!("the HTTP client could not be built: {}", chain(&error)))
}

impl Transport for Http {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response>> {
        async move {
            let connect_timeout = request.options.connect_timeout;
            let address: Arc<str> = address(&request.url).into();
            let proxy = through(&request.options.proxies, &request.url);
            // Through a proxy, it is not the server that ends a handshake.
            let encrypted = proxy.is_none() && request.url.starts_with("https:");
            let client = client(request.options).await?;
            let body = SentBody { bytes: Some(request.body), on_sent: Some(request.on_sent) };
            let sent = client
                .request(request.method, &request.url)
                .headers(request.headers)
                .body(reqwest::Body::wrap(body))
                .send()
                .await;
            let mut response = match sent {
                Ok(response) => response,
                Err(error) => {
                    let mut error = translate(error, connect_timeout, &address, encrypted);
                    if let Some(proxy) = proxy {
                        error.message = match error.kind {
                            // Nobody else was connected to from here.
                            Kind::Connection(Connection::Refused) => {
                                format!("connection refused by the proxy {proxy} (on the way to {address})")
                            }
                            _ => format!("{} (through the proxy {proxy})", error.message),
                        };
                    } else if encrypted
                        && error.kind == Kind::Timeout(Phase::Connect)
                        && handshake::accepts(&address, connect_timeout).await
                    {
                        error.message = format!(
                            "{}: TCP connects, but the TLS handshake did not come to an end; {}",
                            error.message,
                            handshake::hint(&address)
                        );
                    }
                    return Err(error);
                }
            };
            let status = response.status().as_u16();
            let headers = std::mem::take(response.headers_mut());
            let head: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
            if head > MAX_HEAD {
                return Err(head_too_large());
            }
            let body = ReadBody { body: response.into(), connect_timeout, address };
            Ok(Response { status, headers, body: Box::pin(body) })
        }
        .boxed()
    }
}

/// A request body that tells when it is first asked for: then the connection stands and the head is
/// on its way.
struct SentBody {
    bytes: Option<Bytes>,
    on_sent: Option<oneshot::Sender<()>>,
}

impl HttpBody for SentBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        if let Some(on_sent) = self.on_sent.take() {
            // Nobody listens when the attempt was given up meanwhile.
            let _ = on_sent.send(());
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

struct ReadBody {
    body: reqwest::Body,
    connect_timeout: Duration,
    address: Arc<str>,
}

impl Stream for ReadBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            return Poll::Ready(match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Some(Ok(bytes)),
                    // Trailers say nothing that is needed.
                    Err(_) => continue,
                },
                // Connecting is over: a timeout here is the system's, of a connection that died.
                Some(Err(error)) => {
                    Some(Err(match translate(error, self.connect_timeout, &self.address, false) {
                        error if matches!(error.kind, Kind::Timeout(_)) => {
                            let message = format!("connection reset by {} (timed out)", self.address);
                            Error::new(Kind::Connection(Connection::Reset), message)
                        }
                        error => error,
                    }))
                }
            });
        }
    }
}

/// The proxy of a request, as its error may show it.
fn through(proxies: &Proxies, url: &str) -> Option<String> {
    if proxies.http.is_none() && proxies.https.is_none() {
        return None;
    }
    proxies.for_url(&reqwest::Url::parse(url).ok()?).map(proxy::without_credentials)
}

fn head_too_large() -> Error {
    Error::new(Kind::TooLarge, format!("the response's head is larger than {MAX_HEAD} bytes"))
}

/// The host and port of a URL, which is all of it that an error may show.
fn address(url: &str) -> String {
    let parsed = reqwest::Url::parse(url).ok();
    let parts = parsed.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    parts.map_or_else(|| "the provider".to_owned(), |(host, port)| format!("{host}:{port}"))
}

/// A reqwest error in our words. Its own text may hold the URL: it is never used whole. `encrypted` where a TLS
/// handshake with the server itself may have failed.
fn translate(error: reqwest::Error, connect_timeout: Duration, address: &str, encrypted: bool) -> Error {
    let error = error.without_url();
    let timeout = || {
        let mut error = Error::timeout(Phase::Connect, connect_timeout);
        error.message = format!("{} ({address})", error.message);
        error
    };
    if error.is_timeout() {
        return timeout();
    }
    let mut kind = Connection::Other;
    let mut no_tls = false;
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(link) = source {
        if let Some(io) = link.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as Io;
            kind = match io.kind() {
                Io::ConnectionRefused => Connection::Refused,
                Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => Connection::Reset,
                Io::HostUnreachable | Io::NetworkUnreachable | Io::AddrNotAvailable => {
                    Connection::Unreachable
                }
                Io::TimedOut => return timeout(),
                Io::UnexpectedEof => Connection::Closed,
                _ => kind,
            };
        }
        if let Some(tls) = link.downcast_ref::<rustls::Error>() {
            kind = Connection::Tls;
            no_tls = encrypted && matches!(tls, rustls::Error::InvalidMessage(_));
        }
        if let Some(hyper) = link.downcast_ref::<hyper::Error>() {
            // hyper has no name for this one in its public interface.
            if hyper.is_parse() && hyper.to_string().contains("too large") {
                return head_too_large();
            }
            if hyper.is_parse() || hyper.is_parse_status() {
                return Error::new(Kind::Malformed, format!("the answer is no valid HTTP: {hyper}"));
            }
            if hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled() {
                kind = Connection::Closed;
            }
        }
        source = match link.downcast_ref::<std::io::Error>() {
            // io::Error::source() skips the error that it wraps.
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => link.source(),
        };
    }
    let words = chain(&error);
    if kind == Connection::Other {
        if words.contains("dns error") || words.contains("failed to lookup address") {
            kind = Connection::NotFound;
        } else if words.contains("certificate") {
            kind = Connection::Tls;
        } else if words.contains("stream error") || words.contains("connection error") {
            // HTTP/2: RST_STREAM, GOAWAY.
            kind = Connection::Reset;
        }
    }
    let ended = matches!(kind, Connection::Reset | Connection::Closed);
    let in_handshake = ended && encrypted && error.is_connect() && !words.contains("tcp connect error");
    let what = match kind {
        _ if no_tls => format!("{address} answered the TLS handshake with something that is no TLS"),
        _ if in_handshake => format!("{address} closed the connection in the TLS handshake"),
        Connection::Refused => format!("connection refused by {address}"),
        Connection::Reset => format!("connection reset by {address}"),
        Connection::NotFound => format!("the host's name could not be resolved: {address}"),
        Connection::Unreachable => format!("{address} cannot be reached"),
        // Mostly an authority that only a company knows.
        Connection::Tls if words.contains("UnknownIssuer") => format!(
            "the TLS connection to {address} could not be made: the server's certificate is of an authority that \
             is not trusted here; name its certificate in `ca` or NODE_EXTRA_CA_CERTS"
        ),
        Connection::Tls => format!("the TLS connection to {address} could not be made"),
        Connection::Closed => format!("{address} closed the connection before the end"),
        Connection::Other => format!("the connection to {address} failed"),
    };
    // The innermost cause says it; what is around it says only through whose hands it went. Of these two it says no more.
    let told = matches!(kind, Connection::Refused | Connection::Reset) && words.contains("os error");
    let hint = if no_tls || in_handshake { format!("; {}", handshake::hint(address)) } else { String::new() };
    match innermost(&error).filter(|_| !told) {
        Some(cause) if cause.starts_with("tunnel error") => {
            let said = cause.trim_start_matches("tunnel error: ");
            Error::new(
                Kind::Connection(kind),
                format!("the proxy has made no connection to {address} ({said})"),
            )
        }
        Some(cause) => Error::new(Kind::Connection(kind), format!("{what} ({cause}){hint}")),
        None => Error::new(Kind::Connection(kind), format!("{what}{hint}")),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut link = error.source()?;
    while let Some(inner) = link.source() {
        link = inner;
    }
    Some(link.to_string())
}

/// The messages of an error and its causes, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut source = Some(error);
    while let Some(link) = source {
        let text = link.to_string();
        if !words.iter().any(|have| have.contains(&text)) {
            words.push(text);
        }
        source = link.source();
    }
    words.join(": ")
}

/// Shared by everyone who needs the real transport.
pub fn transport() -> Arc<dyn Transport> {
    Arc::new(Http)
}
