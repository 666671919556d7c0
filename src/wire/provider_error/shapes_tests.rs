//! The shapes of errors, in responses, in streams, and in bodies that were to be streams.

use serde_json::json;

use super::*;

fn text(body: &str) -> Error {
    from_text(body, 200, &|_| None, 0).unwrap()
}

#[test]
fn every_shape_gives_message_code_type_and_param() {
    for (body, message, code, kind, param) in [
        (json!({ "detail": "Model not found" }), "Model not found", None, None, None),
        (
            json!({ "detail": [{ "type": "missing", "loc": ["body", "model"], "msg": "Field required" }] }),
            "Field required",
            None,
            Some("missing"),
            Some("model"),
        ),
        (
            json!({ "detail": { "error": "budget of team", "code": "x" } }),
            "budget of team",
            Some("x"),
            None,
            None,
        ),
        (json!({ "detail": { "message": "m", "code": 7, "type": "t" } }), "m", Some("7"), Some("t"), None),
        (json!({ "detail": { "error": { "message": "m", "code": "c" } } }), "m", Some("c"), None, None),
        (
            json!({ "success": false, "errors": [{ "code": 10000, "message": "Authentication error" }], "result": null }),
            "Authentication error",
            Some("10000"),
            None,
            None,
        ),
        (json!({ "errors": [{ "message": "bad field" }] }), "bad field", None, None, None),
        (json!({ "errors": ["text"] }), "text", None, None, None),
        (json!({ "errors": "text" }), "text", None, None, None),
        (json!({ "errors": { "message": "m" } }), "m", None, None, None),
        (json!({ "base_resp": { "status_code": 1008, "status_msg": "m" } }), "m", Some("1008"), None, None),
        (json!({ "code": 20013, "message": "m", "data": null }), "m", Some("20013"), None, None),
        (json!({ "code": "c", "error": "a text" }), "a text", Some("c"), None, None),
        (
            json!([{ "error": { "code": 400, "message": "m", "status": "S" } }]),
            "m",
            Some("400"),
            Some("S"),
            None,
        ),
        (json!({ "type": "error", "error": { "type": "t", "message": "m" } }), "m", None, Some("t"), None),
        (
            json!({ "object": "error", "message": "m", "type": "t", "code": 400 }),
            "m",
            Some("400"),
            Some("t"),
            None,
        ),
        (json!({ "errorMessage": "m" }), "m", None, None, None),
        (json!({ "errorCode": "c", "errorMessage": "m" }), "m", Some("c"), None, None),
        (json!({ "Error": { "Code": "c", "Message": "m" } }), "m", Some("c"), None, None),
        (json!({ "Response": { "Error": { "Code": "c", "Message": "m" } } }), "m", Some("c"), None, None),
        (json!({ "message": "m" }), "m", None, None, None),
        (json!({ "Message": "m" }), "m", None, None, None),
        (json!({ "msg": "m", "code": 5 }), "m", Some("5"), None, None),
        (
            json!({ "__type": "ThrottlingException", "message": "m" }),
            "m",
            None,
            Some("ThrottlingException"),
            None,
        ),
        (json!({ "throttlingException": { "message": "m" } }), "m", None, Some("throttlingException"), None),
        (json!({ "error_code": 18, "error_msg": "m" }), "m", Some("18"), None, None),
        (json!({ "header": { "code": 10012, "message": "m" } }), "m", Some("10012"), None, None),
        (
            json!({ "fault": { "faultstring": "m", "detail": { "errorcode": "oauth.x" } } }),
            "m",
            Some("oauth.x"),
            None,
            None,
        ),
        (json!({ "error": { "error": { "message": "m", "param": "p" } } }), "m", None, None, Some("p")),
        (json!({ "error": { "message": { "text": "m" }, "code": "c" } }), "m", Some("c"), None, None),
        (json!({ "error": ["m"] }), "m", None, None, None),
        (json!({ "error": [{ "message": "m" }] }), "m", None, None, None),
        (json!({ "error": "{\"message\":\"m\",\"code\":\"c\"}" }), "m", Some("c"), None, None),
        (json!({ "error": true, "message": "m", "code": "c" }), "m", Some("c"), None, None),
        (
            json!({ "error": "invalid_token", "error_description": "m" }),
            "m",
            None,
            Some("invalid_token"),
            None,
        ),
        (
            json!({ "statusCode": 429, "error": "Too Many Requests", "message": "m" }),
            "m",
            None,
            Some("Too Many Requests"),
            None,
        ),
        (
            json!({ "error": "insufficient_quota" }),
            "insufficient_quota",
            Some("insufficient_quota"),
            None,
            None,
        ),
        (json!({ "error": { "message": null, "type": "t", "code": "c" } }), "c", Some("c"), Some("t"), None),
        (
            json!({ "type": "about:blank", "title": "Bad", "status": 400, "detail": "m" }),
            "m",
            None,
            Some("about:blank"),
            None,
        ),
        (
            json!({ "choices": [{ "index": 0, "error": { "code": 502, "message": "m" } }] }),
            "m",
            Some("502"),
            None,
            None,
        ),
        (
            json!({ "error": { "message": "Provider returned error", "code": 502, "metadata": { "raw": "{\"error\":{\"message\":\"m\"}}" } } }),
            "Provider returned error (m)",
            Some("502"),
            None,
            None,
        ),
        (
            json!({ "error": { "message": "Provider returned error", "metadata": { "raw": "m" } } }),
            "Provider returned error (m)",
            None,
            None,
            None,
        ),
    ] {
        let error = from_response(400, Some("application/json"), body.to_string().as_bytes(), &|_| None, 0);
        assert_eq!(error.message, format!("400 Bad Request from the provider: {message}"), "{body}");
        let found = (error.provider_code.as_deref(), error.provider_type.as_deref(), error.param.as_deref());
        assert_eq!(found, (code, kind, param), "{body}");
        assert_eq!(error.body.as_deref(), Some(body.to_string().as_str()));
        assert!(is_error_event(&body), "{body}");
        assert!(from_event(&body).message.ends_with(message), "{body}");
        let in_success = text(&body.to_string());
        assert_ne!(in_success.kind, Kind::Malformed, "{body}");
        assert!(in_success.message.ends_with(message), "{body}: {in_success}");
    }
}

#[test]
fn a_status_in_the_json_is_read_where_http_has_none() {
    for body in [
        json!({ "error": { "message": "m", "code": 429 } }),
        json!({ "error": { "message": "m", "http_code": "429" } }),
        json!({ "error": "m", "status": 429 }),
        json!({ "error": { "message": "m" }, "code": 429 }),
        json!({ "statusCode": 429, "error": "Too Many Requests", "message": "m" }),
        json!({ "detail": "m", "status_code": 429 }),
        json!({ "code": 429 }),
    ] {
        let error = from_event(&body);
        assert_eq!((error.kind, error.status), (Kind::RateLimit, Some(429)), "{body}");
        assert!(is_error_event(&body), "{body}");
    }
    assert_eq!(
        from_event(&json!("upstream closed")).message,
        "error in the provider's stream: upstream closed"
    );
}

#[test]
fn a_field_that_says_nothing_is_not_an_error() {
    for error in [
        json!(null),
        json!(false),
        json!(""),
        json!(" "),
        json!({}),
        json!([]),
        json!(0),
        json!(0.0),
        json!({ "message": "", "type": "", "param": "", "code": null }),
        json!({ "code": 0, "message": "success" }),
        json!([{}]),
    ] {
        assert!(!is_error_value(&error.to_string()), "{error}");
        let chunk =
            json!({ "id": "x", "choices": [{ "index": 0, "delta": { "content": "a" } }], "error": error });
        assert!(!is_error_event(&chunk), "{chunk}");
        assert!(!is_error_event(
            &json!({ "object": "chat.completion.chunk", "choices": [], "error": error })
        ));
    }
    for raw in [" {} ", "{ }", "[ ]", "-0", "0.0"] {
        assert!(!is_error_value(raw), "{raw}");
    }
    for raw in ["true", "1", "\"no\"", "{\"code\":1}", "{\"message\":\"m\"}", "[\"m\"]", "{"] {
        assert!(is_error_value(raw), "{raw}");
    }
}

#[test]
fn events_that_are_not_errors() {
    for value in [
        json!({ "type": "ping", "message": "still here" }),
        json!({ "type": "message_start", "message": { "id": "m", "content": [] } }),
        json!({ "status": "processing", "message": "queued" }),
        json!({ "object": "info", "step": 3, "message": "searching" }),
        json!({ "base_resp": { "status_code": 0, "status_msg": "" }, "choices": [] }),
        json!({ "base_resp": { "status_code": 0, "status_msg": "success" }, "usage": {} }),
        json!({ "code": 0, "message": "success", "data": { "x": 1 } }),
        json!({ "code": 200, "msg": "ok" , "data": { "x": 1 } }),
        json!({ "header": { "code": 0, "message": "Success", "sid": "s" }, "payload": {} }),
        json!({ "success": true, "errors": [], "result": {} }),
        json!({ "model": "m", "message": { "role": "assistant", "content": "hi" }, "done": false }),
        json!({ "object": "response", "status": "completed", "error": null, "output": [] }),
        json!({ "choices": [{ "delta": { "content": "a" }, "error": null }], "message": "m" }),
        json!("text"),
        json!(7),
    ] {
        assert!(!is_error_event(&value), "{value}");
    }
}

#[test]
fn a_body_that_is_not_a_stream_is_read_as_an_error() {
    for (body, kind, message) in [
        ("{\"error\":{\"message\":\"no\",\"code\":429}}", Kind::RateLimit, "no"),
        (
            "error: {\"code\":500,\"message\":\"failed\",\"type\":\"server_error\"}\n\n",
            Kind::Server,
            "failed",
        ),
        ("error: out of memory\n", Kind::Server, "out of memory"),
        ("data: {\"error\":{\"message\":\"no\",\"code\":401}}\ndata: [DONE]\n", Kind::Authentication, "no"),
        ("event: error\ndata: Insufficient Balance\n", Kind::QuotaExhausted, "Insufficient Balance"),
        ("event: error\ndata: {\"code\":\"x\"}", Kind::Server, "x"),
        (": ping\n\n{\"detail\":\"no\"}", Kind::Server, "no"),
        (
            "{\"error\":\"model 'x' not found\"}\n{\"done\":true}\n",
            Kind::InvalidRequest,
            "model 'x' not found",
        ),
        ("{\"id\":1}\n{\"error\":\"no\"}\n", Kind::Server, "no"),
        ("insufficient balance", Kind::QuotaExhausted, "insufficient balance"),
        ("429 Too Many Requests", Kind::RateLimit, "429 Too Many Requests"),
        ("upstream connect error\nsecond line", Kind::Malformed, "upstream connect error"),
        ("<!doctype html><title>Sign in</title>", Kind::Malformed, "HTML page (Sign in)"),
        ("{\"id\":\"1\",\"choices\":[]}", Kind::Malformed, "not the requested stream"),
        ("[1,2]", Kind::Malformed, "not the requested stream"),
    ] {
        let error = text(body);
        assert_eq!(error.kind, kind, "{body}: {error}");
        assert!(error.message.ends_with(&format!("from the provider: {message}")), "{body}: {error}");
        assert_eq!(error.should_retry, (kind == Kind::Malformed).then_some(false), "{body}");
        assert_eq!(error.body.as_deref(), Some(body.trim()), "{body}");
    }
    assert!(from_text(" \n", 200, &|_| None, 0).is_none());
}

#[test]
fn a_body_that_was_cut_off_keeps_its_message() {
    let body = json!({ "error": { "message": "x".repeat(5_000), "code": 429 } }).to_string();
    for end in [60, 500, 2_048] {
        let error = text(&body[..end]);
        assert!(error.message.contains("xxxx"), "{error}");
        assert_eq!(error.kind, Kind::Server);
    }
    let early = "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"prompt: lorem ipsum dol";
    assert_eq!(text(early).kind, Kind::ContextLength);
    assert_eq!(text("error: {\"code\":429,\"message\":\"slow do").kind, Kind::RateLimit);
}

#[test]
fn text_and_keys_stay_within_bounds() {
    let error = text(&format!("sk-proj-SECRET {}", "ế".repeat(5_000)));
    assert!(error.body.as_ref().unwrap().len() <= BODY_LIMIT && !format!("{error:?}").contains("SECRET"));
    let deep = "[{\"error\":".repeat(100);
    assert!(text(&deep).message.len() < BODY_LIMIT + 100);
    let nested = json!({ "error": { "error": { "error": { "error": { "error": { "error": "deep" } } } } } });
    assert_eq!(from_event(&nested).kind, Kind::Server);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_becomes_an_error_within_its_limits(
            body in prop_oneof![
                "\\PC{0,300}",
                "(error: |data: |event: error|\n|\\{\"error\":|\\{\"message\":\"|\"|\\}|retry in |[0-9.]{1,9}|s|后){0,30}",
            ],
        ) {
            if let Some(error) = from_text(&body, 200, &|_| None, 1_780_000_000_000) {
                prop_assert!(error.message.len() <= BODY_LIMIT + 100);
                prop_assert!(error.body.as_ref().is_none_or(|body| body.len() <= BODY_LIMIT));
            }
            is_error_value(&body);
        }
    }
}
