//! How long a server asks to wait: `retry-after-ms` (OpenAI and Azure), then `retry-after`
//! (RFC 9110, section 10.2.3: seconds or an HTTP date).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest wait that is read, in milliseconds: the largest whole number that JavaScript holds.
/// More saturates.
const LONGEST_MS: f64 = 9_007_199_254_740_991.0;

/// The wait that the headers ask for; `header` is given names in lower case. A fraction is
/// allowed in both numbers. `None` without a header and for what cannot be understood, negative
/// numbers included; zero for a date in the past; more than 2^53 − 1 ms saturates.
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

/// A number of digits with at most one point: neither `inf` nor `1e3` nor a sign, all of which
/// Rust's own parser takes.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

/// For a number that is not negative and not NaN.
pub(super) fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.min(LONGEST_MS) / 1e3)
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
    fn milliseconds_come_before_seconds() {
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
    fn each_of_the_three_date_forms_is_read() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!(wait(None, Some("Sun, 06 Nov 1994 08:50:37 GMT")), minute);
        assert_eq!(wait(None, Some("Sunday, 06-Nov-94 08:50:37 GMT")), minute);
        assert_eq!(wait(None, Some("Sun Nov  6 08:50:37 1994")), minute);
        assert_eq!(wait(None, Some("Sun, 06 Nov 1994 08:00:00 GMT")), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_asks_for_nothing() {
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
