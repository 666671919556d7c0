//! What goes over the wire. Pure: bytes in, values out, bounded.
//!
//! - [`request`]: the caller's request, and the body of an attempt that is made from it.
//! - [`body`]: from bytes to events, whatever the format. [`sse`]: event streams.
//! - [`chat`]: the events of chat completions. [`dialect`]: which API dialects there are, and the events of
//!   the others.
//! - [`provider_error`], [`retry_after`], [`limits`]: what a provider says when it rejects a request.

pub mod body;
pub mod chat;
pub mod dialect;
mod dialect_spec;
mod duration;
pub mod extras;
pub mod field_halves;
pub mod json;
mod json_text;
mod json_value;
mod lenient;
pub mod limits;
pub mod one_line;
pub mod prometheus;
pub mod provider_error;
pub mod redactor;
pub mod request;
mod request_body;
pub mod response_headers;
pub mod retry_after;
pub mod secrets;
pub mod sse;
pub mod surrogates;
pub mod text;
mod timestamp;
#[cfg(test)]
pub mod work;
