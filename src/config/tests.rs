use super::*;
use serde_json::json;

fn refused(options: Value) -> String {
    ClientConfig::read(&options).unwrap_err().message.clone()
}

#[test]
fn a_client_needs_only_a_key() {
    let config = ClientConfig::read(&json!({"apiKey": " YOUR_HOLYSHEEP_API_KEY\n"})).unwrap();
    assert_eq!(config.endpoints[0].url, "https://api.holysheep.ai/v1");
    assert_eq!(config.endpoints[0].key.as_ref().unwrap().expose(), "YOUR_HOLYSHEEP_API_KEY");
    assert_eq!(config.call.max_retries, 3);
}

#[test]
fn a_key_is_never_part_of_an_error() {
    for key in ["", "  ", "sk-abc def", "sk-abc\ndef", "sk-\u{0}abc", "sk-ключ"] {
        let message = refused(json!({"apiKey": key}));
        assert!(message.starts_with("apiKey: got "), "{message}");
        assert!(!message.contains("abc") && !message.contains("ключ"), "{message}");
    }
    assert!(!refused(json!({"apiKey": 12345})).contains("12345"));
    assert!(!format!("{:?}", api_key("apiKey", "sk-abc").unwrap()).contains("abc"));
}

#[test]
fn options_that_do_not_exist_are_refused() {
    assert!(refused(json!({"apiKey": "k", "maxRetrys": 3})).starts_with("maxRetrys: unknown option"));
    assert!(refused(json!({"apiKey": "k", "retry": {"base": 3}})).starts_with("retry.base: unknown option"));
    let breaker = json!({"apiKey": "k", "circuitBreaker": {"failureThreshold": 0}});
    assert!(refused(breaker).starts_with("circuitBreaker.failureThreshold: got 0"));
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
fn an_explicit_first_token_timeout_is_obeyed_on_the_last_route_too() {
    let client = ClientConfig::read(&json!({"apiKey": "k", "firstTokenTimeoutMs": 30_000})).unwrap();
    let seconds = |call: &CallConfig| [false, true].map(|last| call.first_token_timeout(last).as_secs());
    assert_eq!(seconds(&client.call), [30, 30]);
    assert_eq!(seconds(&CallConfig::default()), [60, 120]);
    assert_eq!(CallConfig::default().whole_answer_timeout, Duration::from_secs(300));
    let call = client.call.with(&json!({"wholeAnswerTimeoutMs": 5})).unwrap();
    assert_eq!((call.whole_answer_timeout, seconds(&call)), (Duration::from_millis(5), [30, 30]));
    assert!(
        refused(json!({"apiKey": "k", "wholeAnswerTimeoutMs": 0})).starts_with("wholeAnswerTimeoutMs: got 0")
    );
}

#[test]
fn a_limiter_adapts_to_headers_or_not_at_all() {
    let adapts = |adapt: Value| RateLimit::read("rateLimit", &json!({ "adapt": adapt }));
    assert!(adapts(json!("headers")).unwrap().adapt_to_headers);
    assert!(!adapts(json!(false)).unwrap().adapt_to_headers);
    assert!(!RateLimit::default().adapt_to_headers);
    for (wrong, shown) in
        [(json!("429"), "'429' (a string)"), (json!("both"), "'both' (a string)"), (json!(true), "true")]
    {
        let message = adapts(wrong).unwrap_err().message.clone();
        assert_eq!(message, format!("rateLimit.adapt: got {shown}; accepted: 'headers' or false"));
    }
}

#[test]
fn the_open_time_of_a_breaker_has_two_names_of_which_one_is_given() {
    let open = |options: Value| breaker("circuitBreaker", &options).map(|options| options.timeout);
    assert_eq!(open(json!({ "openMs": 5 })).unwrap(), Duration::from_millis(5));
    assert_eq!(open(json!({ "timeout": 5 })).unwrap(), Duration::from_millis(5));
    let both = open(json!({ "openMs": 5, "timeout": 5 })).unwrap_err();
    assert_eq!(
        both.message,
        "circuitBreaker.openMs: got a value beside `timeout`, which means the same; accepted: one of the two"
    );
}

#[test]
fn the_waits_of_a_call_lie_on_top_of_the_clients() {
    let client =
        json!({"apiKey": "k", "retry": {"baseDelayMs": 7, "minDelayMs": 5, "retryOn": {"500": "never"}}});
    let client = ClientConfig::read(&client).unwrap();
    let call = client.call.with(&json!({"retry": {"maxDelayMs": 9, "jitter": "none"}})).unwrap().retry;
    let Backoff { base, max, min, jitter, .. } = &call.backoff;
    let ms = Duration::from_millis;
    assert_eq!((*base, *max, *min, *jitter), (ms(7), ms(9), ms(5), Jitter::None));
    assert_eq!(call.decisions, client.call.retry.decisions);
    let refused = client.call.with(&json!({"retry": {"maxDelayMs": 4}})).unwrap_err();
    assert!(
        refused.message.starts_with("retry.minDelayMs: got 5; accepted: at most maxDelayMs"),
        "{refused}"
    );
}

#[test]
fn the_listed_defaults_are_the_ones_in_force() {
    let list = defaults::list();
    let mut options = list.clone();
    options["apiKey"] = json!("k");
    // Off unless it is asked for: these are its defaults then.
    let reset = options.as_object_mut().unwrap().remove("connectionReset").unwrap();
    let reset = RetryConfig::read("retry", &json!({ "connectionReset": reset })).unwrap();
    let preset = RetryConfig::read("retry", &json!({ "connectionReset": true })).unwrap();
    assert_eq!(reset.connection_reset, preset.connection_reset);
    // Longer on the last route: an explicit one is not.
    let first_token = options.as_object_mut().unwrap().remove("firstTokenTimeoutMs").unwrap();
    let preset = CallConfig::default();
    assert_eq!(first_token, json!(preset.first_token_timeout(false).as_millis() as u64));
    assert_eq!(preset.first_token_timeout(true), Duration::from_secs(120));
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
