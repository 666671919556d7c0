//! Name lookups, by the operating system. Requests that need the same name at the same time share one lookup, so a burst
//! needs one thread for each host, not for each call.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::shortage::check_descriptors;

#[derive(Clone, Default)]
pub(super) struct Resolver {
    /// The lookups under way. A lookup that nobody awaits anymore is not joined: its result may be old.
    lookups: Arc<Mutex<HashMap<String, WeakShared<Lookup>>>>,
}

type Lookup = BoxFuture<'static, Result<Arc<[SocketAddr]>, LookupError>>;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.lookup(name.as_str());
        async move {
            match lookup.await {
                Ok(addresses) => {
                    let addresses: Vec<_> = addresses.iter().copied().collect();
                    Ok(Box::new(addresses.into_iter()) as Addrs)
                }
                Err(LookupError(error)) => Err(same_error(&error).into()),
            }
        }
        .boxed()
    }
}

impl Resolver {
    fn lookup(&self, host: &str) -> Shared<Lookup> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) =
            lookups.get(host).and_then(WeakShared::upgrade).filter(|lookup| lookup.peek().is_none())
        {
            return lookup;
        }
        // Also forgets the lookups that have ended.
        lookups.retain(|_, lookup| lookup.upgrade().is_some_and(|lookup| lookup.peek().is_none()));
        let name = host.to_owned();
        let lookup = async move {
            let found = tokio::task::spawn_blocking(move || addresses(&name)).await;
            found
                .map_err(io::Error::other)
                .and_then(|found| found)
                .map_err(|error| LookupError(Arc::new(error)))
        }
        .boxed()
        .shared();
        // It has not ended, so it can be downgraded.
        lookups.extend(lookup.downgrade().map(|weak| (host.to_owned(), weak)));
        lookup
    }
}

fn addresses(host: &str) -> io::Result<Arc<[SocketAddr]>> {
    match (host, 0).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        // The C library reports a temporary failure or an unknown name if it cannot open its files.
        Err(error) => Err(check_descriptors().err().unwrap_or(error)),
    }
}

/// An I/O error for each of those that await the lookup.
#[derive(Clone, Debug)]
struct LookupError(Arc<io::Error>);

fn same_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_of_one_name_at_the_same_time_are_one() {
        let resolver = Resolver::default();
        let (first, second) = (resolver.lookup("localhost"), resolver.lookup("localhost"));
        assert!(first.ptr_eq(&second));
        assert!(!first.ptr_eq(&resolver.lookup("127.0.0.1")));
        let found = first.clone().await.unwrap();
        assert!(!found.is_empty());
        // Its result may be old by now.
        assert!(!first.ptr_eq(&resolver.lookup("localhost")));
    }

    #[tokio::test]
    async fn a_lookup_that_nobody_awaits_is_not_joined() {
        let resolver = Resolver::default();
        drop(resolver.lookup("localhost"));
        assert!(resolver.lookups.lock().unwrap()["localhost"].upgrade().is_none());
        resolver.lookup("localhost").await.unwrap();
        drop(resolver.lookup("127.0.0.1"));
        assert_eq!(resolver.lookups.lock().unwrap().len(), 1, "ended lookups are forgotten");
    }
}
