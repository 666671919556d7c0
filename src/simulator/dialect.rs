//! The dialects other than chat completions: their requests, and the shapes of their errors.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use super::chat_request::{ChatRequest, InvalidRequest, Message};
use super::record::IncomingRequest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

/// One event of a stream.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) name: Option<Cow<'static, str>>,
    /// A string is sent unchanged, anything else as JSON.
    pub(super) data: Value,
    /// Whether it carries a delta of the answer.
    pub(super) is_delta: bool,
}

/// An answer in a dialect: as events, and as one body.
pub(super) struct DialectAnswer {
    pub(super) events: Vec<Event>,
    pub(super) whole: Value,
}

impl Dialect {
    pub(super) fn of(path: &str) -> Option<Self> {
        if path.ends_with("/responses") {
            Some(Self::Responses)
        } else if path.ends_with("/messages") {
            Some(Self::Messages)
        } else {
            None
        }
    }

    /// Parses a request, and rejects what the provider rejects.
    pub(super) fn parse(self, request: &IncomingRequest) -> Result<ChatRequest, InvalidRequest> {
        let invalid = |message: &str, param| InvalidRequest { message: message.to_owned(), param };
        let body: Value = serde_json::from_slice(&request.body).map_err(|e| {
            invalid(&format!("We could not parse the JSON body of your request. ({e})"), None)
        })?;
        let messages = match self {
            Self::Responses => match &body["input"] {
                Value::String(text) => vec![Message { role: "user".into(), text: text.clone() }],
                Value::Array(items) => items.iter().map(message).collect(),
                _ => return Err(invalid("Missing required parameter: 'input'.", Some("input"))),
            },
            Self::Messages => {
                if request.header("anthropic-version").is_none() {
                    return Err(invalid("anthropic-version: header is required", None));
                }
                if body["max_tokens"].as_u64().is_none() {
                    return Err(invalid("max_tokens: Field required", None));
                }
                let Some(items) = body["messages"].as_array() else {
                    return Err(invalid("messages: Field required", None));
                };
                items.iter().map(message).collect()
            }
        };
        if self == Self::Messages {
            if messages.iter().any(|m: &Message| m.role == "system") {
                let why = "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.";
                return Err(invalid(why, None));
            }
            let last = messages.last().filter(|m| m.role == "assistant");
            if last.is_some_and(|m| m.text.ends_with(char::is_whitespace)) {
                let why = "messages: final assistant content cannot end with trailing whitespace";
                return Err(invalid(why, None));
            }
        }
        Ok(ChatRequest {
            model: body["model"].as_str().map(str::to_owned),
            stream: body["stream"].as_bool().unwrap_or(false),
            has_stream_options: false,
            include_usage: true,
            choices: 1,
            messages,
            continues_final_message: false,
            is_prefix: false,
            is_partial: false,
            background: self == Self::Responses && body["background"] == true && body["store"] != false,
        })
    }

    /// Converts an error body from the shape of chat completions to this dialect.
    pub(super) fn error_body(self, status: u16, body: &Bytes) -> Bytes {
        let body_json: Value = serde_json::from_slice(body).unwrap_or_default();
        if self == Self::Responses || !body_json["error"].is_object() {
            return body.clone();
        }
        let error = json!({ "type": error_type(status), "message": body_json["error"]["message"] });
        Bytes::from(json!({ "type": "error", "error": error }).to_string())
    }

    /// The error event of a cut. `number` is the number of events before it.
    pub(super) fn error_event(self, custom: Option<&Value>, named: bool, number: usize) -> Event {
        let default = match self {
            Self::Messages => json!({ "type": "overloaded_error", "message": "Overloaded" }),
            Self::Responses => {
                json!({ "code": "server_error", "message": "The server had an error while processing your request. Sorry about that!" })
            }
        };
        let error = custom.cloned().unwrap_or(default);
        let (name, data) = match self {
            Self::Messages => ("error", json!({ "type": "error", "error": error })),
            Self::Responses if named => {
                let response = json!({ "id": "resp_failed", "object": "response", "status": "failed", "error": error, "output": [] });
                let data =
                    json!({ "type": "response.failed", "sequence_number": number, "response": response });
                ("response.failed", data)
            }
            Self::Responses => {
                let data = json!({
                    "type": "error", "sequence_number": number, "code": error["code"],
                    "message": error["message"], "param": null,
                });
                ("error", data)
            }
        };
        Event { name: Some(name.into()), data, is_delta: false }
    }
}

/// `error.type` as Anthropic documents it.
fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn message(item: &Value) -> Message {
    let text = match &item["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    };
    Message { role: item["role"].as_str().unwrap_or_default().to_owned(), text }
}
