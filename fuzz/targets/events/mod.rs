//! A dialect whose events are passed through, over several attempts. The consumer gets the text that the codec decoded,
//! every synthetic event survives the wire, and a consumer of conforming providers sees a conforming stream.
//!
//! Input: a body of `text/event-stream`. The event `break` ends an attempt and starts the next one, which resumes the
//! answer (`data: trim`: without the white space at the end of the text). The event `limit` ends the answer at its token
//! limit.

use std::ops::ControlFlow;

use holysheep::wire::dialect::{DecodedEvent, Dialect, EventCodec, SyntheticEvent, sse};
use holysheep::wire::sse::{Event, Parser};
use serde_json::Value;

/// The protocol from the consumer's point of view.
pub trait Protocol: Default {
    /// The text of the answer in this event.
    fn text<'a>(&self, event: &'a Value) -> Option<&'a str>;
    /// Advances by one event. Returns whether the event is allowed here.
    fn advance(&mut self, event: &Value) -> bool;
    /// Whether the last event has come.
    fn is_complete(&self) -> bool;
    /// The text of the complete answer, if the last event has it.
    fn complete_text(&self) -> Option<String>;
}

pub fn check<P: Protocol>(dialect: Dialect, body: &[u8]) {
    let mut consumer = Consumer { protocol: P::default(), text: String::new(), conforms: true };
    let mut answer = Answer {
        codec: dialect.codec().expect("events are passed through"),
        dialect,
        provider: P::default(),
        pending: Vec::new(),
        decoded: String::new(),
        attempt_start: 0,
        sent: String::new(),
        trimmed: String::new(),
        committed: false,
        resumed: false,
        failed: false,
    };
    for (name, data) in parse(body) {
        let flow = answer.handle(name.as_deref(), &data, &mut consumer);
        assert_eq!(consumer.text, answer.decoded, "the consumer's text differs from the decoded text");
        if flow.is_break() {
            break;
        }
    }
    if consumer.conforms && answer.resumed && consumer.protocol.is_complete() {
        let complete = consumer.protocol.complete_text().unwrap_or_else(|| consumer.text.clone());
        assert_eq!(complete, consumer.text, "the complete answer differs from its deltas");
    }
}

fn parse(body: &[u8]) -> Vec<(Option<String>, String)> {
    let mut events = Vec::new();
    let mut on_event = |event: Event<'_>| {
        events.push((event.event.map(str::to_owned), event.data.to_string()));
        ControlFlow::<()>::Continue(())
    };
    let mut parser = Parser::new(1 << 20);
    if parser.feed(body, &mut on_event).is_ok() {
        let _ = parser.finish(&mut on_event);
    }
    events
}

struct Consumer<P> {
    protocol: P,
    text: String,
    /// Every provider has conformed to the protocol so far.
    conforms: bool,
}

impl<P: Protocol> Consumer<P> {
    /// Receives a provider's event. `decoded` is its text according to the codec.
    fn receive_raw(&mut self, data: &str, decoded: &str) {
        let Ok(event) = serde_json::from_str::<Value>(data) else {
            self.conforms = false;
            self.text.push_str(decoded);
            return;
        };
        self.conforms &= self.protocol.advance(&event);
        // A text or a type may have another JSON type than a string. Then the codec decides.
        match self.protocol.text(&event) {
            Some(text) if event["type"].is_string() => self.text.push_str(text),
            _ => self.text.push_str(decoded),
        }
    }

    fn receive_synthetic(&mut self, event: &SyntheticEvent) {
        assert_eq!(event.data["type"].as_str().unwrap_or_default(), event.event);
        let received = parse(event.sse().as_bytes());
        // A name with a line break cannot be represented.
        let name = Some(event.event.clone()).filter(|name| !name.is_empty() && !name.contains(['\n', '\r']));
        assert_eq!(received, [(name, event.data.to_string())], "the event does not survive the wire");
        let is_allowed = self.protocol.advance(&event.data);
        assert!(is_allowed || !self.conforms, "the event is not allowed here: {}", event.data);
        self.text.push_str(self.protocol.text(&event.data).unwrap_or_default());
    }
}

/// Handles the events of an answer as the engine does.
struct Answer<P> {
    codec: Box<dyn EventCodec>,
    dialect: Dialect,
    /// The protocol state of the current attempt's provider.
    provider: P,
    /// Structural events, which are sent together with the content after them.
    pending: Vec<String>,
    /// The text that the codec decoded.
    decoded: String,
    /// Where the text of this attempt starts in `decoded`.
    attempt_start: usize,
    /// The text that the provider sent in this attempt.
    sent: String,
    /// The white space that was removed from the end of the text when the rest was requested.
    trimmed: String,
    committed: bool,
    resumed: bool,
    /// The attempt has ended with an error.
    failed: bool,
}

impl<P: Protocol> Answer<P> {
    fn handle(&mut self, name: Option<&str>, data: &str, consumer: &mut Consumer<P>) -> ControlFlow<()> {
        match name {
            Some("break") => return self.start_attempt(data == "trim"),
            Some("limit") if self.committed => {
                if self.codec.not_resumable().is_none() {
                    self.start_attempt(false)?;
                    for event in self.codec.end_at_token_limit() {
                        consumer.receive_synthetic(&event);
                    }
                    assert!(!consumer.conforms || consumer.protocol.is_complete(), "the answer has no end");
                }
                return ControlFlow::Break(());
            }
            _ if self.failed => return ControlFlow::Continue(()),
            _ => {}
        }
        // A complete object in the data ends its event.
        let parsed = parse(sse(name, data).as_bytes());
        assert_eq!(parsed.first().map(|(name, _)| name.as_deref()), Some(name));
        let lines: Vec<String> = parsed.into_iter().map(|(_, data)| data).collect();
        assert_eq!(lines.join("\n"), data);
        let event: Option<Value> = serde_json::from_str(data).ok();
        // The name of a conforming event is its type.
        consumer.conforms &= event.as_ref().is_some_and(|event| {
            name.is_none_or(|name| event["type"] == name) && self.provider.advance(event)
        });
        if let Some(text) = event.as_ref().and_then(|event| self.provider.text(event)) {
            self.sent.push_str(text);
        }
        if name.is_some() && !self.codec.awaits_half() {
            let decoded = self.codec.read(name, data);
            if !matches!(decoded, Ok(DecodedEvent::Unusual)) {
                return self.apply(decoded.ok(), data, consumer);
            }
        }
        for event in self.codec.normalize(name, data) {
            let decoded = self.codec.read_normal(event.name.as_deref(), &event.data).ok();
            self.apply(decoded, &event.data, consumer)?;
        }
        ControlFlow::Continue(())
    }

    /// `data` is what the consumer gets of a first attempt.
    fn apply(
        &mut self,
        decoded: Option<DecodedEvent<'_>>,
        data: &str,
        consumer: &mut Consumer<P>,
    ) -> ControlFlow<()> {
        let Some(decoded) = decoded.filter(|_| !self.failed) else {
            self.failed = true;
            return ControlFlow::Continue(());
        };
        match decoded {
            DecodedEvent::Ignored | DecodedEvent::Ping | DecodedEvent::Done => {}
            DecodedEvent::Unusual => panic!("an event was not normalized: {data}"),
            DecodedEvent::Structural if self.resumed => {}
            DecodedEvent::Structural => {
                self.pending.push(data.to_owned());
                assert!(self.pending.len() <= 64, "the pending events are not bounded");
            }
            DecodedEvent::Text(text) if self.resumed => self.append_text(&text, consumer),
            DecodedEvent::Text(text) => {
                assert!(!text.is_empty());
                self.decoded.push_str(&text);
                self.pass_through(data, &text, consumer);
            }
            DecodedEvent::Content(_) if self.resumed => {
                for event in self.codec.rewrite_last() {
                    consumer.receive_synthetic(&event);
                }
            }
            DecodedEvent::Content(_) => self.pass_through(data, "", consumer),
            DecodedEvent::Dropped(_) => assert!(self.resumed, "a first attempt drops content"),
            DecodedEvent::Finish if self.resumed => {}
            DecodedEvent::Finish => self.pass_through(data, "", consumer),
            DecodedEvent::End => {
                self.end(data, consumer);
                return ControlFlow::Break(());
            }
            DecodedEvent::Error(error) => {
                assert!(!error.message.is_empty());
                self.failed = true;
            }
        }
        ControlFlow::Continue(())
    }

    /// Text of a resumed answer.
    fn append_text(&mut self, text: &str, consumer: &mut Consumer<P>) {
        self.decoded.push_str(text);
        let same = |(a, b): &(char, char)| a == b;
        let repeated = self.sent.chars().zip(self.trimmed.chars()).take_while(same);
        let repeated: usize = repeated.map(|(c, _)| c.len_utf8()).sum();
        let is_rest = self.decoded[self.attempt_start..] == self.sent[repeated..];
        assert!(is_rest || !consumer.conforms, "white space is duplicated or lost");
        if !text.is_empty() {
            for event in self.codec.append_text(text) {
                consumer.receive_synthetic(&event);
            }
        }
    }

    /// The last event.
    fn end(&mut self, data: &str, consumer: &mut Consumer<P>) {
        if !self.resumed {
            self.pass_through(data, "", consumer);
        }
        let events = self.codec.finish();
        assert!(!events.is_empty() || !self.resumed);
        events.iter().for_each(|event| consumer.receive_synthetic(event));
        assert!(!consumer.conforms || consumer.protocol.is_complete(), "the answer has no end");
        self.codec.ending();
    }

    fn pass_through(&mut self, data: &str, decoded: &str, consumer: &mut Consumer<P>) {
        self.pending.drain(..).for_each(|event| consumer.receive_raw(&event, ""));
        consumer.receive_raw(data, decoded);
        self.committed = true;
    }

    fn start_attempt(&mut self, trims: bool) -> ControlFlow<()> {
        self.provider = P::default();
        self.pending.clear();
        self.failed = false;
        if !self.committed {
            self.codec = self.dialect.codec().expect("events are passed through");
        } else if self.codec.not_resumable().is_some() {
            return ControlFlow::Break(());
        } else {
            self.resumed = true;
            self.sent.clear();
            self.attempt_start = self.decoded.len();
            // Only in Messages may the text have to be sent without its trailing white space.
            let trims = trims && self.dialect == Dialect::Messages;
            let end = self.decoded.trim_end().len();
            self.trimmed = if trims { self.decoded[end..].to_owned() } else { String::new() };
            self.codec.resume(&self.trimmed);
            let _ = self.codec.identity();
        }
        ControlFlow::Continue(())
    }
}
