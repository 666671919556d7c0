//! Points in time as servers write them: RFC 3339, or a number since the epoch.

use std::time::Duration;

use super::duration::number;

/// The time left until a date, or until a number too large for a duration: some gateways send the time
/// since the epoch, in seconds or milliseconds.
pub(super) fn until(text: &str, now_epoch_ms: u64) -> Option<Duration> {
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
pub(super) fn epoch_ms(text: &str) -> Option<i64> {
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
    // Counted from March, the leap day is the last day of a year.
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
        fn no_text_causes_a_panic(text in "\\PC{0,30}|[0-9TZ:.+-]{0,35}") {
            until(&text, 0);
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
