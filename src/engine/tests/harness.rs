//! A client over a scripted provider, and a consumer that records what it gets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::scripted_provider::{RecordedRequest, Reply, ScriptedProvider};
use crate::config::ClientConfig;
use crate::engine::event::Event;
use crate::engine::sink::{DeliveryMode, Sink};
use crate::engine::{Answer, CallRequest, Client};
use crate::error::{Error, Result};
use crate::session::snapshot::Snapshot;
use crate::transport::Transport;
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;

/// A consumer that records what it gets, with the time in milliseconds since the harness started.
pub struct Recorder {
    mode: DeliveryMode,
    started_at: Instant,
    pause: Option<Duration>,
    takes_every: Option<Duration>,
    /// It pauses when it is next asked whether it is ready.
    is_pause_due: Mutex<bool>,
    pub deltas: Mutex<Vec<(u64, String)>>,
    pub complete: Mutex<Vec<(u64, String)>>,
    pub events: Mutex<Vec<(u64, Value)>>,
}

impl Recorder {
    fn new(call: &TestCall, started_at: Instant) -> Self {
        Recorder {
            mode: call.mode,
            started_at,
            pause: call.pause,
            takes_every: call.takes_every,
            is_pause_due: Mutex::new(call.pauses_first),
            deltas: Mutex::default(),
            complete: Mutex::default(),
            events: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        self.started_at.elapsed().as_millis() as u64
    }
}

impl Sink for Recorder {
    fn mode(&self) -> DeliveryMode {
        self.mode
    }

    fn delta(&self, delta: &str) {
        *self.is_pause_due.lock().unwrap() = true;
        self.deltas.lock().unwrap().push((self.now(), delta.to_owned()));
    }

    fn complete(&self, text: &str) {
        self.complete.lock().unwrap().push((self.now(), text.to_owned()));
    }

    fn event(&self, event: Event) {
        self.events.lock().unwrap().push((self.now(), serde_json::to_value(event).unwrap()));
    }

    fn last_taken(&self) -> Option<Instant> {
        let every = self.takes_every?;
        let times = self.started_at.elapsed().as_millis() / every.as_millis();
        Some(self.started_at + every * times as u32)
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        let pause = self.pause?;
        let is_due = std::mem::take(&mut *self.is_pause_due.lock().unwrap());
        is_due.then(|| sleep(pause).boxed())
    }
}

/// How a call ended.
pub struct Outcome {
    /// When, in milliseconds since the harness started.
    pub at: u64,
    pub result: Result<Answer>,
    pub sink: Arc<Recorder>,
}

impl Outcome {
    pub fn error(&self) -> &Error {
        self.result.as_ref().err().expect("the call should have failed")
    }

    pub fn answer(&self) -> &Answer {
        self.result.as_ref().unwrap_or_else(|error| panic!("the call failed: {error:?}"))
    }

    pub fn text(&self) -> &str {
        &self.answer().journal.first_choice().text
    }

    pub fn deltas(&self) -> Vec<String> {
        self.sink.deltas.lock().unwrap().iter().map(|(_, delta)| delta.clone()).collect()
    }

    pub fn delta_times(&self) -> Vec<u64> {
        self.sink.deltas.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    pub fn completed_at(&self) -> Vec<u64> {
        self.sink.complete.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    /// Its events of one type.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.sink.events.lock().unwrap();
        events.iter().map(|(_, event)| event.clone()).filter(|event| event["type"] == kind).collect()
    }

    /// The outcomes of its attempts, in order.
    pub fn attempt_outcomes(&self) -> Vec<String> {
        let attempts = match &self.result {
            Ok(answer) => &answer.attempts,
            Err(error) => &error.attempts,
        };
        attempts.iter().map(|attempt| attempt.outcome.clone()).collect()
    }
}

/// A call: a test sets only what matters to it.
pub struct TestCall {
    pub dialect: Dialect,
    pub request: Value,
    pub options: Value,
    pub mode: DeliveryMode,
    /// How long the consumer pauses after each delta.
    pub pause: Option<Duration>,
    /// How often it takes something while it pauses.
    pub takes_every: Option<Duration>,
    /// The consumer pauses before the first delta too.
    pub pauses_first: bool,
    pub cancel: CancellationToken,
    /// How long it waits before it starts, in milliseconds.
    pub delay_ms: u64,
    /// The snapshot that it resumes.
    pub snapshot: Option<Snapshot>,
    pub single_attempt: bool,
    /// A method of the tutorials.
    pub is_mirrored: bool,
    /// The caller's token count of the prompt, by model.
    pub prompt_tokens: BTreeMap<String, u64>,
}

impl Default for TestCall {
    fn default() -> Self {
        TestCall {
            dialect: Dialect::Chat,
            request: json!({ "messages": [{ "role": "user", "content": "hi" }] }),
            options: json!({}),
            mode: DeliveryMode::Text,
            pause: None,
            takes_every: None,
            pauses_first: false,
            cancel: CancellationToken::new(),
            delay_ms: 0,
            snapshot: None,
            single_attempt: false,
            is_mirrored: false,
            prompt_tokens: BTreeMap::new(),
        }
    }
}

/// A client over a scripted provider.
pub struct Harness {
    provider: Arc<ScriptedProvider>,
    pub client: Client,
}

impl Harness {
    /// One endpoint, `http://a/v1`, unless the options list endpoints.
    pub fn new(options: Value, script: Vec<Reply>) -> Self {
        let mut options = options;
        if options.get("endpoints").is_none() {
            options["baseUrl"] = json!("http://a/v1");
        }
        Harness::with_hosts(options, vec![("a", script)])
    }

    /// The endpoints of the options, with a script for each host. Waits have no jitter.
    pub fn with_hosts(mut options: Value, scripts: Vec<(&str, Vec<Reply>)>) -> Self {
        options["apiKey"] = json!("key-of-the-client");
        if options.get("retry").is_none() {
            options["retry"] = json!({});
        }
        options["retry"]["jitter"] = json!("none");
        let scripts = scripts.into_iter().map(|(host, script)| (host.to_owned(), script.into())).collect();
        let provider = Arc::new(ScriptedProvider {
            started_at: Instant::now(),
            scripts: Mutex::new(scripts),
            requests: Mutex::default(),
        });
        let config = ClientConfig::read(&options).unwrap();
        let client = Client::new(config, Arc::clone(&provider) as Arc<dyn Transport>, None, None);
        Harness { provider, client }
    }

    /// Two endpoints, `a` and `b`, with a script each.
    pub fn two_endpoints(mut options: Value, a: Vec<Reply>, b: Vec<Reply>) -> Self {
        options["endpoints"] = json!([
            { "name": "a", "baseUrl": "http://a/v1", "apiKey": "key-of-a", "headers": { "x-of": "a" } },
            { "name": "b", "baseUrl": "http://b/v1", "apiKey": "key-of-b" },
        ]);
        Harness::with_hosts(options, vec![("a", a), ("b", b)])
    }

    pub fn requests(&self) -> Vec<Arc<RecordedRequest>> {
        self.provider.requests.lock().unwrap().clone()
    }

    /// When the requests arrived, in milliseconds since the harness started.
    pub fn request_times(&self) -> Vec<u64> {
        self.requests().iter().map(|request| request.at).collect()
    }

    /// The hosts of the requests, in order: `ab` is a request to `a` and one to `b`.
    pub fn request_hosts(&self) -> String {
        self.requests().iter().map(|request| request.url.split('/').nth(2).unwrap().to_owned()).collect()
    }

    pub fn now(&self) -> u64 {
        self.provider.started_at.elapsed().as_millis() as u64
    }

    pub async fn run(&self, call: TestCall) -> Outcome {
        sleep(Duration::from_millis(call.delay_ms)).await;
        let sink = Arc::new(Recorder::new(&call, self.provider.started_at));
        let request = ChatRequest::parse_as(call.dialect, &call.request.to_string()).unwrap();
        let mut options = self.client.config().call.with(&call.options).unwrap();
        options.single_attempt = call.single_attempt;
        options.is_mirrored = call.is_mirrored;
        options.prompt_tokens = call.prompt_tokens;
        let request = CallRequest::new(request, options, call.snapshot);
        let result = self.client.run(&request, &*sink, &call.cancel).await;
        Outcome { at: self.now(), result, sink }
    }

    /// The size in bytes of the future that runs a default call.
    pub fn call_future_size(&self) -> usize {
        let call = TestCall::default();
        let request = ChatRequest::parse_as(call.dialect, &call.request.to_string()).unwrap();
        let request = CallRequest::new(request, self.client.config().call.clone(), None);
        let sink = Recorder::new(&call, self.provider.started_at);
        size_of_val(&self.client.run(&request, &sink, &call.cancel))
    }

    /// A default call, for text.
    pub async fn call(&self) -> Outcome {
        self.run(TestCall::default()).await
    }

    pub async fn call_with(&self, options: Value) -> Outcome {
        self.run(TestCall { options, ..TestCall::default() }).await
    }

    pub async fn call_once(&self) -> Outcome {
        self.run(TestCall { single_attempt: true, ..TestCall::default() }).await
    }

    pub async fn call_with_mode(&self, mode: DeliveryMode) -> Outcome {
        self.run(TestCall { mode, ..TestCall::default() }).await
    }

    /// A default call that is aborted after `ms` milliseconds.
    pub async fn call_aborted_after(&self, ms: u64) -> Outcome {
        let cancel = CancellationToken::new();
        let call = self.run(TestCall { cancel: cancel.clone(), ..TestCall::default() });
        let abort = async {
            sleep(Duration::from_millis(ms)).await;
            cancel.cancel();
        };
        futures::join!(call, abort).0
    }
}
