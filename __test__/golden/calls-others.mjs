// HolySheep tutorials 000, 001, 003 and 004: see `calls.mjs`.
import { COMPLETION, collect, degrades, fail, fallback, MESSAGES, retries, SENT, SENT_003, tiers } from './callers.mjs'
import { ANSWER, PIECES } from './provider.mjs'

export const CALLS_OTHERS = {
  // Tutorial 003, timeouts.
  'TimeoutAIManager.callWithTimeout: success': {
    run: ({ H, url }) => tiers(H, url).callWithTimeout(MESSAGES, 'analysis', 'gpt-4.1'),
    resolves: { success: true, data: COMPLETION, latencyMs: Number, timeoutTier: 'DEEP' },
    sent: [SENT_003],
  },
  'TimeoutAIManager.callWithTimeout: defaults': {
    run: ({ H, url }) => tiers(H, url).callWithTimeout(MESSAGES),
    resolves: { success: true, timeoutTier: 'NORMAL' },
    sent: [SENT_003],
  },
  'TimeoutAIManager.callWithTimeout: failure': {
    reply: fail(401),
    run: ({ H, url }) => tiers(H, url).callWithTimeout(MESSAGES, 'complex'),
    resolves: {
      success: false,
      error: String,
      timeoutTier: 'DEEP',
      fallbackTriggered: false,
      cause: { status: 401, code: 'AUTH_FAILED' },
    },
    asked: 1,
  },
  'TimeoutAIManager.callWithTimeout: fallbackModels': {
    replies: [fail(503)],
    run: ({ H, url }) => tiers(H, url, { fallbackModels: ['deepseek-v3.2'] }).callWithTimeout(MESSAGES, 'complex'),
    resolves: { success: true, timeoutTier: 'DEEP', fallbackTriggered: true },
    sent: [SENT_003, { body: { model: 'deepseek-v3.2' } }],
  },
  'TimeoutAIManager.getTimeoutStats: before the first call': {
    run: ({ H, url }) => tiers(H, url).getTimeoutStats(),
    resolves: { message: String },
    asked: 0,
  },
  'TimeoutAIManager.getTimeoutStats': {
    replies: [fail(503)],
    run: async ({ H, url }) => {
      const made = tiers(H, url)
      for (let call = 0; call < 2; call++) await made.callWithTimeout(MESSAGES, 'complex')
      return made.getTimeoutStats()
    },
    resolves: { totalRequests: 2, successRate: 50, avgLatency: Number },
  },

  // Tutorial 003, retries.
  'RetryAIManager.callWithRetry: success': {
    replies: [fail(500)],
    run: ({ H, url }) => retries(H, url).callWithRetry(MESSAGES, 'gpt-4.1', ['gemini-2.5-flash', 'deepseek-v3.2']),
    resolves: { success: true, data: COMPLETION, modelUsed: 'gpt-4.1' },
    sent: [SENT_003, SENT_003],
  },
  'RetryAIManager.callWithRetry: the model by default': {
    run: ({ H, url }) => retries(H, url).callWithRetry(MESSAGES),
    resolves: { success: true, modelUsed: 'gpt-4.1' },
    sent: [SENT_003],
  },
  'RetryAIManager.callWithRetry: the next of fallbackModels': {
    replies: [fail(500), fail(500)],
    run: ({ H, url }) => retries(H, url, { maxRetries: 1 }).callWithRetry(MESSAGES, 'gpt-4.1', ['gemini-2.5-flash']),
    resolves: { success: true, modelUsed: 'gemini-2.5-flash' },
    asked: 3,
  },
  'RetryAIManager.callWithRetry: all retries used up': {
    reply: fail(500),
    run: ({ H, url }) => retries(H, url).callWithRetry(MESSAGES),
    resolves: {
      success: false,
      statusCode: 500,
      error: 'Max retries (3) exceeded',
      finalAttempt: 4,
      retried: true,
      cause: { status: 500 },
    },
    asked: 4,
  },
  'RetryAIManager.callWithRetry: NEVER': {
    reply: fail(401),
    run: ({ H, url }) => retries(H, url).callWithRetry(MESSAGES),
    resolves: { success: false, statusCode: 401, error: String, finalAttempt: 1, retried: false },
    asked: 1,
  },
  'RetryAIManager.callWithRetry: a broken connection': {
    run: ({ H }) => retries(H, 'http://127.0.0.1:9/v1', { maxRetries: 0 }).callWithRetry(MESSAGES),
    resolves: { success: false, error: String, finalAttempt: 1, retried: false, cause: { code: 'ECONNREFUSED' } },
    asked: 0,
  },
  'RetryAIManager.getRetryStats: before the first call': {
    run: ({ H, url }) => retries(H, url).getRetryStats(),
    resolves: {
      totalRequests: 0,
      successful: 0,
      retried: 0,
      failedPermanently: 0,
      totalRetryCost: 0,
      retryRate: '0.0%',
      successRate: '0.0%',
      estimatedWaitTime: '0.0s',
    },
    asked: 0,
  },
  'RetryAIManager.getRetryStats': {
    replies: [fail(500), { text: PIECES }, { text: PIECES }, fail(401)],
    run: async ({ H, url }) => {
      const made = retries(H, url)
      for (let call = 0; call < 3; call++) await made.callWithRetry(MESSAGES)
      return made.getRetryStats()
    },
    resolves: {
      totalRequests: 3,
      successful: 2,
      retried: 1,
      failedPermanently: 1,
      totalRetryCost: 0,
      retryRate: '33.3%',
      successRate: '66.7%',
      estimatedWaitTime: '0.0s',
    },
  },

  // Tutorial 003, degradation.
  'ModelDegradationManager.callWithDegradation: success': {
    run: ({ H, url }) => degrades(H, url).callWithDegradation(MESSAGES),
    resolves: {
      success: true,
      data: COMPLETION,
      modelUsed: 'deepseek-v3.2',
      fallbackTriggered: false,
      originalComplexity: 'simple',
      latencyMs: Number,
    },
    sent: [{ ...SENT_003, body: { ...SENT_003.body, model: 'deepseek-v3.2' } }],
  },
  'ModelDegradationManager.callWithDegradation: the next model': {
    replies: [fail(503)],
    run: ({ H, url }) => degrades(H, url).callWithDegradation(MESSAGES),
    resolves: { success: true, modelUsed: 'gemini-2.5-flash', fallbackTriggered: true },
    asked: 2,
  },
  'ModelDegradationManager.callWithDegradation: preferredModel': {
    run: ({ H, url }) => degrades(H, url).callWithDegradation(MESSAGES, 'claude-sonnet-4.5'),
    resolves: { success: true, modelUsed: 'claude-sonnet-4.5', fallbackTriggered: false },
    sent: [{ body: { model: 'claude-sonnet-4.5' } }],
  },
  'ModelDegradationManager.callWithDegradation: failure': {
    reply: fail(503),
    run: ({ H, url }) => degrades(H, url).callWithDegradation(MESSAGES),
    resolves: {
      success: false,
      error: 'All models in chain failed',
      candidatesTried: ['deepseek-v3.2', 'gemini-2.5-flash', 'gpt-4.1', 'claude-sonnet-4.5'],
      cause: { status: 503 },
    },
    asked: 4,
  },
  'ModelDegradationManager.getDegradationStats': {
    replies: [fail(503)],
    run: async ({ H, url }) => {
      const made = degrades(H, url)
      await made.callWithDegradation(MESSAGES)
      return made.getDegradationStats()
    },
    resolves: {
      usageByModel: { 'gemini-2.5-flash': 1 },
      circuitBreakers: { 'deepseek-v3.2': 1, 'gemini-2.5-flash': 0 },
      avgLatency: { 'gemini-2.5-flash': Number },
    },
  },
  'ModelDegradationManager: five failures in a row open the breaker of a model': {
    reply: fail(503),
    run: async ({ H, url }) => {
      const [model] = H.ModelDegradationManager.DEFAULT_MODEL_CHAIN
      const made = degrades(H, url, [model])
      for (let call = 0; call < 6; call++) await made.callWithDegradation(MESSAGES)
      return made.getDegradationStats()
    },
    resolves: { usageByModel: {}, circuitBreakers: { 'gpt-4.1': 5 }, avgLatency: {} },
    asked: 5,
  },

  // Tutorial 004.
  'HolySheepAIClient.chatCompletion: defaults': {
    run: ({ H, url }) => fallback(H, url).chatCompletion('deepseek-v3.2', MESSAGES),
    resolves: COMPLETION,
    sent: [{ ...SENT, body: { model: 'deepseek-v3.2', messages: MESSAGES, temperature: 0.7, max_tokens: 1000 } }],
  },
  'HolySheepAIClient.chatCompletion: temperature, maxTokens': {
    run: ({ H, url }) => fallback(H, url).chatCompletion('gpt-4.1', MESSAGES, { temperature: 0, maxTokens: 5 }),
    resolves: COMPLETION,
    sent: [{ body: { temperature: 0, max_tokens: 5 } }],
  },
  'HolySheepAIClient.chatCompletion: all endpoints failed': {
    reply: fail(500),
    run: ({ H, url }) => fallback(H, url).chatCompletion('gpt-4.1', MESSAGES),
    rejects: { message: /^All endpoints failed after 3 attempts\. Last error: /, status: 500, cause: { status: 500 } },
    asked: 3,
  },
  'HolySheepAIClient.chatCompletion: 401 is thrown at once': {
    reply: fail(401),
    run: ({ H, url }) => fallback(H, url).chatCompletion('gpt-4.1', MESSAGES),
    rejects: { status: 401, code: 'AUTH_FAILED' },
    asked: 1,
  },
  'HolySheepAIClient.chatCompletion: another error is tried once more': {
    reply: fail(404),
    run: ({ H, url }) => fallback(H, url).chatCompletion('gpt-4.1', MESSAGES),
    rejects: { status: 404 },
    asked: 2,
  },
  'HolySheepAIClient.getMetrics: before the first call': {
    run: ({ H, url }) => fallback(H, url).getMetrics(),
    resolves: {
      totalRequests: 0,
      successfulRequests: 0,
      errors429: 0,
      otherErrors: 0,
      fallbackCount: 0,
      successRate: '0.00%',
    },
    asked: 0,
  },
  'HolySheepAIClient.getMetrics': {
    replies: [fail(429), fail(500), { text: PIECES }, fail(401), { text: PIECES }],
    run: async ({ H, url }) => {
      // Two endpoints, and one provider behind both.
      const made = fallback(H, url, { endpoints: [url, url.replace('127.0.0.1', 'localhost')] })
      for (let call = 0; call < 3; call++) await made.chatCompletion('gpt-4.1', MESSAGES).catch(() => {})
      return made.getMetrics()
    },
    resolves: {
      totalRequests: 3,
      successfulRequests: 2,
      errors429: 1,
      otherErrors: 2,
      fallbackCount: 2,
      successRate: '66.67%',
    },
    asked: 5,
  },

  // Tutorials 000 and 001.
  'retryWithBackoff: success': {
    run: async ({ H, tell }) => {
      let calls = 0
      const fn = () => (calls++ ? 'done' : Promise.reject(Object.assign(new Error('busy'), { status: 503 })))
      return H.retryWithBackoff(fn, { baseDelay: 2, jitter: false, onRetry: tell('onRetry') })
    },
    resolves: 'done',
    asked: 0,
    told: [['onRetry', 1, { status: 503 }, 2]],
  },
  'retryWithBackoff: the last error as it is, after five attempts': {
    run: async ({ H, tell }) => {
      const call = tell('fn')
      const fn = () => {
        call()
        throw Object.assign(new Error('busy'), { status: 503 })
      }
      return H.retryWithBackoff(fn, { baseDelay: 0 })
    },
    rejects: { message: 'busy', status: 503 },
    asked: 0,
    told: Array.from({ length: 5 }, () => ['fn']),
  },
  'retryWithBackoff: maxAttempts, retryable': {
    run: async ({ H, tell }) => {
      const call = tell('fn')
      const fn = () => {
        call()
        throw new RangeError('mine')
      }
      await H.retryWithBackoff(fn, { baseDelay: 0, maxAttempts: 3, retryable: [RangeError] }).catch(() => {})
      return H.retryWithBackoff(fn, { baseDelay: 0 })
    },
    rejects: { message: 'mine' },
    asked: 0,
    told: Array.from({ length: 4 }, () => ['fn']),
  },
  'batchProcess: a result for every prompt, in order': {
    replies: [{ text: PIECES }, fail(401)],
    run: async ({ H, url }) => [
      ...(await H.batchProcess(['a'], { baseUrl: url })),
      ...(await H.batchProcess(['b'], { baseUrl: url, maxRetries: 1, model: 'gpt-4.1' })),
    ],
    resolves: [
      { index: 0, success: true, result: ANSWER },
      { index: 0, success: false, error: String, cause: { status: 401 } },
    ],
    sent: [
      { ...SENT, body: { model: 'gemini-2.5-flash', messages: [{ role: 'user', content: 'a' }] } },
      { body: { model: 'gpt-4.1' } },
    ],
  },
  'BoundedRetryQueue.processWithRetry': {
    replies: [{ text: PIECES }, fail(401)],
    run: async ({ H, url }) => {
      const queue = new H.BoundedRetryQueue(3, 1000, { baseUrl: url })
      await queue.addTask('one', 'a')
      const first = await collect(queue.processWithRetry())
      await queue.addTask('two', 'b')
      return [...first, ...(await collect(queue.processWithRetry()))]
    },
    resolves: [
      { taskId: 'one', response: ANSWER },
      { taskId: 'two', error: String, cause: { status: 401 } },
    ],
    sent: [{ ...SENT, body: { messages: [{ role: 'user', content: 'a' }] } }, {}],
  },
  'BoundedRetryQueue.addTask: the queue is full': {
    run: async ({ H }) => {
      const queue = new H.BoundedRetryQueue(3, 1)
      await queue.addTask('one', 'a')
      return queue.addTask('two', 'b')
    },
    rejects: { message: 'Queue is full, cannot add more tasks', code: String },
    asked: 0,
  },
  'BoundedRetryQueue.addTask: the id is there already': {
    run: async ({ H }) => {
      const queue = new H.BoundedRetryQueue()
      await queue.addTask('one', 'a')
      return queue.addTask('one', 'a')
    },
    rejects: { code: String },
    asked: 0,
  },
}
