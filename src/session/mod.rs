//! What was received. Pure: the journal of an answer, and how an interrupted one is taken up again.

pub mod journal;
pub mod merge;
pub mod prompts;
pub mod snapshot;
pub mod splice;
pub mod usage;
