//! The process-wide pool of reqwest clients, one for each set of transport options.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::connection::ConnectionLayer;
use super::dns::Resolver;
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
        let tls = tls_config(options.ca.as_ref())?;
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

/// The users of the pool: each client of the engine is one.
pub(super) type UserId = u64;

/// A client in the pool.
struct Entry {
    options: TransportOptions,
    client: Building,
    /// Who has used it and is not closed.
    users: HashSet<UserId>,
}

/// A client that is built once, however many calls wait for it.
type Building = Shared<BoxFuture<'static, Result<Arc<Client>>>>;

/// The client for these options, built if necessary. The first build loads the system's certificates, which
/// takes tens of milliseconds, so it runs on a thread that may block.
pub(super) async fn client(options: TransportOptions, user: UserId) -> Result<Arc<Client>> {
    let client = entry(options.clone(), user);
    let built = client.clone().await;
    if built.is_err() {
        // The next call tries again.
        entries().retain(|entry| entry.options != options || !entry.client.ptr_eq(&client));
    }
    built
}

fn entry(options: TransportOptions, user: UserId) -> Building {
    let mut entries = entries();
    if let Some(entry) = entries.iter_mut().find(|entry| entry.options == options) {
        entry.users.insert(user);
        return entry.client.clone();
    }
    if entries.len() == MAX_CLIENTS {
        entries.remove(0);
    }
    let build = options.clone();
    let build = tokio::task::spawn_blocking(move || Client::build(build).map(Arc::new));
    let client = async move {
        build.await.map_err(|error| {
            Error::new(Kind::Internal, format!("the HTTP client could not be built: {error}"))
        })?
    };
    let client = client.boxed().shared();
    entries.push(Entry { options, client: client.clone(), users: HashSet::from([user]) });
    client
}

/// A user is closed. The clients that only it has used go, and with them their idle connections. Those that others share
/// stay.
pub(super) fn close(user: UserId) {
    let mut entries = entries();
    let unused = |entry: &mut Entry| entry.users.remove(&user) && entry.users.is_empty();
    // Dropped once the lock is free again.
    let closed: Vec<Entry> = entries.extract_if(.., unused).collect();
    drop(entries);
    drop(closed);
}

/// A user is gone that was not closed. Its idle connections stay for the next one.
pub(super) fn forget(user: UserId) {
    entries().iter_mut().for_each(|entry| {
        entry.users.remove(&user);
    });
}

fn entries() -> MutexGuard<'static, Vec<Entry>> {
    static ENTRIES: OnceLock<Mutex<Vec<Entry>>> = OnceLock::new();
    ENTRIES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The TLS settings for these certificates. They are kept: a client that is opened after the last one was closed does not
/// load the system's certificates again.
fn tls_config(ca: Option<&Arc<str>>) -> Result<rustls::ClientConfig> {
    static CONFIGS: Mutex<Vec<(Option<Arc<str>>, rustls::ClientConfig)>> = Mutex::new(Vec::new());
    let configs = || CONFIGS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, config)) = configs().iter().find(|(of, _)| of.as_ref() == ca) {
        return Ok(config.clone());
    }
    let config = tls::config(ca.map(|ca| &**ca))?;
    let mut configs = configs();
    if configs.len() == MAX_CLIENTS {
        configs.remove(0);
    }
    configs.push((ca.cloned(), config.clone()));
    Ok(config)
}

fn builder(options: &TransportOptions, tls: rustls::ClientConfig) -> Result<reqwest::ClientBuilder> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("holysheep/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .connector_layer(ConnectionLayer)
        .dns_resolver(Arc::new(Resolver))
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
