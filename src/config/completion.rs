//! When an answer is complete.

/// When an answer counts as complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Completion {
    /// Every choice needs its finish reason.
    #[default]
    Strict,
    /// `[DONE]` is enough.
    Lenient,
}

pub const COMPLETIONS: &[(&str, Completion)] =
    &[("strict", Completion::Strict), ("lenient", Completion::Lenient)];
