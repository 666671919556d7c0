//! What a provider says when it refuses: an HTTP answer, or an error object inside a stream whose
//! status was 200, becomes one [`Error`] with data. Nothing of the request is put into it, and what
//! looks like a key is masked.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::retry_after;
use super::secrets::mask;
use crate::error::{BODY_LIMIT, Error, Kind, truncate};

/// How much of a text that is no JSON, or of a page's title, goes into a message, in bytes.
const EXCERPT: usize = 200;

/// How far into a page its title is looked for, in bytes.
const TITLE_WITHIN: usize = 16 * 1024;

/// What the provider's JSON says, whatever its form.
#[derive(Default)]
struct Said {
    message: Option<String>,
    code: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    /// A code of its inner error (Azure).
    inner: Option<String>,
    /// It stands in `error`, where nothing else stands.
    enveloped: bool,
    /// An HTTP status inside the JSON.
    status: Option<u16>,
}

/// The error of an HTTP answer that is not what was asked for. `header` is given names in lower
/// case; `body` is what was read of the body, bounded by the caller. The error keeps at most
/// [`BODY_LIMIT`] bytes of it, masked, and nothing of a redirect's, which may quote the address.
///
/// A status of 2xx is accepted too, for an answer in JSON where a stream was asked for: what it
/// says is an error, or it is [`Kind::Malformed`] with `should_retry` false.
pub fn from_response(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
    header: &dyn Fn(&str) -> Option<String>,
    now_epoch_ms: u64,
) -> Error {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    let html = is_html(content_type, text);
    let json = if html { None } else { serde_json::from_str::<Value>(text).ok() };
    let said = json.as_ref().and_then(said).unwrap_or_default();
    let redirect = (300..400).contains(&status);
    let detail = if redirect {
        Some(Cow::Owned(target(header("location").as_deref())))
    } else if html {
        Some(Cow::Owned(page(text)))
    } else if let Some(message) = &said.message {
        Some(Cow::Borrowed(message.as_str()))
    } else {
        (!text.is_empty() && json.is_none()).then(|| Cow::Borrowed(first_line(text)))
    };

    let successful = (200..300).contains(&status);
    let mut error = Error::new(Kind::Malformed, "");
    error.status = Some(status);
    if !successful {
        error.kind = kind_of(Some(status), &said);
    } else if said.is_error() {
        error.kind = kind_of(said.status, &said);
        error.status = said.status.or(error.status);
    }
    let unexpected = error.kind == Kind::Malformed;
    let detail = match detail {
        None if unexpected => Some(Cow::Borrowed("not the stream that was asked for")),
        detail => detail,
    };
    error.message = sentence(error.status, "from the provider", detail.as_deref());
    error.retry_after = retry_after::parse(header, now_epoch_ms);
    error.should_retry = match header("x-should-retry").as_deref().map(str::trim) {
        _ if unexpected => Some(false),
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    error.request_id = ["x-request-id", "request-id", "cf-ray"]
        .iter()
        .find_map(|name| header(name).filter(|id| !id.trim().is_empty()))
        .map(|id| truncate(id.trim(), EXCERPT).to_owned());
    error.body = (!redirect && !text.is_empty()).then(|| clean(text, BODY_LIMIT));
    said.tell(&mut error);
    error
}

/// The error of an error object inside a stream: `{"error":{…}}`, `{"error":"text"}`, or an object
/// with `message` and `type` itself. A number as `code` or `status` is taken for the HTTP status
/// which the provider could not send any more. What fits no other kind is [`Kind::Server`].
pub fn from_event(value: &Value) -> Error {
    let said = said(value).unwrap_or_default();
    let mut error = Error::new(kind_of(said.status, &said), "");
    error.status = said.status;
    error.message = sentence(said.status, "from the provider, inside the stream", said.message.as_deref());
    error.body = Some(clean(&value.to_string(), BODY_LIMIT));
    said.tell(&mut error);
    error
}

/// Whether a stream's data is an error that [`from_event`] reads, and no chunk. One with `error` is,
/// whatever else it holds: OpenRouter puts an error and a choice into the same chunk.
pub fn is_error_event(value: &Value) -> bool {
    // The common case first: a chunk is asked once for each piece.
    if value.get("choices").is_some() && value.get("error").is_none_or(Value::is_null) {
        return false;
    }
    said(value).is_some_and(|said| said.is_error())
}

impl Said {
    fn is_error(&self) -> bool {
        self.enveloped || self.message.is_some()
    }

    /// Moves what is data into the error, masked and cut as a message is.
    fn tell(self, error: &mut Error) {
        let short = |text: String| clean(&text, EXCERPT);
        error.provider_code = self.code.map(short);
        error.provider_type = self.kind.map(short);
        error.param = self.param.map(short);
    }
}

/// Finds the error in the forms that are in use: OpenAI's object, a bare text, FastAPI's `detail`,
/// Gemini's list of one, an object without the envelope.
fn said(value: &Value) -> Option<Said> {
    let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    let envelope = value.as_object()?;
    match envelope.get("error") {
        Some(Value::String(text)) if !text.is_empty() => {
            Some(Said { message: Some(text.clone()), enveloped: true, ..fields(value) })
        }
        Some(inner @ Value::Object(_)) => Some(Said { enveloped: true, ..fields(inner) }),
        _ => Some(fields(value)),
    }
}

fn fields(value: &Value) -> Said {
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
    Said {
        enveloped: false,
        message: text("message").or_else(|| text("msg")).or_else(detail),
        code: text("code"),
        kind: text("type").or_else(|| text("status")),
        param: text("param"),
        inner: ["/innererror/code", "/inner_error/code"]
            .iter()
            .find_map(|path| Some(value.pointer(path)?.as_str()?.to_owned())),
        status: status("code").or_else(|| status("status")).or_else(|| status("status_code")),
    }
}

/// The kind, from what is most telling to what is least: the provider's own code, then the status.
fn kind_of(status: Option<u16>, said: &Said) -> Kind {
    let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_ascii_lowercase();
    let codes = format!("{} {} {}", lower(&said.code), lower(&said.kind), lower(&said.inner));
    let message = said
        .message
        .as_deref()
        .map(|text| truncate(text, BODY_LIMIT))
        .unwrap_or_default()
        .to_ascii_lowercase();
    let code = |words: &[&str]| words.iter().any(|word| codes.contains(word));
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let refused = status.is_none_or(|status| (400..500).contains(&status) && status != 429);

    if matches!(status, Some(300..400)) {
        return Kind::Redirect;
    }
    let no_money = code(&["insufficient"]) && code(&["quota", "balance", "credit", "funds"])
        || code(&["billing", "payment_required"]);
    if no_money
        || status == Some(402)
        || refused && says(&["credit balance is too low", "insufficient balance"])
    {
        return Kind::QuotaExhausted;
    }
    if code(&["content_filter", "content_policy", "responsibleaipolicyviolation", "data_inspection_failed"]) {
        return Kind::ContentFiltered;
    }
    let too_long = code(&["context_length_exceeded", "exceed_context_size"])
        || says(&["maximum context length", "prompt is too long", "exceeds the context window"]);
    if refused && too_long {
        return Kind::ContextLength;
    }
    if matches!(status, Some(401 | 403))
        || refused && code(&["invalid_api_key", "authentication", "permission_"])
    {
        return Kind::Authentication;
    }
    match status {
        Some(429) => Kind::RateLimit,
        Some(408 | 500..) => Kind::Server,
        Some(_) => Kind::InvalidRequest,
        None if code(&["rate_limit", "too_many_requests", "resource_exhausted"]) => Kind::RateLimit,
        None if code(&["invalid_request", "invalid_argument", "not_found"]) => Kind::InvalidRequest,
        None => Kind::Server,
    }
}

fn sentence(status: Option<u16>, place: &str, detail: Option<&str>) -> String {
    let mut message = match status {
        Some(status) => status.to_string(),
        None => "error".to_owned(),
    };
    if let Some(reason) = status.and_then(reason) {
        message.push(' ');
        message.push_str(reason);
    }
    // Writing to a String cannot fail.
    let _ = write!(message, " {place}");
    if let Some(detail) = detail.map(str::trim).filter(|detail| !detail.is_empty()) {
        let _ = write!(message, ": {}", clean(detail, BODY_LIMIT));
    }
    message
}

/// Cut first, so that masking is bounded; cut again, as a mask may be longer than what it hides.
fn clean(text: &str, limit: usize) -> String {
    truncate(&mask(truncate(text, limit)), limit).to_owned()
}

fn is_html(content_type: Option<&str>, text: &str) -> bool {
    let begins = |start: &str| text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("text/html"))
        || begins("<!doctype")
        || begins("<html")
}

fn page(html: &str) -> String {
    let head = truncate(html, TITLE_WITHIN);
    // ASCII lower case keeps every byte in its place.
    let lower = head.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|tag| {
        let start = tag + lower[tag..].find('>')? + 1;
        let end = start + lower[start..].find("</title")?;
        Some(head[start..end].split_whitespace().collect::<Vec<_>>().join(" "))
    });
    match title.filter(|title| !title.is_empty()) {
        Some(title) => format!("HTML page ({})", truncate(&title, EXCERPT)),
        None => "HTML page".to_owned(),
    }
}

fn first_line(text: &str) -> &str {
    truncate(text.lines().next().unwrap_or_default(), EXCERPT)
}

/// Names the host of a redirect and nothing else: its path and query may carry secrets.
fn target(location: Option<&str>) -> String {
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
    format!("redirect to {}", truncate(host, EXCERPT))
}

/// The reason phrases of RFC 9110 that occur, and the names of what proxies add.
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
