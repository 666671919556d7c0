//! The place where a continuation meets the delivered text: what the text is there, and whether the continuation fits so that
//! hardly anything but the rest of the answer does.

use std::collections::HashSet;

use super::again::{Ending, Place};
use super::cut_word::is_letter;
use super::inside::occurs;
use super::json_prefix::JsonPrefix;
use super::structure::{Code, Table};
use super::types::{ContinuationMismatch, Evidence};
use super::words::{self, COMMON, comparable, ends_sentence, is_text, last_points};

/// How much of the end of the delivered text is compared with the continuation, and of its beginning, in code points.
const COMPARED: usize = 4_000;
const COMPARED_START: usize = 600;
use Evidence::{Fits, Refuted};

/// What the delivered text is where it ends.
enum Context {
    Json(JsonPrefix),
    Code(Code),
    Table(Table),
    Prose,
}

/// The delivered text, as far as the seam needs it.
pub(super) struct Seam {
    context: Context,
    ending: Ending,
    /// Its end.
    tail: String,
    /// What is compared with the beginning of the continuation: letters and digits in lower case.
    comparable: Vec<char>,
    comparable_start: Vec<char>,
    /// Its words in lower case, without the last one.
    known: HashSet<String>,
    /// Words with a capital letter inside of sentences.
    names: HashSet<String>,
    /// It has words such as `JavaScript`.
    has_inner_capitals: bool,
    /// Its words are single syllables with diacritics (Vietnamese).
    is_syllabic: bool,
}

impl Seam {
    pub fn new(delivered: &str) -> Self {
        let tail = last_points(delivered, COMPARED);
        let (known, names) = words::vocabulary(tail);
        let start: String = delivered.chars().take(COMPARED_START).collect();
        let context = Context::of(delivered);
        let place = match context {
            Context::Code(_) => Place::Line,
            Context::Table(_) => Place::Cell,
            Context::Json(_) => Place::Value,
            Context::Prose => Place::Text,
        };
        Seam {
            context,
            ending: Ending::new(tail, place),
            comparable: comparable(tail).collect(),
            comparable_start: comparable(&start).collect(),
            has_inner_capitals: words::has_inner_capitals(tail),
            is_syllabic: words::is_syllabic(tail),
            tail: tail.to_owned(),
            known,
            names,
        }
    }

    /// Rows, lines and values are often alike, sentences are not.
    pub fn is_prose(&self) -> bool {
        matches!(self.context, Context::Prose)
    }

    /// Whether an answer may end where the delivered text ends.
    pub fn may_end(&self) -> bool {
        match &self.context {
            Context::Json(json) => json.is_complete(),
            // Every row ends like the last one.
            Context::Code(_) | Context::Table(_) => false,
            Context::Prose => {
                let end = self.tail.trim_end();
                let closed =
                    end.ends_with("```") || (end.starts_with(['{', '[']) && end.ends_with(['}', ']']));
                // The number of a list's next item.
                let line = end.rsplit('\n').next().unwrap_or_default();
                let is_number = line.trim_start_matches(|c: char| c.is_ascii_digit()) == ".";
                closed || (ends_sentence(end) && !end.ends_with([':', '：']) && !is_number)
            }
        }
    }

    /// Whether this is more than white space and the punctuation that a model ends an echo with.
    pub fn has_text(&self, new: &str) -> bool {
        let is_prose = self.is_prose();
        new.chars().any(|c| if is_prose { is_text(c) } else { !c.is_whitespace() })
    }

    /// Whether this is nothing but the end of the delivered text.
    pub fn ends_with(&self, new: &str) -> bool {
        let new = new.trim();
        !new.is_empty() && self.tail.trim_end().ends_with(new)
    }

    /// Judges a continuation that repeats nothing. `ended`: nothing follows.
    pub fn judge(&self, new: &str, ended: bool) -> Evidence {
        let evidence = match &self.context {
            Context::Json(json) => self.judge_json(json, new, ended),
            Context::Code(code) => code.judge(&self.tail, new, ended),
            Context::Table(_) if self.glues_a_capital(new) => Refuted(ContinuationMismatch::Glued),
            Context::Table(table) => table.judge(new, ended),
            Context::Prose => self.judge_prose(new),
        };
        let is_again = || self.repeats(new) || self.ending.comes_again(new);
        if evidence == Fits && is_again() { Refuted(ContinuationMismatch::Repeats) } else { evidence }
    }

    /// Judges what follows a repeat. It needs no evidence, but may not contradict.
    pub fn contradicts(&self, new: &str) -> Option<ContinuationMismatch> {
        match &self.context {
            Context::Json(json) => {
                return (!json.clone().read(new)).then_some(ContinuationMismatch::Json);
            }
            Context::Table(table) => {
                return match table.judge(new, false) {
                    Refuted(mismatch) => Some(mismatch),
                    Fits | Evidence::None => None,
                };
            }
            Context::Code(code) => return code.contradicts(&self.tail, new),
            Context::Prose => {}
        }
        let closes_quote =
            new.starts_with('”') && self.tail.matches('“').count() <= self.tail.matches('”').count();
        if closes_quote {
            return Some(ContinuationMismatch::Echo);
        }
        // A line ends inside of a sentence only in lists, headings and poems.
        let line = self.tail.rsplit('\n').next().unwrap_or_default();
        let breaks = new.starts_with('\n') && !line.is_empty() && !ends_sentence(line.trim_end());
        if breaks && !self.is_in_lines(line, new) {
            return Some(ContinuationMismatch::Unverified);
        }
        self.repeats(new).then_some(ContinuationMismatch::Repeats)
    }

    /// Whether `line`, the last one, may end without a full stop, and the next one goes on like it.
    fn is_in_lines(&self, line: &str, new: &str) -> bool {
        let line = line.trim_start();
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_item = line.starts_with(['-', '*', '•', '#', '+', '|', '>', '`', '~'])
            || (digits.len() < line.len() && digits.starts_with(['.', ')']));
        let before = self.tail.lines().rev().skip(1).filter(|line| !line.trim().is_empty()).take(3);
        let (lines, open) = before
            .fold((0, 0), |(all, open), line| (all + 1, open + usize::from(!ends_sentence(line.trim_end()))));
        is_item || self.judge_lines(new) == Fits || (lines >= 2 && open >= 2)
    }

    /// How much of a continuation is needed to judge it, in code points.
    pub fn needed(&self) -> usize {
        match &self.context {
            Context::Prose if self.is_unspaced() => 14,
            Context::Prose => 30,
            Context::Code(_) => 40,
            Context::Json(_) | Context::Table(_) => 24,
        }
    }

    /// Whether the beginning of the continuation occurs in the delivered text, perhaps with small changes.
    pub fn repeats(&self, new: &str) -> bool {
        let unspaced = new.chars().filter(|c| c.is_alphanumeric()).take(6).all(|c| !is_letter(c));
        let (longest, shortest) = if unspaced { (12, 6) } else { (24, 12) };
        let prose = self.is_prose();
        let longest = if matches!(self.context, Context::Code(_)) { 18 } else { longest };
        let longest = if matches!(self.context, Context::Json(_)) { 32 } else { longest };
        let pattern: Vec<char> = comparable(new).take(longest).collect();
        if pattern.len() < shortest {
            return false;
        }
        let edits = match (prose, unspaced) {
            (false, _) => 0,
            (true, false) => pattern.len() / 6,
            (true, true) => pattern.len() / 4,
        };
        occurs(&pattern, &self.comparable, edits) || occurs(&pattern, &self.comparable_start, edits)
    }

    /// Whether the continuation begins like something in the delivered text: a shorter beginning than [`Seam::repeats`] needs.
    pub fn starts_again(&self, new: &str) -> bool {
        let pattern: Vec<char> = comparable(new).take(12).collect();
        let is_spaced = pattern.iter().all(|&c| is_letter(c) || c.is_numeric());
        let pattern = if is_spaced { &pattern[..] } else { &pattern[..pattern.len().min(5)] };
        let enough = if is_spaced { 12 } else { 5 };
        let edits = usize::from(is_spaced);
        pattern.len() == enough
            && (occurs(pattern, &self.comparable, edits) || occurs(pattern, &self.comparable_start, edits))
    }

    fn is_unspaced(&self) -> bool {
        let last = self.tail.chars().rev().find(|c| c.is_alphanumeric());
        last.is_some_and(|c| c.is_alphabetic() && !is_letter(c))
    }

    fn judge_json(&self, json: &JsonPrefix, new: &str, ended: bool) -> Evidence {
        let mut read = json.clone();
        let before = read.structure;
        if !read.read(new) {
            return Refuted(ContinuationMismatch::Json);
        }
        // A value that was cut has ended, or another one has come.
        let added = read.structure - before;
        if added > 1 || (added == 1 && (!json.is_between_values() || ended)) {
            return Fits;
        }
        let is_in_string = json.is_in_string() && added == 0;
        if is_in_string && new.chars().count() >= 100 { self.judge_prose(new) } else { Evidence::None }
    }

    fn judge_prose(&self, new: &str) -> Evidence {
        if self.is_unspaced() { self.judge_unspaced(new) } else { self.judge_spaced(new) }
    }

    /// A script without spaces: the same script goes on inside a sentence, with something that was not there before. Thai
    /// has spaces between phrases.
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
        if first.is_ascii_alphabetic() && !self.known.iter().any(|word| word.is_ascii()) {
            return Refuted(ContinuationMismatch::Script);
        }
        if self.starts_again(text) {
            return Refuted(ContinuationMismatch::Repeats);
        }
        let letters: Vec<char> = text.chars().take(14).filter(|c| c.is_alphabetic()).collect();
        let same = letters.iter().filter(|&&c| !is_letter(c)).count();
        let begins = is_thai(first) || (first.is_alphabetic() && !is_letter(first));
        if begins && 2 * same >= letters.len() { Fits } else { Evidence::None }
    }

    fn judge_spaced(&self, new: &str) -> Evidence {
        let Some(first) = new.chars().next() else { return Evidence::None };
        let Some(last) = self.tail.chars().next_back() else { return Evidence::None };
        if last == '\n' || (first == '\n') {
            return self.judge_lines(new);
        }
        let line = self.tail.rsplit('\n').next().unwrap_or_default();
        let breaks = new.split_once('\n').is_some_and(|(line, _)| !ends_sentence(line.trim_end()));
        if ends_sentence(self.tail.trim_end()) || (breaks && !self.is_in_lines(line, new)) {
            return Evidence::None;
        }
        let text = new.strip_prefix(' ').filter(|_| !last.is_whitespace()).unwrap_or(new);
        let has_space = last.is_whitespace() || text.len() < new.len();
        let Some(next) = text.chars().next() else { return Evidence::None };
        if next.is_whitespace() {
            return Evidence::None;
        }
        if self.tail_script_differs(text) {
            return Refuted(ContinuationMismatch::Script);
        }
        if !has_space && is_letter(last) && is_letter(next) {
            return self.judge_word(text);
        }
        if !has_space && matches!(last, ',' | ';' | ')') && is_letter(next) {
            return Refuted(ContinuationMismatch::Glued);
        }
        let is_symbol = is_text(next) && !next.is_alphanumeric();
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
        if next.is_lowercase() || (is_letter(next) && !next.is_uppercase()) || next.is_numeric() {
            let is_item = next.is_numeric()
                && bare.trim_start_matches(char::is_numeric).starts_with([')', '.'])
                && bare.trim_start_matches(char::is_numeric).chars().nth(1).is_some_and(char::is_whitespace);
            return if is_item { Evidence::None } else { Fits };
        }
        if matches!(next, '—' | '–' | '&' | '+' | '=' | '<' | '>') {
            return Fits;
        }
        let word: String = bare.chars().take_while(|&c| is_letter(c)).collect();
        let is_name = self.names.contains(&word) && !COMMON.contains(&word.to_lowercase().as_str());
        if is_name { Fits } else { Evidence::None }
    }

    /// The cut word goes on, or two words are glued.
    fn judge_word(&self, text: &str) -> Evidence {
        let fragment: Vec<char> = self.tail.chars().rev().take_while(|&c| is_letter(c)).collect();
        let fragment: String = fragment.into_iter().rev().collect();
        let beginning: String = text.chars().take_while(|&c| is_letter(c)).collect();
        if self.glues_a_capital(text) {
            return Refuted(ContinuationMismatch::Glued);
        }
        let (fragment, beginning) = (fragment.to_lowercase(), beginning.to_lowercase());
        // `tố` and `tốt`: the word was begun again, or repeats itself.
        if fragment.chars().nth(1).is_some() && beginning.starts_with(&fragment) {
            return Refuted(ContinuationMismatch::Repeats);
        }
        let joined = [fragment.as_str(), beginning.as_str()].concat();
        let is_known = |word: &str| self.known.contains(word) || COMMON.contains(&word);
        if is_known(&joined) {
            return Fits;
        }
        let is_glued = (is_known(&fragment) && is_known(&beginning) && beginning.chars().count() > 1)
            || (self.is_syllabic && words::has_two_syllables(&joined));
        if is_glued { Refuted(ContinuationMismatch::Glued) } else { Fits }
    }

    /// Whether a word would get a capital letter inside, and no other has one.
    fn glues_a_capital(&self, new: &str) -> bool {
        let is_inner = self.tail.ends_with(char::is_lowercase) && new.starts_with(char::is_uppercase);
        is_inner && !self.has_inner_capitals
    }

    /// The next item of a numbered list.
    fn judge_lines(&self, new: &str) -> Evidence {
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

    /// Only Latin letters were delivered last, and those of another script follow, or the other way round.
    fn tail_script_differs(&self, text: &str) -> bool {
        let is_latin = |c: char| {
            c.is_ascii_alphabetic()
                || ('\u{c0}'..='\u{24f}').contains(&c)
                || ('\u{1e00}'..='\u{1eff}').contains(&c)
        };
        let Some(after) = text.chars().find(|c| c.is_alphabetic()).map(is_latin) else { return false };
        let mut before =
            self.tail.chars().rev().filter(|c| c.is_alphabetic()).take(40).map(is_latin).peekable();
        before.peek().is_some() && before.all(|before| before != after)
    }
}

impl Context {
    fn of(delivered: &str) -> Self {
        if let Some(code) = Code::open_in(delivered) {
            let body = &delivered[code.start..];
            let mut json = JsonPrefix::default();
            let may_be_json = body.trim_start().starts_with(['{', '[']) && json.read(body);
            return if may_be_json { Context::Json(json) } else { Context::Code(code) };
        }
        let mut json = JsonPrefix::default();
        if delivered.trim_start().starts_with(['{', '[']) && json.read(delivered) && !json.is_complete() {
            return Context::Json(json);
        }
        Table::open_in(delivered).map_or(Context::Prose, Context::Table)
    }
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
