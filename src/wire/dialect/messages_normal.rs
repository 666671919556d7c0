//! Events of Messages from providers that send them in another form, as the protocol has them.

use serde_json::{Map, Value};

use super::normal::{NormalEvent, Object, Sent, count, delta_json, delta_text, quoted};
use super::whole_message;
use crate::wire::json;

/// The events of the protocol, whose name may stand only in the `event` line.
const NAMES: &[&str] = &[
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
];

/// The fields of deltas that add text, and the types of these deltas.
const TEXTS: &[(&str, &str)] =
    &[("text", "text_delta"), ("thinking", "thinking_delta"), ("partial_json", "input_json_delta")];

/// The protocol's form of the events of one attempt.
#[derive(Default)]
pub(super) struct Normalizer {
    /// Texts are known by their block and the field of their deltas.
    pub sent: Sent<(u64, &'static str)>,
}

impl Normalizer {
    /// The events that the protocol has for this one. `usage` and `stop_reason` are those that have been reported.
    pub fn normalize(
        &mut self,
        name: Option<&str>,
        data: &str,
        usage: &Map<String, Value>,
        stop_reason: Option<&str>,
    ) -> Vec<NormalEvent> {
        // The name makes it an error, whatever type its data has.
        let object = Object::parse(data).filter(|_| name != Some("error"));
        let Some(mut object) = object else { return vec![NormalEvent::unchanged(name, data)] };
        let named = || name.filter(|name| NAMES.contains(name)).map(str::to_owned);
        let kind = object.string("type").map(|kind| kind.into_owned()).or_else(named);
        if kind.as_deref().is_none_or(|kind| kind == "message")
            && !self.sent.has_begun
            && object.has_list("content")
            && let Some(events) = whole_message::events(data)
        {
            return events;
        }
        let Some(kind) = kind else { return vec![NormalEvent::unchanged(name, data)] };
        object.set_string("type", &kind);
        let mut events = Vec::new();
        match kind.as_str() {
            "message_start" => start_message(&mut object),
            "content_block_start" => return self.block_start(object),
            "content_block_delta" => self.block_delta(&mut object),
            "content_block_stop" => {
                let index = self.sent.set_index(&mut object, "index", false);
                events = self.finish_halves(|(of, _)| *of == index);
            }
            "message_delta" => {
                let ends = message_delta(&mut object, usage, stop_reason);
                if ends {
                    events = self.finish_halves(|_| true);
                }
            }
            "message_stop" => events = self.finish_halves(|_| true),
            _ => return vec![NormalEvent { name: Some(kind), data: data.to_owned() }],
        }
        events.push(object.event());
        events
    }

    /// A block begins empty. What it has already is in a delta of its own.
    fn block_start(&mut self, mut object: Object<'_>) -> Vec<NormalEvent> {
        let index = self.sent.set_index(&mut object, "index", true);
        object.set_default("content_block", "{}");
        let json = object.get("content_block").unwrap_or("{}").to_owned();
        let Some(mut block) = Object::parse(&json) else { return vec![object.event()] };
        let kind = block.string("type").map_or_else(|| "text".to_owned(), |kind| kind.into_owned());
        block.set_string("type", &kind);
        let mut delta = None;
        for &(field, delta_type) in TEXTS.iter().filter(|(field, _)| *field == kind) {
            let text = block.get(field).map(delta_text).unwrap_or_default();
            if !text.is_empty() {
                let text = self.sent.halves.join((index, field), &text);
                delta = Some(delta_event(index, delta_type, field, text));
            }
            block.set(field, "\"\"");
        }
        // Arguments are an object, which their JSON in deltas replaces.
        if let Some(input) = block.get("input").and_then(json::string) {
            if !input.is_empty() {
                let text = self.sent.halves.join((index, "partial_json"), &input);
                delta = Some(delta_event(index, "input_json_delta", "partial_json", text));
            }
            block.set("input", "{}");
        }
        block.replace_lone_halves();
        object.set("content_block", block.json());
        [Some(object.event()), delta].into_iter().flatten().collect()
    }

    fn block_delta(&mut self, object: &mut Object<'_>) {
        let index = self.sent.set_index(object, "index", false);
        let json = object.get("delta").unwrap_or("\"\"").to_owned();
        let mut delta = Object::parse(&json).unwrap_or_else(|| {
            // A bare text.
            let mut delta = Object::default();
            delta.set("text", json.as_str());
            delta
        });
        let kind = delta.string("type").map(|kind| kind.into_owned());
        let known = match &kind {
            Some(kind) => TEXTS.iter().find(|(_, known)| known == kind),
            None => TEXTS.iter().find(|(field, _)| delta.get(field).is_some()),
        };
        if let Some(&(field, kind)) = known {
            let json = delta.get(field).unwrap_or("\"\"");
            let text = if field == "partial_json" { delta_json(json) } else { delta_text(json) };
            let text = self.sent.halves.join((index, field), &text);
            delta.set_string("type", kind);
            delta.set(field, text);
        }
        let delta = delta.json();
        object.set("delta", delta);
    }

    /// The deltas with what stands for halves whose other half did not arrive.
    fn finish_halves(&mut self, is_part: impl Fn(&(u64, &'static str)) -> bool) -> Vec<NormalEvent> {
        let parts = self.sent.halves.finish(is_part);
        let delta = |(index, field): (u64, &'static str)| {
            let (_, kind) = TEXTS.iter().find(|(known, _)| *known == field)?;
            Some(delta_event(index, kind, field, quoted("\u{FFFD}")))
        };
        parts.into_iter().filter_map(delta).collect()
    }
}

fn delta_event(index: u64, kind: &str, field: &str, text: String) -> NormalEvent {
    let mut delta = Object::default();
    delta.set_string("type", kind);
    delta.set(field, text);
    let mut event = Object::default();
    event.set_string("type", "content_block_delta");
    event.set("index", index.to_string());
    event.set("delta", delta.json());
    event.event()
}

/// Without these fields the SDK cannot add to the message.
fn start_message(event: &mut Object<'_>) {
    event.set_default("message", "{}");
    let json = event.get("message").unwrap_or("{}").to_owned();
    let Some(mut message) = Object::parse(&json) else { return };
    for (name, default) in [
        ("id", "\"\""),
        ("type", "\"message\""),
        ("role", "\"assistant\""),
        ("model", "\"\""),
        ("content", "[]"),
        ("usage", "{\"input_tokens\":0,\"output_tokens\":0}"),
    ] {
        message.set_default(name, default);
    }
    let message = message.json();
    event.set("message", message);
}

/// The event has a stop reason, if there is one, and a usage. Returns whether it has a stop reason of its own.
fn message_delta(event: &mut Object<'_>, usage: &Map<String, Value>, stop_reason: Option<&str>) -> bool {
    event.set_default("delta", "{}");
    let json = event.get("delta").unwrap_or("{}").to_owned();
    let Some(mut delta) = Object::parse(&json) else { return false };
    let event_reason = delta.get("stop_reason").and_then(stop_reason_of);
    // A second event would revoke the reason in the first one.
    let json = event_reason.as_deref().or(stop_reason).map_or_else(|| "null".to_owned(), quoted);
    delta.set("stop_reason", json);
    let delta = delta.json();
    event.set("delta", delta);
    if !event.has_object("usage") {
        let output = usage.get("output_tokens").and_then(count).unwrap_or_default();
        event.set("usage", format!("{{\"output_tokens\":{output}}}"));
    }
    event_reason.is_some()
}

/// A stop reason: a string, or what stands for one.
fn stop_reason_of(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => json::string(json).map(|text| text.lossy().into_owned()).filter(|reason| !reason.is_empty()),
        b't' => Some("end_turn".to_owned()),
        b'f' => None,
        b'{' => ["type", "reason", "name"]
            .iter()
            .find_map(|name| Object::parse(json)?.string(name).map(|reason| reason.into_owned())),
        _ => json::number(json).filter(|number| number != "0"),
    }
}
