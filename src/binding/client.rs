//! The client's native half.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use napi_derive::napi;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::breaker::NativeBreaker;
use super::errors::{OrThrow, parse, throw};
use super::hub::NativeHub;
use super::limiter::NativeLimiter;
use super::outlet::Told;
use super::runtime;
use crate::config::{BreakerChoice, ClientConfig, Endpoint, Own};
use crate::engine::sink::Sink as _;
use crate::engine::test_clock::{following, in_background};
use crate::engine::{Call, ChatRequest, Client, Dialect, Snapshot, certificates, health, transport};
use crate::error::{Error, Kind};

#[napi]
pub struct NativeClient {
    client: Arc<Mutex<Arc<Client>>>,
    /// Ends the probes when this goes away.
    _watch: Option<DropGuard>,
}

/// What the JavaScript side wants of a call beside the answer.
#[napi(object)]
pub struct Terms {
    /// The result is the answer in one piece, not the result of a stream.
    pub whole: bool,
    /// Its events are heard.
    pub events: bool,
    /// The caller judges its errors for the breaker.
    pub judges: bool,
    /// Deltas of text that come together are joined.
    pub coalesce: bool,
    /// The JSON of a snapshot to go on from.
    pub resumes: Option<String>,
    /// The JSON of an [`Aside`], where there is something to say.
    pub aside: Option<String>,
    /// `responses` or `messages`; without, chat completions.
    pub dialect: Option<String>,
}

/// What the package itself says of a call: out of the reach of a caller's object of options.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Aside {
    /// Exactly one attempt.
    single: bool,
    /// At most so many attempts in all.
    max_attempts: Option<u32>,
    /// The prompt as the caller's own function counts it, by model.
    prompt_tokens: BTreeMap<String, u64>,
    /// What is said to the first endpoint alone: `{ headers, query }`.
    own: Option<serde_json::Value>,
    /// Options that were read already: errors name them among the accepted ones.
    also: Vec<String>,
}

impl Aside {
    fn parse(json: Option<&str>) -> napi::Result<Aside> {
        let read = json.map(serde_json::from_str).transpose();
        let bad = |error| throw(&Error::new(Kind::Internal, format!("a bad aside: {error}")));
        Ok(read.map_err(bad)?.unwrap_or_default())
    }
}

/// `shared`: the breaker of all routes is the caller's own.
fn read(options: &str, shared: bool, also: &[&str]) -> napi::Result<ClientConfig> {
    let mut config = ClientConfig::read_also(&parse(options)?, also).or_throw()?;
    if shared {
        config.breaker = BreakerChoice::Shared;
    }
    if let Some(pem) = &config.ca {
        certificates("ca", pem).or_throw()?;
    }
    Ok(config)
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn current(client: &Mutex<Arc<Client>>) -> Arc<Client> {
    Arc::clone(&client.lock().unwrap_or_else(PoisonError::into_inner))
}

#[napi]
impl NativeClient {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        options: String,
        breaker: Option<&NativeBreaker>,
        limiter: Option<&NativeLimiter>,
        also: Option<Vec<String>>,
    ) -> napi::Result<Self> {
        let also = also.unwrap_or_default();
        let config = read(&options, breaker.is_some(), &strs(&also))?;
        let breaker = breaker.map(|breaker| breaker.shared.clone());
        let limiter = limiter.map(|limiter| Arc::clone(&limiter.limiter));
        let probes = config.health_check.is_some();
        let client = Arc::new(Mutex::new(Arc::new(Client::new(config, transport(), breaker, limiter))));
        let _watch = probes.then(|| {
            let (stop, weak) = (CancellationToken::new(), Arc::downgrade(&client));
            let find = move || weak.upgrade().map(|client| current(&client));
            runtime().spawn(in_background(health::watch(find, stop.clone()).boxed()));
            stop.drop_guard()
        });
        Ok(NativeClient { client, _watch })
    }

    fn current(&self) -> Arc<Client> {
        current(&self.client)
    }

    /// Other options from the next call on. The old ones stay where these are refused.
    #[napi(catch_unwind)]
    pub fn configure(&self, options: String) -> napi::Result<()> {
        let shared = matches!(self.current().config().breaker, BreakerChoice::Shared);
        let config = read(&options, shared, &[])?;
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        *client = Arc::new(client.reconfigured(config));
        Ok(())
    }

    /// Another breaker of the caller's own from the next call on.
    #[napi]
    pub fn set_breaker(&self, breaker: &NativeBreaker) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        *client = Arc::new(client.with_breaker(breaker.shared.clone()));
    }

    /// Enters a call; returns its id. It begins with `NativeHub.begin`.
    #[napi(catch_unwind)]
    pub fn start(
        &self,
        hub: &NativeHub,
        request: String,
        options: String,
        terms: Terms,
    ) -> napi::Result<u32> {
        let Terms { whole, events, judges, coalesce, resumes, aside, dialect } = terms;
        let client = self.current();
        let aside = Aside::parse(aside.as_deref())?;
        let given = parse(&options)?;
        let mut options = client.config().call.with_also(&given, &strs(&aside.also)).or_throw()?;
        options.single = aside.single;
        options.max_attempts = aside.max_attempts;
        options.prompt_tokens = aside.prompt_tokens;
        options.own = aside.own.as_ref().map(Own::of);
        let resumes = resumes.as_deref().map(Snapshot::parse).transpose().or_throw()?;
        let dialect = dialect.as_deref().map_or(Ok(Dialect::Chat), Dialect::named).or_throw()?;
        let call = Call::new(ChatRequest::parse_as(dialect, &request).or_throw()?, options, resumes);
        client.check_model(&call.request).or_throw()?;
        let outlet = hub.hub.open(Told { events, judges, coalesce });
        let (id, state) = (outlet.id, Arc::clone(&outlet.state));
        // Nobody has set it before.
        let _ = state.live.set(Arc::clone(&call.live));
        let run = async move {
            let run = {
                let run = AssertUnwindSafe(client.run(&call, &outlet, &outlet.state.cancel)).catch_unwind();
                let mut run = pin!(run);
                // What was collected is this call's: the next poll may be another's, or on another thread.
                poll_fn(|context| {
                    let polled = run.as_mut().poll(context);
                    outlet.flush();
                    polled
                })
                .await
            };
            let result =
                run.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a bug in holysheep ended this call")));
            outlet.end(result.map(|answer| if whole { answer.completion() } else { answer.result() }));
        };
        state.park(following(run.boxed()));
        Ok(id)
    }

    /// What was spent in the window that is now, as JSON.
    #[napi]
    pub fn cost(&self) -> String {
        self.current().cost().to_string()
    }

    /// Asks for the models; ends like a call, with the list as JSON.
    #[napi(catch_unwind)]
    pub fn models(&self, hub: &NativeHub) -> napi::Result<u32> {
        let client = self.current();
        let outlet = hub.hub.open(Told::default());
        let (id, state) = (outlet.id, Arc::clone(&outlet.state));
        let run = async move {
            let models = client.models(&outlet.state.cancel).await;
            outlet.end(models.map(|models| serde_json::Value::from(models).to_string()));
        };
        state.park(following(run.boxed()));
        Ok(id)
    }

    /// Probes the endpoints now. Ends like a call, with the id that this returns.
    #[napi(catch_unwind)]
    pub fn check_health(&self, hub: &NativeHub) -> u32 {
        let client = self.current();
        let outlet = hub.hub.open(Told::default());
        let (id, state) = (outlet.id, Arc::clone(&outlet.state));
        let run = async move {
            let found = client.check_health(&outlet.state.cancel).await;
            outlet.end(found.map(|found| serde_json::to_string(&found).unwrap_or_default()));
        };
        state.park(following(run.boxed()));
        id
    }

    /// The counters, as JSON.
    #[napi]
    pub fn metrics(&self) -> String {
        // Strings and numbers always encode.
        serde_json::to_string(&self.current().metrics()).unwrap_or_default()
    }

    /// The counters in Prometheus' text format.
    #[napi]
    pub fn metrics_text(&self) -> String {
        self.current().metrics().text()
    }

    /// Ends what is in flight and refuses what comes later.
    #[napi]
    pub fn close(&self) {
        self.current().close();
    }

    /// The endpoints, by their names and base URLs, as JSON.
    #[napi]
    pub fn endpoints(&self) -> String {
        let client = self.current();
        let of = |endpoint: &Arc<Endpoint>| json!({ "name": endpoint.name, "url": endpoint.url });
        let endpoints: Vec<Value> = client.config().endpoints.iter().map(of).collect();
        Value::from(endpoints).to_string()
    }

    /// The base URL of the first endpoint, as it is used.
    #[napi(getter)]
    pub fn url(&self) -> String {
        self.current().config().endpoints.first().map(|endpoint| endpoint.url.clone()).unwrap_or_default()
    }
}
