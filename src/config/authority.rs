//! Validation of a host and a port in a URL.

use std::net::Ipv6Addr;

/// Whether `text` is a host name or an IP address, with or without a port.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && !host.starts_with(['.', '-'])
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    is_host && port.is_none_or(is_port)
}

/// Splits `host:port`. The colons of `[::1]` do not separate a port.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// `u16` alone accepts `+80`.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The host and port of a base URL that was accepted.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_validated() {
        for valid in ["proxy", "a.b:80", "10.0.0.1:3128", "[::1]", "[::1]:3128", "under_score:65535"] {
            assert!(is_authority(valid), "{valid}");
        }
        for invalid in [
            "",
            ":80",
            "a:",
            "a:+80",
            "a:-1",
            "a:65536",
            "a:8o",
            "[::1",
            "[x]",
            "[::1]:+80",
            "-a",
            ".a",
            "a b",
        ] {
            assert!(!is_authority(invalid), "{invalid}");
        }
    }
}
