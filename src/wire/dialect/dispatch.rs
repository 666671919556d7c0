//! Maps a dialect to the code that implements it.

use serde_json::Value;

use super::codec::{Ending, EventCodec};
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
        // Anything else that is not an error is passed on: the caller may know what it is.
        if !is_answer && provider_error::is_error_event(answer) {
            return Err(match self {
                Dialect::Responses => response_object::failure(answer),
                Dialect::Chat | Dialect::Messages => provider_error::from_event(answer),
            });
        }
        match self {
            Dialect::Responses => response_object::read_unstreamed(answer),
            Dialect::Chat | Dialect::Messages => Ok(message_object::read_unstreamed(answer)),
        }
    }
}
