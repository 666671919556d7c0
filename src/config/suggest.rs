//! Suggestions for a name that does not exist.

use crate::policy::catalogue::nearest;

/// The maximum number of suggestions.
const MAX_SUGGESTIONS: usize = 5;
/// Shorter names resemble too many others.
const MIN_LENGTH: usize = 3;

/// ` (did you mean …?)` with the names in `known` that contain `name`, or else with the most similar one.
/// Empty if none is similar enough.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    let lower = name.to_lowercase();
    let contains_name = |known: &&&str| known.to_lowercase().contains(&lower);
    if lower.chars().count() < MIN_LENGTH {
        return String::new();
    }
    let mut suggestions: Vec<&str> =
        known.iter().filter(contains_name).take(MAX_SUGGESTIONS).copied().collect();
    if suggestions.is_empty() {
        suggestions = nearest(name, known.iter().copied()).into_iter().take(1).collect();
    }
    match suggestions.split_last() {
        None => String::new(),
        Some((last, [])) => format!(" (did you mean {last}?)"),
        Some((last, others)) => format!(" (did you mean {} or {last}?)", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["maxRetries", "retry", "idleTimeoutMs", "totalTimeoutMs", "baseUrl", "headers"];

    #[test]
    fn a_misspelled_name_suggests_names_that_contain_it_or_the_most_similar_one() {
        for (name, expected) in [
            ("maxRetrys", " (did you mean maxRetries?)"),
            ("maxretries", " (did you mean maxRetries?)"),
            ("header", " (did you mean headers?)"),
            ("url", " (did you mean baseUrl?)"),
            ("timeout", " (did you mean idleTimeoutMs or totalTimeoutMs?)"),
            ("temperature", ""),
            ("x", ""),
            ("", ""),
        ] {
            assert_eq!(did_you_mean(name, KNOWN), expected, "{name}");
        }
    }
}
