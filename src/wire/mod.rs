//! What is said. Pure: bytes in, values out, bounded.

pub mod chat;
mod chat_request;
pub mod dialect;
pub mod extras;
pub mod limits;
pub mod messages;
pub mod prometheus;
pub mod provider_error;
pub mod responses;
pub mod retry_after;
pub mod secrets;
pub mod sse;
pub mod telling;
mod template;
