//! The prompt is longer than the model's context.

use super::cause::Field::{Anywhere, Code, Message};
use super::cause::Match::{All, Has, Is};
use super::cause::Status::{Any, Client, Not429, Of};
use super::cause::source::{DASHSCOPE, ZHIPU};
use super::cause::{Cause, Field, Match, Status, cause};
use crate::error::Kind;

const fn context(
    provider: &'static str,
    field: Field,
    text: Match,
    status: Status,
    source: &'static str,
) -> Cause {
    cause(provider, field, text, Kind::ContextLength, status, source)
}

const ANTHROPIC: &str = "docs.anthropic.com/en/api/errors";
const LLAMA_CPP: &str = "report: llama.cpp's server";
const LM_STUDIO: &str = "report: LM Studio";
const OLLAMA: &str = "report: Ollama's server";
const VLLM: &str = "report: vLLM's API server";
const SGLANG: &str = "report: SGLang's server";
const TGI: &str = "report: text-generation-inference's validation";

/// Relays turn the status of their provider into 5xx, so most texts match with any status but that of a rate limit.
pub(super) const CAUSES: &[Cause] = &[
    context(
        "OpenAI, Azure, Groq",
        Anywhere,
        Has("context_length_exceeded"),
        Any,
        "platform.openai.com: error codes",
    ),
    context("llama.cpp", Anywhere, Has("exceed_context_size"), Any, LLAMA_CPP),
    context("Anthropic", Code, Is("request_too_large"), Any, ANTHROPIC),
    context("GitHub Models", Code, Is("model_max_prompt_tokens_exceeded"), Any, "report: 400"),
    context("GitHub Models", Code, Is("tokens_limit_reached"), Of(&[413]), "report: 413"),
    context(
        "LiteLLM",
        Anywhere,
        Has("contextwindowexceedederror"),
        Any,
        "docs.litellm.ai/docs/exception_mapping",
    ),
    context("relays", Code, Has("context_window_exceeded"), Any, "report: code"),
    context("relays", Code, Has("prompt_too_long"), Any, "report: code"),
    context("relays", Code, Has("input_too_long"), Any, "report: code"),
    context("Zhipu", Code, Is("1261"), Of(&[400, 422, 500]), ZHIPU),
    context("Mistral", Code, Is("3051"), Of(&[400, 422]), "report: 400, type invalid_request_prompt"),
    context("Zhipu", Anywhere, Has("model_context_window_exceeded"), Any, ZHIPU),
    context("OpenAI, vLLM, DeepSeek", Message, Has("maximum context length is "), Not429, VLLM),
    context("SGLang, Fireworks, relays", Message, Has("maximum context length"), Client, SGLANG),
    context("OpenAI", Message, Has("exceeds the context window"), Client, "report: the Responses API"),
    context("vLLM", Message, Has("longer than the maximum model length"), Not429, VLLM),
    context("vLLM, LM Studio", Message, Has("context length is only"), Not429, VLLM),
    context("vLLM", Message, All(&["prompt", "max_model_len"]), Client, VLLM),
    context(
        "TensorRT-LLM",
        Message,
        All(&["prompt length", "exceeds maximum input length"]),
        Not429,
        "report: 400",
    ),
    context("OpenAI", Message, Has("input tokens exceed the configured limit"), Not429, "report: 400"),
    context("SGLang", Message, Has("longer than the model's context length"), Not429, SGLANG),
    context("SGLang", Message, Has("exceeds the maximum allowed length"), Client, SGLANG),
    context("TGI, Together", Message, All(&["tokens", "max_new_tokens", "must be <="]), Not429, TGI),
    context("TGI, Together", Message, All(&["`inputs` must have less than", "tokens"]), Not429, TGI),
    context("Gemini", Message, All(&["input token count", "exceeds the maximum"]), Not429, "report: 400"),
    context(
        "Vertex AI",
        Message,
        All(&["input token count is", "only supports up to"]),
        Not429,
        "report: 400",
    ),
    context("xAI", Message, Has("maximum prompt length is "), Not429, "report: 400"),
    context(
        "Bedrock",
        Message,
        Has("input is too long for requested model"),
        Not429,
        "report: ValidationException",
    ),
    context("Bedrock", Message, Has("too many input tokens"), Client, "report: ValidationException"),
    context(
        "Moonshot",
        Message,
        Has("exceeded model token limit"),
        Not429,
        "platform.moonshot.cn/docs/api/errors",
    ),
    context("DashScope", Message, Has("range of input length should be"), Not429, DASHSCOPE),
    context("DashScope", Message, Has("input token length too long"), Not429, DASHSCOPE),
    context("DashScope", Message, Has("input length exceeds the maximum length"), Not429, DASHSCOPE),
    context("LM Studio", Message, Has("tokens when context the overflows"), Not429, LM_STUDIO),
    context("LM Studio", Message, Has("greater than the context length"), Not429, LM_STUDIO),
    context("LM Studio", Message, All(&["reached context length", "tokens"]), Not429, LM_STUDIO),
    context("LM Studio", Message, Has("context overflow"), Client, LM_STUDIO),
    context("Zhipu", Message, Has("prompt exceeds max length"), Not429, ZHIPU),
    context("Zhipu", Message, Has("prompt 超长"), Not429, ZHIPU),
    context("Anthropic, Fireworks", Message, Has("prompt is too long"), Client, ANTHROPIC),
    context(
        "Anthropic",
        Message,
        Has("exceed context limit"),
        Client,
        "report: input and max_tokens together",
    ),
    context("Anthropic", Message, Has("request exceeds the maximum size"), Of(&[400, 413]), ANTHROPIC),
    context("llama.cpp", Message, Has("exceeds the available context size"), Not429, LLAMA_CPP),
    context("llama.cpp", Message, Has("context size has been exceeded"), Not429, LLAMA_CPP),
    context("llama.cpp", Message, Has("input is too large to process"), Not429, LLAMA_CPP),
    context("llama-cpp-python", Message, Has("exceed context window of"), Not429, "report: 400 and 500"),
    context("Ollama", Message, All(&["input length exceeds", "context length"]), Not429, OLLAMA),
    context("Ollama", Message, Has("prompt too long; exceeded"), Not429, OLLAMA),
    context("Groq", Message, Has("reduce the length of the messages"), Client, "report: 400"),
    context("Mistral", Message, Has("too large for model with"), Not429, "report: 400"),
    context(
        "Cohere",
        Message,
        Has("too many tokens: total number of tokens"),
        Not429,
        "docs.cohere.com/reference/errors",
    ),
    context(
        "Cohere",
        Message,
        All(&["total number of tokens", "cannot exceed"]),
        Not429,
        "docs.cohere.com/reference/errors",
    ),
    context("MiniMax", Message, Has("context window exceeds limit"), Not429, "report: 400, code 2013"),
    context(
        "GitHub Copilot",
        Message,
        All(&["prompt token count", "exceeds the limit of"]),
        Not429,
        "report: 400",
    ),
    context("watsonx", Message, All(&["input tokens", "total tokens limit"]), Client, "report: 400"),
    context(
        "Volcengine",
        Message,
        Has("exceed max message tokens"),
        Client,
        "volcengine.com/docs/82379/1299023",
    ),
    context("Baidu", Code, Is("336007"), Of(&[400]), "cloud.baidu.com/doc/qianfan: error codes"),
    context(
        "Baidu",
        Message,
        Has("prompt tokens too long"),
        Client,
        "cloud.baidu.com/doc/qianfan: error codes",
    ),
    context("DS4", Message, All(&["prompt has", "configured context size is"]), Client, "report: 400"),
    context("Databricks, relays", Message, Has("context length exceeded"), Client, "report: 400"),
    context("relays", Message, Has("context window exceeded"), Client, "report: 400"),
    context(
        "Poolside",
        Message,
        Has("exceeds the maximum allowed input length"),
        Client,
        "report: OpenRouter, 400",
    ),
    context("Atlas, TabbyAPI", Message, All(&["prompt", "max_seq_len"]), Client, "report: 400"),
    context("vLLM", Message, All(&["input prompt", "is too long and exceeds limit"]), Client, VLLM),
    context("LM Studio", Message, All(&["n_keep", "n_ctx"]), Not429, LM_STUDIO),
    context("SambaNova", Message, Has("maximum supported sequence length"), Client, "report: 400"),
    context("Snowflake", Message, All(&["max tokens of", "exceeded"]), Client, "report: Cortex, 400"),
    context(
        "Bedrock",
        Message,
        Has("number of input tokens exceeds maximum length"),
        Client,
        "report: Nova, 400",
    ),
    context("Cohere", Message, Has("too many tokens: size limit exceeded"), Client, "report: 400"),
    context("relays", Message, Has("input length exceeds the maximum"), Client, "report: 400"),
    context("relays", Message, Has("exceeds the model context"), Client, "report: 400"),
    context("relays", Message, Has("超过最大长度"), Client, "report: 400"),
    context("relays", Message, Has("长度超限"), Client, "report: 400"),
    context("relays", Message, Has("上下文长度超"), Client, "report: 400"),
    context("relays", Message, Has("输入长度超"), Client, "report: 400"),
];
