//! Masks what looks like a key in text that a provider sent: OpenAI's answer to a wrong key quotes
//! a part of it.

use std::borrow::Cow;

/// What is written in the place of a secret.
const MASK: &str = "…";

/// Shorter values are no secrets, and masking them would garble what an error says. In bytes.
const SHORTEST_SECRET: usize = 8;

/// How the keys of known providers begin. What follows is masked.
const PREFIXES: &[&str] = &["sk-", "sk_", "gsk_", "xai-", "AIza", "pplx-", "hf_", "r8_", "nvapi-", "eyJ"];

/// What stands before a key of any form. Compared without regard to case.
const LABELS: &[&str] =
    &["bearer ", "api key provided: ", "api_key=", "api-key: ", "\"api_key\":\"", "?key=", "&key="];

/// Masks, in text from a provider, what looks like a key: what begins as known keys do (`sk-…`),
/// what follows `Bearer`, `api_key=` or "API key provided:", and words that are already masked in
/// part (`YOUR_*****_KEY`). It knows forms and not the key itself: who holds the key must replace
/// it too. Linear; the text is borrowed when there is nothing to mask.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked: Option<String> = None;
    let mut copied = 0;
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        let length = rest.find(|c: char| !is_key_char(c)).unwrap_or(rest.len());
        let mut next = position + length;
        if let Some((kept, end)) = secret(&text[..position], rest, length) {
            let out = masked.get_or_insert_default();
            out.push_str(&text[copied..position + kept]);
            out.push_str(MASK);
            copied = position + end;
            next = next.max(copied);
        }
        position = next + text[next..].chars().next().map_or(0, char::len_utf8);
    }
    match masked {
        Some(mut out) => {
            out.push_str(&text[copied..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// The text without this key. A cut may have left only its beginning, at the very end. What is too short to be a
/// secret (`none`, say) stays.
pub fn without(text: &str, key: &str) -> String {
    if key.len() < SHORTEST_SECRET {
        return text.to_owned();
    }
    let masked = text.replace(key, MASK);
    // Shorter beginnings say nothing.
    let left = (6..key.len()).rev().filter(|end| key.is_char_boundary(*end)).map(|end| &key[..end]);
    match left.into_iter().find_map(|left| masked.strip_suffix(left)) {
        Some(rest) => format!("{rest}{MASK}"),
        None => masked,
    }
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.')
}

/// Whether `rest` begins with a secret, its first word being `length` bytes long: how much of it
/// may be shown, and where it ends.
fn secret(before: &str, rest: &str, length: usize) -> Option<(usize, usize)> {
    // A full stop after a key ends the sentence.
    let word = rest[..length].trim_end_matches('.');
    let begins = |prefix: &&&str| word.len() > prefix.len() && word.starts_with(**prefix);
    if let Some(prefix) = PREFIXES.iter().find(begins) {
        return Some((prefix.len(), word.len()));
    }
    let labelled = |label: &&str| {
        let end = before.len().checked_sub(label.len()).and_then(|at| before.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(label))
    };
    if LABELS.iter().any(labelled) {
        // It may be of any form: base64, say.
        let ends = |c: char| c.is_whitespace() || "\"'`,;&<>(){}[]\\".contains(c);
        let whole = rest[..rest.find(ends).unwrap_or(rest.len())].trim_end_matches('.');
        // "Bearer token" is no secret.
        return (whole.len() >= 6).then_some((0, whole.len()));
    }
    word.contains("**").then_some((0, word.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_like_a_key_is_masked() {
        for (text, masked) in [
            (
                "Incorrect API key provided: sk-abcd*****wxyz. You can",
                "Incorrect API key provided: sk-…. You can",
            ),
            ("Incorrect API key provided: YOUR_HOL*****_KEY.", "Incorrect API key provided: …."),
            ("Incorrect API key provided: plainword9.", "Incorrect API key provided: …."),
            ("{\"authorization\":\"bearer abc.DEF-123_x\"}", "{\"authorization\":\"bearer …\"}"),
            ("sk-a and gsk_Zz9, 'sk-proj-x.y'", "sk-… and gsk_…, 'sk-…'"),
            ("Bearer +ab/cd+ef==, x", "Bearer …, x"),
            ("/v1?api_key=AbCdEf12&x=1", "/v1?api_key=…&x=1"),
            ("khóa sk-việt", "khóa sk-…ệt"),
        ] {
            assert_eq!(mask(text), masked);
        }
    }

    #[test]
    fn a_key_is_masked_wherever_it_stands() {
        assert_eq!(without("key plainkey99, plainkey99!", "plainkey99"), "key …, …!");
        assert_eq!(without("cut in plaink", "plainkey99"), "cut in …");
        assert_eq!(without("a plain word", "plainkey99"), "a plain word");
        assert_eq!(without("", "plainkey99"), "");
    }

    #[test]
    fn what_is_too_short_for_a_secret_garbles_no_text() {
        assert_eq!(without("failed to look it up", "k"), "failed to look it up");
        assert_eq!(without("none of 7 chars", "7 chars"), "none of 7 chars");
        assert_eq!(without("but 8 bytes.", "8 bytes."), "but …");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["", "task-force and risk-free", "Bearer token required", "sk-", "xin chào 🐑", "a ** b"]
        {
            let expected = if text == "a ** b" { "a … b" } else { text };
            assert_eq!(mask(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_key_of_a_known_form_is_left(
            before in "\\PC{0,20}",
            key in "[a-zA-Z0-9]{12,40}",
            after in "[ \"',;)\n]\\PC{0,20}",
        ) {
            let text = format!("{before} sk-{key}{after}");
            prop_assert!(!mask(&text).contains(&key));
            let text = format!("{before} Authorization: Bearer {key}{after}");
            prop_assert!(!mask(&text).contains(&key));
        }
    }
}
