//! The chat completions dialect: the events of a stream.
//!
//! [`chunk`](Chunk) has the shapes, `template` a fast path for chunks that differ in their text alone, `lenient` a slow
//! one for chunks of other shapes, and [`Reader`] reads a stream with all three.

mod chunk;
mod lenient;
mod reader;
mod template;

pub use super::request::{ChatRequest, Overrides};
pub use super::text::Text;
pub use chunk::{
    Choice, Chunk, Custom, Delta, Function, ToolCall, broken_off_error, is_broken_off, is_reasoning,
};
pub use reader::{Reader, StreamEvent, read};
