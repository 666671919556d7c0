//! The journal of one answer: everything that was received so far, choice by choice. The answer in
//! one piece, the partial text of an error and the result of a stream are all read from it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who answered: taken from the first chunk, and kept for the whole answer.
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

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// Of a call of `type: "custom"`, its input.
    pub arguments: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub custom: bool,
    /// What else the provider says of it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub text: String,
    pub reasoning: String,
    pub refusal: String,
    pub tool_calls: Vec<ToolCall>,
    /// `function_call`, the form before tool calls.
    pub function_call: Option<Box<ToolCall>>,
    /// `logprobs.content` and `logprobs.refusal`, joined over the chunks.
    pub logprobs: Option<Map<String, Value>>,
    pub finish_reason: Option<String>,
    /// What else the provider says of the choice, and of its message.
    pub extra: Map<String, Value>,
    pub message_extra: Map<String, Value>,
}

#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub identity: Identity,
    choices: Vec<Choice>,
    pub usage: Option<Value>,
    /// What else the provider says of the answer: of each field the last word.
    pub extra: Map<String, Value>,
}

/// More choices than a request may ask for, and more tool calls than any model makes at once.
const MAX_INDEX: usize = 128;

impl Journal {
    /// A journal for an answer of `choices` choices.
    pub fn new(choices: usize) -> Self {
        Journal { choices: vec![Choice::default(); choices.clamp(1, MAX_INDEX)], ..Journal::default() }
    }

    /// The choice with this index; `None` for one that was not asked for.
    pub fn choice(&mut self, index: u32) -> Option<&mut Choice> {
        self.choices.get_mut(index as usize)
    }

    /// How many choices the answer has.
    #[allow(clippy::len_without_is_empty)] // At least one.
    pub fn choice_count(&self) -> usize {
        self.choices.len()
    }

    pub fn first_choice(&self) -> &Choice {
        &self.choices[0]
    }

    /// Every choice has its finish reason.
    pub fn is_complete(&self) -> bool {
        self.choices.iter().all(|choice| choice.finish_reason.is_some())
    }

    /// Forgets what another attempt brings anew: tool calls, finish reasons, usage. The texts stay.
    pub fn prepare_continuation(&mut self) {
        for choice in &mut self.choices {
            choice.tool_calls.clear();
            choice.function_call = None;
            choice.finish_reason = None;
        }
        self.usage = None;
    }

    /// A chunk of our own making, with the identity of the answer.
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

    /// The chunk that tells the usage, with the identity of the answer.
    pub fn usage_chunk(&self, usage: &Value) -> String {
        let mut chunk: Value = serde_json::from_str(&self.chunk(0, Value::Null, None)).unwrap_or_default();
        chunk["choices"] = json!([]);
        chunk["usage"] = usage.clone();
        chunk.to_string()
    }

    /// The answer as the provider would have sent it in one piece: `chat.completion`.
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
        fill(&mut answer, &self.extra);
        Value::Object(answer)
    }
}

/// Adds what is not there.
fn fill(fields: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        fields.entry(name.as_str()).or_insert_with(|| value.clone());
    }
}

impl Choice {
    /// The index of the tool call that a delta belongs to. Where the provider sends none, another id is
    /// another call, and no id goes on with the last one.
    pub fn tool_call_index(&self, given: Option<u32>, id: Option<&str>) -> u32 {
        let calls = &self.tool_calls;
        let last = calls.len().saturating_sub(1);
        let place = match (given, id.filter(|id| !id.is_empty())) {
            (Some(index), _) => return index,
            (None, Some(id)) => calls.iter().position(|call| call.id == id).unwrap_or(calls.len()),
            (None, None) => last,
        };
        place as u32
    }

    /// The tool call with this index in the answer; calls come in the order of their indexes.
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

    /// Makes the held tool calls whole: those that nothing was said of are none (a provider may count
    /// from one), and one without arguments has an empty object. `strict`: arguments that are no JSON
    /// are an error, the name of their call; otherwise such a call was cut off and is left out.
    pub fn finalize_tool_calls(&mut self, strict: bool) -> std::result::Result<(), String> {
        self.tool_calls.retain(|call| *call != ToolCall::default());
        for call in &mut self.tool_calls {
            if call.arguments.trim_ascii().is_empty() && !call.custom {
                call.arguments = "{}".to_owned();
            }
        }
        let parses = |call: &ToolCall| {
            call.custom || serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok()
        };
        if !strict {
            self.tool_calls.retain(parses);
            return Ok(());
        }
        match self.tool_calls.iter().find(|call| !parses(call)) {
            Some(call) => Err(call.name.clone()),
            None => Ok(()),
        }
    }

    /// Adds the `logprobs` of one chunk.
    pub fn add_logprobs(&mut self, logprobs: Map<String, Value>) {
        let all = self.logprobs.get_or_insert_with(Map::new);
        for (name, value) in logprobs {
            match (all.get_mut(&name), value) {
                (Some(Value::Array(have)), Value::Array(more)) => have.extend(more),
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
        let calls = !self.tool_calls.is_empty() || self.function_call.is_some();
        let silent = self.text.is_empty() && (calls || !self.refusal.is_empty());
        message.insert("content".into(), if silent { Value::Null } else { json!(self.text) });
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
        fill(&mut message, &self.message_extra);
        let mut choice = Map::new();
        choice.insert("index".into(), json!(index));
        choice.insert("message".into(), message.into());
        choice.insert("logprobs".into(), json!(self.logprobs));
        choice.insert("finish_reason".into(), json!(self.finish_reason));
        fill(&mut choice, &self.extra);
        choice.into()
    }

    /// The tool calls in the shape of a chunk, each whole.
    pub fn tool_call_deltas(&self) -> Value {
        let call = |(index, call): (usize, &ToolCall)| {
            let mut delta = Map::new();
            delta.insert("index".into(), json!(index));
            delta.extend(call.value());
            Value::Object(delta)
        };
        self.tool_calls.iter().enumerate().map(call).collect()
    }

    /// The tool calls in the shape of an answer in one piece.
    pub fn tool_calls(&self) -> Value {
        self.tool_calls.iter().map(|call| Value::Object(call.value())).collect()
    }
}

impl ToolCall {
    fn value(&self) -> Map<String, Value> {
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
        fill(&mut call, &self.extra);
        call
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
    fn a_choice_that_was_not_asked_for_has_no_place() {
        assert!(Journal::new(1).choice(1).is_none());
    }

    #[test]
    fn tool_calls_leave_the_content_null() {
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
    fn logprobs_of_the_chunks_are_joined() {
        let mut choice = Choice::default();
        for part in [json!({"content": [1], "refusal": null}), json!({"content": [2], "refusal": [3]})] {
            choice.add_logprobs(part.as_object().unwrap().clone());
        }
        assert_eq!(Value::from(choice.logprobs.unwrap()), json!({"content": [1, 2], "refusal": [3]}));
    }
}
