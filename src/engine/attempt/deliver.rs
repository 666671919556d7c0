//! Turns what is received into what is delivered: writes the journal and delivers to the consumer in batches. Duplicate
//! text of a continuation is removed here, and tool calls are buffered until they are complete.

use std::mem;

use serde_json::Value;

use super::messages::Messages;
use super::part::Part;
use super::pending_extras::PendingExtras;
use super::progress::Progress;
use super::transcript::Transcript;
use crate::config::defaults;
use crate::engine::shared::call_request::CallRequest;
use crate::engine::shared::live_snapshot::LiveSnapshot;
use crate::engine::shared::redaction::redact_value;
use crate::engine::shared::sink::{DeliveryMode, Sink};
use crate::engine::time::clock;
use crate::error::{Error, Kind};
use crate::session::native::TurnStart;
use crate::session::snapshot::KeptResponse;
use crate::session::splice::{ContinuationMismatch, Splice};
use crate::wire::field_halves::FieldHalves;
use crate::wire::json::{self, TooLarge};
use crate::wire::redactor::Redactor;
use crate::wire::surrogates::PendingSurrogates;

/// More role-only chunks than any provider sends.
pub(super) const MAX_HELD_CHUNKS: usize = 64;
/// How much of them is held, in bytes. Some contain the results of content filters.
pub(super) const MAX_HELD_BYTES: usize = 256 * 1024;
/// The approximate maximum size of a batch in bytes, and the overhead counted for each chunk and each delta in it.
const MAX_BATCH: usize = 16 * 1024;
const CHUNK_OVERHEAD: usize = 64;
const DELTA_OVERHEAD: usize = 16;

/// Why reading ends.
pub(super) enum ReadEnd {
    Done,
    /// The first token has arrived, and nothing more is needed ([`super::peek`]).
    FirstToken,
    /// Other tasks have their turn before the rest.
    Pause,
    Failed(Error),
}

pub(super) type Flow = std::result::Result<(), ReadEnd>;

/// The consumer of the answer.
pub(super) struct Consumer<'a> {
    pub sink: &'a dyn Sink,
    /// The value of [`Sink::mode`], queried once.
    pub mode: DeliveryMode,
    /// Where the snapshot of the call is published.
    pub live: &'a LiveSnapshot,
    /// Called with each milestone, which each comes at most once.
    pub on_milestone: &'a (dyn Fn(Milestone) + Sync),
    /// Called once, when the answer is complete and before the consumer learns it, with whether this attempt has had a
    /// token.
    pub on_settled: &'a mut (dyn FnMut(bool) + Send),
    /// The caller requested the usage chunk.
    pub wants_usage: bool,
    pub buffer_tool_calls: bool,
    /// Says whether an answer without content is a failure.
    pub request: &'a CallRequest,
    /// For what a provider says about an answer, which logs and traces have.
    pub redactor: &'a Redactor,
}

/// What happens once while an answer arrives, and is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Milestone {
    FirstToken,
    /// The answer has outgrown what is kept for a recovery.
    OutgrewRecovery,
}

/// The continuation that an attempt receives, if it is one.
#[derive(Default)]
pub(super) struct Continuation {
    /// The attempt continues a partial answer: its chunks are rebuilt with the identity of the first one.
    pub is_active: bool,
    /// A tool call was lost with an earlier attempt. A continuation without one does not fit, so its text is withheld
    /// until a tool call arrives.
    pub expects_tool_call: bool,
    /// The usage of earlier attempts.
    pub earlier_usage: Option<Value>,
    pub splice: Option<Box<Splice>>,
    /// What is dropped at its beginning.
    pub turn_start: Option<Box<TurnStart>>,
}

pub(super) struct Delivery<'a> {
    pub consumer: Consumer<'a>,
    pub transcript: &'a mut Transcript,
    pub progress: &'a mut Progress,
    pub continuation: Continuation,
    /// Text that is withheld until the expected tool call arrives.
    withheld_text: String,
    /// Chunks before the first token (a bare role). They are delivered with it, so that another attempt can take over
    /// unnoticed until then.
    pub held_chunks: Vec<String>,
    pub(super) surrogates: PendingSurrogates<(u32, Part)>,
    /// The same in fields that the engine does not know.
    pub(super) field_halves: Option<Box<FieldHalves>>,
    /// What is known of messages in place of deltas.
    pub(super) messages: Option<Box<Messages>>,
    /// The first token came before the chunk that is being accepted.
    pub(super) began_before: bool,
    /// Unknown fields that the next generated chunk takes along.
    pub(super) pending_extras: Option<Box<PendingExtras>>,
    /// The consumer has a chunk with the usage where OpenAI has it.
    pub(super) usage_delivered: bool,
    /// The chunk that only has the usage has arrived. OpenAI sends it last.
    pub(super) usage_chunk_arrived: bool,
    /// How many chunks and events were part of the answer, which pings are not.
    pub(super) accepted: u64,
    /// The tokens that have arrived since they were last asked for, estimated; counted only if the throughput is measured.
    pub(super) new_tokens: Option<u64>,
    /// The approximate number of bytes that wait for [`Delivery::flush`].
    batched: usize,
    /// The number of deltas in the live snapshot.
    published: u64,
}

impl<'a> Delivery<'a> {
    pub fn new(
        consumer: Consumer<'a>,
        transcript: &'a mut Transcript,
        progress: &'a mut Progress,
        continuation: Continuation,
    ) -> Self {
        Delivery {
            consumer,
            transcript,
            progress,
            continuation,
            withheld_text: String::new(),
            held_chunks: Vec::new(),
            surrogates: PendingSurrogates::default(),
            field_halves: None,
            messages: None,
            began_before: false,
            pending_extras: None,
            usage_delivered: false,
            usage_chunk_arrived: false,
            accepted: 0,
            new_tokens: None,
            batched: 0,
            published: 0,
        }
    }

    /// Accepts one of many chunks or events. Its output is batched until [`Delivery::flush`]. `raw` is its JSON.
    pub fn batch(&mut self, raw: &str, accept: impl FnOnce(&mut Self) -> Flow) -> Flow {
        self.batched += CHUNK_OVERHEAD + raw.len();
        let flow = accept(self).and_then(|()| self.check_size());
        if self.batched >= MAX_BATCH {
            self.flush();
        }
        flow
    }

    /// Gives up the recovery of an answer that is too large for one, and fails if it is too large to be kept at all.
    fn check_size(&mut self) -> Flow {
        let is_too_large = self.transcript.is_too_large();
        if self.transcript.outgrows_recovery() || (is_too_large && !self.transcript.outgrew_recovery) {
            self.transcript.give_up_recovery();
            self.consumer.live.release();
            (self.consumer.on_milestone)(Milestone::OutgrewRecovery);
        }
        if !is_too_large {
            return Ok(());
        }
        // Who reads a stream has its text.
        let is_enough = self.transcript.fits_without_texts() && self.consumer.mode != DeliveryMode::Nothing;
        if !is_enough {
            return Err(self.too_large());
        }
        self.transcript.journal.release_texts();
        Ok(())
    }

    pub(super) fn too_large(&self) -> ReadEnd {
        ReadEnd::Failed(Error::answer_too_large(self.transcript.max_size()))
    }

    /// A value of the provider's JSON that is kept; `None` if it is not JSON.
    pub(super) fn value(&self, json: &str) -> std::result::Result<Option<Value>, ReadEnd> {
        json::value_within(json, self.transcript.max_size()).map_err(|TooLarge| self.too_large())
    }

    /// Sets the usage that the provider reports.
    pub(super) fn set_usage(&mut self, mut usage: Option<Value>) {
        if let Some(usage) = &mut usage {
            redact_value(usage, self.consumer.redactor);
        }
        self.transcript.journal.usage = usage;
    }

    /// Delivers the batch. Must be called before any wait.
    pub fn flush(&mut self) {
        if self.batched == 0 {
            return;
        }
        self.batched = 0;
        // First, so that the consumer never has more than the snapshot.
        self.publish();
        self.publish_position();
        self.consumer.sink.flush();
    }

    /// Updates the text of the live snapshot, which only grows while an attempt runs.
    pub(super) fn publish(&mut self) {
        let new = self.progress.deltas - mem::replace(&mut self.published, self.progress.deltas);
        if new == 0 {
            return;
        }
        let text = &self.transcript.journal.first_choice().text;
        self.consumer.live.update_answer(|answer| {
            let from = answer.text.len();
            answer.text.push_str(text.get(from..).unwrap_or_default());
            answer.deltas += new;
        });
    }

    /// Updates the position in a stream that the provider keeps.
    fn publish_position(&self) {
        let Some(events) = &self.transcript.events else { return };
        let Some(position) = events.position() else { return };
        let only_there = events.not_resumable().is_some();
        self.consumer.live.update(|live| {
            let endpoint = live.writer.as_ref().map(|(endpoint, _)| endpoint.clone()).unwrap_or_default();
            let (id, sequence_number) = (position.id, position.after);
            live.response = Some(KeptResponse { id, sequence_number, endpoint, only_there });
        });
    }

    /// Records the arrival of the first token; has no effect after that.
    pub(super) fn mark_first_token(&mut self) {
        if self.progress.first_token.is_none() {
            self.progress.first_token = Some(clock::instant());
            let identity = &self.transcript.journal.identity;
            self.consumer.live.update(|live| live.answer.identity.clone_from(identity));
            (self.consumer.on_milestone)(Milestone::FirstToken);
        }
    }

    /// Takes text as the provider sent it, and removes what duplicates the answer so far.
    pub(super) fn received_text(&mut self, index: u32, text: &str, verbatim: bool) -> Flow {
        match &mut self.continuation.splice {
            Some(splice) if index == 0 => {
                let text = match &mut self.continuation.turn_start {
                    Some(start) if !start.is_done() => start.strip(text),
                    _ => text,
                };
                let new = match splice.push(text, clock::now()) {
                    Ok(new) => new,
                    // The tool call is what counts.
                    Err(_) if self.continuation.expects_tool_call => return Ok(()),
                    Err(mismatch) => return Err(continuation_mismatch(&mismatch)),
                };
                self.new_text(index, &new, verbatim)
            }
            _ => self.new_text(index, text, verbatim),
        }
    }

    /// Takes new text. `verbatim`: its chunk is delivered unchanged.
    fn new_text(&mut self, index: u32, text: &str, verbatim: bool) -> Flow {
        if !(self.continuation.expects_tool_call && index == 0) {
            self.append_text(index, text, verbatim);
            return Ok(());
        }
        self.withheld_text.push_str(text);
        if self.withheld_text.len() > defaults::MAX_TOOL_CALL { Err(missing_tool_call()) } else { Ok(()) }
    }

    /// Journals text and delivers it in the form that the consumer wants.
    pub(super) fn append_text(&mut self, index: u32, text: &str, verbatim: bool) {
        if text.is_empty() {
            return;
        }
        self.transcript.journal.append_text(index, text);
        if index == 0 {
            self.progress.deltas += 1;
        }
        match self.consumer.mode {
            DeliveryMode::Text if index == 0 => self.deliver(text),
            DeliveryMode::Chunks if !verbatim => match &mut self.transcript.events {
                Some(events) => {
                    let events = events.append_text(text);
                    events.iter().for_each(|event| self.deliver(&event.sse()));
                }
                None => self.deliver_delta(index, serde_json::json!({ "content": text }), None),
            },
            // The chunk is delivered unchanged, or the consumer wants neither.
            _ => {}
        }
    }

    /// Decides on the text that the splice still holds: no more text follows. `is_cut_off`: because of a limit, or because
    /// something else than text follows.
    pub(super) fn finish_text(&mut self, is_cut_off: bool) -> Flow {
        let Some(splice) = &mut self.continuation.splice else { return Ok(()) };
        let rest = match splice.finish(is_cut_off, clock::now()) {
            Ok(rest) => rest,
            Err(_) if self.continuation.expects_tool_call => return Ok(()),
            Err(mismatch) => return Err(continuation_mismatch(&mismatch)),
        };
        self.new_text(0, &rest, false)
    }

    /// The attempt has failed: delivers the held text that something vouches for.
    pub fn keep_vouched_text(&mut self) {
        let Some(splice) = &mut self.continuation.splice else { return };
        let text = splice.interrupt(clock::now());
        if !text.is_empty() && !self.continuation.expects_tool_call {
            self.batched += CHUNK_OVERHEAD;
            self.append_text(0, &text, false);
            self.flush();
        }
    }

    /// Releases the withheld text: the lost tool call has arrived, or the answer may end without it.
    pub(super) fn release_withheld_text(&mut self) {
        self.continuation.expects_tool_call = false;
        let text = mem::take(&mut self.withheld_text);
        self.append_text(0, &text, false);
    }

    /// The decision on held text cannot wait any longer.
    pub fn splice_timeout(&mut self) -> Flow {
        let Some(splice) = &mut self.continuation.splice else { return Ok(()) };
        let text = match splice.timeout(clock::now()) {
            Ok(text) => text,
            Err(_) if self.continuation.expects_tool_call => return Ok(()),
            Err(mismatch) => return Err(continuation_mismatch(&mismatch)),
        };
        self.batched += CHUNK_OVERHEAD;
        let flow = self.new_text(0, &text, false);
        self.flush();
        flow
    }

    /// Delivers what was accepted before a failure, and returns the failure.
    pub(super) fn flush_failed(&mut self, flow: Flow) -> Flow {
        if flow.is_err() {
            self.batched += CHUNK_OVERHEAD;
            self.flush();
        }
        flow
    }

    /// Delivers a generated chunk.
    pub(super) fn deliver_delta(&mut self, index: u32, delta: Value, finish_reason: Option<&str>) {
        self.release_held_chunks();
        let chunk = self.generate(index, delta, finish_reason);
        self.deliver(&chunk);
    }

    pub(super) fn deliver(&mut self, delta: &str) {
        self.transcript.committed = true;
        self.consumer.sink.delta(delta);
        // One chunk may become any number of deltas.
        self.batched += DELTA_OVERHEAD;
        if self.batched >= MAX_BATCH {
            self.flush();
        }
    }

    pub(super) fn release_held_chunks(&mut self) {
        for chunk in mem::take(&mut self.held_chunks) {
            self.deliver(&chunk);
        }
    }
}

pub(super) fn continuation_mismatch(mismatch: &ContinuationMismatch) -> ReadEnd {
    let message = format!("the continuation does not match the delivered text: {mismatch}");
    ReadEnd::Failed(Error::new(Kind::ContinuationMismatch, message))
}

pub(super) fn missing_tool_call() -> ReadEnd {
    let message = "the continuation contains text instead of the interrupted tool call";
    ReadEnd::Failed(Error::new(Kind::ContinuationMismatch, message))
}
