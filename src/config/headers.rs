//! Headers that the caller sends.

use serde_json::Value;

use super::reader::{Reader, as_object, describe};
use crate::error::{Error, Result, truncate};

/// Headers that the engine sets itself: replacing one would break the request or expose the key. In lower
/// case.
pub const RESERVED_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "host",
    "accept",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "idempotency-key",
    "x-session-id",
];

/// Headers whose values hold no secrets: they describe a request, an SDK or an application, and select a version or a
/// route. An error may quote them. In lower case; one that ends with `*` is a beginning.
const HARMLESS_HEADERS: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "http-referer",
    "idempotency-key",
    "openai-beta",
    "origin",
    "pragma",
    "priority",
    "referer",
    "sec-fetch-*",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-client-request-id",
    "x-openrouter-title",
    "x-portkey-provider",
    "x-request-id",
    "x-session-id",
    "x-stainless-*",
    "x-title",
];

/// Whether the value of a header, whose name is in lower case, holds no secret. One that is not known may hold one.
pub fn is_harmless(name: &str) -> bool {
    HARMLESS_HEADERS.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *known == name,
    })
}

/// The values that no error may quote.
pub fn secret_values(headers: &[(String, String)]) -> impl Iterator<Item = &str> {
    headers.iter().filter(|(name, _)| !is_harmless(name)).map(|(_, value)| value.as_str())
}

/// Reads an object of headers: names in lower case, values unchanged.
///
/// # Errors
/// A name or value that is not valid in HTTP, a reserved name (`RESERVED_HEADERS`), or a name that occurs twice. No
/// error shows a value.
pub fn headers(reader: &mut Reader<'_>, key: &'static str) -> Result<Vec<(String, String)>> {
    let Some(value) = reader.value(key) else { return Ok(Vec::new()) };
    let Some(map) = as_object(value) else {
        return reader.invalid(key, value, "an object of header names and string values");
    };
    let path = reader.full_name(key);
    let mut headers: Vec<(String, String)> = Vec::new();
    for (original, value) in map {
        let name = original.to_ascii_lowercase();
        let full_name = format!("{path}['{}']", truncate(original, 60).escape_debug());
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::invalid(&full_name, "an invalid header name", "letters, digits and -"));
        }
        if RESERVED_HEADERS.contains(&name.as_str()) {
            let accepted = "headers other than those that the client sets itself (key: apiKey, idempotency-key: idempotencyKey, x-session-id: sessionId)";
            return Err(Error::invalid(&full_name, "a header that the client sets itself", accepted));
        }
        let Some(text) = value.as_str() else {
            return Err(Error::invalid(&full_name, describe(value), "a string"));
        };
        // The value may be a secret, so the error does not show it.
        if text.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f) {
            return Err(Error::invalid(
                &full_name,
                "a value with a line break or control character",
                "one line of text",
            ));
        }
        if headers.iter().any(|(existing, _)| *existing == name) {
            return Err(Error::invalid(&full_name, "a duplicate name", "each name once"));
        }
        headers.push((name, text.to_owned()));
    }
    Ok(headers)
}

/// Reads an option whose text becomes the value of a header.
pub fn header_value(reader: &mut Reader<'_>, key: &'static str) -> Result<Option<String>> {
    const ACCEPTED: &str = "a string of 1 to 255 visible ASCII characters";
    let Some(text) = reader.string(key, ACCEPTED)? else { return Ok(None) };
    if text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return reader.invalid(key, &Value::from(text), ACCEPTED);
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn headers_that_would_replace_the_key_or_contain_a_line_break_are_rejected() {
        for bad in [
            json!({"Authorization": "Bearer other"}),
            json!({"x-a": "1\r\nx-b: 2"}),
            json!({"x a": "1"}),
            json!({"x-a": 1}),
            json!({"x-a": "1", "X-A": "2"}),
            json!([1]),
        ] {
            let options = json!({ "headers": bad });
            let mut reader = Reader::new("", &options).unwrap();
            assert!(headers(&mut reader, "headers").is_err(), "{options}");
        }
    }
}
