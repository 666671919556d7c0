//! OpenAI's Responses: the response object, which the last event of a stream and an answer that is not streamed hold.

use serde_json::Value;

use super::codec::{Ending, chat_usage};
use super::normal::count;
use crate::error::{Error, Kind, Result, truncate};
use crate::wire::chat::{FinishKind, MAX_REASON, interruption_error};
use crate::wire::provider_error;
use crate::wire::request::ChatRequest;

/// How a response ended. `kind` is the type of what holds it; whatever that says, the response itself may have failed.
///
/// # Errors
/// The provider's error, if the response failed, and that of an answer that was broken off.
pub fn ending(kind: &str, response: &Value) -> Result<Ending> {
    if kind == "response.failed" || has_failed(response) {
        return Err(failure(response));
    }
    let status = match response["status"].as_str() {
        // For a limit or a filter, or it was broken off.
        Some("incomplete") => response["incomplete_details"]["reason"].as_str().or(Some("incomplete")),
        status => status,
    };
    if let Some(status) = status.filter(|status| FinishKind::of(status) == FinishKind::Interrupted) {
        return Err(interruption_error(status));
    }
    let calls = response["output"].as_array().is_some_and(|items| {
        items.iter().any(|item| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call")))
    });
    let reason = match response["incomplete_details"]["reason"].as_str() {
        Some("max_output_tokens") => "length",
        Some(other) => truncate(other, MAX_REASON),
        None if calls => "tool_calls",
        None => "stop",
    };
    let tokens = |names: [&str; 2]| names.iter().find_map(|name| count(&response["usage"][*name]));
    // The names in chat completions too: relays translate the answer and not its usage.
    let input = tokens(["input_tokens", "prompt_tokens"]);
    let usage = match (input, tokens(["output_tokens", "completion_tokens"])) {
        (Some(input), Some(output)) => Some(chat_usage(input, output)),
        _ => None,
    };
    Ok(Ending { reason: reason.to_owned(), usage })
}

/// The error of a failed response, or of an `error` event.
pub(super) fn failure(value: &Value) -> Error {
    let mut error = provider_error::from_event(value);
    // `error.code` in "The response object": these codes mean that the request is at fault.
    let code = error.provider_code.as_deref().unwrap_or_default();
    let request_codes =
        ["invalid_", "image_", "unsupported_image", "empty_image", "failed_to_download_image"];
    if error.kind == Kind::Server && request_codes.iter().any(|start| code.starts_with(start)) {
        error.kind = Kind::InvalidRequest;
    }
    error
}

fn has_failed(response: &Value) -> bool {
    response["status"] == "failed" || provider_error::has_error(response)
}

/// Why an answer to this request cannot be resumed; `None` if it can.
pub fn not_resumable(request: &ChatRequest) -> Option<&'static str> {
    if request.read("background").unwrap_or(false) {
        return Some("a background response cannot be continued");
    }
    if request.field("conversation").is_some() {
        return Some("a response in a stored conversation cannot be continued");
    }
    if request.field("top_logprobs").is_some() {
        return Some("an answer with logprobs cannot be continued");
    }
    None
}
