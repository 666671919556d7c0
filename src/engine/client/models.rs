//! The models of the providers: listed with `GET /models`, remembered, and used to validate the model of a call if that
//! is enabled.

use std::collections::BTreeSet;

use futures::StreamExt;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Client;
use crate::config::{Endpoint, defaults};
use crate::engine::attempt::common_headers;
use crate::engine::shared::ids::random_id;
use crate::engine::shared::redaction::without_secrets;
use crate::engine::time::clock::{self, timeout};
use crate::error::{Error, Kind, Phase, Result};
use crate::policy::catalogue::nearest;
use crate::transport::{Method, Request, Response, Shortage};
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;
use crate::wire::one_line::one_line;
use crate::wire::provider_error;
use crate::wire::redactor::Redactor;

/// The path below the base URL.
const PATH: &str = "/models";
/// The maximum size of a list, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// The maximum number of names that are remembered, and the maximum length of one in bytes.
const MAX_NAMES: usize = 10_000;
const MAX_NAME: usize = 200;

impl Client {
    /// The models of the first endpoint that lists them, as it lists them. Their names are remembered.
    ///
    /// # Errors
    /// That of the last endpoint.
    pub async fn models(&self, cancel: &CancellationToken) -> Result<Vec<Value>> {
        tokio::select! {
            biased;
            interrupted = self.interrupted(cancel) => Err(interrupted),
            models = self.list_models() => models,
        }
    }

    async fn list_models(&self) -> Result<Vec<Value>> {
        let mut last = Error::new(Kind::Internal, "no endpoint is configured");
        for endpoint in &self.state.endpoints {
            match self.list_models_of(&endpoint.config).await {
                Ok(models) => {
                    let config = &self.state.config;
                    let redactor = self.state.redactors.of(config, &config.call);
                    self.state.known_models.update(|known| remember(known, &models, &redactor));
                    return Ok(models);
                }
                Err(error) if matches!(error.kind, Kind::LocalResource(_)) => return Err(error),
                Err(error) => {
                    let config = &self.state.config;
                    last = without_secrets(error, &self.state.redactors.of(config, &config.call));
                }
            }
        }
        Err(last)
    }

    async fn list_models_of(&self, endpoint: &Endpoint) -> Result<Vec<Value>> {
        let request = self.models_request(endpoint)?;
        let shortage = request.shortage.clone();
        let limit =
            self.state.config.call.total_timeout.unwrap_or(self.state.config.call.first_token_timeout(false));
        let timed_out =
            |_| shortage.get().map_or_else(|| Error::timeout(Phase::Total, limit), Error::local_resource);
        timeout(limit, self.exchange(request)).await.map_err(timed_out)?
    }

    /// The request for the models of an endpoint, with its own key. Health checks use it too.
    pub(super) fn models_request(&self, endpoint: &Endpoint) -> Result<Request> {
        let call = &self.state.config.call;
        let id = random_id("req_", &mut rand::rng());
        let (on_sent, _sent) = oneshot::channel();
        Ok(Request {
            method: Method::GET,
            url: format!("{}{PATH}", endpoint.url),
            headers: common_headers(Dialect::Chat, endpoint, &call.headers, "application/json", &id)?,
            body: bytes::Bytes::new(),
            options: self.state.transport_options(call.connect_timeout),
            on_sent,
            shortage: Shortage::default(),
        })
    }

    async fn exchange(&self, request: Request) -> Result<Vec<Value>> {
        let Response { status, headers, mut body } = self.state.transport.send(request).await?;
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let limit = if (200..300).contains(&status) { MAX_BODY } else { defaults::MAX_ERROR_BODY };
        let mut read = Vec::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes?;
            if read.len() + bytes.len() > limit {
                if limit == MAX_BODY {
                    let message = format!("the list of models is longer than {MAX_BODY} bytes");
                    return Err(Error::new(Kind::ResponseTooLarge, message));
                }
                break;
            }
            read.extend_from_slice(&bytes);
        }
        if !(200..300).contains(&status) {
            let kind = text("content-type");
            return Err(provider_error::from_response(status, kind.as_deref(), &read, &text, clock::now()));
        }
        let list = serde_json::from_slice(&read).ok().and_then(|mut list: Value| match list["data"].take() {
            Value::Array(models) => Some(models),
            _ => None,
        });
        list.ok_or_else(|| {
            let message =
                "the response to GET /models is not a list of models: does the base URL point to an API?";
            Error::new(Kind::Malformed, message).with_status(status)
        })
    }

    /// Rejects a model that neither the catalogue nor an endpoint knows, if `validateModel` is set.
    pub fn check_model(&self, request: &ChatRequest) -> Result<()> {
        if !self.state.config.validate_model {
            return Ok(());
        }
        let name = request.model().unwrap_or_else(|| self.state.config.model.clone());
        if self.state.config.catalogue.get(&name).is_some() {
            return Ok(());
        }
        self.state.known_models.update(|known_models| {
            if known_models.contains(&name) {
                return Ok(());
            }
            let known = self.state.config.catalogue.names().chain(known_models.iter().map(String::as_str));
            let near: Vec<String> =
                nearest(&name, known).iter().map(|name| format!("'{}'", one_line(name))).collect();
            let accepted = match near.is_empty() {
                true => {
                    "a model of the catalogue (`catalogue()`, `models`) or of `client.models()`".to_owned()
                }
                false => format!("a known model; the nearest: {}", near.join(", ")),
            };
            let problem = format!("'{}', which is not known", crate::error::truncate(&name, 60));
            Err(Error::invalid("request.model", problem, &accepted))
        })
    }
}

/// Remembers the names of models. An error may show them, so one in which a secret is quoted is no name.
fn remember(known: &mut BTreeSet<String>, models: &[Value], redactor: &Redactor) {
    for id in models.iter().filter_map(|model| model.get("id")?.as_str()) {
        if id.len() <= MAX_NAME && known.len() < MAX_NAMES && redactor.redact(id) == id {
            known.insert(id.to_owned());
        }
    }
}
