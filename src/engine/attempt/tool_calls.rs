//! Tool calls: buffered until they are complete, or passed through delta by delta.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::deliver::{Delivery, Flow, ReadEnd};
use super::part::Part;
use crate::config::defaults;
use crate::engine::shared::sink::DeliveryMode;
use crate::error::{Error, Kind};
use crate::session::merge::merge;
use crate::session::tool_calls::{self, Label, MAX_CALLS, ToolCall};
use crate::wire::chat;

/// What stands for half of a surrogate pair.
const HALF: &str = "\u{FFFD}";

impl Delivery<'_> {
    /// Accepts a `function_call`. One of a message is not accepted after another: it is the same one again.
    pub(super) fn accept_function_call(
        &mut self,
        index: u32,
        part: &chat::Function<'_>,
        from_message: bool,
        rebuilds: bool,
    ) -> Flow {
        let some = |text: &Option<chat::Text<'_>>| text.as_ref().is_some_and(|text| !text.is_empty());
        // Some providers send an empty one with each delta.
        if !some(&part.name) && !some(&part.arguments) {
            return Ok(());
        }
        let extra = self.values(&part.extra)?;
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok(()) };
        if from_message && choice.function_call.is_some() {
            return Ok(());
        }
        let name = part.name.as_ref().map(chat::Text::lossy).unwrap_or_default();
        let arguments = part.arguments.as_ref();
        let arguments = arguments.map(|text| self.surrogates.join((index, Part::FunctionCall), text));
        let arguments = arguments.unwrap_or_default();
        let delta = rebuilds.then(|| {
            let mut delta = extra.clone();
            delta.insert("name".into(), json!(name));
            delta.insert("arguments".into(), json!(arguments));
            delta
        });
        let call = choice.function_call.get_or_insert_default();
        let before = call.text_length();
        call.add_name(&name);
        call.arguments.push_str(&arguments);
        let growth = merge(&mut call.nested_extra, extra) + call.text_length() as isize - before as isize;
        self.transcript.journal.resize(growth);
        if let Some(call) = delta {
            self.deliver_delta(index, json!({ "function_call": call }), None);
        }
        Ok(())
    }

    /// Accepts the tool calls of a delta. `is_summary`: those that are known come once more.
    pub(super) fn accept_tool_calls(
        &mut self,
        index: u32,
        delta: &chat::Delta<'_>,
        is_summary: bool,
        rebuilds: bool,
    ) -> Flow {
        let parts = delta.tool_calls.as_deref().unwrap_or_default();
        let known = if is_summary { self.transcript.journal.choice(index) } else { None };
        let known = known.map_or(0, |choice| choice.tool_calls.len());
        for (at, part) in parts.iter().enumerate().skip(known) {
            // Without indexes, only the order of several calls distinguishes them.
            let of_list = if parts.len() > 1 { u32::try_from(at).ok() } else { None };
            let (position, arguments) = self.accept_tool_call(index, part, part.index.or(of_list))?;
            if rebuilds && !self.consumer.buffer_tool_calls {
                let call = part.to_json_with(position as u32, arguments.as_deref());
                self.deliver_delta(index, json!({ "tool_calls": [call] }), None);
            }
        }
        Ok(())
    }

    /// Journals the delta of a tool call, and returns the position of the call, and its new arguments.
    fn accept_tool_call<'p>(
        &mut self,
        index: u32,
        part: &'p chat::ToolCall<'_>,
        of_provider: Option<u32>,
    ) -> std::result::Result<(usize, Option<Cow<'p, str>>), ReadEnd> {
        if index == 0 {
            self.consumer.live.update_answer(|answer| answer.lost_tool_call = true);
        }
        let (extra, nested) = (self.values(&part.extra)?, self.values(part.nested_extra())?);
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok((0, None)) };
        let (name, arguments) = part.name_and_arguments();
        let id = part.id.as_ref().map(|id| &*id.text);
        let label = Label { index: of_provider, id, name };
        let position = tool_calls::position(&choice.tool_calls, label);
        let Some(call) = tool_calls::at(&mut choice.tool_calls, position, label) else {
            return Err(failed(
                Kind::ResponseTooLarge,
                format!("the answer has more than {MAX_CALLS} tool calls"),
            ));
        };
        let arguments = arguments.map(|text| self.surrogates.join((index, Part::Arguments(position)), text));
        let continues = |arguments: &str| !arguments.trim_ascii().is_empty() && !call.repeats(arguments);
        if call.is_delivered && arguments.as_deref().is_some_and(continues) {
            let message = format!("the tool call '{}' continued after it was complete", call.name);
            return Err(failed(Kind::Malformed, message));
        }
        let before = call.text_length();
        call.add_id(id.unwrap_or_default());
        call.add_name(name.unwrap_or_default());
        call.custom |= part.is_custom();
        call.add_arguments(arguments.as_deref().unwrap_or_default());
        let growth = merge(&mut call.extra, extra) + merge(&mut call.nested_extra, nested);
        call.extra_size = call.extra_size.saturating_add_signed(growth);
        let size = call.text_length() + call.extra_size;
        let growth = growth + call.text_length() as isize - before as isize;
        self.transcript.journal.resize(growth);
        if self.consumer.buffer_tool_calls && size > defaults::MAX_TOOL_CALL {
            let limit = defaults::MAX_TOOL_CALL;
            let message =
                format!("a tool call is longer than {limit} bytes (toolCalls: 'stream' passes it through)");
            return Err(failed(Kind::ResponseTooLarge, message));
        }
        Ok((position, arguments))
    }

    /// The values of fields that are kept.
    fn values(
        &self,
        fields: &[(Cow<'_, str>, &RawValue)],
    ) -> std::result::Result<Map<String, Value>, ReadEnd> {
        let value = |json: &RawValue| self.value(json.get()).map(Option::unwrap_or_default);
        fields.iter().map(|(name, json)| Ok((name.to_string(), value(json)?))).collect()
    }

    /// Replaces the half of a surrogate pair at the end of arguments, whose other half did not arrive.
    pub(super) fn finish_arguments(&mut self, index: u32) {
        for (_, part) in self.surrogates.take_all(|(of, _)| *of == index) {
            let Some(choice) = self.transcript.journal.choice(index) else { return };
            let call = match part {
                Part::Arguments(position) => choice.tool_calls.get_mut(position),
                _ => choice.function_call.as_deref_mut(),
            };
            let Some(call) = call.filter(|call| !call.is_delivered) else { continue };
            call.add_arguments(HALF);
            let (parent, label) = if call.custom { ("custom", "input") } else { ("function", "arguments") };
            self.transcript.journal.resize(HALF.len() as isize);
            if self.consumer.mode != DeliveryMode::Chunks {
                continue;
            }
            match part {
                Part::Arguments(_) if self.consumer.buffer_tool_calls => {}
                Part::Arguments(position) => {
                    let call = json!({ "index": position, parent: { label: HALF } });
                    self.deliver_delta(index, json!({ "tool_calls": [call] }), None);
                }
                _ => self.deliver_delta(index, json!({ "function_call": { "arguments": HALF } }), None),
            }
        }
    }

    /// Completes the tool calls of a choice, and delivers the buffered ones that the consumer does not have. Those that
    /// were cut off are dropped, unless the consumer has a part of them.
    ///
    /// Returns false if that has to wait: some providers send a finish reason with each delta of a call, so until the
    /// answer is settled, arguments that are not complete may go on.
    pub(super) fn finish_tool_calls(
        &mut self,
        index: u32,
        is_natural: bool,
        is_settled: bool,
    ) -> std::result::Result<bool, ReadEnd> {
        let buffered = self.consumer.buffer_tool_calls;
        let mode = self.consumer.mode;
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok(true) };
        let calls = &mut choice.tool_calls;
        let delivered = calls.iter().filter(|call| call.is_delivered).count();
        if calls.len() == delivered {
            return Ok(true);
        }
        if !is_settled && (!buffered || calls.iter().any(ToolCall::is_open)) {
            return Ok(!buffered);
        }
        tool_calls::complete(calls);
        if buffered && is_natural {
            if let Some(name) = tool_calls::invalid(calls) {
                let message = format!("the arguments of the tool call '{name}' are not valid JSON");
                return Err(failed(Kind::Malformed, message));
            }
            if tool_calls::has_nameless(calls) {
                return Err(failed(Kind::Malformed, "a tool call has no name".to_owned()));
            }
        } else if buffered {
            tool_calls::drop_cut_off(calls);
        }
        if !buffered || calls.len() <= delivered {
            return Ok(true);
        }
        // Calls that arrive after the finish reason come after those that were delivered with it.
        calls.sort_by_key(|call| !call.is_delivered);
        let deltas = tool_calls::deltas(calls, delivered);
        calls.iter_mut().for_each(|call| call.is_delivered = true);
        if mode != DeliveryMode::Chunks {
            return Ok(true);
        }
        let mut delta = json!({ "tool_calls": deltas });
        if !self.transcript.committed && self.held_chunks.is_empty() {
            // These arrived with the first delta of the call, which was buffered.
            delta["role"] = json!("assistant");
            delta["content"] = Value::Null;
        }
        self.deliver_delta(index, delta, None);
        Ok(true)
    }
}

fn failed(kind: Kind, message: String) -> ReadEnd {
    ReadEnd::Failed(Error::new(kind, message))
}
