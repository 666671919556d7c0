//! A stream of chat completions as steps: bytes, waits and an end, independent of the protocol.

use std::sync::Arc;

use bytes::BytesMut;
use serde_json::{Value, json};

use super::content::{Content, Identity};
use super::json::{escape, number};
use super::scenario::{DisconnectHow, LineEnd, PingStyle, Scenario};
use super::step::{Ending, Step};
use super::validate;

pub(super) struct ChatStream {
    scenario: Arc<Scenario>,
    content: Content,
    choices: u64,
    total: u64,
    /// The error event of a cut, or empty.
    error: String,
    usage: Option<String>,
    eol: &'static [u8],
    /// The start of a chunk, up to the inside of `choices`.
    open: Vec<u8>,
    /// The end of a choice without a finish reason, and of its chunk.
    unfinished: Vec<u8>,
    /// The end of a chunk, after its choices.
    close: Vec<u8>,
    phase: Phase,
    at: u64,
    sent: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Role(u64),
    FirstWait,
    Deltas,
    Finish(u64),
    UsageWait,
    Usage,
    Done,
    End,
    Cut,
    Over(Ending, bool),
}

impl ChatStream {
    pub(super) fn new(
        scenario: Arc<Scenario>,
        content: Content,
        choices: u64,
        identity: &Identity<'_>,
        usage: Option<String>,
        usage_field: bool,
    ) -> Self {
        let eol: &'static [u8] = match scenario.line_end {
            LineEnd::Lf => b"\n",
            LineEnd::Crlf => b"\r\n",
            LineEnd::Cr => b"\r",
        };
        let mut open = BytesMut::with_capacity(192);
        open.extend_from_slice(b"data: {\"id\":\"");
        escape(identity.id, &mut open);
        open.extend_from_slice(b"\",\"object\":\"chat.completion.chunk\",\"created\":");
        number(identity.created, &mut open);
        open.extend_from_slice(b",\"model\":\"");
        escape(identity.model, &mut open);
        open.extend_from_slice(b"\",\"system_fingerprint\":\"fp_simulator\",\"choices\":[");
        let mut close = if usage_field { b"],\"usage\":null}".to_vec() } else { b"]}".to_vec() };
        close.extend_from_slice(eol);
        close.extend_from_slice(eol);
        let unfinished = [b",\"logprobs\":null,\"finish_reason\":null}".as_slice(), &close].concat();
        let error = scenario.disconnect.as_ref().map(|cut| {
            let error = cut.error.clone().unwrap_or_else(|| {
                json!({"message": "The server had an error while processing your request. Sorry about that!",
                    "type": "server_error", "param": null, "code": "server_error"})
            });
            Value::Object(serde_json::Map::from_iter([("error".to_owned(), error)])).to_string()
        });
        Self {
            total: content.delta_count() * choices,
            phase: if scenario.role_first.unwrap_or(true) { Phase::Role(0) } else { Phase::FirstWait },
            open: open.to_vec(),
            error: error.unwrap_or_default(),
            scenario,
            content,
            choices,
            usage,
            eol,
            unfinished,
            close,
            at: 0,
            sent: 0,
        }
    }

    pub(super) fn step(&mut self, out: &mut BytesMut) -> Step {
        let before = out.len();
        if self.limit() == Some(0) && self.sent == 0 && !matches!(self.phase, Phase::Cut | Phase::Over(..)) {
            self.phase = Phase::Cut;
        }
        let step = self.advance(out);
        if self.count_written(before, out) { Step::More } else { step }
    }

    /// Writes a ping, unless the answer has reached its number of bytes.
    pub(super) fn ping(&mut self, style: PingStyle, out: &mut BytesMut) {
        let before = out.len();
        if self.limit().is_some_and(|limit| self.sent >= limit) {
            return;
        }
        match style {
            PingStyle::Comment => out.extend_from_slice(b": ping"),
            PingStyle::Event => {
                out.extend_from_slice(b"event: ping");
                out.extend_from_slice(self.eol);
                out.extend_from_slice(b"data: {\"type\":\"ping\"}");
            }
        }
        self.end_event(out);
        self.count_written(before, out);
    }

    fn limit(&self) -> Option<u64> {
        self.scenario.disconnect.as_ref().and_then(|cut| cut.after_bytes)
    }

    fn how(&self) -> DisconnectHow {
        self.scenario.disconnect.as_ref().map_or(DisconnectHow::NoFinish, |cut| cut.how)
    }

    /// Counts the bytes that were written, and truncates them at the cut. True if the cut was reached now.
    fn count_written(&mut self, before: usize, out: &mut BytesMut) -> bool {
        let grown = (out.len() - before) as u64;
        let over = matches!(self.phase, Phase::Cut | Phase::Over(..));
        let reached = self.limit().filter(|&limit| grown > 0 && self.sent + grown >= limit);
        self.sent += grown;
        match reached {
            Some(limit) if self.how().is_raw() => {
                out.truncate(out.len() - (self.sent - limit) as usize);
                self.sent = limit;
                if !over {
                    self.phase = Phase::Cut;
                }
                !over
            }
            Some(_) if !over => {
                self.phase = Phase::Cut;
                true
            }
            _ => false,
        }
    }

    fn advance(&mut self, out: &mut BytesMut) -> Step {
        match self.phase {
            Phase::Role(choice) => {
                self.begin(choice, out);
                let bare = self.content.text.len() == 0 && !self.content.tools.is_empty();
                let content: &[u8] = if bare { b"null" } else { b"\"\"" };
                out.extend_from_slice(b"\"role\":\"assistant\",\"content\":");
                out.extend_from_slice(content);
                out.extend_from_slice(b",\"refusal\":null}");
                out.extend_from_slice(&self.unfinished);
                self.phase =
                    if choice + 1 < self.choices { Phase::Role(choice + 1) } else { Phase::FirstWait };
                Step::More
            }
            Phase::FirstWait => {
                self.phase = Phase::Deltas;
                wait(self.scenario.first_token_delay_ms)
            }
            Phase::Deltas => self.next_delta(out),
            Phase::Finish(choice) => {
                self.finish(choice, out);
                self.phase =
                    if choice + 1 < self.choices { Phase::Finish(choice + 1) } else { Phase::UsageWait };
                Step::More
            }
            Phase::UsageWait => {
                let chunk = self.usage.is_some() && !self.scenario.usage_in_last_chunk;
                self.phase = if chunk { Phase::Usage } else { Phase::Done };
                if chunk { wait(self.scenario.usage_delay_ms) } else { Step::More }
            }
            Phase::Usage => {
                out.extend_from_slice(&self.open);
                self.close_with_usage(out);
                self.phase = Phase::Done;
                Step::More
            }
            Phase::Done => {
                if self.scenario.done.unwrap_or(true) {
                    self.done(out);
                }
                self.phase = Phase::End;
                Step::More
            }
            Phase::End => {
                let cut = self.limit().is_some() && self.how().is_raw();
                self.phase = if cut { Phase::Cut } else { Phase::Over(Ending::Clean, false) };
                Step::More
            }
            Phase::Cut => {
                let ending = self.cut(out);
                self.phase = Phase::Over(ending, true);
                Step::More
            }
            Phase::Over(ending, cut) => Step::End { ending, cut },
        }
    }

    fn next_delta(&mut self, out: &mut BytesMut) -> Step {
        let cut_at =
            self.scenario.disconnect.as_ref().and_then(|cut| match (cut.after_chunks, cut.after_bytes) {
                (None, None) => Some(0),
                (deltas, _) => deltas.map(|deltas| deltas.min(self.total)),
            });
        if cut_at.is_some_and(|at| self.at >= at) {
            self.phase = Phase::Cut;
            return Step::More;
        }
        if self.at == self.total {
            let finish = self.scenario.finish.unwrap_or(true);
            self.phase = if finish { Phase::Finish(0) } else { Phase::UsageWait };
            return Step::More;
        }
        let (row, choice) = (self.at / self.choices, self.at % self.choices);
        self.begin(choice, out);
        if row == 0 && !self.scenario.role_first.unwrap_or(true) {
            out.extend_from_slice(b"\"role\":\"assistant\",");
        }
        self.write_delta(row, choice, out);
        out.extend_from_slice(b"}");
        out.extend_from_slice(&self.unfinished);
        self.at += 1;
        let paced = self.at < self.total && cut_at != Some(self.at);
        if paced && self.scenario.chunk_delay_ms > 0 {
            Step::Pace(validate::bounded_wait(self.scenario.chunk_delay_ms))
        } else {
            Step::More
        }
    }

    /// Writes the fields of the delta with the number `row` of a choice.
    fn write_delta(&self, mut row: u64, choice: u64, out: &mut BytesMut) {
        for (field, deltas) in [
            (b"\"reasoning_content\":\"".as_slice(), &self.content.reasoning),
            (b"\"content\":\"", &self.content.text),
            (b"\"refusal\":\"", &self.content.refusal),
        ] {
            if row < deltas.len() {
                out.extend_from_slice(field);
                deltas.write(row, out);
                out.extend_from_slice(b"\"");
                return;
            }
            row -= deltas.len();
        }
        for (index, tool) in self.content.tools.iter().enumerate() {
            if row > tool.arguments.len() {
                row -= tool.arguments.len() + 1;
                continue;
            }
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            number(index as u64, out);
            if row == 0 {
                out.extend_from_slice(b",\"id\":\"");
                escape(&tool.id, out);
                if choice > 0 {
                    out.extend_from_slice(b"_");
                    number(choice, out);
                }
                out.extend_from_slice(b"\",\"type\":\"function\",\"function\":{\"name\":\"");
                escape(&tool.name, out);
                out.extend_from_slice(b"\",\"arguments\":\"\"}}]");
            } else {
                out.extend_from_slice(b",\"function\":{\"arguments\":\"");
                tool.arguments.write(row - 1, out);
                out.extend_from_slice(b"\"}}]");
            }
            return;
        }
    }

    fn begin(&self, choice: u64, out: &mut BytesMut) {
        out.extend_from_slice(&self.open);
        out.extend_from_slice(b"{\"index\":");
        number(choice, out);
        out.extend_from_slice(b",\"delta\":{");
    }

    fn finish(&self, choice: u64, out: &mut BytesMut) {
        self.begin(choice, out);
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":\"");
        escape(&self.content.finish, out);
        out.extend_from_slice(b"\"}");
        if choice + 1 == self.choices && self.scenario.usage_in_last_chunk {
            self.close_with_usage(out);
        } else {
            out.extend_from_slice(&self.close);
        }
    }

    fn close_with_usage(&self, out: &mut BytesMut) {
        let Some(usage) = &self.usage else {
            out.extend_from_slice(&self.close);
            return;
        };
        out.extend_from_slice(b"],\"usage\":");
        out.extend_from_slice(usage.as_bytes());
        out.extend_from_slice(b"}");
        self.end_event(out);
    }

    fn done(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"data: [DONE]");
        self.end_event(out);
    }

    fn end_event(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.eol);
        out.extend_from_slice(self.eol);
    }

    fn cut(&self, out: &mut BytesMut) -> Ending {
        let how = self.how();
        match how {
            DisconnectHow::Reset => return Ending::Reset,
            DisconnectHow::Close => return Ending::Close,
            DisconnectHow::Stall => return Ending::Stall,
            DisconnectHow::NoFinish => {}
            DisconnectHow::Done => self.done(out),
            DisconnectHow::Malformed => {
                out.extend_from_slice(&self.open);
                out.extend_from_slice(b"{\"index\":0,\"delta\":{\"content\":\"");
                self.end_event(out);
            }
            DisconnectHow::ErrorEvent | DisconnectHow::ErrorEventNamed => {
                if how == DisconnectHow::ErrorEventNamed {
                    out.extend_from_slice(b"event: error");
                    out.extend_from_slice(self.eol);
                }
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(self.error.as_bytes());
                self.end_event(out);
            }
        }
        Ending::Clean
    }
}

fn wait(ms: u64) -> Step {
    if ms == 0 { Step::More } else { Step::Wait(validate::bounded_wait(ms)) }
}
