//! OpenAI's Responses: the shape of events, as the API has them. Other shapes are put into this one first
//! (`responses_normal`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::normal::{has_lone_half, index_of};
use super::responses_normal::has_indices;
use super::whole_response::has_arguments;
use crate::wire::json::{self, Str};

/// One event. A field that its type does not have may be anything.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub r#type: Str<'a>,
    #[serde(borrow, default)]
    pub sequence_number: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub item_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub part: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub base_resp: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    pub fn output_index(&self) -> Option<u64> {
        self.output_index.and_then(index_of)
    }

    pub fn content_index(&self) -> Option<u64> {
        self.content_index.and_then(index_of)
    }

    /// The text of a delta. `None` if it is not a string, or one with half of a surrogate pair.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        let delta = self.delta?;
        serde_json::from_str::<Str<'a>>(delta.get()).ok().map(|Str(text)| text)
    }

    /// Whether the event has the form of the protocol.
    pub fn is_usual(&self, data: &str) -> bool {
        let kind = &*self.r#type.0;
        if !has_indices(kind, self.output_index(), self.content_index()) {
            return false;
        }
        if kind.ends_with(".delta") {
            return self.text().is_some() || (self.delta.is_none() && !kind.starts_with("response.output"));
        }
        let has_object =
            |item: &RawValue| item.get().contains("\"arguments\"") && has_arguments(&parse(Some(item)));
        let is_unusual = has_lone_half(data)
            || self.item.is_some_and(has_object)
            || (kind == "response.function_call_arguments.done" && data.contains("\"arguments\":{"));
        !is_unusual
    }
}

/// The value of a field; null if there is none.
pub(super) fn parse(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| json::value(raw.get())).unwrap_or_default()
}
