//! The parts of a chat request that the simulator reads.

use std::borrow::Cow;

use serde::Deserialize;

pub(super) struct ChatRequest {
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) has_stream_options: bool,
    pub(super) include_usage: bool,
    pub(super) choices: u64,
    pub(super) messages: Vec<Message>,
}

pub(super) struct Message {
    pub(super) role: String,
    pub(super) text: String,
}

/// The message and the parameter of the 400 for an invalid request.
#[derive(Debug, PartialEq)]
pub(super) struct InvalidRequest {
    pub(super) message: String,
    pub(super) param: Option<&'static str>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(default, borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<RawStreamOptions>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default, borrow)]
    messages: Option<Vec<RawMessage<'a>>>,
}

#[derive(Deserialize)]
struct RawStreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(default, borrow)]
    role: Cow<'a, str>,
    #[serde(default)]
    content: Option<RawContent>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of content parts")]
enum RawContent {
    Text(String),
    Parts(Vec<RawPart>),
}

#[derive(Deserialize)]
struct RawPart {
    #[serde(default)]
    text: Option<String>,
}

impl ChatRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, InvalidRequest> {
        let raw: Raw<'_> = serde_json::from_slice(body).map_err(|e| InvalidRequest {
            message: format!("We could not parse the JSON body of your request. ({e})"),
            param: None,
        })?;
        let Some(messages) = raw.messages else {
            let message = "Missing required parameter: 'messages'.".to_owned();
            return Err(InvalidRequest { message, param: Some("messages") });
        };
        let choices = raw.n.unwrap_or(1);
        if !(1..=128).contains(&choices) {
            let message =
                format!("Invalid 'n': expected an integer from 1 to 128, but got {choices} instead.");
            return Err(InvalidRequest { message, param: Some("n") });
        }
        let text = |content: Option<RawContent>| match content {
            None => String::new(),
            Some(RawContent::Text(text)) => text,
            Some(RawContent::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
        };
        Ok(Self {
            model: raw.model.map(Cow::into_owned),
            stream: raw.stream.unwrap_or(false),
            has_stream_options: raw.stream_options.is_some(),
            include_usage: raw.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
            choices,
            messages: messages
                .into_iter()
                .map(|m| Message { role: m.role.into_owned(), text: text(m.content) })
                .collect(),
        })
    }

    /// One token for every four bytes of the messages, at least one.
    pub(super) fn prompt_tokens(&self) -> u64 {
        (self.messages.iter().map(|m| m.text.len() as u64).sum::<u64>() / 4).max(1)
    }

    pub(super) fn ends_with_assistant(&self) -> bool {
        self.messages.last().is_some_and(|m| m.role == "assistant")
    }

    pub(super) fn ends_with_system(&self) -> bool {
        self.messages.len() > 1 && self.messages.last().is_some_and(|m| m.role == "system")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_may_be_text_parts_or_null() {
        let body = br#"{"model":"m\u00e4","n":2,"stream":true,"stream_options":{"include_usage":true},"messages":[
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":null,"tool_calls":[]},{"role":"system","content":"c"}]}"#;
        let request = ChatRequest::parse(body).expect("valid");
        let texts: Vec<_> = request.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["ab", "", "c"]);
        assert_eq!(request.model.as_deref(), Some("mä"));
        assert!(request.stream && request.include_usage && request.choices == 2);
        assert!(request.ends_with_system() && !request.ends_with_assistant());
    }

    #[test]
    fn an_invalid_request_is_rejected_with_a_reason() {
        let why = |body: &[u8]| ChatRequest::parse(body).err().expect("invalid");
        assert!(why(b"{").message.contains("could not parse"));
        assert_eq!(why(b"{}").param, Some("messages"));
        assert_eq!(why(br#"{"messages":[],"n":0}"#).param, Some("n"));
    }
}
