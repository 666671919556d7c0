//! The parts of a choice that deltas add text to.

/// The part of a choice that a text belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Content,
    Reasoning,
    Refusal,
    /// The arguments of `function_call`.
    FunctionCall,
    /// The arguments of the tool call at this position.
    Arguments(usize),
}
