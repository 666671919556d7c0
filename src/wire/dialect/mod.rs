//! The dialects: chat completions ([`super::chat`]), and those whose events are passed through unchanged, OpenAI's
//! Responses and Anthropic's Messages.
//!
//! [`Dialect`] (`wire::dialect_spec`) says what is fixed in each of them. Of a passed-through event the engine reads only
//! what it must know: where text is, when the answer is complete, its usage, and errors. [`EventCodec`] does
//! this for one answer, over all its attempts, and also makes the few events that a resumed answer needs.
//! Events that a provider sends in another form than the protocol's are put into that form first
//! ([`EventCodec::normalize`]): a field of another type, halves of surrogate pairs, a whole answer.
//! A new dialect is a variant of [`Dialect`], a file with its codec, and an arm in `dispatch`.

pub(super) mod codec;
mod dispatch;
mod kept_stream;
mod message_object;
mod messages;
mod messages_event;
mod messages_normal;
mod normal;
mod other_content;
mod response_object;
mod responses;
mod responses_event;
mod responses_item;
mod responses_normal;
mod whole_message;
mod whole_response;

pub use crate::wire::dialect_spec::Dialect;
pub use codec::{Admission, DecodedEvent, Ending, EventCodec, StreamPosition, SyntheticEvent, sse};
pub use normal::NormalEvent;
