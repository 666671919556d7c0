//! The dialects beside chat completions: what the simulator reads of their requests, and which shape its
//! errors have in them.

use bytes::Bytes;
use bytes::BytesMut;
use serde_json::{Value, json};

use super::chat::{ChatRequest, Message, Unreadable};
use super::pieces::Pieces;
use super::record::Incoming;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

/// One event of a stream.
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) data: Value,
    /// It carries a piece of the answer.
    pub(super) piece: bool,
}

/// An answer in a dialect: as events, and in one piece.
pub(super) struct Spoken {
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

    /// Reads a request, with the refusals that its provider has.
    pub(super) fn read(self, request: &Incoming) -> Result<ChatRequest, Unreadable> {
        let unreadable = |message: &str, param| Unreadable { message: message.to_owned(), param };
        let body: Value = serde_json::from_slice(&request.body).map_err(|e| {
            unreadable(&format!("We could not parse the JSON body of your request. ({e})"), None)
        })?;
        let messages = match self {
            Self::Responses => match &body["input"] {
                Value::String(text) => vec![Message { role: "user".into(), text: text.clone() }],
                Value::Array(items) => items.iter().map(message).collect(),
                _ => return Err(unreadable("Missing required parameter: 'input'.", Some("input"))),
            },
            Self::Messages => {
                if request.header("anthropic-version").is_none() {
                    return Err(unreadable("anthropic-version: header is required", None));
                }
                if body["max_tokens"].as_u64().is_none() {
                    return Err(unreadable("max_tokens: Field required", None));
                }
                let Some(items) = body["messages"].as_array() else {
                    return Err(unreadable("messages: Field required", None));
                };
                items.iter().map(message).collect()
            }
        };
        if self == Self::Messages {
            if messages.iter().any(|m: &Message| m.role == "system") {
                let why = "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.";
                return Err(unreadable(why, None));
            }
            let last = messages.last().filter(|m| m.role == "assistant");
            if last.is_some_and(|m| m.text.ends_with(char::is_whitespace)) {
                let why = "messages: final assistant content cannot end with trailing whitespace";
                return Err(unreadable(why, None));
            }
        }
        Ok(ChatRequest {
            model: body["model"].as_str().map(str::to_owned),
            stream: body["stream"].as_bool().unwrap_or(false),
            has_stream_options: false,
            include_usage: true,
            choices: 1,
            messages,
        })
    }

    /// A provider's error in this dialect, from one in the shape of chat completions.
    pub(super) fn error(self, status: u16, body: &Bytes) -> Bytes {
        let given: Value = serde_json::from_slice(body).unwrap_or_default();
        if self == Self::Responses || !given["error"].is_object() {
            return body.clone();
        }
        let error = json!({ "type": error_type(status), "message": given["error"]["message"] });
        Bytes::from(json!({ "type": "error", "error": error }).to_string())
    }

    /// The error event of a cut. `number`: how many events came before it.
    pub(super) fn error_event(self, given: Option<&Value>, named: bool, number: usize) -> Event {
        let default = match self {
            Self::Messages => json!({ "type": "overloaded_error", "message": "Overloaded" }),
            Self::Responses => {
                json!({ "code": "server_error", "message": "The server had an error while processing your request. Sorry about that!" })
            }
        };
        let error = given.cloned().unwrap_or(default);
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
        Event { name, data, piece: false }
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

/// The pieces, one by one.
pub(super) fn each(pieces: &Pieces) -> impl Iterator<Item = String> {
    (0..pieces.len()).map(|at| {
        let mut inside = BytesMut::new();
        pieces.write(at, &mut inside);
        // It was written as the inside of a JSON string.
        serde_json::from_str(&format!("\"{}\"", String::from_utf8_lossy(&inside))).unwrap_or_default()
    })
}
