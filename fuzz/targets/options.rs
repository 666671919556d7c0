//! Options, as JSON from the JavaScript side. Any JSON is a configuration within its bounds or an error that names an
//! option; neither shows a secret.
//!
//! Input: JSON. `sk-canary` is a secret in an `apiKey`, or before the host of a URL.
#![no_main]

use std::time::Duration;

use holysheep::config::{
    self, CallConfig, ClientConfig, FirstEndpointExtras, Hedge, RateLimit, Recovery, RetryConfig,
};
use holysheep::error::{Error, Kind, truncate};
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
    FirstEndpointExtras::from_json(&options);
    Corpus::Keep
});

fn check_client(options: &Value) {
    let is_secret = secrets(options) == count(options);
    match ClientConfig::read(options) {
        Ok(config) => {
            check_call(&config.call);
            assert!(!config.endpoints.is_empty());
            for (index, endpoint) in config.endpoints.iter().enumerate() {
                assert!(config.endpoints[..index].iter().all(|other| other.name != endpoint.name));
            }
            assert!(!is_secret || !format!("{config:?}").contains(SECRET), "a secret is shown");
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
    for timeout in [call.connect_timeout, call.whole_answer_timeout, call.idle_timeout] {
        assert!(!timeout.is_zero() && timeout <= week, "{timeout:?}");
    }
    for timeout in [call.first_token_timeout, call.total_timeout, call.attempt_timeout].into_iter().flatten()
    {
        assert!(!timeout.is_zero() && timeout <= week, "{timeout:?}");
    }
    assert!(call.max_retries <= 10_000);
    assert!(call.min_tokens_per_second.is_none_or(|rate| (0.1..=10_000.0).contains(&rate)));
    // Empty options change nothing except the fields that hold for one call only.
    let same = call.with(&json!({})).expect("empty options are valid");
    let bare = CallConfig { idempotency_key: None, session_id: None, ..call.clone() };
    assert_eq!(format!("{same:?}"), format!("{bare:?}"));
}

/// An error has a documented kind, is short, and starts with the name of an option whose parent exists.
fn check(path: &str, options: &Value, read: Result<(), Error>) {
    let Err(error) = read else { return };
    let message = &error.message;
    assert!(matches!(error.kind, Kind::InvalidArgument | Kind::OutOfRange), "{:?}: {message}", error.kind);
    assert!(message.len() < 4_096, "{} bytes of message", message.len());
    let top = if path.is_empty() { "options" } else { path };
    let is_top = message.strip_prefix(top).is_some_and(|rest| rest.starts_with(": "));
    assert!(is_top || names(path, options, message), "no option is named: {message}");
}

/// Whether the message starts with the name of an option in `value`, whose own name is `path`.
fn names(path: &str, value: &Value, message: &str) -> bool {
    let Some(rest) = message.strip_prefix(path) else { return false };
    let is_here = |rest: &str| rest.starts_with(": ");
    match value {
        Value::Object(map) => {
            let dot = if path.is_empty() { "" } else { "." };
            // A known option that was not given.
            let known = rest
                .strip_prefix(dot)
                .unwrap_or_default()
                .trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            is_here(known)
                || map.iter().any(|(key, value)| {
                    let key = truncate(key, 60);
                    [format!("{path}{dot}{key}"), format!("{path}['{}']", key.escape_debug())].iter().any(
                        |path| {
                            message.strip_prefix(path.as_str()).is_some_and(is_here)
                                || names(path, value, message)
                        },
                    )
                })
        }
        Value::Array(items) => items.iter().enumerate().any(|(index, value)| {
            let path = format!("{path}[{index}]");
            message.strip_prefix(path.as_str()).is_some_and(is_here) || names(&path, value, message)
        }),
        _ => false,
    }
}

/// How often the secret occurs where an error must not show it.
fn secrets(options: &Value) -> usize {
    let of = |value: &Value| {
        count(&value["apiKey"]) + in_credentials(&value["baseUrl"]) + in_credentials(&value["proxy"])
    };
    let endpoints = options["endpoints"].as_array().into_iter().flatten();
    of(options) + endpoints.map(|endpoint| of(endpoint) + in_credentials(endpoint)).sum::<usize>()
}

/// How often it occurs in the user and the password of a URL.
fn in_credentials(url: &Value) -> usize {
    let Some((before, _)) = url.as_str().and_then(|url| url.rsplit_once('@')) else { return 0 };
    let is_scheme =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    in_text(match before.split_once("://") {
        Some((scheme, user)) if is_scheme(scheme) => user,
        _ => before,
    })
}

/// How often it occurs anywhere in a value.
fn count(value: &Value) -> usize {
    match value {
        Value::String(text) => in_text(text),
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| in_text(key) + count(value)).sum(),
        _ => 0,
    }
}

fn in_text(text: &str) -> usize {
    text.matches(SECRET).count()
}
