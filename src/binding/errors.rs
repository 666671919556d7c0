//! Errors on their way to JavaScript: records of data from which the JavaScript side builds its classes.

use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};

/// The data of an error, as JSON.
pub fn error_record(error: &Error) -> Value {
    let mut map = Map::new();
    map.insert("class".into(), json!(error.kind.class()));
    map.insert("code".into(), json!(error.code()));
    map.insert("message".into(), json!(error.message));
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(name.into(), value);
        }
    };
    if let Kind::Timeout(phase) = error.kind {
        put("phase", Some(json!(phase.as_str())));
    }
    put("timeBreakdown", error.time_breakdown.map(|times| json!(times)));
    put("status", error.status.map(Value::from));
    put("retryAfterMs", error.retry_after.map(|wait| json!(wait.as_millis().min(1 << 53) as u64)));
    put("type", error.provider_type.clone().map(Value::from));
    put("providerMessage", error.provider_message.clone().map(Value::from));
    put("providerCode", error.provider_code.clone().map(Value::from));
    put("param", error.param.clone().map(Value::from));
    put("requestId", error.request_id.clone().map(Value::from));
    let headers: Map<_, _> = error.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    put("headers", (!headers.is_empty()).then_some(Value::Object(headers)));
    put("body", error.body.clone().map(Value::from));
    put("partial", error.partial.clone().map(Value::from));
    put("snapshot", error.snapshot.clone().map(Value::from));
    if let Some(Value::Object(cap)) = error.cost_cap.as_ref().and_then(|cap| serde_json::to_value(cap).ok()) {
        cap.into_iter().for_each(|(name, value)| put(&name, Some(value)));
    }
    put("scope", error.scope.map(|scope| json!(scope.as_str())));
    put("cause", error.cause.as_ref().map(error_record));
    map.insert("attempts".into(), json!(error.attempts));
    Value::Object(map)
}

/// The exception for a synchronous function. The JavaScript side parses the record out of its reason.
pub fn exception(error: &Error) -> napi::Error {
    napi::Error::from_reason(error_record(error).to_string())
}

pub trait OrThrow<T> {
    fn or_throw(self) -> napi::Result<T>;
}

impl<T> OrThrow<T> for Result<T> {
    fn or_throw(self) -> napi::Result<T> {
        self.map_err(|error| exception(&error))
    }
}

/// Parses JSON that the JavaScript side has encoded, so a failure is a bug.
pub fn parse_json(json: &str) -> napi::Result<Value> {
    serde_json::from_str(json)
        .map_err(|error| exception(&Error::new(Kind::Internal, format!("invalid JSON: {error}"))))
}
