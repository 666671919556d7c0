//! An incremental parser of `text/event-stream` (WHATWG HTML, section 9.2.6). Bytes go in as they
//! come, events come out; each event's bytes are copied only where a read has cut it.
//!
//! It keeps to the standard but for three things, which the rules of completion ask for: at the end
//! of the body what has no blank line after it is dispatched too, and says so ([`Event::at_end`]);
//! events whose data is empty are skipped, as relays send them to keep a connection alive; `id` and
//! `retry` are ignored, because a POST is not resumed by them.

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::ops::ControlFlow;

use memchr::{memchr, memchr2};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field; `None` where there is none or an empty one.
    pub event: Option<&'a str>,
    /// The `data:` lines, joined with a line feed; never empty. Invalid UTF-8 is U+FFFD. Borrowed
    /// unless something had to be replaced.
    pub data: Cow<'a, str>,
    /// The body ended before the blank line that closes an event: the data may be cut.
    pub at_end: bool,
}

/// A line, or the data of one event, is longer than the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The bound in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event of the stream is longer than {} bytes", self.limit)
    }
}

impl std::error::Error for TooLong {}

/// How far [`Parser::feed`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed<B> {
    /// All bytes are taken in.
    All,
    /// The callback broke off. The parser is ready for `bytes[consumed..]`, now or later.
    Stopped {
        /// How many of the bytes are taken in: up to the end of the event's blank line.
        consumed: usize,
        /// What the callback broke off with.
        value: B,
    },
}

/// The parser. Its memory is bounded by twice the limit: one line that a read has cut, and the
/// data of one event.
#[derive(Debug)]
pub struct Parser {
    max_line: usize,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// The data of the event so far, joined; what `feed` still borrows is not in it.
    data: Vec<u8>,
    has_data: bool,
    event: String,
    /// The last line ended with CR: a LF that follows belongs to it, in this read or the next.
    after_cr: bool,
    /// No line has ended yet, so a byte order mark may stand before it.
    at_start: bool,
}

impl Parser {
    /// A parser at the start of a body. `max_line` bounds, in bytes, each line without its end and
    /// the joined data of each event; what is just as long passes.
    pub fn new(max_line: usize) -> Self {
        Parser {
            max_line,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            event: String::new(),
            after_cr: false,
            at_start: true,
        }
    }

    /// Forgets everything: the next byte is the first of a body.
    pub fn reset(&mut self) {
        *self = Parser::new(self.max_line);
    }

    /// Takes in bytes and calls `on_event` for each event that they complete, in order. Comments
    /// make no event; the caller knows that bytes came.
    ///
    /// # Errors
    /// [`TooLong`], as soon as the bound is passed. The parser is of no use then until a
    /// [`Parser::reset`].
    pub fn feed<B>(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> Result<Fed<B>, TooLong> {
        let mut position = 0;
        // The only data line of the event so far, not copied as long as its bytes are at hand.
        let mut borrowed: Option<&[u8]> = None;
        while position < bytes.len() {
            if mem::take(&mut self.after_cr) && bytes[position] == b'\n' {
                position += 1;
                continue;
            }
            let rest = &bytes[position..];
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.bound(self.line.len() + rest.len())?;
                self.line.extend_from_slice(rest);
                break;
            };
            self.bound(self.line.len() + end)?;
            position += end + 1;
            self.after_cr = rest[end] == b'\r';

            if !self.line.is_empty() {
                // `extend` and not a new buffer for each read: that would be O(n²).
                let mut line = mem::take(&mut self.line);
                line.extend_from_slice(&rest[..end]);
                if let Some(data) = self.field(&line) {
                    self.keep(borrowed.take())?;
                    self.keep(Some(data))?;
                }
                line.clear();
                self.line = line;
            } else if end > 0 {
                if let Some(data) = self.field(&rest[..end]) {
                    if self.has_data || borrowed.is_some() {
                        self.keep(borrowed.take())?;
                        self.keep(Some(data))?;
                    } else {
                        borrowed = Some(data);
                    }
                }
            } else if let ControlFlow::Break(value) = self.dispatch(borrowed.take(), false, &mut on_event) {
                return Ok(Fed::Stopped { consumed: position, value });
            }
        }
        self.keep(borrowed)?;
        Ok(Fed::All)
    }

    /// The body has ended: dispatches what is pending, an unterminated last line included, as at
    /// most one event with [`Event::at_end`]. The parser is as new afterwards. Returns what the
    /// callback broke off with.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn finish<B>(
        &mut self,
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, TooLong> {
        let line = mem::take(&mut self.line);
        // A last line without data (`da`, `data:`) is the start of one; it adds nothing.
        let data = self.field(&line).filter(|data| !data.is_empty());
        let kept = self.keep(data);
        let flow = kept.map(|()| self.dispatch(None, true, &mut on_event));
        self.reset();
        Ok(flow?.break_value())
    }

    fn bound(&self, length: usize) -> Result<(), TooLong> {
        if length > self.max_line { Err(TooLong { limit: self.max_line }) } else { Ok(()) }
    }

    /// Takes in a line that is not empty; returns what follows `data:`.
    fn field<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let line = if mem::take(&mut self.at_start) { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        let (name, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => return Some(value),
            b"event" => {
                self.event.clear();
                self.event.push_str(&String::from_utf8_lossy(value));
            }
            _ => {}
        }
        None
    }

    fn keep(&mut self, data: Option<&[u8]>) -> Result<(), TooLong> {
        let Some(data) = data else { return Ok(()) };
        self.bound(self.data.len() + usize::from(self.has_data) + data.len())?;
        if mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data);
        Ok(())
    }

    /// The blank line. Ends the event, whether there is something to hand out or not.
    fn dispatch<B>(
        &mut self,
        borrowed: Option<&[u8]>,
        at_end: bool,
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.at_start = false;
        self.has_data = false;
        let bytes = borrowed.unwrap_or(&self.data);
        let flow = if bytes.is_empty() {
            ControlFlow::Continue(())
        } else {
            let event = (!self.event.is_empty()).then_some(self.event.as_str());
            // Checked first: to check is several times faster than to replace.
            let data =
                std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
            on_event(Event { event, data, at_end })
        };
        self.data.clear();
        self.event.clear();
        flow
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
