//! Single functions: the same decisions as the engine's, for helpers in JavaScript.

use std::collections::HashMap;

use napi_derive::napi;

use crate::config::defaults;
use crate::engine::{self, clock, retry_after};

/// The defaults by the names of their options, as JSON.
#[napi]
pub fn defaults() -> String {
    defaults::list().to_string()
}

/// Whether a failure with this code (Node's, ours, or a status as text) is retried.
#[napi]
pub fn is_retryable_code(code: String) -> bool {
    engine::is_retryable_code(&code)
}

/// How long a response asks to wait, in milliseconds; null where it says nothing that can be read.
/// The names of the headers are in lower case.
#[napi]
pub fn retry_after_ms(headers: HashMap<String, String>) -> Option<f64> {
    let header = |name: &str| headers.get(name).cloned();
    retry_after::parse(&header, clock::now()).map(|wait| wait.as_secs_f64() * 1000.0)
}

/// A new name for a session.
#[napi]
pub fn session_id() -> String {
    engine::session_id(&mut rand::rng())
}

/// Messages (a JSON array) with a system message that asks for the rest of `partial` and quotes its end.
#[napi]
pub fn recovery_context(messages: String, partial: String) -> String {
    engine::recovery_context(&messages, &partial)
}

/// The version of this package.
#[napi]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
