//! The waits in the bodies of errors.

use serde_json::json;

use super::*;

const NOW: u64 = 1_780_000_000_000;

fn wait(status: u16, body: &Value, headers: &[(&str, &str)]) -> Option<f64> {
    let header =
        |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let error = from_response(status, Some("application/json"), body.to_string().as_bytes(), &header, NOW);
    error.retry_after.map(|wait| wait.as_secs_f64())
}

fn says(message: &str) -> Value {
    json!({ "error": { "message": message, "code": "rate_limit_exceeded" } })
}

#[test]
fn waits_in_texts() {
    for (message, seconds) in [
        ("Rate limit reached for gpt-4. Limit: 3 / min. Please try again in 20s.", Some(20.0)),
        ("Please try again in 1m2.5s. Visit…", Some(62.5)),
        ("Please try again in 500ms.", Some(0.5)),
        ("Please try again in 6ms", Some(0.006)),
        ("try again in 7 minutes", Some(420.0)),
        ("Please try again in 7m12s", Some(432.0)),
        ("Please retry in 17.3s.", Some(17.3)),
        ("Please retry after 26 seconds.", Some(26.0)),
        ("Retry after 30.", Some(30.0)),
        ("retry after: 12", Some(12.0)),
        ("please try again after 1 seconds", Some(1.0)),
        ("Please wait for about 2 minutes and try again in 3 minutes", Some(180.0)),
        ("Rate limit exceeded, retry in 1 minute", Some(60.0)),
        ("Please wait 5 seconds", Some(5.0)),
        ("Try again in 1 hour", Some(3_600.0)),
        ("请求过于频繁，请在 20 秒后重试", Some(20.0)),
        ("请1分钟后再试", Some(60.0)),
        ("Retry after 2026-05-28T20:33:40Z", Some(420.0)),
        ("Too many tokens, please wait before trying again.", None),
        ("try again in a few minutes", None),
        ("try again in -5s", None),
        ("try again in NaN seconds", None),
        ("try again in 0s", None),
        ("try again in 99999999999999999999s", None),
        ("try again in 400 days", None),
        ("Limit 30000, Requested 40000", None),
        ("retry after", None),
    ] {
        assert_eq!(wait(429, &says(message), &[]), seconds, "{message}");
        let plain = from_response(429, Some("text/plain"), message.as_bytes(), &|_| None, NOW);
        assert_eq!(plain.retry_after.map(|wait| wait.as_secs_f64()), seconds, "{message}");
    }
}

#[test]
fn waits_in_fields() {
    let retry_info = |delay: Value| {
        let info = json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay });
        json!([{ "error": { "code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [{ "x": 1 }, info] } }])
    };
    let header = |name: &str, value: Value| json!({ "error": { "message": "m", "code": 429, "metadata": { "headers": { name: value } } } });
    for (body, seconds) in [
        (retry_info(json!("34.07s")), Some(34.07)),
        (retry_info(json!("17s")), Some(17.0)),
        (retry_info(json!({ "seconds": 34, "nanos": 500_000_000 })), Some(34.5)),
        (retry_info(json!({ "seconds": "34" })), Some(34.0)),
        (retry_info(json!("-5s")), None),
        (json!({ "retry_after": 2.5, "message": "m" }), Some(2.5)),
        (json!({ "error": { "message": "m", "retry_after": "3" } }), Some(3.0)),
        (json!({ "error": { "message": "m", "retry_after": "20s" } }), Some(20.0)),
        (json!({ "error": { "message": "m", "retry_after_ms": 1500 } }), Some(1.5)),
        (json!({ "error": { "message": "m", "retryAfterMs": "1500" } }), Some(1.5)),
        (json!({ "error": { "message": "m", "retryAfter": 4 } }), Some(4.0)),
        (json!({ "detail": { "message": "m", "retry_after_seconds": 5 } }), Some(5.0)),
        (
            json!({ "error": { "type": "usage_limit_reached", "message": "m", "resets_in_seconds": 90 } }),
            Some(90.0),
        ),
        (json!({ "error": { "message": "m", "resets_at": 1_780_000_045 } }), Some(45.0)),
        (header("X-RateLimit-Reset", json!("1780000030000")), Some(30.0)),
        (header("X-RateLimit-Reset", json!(1_780_000_030_000_u64)), Some(30.0)),
        (header("Retry-After", json!("12")), Some(12.0)),
        (header("X-RateLimit-Reset", json!("1779999000000")), None),
        // The longest one.
        (json!({ "error": { "message": "try again in 3s", "retry_after": 9 } }), Some(9.0)),
        (
            json!({ "error": { "message": "Provider returned error", "code": 429, "metadata": { "raw": "{\"error\":{\"message\":\"Please try again in 8s\"}}" } } }),
            Some(8.0),
        ),
        (json!({ "error": { "message": "m", "retry_after": -1 } }), None),
        (json!({ "error": { "message": "m", "retry_after": 1e30 } }), None),
        (json!({ "error": { "message": "m", "retry_after": null, "retry_after_ms": "NaN" } }), None),
    ] {
        assert_eq!(wait(429, &body, &[]), seconds, "{body}");
        assert_eq!(
            from_event_at(&json!({ "error": { "code": 429, "x": body } }), NOW)
                .retry_after
                .map(|wait| wait.as_secs_f64()),
            seconds
        );
    }
}

#[test]
fn a_header_of_its_own_comes_first_and_a_reset_last() {
    let body = says("try again in 20s");
    assert_eq!(wait(429, &body, &[("retry-after", "3")]), Some(3.0));
    assert_eq!(wait(429, &body, &[("retry-after", "0")]), Some(0.0));
    assert_eq!(wait(429, &body, &[("x-ratelimit-reset", "60")]), Some(20.0));
    assert_eq!(wait(429, &says("slow down"), &[("x-ratelimit-reset", "60")]), Some(60.0));
    assert_eq!(wait(429, &body, &[("retry-after", "soon")]), Some(20.0));
}

#[test]
fn only_errors_that_pass_have_a_wait() {
    let body = says("try again in 20s");
    assert_eq!(wait(503, &json!({ "error": "Model is loading", "estimated_time": 20.0 }), &[]), Some(20.0));
    assert_eq!(wait(503, &says("m"), &[("x-ratelimit-reset", "60")]), None);
    for status in [400, 401, 404, 501] {
        assert_eq!(wait(status, &body, &[]), None, "{status}");
    }
    let quota = json!({ "error": { "message": "try again in 20s", "code": "insufficient_quota" } });
    assert_eq!(wait(429, &quota, &[]), None);
    assert_eq!(from_event(&says("try again in 20s")).retry_after, Some(Duration::from_secs(20)));
    assert_eq!(wait(200, &says("try again in 20s"), &[]), Some(20.0));
}
