//! The content of an answer.

use super::deltas::Deltas;

/// The content of every choice of an answer.
pub(super) struct Content {
    pub(super) reasoning: Deltas,
    pub(super) text: Deltas,
    pub(super) refusal: Deltas,
    pub(super) tools: Vec<Tool>,
    pub(super) finish: String,
}

pub(super) struct Tool {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Deltas,
}

impl Content {
    /// The number of deltas of one choice.
    pub(super) fn delta_count(&self) -> u64 {
        let tools: u64 = self.tools.iter().map(|tool| 1 + tool.arguments.len()).sum();
        self.reasoning.len() + self.text.len() + self.refusal.len() + tools
    }
}

/// The fields that all chunks of a stream share.
pub(super) struct Identity<'a> {
    pub(super) id: &'a str,
    pub(super) model: &'a str,
    pub(super) created: u64,
}
