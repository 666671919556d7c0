//! The redactor of a request that JavaScript sends itself, and printable lines.

use napi_derive::napi;

use super::errors::parse_json;
use crate::config::FirstEndpointExtras;
use crate::engine::{Redactor, one_line};

/// Removes the secrets of a request from what a provider says about it.
#[napi]
pub struct NativeRedactor {
    redactor: Redactor,
}

#[napi]
impl NativeRedactor {
    /// `request` is the JSON of the request's `{ headers, query }`.
    #[napi(constructor, catch_unwind)]
    pub fn new(request: String) -> napi::Result<Self> {
        let sent = FirstEndpointExtras::from_json(&parse_json(&request)?);
        Ok(NativeRedactor { redactor: Redactor::new(sent.secrets()) })
    }

    /// The text without the secrets.
    #[napi(catch_unwind)]
    pub fn redact(&self, text: String) -> String {
        self.redactor.redact(&text).into_owned()
    }
}

/// The text on one printable line.
#[napi(js_name = "oneLine")]
pub fn to_one_line(text: String) -> String {
    one_line(&text).into_owned()
}
