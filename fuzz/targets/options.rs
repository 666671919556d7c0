//! Options, as JSON from the JavaScript side. Any JSON is a configuration within its bounds or an error that names one
//! of the options; a key is in neither.
//!
//! Input: JSON. `sk-canary` is taken for a secret where it stands in an `apiKey`, or in front of a URL's host.
#![no_main]

use std::time::Duration;

use holysheep::config::{self, CallConfig, ClientConfig, Hedge, Own, RateLimit, Recovery, RetryConfig};
use holysheep::error::{Error, Kind, cut};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};

const SECRET: &str = "sk-canary";

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(options) = serde_json::from_slice::<Value>(input) else { return Corpus::Reject };
    check_client(&options);
    let call = CallConfig::default();
    check("", &options, call.with(&options).map(|call| check_call(&call)));
    check("retry", &options, RetryConfig::read("retry", &options).map(drop));
    check("rateLimit", &options, RateLimit::read("rateLimit", &options).map(drop));
    check("circuitBreaker", &options, config::breaker("circuitBreaker", &options).map(drop));
    check("hedge", &options, Hedge::read("hedge", &options).map(drop));
    check("recovery", &options, Recovery::default().with("recovery", &options).map(drop));
    Own::of(&options);
    Corpus::Keep
});

fn check_client(options: &Value) {
    let is_secret = secrets(options) == count(options);
    match ClientConfig::read(options) {
        Ok(config) => {
            check_call(&config.call);
            assert!(!config.endpoints.is_empty());
            for (at, endpoint) in config.endpoints.iter().enumerate() {
                assert!(config.endpoints[..at].iter().all(|other| other.name != endpoint.name));
            }
            assert!(!is_secret || !format!("{config:?}").contains(SECRET), "the key is shown");
        }
        Err(error) => {
            assert!(!is_secret || !error.message.contains(SECRET), "a secret is shown: {}", error.message);
            // The environment names its own variables.
            if options.get("$proxy").is_none() {
                check("", options, Err(error));
            }
        }
    }
}

fn check_call(call: &CallConfig) {
    let week = Duration::from_secs(7 * 24 * 3_600);
    for timeout in [call.connect_timeout, call.first_token_timeout, call.idle_timeout] {
        assert!(!timeout.is_zero() && timeout <= week, "{timeout:?}");
    }
    for timeout in [call.total_timeout, call.attempt_timeout].into_iter().flatten() {
        assert!(!timeout.is_zero() && timeout <= week, "{timeout:?}");
    }
    assert!(call.max_retries <= 10_000);
    // Nothing said changes nothing, but for what belongs to one call alone.
    let same = call.with(&json!({})).expect("no option is wrong");
    let bare = CallConfig { idempotency_key: None, session_id: None, ..call.clone() };
    assert_eq!(format!("{same:?}"), format!("{bare:?}"));
}

/// An error is of a kind that a caller can expect, short, and begins with the name of an option whose parent is there.
fn check(path: &str, options: &Value, read: Result<(), Error>) {
    let Err(error) = read else { return };
    let message = &error.message;
    assert!(matches!(error.kind, Kind::Invalid | Kind::OutOfRange), "{:?}: {message}", error.kind);
    assert!(message.len() < 4_096, "{} bytes of message", message.len());
    let top = if path.is_empty() { "options" } else { path };
    let is_top = message.strip_prefix(top).is_some_and(|rest| rest.starts_with(": "));
    assert!(is_top || names(path, options, message), "no option is named: {message}");
}

/// The message begins with the name of something in `value`, which is called `path` itself.
fn names(path: &str, value: &Value, message: &str) -> bool {
    let Some(rest) = message.strip_prefix(path) else { return false };
    let is_here = |rest: &str| rest.starts_with(": ");
    match value {
        Value::Object(map) => {
            let dot = if path.is_empty() { "" } else { "." };
            // Known, and not given.
            let known = rest
                .strip_prefix(dot)
                .unwrap_or_default()
                .trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            is_here(known)
                || map.iter().any(|(key, value)| {
                    let key = cut(key, 60);
                    [format!("{path}{dot}{key}"), format!("{path}['{}']", key.escape_debug())].iter().any(
                        |path| {
                            message.strip_prefix(path.as_str()).is_some_and(is_here)
                                || names(path, value, message)
                        },
                    )
                })
        }
        Value::Array(items) => items.iter().enumerate().any(|(at, value)| {
            let path = format!("{path}[{at}]");
            message.strip_prefix(path.as_str()).is_some_and(is_here) || names(&path, value, message)
        }),
        _ => false,
    }
}

/// How often the secret stands where an error must not show it.
fn secrets(options: &Value) -> usize {
    let of = |value: &Value| count(&value["apiKey"]) + user(&value["baseUrl"]) + user(&value["proxy"]);
    let endpoints = options["endpoints"].as_array().into_iter().flatten();
    of(options) + endpoints.map(|endpoint| of(endpoint) + user(endpoint)).sum::<usize>()
}

/// How often it stands in the user and the password of a URL.
fn user(url: &Value) -> usize {
    let Some((before, _)) = url.as_str().and_then(|url| url.rsplit_once('@')) else { return 0 };
    let is_scheme =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    within(match before.split_once("://") {
        Some((scheme, user)) if is_scheme(scheme) => user,
        _ => before,
    })
}

/// How often the secret stands in it at all.
fn count(value: &Value) -> usize {
    match value {
        Value::String(text) => within(text),
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| within(key) + count(value)).sum(),
        _ => 0,
    }
}

fn within(text: &str) -> usize {
    text.matches(SECRET).count()
}
