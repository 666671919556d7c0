use serde_json::json;

use super::{check, openai};
use crate::error::Kind;

#[test]
fn exhausted_credit_or_quota_in_each_providers_wording() {
    let typed = |kind: &str, message: &str| json!({ "error": { "message": message, "type": kind } });
    let coded = |code: &str, message: &str| json!({ "error": { "message": message, "code": code } });
    let base =
        |code: u32, message: &str| json!({ "base_resp": { "status_code": code, "status_msg": message } });
    let suspended = "Your account is suspended due to insufficient balance, please recharge your account";
    let plan = "You exceeded your current quota, please check your plan and billing details.";
    check(
        Kind::QuotaExhausted,
        &[
            (
                "OpenAI",
                429,
                json!({ "error": { "message": plan, "type": "insufficient_quota", "code": null } }),
            ),
            ("OpenAI, through a relay", 429, openai(plan)),
            ("OpenAI", 400, coded("billing_hard_limit_reached", "Billing hard limit has been reached")),
            ("OpenAI", 429, coded("billing_not_active", "Your account is not active")),
            ("DeepSeek", 402, coded("invalid_request_error", "Insufficient Balance")),
            ("Anthropic", 400, openai("Your credit balance is too low to access the Anthropic API.")),
            (
                "Anthropic",
                400,
                openai("You have reached your specified API usage limits. You will regain access on…"),
            ),
            ("Moonshot", 429, typed("exceeded_current_quota_error", suspended)),
            (
                "Moonshot",
                403,
                typed("access_terminated_error", "You've reached your usage limit for this billing cycle."),
            ),
            ("MiniMax", 429, typed("insufficient_balance_error", "insufficient balance (1008)")),
            ("MiniMax", 500, typed("api_error", "insufficient balance (1008)")),
            ("MiniMax", 429, typed("rate_limit_error", "usage limit exceeded (2056)")),
            ("MiniMax", 500, typed("api_error", "Token Plan usage limit exceeded (2056)")),
            ("MiniMax", 200, base(1008, "insufficient balance")),
            ("MiniMax", 200, base(2056, "usage limit exceeded")),
            (
                "Volcengine",
                429,
                coded("SetLimitExceeded", "Your account has reached the set inference limit for this model"),
            ),
            (
                "Volcengine, through a relay",
                429,
                openai(
                    "the account has reached the set inference limit, and the model service has been paused",
                ),
            ),
            ("Zhipu", 429, coded("1113", "余额不足或无可用资源包,请充值。")),
            ("Zhipu", 429, json!({ "error": { "code": 1113, "message": "Your account is in arrears" } })),
            ("Zhipu", 429, coded("1308", "已达到 5 小时的使用上限。您的限额将在 18:00 重置。")),
            ("Zhipu", 429, coded("1310", "Weekly/Monthly Limit Exhausted.")),
            (
                "xAI",
                403,
                json!({ "code": "permission-denied", "error": "Your newly created team doesn't have any credits or licenses yet." }),
            ),
            (
                "xAI",
                429,
                json!({ "code": "Some resource has been exhausted", "error": "Your team has either used all available credits or reached its monthly spending limit." }),
            ),
            (
                "DashScope",
                400,
                json!({ "code": "Arrearage", "message": "Access denied, please make sure your account is in good standing." }),
            ),
            (
                "DashScope",
                400,
                coded("Arrearage", "Access denied, please make sure your account is in good standing."),
            ),
            (
                "DashScope",
                403,
                typed("AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."),
            ),
            (
                "Volcengine",
                403,
                json!({ "error": { "code": "AccountOverdueError", "message": "The request failed because your account has an overdue balance.", "type": "Forbidden" } }),
            ),
            ("new-api", 403, coded("insufficient_user_quota", "用户额度不足, 剩余额度: $0.0")),
            ("new-api", 403, coded("pre_consume_token_quota_failed", "该令牌额度已用尽")),
            ("new-api", 403, coded("new_api_error", "token quota is not enough, token remain quota: $0.1")),
            ("one-api", 403, typed("one_api_error", "该令牌额度已用尽")),
            ("one-api", 403, typed("one_api_error", "用户额度不足")),
            (
                "sub2api",
                403,
                json!({ "code": "INSUFFICIENT_BALANCE", "message": "Insufficient account balance" }),
            ),
            (
                "OpenRouter",
                402,
                json!({ "error": { "message": "This request requires more credits, or fewer max_tokens.", "code": 402 } }),
            ),
            (
                "OpenRouter",
                403,
                json!({ "error": { "message": "Key limit exceeded (total limit). Manage it in the settings.", "code": 403 } }),
            ),
            (
                "OpenRouter, in a stream",
                200,
                json!({ "error": { "message": "Insufficient credits", "code": 402 }, "choices": [] }),
            ),
            (
                "Together",
                402,
                json!({ "id": "x", "error": { "message": "Credit limit exceeded, please add credits", "type": "credit_limit" } }),
            ),
            ("Groq", 429, openai("Spend limit reached for this organization")),
            (
                "Mistral",
                401,
                json!({ "message": "Inactive subscription or usage limit reached. Please check your subscription." }),
            ),
            ("Mistral", 402, json!({ "detail": "Payment required" })),
            (
                "Azure",
                403,
                json!({ "statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 11.20:15:34." }),
            ),
            ("Azure", 429, json!({ "error": { "code": "insufficient_quota", "message": plan } })),
            (
                "Fireworks",
                412,
                json!({ "error": "Account x is suspended, possibly due to reaching the monthly spending limit" }),
            ),
            (
                "Hugging Face",
                402,
                json!({ "error": "You have exceeded your monthly included credits for Inference Providers." }),
            ),
            (
                "SiliconFlow",
                403,
                json!({ "code": 30001, "message": "Sorry, your account balance is insufficient", "data": null }),
            ),
            (
                "Gemini",
                429,
                json!([{ "error": { "code": 429, "message": "Your prepayment credits are depleted.", "status": "RESOURCE_EXHAUSTED" } }]),
            ),
            (
                "LiteLLM",
                429,
                json!({ "error": { "message": "Budget has been exceeded! Current cost: 2, Max budget: 1", "type": "budget_exceeded", "code": "400" } }),
            ),
            (
                "LiteLLM",
                429,
                openai(
                    "RateLimitError: OpenAIException - {\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\"}}",
                ),
            ),
            (
                "LiteLLM",
                429,
                json!({ "error": { "message": "No deployments available - crossed budget: Exceeded budget for provider openai: 2 >= 1", "type": "internal_server_error", "code": "429" } }),
            ),
            (
                "LiteLLM",
                429,
                json!({ "error": { "message": format!("litellm.RateLimitError: OpenAIException - {plan}"), "type": "throttling_error", "code": "429" } }),
            ),
            (
                "Cohere",
                429,
                json!({ "message": "You are using a Trial key, which is limited to 1000 API calls / month." }),
            ),
            ("Novita", 400, json!({ "code": 400, "reason": "x", "message": "not enough balance" })),
            (
                "Cloudflare",
                429,
                json!({ "success": false, "errors": [{ "code": 4006, "message": "you have used up your daily free allocation of 10,000 neurons" }] }),
            ),
            ("a relay", 403, json!({ "error": "insufficient user quota" })),
            ("a relay", 403, json!({ "code": 403, "msg": "账户额度不足" })),
            ("a relay", 400, json!({ "message": "Your credits are insufficient" })),
            ("HolySheep", 402, coded("insufficient_credits", "Insufficient credits")),
            ("HolySheep", 403, coded("insufficient_quota", "quota exhausted")),
            ("a relay", 500, coded("upstream_error", "{\"error\":{\"message\":\"Insufficient Balance\"}}")),
            ("a relay, as text", 503, json!("insufficient balance")),
        ],
    );
}
