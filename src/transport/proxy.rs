//! Which proxy a request goes through, if any.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// The proxies of a client: URLs that may hold a user and a password.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Proxies {
    /// For `http:` requests.
    pub http: Option<Arc<str>>,
    /// For `https:` requests.
    pub https: Option<Arc<str>>,
    /// The hosts that are reached directly: see [`is_direct`].
    pub no: Arc<str>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |url: &Option<Arc<str>>| url.as_deref().map(without_credentials);
        let mut shown = f.debug_struct("Proxies");
        shown
            .field("http", &show(&self.http))
            .field("https", &show(&self.https))
            .field("no", &self.no)
            .finish()
    }
}

impl Proxies {
    /// The proxy of a request to this URL.
    pub fn for_url(&self, url: &reqwest::Url) -> Option<&str> {
        let proxy = match url.scheme() {
            "http" => self.http.as_deref(),
            "https" => self.https.as_deref(),
            _ => None,
        };
        proxy.filter(|_| {
            let port = url.port_or_known_default().unwrap_or_default();
            !url.host_str().is_some_and(|host| is_direct(&self.no, host, port))
        })
    }

    /// What reqwest asks for each connection; without a proxy, none.
    pub(super) fn rule(&self) -> Result<Option<reqwest::Proxy>> {
        for url in [&self.http, &self.https].into_iter().flatten() {
            // Checked before by its form; here by the parser that will read it.
            reqwest::Url::parse(url)
                .map_err(|_| Error::new(Kind::Invalid, "the proxy's URL cannot be read"))?;
        }
        if self.http.is_none() && self.https.is_none() {
            return Ok(None);
        }
        let proxies = self.clone();
        Ok(Some(reqwest::Proxy::custom(move |url| proxies.for_url(url).map(str::to_owned))))
    }
}

/// A proxy's URL as messages may show it.
pub fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{}", host.trim_end_matches('/')),
        _ => url.trim_end_matches('/').to_owned(),
    }
}

/// Whether a host is reached without the proxy. `no` is a list, separated by commas or white space, of
/// `*` (every host), `example.com` (this host), `.example.com` (this and what is below), `*.example.com`
/// (what is below), addresses (`10.1.2.3`, `::1`), networks (`10.0.0.0/8`) and ranges
/// (`10.0.0.1-10.0.0.9`); each but the last three may end with `:port`. The forms are those of Node's
/// `NODE_USE_ENV_PROXY`, and networks beside them.
pub fn is_direct(no: &str, host: &str, port: u16) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let entries = no.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| fits(&entry.to_ascii_lowercase(), &host, port))
}

fn fits(entry: &str, host: &str, port: u16) -> bool {
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
            return contains(network, bits, address);
        }
    }
    let (name, wanted) = split_port(entry);
    if wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let Some(address) = address {
        return name.parse() == Ok(address);
    }
    let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if let Some(domain) = name.strip_prefix("*.") {
        return below(domain);
    }
    match name.strip_prefix('.') {
        Some(domain) => host == domain || below(domain),
        None => host == name,
    }
}

/// An entry without its port and brackets. `[::1]:80` and `host:80` have a port, `::1` has none.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((name, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (name, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, port.parse().ok()),
        _ => (entry, None),
    }
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
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
    fn every_form_of_no_proxy_names_the_hosts_that_it_means_and_no_others() {
        let rows: &[(&str, &[&str], &[&str])] = &[
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
        for (no, direct, proxied) in rows {
            for host in *direct {
                assert!(is_direct(no, host, 443), "{no:?} covers {host}");
            }
            for host in *proxied {
                assert!(!is_direct(no, host, 443), "{no:?} does not cover {host}");
            }
        }
    }

    #[test]
    fn what_is_shown_of_a_proxy_holds_no_password() {
        let proxies = Proxies { https: Some("http://user:se@cret@proxy:8080/".into()), ..Proxies::default() };
        let shown = format!("{proxies:?}");
        assert!(shown.contains("http://…@proxy:8080") && !shown.contains("cret"), "{shown}");
    }
}
