//! Text on one printable line, for messages and logs: a terminal and a reader of logs get no commands from a provider.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text on one printable line. Line breaks, control characters (C0, C1 and DEL) and the characters that reorder the
/// text around them are written as escapes: `\n`, `\u001b`, `\u202e`. Borrows a text that has none of them.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // Writing to a String cannot fail.
            other if is_unprintable(other) => drop(write!(line, "\\u{:04x}", u32::from(other))),
            other => line.push(other),
        }
    }
    Cow::Owned(line)
}

/// Whether a character breaks the line, controls the terminal, or changes the order of what is around it (Unicode
/// Standard Annex 9, section 2).
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_and_control_characters_are_escaped() {
        for (text, line) in [
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\x1b]0;title\x07\x1b[31m", "\\u001b]0;title\\u0007\\u001b[31m"),
            ("\u{9b}31m\u{85}\u{7f}\0", "\\u009b31m\\u0085\\u007f\\u0000"),
            ("a\u{2028}b\u{202e}c\u{2066}", "a\\u2028b\\u202ec\\u2066"),
        ] {
            assert_eq!(one_line(text), line);
        }
        for text in ["", "Xin chào 🐑 — thế giới", "👩‍👩‍👧", "שלום, العربية"]
        {
            assert!(matches!(one_line(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
