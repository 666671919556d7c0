//! Whether a continuation begins with something that was delivered before: an alignment of its beginning with the delivered
//! text. A model that does not go on most often begins the answer, the sentence, the line or the last words again, with small
//! changes or after a word of its own.

use super::words::{self, comparable, is_syllable};

/// What a letter or a digit that is the same in both counts, and a character that is a word or a syllable.
const LETTER: i32 = 2;
const WORD: i32 = 4;
/// What an edit costs in prose.
const EDIT: i32 = 3;
/// What it costs where lines and values are alike and differ in a number.
const NEVER: i32 = 1_000;

/// How much of the beginning of a continuation is aligned, in characters that are compared.
const COMPARED: usize = 48;
/// How many of them may come before what was delivered.
const LATEST: usize = 20;

/// From so many letters on a continuation that begins like the answer begins it again.
const RESTART: usize = 10;

/// What the delivered text is where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    Prose,
    /// A JSON document, whose values are often alike.
    Value,
    /// A line of code.
    Line,
    /// A cell of a table.
    Cell,
}

/// From how many letters on a part of the delivered text says that a continuation begins again.
struct Enough {
    /// The continuation begins with the end of the text.
    overlap: usize,
    /// The end of the text is near the beginning of the continuation.
    end: usize,
    /// The continuation begins with a part of the text,
    prefix: usize,
    /// or has one near its beginning.
    inside: usize,
    /// Of what is compared, so many percent must be the part: a phrase may come again, a sentence does not.
    percent: usize,
    edit: i32,
}

impl Place {
    /// `None`: only the line or the cell is compared.
    fn of_text(self) -> Enough {
        match self {
            Place::Prose => Enough { overlap: 3, end: 8, prefix: 10, inside: 16, percent: 45, edit: EDIT },
            Place::Value => {
                Enough { overlap: 8, end: 12, prefix: 32, inside: usize::MAX, percent: 0, edit: NEVER }
            }
            Place::Line | Place::Cell => Enough {
                overlap: usize::MAX,
                end: usize::MAX,
                prefix: 18,
                inside: usize::MAX,
                percent: 0,
                edit: NEVER,
            },
        }
    }
}

/// A shorter line or cell says nothing.
const MIN_PART: usize = 3;
/// A line or a cell is compared with more care: the end of the one that is open is hardly ever in the next one's beginning.
const OF_PART: Enough = Enough { overlap: 3, end: 6, prefix: 8, inside: 8, percent: 0, edit: NEVER };
/// So is a text of so few letters and less.
const SHORT: usize = 20;
/// After a repetition a phrase may come again, and only more of the text says that it begins once more.
const AFTER_REPEAT: Enough = Enough { overlap: 5, end: 12, prefix: 16, inside: 20, percent: 60, edit: EDIT };
const OF_SHORT: Enough = Enough { overlap: 2, end: 8, prefix: 3, inside: 16, percent: 0, edit: EDIT };

/// The delivered text, as far as it is compared.
pub(super) struct Again {
    place: Place,
    /// Of the letters that are enough, so many percent are ([`super::Limits::begun_again`]).
    percent: usize,
    text: Vec<char>,
    /// Its last characters, in lower case.
    last: Vec<char>,
    /// The beginning of the answer, if it is not in `text`.
    start: Vec<char>,
    /// The line or the cell that is open.
    part: Vec<char>,
    /// The word that was cut in it.
    fragment: String,
}

impl Again {
    /// `tail` and `start` are the end and the beginning of the delivered text.
    pub fn new(tail: &str, start: &str, place: Place, percent: usize) -> Self {
        let part = match place {
            Place::Prose | Place::Value => "",
            Place::Line => tail.trim_end().rsplit('\n').next().unwrap_or_default(),
            Place::Cell => tail.rsplit(['|', '\n']).next().unwrap_or_default(),
        };
        let fragment = part.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        Again {
            place,
            percent,
            text: comparable(tail).collect(),
            last: words::last_points(tail, COMPARED).chars().flat_map(char::to_lowercase).collect(),
            start: comparable(start).collect(),
            part: comparable(part).collect(),
            fragment: fragment.to_lowercase(),
        }
    }

    /// Whether a continuation that begins with `new` was delivered before.
    pub fn begins(&self, new: &str) -> bool {
        let start: Vec<char> = comparable(new).take(COMPARED).collect();
        let is_short = self.text.len() <= SHORT && self.place == Place::Prose;
        let overlap = if self.text.len() <= MIN_PART { 1 } else { OF_SHORT.overlap };
        let enough = if is_short { Enough { overlap, ..OF_SHORT } } else { self.place.of_text() };
        let enough = enough.scaled(self.percent);
        let is_met = |text: &[char], has_end: bool| {
            let scores = Scores::new(&start, text, enough.edit);
            enough.is_met(&scores, &start) || (has_end && enough.is_end_met(&scores))
        };
        self.overlaps(new, enough.overlap)
            || (self.place == Place::Prose && self.is_restart(&start))
            || self.begins_part(new)
            || is_met(&self.text, true)
            || is_met(&self.start, false)
    }

    /// Whether a continuation begins like the answer.
    fn is_restart(&self, new: &[char]) -> bool {
        let answer = if self.start.is_empty() { &self.text } else { &self.start };
        let same = new.iter().zip(answer).take_while(|(a, b)| a == b);
        is_enough(same.map(|(&c, _)| weight(c)).sum(), RESTART.saturating_mul(self.percent) / 100)
    }

    /// The same for what follows a repetition of the end of the text. `is_asked`: that was asked for, and only the end is
    /// looked for.
    pub fn follows(&self, new: &str, is_asked: bool) -> bool {
        let start: Vec<char> = comparable(new).take(COMPARED).collect();
        let enough = match self.place {
            Place::Prose => AFTER_REPEAT,
            Place::Line => Enough { overlap: AFTER_REPEAT.overlap, ..self.place.of_text() },
            Place::Value | Place::Cell => return false,
        };
        let scores = Scores::new(&start, &self.text, enough.edit);
        self.overlaps(new, enough.overlap)
            || enough.is_end_met(&scores)
            || (!is_asked && enough.is_met(&scores, &start))
    }

    /// Whether a continuation begins with the last letters of the text, and all that is between them.
    fn overlaps(&self, new: &str, letters: usize) -> bool {
        let new: Vec<char> = new.trim_start().chars().take(COMPARED).flat_map(char::to_lowercase).collect();
        let longest = new.len().min(self.last.len());
        // Between values punctuation says as much.
        let counts = |&&c: &&char| self.place == Place::Value || words::is_text(c);
        (1..=longest).any(|length| {
            let weight = || new[..length].iter().filter(counts).map(|&c| weight(c)).sum();
            self.last.ends_with(&new[..length]) && is_enough(weight(), letters)
        })
    }

    /// How much of the beginning of a continuation was delivered before, in letters: a part of any length.
    pub fn letters(&self, new: &str) -> usize {
        let start: Vec<char> = comparable(new).take(COMPARED / 2).collect();
        let scores =
            Scores::new(&start, &self.text, EDIT).prefix.max(Scores::new(&start, &self.start, EDIT).prefix);
        usize::try_from(scores / LETTER).unwrap_or_default()
    }

    /// Whether the line or the cell that is open comes again.
    fn begins_part(&self, new: &str) -> bool {
        let part = match self.place {
            Place::Prose | Place::Value => return false,
            Place::Line => new.trim_start().split('\n').next().unwrap_or_default(),
            Place::Cell => new.split(['|', '\n']).next().unwrap_or_default(),
        };
        let start: Vec<char> = comparable(part).take(COMPARED).collect();
        let end = OF_PART.end.min(self.part.len()).max(MIN_PART);
        let enough = Enough { end, ..OF_PART }.scaled(self.percent);
        let scores = Scores::new(&start, &self.part, enough.edit);
        self.overlaps(new, enough.overlap)
            || enough.is_end_met(&scores)
            || enough.is_met(&scores, &start)
            || self.begins_word(new)
    }

    /// Whether the second word, or the next line, begins like the word that was cut: the first one does not belong there.
    fn begins_word(&self, new: &str) -> bool {
        let Some((first, rest)) = new.split_once([' ', '\n']) else { return false };
        let is_word = first.chars().all(char::is_alphabetic);
        let is_fragment = self.fragment.chars().nth(1).is_some();
        is_word && is_fragment && rest.to_lowercase().starts_with(&self.fragment)
    }
}

impl Enough {
    fn scaled(self, percent: usize) -> Self {
        let scale = |letters: usize| letters.saturating_mul(percent) / 100;
        Enough {
            overlap: scale(self.overlap),
            end: scale(self.end),
            prefix: scale(self.prefix),
            inside: scale(self.inside),
            percent: scale(self.percent),
            edit: self.edit,
        }
    }

    fn is_end_met(&self, scores: &Scores) -> bool {
        is_enough(scores.end, self.end)
    }

    fn is_met(&self, scores: &Scores, new: &[char]) -> bool {
        let all: i32 = new.iter().map(|&c| weight(c)).sum();
        let share = usize::try_from(all / LETTER).unwrap_or_default() * self.percent / 100;
        is_enough(scores.prefix, self.prefix.max(share)) || is_enough(scores.any, self.inside.max(share))
    }
}

fn is_enough(score: i32, letters: usize) -> bool {
    usize::try_from(score / LETTER).is_ok_and(|score| score >= letters)
}

/// The best local alignments of the beginning of a continuation with a text (T. F. Smith and M. S. Waterman, Identification
/// of common molecular subsequences, 1981).
struct Scores {
    /// From the first character of the continuation on.
    prefix: i32,
    /// From one of the first [`LATEST`] characters on.
    any: i32,
    /// The same, up to the end of the text.
    end: i32,
}

impl Scores {
    fn new(new: &[char], text: &[char], edit: i32) -> Self {
        let mut best = Scores { prefix: 0, any: 0, end: 0 };
        let mut prefix = vec![0; text.len() + 1];
        let mut any = vec![0; text.len() + 1];
        for (read, &c) in new.iter().enumerate() {
            let floor = if read < LATEST { 0 } else { -NEVER };
            let (mut diagonal, mut diagonal_any) = (prefix[0], any[0]);
            prefix[0] = -NEVER;
            any[0] = floor;
            for (at, &known) in text.iter().enumerate() {
                let gain = if known == c { weight(c) } else { -edit };
                let of_prefix = (diagonal + gain).max(prefix[at] - edit).max(prefix[at + 1] - edit);
                let of_any = (diagonal_any + gain).max(any[at] - edit).max(any[at + 1] - edit).max(floor);
                diagonal = std::mem::replace(&mut prefix[at + 1], of_prefix.max(-NEVER));
                diagonal_any = std::mem::replace(&mut any[at + 1], of_any.max(-NEVER));
                best.prefix = best.prefix.max(of_prefix);
                best.any = best.any.max(of_any);
            }
            best.end = best.end.max(any[text.len()]);
        }
        best
    }
}

/// What a character counts that is the same in both.
fn weight(c: char) -> i32 {
    if is_syllable(c) { WORD } else { LETTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(delivered: &str, place: Place, new: &str) -> bool {
        Again::new(delivered, "", place, 100).begins(new)
    }

    #[test]
    fn a_line_or_a_cell_that_begins_again_is_found() {
        let code = "```js\nconst value8 = compute(";
        assert!(begins(code, Place::Line, "Thus value8 = compute(8, 405)\nconst value9"));
        assert!(!begins(code, Place::Line, "8, 405)\nconst value9 = compute(9, 12)"));
        assert!(begins("```js\ncon", Place::Line, "Thus const value0 = compute(0, 1)"));
        assert!(begins("```js\nco", Place::Line, "s\nconst value0 = compute(0, 1)"));
        assert!(begins("```js\nconst val", Place::Line, "Thus value2 = compute(2, 98)"));
        assert!(!begins("```js\nconst val", Place::Line, "ue2 = compute(2, 98)"));
        assert!(begins("| row 2 b", Place::Cell, "Thus row 2 brown | 96 |"));
        assert!(!begins("| row 2 b", Place::Cell, "rown | 96 |\n| row 2 b | 1 |"));
    }

    #[test]
    fn the_last_words_and_the_sentence_are_found_with_small_changes() {
        let text = "The rain ran down the tall windows of the st";
        assert!(begins(text, Place::Prose, "Down the tall windows of the station it ran."));
        assert!(begins(
            text,
            Place::Prose,
            "And so the rain had run down tall windows of a house, and it did not stop."
        ));
        assert!(!begins(text, Place::Prose, "ation, and the platform was empty."));
        assert!(begins("车站在山谷的尽头，雨水顺着", Place::Prose, "尽头，雨水顺着高高的窗户流下来"));
        assert!(!begins("车站在山谷的尽头，雨水顺着", Place::Prose, "高高的窗户流下来，灯光在水里晃动"));
    }

    #[test]
    fn in_a_short_text_a_few_letters_are_enough() {
        assert!(begins("a b", Place::Prose, "a b a b"));
        assert!(!begins("a b", Place::Prose, " c d e f"));
        assert!(begins("chập v", Place::Prose, "p vẫn chủ"));
        assert!(begins("their while dog w", Place::Prose, "ile dog while happy"));
        assert!(!begins("their while dog w", Place::Prose, "alks on and on"));
        assert!(begins("tốt go 🐑 👍🏽 go 🏳️‍🌈", Place::Prose, " go 🏳️‍🌈 go 👍🏽"));
    }
}
