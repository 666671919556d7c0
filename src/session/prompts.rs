//! The messages of a request that asks for the rest of an interrupted answer. They are appended to the
//! caller's own, which stay as they are, byte for byte.

use serde_json::{Value, json};

/// How much of the partial answer's end an instruction quotes, in code points.
pub const QUOTED: usize = 200;
/// The anchor is at least so long where the text allows it, and at most [`QUOTED`], in code points.
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
    // Of a few words the rest can honestly begin with the same: they are no anchor.
    let long = partial.chars().nth(ANCHOR_MIN - 1).is_some();
    let anchor = (style == Style::Anchored && long).then(|| anchor(partial).to_owned());
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

/// The instruction asks for the cut word from its first letter, because models go on in whole words
/// anyway, and because it says what a model otherwise leaves open: whether a space comes first. The
/// splice knows that case by the word, also where it is short. The quote stands at the end and as it
/// is, so that nothing comes between it and the answer.
fn instruction(partial: &str, anchor: Option<&str>) -> String {
    let begin = match anchor {
        Some(anchor) => format!(
            "Begin by repeating, character for character, its last words “{anchor}”, and go on from there."
        ),
        None => "If it stops in or right after a word that is made of letters, in a language that puts \
                 spaces between words, begin with that one word again, from its first letter. Otherwise \
                 begin with the very next character."
            .to_owned(),
    };
    let quote = last(partial, QUOTED);
    format!(
        "Your previous answer was cut off. Go on exactly where it stops, as if there had been no break. \
         {begin} No greeting, no explanation, no other repetition; do not start over, and do not open a \
         code block, list or table again that is still open. Keep the language and the formatting. The \
         answer so far ends with: “{quote}”"
    )
}

/// The last words: as few as stand only once in the text, from a word's beginning where there is one.
fn anchor(partial: &str) -> &str {
    let longest = last(partial, QUOTED);
    let starts = longest.char_indices().rev().map(|(at, _)| at).skip(ANCHOR_MIN - 1);
    let begins_word = |at: usize| at == 0 || longest[..at].ends_with(char::is_whitespace);
    let once = |words: &str| partial.find(words).is_some_and(|at| at + words.len() == partial.len());
    let mut words = starts.filter(|&at| begins_word(at)).map(|at| longest[at..].trim_start());
    words.find(|words| once(words)).unwrap_or_else(|| last(partial, ANCHOR_MIN).trim_start())
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
    fn the_originals_stay_byte_for_byte() {
        for style in [Style::Dialog, Style::Anchored, Style::System, Style::Prefill] {
            assert!(!added("half", style).is_empty());
        }
        assert!(continuation(" [ ] ", "half", Style::Prefill).messages.starts_with(" [ {"));
    }

    #[test]
    fn a_dialog_holds_the_whole_partial_and_quotes_its_last_200_characters() {
        let partial = format!("ab{}", "👍🏿é\n\"".repeat(100));
        let messages = added(&partial, Style::Dialog);
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0], json!({ "role": "assistant", "content": partial }));
        assert_eq!(messages[1]["role"], "user");
        let quote = "👍🏿é\n\"".repeat(40);
        assert_eq!(quote.chars().count(), QUOTED);
        assert!(messages[1]["content"].as_str().unwrap().ends_with(&format!("ends with: “{quote}”")));
    }

    #[test]
    fn a_system_message_comes_after_the_originals() {
        let messages = added("half an ans", Style::System);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0]["role"], "system");
        assert!(messages[0]["content"].as_str().unwrap().contains("“half an ans”"));
        let context: Vec<Value> =
            serde_json::from_str(&continuation(ORIGINAL, "half an ans", Style::System).messages).unwrap();
        assert_eq!(context[1..], messages);
    }

    #[test]
    fn a_prefill_ends_with_the_partial() {
        assert_eq!(added("half ", Style::Prefill), [json!({ "role": "assistant", "content": "half " })]);
    }

    #[test]
    fn an_anchor_is_the_shortest_end_that_stands_only_once() {
        let anchor = |partial: &str| continuation("[]", partial, Style::Anchored).anchor.unwrap();
        assert_eq!(anchor("the quick brown fox jumps over the lazy do"), "fox jumps over the lazy do");
        let refrain = "sing it low and sing it high again, my dear ";
        assert_eq!(anchor(&format!("one {refrain}two {refrain}")), format!("two {refrain}"));
        assert_eq!(anchor(&"羊".repeat(300)), "羊".repeat(ANCHOR_MIN));
        assert_eq!(continuation("[]", "half", Style::Dialog).anchor, None);
        assert_eq!(continuation("[]", "too short", Style::Anchored).anchor, None);
    }

    #[test]
    fn no_style_falls_back_to_itself_or_to_a_prefill() {
        for style in [Style::Dialog, Style::Anchored, Style::System, Style::Prefill] {
            assert!(!style.fallbacks().is_empty());
            assert!(!style.fallbacks().contains(&style) && !style.fallbacks().contains(&Style::Prefill));
        }
    }
}
