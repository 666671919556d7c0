//! The rows that distinguish a rate limit from a quota, and the other causes.

use super::cause::Field::{Anywhere, BaseCode, Code, Message, Wait};
use super::cause::Match::{All, Has, Is};
use super::cause::Status::{Any, Client, Missing, Of};
use super::cause::source::{BAIDU, DASHSCOPE, MINIMAX, VOLCENGINE, ZHIPU};
use super::cause::{Cause, cause};
use crate::error::Kind::{
    Authentication, ContentFiltered, InvalidRequest, QuotaExhausted, RateLimit, Server,
};

const AWS: &str = "docs.aws.amazon.com: common errors of Bedrock";
const IFLYTEK: &str = "xfyun.cn/doc/spark: error codes";
const LITELLM: &str = "docs.litellm.ai/docs/exception_mapping";
const GEMINI: &str = "ai.google.dev/gemini-api/docs/troubleshooting";

/// Before the quotas: spent credit does not come back with time; other quotas are rates.
pub(super) const RATES: &[Cause] = &[
    cause("Gemini", Message, Has("prepayment credits are depleted"), QuotaExhausted, Any, "report: 429"),
    cause("xAI", Message, Has("used all available credits"), QuotaExhausted, Any, "report: 403 and 429"),
    cause("DashScope", Message, All(&["aliyun", "error-code#token-limit"]), RateLimit, Of(&[429]), DASHSCOPE),
    cause("OpenAI", Code, Is("insufficient_quota"), QuotaExhausted, Any, "platform.openai.com: error codes"),
    cause("Moonshot", Code, Is("exceeded_current_quota_error"), QuotaExhausted, Any, "report: 429"),
    cause("Gemini", Code, Is("resource_exhausted"), RateLimit, Of(&[429]), GEMINI),
    cause("Groq", Code, Is("rate_limit_exceeded"), RateLimit, Of(&[413]), "report: 413, tokens per minute"),
    // LiteLLM's `throttling_error` is its name for any 429 and distinguishes nothing.
    cause("DashScope", Code, Is("throttling"), RateLimit, Any, DASHSCOPE),
    cause("DashScope", Code, Has("throttling."), RateLimit, Any, DASHSCOPE),
    cause("Volcengine", Code, Has("ratelimitexceeded"), RateLimit, Any, VOLCENGINE),
    cause("Bedrock", Code, Has("throttlingexception"), RateLimit, Any, AWS),
    cause("Bedrock", Code, Has("toomanyrequestsexception"), RateLimit, Any, AWS),
    cause("Bedrock", Anywhere, Has("throttlingexception"), RateLimit, Any, AWS),
    cause("Bedrock", Code, Has("servicequotaexceededexception"), RateLimit, Any, AWS),
    cause(
        "any",
        Message,
        All(&["quota", "per minute"]),
        RateLimit,
        Of(&[429]),
        "report: Gemini, Vertex AI, Azure",
    ),
    cause(
        "any",
        Message,
        All(&["exceeded your current quota", "retry in"]),
        RateLimit,
        Any,
        "report: Gemini",
    ),
];

/// A 429 with a wait in its body is about a rate, unless it mentions billing.
pub(super) const WAITS: &[Cause] = &[cause(
    "Gemini, OpenAI",
    Wait,
    Has(""),
    RateLimit,
    Of(&[429]),
    "google.rpc.RetryInfo; report: OpenAI, 429",
)];

/// After the quotas and the context.
pub(super) const CAUSES: &[Cause] = &[
    cause("OpenAI, Azure", Code, Has("content_filter"), ContentFiltered, Any, "report: 400"),
    cause("OpenAI", Code, Has("content_policy"), ContentFiltered, Any, "report: 400"),
    cause("Azure", Code, Has("responsibleaipolicyviolation"), ContentFiltered, Any, "report: 400"),
    cause("DashScope", Code, Has("data_inspection_failed"), ContentFiltered, Any, DASHSCOPE),
    cause("DashScope", Anywhere, Has("datainspectionfailed"), ContentFiltered, Any, DASHSCOPE),
    cause(
        "Anthropic",
        Message,
        Has("blocked by content filtering policy"),
        ContentFiltered,
        Any,
        "report: 400",
    ),
    cause(
        "OpenRouter",
        Message,
        Has("input was flagged"),
        ContentFiltered,
        Client,
        "report: 403, moderation",
    ),
    cause("Gemini", Anywhere, Has("prohibited_content"), ContentFiltered, Any, "report: 403"),
    cause("OpenAI", Message, Has("flagged as potentially violating"), ContentFiltered, Client, "report: 400"),
    cause("MiniMax", Message, Has("new_sensitive"), ContentFiltered, Any, MINIMAX),
    cause("DeepSeek", Message, Has("content exists risk"), ContentFiltered, Any, "report: 400"),
    cause("xAI", Message, Has("content violates usage guidelines"), ContentFiltered, Any, "report: 403"),
    cause("LiteLLM", Anywhere, Has("contentpolicyviolationerror"), ContentFiltered, Any, LITELLM),
    cause("LiteLLM", Message, Has("violated guardrail policy"), ContentFiltered, Client, LITELLM),
    cause("Portkey", Code, Is("hooks_failed"), ContentFiltered, Any, "report: 446, guardrails"),
    cause("iFlytek", Code, Is("10013"), ContentFiltered, Missing, IFLYTEK),
    cause("iFlytek", Code, Is("10014"), ContentFiltered, Missing, IFLYTEK),
    cause("Baidu", Message, Has("sensitive words"), ContentFiltered, Client, BAIDU),
    cause("Zhipu, relays", Message, Has("敏感内容"), ContentFiltered, Client, ZHIPU),
    cause("Tencent, relays", Message, Has("敏感信息"), ContentFiltered, Client, "report: 400"),
    cause("Volcengine", Code, Has("sensitivecontentdetected"), ContentFiltered, Any, VOLCENGINE),
    cause("Zhipu", Code, Is("1301"), ContentFiltered, Of(&[400]), ZHIPU),
    cause("MiniMax", BaseCode, Is("1026"), ContentFiltered, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("1027"), ContentFiltered, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("1002"), RateLimit, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("1039"), RateLimit, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("1041"), RateLimit, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("2045"), RateLimit, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("1004"), Authentication, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("2049"), Authentication, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("2013"), InvalidRequest, Any, MINIMAX),
    cause("MiniMax", BaseCode, Is("20132"), InvalidRequest, Any, MINIMAX),
    cause("MiniMax", BaseCode, Has(""), Server, Missing, MINIMAX),
    cause("Zhipu", Code, Is("1302"), RateLimit, Of(&[429]), ZHIPU),
    cause("Zhipu", Code, Is("1303"), RateLimit, Of(&[429]), ZHIPU),
    cause("Zhipu", Code, Is("1305"), RateLimit, Of(&[429]), ZHIPU),
    cause("Zhipu", Code, Is("1312"), RateLimit, Of(&[429]), ZHIPU),
    cause("Baidu", Code, Is("18"), RateLimit, Of(&[429]), BAIDU),
    cause("Baidu", Code, Is("336501"), RateLimit, Of(&[429]), BAIDU),
    cause("Baidu", Code, Is("336502"), RateLimit, Of(&[429]), BAIDU),
    cause("Gemini", Message, Has("api key not valid"), Authentication, Client, GEMINI),
    cause("xAI, OpenAI", Message, Has("incorrect api key"), Authentication, Client, "report: xAI, 400"),
    cause("any", Message, Has("invalid api key"), Authentication, Client, "report: relays, 400"),
    cause("any", Message, Is("unauthorized"), Authentication, Missing, "report: relays, 200"),
    cause("any", Message, Has("authentication error"), Authentication, Missing, "report: Cloudflare"),
    // An error without a status says it in words.
    cause("Zhipu", Code, Is("1210"), InvalidRequest, Missing, ZHIPU),
    cause("Zhipu", Code, Is("1211"), InvalidRequest, Missing, ZHIPU),
    cause("Zhipu", Code, Is("1214"), InvalidRequest, Missing, ZHIPU),
    cause("DashScope", Code, Is("limit_requests"), RateLimit, Missing, DASHSCOPE),
    cause("any", Code, Has("rate_limit"), RateLimit, Missing, "report: errors inside a stream"),
    cause("any", Code, Has("too_many_requests"), RateLimit, Missing, "report: errors inside a stream"),
    cause("any", Code, Has("resource_exhausted"), RateLimit, Missing, "report: Gemini inside a stream"),
    cause("any", Code, Has("invalid_request"), InvalidRequest, Missing, "report: errors inside a stream"),
    cause("any", Code, Has("invalid_argument"), InvalidRequest, Missing, "report: Gemini inside a stream"),
    cause("any", Code, Has("invalidparameter"), InvalidRequest, Missing, DASHSCOPE),
    cause("any", Code, Has("badrequest"), InvalidRequest, Missing, "report: vLLM inside a stream"),
    cause("any", Code, Has("validationexception"), InvalidRequest, Missing, AWS),
    cause("any", Code, Has("not_found"), InvalidRequest, Missing, "report: errors inside a stream"),
    cause("any", Message, Has("rate limit"), RateLimit, Missing, "report: relays, 200"),
    cause("any", Message, Has("too many requests"), RateLimit, Missing, "report: relays, 200"),
    cause("Baidu", Message, Has("request limit reached"), RateLimit, Missing, BAIDU),
    cause("Zhipu, relays", Message, Has("concurrency"), RateLimit, Missing, ZHIPU),
    cause("any", Message, All(&["model", "not found"]), InvalidRequest, Missing, "report: relays, 200"),
    cause("any", Message, All(&["model", "does not exist"]), InvalidRequest, Missing, "report: relays, 200"),
];
