//! The events of Anthropic's Messages: see `events`.
#![no_main]

mod events;

use events::{Protocol, check};
use holysheep::wire::dialect::Dialect;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| check::<Messages>(Dialect::Messages, body));

/// One message from the point of view of an SDK.
#[derive(Default)]
struct Messages {
    started: bool,
    /// The index and the type of the open block.
    open: Option<(u64, String)>,
    next: u64,
    delta: bool,
    stopped: bool,
}

impl Protocol for Messages {
    fn text<'a>(&self, event: &'a Value) -> Option<&'a str> {
        let is_text = event["type"] == "content_block_delta" && event["delta"]["type"] == "text_delta";
        event["delta"]["text"].as_str().filter(|_| is_text)
    }

    fn advance(&mut self, event: &Value) -> bool {
        let index = event["index"].as_u64();
        let is_open = self.open.as_ref().is_some_and(|(open, _)| index == Some(*open));
        let is_allowed = match event["type"].as_str().unwrap_or_default() {
            "ping" => return !self.stopped,
            "message_start" => !std::mem::replace(&mut self.started, true) && event["message"].is_object(),
            "content_block_start" => {
                let block = &event["content_block"];
                let is_allowed = self.open.is_none() && index == Some(self.next) && !self.delta;
                self.open = block["type"].as_str().map(|kind| (self.next, kind.to_owned()));
                self.next += 1;
                is_allowed && self.open.is_some() && (block["type"] != "text" || block["text"] == "")
            }
            "content_block_delta" => {
                let in_text = self.open.as_ref().is_some_and(|(_, kind)| kind == "text");
                let kind = event["delta"]["type"].as_str();
                let is_allowed = match kind {
                    Some("text_delta") => in_text && event["delta"]["text"].is_string(),
                    Some("citations_delta") => in_text,
                    _ => !in_text && kind.is_some(),
                };
                is_open && is_allowed
            }
            "content_block_stop" => {
                self.open = None;
                is_open
            }
            "message_delta" => {
                let is_allowed = self.open.is_none() && event["delta"]["stop_reason"].is_string();
                is_allowed && !std::mem::replace(&mut self.delta, true)
            }
            "message_stop" => self.delta && !self.stopped,
            _ => false,
        };
        let is_allowed = is_allowed && self.started && !self.stopped;
        self.stopped |= event["type"] == "message_stop";
        is_allowed
    }

    fn is_complete(&self) -> bool {
        self.stopped
    }

    fn complete_text(&self) -> Option<String> {
        None
    }
}
