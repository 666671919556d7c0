//! The wait that a server's headers ask for: `retry-after-ms` (OpenAI and Azure), then `retry-after`
//! (RFC 9110, section 10.2.3: seconds or an HTTP date), then the provider's own headers as LiteLLM forwards them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::duration::{self, milliseconds, number};
use super::timestamp;

/// What LiteLLM puts before the names of the provider's headers that it forwards.
pub(super) const LITELLM_PREFIX: &str = "llm_provider-";

/// A wait that no header of its own asks for is ignored past this: it is a misread time, or no hint for a retry.
pub(super) const MAX_HINT: Duration = Duration::from_secs(31 * 86_400);

/// Whether [`parse`] reads a header with this name in lower case. Few answers have one.
pub fn may_be_in(name: &str) -> bool {
    name.ends_with("retry-after") || name.ends_with("retry-after-ms")
}

/// Parses the wait that the headers ask for. `header` looks up a header by its name in lower case. Both
/// numbers may have a fraction. `None` without a header and for an invalid value, including negative
/// numbers; zero for a date in the past. Saturates at 2^53 − 1 ms.
pub fn parse(header: &dyn Fn(&str) -> Option<String>, now_epoch_ms: u64) -> Option<Duration> {
    ["", LITELLM_PREFIX].into_iter().find_map(|prefix| {
        let ms = header(&format!("{prefix}retry-after-ms")).and_then(|text| number(&text)).map(milliseconds);
        ms.or_else(|| read(&header(&format!("{prefix}retry-after"))?, now_epoch_ms))
    })
}

/// Reads the value of `retry-after`: seconds or a date; a duration with units and a time since the epoch, which some
/// gateways send; or a list of these, as proxies join several headers. The longest one of a list counts, because no
/// attempt may come too early.
pub(super) fn read(text: &str, now_epoch_ms: u64) -> Option<Duration> {
    let text = text.trim().trim_matches('"');
    let one = |text: &str| {
        let wait = near_epoch(text, now_epoch_ms).or_else(|| duration::parse(text));
        wait.or_else(|| date(text, now_epoch_ms))
    };
    // A date has a comma too.
    one(text).or_else(|| text.split(',').filter_map(one).max())
}

/// The time left until a number of seconds or milliseconds since the epoch. Numbers far from now are not taken for
/// times.
fn near_epoch(text: &str, now_epoch_ms: u64) -> Option<Duration> {
    number(text)?;
    let soonest = now_epoch_ms.saturating_sub(MAX_HINT.as_millis() as u64);
    let left = timestamp::until(text, soonest)?;
    let is_near = !left.is_zero() && left <= 2 * MAX_HINT;
    is_near.then(|| left.saturating_sub(MAX_HINT))
}

/// The time left until a date of HTTP or RFC 3339.
fn date(text: &str, now_epoch_ms: u64) -> Option<Duration> {
    let Ok(date) = httpdate::parse_http_date(text.trim()) else {
        return timestamp::until(text, now_epoch_ms);
    };
    let now: SystemTime = UNIX_EPOCH.checked_add(Duration::from_millis(now_epoch_ms))?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
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
        for text in
            ["", ".", "-1", "NaN", "inf", "1e9", "tomorrow", "1.2.3", "-5s", "soon, later", "\u{0663}"]
        {
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

    #[test]
    fn units_lists_and_times_are_read() {
        for (text, seconds) in [
            ("20s", 20.0),
            ("500ms", 0.5),
            ("1m30s", 90.0),
            ("5 seconds", 5.0),
            ("\"7\"", 7.0),
            ("7, 9", 9.0),
            ("9,7", 9.0),
            ("soon, 3", 3.0),
            ("2, 1m", 60.0),
            // A time, in seconds and in milliseconds since the epoch.
            ("1994-11-06T08:50:37Z", 60.0),
        ] {
            assert_eq!(wait(None, Some(text)), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        let in_2026 = 1_780_000_000_000;
        let read = |text: &str| read(text, in_2026);
        assert_eq!(read("1780000030"), Some(Duration::from_secs(30)));
        assert_eq!(read("1780000030000"), Some(Duration::from_secs(30)));
        assert_eq!(read("1779999990"), Some(Duration::ZERO));
        assert_eq!(read("1500000000"), Some(Duration::from_secs(1_500_000_000)), "no time that is near");
    }

    #[test]
    fn headers_forwarded_by_litellm_have_the_lowest_precedence() {
        let provider = |name: &str| (name == "llm_provider-retry-after").then(|| "11".to_owned());
        assert_eq!(parse(&provider, NOW), Some(Duration::from_secs(11)));
        let both = |name: &str| match name {
            "llm_provider-retry-after" => Some("11".to_owned()),
            "retry-after" => Some("5".to_owned()),
            _ => None,
        };
        assert_eq!(parse(&both, NOW), Some(Duration::from_secs(5)));
    }
}
