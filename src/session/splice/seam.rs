//! The place where a continuation meets the delivered text: what the text is there, and whether the continuation fits so that
//! hardly anything but the rest of the answer does.

use super::again::{Again, Place};
use super::json_prefix::JsonPrefix;
use super::sentence::Sentence;
use super::structure::{Code, Table};
use super::types::{ContinuationMismatch, Evidence};
use super::words::{self, comparable, ends_sentence, is_text, last_points};

use Evidence::{Fits, Refuted};

/// How much of the end of the delivered text is compared with the continuation, and of its beginning, in code points.
const COMPARED: usize = 4_000;
const COMPARED_START: usize = 600;
/// A continuation that begins like the delivered text for so many letters begins the answer or the sentence again.
const BEGUN_AGAIN: usize = 11;
/// From so many letters on a quotation of the end of the text is one.
const QUOTED: usize = 3;
const QUOTED_PART: usize = 8;
/// How much of the end an instruction may have quoted, in letters.
const NEAR_END: usize = 160;
const MARKS: [char; 4] = ['“', '"', '«', '„'];
/// Where a quotation begins at most, in code points.
const QUOTED_AT: usize = 100;

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
    again: Again,
    sentence: Sentence,
    /// Its end.
    tail: String,
}

impl Seam {
    pub fn new(delivered: &str, begun_again: usize) -> Self {
        let tail = last_points(delivered, COMPARED);
        let start = if tail.len() < delivered.len() { delivered } else { "" };
        let start: String = start.chars().take(COMPARED_START).collect();
        let context = Context::of(delivered);
        let place = match context {
            Context::Code(_) => Place::Line,
            Context::Table(_) => Place::Cell,
            Context::Json(_) => Place::Value,
            Context::Prose => Place::Prose,
        };
        Seam {
            context,
            again: Again::new(tail, &start, place, begun_again),
            sentence: Sentence::new(tail),
            tail: tail.to_owned(),
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
                closed || (ends_sentence(end) && !end.ends_with([':', '：']) && !ends_in_number(end))
            }
        }
    }

    /// Whether this is more than white space and the punctuation that a model ends an echo with.
    pub fn has_text(&self, new: &str) -> bool {
        let is_prose = self.is_prose();
        new.chars().any(|c| is_text(c) || (!is_prose && matches!(c, '}' | ']' | ')' | '|')))
    }

    /// Whether this is nothing but the end of the delivered text.
    pub fn ends_with(&self, new: &str) -> bool {
        let new = new.trim();
        !new.is_empty() && self.tail.trim_end().ends_with(new)
    }

    /// Whether prose quotes the end of the delivered text, as the instruction does.
    pub fn is_quoted(&self, new: &str) -> bool {
        if !self.is_prose() {
            return false;
        }
        let end: Vec<char> = comparable(&self.tail).collect();
        let has_marks = self.tail.contains(MARKS);
        let near_end = &end[end.len().saturating_sub(NEAR_END)..];
        let mut marks = new.char_indices().take(QUOTED_AT).filter(|(_, c)| MARKS.contains(c));
        marks.any(|(at, mark)| {
            let quoted = &new[at + mark.len_utf8()..];
            let quoted = quoted.split(['”', '"', '»', '“']).next().unwrap_or_default();
            let quoted: Vec<char> = comparable(quoted).collect();
            let is_end = quoted.len() >= QUOTED.min(end.len()).max(1) && end.ends_with(&quoted);
            let is_part =
                quoted.len() >= QUOTED_PART && near_end.windows(quoted.len()).any(|of| of == quoted);
            is_end || (is_part && !has_marks)
        })
    }

    /// Whether it speaks about the answer, which the delivered text does not.
    pub fn mentions_answer(&self, new: &str) -> bool {
        words::mentions_the_answer(new, &self.tail)
    }

    /// Judges a continuation that repeats nothing. `ended`: nothing follows.
    pub fn judge(&self, new: &str, ended: bool) -> Evidence {
        if self.closes_quote(new) {
            return Refuted(ContinuationMismatch::Echo);
        }
        let evidence = match &self.context {
            Context::Json(json) => self.judge_json(json, new, ended),
            Context::Code(_) | Context::Table(_) if self.sentence.glues_a_capital(new) => {
                Refuted(ContinuationMismatch::Glued)
            }
            Context::Code(code) => code.judge(&self.tail, new, ended),
            Context::Table(table) => table.judge(new, ended),
            Context::Prose => self.sentence.judge(new),
        };
        let is_again = evidence == Fits && self.again.begins(new);
        if is_again { Refuted(ContinuationMismatch::Repeats) } else { evidence }
    }

    /// Judges what follows a repeat. It needs no evidence, but may not contradict. `is_asked`: the words were asked for.
    pub fn contradicts(&self, new: &str, is_asked: bool) -> Option<ContinuationMismatch> {
        if self.closes_quote(new) {
            return Some(ContinuationMismatch::Echo);
        }
        let is_again = || self.again.follows(new, is_asked);
        match &self.context {
            Context::Json(json) => {
                // A fence ends, and the next one opens.
                let opens_again = new.contains("```\n```").then_some(ContinuationMismatch::Code);
                (!json.clone().read(new)).then_some(ContinuationMismatch::Json).or(opens_again)
            }
            Context::Table(table) => match table.judge(new, false) {
                Refuted(mismatch) => Some(mismatch),
                Fits | Evidence::None => None,
            },
            Context::Code(code) => code
                .contradicts(&self.tail, new)
                .or_else(|| is_again().then_some(ContinuationMismatch::Repeats)),
            Context::Prose => self
                .sentence
                .contradicts(new, is_asked)
                .or_else(|| is_again().then_some(ContinuationMismatch::Repeats)),
        }
    }

    /// How much of a continuation is needed to judge it, in code points.
    pub fn needed(&self) -> usize {
        match &self.context {
            Context::Prose if self.sentence.has_syllables() => 40,
            Context::Prose | Context::Code(_) => 60,
            Context::Table(_) => 80,
            Context::Json(_) => 32,
        }
    }

    /// Whether a continuation begins with something that was delivered before.
    pub fn begins_again(&self, new: &str) -> bool {
        self.again.begins(new)
    }

    /// The same for a shorter part, if the continuation comes to the end of the text later on.
    pub fn starts_again(&self, new: &str) -> bool {
        self.again.letters(new) >= BEGUN_AGAIN
    }

    /// Whether a quotation ends that has not begun: the one in the instruction.
    pub fn closes_quote(&self, new: &str) -> bool {
        new.trim_start().starts_with('”') && self.tail.matches('“').count() <= self.tail.matches('”').count()
    }

    fn judge_json(&self, json: &JsonPrefix, new: &str, ended: bool) -> Evidence {
        // The line break comes again.
        let blank = new.len() - new.trim_start().len();
        if self.tail.trim_end_matches(' ').ends_with('\n') && new[..blank].contains('\n') {
            return Evidence::None;
        }
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
        if is_in_string && new.chars().count() >= 100 { self.sentence.judge(new) } else { Evidence::None }
    }
}

impl Context {
    fn of(delivered: &str) -> Self {
        if let Some(code) = Code::open_in(delivered) {
            let body = &delivered[code.start..];
            let mut json = JsonPrefix::default();
            let may_be_json = body.trim_start().starts_with(['{', '[']) && json.read(body);
            if may_be_json {
                return Context::Json(json);
            }
            let json = JsonPrefix::open_in(last_points(body, COMPARED));
            return json.map_or(Context::Code(code), Context::Json);
        }
        let mut json = JsonPrefix::default();
        if delivered.trim_start().starts_with(['{', '[']) && json.read(delivered) && !json.is_complete() {
            return Context::Json(json);
        }
        Table::open_in(delivered).map_or(Context::Prose, Context::Table)
    }
}

/// Whether the last word is the number or the letter of an item, or one of a row of numbers, and ends no sentence.
fn ends_in_number(text: &str) -> bool {
    let Some(text) = text.strip_suffix(['.', ')']) else { return false };
    let before = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_letter = before.len() == text.len() && text.ends_with(|c: char| c.is_ascii_alphabetic());
    let before = if is_letter { &text[..text.len() - 1] } else { before };
    let is_alone = before.len() < text.len();
    let before = before.trim_end_matches(' ');
    let starts_line = before.is_empty() || before.ends_with('\n');
    is_alone && (starts_line || (!is_letter && before.ends_with(['.', ')', ',', ';', ':'])))
}
