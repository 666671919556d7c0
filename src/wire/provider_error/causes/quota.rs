//! Exhausted credit or quota: waiting does not help.

use super::cause::Field::{Anywhere, BaseCode, Code, Message};
use super::cause::Match::{All, Has, Is};
use super::cause::Status::{Any, Client, Not429, Of};
use super::cause::source::{BAIDU, DASHSCOPE, MINIMAX, VOLCENGINE, ZHIPU};
use super::cause::{Cause, Field, Match, Status, cause};
use crate::error::Kind;

const fn quota(
    provider: &'static str,
    field: Field,
    text: Match,
    status: Status,
    source: &'static str,
) -> Cause {
    cause(provider, field, text, Kind::QuotaExhausted, status, source)
}

const OPENAI: &str = "platform.openai.com/docs/guides/error-codes";
const NEW_API: &str = "report: one-api and new-api, 403 from the relay itself";
const NOVITA: &str = "novita.ai/docs/api-reference/basic-error-code";

/// Statuses with which Zhipu sends its codes, which are mere numbers.
const ZHIPU_STATUSES: Status = Of(&[400, 401, 403, 429, 434]);

/// Codes and types, which say it beyond doubt.
pub(super) const CODES: &[Cause] = &[
    quota("OpenAI", Anywhere, Has("insufficient_quota"), Any, OPENAI),
    quota("OpenAI", Code, Has("billing"), Any, OPENAI),
    quota("OpenAI, LiteLLM", Code, Is("budget_exceeded"), Any, "docs.litellm.ai/docs/proxy/users"),
    quota("DeepSeek, MiniMax, relays", Anywhere, Has("insufficient_balance"), Any, "report: code or type"),
    quota("relays", Anywhere, Has("insufficient_credit"), Any, "report: type"),
    quota("relays", Code, Has("insufficient_funds"), Any, "report: code"),
    quota("relays", Code, Has("payment_required"), Any, "report: type"),
    quota("relays", Code, Is("insufficientbalance"), Any, "report: code"),
    quota("relays", Code, Is("insufficientquota"), Any, "report: code"),
    quota("new-api, one-api", Anywhere, Has("insufficient_user_quota"), Any, NEW_API),
    quota("new-api, one-api", Anywhere, Has("pre_consume_token_quota_failed"), Any, NEW_API),
    quota("new-api, one-api", Code, Is("insufficient_token_quota"), Any, NEW_API),
    quota("new-api", Code, Is("free_model_blocked_no_quota"), Any, NEW_API),
    quota("Moonshot", Code, Is("exceeded_current_quota_error"), Any, "platform.moonshot.cn/docs/api/errors"),
    quota("DashScope", Code, Is("arrearage"), Any, DASHSCOPE),
    quota("DashScope", Code, Has("freetieronly"), Any, DASHSCOPE),
    quota("DashScope", Code, Is("prepaidbilloverdue"), Any, DASHSCOPE),
    quota("DashScope", Code, Is("postpaidbilloverdue"), Any, DASHSCOPE),
    quota("DashScope", Code, Is("commoditynotpurchased"), Any, DASHSCOPE),
    quota("Volcengine", Anywhere, Has("accountoverdueerror"), Any, VOLCENGINE),
    quota("Volcengine", Code, Is("serviceoverdue"), Any, VOLCENGINE),
    quota("Volcengine", Code, Is("accountquotaexceeded"), Any, VOLCENGINE),
    // A limit that the account sets itself: the model is paused until it is raised.
    quota("Volcengine", Anywhere, Has("setlimitexceeded"), Any, VOLCENGINE),
    quota("Together", Code, Is("credit_limit"), Any, "report: 402, type"),
    quota("Zhipu", Code, Is("1113"), ZHIPU_STATUSES, ZHIPU),
    quota("Zhipu", Code, Is("1304"), ZHIPU_STATUSES, ZHIPU),
    quota("Zhipu", Code, Is("1308"), ZHIPU_STATUSES, ZHIPU),
    quota("Zhipu", Code, Is("1309"), ZHIPU_STATUSES, ZHIPU),
    quota("Zhipu", Code, Is("1310"), ZHIPU_STATUSES, ZHIPU),
    quota("MiniMax", BaseCode, Is("1008"), Any, MINIMAX),
    quota("MiniMax", BaseCode, Is("1028"), Any, "report: MiniMax's command line"),
    quota("MiniMax", BaseCode, Is("1030"), Any, "report: MiniMax's command line"),
    quota("MiniMax", BaseCode, Is("2056"), Any, MINIMAX),
    quota("Baidu", Code, Is("17"), Of(&[429]), BAIDU),
    quota("Baidu", Code, Is("19"), Of(&[429]), BAIDU),
    quota("SiliconFlow", Code, Is("30001"), Of(&[403, 402]), "report: 403, account balance"),
    quota("relays", Code, Is("quota_exceeded"), Of(&[400, 402, 403]), "report: 403"),
    quota("relays", Code, Is("quota_exhausted"), Any, "report: 403"),
    quota("Novita", Code, Is("not_enough_balance"), Any, NOVITA),
    quota("Novita", Code, Is("billing_balance_not_enough"), Any, NOVITA),
    quota("Tencent", Code, Has("resourcepackexhausted"), Any, "cloud.tencent.com/document/product/1729"),
    quota("Tencent", Code, Has("resourceunavailable.inarrears"), Any, "cloud.tencent.com: common errors"),
];

/// Texts.
pub(super) const TEXTS: &[Cause] = &[
    quota("Moonshot, MiniMax, DeepSeek", Message, Has("insufficient balance"), Any, "report: any status"),
    quota("sub2api, SiliconFlow", Message, All(&["insufficient", "account balance"]), Any, "report: 403"),
    quota("relays", Message, Has("balance is insufficient"), Any, "report: 403"),
    quota("relays", Message, Has("balance is not enough"), Any, "report: 403"),
    quota("relays", Message, Has("not enough balance"), Any, "report: 403"),
    quota("MiniMax", Message, Has("(1008)"), Any, MINIMAX),
    quota("MiniMax", Message, All(&["usage limit exceeded", "(2056)"]), Any, MINIMAX),
    quota(
        "OpenRouter, relays",
        Message,
        Has("insufficient credits"),
        Any,
        "openrouter.ai/docs/api-reference/errors",
    ),
    quota("OpenRouter", Message, Has("requires more credits"), Any, "report: 402"),
    quota("OpenRouter", Message, Has("key limit exceeded ("), Any, "report: 403, a key's own limit"),
    quota("relays", Message, Has("insufficient funds"), Any, "report: 402"),
    quota("relays", Message, Has("insufficient quota"), Any, "report: 403"),
    quota("relays", Message, Has("quota is insufficient"), Any, "report: 403"),
    quota("relays", Message, Has("insufficient user quota"), Any, "report: 403"),
    quota("relays", Message, All(&["insufficient", "credits"]), Any, "report: 402"),
    quota("relays", Message, Has("out of credits"), Any, "report: 402"),
    quota("relays", Message, Has("no credits"), Any, "report: 402"),
    quota("relays", Message, Has("credits exhausted"), Any, "report: 402"),
    quota("relays", Message, Has("not enough credits"), Any, "report: 402"),
    quota("Anthropic", Message, Has("credit balance is too low"), Any, "report: 400"),
    quota("Anthropic", Message, Has("reached your specified api usage limits"), Any, "report: 400"),
    quota("xAI", Message, Has("have any credits"), Any, "report: 403, a new team"),
    quota("xAI", Message, Has("used all available credits"), Any, "report: 403 and 429"),
    quota("xAI, Fireworks, Groq", Message, Has("spending limit"), Any, "report: 403, 412, 429"),
    quota("Groq", Message, Has("spend limit"), Any, "console.groq.com/docs/spend-limits"),
    quota("Fireworks", Message, Has("failure to pay past invoices"), Any, "report: 412"),
    quota("OpenAI", Message, Has("billing hard limit"), Any, OPENAI),
    quota("OpenAI", Message, Has("please check your billing details on our website"), Any, OPENAI),
    quota("LiteLLM", Message, Has("budget has been exceeded"), Any, "docs.litellm.ai/docs/proxy/users"),
    quota("LiteLLM", Message, Has("exceededbudget"), Any, "docs.litellm.ai/docs/proxy/users"),
    quota(
        "LiteLLM",
        Message,
        Has("crossed budget"),
        Any,
        "docs.litellm.ai/docs/proxy/provider_budget_routing",
    ),
    quota("Portkey", Message, Has("budget limit exceeded"), Any, "report: 412"),
    quota("Together", Message, Has("credit limit exceeded"), Any, "report: 402"),
    quota("Hugging Face", Message, Has("exceeded your monthly included credits"), Any, "report: 402"),
    quota("Mistral", Message, Has("inactive subscription"), Any, "report: 401 and 403"),
    quota("Kimi", Message, Has("usage limit for this billing cycle"), Any, "report: 403"),
    quota("Gemini", Message, Has("prepayment credits are depleted"), Any, "report: 429"),
    quota(
        "Azure",
        Message,
        Has("out of call volume quota"),
        Any,
        "learn.microsoft.com: API Management, quota",
    ),
    quota(
        "Cohere",
        Message,
        All(&["trial key", "api calls / month"]),
        Any,
        "docs.cohere.com/docs/rate-limits",
    ),
    quota("Volcengine", Message, Has("account has an overdue balance"), Any, VOLCENGINE),
    quota("Volcengine", Message, All(&["reached the set inference limit", "paused"]), Any, VOLCENGINE),
    quota("DashScope", Message, Has("account is in good standing"), Client, DASHSCOPE),
    quota("DashScope", Message, Has("free tier of the model has been exhausted"), Any, DASHSCOPE),
    quota("NVIDIA", Message, Has("cloud credits expired"), Any, "report: 402"),
    quota("DeepInfra", Message, Has("reached your billing limit"), Any, "report: 402"),
    quota("new-api", Message, Has("token quota is not enough"), Any, NEW_API),
    quota("new-api", Message, Has("user quota is not enough"), Any, NEW_API),
    quota("new-api", Message, Has("用户额度不足"), Any, NEW_API),
    quota("new-api", Message, Has("令牌额度不足"), Any, NEW_API),
    quota("new-api", Message, Has("令牌额度已用尽"), Any, NEW_API),
    quota("new-api", Message, Has("预扣费额度失败"), Any, NEW_API),
    quota("relays", Message, Has("额度已用尽"), Any, NEW_API),
    quota("relays", Message, Has("额度不足"), Any, NEW_API),
    quota("relays", Message, Has("配额不足"), Any, "report: 403"),
    quota("relays", Message, Has("配额已用尽"), Any, "report: 403"),
    quota("Cloudflare", Message, Has("daily free allocation"), Any, "report: Workers AI, 429"),
    quota("relays", Message, Has("余额不足"), Any, "report: 402 and 403"),
    quota("Zhipu, relays", Message, Has("欠费"), Any, ZHIPU),
    quota("Tencent", Message, Has("资源包余量已用尽"), Any, "report: 400"),
];

/// Texts that some providers also use for a rate limit, which a wait in the body gives away.
pub(super) const GENERAL: &[Cause] = &[
    quota("OpenAI, relays", Message, Has("exceeded your current quota"), Any, OPENAI),
    quota("OpenAI, relays", Message, Has("check your plan and billing details"), Any, OPENAI),
    quota("relays", Message, Has("quota exhausted"), Any, "report: 403"),
    quota("relays", Message, Has("please recharge"), Any, "report: 403"),
    quota("relays", Message, Has("please top up"), Not429, "report: 402"),
    quota("relays", Message, Has("payment required"), Not429, "report: 400"),
];
