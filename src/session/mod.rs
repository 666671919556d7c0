//! The received answer, and how an interrupted one is continued. Pure.

pub mod choice;
pub mod journal;
mod json_scan;
pub mod merge;
pub mod native;
pub mod prompts;
pub mod snapshot;
pub mod splice;
pub mod tool_calls;
