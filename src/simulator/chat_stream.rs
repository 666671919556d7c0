//! A stream of chat completions as steps: bytes, waits and an end, independent of the protocol.

use std::sync::Arc;

use bytes::BytesMut;

use super::bodies;
use super::chunk_writer::ChunkWriter;
use super::content::Content;
use super::scenario::{DisconnectHow, PingStyle, Scenario};
use super::step::{Ending, Step};
use super::validate;

pub(super) struct ChatStream {
    scenario: Arc<Scenario>,
    content: Content,
    writer: ChunkWriter,
    choices: u64,
    total: u64,
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
    LateText,
    UsageWait,
    Usage,
    Done,
    End,
    Cut,
    Over(Ending, bool),
}

impl ChatStream {
    pub(super) fn new(scenario: Arc<Scenario>, content: Content, choices: u64, writer: ChunkWriter) -> Self {
        let phase = if writer.has_role_chunk() { Phase::Role(0) } else { Phase::FirstWait };
        let total = content.delta_count() * choices;
        Self { scenario, content, writer, choices, total, phase, at: 0, sent: 0 }
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
        self.writer.ping(style, out);
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
                self.writer.role(choice, &self.content, out);
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
                let is_last = choice + 1 == self.choices;
                self.writer.finish(choice, &self.content.finish, is_last, out);
                self.phase = if is_last { Phase::LateText } else { Phase::Finish(choice + 1) };
                Step::More
            }
            Phase::LateText => {
                if let Some(text) = &self.scenario.late_text {
                    self.writer.late_text(text, out);
                }
                let is_cut = self.scenario.disconnect.as_ref().is_some_and(|cut| cut.after_finish);
                self.phase = if is_cut { Phase::Cut } else { Phase::UsageWait };
                Step::More
            }
            Phase::UsageWait => {
                let chunk = self.writer.has_usage_chunk();
                self.phase = if chunk { Phase::Usage } else { Phase::Done };
                if chunk { wait(self.scenario.usage_delay_ms) } else { Step::More }
            }
            Phase::Usage => {
                self.writer.usage(out);
                self.phase = Phase::Done;
                Step::More
            }
            Phase::Done => {
                if self.scenario.done.unwrap_or(true) {
                    self.writer.done(out);
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
                _ if cut.after_finish => None,
                (None, None) => Some(0),
                (deltas, _) => deltas.map(|deltas| deltas.min(self.total)),
            });
        if cut_at.is_some_and(|at| self.at >= at) {
            self.phase = Phase::Cut;
            return Step::More;
        }
        if self.at == self.total {
            let finish = self.scenario.finish.unwrap_or(true);
            self.phase = if finish { Phase::Finish(0) } else { Phase::LateText };
            return Step::More;
        }
        let (row, choice) = (self.at / self.choices, self.at % self.choices);
        self.writer.delta(&self.content, row, choice, out);
        self.at += 1;
        let paced = self.at < self.total && cut_at != Some(self.at);
        if paced && self.scenario.chunk_delay_ms > 0 {
            Step::Pace(validate::bounded_wait(self.scenario.chunk_delay_ms))
        } else {
            Step::More
        }
    }

    fn cut(&self, out: &mut BytesMut) -> Ending {
        let how = self.how();
        match how {
            DisconnectHow::Reset => return Ending::Reset,
            DisconnectHow::Close => return Ending::Close,
            DisconnectHow::Stall => return Ending::Stall,
            DisconnectHow::NoFinish => {}
            DisconnectHow::Done => self.writer.done(out),
            DisconnectHow::Malformed => self.writer.malformed(out),
            DisconnectHow::ErrorEvent | DisconnectHow::ErrorEventNamed => {
                let error = self.scenario.disconnect.as_ref().and_then(|cut| cut.error.as_ref());
                self.writer.error(&bodies::error_event(error), how == DisconnectHow::ErrorEventNamed, out);
            }
        }
        Ending::Clean
    }
}

fn wait(ms: u64) -> Step {
    if ms == 0 { Step::More } else { Step::Wait(validate::bounded_wait(ms)) }
}
