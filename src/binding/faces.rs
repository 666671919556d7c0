//! What the documents' helpers need of the engine beside calls.

use napi_derive::napi;

use crate::engine::{Style, continuation};

/// The messages of a request that asks for the rest of `partial`, as JSON. `messages` is the JSON array
/// of the caller's.
#[napi]
pub fn continuation_messages(messages: String, partial: String) -> String {
    continuation(&messages, &partial, Style::Dialog).messages
}
