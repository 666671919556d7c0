//! From the bytes of an answer to its events, whatever the content type says. A body that begins with a brace or a
//! bracket is JSON: one document, or a document a line (NDJSON). One that begins with `<` is a page. Anything else is
//! an event stream. White space and comments before that do not count: gateways send them while they wait.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;
use std::ops::{ControlFlow, Range};

use memchr::memchr;
use serde::de::IgnoredAny;

use super::json;
use super::sse::{Event, FeedResult, Parser, TooLong};
use crate::error::BODY_LIMIT;

/// The result of feeding: `Some` if the callback stopped it.
type Fed<B> = Result<Option<B>, TooLong>;

/// Splits a body into events.
#[derive(Debug)]
pub struct Events {
    max_event: usize,
    max_document: usize,
    format: Format,
    /// The beginning of a document or of the first line.
    document_start: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    /// Only white space and comments so far.
    Unknown {
        in_comment: bool,
    },
    Sse(Box<Parser>),
    /// The first line is not a complete document, or has not ended.
    Document {
        read: Vec<u8>,
        has_line: bool,
    },
    /// A document that is a list of chunks, at its end: those that were not dispatched yet.
    List {
        document: Vec<u8>,
        rest: VecDeque<Range<usize>>,
    },
    /// A document a line: the line so far.
    Lines(Vec<u8>),
    /// The beginning of a page.
    Page(Vec<u8>),
}

impl Events {
    /// `max_event` is the limit of an event in bytes, and `max_document` that of a single document.
    pub fn new(max_event: usize, max_document: usize) -> Self {
        Events {
            max_event,
            max_document,
            format: Format::Unknown { in_comment: false },
            document_start: Vec::new(),
        }
    }

    /// Whether the body is one document of JSON, so far.
    pub fn is_document(&self) -> bool {
        matches!(self.format, Format::Document { .. } | Format::List { .. })
    }

    /// Whether the body is a page: nothing that follows is an answer.
    pub fn is_page(&self) -> bool {
        matches!(&self.format, Format::Page(page) if page.len() >= BODY_LIMIT)
    }

    /// Consumes bytes and calls `on_event` for each event that they complete. If the callback stops, the rest of the
    /// bytes is dropped.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn feed<B>(&mut self, bytes: &[u8], mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>) -> Fed<B> {
        let mut bytes = bytes;
        if let Format::Unknown { in_comment } = &mut self.format {
            let Some(begin) = bytes.iter().position(|byte| begins_content(*byte, in_comment)) else {
                return Ok(None);
            };
            bytes = &bytes[begin..];
            self.format = match bytes[0] {
                b'{' | b'[' => Format::Document { read: Vec::new(), has_line: false },
                b'<' => Format::Page(Vec::new()),
                _ => Format::Sse(Box::new(Parser::new(self.max_event))),
            };
        }
        if matches!(self.format, Format::Document { .. } | Format::Lines(_)) {
            let remaining = BODY_LIMIT - self.document_start.len();
            self.document_start.extend_from_slice(&bytes[..bytes.len().min(remaining)]);
        }
        match &mut self.format {
            Format::Unknown { .. } => Ok(None),
            Format::Sse(parser) => match parser.feed(bytes, on_event)? {
                FeedResult::All => Ok(None),
                FeedResult::Stopped { value, .. } => Ok(Some(value)),
            },
            Format::Page(page) => {
                page.extend_from_slice(&bytes[..bytes.len().min(BODY_LIMIT - page.len())]);
                Ok(None)
            }
            Format::Document { read, has_line } => {
                let end = if *has_line { None } else { memchr(b'\n', bytes) };
                if let Some(end) = end {
                    *has_line = true;
                    let line = [read.as_slice(), &bytes[..end]].concat();
                    if serde_json::from_slice::<IgnoredAny>(&line).is_ok() {
                        self.format = Format::Lines(mem::take(read));
                        return self.lines(bytes, &mut on_event);
                    }
                }
                append(read, bytes, self.max_document)?;
                Ok(None)
            }
            Format::Lines(_) => self.lines(bytes, &mut on_event),
            Format::List { .. } => Ok(None),
        }
    }

    fn lines<B>(&mut self, bytes: &[u8], on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<B>) -> Fed<B> {
        let Format::Lines(line) = &mut self.format else { return Ok(None) };
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            append(line, &rest[..end], self.max_event)?;
            rest = &rest[end + 1..];
            let text = mem::take(line);
            if let ControlFlow::Break(value) = dispatch(&text, false, on_event) {
                return Ok(Some(value));
            }
        }
        append(line, rest, self.max_event)?;
        Ok(None)
    }

    /// Ends the body: dispatches what is pending. If the callback stops, the next call goes on with the rest.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn finish<B>(&mut self, mut on_event: impl FnMut(Event<'_>) -> ControlFlow<B>) -> Fed<B> {
        match &mut self.format {
            Format::Sse(parser) => parser.finish(on_event),
            Format::Unknown { .. } | Format::Page(_) => Ok(None),
            Format::Lines(line) => Ok(dispatch(&mem::take(line), true, &mut on_event).break_value()),
            Format::Document { read, .. } => {
                let document = mem::take(read);
                // A list of chunks.
                let list = std::str::from_utf8(&document).ok().and_then(json::entries);
                let Some(list) = list.filter(|_| document.starts_with(b"[")) else {
                    return Ok(dispatch(&document, true, &mut on_event).break_value());
                };
                let start = document.as_ptr() as usize;
                let range = |entry: &str| {
                    let from = entry.as_ptr() as usize - start;
                    from..from + entry.len()
                };
                let rest = list.into_iter().map(range).collect();
                self.format = Format::List { document, rest };
                self.finish(on_event)
            }
            Format::List { document, rest } => {
                while let Some(entry) = rest.pop_front() {
                    if let ControlFlow::Break(value) = dispatch(&document[entry], true, &mut on_event) {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The beginning of what was received and is not an event, up to [`BODY_LIMIT`]. `had_answer`: some of the events were part of an answer.
    pub fn stray(&self, had_answer: bool) -> &[u8] {
        match &self.format {
            Format::Sse(parser) => parser.stray(),
            Format::Page(page) => page,
            _ if had_answer => &[],
            _ => &self.document_start,
        }
    }
}

/// Whether a byte is neither white space, nor part of a byte order mark or a comment.
fn begins_content(byte: u8, in_comment: &mut bool) -> bool {
    if *in_comment {
        *in_comment = !matches!(byte, b'\n' | b'\r');
        return false;
    }
    *in_comment = byte == b':';
    !*in_comment && !byte.is_ascii_whitespace() && !b"\xEF\xBB\xBF".contains(&byte)
}

fn append(buffer: &mut Vec<u8>, bytes: &[u8], limit: usize) -> Result<(), TooLong> {
    if buffer.len() + bytes.len() > limit {
        return Err(TooLong { limit });
    }
    buffer.extend_from_slice(bytes);
    Ok(())
}

fn dispatch<B>(
    json: &[u8],
    at_end: bool,
    on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let json = json.trim_ascii();
    if json.is_empty() {
        return ControlFlow::Continue(());
    }
    let data = std::str::from_utf8(json).map_or_else(|_| String::from_utf8_lossy(json), Cow::Borrowed);
    on_event(Event { event: None, data, at_end })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of all events, with the body split at each position.
    fn events(body: &str) -> Vec<String> {
        let read = |parts: &[&[u8]]| {
            let mut events = Events::new(1000, 1000);
            let mut all = Vec::new();
            let mut push = |event: Event<'_>| {
                all.push(event.data.into_owned());
                ControlFlow::<()>::Continue(())
            };
            for part in parts {
                events.feed(part, &mut push).unwrap();
            }
            events.finish(&mut push).unwrap();
            all
        };
        let whole = read(&[body.as_bytes()]);
        for at in 0..body.len() {
            let (first, second) = body.as_bytes().split_at(at);
            assert_eq!(read(&[first, second]), whole, "split at {at}");
        }
        whole
    }

    #[test]
    fn the_bytes_decide_on_the_format() {
        assert_eq!(events("\u{FEFF}\n data: 1\n\ndata: 2\n\n"), ["1", "2"]);
        assert_eq!(events("{\"a\":1}\n{\"b\":2}\r\n"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(events("{\"a\":1}"), ["{\"a\":1}"]);
        assert_eq!(events(" {\n \"a\": 1\n}\n"), ["{\n \"a\": 1\n}"]);
        assert_eq!(events("[{\"a\":1},\n{\"b\":2}]"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(events(": a { b\r\n\r\n:\n{\"a\":1}"), ["{\"a\":1}"]);
        assert_eq!(events(": {\n\ndata: 1\n\n"), ["1"]);
        assert_eq!(events("<html>\n{}\n"), Vec::<String>::new());
    }

    #[test]
    fn the_beginning_of_what_is_not_an_event_is_kept() {
        for body in
            ["upstream failed\n", "error: {\"message\":\"upstream failed\"}\n\n", "<p>upstream failed"]
        {
            let mut events = Events::new(100_000, 100_000);
            let body = format!("{body}{}", "x".repeat(50_000));
            events.feed(body.as_bytes(), |_| ControlFlow::<()>::Continue(())).unwrap();
            events.finish(|_| ControlFlow::<()>::Continue(())).unwrap();
            assert!(String::from_utf8_lossy(events.stray(false)).contains("upstream failed"));
            assert!(events.stray(false).len() <= BODY_LIMIT);
        }
    }

    #[test]
    fn lengths_are_bounded() {
        for body in ["{\"a\": ", "{}\n{", "data: "] {
            let mut events = Events::new(100, 100);
            let body = format!("{body}{}", "x".repeat(200));
            assert!(events.feed(body.as_bytes(), |_| ControlFlow::<()>::Continue(())).is_err(), "{body}");
        }
    }
}
