//! Single functions: the same decisions as the engine's, for helpers in JavaScript.

use std::collections::HashMap;

use napi_derive::napi;

use super::errors::OrThrow;
use crate::config::defaults;
use crate::engine::{self, catalogue, clock, complexity, retry_after};

/// The defaults by the names of their options, as JSON.
#[napi]
pub fn defaults() -> String {
    defaults::list().to_string()
}

/// The built-in catalogue of models, as JSON.
#[napi]
pub fn catalogue() -> String {
    // Strings and numbers always encode.
    serde_json::to_string(&catalogue::Catalogue::default()).unwrap_or_default()
}

/// How hard a conversation is: 'simple', 'moderate' or 'complex'. Throws for what is none.
#[napi(catch_unwind)]
pub fn classify_complexity(messages: String) -> napi::Result<String> {
    Ok(complexity::of_messages(&messages).or_throw()?.as_str().to_owned())
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

/// The version of this package.
#[napi]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
