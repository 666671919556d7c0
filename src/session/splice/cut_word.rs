//! Detects that a continuation repeats the cut word: `inter` was delivered, and the continuation starts with
//! `international`.

/// A letter of a script that separates words by spaces, or a combining mark. Marks belong to the word, because in
/// decomposed text (NFD) a cut can fall between a Vietnamese vowel and its tone.
pub(super) fn is_letter(c: char) -> bool {
    (c.is_alphabetic() && !is_unspaced(c)) || is_mark(c)
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// Scripts in which a character may legitimately follow itself, because spaces do not separate words: Chinese,
/// Japanese, Thai, Lao, Tibetan, Burmese, Khmer. Korean has spaces, but its syllable blocks repeat like ideographs.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{1950}'..='\u{19df}'
        | '\u{2e80}'..='\u{a4cf}' | '\u{a960}'..='\u{a97f}' | '\u{aa60}'..='\u{aa7f}' | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ffdc}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a word may start after this character, rather than being a part of a number or an identifier.
pub(super) fn is_word_boundary(before: Option<char>) -> bool {
    before.is_none_or(|c| !is_letter(c) && !c.is_numeric() && c != '_')
}

/// A longer run of letters is not a word.
const MAX_LENGTH: usize = 64;
/// A repeated word of this length is the cut word, whether or not it continues. The alternative, a longer word that
/// starts with this one twice, is very rare.
const CERTAIN_LENGTH: usize = 3;

/// Compares the start of the continuation with the last word of the delivered text.
pub(super) struct CutWord {
    word: Vec<char>,
    after_space: bool,
    /// Characters of the continuation read so far.
    read: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Open,
    Repeated,
    Different,
}

impl CutWord {
    pub fn new(delivered: &str) -> Self {
        let mut word: Vec<char> =
            delivered.chars().rev().take_while(|&c| is_letter(c)).take(MAX_LENGTH + 1).collect();
        word.reverse();
        let before = delivered.chars().rev().nth(word.len());
        let starts_word = is_word_boundary(before) || (before == Some('_') && word.len() >= CERTAIN_LENGTH);
        let fits = !word.is_empty() && word.len() <= MAX_LENGTH && starts_word;
        let after_space = before.is_none_or(char::is_whitespace);
        CutWord { word, after_space, read: 0, state: if fits { State::Open } else { State::Different } }
    }

    /// The length of the last word in code points; 0 if the delivered text does not end in a word.
    pub fn points(&self) -> usize {
        self.word.len()
    }

    /// Reads one character of the continuation.
    pub fn step(&mut self, c: char) {
        if self.state != State::Open {
            return;
        }
        let length = self.word.len();
        if self.read < length {
            let same = c == self.word[self.read];
            self.state = match same {
                true if self.read + 1 == length && self.is_certain() => State::Repeated,
                true => State::Open,
                false => State::Different,
            };
        } else if is_letter(c) {
            // A short word that only repeats itself (`www`, `haha`, `#fff`) may be the exact rest. One that differs
            // within the repetition (`tố` and `tốt`) was repeated.
            let repeats = c == self.word[self.read % length];
            self.state = if repeats { State::Open } else { State::Repeated };
        } else {
            // `to the` after `to`; `a cat` after `a`, but not `f;` after `#f`.
            let is_word = length > 1 || (self.after_space && c.is_whitespace());
            let within_repetition = !self.read.is_multiple_of(length);
            let repeated = (self.read == length && is_word) || within_repetition;
            self.state = if repeated { State::Repeated } else { State::Different };
        }
        self.read += 1;
    }

    fn is_certain(&self) -> bool {
        self.word.len() >= CERTAIN_LENGTH && self.word.iter().any(|&c| c != self.word[0])
    }

    /// The continuation does not repeat the word.
    pub fn reject(&mut self) {
        self.state = State::Different;
    }

    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn is_repeated(&self) -> bool {
        self.state == State::Repeated
    }

    /// The length of the last word in bytes.
    pub fn bytes(&self) -> usize {
        self.word.iter().map(|c| c.len_utf8()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_repeated(delivered: &str, continuation: &str) -> bool {
        let mut word = CutWord::new(delivered);
        continuation.chars().for_each(|c| word.step(c));
        word.is_repeated()
    }

    #[test]
    fn a_repeated_word_that_continues_is_detected() {
        assert!(is_repeated("an inter", "international law"));
        assert!(is_repeated("học ti", "tiếng Việt"));
        assert!(is_repeated("rất tố", "tốt lắm"));
        assert!(is_repeated("l'inter", "international"));
        assert!(is_repeated("使用 AP", "API接口"));
    }

    #[test]
    fn a_cut_between_a_vowel_and_its_tone_is_inside_the_word() {
        assert!(is_repeated("tie", "tie\u{302}\u{301}ng"));
        assert!(is_repeated("tie\u{302}", "tie\u{302}\u{301}ng"));
    }

    #[test]
    fn a_repeated_complete_word_is_detected() {
        assert!(is_repeated("the answer", "answer is"));
        assert!(is_repeated("it is tha", "that the"));
        assert!(is_repeated("go to", "to the"));
        assert!(is_repeated("I have a", "a cat"));
        assert!(is_repeated("set retry_pol", "policy"));
    }

    #[test]
    fn the_next_word_is_not_the_cut_word() {
        assert!(!is_repeated("the", " theory"));
        assert!(!is_repeated("a", "again".get(1..).unwrap()));
    }

    #[test]
    fn a_word_that_only_repeats_itself_is_not_a_repeat() {
        for (delivered, continuation) in
            [("w", "ww.a"), (" #f", "f; "), ("ha", "haha!"), ("#f", "ff;"), (" i", "i) ")]
        {
            assert!(!is_repeated(delivered, continuation), "{delivered}|{continuation}");
        }
    }

    #[test]
    fn numbers_identifiers_and_unspaced_scripts_are_not_words() {
        for (delivered, continuation) in [
            ("20", "2024"),
            ("x1a", "ab"),
            ("user_n", "name"),
            ("人", "人们"),
            ("か", "かな"),
            ("가", "가나"),
        ] {
            assert!(!is_repeated(delivered, continuation), "{delivered}|{continuation}");
        }
    }
}
