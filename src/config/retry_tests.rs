use serde_json::json;

use super::*;

fn read(options: &Value) -> Result<RetryConfig> {
    RetryConfig::read("retry", options)
}

fn rejection(options: Value) -> String {
    read(&options).unwrap_err().message.clone()
}

fn delays(ms: &[u64]) -> Decision {
    Decision::Delays(ms.iter().map(|ms| Duration::from_millis(*ms)).collect())
}

#[test]
fn the_last_delay_repeats_unless_repeat_is_false() {
    let options = json!({ "retryOn": {
        "500": { "delaysMs": [1] }, "502": { "delaysMs": [1], "repeat": true }, "503": { "delaysMs": [1], "repeat": false },
    } });
    let table = read(&options).unwrap().decisions;
    let only = Decision::FiniteDelays([Duration::from_millis(1)].into());
    assert_eq!(
        ["500", "502", "503"].map(|status| table.decide(status, None)),
        [delays(&[1]), delays(&[1]), only]
    );
    assert!(
        rejection(json!({ "retryOn": { "500": { "delaysMs": [1], "repeat": 1 } } }))
            .contains(".repeat: got 1")
    );
}

#[test]
fn the_table_of_the_tutorials_can_be_configured() {
    let options = json!({ "retryOn": {
        "408": [1000, 2000, 4000], "500": [1000, 2000, 4000], "502": [1000, 2000, 4000], "504": [1000, 2000, 4000],
        "429": { "delaysMs": [5000, 10000, 20000] },
        "503": "retry", "connection": "retry",
        "400": "never", "401": "never", "403": "never", "404": "never", "422": "never",
    } });
    let table = read(&options).unwrap().decisions;
    for status in ["408", "500", "502", "504"] {
        assert_eq!(table.decide(status, None), delays(&[1_000, 2_000, 4_000]));
    }
    assert_eq!(table.decide("429", None), delays(&[5_000, 10_000, 20_000]));
    assert_eq!(table.decide("503", None), Decision::Retry);
    assert_eq!(table.decide("ENOTFOUND", None), Decision::Retry);
    for status in ["400", "401", "403", "404", "422"] {
        assert_eq!(table.decide(status, None), Decision::Never);
    }
}

#[test]
fn the_error_for_an_unknown_failure_or_decision_has_its_full_name() {
    let message = rejection(json!({ "retryOn": { "RATE_LIMIT": "retry" } }));
    assert!(
        message.starts_with("retry.retryOn['RATE_LIMIT']: unknown failure; accepted: a status"),
        "{message}"
    );
    assert!(message.contains("rate-limit"), "{message}");
    for bad in [
        json!("always"),
        json!([]),
        json!([-1]),
        json!([1.5]),
        json!({}),
        json!({"delaysMs": 5}),
        json!(true),
    ] {
        let message = rejection(json!({ "retryOn": { "503": bad } }));
        assert!(message.starts_with("retry.retryOn['503']: got "), "{message}");
    }
    let message = rejection(json!({ "retryOn": { "503": { "delays": [1] } } }));
    assert!(message.starts_with("retry.retryOn['503'].delays: unknown option"), "{message}");
    assert!(rejection(json!({ "retryOn": ["503"] })).starts_with("retry.retryOn: got an array"));
}

#[test]
fn an_exhausted_quota_cannot_be_retried() {
    for key in ["quota", "QUOTA_EXHAUSTED", "402"] {
        assert!(rejection(json!({ "retryOn": { key: "retry" } })).contains("quota is exhausted"));
        assert!(rejection(json!({ "retryOn": { key: [1000] } })).contains("quota is exhausted"));
        assert!(read(&json!({ "retryOn": { key: "never" } })).is_ok());
    }
}

#[test]
fn a_minimum_above_its_maximum_is_rejected() {
    assert_eq!(
        rejection(json!({ "minDelayMs": 200, "maxDelayMs": 100 })),
        "retry.minDelayMs: got 200; accepted: at most maxDelayMs, 100 ms"
    );
    let message = rejection(json!({ "connectionReset": { "minDelayMs": 4000 } }));
    assert_eq!(message, "retry.connectionReset.minDelayMs: got 4000; accepted: at most maxDelayMs, 3000 ms");
    assert_eq!(read(&json!({ "minDelayMs": 100 })).unwrap().backoff.min, Duration::from_millis(100));
}

#[test]
fn the_wait_after_a_connection_reset_is_off_by_default() {
    let range = |value: Value| read(&json!({ "connectionReset": value })).unwrap().connection_reset;
    assert_eq!(read(&json!({})).unwrap().connection_reset, None);
    assert_eq!(range(json!(false)), None);
    assert_eq!(range(json!(true)), Some(Duration::from_secs(1)..=Duration::from_secs(3)));
    assert_eq!(range(json!({})), range(json!(true)));
    assert_eq!(range(json!({ "minDelayMs": 0 })), Some(Duration::ZERO..=Duration::from_secs(3)));
    assert!(rejection(json!({ "connectionReset": 5 })).starts_with("retry.connectionReset: got 5"));
}

#[test]
fn the_retry_budget_is_on_by_default_and_can_be_turned_off() {
    let read = |options: Value| budget(&mut Reader::new("", &options).unwrap(), "retryBudget");
    let default = retry_budget::Options { ratio: 0.2, min_per_second: 10.0, window: Duration::from_secs(10) };
    assert_eq!(read(json!({})).unwrap(), Some(default));
    assert_eq!(read(json!({ "retryBudget": {} })).unwrap(), Some(default));
    assert_eq!(read(json!({ "retryBudget": false })).unwrap(), None);
    let options =
        read(json!({ "retryBudget": { "ratio": 0, "minPerSecond": 0.5, "windowMs": 1000 } })).unwrap();
    assert_eq!(
        options,
        Some(retry_budget::Options { ratio: 0.0, min_per_second: 0.5, window: Duration::from_secs(1) })
    );
    for bad in [json!(true), json!({ "ratio": -1 }), json!({ "windowMs": 5 }), json!({ "ttl": 5 })] {
        assert!(read(json!({ "retryBudget": bad })).unwrap_err().message.starts_with("retryBudget"));
    }
}
