//! Background responses, which are kept and can be requested again: as a stream from any event on, or as one document.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::dialect::Event;
use super::record::IncomingRequest;
use super::scenario::Kept;

/// The maximum number of responses that are kept.
const MAX_KEPT: usize = 256;

/// A background response.
#[derive(Clone)]
pub(super) struct KeptResponse {
    pub(super) id: String,
    /// The key that requested it: no other one gets it.
    pub(super) key: Option<String>,
    /// How it can be requested again.
    pub(super) kept: Kept,
    /// It was requested as a stream.
    pub(super) is_streamed: bool,
    pub(super) events: Vec<Event>,
    pub(super) whole: Value,
}

/// The background responses of a simulator, the newest last.
#[derive(Default)]
pub(super) struct KeptResponses(Mutex<VecDeque<KeptResponse>>);

/// The key of a request.
pub(super) fn key_of(request: &IncomingRequest) -> Option<String> {
    request.header("authorization").map(str::to_owned)
}

impl KeptResponses {
    fn lock(&self) -> MutexGuard<'_, VecDeque<KeptResponse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, response: KeptResponse) {
        let mut kept = self.lock();
        if kept.len() == MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back(response);
    }

    /// The response with this id, for the key that requested it.
    pub(super) fn find(&self, id: &str, key: Option<&str>) -> Option<KeptResponse> {
        self.lock().iter().find(|kept| kept.id == id && kept.key.as_deref() == key).cloned()
    }

    /// Cancels a response, and returns it; one that was canceled before stays so.
    pub(super) fn cancel(&self, id: &str, key: Option<&str>) -> Option<Value> {
        let mut kept = self.lock();
        let response = kept.iter_mut().find(|kept| kept.id == id && kept.key.as_deref() == key)?;
        response.whole["status"] = "cancelled".into();
        Some(response.whole.clone())
    }
}

/// What a background response looks like before it is generated.
pub(super) fn queued(whole: &Value) -> Value {
    let mut queued = whole.clone();
    queued["status"] = "queued".into();
    queued["output"] = json!([]);
    queued["usage"] = Value::Null;
    queued["incomplete_details"] = Value::Null;
    queued
}
