//! Waiting for what this machine lacks. A descriptor is free again as soon as another call of the process ends, so a request
//! waits for one, up to the connect timeout, before it fails.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::error::LocalResource;

/// The first and the longest wait. They are short, because a wait that is too long leaves a descriptor unused.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// How many descriptors a request may need at once: a name lookup opens a file and a socket.
const NEEDED_PIPES: usize = 2;

/// What a request has waited for, if anything. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shortage(Arc<OnceLock<LocalResource>>);

impl Shortage {
    pub fn get(&self) -> Option<LocalResource> {
        self.0.get().copied()
    }

    /// Only the first one is remembered.
    pub fn record(&self, resource: LocalResource) {
        let _ = self.0.set(resource);
    }
}

/// The waits of one request.
pub(super) struct Waits {
    until: Instant,
    next: Duration,
}

impl Waits {
    /// Allows waits of `limit` in total.
    #[allow(clippy::disallowed_methods)] // The operating system follows real time, whatever clock the call follows.
    pub fn new(limit: Duration) -> Self {
        Waits { until: Instant::now() + limit, next: FIRST_WAIT }
    }

    /// Waits before another try. False, at once, if the time is over.
    #[allow(clippy::disallowed_methods)]
    pub async fn wait(&mut self) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // Those that wait together must not try together.
        let wait = self.next.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.next = (self.next * 2).min(LONGEST_WAIT);
        tokio::time::sleep(wait.min(left)).await;
        true
    }
}

/// Fails if this process can open no more files. What fails for that reason does not always say so: a name lookup without
/// descriptors reports a temporary failure of the name server.
pub(super) fn check_descriptors() -> io::Result<()> {
    (0..NEEDED_PIPES).map(|_| io::pipe()).collect::<io::Result<Vec<_>>>().map(|_| ())
}

/// Whether a connection to this host and port fails because no local port is left. The system reports that like an address
/// that it cannot reach. UDP has ports of its own, so with UDP only the latter fails.
pub(super) async fn lacks_ports(address: &str) -> bool {
    let Ok(addresses) = tokio::net::lookup_host(address).await else { return false };
    addresses.into_iter().any(|address| {
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        UdpSocket::bind::<(std::net::IpAddr, u16)>((any, 0))
            .and_then(|socket| socket.connect(address))
            .is_ok()
    })
}
