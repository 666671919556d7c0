//! Routes requests by path: chat, models, the simulator's own commands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::answer::{self, AnswerContext};
use super::bodies;
use super::chat_request::ChatRequest;
use super::dialect::Dialect;
use super::kept_answer;
use super::kept_responses::{KeptResponses, key_of};
use super::options::Options;
use super::plan::{BodySource, FixedBody, Plan};
use super::rate_limit::RateLimiter;
use super::record::{IncomingRequest, RecordHandle, RequestLog};
use super::scenario::Scenario;

/// The header with which a client names its requests.
const CLIENT_REQUEST_ID: &str = "x-client-request-id";
/// The maximum number of lost requests that are remembered.
const MAX_LOST: usize = 1024;

/// The answer of scenarios without one.
const DEFAULT_ANSWER: &str = "A flock of sheep is easy to count while it stands still. The trouble begins at the gate: \
one jumps twice, one turns back, and one was never there. A careful shepherd writes each name down as it passes, \
looks up when the line stops, and asks only for those that are missing.\n\n\
So it is with a streamed answer. “Schäfchen” has an umlaut, 🐑 takes four bytes, and a connection can drop in the \
middle of either. What arrived is kept, what is missing is requested, and in the end every word is there once, in \
order.";

/// The state that all connections of a simulator share.
pub(super) struct ServerState {
    pub(super) options: Options,
    pub(super) log: RequestLog,
    pub(super) open: AtomicUsize,
    pub(super) connections: AtomicU64,
    rate_limiter: Option<RateLimiter>,
    queue: Mutex<ScenarioQueue>,
    kept: KeptResponses,
}

struct ScenarioQueue {
    scripted_taken: u64,
    scripted: VecDeque<Arc<Scenario>>,
    default: Arc<Scenario>,
    /// The requests whose connection was lost before a byte of the answer, by their `x-client-request-id`.
    lost: VecDeque<(String, Arc<Scenario>)>,
}

impl ServerState {
    pub(super) fn new(options: Options) -> Self {
        Self {
            log: RequestLog::new(options.record_limit),
            rate_limiter: options.rate_limit.map(RateLimiter::new),
            open: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            queue: Mutex::new(ScenarioQueue {
                scripted_taken: 0,
                scripted: VecDeque::new(),
                default: Arc::new(options.default.clone()),
                lost: VecDeque::new(),
            }),
            kept: KeptResponses::default(),
            options,
        }
    }

    fn queue(&self) -> MutexGuard<'_, ScenarioQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn script(&self, scenarios: Vec<Scenario>) {
        self.queue().scripted.extend(scenarios.into_iter().map(Arc::new));
    }

    pub(super) fn clear_script(&self) {
        self.queue().scripted.clear();
    }

    pub(super) fn set_default(&self, scenario: Scenario) {
        self.queue().default = Arc::new(scenario);
    }

    /// Takes the number of the next connection, from 1.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The plan of the answer to a request, and its record.
    pub(super) fn respond(&self, request: IncomingRequest) -> (Plan, RecordHandle) {
        let is_head = request.method == "HEAD";
        let (mut plan, record) = self.route(request);
        if is_head {
            // The answer to HEAD has no body.
            plan.source =
                BodySource::Fixed(FixedBody { wait: Duration::ZERO, body: Bytes::new(), cut: None });
        }
        (plan, record)
    }

    fn route(&self, request: IncomingRequest) -> (Plan, RecordHandle) {
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(command) = path.strip_prefix("/__simulator/") {
            let plan = self.control(command, &request);
            return (plan, RecordHandle::unrecorded());
        }
        // A client repeats a request at once if its reused connection was lost. To the log and the script it is the same
        // request, and a new connection is lost too.
        if let Some(scenario) = self.take_lost(&request) {
            let (plan, _) = self.answer(&request, 0, &scenario, String::new());
            return (plan, RecordHandle::unrecorded());
        }
        let index = self.log.next_index();
        let (plan, scenario) = if self.rejects_key(&request) {
            (answer::json(401, bodies::error_of(401, "")), None)
        } else if let Some((id, is_canceled)) = kept_answer::requested(&request.method, path) {
            match is_canceled {
                true => {
                    let response = self.kept.cancel(id, key_of(&request).as_deref());
                    (kept_answer::canceled(id, response), None)
                }
                false => self.kept_response(&request, id, index),
            }
        } else if path.ends_with("/chat/completions") || Dialect::of(path).is_some() {
            if request.method == "POST" {
                self.chat_within_limit(&request, index)
            } else {
                let message = format!("Not allowed to {} on {path}. (HINT: use POST)", request.method);
                (answer::json(405, bodies::error(&message, "invalid_request_error", None, None)), None)
            }
        } else if request.method == "GET" && path.ends_with("/models") {
            (answer::json(200, bodies::models(&self.options.models)), None)
        } else if let Some(id) = self.model(&request.method, path) {
            (answer::json(200, Bytes::from(bodies::model(id).to_string())), None)
        } else {
            let message = format!("Invalid URL ({} {path})", request.method);
            (answer::json(404, bodies::error(&message, "invalid_request_error", None, None)), None)
        };
        let record = self.log.add(index, request, scenario);
        (plan, record)
    }

    /// The model of this path, if the simulator lists it.
    fn model<'a>(&'a self, method: &str, path: &str) -> Option<&'a str> {
        let (_, requested) = path.split_once("/models/")?;
        self.options.models.iter().map(String::as_str).find(|id| method == "GET" && *id == requested)
    }

    fn rejects_key(&self, request: &IncomingRequest) -> bool {
        let Some(key) = &self.options.api_key else { return false };
        if request.header("x-api-key").is_some_and(|value| value == key) {
            return false;
        }
        let authorization = request.header("authorization").and_then(|value| value.split_once(' '));
        !authorization
            .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && token.trim() == key)
    }

    /// The answer to a chat request if its key is within the rate limit, else a 429. Both report the limit.
    fn chat_within_limit(&self, request: &IncomingRequest, index: u64) -> (Plan, Option<String>) {
        let Some(rate_limiter) = &self.rate_limiter else { return self.chat(request, index) };
        let key = request.header("authorization").or_else(|| request.header("x-api-key"));
        let decision = rate_limiter.take(key.unwrap_or_default(), Instant::now());
        if !decision.admitted {
            return (decision.rejection(), Some("rate-limit".to_owned()));
        }
        let (mut plan, name) = self.chat(request, index);
        decision.add_headers(&mut plan);
        (plan, name)
    }

    fn chat(&self, request: &IncomingRequest, index: u64) -> (Plan, Option<String>) {
        let from_header = request.header("x-simulate").map(Scenario::from_json);
        let (scenario, name) = match from_header {
            Some(Err(why)) => {
                let why = format!("x-simulate: {why}");
                return (answer::bad_request(&why, Some("x-simulate"), Some("invalid_scenario")), None);
            }
            Some(Ok(scenario)) => (Arc::new(scenario), "x-simulate".to_owned()),
            None => self.next_scenario(),
        };
        if let Some(id) = request.header(CLIENT_REQUEST_ID)
            && (scenario.connect_reset || scenario.close_before_headers)
        {
            let mut queue = self.queue();
            if queue.lost.len() == MAX_LOST {
                queue.lost.pop_front();
            }
            queue.lost.push_back((id.to_owned(), Arc::clone(&scenario)));
        }
        self.answer(request, index, &scenario, name)
    }

    /// The answer to a request for a kept response, which takes a scenario like a chat request.
    fn kept_response(&self, request: &IncomingRequest, id: &str, index: u64) -> (Plan, Option<String>) {
        let (scenario, name) = self.next_scenario();
        let found = self.kept.find(id, key_of(request).as_deref());
        let context = self.context(request, index, Some(Dialect::Responses), None, "");
        let name = scenario.label.clone().unwrap_or(name);
        (kept_answer::plan(&scenario, (id, &request.path), found, &context), Some(name))
    }

    fn context<'a>(
        &'a self,
        request: &IncomingRequest,
        index: u64,
        dialect: Option<Dialect>,
        deltas: Option<&'a [String]>,
        text: &'a str,
    ) -> AnswerContext<'a> {
        AnswerContext {
            dialect,
            seed: self.options.seed,
            index,
            deltas,
            text,
            model: self.options.models.first().map_or("simulator", String::as_str),
            key: key_of(request),
            kept: &self.kept,
        }
    }

    fn take_lost(&self, request: &IncomingRequest) -> Option<Arc<Scenario>> {
        let id = request.header(CLIENT_REQUEST_ID)?;
        let mut queue = self.queue();
        let position = queue.lost.iter().position(|(lost, _)| lost == id)?;
        queue.lost.remove(position).map(|(_, scenario)| scenario)
    }

    fn answer(
        &self,
        request: &IncomingRequest,
        index: u64,
        scenario: &Arc<Scenario>,
        name: String,
    ) -> (Plan, Option<String>) {
        let default = Arc::clone(&self.queue().default);
        let name = scenario.label.clone().unwrap_or(name);
        let dialect = Dialect::of(request.path.split('?').next().unwrap_or_default());
        let parsed = match dialect {
            Some(dialect) => dialect.parse(request),
            None => ChatRequest::parse(&request.body),
        };
        let chat = match parsed {
            Ok(chat) => chat,
            Err(why) => {
                let mut plan = answer::bad_request(&why.message, why.param, None);
                answer::apply_error_shape(&mut plan, dialect);
                return (plan, Some(name));
            }
        };
        let text = default.text.as_deref().or(self.options.answer.as_deref()).unwrap_or(DEFAULT_ANSWER);
        let context = self.context(request, index, dialect, default.chunks.as_deref(), text);
        (answer::plan(scenario, &chat, &context), Some(name))
    }

    fn next_scenario(&self) -> (Arc<Scenario>, String) {
        let mut queue = self.queue();
        match queue.scripted.pop_front() {
            Some(scenario) => {
                queue.scripted_taken += 1;
                (scenario, format!("script[{}]", queue.scripted_taken - 1))
            }
            None => (Arc::clone(&queue.default), "default".to_owned()),
        }
    }

    /// The simulator's own commands, for other processes.
    fn control(&self, path: &str, request: &IncomingRequest) -> Plan {
        let body = std::str::from_utf8(&request.body).unwrap_or_default();
        let done = |result: Result<(), String>| match result {
            Ok(()) => answer::json(200, Bytes::from_static(b"{\"ok\":true}")),
            Err(why) => answer::bad_request(&why, None, Some("invalid_scenario")),
        };
        match (request.method.as_str(), path) {
            ("GET", "requests") => {
                let all = serde_json::to_vec(&self.log.all()).unwrap_or_default();
                answer::json(200, Bytes::from(all))
            }
            ("DELETE", "requests") => {
                self.log.clear();
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
                bodies::error(
                    "The simulator has: GET and DELETE requests, POST script, POST default, GET connections.",
                    "invalid_request_error",
                    None,
                    None,
                ),
            ),
        }
    }
}
