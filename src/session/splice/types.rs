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
    /// What must vouch for the continuation. Default [`Assurance::Verified`].
    pub assurance: Assurance,
    /// Minimum overlap to treat as a repeat, in code points. Default `MIN_OVERLAP`.
    pub min_overlap: usize,
    /// How much of the delivered text at the beginning of a continuation says that it begins again and does not go on, in percent
    /// of what the kind of text needs. Default 100. `docs/recovery.md` has the measurements behind it.
    pub begun_again: usize,
    /// The longest repeat of delivered text, in code points. Default `WINDOW`.
    pub max_held: usize,
    /// How much new text is held at most until something vouches for it, in code points. At the limit the splice decides on
    /// what it has. Default 200.
    pub max_unverified: usize,
    /// How long new text is held at most. At the limit the splice decides on what it has. Default 2 s.
    pub max_wait: Duration,
    /// The answer may be complete: an earlier attempt had nothing to add to it either.
    pub may_be_complete: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            assurance: Assurance::Verified,
            min_overlap: MIN_OVERLAP,
            begun_again: 100,
            max_held: WINDOW,
            max_unverified: 200,
            max_wait: Duration::from_secs(2),
            may_be_complete: false,
        }
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
    /// The rest of the answer, from a provider that continues the assistant turn itself. Nothing is compared: what it
    /// sends follows the delivered text.
    Native,
}

/// What vouches for a join, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tier {
    /// The provider kept the stream, and sent what had not arrived.
    Resume,
    /// The provider continued the assistant turn.
    Native,
    /// The model repeated what was delivered, or the seam itself is evidence.
    Verified,
    /// Nothing: the text merely fits. Also what a snapshot of an earlier version says nothing about.
    #[default]
    Unverified,
}

/// The lowest tier that is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assurance {
    /// [`Tier::Native`].
    Native,
    /// [`Tier::Verified`]. The default.
    #[default]
    Verified,
    /// Any tier.
    Any,
}

impl Assurance {
    /// Whether a join of this tier is delivered.
    pub fn accepts(self, tier: Tier) -> bool {
        match self {
            Assurance::Native => tier <= Tier::Native,
            Assurance::Verified => tier <= Tier::Verified,
            Assurance::Any => true,
        }
    }
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
    #[serde(default)]
    pub tier: Tier,
    /// Code points removed from the continuation.
    pub trimmed: usize,
    /// The time from the first character of the continuation to the decision, in milliseconds.
    pub buffered_ms: u64,
    /// The decision was forced by one of the [`Limits`].
    pub hit_limit: bool,
}

impl Join {
    /// The rest of a stream that the provider kept.
    pub const RESUMED: Join =
        Join { kind: JoinKind::Exact, tier: Tier::Resume, trimmed: 0, buffered_ms: 0, hit_limit: false };
}

/// Why a continuation is not joined: the check that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContinuationMismatch {
    /// It starts like the answer, for longer than a coincidence, and then differs from it.
    Restarted {
        /// The number of matching code points.
        matched: usize,
        /// The continuation ended instead of differing.
        ended: bool,
    },
    /// It ended without adding anything, where the answer cannot have ended.
    NothingAdded,
    /// It begins with text that was delivered before, and does not come to its end.
    Repeats,
    /// It contains the instruction, or speaks of the answer.
    Echo,
    /// Two words would become one.
    Glued,
    /// In the middle of a sentence it goes on in another script.
    Script,
    /// The answer would no longer be JSON.
    Json,
    /// It opens a code block again, or leaves one.
    Code,
    /// The row of the table would have other cells, or its header comes again.
    Table,
    /// Nothing vouches for it (`recovery.assurance`).
    Unverified,
}

/// What the continuation says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The seam vouches for it.
    Fits,
    /// It may be the rest or anything else.
    None,
    /// It cannot be the rest.
    Refuted(ContinuationMismatch),
}

impl fmt::Display for ContinuationMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContinuationMismatch::Restarted { matched, ended } => {
                let end = if *ended { "ended" } else { "diverged" };
                return write!(
                    f,
                    "the continuation restarted the answer and {end} after {matched} characters"
                );
            }
            ContinuationMismatch::NothingAdded => "the continuation added nothing to an unfinished answer",
            ContinuationMismatch::Repeats => "the continuation begins with text that was delivered before",
            ContinuationMismatch::Echo => "the continuation repeats the instruction, or speaks of the answer",
            ContinuationMismatch::Glued => "two words would become one",
            ContinuationMismatch::Script => "the sentence would go on in another script",
            ContinuationMismatch::Json => "the answer would no longer be JSON",
            ContinuationMismatch::Code => "the code block would be opened again, or left",
            ContinuationMismatch::Table => "the table would have its header again, or a row with other cells",
            ContinuationMismatch::Unverified => {
                "nothing vouches for the continuation (recovery.assurance: 'any' accepts it)"
            }
        })
    }
}

impl std::error::Error for ContinuationMismatch {}
