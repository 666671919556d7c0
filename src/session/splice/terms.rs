//! What a splice is told, and what it answers.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Default of [`Limits::min_overlap`], in code points. `docs/recovery.md` has the figures that it was
/// chosen from.
pub const MIN_OVERLAP: usize = 16;
/// How much of the delivered text's end is searched for an overlap, in code points.
pub const WINDOW: usize = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Shortest repetition of the tail that is taken for one, in code points. Default: `MIN_OVERLAP`.
    pub min_overlap: usize,
    /// At most so many characters are held; then the choice is made on what is there. It bounds the
    /// longest overlap too. Default: `WINDOW`.
    pub max_held: usize,
    /// At most so long is text held; then the choice is made on what is there. Default: 5 s, which is
    /// reached only where a slow model repeats what was delivered.
    pub max_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { min_overlap: MIN_OVERLAP, max_held: WINDOW, max_wait: Duration::from_secs(5) }
    }
}

/// What the model was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The rest.
    Continuation,
    /// The rest, with these last words of the delivered text once more before it. A continuation that
    /// does not begin with them is treated like any other.
    Anchor(String),
    /// The original request again: the whole answer, which has to begin with what was delivered.
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JoinKind {
    Exact,
    Overlap,
    /// The cut word was begun again, or a few words that end in it.
    Word,
    /// The words that were asked for once more.
    Anchor,
    Restart,
}

/// How the continuation was joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    pub kind: JoinKind,
    /// How many code points of the continuation were left out.
    pub trimmed: usize,
    /// From the first character of the continuation to the choice, in milliseconds.
    pub buffered_ms: u64,
    /// The choice was made at a limit of [`Limits`], before the text had decided it.
    pub hit_limit: bool,
}

/// The continuation begins like the answer for longer than accident explains, and is not it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContinuationMismatch {
    /// How many code points agreed.
    pub matched: usize,
    /// The continuation ended there, and did not go on otherwise.
    pub ended: bool,
}

impl fmt::Display for ContinuationMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.ended { "ended" } else { "went on otherwise" };
        write!(f, "the continuation began the answer again and {how} after {} characters", self.matched)
    }
}

impl std::error::Error for ContinuationMismatch {}
