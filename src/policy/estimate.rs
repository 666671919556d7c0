//! How many model tokens a call is reckoned to need before it is sent.

/// The estimate: the prompt by its bytes, and the most that may be answered, where that is said.
///
/// The rule of the prompt: a token for every four bytes of ASCII (OpenAI's rule of thumb for English)
/// and one for every other character (Vietnamese, Chinese and emoji come out at about that or less).
/// The real usage corrects it after the call.
pub fn tokens(messages: &str, max_tokens: Option<u64>) -> f64 {
    let ascii = messages.bytes().filter(u8::is_ascii).count();
    let others = messages.chars().filter(|c| !c.is_ascii()).count();
    let prompt = ascii.div_ceil(4) + others;
    prompt as f64 + max_tokens.unwrap_or(0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_ascii_bytes_or_one_other_character_are_a_token() {
        assert_eq!(tokens("abcdefgh", None), 2.0);
        assert_eq!(tokens("你好", Some(10)), 12.0);
    }
}
