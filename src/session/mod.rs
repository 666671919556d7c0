//! What was received. Pure: the journal of an answer.

pub mod journal;
pub mod splice;
