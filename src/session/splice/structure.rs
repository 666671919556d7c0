//! Code blocks and tables that are open where the delivered text ends.

use super::types::{ContinuationMismatch, Evidence};
use super::words;

use Evidence::{Fits, Refuted};

/// An open code block.
pub(super) struct Code {
    /// Where its first line begins, in bytes.
    pub start: usize,
    /// The brackets that are open, and the quotation mark.
    open: Vec<u8>,
    quote: Option<u8>,
    /// The brackets match so far: they do not in languages with other strings.
    is_balanced: bool,
}

impl Code {
    /// The code block that is open at the end of a text.
    pub fn open_in(text: &str) -> Option<Self> {
        let mut start = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            at += line.len();
            let bare = line.trim_start_matches(' ');
            // A fence whose line is not complete is still being written.
            if line.len() - bare.len() < 4
                && (bare.starts_with("```") || bare.starts_with("~~~"))
                && line.ends_with('\n')
            {
                start = if start.is_some() { None } else { Some(at) };
            }
        }
        let start = start?;
        let (mut open, mut quote) = (Vec::new(), None);
        let is_balanced = brackets(&text[start..], &mut open, &mut quote);
        Some(Code { start, open, quote, is_balanced })
    }

    /// `delivered` ends in this block.
    pub fn judge(&self, delivered: &str, new: &str, ended: bool) -> Evidence {
        if let Some(mismatch) = self.contradicts(delivered, new) {
            return Refuted(mismatch);
        }
        let (line, is_complete) = match new.split_once('\n') {
            Some((line, _)) => (line, true),
            None => (new, ended),
        };
        let Some(first) = new.chars().next() else { return Evidence::None };
        let last_line = &delivered[delivered.rfind('\n').map_or(0, |at| at + 1)..];
        // The fence that ends the block: what follows is not code.
        if last_line.trim_start().starts_with('`') {
            return Evidence::None;
        }
        if last_line.trim().is_empty() {
            return self.judge_line(delivered, last_line, new);
        }
        // A block that ends without its fence has not ended.
        // `const Thus value`: a word that no line of code has there.
        let is_stray = delivered.ends_with([' ', '(', ',', '=', '[', '{']) && is_word_before_another(line);
        // A string or a bracket that has ended is followed by something else than a value.
        let has_ended =
            self.is_balanced && self.quote.is_none() && delivered.ends_with(['"', '\'', ']', '}']);
        let is_value =
            has_ended && new.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '"' | '\'' | '{'));
        let opens_again = self.quote.is_some() && (new.starts_with("{\"") || new.starts_with("[{"));
        let is_heading = line.starts_with("##");
        if is_value
            || opens_again
            || is_heading
            || is_sentence(line)
            || is_stray
            || (ended && !new.contains("```"))
        {
            return Evidence::None;
        }
        if new.trim_start().starts_with("```") || is_item(line) || new.split('\n').skip(1).any(is_item) {
            return Evidence::None;
        }
        if first == '\n' {
            let rest = new.trim_start_matches('\n');
            return if rest.starts_with([' ', '\t']) && !rest.trim_start().is_empty() {
                Fits
            } else {
                Evidence::None
            };
        }
        // The rest of a line: enough of it was seen, or all of it.
        if is_complete || line.chars().count() >= 24 { Fits } else { Evidence::None }
    }

    /// A new line: its indentation goes on, or it closes what is open.
    fn judge_line(&self, delivered: &str, indent: &str, new: &str) -> Evidence {
        let code = new.trim_start();
        let Some(first) = code.chars().next() else { return Evidence::None };
        let is_indented = indent.len() + (new.len() - code.trim_start().len()) > 0;
        let previous = delivered.trim_end().lines().next_back().unwrap_or_default();
        let expects = previous.starts_with([' ', '\t']) || previous.ends_with(['{', ':', '(', '[', ',']);
        if matches!(first, '}' | ')' | ']') && !self.open.is_empty() {
            return Fits;
        }
        if let Some(rest) = code.strip_prefix("```") {
            let ends = self.open.is_empty() && (rest.is_empty() || rest.starts_with('\n'));
            return if ends { Fits } else { Evidence::None };
        }
        if is_indented && expects && !is_sentence(code.lines().next().unwrap_or_default()) {
            Fits
        } else {
            Evidence::None
        }
    }

    /// `delivered` ends in this block.
    pub fn contradicts(&self, delivered: &str, new: &str) -> Option<ContinuationMismatch> {
        let opens = |fence: &str| {
            let mut lines = new.lines();
            lines.any(|line| {
                line.trim_start()
                    .strip_prefix(fence)
                    .is_some_and(|rest| rest.starts_with(char::is_alphabetic))
            })
        };
        let line = new.split('\n').next().unwrap_or_default();
        if glues_a_word(delivered, line) || glues_a_keyword(delivered, line) {
            return Some(ContinuationMismatch::Glued);
        }
        // A line that is not complete, or a bracket that is open, and then a fence.
        let is_open =
            !self.open.is_empty() || delivered.trim_end().ends_with(['=', '+', '|', '&', ',', '(', '[', '{']);
        let leaves = self.is_balanced && is_open && new.trim_start().starts_with("```");
        if opens("```") || opens("~~~") || leaves || self.closes_too_much(line) {
            return Some(ContinuationMismatch::Code);
        }
        words::is_about_the_answer(new).then_some(ContinuationMismatch::Echo)
    }

    /// Whether the rest of a line closes a bracket that is not open. Quotation marks have too many meanings.
    fn closes_too_much(&self, line: &str) -> bool {
        let is_certain = self.is_balanced && self.quote.is_none() && !line.contains(['"', '\'', '`']);
        is_certain && !brackets(line, &mut self.open.clone(), &mut None)
    }
}

/// Follows the brackets outside of strings. False if one closes that is not open.
fn brackets(code: &str, open: &mut Vec<u8>, quote: &mut Option<u8>) -> bool {
    let mut bytes = code.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, *quote) {
            (b'\\', Some(_)) => drop(bytes.next()),
            (b'\n', _) => *quote = None,
            (b'"' | b'\'' | b'`', None) => *quote = Some(byte),
            (_, Some(of)) if of == byte => *quote = None,
            (_, Some(_)) => {}
            (b'(' | b'[' | b'{', None) => open.push(byte),
            (b')' | b']' | b'}', None) => {
                let matches = open
                    .pop()
                    .is_some_and(|of| matches!((of, byte), (b'(', b')') | (b'[', b']') | (b'{', b'}')));
                if !matches {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

/// Whether a name that was cut would go on with a capital letter, and another word follow it: `conThus const`.
fn glues_a_word(delivered: &str, line: &str) -> bool {
    let is_inner = delivered.ends_with(char::is_lowercase);
    is_inner && is_word_before_another(line)
}

/// Words with which a line of code begins.
const KEYWORDS: &[&str] = &[
    "async", "class", "const", "create", "def", "elif", "enum", "export", "fn", "for", "from", "function",
    "if", "import", "insert", "let", "private", "public", "return", "select", "static", "struct", "switch",
    "var", "void", "while",
];

/// Whether a new line of code would begin inside a name: `this.vconst counter`.
fn glues_a_keyword(delivered: &str, line: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let Some((word, _)) = line.split_once(' ') else { return false };
    let fragment = delivered.rsplit(|c: char| !is_name(c)).next().unwrap_or_default();
    let joined = [fragment, word].concat().to_lowercase();
    let is_keyword = |word: &str| KEYWORDS.contains(&word);
    !fragment.is_empty() && is_keyword(&word.to_lowercase()) && !is_keyword(&joined)
}

/// Whether a line begins with a capitalized word, and another word follows.
fn is_word_before_another(line: &str) -> bool {
    let (word, after) = line.split_once(' ').unwrap_or_default();
    let is_word = word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphabetic);
    is_word && after.starts_with(|c: char| c.is_alphabetic() || c == ' ' || c == '_')
}

/// Whether a line is a sentence about the code rather than code.
fn is_sentence(line: &str) -> bool {
    let words = line.trim().split(' ').take(4).collect::<Vec<_>>();
    let is_word = |word: &&str| {
        let word = word.trim_end_matches([',', '.', ':']).replace(['\'', '’'], "");
        word.chars().all(char::is_alphabetic) && !word.is_empty()
    };
    words.len() == 4 && words[0].starts_with(char::is_uppercase) && words.iter().all(is_word)
}

/// Whether a line is an item of a Markdown list.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let text = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with("* ") || line.starts_with("- ") || (text.len() < line.len() && text.starts_with(". "))
}

/// A table that is open.
pub(super) struct Table {
    /// The rows that are complete.
    rows: Vec<String>,
    /// The row that is not.
    row: String,
}

/// A shorter row says nothing before it is complete, in bytes.
const MIN_ROW: usize = 12;
/// More rows are not compared.
const MAX_ROWS: usize = 200;

impl Table {
    /// The table that is open at the end of a text.
    pub fn open_in(text: &str) -> Option<Self> {
        let row = &text[text.rfind('\n').map_or(0, |at| at + 1)..];
        let before = &text[..text.len() - row.len()];
        let rows: Vec<String> = before
            .lines()
            .rev()
            .take_while(|line| line.trim_start().starts_with('|'))
            .take(MAX_ROWS)
            .map(normal)
            .collect();
        let is_row = row.trim_start().starts_with('|');
        (is_row || (row.trim().is_empty() && !rows.is_empty()))
            .then(|| Table { rows: rows.into_iter().rev().collect(), row: row.to_owned() })
    }

    pub fn judge(&self, new: &str, ended: bool) -> Evidence {
        if self.has_header_again(new) {
            return Refuted(ContinuationMismatch::Table);
        }
        let (line, is_complete) = match new.split_once('\n') {
            Some((line, _)) => (line, true),
            None => (new, ended),
        };
        let joined = [self.row.as_str(), line].concat();
        let row = normal(&joined);
        if row.is_empty() {
            return Evidence::None;
        }
        if !row.starts_with('|') {
            // The text after the table.
            return Evidence::None;
        }
        let Some(header) = self.rows.first() else {
            // The header itself, which its rule follows.
            let rule = new.split('\n').nth(1).filter(|_| new.matches('\n').count() > 1).map(normal);
            let fits = rule.is_some_and(|rule| is_rule(&rule) && cells(&rule) == cells(&row));
            let fits = fits && self.row.contains(words::is_text);
            return if fits { Fits } else { Evidence::None };
        };
        if cells(&row) > cells(header) {
            return Refuted(ContinuationMismatch::Table);
        }
        if !is_complete {
            return Evidence::None;
        }
        let expects_rule = self.rows.len() == 1;
        let is_again = self.rows.contains(&row) || (is_rule(&row) && !expects_rule);
        if is_again || !self.has_cells(&row) || (expects_rule && !is_rule(&row)) {
            return Refuted(ContinuationMismatch::Table);
        }
        // An empty cell.
        if !line.contains(words::is_text) && !expects_rule {
            return Evidence::None;
        }
        let is_at_start = self.row.trim().is_empty() && !expects_rule;
        if is_at_start || self.has_another_word(line) { Evidence::None } else { Fits }
    }

    /// Whether the header or its rule comes again in one of the rows, or begins to.
    fn has_header_again(&self, new: &str) -> bool {
        let joined = [self.row.as_str(), new].concat();
        let Some(header) = self.rows.first() else {
            // The row after the header must be its rule.
            let mut lines = joined.split('\n').map(normal);
            let (header, rule) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            return lines.next().is_some() && (!is_rule(&rule) || cells(&rule) != cells(&header));
        };
        // So does the first row, complete, after the one that is open.
        let first = self.rows.get(2).filter(|row| row.len() >= MIN_ROW);
        let complete = joined.rsplit_once('\n').map_or("", |(complete, _)| complete);
        if first.is_some_and(|first| complete.split('\n').skip(1).any(|line| normal(line) == *first)) {
            return true;
        }
        joined.split('\n').map(normal).enumerate().any(|(at, row)| {
            let begins =
                row.len() >= MIN_ROW && cells(&row) > 1 && header.starts_with(row.trim_end_matches('|'));
            let is_second_rule = is_rule(&row) && cells(&row) > 1 && (at > 0 || self.rows.len() > 1);
            begins || is_second_rule
        })
    }

    /// Whether the cell that begins here begins with another word than those above it, which begin alike.
    fn has_another_word(&self, new: &str) -> bool {
        let Some((cells, open)) = self.row.rsplit_once('|').filter(|(_, open)| open.trim().is_empty()) else {
            return false;
        };
        let word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
        let column = cells.matches('|').count() + 1;
        let rows = self.rows.iter().skip(2).filter_map(|row| row.split('|').nth(column));
        let mut words = rows.map(word);
        // Nothing is known about the first row.
        let Some(first) = words.next() else { return true };
        words.all(|other| other == first) && word(&[open, new].concat()) != first
    }

    fn has_cells(&self, row: &str) -> bool {
        self.rows.first().is_some_and(|header| cells(header) == cells(row))
    }
}

/// A row without the padding of its cells.
fn normal(row: &str) -> String {
    row.split('|').map(str::trim).collect::<Vec<_>>().join("|")
}

fn cells(row: &str) -> usize {
    row.replace("\\|", "").matches('|').count()
}

fn is_rule(row: &str) -> bool {
    row.len() > 2 && row.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) && row.contains('-')
}
