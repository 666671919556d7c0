//! Durations as servers write them: `7.66`, `6m0s`, `20ms`, `1 minute and 30 seconds`.

use std::time::Duration;

/// The longest duration in milliseconds, at which longer ones saturate: the largest safe integer of JavaScript.
const MAX_MS: f64 = 9_007_199_254_740_991.0;

/// Parses a number of digits with at most one point. Rust's own parser also accepts `inf`, `1e3` and a
/// sign.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain { text.parse().ok() } else { None }
}

/// The duration of a number that is neither negative nor NaN. Saturates at 2^53 − 1 ms.
pub(super) fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.min(MAX_MS) / 1e3)
}

/// Parses a duration: numbers with units, such as Go's `time.Duration` prints them (`6m0s`, `1h2m3.5s`, `20ms`, and also
/// days), units in words (`20 seconds`), or plain seconds. `None` for anything else, including negative durations.
/// Saturates at 2^53 − 1 ms.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Some(seconds) = number(text) {
        return Some(milliseconds(seconds * 1e3));
    }
    let (duration, rest) = leading(text)?;
    rest.is_empty().then_some(duration)
}

/// The duration with units at the beginning of a text, and the rest of the text. `None` without one.
pub(super) fn leading(text: &str) -> Option<(Duration, &str)> {
    let mut rest = text;
    let mut total = None;
    while let Some((ms, after)) = component(rest) {
        *total.get_or_insert(0.0) += ms;
        rest = after;
        // "1 minute and 30 seconds", "1m, 30s": joined only if another component follows.
        let joined = rest.trim_start().trim_start_matches(',').trim_start();
        let joined = joined.strip_prefix("and ").unwrap_or(joined);
        if component(joined).is_some() {
            rest = joined;
        }
    }
    total.map(|ms| (milliseconds(ms), rest))
}

/// One number with its unit, in milliseconds.
fn component(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let value = number(&text[..digits])?;
    let after = text[digits..].trim_start_matches(' ');
    // The units of Chinese texts, which no space ends.
    let chinese =
        [("毫秒", 1.0), ("秒", 1e3), ("分钟", 60e3), ("分", 60e3), ("小时", 3_600e3), ("天", 86_400e3)];
    if let Some((unit, ms)) = chinese.iter().find(|(unit, _)| after.starts_with(unit)) {
        return Some((value * ms, &after[unit.len()..]));
    }
    let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
    let unit = match after[..letters].to_ascii_lowercase().as_str() {
        "ns" => 1e-6,
        "us" | "µs" | "μs" => 1e-3,
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1e3,
        "m" | "min" | "mins" | "minute" | "minutes" => 60e3,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600e3,
        "d" | "day" | "days" => 86_400e3,
        _ => return None,
    };
    Some((value * unit, &after[letters..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_with_units() {
        for (text, ms) in [
            ("6m0s", 360_000.0),
            ("1s", 1_000.0),
            ("20ms", 20.0),
            ("1h2m3.5s", 3_723_500.0),
            ("7.66s", 7_660.0),
            ("2m59.56s", 179_560.0),
            ("1d2h", 93_600_000.0),
            ("500µs", 0.5),
            ("12", 12_000.0),
            ("0.25", 250.0),
            (" 0s ", 0.0),
            ("1 s", 1_000.0),
            ("20 Seconds", 20_000.0),
            ("7 minutes", 420_000.0),
            ("1 minute and 30 seconds", 90_000.0),
            ("1h, 5 min", 3_900_000.0),
            ("1分钟30秒", 90_000.0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs_f64(ms / 1e3)), "{text}");
        }
        for text in ["", " ", "s", "-1s", "1x", "1s2", "1.2.3s", "1mé", "é1s", ".", "1e3", "NaN", "1 s ago"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse(&format!("{}h", "9".repeat(400))).is_some());
    }

    #[test]
    fn the_rest_of_the_text_is_returned() {
        assert_eq!(leading("20s. Bye"), Some((Duration::from_secs(20), ". Bye")));
        assert_eq!(leading("20 seconds and a half"), Some((Duration::from_secs(20), " and a half")));
        assert_eq!(leading("20 tokens"), None);
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,30}|([0-9.]{1,4} ?[a-zµ秒分]{1,2}){1,4}") {
            parse(&text);
        }
    }
}
