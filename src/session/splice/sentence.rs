//! Whether a sentence goes on: with the rest of its word, with the next word, or in a script without spaces with the same script.

use std::collections::HashSet;

use super::cut_word::{is_letter, is_unspaced};
use super::types::{ContinuationMismatch, Evidence};
use super::words::{self, COMMON, ends_sentence, is_text};

use Evidence::{Fits, Refuted};

/// The end of the delivered text, if it is prose.
pub(super) struct Sentence {
    tail: String,
    /// Its words in lower case, without the last one.
    known: HashSet<String>,
    /// Words with a capital letter inside of sentences.
    names: HashSet<String>,
    /// It has words such as `JavaScript`.
    has_inner_capitals: bool,
    /// Its words are single syllables with diacritics (Vietnamese).
    is_syllabic: bool,
}

/// From so many letters on a Vietnamese text has one with a diacritic.
const WITH_DIACRITIC: usize = 24;

impl Sentence {
    pub fn new(tail: &str) -> Self {
        let (known, names) = words::vocabulary(tail);
        Sentence {
            tail: tail.to_owned(),
            known,
            names,
            has_inner_capitals: words::has_inner_capitals(tail),
            is_syllabic: words::is_syllabic(tail),
        }
    }

    /// Whether it ends in a script whose characters are words or syllables.
    pub fn has_syllables(&self) -> bool {
        self.tail.chars().rev().find(|c| c.is_alphanumeric()).is_some_and(words::is_syllable)
    }

    /// Whether it ends in a script without spaces.
    fn is_unspaced(&self) -> bool {
        self.tail.chars().rev().find(|c| c.is_alphanumeric()).is_some_and(is_unspaced)
    }

    pub fn judge(&self, new: &str) -> Evidence {
        if self.is_unspaced() { self.judge_unspaced(new) } else { self.judge_spaced(new) }
    }

    /// Whether what follows a repetition cannot be the rest. `is_asked`: the model has repeated the words that it was asked
    /// to repeat.
    pub fn contradicts(&self, new: &str, is_asked: bool) -> Option<ContinuationMismatch> {
        // A line ends inside of a sentence only in lists, headings and poems.
        let line = self.line();
        let first = new.split('\n').next().unwrap_or_default();
        let breaks = first.len() < new.len() && !first.contains(is_text);
        if breaks && !line.is_empty() && !ends_sentence(line.trim_end()) && !self.is_in_lines(new) {
            return Some(ContinuationMismatch::Unverified);
        }
        if self.changes_script(new) || self.has_foreign_line(new) {
            return Some(ContinuationMismatch::Script);
        }
        let is_word = self.tail.ends_with(is_letter) && new.starts_with(is_letter);
        let is_glued = is_word
            && (self.glues_a_capital(new)
                || (!is_asked && self.judge_word(new) == Refuted(ContinuationMismatch::Glued)));
        // `momen`, where the text has the word `moment`.
        let is_half = !is_asked && !new.starts_with(is_letter) && self.ends_in_half_a_word();
        (is_glued || is_half).then_some(ContinuationMismatch::Glued)
    }

    fn fragment(&self) -> String {
        let start = self.tail.char_indices().rev().take_while(|(_, c)| is_letter(*c)).last();
        self.tail[start.map_or(self.tail.len(), |(at, _)| at)..].to_lowercase()
    }

    fn ends_in_half_a_word(&self) -> bool {
        let fragment = self.fragment();
        let is_long = fragment.chars().nth(2).is_some();
        let is_known = self.known.contains(&fragment) || COMMON.contains(&fragment.as_str());
        is_long && !is_known && self.known.iter().any(|word| word.starts_with(&fragment))
    }

    /// Whether a word would get a capital letter inside, and no other has one.
    pub fn glues_a_capital(&self, new: &str) -> bool {
        let mut next = new.chars();
        let is_capital = next.next().is_some_and(char::is_uppercase);
        let is_inner = self.tail.ends_with(char::is_lowercase) && !self.has_inner_capitals;
        // `NUL` and `Write`.
        let mut last = self.tail.chars().rev();
        let is_after_capitals = last.by_ref().take(2).filter(|c| c.is_uppercase()).count() == 2
            && next.next().is_some_and(char::is_lowercase);
        is_capital && (is_inner || is_after_capitals)
    }

    fn line(&self) -> &str {
        self.tail.rsplit('\n').next().unwrap_or_default()
    }

    /// Whether the last line may end without a full stop, and the next one goes on like it.
    fn is_in_lines(&self, new: &str) -> bool {
        let line = self.line().trim_start();
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_item = line.starts_with(['-', '*', '•', '#', '+', '|', '>', '`', '~'])
            || (digits.len() < line.len() && digits.starts_with(['.', ')']));
        let before = self.tail.lines().rev().skip(1).filter(|line| !line.trim().is_empty()).take(3);
        let (lines, open) = before
            .fold((0, 0), |(all, open), line| (all + 1, open + usize::from(!ends_sentence(line.trim_end()))));
        is_item || self.judge_lines(new) == Fits || (lines >= 2 && open >= 2)
    }

    /// The same script goes on inside a sentence. Thai has spaces between phrases.
    fn judge_unspaced(&self, new: &str) -> Evidence {
        let is_thai = |c: char| ('\u{e00}'..='\u{e7f}').contains(&c);
        let end = self.tail.strip_suffix(' ').filter(|end| end.ends_with(is_thai)).unwrap_or(&self.tail);
        let text = match new.strip_prefix(' ') {
            Some(text) if end.ends_with(is_thai) && text.starts_with(is_thai) => text,
            _ => new,
        };
        let Some(first) = text.chars().next() else { return Evidence::None };
        let breaks = new.split_once('\n').is_some_and(|(line, _)| !ends_sentence(line));
        if end.ends_with(char::is_whitespace) || ends_sentence(end) || first.is_whitespace() || breaks {
            return Evidence::None;
        }
        if is_inner_punctuation(first) {
            return Fits;
        }
        let is_foreign = first.is_ascii_alphabetic() && !self.known.iter().any(|word| word.is_ascii());
        if is_foreign || self.has_foreign_line(new) {
            return Refuted(ContinuationMismatch::Script);
        }
        let letters: Vec<char> = text.chars().take(14).filter(|c| c.is_alphabetic()).collect();
        let same = letters.iter().filter(|&&c| is_unspaced(c)).count();
        if is_unspaced(first) && 2 * same >= letters.len() { Fits } else { Evidence::None }
    }

    fn judge_spaced(&self, new: &str) -> Evidence {
        let Some(first) = new.chars().next() else { return Evidence::None };
        let Some(last) = self.tail.chars().next_back() else { return Evidence::None };
        if last == '\n' || first == '\n' {
            return self.judge_lines(new);
        }
        let breaks = new.split_once('\n').is_some_and(|(line, _)| !ends_sentence(line.trim_end()));
        if ends_sentence(self.tail.trim_end()) || (breaks && !self.is_in_lines(new)) {
            return Evidence::None;
        }
        let text = new.strip_prefix(' ').filter(|_| !last.is_whitespace()).unwrap_or(new);
        let has_space = last.is_whitespace() || text.len() < new.len();
        let Some(next) = text.chars().next() else { return Evidence::None };
        if next.is_whitespace() {
            return Evidence::None;
        }
        if self.changes_script(text) || self.has_foreign_line(text) {
            return Refuted(ContinuationMismatch::Script);
        }
        if !has_space && is_letter(last) && is_letter(next) {
            return self.judge_word(text);
        }
        if !has_space && matches!(last, ',' | ';' | ')') && is_letter(next) {
            return Refuted(ContinuationMismatch::Glued);
        }
        let is_symbol = is_text(next) && !next.is_alphanumeric();
        if starts_item(text) {
            return Evidence::None;
        }
        if !has_space && !is_symbol {
            let goes_on = is_inner_punctuation(next)
                || matches!(next, '.' | '!' | '?' | '-' | '\'' | '’' | '*' | '/' | '%');
            let digits = last.is_ascii_digit() && next.is_ascii_digit();
            let opened = "([{\"“„«‘'’-/$€£*_`".contains(last) && (next.is_lowercase() || next.is_numeric());
            return if goes_on || digits || opened { Fits } else { Evidence::None };
        }
        self.judge_next_word(text)
    }

    /// The next word of a sentence.
    fn judge_next_word(&self, text: &str) -> Evidence {
        // An emoji between two words says nothing.
        let text =
            text.trim_start_matches(|c: char| is_text(c) && !c.is_alphanumeric()).trim_start_matches(' ');
        let bare = text.trim_start_matches(['*', '_', '(', '`', '~', '$', '"']);
        let Some(next) = bare.chars().next() else { return Evidence::None };
        let word: String = bare.chars().take_while(|&c| is_letter(c)).collect();
        if self.is_syllabic && word.chars().nth(1).is_some() && !words::has_vowel(&word.to_lowercase()) {
            return Evidence::None;
        }
        if next.is_lowercase() || (is_letter(next) && !next.is_uppercase()) || next.is_numeric() {
            return if starts_item(bare) { Evidence::None } else { Fits };
        }
        if matches!(next, '—' | '–' | '&' | '+' | '=' | '<' | '>') {
            return Fits;
        }
        let is_name = self.names.contains(&word) && !COMMON.contains(&word.to_lowercase().as_str());
        if is_name { Fits } else { Evidence::None }
    }

    /// The cut word goes on, or two words are glued.
    fn judge_word(&self, text: &str) -> Evidence {
        let beginning: String = text.chars().take_while(|&c| is_letter(c)).collect();
        if self.glues_a_capital(text) {
            return Refuted(ContinuationMismatch::Glued);
        }
        let (fragment, beginning) = (self.fragment(), beginning.to_lowercase());
        // `tố` and `tốt`: the word was begun again, or repeats itself.
        if fragment.chars().nth(1).is_some() && beginning.starts_with(&fragment) {
            return Refuted(ContinuationMismatch::Repeats);
        }
        let joined = [fragment.as_str(), beginning.as_str()].concat();
        let is_known = |word: &str| self.known.contains(word) || COMMON.contains(&word);
        if is_known(&joined) {
            return Fits;
        }
        // `t` and `rain`: what was cut is no word.
        let may_be_whole = fragment.chars().nth(2).is_some() && words::has_vowel(&fragment);
        let is_word = beginning.chars().nth(1).is_some() && is_known(&beginning);
        if (is_word && is_known(&fragment)) || (self.is_syllabic && words::has_two_syllables(&joined)) {
            return Refuted(ContinuationMismatch::Glued);
        }
        // The items of a list: `a. Cheese`, `b. Fruit`.
        let is_item = |line: &str| {
            let mut start = line.chars();
            start.next().is_some_and(|c| c.is_ascii_lowercase()) && start.as_str().starts_with([')', '.'])
        };
        if text.contains('\n') && text.lines().filter(|line| !line.is_empty()).take(2).all(is_item) {
            return Evidence::None;
        }
        // `located` and `at`; `is` and `a`.
        let is_letter = beginning.chars().nth(1).is_none();
        let is_after_word = fragment.chars().nth(1).is_some() && is_known(&fragment);
        let may_be_next = (is_word && may_be_whole) || (is_letter && is_after_word);
        if may_be_next { Evidence::None } else { Fits }
    }

    /// The next item of a numbered list.
    pub fn judge_lines(&self, new: &str) -> Evidence {
        let number = |line: &str| {
            let line = line.trim_start();
            let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u32 = line[..digits].parse().ok()?;
            line[digits..].starts_with(['.', ')']).then_some(number)
        };
        let last = self.tail.lines().rev().find_map(number);
        let next = new.trim_start_matches('\n').lines().next().and_then(number);
        match (last, next) {
            (Some(last), Some(next)) if next == last + 1 => Fits,
            _ => Evidence::None,
        }
    }

    /// Whether a text in another script, or in Vietnamese, goes on with a line in English: most often one about the answer.
    fn has_foreign_line(&self, new: &str) -> bool {
        let is_other = self.is_syllabic || self.is_unspaced();
        let has_english = || self.tail.lines().any(is_english);
        is_other && new.lines().skip(1).any(is_english) && !has_english()
    }

    /// Only Latin letters were delivered last, and those of another script follow, or the other way round; or a Vietnamese
    /// text goes on without diacritics.
    fn changes_script(&self, text: &str) -> bool {
        let is_latin = |c: char| {
            c.is_ascii_alphabetic()
                || ('\u{c0}'..='\u{24f}').contains(&c)
                || ('\u{1e00}'..='\u{1eff}').contains(&c)
        };
        let Some(after) = text.chars().find(|c| c.is_alphabetic()).map(is_latin) else { return false };
        let mut before =
            self.tail.chars().rev().filter(|c| c.is_alphabetic()).take(40).map(is_latin).peekable();
        let is_other = before.peek().is_some() && before.all(|before| before != after);
        let letters = text.chars().filter(|c| c.is_alphabetic());
        let is_plain = letters.clone().take(WITH_DIACRITIC).all(|c| c.is_ascii())
            && letters.take(WITH_DIACRITIC).count() == WITH_DIACRITIC;
        is_other || (self.is_syllabic && is_plain)
    }
}

/// Whether a text begins with the number of an item.
fn starts_item(text: &str) -> bool {
    let after = text.trim_start_matches(char::is_numeric);
    let mut after_mark = after.chars().skip(1);
    after.len() < text.len()
        && after.starts_with([')', '.'])
        && after_mark.next().is_some_and(char::is_whitespace)
}

/// From so many letters on a line is in English.
const ENGLISH: usize = 8;

fn is_english(line: &str) -> bool {
    let mut letters = line.chars().filter(|c| c.is_alphabetic()).take(ENGLISH);
    letters.by_ref().take(ENGLISH).filter(char::is_ascii).count() == ENGLISH
}

fn is_inner_punctuation(c: char) -> bool {
    matches!(
        c,
        ',' | ';'
            | ':'
            | ')'
            | ']'
            | '”'
            | '、'
            | '，'
            | '；'
            | '：'
            | '。'
            | '」'
            | '）'
            | '！'
            | '？'
            | 'ー'
            | '々'
    )
}
