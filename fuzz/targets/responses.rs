//! The events of OpenAI's Responses: see `events`.
#![no_main]

mod events;

use events::{Shape, check};
use holysheep::wire::dialect::Dialect;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| check::<Responses>(Dialect::Responses, body));

/// One response, as an SDK reads it.
#[derive(Default)]
struct Responses {
    numbers: u64,
    begun: bool,
    /// The item that is open, by its place.
    open: Option<(u64, Item)>,
    next: u64,
    /// The text of the whole answer.
    whole: Option<String>,
}

enum Item {
    /// Without a part so far, or with the text of its only part.
    Message(Option<String>),
    Other,
}

impl Responses {
    /// The message that an event belongs to.
    fn message(&mut self, event: &Value) -> Option<&mut Option<String>> {
        let (index, Item::Message(part)) = self.open.as_mut()? else { return None };
        (event["output_index"].as_u64() == Some(*index)).then_some(part)
    }

    /// The text so far of the part that an event belongs to.
    fn part(&mut self, event: &Value) -> Option<&mut String> {
        self.message(event)?.as_mut().filter(|_| event["content_index"] == 0)
    }
}

impl Shape for Responses {
    fn text<'a>(&self, event: &'a Value) -> Option<&'a str> {
        event["delta"].as_str().filter(|_| event["type"] == "response.output_text.delta")
    }

    fn takes(&mut self, event: &Value) -> bool {
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "keepalive" || kind == "ping" {
            return true;
        }
        let in_order = event["sequence_number"].as_u64() == Some(self.numbers);
        self.numbers += 1;
        let is_open =
            self.open.as_ref().is_some_and(|(index, _)| event["output_index"].as_u64() == Some(*index));
        let fits = match kind {
            "response.created" => !std::mem::replace(&mut self.begun, true) && event["response"].is_object(),
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
                let fits = match self.open.take() {
                    Some((_, Item::Message(part))) => {
                        item["type"] == "message"
                            && part.is_some_and(|text| item["content"][0]["text"] == *text)
                    }
                    Some((_, Item::Other)) => item["type"].is_string() && item["type"] != "message",
                    None => false,
                };
                fits && is_open
            }
            "response.completed" | "response.incomplete" => {
                let output = event["response"]["output"].as_array();
                let messages = output.into_iter().flatten().filter(|item| item["type"] == "message");
                let parts = messages.filter_map(|item| item["content"].as_array()).flatten();
                let text = parts.filter_map(|part| part["text"].as_str()).collect();
                let fits =
                    output.is_some() && self.open.is_none() && event["response"]["status"] == kind[9..];
                self.whole.replace(text).is_none() && fits
            }
            _ => is_open && matches!(self.open, Some((_, Item::Other))),
        };
        fits && in_order && self.begun
    }

    fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    fn whole_text(&self) -> Option<String> {
        self.whole.clone()
    }
}
