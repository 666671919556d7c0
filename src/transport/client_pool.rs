//! The process-wide pool of reqwest clients, one for each set of transport options.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::connection::ConnectionLayer;
use super::http_error::{MAX_HEAD, error_chain};
use super::resolver::Resolver;
use super::{TransportOptions, tls};
use crate::error::{Error, Kind, Result};

/// How many clients the pool holds. At the limit the oldest one is dropped.
const MAX_CLIENTS: usize = 16;
/// How much one HTTP/2 stream may send ahead of its reader, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// How much all streams of an HTTP/2 connection may send ahead, in bytes. Many times [`STREAM_WINDOW`], so that
/// slow readers cannot use it up for the others.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// The client for one set of options.
pub(super) struct Client {
    options: TransportOptions,
    tls: rustls::ClientConfig,
    pooled: reqwest::Client,
    /// Built at its first use: most processes never lose a connection between two requests.
    unpooled: OnceLock<reqwest::Client>,
}

impl Client {
    fn build(options: TransportOptions) -> Result<Self> {
        let tls = tls::config(options.ca.as_deref())?;
        let pooled = builder(&options, tls.clone())?.build().map_err(build_error)?;
        Ok(Client { options, tls, pooled, unpooled: OnceLock::new() })
    }

    pub fn pooled(&self) -> &reqwest::Client {
        &self.pooled
    }

    /// Makes a connection for each request.
    pub fn unpooled(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.unpooled.get() {
            return Ok(client);
        }
        // The certificates are loaded already, so this does not block.
        let builder = builder(&self.options, self.tls.clone())?.pool_max_idle_per_host(0);
        let client = builder.build().map_err(build_error)?;
        Ok(self.unpooled.get_or_init(|| client))
    }
}

/// The client for these options, built if necessary. The first build loads the system's certificates, which
/// takes tens of milliseconds, so it runs on a thread that may block.
pub(super) async fn client(options: TransportOptions) -> Result<Arc<Client>> {
    if let Some(client) = cached(&options) {
        return Ok(client);
    }
    let build = move || -> Result<Arc<Client>> {
        let client = Arc::new(Client::build(options)?);
        let mut clients = clients().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = clients.iter().find(|cached| cached.options == client.options) {
            return Ok(Arc::clone(cached));
        }
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push(Arc::clone(&client));
        Ok(client)
    };
    tokio::task::spawn_blocking(build)
        .await
        .map_err(|error| Error::new(Kind::Internal, format!("the HTTP client could not be built: {error}")))?
}

fn clients() -> &'static Mutex<Vec<Arc<Client>>> {
    static CLIENTS: OnceLock<Mutex<Vec<Arc<Client>>>> = OnceLock::new();
    CLIENTS.get_or_init(Mutex::default)
}

fn cached(options: &TransportOptions) -> Option<Arc<Client>> {
    let clients = clients().lock().unwrap_or_else(PoisonError::into_inner);
    clients.iter().find(|cached| cached.options == *options).map(Arc::clone)
}

fn builder(options: &TransportOptions, tls: rustls::ClientConfig) -> Result<reqwest::ClientBuilder> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("holysheep/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .connector_layer(ConnectionLayer)
        .dns_resolver(Resolver::default())
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
