//! Selects the proxy of a request, if any.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// The proxies of a client. Their URLs may contain a user and a password.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Proxies {
    /// For `http:` requests.
    pub http: Option<Arc<str>>,
    /// For `https:` requests.
    pub https: Option<Arc<str>>,
    /// The hosts to connect to directly: see [`bypasses_proxy`].
    pub no_proxy: Arc<str>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |url: &Option<Arc<str>>| url.as_deref().map(without_credentials);
        f.debug_struct("Proxies")
            .field("http", &redacted(&self.http))
            .field("https", &redacted(&self.https))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

impl Proxies {
    /// The proxy for a request to this URL.
    pub fn for_url(&self, url: &reqwest::Url) -> Option<&str> {
        let proxy = match url.scheme() {
            "http" => self.http.as_deref(),
            "https" => self.https.as_deref(),
            _ => None,
        };
        proxy.filter(|_| {
            let port = url.port_or_known_default().unwrap_or_default();
            !url.host_str().is_some_and(|host| bypasses_proxy(&self.no_proxy, host, port))
        })
    }

    /// The proxy setting for reqwest, which asks it about each connection. `None` without a proxy.
    pub(super) fn to_reqwest(&self) -> Result<Option<reqwest::Proxy>> {
        for url in [&self.http, &self.https].into_iter().flatten() {
            // The options check the form; this is the parser that reqwest uses.
            reqwest::Url::parse(url)
                .map_err(|_| Error::new(Kind::InvalidArgument, "the proxy URL cannot be parsed"))?;
        }
        if self.http.is_none() && self.https.is_none() {
            return Ok(None);
        }
        let proxies = self.clone();
        Ok(Some(reqwest::Proxy::custom(move |url| proxies.for_url(url).map(str::to_owned))))
    }
}

/// A proxy URL with its credentials redacted, for messages.
pub fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{}", host.trim_end_matches('/')),
        _ => url.trim_end_matches('/').to_owned(),
    }
}

/// Whether a host is connected to directly. `no_proxy` is a list, separated by commas or white space, of
/// `*` (every host), `example.com` (this host), `.example.com` (this host and its subdomains), `*.example.com`
/// (its subdomains), addresses (`10.1.2.3`, `::1`), networks (`10.0.0.0/8`) and ranges
/// (`10.0.0.1-10.0.0.9`). Host names and addresses may end with `:port`. These are the forms of Node's
/// `NODE_USE_ENV_PROXY`, plus networks.
pub fn bypasses_proxy(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let entries = no_proxy.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| entry_matches(&entry.to_ascii_lowercase(), &host, port))
}

fn entry_matches(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let address = host.parse::<IpAddr>().ok();
    if let Some(address) = address {
        if let Some((from, to)) = entry.split_once('-')
            && let (Ok(from), Ok(to)) = (from.parse::<IpAddr>(), to.parse::<IpAddr>())
        {
            return from.is_ipv4() == address.is_ipv4() && from <= address && address <= to;
        }
        if let Some((network, bits)) = entry.split_once('/')
            && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>())
        {
            return network_contains(network, bits, address);
        }
    }
    let (name, entry_port) = split_port(entry);
    if entry_port.is_some_and(|entry_port| entry_port != port) {
        return false;
    }
    if let Some(address) = address {
        return name.parse() == Ok(address);
    }
    let is_subdomain_of = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if let Some(domain) = name.strip_prefix("*.") {
        return is_subdomain_of(domain);
    }
    match name.strip_prefix('.') {
        Some(domain) => host == domain || is_subdomain_of(domain),
        None => host == name,
    }
}

/// Splits an entry into its host, without brackets, and its port. `[::1]:80` and `host:80` have a port, `::1`
/// does not.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((name, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (name, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, port.parse().ok()),
        _ => (entry, None),
    }
}

fn network_contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_no_proxy_form_matches_its_hosts_and_no_others() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("*", &["a.example", "10.0.0.1"], &[]),
            ("a.example", &["a.example", "A.EXAMPLE", "a.example."], &["b.a.example", "xa.example"]),
            (".a.example", &["a.example", "b.a.example"], &["xa.example"]),
            ("*.a.example", &["b.a.example", "c.b.a.example"], &["a.example", "xa.example"]),
            ("a.example:443", &["a.example"], &["b.example"]),
            ("a.example:8443", &[], &["a.example"]),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.30", "110.1.2.3"]),
            ("10.0.0.0/8", &["10.1.2.3"], &["11.0.0.1", "10.example"]),
            ("0.0.0.0/0", &["8.8.8.8"], &["::1"]),
            ("10.0.0.2-10.0.0.9", &["10.0.0.2", "10.0.0.9"], &["10.0.0.1", "10.0.0.10"]),
            ("::1", &["[::1]", "::1"], &["[::2]"]),
            ("[::1]:443", &["[::1]"], &["[::2]"]),
            ("fd00::/8", &["[fd12::1]"], &["[fe80::1]"]),
            ("", &[], &["a.example"]),
            ("x.example, a.example\tb.example", &["a.example", "b.example"], &["c.example"]),
            ("a-b.example", &["a-b.example"], &["a.example"]),
        ];
        for (no_proxy, direct, proxied) in cases {
            for host in *direct {
                assert!(bypasses_proxy(no_proxy, host, 443), "{no_proxy:?} covers {host}");
            }
            for host in *proxied {
                assert!(!bypasses_proxy(no_proxy, host, 443), "{no_proxy:?} does not cover {host}");
            }
        }
    }

    #[test]
    fn debug_output_contains_no_password() {
        let proxies = Proxies { https: Some("http://user:se@cret@proxy:8080/".into()), ..Proxies::default() };
        let output = format!("{proxies:?}");
        assert!(output.contains("http://…@proxy:8080") && !output.contains("cret"), "{output}");
    }
}
