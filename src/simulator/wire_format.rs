//! How an answer is written: its format, the shape of its chunks, its lines and its writes.

use serde::Deserialize;

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// A stream of events.
    Sse,
    /// The same data, each on a line of its own, without `[DONE]`.
    Ndjson,
    /// One JSON document.
    Document,
}

/// The coding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentEncoding {
    /// RFC 1952.
    Gzip,
    /// The zlib format, RFC 1950.
    Deflate,
    /// Brotli, RFC 7932.
    Br,
    /// Zstandard, RFC 8878.
    Zstd,
}

/// Where the text of a chunk is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeltaShape {
    /// `delta.content` of the choice.
    #[default]
    Delta,
    /// `message.content` of the choice; there is no `delta`.
    Message,
    /// `text` of the choice, as in the old completions; reasoning, refusal and tool calls stay in `delta`.
    Text,
    /// `delta.content` as a list with one part.
    Parts,
}

/// How choices or tool calls are numbered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IndexStyle {
    /// From 0.
    #[default]
    FromZero,
    /// From 1.
    FromOne,
    /// All are 0.
    Zero,
    /// From 0, as strings.
    String,
    /// Not at all.
    None,
}

/// Where usage is sent. Except for a chunk of its own, it is also sent without being requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UsageIn {
    /// In its own chunk, without choices.
    Chunk,
    /// In its own chunk, with an empty choice.
    ChoiceChunk,
    /// In the last chunk with a finish reason.
    LastChunk,
    /// In the choice of that chunk.
    Choice,
    /// In `x_groq` of that chunk.
    XGroq,
    /// In every chunk with a choice.
    Every,
}

impl UsageIn {
    pub(super) fn has_own_chunk(self) -> bool {
        matches!(self, Self::Chunk | Self::ChoiceChunk)
    }
}

/// How the lines of a stream end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LineEnd {
    /// Line feed.
    #[default]
    Lf,
    /// Carriage return and line feed.
    Crlf,
    /// Carriage return.
    Cr,
}

/// How the bytes of a reply are split into writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected \"whole\", \"bytes\" or a whole number of bytes from 1")]
pub enum Packets {
    /// By name.
    Named(PacketStyle),
    /// This many bytes a write.
    Size(usize),
}

/// A named way of splitting bytes into writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PacketStyle {
    /// One event a write.
    Event,
    /// One byte a write.
    Bytes,
}

impl Packets {
    /// The bytes of one write; `None` if writes follow the events.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Self::Named(PacketStyle::Event) => None,
            Self::Named(PacketStyle::Bytes) => Some(1),
            Self::Size(bytes) => Some(bytes.max(1)),
        }
    }
}

/// How a request asks for the continuation of its last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continues {
    /// It ends with the assistant's message. Whatever else the request has is ignored.
    Assistant,
    /// The body has `continue_final_message: true` and `add_generation_prompt: false`.
    ContinueFinalMessage,
    /// The message has `prefix: true`.
    Prefix,
    /// The message has `partial: true`.
    Partial,
    /// In no way.
    None,
}
