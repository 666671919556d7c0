//! The text of an error message: what a provider said, without secrets and within bounds.

use std::fmt::Write as _;

use crate::error::{BODY_LIMIT, truncate};
use crate::wire::secrets::mask;

/// How much of a body that is not JSON, or of a page's title, goes into a message. In bytes.
pub(super) const EXCERPT_LIMIT: usize = 200;

/// How far into a page its title is searched for. In bytes.
const TITLE_SEARCH_LIMIT: usize = 16 * 1024;

pub(super) fn sentence(status: Option<u16>, origin: &str, detail: Option<&str>) -> String {
    let mut message = match status {
        Some(status) => status.to_string(),
        None => "error".to_owned(),
    };
    if let Some(reason) = status.and_then(reason) {
        message.push(' ');
        message.push_str(reason);
    }
    // Writing to a String cannot fail.
    let _ = write!(message, " {origin}");
    if let Some(detail) = detail.map(str::trim).filter(|detail| !detail.is_empty()) {
        let _ = write!(message, ": {}", sanitize(detail, BODY_LIMIT));
    }
    message
}

pub(super) fn is_html(content_type: Option<&str>, text: &str) -> bool {
    let begins = |start: &str| text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("text/html"))
        || begins("<!doctype")
        || begins("<html")
}

pub(super) fn page_summary(html: &str) -> String {
    let head = truncate(html, TITLE_SEARCH_LIMIT);
    // ASCII lower case keeps every byte offset.
    let lower = head.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|tag| {
        let start = tag + lower[tag..].find('>')? + 1;
        let end = start + lower[start..].find("</title")?;
        Some(head[start..end].split_whitespace().collect::<Vec<_>>().join(" "))
    });
    match title.filter(|title| !title.is_empty()) {
        Some(title) => format!("HTML page ({})", truncate(&title, EXCERPT_LIMIT)),
        None => "HTML page".to_owned(),
    }
}

pub(super) fn first_line(text: &str) -> &str {
    let line = truncate(text.lines().next().unwrap_or_default(), EXCERPT_LIMIT);
    let is_text = !line.contains(|c: char| c == char::REPLACEMENT_CHARACTER || c.is_control() && c != '\t');
    if is_text { line } else { "a body that is not text" }
}

/// Names the host of a redirect and nothing else: path and query may contain secrets.
pub(super) fn redirect_target(location: Option<&str>) -> String {
    let Some(location) = location.map(str::trim).filter(|location| !location.is_empty()) else {
        return "redirect without a location".to_owned();
    };
    let authority =
        location.split_once("//").filter(|(scheme, _)| scheme.is_empty() || scheme.ends_with(':'));
    let Some((_, rest)) = authority else {
        return "redirect to another path of the same host".to_owned();
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or_default();
    format!("redirect to {}", truncate(host, EXCERPT_LIMIT))
}

/// Masks and truncates a text. Truncated first, so that masking is bounded, and again afterwards, as a mask
/// may be longer than what it hides.
pub(super) fn sanitize(text: &str, limit: usize) -> String {
    truncate(&mask(truncate(text, limit)), limit).to_owned()
}

/// The reason phrases of RFC 9110 that occur in practice, and the names of proxies' own codes.
fn reason(status: u16) -> Option<&'static str> {
    Some(match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        520 => "Unknown Error",
        521 => "Web Server Is Down",
        522 => "Connection Timed Out",
        523 => "Origin Is Unreachable",
        524 => "A Timeout Occurred",
        529 => "Overloaded",
        _ => return None,
    })
}
