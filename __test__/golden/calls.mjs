// What each method of the HolySheep tutorials resolves to or rejects with, what it sends, and which callbacks it calls. The
// calls are really made.
//
// replies      the provider's answers, in order; `reply` is every later one
// run          the call: `H` is the package, `tell(name)` a callback whose arguments are recorded
// resolves     the fields of the result; `rejects` those of the error
// asked        the number of requests; `sent` their contents
// told         the recorded arguments of the callbacks

import { fallback, MESSAGES, manager, REQUEST, resilient } from './callers.mjs'
import { CALLS_002 } from './calls-002.mjs'
import { CALLS_OTHERS } from './calls-others.mjs'
import { KEY } from './classes.mjs'

export const CALLS = { ...CALLS_002, ...CALLS_OTHERS }

/** Options of methods: each is accepted on its own, and an unknown name is rejected before anything is sent. */
export const METHOD_OPTIONS = {
  'ResilientStreamingClient.smartStreamWithRecovery': {
    call: (H, url, options) => resilient(H, url).smartStreamWithRecovery('gpt-4.1', MESSAGES, options),
    options: { maxRetries: 5, timeout: 45_000, onProgress() {}, onComplete() {}, onError() {} },
  },
  'HolySheepRetryManager.executeWithRetry': {
    call: (H, url, options) => manager(H, url).executeWithRetry(REQUEST, options),
    options: { maxRetries: 3, baseDelay: 1000, maxDelay: 10_000, onRetry() {}, onCircuitOpen() {} },
  },
  'HolySheepAIClient.chatCompletion': {
    call: (H, url, options) => fallback(H, url).chatCompletion('gpt-4.1', MESSAGES, options),
    options: { temperature: 0.7, maxTokens: 1000 },
  },
  'RateLimitedClient.acquire': {
    call: (H, _url, options) => new H.RateLimitedClient(KEY).acquire(options),
    options: { tokens: 1, signal: new AbortController().signal, timeoutMs: 1000 },
  },
  retryWithBackoff: {
    call: (H, _url, options) => H.retryWithBackoff(() => 1, options),
    options: {
      maxAttempts: 6,
      baseDelay: 1000,
      maxDelay: 60_000,
      jitter: true,
      backoff: 'linear',
      retryable: [TypeError],
      onRetry() {},
      signal: new AbortController().signal,
    },
  },
  batchProcess: {
    call: (H, url, options) => H.batchProcess(['a'], { baseUrl: url, ...options }),
    options: { model: 'gemini-2.5-flash', maxRetries: 3 },
  },
}
