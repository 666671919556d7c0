//! `text/event-stream`. However the bytes are split, the parser yields the events of the standard, stops at its limit
//! and uses no more memory than the limit allows.
//!
//! Input: one byte that seeds the splits, one that selects the limit, and the body.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use holysheep::rng::SeededRng;
use holysheep::wire::sse::{Event, FeedResult, Parser, TooLong};
use libfuzzer_sys::fuzz_target;

const LIMITS: [usize; 6] = [1, 4, 16, 64, 256, 1 << 20];

/// Event name, data, and whether the body ended before the blank line.
type Record = (Option<String>, String, bool);

fuzz_target!(|input: &[u8]| {
    let [seed, limit, body @ ..] = input else { return };
    let limit = LIMITS[usize::from(*limit) % LIMITS.len()];
    let parts = split(body, &mut SeededRng::new(u64::from(*seed)));
    let bytes: Vec<&[u8]> = body.chunks(1).collect();

    let expected = parse(limit, &[body]);
    // A complete object ends its event without a blank line, which the standard does not say.
    if !body.contains(&b'{') {
        assert_eq!(expected, reference(limit, body), "differs from the standard");
    }
    assert_eq!(parse(limit, &parts), expected, "differs in parts");
    assert_eq!(parse(limit, &bytes), expected, "differs byte by byte");
    assert_eq!(parse_stopping(limit, &parts), expected, "differs if each event stops the parser");
    for parts in [&parts, &bytes] {
        assert_memory(limit, parts);
    }
});

fn owned(event: &Event<'_>) -> Record {
    (event.event.map(str::to_owned), event.data.to_string(), event.at_end)
}

/// Splits bytes into parts of random lengths from 0 to 15.
pub fn split<'a>(mut bytes: &'a [u8], rng: &mut SeededRng) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(rng.below(16).min(bytes.len()));
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// The events up to the end of the body or the limit, and whether the limit was exceeded.
fn parse(limit: usize, parts: &[&[u8]]) -> (Vec<Record>, bool) {
    let mut parser = Parser::new(limit);
    let mut records = Vec::new();
    let mut on_event = |event: Event<'_>| {
        records.push(owned(&event));
        ControlFlow::<()>::Continue(())
    };
    for part in parts {
        match parser.feed(part, &mut on_event) {
            Ok(fed) => assert_eq!(fed, FeedResult::All),
            Err(TooLong { limit: reported }) => {
                assert_eq!(reported, limit);
                return (records, true);
            }
        }
    }
    let too_long = parser.finish(&mut on_event).is_err();
    (records, too_long)
}

/// The same if the callback stops the parser at every event and the rest is fed later.
fn parse_stopping(limit: usize, parts: &[&[u8]]) -> (Vec<Record>, bool) {
    let mut parser = Parser::new(limit);
    let mut records = Vec::new();
    let stop = |event: Event<'_>| ControlFlow::Break(owned(&event));
    for part in parts {
        let mut rest = *part;
        loop {
            match parser.feed(rest, stop) {
                Ok(FeedResult::All) => break,
                Ok(FeedResult::Stopped { consumed, value }) => {
                    records.push(value);
                    rest = &rest[consumed..];
                }
                Err(_) => return (records, true),
            }
        }
    }
    loop {
        match parser.finish(stop) {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, false),
            Err(_) => return (records, true),
        }
    }
}

/// WHATWG HTML, section 9.2.6, on the complete body, with the two documented differences of the parser: it dispatches an
/// event that the end of the body cuts off, and skips events without data.
fn reference(limit: usize, body: &[u8]) -> (Vec<Record>, bool) {
    let mut mark = body.starts_with(b"\xEF\xBB\xBF");
    let mut records: Vec<Record> = Vec::new();
    let (mut name, mut data): (String, Option<Vec<u8>>) = (String::new(), None);
    let mut rest = body;
    loop {
        let (line, is_last) = match rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(end) => {
                let line = &rest[..end];
                let is_pair = rest[end..].starts_with(b"\r\n");
                rest = &rest[end + 1 + usize::from(is_pair)..];
                (line, false)
            }
            None => (rest, true),
        };
        if line.len() > limit {
            return (records, true);
        }
        let line = if std::mem::take(&mut mark) { &line[3..] } else { line };
        if !line.is_empty() {
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &line[..colon] {
                b"data" if !(is_last && value.is_empty()) => {
                    let joined = match data.take() {
                        Some(earlier) => [earlier.as_slice(), b"\n", value].concat(),
                        None => value.to_vec(),
                    };
                    if joined.len() > limit {
                        return (records, true);
                    }
                    data = Some(joined);
                }
                b"event" => name = String::from_utf8_lossy(value).into_owned(),
                _ => {}
            }
        }
        if line.is_empty() || is_last {
            let name = Some(std::mem::take(&mut name)).filter(|name| !name.is_empty());
            if let Some(data) = data.take().filter(|data| !data.is_empty()) {
                records.push((name, String::from_utf8_lossy(&data).into_owned(), is_last));
            }
        }
        if is_last {
            return (records, false);
        }
    }
}

/// Between two reads the parser holds at most a line, and the data and the name of an event. A growing buffer is up
/// to twice as large as its content, and an invalid byte of UTF-8 becomes three bytes in a name. Lines that are not fields
/// are kept up to 2 KiB.
fn assert_memory(limit: usize, parts: &[&[u8]]) {
    let bound = 2 * limit + 2 * limit + 6 * limit + 2 * 2048 + 64;
    let before = LIVE.load(Relaxed);
    let mut parser = Parser::new(limit);
    for part in parts {
        if parser.feed(part, |_| ControlFlow::<()>::Continue(())).is_err() {
            break;
        }
        let used = LIVE.load(Relaxed) - before;
        assert!(used <= bound, "uses {used} bytes with a limit of {limit}");
    }
}

/// Counts the allocated bytes. libFuzzer itself is C++ and allocates elsewhere.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}
