// HolySheep tutorial 002: see `calls.mjs`.
import { COMPLETION, fail, HEADERS, MESSAGES, manager, REQUEST, resilient, SENT, streaming } from './callers.mjs'
import { KEY } from './classes.mjs'
import { ANSWER, PIECES } from './provider.mjs'
import { SESSION_ID } from './tables.mjs'

export const CALLS_002 = {
  // Tutorial 002, retry logic.
  'HolySheepStreamingClient.streamWithRetry: success': {
    replies: [fail(503)],
    run: ({ H, url, tell }) => streaming(H, url).streamWithRetry(MESSAGES, tell('onChunk'), tell('onError')),
    resolves: { success: true, attempts: 2 },
    sent: [SENT, { ...SENT, body: { model: 'gpt-4.1', messages: MESSAGES, stream: true } }],
    told: PIECES.map((piece) => ['onChunk', piece]),
  },
  'HolySheepStreamingClient.streamWithRetry: failure': {
    reply: fail(503),
    run: ({ H, url, tell }) => streaming(H, url).streamWithRetry(MESSAGES, tell('onChunk'), tell('onError')),
    resolves: { success: false, attempts: 4, error: { code: String, status: 503, message: String } },
    asked: 4,
    told: [['onError', { status: 503 }]],
  },
  'HolySheepStreamingClient.streamWithRetry: an error that is not retryable': {
    reply: fail(401),
    run: ({ H, url, tell }) => streaming(H, url).streamWithRetry(MESSAGES, tell('onChunk'), tell('onError')),
    resolves: { success: false, attempts: 1, error: { code: 'AUTH_FAILED', status: 401 } },
    told: [['onError', { status: 401 }]],
  },
  'HolySheepStreamingClient.streamWithRetry: a callback that throws ends the call with its error': {
    run: ({ H, url }) =>
      streaming(H, url).streamWithRetry(MESSAGES, () => {
        throw new Error('mine')
      }),
    resolves: { success: false, attempts: 1, error: { message: 'mine' } },
  },
  'HolySheepStreamingClient.streamWithRetry rejects for invalid arguments': {
    run: ({ H, url }) => streaming(H, url).streamWithRetry('no messages'),
    rejects: { code: 'INVALID_ARGUMENT' },
    asked: 0,
  },
  'HolySheepStreamingClient: one idempotency key for each body, the same on its retries': {
    replies: [fail(503), fail(404)],
    run: async ({ H, url, provider }) => {
      const client = new H.HolySheepStreamingClient(KEY, { baseUrl: url, fallbackModels: ['gemini-2.5-flash'] })
      await Object.assign(client, { baseDelay: 0 }).chat(REQUEST)
      const [first, second, third] = provider.requests.map(({ headers }) => headers['idempotency-key'])
      return { first, same: second === first, other: third !== first }
    },
    resolves: { first: String, same: true, other: true },
    asked: 3,
  },
  'HolySheepStreamingClient.executeStream: success': {
    run: ({ H, url, tell }) => streaming(H, url).executeStream(MESSAGES, tell('onChunk')),
    resolves: undefined,
    sent: [{ ...SENT, body: { model: 'gpt-4.1', messages: MESSAGES, stream: true } }],
    told: PIECES.map((piece) => ['onChunk', piece]),
  },
  'HolySheepStreamingClient.executeStream: exactly one attempt': {
    reply: fail(503),
    run: ({ H, url }) => streaming(H, url).executeStream(MESSAGES),
    rejects: { status: 503 },
    asked: 1,
  },
  'HolySheepStreamingClient: a reset connection has the code ECONNRESET': {
    reply: { reset: true },
    run: ({ H, url }) => streaming(H, url).executeStream(MESSAGES),
    rejects: { code: 'ECONNRESET' },
  },
  'HolySheepStreamingClient: a refused connection has the code ECONNREFUSED': {
    run: ({ H }) => streaming(H, 'http://127.0.0.1:9/v1').executeStream(MESSAGES),
    rejects: { code: 'ECONNREFUSED' },
    asked: 0,
  },
  'HolySheepStreamingClient.sleep': { run: ({ H, url }) => streaming(H, url).sleep(1), resolves: undefined },
  'HolySheepStreamingClient: fallbackModels': {
    replies: [fail(404)],
    run: ({ H, url }) =>
      new H.HolySheepStreamingClient(KEY, { baseUrl: url, fallbackModels: ['gemini-2.5-flash'] }).chat(REQUEST),
    resolves: COMPLETION,
    sent: [{ body: { model: 'gpt-4.1' } }, { body: { model: 'gemini-2.5-flash' } }],
  },
  'HolySheepStreamingClient: validateModel names the nearest model': {
    run: ({ H, url }) =>
      new H.HolySheepStreamingClient(KEY, { baseUrl: url, validateModel: true }).chat({ ...REQUEST, model: 'gtp-4.1' }),
    rejects: { message: /gpt-4\.1/ },
    asked: 0,
  },

  // Tutorial 002, session recovery.
  'ResilientStreamingClient.smartStreamWithRecovery: success': {
    replies: [fail(503), { cut: PIECES.slice(0, 1) }, { text: PIECES.slice(1) }],
    run: ({ H, url, tell }) =>
      resilient(H, url).smartStreamWithRecovery('claude-sonnet-4.5', MESSAGES, {
        onProgress: tell('onProgress'),
        onComplete: tell('onComplete'),
        onError: tell('onError'),
      }),
    resolves: { success: true, response: ANSWER, attempts: 3 },
    sent: [
      {
        ...SENT,
        headers: { ...HEADERS, 'x-session-id': SESSION_ID },
        body: { model: 'claude-sonnet-4.5', messages: MESSAGES, stream: true, session_id: SESSION_ID },
      },
      { body: { session_id: SESSION_ID } },
      { body: { session_id: SESSION_ID } },
    ],
    text: ANSWER,
    last: ['onComplete', ANSWER],
  },
  'ResilientStreamingClient.smartStreamWithRecovery: all attempts used up': {
    reply: { status: 503 },
    run: ({ H, url, tell }) =>
      resilient(H, url).smartStreamWithRecovery('gpt-4.1', MESSAGES, { maxRetries: 2, onError: tell('onError') }),
    resolves: { success: false, error: 'Max retries exceeded', response: '', attempts: 2, cause: { status: 503 } },
    asked: 2,
    told: [['onError', { message: 'Max retries exceeded' }]],
  },
  'ResilientStreamingClient.smartStreamWithRecovery: an error that is not recoverable': {
    reply: fail(401),
    run: ({ H, url, tell }) =>
      resilient(H, url).smartStreamWithRecovery('gpt-4.1', MESSAGES, { onError: tell('onError') }),
    resolves: { success: false, error: { code: 'AUTH_FAILED', status: 401 }, response: '', attempts: 1 },
    told: [['onError', { code: 'AUTH_FAILED' }]],
  },
  'ResilientStreamingClient.streamSession: success': {
    run: async ({ H, url, tell }) => {
      const client = resilient(H, url)
      const text = await client.streamSession('gpt-4.1', MESSAGES, 'my-session', 30_000, tell('onProgress'))
      return { text, lastReceivedId: client.lastReceivedId, accumulatedContent: client.accumulatedContent }
    },
    resolves: { text: ANSWER, lastReceivedId: 'chatcmpl-golden', accumulatedContent: ANSWER },
    sent: [{ headers: { 'x-session-id': 'my-session' }, body: { session_id: 'my-session' } }],
    told: PIECES.map((piece) => ['onProgress', piece]),
  },
  'ResilientStreamingClient.streamSession: exactly one attempt': {
    reply: fail(503),
    run: ({ H, url }) => resilient(H, url).streamSession('gpt-4.1', MESSAGES, 'my-session', 30_000),
    rejects: { status: 503 },
    asked: 1,
  },
  'ResilientStreamingClient.buildRecoveryContext: one more system message with the last 200 characters': {
    run: ({ H, url }) => resilient(H, url).buildRecoveryContext(MESSAGES, `${'a'.repeat(50)}${'b'.repeat(200)}`),
    resolves: [...MESSAGES, { role: 'system', content: /(^|[^ab])b{200}([^ab]|$)/ }],
    asked: 0,
  },
  'ResilientStreamingClient.generateSessionId: session_<ms>_<9 of base 36>': {
    run: ({ H, url }) => resilient(H, url).generateSessionId(),
    resolves: SESSION_ID,
    asked: 0,
  },

  // Tutorial 002, retry manager.
  'HolySheepRetryManager.executeWithRetry: success': {
    replies: [fail(500), fail(429), { reset: true }],
    run: ({ H, url, tell }) =>
      manager(H, url).executeWithRetry(REQUEST, {
        maxRetries: 3,
        baseDelay: 1,
        maxDelay: 2,
        onRetry: tell('onRetry'),
        onCircuitOpen: tell('onCircuitOpen'),
      }),
    resolves: COMPLETION,
    asked: 4,
    told: [
      ['onRetry', 1, { status: 500 }, 1],
      ['onRetry', 2, { status: 429 }, 2],
      ['onRetry', 3, { code: 'ECONNRESET' }, 2],
    ],
  },
  'HolySheepRetryManager.executeWithRetry: the last error, after 3 retries': {
    reply: fail(502),
    run: ({ H, url }) => manager(H, url).executeWithRetry(REQUEST, { baseDelay: 0 }),
    rejects: { status: 502, code: String },
    asked: 4,
  },
  'HolySheepRetryManager.executeWithRetry: an open circuit': {
    run: ({ H, url, tell }) => {
      const made = manager(H, url)
      made.circuitBreaker.open()
      return made.executeWithRetry(REQUEST, { onCircuitOpen: tell('onCircuitOpen') })
    },
    rejects: { message: 'Circuit breaker is OPEN - service unavailable' },
    asked: 0,
    told: [['onCircuitOpen']],
  },
  'HolySheepRetryManager.executeRequest: success': {
    run: ({ H, url }) => manager(H, url).executeRequest(REQUEST),
    resolves: COMPLETION,
    sent: [{ ...SENT, body: REQUEST }],
  },
  'HolySheepRetryManager.executeRequest: exactly one attempt': {
    reply: fail(503),
    run: ({ H, url }) => manager(H, url).executeRequest(REQUEST),
    rejects: { status: 503 },
    asked: 1,
  },

  // Tutorial 002, errors.
  'handleConnectionReset: another error, or no attempt left': {
    run: async ({ H }) => {
      const reset = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
      return [
        await H.handleConnectionReset(new Error('ECONNRESET'), REQUEST, 0, 3),
        await H.handleConnectionReset(reset, REQUEST, 3, 3),
      ]
    },
    resolves: [false, false],
    asked: 0,
  },
  'RateLimitedClient.acquireToken: true, or false if there is none': {
    run: async ({ H }) => {
      const client = new H.RateLimitedClient(KEY, { capacity: 1, refillRate: 0.001 })
      return [await client.acquireToken(), await client.acquireToken()]
    },
    resolves: [true, false],
    asked: 0,
  },
  'RateLimitedClient.refill: refillRate a second since lastRefill, up to capacity': {
    run: ({ H }) => {
      const client = new H.RateLimitedClient(KEY)
      Object.assign(client, { tokens: 0, lastRefill: Date.now() - 60_000 })
      client.refill()
      return client.tokens
    },
    resolves: 100,
    asked: 0,
  },
  'RateLimitedClient.acquire: tokens, signal, timeoutMs': {
    run: async ({ H }) => {
      const client = new H.RateLimitedClient(KEY, { refillRate: 0.001 })
      await client.acquire({ tokens: 100, signal: new AbortController().signal, timeoutMs: 60_000 })
      return client.acquire({ tokens: 2, timeoutMs: 1 })
    },
    rejects: { code: 'TIMEOUT' },
    asked: 0,
  },
  'RateLimitedClient.handleRateLimit: any other status': {
    run: ({ H }) => new H.RateLimitedClient(KEY).handleRateLimit({ status: 503, headers: { 'retry-after': '60' } }),
    resolves: false,
    asked: 0,
  },
  'RateLimitedClient: every attempt takes a token': {
    replies: [fail(503)],
    run: async ({ H, url }) => {
      const client = new H.RateLimitedClient(KEY, { capacity: 3, refillRate: 0.001 })
      Object.assign(client, { baseUrl: url, baseDelay: 0 })
      await client.streamWithRetry(MESSAGES)
      return Math.floor(client.tokens)
    },
    resolves: 1,
  },
  'streamWithTimeout: success': {
    run: async ({ H, url }) => {
      const options = { method: 'POST', body: JSON.stringify(REQUEST), partialBuffer: 'before' }
      const response = await H.streamWithTimeout(`${url}/chat/completions`, options, 60_000)
      return { status: response.status, body: await response.text() }
    },
    resolves: { status: 200, body: /\[DONE\]/ },
    asked: 1,
  },
  'streamWithTimeout: the deadline': {
    reply: { hang: true },
    run: ({ H, url }) => H.streamWithTimeout(`${url}/chat/completions`, { method: 'POST', partialBuffer: 'before' }, 1),
    rejects: { message: 'Request timeout', code: 'TIMEOUT', partialData: 'before' },
  },
}
