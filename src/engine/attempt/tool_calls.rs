//! Tool calls: buffered until they are complete, or passed through delta by delta.

use serde_json::{Map, json};

use super::deliver::{Delivery, Flow, ReadEnd};
use super::part::Part;
use crate::config::defaults;
use crate::engine::shared::sink::DeliveryMode;
use crate::error::{Error, Kind};
use crate::session::merge::merge;
use crate::session::tool_calls::{self, Label, MAX_CALLS, ToolCall};
use crate::wire::chat;

impl Delivery<'_> {
    pub(super) fn accept_function_call(&mut self, index: u32, part: &chat::Function<'_>, rebuilds: bool) {
        let text =
            |text: &Option<chat::Text<'_>>| text.as_ref().map(|t| t.lossy().into_owned()).unwrap_or_default();
        let (name, arguments) = (text(&part.name), text(&part.arguments));
        // Some providers send an empty one with each delta.
        if name.is_empty() && arguments.is_empty() {
            return;
        }
        let Some(choice) = self.transcript.journal.choice(index) else { return };
        let call = choice.function_call.get_or_insert_default();
        let before = call.text_length();
        call.add_name(&name);
        call.arguments.push_str(&arguments);
        let growth = call.text_length() as isize - before as isize;
        self.transcript.journal.resize(growth);
        if rebuilds {
            let call = json!({ "name": name, "arguments": arguments });
            self.deliver_delta(index, json!({ "function_call": call }), None);
        }
    }

    pub(super) fn accept_tool_calls(&mut self, index: u32, delta: &chat::Delta<'_>, rebuilds: bool) -> Flow {
        let parts = delta.tool_calls.as_deref().unwrap_or_default();
        for (at, part) in parts.iter().enumerate() {
            // Without indexes, only the order of several calls distinguishes them.
            let of_list = if parts.len() > 1 { u32::try_from(at).ok() } else { None };
            let position = self.accept_tool_call(index, part, part.index.or(of_list))?;
            if rebuilds && !self.consumer.buffer_tool_calls {
                self.deliver_delta(index, json!({ "tool_calls": [part.to_json(position as u32)] }), None);
            }
        }
        Ok(())
    }

    /// Journals the delta of a tool call, and returns the position of the call.
    fn accept_tool_call(
        &mut self,
        index: u32,
        part: &chat::ToolCall<'_>,
        of_provider: Option<u32>,
    ) -> std::result::Result<usize, ReadEnd> {
        if index == 0 {
            self.consumer.live.update_answer(|answer| answer.lost_tool_call = true);
        }
        let mut extra = Map::new();
        for (name, json) in &part.extra {
            extra.insert(name.to_string(), self.value(json.get())?.unwrap_or_default());
        }
        let Some(choice) = self.transcript.journal.choice(index) else { return Ok(0) };
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
        let growth = merge(&mut call.extra, extra);
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
        Ok(position)
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
            delta["content"] = serde_json::Value::Null;
        }
        self.deliver_delta(index, delta, None);
        Ok(true)
    }
}

fn failed(kind: Kind, message: String) -> ReadEnd {
    ReadEnd::Failed(Error::new(kind, message))
}
