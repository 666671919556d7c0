//! The messages that ask a model to continue an interrupted answer. They are appended to the caller's messages,
//! which do not change by a single byte.

use serde_json::{Value, json};

/// How much of the end of the partial answer an instruction quotes, in code points.
const QUOTE_LENGTH: usize = 200;
/// The minimum length of an anchor, in code points. The maximum is [`QUOTE_LENGTH`].
const MIN_ANCHOR: usize = 24;

/// The form of a continuation request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The partial answer as an assistant message, then an instruction as a user message.
    Dialog,
    /// Like `Dialog`, but the model repeats the last words first.
    Anchored,
    /// One system message after the caller's messages.
    System,
    /// The partial answer in the caller's last message, with which the model is asked to begin.
    Repeat,
}

impl Style {
    /// In the order in which they are tried: words that are repeated prove the most.
    pub const ALL: [Style; 4] = [Style::Anchored, Style::System, Style::Dialog, Style::Repeat];

    /// The styles to try one after the other, beginning with `preferred`.
    pub fn in_order(preferred: Option<Style>) -> impl Iterator<Item = Style> {
        let others = Style::ALL.into_iter().filter(move |style| Some(*style) != preferred);
        preferred.into_iter().chain(others)
    }
}

/// The messages of a continuation request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// A JSON array.
    pub messages: String,
    /// The words that the model is asked to repeat first.
    pub anchor: Option<String>,
}

/// Asks the model to continue `partial`. `messages` is the JSON array of the caller's messages.
pub fn continuation(messages: &str, partial: &str, style: Style) -> Prompt {
    let turn = json!({ "role": "assistant", "content": partial });
    let anchor = matches!(style, Style::Anchored | Style::Repeat).then(|| match style {
        Style::Repeat => partial.to_owned(),
        _ => anchor(partial).to_owned(),
    });
    let added = match style {
        Style::System => vec![json!({ "role": "system", "content": instruction(partial, None) })],
        Style::Repeat => vec![json!({ "role": "user", "content": format!("{AGAIN}\n\n{partial}") })],
        Style::Dialog | Style::Anchored => {
            let text = instruction(partial, anchor.as_deref());
            vec![turn, json!({ "role": "user", "content": text })]
        }
    };
    Prompt { messages: append(messages, &added), anchor }
}

/// The fixed parts of the instructions.
const CUT_OFF: &str =
    "Your previous answer was cut off. Go on exactly where it stops, as if there had been no break.";
const REPEAT: &str = "Begin by repeating, character for character, its last words";
const BEGIN: &str = "If it stops in or right after a word that is made of letters, in a language that puts spaces between \
                     words, begin with that one word again, from its first letter. Otherwise begin with the very next \
                     character.";
const RULES: &str = "No greeting, no explanation, no other repetition; do not start over, and do not open a code block, list \
                     or table again that is still open. Keep the language and the formatting. The answer so far ends with:";

const AGAIN: &str = "Your answer was cut off. Write it again: begin with exactly this text, word for word, and go on from \
                     there to the end of the answer.";

/// The instruction asks the model to repeat a word that was cut from its first letter. Models continue in whole
/// words anyway, and otherwise it would be open whether a space comes first. The splice recognizes a repeated
/// word even if it is short. The quote is verbatim and last, so that nothing separates it from the answer.
fn instruction(partial: &str, anchor: Option<&str>) -> String {
    let start = match anchor {
        Some(anchor) => format!("{REPEAT} “{anchor}”, and go on from there."),
        None => BEGIN.to_owned(),
    };
    let quote = last_points(partial, QUOTE_LENGTH);
    format!("{CUT_OFF} {start} {RULES} “{quote}”")
}

/// The shortest part of an instruction that is one, in bytes, and how much of a text is searched for it, in code points.
const MIN_ECHO: usize = 18;
const SEARCHED: usize = 200;

/// Whether a text contains a part of an instruction.
pub fn is_echo(text: &str) -> bool {
    let is_part =
        |words: &str| [CUT_OFF, REPEAT, BEGIN, RULES, AGAIN].iter().any(|part| part.contains(words));
    let starts = text.char_indices().take(SEARCHED).map(|(at, _)| at);
    let mut starts = starts.filter(|&at| at == 0 || !text[..at].ends_with(|c: char| c.is_ascii_alphabetic()));
    starts.any(|at| text.get(at..at + MIN_ECHO).is_some_and(is_part))
}

/// The anchor: the shortest ending that occurs only once in the text, starting at a word if possible.
fn anchor(partial: &str) -> &str {
    let longest = last_points(partial, QUOTE_LENGTH);
    let starts = longest.char_indices().rev().map(|(at, _)| at).skip(MIN_ANCHOR - 1);
    let starts_word = |at: usize| at == 0 || longest[..at].ends_with(char::is_whitespace);
    let is_unique = |words: &str| partial.find(words).is_some_and(|at| at + words.len() == partial.len());
    let mut candidates = starts.filter(|&at| starts_word(at)).map(|at| longest[at..].trim_start());
    candidates.find(|words| is_unique(words)).unwrap_or_else(|| last_points(partial, MIN_ANCHOR).trim_start())
}

/// The last `points` code points.
fn last_points(text: &str, points: usize) -> &str {
    let start = text.char_indices().rev().take(points).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}

/// Appends messages to a JSON array.
pub(super) fn append(messages: &str, added: &[Value]) -> String {
    let open = messages.trim_end();
    let open = open.strip_suffix(']').unwrap_or(open);
    let mut out = String::with_capacity(messages.len() + 2_048);
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

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINAL: &str = "[ {\"role\":\"user\", \"content\":\"\\u0048i\", \"n\":1.0} ]\n";

    fn added(partial: &str, style: Style) -> Vec<Value> {
        let prompt = continuation(ORIGINAL, partial, style);
        let mut messages: Vec<Value> = serde_json::from_str(&prompt.messages).unwrap();
        assert!(prompt.messages.starts_with(ORIGINAL.trim_end().trim_end_matches(']')));
        messages.split_off(1)
    }

    #[test]
    fn the_callers_messages_do_not_change() {
        for style in Style::ALL {
            assert!(!added("half", style).is_empty());
        }
        assert!(continuation(" [ ] ", "half", Style::Dialog).messages.starts_with(" [ {"));
    }

    #[test]
    fn a_dialog_contains_the_partial_answer_and_quotes_its_last_200_characters() {
        let partial = format!("ab{}", "👍🏿é\n\"".repeat(100));
        let messages = added(&partial, Style::Dialog);
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0], json!({ "role": "assistant", "content": partial }));
        assert_eq!(messages[1]["role"], "user");
        let quote = "👍🏿é\n\"".repeat(40);
        assert_eq!(quote.chars().count(), QUOTE_LENGTH);
        assert!(messages[1]["content"].as_str().unwrap().ends_with(&format!("ends with: “{quote}”")));
    }

    #[test]
    fn a_system_message_comes_after_the_callers_messages() {
        let messages = added("half an ans", Style::System);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0]["role"], "system");
        assert!(messages[0]["content"].as_str().unwrap().contains("“half an ans”"));
        let context: Vec<Value> =
            serde_json::from_str(&continuation(ORIGINAL, "half an ans", Style::System).messages).unwrap();
        assert_eq!(context[1..], messages);
    }

    #[test]
    fn an_anchor_is_the_shortest_unique_ending() {
        let anchor = |partial: &str| continuation("[]", partial, Style::Anchored).anchor.unwrap();
        assert_eq!(anchor("the quick brown fox jumps over the lazy do"), "fox jumps over the lazy do");
        let refrain = "sing it low and sing it high again, my dear ";
        assert_eq!(anchor(&format!("one {refrain}two {refrain}")), format!("two {refrain}"));
        assert_eq!(anchor(&"羊".repeat(300)), "羊".repeat(MIN_ANCHOR));
        assert_eq!(continuation("[]", "half", Style::Dialog).anchor, None);
        assert_eq!(anchor("too short"), "too short");
    }

    #[test]
    fn every_style_has_its_turn_once() {
        for preferred in [None, Some(Style::Dialog), Some(Style::System)] {
            let order: Vec<Style> = Style::in_order(preferred).collect();
            assert_eq!(order.len(), Style::ALL.len());
            assert!(Style::ALL.iter().all(|style| order.contains(style)));
            assert!(preferred.is_none_or(|style| order[0] == style));
        }
    }

    #[test]
    fn the_instruction_is_recognized_in_a_text() {
        let instruction = instruction("one two three", None);
        assert!(is_echo(&instruction) && is_echo(&format!("Well. {}", &instruction[40..])));
        assert!(!is_echo("It was cut off by the sea, and nobody came for a year."));
    }
}
