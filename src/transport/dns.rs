//! Looks host names up. The system's function blocks a thread, so requests that need the same name at the same time share
//! one lookup: a burst of calls costs one thread, and not one for each call.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The resolver of all clients.
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = lookup(name.as_str());
        Box::pin(async move {
            let addresses = lookup.await?;
            let addresses: Vec<_> = addresses.iter().copied().collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a host, or the system's error in a form that can be shared.
type Lookup = Shared<BoxFuture<'static, Result<Arc<[SocketAddr]>, LookupError>>>;

#[derive(Clone, Debug)]
pub(super) struct LookupError {
    kind: io::ErrorKind,
    message: String,
}

impl From<io::Error> for LookupError {
    fn from(error: io::Error) -> Self {
        LookupError { kind: error.kind(), message: error.to_string() }
    }
}

impl From<LookupError> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: LookupError) -> Self {
        Box::new(io::Error::new(error.kind, error.message))
    }
}

/// The lookup of a name that is running, or a new one.
fn lookup(host: &str) -> Lookup {
    let mut running = running();
    if let Some(lookup) = running.get(host) {
        return lookup.clone();
    }
    let name = host.to_owned();
    let resolve = tokio::task::spawn_blocking(move || {
        // The port is the connector's business.
        let addresses = (name.as_str(), 0).to_socket_addrs();
        // Later requests look the name up again: the system knows how long an address is valid.
        self::running().remove(&name);
        addresses.map(|addresses| addresses.collect::<Arc<[_]>>()).map_err(LookupError::from)
    });
    let lookup = async move { resolve.await.unwrap_or_else(|error| Err(io::Error::other(error).into())) };
    let lookup = lookup.boxed().shared();
    running.insert(host.to_owned(), lookup.clone());
    lookup
}

/// The lookups that are running, by name.
fn running() -> MutexGuard<'static, HashMap<String, Lookup>> {
    static RUNNING: OnceLock<Mutex<HashMap<String, Lookup>>> = OnceLock::new();
    RUNNING.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_for_one_name_at_the_same_time_share_a_lookup() {
        let (first, second) = (lookup("127.0.0.1"), lookup("127.0.0.1"));
        assert!(first.ptr_eq(&second));
        assert_eq!(first.await.unwrap().as_ref(), [SocketAddr::from(([127, 0, 0, 1], 0))]);
        // The next one asks again.
        assert!(!lookup("127.0.0.1").ptr_eq(&second));
    }
}
