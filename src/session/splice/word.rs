//! The cut word begun again: `inter` was delivered, and the continuation begins with `international`.

/// A letter of a script that puts spaces between words, or a mark on one. A text may come in
/// decomposed form (NFD), so a cut can fall between a Vietnamese vowel and its tone: marks belong to
/// the word.
pub(super) fn is_letter(c: char) -> bool {
    (c.is_alphabetic() && !is_unspaced(c)) || is_mark(c)
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// Scripts in which a character may honestly follow itself, because words are not set apart: Chinese,
/// Japanese, Thai, Lao, Tibetan, Burmese, Khmer. Korean has spaces, but its syllable blocks repeat
/// like ideographs.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{1950}'..='\u{19df}'
        | '\u{2e80}'..='\u{a4cf}' | '\u{a960}'..='\u{a97f}' | '\u{aa60}'..='\u{aa7f}' | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ffdc}' | '\u{20000}'..='\u{3ffff}')
}

/// What stands before a word that is whole: not a part of a number or an identifier.
pub(super) fn sets_apart(before: Option<char>) -> bool {
    before.is_none_or(|c| !is_letter(c) && !c.is_numeric() && c != '_')
}

/// Longer runs of letters are no words.
const LONGEST: usize = 64;
/// From this length on, a word that comes again is the cut word, whether it goes on or not: what else
/// it could be, a longer word that begins with this one twice, is rarer than every way to cut a text.
const CERTAIN: usize = 3;

/// Compares the beginning of the continuation with the word that the delivered text ends in.
pub(super) struct Word {
    word: Vec<char>,
    after_space: bool,
    seen: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Open,
    Again,
    No,
}

impl Word {
    pub fn new(delivered: &str) -> Self {
        let mut word: Vec<char> =
            delivered.chars().rev().take_while(|&c| is_letter(c)).take(LONGEST + 1).collect();
        word.reverse();
        let before = delivered.chars().rev().nth(word.len());
        let apart = sets_apart(before) || (before == Some('_') && word.len() >= CERTAIN);
        let fits = !word.is_empty() && word.len() <= LONGEST && apart;
        let after_space = before.is_none_or(char::is_whitespace);
        Word { word, after_space, seen: 0, state: if fits { State::Open } else { State::No } }
    }

    /// Length of the delivered text's last word in code points; 0 when it does not end in one.
    pub fn points(&self) -> usize {
        self.word.len()
    }

    /// Reads one character of the continuation.
    pub fn step(&mut self, c: char) {
        if self.state != State::Open {
            return;
        }
        let length = self.word.len();
        if self.seen < length {
            let same = c == self.word[self.seen];
            self.state = match same {
                true if self.seen + 1 == length && self.is_certain() => State::Again,
                true => State::Open,
                false => State::No,
            };
        } else if is_letter(c) {
            // A short word that only repeats itself (`www`, `haha`, `#fff`) may be its own honest rest; one that
            // stops in the middle of it (`tố` and `tốt`) was begun again.
            let repeats = c == self.word[self.seen % length];
            self.state = if repeats { State::Open } else { State::Again };
        } else {
            // `to the` after `to`; `a cat` after `a`, but not `f;` after `#f`.
            let alone = length > 1 || (self.after_space && c.is_whitespace());
            let in_the_middle = !self.seen.is_multiple_of(length);
            let again = (self.seen == length && alone) || in_the_middle;
            self.state = if again { State::Again } else { State::No };
        }
        self.seen += 1;
    }

    fn is_certain(&self) -> bool {
        self.word.len() >= CERTAIN && self.word.iter().any(|&c| c != self.word[0])
    }

    pub fn stop(&mut self) {
        self.state = State::No;
    }

    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn is_again(&self) -> bool {
        self.state == State::Again
    }

    /// Length of the delivered text's last word in bytes.
    pub fn bytes(&self) -> usize {
        self.word.iter().map(|c| c.len_utf8()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(delivered: &str, continuation: &str) -> bool {
        let mut word = Word::new(delivered);
        continuation.chars().for_each(|c| word.step(c));
        word.is_again()
    }

    #[test]
    fn a_word_that_goes_on_was_begun_again() {
        assert!(again("an inter", "international law"));
        assert!(again("học ti", "tiếng Việt"));
        assert!(again("rất tố", "tốt lắm"));
        assert!(again("l'inter", "international"));
        assert!(again("使用 AP", "API接口"));
    }

    #[test]
    fn a_cut_between_a_vowel_and_its_tone_is_inside_the_word() {
        assert!(again("tie", "tie\u{302}\u{301}ng"));
        assert!(again("tie\u{302}", "tie\u{302}\u{301}ng"));
    }

    #[test]
    fn a_whole_word_was_begun_again_too() {
        assert!(again("the answer", "answer is"));
        assert!(again("it is tha", "that the"));
        assert!(again("go to", "to the"));
        assert!(again("I have a", "a cat"));
        assert!(again("set retry_pol", "policy"));
    }

    #[test]
    fn the_next_word_is_not_the_cut_word() {
        assert!(!again("the", " theory"));
        assert!(!again("a", "again".get(1..).unwrap()));
    }

    #[test]
    fn a_word_that_only_repeats_itself_is_honest() {
        for (delivered, continuation) in
            [("w", "ww.a"), (" #f", "f; "), ("ha", "haha!"), ("#f", "ff;"), (" i", "i) ")]
        {
            assert!(!again(delivered, continuation), "{delivered}|{continuation}");
        }
    }

    #[test]
    fn numbers_identifiers_and_unspaced_scripts_are_no_words() {
        for (delivered, continuation) in [
            ("20", "2024"),
            ("x1a", "ab"),
            ("user_n", "name"),
            ("人", "人们"),
            ("か", "かな"),
            ("가", "가나"),
        ] {
            assert!(!again(delivered, continuation), "{delivered}|{continuation}");
        }
    }
}
