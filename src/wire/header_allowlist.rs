//! Which response headers are shown to a caller: those about the request, about rate limits and about waits.
//! Cookies and connection headers are not among them.

use crate::error::truncate;

const NAMES: &[&str] = &["content-type", "retry-after", "retry-after-ms", "request-id", "cf-ray"];
const PREFIXES: &[&str] =
    &["x-request-id", "x-ratelimit-", "ratelimit", "anthropic-", "openai-", "apim-", "x-ms-"];

/// At most this many headers are kept, and this many bytes of each value.
const MAX_HEADERS: usize = 48;
const MAX_VALUE: usize = 512;

/// The allowed ones of these headers, whose names are in lower case. Longer values are truncated.
pub fn allowed<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    headers
        .filter(|(name, _)| NAMES.contains(name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .take(MAX_HEADERS)
        .map(|(name, value)| (name.to_owned(), truncate(value, MAX_VALUE).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_about_limits_are_shown_and_cookies_are_not() {
        let headers = [
            ("x-ratelimit-remaining-tokens", "7"),
            ("set-cookie", "secret"),
            ("x-request-id", "r"),
            ("connection", "close"),
            ("retry-after", "2"),
        ];
        let names: Vec<_> = allowed(headers.into_iter()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x-ratelimit-remaining-tokens", "x-request-id", "retry-after"]);
    }
}
