//! The entry point: starts calls, and closes the client.

pub mod continuation_probe;
pub mod decisions;
pub mod health;
mod models;

use std::mem;
use std::pin::pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::admission::CallContext;
use super::call::{Answer, Call};
use super::shared::breaker::SharedBreaker;
use super::shared::call_request::CallRequest;
use super::shared::client_state::ClientState;
use super::shared::limiter::Limiter;
use super::shared::metrics_report::Report;
use super::shared::sink::Sink;
use super::time::clock::{self, sleep_until_some};
use super::time::unless_interrupted;
use crate::config::ClientConfig;
use crate::error::{Error, Kind, Phase, Result};
use crate::transport::Transport;

/// A client. Its calls share its state.
pub struct Client {
    pub(super) state: ClientState,
}

impl Client {
    /// A client over this transport. `breaker` and `limiter`: those that the caller created and shares, if the options
    /// name them.
    pub fn new(
        config: ClientConfig,
        transport: Arc<dyn Transport>,
        breaker: Option<SharedBreaker>,
        limiter: Option<Arc<Limiter>>,
    ) -> Self {
        Client { state: ClientState::new(config, transport, breaker, limiter) }
    }

    /// A client with new options that keeps all unchanged state.
    pub fn reconfigured(&self, config: ClientConfig) -> Self {
        Client { state: self.state.reconfigured(config) }
    }

    /// A client that uses this shared breaker, if its options name one.
    pub fn with_breaker(&self, breaker: SharedBreaker) -> Self {
        let state = self.state.reconfigured(self.state.config.clone());
        Client { state: ClientState { shared_breaker: Some(breaker), ..state } }
    }

    pub fn config(&self) -> &ClientConfig {
        &self.state.config
    }

    /// The current counters.
    pub fn metrics(&self) -> Report {
        Report::of(&self.state)
    }

    /// The spending in the current window, as JSON.
    pub fn cost(&self) -> serde_json::Value {
        self.state.costs.report(&self.state.config)
    }

    /// Ends the calls in flight; later calls are rejected. Idle connections that no other client uses are closed.
    pub fn close(&self) {
        self.state.closed.cancel();
        self.state.transport.close();
    }

    /// Waits until the client is closed or `cancel` is canceled. Returns the error of what was interrupted.
    async fn interrupted(&self, cancel: &CancellationToken) -> Error {
        tokio::select! {
            biased;
            () = self.state.closed.cancelled() => closed(),
            () = cancel.cancelled() => aborted(),
        }
    }

    /// Runs a call to completion. Canceling ends it immediately, at any stage.
    pub async fn run(
        &self,
        request: &CallRequest,
        sink: &dyn Sink,
        cancel: &CancellationToken,
    ) -> Result<Answer> {
        let started = clock::instant();
        let total = request.options.total_timeout;
        let client = &self.state;
        client.metrics.call_started();
        client.pending_events.update(mem::take).into_iter().for_each(|event| sink.event(event));
        let ctx = CallContext::new(client, request, sink, started);
        let mut call = Call::new(&ctx);
        let outcome = {
            // `interrupted` would be a future within this one, and larger. Pinned here: a future that is passed by value occupies its size twice, in every call that runs.
            let interrupt = pin!(async {
                Err(tokio::select! {
                    biased;
                    () = client.closed.cancelled() => closed(),
                    () = cancel.cancelled() => aborted(),
                    () = sleep_until_some(total.map(|total| started + total)) => {
                        Error::timeout(Phase::Total, total.unwrap_or_default())
                    }
                })
            });
            let work = pin!(call.run());
            unless_interrupted(interrupt, work).await
        };
        call.finish(outcome)
    }
}

fn closed() -> Error {
    Error::new(Kind::Closed, "the client was closed")
}

fn aborted() -> Error {
    Error::new(Kind::Aborted, "the call was aborted")
}
