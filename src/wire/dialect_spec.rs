//! The dialects, and what is fixed in each of them: path, headers, names of fields.

use crate::error::{Error, Result, truncate};

/// The API that a provider speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions, and every API compatible with them.
    #[default]
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl Dialect {
    /// The dialect of this name: `chat`, `responses` or `messages`.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`](crate::error::Kind::InvalidArgument) for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "chat" => Ok(Dialect::Chat),
            "responses" => Ok(Dialect::Responses),
            "messages" => Ok(Dialect::Messages),
            _ => Err(Error::invalid("dialect", truncate(name, 40), "'chat', 'responses', 'messages'")),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Responses => "responses",
            Dialect::Messages => "messages",
        }
    }

    /// The path below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Dialect::Chat => "/chat/completions",
            Dialect::Responses => "/responses",
            Dialect::Messages => "/messages",
        }
    }

    /// Whether the consumer gets the provider's events unchanged.
    pub fn is_passthrough(self) -> bool {
        self != Dialect::Chat
    }

    /// The header that carries the key, and the prefix of its value.
    pub fn key_header(self) -> (&'static str, &'static str) {
        match self {
            Dialect::Messages => ("x-api-key", ""),
            Dialect::Chat | Dialect::Responses => ("authorization", "Bearer "),
        }
    }

    /// Headers that a request must have. The caller's own values take precedence.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Dialect::Messages => &[("anthropic-version", "2023-06-01")],
            Dialect::Chat | Dialect::Responses => &[],
        }
    }

    /// The field of the conversation.
    pub(in crate::wire) fn conversation_field(self) -> &'static str {
        if self == Dialect::Responses { "input" } else { "messages" }
    }

    /// The fields that limit the tokens of an answer.
    pub(in crate::wire) fn token_limit_fields(self) -> &'static [&'static str] {
        match self {
            Dialect::Chat => &["max_tokens", "max_completion_tokens"],
            Dialect::Responses => &["max_output_tokens"],
            Dialect::Messages => &["max_tokens"],
        }
    }

    /// The fields besides the conversation that are part of the prompt.
    pub(in crate::wire) fn prompt_fields(self) -> &'static [&'static str] {
        match self {
            Dialect::Chat => &["tools", "functions", "response_format"],
            Dialect::Responses => &["instructions", "tools", "text"],
            Dialect::Messages => &["system", "tools"],
        }
    }

    /// The location of the answer's format, as a JSON pointer.
    pub(in crate::wire) fn format_pointer(self) -> &'static str {
        match self {
            Dialect::Chat => "/response_format/type",
            Dialect::Responses => "/text/format/type",
            Dialect::Messages => "/output_config/format/type",
        }
    }
}
