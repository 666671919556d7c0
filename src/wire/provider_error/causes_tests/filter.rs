use serde_json::json;

use super::{check, openai};
use crate::error::Kind;

#[test]
fn a_content_filter_in_the_words_of_each_provider() {
    let xai = "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO";
    check(
        Kind::ContentFiltered,
        &[
            ("OpenAI", 400, json!({ "error": { "message": "x", "code": "content_policy_violation" } })),
            (
                "OpenAI",
                400,
                openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy."),
            ),
            (
                "Azure",
                400,
                json!({ "error": { "message": "x", "code": "content_filter", "innererror": { "code": "ResponsibleAIPolicyViolation" } } }),
            ),
            (
                "Anthropic",
                400,
                json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "Output blocked by content filtering policy" } }),
            ),
            (
                "OpenRouter",
                403,
                json!({ "error": { "code": 403, "message": "Your input was flagged for \"violence\"" } }),
            ),
            ("Gemini", 403, json!({ "error": { "code": 403, "message": "PROHIBITED_CONTENT" } })),
            ("xAI", 403, json!({ "code": "The caller does not have permission", "error": xai })),
            ("DeepSeek", 400, openai("Content Exists Risk")),
            (
                "DashScope",
                400,
                openai(
                    "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content.",
                ),
            ),
            (
                "MiniMax",
                422,
                json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "input new_sensitive (1026)" } }),
            ),
            ("iFlytek", 200, json!({ "code": 10013, "message": "input content audit failed", "sid": "x" })),
            (
                "Baidu",
                200,
                json!({ "error_code": 336_100, "error_msg": "the content contains sensitive words" }),
            ),
            ("Zhipu", 400, openai("系统检测到输入或生成内容可能包含不安全或敏感内容")),
            ("Tencent", 400, openai("输入内容包含敏感信息")),
            ("LiteLLM", 400, openai("litellm.ContentPolicyViolationError: AzureException - filtered")),
            ("LiteLLM, guardrails", 400, openai("{'error': 'Violated guardrail policy'}")),
            (
                "Portkey",
                446,
                json!({ "error": { "message": "The guardrail checks defined in the config failed.", "type": "hooks_failed" } }),
            ),
        ],
    );
}
