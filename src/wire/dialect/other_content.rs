//! What was sent of an answer besides its text, as far as it decides whether the answer can be continued.

use std::collections::BTreeSet;

use super::codec::MAX_PARTS;

/// What a block or an item other than text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherKind {
    /// Reasoning, or a search by the provider: text may follow it, and a continuation that does it again does no harm.
    Harmless,
    /// A call that the consumer carries out.
    Call,
    /// Anything else: a tool that the provider runs may have effects, and nobody knows what an unknown item is.
    Unrepeatable,
}

/// What was sent besides text.
#[derive(Default)]
pub(super) struct OtherContent {
    /// The blocks or items that have begun and not ended, by index.
    open: BTreeSet<u64>,
    has_call: bool,
    /// Nothing has followed the last call.
    ends_with_call: bool,
    is_unrepeatable: bool,
}

impl OtherContent {
    /// A block or an item begins.
    pub fn begin(&mut self, index: u64, kind: OtherKind) {
        self.is_unrepeatable |= kind == OtherKind::Unrepeatable || self.open.len() >= MAX_PARTS;
        self.has_call |= kind == OtherKind::Call;
        self.ends_with_call = kind == OtherKind::Call;
        self.open.insert(index);
    }

    /// A block or an item is complete.
    pub fn end(&mut self, index: u64) {
        self.open.remove(&index);
    }

    /// A part of a block or an item: of one that is open, or content that nobody knows.
    pub fn add(&mut self, index: Option<u64>) {
        self.is_unrepeatable |= !index.is_some_and(|index| self.open.contains(&index));
    }

    /// Text follows.
    pub fn text(&mut self) {
        self.ends_with_call = false;
    }

    /// Content that a continuation would repeat or contradict.
    pub fn unrepeatable(&mut self) {
        self.is_unrepeatable = true;
    }

    /// Whether the last thing that was sent is a complete call.
    pub fn ends_with_call(&self) -> bool {
        self.ends_with_call && self.open.is_empty() && !self.is_unrepeatable
    }

    /// Why the answer cannot be continued; `None` if it can.
    pub fn not_resumable(&self) -> Option<&'static str> {
        if !self.open.is_empty() {
            return Some("content other than text was sent, and cut off: reasoning, or a tool call");
        }
        if self.has_call {
            return Some("content other than text was sent: a tool call, which a continuation could repeat");
        }
        self.is_unrepeatable.then_some(
            "content other than text was sent, and a continuation could repeat it: a refusal, annotations, \
             citations, or the work of a tool",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_complete_and_harmless_is_no_obstacle() {
        let mut other = OtherContent::default();
        other.begin(0, OtherKind::Harmless);
        other.add(Some(0));
        assert!(other.not_resumable().unwrap().contains("cut off"));
        other.end(0);
        assert_eq!(other.not_resumable(), None);
        other.add(Some(0));
        assert!(other.not_resumable().is_some(), "nobody knows what follows the end of an item");
    }

    #[test]
    fn an_answer_ends_with_a_call_until_something_follows_it() {
        let mut other = OtherContent::default();
        other.begin(0, OtherKind::Call);
        assert!(!other.ends_with_call(), "it is open");
        other.end(0);
        assert!(other.ends_with_call() && other.not_resumable().is_some());
        other.text();
        assert!(!other.ends_with_call());
    }
}
