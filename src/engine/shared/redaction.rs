//! Removes the secrets of a client and of a call from what they show.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::config::{CallConfig, ClientConfig, Endpoint};
use crate::error::{Error, truncate};
use crate::store::SharedState;
use crate::wire::one_line::one_line;
use crate::wire::redactor::Redactor;

/// How many redactors are kept: calls with the same headers share one.
const MAX_CACHED: usize = 4;

/// The redactors of a client's calls. Making one takes longer than using it.
#[derive(Clone, Default)]
pub struct Redactors(SharedState<Vec<(Vec<String>, Arc<Redactor>)>>);

impl Redactors {
    /// The redactor of a call: it knows the secrets of all endpoints, of the proxies, and of the call.
    pub fn of(&self, client: &ClientConfig, call: &CallConfig) -> Arc<Redactor> {
        let endpoints = client.endpoints.iter().flat_map(|endpoint| Endpoint::secrets(endpoint));
        let secrets: Vec<&str> = endpoints.chain(client.proxy.secrets()).chain(call.secrets()).collect();
        self.0.update(|cached| {
            let found = cached.iter().position(|(of, _)| *of == secrets);
            let entry = match found {
                Some(index) => cached.remove(index),
                None => {
                    let redactor = Arc::new(Redactor::new(secrets.iter().copied()));
                    cached.truncate(MAX_CACHED - 1);
                    (secrets.into_iter().map(str::to_owned).collect(), redactor)
                }
            };
            let redactor = Arc::clone(&entry.1);
            // The last used one comes first.
            cached.insert(0, entry);
            redactor
        })
    }
}

/// The error without secrets, however the provider quotes them, and with everything that is logged on one line. Only the
/// body and the headers keep their line breaks.
pub fn without_secrets(mut error: Error, redactor: &Redactor) -> Error {
    let data = &mut *error;
    let clean = |text: &str| one_line(&redactor.redact(text)).into_owned();
    data.message = clean(&data.message);
    let fields = [&mut data.provider_message, &mut data.provider_code, &mut data.provider_type];
    for text in fields.into_iter().chain([&mut data.param, &mut data.request_id]).flatten() {
        *text = clean(text);
    }
    if let Some(body) = &mut data.body {
        *body = redactor.redact(body).into_owned();
    }
    data.headers = visible_headers(&data.headers, redactor).collect();
    error
}

/// What a provider says about an answer (its id, its model, a finish reason), without secrets and of at most `max` bytes.
pub fn label(text: &str, max: usize, redactor: &Redactor) -> String {
    truncate(&redactor.redact(text), max).to_owned()
}

/// Removes secrets from the texts in a value. A field with a secret in its name is left out.
pub fn redact_value(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(redacted) = redactor.redact(text) {
                *text = redacted;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| redact_value(value, redactor)),
        Value::Object(fields) => {
            fields.retain(|name, _| redactor.redact(name) == *name);
            fields.values_mut().for_each(|value| redact_value(value, redactor));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The headers of a response for an event.
pub fn event_headers(headers: &[(String, String)], redactor: &Redactor) -> BTreeMap<String, String> {
    visible_headers(headers, redactor).collect()
}

/// Headers without secrets. One with a secret in its name is left out.
fn visible_headers(
    headers: &[(String, String)],
    redactor: &Redactor,
) -> impl Iterator<Item = (String, String)> {
    let headers = headers.iter().filter(|(name, _)| redactor.redact(name) == **name);
    headers.map(|(name, text)| (name.clone(), redactor.redact(text).into_owned()))
}
