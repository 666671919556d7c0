//! What was meant by a name that does not exist.

use crate::policy::catalogue::nearest;

/// How many names are proposed at most.
const MOST: usize = 5;
/// Shorter names are part of, and near to, too many others.
const TELLING: usize = 3;

/// ` (did you mean …?)`, where names of `known` are near to `name` or hold it; else nothing.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    let lower = name.to_lowercase();
    let holds = |have: &&&str| have.to_lowercase().contains(&lower);
    if lower.chars().count() < TELLING {
        return String::new();
    }
    let mut meant: Vec<&str> = known.iter().filter(holds).take(MOST).copied().collect();
    if meant.is_empty() {
        meant = nearest(name, known.iter().copied()).into_iter().take(1).collect();
    }
    match meant.split_last() {
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
    fn a_misspelt_name_is_told_from_the_nearest_one() {
        for (given, said) in [
            ("maxRetrys", " (did you mean maxRetries?)"),
            ("maxretries", " (did you mean maxRetries?)"),
            ("header", " (did you mean headers?)"),
            ("url", " (did you mean baseUrl?)"),
            ("timeout", " (did you mean idleTimeoutMs or totalTimeoutMs?)"),
            ("temperature", ""),
            ("x", ""),
            ("", ""),
        ] {
            assert_eq!(did_you_mean(given, KNOWN), said, "{given}");
        }
    }
}
