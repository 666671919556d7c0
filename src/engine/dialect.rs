//! Answers in a dialect whose events are handed on as they are: what the engine reads of them, how they
//! are handed over, and what becomes of those of a continuation.

use std::ops::ControlFlow;

use futures::StreamExt;

use super::attempt::{Attempt, End};
use super::clock::{self, timeout_at};
use super::delivery::{Delivery, MAX_HELD_CHUNKS, Step, contradiction};
use crate::config::defaults as d;
use crate::error::{Error, Kind, Phase, Result, cut};
use crate::session::prompts::Style;
use crate::transport::Body;
use crate::wire::dialect::{self, DecodedEvent, Dialect, Ending, SyntheticEvent};
use crate::wire::sse;

/// The form in which the rest of an answer is asked for first, and those that stand in for it where it is
/// refused: Anthropic's conversations have no system messages.
pub(super) fn styles(dialect: Dialect, asked: Style) -> (Style, &'static [Style]) {
    match (dialect, asked) {
        (Dialect::Messages, Style::System) => (Style::Dialog, &[]),
        (Dialect::Messages, Style::Dialog) => (asked, &[]),
        (Dialect::Messages, _) => (asked, &[Style::Dialog]),
        _ => (asked, asked.fallbacks()),
    }
}

/// The error of a stream that has ended without the event that ends an answer.
pub(super) fn truncated(terminal: &str) -> Error {
    Error::new(Kind::Truncated, format!("the stream ended without {terminal}: the answer is cut off"))
}

impl Attempt<'_> {
    /// Takes in one event of a dialect that is passed on.
    pub(super) fn on_passed_event(&mut self, event: &sse::Event<'_>) -> ControlFlow<End> {
        let Delivery { events: Some(events), journal, progress, .. } = &mut self.delivery else {
            return ControlFlow::Continue(());
        };
        // After the last event nothing is an error any more.
        if journal.is_complete() {
            return ControlFlow::Break(End::Done);
        }
        let said = match events.read(event.event, &event.data) {
            Ok(DecodedEvent::Error(mut error)) => {
                error.request_id = progress.request_id.clone();
                return ControlFlow::Break(End::Failed(error));
            }
            Ok(said) => said,
            // Half an event at the end of the body is a truncation, which `ended` tells.
            Err(_) if event.at_end || self.settings.skip_malformed => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(End::Failed(error)),
        };
        if let Err(end) = self.delivery.event(&said, event) {
            return ControlFlow::Break(end);
        }
        if self.peeks && self.delivery.progress.first_token.is_some() {
            return ControlFlow::Break(End::FirstToken);
        }
        let (DecodedEvent::Text(text) | DecodedEvent::Content(text) | DecodedEvent::Dropped(text)) = &said
        else {
            return ControlFlow::Continue(());
        };
        // After it was handed over: it is paid for.
        match self.delivery.progress.bill.count_text(text) {
            Err(error) => ControlFlow::Break(End::Failed(error)),
            Ok(()) => ControlFlow::Continue(()),
        }
    }

    /// Reads an answer in one piece, and hands it over as it is.
    pub(super) async fn read_whole(&mut self, dialect: Dialect, mut body: Body) -> Result<()> {
        let idle = self.settings.idle_timeout;
        let mut read = Vec::new();
        loop {
            let Ok(bytes) = timeout_at(clock::instant() + idle, body.next()).await else {
                return Err(Error::timeout(Phase::Idle, idle));
            };
            let Some(bytes) = bytes.transpose()? else { break };
            if read.len() + bytes.len() > d::MAX_WHOLE {
                let message = format!("the answer is longer than {} bytes", d::MAX_WHOLE);
                return Err(Error::new(Kind::TooLarge, message));
            }
            read.extend_from_slice(&bytes);
        }
        let parsed =
            std::str::from_utf8(&read).ok().and_then(|text| Some((text, serde_json::from_str(text).ok()?)));
        let Some((text, value)): Option<(&str, serde_json::Value)> = parsed else {
            let mut error = Error::new(Kind::Malformed, "the answer is no valid JSON");
            error.body = Some(cut(&String::from_utf8_lossy(&read), 200).to_owned());
            return Err(error);
        };
        let request_id = self.delivery.progress.request_id.clone();
        let ending = dialect.read_whole(&value).map_err(|mut error| {
            error.request_id = request_id;
            error
        })?;
        self.delivery.begin_token();
        let identity = &mut self.delivery.journal.identity;
        identity.id = value["id"].as_str().map(str::to_owned);
        identity.model = value["model"].as_str().map(str::to_owned);
        self.delivery.hand_over(text);
        self.delivery.end(ending);
        self.finished()
    }
}

impl Delivery<'_> {
    /// Takes in what one event says. `given` is the event itself.
    fn event(&mut self, said: &DecodedEvent<'_>, given: &sse::Event<'_>) -> Step {
        self.collect(&given.data, |delivery| delivery.take_in_event(said, given))
    }

    fn take_in_event(&mut self, said: &DecodedEvent<'_>, given: &sse::Event<'_>) -> Step {
        let raw = || dialect::sse(given.event, &given.data);
        match said {
            DecodedEvent::Ignored => {}
            DecodedEvent::Ping => {
                // Not before what is held; and too many of them are nothing that is missed.
                match self.held.len() {
                    0 if *self.committed => self.hand_over(&raw()),
                    1..MAX_HELD_CHUNKS => self.held.push(raw()),
                    _ => {}
                }
            }
            DecodedEvent::Structural => {
                if !self.continues {
                    self.held.push(raw());
                }
                self.journal.usage = self.ending().usage;
            }
            DecodedEvent::Text(text) => {
                self.begin_token();
                if self.continues {
                    let new = match &mut self.splice {
                        Some(splice) => splice.push(text, clock::now()).map_err(|e| contradiction(&e))?,
                        None => text.as_ref().into(),
                    };
                    return self.new_text(0, &new, false);
                }
                self.new_text(0, text, true)?;
                self.release();
                self.hand_over(&raw());
            }
            DecodedEvent::Content(_) => {
                self.begin_token();
                if self.continues {
                    return self.pass();
                }
                self.release();
                self.hand_over(&raw());
            }
            DecodedEvent::Dropped(_) => self.begin_token(),
            DecodedEvent::End => {
                if self.continues {
                    self.pass()?;
                } else {
                    self.release();
                    self.hand_over(&raw());
                    let rest = self.events.as_mut().map(|events| events.epilogue());
                    self.hand_over_all(rest);
                }
                let ending = self.ending();
                self.end(ending);
            }
            DecodedEvent::Error(error) => return Err(End::Failed(error.clone())),
        }
        Ok(())
    }

    fn ending(&self) -> Ending {
        self.events.as_ref().map(|events| events.ending()).unwrap_or_default()
    }

    /// The answer is whole.
    fn end(&mut self, ending: Ending) {
        self.identify_events();
        self.journal.usage = ending.usage;
        if let Some(choice) = self.journal.choice(0) {
            choice.finish_reason = Some(ending.reason);
        }
    }

    fn identify_events(&mut self) {
        let Some(events) = &self.events else { return };
        let (id, model) = events.identity();
        let identity = &mut self.journal.identity;
        for (place, given) in [(&mut identity.id, id), (&mut identity.model, model)] {
            if place.is_none() {
                *place = given.map(str::to_owned);
            }
        }
    }

    /// The first token, if it is the first.
    fn begin_token(&mut self) {
        if self.progress.first_token.is_none() {
            self.progress.first_token = Some(clock::instant());
            self.identify_events();
            self.live.update(|live| live.answer.identity.clone_from(&self.journal.identity));
            (self.on_first_token)();
        }
    }

    /// Hands over what the last event becomes behind text that was sent before.
    fn pass(&mut self) -> Step {
        self.end_text()?;
        let made = self.events.as_mut().map(|events| events.rewrite_last());
        self.hand_over_all(made);
        Ok(())
    }

    /// Text of a continuation, as an event.
    pub(super) fn hand_over_text(&mut self, text: &str) {
        let made = self.events.as_mut().map(|events| events.append_text(text));
        self.hand_over_all(made);
    }

    fn hand_over_all(&mut self, made: Option<Vec<SyntheticEvent>>) {
        made.iter().flatten().for_each(|event| self.hand_over(&event.sse()));
    }
}
