//! An incremental parser of `text/event-stream` (WHATWG HTML, section 9.2.6). Bytes go in as they arrive,
//! events come out. An event is copied only if it is split over several reads.
//!
//! The parser deviates from the standard in four points. At the end of the body, an event without a blank
//! line after it is dispatched too, and marked ([`Event::at_end`]): the completion rules need it. Events
//! with empty data are skipped: relays send them to keep a connection alive. `id` and `retry` are ignored:
//! they cannot resume a POST. A data line that follows a complete JSON object, and begins another one or is
//! `[DONE]`, is an event of its own: some servers leave out the blank lines.
//!
//! Lines that are not fields are not part of any event. The first 2 KiB of them are kept ([`Parser::stray`]):
//! an error that a proxy wrote into the stream.

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::ops::ControlFlow;

use memchr::{memchr, memchr2};
use serde::de::IgnoredAny;

use crate::error::BODY_LIMIT;

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// How often an event is checked for a complete JSON object, and up to which length: a check reads all of it.
const MAX_CHECKS: u8 = 8;
const MAX_CHECKED: usize = 64 * 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field; `None` if it is missing or empty.
    pub event: Option<&'a str>,
    /// The `data:` lines, joined with line feeds; never empty. Invalid UTF-8 is replaced with U+FFFD.
    /// Borrowed unless something had to be replaced.
    pub data: Cow<'a, str>,
    /// The body ended before the blank line that closes an event, so the data may be truncated.
    pub at_end: bool,
}

/// The error of a line or event data longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event of the stream is longer than {} bytes", self.limit)
    }
}

impl std::error::Error for TooLong {}

/// How far [`Parser::feed`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedResult<B> {
    /// All bytes are consumed.
    All,
    /// The callback returned [`ControlFlow::Break`]. The parser is ready for `bytes[consumed..]`, now or
    /// later.
    Stopped {
        /// How many bytes are consumed: up to the end of the event's blank line.
        consumed: usize,
        /// The value of the break.
        value: B,
    },
}

/// The parser. Its memory is bounded by twice the limit: one incomplete line, and the data of one event.
#[derive(Debug)]
pub struct Parser {
    max_line: usize,
    /// The start of a line whose end has not arrived.
    line: Vec<u8>,
    /// The joined data of the event so far, without what `feed` still borrows.
    data: Vec<u8>,
    has_data: bool,
    /// The name of the event.
    event: String,
    /// A name after its data: it replaces the first one, unless the next line turns out to begin another event.
    late_event: Option<String>,
    /// The last line ended with CR. If an LF comes next, it belongs to that line end.
    after_cr: bool,
    /// No line has ended yet, so a byte order mark may come first.
    at_start: bool,
    /// Lines that are not fields.
    stray: Vec<u8>,
    /// How often this event was checked for a complete JSON object.
    checks: u8,
}

impl Parser {
    /// A parser at the start of a body. `max_line` is the limit, in bytes, of each line without its end
    /// and of the joined data of each event; a length equal to it is allowed.
    pub fn new(max_line: usize) -> Self {
        Parser {
            max_line,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            event: String::new(),
            late_event: None,
            after_cr: false,
            at_start: true,
            stray: Vec::new(),
            checks: 0,
        }
    }

    /// The beginning of the lines that are not fields. [`Parser::finish`] keeps it.
    pub fn stray(&self) -> &[u8] {
        &self.stray
    }

    /// Resets the parser: the next byte is the first of a body.
    pub fn reset(&mut self) {
        *self = Parser::new(self.max_line);
    }

    /// Consumes bytes and calls `on_event` for each event that they complete, in order. Comments are not
    /// events.
    ///
    /// # Errors
    /// [`TooLong`], as soon as the limit is exceeded. The parser is unusable then until a
    /// [`Parser::reset`].
    pub fn feed<B>(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> Result<FeedResult<B>, TooLong> {
        let mut position = 0;
        // The only data line of the event so far, not copied while its bytes are available.
        let mut borrowed: Option<&[u8]> = None;
        while position < bytes.len() {
            if mem::take(&mut self.after_cr) && bytes[position] == b'\n' {
                position += 1;
                continue;
            }
            let rest = &bytes[position..];
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.check_length(self.line.len() + rest.len())?;
                self.line.extend_from_slice(rest);
                break;
            };
            self.check_length(self.line.len() + end)?;
            position += end + 1;
            self.after_cr = rest[end] == b'\r';

            if !self.line.is_empty() {
                // A new buffer for each read would be O(n²).
                let mut line = mem::take(&mut self.line);
                line.extend_from_slice(&rest[..end]);
                let mut flow = ControlFlow::Continue(());
                if let Some(data) = self.field(&line, borrowed.is_some()) {
                    if self.is_next_event(borrowed, data) {
                        flow = self.dispatch(borrowed.take(), End::NextEvent, &mut on_event);
                    }
                    self.append(borrowed.take())?;
                    self.append(Some(data))?;
                }
                line.clear();
                self.line = line;
                if let ControlFlow::Break(value) = flow {
                    return Ok(FeedResult::Stopped { consumed: position, value });
                }
            } else if end > 0 {
                if let Some(data) = self.field(&rest[..end], borrowed.is_some()) {
                    if self.is_next_event(borrowed, data) {
                        let flow = self.dispatch(borrowed.take(), End::NextEvent, &mut on_event);
                        borrowed = Some(data);
                        if let ControlFlow::Break(value) = flow {
                            self.append(borrowed)?;
                            return Ok(FeedResult::Stopped { consumed: position, value });
                        }
                    } else if self.has_data || borrowed.is_some() {
                        self.append(borrowed.take())?;
                        self.append(Some(data))?;
                    } else {
                        borrowed = Some(data);
                    }
                }
            } else if let ControlFlow::Break(value) =
                self.dispatch(borrowed.take(), End::BlankLine, &mut on_event)
            {
                return Ok(FeedResult::Stopped { consumed: position, value });
            }
        }
        self.append(borrowed)?;
        Ok(FeedResult::All)
    }

    /// Ends the body: dispatches what is pending, including an unterminated last line, as an event with
    /// [`Event::at_end`]. Returns the value of the callback's break; one more event may be pending then, which the next
    /// call dispatches. Otherwise resets the parser.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn finish<B>(
        &mut self,
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, TooLong> {
        let line = mem::take(&mut self.line);
        // A last line without data (`da`, `data:`) is an incomplete one and adds nothing.
        let data = self.field(&line, false).filter(|data| !data.is_empty());
        if let Some(next) = data
            && self.is_next_event(None, next)
            && let ControlFlow::Break(value) = self.dispatch(None, End::NextEvent, &mut on_event)
        {
            self.append(data)?;
            return Ok(Some(value));
        }
        let flow = self.append(data).map(|()| self.dispatch(None, End::Body, &mut on_event));
        let stray = mem::take(&mut self.stray);
        self.reset();
        self.stray = stray;
        Ok(flow?.break_value())
    }

    fn check_length(&self, length: usize) -> Result<(), TooLong> {
        if length > self.max_line { Err(TooLong { limit: self.max_line }) } else { Ok(()) }
    }

    /// Processes a line that is not empty. Returns the value of a `data` field.
    fn field<'a>(&mut self, line: &'a [u8], has_borrowed: bool) -> Option<&'a [u8]> {
        let line = if mem::take(&mut self.at_start) { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        let (name, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => return Some(value),
            b"event" => {
                // After data it may be the first line of the next event.
                let name = String::from_utf8_lossy(value);
                if self.has_data || has_borrowed {
                    self.late_event = Some(name.into_owned());
                } else {
                    self.event.clear();
                    self.event.push_str(&name);
                }
            }
            // A comment has no name.
            b"" | b"id" | b"retry" => {}
            _ => {
                let remaining = BODY_LIMIT - self.stray.len();
                self.stray.extend(line.iter().chain(b"\n").take(remaining));
            }
        }
        None
    }

    /// Whether the data so far is an event, and `next` the first line of another one without a blank line in between.
    fn is_next_event(&mut self, borrowed: Option<&[u8]>, next: &[u8]) -> bool {
        let so_far = borrowed.unwrap_or(&self.data);
        let may_be = (next.starts_with(b"{") || next == b"[DONE]")
            && so_far.len() <= MAX_CHECKED
            && self.checks < MAX_CHECKS
            && so_far.starts_with(b"{")
            && so_far.trim_ascii_end().ends_with(b"}");
        if !may_be {
            return false;
        }
        self.checks += 1;
        serde_json::from_slice::<IgnoredAny>(so_far).is_ok()
    }

    fn append(&mut self, data: Option<&[u8]>) -> Result<(), TooLong> {
        let Some(data) = data else { return Ok(()) };
        self.check_length(self.data.len() + usize::from(self.has_data) + data.len())?;
        if mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data);
        Ok(())
    }

    /// Ends the event, whether or not there is something to dispatch.
    fn dispatch<B>(
        &mut self,
        borrowed: Option<&[u8]>,
        end: End,
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.at_start = false;
        self.has_data = false;
        self.checks = 0;
        let bytes = borrowed.unwrap_or(&self.data);
        let flow = if bytes.is_empty() {
            ControlFlow::Continue(())
        } else {
            let event = self.name(end);
            // Validation is several times faster than lossy conversion.
            let data =
                std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
            on_event(Event { event, data, at_end: end == End::Body })
        };
        self.data.clear();
        self.event.clear();
        if let Some(name) = self.late_event.take().filter(|_| end == End::NextEvent) {
            self.event = name;
        }
        flow
    }

    /// The name of the event that ends.
    fn name(&self, end: End) -> Option<&str> {
        let late = self.late_event.as_ref().filter(|_| end != End::NextEvent);
        let name = late.unwrap_or(&self.event);
        (!name.is_empty()).then_some(name)
    }
}

/// What ends an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    BlankLine,
    /// The first line of another event, without a blank line in between.
    NextEvent,
    Body,
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
