//! The chat completions dialect: the events of a stream.
//!
//! [`chunk`](Chunk) has the shapes, `template` a fast path for chunks that differ in their text alone, and
//! [`Reader`] reads a stream with both.

mod chunk;
mod reader;
mod template;

pub use super::request::{ChatRequest, Overrides};
pub use super::text::Text;
pub use chunk::{Choice, Chunk, Custom, Delta, Function, StreamEvent, ToolCall, read};
pub use reader::Reader;
