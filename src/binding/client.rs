//! The native part of `HolySheepStreamingClient`.

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
use super::errors::{OrThrow, exception, parse_json};
use super::event_channel::{ChannelOptions, EventChannel};
use super::limiter::NativeLimiter;
use super::native_hub::NativeHub;
use super::runtime::runtime;
use crate::config::{BreakerChoice, ClientConfig, Endpoint, FirstEndpointExtras, ProbeOptions};
use crate::engine::sink::Sink as _;
use crate::engine::test_clock::{bind, bind_background};
use crate::engine::{
    CallRequest, ChatRequest, Client, ContinuationProbe, Dialect, HttpTransport, Snapshot, health,
    parse_certificates,
};
use crate::error::{Error, Kind};

#[napi]
pub struct NativeClient {
    /// Replaced as a whole when the options change.
    client: Arc<Mutex<Arc<Client>>>,
    /// Stops the health checks when it is dropped.
    _health_checks: Option<DropGuard>,
}

#[napi]
impl NativeClient {
    /// `breaker` and `limiter` are shared with the caller. `alsoAccepted` are options that a subclass reads
    /// itself: errors about unknown options name them as accepted.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        options: String,
        breaker: Option<&NativeBreaker>,
        limiter: Option<&NativeLimiter>,
        also_accepted: Option<Vec<String>>,
    ) -> napi::Result<Self> {
        let also_accepted = also_accepted.unwrap_or_default();
        let config = read_config(&options, breaker.is_some(), &as_strs(&also_accepted))?;
        let breaker = breaker.map(|breaker| breaker.shared.clone());
        let limiter = limiter.map(|limiter| Arc::clone(&limiter.limiter));
        let checks_health = config.health_check.is_some();
        let client = Client::new(config, Arc::new(HttpTransport::default()), breaker, limiter);
        let client = Arc::new(Mutex::new(Arc::new(client)));
        let runtime = checks_health.then(runtime).transpose().or_throw()?;
        let _health_checks = runtime.map(|runtime| {
            let (stop, client) = (CancellationToken::new(), Arc::downgrade(&client));
            let upgrade = move || client.upgrade().map(|client| current(&client));
            runtime.spawn(bind_background(health::watch(upgrade, stop.clone()).boxed()));
            stop.drop_guard()
        });
        Ok(NativeClient { client, _health_checks })
    }

    /// Changes the options for future calls. If they are invalid, the current ones stay.
    #[napi(catch_unwind)]
    pub fn configure(&self, options: String) -> napi::Result<()> {
        let has_shared_breaker = matches!(self.current().config().breaker, BreakerChoice::Shared);
        let config = read_config(&options, has_shared_breaker, &[])?;
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        *client = Arc::new(client.reconfigured(config));
        Ok(())
    }

    /// Replaces the shared breaker for future calls.
    #[napi(catch_unwind)]
    pub fn set_breaker(&self, breaker: &NativeBreaker) {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        *client = Arc::new(client.with_breaker(breaker.shared.clone()));
    }

    /// Creates a call and returns its id. `NativeHub.begin` starts it. `flags` is a sum of the flags below: reading the
    /// properties of an object takes longer. `snapshot` is the JSON snapshot to resume from, `internal` the JSON of an
    /// [`InternalOptions`].
    #[napi(catch_unwind)]
    pub fn start(
        &self,
        hub: &NativeHub,
        request: String,
        options: String,
        flags: u32,
        snapshot: Option<String>,
        internal: Option<String>,
    ) -> napi::Result<u32> {
        let has = |flag: u32| flags & flag != 0;
        let (whole_answer, only_outcome) = (has(WHOLE_ANSWER), has(ONLY_OUTCOME));
        let client = self.current();
        let internal = InternalOptions::parse(internal.as_deref())?;
        let also_accepted = as_strs(&internal.also_accepted);
        let mut options =
            client.config().call.with_accepting(&parse_json(&options)?, &also_accepted).or_throw()?;
        options.single_attempt = internal.single_attempt;
        options.is_mirrored = internal.mirrored;
        options.max_attempts = internal.max_attempts;
        options.prompt_tokens = internal.prompt_tokens;
        options.first_endpoint_extras = internal.first_endpoint.as_ref().map(FirstEndpointExtras::from_json);
        let snapshot = snapshot.as_deref().map(Snapshot::parse).transpose().or_throw()?;
        let dialect = internal.dialect.as_deref().map_or(Ok(Dialect::Chat), Dialect::from_name).or_throw()?;
        let call = CallRequest::new(ChatRequest::parse_as(dialect, &request).or_throw()?, options, snapshot);
        client.check_model(&call.chat).or_throw()?;
        let runtime = runtime().or_throw()?;
        let channel = EventChannel::open(
            &hub.hub,
            ChannelOptions {
                events: has(EVENTS),
                custom_is_failure: has(CUSTOM_IS_FAILURE),
                coalesce: has(COALESCE),
            },
        );
        let (id, state) = (channel.id, Arc::clone(&channel.state));
        // Cannot fail: the state is new.
        let _ = state.live.set(Arc::clone(&call.live));
        let task = async move {
            let outcome = {
                let run = client.run(&call, &channel, &channel.state.cancel);
                let mut run = pin!(AssertUnwindSafe(run).catch_unwind());
                // Flushes after each poll: the next poll of this thread may be another call's.
                poll_fn(|context| {
                    let polled = run.as_mut().poll(context);
                    channel.flush();
                    polled
                })
                .await
            };
            let result = outcome.unwrap_or_else(|_| {
                Err(Error::new(Kind::Internal, "the call panicked; this is a bug in holysheep"))
            });
            channel.end(result.map(|answer| match (only_outcome, whole_answer) {
                (true, _) => String::new(),
                (_, true) => answer.completion(),
                (_, false) => answer.result(),
            }));
        };
        state.park(runtime, bind(task.boxed()));
        Ok(id)
    }

    /// Requests the list of models. Ends like a call, with the list as JSON, and returns its id.
    #[napi(catch_unwind)]
    pub fn models(&self, hub: &NativeHub) -> napi::Result<u32> {
        let runtime = runtime().or_throw()?;
        let client = self.current();
        let channel = EventChannel::open(&hub.hub, ChannelOptions::default());
        let (id, state) = (channel.id, Arc::clone(&channel.state));
        let task = async move {
            let models = client.models(&channel.state.cancel).await;
            channel.end(models.map(|models| Value::from(models).to_string()));
        };
        state.park(runtime, bind(task.boxed()));
        Ok(id)
    }

    /// Probes all endpoints. Ends like a call, with their health as JSON, and returns its id.
    #[napi(catch_unwind)]
    pub fn check_health(&self, hub: &NativeHub) -> napi::Result<u32> {
        let runtime = runtime().or_throw()?;
        let client = self.current();
        let channel = EventChannel::open(&hub.hub, ChannelOptions::default());
        let (id, state) = (channel.id, Arc::clone(&channel.state));
        let task = async move {
            let health = client.check_health(&channel.state.cancel).await;
            channel.end(health.map(|health| serde_json::to_string(&health).unwrap_or_default()));
        };
        state.park(runtime, bind(task.boxed()));
        Ok(id)
    }

    /// Probes how models at endpoints continue a turn. `options` is JSON: `endpoints`, `models`, `dialect`, `totalTimeoutMs`.
    /// Ends like a call, with what was found as JSON, and returns its id.
    #[napi(catch_unwind)]
    pub fn probe_continuation(&self, hub: &NativeHub, options: String) -> napi::Result<u32> {
        let client = self.current();
        let options = ProbeOptions::read(&parse_json(&options)?).or_throw()?;
        let probe = ContinuationProbe {
            endpoints: options.endpoints,
            models: options.models,
            dialect: options.dialect.map_or(Ok(Dialect::Chat), Dialect::from_name).or_throw()?,
        };
        let mut call = client.config().call.clone();
        call.total_timeout = options.total_timeout.or(call.total_timeout);
        let runtime = runtime().or_throw()?;
        let channel = EventChannel::open(&hub.hub, ChannelOptions::default());
        let (id, state) = (channel.id, Arc::clone(&channel.state));
        let task = async move {
            let found = client.probe_continuation(&probe, &call, &channel.state.cancel).await;
            channel.end(found.map(|found| serde_json::to_string(&found).unwrap_or_default()));
        };
        state.park(runtime, bind(task.boxed()));
        Ok(id)
    }

    /// The cost of the current window, as JSON.
    #[napi(catch_unwind)]
    pub fn cost(&self) -> String {
        self.current().cost().to_string()
    }

    /// The metrics, as JSON.
    #[napi(catch_unwind)]
    pub fn metrics(&self) -> String {
        // Strings and numbers always encode.
        serde_json::to_string(&self.current().metrics()).unwrap_or_default()
    }

    /// The metrics in Prometheus' text format.
    #[napi(catch_unwind)]
    pub fn metrics_text(&self) -> String {
        self.current().metrics().text()
    }

    /// The names and base URLs of the endpoints, as JSON.
    #[napi(catch_unwind)]
    pub fn endpoints(&self) -> String {
        let client = self.current();
        let describe = |endpoint: &Arc<Endpoint>| json!({ "name": endpoint.name, "url": endpoint.url });
        let endpoints: Vec<Value> = client.config().endpoints.iter().map(describe).collect();
        Value::from(endpoints).to_string()
    }

    /// The normalized base URL of the first endpoint.
    #[napi(getter, catch_unwind)]
    pub fn url(&self) -> String {
        self.current().config().endpoints.first().map(|endpoint| endpoint.url.clone()).unwrap_or_default()
    }

    /// Aborts the calls in flight and rejects future ones.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.current().close();
    }

    fn current(&self) -> Arc<Client> {
        current(&self.client)
    }
}

// The flags of a call: what JavaScript wants of it besides the caller's options. `StartFlag` in `src/js/call-handle.ts` has the
// same numbers.
/// The result is the complete answer instead of the result of a stream.
const WHOLE_ANSWER: u32 = 1;
/// Deliver events.
const EVENTS: u32 = 2;
/// The caller decides which errors count as failures for the breaker (`isFailure`).
const CUSTOM_IS_FAILURE: u32 = 4;
/// Join deltas that arrive together.
const COALESCE: u32 = 8;
/// Nobody reads the result, so it is empty.
const ONLY_OUTCOME: u32 = 16;

/// Options that only this package sets: a caller's options object cannot reach them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct InternalOptions {
    /// `responses` or `messages`; chat completions by default.
    dialect: Option<String>,
    /// Make exactly one attempt.
    single_attempt: bool,
    /// Which attempts follow, and when, is the tutorial's.
    mirrored: bool,
    /// The maximum number of attempts in total.
    max_attempts: Option<u32>,
    /// The prompt's tokens by model, as the caller's own function counts them.
    prompt_tokens: BTreeMap<String, u64>,
    /// What is sent to the first endpoint only: `{ headers, query }`.
    first_endpoint: Option<Value>,
    /// Options that a wrapper reads itself: errors about unknown options name them as accepted.
    also_accepted: Vec<String>,
}

impl InternalOptions {
    fn parse(json: Option<&str>) -> napi::Result<Self> {
        let options = json.map(serde_json::from_str).transpose().map_err(|error| {
            exception(&Error::new(Kind::Internal, format!("invalid internal options: {error}")))
        })?;
        Ok(options.unwrap_or_default())
    }
}

fn read_config(
    options: &str,
    has_shared_breaker: bool,
    also_accepted: &[&str],
) -> napi::Result<ClientConfig> {
    let mut config = ClientConfig::read_accepting(&parse_json(options)?, also_accepted).or_throw()?;
    if has_shared_breaker {
        config.breaker = BreakerChoice::Shared;
    }
    if let Some(pem) = &config.ca {
        parse_certificates("ca", pem).or_throw()?;
    }
    Ok(config)
}

fn current(client: &Mutex<Arc<Client>>) -> Arc<Client> {
    Arc::clone(&client.lock().unwrap_or_else(PoisonError::into_inner))
}

fn as_strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
