//! What the documents' helpers need of the engine beside calls.

use napi_derive::napi;

use crate::engine::{Style, continuation};

/// The messages of a request that asks for the rest of `partial`, as JSON. `messages` is the JSON array
/// of the caller's. `system`: one system message is added, which quotes the end, and not a dialog.
#[napi]
pub fn continuation_messages(messages: String, partial: String, system: Option<bool>) -> String {
    let style = if system == Some(true) { Style::System } else { Style::Dialog };
    continuation(&messages, &partial, style).messages
}
