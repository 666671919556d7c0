//! What is said. Pure: bytes in, values out, bounded.

pub mod limits;
pub mod retry_after;
pub mod sse;
