//! The continuation probe: asks a model, in each form, to continue the beginning of an answer that has only one sensible next
//! word, and remembers the form in which it did. Sent only when the caller asks for it.

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::Client;
use crate::config::{CallConfig, Mode, repeats_turn};
use crate::engine::shared::call_request::CallRequest;
use crate::engine::shared::continuation::Probed;
use crate::engine::shared::endpoint::EndpointState;
use crate::engine::shared::event::Event;
use crate::engine::shared::sink::{DeliveryMode, Sink};
use crate::error::{Error, Kind, Result, truncate};
use crate::session::native::NativeForm;
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;

/// One of its words exists nowhere else, so that no tokenizer has it as one token.
const SENTENCE: &str = "The old lighthouse keeper hung a moonbasket above the green door.";
/// Where the sentence is cut, and what must follow. After a word a space must come: a new turn begins without one, and a
/// server that drops it would glue two words. Inside a word none may come.
const CUTS: [(&str, &str); 2] = [(" a", " moonbasket"), (" a moon", "basket")];
/// More than what must follow, in tokens. A model that reasons first does not get to its answer.
const MAX_TOKENS: u64 = 16;
/// How much of an answer the result shows, in characters.
const MAX_TEXT: usize = 80;

/// What to probe.
#[derive(Clone, Debug)]
pub struct ContinuationProbe {
    /// The names of endpoints; all of them by default.
    pub endpoints: Option<Vec<String>>,
    /// The model and the fallback models of the client by default.
    pub models: Option<Vec<String>>,
    pub dialect: Dialect,
}

/// What a probe has found of a model at an endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbedRoute {
    pub endpoint: String,
    pub model: String,
    /// The form in which the provider continues, or `none`. `None` if that could not be decided.
    pub continuation: Option<&'static str>,
    /// The forms that were asked, in their order.
    pub forms: Vec<ProbedForm>,
}

/// The answer to one form.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbedForm {
    pub form: &'static str,
    pub outcome: ProbeOutcome,
    /// What the provider sent instead of the continuation, cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of the error, and its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// The provider continued the turn.
    Continued,
    /// It wrote something else: a new turn, or nothing.
    NewTurn,
    /// It rejected the form with a 400 or 422.
    Rejected,
    /// The request failed otherwise.
    Failed,
}

impl Client {
    /// Probes each of the models at each of the endpoints, one request at a time, and remembers what it finds. `options` are
    /// those of its requests.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for an endpoint that the client does not have; an abort; a closed client. A request that
    /// fails is part of the result.
    pub async fn probe_continuation(
        &self,
        probe: &ContinuationProbe,
        options: &CallConfig,
        cancel: &CancellationToken,
    ) -> Result<Vec<ProbedRoute>> {
        let endpoints = self.probed_endpoints(probe)?;
        let models = probe.models.clone().unwrap_or_else(|| {
            let config = &self.state.config;
            let mut models = vec![config.model.clone()];
            models.extend(config.call.fallback_models.iter().filter(|name| **name != config.model).cloned());
            models
        });
        let mut results = Vec::with_capacity(endpoints.len() * models.len());
        for endpoint in endpoints {
            for model in &models {
                let route = Probe { client: self.only(endpoint, model), endpoint, model, options, cancel };
                results.push(route.run(probe.dialect).await?);
            }
        }
        Ok(results)
    }

    fn probed_endpoints(&self, probe: &ContinuationProbe) -> Result<Vec<&EndpointState>> {
        let all = || self.state.endpoints.iter().map(|endpoint| &**endpoint);
        let Some(names) = &probe.endpoints else { return Ok(all().collect()) };
        let find = |name: &String| {
            all().find(|endpoint| endpoint.config.name == *name).ok_or_else(|| {
                let known: Vec<String> = all().map(|e| format!("'{}'", e.config.name)).collect();
                let given = format!("'{}'", truncate(name, 60));
                Error::invalid("endpoints", given, &format!("names of endpoints: {}", known.join(", ")))
            })
        };
        names.iter().map(find).collect()
    }

    /// A client with this endpoint only, that shares everything with this one.
    fn only(&self, endpoint: &EndpointState, model: &str) -> Client {
        let config = &self.state.config;
        // Created here: as the only route of a client it would have no breaker.
        let only_route = config.endpoints.len() == 1 && config.call.fallback_models.is_empty();
        endpoint.route(model, &config.breaker, self.state.shared_breaker.as_ref(), only_route);
        let mut config = config.clone();
        config.endpoints.retain(|other| other.name == endpoint.config.name);
        Client { state: self.state.reconfigured(config) }
    }
}

/// The probe of one route.
struct Probe<'p> {
    client: Client,
    endpoint: &'p EndpointState,
    model: &'p str,
    options: &'p CallConfig,
    cancel: &'p CancellationToken,
}

impl Probe<'_> {
    async fn run(&self, dialect: Dialect) -> Result<ProbedRoute> {
        let mut forms: Vec<ProbedForm> = Vec::new();
        let mut found = None;
        for form in NativeForm::ALL {
            let is_spelled = dialect == Dialect::Chat || form == NativeForm::Assistant;
            if !is_spelled {
                continue;
            }
            let answer = self.ask_in_form(dialect, form).await?;
            let outcome = answer.outcome;
            forms.push(answer);
            if outcome == ProbeOutcome::Continued {
                found = Some(form);
            }
            if matches!(outcome, ProbeOutcome::Continued | ProbeOutcome::Failed) {
                break;
            }
        }
        // A provider that rejects the request itself says nothing about its forms.
        if forms.iter().all(|form| form.outcome == ProbeOutcome::Rejected) {
            let plain = self.ask(dialect, None, "").await?;
            if let Err(error) = plain
                && let Some(last) = forms.last_mut()
            {
                *last = ProbedForm { form: last.form, ..failed(&error, ProbeOutcome::Failed) };
            }
        }
        let is_decided = forms.iter().all(|form| form.outcome != ProbeOutcome::Failed);
        if is_decided {
            let probed = found.map_or(Probed::Nothing, Probed::Form);
            let config = &self.client.state.config;
            let shared = self.client.state.shared_breaker.as_ref();
            let route = self.endpoint.route(self.model, &config.breaker, shared, false);
            route.continuation.update(|known| known.note_probed(dialect, probed));
        }
        Ok(ProbedRoute {
            endpoint: self.endpoint.config.name.clone(),
            model: self.model.to_owned(),
            continuation: is_decided.then_some(found.map_or("none", NativeForm::name)),
            forms,
        })
    }

    /// Whether the provider continues both beginnings in this form.
    async fn ask_in_form(&self, dialect: Dialect, form: NativeForm) -> Result<ProbedForm> {
        for (cut, expected) in CUTS {
            // The cut is in the sentence, so the beginning is a part of it.
            let end = SENTENCE.find(cut).map_or(0, |at| at + cut.len());
            let beginning = &SENTENCE[..end];
            let repeats = form == NativeForm::Prefix && repeats_turn(&self.endpoint.config.url);
            match self.ask(dialect, Some(form), beginning).await? {
                Ok(text) if text.starts_with(expected) => {}
                Ok(text)
                    if repeats
                        && text.strip_prefix(beginning).is_some_and(|rest| rest.starts_with(expected)) => {}
                Ok(text) => {
                    let text = Some(truncate(&text, MAX_TEXT).to_owned());
                    return Ok(ProbedForm { text, ..decided(form, ProbeOutcome::NewTurn) });
                }
                Err(error) => {
                    let is_rejected =
                        error.kind == Kind::InvalidRequest && matches!(error.status, Some(400 | 422));
                    let outcome = if is_rejected { ProbeOutcome::Rejected } else { ProbeOutcome::Failed };
                    return Ok(ProbedForm { form: form.name(), ..failed(&error, outcome) });
                }
            }
        }
        Ok(decided(form, ProbeOutcome::Continued))
    }

    /// Asks for the sentence, of which this much is there. The outer error ends the probe.
    fn ask<'f>(
        &'f self,
        dialect: Dialect,
        form: Option<NativeForm>,
        beginning: &'f str,
    ) -> BoxFuture<'f, Result<Result<String>>> {
        Box::pin(async move {
            let body = request(dialect, form, self.model, beginning);
            let chat = ChatRequest::parse_as(dialect, &body.to_string())?;
            let mut options = self.options.clone();
            options.recovery.mode = Mode::Fail;
            options.fallback_models.clear();
            options.hedge = None;
            // A model that ends at once adds nothing.
            options.allow_empty_answer = true;
            let call = CallRequest::new(chat, options, None);
            match self.client.run(&call, &NoConsumer, self.cancel).await {
                Ok(answer) => Ok(Ok(answer.journal.first_choice().text.clone())),
                Err(error) if matches!(error.kind, Kind::Aborted | Kind::Closed) => Err(error),
                Err(error) => Ok(Err(error)),
            }
        })
    }
}

fn decided(form: NativeForm, outcome: ProbeOutcome) -> ProbedForm {
    ProbedForm { form: form.name(), outcome, text: None, status: None, code: None, error: None }
}

fn failed(error: &Error, outcome: ProbeOutcome) -> ProbedForm {
    ProbedForm {
        form: "",
        outcome,
        text: None,
        status: error.status,
        code: Some(error.code()),
        error: Some(error.message.clone()),
    }
}

/// The body of a request; without a form, the plain one.
fn request(dialect: Dialect, form: Option<NativeForm>, model: &str, beginning: &str) -> Value {
    let prompt = format!("Write exactly this sentence, and nothing else: {SENTENCE}");
    let mut messages = vec![json!({ "role": "user", "content": prompt })];
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("temperature".to_owned(), json!(0));
    body.insert("max_tokens".to_owned(), json!(MAX_TOKENS));
    if dialect == Dialect::Messages {
        body.insert("stream".to_owned(), json!(true));
    }
    if let Some(form) = form {
        let mut turn = json!({ "role": "assistant", "content": beginning });
        if let Some(field) = form.message_field() {
            turn[field] = json!(true);
        }
        messages.push(turn);
        body.extend(form.body_fields().iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    }
    body.insert("messages".to_owned(), Value::from(messages));
    Value::Object(body)
}

/// Nobody reads the answers of a probe but the probe.
struct NoConsumer;

impl Sink for NoConsumer {
    fn mode(&self) -> DeliveryMode {
        DeliveryMode::Nothing
    }

    fn delta(&self, _: &str) {}

    fn complete(&self, _: &str) {}

    fn event(&self, _: Event) {}

    fn wants_events(&self) -> bool {
        false
    }

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}
