//! The parameters and results of a splice.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Default of [`Limits::min_overlap`], in code points. `docs/recovery.md` has the measurements behind it.
pub const MIN_OVERLAP: usize = 16;
/// How much of the end of the delivered text is searched for an overlap, in code points.
pub const WINDOW: usize = 4_000;

/// The limits of a splice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Minimum overlap to treat as a repeat, in code points. Default `MIN_OVERLAP`.
    pub min_overlap: usize,
    /// The maximum text to hold, in code points. At the limit the splice decides on what it has. Also bounds
    /// the longest overlap. Default `WINDOW`.
    pub max_held: usize,
    /// How long to hold text at most. At the limit the splice decides on what it has. Default 5 s, which only
    /// a slow model that repeats delivered text reaches.
    pub max_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { min_overlap: MIN_OVERLAP, max_held: WINDOW, max_wait: Duration::from_secs(5) }
    }
}

/// What the model was asked to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The rest of the answer.
    Continuation,
    /// These last words of the delivered text, then the rest. A continuation that does not start with them is
    /// treated like any other.
    Anchor(String),
    /// The whole answer again, which must start with the delivered text.
    Restart,
}

/// What the continuation repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JoinKind {
    /// Nothing.
    Exact,
    /// The tail of the delivered text.
    Overlap,
    /// The cut word, or a few words that end in it.
    Word,
    /// The words that the model was asked to repeat.
    Anchor,
    /// The whole answer.
    Restart,
}

/// How the continuation was joined to the delivered text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    pub kind: JoinKind,
    /// Code points removed from the continuation.
    pub trimmed: usize,
    /// The time from the first character of the continuation to the decision, in milliseconds.
    pub buffered_ms: u64,
    /// The decision was forced by one of the [`Limits`].
    pub hit_limit: bool,
}

/// The continuation starts like the answer, for longer than a coincidence, and then differs from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContinuationMismatch {
    /// The number of matching code points.
    pub matched: usize,
    /// The continuation ended instead of differing.
    pub ended: bool,
}

impl fmt::Display for ContinuationMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.ended { "ended" } else { "diverged" };
        write!(f, "the continuation restarted the answer and {end} after {} characters", self.matched)
    }
}

impl std::error::Error for ContinuationMismatch {}
