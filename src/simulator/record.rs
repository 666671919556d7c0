//! The recorded requests, and how the answer to each of them ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// The limit on the bodies of the recorded requests, in bytes in all. The oldest are dropped first.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// A recorded request, with the current state of its answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedRequest {
    /// The number of the request, from 0 in order of arrival.
    pub index: u64,
    /// When it was received: milliseconds since the simulator's start, monotonic.
    pub at_ms: f64,
    /// When it was received: milliseconds since the Unix epoch.
    pub epoch_ms: f64,
    /// The method, in upper case.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Values by lower-case name. Repeated headers are joined with a comma.
    pub headers: BTreeMap<String, String>,
    /// The body as text; invalid UTF-8 is replaced.
    pub body: String,
    /// The body as JSON, or null.
    pub json: Value,
    /// The scenario of the answer: its label, or else `script[n]`, counted from 0, `default` or `x-simulate`;
    /// `rate-limit` for a 429 of the rate limit; null for a request that takes no scenario.
    pub scenario: Option<String>,
    /// `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// The number of its connection, from 1.
    pub connection: u64,
    /// How the answer ended; `open` while it is being sent.
    pub ended_by: EndedBy,
    /// The bytes of the response body that were written, without head and chunk framing.
    pub bytes_sent: u64,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EndedBy {
    /// It has not ended.
    Open,
    /// It was sent completely.
    Complete,
    /// The client disconnected.
    Client,
    /// The scenario, or closing the simulator, ended it early.
    Disconnect,
}

/// A request as it was received.
pub(super) struct IncomingRequest {
    pub(super) method: String,
    pub(super) path: String,
    /// Names are in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) protocol: &'static str,
    pub(super) connection: u64,
}

impl IncomingRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

struct Entry {
    index: u64,
    at: Duration,
    epoch: Duration,
    request: IncomingRequest,
    scenario: Option<String>,
    ended: AtomicU8,
    sent: AtomicU64,
}

/// The record of an answer that is being sent. If the handle is dropped before the end, the answer is cut.
pub(super) struct RecordHandle(Option<Arc<Entry>>);

impl RecordHandle {
    /// A handle of an answer that is not recorded.
    pub(super) fn unrecorded() -> Self {
        Self(None)
    }

    pub(super) fn sent(&self, bytes: usize) {
        if let Some(entry) = &self.0 {
            entry.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn unsent(&self, bytes: usize) {
        if let Some(entry) = &self.0 {
            entry.sent.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
    }

    /// The client disconnected. This replaces an end that was set before the last bytes were written.
    pub(super) fn client_gone(&self) {
        if let Some(entry) = &self.0 {
            entry.ended.store(EndedBy::Client as u8, Ordering::Release);
        }
    }

    /// Sets how the answer ended, unless that is set.
    pub(super) fn finish(&self, by: EndedBy) {
        if let Some(entry) = &self.0 {
            let open = EndedBy::Open as u8;
            // A reader that sees the end must see all the bytes: hence release, and acquire in `snapshot`.
            let _ = entry.ended.compare_exchange(open, by as u8, Ordering::Release, Ordering::Relaxed);
        }
    }
}

impl Drop for RecordHandle {
    fn drop(&mut self) {
        self.finish(EndedBy::Disconnect);
    }
}

pub(super) struct RequestLog {
    started: Instant,
    limit: usize,
    state: Mutex<LogState>,
}

#[derive(Default)]
struct LogState {
    next: u64,
    bodies: usize,
    entries: VecDeque<Arc<Entry>>,
}

impl RequestLog {
    pub(super) fn new(limit: usize) -> Self {
        Self { started: Instant::now(), limit, state: Mutex::default() }
    }

    /// Takes the number of the next request.
    pub(super) fn next_index(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.next += 1;
        state.next - 1
    }

    pub(super) fn add(&self, index: u64, request: IncomingRequest, scenario: Option<String>) -> RecordHandle {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let entry = Arc::new(Entry {
            index,
            at: self.started.elapsed(),
            epoch,
            request,
            scenario,
            ended: AtomicU8::new(EndedBy::Open as u8),
            sent: AtomicU64::new(0),
        });
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bodies += entry.request.body.len();
        state.entries.push_back(Arc::clone(&entry));
        while state.entries.len() > self.limit || state.bodies > MAX_BODY_BYTES {
            match state.entries.pop_front() {
                Some(oldest) => state.bodies -= oldest.request.body.len(),
                None => break,
            }
        }
        RecordHandle(Some(entry))
    }

    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        let entries = self.state.lock().unwrap_or_else(PoisonError::into_inner).entries.clone();
        let mut all: Vec<_> = entries.iter().map(|entry| snapshot(entry)).collect();
        // Two connections may take their numbers in one order and add their requests in another.
        all.sort_by_key(|request| request.index);
        all
    }

    pub(super) fn clear(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = LogState::default();
    }
}

fn snapshot(entry: &Entry) -> RecordedRequest {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &entry.request.headers {
        headers
            .entry(name.clone())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(value);
            })
            .or_insert_with(|| value.clone());
    }
    let ended = entry.ended.load(Ordering::Acquire);
    let ends = [EndedBy::Complete, EndedBy::Client, EndedBy::Disconnect];
    RecordedRequest {
        index: entry.index,
        at_ms: entry.at.as_secs_f64() * 1000.0,
        epoch_ms: entry.epoch.as_secs_f64() * 1000.0,
        method: entry.request.method.clone(),
        path: entry.request.path.clone(),
        headers,
        body: String::from_utf8_lossy(&entry.request.body).into_owned(),
        json: serde_json::from_slice(&entry.request.body).unwrap_or(Value::Null),
        scenario: entry.scenario.clone(),
        protocol: entry.request.protocol,
        connection: entry.request.connection,
        ended_by: ends.into_iter().find(|end| *end as u8 == ended).unwrap_or(EndedBy::Open),
        bytes_sent: entry.sent.load(Ordering::Relaxed),
    }
}
