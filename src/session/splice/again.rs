//! Whether the end of the delivered text comes again near the beginning of a continuation, in too few characters to show where
//! the continuation belongs: a model that begins the last words, the line or the row again.

/// How much of the end is looked for: letters, digits and symbols.
const LENGTH: usize = 8;
const LENGTH_IN_JSON: usize = 12;
/// The same in a line of code and in a cell, in scripts without spaces, and in emoji, where a character is a word.
const LENGTH_IN_PART: usize = 6;
/// A line or a cell that is shorter says nothing.
const MIN_PART: usize = 3;
/// A fragment of a word that is shorter says nothing.
const MIN_FRAGMENT: usize = 2;
/// How far into the continuation the end is looked for.
const SEARCHED: usize = 60;

/// Where the delivered text ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Text,
    /// In JSON, whose values are often alike.
    Value,
    /// In a line of code.
    Line,
    /// In a cell of a table.
    Cell,
}

/// The end of the delivered text.
pub(super) struct Ending {
    place: Place,
    pattern: Vec<char>,
    /// The line or the cell as far as it goes.
    part: Vec<char>,
    /// The word that was cut, in lower case; empty if it is too short, and in prose, where any word may begin like it.
    fragment: String,
}

impl Ending {
    pub fn new(delivered: &str, place: Place) -> Self {
        let part = match place {
            Place::Text | Place::Value => delivered,
            Place::Line => delivered.trim_end().rsplit('\n').next().unwrap_or_default(),
            Place::Cell => delivered.rsplit(['|', '\n']).next().unwrap_or_default(),
        };
        let mut end: Vec<char> = part.chars().rev().filter(|&c| is_text(c)).take(LENGTH_IN_JSON).collect();
        let is_dense = end.iter().take(LENGTH_IN_PART).all(|&c| !c.is_alphanumeric() || is_unspaced(c));
        let (shortest, longest) = match place {
            Place::Value => (LENGTH_IN_JSON, LENGTH_IN_JSON),
            Place::Text if !is_dense => (LENGTH, LENGTH),
            Place::Text => (LENGTH_IN_PART, LENGTH_IN_PART),
            Place::Line | Place::Cell => (MIN_PART, LENGTH_IN_PART),
        };
        end.truncate(longest);
        if end.len() < shortest {
            end.clear();
        }
        end.reverse();
        let is_part = matches!(place, Place::Line | Place::Cell);
        let fragment = part.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let is_cut = is_part && fragment.chars().nth(MIN_FRAGMENT - 1).is_some();
        Ending {
            place,
            part: if is_part { texts(part).collect() } else { Vec::new() },
            pattern: end.into_iter().flat_map(char::to_lowercase).collect(),
            fragment: if is_cut && part == part.trim_end() { fragment.to_lowercase() } else { String::new() },
        }
    }

    /// Whether it comes again in a continuation.
    pub fn comes_again(&self, new: &str) -> bool {
        let part = match self.place {
            Place::Text | Place::Value => new,
            Place::Line => new.trim_start().split('\n').next().unwrap_or_default(),
            Place::Cell => new.split(['|', '\n']).next().unwrap_or_default(),
        };
        let start: String = part.chars().take(SEARCHED).collect();
        let searched: Vec<char> = texts(&start).collect();
        let is_found =
            !self.pattern.is_empty() && searched.windows(self.pattern.len()).any(|of| of == self.pattern);
        is_found || self.begins_part_again(part) || self.begins_word_again(&start.to_lowercase())
    }

    /// Whether the line or the cell comes again from some place on, after a word that is not in it.
    fn begins_part_again(&self, new: &str) -> bool {
        let after_word = new.split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
        let start: Vec<char> = texts(after_word).take(LENGTH).collect();
        start.len() == LENGTH && self.part.windows(LENGTH).any(|of| of == start)
    }

    /// Whether the second word begins like the one that was cut: the first one does not belong there.
    fn begins_word_again(&self, new: &str) -> bool {
        let mut words = new.split(' ');
        let first = words.next().unwrap_or_default();
        let is_word = !first.is_empty() && first.chars().all(char::is_alphabetic);
        let second = words.next().unwrap_or_default();
        is_word && !self.fragment.is_empty() && second.starts_with(&self.fragment)
    }
}

/// What is compared of a text.
fn texts(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|&c| is_text(c)).flat_map(char::to_lowercase)
}

/// A letter, a digit, or a symbol such as an emoji.
pub(super) fn is_text(c: char) -> bool {
    c.is_alphanumeric()
        || (c >= '\u{2190}'
            && !matches!(c, '\u{3000}'..='\u{303f}' | '\u{fe00}'..='\u{fe0f}' | '\u{ff00}'..='\u{ff65}'))
}

/// A letter of a script that does not put spaces between words.
fn is_unspaced(c: char) -> bool {
    c.is_alphabetic() && !super::cut_word::is_letter(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_again(delivered: &str, place: Place, new: &str) -> bool {
        Ending::new(delivered, place).comes_again(new)
    }

    #[test]
    fn a_line_a_cell_and_the_last_words_are_found() {
        let code = "```js\nconst value8 = compute(";
        assert!(is_again(code, Place::Line, "Thus value8 = compute(8, 405)\nconst value9"));
        assert!(!is_again(code, Place::Line, "8, 405)\nconst value9 = compute(9, 12)"));
        assert!(is_again("```js\ncon", Place::Line, "Thus const value0 = compute(0, 1)"));
        assert!(is_again("```js\nconst val", Place::Line, "Thus value2 = compute(2, 98)"));
        assert!(!is_again("```js\nconst val", Place::Line, "ue2 = compute(2, 98)"));
        assert!(is_again("| row 2 b", Place::Cell, "Thus row 2 brown | 96 |"));
        assert!(!is_again("| row 2 b", Place::Cell, "rown | 96 |\n| row 2 b | 1 |"));
        let text = "The rain ran down the tall windows of the st";
        assert!(is_again(text, Place::Text, "Down the tall windows of the station it ran."));
        assert!(!is_again(text, Place::Text, "ation, and the platform was empty."));
        assert!(is_again("车站在山谷的尽头，雨水顺着", Place::Text, "尽头，雨水顺着高高的窗户流下来"));
        assert!(!is_again("a b", Place::Text, "a b a b"));
    }
}
