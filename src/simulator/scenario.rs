//! How one request is answered. Every field is optional and can be combined with the others.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::validate::{self, MAX_WAIT_MS, in_range};
use super::wire_format::{
    ContentEncoding, Continues, DeltaShape, Format, IndexStyle, LineEnd, Packets, UsageIn,
};

/// How one chat request is answered; a default scenario is a healthy answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// A name that the recorded request carries; none by default.
    pub label: Option<String>,
    /// The seed for ids and chunk sizes of this answer; by default the simulator's.
    pub seed: Option<u64>,

    /// The status of the reply, 200 to 599; default 200.
    pub status: Option<u16>,
    /// Headers to add, or to replace those of the same name; none by default.
    pub headers: BTreeMap<String, HeaderValues>,
    /// The whole body in place of an answer: a string is sent unchanged, anything else as JSON.
    pub body: Option<Value>,
    /// `retry-after` in seconds; not sent by default.
    pub retry_after: Option<f64>,
    /// `retry-after` as an HTTP date this many seconds from now, rounded up to a whole second.
    pub retry_after_date: Option<f64>,
    /// `retry-after-ms` in milliseconds; not sent by default.
    pub retry_after_ms: Option<f64>,
    /// Whether to send a gateway's HTML page in place of an answer; default false.
    pub html: bool,
    /// The format of the answer, whatever was requested; by default what was requested.
    pub format: Option<Format>,
    /// How the body is encoded, whatever the request accepts; not by default.
    pub content_encoding: Option<ContentEncoding>,
    /// The size in bytes to which the response head is padded, at most 1 MiB; no padding by default.
    pub header_bytes: Option<usize>,

    /// Whether the connection is reset (TCP RST) before any response byte; default false.
    pub connect_reset: bool,
    /// Whether the connection is closed (FIN) before any response byte; default false.
    pub close_before_headers: bool,
    /// Whether no byte is ever sent; default false.
    pub hang: bool,
    /// The wait before the response head, or before a fault in its place, in milliseconds; default 0.
    pub headers_delay_ms: u64,
    /// The wait before the first chunk, after head and role, in milliseconds; default 0.
    pub first_token_delay_ms: u64,
    /// The wait between two chunks in milliseconds; default 0.
    pub chunk_delay_ms: u64,

    /// Whether a chunk with the bare role comes before the first chunk; default true.
    pub role_first: Option<bool>,
    /// The data of the events, in place of generated chunks: a string is sent unchanged, anything else as JSON. A
    /// continuation gets the same events. None by default; `[DONE]` still follows.
    pub events: Option<Vec<Value>>,
    /// The answer as exact content deltas; excludes `text`.
    pub chunks: Option<Vec<String>>,
    /// The answer, which the seed splits into chunks; by default the simulator's answer.
    pub text: Option<String>,
    /// The size of a chunk in characters; by default the seed chooses 1 to 8 for each.
    pub chunk_chars: Option<usize>,
    /// The number of chunks, for benchmarks: each is the whole `text`, or the next of `chunks` in
    /// turn, or a space and its number.
    pub repeat: Option<u64>,
    /// Whether each chunk of `repeat` is the time at which it is written in place of a number: the last
    /// nine digits of the microseconds since 1970, and a space; default false. Measures delivery.
    pub stamp: bool,
    /// Text sent as `reasoning_content` before the answer; none by default.
    pub reasoning: Option<String>,
    /// Text sent as `refusal`; an answer is sent as well only if the scenario has one.
    pub refusal: Option<String>,
    /// Tool calls sent after the text; an answer is sent as well only if the scenario has one.
    pub tool_calls: Vec<ToolCall>,
    /// The finish reason; default `stop`, or `tool_calls` when there are any.
    pub finish_reason: Option<String>,
    /// More text of the first choice, in one chunk after those with the finish reason; none by default.
    pub late_text: Option<String>,

    /// Fields that each chunk has besides its choices and usage, or has with another value; none by default.
    pub chunk_fields: serde_json::Map<String, Value>,
    /// Where the text of a chunk is; default `delta`.
    pub shape: DeltaShape,
    /// How choices are numbered; default `fromZero`.
    pub choice_index: IndexStyle,
    /// How tool calls are numbered; default `fromZero`.
    pub tool_call_index: IndexStyle,

    /// Pings while the stream waits or stalls; none by default.
    pub pings: Option<Pings>,
    /// Where and how the answer is cut off; not by default.
    pub disconnect: Option<Disconnect>,
    /// Whether `[DONE]` ends the stream; default true.
    pub done: Option<bool>,
    /// Whether the choices get a finish reason; default true.
    pub finish: Option<bool>,

    /// Whether usage is sent, or which; by default if the request includes usage or is not streamed.
    pub usage: Option<Usage>,
    /// Where usage is sent; by default in its own chunk.
    pub usage_in: Option<UsageIn>,
    /// The wait before the usage chunk in milliseconds; default 0.
    pub usage_delay_ms: u64,
    /// Whether a request with `stream_options` is rejected with a 400; default false.
    pub reject_stream_options: bool,
    /// The form of request in which a last assistant message is continued; default `assistant`, or `none` with
    /// `rejectAssistantTail`. In another form it gets a new turn: the answer from its beginning.
    pub continues: Option<Continues>,
    /// The status, 400 to 499, with which a request whose last message is the assistant's is rejected, unless it is
    /// continued; not rejected by default.
    pub reject_assistant_tail: Option<u16>,
    /// Whether a request that ends with a system message, and has others, is rejected with a 400; default false.
    pub reject_system_tail: bool,

    /// How the lines of the stream end; default `lf`.
    pub line_end: LineEnd,
    /// Whether an empty line follows each event; default true.
    pub blank_lines: Option<bool>,
    /// How the bytes are split into writes; by default up to 16 KiB a write.
    pub packets: Option<Packets>,
    /// Whether a streamed HTTP/1.1 body is chunked, or ends with the connection; default true.
    pub chunked: Option<bool>,
    /// Whether the connection stays open after the answer; default true.
    pub keep_alive: Option<bool>,

    /// The answer to a request that continues a cut one; default `exact`.
    pub on_continue: OnContinue,
    /// How many characters `overlap` sends again; default 0.
    pub overlap_chars: usize,
    /// How a background response can be requested again; default `stream`.
    pub kept: Kept,
}

/// One value of a header, or several lines of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub enum HeaderValues {
    /// One line.
    One(String),
    /// A line for each.
    Many(Vec<String>),
}

impl HeaderValues {
    pub(super) fn lines(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// A tool call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolCall {
    /// The id of the call; by default derived from the seed.
    pub id: Option<String>,
    /// The function's name; default empty.
    pub name: String,
    /// The arguments: a string is sent unchanged, anything else as JSON; default an empty object.
    pub arguments: Option<Value>,
}

/// Heartbeats of a stream.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Pings {
    /// The time between two pings in milliseconds, at least 1; default 1000.
    pub every_ms: u64,
    /// The form of a ping; default `comment`.
    pub style: PingStyle,
}

impl Default for Pings {
    fn default() -> Self {
        Self { every_ms: 1000, style: PingStyle::Comment }
    }
}

/// The form of a ping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PingStyle {
    /// The comment line `: ping`.
    #[default]
    Comment,
    /// An event named `ping`.
    Event,
}

/// Where and how an answer ends before its time; with neither number, before the first chunk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Disconnect {
    /// After this many chunks, counted over all choices, or after the last one if there are fewer.
    pub after_chunks: Option<u64>,
    /// After this many bytes of the body (without chunk framing), even inside a character. A cut that writes an event
    /// waits for the end of the event in which that byte lies.
    pub after_bytes: Option<u64>,
    /// After the chunks with the finish reason, before usage and `[DONE]`; default false. Excludes the numbers.
    pub after_finish: bool,
    /// How it is cut; default `reset`.
    pub how: DisconnectHow,
    /// The error of `errorEvent` and `errorEventNamed`; by default a server error in OpenAI's shape.
    pub error: Option<Value>,
}

/// How an answer is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DisconnectHow {
    /// The connection is reset (TCP RST), 20 ms after the last byte; in HTTP/2 the stream is.
    #[default]
    Reset,
    /// The connection is closed (FIN) and the body not ended.
    Close,
    /// Nothing more comes, and the connection stays open.
    Stall,
    /// An event `{"error": …}`, then the end of the body.
    ErrorEvent,
    /// The same as an event with the name `error`.
    ErrorEventNamed,
    /// An event that is not JSON, then the end of the body.
    Malformed,
    /// `[DONE]` without a finish reason.
    Done,
    /// The end of the body without a finish reason and `[DONE]`.
    NoFinish,
}

impl DisconnectHow {
    /// Whether the cut falls between bytes, and not between events.
    pub(super) fn is_raw(self) -> bool {
        matches!(self, Self::Reset | Self::Close | Self::Stall | Self::NoFinish)
    }
}

/// Whether usage is sent, or which.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected true, false or a usage object")]
pub enum Usage {
    /// Always, or never.
    Sent(bool),
    /// Always, and this object.
    Exactly(serde_json::Map<String, Value>),
}

/// The answer to a request that continues a cut one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnContinue {
    /// What the request asks for: the words that it asks to repeat come first.
    #[default]
    Asked,
    /// The answer from the end of the request's text.
    Exact,
    /// The same, from `overlapChars` characters earlier.
    Overlap,
    /// The answer from its beginning.
    Restart,
    /// Another text.
    Different,
    /// The same as `exact`, but a word (a run of letters) that was cut inside begins again.
    Word,
    /// The last words once more, and the end.
    Echo,
    /// Nothing, and the end.
    Empty,
    /// A sentence about the answer, then its rest.
    Preamble,
    /// The last sentence again with another beginning, then the rest.
    Near,
    /// The answer from the middle of what the request has.
    Middle,
    /// The beginning of the instruction, then the rest.
    Instruction,
    /// The rest with a capital letter, and without the space before it.
    Glued,
    /// The first two lines of the answer, then its rest from the next line on.
    Header,
}

/// How a background response of `/v1/responses` can be requested again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kept {
    /// As a stream from any event on, and as a document.
    #[default]
    Stream,
    /// As a document: its stream is too old, a 400.
    Document,
    /// Not at all: a 404.
    No,
}

impl Scenario {
    /// The form in which a last assistant message is continued.
    pub(super) fn continues(&self) -> Continues {
        let default =
            if self.reject_assistant_tail.is_some() { Continues::None } else { Continues::Assistant };
        self.continues.unwrap_or(default)
    }

    /// The format of the answer to a request, which may have asked for a stream.
    pub(super) fn format(&self, streamed: bool) -> Format {
        match self.format {
            Some(format) => format,
            None if streamed || self.events.is_some() => Format::Sse,
            None => Format::Document,
        }
    }

    pub(super) fn usage_in(&self) -> UsageIn {
        self.usage_in.unwrap_or(UsageIn::Chunk)
    }

    /// Parses a scenario from JSON.
    ///
    /// # Errors
    /// A message with the name of the field, its value and the accepted values.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let scenario: Self = validate::from_json("scenario", json)?;
        scenario.check().map_err(|why| format!("scenario: {why}"))?;
        Ok(scenario)
    }

    /// Parses an array of scenarios from JSON.
    ///
    /// # Errors
    /// Those of [`Scenario::from_json`].
    pub fn list_from_json(json: &str) -> Result<Vec<Self>, String> {
        let values: Vec<Value> =
            serde_json::from_str(json).map_err(|e| format!("scenarios must be a JSON array: {e}"))?;
        let read = |(at, value): (usize, Value)| {
            let what = format!("scenarios[{at}]");
            let scenario: Self = validate::from_value(&what, value)?;
            scenario.check().map_err(|why| format!("{what}: {why}"))?;
            Ok(scenario)
        };
        values.into_iter().enumerate().map(read).collect()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(status) = self.status {
            in_range("status", status, 200, 599)?;
        }
        for (name, values) in &self.headers {
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(format!("headers: {name:?} is not a header name"));
            }
            for value in values.lines() {
                if http::HeaderValue::from_str(value).is_err() {
                    return Err(format!("headers.{name} must be printable text in one line; got {value:?}"));
                }
            }
        }
        for (name, wait) in [
            ("headersDelayMs", self.headers_delay_ms),
            ("firstTokenDelayMs", self.first_token_delay_ms),
            ("chunkDelayMs", self.chunk_delay_ms),
            ("usageDelayMs", self.usage_delay_ms),
        ] {
            in_range(name, wait, 0, MAX_WAIT_MS)?;
        }
        for (name, wait) in [("retryAfter", self.retry_after), ("retryAfterMs", self.retry_after_ms)] {
            in_range(name, wait.unwrap_or(0.0), 0.0, 1e12)?;
        }
        in_range("retryAfterDate", self.retry_after_date.unwrap_or(0.0), -1e9, 1e9)?;
        in_range("rejectAssistantTail", self.reject_assistant_tail.unwrap_or(400), 400, 499)?;
        in_range("headerBytes", self.header_bytes.unwrap_or(0), 0, 1 << 20)?;
        in_range("chunkChars", self.chunk_chars.unwrap_or(1), 1, 1 << 20)?;
        in_range("repeat", self.repeat.unwrap_or(0), 0, 100_000_000)?;
        if let Some(pings) = &self.pings {
            in_range("pings.everyMs", pings.every_ms, 1, MAX_WAIT_MS)?;
        }
        if let Some(Packets::Size(bytes)) = self.packets {
            in_range("packets", bytes, 1, 1 << 24)?;
        }
        if self.text.is_some() && self.chunks.is_some() {
            return Err("text and chunks exclude each other; give one".to_owned());
        }
        if self.events.is_some() {
            if self.text.is_some() || self.chunks.is_some() || self.repeat.is_some() {
                return Err("events exclude text, chunks and repeat".to_owned());
            }
            if self.format(true) == Format::Document {
                return Err(
                    "events need the format \"sse\" or \"ndjson\"; a document is given as body".to_owned()
                );
            }
        }
        for (field, option) in [("choices", "events"), ("usage", "usage")] {
            if self.chunk_fields.contains_key(field) {
                return Err(format!("chunkFields cannot have {field}; use the field {option}"));
            }
        }
        if let Some(cut) = &self.disconnect
            && cut.after_finish
            && (cut.after_chunks.is_some() || cut.after_bytes.is_some())
        {
            return Err("disconnect.afterFinish excludes afterChunks and afterBytes".to_owned());
        }
        if self.stamp && (self.repeat.is_none() || self.text.is_some() || self.chunks.is_some()) {
            return Err("stamp needs repeat, and neither text nor chunks".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
