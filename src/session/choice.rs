//! What was received of one choice of an answer.

use serde_json::{Map, Value, json};

use super::merge::{insert_missing, replace};
use super::tool_calls::{self, ToolCall};
use crate::weight::{weight, weight_of_fields};

/// More fields that the engine does not know than any message has.
const MAX_OTHERS: usize = 32;

/// The longest name of such a field that is noted, in bytes.
const MAX_NAME: usize = 256;

/// Where the provider has sent content, if only an empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContentSource {
    #[default]
    None,
    Delta,
    Message,
}

/// What was received of one choice.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub text: String,
    pub content_source: ContentSource,
    pub reasoning: String,
    pub refusal: String,
    pub tool_calls: Vec<ToolCall>,
    /// `function_call`, the predecessor of tool calls.
    pub function_call: Option<Box<ToolCall>>,
    /// `logprobs.content` and `logprobs.refusal` of all chunks.
    pub logprobs: Option<Map<String, Value>>,
    pub finish_reason: Option<String>,
    /// The consumer does not have the finish reason: something that is not complete has to be delivered before it.
    pub holds_finish: bool,
    /// Fields of the choice that the engine does not know.
    pub extra: Map<String, Value>,
    /// Fields of its message that the engine does not know.
    pub message_extra: Map<String, Value>,
    /// There is more than these fields: audio, images, annotations or a field that the engine does not know.
    pub has_other: bool,
    /// The names of the unknown fields of its message that have come and were not empty, up to [`MAX_OTHERS`].
    others: Vec<String>,
}

impl Choice {
    /// Whether anything was received of it.
    pub fn has_begun(&self) -> bool {
        !self.is_empty() || self.finish_reason.is_some()
    }

    /// Notes the names of unknown fields that came with content. What is beyond the limits is not noted.
    pub fn note_others<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        for name in names.filter(|name| name.len() <= MAX_NAME) {
            if self.others.len() < MAX_OTHERS && !self.has_noted(name) {
                self.others.push(name.to_owned());
            }
        }
    }

    /// Whether an unknown field with this name came with content.
    pub fn has_noted(&self, name: &str) -> bool {
        self.others.iter().any(|known| known == name)
    }

    /// Whether it has no content.
    pub fn is_empty(&self) -> bool {
        let Choice { text, reasoning, refusal, tool_calls, function_call, has_other, .. } = self;
        text.is_empty()
            && reasoning.is_empty()
            && refusal.is_empty()
            && tool_calls.is_empty()
            && function_call.is_none()
            && !has_other
    }

    /// The approximate memory that it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let calls = self.tool_calls.iter().chain(self.function_call.as_deref());
        let calls = calls.map(|call| {
            call.text_length() + weight_of_fields(&call.extra) + weight_of_fields(&call.nested_extra)
        });
        let fields = self.logprobs.iter().chain([&self.extra, &self.message_extra]).map(weight_of_fields);
        self.text.len()
            + self.reasoning.len()
            + self.refusal.len()
            + calls.sum::<usize>()
            + fields.sum::<usize>()
    }

    /// Adds the `logprobs` of one chunk. Returns by how much their memory has grown.
    pub(super) fn add_logprobs(&mut self, logprobs: Map<String, Value>) -> isize {
        let all = self.logprobs.get_or_insert_with(Map::new);
        let mut growth = 0;
        for (name, value) in logprobs {
            match (all.get_mut(&name), value) {
                (Some(Value::Array(entries)), Value::Array(more)) => {
                    growth += more.iter().map(weight).sum::<usize>() as isize;
                    entries.extend(more);
                }
                (Some(Value::Null) | None, value) => growth += replace(all, name, value),
                _ => {}
            }
        }
        growth
    }

    /// Whether its content is a text, if only an empty one, and not null.
    fn has_content(&self) -> bool {
        if !self.text.is_empty() {
            return true;
        }
        match self.content_source {
            ContentSource::None => false,
            // Streams begin with an empty text beside the role, before it is known what follows.
            ContentSource::Delta => {
                self.tool_calls.is_empty() && self.function_call.is_none() && self.refusal.is_empty()
            }
            ContentSource::Message => true,
        }
    }

    pub(super) fn completion(&self, index: usize) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), json!("assistant"));
        message.insert("content".into(), if self.has_content() { json!(self.text) } else { Value::Null });
        message.insert(
            "refusal".into(),
            if self.refusal.is_empty() { Value::Null } else { json!(self.refusal) },
        );
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".into(), json!(self.reasoning));
        }
        if !self.tool_calls.is_empty() {
            message.insert("tool_calls".into(), tool_calls::message(&self.tool_calls));
        }
        if let Some(call) = &self.function_call {
            message.insert("function_call".into(), call.function());
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_without_text_is_null_unless_the_provider_sent_an_empty_text() {
        for (content_source, alone, beside_refusal) in [
            (ContentSource::None, Value::Null, Value::Null),
            (ContentSource::Delta, json!(""), Value::Null),
            (ContentSource::Message, json!(""), json!("")),
        ] {
            for (refusal, expected) in [("", alone), ("no", beside_refusal)] {
                let choice = Choice { content_source, refusal: refusal.into(), ..Choice::default() };
                assert_eq!(choice.completion(0)["message"]["content"], expected, "{content_source:?}");
            }
        }
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
