//! Which headers of a response a caller is told: those that say something of the request, of limits
//! and of waits. Cookies and what belongs to the connection are not among them.

use crate::error::truncate;

const NAMES: &[&str] = &["content-type", "retry-after", "retry-after-ms", "request-id", "cf-ray"];
const PREFIXES: &[&str] =
    &["x-request-id", "x-ratelimit-", "ratelimit", "anthropic-", "openai-", "apim-", "x-ms-"];

/// At most so many headers are kept, and so much of each.
const MAX_HEADERS: usize = 48;
const MAX_VALUE: usize = 512;

/// The headers that are told, of pairs with names in lower case.
pub fn telling<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
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
    fn what_says_something_of_limits_is_told_and_cookies_are_not() {
        let given = [
            ("x-ratelimit-remaining-tokens", "7"),
            ("set-cookie", "secret"),
            ("x-request-id", "r"),
            ("connection", "close"),
            ("retry-after", "2"),
        ];
        let names: Vec<_> = telling(given.into_iter()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x-ratelimit-remaining-tokens", "x-request-id", "retry-after"]);
    }
}
