//! What is said. Pure: bytes in, values out, bounded.

pub mod chat;
pub mod limits;
pub mod provider_error;
pub mod retry_after;
pub mod secrets;
pub mod sse;
