//! The dialects: chat completions ([`super::chat`]), and those whose events are passed through unchanged, OpenAI's
//! Responses and Anthropic's Messages.
//!
//! [`Dialect`] (`wire::dialect_spec`) says what is fixed in each of them. Of a passed-through event the engine reads only
//! what it must know: where text is, when the answer is complete, its usage, and errors. [`EventCodec`] does
//! this for one answer, over all its attempts, and also makes the few events that a resumed answer needs.
//! A new dialect is a variant of [`Dialect`], a file with its codec, and an arm in `dispatch`.

pub(super) mod codec;
mod dispatch;
mod messages;
mod response_object;
mod responses;

pub use crate::wire::dialect_spec::Dialect;
pub use codec::{DecodedEvent, Ending, EventCodec, SyntheticEvent, sse};
