//! Masks keys in text from a provider: OpenAI's answer to a wrong key, for example, quotes part of it.

use std::borrow::Cow;

use super::redactor::MASK;

/// Prefixes of known providers' keys. The rest of the key is masked.
const PREFIXES: &[&str] = &["sk-", "sk_", "gsk_", "xai-", "AIza", "pplx-", "hf_", "r8_", "nvapi-", "eyJ"];

/// Labels before a key of any form. Compared case-insensitively.
const LABELS: &[&str] =
    &["bearer ", "api key provided: ", "api_key=", "api-key: ", "\"api_key\":\"", "?key=", "&key="];

/// Masks everything in a provider's text that looks like a key: known prefixes (`sk-…`), what follows
/// `Bearer`, `api_key=` or "API key provided:", and words that are already partly masked
/// (`YOUR_*****_KEY`). This knows the forms of keys and not the keys themselves, for which there is
/// [`super::redactor`].
/// Takes linear time, and borrows the text if there is nothing to mask.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked: Option<String> = None;
    let mut copied = 0;
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        let length = rest.find(|c: char| !is_key_char(c)).unwrap_or(rest.len());
        let mut next = position + length;
        if let Some((shown, end)) = secret(&text[..position], rest, length) {
            let out = masked.get_or_insert_default();
            out.push_str(&text[copied..position + shown]);
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

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.')
}

/// If `rest`, whose first word has `length` bytes, begins with a secret: how many bytes of it may be shown,
/// and where it ends.
fn secret(before: &str, rest: &str, length: usize) -> Option<(usize, usize)> {
    // A full stop after a key belongs to the sentence.
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
        // The key may have any form, base64 for example.
        let ends = |c: char| c.is_whitespace() || "\"'`,;&<>(){}[]\\".contains(c);
        let whole = rest[..rest.find(ends).unwrap_or(rest.len())].trim_end_matches('.');
        // "Bearer token" is not a secret.
        return (whole.len() >= 6).then_some((0, whole.len()));
    }
    word.contains("**").then_some((0, word.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_looks_like_a_key_is_masked() {
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
    fn ordinary_text_is_left_alone() {
        for text in ["", "task-force and risk-free", "Bearer token required", "sk-", "xin chào 🐑", "a ** b"]
        {
            let expected = if text == "a ** b" { "a … b" } else { text };
            assert_eq!(mask(text), expected);
        }
    }

    proptest! {
        #[test]
        fn every_key_of_a_known_form_is_masked(
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
