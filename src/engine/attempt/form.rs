//! What an attempt asks of the provider.

use crate::session::prompts::Style;
use crate::session::splice::Splice;

/// The caller's request as it is, or the continuation of an answer that was interrupted.
pub struct RequestForm {
    /// The attempt continues an answer that has begun.
    pub continues: bool,
    /// The messages of a continuation; `None` for the caller's own.
    pub messages: Option<String>,
    /// About how many tokens of the answer were received before.
    pub received_tokens: u64,
    /// Boxed: few answers are continued, and every attempt would carry its size.
    pub splice: Option<Box<Splice>>,
    pub style: Option<Style>,
}

impl RequestForm {
    /// The caller's own request.
    pub fn original(continues: bool) -> Self {
        RequestForm { continues, messages: None, received_tokens: 0, splice: None, style: None }
    }
}
