use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer(status: u16, body: &str) -> Error {
    from_response(status, Some("application/json"), body.as_bytes(), &|_| None, 0)
}

fn object(status: u16, error: &Value) -> Error {
    answer(status, &json!({ "error": error }).to_string())
}

#[test]
fn an_error_object_is_read_into_the_fields_of_the_error() {
    let body =
        r#"{"error":{"message":"The model is busy","type":"server_error","code":"busy","param":"model"}}"#;
    let header = |name: &str| match name {
        "x-request-id" => Some("req_1".to_owned()),
        "retry-after" => Some("7".to_owned()),
        "x-should-retry" => Some("false".to_owned()),
        _ => None,
    };
    let error = from_response(503, Some("application/json"), body.as_bytes(), &header, 0);
    assert_eq!(error.kind, Kind::Server);
    assert_eq!(error.message, "503 Service Unavailable from the provider: The model is busy");
    assert_eq!(error.status, Some(503));
    assert_eq!(error.provider_message.as_deref(), Some("The model is busy"));
    assert_eq!(error.provider_code.as_deref(), Some("busy"));
    assert_eq!(error.provider_type.as_deref(), Some("server_error"));
    assert_eq!(error.param.as_deref(), Some("model"));
    assert_eq!(error.request_id.as_deref(), Some("req_1"));
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(error.should_retry, Some(false));
    assert_eq!(error.body.as_deref(), Some(body));
}

#[test]
fn status_and_code_choose_the_kind() {
    let code = |code: &str| json!({ "message": "m", "code": code });
    let kind = |kind: &str| json!({ "message": "m", "type": kind });
    let says = |text: &str| json!({ "message": text });
    for (status, error, expected) in [
        (400, says("bad"), Kind::InvalidRequest),
        (404, code("model_not_found"), Kind::InvalidRequest),
        (422, says("bad"), Kind::InvalidRequest),
        (400, code("context_length_exceeded"), Kind::ContextLength),
        (400, says("This model's maximum context length is 8192 tokens."), Kind::ContextLength),
        (400, says("prompt is too long: 210000 tokens > 200000 maximum"), Kind::ContextLength),
        (429, says("maximum context length is no matter here"), Kind::RateLimit),
        (500, says("maximum context length"), Kind::Server),
        (400, code("content_filter"), Kind::ContentFiltered),
        (400, code("content_policy_violation"), Kind::ContentFiltered),
        (400, json!({ "innererror": { "code": "ResponsibleAIPolicyViolation" } }), Kind::ContentFiltered),
        (401, code("invalid_api_key"), Kind::Authentication),
        (400, code("invalid_api_key"), Kind::Authentication),
        (403, kind("permission_error"), Kind::Authentication),
        (403, code("insufficient_permissions"), Kind::Authentication),
        (403, code("insufficient_user_quota"), Kind::QuotaExhausted),
        (402, says("Insufficient Balance"), Kind::QuotaExhausted),
        (429, kind("insufficient_quota"), Kind::QuotaExhausted),
        (429, code("billing_hard_limit_reached"), Kind::QuotaExhausted),
        (400, says("Your credit balance is too low to access the API"), Kind::QuotaExhausted),
        (429, kind("requests"), Kind::RateLimit),
        (408, says("slow"), Kind::Server),
        (500, kind("rate_limit_error"), Kind::Server),
        (529, kind("overloaded_error"), Kind::Server),
    ] {
        assert_eq!(object(status, &error).kind, expected, "{status} {error}");
    }
}

#[test]
fn errors_inside_a_stream_are_read_in_every_form() {
    for (value, kind, status, message) in [
        (
            json!({ "error": { "message": "slow down", "code": 429 } }),
            Kind::RateLimit,
            Some(429),
            "slow down",
        ),
        (json!({ "error": { "message": "upstream", "code": "502" } }), Kind::Server, Some(502), "upstream"),
        (json!({ "error": "it broke" }), Kind::Server, None, "it broke"),
        (json!({ "message": "it broke", "type": "error" }), Kind::Server, None, "it broke"),
        (
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "o" } }),
            Kind::Server,
            None,
            "o",
        ),
        (json!({ "error": { "type": "rate_limit_exceeded", "message": "r" } }), Kind::RateLimit, None, "r"),
        (json!({ "error": { "type": "server_error", "message": "s" } }), Kind::Server, None, "s"),
        (
            json!({ "error": { "type": "invalid_request_error", "message": "i" } }),
            Kind::InvalidRequest,
            None,
            "i",
        ),
        (
            json!([{ "error": { "code": 503, "message": "u", "status": "UNAVAILABLE" } }]),
            Kind::Server,
            Some(503),
            "u",
        ),
        (
            json!({ "error": { "message": "o", "code": 502 }, "choices": [{ "finish_reason": "error" }] }),
            Kind::Server,
            Some(502),
            "o",
        ),
        (json!({ "error": "gone", "status": 404 }), Kind::InvalidRequest, Some(404), "gone"),
    ] {
        let error = from_event(&value);
        assert_eq!((error.kind, error.status), (kind, status), "{value}");
        assert!(error.message.ends_with(&format!("in the provider's stream: {message}")), "{error}");
        assert!(is_error_event(&value), "{value}");
    }
    assert_eq!(from_event(&json!(7)).kind, Kind::Server);
}

#[test]
fn a_chunk_is_not_an_error() {
    for value in [
        json!({ "id": "x", "choices": [{ "delta": {} }] }),
        json!({ "choices": [], "usage": { "total_tokens": 1 } }),
        json!({ "error": null, "choices": [{ "delta": { "content": "a" } }] }),
        json!({ "type": "message_start", "message": { "id": "m" } }),
        json!(null),
        json!([]),
    ] {
        assert!(!is_error_event(&value), "{value}");
    }
}

#[test]
fn a_page_is_named_and_not_quoted() {
    let page = "<!DOCTYPE html><html><head><title>\n 502  Bad\n gateway </title></head><body>secret</body>";
    let error = from_response(502, Some("text/html; charset=utf-8"), page.as_bytes(), &|_| None, 0);
    assert_eq!(error.kind, Kind::Server);
    assert_eq!(error.message, "502 Bad Gateway from the provider: HTML page (502 Bad gateway)");
    let error = from_response(200, None, b"\n<HTML>hello", &|_| None, 0);
    assert_eq!((error.kind, error.should_retry), (Kind::Malformed, Some(false)));
    assert_eq!(error.message, "200 OK from the provider: HTML page");
}

#[test]
fn json_in_place_of_a_stream_is_an_error_or_malformed() {
    let error = answer(200, r#"{"error":{"message":"no","code":429}}"#);
    assert_eq!((error.kind, error.status, error.should_retry), (Kind::RateLimit, Some(429), None));
    let error = answer(200, r#"{"id":"1","choices":[]}"#);
    assert_eq!((error.kind, error.should_retry), (Kind::Malformed, Some(false)));
    assert_eq!(error.message, "200 OK from the provider: not the requested stream");
    assert_eq!(answer(200, r#"{"type":"message","status":"completed"}"#).kind, Kind::Malformed);
}

#[test]
fn a_redirect_names_the_host_and_nothing_else() {
    for (location, named) in [
        (Some("https://user:pw@login.example:8443/in?token=abc#x"), "redirect to login.example:8443"),
        (Some("//cdn.example?token=abc"), "redirect to cdn.example"),
        (Some("/login?next=//evil.example&token=abc"), "redirect to another path of the same host"),
        (None, "redirect without a location"),
    ] {
        let header = |name: &str| location.filter(|_| name == "location").map(str::to_owned);
        let body = b"<html><a href=\"https://login.example/in?token=abc\">here</a>";
        let error = from_response(302, None, body, &header, 0);
        assert_eq!((error.kind, error.body.clone()), (Kind::Redirect, None));
        assert_eq!(error.message, format!("302 Found from the provider: {named}"));
    }
}

#[test]
fn keys_in_the_response_are_masked_everywhere() {
    let error = object(
        401,
        &json!({ "message": "Incorrect API key provided: sk-proj-SECRET.", "code": "sk-SECRET" }),
    );
    assert_eq!(error.message, "401 Unauthorized from the provider: Incorrect API key provided: sk-….");
    assert!(!format!("{error:?}").contains("SECRET"));
    assert!(!format!("{:?}", from_event(&json!({ "error": "Bearer SECRETSECRET" }))).contains("SECRET"));
}

#[test]
fn bodies_and_messages_are_truncated_at_character_boundaries() {
    let error = object(400, &json!({ "message": "ế".repeat(5_000) }));
    assert!(error.body.as_ref().unwrap().len() <= BODY_LIMIT);
    assert!(error.message.len() <= BODY_LIMIT + 100);
    let error = from_response(500, Some("text/plain"), "lỗi\nsecond line".as_bytes(), &|_| None, 0);
    assert_eq!(error.message, "500 Internal Server Error from the provider: lỗi");
    assert_eq!(answer(418, "").message, "418 from the provider");
    assert_eq!(
        answer(400, r#"{"detail":[{"msg":"field required"}]}"#).message,
        "400 Bad Request from the provider: field required"
    );
}

proptest! {
    #[test]
    fn any_response_becomes_an_error_within_its_limits(
        status in 100..700u16,
        body in prop_oneof![
            "\\PC{0,3000}",
            "(<title>|</title>|<html>|[<>a-zé ]){0,30}",
            "\\{\"error\":(\"\\PC{0,20}\"|\\{\"code\":[0-9]{0,6}\\})\\}",
        ],
        location in "(https:)?/{0,3}[a-z@?#é/]{0,20}",
    ) {
        let error = from_response(status, None, body.as_bytes(), &|_| Some(location.clone()), 0);
        prop_assert!(error.message.len() <= BODY_LIMIT + 100);
        prop_assert!(error.body.as_ref().is_none_or(|body| body.len() <= BODY_LIMIT));
    }
}
