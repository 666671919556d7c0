// The usage examples of the HolySheep tutorials, translated to JavaScript: they run and do what the tutorials promise. The
// environment variable points them to a simulator, and their delays are shortened where they are options.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as holysheep from '../../index.mjs'
import { startSimulator } from '../../simulator.mjs'
import { ANSWER, CHUNKS, clockOf, failure } from '../support/provider.mjs'

const {
  batchProcess,
  BoundedRetryQueue,
  CircuitBreaker,
  createClientWithTimeout,
  handleConnectionReset,
  HolySheepAIClient,
  HolySheepRetryManager,
  HolySheepStreamingClient,
  ModelDegradationManager,
  MultiProviderRouter,
  RateLimitedClient,
  RetryAIManager,
  RetryConfig,
  retryWithBackoff,
  streamWithTimeout,
  TimeoutAIManager,
  validateApiKey,
} = holysheep
const KEY = 'YOUR_HOLYSHEEP_API_KEY'

let simulator
before(async () => {
  simulator = await startSimulator({ default: { chunks: CHUNKS } })
  process.env.HOLYSHEEP_BASE_URL = simulator.url
  process.env.HOLYSHEEP_API_KEY = KEY
})
after(() => simulator.close())

/** Resets the simulator and scripts its next answers. */
function reset(...scenarios) {
  simulator.reset()
  simulator.setDefault({ chunks: CHUNKS })
  simulator.script(...scenarios)
}
const contentOf = (completion) => completion.choices[0].message.content
const userMessage = (content) => [{ role: 'user', content }]

describe('tutorial 000', () => {
  test('callAiApi makes up to six attempts with exponential backoff and retries no 4xx except 429', async () => {
    const client = new HolySheepStreamingClient(KEY, { maxRetries: 0 })
    const callAiApi = (prompt, model = 'gpt-4.1') =>
      retryWithBackoff(
        () => client.chat({ model, messages: userMessage(prompt), temperature: 0.7, max_tokens: 1000 }),
        {
          maxAttempts: 6,
          baseDelay: 1,
        },
      )
    reset({ status: 503 }, { status: 500 }, { connectReset: true }, { status: 502 }, { status: 429 })
    const result = contentOf(await callAiApi('Giải thích sự khác nhau giữa exponential và linear backoff'))
    assert.deepEqual([result, simulator.requests.length], [ANSWER, 6])
    reset({ status: 401 })
    assert.equal((await failure(callAiApi('x'))).status, 401)
    assert.equal(simulator.requests.length, 1)
  })

  test('callWithCircuitBreaker opens after five failures, and then a call fails immediately', async () => {
    const breaker = new CircuitBreaker({ failureThreshold: 5, timeout: 30_000 })
    const client = new HolySheepStreamingClient(KEY, { maxRetries: 0 })
    const call = () => breaker.execute(() => client.chat({ model: 'deepseek-v3.2', messages: userMessage('x') }))
    reset(...Array.from({ length: 5 }, () => ({ status: 500 })))
    for (let i = 0; i < 5; i++) assert.equal((await failure(call())).status, 500)
    assert.equal((await failure(call())).code, 'CIRCUIT_OPEN')
    assert.equal(simulator.requests.length, 5)
  })

  test('batchProcessPrompts completes three of three prompts', async () => {
    reset({ status: 500 })
    const testPrompts = ['Viết một đoạn văn về AI', 'Giải thích machine learning', 'So sánh NLP và computer vision']
    const results = await batchProcess(testPrompts, { retry: { baseDelayMs: 1 } })
    assert.equal(results.filter((r) => r.success).length, testPrompts.length)
  })

  test('getWaitTimeWithJitter varies the delay between the minimum and the maximum', async () => {
    const delays = []
    const fail = () => Promise.reject(Object.assign(new Error('busy'), { status: 503 }))
    const options = { maxAttempts: 6, baseDelay: 1, minDelay: 2, maxDelay: 9, jitter: 'proportional' }
    await failure(retryWithBackoff(fail, { ...options, onRetry: (_n, _e, ms) => delays.push(ms) }))
    assert.equal(delays.length, 5)
    assert.ok(delays.every((ms) => ms >= 2 && ms <= 9))
  })

  test('BoundedRetryQueue returns a response for every task', async () => {
    reset({ status: 500 })
    const queue = new BoundedRetryQueue({ maxRetries: 3, maxSize: 1000, retry: { baseDelayMs: 1 } })
    for (const id of ['t1', 't2']) await queue.addTask(id, `Prompt: ${id}\nImage refs: abc`)
    const done = {}
    for await (const { taskId, response } of queue.processWithRetry()) done[taskId] = response
    assert.deepEqual(done, { t1: ANSWER, t2: ANSWER })
  })
})

describe('tutorial 001', () => {
  test('callLlm retries with backoff, honors Retry-After and does not retry a 401', async () => {
    const client = new HolySheepStreamingClient(KEY, { maxRetries: 0 })
    const callLlm = (prompt) =>
      retryWithBackoff(
        async () =>
          contentOf(
            await client.chat({ model: 'gpt-4o-mini', messages: userMessage(prompt) }, { totalTimeoutMs: 30_000 }),
          ),
        { maxAttempts: 5, baseDelay: 1 },
      )
    reset({ status: 429, retryAfterMs: 80 }, { status: 503 })
    assert.equal(await callLlm('Hi'), ANSWER)
    const [first, second] = simulator.requests.map(({ atMs }) => atMs)
    assert.ok(second - first >= 80)
    reset({ status: 401 })
    await failure(callLlm('Hi'))
    assert.equal(simulator.requests.length, 1)
  })
})

describe('tutorial 002', () => {
  test('streamWithRetry prints the answer once despite failures', async () => {
    reset({ status: 503 }, { connectReset: true })
    const client = new HolySheepStreamingClient(KEY, 3)
    client.baseDelay = 1
    let printed = ''
    const errors = []
    const outcome = await client.streamWithRetry(
      userMessage('Giải thích về retry logic'),
      (chunk) => {
        printed += chunk
      },
      (error) => errors.push(error),
    )
    assert.deepEqual([outcome, printed, errors], [{ success: true, attempts: 3 }, ANSWER, []])
  })

  test('smartStreamWithRecovery completes with the full response', {
    skip: !('ResilientStreamingClient' in holysheep) && 'ResilientStreamingClient does not exist yet',
  }, async () => {
    reset({ chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } })
    const client = new holysheep.ResilientStreamingClient(KEY)
    let printed = ''
    let complete
    const messages = userMessage('Viết một đoạn code hoàn chỉnh về quản lý state')
    const result = await client.smartStreamWithRecovery('claude-sonnet-4.5', messages, {
      maxRetries: 5,
      timeout: 45_000,
      onProgress: (chunk) => {
        printed += chunk
      },
      onComplete: (response) => {
        complete = response
      },
    })
    assert.deepEqual([result.success, result.response, complete, printed], [true, ANSWER, ANSWER, ANSWER])
  })

  test('HolySheepRetryManager retries and reports each retry', async () => {
    reset({ status: 500 })
    const manager = new HolySheepRetryManager(KEY)
    const retries = []
    const result = await manager.executeWithRetry(
      { model: 'gpt-4.1', messages: userMessage('Test') },
      {
        maxRetries: 3,
        baseDelay: 1,
        onRetry: (attempt, error, delay) => retries.push(`Retry #${attempt} after ${delay}ms: ${error.status}`),
        onCircuitOpen: () => retries.push('open'),
      },
    )
    assert.deepEqual([contentOf(result), retries], [ANSWER, ['Retry #1 after 1ms: 500']])
  })

  test('handleConnectionReset resolves to true for a reset', async () => {
    const error = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
    assert.equal(await handleConnectionReset(error, { partialResponse: 'Xin' }, 1, 3), true)
  })

  test('RateLimitedClient takes a token and honors the Retry-After of a 429', async () => {
    const client = new RateLimitedClient(KEY)
    assert.equal(await client.acquireToken(), true)
    assert.equal(await client.handleRateLimit({ status: 429, headers: { 'retry-after': '0.05' } }), true)
    assert.equal(await client.handleRateLimit({ status: 200, headers: {} }), false)
  })

  test('streamWithTimeout returns the response, or an error with the data received', async () => {
    reset()
    const accumulatedData = 'before'
    const options = {
      method: 'POST',
      headers: { Authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-4.1', messages: userMessage('x'), stream: true }),
      partialBuffer: accumulatedData,
    }
    const response = await streamWithTimeout(`${simulator.url}/chat/completions`, options, 30_000)
    assert.match(await response.text(), /\[DONE\]/)
    reset({ hang: true })
    const error = await failure(streamWithTimeout(`${simulator.url}/chat/completions`, options, 30))
    assert.deepEqual([error.code, error.partialData], ['TIMEOUT', 'before'])
  })
})

describe('tutorial 003', () => {
  test('TimeoutAIManager chooses the timeout by the type of query', async (t) => {
    // The tiers are seconds, which a busy machine can exceed in real time.
    clockOf(t)
    reset()
    const manager = new TimeoutAIManager(KEY, { connectTimeoutMs: 5000 })
    const fast = await manager.callWithTimeout(userMessage('Giờ mở cửa của cửa hàng?'), 'faq')
    assert.deepEqual([fast.success, fast.timeoutTier], [true, 'FAST'])
    const deep = await manager.callWithTimeout(
      userMessage('Phân tích xu hướng mua sắm của khách hàng quý này'),
      'analysis',
    )
    assert.deepEqual([deep.success, deep.timeoutTier], [true, 'DEEP'])
    assert.equal(manager.getTimeoutStats().successRate, 100)
  })

  test('RetryAIManager retries and reports its statistics', async () => {
    reset({ status: 500 })
    const config = new RetryConfig({ maxRetries: 3, baseDelay: 1, maxDelay: 15_000, jitter: true })
    const manager = new RetryAIManager(KEY, config)
    const result = await manager.callWithRetry(
      userMessage('Tư vấn gói cước Internet cho gia đình 4 người'),
      'gpt-4.1',
      ['gemini-2.5-flash', 'deepseek-v3.2'],
    )
    assert.deepEqual([result.success, contentOf(result.data), result.modelUsed], [true, ANSWER, 'gpt-4.1'])
    const { retryRate, successRate } = manager.getRetryStats()
    assert.deepEqual([retryRate, successRate], ['100.0%', '100.0%'])
  })

  test('ModelDegradationManager chooses the model by complexity and falls back', async () => {
    reset()
    const manager = new ModelDegradationManager(KEY)
    const simple = await manager.callWithDegradation(userMessage('Cửa hàng mở cửa mấy giờ?'))
    assert.deepEqual([simple.modelUsed, simple.originalComplexity], ['deepseek-v3.2', 'simple'])
    simulator.script({ status: 503 })
    const complex = await manager.callWithDegradation(userMessage('Phân tích và so sánh xu hướng của hai quý'))
    assert.deepEqual([complex.modelUsed, complex.fallbackTriggered], ['claude-sonnet-4.5', true])
  })
})

describe('tutorial 004', () => {
  test('HolySheepAIClient answers after a 429 and counts it', async () => {
    reset({ status: 429 })
    const client = new HolySheepAIClient(KEY, { maxRetries: 3, retryDelay: 1, exponentialBackoff: 2, timeout: 30_000 })
    const response = await client.chatCompletion(
      'deepseek-v3.2',
      [{ role: 'system', content: 'Bạn là trợ lý AI chuyên nghiệp.' }, ...userMessage('So sánh 429 vs 500 error')],
      { temperature: 0.7, maxTokens: 500 },
    )
    assert.equal(contentOf(response), ANSWER)
    const { totalRequests, errors429, successRate } = client.getMetrics()
    assert.deepEqual([totalRequests, errors429, successRate], [1, 1, '100.00%'])
  })

  test('MultiProviderRouter records the outcome of each request', async () => {
    reset({ status: 500 })
    const router = new MultiProviderRouter({ endpoints: { primary: simulator.url, backup1: `${simulator.url}/` } })
    const outcomes = []
    for (let i = 0; i < 2; i++) {
      const endpoint = router.selectEndpoint()
      const start = performance.now()
      const name = router.getEndpointName(endpoint)
      try {
        await new HolySheepStreamingClient(KEY, { baseUrl: endpoint, maxRetries: 0 }).chat({
          messages: userMessage('x'),
        })
        router.recordLatency(name, performance.now() - start)
        router.recordSuccess(name)
      } catch {
        router.recordFailure(name)
      }
      outcomes.push(router.breakers.primary.getHealthScore())
    }
    assert.equal(outcomes[0], 0)
  })

  test('validateApiKey accepts a padded key, which the client trims', () => {
    const apiKey = '  sk-holysheep-0123456789 '
    assert.equal(validateApiKey(apiKey), true)
    assert.equal(new HolySheepAIClient(apiKey).apiKey, 'sk-holysheep-0123456789')
  })

  test('callWithRetry follows a schedule of delays and honors Retry-After', async () => {
    reset({ status: 429, retryAfterMs: 60 }, { status: 429 })
    const retry = { backoff: [10, 20, 40], jitter: 'none' }
    const client = new HolySheepStreamingClient(KEY, { retry, maxRetries: 2 })
    assert.equal(contentOf(await client.chat({ messages: userMessage('x') })), ANSWER)
    const [first, second, third] = simulator.requests.map(({ atMs }) => atMs)
    assert.ok(second - first >= 60 && third - second >= 20)
  })

  test('createClientWithTimeout creates a client for complex tasks', async () => {
    reset()
    const client = createClientWithTimeout('long')
    assert.equal(contentOf(await client.chat({ model: 'gpt-4.1', messages: userMessage('x') })), ANSWER)
  })
})
