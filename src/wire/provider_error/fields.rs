//! The shapes of errors in JSON: what each of them calls its message, its code and its type.
//!
//! Shapes: `{"error":{…}}` (OpenAI), `{"type":"error","error":{…}}` (Anthropic), `[{"error":{…}}]` (Gemini),
//! `{"error":"text","code":"text"}` (xAI), `{"detail":…}` (FastAPI), `{"success":false,"errors":[…]}` (Cloudflare),
//! `{"base_resp":{…}}` (MiniMax), `{"object":"error",…}` (vLLM), `{"__type":…}` and `{"Error":{…}}` (AWS),
//! `{"fault":{…}}` (Apigee), `{"header":{"code":…}}` (iFlytek), `{"error_code":…,"error_msg":…}` (Baidu), RFC 9457's
//! `{"title":…,"detail":…}`, and flat objects with a message.

use serde_json::{Map, Value};

use crate::error::{BODY_LIMIT, truncate};

/// How deep errors inside errors are followed.
const MAX_DEPTH: usize = 4;

const MESSAGES: &[&str] = &[
    "message",
    "msg",
    "Message",
    "error_message",
    "errorMessage",
    "ErrorMessage",
    "error_msg",
    "errorMsg",
    "errMsg",
    "errmsg",
    "status_msg",
    "error_description",
    "faultstring",
];
const CODES: &[&str] =
    &["code", "Code", "error_code", "errorCode", "errcode", "err_code", "errorcode", "status_code"];
const TYPES: &[&str] = &["type", "__type", "errorType", "error_type", "Type"];
const STATUSES: &[&str] = &[
    "code",
    "status",
    "status_code",
    "statusCode",
    "http_code",
    "httpCode",
    "http_status",
    "httpStatus",
    "error_code",
    "originalStatusCode",
];
/// What an error without further content may have besides its message.
const IDS: &[&str] =
    &["id", "request_id", "requestId", "RequestId", "trace_id", "traceId", "timestamp", "path", "object"];

/// The fields of an error, whatever the form of the provider's JSON.
#[derive(Debug, Default)]
pub(super) struct ErrorFields {
    pub message: Option<String>,
    pub code: Option<String>,
    pub kind: Option<String>,
    pub param: Option<String>,
    /// The code of an inner error (Azure).
    pub inner_code: Option<String>,
    /// `base_resp.status_code` (MiniMax). Its numbers mean something else at other providers.
    pub base_code: Option<String>,
    /// An HTTP status inside the JSON.
    pub status: Option<u16>,
    /// The error of a gateway's own provider (OpenRouter's `metadata.raw`).
    pub upstream: Option<Box<ErrorFields>>,
    /// A list of invalid fields (FastAPI).
    pub is_validation: bool,
    /// This is an error even if no status says so.
    pub is_error: bool,
}

impl ErrorFields {
    /// The fields of a text that is not JSON.
    pub fn of_text(text: &str) -> Self {
        let message = truncate(text, BODY_LIMIT).trim();
        ErrorFields { message: (!message.is_empty()).then(|| message.to_owned()), ..Self::default() }
    }

    /// What happened in words: the message, with the upstream's, or else the code or the type.
    pub fn summary(&self) -> Option<String> {
        let text = [&self.message, &self.code, &self.kind].into_iter().flatten().next();
        let upstream = self.upstream.as_ref().and_then(|upstream| upstream.summary());
        match (text, upstream) {
            (Some(text), Some(upstream)) if !text.contains(&upstream) => Some(format!("{text} ({upstream})")),
            (Some(text), _) => Some(text.clone()),
            (None, upstream) => upstream,
        }
    }
}

/// Finds the error in any of the shapes in use. `None` if the JSON is neither an object nor a text.
pub(super) fn find_error(value: &Value) -> Option<ErrorFields> {
    find(value, 0)
}

/// Whether the content of a field `error` says nothing: null, false, 0, an empty text, and lists and objects of nothing
/// else. Relays written in Go send such a field in each chunk.
pub fn is_vacant(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.iter().all(is_vacant),
        Value::Object(object) => object.values().all(is_vacant) || says_success(object),
    }
}

/// `{"code":0,"message":"success"}`.
fn says_success(object: &Map<String, Value>) -> bool {
    let message = text_in(object, MESSAGES, 0).unwrap_or_default();
    text_in(object, CODES, 0).is_some_and(|code| is_success_code(&code))
        && (message.is_empty() || is_success_code(&message))
}

fn is_success_code(code: &str) -> bool {
    let code = code.trim();
    match code.parse::<f64>() {
        Ok(number) => number == 0.0 || (200.0..300.0).contains(&number),
        Err(_) => ["ok", "success", "succeeded", "none"].iter().any(|word| code.eq_ignore_ascii_case(word)),
    }
}

fn find(value: &Value, depth: usize) -> Option<ErrorFields> {
    if depth > MAX_DEPTH {
        return None;
    }
    let object = match value {
        Value::Array(list) => return find(list.first()?, depth + 1),
        Value::String(text) => return find_in_text(text, depth),
        Value::Object(object) => object,
        _ => return None,
    };
    let field = |name: &str| object.get(name).filter(|value| !is_vacant(value));
    if let Some(inner) = field("error").or_else(|| choice_error(object)) {
        return Some(in_envelope(inner, object, depth));
    }
    if let Some(base) = field("base_resp").and_then(Value::as_object) {
        let code = text_in(base, &["status_code"], depth).filter(|code| !is_success_code(code));
        if code.is_some() {
            return Some(ErrorFields { base_code: code, is_error: true, ..flat(base, depth) });
        }
    }
    // An error in a field that only errors have. Flat objects may have them too: then their text is the message.
    for name in ["errors", "Error", "fault", "Fault", "detail", "header", "Response"] {
        match field(name) {
            Some(inner @ (Value::Array(_) | Value::Object(_))) => {
                if let Some(found) = find_named(name, inner, object, depth) {
                    return Some(found);
                }
            }
            Some(Value::String(text)) if name == "errors" => {
                return Some(ErrorFields { is_error: true, ..ErrorFields::of_text(text) });
            }
            _ => {}
        }
    }
    if let Some((name, inner)) = object.iter().find(|(name, value)| is_exception(name, value)) {
        // An event of Bedrock's streams.
        let found = find(inner, depth + 1).unwrap_or_default();
        return Some(ErrorFields { is_error: true, kind: Some(name.clone()), ..found });
    }
    let fields = flat(object, depth);
    let is_error = is_flat_error(object, &fields);
    Some(ErrorFields { is_error, ..fields })
}

/// A text: an error as JSON in a string, or just words.
fn find_in_text(text: &str, depth: usize) -> Option<ErrorFields> {
    if text.trim_start().starts_with(['{', '[']) {
        let found =
            super::prefix::parse(truncate(text, BODY_LIMIT)).and_then(|value| find(&value, depth + 1));
        if found.as_ref().is_some_and(|found| found.message.is_some() || found.code.is_some()) {
            return found;
        }
    }
    Some(ErrorFields::of_text(text))
}

/// The error of a choice (OpenRouter).
fn choice_error(object: &Map<String, Value>) -> Option<&Value> {
    let error = object.get("choices")?.as_array()?.first()?.get("error")?;
    (!is_vacant(error)).then_some(error)
}

fn in_envelope(inner: &Value, envelope: &Map<String, Value>, depth: usize) -> ErrorFields {
    let outer = flat(envelope, depth);
    let mut fields = match inner {
        Value::String(text) if !text.trim_start().starts_with(['{', '[']) => match &outer.message {
            // `{"error":"Too Many Requests","message":"…"}`: the shorter one is a name.
            Some(message) if message != text => ErrorFields {
                message: Some(message.clone()),
                kind: outer.kind.clone().or_else(|| Some(text.clone())),
                ..ErrorFields::default()
            },
            _ => {
                let is_name = !text.contains(char::is_whitespace) && text.is_ascii();
                let code = is_name.then(|| text.clone());
                ErrorFields { code, ..ErrorFields::of_text(text) }
            }
        },
        Value::Object(object) => {
            let shallow = flat(object, depth + 1);
            match shallow.message {
                Some(_) => shallow,
                None => match find(inner, depth + 1) {
                    Some(deeper) if deeper.message.is_some() => deeper,
                    _ => shallow,
                },
            }
        }
        Value::Array(_) | Value::String(_) => find(inner, depth + 1).unwrap_or_default(),
        _ => {
            ErrorFields { message: outer.message.clone(), kind: outer.kind.clone(), ..ErrorFields::default() }
        }
    };
    fields.is_error = true;
    fields.message = fields.message.or(outer.message);
    fields.code = inner_or_outer(fields.code, outer.code);
    fields.kind = fields.kind.or(outer.kind.filter(|kind| kind != "error"));
    fields.param = fields.param.or(outer.param);
    fields.status = fields.status.or(outer.status);
    fields.upstream = fields.upstream.or(outer.upstream);
    fields
}

/// The code of the error itself; the envelope's if it has none.
fn inner_or_outer(inner: Option<String>, outer: Option<String>) -> Option<String> {
    inner.or(outer.filter(|code| !is_success_code(code)))
}

/// The error in a field of this name, if it is one.
fn find_named(name: &str, inner: &Value, envelope: &Map<String, Value>, depth: usize) -> Option<ErrorFields> {
    if name == "Response" && inner.get("Error").is_none() {
        return None;
    }
    if name == "header" {
        // iFlytek sends it in every answer.
        let header = inner.as_object()?;
        let code = text_in(header, &["code"], depth).filter(|code| !is_success_code(code))?;
        return Some(ErrorFields { is_error: true, code: Some(code), ..flat(header, depth) });
    }
    let first = inner.as_array().and_then(|list| list.first()).unwrap_or(inner);
    let location = first.get("loc").and_then(Value::as_array);
    let found = find(inner, depth + 1)?;
    let outer = flat(envelope, depth);
    Some(ErrorFields {
        is_error: true,
        is_validation: location.is_some(),
        param: found.param.or_else(|| Some(location?.last()?.as_str()?.to_owned())),
        message: found.message.or(outer.message),
        code: inner_or_outer(found.code.or_else(|| deep_code(inner)), outer.code),
        status: found.status.or(outer.status),
        ..found
    })
}

/// Apigee's `fault.detail.errorcode`.
fn deep_code(value: &Value) -> Option<String> {
    Some(value.get("detail")?.get("errorcode")?.as_str()?.to_owned())
}

fn is_exception(name: &str, value: &Value) -> bool {
    value.is_object() && name.ends_with("Exception")
}

/// The fields of one object.
fn flat(object: &Map<String, Value>, depth: usize) -> ErrorFields {
    let message = text_in(object, MESSAGES, depth);
    let message = message.or_else(|| match object.get("detail")? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        _ => None,
    });
    let kind = text_in(object, TYPES, depth).or_else(|| {
        let status = text_in(object, &["status"], depth)?;
        status.parse::<f64>().is_err().then_some(status)
    });
    ErrorFields {
        message: message.or_else(|| text_in(object, &["title"], depth)),
        code: text_in(object, CODES, depth),
        kind,
        param: text_in(object, &["param"], depth),
        inner_code: ["innererror", "inner_error"]
            .iter()
            .find_map(|name| text_in(object.get(*name)?.as_object()?, &["code"], depth)),
        status: STATUSES.iter().find_map(|name| {
            let status: u16 = text_in(object, &[name], depth)?.trim().parse().ok()?;
            (400..600).contains(&status).then_some(status)
        }),
        upstream: upstream(object, depth),
        ..ErrorFields::default()
    }
}

/// The error that a gateway quotes: OpenRouter's `metadata.raw`, or JSON in the message itself.
fn upstream(object: &Map<String, Value>, depth: usize) -> Option<Box<ErrorFields>> {
    if depth >= MAX_DEPTH {
        return None;
    }
    let quoted = object.get("metadata").and_then(|metadata| metadata.get("raw"));
    let found = match quoted.filter(|raw| !is_vacant(raw)) {
        Some(raw) => find(raw, depth + 1)?,
        None => {
            let message = object.get("message")?.as_str()?;
            find_in_text(&message[message.find("{\"")?..], depth + 1).filter(|found| found.is_error)?
        }
    };
    Some(Box::new(found))
}

/// The first of these fields that has a text or a number; the message of an object in its place.
fn text_in(object: &Map<String, Value>, names: &[&str], depth: usize) -> Option<String> {
    names.iter().find_map(|name| match object.get(*name)? {
        Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(inner) if depth < MAX_DEPTH => {
            text_in(inner, MESSAGES, depth + 1).or_else(|| text_in(inner, &["text"], depth + 1))
        }
        Value::Array(list) => Some(list.first()?.as_str()?.to_owned()),
        _ => None,
    })
}

/// Whether an object without an envelope is an error. Streams have events with a message that are not errors, so something
/// must say that it failed, or nothing else may be there.
fn is_flat_error(object: &Map<String, Value>, fields: &ErrorFields) -> bool {
    let is_failed = |name: &str| object.get(name).is_some_and(|value| value == &Value::Bool(false));
    let says_error = |name: &str| object.get(name).and_then(Value::as_str).is_some_and(is_error_word);
    let failed = fields.status.is_some()
        || ["success", "ok"].into_iter().any(is_failed)
        || ["type", "object", "__type", "status", "error_type", "errorType"].into_iter().any(says_error);
    let text = |name: &&&str| object.get(**name).is_some_and(|value| value.is_string() && !is_vacant(value));
    if !MESSAGES.iter().chain(&["detail"]).any(|name| text(&name)) {
        return failed && object.get("choices").is_none_or(is_vacant);
    }
    let has_code = fields.code.as_deref().is_some_and(|code| !is_success_code(code));
    let is_alone = || {
        object.iter().all(|(name, value)| {
            let name = name.as_str();
            is_vacant(value) || MESSAGES.contains(&name) || IDS.contains(&name) || name == "detail"
        })
    };
    let names_error = || ["errorMessage", "error_msg", "errorMsg", "error_message", "errMsg"];
    failed
        || has_code
        || (is_alone() && !says_success(object))
        || names_error().iter().any(|name| text(&name))
}

fn is_error_word(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let parts = ["error", "fail", "exception", "exhausted", "invalid", "denied", "limit", "unavailable"];
    parts.iter().any(|part| word.contains(part))
}
