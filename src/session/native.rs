//! Native continuation: the provider itself continues the last assistant turn. Each form is how some of them spell it.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::prompts::append;

/// How a request asks the provider to continue its last message, which is the assistant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeForm {
    /// Fields of the body: vLLM, SGLang, TGI, tabbyAPI, and llama-server from 2026 on. vLLM rejects the first field without
    /// the second (<https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>).
    ContinueFinalMessage,
    /// A field of the message: Mistral (<https://docs.mistral.ai/api>), DeepSeek with a base URL that ends in `/beta`
    /// (<https://api-docs.deepseek.com/guides/chat_prefix_completion>), LiteLLM
    /// (<https://docs.litellm.ai/docs/completion/prefix>).
    Prefix,
    /// A field of the message: Kimi (<https://platform.kimi.ai/docs/api/chat>), Qwen in Alibaba's Model Studio
    /// (<https://www.alibabacloud.com/help/en/model-studio/partial-mode>).
    Partial,
    /// Nothing: llama-server (<https://github.com/ggml-org/llama.cpp/pull/13174>), LMDeploy, Groq
    /// (<https://console.groq.com/docs/prompting>), and Anthropic up to Claude 4.5.
    Assistant,
}

impl NativeForm {
    /// Each form, in the order in which a probe asks: a provider that needs no field ignores one.
    pub const ALL: [NativeForm; 4] =
        [NativeForm::Assistant, NativeForm::ContinueFinalMessage, NativeForm::Prefix, NativeForm::Partial];

    /// Its name in options and results.
    pub fn name(self) -> &'static str {
        match self {
            NativeForm::ContinueFinalMessage => "continue_final_message",
            NativeForm::Prefix => "prefix",
            NativeForm::Partial => "partial",
            NativeForm::Assistant => "assistant",
        }
    }

    /// The fields of the body.
    pub fn body_fields(self) -> &'static [(&'static str, bool)] {
        match self {
            NativeForm::ContinueFinalMessage => {
                &[("continue_final_message", true), ("add_generation_prompt", false)]
            }
            _ => &[],
        }
    }

    /// The field of the last message.
    pub fn message_field(self) -> Option<&'static str> {
        match self {
            NativeForm::Prefix => Some("prefix"),
            NativeForm::Partial => Some("partial"),
            _ => None,
        }
    }

    /// Its bit in a set of forms.
    pub fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A turn that the provider is to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The messages of the request, a JSON array. The turn is the last one.
    pub messages: String,
    /// The text of the turn.
    pub content: String,
}

/// The request for the rest of a partial answer. `messages` is the JSON array of the caller's messages: if the last of them
/// already begins the answer, the partial answer follows in the same message.
pub fn turn(messages: &str, partial: &str, form: NativeForm) -> Turn {
    let (before, begun) = match begun_turn(messages) {
        Some((before, begun)) => (before, begun),
        None => (messages.to_owned(), Map::new()),
    };
    let mut message = begun;
    let beginning = message.get("content").and_then(Value::as_str).unwrap_or_default();
    let content = format!("{beginning}{partial}");
    message.insert("role".to_owned(), json!("assistant"));
    message.insert("content".to_owned(), json!(content));
    if let Some(field) = form.message_field() {
        message.insert(field.to_owned(), json!(true));
    }
    Turn { messages: append(&before, &[Value::Object(message)]), content }
}

/// The messages before the last one, and the last one, if it is a text of the assistant.
fn begun_turn(messages: &str) -> Option<(String, Map<String, Value>)> {
    let mut all: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let last: Map<String, Value> = serde_json::from_str(all.pop()?.get()).ok()?;
    let is_text = last.get("role")? == "assistant"
        && last.get("content")?.is_string()
        && last.get("tool_calls").is_none_or(Value::is_null);
    is_text.then(|| (serde_json::to_string(&all).unwrap_or_default(), last))
}

/// What is dropped at the beginning of a continuation, because the delivered text has it.
///
/// The white space that the delivered text ends with: it is cut off the text that a provider continues. Some templates and
/// providers drop it there themselves, Anthropic rejects it, and a model that reads a trailing space often ends or writes a
/// second one. So the model writes it again.
///
/// The whole turn, if the first delta is nothing else: Mistral has repeated a prefix so
/// (<https://github.com/vercel/ai/pull/3256>). No model writes a delta of this length.
#[derive(Debug, Default)]
pub struct TurnStart {
    /// The turn that may come again.
    turn: Option<String>,
    /// The white space that may come again.
    white_space: String,
    has_line_break: bool,
    /// How many code points were dropped.
    pub dropped: usize,
}

/// A shorter turn may be the first delta of an honest continuation.
const MIN_REPEATED_TURN: usize = 16;

impl TurnStart {
    /// For a turn, without the white space that was cut off. `repeats`: the provider is known to repeat the turn.
    pub fn new(turn: &str, white_space: &str, form: NativeForm, repeats: bool) -> Self {
        let is_long = || turn.chars().nth(MIN_REPEATED_TURN - 1).is_some();
        let may_repeat = form == NativeForm::Prefix && !turn.is_empty() && (repeats || is_long());
        TurnStart {
            turn: may_repeat.then(|| turn.to_owned()),
            white_space: white_space.to_owned(),
            has_line_break: white_space.contains('\n'),
            dropped: 0,
        }
    }

    /// Whether nothing more is dropped.
    pub fn is_done(&self) -> bool {
        self.turn.is_none() && self.white_space.is_empty()
    }

    /// What is left of the next delta.
    pub fn strip<'d>(&mut self, delta: &'d str) -> &'d str {
        if delta.is_empty() {
            return delta;
        }
        if self.turn.take().is_some_and(|turn| turn == delta) {
            self.dropped += delta.chars().count();
            return "";
        }
        for (at, c) in delta.char_indices() {
            if self.white_space.is_empty() {
                return &delta[at..];
            }
            // The model goes on in the line that the delivered text has ended: the space before its next word.
            let is_blank =
                self.has_line_break && matches!(c, ' ' | '\t') && self.white_space.starts_with('\n');
            if self.white_space.starts_with(c) {
                self.white_space.drain(..c.len_utf8());
            } else if !is_blank {
                self.white_space.clear();
                return &delta[at..];
            }
            self.dropped += 1;
        }
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partial_answer_is_the_last_message() {
        let asked = r#"[{"role":"user","content":"\u0048i","n":1.0}]"#;
        for (form, field) in [
            (NativeForm::Assistant, ""),
            (NativeForm::ContinueFinalMessage, ""),
            (NativeForm::Prefix, r#","prefix":true"#),
            (NativeForm::Partial, r#","partial":true"#),
        ] {
            let expected = format!(
                r#"[{{"role":"user","content":"\u0048i","n":1.0}},{{"role":"assistant","content":"half"{field}}}]"#
            );
            assert_eq!(turn(asked, "half", form), Turn { messages: expected, content: "half".into() });
        }
    }

    #[test]
    fn an_answer_that_the_caller_began_is_continued_in_its_message() {
        let asked = r#"[{"role":"user","content":"x"},{"role":"assistant","content":"{\"a","prefix":true}]"#;
        let continued = turn(asked, "\": 1", NativeForm::Prefix);
        assert_eq!(continued.content, "{\"a\": 1");
        assert_eq!(
            continued.messages,
            r#"[{"role":"user","content":"x"},{"role":"assistant","content":"{\"a\": 1","prefix":true}]"#
        );
        let called = r#"[{"role":"assistant","content":"so","tool_calls":[{}]}]"#;
        let added = turn(called, "half", NativeForm::Assistant).messages;
        assert_eq!(
            added,
            r#"[{"role":"assistant","content":"so","tool_calls":[{}]},{"role":"assistant","content":"half"}]"#
        );
    }

    fn stripped(white_space: &str, deltas: &[&str]) -> (String, usize) {
        read(TurnStart::new("turn", white_space, NativeForm::Assistant, false), deltas)
    }

    fn read(mut start: TurnStart, deltas: &[&str]) -> (String, usize) {
        let text =
            deltas.iter().map(|delta| if start.is_done() { delta } else { start.strip(delta) }).collect();
        (text, start.dropped)
    }

    #[test]
    fn white_space_that_was_cut_off_is_delivered_once() {
        assert_eq!(stripped(" ", &[" world"]), ("world".into(), 1));
        assert_eq!(stripped(" ", &["world"]), ("world".into(), 0));
        assert_eq!(stripped("\n", &["\n", "\nnext"]), ("\nnext".into(), 1));
        assert_eq!(stripped("\n\n", &["\n", "next"]), ("next".into(), 1));
        assert_eq!(stripped("\n    ", &["\n  ", "  ", "    x"]), ("    x".into(), 5));
        assert_eq!(stripped(" ", &["\n\nnext"]), ("\n\nnext".into(), 0));
        assert_eq!(stripped("", &[" world"]), (" world".into(), 0));
    }

    #[test]
    fn a_line_that_has_ended_is_not_continued_with_a_space() {
        assert_eq!(stripped("\n\n", &[" ", "And more"]), ("And more".into(), 1));
        assert_eq!(stripped("\n\n", &[" \n\n", "And more"]), ("And more".into(), 3));
    }

    #[test]
    fn a_turn_that_is_repeated_in_one_delta_is_dropped() {
        let turn = "The quick brown fox";
        let read_in = |form, deltas: &[&str]| read(TurnStart::new(turn, " ", form, false), deltas);
        let repeated = ["The quick brown fox", " jumps"];
        assert_eq!(read_in(NativeForm::Prefix, &repeated), ("jumps".into(), 20));
        assert_eq!(read_in(NativeForm::Prefix, &["", " jumps"]), ("jumps".into(), 1));
        // Only there, only whole, and only if no model would write it at once.
        assert_eq!(read_in(NativeForm::Partial, &repeated).1, 0);
        let parts = ["The quick", " brown fox jumps"];
        assert_eq!(read_in(NativeForm::Prefix, &parts), (parts.concat(), 0));
        let short = |repeats| read(TurnStart::new("ha", "", NativeForm::Prefix, repeats), &["ha", "ha!"]);
        assert_eq!((short(false), short(true)), (("haha!".into(), 0), ("ha!".into(), 2)));
    }
}
