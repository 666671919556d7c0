//! The wait that a server asks for: `retry-after-ms` (OpenAI and Azure), then `retry-after`
//! (RFC 9110, section 10.2.3: seconds or an HTTP date).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest wait in milliseconds, at which longer ones saturate: the largest safe integer of JavaScript.
const MAX_WAIT_MS: f64 = 9_007_199_254_740_991.0;

/// Parses the wait that the headers ask for. `header` looks up a header by its name in lower case. Both
/// numbers may have a fraction. `None` without a header and for an invalid value, including negative
/// numbers; zero for a date in the past. Saturates at 2^53 − 1 ms.
pub fn parse(header: &dyn Fn(&str) -> Option<String>, now_epoch_ms: u64) -> Option<Duration> {
    if let Some(wait) = header("retry-after-ms").and_then(|text| number(&text)) {
        return Some(milliseconds(wait));
    }
    let text = header("retry-after")?;
    if let Some(seconds) = number(&text) {
        return Some(milliseconds(seconds * 1e3));
    }
    let date: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    let now = UNIX_EPOCH.checked_add(Duration::from_millis(now_epoch_ms))?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// Parses a number of digits with at most one point. Rust's own parser also accepts `inf`, `1e3` and a
/// sign.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain { text.parse().ok() } else { None }
}

/// The duration of a number that is neither negative nor NaN.
pub(super) fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.min(MAX_WAIT_MS) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    const NOW: u64 = 784_111_777_000;

    fn wait(ms: Option<&str>, plain: Option<&str>) -> Option<Duration> {
        let header = |name: &str| match name {
            "retry-after-ms" => ms.map(str::to_owned),
            "retry-after" => plain.map(str::to_owned),
            _ => None,
        };
        parse(&header, NOW)
    }

    #[test]
    fn milliseconds_take_precedence_over_seconds() {
        assert_eq!(wait(Some("250.5"), Some("60")), Some(Duration::from_micros(250_500)));
        assert_eq!(wait(Some("soon"), Some("60")), Some(Duration::from_secs(60)));
    }

    #[test]
    fn seconds_may_have_a_fraction_and_white_space() {
        assert_eq!(wait(None, Some("120")), Some(Duration::from_secs(120)));
        assert_eq!(wait(None, Some(" 1.5 ")), Some(Duration::from_millis(1_500)));
        assert_eq!(wait(None, Some("0")), Some(Duration::ZERO));
    }

    #[test]
    fn all_three_date_formats_are_read() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!(wait(None, Some("Sun, 06 Nov 1994 08:50:37 GMT")), minute);
        assert_eq!(wait(None, Some("Sunday, 06-Nov-94 08:50:37 GMT")), minute);
        assert_eq!(wait(None, Some("Sun Nov  6 08:50:37 1994")), minute);
        assert_eq!(wait(None, Some("Sun, 06 Nov 1994 08:00:00 GMT")), Some(Duration::ZERO));
    }

    #[test]
    fn invalid_values_are_ignored() {
        for text in ["", ".", "-1", "NaN", "inf", "1e9", "1,5", "5 s", "tomorrow", "1.2.3", "\u{0663}"] {
            assert_eq!(wait(None, Some(text)), None, "{text:?}");
            assert_eq!(wait(Some(text), None), None, "{text:?}");
        }
        assert_eq!(wait(None, None), None);
    }

    #[test]
    fn a_huge_wait_saturates() {
        let huge = "9".repeat(400);
        let longest = wait(None, Some(&huge));
        assert_eq!(longest, wait(Some(&huge), None));
        assert!(longest.unwrap() > Duration::from_secs(1 << 40));
        assert!(u64::try_from(longest.unwrap().as_millis()).is_ok());
    }
}
