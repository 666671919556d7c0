//! Texts that errors and events keep in part.

/// The longest prefix of `text` that has at most `limit` bytes and splits no character.
pub fn truncate(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncate_never_splits_a_character() {
        assert_eq!(truncate("tiếng", 4), "ti");
        assert_eq!(truncate("tiếng", 5), "tiế");
        assert_eq!(truncate("ab", 9), "ab");
    }
}
