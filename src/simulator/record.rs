//! What was asked of the simulator, and what became of each request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// The bodies of the kept requests have at most so many bytes in all; then the oldest go.
const BODIES: usize = 256 * 1024 * 1024;

/// One request that the simulator has read, as it stands now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedRequest {
    /// The number of the request, from 0 in the order in which they were read.
    pub index: u64,
    /// When it was read: milliseconds since the simulator's start, monotonic.
    pub at_ms: f64,
    /// When it was read: milliseconds since the Unix epoch.
    pub epoch_ms: f64,
    /// The method, in capitals.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Values by lower-case name; lines of the same name are joined with a comma.
    pub headers: BTreeMap<String, String>,
    /// The body as text; what is not UTF-8 is replaced.
    pub body: String,
    /// The body as JSON, or null.
    pub json: Value,
    /// The scenario it was answered with: its label, or `script[n]` counted from 0, `default` or
    /// `x-simulate`, or `rate-limit` for a 429 of the simulator's own; null for a request that takes none.
    pub scenario: Option<String>,
    /// `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// The number of its connection, from 1.
    pub connection: u64,
    /// Who ended the answer; `open` while it runs.
    pub ended_by: EndedBy,
    /// How many bytes of the response body were written, without head and chunk framing.
    pub bytes_sent: u64,
}

/// Who ended an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EndedBy {
    /// Nobody yet.
    Open,
    /// It was sent to its end.
    Complete,
    /// The client went away.
    Client,
    /// The scenario, or closing the simulator, ended it early.
    Disconnect,
}

/// A request as it was read.
pub(super) struct Incoming {
    pub(super) method: String,
    pub(super) path: String,
    /// Lower-case names.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) protocol: &'static str,
    pub(super) connection: u64,
}

impl Incoming {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

struct Entry {
    index: u64,
    at: Duration,
    epoch: Duration,
    request: Incoming,
    scenario: Option<String>,
    ended: AtomicU8,
    sent: AtomicU64,
}

/// The record of an answer that runs. Dropped before its end, it counts as cut.
pub(super) struct Live(Option<Arc<Entry>>);

impl Live {
    /// An answer that is not recorded.
    pub(super) fn unseen() -> Self {
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

    /// The client went away, even from an answer whose last bytes were on their way.
    pub(super) fn gone(&self) {
        if let Some(entry) = &self.0 {
            entry.ended.store(EndedBy::Client as u8, Ordering::Release);
        }
    }

    /// The first end counts.
    pub(super) fn end(&self, by: EndedBy) {
        if let Some(entry) = &self.0 {
            let open = EndedBy::Open as u8;
            // Whoever sees the end must see all the bytes: hence release, and acquire in `read`.
            let _ = entry.ended.compare_exchange(open, by as u8, Ordering::Release, Ordering::Relaxed);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end(EndedBy::Disconnect);
    }
}

pub(super) struct Records {
    started: Instant,
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    bodies: usize,
    entries: VecDeque<Arc<Entry>>,
}

impl Records {
    pub(super) fn new(limit: usize) -> Self {
        Self { started: Instant::now(), limit, kept: Mutex::default() }
    }

    /// The number that the next request gets.
    pub(super) fn number(&self) -> u64 {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.next += 1;
        kept.next - 1
    }

    pub(super) fn add(&self, index: u64, request: Incoming, scenario: Option<String>) -> Live {
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
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bodies += entry.request.body.len();
        kept.entries.push_back(Arc::clone(&entry));
        while kept.entries.len() > self.limit || kept.bodies > BODIES {
            match kept.entries.pop_front() {
                Some(oldest) => kept.bodies -= oldest.request.body.len(),
                None => break,
            }
        }
        Live(Some(entry))
    }

    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        let entries = self.kept.lock().unwrap_or_else(PoisonError::into_inner).entries.clone();
        let mut all: Vec<_> = entries.iter().map(|entry| read(entry)).collect();
        // Two connections may number and add in another order.
        all.sort_by_key(|request| request.index);
        all
    }

    pub(super) fn clear(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

fn read(entry: &Entry) -> RecordedRequest {
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
    let states = [EndedBy::Complete, EndedBy::Client, EndedBy::Disconnect];
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
        ended_by: states.into_iter().find(|state| *state as u8 == ended).unwrap_or(EndedBy::Open),
        bytes_sent: entry.sent.load(Ordering::Relaxed),
    }
}
