//! The events of OpenAI's Responses: see `events`.
#![no_main]

mod events;

use events::{Protocol, check};
use holysheep::wire::dialect::Dialect;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| check::<Responses>(Dialect::Responses, body));

/// One response from the point of view of an SDK.
#[derive(Default)]
struct Responses {
    next_sequence: u64,
    started: bool,
    /// The open item and its index.
    open: Option<(u64, Item)>,
    next: u64,
    /// The text of the complete answer.
    complete_text: Option<String>,
}

enum Item {
    /// The text of its only part; `None` before the part.
    Message(Option<String>),
    Other,
}

impl Responses {
    /// The open message, if the event belongs to it.
    fn message(&mut self, event: &Value) -> Option<&mut Option<String>> {
        let (index, Item::Message(part)) = self.open.as_mut()? else { return None };
        (event["output_index"].as_u64() == Some(*index)).then_some(part)
    }

    /// The text so far of the open part, if the event belongs to it.
    fn part(&mut self, event: &Value) -> Option<&mut String> {
        self.message(event)?.as_mut().filter(|_| event["content_index"] == 0)
    }
}

impl Protocol for Responses {
    fn text<'a>(&self, event: &'a Value) -> Option<&'a str> {
        event["delta"].as_str().filter(|_| event["type"] == "response.output_text.delta")
    }

    fn advance(&mut self, event: &Value) -> bool {
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "keepalive" || kind == "ping" {
            return true;
        }
        let in_order = event["sequence_number"].as_u64() == Some(self.next_sequence);
        self.next_sequence += 1;
        let is_open =
            self.open.as_ref().is_some_and(|(index, _)| event["output_index"].as_u64() == Some(*index));
        let is_allowed = match kind {
            "response.created" => {
                !std::mem::replace(&mut self.started, true) && event["response"].is_object()
            }
            "response.queued" | "response.in_progress" => self.next == 0 && event["response"].is_object(),
            "response.output_item.added" => {
                let item = &event["item"];
                let is_next = self.open.is_none() && event["output_index"].as_u64() == Some(self.next);
                let (item, is_bare) = match item["type"].as_str() {
                    Some("message") => {
                        (Item::Message(None), item["content"].as_array().is_some_and(Vec::is_empty))
                    }
                    kind => (Item::Other, kind.is_some()),
                };
                self.open = Some((self.next, item));
                self.next += 1;
                is_next && is_bare
            }
            "response.content_part.added" => {
                let is_bare = event["part"]["type"] == "output_text" && event["part"]["text"] == "";
                let is_first = event["content_index"] == 0;
                let part = self.message(event).filter(|part| part.is_none());
                part.map(|part| *part = Some(String::new())).is_some() && is_bare && is_first
            }
            "response.output_text.delta" => match (self.part(event), event["delta"].as_str()) {
                (Some(text), Some(delta)) => {
                    text.push_str(delta);
                    true
                }
                _ => false,
            },
            "response.output_text.done" => self.part(event).is_some_and(|text| event["text"] == **text),
            "response.content_part.done" => {
                let part = &event["part"];
                part["type"] == "output_text" && self.part(event).is_some_and(|text| part["text"] == **text)
            }
            "response.output_item.done" => {
                let item = &event["item"];
                let is_allowed = match self.open.take() {
                    Some((_, Item::Message(part))) => {
                        item["type"] == "message"
                            && part.is_some_and(|text| item["content"][0]["text"] == *text)
                    }
                    Some((_, Item::Other)) => item["type"].is_string() && item["type"] != "message",
                    None => false,
                };
                is_allowed && is_open
            }
            "response.completed" | "response.incomplete" => {
                let output = event["response"]["output"].as_array();
                let messages = output.into_iter().flatten().filter(|item| item["type"] == "message");
                let parts = messages.filter_map(|item| item["content"].as_array()).flatten();
                let text = parts.filter_map(|part| part["text"].as_str()).collect();
                let is_allowed =
                    output.is_some() && self.open.is_none() && event["response"]["status"] == kind[9..];
                self.complete_text.replace(text).is_none() && is_allowed
            }
            _ => is_open && matches!(self.open, Some((_, Item::Other))),
        };
        is_allowed && in_order && self.started
    }

    fn is_complete(&self) -> bool {
        self.complete_text.is_some()
    }

    fn complete_text(&self) -> Option<String> {
        self.complete_text.clone()
    }
}
