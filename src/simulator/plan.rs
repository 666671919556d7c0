//! How one request is answered.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::chat_stream::ChatStream;
use super::event_stream::EventStream;
use super::scenario::{PingStyle, Pings};
use super::step::{Ending, Step};
use super::wire_format::{ContentEncoding, Packets};

/// Whether there is a response, and what happens otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Reply,
    Reset,
    Close,
    Hang,
}

/// How the end of a body is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// A response head.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(super) framing: Framing,
    /// The size to which the head is padded, in bytes.
    pub(super) size: usize,
    pub(super) keep_alive: bool,
}

/// Where the bytes of a body come from.
pub(super) enum BodySource {
    Fixed(FixedBody),
    Stream(Box<ChatStream>),
    Events(Box<EventStream>),
}

/// A body that is known in advance.
pub(super) struct FixedBody {
    pub(super) wait: Duration,
    pub(super) body: Bytes,
    /// How many bytes are sent, and how the body ends then.
    pub(super) cut: Option<(usize, Ending)>,
}

impl BodySource {
    /// Writes a ping; false for a fixed body, which has none.
    pub(super) fn ping(&mut self, style: PingStyle, out: &mut BytesMut) -> bool {
        match self {
            Self::Stream(stream) => stream.ping(style, out),
            Self::Events(events) => events.ping(style, out),
            Self::Fixed(_) => return false,
        }
        true
    }

    /// Writes the next bytes, or says what happens before them.
    pub(super) fn step(&mut self, out: &mut BytesMut) -> Step {
        match self {
            Self::Stream(stream) => stream.step(out),
            Self::Events(events) => events.step(out),
            Self::Fixed(fixed) => {
                if !fixed.wait.is_zero() {
                    return Step::Wait(std::mem::take(&mut fixed.wait));
                }
                let body = std::mem::take(&mut fixed.body);
                match fixed.cut {
                    Some((bytes, ending)) => {
                        out.extend_from_slice(&body[..bytes.min(body.len())]);
                        Step::End { ending, cut: true }
                    }
                    None => {
                        out.extend_from_slice(&body);
                        Step::End { ending: Ending::Clean, cut: false }
                    }
                }
            }
        }
    }
}

/// How one request is answered.
pub(super) struct Plan {
    pub(super) delay: Duration,
    pub(super) start: Start,
    pub(super) head: Head,
    pub(super) source: BodySource,
    pub(super) packets: Option<Packets>,
    pub(super) pings: Option<Pings>,
    pub(super) encoding: Option<ContentEncoding>,
}
