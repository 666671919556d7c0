//! The snapshot of an answer in progress, from which another process can resume it: a plain, versioned value,
//! stored as JSON. It does not contain the request. Whoever stores a snapshot stores the request as well.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choice::Choice;
use super::journal::{Identity, Journal};
use super::splice::Join;
use super::tool_calls::ToolCall;
use crate::error::{AttemptRecord, Error, Result, truncate};

/// The version of the format. Any other version is rejected.
pub const VERSION: u32 = 1;

/// The maximum of any counter, so that counting on from a snapshot cannot overflow. No answer reaches it.
const MAX_COUNT: u64 = 1_000_000_000;

/// An answer in progress.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Snapshot {
    pub version: u32,
    /// The session of all attempts, including those after a resume.
    pub session_id: String,
    /// The name of the dialect, if it is not chat completions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    pub answer: PartialAnswer,
    /// The answer as its provider keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<KeptResponse>,
    /// The total of the finished attempts that reported a usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
    /// The cost of these attempts in USD; `None` if a price is unknown.
    pub cost_usd: Option<f64>,
    pub attempts: Vec<AttemptRecord>,
    /// The number of recoveries.
    pub recoveries: u32,
    pub segments: Vec<Segment>,
    pub joins: Vec<Join>,
    /// The endpoint and the model of the segment in progress.
    #[serde(skip)]
    pub writer: Option<(String, String)>,
    /// The answer has outgrown a snapshot, and is not in it.
    #[serde(skip)]
    pub is_released: bool,
}

impl Snapshot {
    /// The snapshot of a call that has not received anything.
    pub fn new(session_id: String) -> Self {
        Snapshot { version: VERSION, session_id, cost_usd: Some(0.0), ..Snapshot::default() }
    }

    /// Reads a snapshot from JSON.
    ///
    /// # Errors
    /// If it is not valid JSON of this version, or a field is invalid.
    pub fn parse(json: &str) -> Result<Self> {
        const ACCEPTED: &str = "the result of `snapshot()`, or its JSON";
        let value: Value =
            serde_json::from_str(json).map_err(|_| Error::invalid("snapshot", "invalid JSON", ACCEPTED))?;
        let version = value.get("version").unwrap_or(&Value::Null);
        if version.as_u64() != Some(u64::from(VERSION)) {
            return Err(Error::invalid("snapshot.version", truncate(&version.to_string(), 60), "1"));
        }
        let snapshot: Snapshot = serde_json::from_value(value).map_err(|error| {
            // serde quotes strings in full.
            let error = error.to_string();
            Error::invalid("snapshot", format!("an invalid snapshot ({})", truncate(&error, 200)), ACCEPTED)
        })?;
        if snapshot.session_id.is_empty() {
            return Err(Error::invalid("snapshot.sessionId", "an empty string", ACCEPTED));
        }
        let counts = snapshot.segments.iter().map(|part| part.characters as u64);
        let counts = counts.chain([u64::from(snapshot.recoveries), snapshot.answer.deltas]);
        let number = snapshot.response.as_ref().and_then(|response| response.sequence_number);
        let counts = counts.chain(number);
        if let Some(count) = counts.max().filter(|count| *count > MAX_COUNT) {
            return Err(Error::invalid("snapshot", format!("one with a counter of {count}"), ACCEPTED));
        }
        Ok(snapshot)
    }

    /// The journal of the answer, to continue from.
    pub fn journal(&self, choices: usize) -> Journal {
        let mut journal = Journal::new(choices);
        journal.identity = self.answer.identity.clone();
        journal.append_text(0, &self.answer.text);
        journal.append_reasoning_and_refusal(0, &self.answer.reasoning, &self.answer.refusal);
        if let Some(choice) = journal.choice(0) {
            choice.finish_reason.clone_from(&self.answer.finish_reason);
            choice.tool_calls.clone_from(&self.answer.tool_calls);
        }
        journal
    }

    /// The snapshot as JSON. The segment in progress is included in the segments.
    pub fn json(&self) -> String {
        let mut snapshot = self.clone();
        let written: usize = self.segments.iter().map(|part| part.characters).sum();
        let characters = self.answer.text.chars().count().saturating_sub(written);
        if let Some((endpoint, model)) = snapshot.writer.take().filter(|_| characters > 0) {
            snapshot.segments.push(Segment { endpoint, model, characters });
        }
        // Serialization cannot fail: all keys are strings.
        serde_json::to_string(&snapshot).unwrap_or_default()
    }

    /// Whether the consumer has received anything of the answer.
    pub fn has_content(&self) -> bool {
        if self.response.as_ref().is_some_and(|response| response.sequence_number.is_some()) {
            return true;
        }
        let PartialAnswer { text, reasoning, refusal, complete, lost_tool_call, .. } = &self.answer;
        *complete || *lost_tool_call || !(text.is_empty() && reasoning.is_empty() && refusal.is_empty())
    }
}

/// What was received of the first choice.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartialAnswer {
    #[serde(flatten)]
    pub identity: Identity,
    pub text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub refusal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The answer is complete. Resuming it makes no request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
    /// The tool calls of a complete answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// A tool call was interrupted, so the continuation must contain one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost_tool_call: bool,
    /// The number of deltas of text received, which approximates its tokens.
    pub deltas: u64,
}

impl PartialAnswer {
    /// Marks the answer as complete.
    pub fn finish(&mut self, choice: &Choice) {
        self.complete = true;
        self.lost_tool_call = false;
        self.finish_reason.clone_from(&choice.finish_reason);
        self.tool_calls.clone_from(&choice.tool_calls);
    }
}

/// A response whose provider keeps its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeptResponse {
    /// The provider's id of it.
    pub id: String,
    /// The number of the last event that was delivered; `None` before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_number: Option<u64>,
    /// The endpoint whose provider has it.
    pub endpoint: String,
    /// More than text was delivered, so that nobody else can continue the answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_there: bool,
}

/// A part of the answer, and the endpoint and model that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    pub endpoint: String,
    pub model: String,
    /// The length in code points.
    pub characters: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_snapshot_survives_serialization() {
        let mut snapshot = Snapshot::new("session_1".into());
        snapshot.answer.text = "tiếng 👩‍👩‍👧‍👦".into();
        snapshot.answer.identity.id = Some("chatcmpl-1".into());
        snapshot.segments.push(Segment { endpoint: "a".into(), model: "m".into(), characters: 2 });
        snapshot.writer = Some(("b".into(), "n".into()));
        let json = snapshot.json();
        let read = Snapshot::parse(&json).unwrap();
        assert_eq!(read.json(), json);
        assert_eq!(read.segments[1], Segment { endpoint: "b".into(), model: "n".into(), characters: 11 });
        assert_eq!(read.journal(1).first_choice().text, snapshot.answer.text);
        assert_eq!(read.journal(1).identity.id.as_deref(), Some("chatcmpl-1"));
    }

    #[test]
    fn an_error_does_not_quote_a_long_value_in_full() {
        let long = "x".repeat(5_000);
        for json in [
            json!({ "version": [long] }),
            json!({ "version": 1, "sessionId": "s", "attempts": long }),
            json!({ "version": 1, "sessionId": "s", "joins": [{ "kind": long }] }),
        ] {
            let error = Snapshot::parse(&json.to_string()).unwrap_err();
            assert!(error.message.len() < 500, "{} bytes", error.message.len());
        }
    }

    #[test]
    fn a_fraction_keeps_its_value() {
        let mut snapshot = Snapshot::new("session_1".into());
        snapshot.cost_usd = Some(184_460_000_000_241_337_016.1);
        let read = Snapshot::parse(&snapshot.json()).unwrap();
        assert_eq!(read.cost_usd, snapshot.cost_usd);
    }

    #[test]
    fn other_versions_and_invalid_snapshots_are_rejected() {
        for (json, message) in [
            ("{", "invalid JSON"),
            ("[]", "snapshot.version: got null"),
            (r#"{"version":2,"sessionId":"s"}"#, "got 2; accepted: 1"),
            (r#"{"version":1,"sessionId":"s","attempts":3}"#, "an invalid snapshot"),
            (r#"{"version":1}"#, "snapshot.sessionId"),
            (r#"{"version":1,"sessionId":"s","recoveries":4294967295}"#, "a counter of 4294967295"),
        ] {
            let error = Snapshot::parse(json).unwrap_err();
            assert!(error.message.contains(message), "{error}");
        }
        let parsed = Snapshot::parse(&json!({ "version": 1, "sessionId": "s", "later": 1 }).to_string());
        assert!(parsed.is_ok(), "unknown fields of a later release are ignored");
    }
}
