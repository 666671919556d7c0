//! What is kept of an answer that is under way, so that it can be taken up again elsewhere: a plain
//! value, versioned, as JSON. The request is not in it: whoever keeps a snapshot keeps that too.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::journal::{Choice, Identity, Journal, ToolCall};
use super::splice::Join;
use crate::error::{AttemptRecord, Error, Result};

/// The version of the form below. Another number is refused.
pub const VERSION: u32 = 1;

/// More than any answer has of anything: what is counted on from a snapshot cannot overflow.
const MAX_COUNT: u64 = 1_000_000_000;

/// Who wrote which part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    pub endpoint: String,
    pub model: String,
    /// In code points.
    pub characters: usize,
}

/// One answer, as far as it has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Snapshot {
    pub version: u32,
    /// The session that every attempt belongs to, the resumed ones too.
    pub session_id: String,
    pub answer: PartialAnswer,
    /// The sum over the attempts that are over and reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
    /// What these attempts have cost, in USD; none where a price is not known.
    pub cost_usd: Option<f64>,
    pub attempts: Vec<AttemptRecord>,
    /// How often the answer was taken up again.
    pub recoveries: u32,
    pub segments: Vec<Segment>,
    pub joins: Vec<Join>,
    /// The endpoint and the model that write the part that is under way.
    #[serde(skip)]
    pub writer: Option<(String, String)>,
}

/// What was received for the first choice.
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
    /// The answer is whole: to go on with it asks nobody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
    /// The tool calls of an answer that is whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// A tool call has begun and broke off: the answer needs one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost_tool_call: bool,
    /// In how many deltas the text came: about its tokens.
    pub deltas: u64,
}

impl PartialAnswer {
    /// The answer is whole.
    pub fn finish(&mut self, choice: &Choice) {
        self.complete = true;
        self.lost_tool_call = false;
        self.finish_reason.clone_from(&choice.finish_reason);
        self.tool_calls.clone_from(&choice.tool_calls);
    }
}

impl Snapshot {
    /// The snapshot of a call of which nothing has come yet.
    pub fn new(session_id: String) -> Self {
        Snapshot { version: VERSION, session_id, cost_usd: Some(0.0), ..Snapshot::default() }
    }

    /// Reads what [`serde_json`] wrote of one.
    pub fn parse(json: &str) -> Result<Self> {
        const ACCEPTED: &str = "what `snapshot()` gave, or JSON of it";
        let value: Value =
            serde_json::from_str(json).map_err(|_| Error::invalid("snapshot", "no JSON", ACCEPTED))?;
        let version = value.get("version").unwrap_or(&Value::Null);
        if version.as_u64() != Some(u64::from(VERSION)) {
            return Err(Error::invalid("snapshot.version", version, "1"));
        }
        let snapshot: Snapshot = serde_json::from_value(value)
            .map_err(|error| Error::invalid("snapshot", format!("one with a fault ({error})"), ACCEPTED))?;
        if snapshot.session_id.is_empty() {
            return Err(Error::invalid("snapshot.sessionId", "nothing", ACCEPTED));
        }
        let counts = snapshot.segments.iter().map(|part| part.characters as u64);
        let counts = counts.chain([u64::from(snapshot.recoveries), snapshot.answer.deltas]);
        if let Some(count) = counts.max().filter(|count| *count > MAX_COUNT) {
            return Err(Error::invalid("snapshot", format!("one that counts to {count}"), ACCEPTED));
        }
        Ok(snapshot)
    }

    /// The journal that goes on from here.
    pub fn journal(&self, choices: usize) -> Journal {
        let mut journal = Journal::new(choices);
        journal.identity = self.answer.identity.clone();
        if let Some(choice) = journal.choice(0) {
            choice.text.clone_from(&self.answer.text);
            choice.reasoning.clone_from(&self.answer.reasoning);
            choice.refusal.clone_from(&self.answer.refusal);
            choice.finish_reason.clone_from(&self.answer.finish_reason);
            choice.tool_calls.clone_from(&self.answer.tool_calls);
        }
        journal
    }

    /// JSON, in which the part that is under way is one of the parts.
    pub fn json(&self) -> String {
        let mut whole = self.clone();
        let written: usize = self.segments.iter().map(|part| part.characters).sum();
        let characters = self.answer.text.chars().count().saturating_sub(written);
        if let Some((endpoint, model)) = whole.writer.take().filter(|_| characters > 0) {
            whole.segments.push(Segment { endpoint, model, characters });
        }
        // Strings and numbers always encode.
        serde_json::to_string(&whole).unwrap_or_default()
    }

    /// The consumer has something of the answer.
    pub fn has_content(&self) -> bool {
        let PartialAnswer { text, reasoning, refusal, complete, lost_tool_call, .. } = &self.answer;
        *complete || *lost_tool_call || !(text.is_empty() && reasoning.is_empty() && refusal.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_snapshot_comes_back_from_json_as_it_was() {
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
    fn another_version_and_what_is_none_are_refused() {
        for (given, said) in [
            ("{", "no JSON"),
            ("[]", "snapshot.version: got null"),
            (r#"{"version":2,"sessionId":"s"}"#, "got 2; accepted: 1"),
            (r#"{"version":1,"sessionId":"s","attempts":3}"#, "one with a fault"),
            (r#"{"version":1}"#, "snapshot.sessionId"),
            (r#"{"version":1,"sessionId":"s","recoveries":4294967295}"#, "counts to 4294967295"),
        ] {
            let error = Snapshot::parse(given).unwrap_err();
            assert!(error.message.contains(said), "{error}");
        }
        let parsed = Snapshot::parse(&json!({ "version": 1, "sessionId": "s", "later": 1 }).to_string());
        assert!(parsed.is_ok(), "a field of a later release does not matter");
    }
}
