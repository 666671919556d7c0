//! The journal of one answer: everything received so far, by choice. The complete answer, the partial text of
//! an error and the result of a stream are all derived from it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The bound on choices, and on the tool calls of a choice. No request and no model exceeds it.
const MAX_INDEX: usize = 128;

/// Everything received of one answer.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub identity: Identity,
    choices: Vec<Choice>,
    pub usage: Option<Value>,
    /// Fields of the answer that the engine does not know, each with its last value.
    pub extra: Map<String, Value>,
}

impl Journal {
    /// The journal of an answer with `choices` choices.
    pub fn new(choices: usize) -> Self {
        Journal { choices: vec![Choice::default(); choices.clamp(1, MAX_INDEX)], ..Journal::default() }
    }

    /// The choice with this index; `None` if it was not requested.
    pub fn choice(&mut self, index: u32) -> Option<&mut Choice> {
        self.choices.get_mut(index as usize)
    }

    /// The number of choices, at least one.
    pub fn choice_count(&self) -> usize {
        self.choices.len()
    }

    /// The choice with index 0.
    pub fn first_choice(&self) -> &Choice {
        &self.choices[0]
    }

    /// Whether every choice has its finish reason.
    pub fn is_complete(&self) -> bool {
        self.choices.iter().all(|choice| choice.finish_reason.is_some())
    }

    /// Clears what the next attempt sends again: tool calls, finish reasons and usage. Keeps the texts.
    pub fn prepare_continuation(&mut self) {
        for choice in &mut self.choices {
            choice.tool_calls.clear();
            choice.function_call = None;
            choice.finish_reason = None;
        }
        self.usage = None;
    }

    /// A generated chunk with the identity of the answer.
    pub fn chunk(&self, index: u32, delta: Value, finish_reason: Option<&str>) -> String {
        let mut chunk = json!({
            "id": self.identity.id.as_deref().unwrap_or_default(),
            "object": "chat.completion.chunk",
            "created": self.identity.created.unwrap_or_default(),
            "model": self.identity.model.as_deref().unwrap_or_default(),
        });
        for (name, value) in [
            ("service_tier", &self.identity.service_tier),
            ("system_fingerprint", &self.identity.system_fingerprint),
        ] {
            if let Some(value) = value {
                chunk[name] = json!(value);
            }
        }
        chunk["choices"] =
            json!([{ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason }]);
        chunk.to_string()
    }

    /// The usage chunk, with the identity of the answer.
    pub fn usage_chunk(&self, usage: &Value) -> String {
        let mut chunk: Value = serde_json::from_str(&self.chunk(0, Value::Null, None)).unwrap_or_default();
        chunk["choices"] = json!([]);
        chunk["usage"] = usage.clone();
        chunk.to_string()
    }

    /// The answer as a `chat.completion` object.
    pub fn completion(&self) -> Value {
        let choices: Vec<Value> =
            self.choices.iter().enumerate().map(|(index, choice)| choice.completion(index)).collect();
        let mut answer = Map::new();
        answer.insert("id".into(), json!(self.identity.id.as_deref().unwrap_or_default()));
        answer.insert("object".into(), json!("chat.completion"));
        answer.insert("created".into(), json!(self.identity.created.unwrap_or_default()));
        answer.insert("model".into(), json!(self.identity.model.as_deref().unwrap_or_default()));
        answer.insert("choices".into(), Value::Array(choices));
        if let Some(usage) = &self.usage {
            answer.insert("usage".into(), usage.clone());
        }
        for (name, value) in [
            ("service_tier", &self.identity.service_tier),
            ("system_fingerprint", &self.identity.system_fingerprint),
        ] {
            if let Some(value) = value {
                answer.insert(name.into(), json!(value));
            }
        }
        insert_missing(&mut answer, &self.extra);
        Value::Object(answer)
    }
}

/// What was received of one choice.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub text: String,
    pub reasoning: String,
    pub refusal: String,
    pub tool_calls: Vec<ToolCall>,
    /// `function_call`, the predecessor of tool calls.
    pub function_call: Option<Box<ToolCall>>,
    /// `logprobs.content` and `logprobs.refusal` of all chunks.
    pub logprobs: Option<Map<String, Value>>,
    pub finish_reason: Option<String>,
    /// Fields of the choice that the engine does not know.
    pub extra: Map<String, Value>,
    /// Fields of its message that the engine does not know.
    pub message_extra: Map<String, Value>,
}

impl Choice {
    /// The index of the tool call that a delta belongs to. If the provider sends no index, a new id starts a
    /// new call, and a delta without an id continues the last one.
    pub fn tool_call_index(&self, index: Option<u32>, id: Option<&str>) -> u32 {
        let calls = &self.tool_calls;
        let last = calls.len().saturating_sub(1);
        let position = match (index, id.filter(|id| !id.is_empty())) {
            (Some(index), _) => return index,
            (None, Some(id)) => calls.iter().position(|call| call.id == id).unwrap_or(calls.len()),
            (None, None) => last,
        };
        position as u32
    }

    /// The tool call with this index, created if necessary; `None` past the bound.
    pub fn tool_call(&mut self, index: u32) -> Option<&mut ToolCall> {
        let index = index as usize;
        if index >= MAX_INDEX {
            return None;
        }
        if self.tool_calls.len() <= index {
            self.tool_calls.resize_with(index + 1, ToolCall::default);
        }
        self.tool_calls.get_mut(index)
    }

    /// Finalizes the buffered tool calls. Drops indexes without a call (a provider may count from one), and
    /// sets missing arguments to an empty object. Without `strict`, drops calls whose arguments are not valid
    /// JSON, because they were cut off.
    ///
    /// # Errors
    /// With `strict`, the name of a call whose arguments are not valid JSON.
    pub fn finalize_tool_calls(&mut self, strict: bool) -> std::result::Result<(), String> {
        self.tool_calls.retain(|call| *call != ToolCall::default());
        for call in &mut self.tool_calls {
            if call.arguments.trim_ascii().is_empty() && !call.custom {
                call.arguments = "{}".to_owned();
            }
        }
        let is_valid = |call: &ToolCall| {
            call.custom || serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok()
        };
        if !strict {
            self.tool_calls.retain(is_valid);
            return Ok(());
        }
        match self.tool_calls.iter().find(|call| !is_valid(call)) {
            Some(call) => Err(call.name.clone()),
            None => Ok(()),
        }
    }

    /// Adds the `logprobs` of one chunk.
    pub fn add_logprobs(&mut self, logprobs: Map<String, Value>) {
        let all = self.logprobs.get_or_insert_with(Map::new);
        for (name, value) in logprobs {
            match (all.get_mut(&name), value) {
                (Some(Value::Array(entries)), Value::Array(more)) => entries.extend(more),
                (Some(Value::Null) | None, value) => {
                    all.insert(name, value);
                }
                _ => {}
            }
        }
    }

    fn completion(&self, index: usize) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), json!("assistant"));
        let has_call = !self.tool_calls.is_empty() || self.function_call.is_some();
        let no_content = self.text.is_empty() && (has_call || !self.refusal.is_empty());
        message.insert("content".into(), if no_content { Value::Null } else { json!(self.text) });
        message.insert(
            "refusal".into(),
            if self.refusal.is_empty() { Value::Null } else { json!(self.refusal) },
        );
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".into(), json!(self.reasoning));
        }
        if !self.tool_calls.is_empty() {
            message.insert("tool_calls".into(), self.tool_calls());
        }
        if let Some(call) = &self.function_call {
            message.insert("function_call".into(), json!({ "name": call.name, "arguments": call.arguments }));
        }
        insert_missing(&mut message, &self.message_extra);
        let mut choice = Map::new();
        choice.insert("index".into(), json!(index));
        choice.insert("message".into(), message.into());
        choice.insert("logprobs".into(), json!(self.logprobs));
        choice.insert("finish_reason".into(), json!(self.finish_reason));
        insert_missing(&mut choice, &self.extra);
        choice.into()
    }

    /// The tool calls as the `tool_calls` of a delta, each complete.
    pub fn tool_call_deltas(&self) -> Value {
        let call = |(index, call): (usize, &ToolCall)| {
            let mut delta = Map::new();
            delta.insert("index".into(), json!(index));
            delta.extend(call.to_map());
            Value::Object(delta)
        };
        self.tool_calls.iter().enumerate().map(call).collect()
    }

    /// The tool calls as the `tool_calls` of a complete message.
    pub fn tool_calls(&self) -> Value {
        self.tool_calls.iter().map(|call| Value::Object(call.to_map())).collect()
    }
}

/// A tool call, possibly incomplete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// The arguments, or the input of a call of `type: "custom"`.
    pub arguments: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub custom: bool,
    /// Fields that the engine does not know.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl ToolCall {
    fn to_map(&self) -> Map<String, Value> {
        let Self { id, name, arguments, .. } = self;
        let mut call = Map::new();
        call.insert("id".into(), json!(id));
        if self.custom {
            call.insert("type".into(), json!("custom"));
            call.insert("custom".into(), json!({ "name": name, "input": arguments }));
        } else {
            call.insert("type".into(), json!("function"));
            call.insert("function".into(), json!({ "name": name, "arguments": arguments }));
        }
        insert_missing(&mut call, &self.extra);
        call
    }
}

/// The identity of an answer. It comes from the first chunk and does not change afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
}

/// Inserts the fields that are missing.
fn insert_missing(fields: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        fields.entry(name.as_str()).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_when_every_choice_has_its_finish_reason() {
        let mut journal = Journal::new(2);
        journal.choice(0).unwrap().finish_reason = Some("stop".into());
        assert!(!journal.is_complete());
        journal.choice(1).unwrap().finish_reason = Some("length".into());
        assert!(journal.is_complete());
    }

    #[test]
    fn a_choice_that_was_not_requested_does_not_exist() {
        assert!(Journal::new(1).choice(1).is_none());
    }

    #[test]
    fn a_message_with_only_tool_calls_has_null_content() {
        let mut journal = Journal::new(1);
        let choice = journal.choice(0).unwrap();
        let call = choice.tool_call(0).unwrap();
        call.id.push_str("call_1");
        call.name.push_str("weather");
        call.arguments.push_str("{}");
        choice.finish_reason = Some("tool_calls".into());
        let answer = journal.completion();
        assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
        assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather");
    }

    #[test]
    fn logprobs_of_all_chunks_are_concatenated() {
        let mut choice = Choice::default();
        for logprobs in [json!({"content": [1], "refusal": null}), json!({"content": [2], "refusal": [3]})] {
            choice.add_logprobs(logprobs.as_object().unwrap().clone());
        }
        assert_eq!(Value::from(choice.logprobs.unwrap()), json!({"content": [1, 2], "refusal": [3]}));
    }
}
