//! The complexity of a question, estimated from its words, to choose a model for it.
//!
//! Two keywords or more than 500 characters are complex. One keyword or more than 150 characters is
//! moderate. Anything else is simple. Only user messages count. Characters are code points in NFC, and
//! keywords are compared in NFC and case-insensitively, because some keyboards type Vietnamese composed and
//! others decomposed.

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};

/// A longer text is complex, in characters.
const COMPLEX_LENGTH: usize = 500;
/// A longer text is at least moderate, in characters.
const MODERATE_LENGTH: usize = 150;

/// Words that ask for reasoning, in NFC and lower case.
const KEYWORDS: &[&str] = &[
    "phân tích",
    "tổng hợp",
    "so sánh",
    "đánh giá",
    "analyze",
    "synthesize",
    "compare",
    "evaluate",
    "tại sao",
    "vì sao",
    "giải thích",
    "báo cáo",
];

/// How demanding a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complexity {
    /// A short question, such as an FAQ.
    Simple,
    /// Conversation.
    Moderate,
    /// Analysis or synthesis.
    Complex,
}

impl Complexity {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            Complexity::Simple => "simple",
            Complexity::Moderate => "moderate",
            Complexity::Complex => "complex",
        }
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Content,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
    /// `null` or missing.
    #[default]
    Missing,
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text { text: String },
    Other(serde::de::IgnoredAny),
}

/// Classifies a conversation.
///
/// # Errors
/// If `messages` is not a JSON array of messages.
pub fn classify_messages(messages: &str) -> Result<Complexity> {
    let messages: Vec<Message> = serde_json::from_str(messages).map_err(|_| {
        Error::invalid("messages", "an array with an invalid message", "an array of messages")
    })?;
    let mut texts = Vec::new();
    for message in messages.into_iter().filter(|message| message.role.as_deref() == Some("user")) {
        match message.content {
            Content::Text(text) => texts.push(text),
            Content::Parts(parts) => texts.extend(parts.into_iter().filter_map(|part| match part {
                Part::Text { text } => Some(text),
                Part::Other(_) => None,
            })),
            Content::Missing | Content::Other(_) => {}
        }
    }
    Ok(classify_texts(texts.iter().map(String::as_str)))
}

/// Classifies the texts of the user messages.
pub fn classify_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Complexity {
    let mut characters = 0;
    let mut normalized = String::new();
    for text in texts {
        for c in text.nfc() {
            characters += 1;
            if characters > COMPLEX_LENGTH {
                return Complexity::Complex;
            }
            normalized.extend(c.to_lowercase());
        }
        // No keyword spans two texts.
        normalized.push('\n');
    }
    match KEYWORDS.iter().filter(|word| normalized.contains(**word)).count() {
        0 if characters <= MODERATE_LENGTH => Complexity::Simple,
        0 | 1 => Complexity::Moderate,
        _ => Complexity::Complex,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(text: &str) -> &'static str {
        classify_texts(std::iter::once(text)).as_str()
    }

    #[test]
    fn the_tutorials_questions_are_classified_as_documented() {
        assert_eq!(of("Cửa hàng mở cửa mấy giờ?"), "simple");
        assert_eq!(of("Giải thích chính sách đổi trả"), "moderate");
        assert_eq!(of("Phân tích và so sánh hai sản phẩm"), "complex");
        assert_eq!(of("Please ANALYZE and Compare them"), "complex");
    }

    #[test]
    fn a_keyword_counts_once_in_any_normalization_and_case() {
        for word in KEYWORDS {
            for text in
                [word.to_uppercase(), word.nfd().collect(), word.nfd().collect::<String>().to_uppercase()]
            {
                assert_eq!(of(&text), "moderate", "{text}");
                assert_eq!(of(&format!("{text} {text}")), "moderate", "{text}");
            }
        }
        let partly_composed = "t\u{f4}\u{309}ng h\u{1a1}\u{323}p";
        assert_eq!(of(partly_composed), "moderate", "partly composed");
        assert_eq!(of("so sanh"), "simple", "a different word without its tone");
    }

    #[test]
    fn the_limits_are_in_characters() {
        for (length, expected) in [(150, "simple"), (151, "moderate"), (500, "moderate"), (501, "complex")] {
            assert_eq!(of(&"ế".repeat(length)), expected, "{length}");
            assert_eq!(of(&"ế".nfd().collect::<String>().repeat(length)), expected, "{length} in NFD");
            assert_eq!(of(&"🐑".repeat(length)), expected, "{length} sheep");
        }
    }

    #[test]
    fn only_user_messages_count() {
        let complexity =
            |messages| classify_messages(&serde_json::Value::to_string(&messages)).unwrap().as_str();
        let long = "x".repeat(600);
        assert_eq!(
            complexity(json!([{ "role": "system", "content": long }, { "role": "user", "content": "hi" }])),
            "simple"
        );
        assert_eq!(complexity(json!([{ "role": "assistant", "content": "analyze and compare" }])), "simple");
        assert_eq!(
            complexity(json!([
                { "role": "user", "content": [{ "type": "text", "text": "compare" }, { "type": "image_url", "image_url": {} }] },
                { "role": "user", "content": "evaluate" },
            ])),
            "complex"
        );
        assert_eq!(
            complexity(json!([
                { "role": "user", "content": [{ "type": "text", "text": "com" }, { "type": "text", "text": "pare" }] },
            ])),
            "simple"
        );
        assert_eq!(
            complexity(
                json!([{ "role": "user", "content": null }, { "role": "user" }, { "content": "compare" }])
            ),
            "simple"
        );
        assert_eq!(complexity(json!([{ "role": "user", "content": 5 }])), "simple");
        assert!(
            classify_messages("{}").is_err()
                && classify_messages("[5]").is_err()
                && classify_messages("oops").is_err()
        );
    }
}
