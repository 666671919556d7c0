//! One call: the loop that follows [`crate::policy::plan`].
//!
//! A [`Call`] owns its parts: the plan, the [`super::attempt::Transcript`] of what was received, the `history` of
//! finished attempts, the state of the `recovery`, and the running attempts. `run` is the loop over the plan, `run_round` makes
//! one attempt, `race` makes a second one in parallel, and `outcome` builds the answer or the error.

mod answer;
mod budget;
#[allow(clippy::module_inception)] // The file is named after its type.
mod call;
mod history;
mod kept;
mod kept_answer;
mod native;
mod outcome;
mod planning;
mod race;
mod recovery;
mod round;
mod run;
mod run_round;
mod running_attempts;
mod stop;
mod stopwatch;

pub use answer::Answer;
pub use call::Call;
