//! How messages in place of deltas follow each other.

use super::part::Part;

/// The longest part that an answer may begin with twice, in bytes: white space, or a syllable. A longer one that comes again is
/// all of the text so far, sent twice.
const MAX_REPEATED_PART: usize = 4;

/// What is known of the messages of the answer.
#[derive(Debug, Default)]
pub(super) struct Messages {
    choices: Vec<(u32, bool)>,
    texts: Vec<((u32, Part), TextMessages)>,
}

/// How the messages of one text follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TextMessages {
    /// The text so far came this often again: as parts that are the same, or as a whole that has not grown.
    Undecided { repeats: usize },
    /// Each has all of the text so far.
    Whole,
    #[default]
    Parts,
}

impl Messages {
    /// Whether a message of this choice repeats what came in deltas. The first one decides: `has_begun` says whether the
    /// choice has anything.
    pub fn is_summary(&mut self, index: u32, has_begun: bool) -> bool {
        if let Some((_, is_summary)) = self.choices.iter().find(|(known, _)| *known == index) {
            return *is_summary;
        }
        self.choices.push((index, has_begun));
        has_begun
    }

    /// How the messages of this text follow each other.
    pub fn text(&mut self, part: (u32, Part)) -> &mut TextMessages {
        let known = self.texts.iter().position(|(known, _)| *known == part);
        let at = known.unwrap_or_else(|| {
            self.texts.push((part, TextMessages::Undecided { repeats: 0 }));
            self.texts.len() - 1
        });
        &mut self.texts[at].1
    }

    /// The choices have moved.
    pub fn move_choices(&mut self, move_choice: impl Fn(&mut u32)) {
        self.choices.iter_mut().for_each(|(index, _)| move_choice(index));
        self.texts.iter_mut().for_each(|((index, _), _)| move_choice(index));
    }
}

impl TextMessages {
    /// What is new in a message after this text; parts that turn out to be new come first, as often as they are returned.
    pub fn new_part<'t>(&mut self, received: &str, message: &'t str) -> (usize, &'t str) {
        if *self == TextMessages::Parts || received.is_empty() || message.is_empty() {
            return (0, message);
        }
        match (message.strip_prefix(received), *self) {
            (Some(""), TextMessages::Undecided { repeats }) => {
                *self = TextMessages::Undecided { repeats: repeats + 1 };
                (0, "")
            }
            (Some(rest), _) => {
                *self = TextMessages::Whole;
                (0, rest)
            }
            // The whole text without white space at its end.
            (None, TextMessages::Whole) if received.starts_with(message) => (0, ""),
            (None, before) => {
                *self = TextMessages::Parts;
                match before {
                    TextMessages::Undecided { repeats } if received.len() <= MAX_REPEATED_PART => {
                        (repeats, message)
                    }
                    _ => (0, message),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(messages: &[&str]) -> String {
        let mut text = String::new();
        let mut state = TextMessages::Undecided { repeats: 0 };
        for message in messages {
            let (repeats, new) = state.new_part(&text, message);
            text = text.repeat(repeats + 1) + new;
        }
        text
    }

    #[test]
    fn messages_are_parts_or_the_whole_text_so_far() {
        assert_eq!(joined(&["Hello", " world", ""]), "Hello world");
        assert_eq!(joined(&["Hello", "Hello world", "Hello world", "Hello world!"]), "Hello world!");
        assert_eq!(joined(&["\n", "\n", "Hello"]), "\n\nHello");
        assert_eq!(joined(&["\n", "\n", "\nHello", "\nHello"]), "\nHello");
        assert_eq!(joined(&["a", "a", "b", "ab"]), "aabab");
        assert_eq!(joined(&["Sheep", "Sheep", " and goats"]), "Sheep and goats");
        assert_eq!(joined(&["Hello ", "Hello world\n", "Hello world"]), "Hello world\n");
    }
}
