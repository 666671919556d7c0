use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::error::Result;
use crate::policy::backoff::{Backoff, Jitter};
use crate::policy::ledger::{Window, usd_to_pico};

fn rejection(options: Value) -> String {
    ClientConfig::read(&options).unwrap_err().message.clone()
}

#[test]
fn a_key_is_the_only_option_that_a_client_needs() {
    let config = ClientConfig::read(&json!({"apiKey": " YOUR_HOLYSHEEP_API_KEY\n"})).unwrap();
    assert_eq!(config.endpoints[0].url, "https://api.holysheep.ai/v1");
    assert_eq!(config.endpoints[0].key.as_ref().unwrap().expose(), "YOUR_HOLYSHEEP_API_KEY");
    assert_eq!(config.call.max_retries, 3);
}

#[test]
fn no_error_shows_the_key() {
    for key in ["", "  ", "sk-abc def", "sk-abc\ndef", "sk-\u{0}abc", "sk-ключ"] {
        let message = rejection(json!({"apiKey": key}));
        assert!(message.starts_with("apiKey: got "), "{message}");
        assert!(!message.contains("abc") && !message.contains("ключ"), "{message}");
    }
    assert!(!rejection(json!({"apiKey": 12345})).contains("12345"));
    assert!(!format!("{:?}", api_key("apiKey", "sk-abc").unwrap()).contains("abc"));
}

#[test]
fn unknown_and_invalid_options_are_rejected() {
    assert!(rejection(json!({"apiKey": "k", "maxRetrys": 3})).starts_with("maxRetrys: unknown option"));
    assert!(
        rejection(json!({"apiKey": "k", "retry": {"base": 3}})).starts_with("retry.base: unknown option")
    );
    let breaker = json!({"apiKey": "k", "circuitBreaker": {"failureThreshold": 0}});
    assert!(rejection(breaker).starts_with("circuitBreaker.failureThreshold: got 0"));
}

#[test]
fn the_options_of_a_call_override_those_of_the_client() {
    let client = ClientConfig::read(&json!({
        "apiKey": "k", "maxRetries": 7, "idleTimeoutMs": 5, "headers": {"X-A": "1", "x-b": "2"}
    }))
    .unwrap();
    let call = client.call.with(&json!({"maxRetries": 0, "headers": {"x-a": "3"}})).unwrap();
    assert_eq!((call.max_retries, call.idle_timeout), (0, Duration::from_millis(5)));
    assert_eq!(call.headers, [("x-b".into(), "2".into()), ("x-a".into(), "3".into())]);
    assert!(client.call.with(&json!({"model": "x"})).is_err());
}

#[test]
fn max_paused_ms_is_a_duration_or_false() {
    let read = |options: Value| CallConfig::default().with(&options).map(|call| call.max_paused);
    assert_eq!(read(json!({})).unwrap(), Some(Duration::from_secs(600)));
    assert_eq!(read(json!({"maxPausedMs": 5})).unwrap(), Some(Duration::from_millis(5)));
    assert_eq!(read(json!({"maxPausedMs": false})).unwrap(), None);
    for invalid in [json!(0), json!(true), json!("5"), json!(1e12)] {
        let error = read(json!({ "maxPausedMs": invalid })).unwrap_err();
        assert!(
            error.message.ends_with("accepted: whole milliseconds from 1 to 604800000, or false"),
            "{error}"
        );
    }
}

#[test]
fn an_explicit_first_token_timeout_applies_to_the_last_route_too() {
    let client = ClientConfig::read(&json!({"apiKey": "k", "firstTokenTimeoutMs": 30_000})).unwrap();
    let seconds = |call: &CallConfig| [false, true].map(|last| call.first_token_timeout(last).as_secs());
    assert_eq!(seconds(&client.call), [30, 30]);
    assert_eq!(seconds(&CallConfig::default()), [60, 120]);
    assert_eq!(CallConfig::default().whole_answer_timeout, Duration::from_secs(300));
    let call = client.call.with(&json!({"wholeAnswerTimeoutMs": 5})).unwrap();
    assert_eq!((call.whole_answer_timeout, seconds(&call)), (Duration::from_millis(5), [30, 30]));
    assert!(
        rejection(json!({"apiKey": "k", "wholeAnswerTimeoutMs": 0}))
            .starts_with("wholeAnswerTimeoutMs: got 0")
    );
}

#[test]
fn a_limiter_can_adapt_to_headers_only() {
    let read = |adapt: Value| RateLimit::read("rateLimit", &json!({ "adapt": adapt }));
    assert!(read(json!("headers")).unwrap().adapt_to_headers);
    assert!(!read(json!(false)).unwrap().adapt_to_headers);
    assert!(!RateLimit::default().adapt_to_headers);
    for (wrong, value) in
        [(json!("429"), "'429' (a string)"), (json!("both"), "'both' (a string)"), (json!(true), "true")]
    {
        let message = read(wrong).unwrap_err().message.clone();
        assert_eq!(message, format!("rateLimit.adapt: got {value}; accepted: 'headers' or false"));
    }
}

#[test]
fn open_ms_and_timeout_are_aliases_and_giving_both_is_an_error() {
    let open = |options: Value| breaker("circuitBreaker", &options).map(|options| options.timeout);
    assert_eq!(open(json!({ "openMs": 5 })).unwrap(), Duration::from_millis(5));
    assert_eq!(open(json!({ "timeout": 5 })).unwrap(), Duration::from_millis(5));
    let both = open(json!({ "openMs": 5, "timeout": 5 })).unwrap_err();
    assert_eq!(
        both.message,
        "circuitBreaker.openMs: got a value in addition to `timeout`, which means the same; accepted: only one of the two"
    );
}

#[test]
fn the_retry_options_of_a_call_are_merged_over_the_clients() {
    let client =
        json!({"apiKey": "k", "retry": {"baseDelayMs": 7, "minDelayMs": 5, "retryOn": {"500": "never"}}});
    let client = ClientConfig::read(&client).unwrap();
    let call = client.call.with(&json!({"retry": {"maxDelayMs": 9, "jitter": "none"}})).unwrap().retry;
    let Backoff { base, max, min, jitter, .. } = &call.backoff;
    let ms = Duration::from_millis;
    assert_eq!((*base, *max, *min, *jitter), (ms(7), ms(9), ms(5), Jitter::None));
    assert_eq!(call.decisions, client.call.retry.decisions);
    let error = client.call.with(&json!({"retry": {"maxDelayMs": 4}})).unwrap_err();
    assert!(error.message.starts_with("retry.minDelayMs: got 5; accepted: at most maxDelayMs"), "{error}");
}

#[test]
fn the_listed_defaults_are_the_effective_ones() {
    let list = defaults::list();
    let mut options = list.clone();
    options["apiKey"] = json!("k");
    // Off by default. The list has the defaults of its own options.
    let reset = options.as_object_mut().unwrap().remove("connectionReset").unwrap();
    let reset = RetryConfig::read("retry", &json!({ "connectionReset": reset })).unwrap();
    let default = RetryConfig::read("retry", &json!({ "connectionReset": true })).unwrap();
    assert_eq!(reset.connection_reset, default.connection_reset);
    // Removed because an explicit timeout, unlike the default, is not longer on the last route.
    let first_token = options.as_object_mut().unwrap().remove("firstTokenTimeoutMs").unwrap();
    let default = CallConfig::default();
    assert_eq!(first_token, json!(default.first_token_timeout(false).as_millis() as u64));
    let last_route = options.as_object_mut().unwrap().remove("lastRoute").unwrap();
    let first_token_on_last = default.first_token_timeout(true).as_millis() as u64;
    assert_eq!(last_route, json!({ "firstTokenTimeoutMs": first_token_on_last }));
    let endpoint = options.as_object_mut().unwrap().remove("endpoint").unwrap();
    assert_eq!(endpoint, json!({ "weight": defaults::WEIGHT }));
    let hedge = options.as_object_mut().unwrap().remove("hedging").unwrap();
    assert_eq!(Hedge::read("hedge", &hedge).unwrap(), Hedge::read("hedge", &json!({})).unwrap());
    assert_eq!(
        ClientConfig::read(&options).unwrap().retry_budget,
        ClientConfig::read(&json!({"apiKey": "k"})).unwrap().retry_budget
    );
    let listed = format!("{:?}", ClientConfig::read(&options).unwrap().call);
    assert_eq!(listed, format!("{:?}", CallConfig::default()));
    let retry = RetryConfig::read("retry", &list["retry"]).unwrap();
    assert_eq!(format!("{retry:?}"), format!("{:?}", RetryConfig::default()));
    let limit = RateLimit::read("rateLimit", &list["rateLimit"]).unwrap();
    assert_eq!(limit, RateLimit::default());
    let breakers = [breaker("b", &list["circuitBreaker"]).unwrap(), breaker("b", &json!({})).unwrap()];
    assert_eq!(format!("{:?}", breakers[0]), format!("{:?}", breakers[1]));
}

fn read_with_key(mut options: Value) -> Result<ClientConfig> {
    options["apiKey"] = json!("k");
    ClientConfig::read(&options)
}

#[test]
fn the_models_option_extends_the_catalogue() {
    let models =
        json!({ "mine": { "contextTokens": 9, "inputUsdPerMillion": 0.1, "outputUsdPerMillion": 0.2 } });
    let config = read_with_key(json!({ "models": models })).unwrap();
    assert_eq!(config.catalogue.context_tokens("mine"), Some(9));
    assert_eq!(config.catalogue.price("mine"), Some((0.1, 0.2)));
    assert_eq!(config.catalogue.price("gpt-4.1"), Some((8.0, 8.0)));
}

#[test]
fn the_cost_option_sets_the_window_the_caps_and_prices() {
    let prices = json!({ "mine": { "input": 1, "output": 2 } });
    let cost = json!({ "hardCapUsd": 1.5, "tenantCapUsd": 0.5, "softLimitUsd": 1, "window": "month", "prices": prices });
    let config = read_with_key(json!({ "cost": cost, "fallbackModels": ["mine"] })).unwrap();
    let limits = config.cost.unwrap().limits;
    assert_eq!(
        (limits.window, limits.hard_cap, limits.tenant_cap),
        (Window::Month, Some(usd_to_pico(1.5)), Some(usd_to_pico(0.5)))
    );
    assert_eq!(config.catalogue.price("mine"), Some((1.0, 2.0)));
    assert_eq!(read_with_key(json!({ "cost": {} })).unwrap().cost, Some(Cost::default()));
    assert_eq!(read_with_key(json!({})).unwrap().cost, None);
}

#[test]
fn an_invalid_cost_is_rejected() {
    for (cost, message) in [
        (json!(5), "cost: got 5"),
        (json!({ "hardCapUsd": -1 }), "cost.hardCapUsd: got -1"),
        (json!({ "window": "week" }), "cost.window: got 'week'"),
        (json!({ "prices": { "m": { "input": 1 } } }), "cost.prices['m']: got an incomplete price"),
        (json!({ "prices": { "m": { "input": -1, "output": 1 } } }), "cost.prices['m'].input: got -1"),
        (json!({ "cap": 1 }), "cost.cap: unknown option"),
        (json!({ "hardCapUsd": 1 }), "fallbackModels: got 'gpt-4-turbo', which has no price"),
    ] {
        let error = read_with_key(json!({ "cost": cost, "fallbackModels": ["gpt-4-turbo"] })).unwrap_err();
        assert!(error.message.starts_with(message), "{error}");
    }
}

#[test]
fn the_error_for_an_invalid_model_has_its_full_name() {
    for (models, message) in [
        (json!([]), "models: got an array"),
        (json!({ "m": 3 }), "models['m']: got 3"),
        (json!({ "m": { "contextTokens": 0 } }), "models['m'].contextTokens: got 0"),
        (json!({ "m": { "price": 0 } }), "models['m'].price: unknown option"),
        (json!({ "": {} }), "models['']: got an empty name"),
    ] {
        let error = read_with_key(json!({ "models": models })).unwrap_err();
        assert!(error.message.starts_with(message), "{error}");
    }
}
