//! Which path is answered how: chat, models, the simulator's own paths.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::answer::{self, Context};
use super::chat::ChatRequest;
use super::dialect::Dialect;
use super::options::Options;
use super::play::Plan;
use super::quota::Quota;
use super::record::{Incoming, Live, Records};
use super::reply;
use super::scenario::Scenario;

/// What is said where nobody says what to say.
const ANSWER: &str = "A flock of sheep is easy to count while it stands still. The trouble begins at the gate: \
one jumps twice, one turns back, and one was never there. A careful shepherd writes each name down as it passes, \
looks up when the line breaks off, and asks only for those who are missing.\n\n\
So it is with an answer that comes in pieces. “Schäfchen” has an umlaut, 🐑 takes four bytes, and a cut may fall \
into the middle of either. What was heard is kept, what is missing is asked for again, and at the end every word \
stands there once, in its order.";

/// What all connections of a simulator share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) records: Records,
    pub(super) open: AtomicUsize,
    pub(super) connections: AtomicU64,
    quota: Option<Quota>,
    queue: Mutex<Queue>,
}

struct Queue {
    taken: u64,
    scripted: VecDeque<Arc<Scenario>>,
    default: Arc<Scenario>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            records: Records::new(options.record_limit),
            quota: options.rate_limit.map(Quota::new),
            open: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            queue: Mutex::new(Queue {
                taken: 0,
                scripted: VecDeque::new(),
                default: Arc::new(options.default.clone()),
            }),
            options,
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn script(&self, scenarios: Vec<Scenario>) {
        self.queue().scripted.extend(scenarios.into_iter().map(Arc::new));
    }

    pub(super) fn unscript(&self) {
        self.queue().scripted.clear();
    }

    pub(super) fn set_default(&self, scenario: Scenario) {
        self.queue().default = Arc::new(scenario);
    }

    /// The number of the connection that is being opened, from 1.
    pub(super) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What a request is answered with, and its record.
    pub(super) fn answer(&self, request: Incoming) -> (Plan, Live) {
        let head = request.method == "HEAD";
        let (mut plan, live) = self.route(request);
        if head {
            plan.script = super::play::Script::Plain(super::play::Plain {
                wait: std::time::Duration::ZERO,
                body: Bytes::new(),
                cut: None,
            });
        }
        (plan, live)
    }

    fn route(&self, request: Incoming) -> (Plan, Live) {
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(own) = path.strip_prefix("/__simulator/") {
            let plan = self.own(own, &request);
            return (plan, Live::unseen());
        }
        let index = self.records.number();
        let (plan, scenario) = if self.refuses_key(&request) {
            (answer::json(401, reply::error_of(401, "")), None)
        } else if path.ends_with("/chat/completions") || Dialect::of(path).is_some() {
            if request.method == "POST" {
                self.limited(&request, index)
            } else {
                let message = format!("Not allowed to {} on {path}. (HINT: use POST)", request.method);
                (answer::json(405, reply::error(&message, "invalid_request_error", None, None)), None)
            }
        } else if request.method == "GET" && path.ends_with("/models") {
            (answer::json(200, reply::models(&self.options.models)), None)
        } else if let Some(id) = self.model(&request.method, path) {
            (answer::json(200, Bytes::from(reply::model(id).to_string())), None)
        } else {
            let message = format!("Invalid URL ({} {path})", request.method);
            (answer::json(404, reply::error(&message, "invalid_request_error", None, None)), None)
        };
        let live = self.records.add(index, request, scenario);
        (plan, live)
    }

    fn model<'a>(&'a self, method: &str, path: &str) -> Option<&'a str> {
        let (_, asked) = path.split_once("/models/")?;
        self.options.models.iter().map(String::as_str).find(|id| method == "GET" && *id == asked)
    }

    fn refuses_key(&self, request: &Incoming) -> bool {
        let Some(key) = &self.options.api_key else { return false };
        if request.header("x-api-key").is_some_and(|given| given == key) {
            return false;
        }
        let given = request.header("authorization").and_then(|value| value.split_once(' '));
        !given.is_some_and(|(kind, given)| kind.eq_ignore_ascii_case("bearer") && given.trim() == key)
    }

    /// The answer to a chat request that its key's bucket admits, else a 429; both tell what is left.
    fn limited(&self, request: &Incoming, index: u64) -> (Plan, Option<String>) {
        let Some(quota) = &self.quota else { return self.chat(request, index) };
        let key = request.header("authorization").or_else(|| request.header("x-api-key"));
        let told = quota.take(key.unwrap_or_default(), Instant::now());
        if !told.admitted {
            return (told.refusal(), Some("rate-limit".to_owned()));
        }
        let (mut plan, name) = self.chat(request, index);
        told.tell(&mut plan);
        (plan, name)
    }

    fn chat(&self, request: &Incoming, index: u64) -> (Plan, Option<String>) {
        let given = request.header("x-simulate").map(Scenario::from_json);
        let default = Arc::clone(&self.queue().default);
        let (scenario, name) = match given {
            Some(Err(why)) => {
                let why = format!("x-simulate: {why}");
                return (answer::refuse(&why, Some("x-simulate"), Some("invalid_scenario")), None);
            }
            Some(Ok(scenario)) => (Arc::new(scenario), "x-simulate".to_owned()),
            None => self.take(),
        };
        let name = scenario.label.clone().unwrap_or(name);
        let dialect = Dialect::of(request.path.split('?').next().unwrap_or_default());
        let read = match dialect {
            Some(dialect) => dialect.read(request),
            None => ChatRequest::read(&request.body),
        };
        let chat = match read {
            Ok(chat) => chat,
            Err(why) => {
                let mut plan = answer::refuse(&why.message, why.param, None);
                answer::reshape(&mut plan, dialect);
                return (plan, Some(name));
            }
        };
        let text = default.text.as_deref().or(self.options.answer.as_deref()).unwrap_or(ANSWER);
        let context = Context {
            dialect,
            seed: self.options.seed,
            index,
            pieces: default.chunks.as_deref(),
            text,
            model: self.options.models.first().map_or("simulator", String::as_str),
        };
        (answer::plan(&scenario, &chat, &context), Some(name))
    }

    fn take(&self) -> (Arc<Scenario>, String) {
        let mut queue = self.queue();
        match queue.scripted.pop_front() {
            Some(scenario) => {
                queue.taken += 1;
                (scenario, format!("script[{}]", queue.taken - 1))
            }
            None => (Arc::clone(&queue.default), "default".to_owned()),
        }
    }

    /// The simulator's own paths, for use from another process.
    fn own(&self, path: &str, request: &Incoming) -> Plan {
        let body = std::str::from_utf8(&request.body).unwrap_or_default();
        let done = |result: Result<(), String>| match result {
            Ok(()) => answer::json(200, Bytes::from_static(b"{\"ok\":true}")),
            Err(why) => answer::refuse(&why, None, Some("invalid_scenario")),
        };
        match (request.method.as_str(), path) {
            ("GET", "requests") => {
                let all = serde_json::to_vec(&self.records.all()).unwrap_or_default();
                answer::json(200, Bytes::from(all))
            }
            ("DELETE", "requests") => {
                self.records.clear();
                done(Ok(()))
            }
            ("POST", "script") => done(Scenario::list_from_json(body).map(|all| self.script(all))),
            ("POST", "default") => done(Scenario::from_json(body).map(|scenario| self.set_default(scenario))),
            ("GET", "connections") => {
                let open = self.open.load(Ordering::Relaxed);
                answer::json(200, Bytes::from(json!({ "open": open }).to_string()))
            }
            _ => answer::json(
                404,
                reply::error(
                    "The simulator has: GET and DELETE requests, POST script, POST default, GET connections.",
                    "invalid_request_error",
                    None,
                    None,
                ),
            ),
        }
    }
}
