//! Errors on their way to JavaScript: records of data, from which the JS side builds its classes.

use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Phase};

/// The record of an error.
pub fn record(error: &Error) -> Value {
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
        put("phase", Some(json!(Phase::as_str(phase))));
    }
    put("timeBreakdown", error.time_breakdown.map(|times| json!(times)));
    put("status", error.status.map(Value::from));
    put("retryAfterMs", error.retry_after.map(|wait| json!(wait.as_millis().min(1 << 53) as u64)));
    put("type", error.provider_type.clone().map(Value::from));
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
    put("cause", error.cause.as_ref().map(record));
    map.insert("attempts".into(), json!(error.attempts));
    Value::Object(map)
}

/// An error that is thrown by a synchronous call. The JS side reads the record out of the reason.
pub fn throw(error: &Error) -> napi::Error {
    napi::Error::from_reason(record(error).to_string())
}

pub trait OrThrow<T> {
    fn or_throw(self) -> napi::Result<T>;
}

impl<T> OrThrow<T> for crate::error::Result<T> {
    fn or_throw(self) -> napi::Result<T> {
        self.map_err(|error| throw(&error))
    }
}

/// Parses what the JS side has encoded itself.
pub fn parse(json: &str) -> napi::Result<Value> {
    serde_json::from_str(json)
        .map_err(|error| throw(&Error::new(Kind::Internal, format!("bad JSON: {error}"))))
}
