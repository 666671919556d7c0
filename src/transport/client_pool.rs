//! The process-wide pool of reqwest clients, one for each set of transport options.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::connection::ConnectionLayer;
use super::http_error::{MAX_HEAD, error_chain};
use super::{TransportOptions, tls};
use crate::error::{Error, Kind, Result};

/// How many clients the pool holds. At the limit the oldest one is dropped.
const MAX_CLIENTS: usize = 16;
/// How much one HTTP/2 stream may send ahead of its reader, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// How much all streams of an HTTP/2 connection may send ahead, in bytes. Many times [`STREAM_WINDOW`], so that
/// slow readers cannot use it up for the others.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

type Clients = Vec<(TransportOptions, Client)>;

/// The clients for one set of options.
#[derive(Clone)]
pub(super) struct Client {
    pub pooled: reqwest::Client,
    /// Makes a connection for each request.
    pub fresh: reqwest::Client,
}

/// The client for these options, built if necessary. The first build loads the system's certificates, which
/// takes tens of milliseconds, so it runs on a thread that may block.
pub(super) async fn client(options: TransportOptions) -> Result<Client> {
    if let Some(client) = cached(&options) {
        return Ok(client);
    }
    let build = move || -> Result<Client> {
        let client = build(&options)?;
        let mut clients = clients().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(cached, _)| *cached == options) {
            return Ok(client.clone());
        }
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((options, client.clone()));
        Ok(client)
    };
    tokio::task::spawn_blocking(build)
        .await
        .map_err(|error| Error::new(Kind::Internal, format!("the HTTP client could not be built: {error}")))?
}

fn clients() -> &'static Mutex<Clients> {
    static CLIENTS: OnceLock<Mutex<Clients>> = OnceLock::new();
    CLIENTS.get_or_init(Mutex::default)
}

fn cached(options: &TransportOptions) -> Option<Client> {
    let clients = clients().lock().unwrap_or_else(PoisonError::into_inner);
    clients.iter().find(|(cached, _)| cached == options).map(|(_, client)| client.clone())
}

fn build(options: &TransportOptions) -> Result<Client> {
    let tls = tls::config(options.ca.as_deref())?;
    Ok(Client {
        pooled: builder(options, tls.clone())?.build().map_err(build_error)?,
        fresh: builder(options, tls)?.pool_max_idle_per_host(0).build().map_err(build_error)?,
    })
}

fn builder(options: &TransportOptions, tls: rustls::ClientConfig) -> Result<reqwest::ClientBuilder> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("holysheep/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .connector_layer(ConnectionLayer)
        .tls_backend_preconfigured(tls)
        // The key must not follow a redirect, so a redirect is a response like any other.
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        // A recipient may ignore the space, and a proxy must remove it (RFC 9112, section 5.1). Other invalid header lines stay
        // errors, as they are in Node.
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEAD as u32)
        .retry(reqwest::retry::never())
        // The proxy variables are read when a client is created, not here, on another thread.
        .no_proxy();
    Ok(match options.proxies.to_reqwest()? {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    })
}

fn build_error(error: reqwest::Error) -> Error {
    Error::new(Kind::Internal, format!("the HTTP client could not be built: {}", error_chain(&error)))
}
