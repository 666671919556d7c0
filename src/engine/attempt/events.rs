//! Events of a passed-through dialect: each is read, and delivered unchanged or rebuilt to follow text that was
//! delivered before.

use std::ops::ControlFlow;

use super::deliver::{Delivery, Flow, MAX_HELD_CHUNKS, ReadEnd};
use crate::engine::admission::CostReservation;
use crate::wire::dialect::{self, DecodedEvent, Ending, SyntheticEvent};
use crate::wire::sse;

impl Delivery<'_> {
    /// Accepts one event, and counts its cost. `skip_malformed`: an event that cannot be read is skipped.
    pub(super) fn accept_event(
        &mut self,
        sse_event: &sse::Event<'_>,
        skip_malformed: bool,
        cost: &mut CostReservation,
    ) -> ControlFlow<ReadEnd> {
        // After the last event nothing is an error.
        if self.transcript.journal.is_complete() {
            return ControlFlow::Break(ReadEnd::Done);
        }
        let Some(events) = &mut self.transcript.events else { return ControlFlow::Continue(()) };
        let event = match events.read(sse_event.event, &sse_event.data) {
            Ok(DecodedEvent::Error(mut error)) => {
                error.request_id = self.progress.request_id.clone();
                return ControlFlow::Break(ReadEnd::Failed(error));
            }
            Ok(event) => event,
            // A partial event at the end of the body is a truncation, which the end of the body reports.
            Err(_) if sse_event.at_end || skip_malformed => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(ReadEnd::Failed(error)),
        };
        if let Err(end) = self.batch(&sse_event.data, |delivery| delivery.apply_event(&event, sse_event)) {
            return ControlFlow::Break(end);
        }
        let (DecodedEvent::Text(text) | DecodedEvent::Content(text) | DecodedEvent::Dropped(text)) = &event
        else {
            return ControlFlow::Continue(());
        };
        // After the delivery, because it is billed either way.
        match cost.count_text(text) {
            Err(error) => ControlFlow::Break(ReadEnd::Failed(error)),
            Ok(()) => ControlFlow::Continue(()),
        }
    }

    fn apply_event(&mut self, event: &DecodedEvent<'_>, sse_event: &sse::Event<'_>) -> Flow {
        let raw = || dialect::sse(sse_event.event, &sse_event.data);
        match event {
            DecodedEvent::Ignored => {}
            DecodedEvent::Ping => {
                // Never ahead of held events. If too many are held, a ping can be dropped.
                match self.held_chunks.len() {
                    0 if self.transcript.committed => self.deliver(&raw()),
                    1..MAX_HELD_CHUNKS => self.held_chunks.push(raw()),
                    _ => {}
                }
            }
            DecodedEvent::Structural => {
                if !self.continuation.is_active {
                    self.held_chunks.push(raw());
                }
                self.transcript.journal.usage = self.ending().usage;
            }
            DecodedEvent::Text(text) => {
                self.begin_answer();
                if self.continuation.is_active {
                    return self.received_text(0, text, false);
                }
                self.received_text(0, text, true)?;
                self.release_held_chunks();
                self.deliver(&raw());
            }
            DecodedEvent::Content(_) => {
                self.begin_answer();
                if self.continuation.is_active {
                    return self.pass_rebuilt();
                }
                self.release_held_chunks();
                self.deliver(&raw());
            }
            DecodedEvent::Dropped(_) => self.begin_answer(),
            DecodedEvent::End => {
                if self.continuation.is_active {
                    self.pass_rebuilt()?;
                } else {
                    self.release_held_chunks();
                    self.deliver(&raw());
                    let rest = self.transcript.events.as_mut().map(|events| events.epilogue());
                    self.deliver_events(rest);
                }
                let ending = self.ending();
                self.finish_events(ending);
            }
            DecodedEvent::Error(error) => return Err(ReadEnd::Failed(error.clone())),
        }
        Ok(())
    }

    fn ending(&self) -> Ending {
        self.transcript.events.as_ref().map(|events| events.ending()).unwrap_or_default()
    }

    /// The last event has been read.
    pub(super) fn finish_events(&mut self, ending: Ending) {
        self.identify_events();
        let journal = &mut self.transcript.journal;
        journal.usage = ending.usage;
        if let Some(choice) = journal.choice(0) {
            choice.finish_reason = Some(ending.reason);
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
        for (known, given) in [(&mut identity.id, id), (&mut identity.model, model)] {
            if known.is_none() {
                *known = given.map(str::to_owned);
            }
        }
    }

    /// Delivers the last event, rebuilt to follow text that was delivered before.
    fn pass_rebuilt(&mut self) -> Flow {
        self.finish_text()?;
        let events = self.transcript.events.as_mut().map(|events| events.rewrite_last());
        self.deliver_events(events);
        Ok(())
    }

    fn deliver_events(&mut self, events: Option<Vec<SyntheticEvent>>) {
        events.iter().flatten().for_each(|event| self.deliver(&event.sse()));
    }
}
