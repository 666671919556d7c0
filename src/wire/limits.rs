//! A provider's rate limits, from its headers: `x-ratelimit-*` (OpenAI and compatible APIs) and
//! `anthropic-ratelimit-*`.

use std::time::Duration;

use super::retry_after::{milliseconds, number};

/// One limit as the server reports it. Missing and unreadable values are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// How much is allowed in each window.
    pub limit: Option<f64>,
    /// How much of that is left.
    pub remaining: Option<f64>,
    /// How long until all of it is available again; zero for a time in the past.
    pub reset: Option<Duration>,
}

/// The limits in a response's headers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// The limit on requests.
    pub requests: Option<Window>,
    /// The limit on model tokens. Anthropic's `tokens`, the tightest one in force, comes before its
    /// `input-tokens`.
    pub tokens: Option<Window>,
}

/// Parses the limits. `header` looks up a header by its name in lower case; `now_epoch_ms` is needed for
/// servers that send the reset as a date.
pub fn parse(header: &dyn Fn(&str) -> Option<String>, now_epoch_ms: u64) -> Limits {
    let openai = |what: &str| window(header, now_epoch_ms, |part| format!("x-ratelimit-{part}-{what}"));
    let anthropic =
        |what: &str| window(header, now_epoch_ms, |part| format!("anthropic-ratelimit-{what}-{part}"));
    Limits {
        requests: openai("requests").or_else(|| anthropic("requests")),
        tokens: openai("tokens").or_else(|| anthropic("tokens")).or_else(|| anthropic("input-tokens")),
    }
}

fn window(
    header: &dyn Fn(&str) -> Option<String>,
    now_epoch_ms: u64,
    name: impl Fn(&str) -> String,
) -> Option<Window> {
    let count = |part: &str| header(&name(part)).and_then(|text| number(&text)).filter(|n| n.is_finite());
    let reset = |text: String| until(&text, now_epoch_ms).or_else(|| duration(&text));
    let window = Window {
        limit: count("limit"),
        remaining: count("remaining"),
        reset: header(&name("reset")).and_then(reset),
    };
    (window != Window::default()).then_some(window)
}

/// Parses a duration as Go's `time.Duration` prints it (`6m0s`, `1h2m3.5s`, `20ms`, and also days), or
/// plain seconds. `None` for anything else, including negative durations. Saturates at 2^53 − 1 ms.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Some(seconds) = number(rest) {
        return Some(milliseconds(seconds * 1e3));
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value = number(&rest[..digits])?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1e-6,
            "us" | "µs" | "μs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3_600e3,
            "d" => 86_400e3,
            _ => return None,
        };
        total += value * unit;
        rest = &rest[letters..];
    }
    (!text.trim().is_empty()).then(|| milliseconds(total))
}

/// The time left until a date, or until a number too large for a duration: some gateways send the time
/// since the epoch, in seconds or milliseconds.
fn until(text: &str, now_epoch_ms: u64) -> Option<Duration> {
    let then = match number(text) {
        Some(ms) if ms >= 1e11 => ms as i64,
        Some(seconds) if seconds >= 1e9 => (seconds * 1e3) as i64,
        Some(_) => return None,
        None => epoch_ms(text)?,
    };
    Some(Duration::from_millis(u64::try_from(then).unwrap_or(0).saturating_sub(now_epoch_ms)))
}

/// Milliseconds since the epoch of an RFC 3339 time such as `2025-01-02T03:04:05.25+07:00`; digits
/// below a millisecond are truncated. A leap second counts as the first second after it.
fn epoch_ms(text: &str) -> Option<i64> {
    let bytes = text.trim().as_bytes();
    let field = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let separators = [bytes[4], bytes[7], bytes[10].to_ascii_uppercase(), bytes[13], bytes[16]];
    let in_range =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if separators != *b"--T::" || !in_range {
        return None;
    }
    let mut end = 19;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        let digits = bytes[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let decimals = digits.min(3);
        fraction = field(end + 1, end + 1 + decimals)? * 10_i64.pow(3 - decimals as u32);
        end += 1 + digits;
    }
    let offset = match bytes.get(end)? {
        b'Z' | b'z' if bytes.len() == end + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == end + 6 && bytes[end + 3] == b':' => {
            let (hours, minutes) = (field(end + 1, end + 3)?, field(end + 4, end + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset;
    Some((minutes * 60 + second) * 1_000 + fraction)
}

/// Days since the epoch of a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `days_from_civil`), for years from 0 on.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that its last day is the leap day.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[(&str, &str)], now: u64) -> Limits {
        let header =
            |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        parse(&header, now)
    }

    fn window(limit: f64, remaining: f64, reset_ms: u64) -> Option<Window> {
        let reset = Some(Duration::from_millis(reset_ms));
        Some(Window { limit: Some(limit), remaining: Some(remaining), reset })
    }

    #[test]
    fn headers_of_openai() {
        let limits = read(
            &[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            0,
        );
        assert_eq!(limits.requests, window(60.0, 59.0, 1_000));
        assert_eq!(limits.tokens, window(150_000.0, 149_984.0, 360_000));
    }

    #[test]
    fn headers_of_anthropic() {
        let now = 1_735_787_000_000;
        let limits = read(
            &[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2025-01-02T03:04:05Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "20000"),
                ("anthropic-ratelimit-input-tokens-reset", "2024-01-02T03:04:05Z"),
            ],
            now,
        );
        assert_eq!(limits.requests, window(50.0, 0.0, 45_000));
        let tokens = limits.tokens.unwrap();
        assert_eq!((tokens.remaining, tokens.reset), (Some(20_000.0), Some(Duration::ZERO)));
        assert_eq!(tokens.limit, None);
    }

    #[test]
    fn a_reset_in_seconds_since_the_epoch_is_not_a_wait_of_decades() {
        for text in ["1735787045", "1735787045000", "2025-01-02T03:04:05Z"] {
            let limits = read(&[("x-ratelimit-reset-requests", text)], 1_735_787_000_000);
            assert_eq!(limits.requests.unwrap().reset, Some(Duration::from_secs(45)), "{text}");
        }
    }

    #[test]
    fn missing_and_invalid_headers_give_no_limits() {
        assert_eq!(read(&[], 0), Limits::default());
        let nonsense = [("x-ratelimit-limit-requests", "-5"), ("x-ratelimit-reset-requests", "soon")];
        assert_eq!(read(&nonsense, 0), Limits::default());
        let huge = "9".repeat(400);
        assert_eq!(read(&[("x-ratelimit-limit-tokens", &huge)], 0), Limits::default());
    }

    #[test]
    fn durations_as_go_prints_them() {
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
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs_f64(ms / 1e3)), "{text}");
        }
        for text in ["", " ", "s", "-1s", "1x", "1s2", "1.2.3s", "1 s", "1mé", "é1s", "."] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert!(duration(&format!("{}h", "9".repeat(400))).is_some());
    }

    #[test]
    fn times_of_rfc_3339() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2025-01-02T03:04:05Z", 1_735_787_045_000),
            ("2025-01-02t03:04:05.25z", 1_735_787_045_250),
            ("2025-01-02T10:04:05.123456789+07:00", 1_735_787_045_123),
            ("2025-01-01T22:34:05-04:30", 1_735_787_045_000),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("1969-12-31T23:59:59Z", -1_000),
        ] {
            assert_eq!(epoch_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "2025-01-02",
            "2025-01-02T03:04:05",
            "2025-13-02T03:04:05Z",
            "2025-01-02T24:04:05Z",
            "2025-01-02T03:04:05.Z",
            "2025-01-02T03:04:05+0700",
            "2025-01-02T03:04:05Zx",
            "2025-01-02T03:04:05+07:0",
            "+025-01-02T03:04:05Z",
            "2025-01-02T03:04:05+é7:0",
        ] {
            assert_eq!(epoch_ms(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic(text in "\\PC{0,30}|[0-9TZ:.+-]{0,35}|([0-9.]{1,4}[a-zµ]{1,2}){1,4}") {
            duration(&text);
            epoch_ms(&text);
        }

        #[test]
        fn dates_agree_with_httpdate(seconds in 0..253_402_300_799_u64) {
            let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            let http = httpdate::fmt_http_date(time);
            let month = 1 + "JanFebMarAprMayJunJulAugSepOctNovDec".find(&http[8..11]).unwrap() / 3;
            let text = format!("{}-{month:02}-{}T{}Z", &http[12..16], &http[5..7], &http[17..25]);
            prop_assert_eq!(epoch_ms(&text), Some(seconds as i64 * 1_000));
        }
    }
}
