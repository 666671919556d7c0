//! Maps a dialect to the code that implements it.

use serde_json::Value;

use super::codec::{Ending, EventCodec, StreamPosition};
use super::{message_object, messages, response_object, responses};
use crate::error::{Error, Kind, Result};
use crate::wire::dialect_spec::Dialect;
use crate::wire::provider_error;
use crate::wire::request::ChatRequest;

impl Dialect {
    /// A codec for one answer; `None` for chat completions, whose chunks the engine decodes itself.
    pub fn codec(self) -> Option<Box<dyn EventCodec>> {
        match self {
            Dialect::Chat => None,
            Dialect::Responses => Some(Box::default() as Box<responses::Answer>),
            Dialect::Messages => Some(Box::default() as Box<messages::Answer>),
        }
    }

    /// Why an answer to this request cannot be resumed; `None` if it can.
    pub fn not_resumable(self, request: &ChatRequest) -> Option<&'static str> {
        match self {
            Dialect::Chat | Dialect::Messages => None,
            Dialect::Responses => response_object::not_resumable(request),
        }
    }

    /// Whether the provider is asked to keep the stream of the answer, so that the rest of it can be requested.
    pub fn is_kept(self, request: &ChatRequest) -> bool {
        self == Dialect::Responses && response_object::is_kept(request)
    }

    /// The path and the query of the rest of a stream that the provider keeps.
    pub fn rest_of_stream(self, request: &ChatRequest, position: &StreamPosition) -> (String, String) {
        let path = format!("{}/{}", self.path(), response_object::percent_encoded(&position.id));
        (path, response_object::rest_query(request, position.after))
    }

    /// Whether the request allows one tool call at most, so that an answer ends after it.
    pub fn allows_one_call(self, request: &ChatRequest) -> bool {
        match self {
            Dialect::Chat => false,
            Dialect::Responses => request.read("parallel_tool_calls") == Some(false),
            Dialect::Messages => request
                .read::<Value>("tool_choice")
                .is_some_and(|choice| choice["disable_parallel_tool_use"] == true),
        }
    }

    /// Reads an answer that was not streamed: how it ended.
    ///
    /// # Errors
    /// [`Kind::Malformed`] if it is not an object; the provider's error if the answer reports one.
    pub fn read_unstreamed(self, answer: &Value) -> Result<Ending> {
        // Gemini sends its errors in a list.
        if !answer.is_object() && !provider_error::is_error_event(answer) {
            let message = "the answer is JSON, but not an object";
            return Err(Error::new(Kind::Malformed, message));
        }
        let (name, content) = match self {
            Dialect::Responses => ("response", "output"),
            Dialect::Chat | Dialect::Messages => ("message", "content"),
        };
        let is_answer = answer["object"] == name || answer["type"] == name || answer[content].is_array();
        let is_error = match is_answer {
            true => provider_error::has_error(answer),
            // Anything else is passed on: the caller may know what it is.
            false => provider_error::is_error_event(answer),
        };
        if is_error {
            return Err(match self {
                Dialect::Responses => response_object::failure(answer),
                Dialect::Chat | Dialect::Messages => provider_error::from_event(answer),
            });
        }
        match self {
            Dialect::Responses => response_object::ending("response", answer),
            Dialect::Chat | Dialect::Messages => message_object::read_unstreamed(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::codec::DecodedEvent;
    use super::*;

    #[test]
    fn an_answer_with_an_error_in_it_is_an_error() {
        let base = json!({ "status_code": 1008, "status_msg": "insufficient balance" });
        for (dialect, answer) in [
            (Dialect::Messages, json!({ "type": "message", "content": null, "base_resp": base })),
            (Dialect::Messages, json!({ "type": "message", "content": [], "error": { "message": "no" } })),
            (Dialect::Responses, json!({ "object": "response", "output": [], "base_resp": base })),
            (Dialect::Responses, json!({ "object": "response", "output": [], "error": { "code": "no" } })),
            (Dialect::Responses, json!({ "object": "response", "status": "failed", "output": [] })),
        ] {
            assert!(dialect.read_unstreamed(&answer).is_err(), "{answer}");
        }
        for (dialect, answer) in [
            (
                Dialect::Messages,
                json!({ "type": "message", "content": [], "base_resp": { "status_code": 0 } }),
            ),
            (Dialect::Responses, json!({ "object": "response", "output": [], "error": null })),
        ] {
            assert!(dialect.read_unstreamed(&answer).is_ok(), "{answer}");
        }
    }

    #[test]
    fn an_answer_that_was_broken_off_is_an_error_streamed_or_not() {
        let response = |status: &str, reason: Option<&str>| {
            let details = reason.map(|reason| json!({ "reason": reason }));
            json!({ "object": "response", "status": status, "output": [], "incomplete_details": details })
        };
        let message = |reason: &str| json!({ "type": "message", "content": [], "stop_reason": reason });
        for (dialect, answer, is_error) in [
            (Dialect::Messages, message("network_error"), true),
            (Dialect::Messages, message("cancelled"), true),
            (Dialect::Messages, message("max_tokens"), false),
            (Dialect::Messages, message("refusal"), false),
            (Dialect::Responses, response("cancelled", None), true),
            (Dialect::Responses, response("incomplete", None), true),
            (Dialect::Responses, response("incomplete", Some("server_error")), true),
            (Dialect::Responses, response("failed", None), true),
            (Dialect::Responses, response("incomplete", Some("max_output_tokens")), false),
            (Dialect::Responses, response("incomplete", Some("content_filter")), false),
            (Dialect::Responses, response("completed", None), false),
            // Answers to a background request.
            (Dialect::Responses, response("queued", None), false),
            (Dialect::Responses, response("in_progress", None), false),
        ] {
            assert_eq!(dialect.read_unstreamed(&answer).is_err(), is_error, "{answer}");
            let event = match dialect {
                Dialect::Responses => json!({ "type": "response.completed", "response": answer }),
                _ => {
                    json!({ "type": "message_delta", "delta": { "stop_reason": answer["stop_reason"] }, "usage": {} })
                }
            };
            let (mut codec, data) = (dialect.codec().unwrap(), event.to_string());
            let decoded = codec.read(None, &data);
            assert_eq!(matches!(decoded, Ok(DecodedEvent::Error(_))), is_error, "{event}");
        }
    }

    #[test]
    fn an_event_with_an_error_in_it_is_an_error_whatever_its_type() {
        let failed = json!({ "status": "failed", "output": [] });
        let hidden = json!({ "status": "completed", "output": [], "error": { "code": "server_error" } });
        let delta = json!({ "type": "text_delta", "text": "" });
        let base = json!({ "status_code": 1013, "status_msg": "fault" });
        let is_error = |dialect: Dialect, event: &Value| {
            let mut codec = dialect.codec().unwrap();
            matches!(codec.read(None, &event.to_string()), Ok(DecodedEvent::Error(_)))
        };
        for (dialect, event) in [
            (Dialect::Responses, json!({ "type": "response.completed", "response": failed })),
            (Dialect::Responses, json!({ "type": "response.completed", "response": hidden })),
            (Dialect::Responses, json!({ "type": "response.in_progress", "base_resp": base })),
            (
                Dialect::Messages,
                json!({ "type": "content_block_delta", "index": 0, "delta": delta, "error": { "message": "x" } }),
            ),
            (
                Dialect::Messages,
                json!({ "type": "message_delta", "delta": { "stop_reason": "rate_limit" }, "usage": {} }),
            ),
        ] {
            assert!(is_error(dialect, &event), "{event}");
        }
        let fine = json!({ "type": "message_stop", "error": null, "base_resp": { "status_code": 0, "status_msg": "" } });
        assert!(!is_error(Dialect::Messages, &fine));
    }
}
