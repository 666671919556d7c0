//! The result of a successful call.

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::AttemptRecord;
use crate::session::journal::Journal;
use crate::session::snapshot::Segment;
use crate::session::splice::Join;
use crate::session::tool_calls;

pub struct Answer {
    pub journal: Journal,
    /// The most that was kept of it, in bytes.
    pub max_size: usize,
    /// The endpoint that answered.
    pub endpoint: String,
    /// The requested model, by our name.
    pub model: String,
    /// The provider's id of the request, otherwise ours.
    pub request_id: String,
    pub attempts: Vec<AttemptRecord>,
    pub recoveries: u32,
    pub segments: Vec<Segment>,
    pub joins: Vec<Join>,
    pub session_id: String,
    /// The cost of all attempts; `None` if a price is unknown.
    pub cost_usd: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamResult<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    refusal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Value>,
    finish_reason: Option<&'a str>,
    usage: Option<&'a Value>,
    id: Option<&'a str>,
    created: Option<u64>,
    model: &'a str,
    endpoint: &'a str,
    request_id: &'a str,
    attempts: &'a [AttemptRecord],
    recoveries: u32,
    segments: &'a [Segment],
    joins: &'a [Join],
    session_id: &'a str,
    cost_usd: Option<f64>,
    /// The limit of the answer, if its texts have outgrown it and were released.
    #[serde(skip_serializing_if = "Option::is_none")]
    too_large_for: Option<usize>,
}

impl Answer {
    /// `ChatStream.result`, as JSON.
    pub fn result(&self) -> String {
        let first = self.journal.first_choice();
        let result = StreamResult {
            text: &first.text,
            reasoning: &first.reasoning,
            refusal: &first.refusal,
            tool_calls: (!first.tool_calls.is_empty()).then(|| tool_calls::message(&first.tool_calls)),
            finish_reason: first.finish_reason.as_deref(),
            usage: self.journal.usage.as_ref(),
            id: self.journal.identity.id.as_deref(),
            created: self.journal.identity.created,
            model: self.journal.identity.model.as_deref().unwrap_or(&self.model),
            endpoint: &self.endpoint,
            request_id: &self.request_id,
            attempts: &self.attempts,
            recoveries: self.recoveries,
            segments: &self.segments,
            joins: &self.joins,
            session_id: &self.session_id,
            cost_usd: self.cost_usd,
            too_large_for: self.journal.is_released().then_some(self.max_size),
        };
        // Strings and numbers always encode.
        serde_json::to_string(&result).unwrap_or_default()
    }

    /// The answer as a chat completion, and its origin.
    pub fn completion(&self) -> String {
        let about = json!({
            "endpoint": self.endpoint,
            "model": self.model,
            "requestId": self.request_id,
            "attempts": self.attempts,
            "sessionId": self.session_id,
            "recoveries": self.recoveries,
            "costUsd": self.cost_usd,
        });
        json!({ "completion": self.journal.completion(), "about": about }).to_string()
    }
}
