//! Decodes response bodies (RFC 9110, section 8.4). Requests ask for `identity`, but some relays compress anyway.
//!
//! Text comes out as soon as its bytes allow, and only as fast as it is read: nothing is decoded ahead of the reader, so
//! the reader's limits hold for the decoded size.

mod decoder;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::Stream;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

use self::decoder::{Coding, Decoder};
use super::Body;
use crate::error::{Error, Kind, Result, truncate};

/// How many codings a body may have. Real ones have one; more cost memory and time for nothing.
const MAX_CODINGS: usize = 4;
/// How much is decoded at once, in bytes.
const STEP: usize = 8 * 1024;
/// How many steps are made without a pause, so that a body that decodes to much more than was received does not keep the
/// thread from other tasks.
const STEPS_PER_TURN: u32 = 32;

/// The decoded body of a response. The headers that describe the encoded one are removed.
///
/// A body whose coding is not known is passed on unchanged if it is text: servers also name character sets here. If it is
/// not, reading it is an error that names the coding.
pub(super) fn decoded(headers: &mut HeaderMap, body: Body) -> Body {
    let values =
        headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let names: Vec<String> = values
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    if names.is_empty() {
        return body;
    }
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    if names.len() > MAX_CODINGS {
        let error = Error::new(
            Kind::Malformed,
            format!("the response has {} content codings; at most {MAX_CODINGS} are decoded", names.len()),
        );
        return Box::pin(futures::stream::once(std::future::ready(Err(error))));
    }
    // The last coding was applied last.
    names.iter().rev().fold(body, |body, name| match Coding::of(name) {
        Some(coding) => Box::pin(Decoded::new(body, coding)),
        None => Box::pin(Unknown { body, coding: name.clone(), is_text: false }),
    })
}

/// A body with one coding removed.
struct Decoded {
    body: Body,
    coding: Coding,
    state: State,
    /// Received and not decoded.
    input: Bytes,
    /// The last step filled its buffer, so the decoder may have more without more input.
    has_more: bool,
    steps: u32,
}

enum State {
    /// Nothing has been received.
    Start,
    Decoding(Decoder),
    /// A member of gzip or a frame of zstd is complete: another one may follow.
    Between(Decoder),
    /// The data is complete. What follows is read, so that the connection can be reused, and dropped.
    Complete,
    /// The body is not encoded.
    Plain,
    /// An error, or the end of the body.
    Ended,
}

impl Decoded {
    fn new(body: Body, coding: Coding) -> Self {
        Decoded { body, coding, state: State::Start, input: Bytes::new(), has_more: false, steps: 0 }
    }

    /// Makes a step with what has been received.
    fn step(&mut self) -> Result<Step> {
        if self.input.is_empty() && !self.has_more {
            return Ok(Step::NeedsInput);
        }
        let mut decoder = match std::mem::replace(&mut self.state, State::Ended) {
            State::Start if self.coding.is_plain(self.input[0]) => {
                self.state = State::Plain;
                return Ok(Step::Output(std::mem::take(&mut self.input)));
            }
            State::Start => Decoder::new(self.coding, self.input[0])?,
            State::Between(decoder) => match decoder.next_member(self.coding, self.input[0])? {
                Some(decoder) => decoder,
                None => {
                    self.state = State::Complete;
                    return Ok(Step::Again);
                }
            },
            State::Decoding(decoder) => decoder,
            State::Plain => {
                self.state = State::Plain;
                return Ok(Step::Output(std::mem::take(&mut self.input)));
            }
            State::Complete => {
                self.state = State::Complete;
                self.input.clear();
                return Ok(Step::NeedsInput);
            }
            State::Ended => return Ok(Step::NeedsInput),
        };
        let mut output = [0; STEP];
        let decoded = decoder.decode(&self.input, &mut output).map_err(|()| corrupt(self.coding))?;
        self.input.advance(decoded.read);
        self.has_more = !decoded.is_complete && decoded.written == STEP;
        self.state = match decoded.is_complete {
            true => State::Between(decoder),
            false => State::Decoding(decoder),
        };
        if decoded.written > 0 {
            return Ok(Step::Output(Bytes::copy_from_slice(&output[..decoded.written])));
        }
        match decoded.read == 0 && !decoded.is_complete {
            // Decoders take all of their input unless the output is full.
            true if !self.input.is_empty() => Err(corrupt(self.coding)),
            true => Ok(Step::NeedsInput),
            false => Ok(Step::Again),
        }
    }
}

enum Step {
    Output(Bytes),
    NeedsInput,
    Again,
}

impl Stream for Decoded {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        loop {
            if this.steps == STEPS_PER_TURN {
                this.steps = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.steps += 1;
            match this.step() {
                Ok(Step::Output(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(Step::Again) => {}
                Ok(Step::NeedsInput) => {
                    if matches!(this.state, State::Ended) {
                        return Poll::Ready(None);
                    }
                    let Poll::Ready(next) = this.body.as_mut().poll_next(context) else {
                        this.steps = 0;
                        return Poll::Pending;
                    };
                    match next {
                        Some(Ok(bytes)) => this.input = bytes,
                        // Interrupted data ends like an interrupted body without a coding: what was decoded shows
                        // whether the answer is complete.
                        end => {
                            this.state = State::Ended;
                            return Poll::Ready(end);
                        }
                    }
                }
                Err(error) => {
                    this.state = State::Ended;
                    this.input.clear();
                    this.has_more = false;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

fn corrupt(coding: Coding) -> Error {
    Error::new(Kind::Malformed, format!("the response body is not valid {}", coding.name()))
}

/// A body with a coding that is not known.
struct Unknown {
    body: Body,
    coding: String,
    is_text: bool,
}

impl Stream for Unknown {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let next = ready!(self.body.as_mut().poll_next(context));
        if let (false, Some(Ok(bytes))) = (self.is_text, &next) {
            if !is_text(bytes) {
                let message = format!(
                    "the response has the content coding '{}', which is not known; accepted: gzip, deflate, br, zstd",
                    truncate(&self.coding, 40).escape_debug()
                );
                return Poll::Ready(Some(Err(Error::new(Kind::Malformed, message))));
            }
            self.is_text = !bytes.is_empty();
        }
        Poll::Ready(next)
    }
}

/// Whether bytes are text: UTF-8, possibly cut inside a character, without control characters.
fn is_text(bytes: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !bytes.iter().any(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c))
}
