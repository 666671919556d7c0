use serde_json::json;

use super::{check, openai};
use crate::error::Kind;

#[test]
fn a_prompt_that_is_too_long_in_each_providers_wording() {
    let gemini = |message: &str| json!([{ "error": { "code": 400, "message": message, "status": "INVALID_ARGUMENT" } }]);
    let vllm = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens";
    check(
        Kind::ContextLength,
        &[
            ("OpenAI", 400, json!({ "error": { "message": "too long", "code": "context_length_exceeded" } })),
            (
                "OpenAI",
                400,
                openai("Your input exceeds the context window of this model. Please adjust your input."),
            ),
            (
                "Azure",
                400,
                openai(
                    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
                ),
            ),
            ("DeepSeek", 400, openai("This model's maximum context length is 65536 tokens.")),
            (
                "OpenRouter",
                400,
                json!({ "error": { "message": "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens.", "code": 400 } }),
            ),
            (
                "vLLM",
                400,
                json!({ "object": "error", "message": vllm, "type": "BadRequestError", "param": null, "code": 400 }),
            ),
            ("vLLM", 400, json!({ "error": { "message": vllm, "type": "BadRequestError", "code": 400 } })),
            (
                "vLLM",
                500,
                openai("The decoder prompt (length 5951) is longer than the maximum model length of 4096."),
            ),
            ("vLLM, through a relay", 500, openai(vllm)),
            (
                "SGLang",
                400,
                json!({ "object": "error", "message": "The input (210000 tokens) is longer than the model's context length (200000 tokens).", "code": 400 }),
            ),
            (
                "SGLang",
                400,
                openai("Requested token count exceeds the model's maximum context length of 32768 tokens."),
            ),
            (
                "TGI",
                422,
                json!({ "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 200 `max_new_tokens`", "error_type": "validation" }),
            ),
            (
                "TGI",
                422,
                json!({ "error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000", "error_type": "validation" }),
            ),
            (
                "Together",
                422,
                openai(
                    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens",
                ),
            ),
            (
                "Gemini",
                400,
                gemini(
                    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575).",
                ),
            ),
            (
                "Vertex AI",
                400,
                gemini(
                    "Unable to submit request because the input token count is 1200000 but model only supports up to 1048576.",
                ),
            ),
            (
                "xAI",
                400,
                json!({ "code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 131072 but the request contains 200000 tokens." }),
            ),
            ("Bedrock", 400, json!({ "message": "Input is too long for requested model." })),
            (
                "Bedrock",
                400,
                json!({ "__type": "ValidationException", "message": "The model returned the following errors: Input is too long for requested model." }),
            ),
            (
                "Moonshot",
                400,
                json!({ "error": { "message": "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)", "type": "invalid_request_error" } }),
            ),
            ("DashScope", 400, openai("Range of input length should be [1, 30720]")),
            (
                "DashScope",
                400,
                json!({ "code": "InvalidParameter", "message": "InternalError.Algo.InvalidParameter: Range of input length should be [1, 202745]" }),
            ),
            (
                "LM Studio",
                400,
                json!({ "error": "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens" }),
            ),
            (
                "LM Studio",
                400,
                json!({ "error": "The number of tokens to keep from the initial prompt is greater than the context length." }),
            ),
            ("Zhipu", 400, json!({ "error": { "code": "1261", "message": "Prompt exceeds max length" } })),
            ("Zhipu", 400, json!({ "error": { "code": "1261", "message": "Prompt 超长" } })),
            ("Anthropic", 400, openai("prompt is too long: 205000 tokens > 200000 maximum")),
            (
                "Anthropic",
                400,
                openai("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
            ),
            (
                "Anthropic",
                413,
                json!({ "type": "error", "error": { "type": "request_too_large", "message": "Request exceeds the maximum size" } }),
            ),
            (
                "llama.cpp",
                400,
                json!({ "error": { "code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error" } }),
            ),
            (
                "llama.cpp",
                400,
                openai(
                    "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
                ),
            ),
            ("llama-cpp-python", 500, openai("Requested tokens (5000) exceed context window of 4096")),
            ("Ollama", 500, json!({ "error": "the input length exceeds the context length" })),
            ("Ollama", 400, json!({ "error": "prompt too long; exceeded max context length by 900 tokens" })),
            ("Groq", 400, openai("Please reduce the length of the messages or completion.")),
            (
                "Mistral",
                400,
                json!({ "object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length", "code": "3051" }),
            ),
            (
                "Cohere",
                400,
                json!({ "message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292." }),
            ),
            ("MiniMax", 400, openai("invalid params, context window exceeds limit (2013)")),
            (
                "MiniMax",
                200,
                json!({ "base_resp": { "status_code": 2013, "status_msg": "invalid params, context window exceeds limit" } }),
            ),
            (
                "vLLM",
                400,
                openai(
                    "You passed 5001 input tokens and requested 100 output tokens. However, the model's context length is only 4096 tokens",
                ),
            ),
            ("TensorRT-LLM", 400, openai("Prompt length (5000) exceeds maximum input length (4096)")),
            ("OpenAI", 400, openai("Input tokens exceed the configured limit of 272000 tokens.")),
            (
                "llama.cpp, in a stream",
                200,
                json!({ "error": { "code": 500, "message": "Context size has been exceeded.", "type": "server_error" } }),
            ),
            (
                "Poolside",
                400,
                openai("Input length 131393 exceeds the maximum allowed input length of 131040 tokens."),
            ),
            ("Atlas", 400, openai("Prompt too long: 5152 tokens exceeds max_seq_len 2048")),
            ("TabbyAPI", 400, openai("Prompt length 9000 is greater than max_seq_len 8192")),
            ("vLLM", 400, openai("Input prompt (50000 tokens) is too long and exceeds limit of 32768")),
            (
                "LM Studio",
                400,
                json!({ "error": "Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)" }),
            ),
            ("SambaNova", 400, openai("… but the maximum supported sequence length is just 8192!")),
            ("Snowflake", 400, json!({ "message": "max tokens of 8192 exceeded", "error_code": "399509" })),
            (
                "Bedrock",
                400,
                json!({ "message": "Input Tokens Exceeded: Number of input tokens exceeds maximum length." }),
            ),
            ("Cohere", 400, json!({ "message": "too many tokens: size limit exceeded by 4000 tokens." })),
            ("a relay", 400, openai("The input length exceeds the maximum limit of the model")),
            ("a relay", 400, openai("Prompt length 9000 exceeds the model context size 8192")),
            ("a relay", 400, openai("输入超过最大长度 32768")),
            ("a relay", 400, openai("输入内容长度超限")),
            ("a relay", 400, json!({ "error": { "code": "prompt_too_long", "message": "x" } })),
            ("GitHub Copilot", 400, openai("prompt token count of 140000 exceeds the limit of 128000")),
            ("Fireworks", 400, openai("The prompt is too long: 9000, model maximum context length: 8191")),
            ("LiteLLM", 400, openai("litellm.ContextWindowExceededError: litellm.BadRequestError: prompt…")),
            (
                "OpenRouter, upstream",
                400,
                json!({ "error": { "message": "Provider returned error", "code": 400, "metadata": { "raw": "{\"error\":{\"message\":\"prompt is too long: 2 tokens > 1 maximum\"}}", "provider_name": "Anthropic" } } }),
            ),
            (
                "new-api, in a stream",
                200,
                json!({ "error": { "message": vllm, "type": "upstream_error", "code": "bad_response_status_code" } }),
            ),
        ],
    );
}
