//! `text/event-stream`. However the bytes are split, the parser gives the events of the standard, stops at its limit
//! and keeps no more memory than that limit allows.
//!
//! Input: one byte that seeds the splits, one that selects the limit, then the body.
#![no_main]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::{Rng, split};
use holysheep::wire::sse::{Event, Fed, Parser, TooLong};
use libfuzzer_sys::fuzz_target;

const LIMITS: [usize; 6] = [1, 4, 16, 64, 256, 1 << 20];

/// Event name, data, and whether the body ended before the blank line.
type Seen = (Option<String>, String, bool);

fuzz_target!(|input: &[u8]| {
    let [seed, limit, body @ ..] = input else { return };
    let limit = LIMITS[usize::from(*limit) % LIMITS.len()];
    let parts = split(body, &mut Rng(u64::from(*seed)));
    let bytes: Vec<&[u8]> = body.chunks(1).collect();

    let whole = parse(limit, &[body]);
    assert_eq!(whole, reference(limit, body), "not as the standard says");
    assert_eq!(parse(limit, &parts), whole, "another result in parts");
    assert_eq!(parse(limit, &bytes), whole, "another result byte by byte");
    assert_eq!(parse_stopping(limit, &parts), whole, "another result when each event stops the parser");
    for parts in [&parts, &bytes] {
        assert_memory(limit, parts);
    }
});

fn owned(event: &Event<'_>) -> Seen {
    (event.event.map(str::to_owned), event.data.to_string(), event.at_end)
}

/// The events before the end of the body or before the limit.
fn parse(limit: usize, parts: &[&[u8]]) -> (Vec<Seen>, bool) {
    let mut parser = Parser::new(limit);
    let mut seen = Vec::new();
    let mut on_event = |event: Event<'_>| {
        seen.push(owned(&event));
        ControlFlow::<()>::Continue(())
    };
    for part in parts {
        match parser.feed(part, &mut on_event) {
            Ok(fed) => assert_eq!(fed, Fed::All),
            Err(TooLong { limit: said }) => {
                assert_eq!(said, limit);
                return (seen, true);
            }
        }
    }
    let too_long = parser.finish(&mut on_event).is_err();
    (seen, too_long)
}

/// The same where the callback breaks off at every event and the rest is fed later.
fn parse_stopping(limit: usize, parts: &[&[u8]]) -> (Vec<Seen>, bool) {
    let mut parser = Parser::new(limit);
    let mut seen = Vec::new();
    let stop = |event: Event<'_>| ControlFlow::Break(owned(&event));
    for part in parts {
        let mut rest = *part;
        loop {
            match parser.feed(rest, stop) {
                Ok(Fed::All) => break,
                Ok(Fed::Stopped { consumed, value }) => {
                    seen.push(value);
                    rest = &rest[consumed..];
                }
                Err(_) => return (seen, true),
            }
        }
    }
    match parser.finish(stop) {
        Ok(last) => seen.extend(last),
        Err(_) => return (seen, true),
    }
    (seen, false)
}

/// WHATWG HTML, section 9.2.6, on the whole body at once. The parser documents where it differs: what the end of the
/// body cuts off is dispatched, and events without data are skipped.
fn reference(limit: usize, body: &[u8]) -> (Vec<Seen>, bool) {
    let mut mark = body.starts_with(b"\xEF\xBB\xBF");
    let mut seen: Vec<Seen> = Vec::new();
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
            return (seen, true);
        }
        let line = if std::mem::take(&mut mark) { &line[3..] } else { line };
        if !line.is_empty() {
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &line[..colon] {
                b"data" if !(is_last && value.is_empty()) => {
                    let joined = match data.take() {
                        Some(have) => [have.as_slice(), b"\n", value].concat(),
                        None => value.to_vec(),
                    };
                    if joined.len() > limit {
                        return (seen, true);
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
                seen.push((name, String::from_utf8_lossy(&data).into_owned(), is_last));
            }
        }
        if is_last {
            return (seen, false);
        }
    }
}

/// Between two reads the parser holds at most a line, the data of an event and its name. A growing buffer is up to twice
/// as large as what is in it, and a byte that is no UTF-8 becomes three in a name.
fn assert_memory(limit: usize, parts: &[&[u8]]) {
    let most = 2 * limit + 2 * limit + 6 * limit + 64;
    let before = LIVE.load(Relaxed);
    let mut parser = Parser::new(limit);
    for part in parts {
        if parser.feed(part, |_| ControlFlow::<()>::Continue(())).is_err() {
            break;
        }
        let kept = LIVE.load(Relaxed) - before;
        assert!(kept <= most, "keeps {kept} bytes with a limit of {limit}");
    }
}

/// Counts what is allocated. libFuzzer itself is C++ and allocates elsewhere.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}
