//! Writes the chunks of a stream, in the shape that the scenario says.

use std::sync::Arc;

use bytes::BytesMut;
use serde_json::{Value, json};

use super::content::{Content, Identity};
use super::json::{escape, number};
use super::scenario::{PingStyle, Scenario};
use super::wire_format::{DeltaShape, Format, IndexStyle, LineEnd, UsageIn};

pub(super) struct ChunkWriter {
    scenario: Arc<Scenario>,
    usage: Option<String>,
    usage_in: UsageIn,
    eol: &'static [u8],
    /// The start of an event with data.
    data: &'static [u8],
    /// The end of an event.
    end: Vec<u8>,
    /// The start of a chunk, up to the inside of `choices`.
    open: Vec<u8>,
    /// The end of a choice without a finish reason, and of its chunk.
    unfinished: Vec<u8>,
    /// The end of a chunk, after its choices.
    close: Vec<u8>,
}

impl ChunkWriter {
    pub(super) fn new(
        scenario: Arc<Scenario>,
        format: Format,
        identity: &Identity<'_>,
        usage: Option<String>,
        usage_field: bool,
    ) -> Self {
        let eol = scenario.line_end.bytes();
        let is_ndjson = format == Format::Ndjson;
        let has_blank_line = !is_ndjson && scenario.blank_lines.unwrap_or(true);
        let end = if has_blank_line { eol.repeat(2) } else { eol.to_vec() };
        let data: &[u8] = if is_ndjson { b"" } else { b"data: " };
        let usage_in = scenario.usage_in();
        let close = match &usage {
            Some(usage) if usage_in == UsageIn::Every => format!("],\"usage\":{usage}}}"),
            _ if usage_field => "],\"usage\":null}".to_owned(),
            _ => "]}".to_owned(),
        };
        let close = [close.as_bytes(), &end].concat();
        Self {
            open: [data, open(identity, &scenario.chunk_fields).as_bytes()].concat(),
            unfinished: [b",\"logprobs\":null,\"finish_reason\":null}".as_slice(), &close].concat(),
            scenario,
            usage,
            usage_in,
            eol,
            data,
            end,
            close,
        }
    }

    /// Whether usage has a chunk of its own.
    pub(super) fn has_usage_chunk(&self) -> bool {
        self.usage.is_some() && self.usage_in.has_own_chunk()
    }

    /// Whether there is a chunk with the bare role; text outside of a delta has none.
    pub(super) fn has_role_chunk(&self) -> bool {
        self.scenario.role_first.unwrap_or(true) && self.scenario.shape != DeltaShape::Text
    }

    pub(super) fn role(&self, choice: u64, content: &Content, out: &mut BytesMut) {
        self.begin(choice, out);
        let bare = content.text.len() == 0 && !content.tools.is_empty();
        let content: &[u8] = if bare { b"null" } else { b"\"\"" };
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":");
        out.extend_from_slice(content);
        out.extend_from_slice(b",\"refusal\":null}");
        out.extend_from_slice(&self.unfinished);
    }

    /// Writes the delta with the number `row` of a choice.
    pub(super) fn delta(&self, content: &Content, mut row: u64, choice: u64, out: &mut BytesMut) {
        let reasoning = content.reasoning.len();
        if (reasoning..reasoning + content.text.len()).contains(&row) {
            let write = |out: &mut BytesMut| content.text.write(row - reasoning, out);
            return self.text(choice, row == 0, write, out);
        }
        self.begin(choice, out);
        if row == 0 && !self.scenario.role_first.unwrap_or(true) {
            out.extend_from_slice(b"\"role\":\"assistant\",");
        }
        if row < reasoning {
            out.extend_from_slice(b"\"reasoning_content\":\"");
            content.reasoning.write(row, out);
            out.extend_from_slice(b"\"");
        } else {
            row -= reasoning + content.text.len();
            if row < content.refusal.len() {
                out.extend_from_slice(b"\"refusal\":\"");
                content.refusal.write(row, out);
                out.extend_from_slice(b"\"");
            } else {
                self.tool_call(content, row - content.refusal.len(), choice, out);
            }
        }
        out.extend_from_slice(b"}");
        out.extend_from_slice(&self.unfinished);
    }

    /// Writes a chunk with text after the finish reason.
    pub(super) fn late_text(&self, text: &str, out: &mut BytesMut) {
        self.text(0, false, |out| escape(text, out), out);
    }

    pub(super) fn finish(&self, choice: u64, reason: &str, is_last: bool, out: &mut BytesMut) {
        if self.scenario.shape == DeltaShape::Text {
            self.begin_choice(choice, out);
            out.extend_from_slice(b"\"text\":\"\"");
        } else {
            self.begin(choice, out);
            out.extend_from_slice(b"}");
        }
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":\"");
        escape(reason, out);
        out.extend_from_slice(b"\"");
        let usage = self.usage.as_deref().filter(|_| is_last);
        match (usage, self.usage_in) {
            (Some(usage), UsageIn::Choice) => {
                out.extend_from_slice(b",\"usage\":");
                out.extend_from_slice(usage.as_bytes());
                out.extend_from_slice(b"}");
                out.extend_from_slice(&self.close);
            }
            (Some(usage), UsageIn::LastChunk) => self.close_with(b"}],\"usage\":", usage, b"}", out),
            (Some(usage), UsageIn::XGroq) => {
                self.close_with(b"}],\"x_groq\":{\"id\":\"req_groq\",\"usage\":", usage, b"}}", out);
            }
            _ => {
                out.extend_from_slice(b"}");
                out.extend_from_slice(&self.close);
            }
        }
    }

    pub(super) fn usage(&self, out: &mut BytesMut) {
        let Some(usage) = &self.usage else { return };
        if self.usage_in == UsageIn::ChoiceChunk {
            self.begin(0, out);
            self.close_with(b"},\"finish_reason\":null}],\"usage\":", usage, b"}", out);
        } else {
            out.extend_from_slice(&self.open);
            self.close_with(b"],\"usage\":", usage, b"}", out);
        }
    }

    pub(super) fn done(&self, out: &mut BytesMut) {
        // A line of NDJSON is JSON.
        if !self.data.is_empty() {
            out.extend_from_slice(b"data: [DONE]");
            out.extend_from_slice(&self.end);
        }
    }

    pub(super) fn malformed(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.open);
        out.extend_from_slice(b"{\"index\":0,\"delta\":{\"content\":\"");
        out.extend_from_slice(&self.end);
    }

    pub(super) fn error(&self, error: &Value, is_named: bool, out: &mut BytesMut) {
        if is_named && !self.data.is_empty() {
            out.extend_from_slice(b"event: error");
            out.extend_from_slice(self.eol);
        }
        out.extend_from_slice(self.data);
        out.extend_from_slice(error.to_string().as_bytes());
        out.extend_from_slice(&self.end);
    }

    /// Writes a ping; NDJSON has only empty lines for it.
    pub(super) fn ping(&self, style: PingStyle, out: &mut BytesMut) {
        match style {
            _ if self.data.is_empty() => {}
            PingStyle::Comment => out.extend_from_slice(b": ping"),
            PingStyle::Event => {
                out.extend_from_slice(b"event: ping");
                out.extend_from_slice(self.eol);
                out.extend_from_slice(b"data: {\"type\":\"ping\"}");
            }
        }
        out.extend_from_slice(&self.end);
    }

    /// Writes a chunk whose text `write` writes.
    fn text(&self, choice: u64, is_first: bool, write: impl FnOnce(&mut BytesMut), out: &mut BytesMut) {
        let shape = self.scenario.shape;
        let (before, after): (&[u8], &[u8]) = match shape {
            DeltaShape::Delta | DeltaShape::Message => (b"\"content\":\"", b"\"}"),
            DeltaShape::Text => (b"\"text\":\"", b"\""),
            DeltaShape::Parts => (b"\"content\":[{\"type\":\"text\",\"text\":\"", b"\"}]}"),
        };
        if shape == DeltaShape::Text {
            self.begin_choice(choice, out);
        } else {
            self.begin(choice, out);
            if is_first && !self.scenario.role_first.unwrap_or(true) {
                out.extend_from_slice(b"\"role\":\"assistant\",");
            }
        }
        out.extend_from_slice(before);
        write(out);
        out.extend_from_slice(after);
        out.extend_from_slice(&self.unfinished);
    }

    fn tool_call(&self, content: &Content, mut row: u64, choice: u64, out: &mut BytesMut) {
        for (index, tool) in content.tools.iter().enumerate() {
            if row > tool.arguments.len() {
                row -= tool.arguments.len() + 1;
                continue;
            }
            out.extend_from_slice(b"\"tool_calls\":[{");
            self.scenario.tool_call_index.write(index as u64, out);
            if row == 0 {
                out.extend_from_slice(b"\"id\":\"");
                escape(&tool.id, out);
                if choice > 0 {
                    out.extend_from_slice(b"_");
                    number(choice, out);
                }
                out.extend_from_slice(b"\",\"type\":\"function\",\"function\":{\"name\":\"");
                escape(&tool.name, out);
                out.extend_from_slice(b"\",\"arguments\":\"\"}}]");
            } else {
                out.extend_from_slice(b"\"function\":{\"arguments\":\"");
                tool.arguments.write(row - 1, out);
                out.extend_from_slice(b"\"}}]");
            }
            return;
        }
    }

    fn begin(&self, choice: u64, out: &mut BytesMut) {
        self.begin_choice(choice, out);
        let is_message = self.scenario.shape == DeltaShape::Message;
        out.extend_from_slice(if is_message { b"\"message\":{" } else { b"\"delta\":{" });
    }

    fn begin_choice(&self, choice: u64, out: &mut BytesMut) {
        out.extend_from_slice(&self.open);
        out.extend_from_slice(b"{");
        self.scenario.choice_index.write(choice, out);
    }

    fn close_with(&self, before: &[u8], usage: &str, after: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(before);
        out.extend_from_slice(usage.as_bytes());
        out.extend_from_slice(after);
        out.extend_from_slice(&self.end);
    }
}

impl IndexStyle {
    /// Writes the field and the comma after it.
    fn write(self, index: u64, out: &mut BytesMut) {
        let (before, index, after): (&[u8], u64, &[u8]) = match self {
            Self::FromZero => (b"\"index\":", index, b","),
            Self::FromOne => (b"\"index\":", index + 1, b","),
            Self::Zero => (b"\"index\":", 0, b","),
            Self::String => (b"\"index\":\"", index, b"\","),
            Self::None => return,
        };
        out.extend_from_slice(before);
        number(index, out);
        out.extend_from_slice(after);
    }
}

impl LineEnd {
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Crlf => b"\r\n",
            Self::Cr => b"\r",
        }
    }
}

/// The JSON of a chunk up to the inside of `choices`.
fn open(identity: &Identity<'_>, fields: &serde_json::Map<String, Value>) -> String {
    let mut chunk = json!({
        "id": identity.id, "object": "chat.completion.chunk", "created": identity.created,
        "model": identity.model, "system_fingerprint": "fp_simulator",
    });
    if let Value::Object(chunk) = &mut chunk {
        chunk.extend(fields.clone());
    }
    let json = chunk.to_string();
    format!("{},\"choices\":[", json.strip_suffix('}').unwrap_or(&json))
}
