//! The events of Anthropic's Messages: see `events`.
#![no_main]

mod events;

use events::{Shape, check};
use holysheep::wire::dialect::Dialect;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| check::<Messages>(Dialect::Messages, body));

/// One message, as an SDK reads it.
#[derive(Default)]
struct Messages {
    begun: bool,
    /// The block that is open, and what it holds.
    open: Option<(u64, String)>,
    next: u64,
    delta: bool,
    stopped: bool,
}

impl Shape for Messages {
    fn text<'a>(&self, event: &'a Value) -> Option<&'a str> {
        let is_text = event["type"] == "content_block_delta" && event["delta"]["type"] == "text_delta";
        event["delta"]["text"].as_str().filter(|_| is_text)
    }

    fn takes(&mut self, event: &Value) -> bool {
        let index = event["index"].as_u64();
        let is_open = self.open.as_ref().is_some_and(|(open, _)| index == Some(*open));
        let fits = match event["type"].as_str().unwrap_or_default() {
            "ping" => return !self.stopped,
            "message_start" => !std::mem::replace(&mut self.begun, true) && event["message"].is_object(),
            "content_block_start" => {
                let block = &event["content_block"];
                let fits = self.open.is_none() && index == Some(self.next) && !self.delta;
                self.open = block["type"].as_str().map(|kind| (self.next, kind.to_owned()));
                self.next += 1;
                fits && self.open.is_some() && (block["type"] != "text" || block["text"] == "")
            }
            "content_block_delta" => {
                let in_text = self.open.as_ref().is_some_and(|(_, kind)| kind == "text");
                let kind = event["delta"]["type"].as_str();
                let fits = match kind {
                    Some("text_delta") => in_text && event["delta"]["text"].is_string(),
                    Some("citations_delta") => in_text,
                    _ => !in_text && kind.is_some(),
                };
                is_open && fits
            }
            "content_block_stop" => {
                self.open = None;
                is_open
            }
            "message_delta" => {
                let fits = self.open.is_none() && event["delta"]["stop_reason"].is_string();
                fits && !std::mem::replace(&mut self.delta, true)
            }
            "message_stop" => self.delta && !self.stopped,
            _ => false,
        };
        let fits = fits && self.begun && !self.stopped;
        self.stopped |= event["type"] == "message_stop";
        fits
    }

    fn is_whole(&self) -> bool {
        self.stopped
    }

    fn whole_text(&self) -> Option<String> {
        None
    }
}
