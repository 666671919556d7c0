//! What an attempt requests from the provider.

use crate::session::prompts::Style;
use crate::session::splice::Splice;

/// The caller's request unchanged, or the continuation of an interrupted answer.
pub struct RequestForm {
    /// The attempt continues a partial answer.
    pub continues: bool,
    /// The messages of a continuation; `None` for the caller's own.
    pub messages: Option<String>,
    /// The approximate number of tokens that earlier attempts received.
    pub received_tokens: u64,
    /// Boxed: few answers are continued, and every attempt would carry its size.
    pub splice: Option<Box<Splice>>,
    pub style: Option<Style>,
    /// The answer is requested as one document, because a stream of it was empty.
    pub unstreamed: bool,
}

impl RequestForm {
    /// The caller's own request.
    pub fn original(continues: bool) -> Self {
        RequestForm {
            continues,
            messages: None,
            received_tokens: 0,
            splice: None,
            style: None,
            unstreamed: false,
        }
    }
}
