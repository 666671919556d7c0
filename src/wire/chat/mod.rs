//! The chat completions dialect: the events of a stream.
//!
//! [`chunk`](Chunk) has the shapes, `template` a fast path for chunks that differ in their text alone, `lenient` a slow
//! one for chunks of other shapes, and [`Reader`] reads a stream with all three. [`FinishKind`] is the meaning of a finish
//! reason, and `openai_shape` what is corrected in a chunk before it is delivered.

mod chunk;
mod finish_reason;
mod lenient;
mod openai_shape;
mod reader;
mod template;
mod tool_call;

pub use super::request::{ChatRequest, Overrides};
pub use super::text::Text;
pub use chunk::{Choice, Chunk, Delta, Source, TextChunk, interruption_error, is_reasoning};
pub use finish_reason::{FinishKind, MAX_REASON};
pub use reader::{Reader, StreamEvent, read};
pub use tool_call::{Custom, Function, ToolCall};
