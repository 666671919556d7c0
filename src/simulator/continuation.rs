//! Recognizes a request for the rest of an answer, and finds where the rest begins.

use memchr::memmem;

use super::chat_request::Message;
use super::scenario::OnContinue;

/// A quote with fewer bytes counts only between quotation marks, and only of the beginning of the answer.
const MIN_QUOTE: usize = 24;
/// How many bytes at the end of a message are searched for a quote.
const SEARCH_LIMIT: usize = 4096;

/// The answer of the style `different`.
pub(super) const DIFFERENT_ANSWER: &str =
    "On second thought, let us speak of goats. Goats climb where no sheep would follow.";

/// Whether the request can be a continuation: it has an assistant message near its end.
pub(super) fn may_continue(messages: &[Message]) -> bool {
    messages.iter().rev().take(3).any(|m| m.role == "assistant")
}

/// The offset in `answer` up to which the request contains it.
pub(super) fn resume_point(messages: &[Message], answer: &str) -> Option<usize> {
    let near_end = messages.iter().rev().take(3).enumerate();
    let assistant = near_end.into_iter().find(|(_, m)| m.role == "assistant");
    let last = messages.last()?;
    if let Some((messages_after, partial)) = assistant {
        let partial = partial.text.as_str();
        if !partial.is_empty() && answer.starts_with(partial) {
            // A whole answer followed by a question is a conversation, unless its end is quoted.
            let open = partial.len() < answer.len() || messages_after == 0;
            if open || quoted_end(&last.text, answer) == Some(answer.len()) {
                return Some(partial.len());
            }
        }
    }
    if messages.len() > 1 && matches!(last.role.as_str(), "system" | "developer" | "user") {
        return quoted_end(&last.text, answer);
    }
    None
}

/// The offset in `answer` at which the passage quoted in `message` ends.
fn quoted_end(message: &str, answer: &str) -> Option<usize> {
    let start = message.len().saturating_sub(SEARCH_LIMIT);
    let start = (start..=message.len()).find(|&at| message.is_char_boundary(at)).unwrap_or(0);
    let tail = &message[start..];
    let unescaped =
        tail.replace("\\n", "\n").replace("\\t", "\t").replace("\\\"", "\"").replace("\\\\", "\\");
    let (plain, other) = (longest_passage(tail, answer), longest_passage(&unescaped, answer));
    plain.max(other).map(|(_, end)| end).or_else(|| {
        let marked =
            [("\"", "\""), ("“", "”"), ("«", "»"), ("`", "`")].into_iter().filter_map(|(open, close)| {
                let (rest, _) = tail.rsplit_once(close)?;
                let (_, quote) = rest.rsplit_once(open)?;
                (!quote.is_empty() && answer.starts_with(quote)).then_some(quote.len())
            });
        marked.max()
    })
}

/// The length, and the end in `answer`, of the longest common passage of at least `MIN_QUOTE` bytes.
fn longest_passage(message: &str, answer: &str) -> Option<(usize, usize)> {
    let (message, searched) = (message.as_bytes(), answer.as_bytes());
    let mut best: Option<(usize, usize)> = None;
    let mut at = 0;
    while at + MIN_QUOTE <= message.len() {
        let mut next = at + 1;
        for found in memmem::find_iter(searched, &message[at..at + MIN_QUOTE]) {
            let same = message[at..].iter().zip(&searched[found..]).take_while(|(a, b)| a == b).count();
            next = next.max(at + same - MIN_QUOTE + 1);
            if best.is_none_or(|(length, _)| same > length) {
                best = Some((same, found + same));
            }
        }
        at = next;
    }
    best.map(|(length, end)| (length, (0..=end).rev().find(|&b| answer.is_char_boundary(b)).unwrap_or(0)))
}

/// What a request for the rest of `answer`, which it has up to `point`, gets. `instruction` is its last message.
pub(super) enum Rest {
    /// The answer from this offset on.
    From(usize),
    /// Another text.
    Other(String),
}

pub(super) fn rest(
    answer: &str,
    point: usize,
    instruction: &str,
    style: OnContinue,
    overlap_chars: usize,
) -> Rest {
    let (known, new) = answer.split_at(point);
    let other = |text: String| Rest::Other(text);
    match style {
        OnContinue::Asked if instruction.contains("that one word again") => {
            self::rest(answer, point, instruction, OnContinue::Word, overlap_chars)
        }
        OnContinue::Asked => Rest::From(point - asked_words(known, instruction)),
        OnContinue::Restart => Rest::From(0),
        OnContinue::Different => other(DIFFERENT_ANSWER.to_owned()),
        OnContinue::Overlap => {
            let earlier = known.char_indices().rev().map(|(at, _)| at);
            Rest::From(match overlap_chars {
                0 => point,
                n => earlier.into_iter().nth(n - 1).unwrap_or(0),
            })
        }
        OnContinue::Word if new.starts_with(is_letter) => {
            let begins = known.char_indices().rev().take_while(|(_, c)| is_letter(*c));
            Rest::From(begins.last().map_or(point, |(at, _)| at))
        }
        // The cut was between two words.
        OnContinue::Exact | OnContinue::Word => Rest::From(point),
        OnContinue::Echo => other(last_sentence(known).to_owned()),
        OnContinue::Empty => other(String::new()),
        OnContinue::Preamble => other(format!("Sure, here is the rest of the answer:\n\n{new}")),
        OnContinue::Near => {
            let sentence = last_sentence(known);
            let rest = sentence.split_once(' ').map_or(sentence, |(_, rest)| rest);
            other(format!("Thus {rest}{new}"))
        }
        OnContinue::Middle => {
            let middle = (point / 2..=point).find(|&at| answer.is_char_boundary(at));
            Rest::From(middle.unwrap_or(point))
        }
        OnContinue::Instruction => {
            let start: String = instruction.chars().take(90).collect();
            other(format!("{start}\n\n{new}"))
        }
        OnContinue::Glued => {
            let mut rest = new.trim_start().chars();
            let first = rest.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            other(first + rest.as_str())
        }
        // Before the first row is complete it would be the same table, begun again.
        OnContinue::Header if known.matches('\n').count() < 3 => Rest::From(point),
        OnContinue::Header => {
            let header: String = answer.split_inclusive('\n').take(2).collect();
            let next = new.find('\n').map_or("", |at| &new[at + 1..]);
            other(header + next)
        }
    }
}

/// How many bytes at the end of `known` an instruction asks to repeat: the words that it quotes after "repeating", or all if
/// the answer shall be written again.
fn asked_words(known: &str, instruction: &str) -> usize {
    if instruction.contains("rite it again") {
        return known.len();
    }
    let quote = instruction.split_once("repeating").and_then(|(_, after)| after.split_once('“'));
    // The words may contain such marks themselves.
    let quotes =
        quote.into_iter().flat_map(|(_, quote)| quote.match_indices('”').map(|(end, _)| &quote[..end]));
    quotes.filter(|words| !words.is_empty() && known.ends_with(words)).map(str::len).next().unwrap_or(0)
}

/// The last sentence or line of a text.
fn last_sentence(text: &str) -> &str {
    let end = text.trim_end().trim_end_matches(['.', '\n']);
    let start = end.rfind(['.', '\n']).map_or(0, |at| at + 1);
    text[start..].trim_start()
}

/// A letter, or a combining mark: a text may be in decomposed form.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str =
        "Zähle die Schafe:\neins, zwei, drei, \"vier\", fünf und dann von vorn, bis du schläfst.";

    fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
        turns
            .iter()
            .map(|(role, text)| Message { role: (*role).to_owned(), text: (*text).to_owned() })
            .collect()
    }

    fn at(turns: &[(&str, &str)]) -> Option<usize> {
        resume_point(&messages(turns), ANSWER)
    }

    #[test]
    fn a_partial_answer_near_the_end_is_continued_where_it_ends() {
        let partial = &ANSWER[..12];
        assert_eq!(at(&[("user", "count"), ("assistant", partial)]), Some(12));
        assert_eq!(at(&[("user", "count"), ("assistant", partial), ("user", "go on")]), Some(12));
        assert_eq!(at(&[("user", "count"), ("assistant", "something else"), ("user", "go on")]), None);
        assert_eq!(at(&[("user", "count")]), None);
    }

    #[test]
    fn a_whole_answer_is_not_continued_unless_its_end_is_quoted() {
        assert_eq!(at(&[("user", "count"), ("assistant", ANSWER), ("user", "thanks, again?")]), None);
        assert_eq!(at(&[("user", "count"), ("assistant", ANSWER)]), Some(ANSWER.len()));
        let quote = format!("Go on after: {}", &ANSWER[30..]);
        assert_eq!(at(&[("user", "count"), ("assistant", ANSWER), ("system", &quote)]), Some(ANSWER.len()));
    }

    #[test]
    fn a_quote_is_found_raw_escaped_or_short_between_marks() {
        let end = ANSWER.find("von").expect("in the answer");
        let raw = format!("Continue after this: <<{}>>", &ANSWER[5..end]);
        assert_eq!(at(&[("user", "count"), ("user", &raw)]), Some(end));
        let escaped = serde_json::to_string(&ANSWER[5..end]).expect("a string");
        assert_eq!(at(&[("user", "count"), ("system", &format!("The end was {escaped}."))]), Some(end));
        assert_eq!(at(&[("user", "count"), ("user", "The answer was \"Zähl\" so far.")]), Some(5));
        assert_eq!(at(&[("user", "The answer was \"Zähl\" so far.")]), None);
    }

    #[test]
    fn each_style_resumes_at_its_own_offset() {
        let offset = |end: usize, instruction: &str, style, overlap| match rest(
            ANSWER,
            end,
            instruction,
            style,
            overlap,
        ) {
            Rest::From(at) => Some(at),
            Rest::Other(_) => None,
        };
        let end = ANSWER.find("nn von").expect("in the answer");
        assert_eq!(offset(end, "", OnContinue::Exact, 0), Some(end));
        assert_eq!(offset(end, "", OnContinue::Overlap, 5), Some(ANSWER.find("nd da").expect("there")));
        assert_eq!(offset(3, "", OnContinue::Overlap, 60), Some(0));
        assert_eq!(offset(end, "", OnContinue::Word, 0), ANSWER.find("dann"));
        assert_eq!(offset(end + 2, "", OnContinue::Word, 0), Some(end + 2));
        assert_eq!(offset(end + 3, "", OnContinue::Word, 0), Some(end + 3));
        assert_eq!(offset(end, "", OnContinue::Restart, 0), Some(0));
        assert_eq!(offset(end, "", OnContinue::Different, 0), None);
    }

    #[test]
    fn the_words_that_are_asked_for_come_first() {
        let end = ANSWER.find("nn von").expect("in the answer");
        let asked = |instruction: &str| match rest(ANSWER, end, instruction, OnContinue::Asked, 0) {
            Rest::From(at) => &ANSWER[at..end],
            Rest::Other(_) => "another text",
        };
        assert_eq!(asked("Go on."), "");
        assert_eq!(asked("Begin by repeating its last words “fünf und da”, and go on."), "fünf und da");
        assert_eq!(asked("Begin by repeating its last words “something else”, and go on."), "");
        assert_eq!(asked("Write it again, from its start."), &ANSWER[..end]);
    }
}
