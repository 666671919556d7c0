//! A provider's rate limits, from its headers: `x-ratelimit-*` (OpenAI and compatible APIs) and
//! `anthropic-ratelimit-*`.

use std::time::Duration;

use super::duration::{self, number};
use super::retry_after::{LITELLM_PREFIX, MAX_HINT};
use super::timestamp;

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

/// How long until the limits that a response calls exhausted are available again: those with nothing remaining or, if
/// the headers say of none how much remains, all of them. The longest one counts. `None` without such headers, for a
/// time in the past, and past `MAX_HINT`.
pub fn reset_wait(header: &dyn Fn(&str) -> Option<String>, now_epoch_ms: u64) -> Option<Duration> {
    // `ratelimitbysize-` is Mistral's.
    let prefixes = ["x-ratelimit-", "x-rate-limit-", "ratelimit-", "ratelimitbysize-"];
    // With a unit of time: Cerebras.
    let subjects = [
        "",
        "-requests",
        "-tokens",
        "-project-tokens",
        "-requests-minute",
        "-requests-hour",
        "-requests-day",
        "-tokens-minute",
        "-tokens-hour",
        "-tokens-day",
    ];
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"];
    let mut windows: Vec<Window> = Vec::new();
    for gateway in ["", LITELLM_PREFIX] {
        for prefix in prefixes {
            windows.extend(subjects.into_iter().filter_map(|subject| {
                window(header, now_epoch_ms, |part| format!("{gateway}{prefix}{part}{subject}"))
            }));
        }
        windows.extend(anthropic.into_iter().filter_map(|subject| {
            window(header, now_epoch_ms, |part| format!("{gateway}anthropic-ratelimit-{subject}-{part}"))
        }));
        windows.extend(header(&format!("{gateway}ratelimit")).map(|text| draft(&text)));
        windows.extend(unified(header, now_epoch_ms, gateway));
    }
    let says_what_remains = windows.iter().any(|window| window.remaining.is_some());
    let is_exhausted = |window: &&Window| match window.remaining {
        Some(remaining) => remaining < 1.0,
        None => !says_what_remains,
    };
    let waits = windows.iter().filter(is_exhausted).filter_map(|window| window.reset);
    waits.filter(|wait| !wait.is_zero() && *wait <= MAX_HINT).max()
}

/// Anthropic's limit of a subscription, which says whether it is exhausted and not how much remains.
fn unified(header: &dyn Fn(&str) -> Option<String>, now_epoch_ms: u64, gateway: &str) -> Option<Window> {
    let part = |name: &str| header(&format!("{gateway}anthropic-ratelimit-unified-{name}"));
    let is_rejected = part("status")?.trim().eq_ignore_ascii_case("rejected");
    let reset = part("reset").and_then(|text| timestamp::until(&text, now_epoch_ms));
    Some(Window { limit: None, remaining: Some(if is_rejected { 0.0 } else { 1.0 }), reset })
}

/// The header `ratelimit` of the IETF's drafts: `limit=10, remaining=0, reset=9`, then `"name";r=0;t=9`. Of several limits
/// the last one with each field counts.
fn draft(text: &str) -> Window {
    let mut window = Window::default();
    for parameter in text.split([',', ';']) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let value = number(value.trim()).filter(|value| value.is_finite());
        match name.trim() {
            "limit" | "q" => window.limit = value,
            "remaining" | "r" => window.remaining = value,
            "reset" | "t" => window.reset = value.map(|seconds| duration::milliseconds(seconds * 1e3)),
            _ => {}
        }
    }
    window
}

fn window(
    header: &dyn Fn(&str) -> Option<String>,
    now_epoch_ms: u64,
    name: impl Fn(&str) -> String,
) -> Option<Window> {
    let count = |part: &str| header(&name(part)).and_then(|text| number(&text)).filter(|n| n.is_finite());
    let reset = |text: String| timestamp::until(&text, now_epoch_ms).or_else(|| duration::parse(&text));
    let window = Window {
        limit: count("limit"),
        remaining: count("remaining"),
        reset: header(&name("reset")).or_else(|| header(&name("reset-after"))).and_then(reset),
    };
    (window != Window::default()).then_some(window)
}

#[cfg(test)]
mod tests {
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
    fn the_wait_for_an_exhausted_limit() {
        let now = 1_735_787_000_000;
        let wait = |headers: &[(&str, &str)]| {
            let header = |name: &str| {
                headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            reset_wait(&header, now)
        };
        let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
        for (name, value, expected) in [
            ("x-ratelimit-reset", "1735787030000", seconds(30.0)),
            ("x-ratelimit-reset", "1735787030", seconds(30.0)),
            ("x-ratelimit-reset", "30", seconds(30.0)),
            ("x-ratelimit-reset", "2025-01-02T03:04:05Z", seconds(45.0)),
            ("x-ratelimit-reset-requests", "1m30s", seconds(90.0)),
            ("x-ratelimit-reset-tokens", "6ms", seconds(0.006)),
            ("anthropic-ratelimit-output-tokens-reset", "2025-01-02T03:04:05Z", seconds(45.0)),
            ("llm_provider-x-ratelimit-reset-tokens", "2s", seconds(2.0)),
            ("llm_provider-anthropic-ratelimit-requests-reset", "2025-01-02T03:04:05Z", seconds(45.0)),
            ("x-ratelimit-reset-tokens-minute", "33.5", seconds(33.5)),
            ("x-ratelimit-reset-after", "8", seconds(8.0)),
            ("ratelimitbysize-reset", "21", seconds(21.0)),
            ("ratelimit", "limit=10, remaining=0, reset=9", seconds(9.0)),
            ("ratelimit", "\"api\";r=0;t=167", seconds(167.0)),
            ("ratelimit", "\"api\";r=3;t=167", None),
            ("ratelimit", "reset=soon", None),
            // In the past, in a year, and nonsense.
            ("x-ratelimit-reset", "1735786000", None),
            ("x-ratelimit-reset", "1767323030", None),
            ("x-ratelimit-reset", "-5", None),
            ("x-ratelimit-reset", "NaN", None),
            ("x-ratelimit-reset", "9e99", None),
            ("x-ratelimit-reset", "0", None),
        ] {
            assert_eq!(wait(&[(name, value)]), expected, "{name}: {value}");
        }
        let requests = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "2s")];
        let tokens = [("x-ratelimit-remaining-tokens", "500"), ("x-ratelimit-reset-tokens", "9s")];
        assert_eq!(wait(&[requests, tokens].concat()), seconds(2.0), "only the exhausted one");
        assert_eq!(wait(&tokens), None, "nothing is known to be exhausted");
        let unified = |status| {
            [
                ("anthropic-ratelimit-unified-status", status),
                ("anthropic-ratelimit-unified-reset", "1735787030"),
            ]
        };
        assert_eq!(wait(&unified("rejected")), seconds(30.0));
        assert_eq!(wait(&unified("allowed_warning")), None);
    }
}
