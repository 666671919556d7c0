//! A dialect whose events are passed on, over several attempts. The consumer gets the text that the reader found, each
//! event that is made here survives the wire, and where the provider kept to its protocol the consumer sees it kept.
//!
//! Input: a body of `text/event-stream`. The event `break` ends an attempt and begins the next, which goes on with the
//! answer (`data: trim`: without the white space at the text's end). The event `limit` ends the answer as too long.

use std::ops::ControlFlow;

use holysheep::wire::dialect::{Dialect, Events, Made, Said, sse};
use holysheep::wire::sse::{Event, Parser};
use serde_json::Value;

/// The protocol, as a consumer knows it.
pub trait Shape: Default {
    /// The text of the answer that this event brings.
    fn text<'a>(&self, event: &'a Value) -> Option<&'a str>;
    /// Takes in an event: whether it may come here.
    fn takes(&mut self, event: &Value) -> bool;
    /// The last event has come.
    fn is_whole(&self) -> bool;
    /// The text of the whole answer, where the last event has it.
    fn whole_text(&self) -> Option<String>;
}

pub fn check<S: Shape>(dialect: Dialect, body: &[u8]) {
    let mut consumer = Consumer { shape: S::default(), text: String::new(), keeps: true };
    let mut answer = Answer {
        reader: dialect.events().expect("events are passed on"),
        dialect,
        attempt: S::default(),
        held: Vec::new(),
        found: String::new(),
        begun_at: 0,
        sent: String::new(),
        trimmed: String::new(),
        committed: false,
        continues: false,
        failed: false,
    };
    for (name, data) in parse(body) {
        let flow = answer.takes(name.as_deref(), &data, &mut consumer);
        assert_eq!(consumer.text, answer.found, "the consumer has another text than was read");
        if flow.is_break() {
            break;
        }
    }
    if consumer.keeps && answer.continues && consumer.shape.is_whole() {
        let whole = consumer.shape.whole_text().unwrap_or_else(|| consumer.text.clone());
        assert_eq!(whole, consumer.text, "the whole answer is not what came in deltas");
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

struct Consumer<S> {
    shape: S,
    text: String,
    /// Every provider has kept to the protocol so far.
    keeps: bool,
}

impl<S: Shape> Consumer<S> {
    /// An event of the provider's. `found`: what the reader takes for its text.
    fn passed(&mut self, data: &str, found: &str) {
        let Ok(event) = serde_json::from_str::<Value>(data) else {
            self.keeps = false;
            self.text.push_str(found);
            return;
        };
        self.keeps &= self.shape.takes(&event);
        // A text or a type can be spelled in other ways than as a string: then the reader's word counts.
        match self.shape.text(&event) {
            Some(text) if event["type"].is_string() => self.text.push_str(text),
            _ => self.text.push_str(found),
        }
    }

    /// An event that was made here.
    fn made(&mut self, made: &Made) {
        assert_eq!(made.data["type"].as_str().unwrap_or_default(), made.event);
        let sent = parse(made.sse().as_bytes());
        // No line can hold such a name.
        let name = Some(made.event.clone()).filter(|name| !name.is_empty() && !name.contains(['\n', '\r']));
        assert_eq!(sent, [(name, made.data.to_string())], "the event does not survive the wire");
        let fits = self.shape.takes(&made.data);
        assert!(fits || !self.keeps, "this may not come here: {}", made.data);
        self.text.push_str(self.shape.text(&made.data).unwrap_or_default());
    }
}

/// What the engine does with the events of an answer.
struct Answer<S> {
    reader: Box<dyn Events>,
    dialect: Dialect,
    /// What the provider sends.
    attempt: S,
    /// Frames go out with what comes after them.
    held: Vec<String>,
    /// The text that the reader found.
    found: String,
    /// Where that of this attempt begins, and what the provider sent for it.
    begun_at: usize,
    sent: String,
    /// The white space that was left out when the rest was asked for.
    trimmed: String,
    committed: bool,
    continues: bool,
    /// The attempt is over.
    failed: bool,
}

impl<S: Shape> Answer<S> {
    fn takes(&mut self, name: Option<&str>, data: &str, consumer: &mut Consumer<S>) -> ControlFlow<()> {
        match name {
            Some("break") => return self.begin_again(data == "trim"),
            Some("limit") if self.committed => {
                if self.reader.hindrance().is_none() {
                    self.begin_again(false)?;
                    for made in self.reader.cut_short() {
                        consumer.made(&made);
                    }
                    assert!(!consumer.keeps || consumer.shape.is_whole(), "the answer has no end");
                }
                return ControlFlow::Break(());
            }
            _ if self.failed => return ControlFlow::Continue(()),
            _ => {}
        }
        // As it goes over the wire.
        assert_eq!(parse(sse(name, data).as_bytes()), [(name.map(str::to_owned), data.to_owned())]);
        let event: Option<Value> = serde_json::from_str(data).ok();
        consumer.keeps &= event.as_ref().is_some_and(|event| self.attempt.takes(event));
        if let Some(text) = event.as_ref().and_then(|event| self.attempt.text(event)) {
            self.sent.push_str(text);
        }
        let Ok(said) = self.reader.read(name, data) else {
            self.failed = true;
            return ControlFlow::Continue(());
        };
        match said {
            Said::Nothing | Said::Ping => {}
            Said::Frame if self.continues => {}
            Said::Frame => {
                self.held.push(data.to_owned());
                assert!(self.held.len() <= 64, "frames without end");
            }
            Said::Text(text) if self.continues => {
                self.found.push_str(&text);
                let same = |(a, b): &(char, char)| a == b;
                let again = self.sent.chars().zip(self.trimmed.chars()).take_while(same);
                let again: usize = again.map(|(c, _)| c.len_utf8()).sum();
                let is_new = self.found[self.begun_at..] == self.sent[again..];
                assert!(is_new || !consumer.keeps, "white space is doubled or lost");
                if !text.is_empty() {
                    for made in self.reader.text(&text) {
                        consumer.made(&made);
                    }
                }
            }
            Said::Text(text) => {
                assert!(!text.is_empty());
                self.found.push_str(&text);
                self.hand_over(data, &text, consumer);
            }
            Said::Other(_) if self.continues => {
                for made in self.reader.passed() {
                    consumer.made(&made);
                }
            }
            Said::Other(_) => self.hand_over(data, "", consumer),
            Said::Dropped(_) => assert!(self.continues, "something is left out of a first attempt"),
            Said::End => {
                if self.continues {
                    let made = self.reader.passed();
                    assert!(!made.is_empty());
                    made.iter().for_each(|made| consumer.made(made));
                } else {
                    self.hand_over(data, "", consumer);
                    let rest = self.reader.epilogue();
                    rest.iter().for_each(|made| consumer.made(made));
                }
                assert!(!consumer.keeps || consumer.shape.is_whole(), "the answer has no end");
                self.reader.ending();
                return ControlFlow::Break(());
            }
            Said::Failed(error) => {
                assert!(!error.message.is_empty());
                self.failed = true;
            }
        }
        ControlFlow::Continue(())
    }

    fn hand_over(&mut self, data: &str, found: &str, consumer: &mut Consumer<S>) {
        self.held.drain(..).for_each(|frame| consumer.passed(&frame, ""));
        consumer.passed(data, found);
        self.committed = true;
    }

    fn begin_again(&mut self, trims: bool) -> ControlFlow<()> {
        self.attempt = S::default();
        self.held.clear();
        self.failed = false;
        if !self.committed {
            self.reader = self.dialect.events().expect("events are passed on");
        } else if self.reader.hindrance().is_some() {
            return ControlFlow::Break(());
        } else {
            self.continues = true;
            self.sent.clear();
            self.begun_at = self.found.len();
            // Only a message can end so that its rest has to be asked for without its last white space.
            let trims = trims && self.dialect == Dialect::Messages;
            self.trimmed =
                if trims { self.found[self.found.trim_end().len()..].to_owned() } else { String::new() };
            self.reader.begin_again(&self.trimmed);
            let _ = self.reader.identity();
        }
        ControlFlow::Continue(())
    }
}
