//! OpenAI's Responses: the response object, which the last event of a stream and an answer that is not streamed hold.

use serde_json::Value;

use super::codec::{Ending, chat_usage, error_event};
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

/// The error of an event that is named `error`, whatever type its data has: `response.failed` has it in the response.
pub(super) fn named_error(data: &str) -> Error {
    let event = error_event(data);
    failure(event.get("response").filter(|response| response.is_object()).unwrap_or(&event))
}

fn has_failed(response: &Value) -> bool {
    response["status"] == "failed" || provider_error::has_error(response)
}

/// Why an answer to this request cannot be resumed; `None` if it can.
pub fn not_resumable(request: &ChatRequest) -> Option<&'static str> {
    if request.field("conversation").is_some() {
        return Some("a response in a stored conversation cannot be continued");
    }
    if request.field("top_logprobs").is_some() {
        return Some("an answer with logprobs cannot be continued");
    }
    None
}

/// Whether the provider keeps the stream of the answer to this request, and sends the rest of it on request (OpenAI's
/// guide "Background mode", "Streaming a background response").
pub fn is_kept(request: &ChatRequest) -> bool {
    request.is_streamed()
        && request.read("background").unwrap_or(false)
        && request.read("store").unwrap_or(true)
}

/// The query of the request for the rest of a stream, with what of the caller's request decides what its events have.
pub fn rest_query(request: &ChatRequest, after: Option<u64>) -> String {
    let mut query = "stream=true".to_owned();
    if let Some(after) = after {
        query += &format!("&starting_after={after}");
    }
    let options: Option<Value> = request.read("stream_options");
    if options.is_some_and(|options| options["include_obfuscation"] == false) {
        query += "&include_obfuscation=false";
    }
    for name in request.read::<Vec<String>>("include").unwrap_or_default() {
        query += &format!("&include[]={}", percent_encoded(&name));
    }
    query
}

/// A text as a segment of a path, or as a value in a query.
pub fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    let encode = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dialect_spec::Dialect;

    fn request(json: &str) -> ChatRequest {
        ChatRequest::parse_as(Dialect::Responses, json).unwrap()
    }

    #[test]
    fn the_provider_keeps_the_streams_of_stored_background_responses() {
        for (json, expected) in [
            (r#"{"background":true,"stream":true}"#, true),
            (r#"{"background":true,"stream":true,"store":true}"#, true),
            (r#"{"background":true,"stream":true,"store":false}"#, false),
            (r#"{"background":true}"#, false),
            (r#"{"stream":true,"store":true}"#, false),
        ] {
            assert_eq!(is_kept(&request(json)), expected, "{json}");
        }
    }

    #[test]
    fn the_rest_of_a_stream_is_asked_for_as_the_stream_was() {
        let json = r#"{"include":["web_search_call.action.sources"],"stream_options":{"include_obfuscation":false}}"#;
        assert_eq!(
            rest_query(&request(json), Some(7)),
            "stream=true&starting_after=7&include_obfuscation=false&include[]=web_search_call%2Eaction%2Esources"
        );
        assert_eq!(rest_query(&request("{}"), None), "stream=true");
    }

    #[test]
    fn an_id_does_not_change_the_path() {
        assert_eq!(percent_encoded("resp_a-1~"), "resp_a-1~");
        assert_eq!(percent_encoded("../é?x=1#"), "%2E%2E%2F%C3%A9%3Fx%3D1%23");
    }
}
