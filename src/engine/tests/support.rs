//! A consumer that writes everything down, and the scene around it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::provider::{Fake, Reply, Seen};
use crate::config::ClientConfig;
use crate::engine::event::Event;
use crate::engine::sink::{Sink, Wants};
use crate::engine::{Answer, CallRequest, Client};
use crate::error::{Error, Result};
use crate::session::snapshot::Snapshot;
use crate::transport::Transport;
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;

/// A consumer that writes down what it gets, and when.
pub struct Recorder {
    wants: Wants,
    began: Instant,
    slow: Option<Duration>,
    /// A pause is due at the next question.
    owed: Mutex<bool>,
    pub deltas: Mutex<Vec<(u64, String)>>,
    pub complete: Mutex<Vec<(u64, String)>>,
    pub events: Mutex<Vec<(u64, Value)>>,
}

impl Recorder {
    fn of(ask: &Ask, began: Instant) -> Self {
        Recorder {
            wants: ask.wants,
            began,
            slow: ask.slow,
            owed: Mutex::new(ask.paused),
            deltas: Mutex::default(),
            complete: Mutex::default(),
            events: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

impl Sink for Recorder {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn delta(&self, piece: &str) {
        *self.owed.lock().unwrap() = true;
        self.deltas.lock().unwrap().push((self.now(), piece.to_owned()));
    }

    fn complete(&self, text: &str) {
        self.complete.lock().unwrap().push((self.now(), text.to_owned()));
    }

    fn event(&self, event: Event) {
        self.events.lock().unwrap().push((self.now(), serde_json::to_value(event).unwrap()));
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        let slow = self.slow?;
        let owed = std::mem::take(&mut *self.owed.lock().unwrap());
        owed.then(|| sleep(slow).boxed())
    }
}

/// How one call ended.
pub struct Ended {
    /// Milliseconds since the scene began.
    pub at: u64,
    pub result: Result<Answer>,
    pub sink: Arc<Recorder>,
}

impl Ended {
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
        self.sink.deltas.lock().unwrap().iter().map(|(_, piece)| piece.clone()).collect()
    }

    pub fn piece_times(&self) -> Vec<u64> {
        self.sink.deltas.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    pub fn completed_at(&self) -> Vec<u64> {
        self.sink.complete.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    pub fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.sink.events.lock().unwrap();
        events.iter().map(|(_, event)| event.clone()).filter(|event| event["type"] == kind).collect()
    }

    pub fn outcomes(&self) -> Vec<String> {
        let attempts = match &self.result {
            Ok(answer) => &answer.attempts,
            Err(error) => &error.attempts,
        };
        attempts.iter().map(|attempt| attempt.outcome.clone()).collect()
    }
}

/// What a call is: everything that a test does not name is as usual.
pub struct Ask {
    pub dialect: Dialect,
    pub request: Value,
    pub options: Value,
    pub wants: Wants,
    /// How long it pauses after each piece.
    pub slow: Option<Duration>,
    /// It pauses before the first piece too.
    pub paused: bool,
    pub cancel: CancellationToken,
    /// When it begins, in milliseconds from now.
    pub after: u64,
    pub resumes: Option<Snapshot>,
}

impl Default for Ask {
    fn default() -> Self {
        Ask {
            dialect: Dialect::Chat,
            request: json!({ "messages": [{ "role": "user", "content": "hi" }] }),
            options: json!({}),
            wants: Wants::Text,
            slow: None,
            paused: false,
            cancel: CancellationToken::new(),
            after: 0,
            resumes: None,
        }
    }
}

/// A client over a scripted provider.
pub struct Scene {
    fake: Arc<Fake>,
    pub client: Client,
}

impl Scene {
    /// One endpoint, `http://a/v1`.
    pub fn new(options: Value, script: Vec<Reply>) -> Self {
        let mut options = options;
        if options.get("endpoints").is_none() {
            options["baseUrl"] = json!("http://a/v1");
        }
        Scene::hosts(options, vec![("a", script)])
    }

    /// Endpoints that the options name, each host with its script. Waits have no jitter.
    pub fn hosts(mut options: Value, scripts: Vec<(&str, Vec<Reply>)>) -> Self {
        options["apiKey"] = json!("key-of-the-client");
        if options.get("retry").is_none() {
            options["retry"] = json!({});
        }
        options["retry"]["jitter"] = json!("none");
        let scripts = scripts.into_iter().map(|(host, script)| (host.to_owned(), script.into())).collect();
        let fake =
            Arc::new(Fake { began: Instant::now(), scripts: Mutex::new(scripts), seen: Mutex::default() });
        let config = ClientConfig::read(&options).unwrap();
        let client = Client::new(config, Arc::clone(&fake) as Arc<dyn Transport>, None, None);
        Scene { fake, client }
    }

    /// Two endpoints, `a` and `b`, with a script each.
    pub fn two(mut options: Value, a: Vec<Reply>, b: Vec<Reply>) -> Self {
        options["endpoints"] = json!([
            { "name": "a", "baseUrl": "http://a/v1", "apiKey": "key-of-a", "headers": { "x-of": "a" } },
            { "name": "b", "baseUrl": "http://b/v1", "apiKey": "key-of-b" },
        ]);
        Scene::hosts(options, vec![("a", a), ("b", b)])
    }

    pub fn requests(&self) -> Vec<Arc<Seen>> {
        self.fake.seen.lock().unwrap().clone()
    }

    /// When the requests came, in milliseconds.
    pub fn times(&self) -> Vec<u64> {
        self.requests().iter().map(|seen| seen.at).collect()
    }

    /// To which hosts the requests went.
    pub fn went_to(&self) -> String {
        self.requests().iter().map(|seen| seen.url.split('/').nth(2).unwrap().to_owned()).collect()
    }

    pub fn now(&self) -> u64 {
        self.fake.began.elapsed().as_millis() as u64
    }

    pub async fn ask(&self, ask: Ask) -> Ended {
        sleep(Duration::from_millis(ask.after)).await;
        let sink = Arc::new(Recorder::of(&ask, self.fake.began));
        let request = ChatRequest::parse_as(ask.dialect, &ask.request.to_string()).unwrap();
        // What no object of a caller can say is not read with the rest.
        let mut given = ask.options;
        let mut aside = |name| given.as_object_mut().and_then(|options| options.remove(name));
        let (single, tokens) = (aside("$single").is_some(), aside("$promptTokens"));
        let mut options = self.client.config().call.with(&given).unwrap();
        options.single_attempt = single;
        options.prompt_tokens =
            tokens.map(|tokens| serde_json::from_value(tokens).unwrap()).unwrap_or_default();
        let result =
            self.client.run(&CallRequest::new(request, options, ask.resumes), &*sink, &ask.cancel).await;
        Ended { at: self.now(), result, sink }
    }

    /// The size in bytes of what runs a plain call.
    pub fn room_of_a_call(&self) -> usize {
        let ask = Ask::default();
        let request = ChatRequest::parse_as(ask.dialect, &ask.request.to_string()).unwrap();
        let call = CallRequest::new(request, self.client.config().call.clone(), None);
        let sink = Recorder::of(&ask, self.fake.began);
        size_of_val(&self.client.run(&call, &sink, &ask.cancel))
    }

    /// A plain call for text.
    pub async fn call(&self) -> Ended {
        self.ask(Ask::default()).await
    }

    pub async fn call_with(&self, options: Value) -> Ended {
        self.ask(Ask { options, ..Ask::default() }).await
    }

    pub async fn call_wanting(&self, wants: Wants) -> Ended {
        self.ask(Ask { wants, ..Ask::default() }).await
    }

    /// A call that is aborted after some milliseconds.
    pub async fn call_aborted_after(&self, ms: u64) -> Ended {
        let cancel = CancellationToken::new();
        let call = self.ask(Ask { cancel: cancel.clone(), ..Ask::default() });
        let abort = async {
            sleep(Duration::from_millis(ms)).await;
            cancel.cancel();
        };
        futures::join!(call, abort).0
    }
}
