//! The journal of one answer: everything received so far, by choice. The complete answer, the partial text of
//! an error and the result of a stream are all derived from it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::choice::Choice;
use super::merge::{insert_missing, merge, replace};
use super::tool_calls::ToolCall;
use crate::weight::weight_of_fields;

/// The maximum number of choices. OpenAI's limit is the same.
const MAX_CHOICES: usize = 128;

/// The longest id, name or other label of an answer that is kept, in bytes: generated chunks repeat them. What follows is
/// cut off.
pub const MAX_LABEL: usize = 1024;

/// Everything received of one answer.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub identity: Identity,
    choices: Vec<Choice>,
    /// The provider's index of the first choice; `None` until a choice arrives. Some providers count from one.
    base: Option<u32>,
    /// The index of the first choice that the consumer sees.
    visible_base: Option<u32>,
    pub usage: Option<Value>,
    /// A finish reason has come, and no content of a choice without one after it.
    finished_last: bool,
    /// Fields of the answer that the engine does not know, each with its last value.
    extra: Map<String, Value>,
    /// The approximate memory of all of this, in bytes. The identity and the usage are small and not included.
    size: usize,
    /// The texts were released, and nothing is added to them any more.
    released: bool,
}

impl Journal {
    /// The journal of an answer with `choices` choices.
    pub fn new(choices: usize) -> Self {
        Journal { choices: vec![Choice::default(); choices.clamp(1, MAX_CHOICES)], ..Journal::default() }
    }

    /// The number of the choice with the provider's `index`, counted from zero; `None` if it was not requested. True if
    /// only now it is known that the provider counts from one: every choice has moved. `is_alone`: its chunk has no other
    /// choice.
    pub fn locate(&mut self, index: u32, is_alone: bool) -> Option<(u32, bool)> {
        let count = self.choices.len() as u32;
        let mut base = *self.base.get_or_insert(if count == 1 { index } else { 0 });
        let moves = base == 0 && count > 1 && index == count && !self.choices[0].has_begun();
        if moves {
            self.choices.rotate_left(1);
            base = 1;
            self.base = Some(base);
            // The consumer has the provider's indexes.
            self.visible_base = Some(base);
        }
        self.visible_base.get_or_insert(if base as usize <= MAX_CHOICES { base } else { 0 });
        // Only one choice was requested: whatever its index, it is that one. Some providers count chunks there.
        if count == 1 && is_alone {
            return Some((0, false));
        }
        let number = index.checked_sub(base).filter(|number| *number < count)?;
        Some((number, moves))
    }

    /// The choice with this number.
    pub fn choice(&mut self, index: u32) -> Option<&mut Choice> {
        self.choices.get_mut(index as usize)
    }

    /// The approximate memory that the journal takes, in bytes. Counted as it grows, and never measured.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Releases the texts, which the consumer has: from here on their choices are only known to have had some.
    pub fn release_texts(&mut self) {
        self.released = true;
        for choice in &mut self.choices {
            choice.has_other |= !choice.is_empty();
            for text in [&mut choice.text, &mut choice.reasoning, &mut choice.refusal] {
                self.size = self.size.saturating_sub(text.len());
                *text = String::new();
            }
        }
    }

    /// How much of the size is that of the texts, in bytes.
    pub fn size_of_texts(&self) -> usize {
        let length = |choice: &Choice| choice.text.len() + choice.reasoning.len() + choice.refusal.len();
        self.choices.iter().map(length).sum()
    }

    /// Whether the texts were released.
    pub fn is_released(&self) -> bool {
        self.released
    }

    /// Something was added to a choice, or removed, whose memory the journal has not counted.
    pub fn resize(&mut self, growth: isize) {
        self.size = self.size.saturating_add_signed(growth);
    }

    /// Adds text to a choice.
    pub fn append_text(&mut self, index: u32, text: &str) {
        let Some(choice) = self.choices.get_mut(index as usize) else { return };
        if self.released {
            choice.has_other = true;
        } else {
            choice.text.push_str(text);
            self.size += text.len();
        }
    }

    /// Adds reasoning and a refusal to a choice.
    pub fn append_reasoning_and_refusal(&mut self, index: u32, reasoning: &str, refusal: &str) {
        let Some(choice) = self.choices.get_mut(index as usize) else { return };
        if self.released {
            choice.has_other = true;
        } else {
            choice.reasoning.push_str(reasoning);
            choice.refusal.push_str(refusal);
            self.size += reasoning.len() + refusal.len();
        }
    }

    /// Adds the `logprobs` of one chunk to a choice.
    pub fn add_logprobs(&mut self, index: u32, logprobs: Map<String, Value>) {
        let growth = self.choices.get_mut(index as usize).map(|choice| choice.add_logprobs(logprobs));
        self.resize(growth.unwrap_or_default());
    }

    /// Sets fields of the answer that the engine does not know.
    pub fn set_extra(&mut self, fields: Map<String, Value>) {
        let growth = fields.into_iter().map(|(name, value)| replace(&mut self.extra, name, value)).sum();
        self.resize(growth);
    }

    /// Adds fields that the engine does not know to a choice and to its message.
    pub fn add_extra(&mut self, index: u32, of_choice: Map<String, Value>, of_message: Map<String, Value>) {
        let Some(choice) = self.choices.get_mut(index as usize) else { return };
        let growth = merge(&mut choice.extra, of_choice) + merge(&mut choice.message_extra, of_message);
        self.resize(growth);
    }

    /// The number of choices, at least one.
    pub fn choice_count(&self) -> usize {
        self.choices.len()
    }

    /// The choice with index 0.
    pub fn first_choice(&self) -> &Choice {
        &self.choices[0]
    }

    /// Whether a tool call is buffered whose arguments are not complete.
    pub fn has_open_tool_call(&self) -> bool {
        self.choices.iter().flat_map(|choice| &choice.tool_calls).any(ToolCall::is_open)
    }

    /// Whether every choice has its finish reason.
    pub fn is_complete(&self) -> bool {
        self.choices.iter().all(|choice| choice.finish_reason.is_some())
    }

    /// Whether every choice that has begun has its finish reason, and at least one has begun: some providers ignore `n`.
    pub fn is_complete_without_others(&self) -> bool {
        let mut begun = self.choices.iter().filter(|choice| choice.has_begun()).peekable();
        begun.peek().is_some() && begun.all(|choice| choice.finish_reason.is_some())
    }

    /// Notes what a chunk has brought for a choice, in the order of arrival.
    pub fn note_progress(&mut self, index: u32, has_content: bool, has_reason: bool) {
        let Some(choice) = self.choices.get(index as usize) else { return };
        self.finished_last =
            has_reason || (self.finished_last && !(has_content && choice.finish_reason.is_none()));
    }

    /// The one finish reason of an answer of several choices, for gateways that keep only one (LiteLLM): all content of
    /// the others came before it. The usage must have come too, because relays send `[DONE]` after their provider died.
    pub fn shared_finish_reason(&self) -> Option<&str> {
        let mut reasons = self.choices.iter().filter_map(|choice| choice.finish_reason.as_deref());
        let reason = reasons.next()?;
        (self.finished_last && self.usage.is_some() && reasons.next().is_none()).then_some(reason)
    }

    /// Drops the choices that have not begun.
    pub fn drop_missing_choices(&mut self) {
        self.choices.retain(Choice::has_begun);
        if self.choices.is_empty() {
            self.choices.push(Choice::default());
        }
    }

    /// Whether there is nothing in any of the choices.
    pub fn is_empty(&self) -> bool {
        self.choices.iter().all(Choice::is_empty)
    }

    /// Clears what the next attempt sends again: tool calls, finish reasons and usage. Keeps the texts.
    pub fn prepare_continuation(&mut self) {
        for choice in &mut self.choices {
            choice.tool_calls.clear();
            choice.function_call = None;
            choice.finish_reason = None;
            choice.holds_finish = false;
        }
        self.usage = None;
        self.finished_last = false;
        self.base = None;
        self.size = self.choices.iter().map(Choice::weight).sum::<usize>() + weight_of_fields(&self.extra);
    }

    /// A generated chunk with the identity of the answer.
    pub fn chunk(&self, index: u32, delta: Value, finish_reason: Option<&str>) -> String {
        self.chunk_value(index, delta, finish_reason).to_string()
    }

    /// [`Journal::chunk`], as a value.
    pub fn chunk_value(&self, index: u32, delta: Value, finish_reason: Option<&str>) -> Value {
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
        let index = index + self.visible_base.unwrap_or_default();
        chunk["choices"] =
            json!([{ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason }]);
        chunk
    }

    /// The usage chunk, with the identity of the answer.
    pub fn usage_chunk(&self, usage: &Value) -> String {
        let mut chunk = self.chunk_value(0, Value::Null, None);
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
    fn one_finish_reason_stands_for_all_choices_if_it_is_the_last_thing_before_the_usage() {
        let mut journal = Journal::new(2);
        let finish = |journal: &mut Journal, index: u32| {
            journal.choice(index).unwrap().finish_reason = Some("stop".into());
            journal.note_progress(index, false, true);
        };
        journal.note_progress(1, true, false);
        finish(&mut journal, 0);
        assert_eq!(journal.shared_finish_reason(), None, "a relay whose provider died may have sent it");
        journal.usage = Some(json!({ "total_tokens": 1 }));
        assert_eq!(journal.shared_finish_reason(), Some("stop"));
        // Late text of the finished choice says nothing about the other.
        journal.note_progress(0, true, false);
        assert_eq!(journal.shared_finish_reason(), Some("stop"));
        journal.note_progress(1, true, false);
        assert_eq!(journal.shared_finish_reason(), None, "the other choice has gone on");

        let mut journal = Journal::new(3);
        journal.usage = Some(json!({ "total_tokens": 1 }));
        finish(&mut journal, 0);
        finish(&mut journal, 1);
        assert_eq!(journal.shared_finish_reason(), None, "this provider sends one for each choice");
    }

    #[test]
    fn a_choice_that_was_not_requested_does_not_exist() {
        let mut journal = Journal::new(2);
        assert_eq!(journal.locate(0, true), Some((0, false)));
        journal.choice(0).unwrap().text.push('a');
        assert_eq!(journal.locate(2, true), None);
    }

    #[test]
    fn choices_may_be_counted_from_one() {
        let mut journal = Journal::new(1);
        assert_eq!(journal.locate(1, false), Some((0, false)));
        assert_eq!(journal.locate(2, false), None);
        let mut journal = Journal::new(2);
        assert_eq!(journal.locate(1, true), Some((1, false)));
        journal.choice(1).unwrap().text.push('a');
        assert_eq!(journal.locate(2, true), Some((1, true)));
        assert_eq!(journal.first_choice().text, "a");
        assert_eq!(journal.locate(1, true), Some((0, false)));
        assert!(journal.chunk(0, json!({}), None).contains(r#""index":1"#));
    }

    #[test]
    fn the_only_choice_of_a_chunk_is_the_only_requested_one_whatever_its_index() {
        let mut journal = Journal::new(1);
        for index in [0, 5, 1, u32::MAX] {
            assert_eq!(journal.locate(index, true), Some((0, false)));
        }
        assert_eq!(journal.locate(1, false), None);
        let mut journal = Journal::new(1);
        assert_eq!(journal.locate(u32::MAX, true), Some((0, false)));
        assert!(journal.chunk(0, json!({}), None).contains(r#""index":0"#));
    }

    #[test]
    fn an_answer_with_fewer_choices_than_requested_ends_with_those_that_came() {
        let mut journal = Journal::new(3);
        assert!(!journal.is_complete_without_others());
        journal.choice(0).unwrap().finish_reason = Some("stop".into());
        assert!(journal.is_complete_without_others());
        journal.drop_missing_choices();
        assert_eq!(journal.choice_count(), 1);
    }

    #[test]
    fn a_message_with_only_tool_calls_has_null_content() {
        let mut journal = Journal::new(1);
        let choice = journal.choice(0).unwrap();
        let call = ToolCall {
            id: "call_1".into(),
            name: "weather".into(),
            arguments: "{}".into(),
            ..ToolCall::default()
        };
        choice.tool_calls.push(call);
        choice.finish_reason = Some("tool_calls".into());
        let answer = journal.completion();
        assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
        assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather");
    }
}
