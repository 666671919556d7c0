//! The built-in provider that misbehaves on request, for the demo, tests and benchmarks.
//!
//! A [`Simulator`] serves OpenAI's chat completions and, in the same scenarios, OpenAI's Responses and
//! Anthropic's Messages. Each chat request takes the next scripted [`Scenario`], or the default one if there
//! is none; the header `x-simulate` of a request takes precedence. Everything but the clock, such as ids and
//! the sizes of deltas, follows from the seed and the number of the request.
//!
//! Other processes use `GET /__simulator/requests` for the recorded requests and `DELETE` to clear them,
//! `POST /__simulator/script` with an array of scenarios, `POST /__simulator/default` with one, and
//! `GET /__simulator/connections` for the number of open connections.
//!
//! `router` finds the scenario of a request, and `answer` makes a `plan` of it. The body of a plan is a source
//! of steps: `chat_stream`, `event_stream`, or a fixed body. `play` carries the plan out, over `http1` or `http2`.

mod answer;
mod bodies;
mod chat_request;
mod chat_stream;
mod chunk_writer;
mod content;
mod content_encoding;
mod continuation;
mod cut;
mod deltas;
mod dialect;
mod event_stream;
mod http1;
mod http2;
mod json;
mod kept_answer;
mod kept_responses;
mod messages;
mod options;
mod plan;
mod play;
mod rate_limit;
mod record;
mod responses;
mod rng;
mod router;
mod scenario;
mod step;
mod tls;
mod validate;
mod wire;
mod wire_format;

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
pub use rate_limit::RateLimit;
pub use record::{EndedBy, RecordedRequest};
pub use scenario::{
    Disconnect, DisconnectHow, HeaderValues, OnContinue, PingStyle, Pings, Scenario, ToolCall, Usage,
};
pub use wire_format::ContentEncoding;
pub use wire_format::{DeltaShape, Format, IndexStyle, LineEnd, PacketStyle, Packets, UsageIn};

use router::ServerState;

/// How many connections may wait to be accepted, if the system allows as many.
const BACKLOG: u32 = 16_384;

/// A provider that listens until it is closed or dropped.
pub struct Simulator {
    state: Arc<ServerState>,
    addr: SocketAddr,
    certificate: Option<String>,
    stop: watch::Sender<bool>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Simulator {
    /// Binds and listens, on the current tokio runtime.
    ///
    /// # Errors
    /// Those of binding.
    pub async fn start(options: Options) -> io::Result<Self> {
        let tls = if options.tls { Some(tls::acceptor(&options.host)?) } else { None };
        let (acceptor, certificate) = tls.unzip();
        let listener = bind(&options.host, options.port).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(ServerState::new(options));
        let (stop, stopped) = watch::channel(false);
        let listening = tokio::spawn(listen(listener, acceptor, Arc::clone(&state), stopped));
        Ok(Self { state, addr, certificate, stop, listening: Mutex::new(Some(listening)) })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL for a client, `http://127.0.0.1:PORT/v1`, or `https:` with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        // An unspecified address is reachable on the loopback.
        let ip = match self.addr.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        format!("{scheme}://{}/v1", SocketAddr::new(ip, self.addr.port()))
    }

    /// The certificate authority to trust, in PEM; `None` without TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Appends scenarios to the script. Each chat request takes one; the default follows the last.
    pub fn script(&self, scenarios: Vec<Scenario>) {
        self.state.script(scenarios);
    }

    /// Replaces the default scenario.
    pub fn set_default(&self, scenario: Scenario) {
        self.state.set_default(scenario);
    }

    /// The recorded requests in order, at most `record_limit`.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.log.all()
    }

    /// Clears the recorded requests, and numbers the next from 0. The script stays.
    pub fn clear(&self) {
        self.state.log.clear();
    }

    /// Clears the recorded requests and the script.
    pub fn reset(&self) {
        self.state.clear_script();
        self.clear();
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Stops listening and drops all connections, and returns when that is done. A second call does nothing.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listening) = listening {
            // The task does not panic, and only `drop` aborts it.
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
    state: Arc<ServerState>,
    mut stopped: watch::Receiver<bool>,
) {
    // Dropping the set aborts the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(connection(tcp, acceptor.clone(), Arc::clone(&state), OpenConnection::new(&state)));
                }
                // Most likely there are no file descriptors left until connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn connection(
    tcp: TcpStream,
    acceptor: Option<TlsAcceptor>,
    state: Arc<ServerState>,
    _open: OpenConnection,
) {
    // Otherwise packets of one byte would wait for each other. A failure only makes them slower.
    let _ = tcp.set_nodelay(true);
    let number = state.next_connection();
    let Some(acceptor) = acceptor else {
        if !is_tls(&tcp).await {
            http1::serve(tcp, state, number).await;
        } else {
            // Unread bytes would turn the close into a reset.
            let _ = tcp.try_read(&mut [0; 16 * 1024]);
        }
        return;
    };
    // A client that does not trust the certificate disconnects here.
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2::serve(tls, state, number).await;
    } else {
        http1::serve(tls, state, number).await;
    }
}

/// Whether the first byte is that of a TLS handshake, after which no HTTP request would ever arrive.
async fn is_tls(tcp: &TcpStream) -> bool {
    let mut first = [0];
    matches!(tcp.peek(&mut first).await, Ok(1)) && first[0] == 0x16
}

/// Counts an open connection until it is dropped.
struct OpenConnection(Arc<ServerState>);

impl OpenConnection {
    fn new(state: &Arc<ServerState>) -> Self {
        state.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
