//! A provider's errors. An HTTP error response, or an error object inside a stream whose status was 200, becomes one
//! [`Error`] with data. It contains no part of the request, and everything that looks like a key is masked.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::retry_after;
use super::secrets::mask;
use crate::error::{BODY_LIMIT, Error, Kind, truncate};

/// How much of a body that is not JSON, or of a page's title, goes into a message. In bytes.
const EXCERPT_LIMIT: usize = 200;

/// How far into a page its title is searched for. In bytes.
const TITLE_SEARCH_LIMIT: usize = 16 * 1024;

/// The fields of an error, whatever the form of the provider's JSON.
#[derive(Default)]
struct ErrorFields {
    message: Option<String>,
    code: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    /// The code of an inner error (Azure).
    inner_code: Option<String>,
    /// Whether it was in a field `error`, which only errors have.
    in_envelope: bool,
    /// An HTTP status inside the JSON.
    status: Option<u16>,
}

/// The error of an HTTP response that is not the expected one. `header` looks up a header by its name in lower case;
/// `body` is what was read of the body, bounded by the caller. The error keeps at most [`BODY_LIMIT`] bytes of it,
/// masked, and no part of a redirect's body, which may quote the address.
///
/// The status may be 2xx, for a JSON response to a request for a stream: the result is the error in it or,
/// if there is none, [`Kind::Malformed`] with `should_retry` false.
pub fn from_response(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
    header: &dyn Fn(&str) -> Option<String>,
    now_epoch_ms: u64,
) -> Error {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    let is_page = is_html(content_type, text);
    let json = if is_page { None } else { serde_json::from_str::<Value>(text).ok() };
    let fields = json.as_ref().and_then(find_error).unwrap_or_default();
    let is_redirect = (300..400).contains(&status);
    let detail = if is_redirect {
        Some(Cow::Owned(redirect_target(header("location").as_deref())))
    } else if is_page {
        Some(Cow::Owned(page_summary(text)))
    } else if let Some(message) = &fields.message {
        Some(Cow::Borrowed(message.as_str()))
    } else {
        (!text.is_empty() && json.is_none()).then(|| Cow::Borrowed(first_line(text)))
    };

    let is_success = (200..300).contains(&status);
    let mut error = Error::new(Kind::Malformed, "");
    error.status = Some(status);
    if !is_success {
        error.kind = kind_of(Some(status), &fields);
    } else if fields.is_error() {
        error.kind = kind_of(fields.status, &fields);
        error.status = fields.status.or(error.status);
    }
    let is_malformed = error.kind == Kind::Malformed;
    let detail = match detail {
        None if is_malformed => Some(Cow::Borrowed("not the requested stream")),
        detail => detail,
    };
    error.message = sentence(error.status, "from the provider", detail.as_deref());
    error.retry_after = retry_after::parse(header, now_epoch_ms);
    error.should_retry = match header("x-should-retry").as_deref().map(str::trim) {
        _ if is_malformed => Some(false),
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    error.request_id = ["x-request-id", "request-id", "cf-ray"]
        .iter()
        .find_map(|name| header(name).filter(|id| !id.trim().is_empty()))
        .map(|id| truncate(id.trim(), EXCERPT_LIMIT).to_owned());
    error.body = (!is_redirect && !text.is_empty()).then(|| sanitize(text, BODY_LIMIT));
    fields.copy_into(&mut error);
    error
}

/// The error of an error object inside a stream: `{"error":{…}}`, `{"error":"text"}`, or an object
/// with `message` and `type` itself. A numeric `code` or `status` is taken as the HTTP status that the
/// provider could no longer send. An error that fits no other kind is [`Kind::Server`].
pub fn from_event(value: &Value) -> Error {
    let fields = find_error(value).unwrap_or_default();
    let mut error = Error::new(kind_of(fields.status, &fields), "");
    error.status = fields.status;
    error.message = sentence(fields.status, "in the provider's stream", fields.message.as_deref());
    error.body = Some(sanitize(&value.to_string(), BODY_LIMIT));
    fields.copy_into(&mut error);
    error
}

/// Whether the data of an event is an error for [`from_event`], and not a chunk. Data with `error` is one,
/// whatever else it contains: OpenRouter puts an error and a choice into the same chunk.
pub fn is_error_event(value: &Value) -> bool {
    // The common case first: this runs for each chunk.
    if value.get("choices").is_some() && value.get("error").is_none_or(Value::is_null) {
        return false;
    }
    find_error(value).is_some_and(|fields| fields.is_error())
}

/// Whether the JSON of a field `error` is an error. Relays send an empty one in each chunk.
pub fn is_error_value(json: &str) -> bool {
    let inside = json.get(1..json.len() - 1).unwrap_or_default();
    match json.as_bytes().first() {
        Some(b'"' | b'{' | b'[') => !inside.trim_ascii().is_empty(),
        _ => !matches!(json, "null" | "false" | "0" | ""),
    }
}

impl ErrorFields {
    fn is_error(&self) -> bool {
        self.in_envelope || self.message.is_some()
    }

    /// Moves codes and types into the error, masked and truncated.
    fn copy_into(self, error: &mut Error) {
        let short = |text: String| sanitize(&text, EXCERPT_LIMIT);
        error.provider_code = self.code.map(short);
        error.provider_type = self.kind.map(short);
        error.param = self.param.map(short);
    }
}

/// Finds the error in any of the forms in use: OpenAI's object, a bare text, FastAPI's `detail`,
/// Gemini's list of one, an object without the envelope.
fn find_error(value: &Value) -> Option<ErrorFields> {
    let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    let envelope = value.as_object()?;
    match envelope.get("error") {
        Some(Value::String(text)) if !text.is_empty() => {
            Some(ErrorFields { message: Some(text.clone()), in_envelope: true, ..read_fields(value) })
        }
        Some(inner @ Value::Object(_)) => Some(ErrorFields { in_envelope: true, ..read_fields(inner) }),
        _ => Some(read_fields(value)),
    }
}

fn read_fields(value: &Value) -> ErrorFields {
    let text = |name: &str| match value.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let detail = || match value.get("detail")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.first()?.get("msg")?.as_str()?.to_owned()),
        _ => None,
    };
    let status = |name: &str| {
        let status: u16 = text(name)?.parse().ok()?;
        (400..600).contains(&status).then_some(status)
    };
    ErrorFields {
        in_envelope: false,
        message: text("message").or_else(|| text("msg")).or_else(detail),
        code: text("code"),
        kind: text("type").or_else(|| text("status")),
        param: text("param"),
        inner_code: ["/innererror/code", "/inner_error/code"]
            .iter()
            .find_map(|path| Some(value.pointer(path)?.as_str()?.to_owned())),
        status: status("code").or_else(|| status("status")).or_else(|| status("status_code")),
    }
}

/// The kind, from the most specific evidence to the least: the provider's own code, then the status.
fn kind_of(status: Option<u16>, fields: &ErrorFields) -> Kind {
    let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_ascii_lowercase();
    let codes = format!("{} {} {}", lower(&fields.code), lower(&fields.kind), lower(&fields.inner_code));
    let message = fields
        .message
        .as_deref()
        .map(|text| truncate(text, BODY_LIMIT))
        .unwrap_or_default()
        .to_ascii_lowercase();
    let code_has = |words: &[&str]| words.iter().any(|word| codes.contains(word));
    let message_has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let is_client_error = status.is_none_or(|status| (400..500).contains(&status) && status != 429);

    if matches!(status, Some(300..400)) {
        return Kind::Redirect;
    }
    let no_credit = code_has(&["insufficient"]) && code_has(&["quota", "balance", "credit", "funds"])
        || code_has(&["billing", "payment_required"]);
    if no_credit
        || status == Some(402)
        || is_client_error && message_has(&["credit balance is too low", "insufficient balance"])
    {
        return Kind::QuotaExhausted;
    }
    if code_has(&[
        "content_filter",
        "content_policy",
        "responsibleaipolicyviolation",
        "data_inspection_failed",
    ]) {
        return Kind::ContentFiltered;
    }
    let too_long = code_has(&["context_length_exceeded", "exceed_context_size"])
        || message_has(&["maximum context length", "prompt is too long", "exceeds the context window"]);
    if is_client_error && too_long {
        return Kind::ContextLength;
    }
    if matches!(status, Some(401 | 403))
        || is_client_error && code_has(&["invalid_api_key", "authentication", "permission_"])
    {
        return Kind::Authentication;
    }
    match status {
        Some(429) => Kind::RateLimit,
        Some(408 | 500..) => Kind::Server,
        Some(_) => Kind::InvalidRequest,
        None if code_has(&["rate_limit", "too_many_requests", "resource_exhausted"]) => Kind::RateLimit,
        None if code_has(&["invalid_request", "invalid_argument", "not_found"]) => Kind::InvalidRequest,
        None => Kind::Server,
    }
}

fn sentence(status: Option<u16>, origin: &str, detail: Option<&str>) -> String {
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

/// Masks and truncates a text. Truncated first, so that masking is bounded, and again afterwards, as a mask
/// may be longer than what it hides.
fn sanitize(text: &str, limit: usize) -> String {
    truncate(&mask(truncate(text, limit)), limit).to_owned()
}

fn is_html(content_type: Option<&str>, text: &str) -> bool {
    let begins = |start: &str| text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("text/html"))
        || begins("<!doctype")
        || begins("<html")
}

fn page_summary(html: &str) -> String {
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

fn first_line(text: &str) -> &str {
    truncate(text.lines().next().unwrap_or_default(), EXCERPT_LIMIT)
}

/// Names the host of a redirect and nothing else: path and query may contain secrets.
fn redirect_target(location: Option<&str>) -> String {
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

#[cfg(test)]
#[path = "provider_error_tests.rs"]
mod tests;
