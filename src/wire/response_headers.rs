//! Which response headers are visible to a caller: all but cookies, hop-by-hop headers, and those that describe the
//! encoded body. Gateways name the route, the cost and the cache in headers of their own, so no list could name all.

use crate::error::truncate;

/// Not visible. Cookies are secrets. Hop-by-hop headers (RFC 9110, section 7.6.1; `proxy-*` too) mean nothing beyond the
/// connection. The body is decoded before it is delivered, so its encoding and length no longer apply. The query of a
/// redirect's address may hold a token.
const HIDDEN: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "http2-settings",
    "keep-alive",
    "location",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const HIDDEN_PREFIX: &str = "proxy-";

/// At most this many bytes of a value are kept, and this many of all names and values: what follows is dropped.
const MAX_VALUE: usize = 4 * 1024;
const MAX_ALL: usize = 32 * 1024;

/// The visible ones of these headers, whose names are in lower case, each once: the values of a repeated header are
/// joined, as `fetch` does. Longer values are truncated. The headers that a `connection` header names are hop-by-hop too.
pub fn visible<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let headers: Vec<_> = headers.collect();
    let hop_by_hop: Vec<&str> = headers
        .iter()
        .filter(|(name, _)| *name == "connection")
        .flat_map(|(_, value)| value.split(',').map(str::trim))
        .collect();
    let is_hidden = |name: &str| {
        HIDDEN.contains(&name)
            || name.starts_with(HIDDEN_PREFIX)
            || hop_by_hop.iter().any(|other| other.eq_ignore_ascii_case(name))
    };
    let mut visible: Vec<(String, String)> = Vec::new();
    let mut remaining = MAX_ALL;
    for (name, value) in headers.into_iter().filter(|(name, _)| !is_hidden(name)) {
        let value = truncate(value, MAX_VALUE);
        let Some(left) = remaining.checked_sub(name.len() + value.len()) else { break };
        remaining = left;
        match visible.iter_mut().find(|(other, _)| other == name) {
            Some((_, joined)) => {
                joined.push_str(", ");
                joined.push_str(value);
            }
            None => visible.push((name.to_owned(), value.to_owned())),
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &[(&str, &str)]) -> Vec<String> {
        visible(headers.iter().copied()).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn headers_of_gateways_are_visible_and_cookies_and_hop_by_hop_headers_are_not() {
        let visible = ["x-ratelimit-remaining-tokens", "date", "x-litellm-model-id", "cf-aig-cache-status"];
        let hidden = [
            "set-cookie",
            "set-cookie2",
            "transfer-encoding",
            "proxy-authenticate",
            "content-length",
            "x-hop",
        ];
        let mut headers = vec![("connection", "close, X-Hop")];
        headers.extend(visible.iter().chain(&hidden).map(|name| (*name, "1")));
        assert_eq!(names(&headers), visible);
    }

    #[test]
    fn a_repeated_header_is_joined() {
        let headers = [("x-a", "1"), ("x-b", "2"), ("x-a", "3")];
        let expected = [("x-a", "1, 3"), ("x-b", "2")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(visible(headers.into_iter()), expected);
    }

    #[test]
    fn headers_are_bounded() {
        let long = "x".repeat(20_000);
        let headers: Vec<String> = (0..100).map(|index| format!("x-{index}")).collect();
        let all = visible(headers.iter().map(|name| (name.as_str(), long.as_str())));
        let size: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(size <= MAX_ALL && all.len() >= 7, "{size} bytes in {} headers", all.len());
        assert!(all.iter().all(|(_, value)| value.len() <= MAX_VALUE));
    }
}
