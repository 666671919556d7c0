//! A provider's errors. An HTTP error response, or an error object inside a stream whose status was 200, becomes one
//! [`Error`] with data. It contains no part of the request, and everything that looks like a key is masked.
//!
//! - `fields`: where each shape of JSON has its message, its code and its type. `prefix`: JSON that was cut off.
//! - `causes`: the table of the codes and texts of providers.
//! - `waits`: the wait that a body asks for.
//! - `message`: what the error says.

mod causes;
mod fields;
mod message;
mod prefix;
mod waits;

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

pub use self::fields::is_vacant;
use self::fields::{ErrorFields, find_error};
use self::message::{EXCERPT_LIMIT, first_line, is_html, page_summary, redirect_target, sanitize, sentence};
use super::{limits, retry_after};
use crate::error::{BODY_LIMIT, Error, Kind, truncate};

/// In how many lines of a text an error is searched for.
const MAX_LINES: usize = 64;

/// Looks up a header by its name in lower case.
type Header<'a> = dyn Fn(&str) -> Option<String> + 'a;

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
    header: &Header<'_>,
    now_epoch_ms: u64,
) -> Error {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    let now = Some(now_epoch_ms);
    let found = if is_html(content_type, text) {
        Found { detail: Some(page_summary(text)), ..Found::default() }
    } else if let Some(json) = json(text) {
        Found::in_json(&json, now)
    } else {
        Found::in_text(text, now)
    };
    found.into_error(status, text, header, now_epoch_ms)
}

/// The error in the first bytes of a body with status 2xx that turned out not to be an event stream: JSON of any
/// shape, even if it is cut off; the first line of NDJSON with an error; an SSE field `error`; `data:` lines with an error that no
/// empty line ends; text; an HTML page. `text` is at most a few KiB; the error keeps [`BODY_LIMIT`] bytes of it. What
/// names no error is [`Kind::Malformed`] with `should_retry` false. `None` for an empty text.
pub fn from_text(text: &str, status: u16, header: &Header<'_>, now_epoch_ms: u64) -> Option<Error> {
    let text = text.trim_start_matches('\u{FEFF}').trim();
    if text.is_empty() {
        return None;
    }
    if !is_html(None, text)
        && json(text).is_none_or(|json| !is_error_event(&json))
        && let Some(value) = error_line(text)
    {
        let mut found = Found::in_json(&value, Some(now_epoch_ms));
        found.fields.is_error = true;
        return Some(found.into_error(status, text, header, now_epoch_ms));
    }
    Some(from_response(status, None, text.as_bytes(), header, now_epoch_ms))
}

/// The error in a text that is not an event and came after the answer: JSON, an SSE field `error`. `None` for anything else.
pub fn after_answer(text: &str, now_epoch_ms: u64) -> Option<Error> {
    let text = text.trim();
    let whole = json(text).filter(is_error_event);
    Some(from_event_at(&whole.or_else(|| error_line(text))?, now_epoch_ms))
}

/// Whether an error in a document with status 200 says neither what it is nor when to come back.
pub fn is_unexplained(error: &Error) -> bool {
    error.kind == Kind::Server
        && error.retry_after.is_none()
        && error.status.is_none_or(|status| status < 400)
}

/// The error of an error object inside a stream: `{"error":{…}}`, `{"error":"text"}`, or an object
/// with `message` and `type` itself. A numeric `code` or `status` is taken as the HTTP status that the
/// provider could no longer send. An error that fits no other kind is [`Kind::Server`].
pub fn from_event(value: &Value) -> Error {
    event_error(value, None)
}

/// Like [`from_event`], and reads waits that are given as a time.
pub fn from_event_at(value: &Value, now_epoch_ms: u64) -> Error {
    event_error(value, Some(now_epoch_ms))
}

fn event_error(value: &Value, now: Option<u64>) -> Error {
    let Found { fields, detail, wait } = Found::in_json(value, now);
    let mut error = Error::new(kind_of(fields.status, &fields, wait.is_some()), "");
    error.status = fields.status;
    error.message = sentence(fields.status, "in the provider's stream", detail.as_deref());
    error.provider_message = fields.message_of_json();
    let body = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
    error.body = Some(sanitize(&body, BODY_LIMIT));
    error.retry_after = wait.filter(|_| allows_wait(&error));
    fields.copy_into(&mut error);
    error
}

/// Whether the data of an event is an error for [`from_event`], and not a chunk. Data with `error` is one,
/// whatever else it contains: OpenRouter puts an error and a choice into the same chunk.
pub fn is_error_event(value: &Value) -> bool {
    // Beside an answer, the fields of an error without an envelope mean something else.
    let has_choices = value.get("choices").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if has_choices && !has_error(value) && value.pointer("/choices/0/error").is_none_or(is_vacant) {
        return false;
    }
    is_error(value)
}

/// Whether an object that holds no answer is an error.
pub fn is_error(value: &Value) -> bool {
    !value.is_string() && find_error(value).is_some_and(|fields| fields.is_error)
}

/// Whether an object has one of the fields that make it an error, whatever else is in it.
pub fn has_error(value: &Value) -> bool {
    value.get("error").is_some_and(|error| !is_vacant(error))
        || value.pointer("/base_resp/status_code").is_some_and(|code| !is_vacant(code) && code != "0")
}

/// Whether the JSON of a field `error` says that there is one: not for null, false, 0, an empty text, and lists and
/// objects of nothing else. Relays written in Go send such a field in each chunk.
pub fn is_error_value(raw: &str) -> bool {
    match raw.trim() {
        "" | "null" | "false" | "0" | "\"\"" | "{}" | "[]" => false,
        raw => super::json::value(raw).is_none_or(|value| !is_vacant(&value)),
    }
}

/// What was found in a body.
#[derive(Default)]
struct Found {
    fields: ErrorFields,
    /// What happened, in words.
    detail: Option<String>,
    wait: Option<Duration>,
}

impl Found {
    fn in_json(json: &Value, now: Option<u64>) -> Self {
        let fields = find_error(json).unwrap_or_default();
        Found { detail: fields.summary(), fields, wait: waits::in_json(json, now) }
    }

    fn in_text(text: &str, now: Option<u64>) -> Self {
        let detail = (!text.is_empty()).then(|| first_line(text).to_owned());
        Found { fields: ErrorFields::of_text(text), detail, wait: waits::in_text(text, now) }
    }

    /// The error of a response with this body. `self` is what was found in it.
    fn into_error(self, status: u16, body: &str, header: &Header<'_>, now_epoch_ms: u64) -> Error {
        let Found { fields, mut detail, wait } = self;
        let mut error = Error::new(Kind::Malformed, "");
        error.provider_message = json(body).and_then(|_| fields.message_of_json());
        error.status = Some(status);
        let is_redirect = (300..400).contains(&status);
        if is_redirect {
            detail = Some(redirect_target(header("location").as_deref()));
        }
        if !(200..300).contains(&status) {
            error.kind = kind_of(Some(status), &fields, wait.is_some());
        } else if fields.is_error {
            error.kind = kind_of(fields.status, &fields, wait.is_some());
            error.status = fields.status.or(error.status);
        } else if let Some(kind) = causes::find(None, &fields, wait.is_some()) {
            error.kind = kind;
        }
        let is_malformed = error.kind == Kind::Malformed;
        if is_malformed
            && fields.message.is_none()
            && detail.as_deref().is_none_or(|text| !text.contains("HTML"))
        {
            detail = Some("not the requested stream".to_owned());
        }
        error.message = sentence(error.status, "from the provider", detail.as_deref());
        error.retry_after = retry_after::parse(header, now_epoch_ms);
        if error.retry_after.is_none() && allows_wait(&error) {
            let resets =
                || limits::reset_wait(header, now_epoch_ms).filter(|_| error.kind == Kind::RateLimit);
            error.retry_after = wait.or_else(resets);
        }
        // A request that is larger than what a whole minute allows never fits.
        let is_large = || error.message.to_ascii_lowercase().contains("request too large");
        let never_fits = error.kind == Kind::RateLimit && (status == 413 || is_large());
        error.should_retry = match header("x-should-retry").as_deref().map(str::trim) {
            _ if is_malformed => Some(false),
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => never_fits.then_some(false),
        };
        error.request_id = ["x-request-id", "request-id", "cf-ray"]
            .iter()
            .find_map(|name| header(name).filter(|id| !id.trim().is_empty()))
            .map(|id| truncate(id.trim(), EXCERPT_LIMIT).to_owned());
        error.body = (!is_redirect && !body.is_empty()).then(|| sanitize(body, BODY_LIMIT));
        fields.copy_into(&mut error);
        error
    }
}

impl ErrorFields {
    /// What happened in the provider's words, masked and truncated.
    fn message_of_json(&self) -> Option<String> {
        self.summary().map(|text| sanitize(&text, BODY_LIMIT))
    }

    /// Moves codes and types into the error, masked and truncated.
    fn copy_into(self, error: &mut Error) {
        let short = |text: String| sanitize(&text, EXCERPT_LIMIT);
        error.provider_code = self.code.or(self.base_code).map(short);
        error.provider_type = self.kind.map(short);
        error.param = self.param.map(short);
    }
}

/// Whether a wait in the body or a limit's reset is a reason to wait before the request is sent again.
fn allows_wait(error: &Error) -> bool {
    match error.kind {
        Kind::RateLimit => true,
        Kind::Server => !matches!(error.status, Some(501 | 505..=511)),
        _ => false,
    }
}

/// The kind, from the most specific evidence to the least: the provider's own code and text, then the status.
fn kind_of(status: Option<u16>, fields: &ErrorFields, has_wait: bool) -> Kind {
    if matches!(status, Some(300..400)) {
        return Kind::Redirect;
    }
    if let Some(kind) = causes::find(status, fields, has_wait) {
        return kind;
    }
    let codes = [&fields.code, &fields.kind, &fields.inner_code];
    let code_has = |word: &str| {
        codes.into_iter().flatten().any(|code| truncate(code, BODY_LIMIT).to_ascii_lowercase().contains(word))
    };
    let is_client_error = status.is_none_or(|status| (400..500).contains(&status) && status != 429);
    let names_key = || ["invalid_api_key", "authentication", "permission_"].into_iter().any(code_has);
    match status {
        Some(402) => Kind::QuotaExhausted,
        Some(401 | 403) => Kind::Authentication,
        _ if is_client_error && names_key() => Kind::Authentication,
        Some(429) => Kind::RateLimit,
        Some(408 | 500..) => Kind::Server,
        Some(_) => Kind::InvalidRequest,
        None if fields.is_validation => Kind::InvalidRequest,
        None => Kind::Server,
    }
}

/// JSON with an object or a list in it, even if it was cut off.
fn json(text: &str) -> Option<Value> {
    text.starts_with(['{', '[']).then(|| super::json::value(text).or_else(|| prefix::parse(text))).flatten()
}

/// The first error in the lines of a text: in a field `error` of SSE, in the data behind `event: error`, or as JSON.
fn error_line(text: &str) -> Option<Value> {
    let mut is_error = false;
    for line in text.lines().take(MAX_LINES).map(str::trim) {
        if let Some(error) = line.strip_prefix("error:").map(str::trim).filter(|error| !error.is_empty()) {
            return Some(json(error).unwrap_or_else(|| error.into()));
        }
        if let Some(event) = line.strip_prefix("event:") {
            is_error = event.trim() == "error";
            continue;
        }
        let data = line.strip_prefix("data:").unwrap_or(line).trim();
        match json(data) {
            Some(value) if is_error || is_error_event(&value) => return Some(value),
            None if is_error && !data.is_empty() => return Some(data.into()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod causes_tests;
#[cfg(test)]
mod shapes_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waits_tests;
