//! Events of a passed-through dialect: each is read, and delivered unchanged or rebuilt to follow text that was
//! delivered before.

use std::ops::ControlFlow;

use super::completion::is_natural;
use super::deliver::{Delivery, Flow, MAX_HELD_CHUNKS, ReadEnd};
use crate::engine::admission::CostReservation;
use crate::engine::shared::redaction::label;
use crate::engine::shared::sink::DeliveryMode;
use crate::error::{Error, Kind, Result};
use crate::session::journal::MAX_LABEL;
use crate::wire::chat::MAX_REASON;
use crate::wire::dialect::{self, Admission, DecodedEvent, Ending, NormalEvent, SyntheticEvent};
use crate::wire::{json, sse};

impl Delivery<'_> {
    /// Accepts one event, and counts its cost. `skip_malformed`: an event that cannot be read is skipped.
    pub(super) fn accept_event(
        &mut self,
        event: &sse::Event<'_>,
        skip_malformed: bool,
        cost: &mut CostReservation,
    ) -> ControlFlow<ReadEnd> {
        // Its value is read, and some of it is kept.
        if !json::fits(&event.data, self.transcript.max_size()) {
            return ControlFlow::Break(self.too_large());
        }
        let Some(events) = &mut self.transcript.events else { return ControlFlow::Continue(()) };
        match events.admit(&event.data) {
            Admission::New => {}
            Admission::Repeated => return ControlFlow::Continue(()),
            Admission::Missing(first, last) => {
                let message = format!("events {first} to {last} of the stream are missing");
                return ControlFlow::Break(ReadEnd::Failed(Error::new(Kind::Truncated, message)));
            }
        }
        let is_skipped = event.at_end || skip_malformed;
        let mut is_usual = event.event.is_some() && !events.awaits_half();
        if is_usual {
            let decoded = events.read(event.event, &event.data);
            is_usual = !matches!(decoded, Ok(DecodedEvent::Unusual));
            if is_usual {
                return self.accept_decoded(decoded, event.event, &event.data, is_skipped, cost);
            }
        }
        for normal in events.normalize(event.event, &event.data) {
            let Some(events) = &mut self.transcript.events else { break };
            let NormalEvent { name, data } = &normal;
            let decoded = events.read_normal(name.as_deref(), data);
            self.accept_decoded(decoded, name.as_deref(), data, is_skipped, cost)?;
        }
        ControlFlow::Continue(())
    }

    /// `name` and `data` are those of the event as the consumer gets it.
    fn accept_decoded(
        &mut self,
        decoded: Result<DecodedEvent<'_>>,
        name: Option<&str>,
        data: &str,
        is_skipped: bool,
        cost: &mut CostReservation,
    ) -> ControlFlow<ReadEnd> {
        let event = match decoded {
            Ok(DecodedEvent::Error(mut error)) => {
                error.request_id = self.progress.request_id.clone();
                return ControlFlow::Break(ReadEnd::Failed(error));
            }
            Ok(event) => event,
            // A partial event at the end of the body is a truncation, which the end of the body reports. After the stop
            // reason only an event of the dialect is part of the answer.
            Err(_) if is_skipped || self.transcript.journal.is_complete() => {
                return ControlFlow::Continue(());
            }
            Err(error) => return ControlFlow::Break(ReadEnd::Failed(error)),
        };
        self.accepted += u64::from(!matches!(event, DecodedEvent::Ping | DecodedEvent::Ignored));
        if let Err(end) = self.batch(data, |delivery| delivery.apply_event(&event, name, data)) {
            return ControlFlow::Break(end);
        }
        let (DecodedEvent::Text(text) | DecodedEvent::Content(text) | DecodedEvent::Dropped(text)) = &event
        else {
            return ControlFlow::Continue(());
        };
        self.count_tokens([&**text]);
        // After the delivery, because it is billed either way.
        match cost.count_text(text) {
            Err(error) => ControlFlow::Break(ReadEnd::Failed(error)),
            Ok(()) => ControlFlow::Continue(()),
        }
    }

    fn apply_event(&mut self, event: &DecodedEvent<'_>, name: Option<&str>, data: &str) -> Flow {
        let raw = || dialect::sse(name, data);
        match event {
            DecodedEvent::Ignored | DecodedEvent::Unusual => {}
            DecodedEvent::Ping => {
                // Never ahead of held events. If too many are held, a ping can be dropped.
                match self.held_chunks.len() {
                    0 if self.transcript.committed => self.deliver_raw(&raw()),
                    1..MAX_HELD_CHUNKS => self.held_chunks.push(raw()),
                    _ => {}
                }
            }
            DecodedEvent::Structural => {
                if !self.continuation.is_active && self.consumer.mode == DeliveryMode::Chunks {
                    self.held_chunks.push(raw());
                }
                self.set_usage(self.ending().usage);
            }
            DecodedEvent::Text(text) => {
                self.begin_answer();
                if self.continuation.is_active {
                    return self.received_text(0, text, false);
                }
                self.received_text(0, text, true)?;
                self.release_held_chunks();
                self.deliver_raw(&raw());
            }
            DecodedEvent::Content(_) => {
                self.begin_answer();
                if self.continuation.is_active {
                    return self.pass_rebuilt();
                }
                self.release_held_chunks();
                self.deliver_raw(&raw());
            }
            DecodedEvent::Dropped(_) => self.begin_answer(),
            DecodedEvent::Finish | DecodedEvent::End => {
                let ending = self.ending();
                // A resumed answer has its last events when it is settled.
                if !self.continuation.is_active {
                    self.release_held_chunks();
                    self.deliver_raw(&raw());
                }
                self.finish_events(ending);
                if matches!(event, DecodedEvent::End) {
                    return Err(ReadEnd::Done);
                }
            }
            DecodedEvent::Done if self.transcript.journal.is_complete() => return Err(ReadEnd::Done),
            DecodedEvent::Done => {}
            DecodedEvent::Error(error) => return Err(ReadEnd::Failed(error.clone())),
        }
        Ok(())
    }

    /// Delivers an event to a consumer that reads events.
    fn deliver_raw(&mut self, event: &str) {
        if self.consumer.mode == DeliveryMode::Chunks {
            self.deliver(event);
        }
    }

    fn ending(&self) -> Ending {
        self.transcript.events.as_ref().map(|events| events.ending()).unwrap_or_default()
    }

    /// Delivers the last events of an answer that is complete.
    pub(super) fn complete_events(&mut self) -> Flow {
        if self.continuation.is_active {
            self.finish_text(!is_natural(Some(&self.ending().reason)))?;
        }
        self.release_held_chunks();
        let events = self.transcript.events.as_mut().map(|events| events.finish());
        self.deliver_events(events);
        Ok(())
    }

    /// The answer has a stop reason.
    pub(super) fn finish_events(&mut self, ending: Ending) {
        self.identify_events();
        self.set_usage(ending.usage);
        if let Some(choice) = self.transcript.journal.choice(0) {
            choice.finish_reason = Some(label(&ending.reason, MAX_REASON, self.consumer.redactor));
        }
    }

    /// Part of the answer has arrived.
    pub(super) fn begin_answer(&mut self) {
        if self.progress.first_token.is_none() {
            self.identify_events();
        }
        self.mark_first_token();
    }

    fn identify_events(&mut self) {
        let Some(events) = &self.transcript.events else { return };
        let (id, model) = events.identity();
        let identity = &mut self.transcript.journal.identity;
        for (known, received) in [(&mut identity.id, id), (&mut identity.model, model)] {
            if known.is_none() {
                *known = received.map(|text| label(text, MAX_LABEL, self.consumer.redactor));
            }
        }
    }

    /// Delivers an event, rebuilt to follow text that was delivered before.
    fn pass_rebuilt(&mut self) -> Flow {
        self.finish_text(!is_natural(Some(&self.ending().reason)))?;
        let events = self.transcript.events.as_mut().map(|events| events.rewrite_last());
        self.deliver_events(events);
        Ok(())
    }

    fn deliver_events(&mut self, events: Option<Vec<SyntheticEvent>>) {
        events.iter().flatten().for_each(|event| self.deliver_raw(&event.sse()));
    }
}
