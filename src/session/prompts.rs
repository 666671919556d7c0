//! The messages of a request that asks for the rest of an interrupted answer. They are appended to the
//! caller's own, which stay as they are, byte for byte.

use serde_json::{Value, json};

/// How much of the partial answer's end an instruction quotes, in code points.
pub const QUOTED: usize = 200;
/// The anchor is at least so long where the text allows it, and at most [`QUOTED`].
const ANCHOR_MIN: usize = 24;

/// In which form the rest of an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The partial answer as an assistant turn, then a user's instruction.
    Dialog,
    /// The same, and the model begins with the last words again.
    Anchored,
    /// One system message after the originals.
    System,
    /// The partial answer as the last turn, for models that go on with it.
    Prefill,
}

impl Style {
    /// What to try, in this order, when a provider refuses this style with a 400: forms that need less
    /// of a provider. Prefill is the one that most refuse, so it never stands in for another.
    pub fn fallbacks(self) -> &'static [Style] {
        match self {
            Style::Dialog => &[Style::System],
            Style::Anchored | Style::Prefill => &[Style::Dialog, Style::System],
            Style::System => &[Style::Dialog],
        }
    }
}

/// The messages of one request for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// A JSON array.
    pub messages: String,
    /// The words that the model was asked to begin with.
    pub anchor: Option<String>,
}

/// Asks for the rest of `partial`. `messages` is the JSON array of the caller's original messages.
pub fn continuation(messages: &str, partial: &str, style: Style) -> Prompt {
    let turn = json!({ "role": "assistant", "content": partial });
    let anchor = (style == Style::Anchored).then(|| anchor(partial).to_owned());
    let added = match style {
        Style::Prefill => vec![turn],
        Style::System => vec![json!({ "role": "system", "content": instruction(partial, None) })],
        Style::Dialog | Style::Anchored => {
            let text = instruction(partial, anchor.as_deref());
            vec![turn, json!({ "role": "user", "content": text })]
        }
    };
    Prompt { messages: append(messages, &added), anchor }
}

/// The documents' `buildRecoveryContext`: the originals and one system message that quotes the last 200
/// characters.
pub fn recovery_context(messages: &str, partial: &str) -> String {
    continuation(messages, partial, Style::System).messages
}

/// What is left of a request's `max_tokens` after so many were received; none when nothing is: the
/// answer ends there with `length`.
pub fn remaining_tokens(max_tokens: u64, received: u64) -> Option<u64> {
    max_tokens.checked_sub(received).filter(|&left| left > 0)
}

fn instruction(partial: &str, anchor: Option<&str>) -> String {
    let quote = json!(last(partial, QUOTED));
    let begin = match anchor {
        Some(anchor) => format!(
            "Begin your reply with these last words of it, repeated exactly: {}. Then go on.",
            json!(anchor)
        ),
        None => "Go on with the very next character after that. Only where the text stops inside a word, \
                 begin with that whole word again."
            .to_owned(),
    };
    format!(
        "Your last answer was cut off by a network error. Its last characters, as a JSON string, are: \
         {quote}. {begin} No greeting, no explanation, no other repetition; do not start over and do not \
         close or reopen a code block. Keep the language and the formatting."
    )
}

/// The last words: from a space on, and so long that they stand only once near the end of the text.
fn anchor(partial: &str) -> &str {
    let quoted = last(partial, QUOTED);
    let least = quoted.len() - last(quoted, ANCHOR_MIN).len();
    let from = quoted[..least].rfind(char::is_whitespace).map_or(0, |at| at);
    quoted[from..].trim_start()
}

/// The last `points` code points.
fn last(text: &str, points: usize) -> &str {
    let start = text.char_indices().rev().take(points).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}

/// Adds messages to a JSON array of them.
fn append(messages: &str, added: &[Value]) -> String {
    let open = messages.trim_end();
    let open = open.strip_suffix(']').unwrap_or(open);
    let mut out = String::with_capacity(messages.len() + 512);
    out.push_str(open);
    let mut first = open.trim() == "[";
    for message in added {
        if !first {
            out.push(',');
        }
        first = false;
        out.push_str(&message.to_string());
    }
    out.push(']');
    out
}
