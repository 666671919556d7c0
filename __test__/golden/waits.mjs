// The default waits and timeouts of the HolySheep tutorials, in milliseconds. They elapse on the test clock of
// `holysheep/simulator`.
import { KEY } from './classes.mjs'
import { TASKS, TIER_MS, TIERS } from './tables.mjs'

const MESSAGES = [{ role: 'user', content: 'Xin chào' }]
const REQUEST = { model: 'gpt-4.1', messages: MESSAGES }
const fail = (status, headers) => ({ status, headers })

/**
 * The waits between the requests of a call whose provider answers with `reply`. `range`: there is a single wait, random
 * between these bounds.
 */
export const WAITS = {
  'HolySheepStreamingClient.streamWithRetry': {
    reply: fail(503),
    run: (H, url) =>
      new H.HolySheepStreamingClient(KEY, { baseUrl: url, retry: { jitter: 'none' } }).streamWithRetry(MESSAGES),
    waits: [1000, 2000, 4000],
  },
  'HolySheepStreamingClient.streamWithRetry without jitter, as in the tutorial': {
    reply: fail(503),
    run: (H, url) => new H.HolySheepStreamingClient(KEY, { baseUrl: url }).streamWithRetry(MESSAGES),
    waits: [1000, 2000, 4000],
    todo: 'the waits have full jitter unless the caller sets it',
  },
  'HolySheepStreamingClient, retry.connectionReset': {
    reply: { reset: true },
    run: (H, url) =>
      new H.HolySheepStreamingClient(KEY, {
        baseUrl: url,
        maxRetries: 1,
        retry: { connectionReset: true },
      }).streamWithRetry(MESSAGES),
    range: [1000, 3000],
  },
  'HolySheepStreamingClient.streamWithRetry, Retry-After': {
    reply: fail(429, { 'retry-after': '7' }),
    run: (H, url) => new H.HolySheepStreamingClient(KEY, { baseUrl: url, maxRetries: 1 }).streamWithRetry(MESSAGES),
    waits: [7000],
  },
  'ResilientStreamingClient.smartStreamWithRecovery': {
    reply: fail(503),
    run: (H, url) => new H.ResilientStreamingClient(KEY, { baseUrl: url }).smartStreamWithRecovery('gpt-4.1', MESSAGES),
    waits: [2000, 4000, 8000, 10_000],
  },
  'HolySheepRetryManager.executeWithRetry': {
    reply: fail(503),
    run: (H, url) => new H.HolySheepRetryManager(KEY, { baseUrl: url }).executeWithRetry(REQUEST),
    waits: [1000, 2000, 4000],
  },
  'HolySheepRetryManager.executeWithRetry, maxDelay': {
    reply: fail(503),
    run: (H, url) => new H.HolySheepRetryManager(KEY, { baseUrl: url }).executeWithRetry(REQUEST, { baseDelay: 4000 }),
    waits: [4000, 8000, 10_000],
  },
  ...Object.fromEntries(
    [408, 500, 502, 504].map((status) => [
      `RetryAIManager.callWithRetry, ${status} IMMEDIATE`,
      {
        reply: fail(status),
        run: (H, url) => new H.RetryAIManager(KEY, undefined, { baseUrl: url }).callWithRetry(MESSAGES),
        waits: [1000, 2000, 4000],
      },
    ]),
  ),
  'RetryAIManager.callWithRetry, 429 DELAYED': {
    reply: fail(429),
    run: (H, url) => new H.RetryAIManager(KEY, undefined, { baseUrl: url }).callWithRetry(MESSAGES),
    waits: [5000, 10_000, 20_000],
  },
  'RetryAIManager.callWithRetry, 429 with Retry-After': {
    reply: fail(429, { 'retry-after': '7' }),
    run: (H, url) => new H.RetryAIManager(KEY, { maxRetries: 1 }, { baseUrl: url }).callWithRetry(MESSAGES),
    waits: [7000],
  },
  'RetryAIManager.callWithRetry, 503 DELAYED': {
    reply: fail(503),
    run: (H, url) => new H.RetryAIManager(KEY, { maxRetries: 1 }, { baseUrl: url }).callWithRetry(MESSAGES),
    range: [500, 1500],
  },
  'RetryAIManager.callWithRetry, 503 DELAYED without jitter': {
    reply: fail(503),
    run: (H, url) => new H.RetryAIManager(KEY, { jitter: false }, { baseUrl: url }).callWithRetry(MESSAGES),
    waits: [1000, 2000, 4000],
  },
  'HolySheepAIClient.chatCompletion, 429 with Retry-After': {
    reply: fail(429, { 'retry-after': '7' }),
    run: (H, url) =>
      new H.HolySheepAIClient(KEY, { endpoints: [url], maxRetries: 2 }).chatCompletion('gpt-4.1', MESSAGES),
    waits: [7000],
  },
  'HolySheepAIClient.chatCompletion, 429': {
    reply: fail(429),
    run: (H, url) => new H.HolySheepAIClient(KEY, { endpoints: [url] }).chatCompletion('gpt-4.1', MESSAGES),
    waits: [1000, 2000],
  },
  ...Object.fromEntries(
    [408, 500, 502, 503, 504].map((status) => [
      `HolySheepAIClient.chatCompletion, ${status}`,
      {
        reply: fail(status),
        run: (H, url) => new H.HolySheepAIClient(KEY, { endpoints: [url] }).chatCompletion('gpt-4.1', MESSAGES),
        waits: [500, 500],
      },
    ]),
  ),
}

/** The total number of attempts, where the waits are random. */
export const ATTEMPTS = {
  'BoundedRetryQueue.processWithRetry': {
    run: async (H, url) => {
      const queue = new H.BoundedRetryQueue({ baseUrl: url })
      await queue.addTask('one', 'a')
      return queue.processWithRetry().next()
    },
    attempts: 3,
  },
  batchProcess: { run: (H, url) => H.batchProcess(['a'], { baseUrl: url }), attempts: 3 },
  createClientWithTimeout: {
    run: (H, url) => H.createClientWithTimeout('short', { baseUrl: url }).chat(REQUEST),
    attempts: 3,
  },
  'RetryAIManager.callWithRetry': {
    run: (H, url) => new H.RetryAIManager(KEY, undefined, { baseUrl: url }).callWithRetry(MESSAGES),
    attempts: 4,
  },
}

const tasks = Object.entries(TASKS)
const client = (H, task, url, options) => H.createClientWithTimeout(task, { baseUrl: url, maxRetries: 0, ...options })

/** How long a call waits for a provider that accepts the request and never answers. */
export const SILENCE = {
  ...Object.fromEntries(
    Object.entries(TIERS).map(([type, tier]) => [
      `TimeoutAIManager.callWithTimeout, ${type}: ${tier}`,
      {
        // The connect timeout is not under test.
        run: (H, url) =>
          new H.TimeoutAIManager(KEY, { baseUrl: url, connectTimeoutMs: 60_000 }).callWithTimeout(MESSAGES, type),
        after: TIER_MS[tier],
      },
    ]),
  ),
  'RetryAIManager.callWithRetry': {
    run: (H, url) => new H.RetryAIManager(KEY, { maxRetries: 0 }, { baseUrl: url }).callWithRetry(MESSAGES),
    after: 8000,
  },
  'ModelDegradationManager.callWithDegradation': {
    run: (H, url) => {
      const [model] = H.ModelDegradationManager.DEFAULT_MODEL_CHAIN
      return new H.ModelDegradationManager(KEY, [model], { baseUrl: url }).callWithDegradation(MESSAGES)
    },
    after: 8000,
  },
  'ResilientStreamingClient.smartStreamWithRecovery': {
    run: (H, url) =>
      new H.ResilientStreamingClient(KEY, { baseUrl: url }).smartStreamWithRecovery('gpt-4.1', MESSAGES, {
        maxRetries: 1,
      }),
    after: 30_000,
  },
  'HolySheepAIClient.chatCompletion': {
    run: (H, url) =>
      new H.HolySheepAIClient(KEY, { endpoints: [url], maxRetries: 1 }).chatCompletion('gpt-4.1', MESSAGES),
    after: 30_000,
  },
  ...Object.fromEntries(
    tasks.map(([task, [silence]]) => [
      `createClientWithTimeout('${task}')`,
      { run: (H, url) => client(H, task, url).chat(REQUEST), after: silence },
    ]),
  ),
  'createClientWithTimeout()': { run: (H, url) => client(H, undefined, url).chat(REQUEST), after: TASKS.medium[0] },
}
