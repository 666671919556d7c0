//! The built-in provider that misbehaves on request: for the demo, for tests, for benchmarks.
//!
//! A [`Simulator`] speaks OpenAI's chat API on a socket of its own, and in the same scenarios OpenAI's
//! Responses and Anthropic's Messages. Every chat request takes the
//! next scripted [`Scenario`], else the default one; a request may bring its own in the header
//! `x-simulate`. Ids, piece sizes and everything else but the clock follow from the seed and the
//! number of the request.
//!
//! Over the wire: `GET /__simulator/requests` returns the records and `DELETE` forgets them,
//! `POST /__simulator/script` takes an array of scenarios, `POST /__simulator/default` one, and
//! `GET /__simulator/connections` tells how many are open.
//!
//! `answer` and `stream` decide what is sent and when, `play` does it, `http1` and `http2` put it on a wire.

mod answer;
mod chat;
mod check;
mod continuation;
mod dialect;
mod events;
mod http1;
mod http2;
mod messages;
mod options;
mod pieces;
mod play;
mod quota;
mod record;
mod reply;
mod responses;
mod scenario;
mod server;
mod stream;
mod tls;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use options::Options;
pub use quota::RateLimit;
pub use record::{EndedBy, RecordedRequest};
pub use scenario::{
    Disconnect, DisconnectHow, HeaderValues, LineEnd, OnContinue, PacketStyle, Packets, PingStyle, Pings,
    Scenario, ToolCall, Usage,
};

use server::Shared;

/// So many connections may wait to be accepted, as far as the system allows.
const BACKLOG: u32 = 16_384;

/// A provider that listens until it is closed or dropped.
pub struct Simulator {
    shared: Arc<Shared>,
    addr: SocketAddr,
    certificate: Option<String>,
    stop: watch::Sender<bool>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Simulator {
    /// Binds and listens, on the tokio runtime that it is called in; fails as binding fails.
    pub async fn start(options: Options) -> io::Result<Self> {
        let tls = if options.tls { Some(tls::acceptor(&options.host)?) } else { None };
        let (acceptor, certificate) = tls.unzip();
        let listener = bind(&options.host, options.port).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options));
        let (stop, stopped) = watch::channel(false);
        let listening = tokio::spawn(listen(listener, acceptor, Arc::clone(&shared), stopped));
        Ok(Self { shared, addr, certificate, stop, listening: Mutex::new(Some(listening)) })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL for a client, `http://127.0.0.1:PORT/v1`, or `https:` with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        // Who listens everywhere is reached at home.
        let ip = match self.addr.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        format!("{scheme}://{}/v1", SocketAddr::new(ip, self.addr.port()))
    }

    /// The certificate authority to trust, in PEM; none without TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Adds scenarios: each next chat request takes one, then come those of the default.
    pub fn script(&self, scenarios: Vec<Scenario>) {
        self.shared.script(scenarios);
    }

    /// Replaces the scenario of requests for which none is scripted.
    pub fn set_default(&self, scenario: Scenario) {
        self.shared.set_default(scenario);
    }

    /// The requests that were read, in order, at most `record_limit`.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.records.all()
    }

    /// Forgets the requests and numbers the next from 0; what is scripted stays.
    pub fn clear(&self) {
        self.shared.records.clear();
    }

    /// Forgets the requests and what is scripted.
    pub fn reset(&self) {
        self.shared.unscript();
        self.clear();
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Stops listening and drops all connections; returns when that is done. Again, it does nothing.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listening) = listening {
            // It does not panic, and nobody else aborts it.
            let _ = listening.await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take() {
            listening.abort();
        }
    }
}

async fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for addr in lookup_host((host, port)).await? {
        let bound =
            if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.and_then(|socket| {
                socket.set_reuseaddr(cfg!(unix))?;
                socket.bind(addr)?;
                socket.listen(BACKLOG)
            });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn listen(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    // Aborts the connections when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(connection(tcp, acceptor.clone(), Arc::clone(&shared), Open::new(&shared)));
                }
                // Out of file descriptors, most likely: some come back as connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(tcp: TcpStream, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>, _open: Open) {
    // Without it, packets of one byte would wait for each other. A failure makes them only slower.
    let _ = tcp.set_nodelay(true);
    let number = shared.connection();
    let Some(acceptor) = acceptor else {
        if !is_tls(&tcp).await {
            http1::serve(tcp, shared, number).await;
        } else {
            // What is left unread would make the close a reset.
            let _ = tcp.try_read(&mut [0; 16 * 1024]);
        }
        return;
    };
    // A client that does not trust the certificate goes away here.
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2::serve(tls, shared, number).await;
    } else {
        http1::serve(tls, shared, number).await;
    }
}

/// Whether the first byte is that of a TLS handshake: no request follows, and whoever waits for one waits for ever.
async fn is_tls(tcp: &TcpStream) -> bool {
    let mut first = [0];
    matches!(tcp.peek(&mut first).await, Ok(1)) && first[0] == 0x16
}

/// Counts an open connection until it is dropped.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
