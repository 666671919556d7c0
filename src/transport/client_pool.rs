//! The process-wide pool of reqwest clients, one for each set of transport options.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::http_error::{MAX_HEAD, error_chain};
use super::{TransportOptions, root_certs};
use crate::error::{Error, Kind, Result};

/// How many clients the pool holds. At the limit the oldest one is dropped.
const MAX_CLIENTS: usize = 16;
/// How much one HTTP/2 stream may send ahead of its reader, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// How much all streams of an HTTP/2 connection may send ahead, in bytes. Many times [`STREAM_WINDOW`], so that
/// slow readers cannot use it up for the others.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

type Clients = Vec<(TransportOptions, reqwest::Client)>;

/// The client for these options, built if necessary. The first build loads the system's certificates, which
/// takes tens of milliseconds, so it runs on a thread that may block.
pub(super) async fn client(options: TransportOptions) -> Result<reqwest::Client> {
    if let Some(client) = cached(&options) {
        return Ok(client);
    }
    let build = move || -> Result<reqwest::Client> {
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

fn cached(options: &TransportOptions) -> Option<reqwest::Client> {
    let clients = clients().lock().unwrap_or_else(PoisonError::into_inner);
    clients.iter().find(|(cached, _)| cached == options).map(|(_, client)| client.clone())
}

fn build(options: &TransportOptions) -> Result<reqwest::Client> {
    // Fails if a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sources = root_certs::sources();
    let mut extra = sources.extra.clone();
    if let Some(pem) = &options.ca {
        extra.extend(root_certs::parse_certificates("ca", pem)?);
    }
    let Some(mut roots) = sources.system_replacement() else {
        let merged = builder(options)?.tls_certs_merge(to_reqwest(&extra)?).build();
        return match merged {
            // reqwest reports a system without certificates in the text only.
            Err(error) if error_chain(&error).contains("No CA certificates") => {
                let bundled: Vec<_> = sources.bundled.iter().chain(&extra).cloned().collect();
                if bundled.is_empty() {
                    return Err(sources.no_roots_error());
                }
                builder(options)?.tls_certs_only(to_reqwest(&bundled)?).build().map_err(build_error)
            }
            merged => merged.map_err(build_error),
        };
    };
    roots.extend(extra);
    if roots.is_empty() {
        return Err(sources.no_roots_error());
    }
    builder(options)?.tls_certs_only(to_reqwest(&roots)?).build().map_err(build_error)
}

/// A builder with every setting but the root certificates.
fn builder(options: &TransportOptions) -> Result<reqwest::ClientBuilder> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("holysheep/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        // The key must not follow a redirect, so a redirect is a response like any other.
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
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

fn to_reqwest(certificates: &[CertificateDer<'static>]) -> Result<Vec<reqwest::Certificate>> {
    certificates.iter().map(|der| reqwest::Certificate::from_der(der).map_err(build_error)).collect()
}

fn build_error(error: reqwest::Error) -> Error {
    Error::new(Kind::Internal, format!("the HTTP client could not be built: {}", error_chain(&error)))
}
