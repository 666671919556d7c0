//! Words: those of a text, common ones, and the ways in which models speak about an answer instead of continuing it.

use std::collections::HashSet;

use super::cut_word::{is_letter, is_unspaced};

/// Words that follow any other, and words that are made of two of them.
pub(super) const COMMON: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "are", "as", "at", "be", "been", "before", "but",
    "by", "can", "cannot", "do", "does", "for", "from", "had", "has", "have", "he", "her", "here", "his",
    "how", "however", "i", "if", "in", "inside", "into", "is", "it", "its", "itself", "like", "maybe",
    "more", "most", "no", "not", "of", "on", "one", "onto", "or", "our", "out", "over", "she", "so", "some",
    "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "through", "to", "today", "two", "up", "upon", "was", "we", "were", "what", "when", "where", "which",
    "while", "who", "will", "with", "within", "without", "would", "you", "your",
];

/// How a text begins that is about the answer, in lower case.
const ABOUT: &[&str] = &[
    "sure",
    "certainly",
    "of course",
    "here is",
    "here's",
    "here are",
    "i'm sorry",
    "i am sorry",
    "i apologize",
    "apologies",
    "as an ai",
    "okay,",
    "ok,",
    "the answer so far",
    "your previous answer",
    "your answer was",
    "the previous answer",
    "continuing from",
    "continued:",
    "[continued",
    "(continued",
    "dưới đây",
    "tất nhiên",
    "chắc chắn",
    "xin lỗi",
    "好的",
    "当然",
    "以下是",
    "抱歉",
    "对不起",
    "はい、",
    "もちろん",
    "以下は",
    "以下に",
    "すみません",
    "申し訳",
    "แน่นอน",
    "ขอโทษ",
    "นี่คือ",
    "ต่อไปนี้",
];

/// What a text that speaks about the answer has near its beginning, in lower case.
const OF_ANSWER: &[&str] = &[
    "answer so far",
    "previous answer",
    "previous response",
    "ends with:",
    "answer ends with",
    "response ends with",
    "text ends with",
    "ends with the word",
    "ends with “",
    "answer is: “",
    "answer is “",
    "was cut off",
    "answer you are looking",
    "you asked me",
    "i will continue",
    "i will provide the same",
];
/// Where it is looked for, in code points.
const NEAR: usize = 100;

/// Whether a text begins by speaking about the answer.
pub(super) fn is_about_the_answer(text: &str) -> bool {
    let start: String = text
        .trim_start_matches(|c: char| !c.is_alphanumeric() && c != '[' && c != '(')
        .chars()
        .take(30)
        .collect();
    let start = start.to_lowercase().replace('’', "'");
    ABOUT.iter().any(|about| start.starts_with(about))
}

/// Whether a text speaks about the answer near its beginning, and `delivered` does not.
pub(super) fn mentions_the_answer(text: &str, delivered: &str) -> bool {
    let start = text.chars().take(NEAR).collect::<String>().to_lowercase();
    OF_ANSWER.iter().any(|words| start.contains(words) && !delivered.to_lowercase().contains(words))
}

/// The words of a text in lower case, and those with a capital letter that do not begin a sentence. The last word, which may
/// be cut, is not among them.
pub(super) fn vocabulary(text: &str) -> (HashSet<String>, HashSet<String>) {
    let (mut known, mut names) = (HashSet::new(), HashSet::new());
    let mut start = None;
    for (at, c) in text.char_indices() {
        if is_letter(c) {
            start.get_or_insert(at);
        } else if let Some(begin) = start.take() {
            let word = &text[begin..at];
            if word.starts_with(char::is_uppercase) && !ends_sentence(text[..begin].trim_end_matches(' ')) {
                names.insert(word.to_owned());
            }
            known.insert(word.to_lowercase());
        }
    }
    (known, names)
}

/// Whether a text has words with a capital letter after a small one.
pub(super) fn has_inner_capitals(text: &str) -> bool {
    text.chars().zip(text.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
}

/// Whether the words of a text are single syllables: Vietnamese.
pub(super) fn is_syllabic(text: &str) -> bool {
    text.chars().filter(|&c| matches!(c, '\u{1ea0}'..='\u{1ef9}' | 'đ' | 'ơ' | 'ư')).take(3).count() == 3
}

/// Whether a word has two groups of vowels with consonants between them.
pub(super) fn has_two_syllables(word: &str) -> bool {
    let mut groups = 0;
    let mut in_group = false;
    for c in word.chars() {
        groups += usize::from(is_vowel(c) && !in_group);
        in_group = is_vowel(c);
    }
    groups > 1
}

/// Whether a word in lower case has a vowel.
pub(super) fn has_vowel(word: &str) -> bool {
    word.chars().any(is_vowel)
}

fn is_vowel(c: char) -> bool {
    matches!(c, 'a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'ă' | 'â' | 'ê' | 'ô' | 'ơ' | 'ư')
        || ('\u{e0}'..='\u{fd}').contains(&c) && c != 'ñ'
        || ('\u{1ea0}'..='\u{1ef9}').contains(&c)
        || matches!(c, '\u{300}'..='\u{36f}' | 'ĩ' | 'ũ')
}

/// Whether a text may be complete after its last sentence.
pub(super) fn ends_sentence(text: &str) -> bool {
    let bare = text.trim_end_matches(['*', '_', '"', '”', '’', ')', '」', '』', '）', '`', '\'']);
    bare.ends_with(['.', '!', '?', '…', '。', '！', '？', '।', ':', '：'])
        || text.is_empty()
        || text.ends_with('\n')
}

/// A letter, a digit, or a symbol such as an emoji.
pub(super) fn is_text(c: char) -> bool {
    c.is_alphanumeric()
        || (c >= '\u{2190}'
            && !matches!(c, '\u{3000}'..='\u{303f}' | '\u{fe00}'..='\u{fe0f}' | '\u{ff00}'..='\u{ff65}'))
}

/// Whether a character is a word or a syllable. Those of Thai, Lao, Tibetan and Burmese are letters.
pub(super) fn is_syllable(c: char) -> bool {
    is_unspaced(c) && !matches!(c, '\u{e00}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// The letters, digits and symbols in lower case.
pub(super) fn comparable(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|&c| is_text(c)).flat_map(char::to_lowercase)
}

/// The last code points.
pub(super) fn last_points(text: &str, points: usize) -> &str {
    let start = text.char_indices().rev().take(points).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}
