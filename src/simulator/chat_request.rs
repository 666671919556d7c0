//! The parts of a chat request that the simulator reads.

use std::borrow::Cow;

use serde::Deserialize;

use super::wire_format::Continues;

pub(super) struct ChatRequest {
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) has_stream_options: bool,
    pub(super) include_usage: bool,
    pub(super) choices: u64,
    pub(super) messages: Vec<Message>,
    /// The body says that the last message is to be continued.
    pub(super) continues_final_message: bool,
    /// So does the last message, in one of two fields.
    pub(super) is_prefix: bool,
    pub(super) is_partial: bool,
    /// The response is kept, and can be requested again.
    pub(super) background: bool,
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
    #[serde(default)]
    continue_final_message: Option<bool>,
    #[serde(default)]
    add_generation_prompt: Option<bool>,
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
    #[serde(default)]
    prefix: Option<bool>,
    #[serde(default)]
    partial: Option<bool>,
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
        let continues_final_message = raw.continue_final_message == Some(true);
        // vLLM: without the second field, which is true by default, the two contradict each other.
        if continues_final_message && raw.add_generation_prompt != Some(false) {
            let message = "Cannot set both `continue_final_message` and `add_generation_prompt` to True.";
            return Err(InvalidRequest { message: message.to_owned(), param: None });
        }
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
            continues_final_message,
            is_prefix: messages.last().is_some_and(|last| last.prefix == Some(true)),
            is_partial: messages.last().is_some_and(|last| last.partial == Some(true)),
            background: false,
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

    /// Whether a request that ends with an assistant message has this form.
    pub(super) fn is_in_form(&self, form: Continues) -> bool {
        match form {
            Continues::Assistant => true,
            Continues::ContinueFinalMessage => self.continues_final_message,
            Continues::Prefix => self.is_prefix,
            Continues::Partial => self.is_partial,
            Continues::None => false,
        }
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
        let both = why(br#"{"messages":[],"continue_final_message":true}"#);
        assert!(both.message.contains("add_generation_prompt"), "{both:?}");
    }

    #[test]
    fn a_last_assistant_message_has_the_form_of_its_fields() {
        let forms = [
            Continues::Assistant,
            Continues::ContinueFinalMessage,
            Continues::Prefix,
            Continues::Partial,
            Continues::None,
        ];
        let in_forms = |body: &str, message: &str| {
            let body = format!(r#"{{{body}"messages":[{{"role":"assistant","content":"a"{message}}}]}}"#);
            let request = ChatRequest::parse(body.as_bytes()).expect("valid");
            forms.map(|form| request.is_in_form(form))
        };
        assert_eq!(in_forms("", ""), [true, false, false, false, false]);
        let fields = r#""continue_final_message":true,"add_generation_prompt":false,"#;
        assert_eq!(in_forms(fields, ""), [true, true, false, false, false]);
        assert_eq!(in_forms("", r#","prefix":true"#), [true, false, true, false, false]);
        assert_eq!(in_forms("", r#","partial":true"#), [true, false, false, true, false]);
    }
}
