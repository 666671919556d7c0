//! Whether the end of the delivered text comes again near the beginning of a continuation, in too few characters to show where
//! the continuation belongs: a model that begins the last words, the line or the row again.

use super::words::{comparable, is_text};

/// What a letter or a digit says, and what a character of a script without spaces or a symbol does, which is a word.
const LETTER: usize = 2;
const WORD: usize = 3;
/// A part of a line is compared from this many letters, digits and symbols on.
const LENGTH: usize = 8;
/// A line or a cell that is shorter says nothing.
const MIN_PART: usize = 3;
/// A text of fewer letters, digits and symbols is short.
const SHORT: usize = 20;
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

impl Place {
    /// How much of the end is looked for.
    fn weight(self) -> usize {
        LETTER
            * match self {
                Place::Text => 8,
                Place::Value => 12,
                Place::Line | Place::Cell => 6,
            }
    }
}

/// The end of the delivered text.
pub(super) struct Ending {
    place: Place,
    pattern: Vec<char>,
    /// The line or the cell as far as it goes.
    part: Vec<char>,
    /// All of the text, if it is short: then a few of its letters are enough.
    short: Vec<char>,
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
        let mut weight = 0;
        let mut end: Vec<char> = Vec::new();
        for c in part.chars().rev().filter(|&c| is_text(c)) {
            if weight >= place.weight() {
                break;
            }
            weight += if c.is_alphanumeric() && !is_unspaced(c) { LETTER } else { WORD };
            end.push(c);
        }
        let is_part = matches!(place, Place::Line | Place::Cell);
        let is_enough = if is_part { end.len() >= MIN_PART } else { weight >= place.weight() };
        if !is_enough {
            end.clear();
        }
        end.reverse();
        let fragment = part.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let is_cut = is_part && fragment.chars().nth(MIN_FRAGMENT - 1).is_some();
        Ending {
            place,
            short: if comparable(delivered).nth(SHORT).is_none() {
                comparable(delivered).collect()
            } else {
                Vec::new()
            },
            part: if is_part { comparable(part).collect() } else { Vec::new() },
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
        let searched: Vec<char> = comparable(&start).collect();
        let is_found =
            !self.pattern.is_empty() && searched.windows(self.pattern.len()).any(|of| of == self.pattern);
        is_found
            || self.is_from_short(&searched)
            || self.begins_with_end(&searched)
            || self.begins_part_again(part)
            || self.begins_word_again(&start.to_lowercase())
    }

    /// Whether a continuation begins with letters of a text of a few words: with the last two, or in prose with
    /// any three.
    fn is_from_short(&self, new: &[char]) -> bool {
        let ends =
            new.len() >= 2 && (2..=new.len().min(SHORT)).any(|length| self.short.ends_with(&new[..length]));
        ends || (self.place == Place::Text
            && new.len() >= MIN_PART
            && self.short.windows(MIN_PART).any(|of| of == &new[..MIN_PART]))
    }

    /// Whether a continuation begins with the last letters.
    fn begins_with_end(&self, new: &[char]) -> bool {
        let longest = self.pattern.len().min(new.len());
        self.place == Place::Text && (MIN_PART..=longest).any(|length| self.pattern.ends_with(&new[..length]))
    }

    /// Whether the line or the cell comes again from some place on, after a word that is not in it.
    fn begins_part_again(&self, new: &str) -> bool {
        let after_word = new.split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
        let start: Vec<char> = comparable(after_word).take(LENGTH).collect();
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
        assert!(is_again("a b", Place::Text, "a b a b"));
        assert!(!is_again("a b", Place::Text, " c d e f"));
        assert!(is_again("chập v", Place::Text, "p vẫn chủ"));
        assert!(is_again("their while dog w", Place::Text, "ile dog while happy"));
        assert!(!is_again("their while dog w", Place::Text, "alks on and on"));
        assert!(is_again("tốt go 🐑 👍🏽 go 🏳️‍🌈", Place::Text, " go 🏳️‍🌈 go 👍🏽"));
    }
}
