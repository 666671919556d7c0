//! Complete bodies in OpenAI's shapes: errors, completions, lists of models, and a gateway's HTML page.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::content::{Content, Identity, Tool};
use super::deltas::Deltas;
use super::scenario::Scenario;

/// An error body.
pub(super) fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Bytes {
    let error = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    Bytes::from(error.to_string())
}

/// The error that fits a status.
pub(super) fn error_of(status: u16, model: &str) -> Bytes {
    let no_model = format!("The model `{model}` does not exist or you do not have access to it.");
    let (message, kind, code) = match status {
        400 => ("The request is invalid.", "invalid_request_error", None),
        401 => ("Incorrect API key provided.", "invalid_request_error", Some("invalid_api_key")),
        402 => ("Insufficient credits.", "insufficient_quota", Some("insufficient_quota")),
        403 => (
            "Country, region, or territory not supported",
            "request_forbidden",
            Some("unsupported_country_region_territory"),
        ),
        404 => (no_model.as_str(), "invalid_request_error", Some("model_not_found")),
        408 => ("Request timed out.", "server_error", Some("request_timeout")),
        413 => ("The request is too large.", "invalid_request_error", Some("request_too_large")),
        429 => ("Rate limit reached for requests.", "requests", Some("rate_limit_exceeded")),
        500 => (
            "The server had an error while processing your request. Sorry about that!",
            "server_error",
            Some("server_error"),
        ),
        502 => ("Bad gateway.", "server_error", Some("bad_gateway")),
        503 => (
            "The engine is currently overloaded, please try again later.",
            "server_error",
            Some("service_unavailable"),
        ),
        504 => ("The gateway timed out.", "server_error", Some("gateway_timeout")),
        529 => ("Overloaded", "overloaded_error", Some("overloaded")),
        501.. => ("The server had an error.", "server_error", None),
        _ => ("The request was not accepted.", "invalid_request_error", None),
    };
    error(message, kind, None, code)
}

/// The data of an error event in a stream of chunks.
pub(super) fn error_event(custom: Option<&Value>) -> Value {
    let error = custom.cloned().unwrap_or_else(|| {
        json!({"message": "The server had an error while processing your request. Sorry about that!",
            "type": "server_error", "param": null, "code": "server_error"})
    });
    json!({ "error": error })
}

/// The error page of a gateway in front of the provider.
pub(super) fn html(status: u16) -> Bytes {
    let reason = reason(status);
    Bytes::from(format!(
        "<!DOCTYPE html>\n<html>\n<head><title>{status} {reason}</title></head>\n<body>\n\
         <center><h1>{status} {reason}</h1></center>\n<hr><center>gateway</center>\n</body>\n</html>\n"
    ))
}

pub(super) fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}

pub(super) fn models(models: &[String]) -> Bytes {
    let data: Vec<Value> = models.iter().map(|id| model(id)).collect();
    Bytes::from(json!({"object": "list", "data": data}).to_string())
}

pub(super) fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"})
}

/// A complete `chat.completion`. Without `finish`, its finish reasons are null.
pub(super) fn completion(
    content: &Content,
    scenario: &Scenario,
    choices: u64,
    identity: &Identity<'_>,
    usage: Option<&str>,
    finish: bool,
) -> Bytes {
    let text = |deltas: &Deltas| if deltas.len() > 0 { Value::from(deltas.text()) } else { Value::Null };
    let bare = content.tools.is_empty() && content.refusal.len() == 0;
    let choice = |index: u64| {
        let mut message = Map::new();
        message.insert("role".to_owned(), "assistant".into());
        let late = scenario.late_text.as_deref().filter(|_| index == 0);
        let visible = match late {
            Some(late) => Value::from(content.text.text() + late),
            None if bare => Value::from(content.text.text()),
            None => text(&content.text),
        };
        message.insert("content".to_owned(), visible);
        if content.reasoning.len() > 0 {
            message.insert("reasoning_content".to_owned(), text(&content.reasoning));
        }
        message.insert("refusal".to_owned(), text(&content.refusal));
        if !content.tools.is_empty() {
            let call = |tool: &Tool| {
                let id = if index == 0 { tool.id.clone() } else { format!("{}_{index}", tool.id) };
                json!({"id": id, "type": "function",
                    "function": {"name": tool.name, "arguments": tool.arguments.text()}})
            };
            message.insert("tool_calls".to_owned(), content.tools.iter().map(call).collect());
        }
        let reason = if finish { Value::from(content.finish.as_str()) } else { Value::Null };
        json!({"index": index, "message": message, "logprobs": null, "finish_reason": reason})
    };
    let mut body = json!({
        "id": identity.id, "object": "chat.completion", "created": identity.created,
        "model": identity.model, "system_fingerprint": "fp_simulator",
        "choices": (0..choices).map(choice).collect::<Vec<_>>(),
    });
    if let Value::Object(body) = &mut body {
        body.extend(scenario.chunk_fields.clone());
    }
    if let Some(usage) = usage.and_then(|usage| serde_json::from_str::<Value>(usage).ok()) {
        body["usage"] = usage;
    }
    Bytes::from(body.to_string())
}
