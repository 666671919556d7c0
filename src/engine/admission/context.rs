//! The context that every part of a call shares.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::shared::call_request::CallRequest;
use crate::engine::shared::client_state::ClientState;
use crate::engine::shared::endpoint::EndpointState;
use crate::engine::shared::event::Event;
use crate::engine::shared::ids::random_id;
use crate::engine::shared::metrics::Metrics;
use crate::engine::shared::sink::Sink;
use crate::engine::time::clock;
use crate::policy::circuit_breaker::Transition;
use crate::policy::estimate::{self, TokenCount};
use crate::wire::redactor::Redactor;

/// The context of a call: the client, the request, and the consumer. Only `prompt` and the id of the last attempt
/// change while the call runs.
pub struct CallContext<'a> {
    pub client: &'a ClientState,
    pub request: &'a CallRequest,
    pub sink: &'a dyn Sink,
    pub events: EventEmitter<'a>,
    pub started: Instant,
    /// Knows the secrets that the call sends.
    pub redactor: Arc<Redactor>,
    /// The size of the caller's prompt; estimated at its first use.
    prompt: OnceLock<TokenCount>,
}

impl<'a> CallContext<'a> {
    pub fn new(
        client: &'a ClientState,
        request: &'a CallRequest,
        sink: &'a dyn Sink,
        started: Instant,
    ) -> Self {
        let call = random_id("call_", &mut rand::rng());
        let events = EventEmitter { metrics: &client.metrics, sink, call, last_request: Mutex::default() };
        let redactor = client.redactors.of(&client.config, &request.options);
        CallContext { client, request, sink, events, started, redactor, prompt: OnceLock::new() }
    }

    /// The time left until the total deadline; `None` without one.
    pub fn remaining(&self) -> Option<Duration> {
        let total = self.request.options.total_timeout?;
        Some(total.saturating_sub(clock::instant().saturating_duration_since(self.started)))
    }

    /// The estimated size of the caller's own prompt.
    pub fn prompt(&self) -> &TokenCount {
        let chat = &self.request.chat;
        self.prompt.get_or_init(|| estimate::prompt_tokens(chat.messages(), chat.prompt_fields()))
    }

    /// The size of the prompt, if it was estimated already.
    pub fn known_prompt(&self) -> Option<&TokenCount> {
        self.prompt.get()
    }
}

/// Emits the events of a call: each is counted and then delivered.
pub struct EventEmitter<'a> {
    metrics: &'a Metrics,
    sink: &'a dyn Sink,
    /// The id of the call.
    pub call: String,
    /// Our id of the last attempt that ended; events between two attempts carry it.
    last_request: Mutex<Option<String>>,
}

impl EventEmitter<'_> {
    pub fn emit(&self, event: Event) {
        self.metrics.observe(&event);
        self.sink.event(event);
    }

    pub fn last_request(&self) -> Option<String> {
        self.lock().clone()
    }

    pub fn attempt_ended(&self, request_id: &str) {
        *self.lock() = Some(request_id.to_owned());
    }

    /// The call waits, for this long if known.
    pub fn wait(&self, wait: Duration, reason: &'static str) {
        let (call, request_id) = (self.call.clone(), self.last_request());
        self.emit(Event::Wait { call, request_id, ms: wait.as_millis() as u64, reason });
    }

    /// The breaker of a route has changed state, because of `request_id` or of the last attempt.
    pub fn circuit(
        &self,
        endpoint: &EndpointState,
        model: &str,
        transition: Option<Transition>,
        request_id: Option<&str>,
    ) {
        let Some(Transition { from, to }) = transition else { return };
        self.emit(Event::Circuit {
            call: Some(self.call.clone()),
            request_id: request_id.map(str::to_owned).or_else(|| self.last_request()),
            endpoint: endpoint.config.name.clone(),
            model: model.to_owned(),
            from: from.as_str(),
            to: to.as_str(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.last_request.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
