//! A stream of events that are known in advance, as steps: with waits and cuts.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use serde_json::Value;

use super::bodies;
use super::dialect::{Dialect, Event};
use super::scenario::{Disconnect, DisconnectHow, PingStyle, Scenario};
use super::step::{Ending, Step};
use super::validate;
use super::wire_format::{Format, LineEnd};

pub(super) struct EventStream {
    /// `None` for chat completions.
    dialect: Option<Dialect>,
    format: Format,
    scenario: Arc<Scenario>,
    events: VecDeque<Event>,
    total: u64,
    /// The numbers of deltas, events and bytes that were sent.
    deltas: u64,
    count: usize,
    bytes: u64,
    waited: bool,
    over: Option<(Ending, bool)>,
}

impl EventStream {
    /// The exact events of a scenario.
    pub(super) fn of_scenario(
        dialect: Option<Dialect>,
        format: Format,
        scenario: Arc<Scenario>,
        events: &[Value],
    ) -> Self {
        let event = |data: &Value| Event {
            name: dialect.and_then(|_| data["type"].as_str().map(|name| name.to_owned().into())),
            data: data.clone(),
            is_delta: true,
        };
        let mut events: Vec<Event> = events.iter().map(event).collect();
        let has_done = dialect.is_none() && format == Format::Sse && scenario.done.unwrap_or(true);
        if has_done {
            events.push(Event { name: None, data: "[DONE]".into(), is_delta: false });
        }
        Self::new(dialect, format, scenario, events)
    }

    pub(super) fn new(
        dialect: Option<Dialect>,
        format: Format,
        scenario: Arc<Scenario>,
        events: Vec<Event>,
    ) -> Self {
        let total = events.iter().filter(|event| event.is_delta).count() as u64;
        let events = VecDeque::from(events);
        Self {
            dialect,
            format,
            scenario,
            events,
            total,
            deltas: 0,
            count: 0,
            bytes: 0,
            waited: false,
            over: None,
        }
    }

    fn cut(&self) -> Option<&Disconnect> {
        self.scenario.disconnect.as_ref()
    }

    /// Whether the answer must be cut before its next event.
    fn is_due(&self, next: Option<&Event>) -> bool {
        let Some(cut) = self.cut() else { return false };
        if cut.after_bytes.is_some_and(|bytes| self.bytes >= bytes) {
            return true;
        }
        match (cut.after_chunks, cut.after_bytes) {
            _ if cut.after_finish => next.is_none_or(|event| event.data == "[DONE]"),
            (None, None) | (Some(0), _) => next.is_none_or(|event| event.is_delta),
            (Some(deltas), _) => self.deltas >= deltas.min(self.total),
            (None, Some(_)) => next.is_none(),
        }
    }

    pub(super) fn step(&mut self, out: &mut BytesMut) -> Step {
        if let Some((ending, cut)) = self.over {
            return Step::End { ending, cut };
        }
        if self.is_due(self.events.front()) {
            let ending = self.end(out);
            self.over = Some((ending, true));
            return Step::More;
        }
        if self.events.front().is_some_and(|event| event.is_delta) && !self.waited {
            self.waited = true;
            return match self.scenario.first_token_delay_ms {
                0 => Step::More,
                ms => Step::Wait(validate::bounded_wait(ms)),
            };
        }
        let Some(event) = self.events.pop_front() else {
            self.over = Some((Ending::Clean, false));
            return Step::More;
        };
        let before = out.len();
        self.write(&event, out);
        let grown = (out.len() - before) as u64;
        if let Some(limit) = self.cut().filter(|cut| cut.how.is_raw()).and_then(|cut| cut.after_bytes)
            && self.bytes + grown > limit
        {
            out.truncate(before + limit.saturating_sub(self.bytes) as usize);
        }
        self.bytes += grown;
        self.count += 1;
        self.deltas += u64::from(event.is_delta);
        let paced = event.is_delta && self.deltas < self.total && !self.is_due(self.events.front());
        match self.scenario.chunk_delay_ms {
            ms if paced && ms > 0 => Step::Pace(validate::bounded_wait(ms)),
            _ => Step::More,
        }
    }

    pub(super) fn ping(&mut self, style: PingStyle, out: &mut BytesMut) {
        match style {
            _ if self.format == Format::Ndjson => self.lines("\n", out),
            PingStyle::Comment => self.lines(": ping\n\n", out),
            PingStyle::Event => self.lines("event: ping\ndata: {\"type\": \"ping\"}\n\n", out),
        }
    }

    fn write(&self, event: &Event, out: &mut BytesMut) {
        let data = match &event.data {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            data => Cow::Owned(data.to_string()),
        };
        if self.format == Format::Ndjson {
            return self.lines(&format!("{data}\n"), out);
        }
        let name = event.name.as_deref().map(|name| format!("event: {name}\n")).unwrap_or_default();
        let end = if self.scenario.blank_lines.unwrap_or(true) { "\n\n" } else { "\n" };
        self.lines(&format!("{name}data: {}{end}", data.replace('\n', "\ndata: ")), out);
    }

    fn lines(&self, text: &str, out: &mut BytesMut) {
        match self.scenario.line_end {
            LineEnd::Lf => out.extend_from_slice(text.as_bytes()),
            LineEnd::Crlf => out.extend_from_slice(text.replace('\n', "\r\n").as_bytes()),
            LineEnd::Cr => out.extend_from_slice(text.replace('\n', "\r").as_bytes()),
        }
    }

    fn end(&self, out: &mut BytesMut) -> Ending {
        let Some(Disconnect { how, error, .. }) = self.cut() else { return Ending::Clean };
        match how {
            DisconnectHow::Reset => return Ending::Reset,
            DisconnectHow::Close => return Ending::Close,
            DisconnectHow::Stall => return Ending::Stall,
            DisconnectHow::NoFinish => {}
            DisconnectHow::Done => self.lines("data: [DONE]\n\n", out),
            DisconnectHow::Malformed => self.lines("data: {\"type\":\"\n\n", out),
            DisconnectHow::ErrorEvent | DisconnectHow::ErrorEventNamed => {
                let named = *how == DisconnectHow::ErrorEventNamed;
                let event = match self.dialect {
                    Some(dialect) => dialect.error_event(error.as_ref(), named, self.count),
                    None => Event {
                        name: named.then_some("error".into()),
                        data: bodies::error_event(error.as_ref()),
                        is_delta: false,
                    },
                };
                self.write(&event, out);
            }
        }
        Ending::Clean
    }
}
