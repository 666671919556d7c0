//! Each provider's wording, and the kind of error that it means.

mod context;
mod filter;
mod quota;

use serde_json::json;

use super::causes::{Match, table};
use super::*;

fn kind(status: u16, body: &Value) -> Kind {
    from_response(status, Some("application/json"), body.to_string().as_bytes(), &|_| None, 0).kind
}

/// OpenAI's shape.
fn openai(message: &str) -> Value {
    json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": null } })
}

fn check(expected: Kind, rows: &[(&str, u16, Value)]) {
    for (provider, status, body) in rows {
        assert_eq!(kind(*status, body), expected, "{provider}: {status} {body}");
        // In a gateway's stream the same error has no status.
        let error = from_event(body);
        assert!(error.kind == expected || error.status.is_some(), "{provider}, in a stream: {body}");
    }
}

#[test]
fn rate_limits_are_not_quotas() {
    let google = |message: &str, details: Value| json!([{ "error": { "code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details } }]);
    let plan = "You exceeded your current quota, please check your plan and billing details.";
    let retry = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s" }]);
    check(
        Kind::RateLimit,
        &[
            ("Gemini", 429, google(plan, retry.clone())),
            ("Gemini", 429, google(plan, json!([]))),
            (
                "Gemini, without its status",
                429,
                json!({ "error": { "code": 429, "message": plan, "details": retry } }),
            ),
            (
                "Gemini",
                429,
                json!({ "error": { "code": 429, "message": format!("{plan} Please retry in 17.3s.") } }),
            ),
            ("Vertex AI", 429, google("Quota exceeded for generate_content_requests per minute", json!([]))),
            (
                "Azure",
                429,
                json!({ "error": { "code": "429", "message": "Requests have exceeded token rate limit. Please retry after 26 seconds." } }),
            ),
            (
                "OpenAI",
                429,
                json!({ "error": { "message": "Rate limit reached for gpt-4 on requests per min.", "type": "requests", "code": "rate_limit_exceeded" } }),
            ),
            (
                "Moonshot",
                429,
                json!({ "error": { "message": "Your account reached max request: 3, please try again after 1 seconds", "type": "rate_limit_reached_error" } }),
            ),
            (
                "Bedrock",
                400,
                openai("ThrottlingException: Too many tokens, please wait before trying again."),
            ),
            (
                "DashScope",
                429,
                json!({ "error": { "message": format!("{plan} See https://help.aliyun.com/zh/model-studio/error-code#token-limit"), "code": "insufficient_quota" } }),
            ),
            (
                "DashScope",
                429,
                json!({ "code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded, please increase your quota limit." }),
            ),
            (
                "DashScope",
                429,
                json!({ "error": { "code": "limit_requests", "message": "You exceeded your current requests list." } }),
            ),
            (
                "Volcengine",
                429,
                json!({ "error": { "code": "RateLimitExceeded.EndpointTPMExceeded", "message": "The Tokens Per Minute (TPM) limit has been exceeded" } }),
            ),
            ("Zhipu", 429, json!({ "error": { "code": "1302", "message": "您的账户已达到速率限制" } })),
            (
                "Zhipu, in a stream",
                200,
                json!({ "error": { "code": "1302", "message": "concurrency too high" } }),
            ),
            ("MiniMax", 200, json!({ "base_resp": { "status_code": 1002, "status_msg": "rate limit" } })),
            (
                "Bedrock",
                429,
                json!({ "__type": "ThrottlingException", "message": "Too many tokens, please wait before trying again." }),
            ),
            ("Bedrock", 400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" })),
            (
                "Groq",
                413,
                json!({ "error": { "message": "Request too large on tokens per minute (TPM): Limit 6000, Requested 9000", "type": "tokens", "code": "rate_limit_exceeded" } }),
            ),
            (
                "Anthropic",
                429,
                json!({ "type": "error", "error": { "type": "rate_limit_error", "message": "This request would exceed your rate limit of 40,000 input tokens per minute" } }),
            ),
            (
                "OpenRouter",
                429,
                json!({ "error": { "message": "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day", "code": 429 } }),
            ),
            ("Baidu", 200, json!({ "error_code": 18, "error_msg": "Open api qps request limit reached" })),
            (
                "DashScope, in a stream",
                200,
                json!({ "code": "Throttling", "message": "Requests rate limit exceeded" }),
            ),
        ],
    );
}

#[test]
fn other_causes_are_not_taken_for_these() {
    check(
        Kind::InvalidRequest,
        &[
            (
                "OpenAI",
                400,
                openai(
                    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
                ),
            ),
            ("DashScope", 400, openai("Range of max_tokens should be [1, 8192]")),
            (
                "vLLM",
                400,
                json!({ "object": "error", "message": "max_tokens must be at least 1, got 0.", "type": "BadRequestError", "code": 400 }),
            ),
            ("OpenAI", 400, openai("Invalid value for 'quota'")),
            ("Zhipu", 400, json!({ "error": { "code": "1210", "message": "API 调用参数有误" } })),
            (
                "FastAPI",
                422,
                json!({ "detail": [{ "type": "missing", "loc": ["body", "model"], "msg": "Field required" }] }),
            ),
        ],
    );
    check(
        Kind::Authentication,
        &[
            (
                "OpenAI",
                401,
                json!({ "error": { "message": "Incorrect API key provided: x", "code": "invalid_api_key" } }),
            ),
            (
                "xAI",
                400,
                json!({ "code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***." }),
            ),
            (
                "Gemini",
                400,
                json!([{ "error": { "code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT" } }]),
            ),
            ("MiniMax", 200, json!({ "base_resp": { "status_code": 1004, "status_msg": "login fail" } })),
        ],
    );
    check(
        Kind::Server,
        &[
            (
                "MiniMax",
                500,
                json!({ "type": "error", "error": { "type": "api_error", "message": "unknown error (1000)" } }),
            ),
            ("MiniMax", 200, json!({ "base_resp": { "status_code": 1000, "status_msg": "unknown error" } })),
            ("a load balancer", 503, json!({ "message": "insufficient capacity behind the load balancer" })),
            (
                "Gemini",
                503,
                json!([{ "error": { "code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE" } }]),
            ),
        ],
    );
    check(
        Kind::ContentFiltered,
        &[
            (
                "DashScope",
                400,
                json!({ "code": "DataInspectionFailed", "message": "Input data may contain inappropriate content." }),
            ),
            ("Zhipu", 400, json!({ "error": { "code": "1301", "message": "不安全或敏感内容" } })),
            (
                "MiniMax",
                200,
                json!({ "base_resp": { "status_code": 1026, "status_msg": "input new_sensitive" } }),
            ),
        ],
    );
}

#[test]
fn a_number_means_something_only_with_the_statuses_of_its_provider() {
    let body = json!({ "error": { "code": 1113, "message": "x" } });
    assert_eq!((kind(429, &body), kind(500, &body)), (Kind::QuotaExhausted, Kind::Server));
    // MiniMax's 1002 is a rate limit, Zhipu's an invalid key.
    assert_eq!(kind(401, &json!({ "error": { "code": "1002", "message": "x" } })), Kind::Authentication);
}

#[test]
fn a_request_larger_than_a_minute_allows_is_not_sent_again() {
    let body = json!({ "error": { "message": "Request too large for m", "code": "rate_limit_exceeded" } });
    for status in [413, 429] {
        let error = from_response(status, None, body.to_string().as_bytes(), &|_| None, 0);
        assert_eq!((error.kind, error.should_retry), (Kind::RateLimit, Some(false)));
    }
}

#[test]
fn the_table_is_in_lower_case_and_names_its_sources() {
    for cause in table() {
        let texts = match cause.text {
            Match::Is(text) | Match::Has(text) => vec![text],
            Match::All(texts) => texts.to_vec(),
        };
        for text in texts {
            assert_eq!(text, text.to_ascii_lowercase(), "{}", cause.provider);
        }
        assert!(!cause.source.is_empty() && !cause.provider.is_empty());
    }
    assert!(table().count() < 320, "the pass over the table is bounded");
}
