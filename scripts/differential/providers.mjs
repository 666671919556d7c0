/**
 * The streams of providers, by what is particular to each: fields of a chunk, of a choice and of a delta, where the
 * usage is, how tool calls arrive, what comes before and between the chunks.
 */
const USAGE = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }
const PARTS = (text) => [{ type: 'text', text }]

/** Each field is optional; see `streams.mjs` for what is assumed without it. */
export const PROVIDERS = {
  openai: {
    chunk: { service_tier: 'default', system_fingerprint: 'fp_1', obfuscation: 'aB3' },
    choice: { logprobs: null },
    nulls: true,
  },
  azure: {
    first: [
      {
        id: '',
        object: '',
        created: 0,
        model: '',
        choices: [],
        prompt_filter_results: [{ prompt_index: 0, content_filter_results: { hate: { filtered: false } } }],
      },
    ],
    choice: { content_filter_results: {}, logprobs: null },
    nulls: true,
  },
  groq: { firstFields: { x_groq: { id: 'req_1' } }, usage: 'x_groq', choice: { logprobs: null } },
  openrouter: {
    comments: ': OPENROUTER PROCESSING',
    chunk: { provider: 'Google' },
    choice: { native_finish_reason: null, logprobs: null },
    delta: { role: 'assistant' },
    reasoning: (text) => ({
      reasoning: text,
      reasoning_details: [{ type: 'reasoning.text', text, format: 'unknown', index: 0 }],
    }),
    usage: 'after',
    emptyFinish: true,
  },
  deepseek: { reasoning: (text) => ({ content: null, reasoning_content: text }), usage: 'finish', nulls: true },
  mistral: { content: PARTS, reasoning: null, usage: 'finish', tools: 'whole' },
  'mistral thinking': {
    content: PARTS,
    reasoning: (text) => ({ content: [{ type: 'thinking', thinking: PARTS(text) }] }),
    usage: 'finish',
  },
  gemini: { tools: 'without index', usage: 'every', delta: { role: 'assistant' }, roleFirst: false },
  vllm: { chunk: { prompt_token_ids: null }, choice: { stop_reason: null, token_ids: null, logprobs: null } },
  sglang: { choice: { matched_stop: null }, usage: 'own', nulls: true, delta: { reasoning_content: null } },
  ollama: {
    chunk: { system_fingerprint: 'fp_ollama' },
    delta: { role: 'assistant' },
    roleFirst: false,
    tools: 'whole',
  },
  'llama.cpp': {
    usage: 'last',
    lastFields: { timings: { prompt_n: 11, predicted_ms: 12.5, predicted_per_second: 560.25 } },
    nulls: true,
  },
  'lm studio': { chunk: { system_fingerprint: 'q' }, choice: { logprobs: null }, stats: true },
  litellm: { usage: 'last choice', chunk: { citations: null }, choice: { provider_specific_fields: null } },
  cloudflare: { chunk: { p: 'abdef' }, usage: 'every', numbers: true },
  together: { choice: { text: '', seed: 5 }, delta: { token_id: 42 }, usage: 'finish', text: true },
  zhipu: { usage: 'finish', reasoning: (text) => ({ reasoning_content: text }), delta: { role: 'assistant' } },
  moonshot: { usage: 'choice', roleFirst: true },
  minimax: { usage: 'own', chunk: { input_sensitive: false, output_sensitive: false }, choice: {}, whole: true },
  'without usage': { usage: 'none', done: false },
}

/** The usage of the answer, in a shape of one provider or another. */
export const usageOf = (r) =>
  r.pick([
    USAGE,
    { ...USAGE, prompt_tokens_details: { cached_tokens: 3, audio_tokens: 0 } },
    { ...USAGE, completion_tokens_details: { reasoning_tokens: 2 }, cost: 0.00012 },
    { queue_time: 0.01, ...USAGE, total_time: 0.25 },
  ])
