// RetryAIManager, RetryConfig and RetryableError (document 003).
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HolySheepError, RetryAIManager, RetryableError, RetryConfig } from '../../index.mjs'
import { ANSWER, clockOf, failure, KEY, MESSAGES, passTime, provider, until } from '../support/provider.mjs'

const QUICK = { baseDelay: 4, maxDelay: 1000, jitter: false }

async function pair(t, config = QUICK, options = {}) {
  const simulator = await provider(t)
  const waits = []
  const onEvent = (event) => event.type === 'wait' && waits.push(event.ms)
  const manager = new RetryAIManager(KEY, config, { baseUrl: simulator.url, onEvent, ...options })
  t.after(() => manager.close())
  return { simulator, manager, waits }
}

describe('RetryConfig', () => {
  test('has the defaults of the document', () => {
    const { maxRetries, baseDelay, maxDelay, exponentialBase, jitter } = new RetryConfig()
    assert.deepEqual([maxRetries, baseDelay, maxDelay, exponentialBase, jitter], [3, 1000, 30_000, 2, true])
  })

  test('waits exponentially up to its limit', () => {
    const config = new RetryConfig({ jitter: false })
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 60].map((attempt) => config.calculateDelay(attempt)),
      [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
    )
  })

  test('jitter is 50 to 150 per cent, and never passes the limit', () => {
    const config = new RetryConfig()
    const early = Array.from({ length: 200 }, () => config.calculateDelay(1))
    assert.ok(early.every((ms) => ms >= 1000 && ms <= 3000))
    assert.ok(Math.min(...early) < 1500 && Math.max(...early) > 2500)
    const late = Array.from({ length: 200 }, () => config.calculateDelay(9))
    assert.ok(late.every((ms) => ms >= 15_000 && ms <= 30_000))
    assert.ok(late.includes(30_000))
  })

  test('refuses what is none', () => {
    for (const options of [
      { maxRetries: -1 },
      { baseDelay: 'x' },
      { maxDelay: Number.NaN },
      { exponentialBase: 0 },
      { jitter: 'x' },
      { baseDelayMs: 5 },
      5,
    ]) {
      assert.throws(() => new RetryConfig(options), { code: 'INVALID_ARGUMENT' })
      assert.throws(() => new RetryAIManager(KEY, options), { code: 'INVALID_ARGUMENT' })
    }
    for (const attempt of [-1, 'x', 0.5]) {
      assert.throws(() => new RetryConfig().calculateDelay(attempt), /^TypeError: attempt: got /)
    }
    assert.equal(new RetryConfig({ jitter: false }).calculateDelay(1e12), 30_000)
  })
})

test('a status has its decision', () => {
  const manager = new RetryAIManager(KEY)
  for (const [decision, statuses] of [
    ['immediate', [408, 500, 502, 504]],
    ['delayed', [429, 503, 520, 529]],
    ['fallback', [402]],
    ['never', [400, 401, 403, 404, 422, 418]],
  ]) {
    for (const status of statuses) {
      const error = manager.classifyError(status, 'why')
      assert.ok(error instanceof RetryableError && error instanceof HolySheepError && error instanceof Error)
      assert.deepEqual([error.statusCode, error.status, error.decision], [status, status, decision])
      assert.deepEqual([error.message, error.name, error.code], [`[${status}] why`, 'RetryableError', 'RETRYABLE'])
    }
  }
  assert.equal(RetryAIManager.RETRY_STATUS_MAP[429], 'delayed')
})

test('what a status is said to be is what a call does about it', async (t) => {
  const retryOn = { 418: [1], 500: 'never', 503: 'retry' }
  const own = await pair(t, QUICK, { retry: { retryOn } })
  for (const { simulator, manager } of [await pair(t), own]) {
    for (const status of [418, 500, 503, 520, 529, 404]) {
      simulator.reset()
      simulator.setDefault({ status })
      const { finalAttempt } = await manager.callWithRetry(MESSAGES)
      const { decision } = manager.classifyError(status, '')
      // There is nowhere else to go.
      assert.equal(finalAttempt > 1, decision !== 'never' && decision !== 'fallback', `${status}`)
    }
  }
  assert.equal(own.manager.classifyError(418, '').decision, 'immediate')
})

test('the message names the retries that the call had, and only where they were used up', async (t) => {
  const { simulator, manager } = await pair(t)
  simulator.setDefault({ status: 500 })
  const none = await manager.callWithRetry(MESSAGES, undefined, undefined, { maxRetries: 0 })
  assert.deepEqual([none.error, none.finalAttempt, none.retried], ['Max retries (0) exceeded', 1, false])
  simulator.setDefault({ status: 429, retryAfter: 90 })
  const early = await manager.callWithRetry(MESSAGES)
  assert.deepEqual([early.error, early.finalAttempt], [early.cause.message, 1])
})

test("the client's fallback models hold where a call names none", async (t) => {
  const { simulator, manager } = await pair(t, { ...QUICK, maxRetries: 0 }, { fallbackModels: ['second'] })
  simulator.script({ status: 500 }, {}, { status: 500 }, {})
  assert.equal((await manager.callWithRetry(MESSAGES)).modelUsed, 'second')
  const options = { fallbackModels: ['third'] }
  assert.equal((await manager.callWithRetry(MESSAGES, undefined, undefined, options)).modelUsed, 'third')
})

test('an answer has the shape of the document, and the request its defaults', async (t) => {
  const { simulator, manager } = await pair(t)
  const { success, data, modelUsed } = await manager.callWithRetry(MESSAGES)
  assert.deepEqual([success, data.choices[0].message.content, modelUsed], [true, ANSWER, 'gpt-4.1'])
  const { model, temperature, max_tokens } = simulator.requests[0].json
  assert.deepEqual([model, temperature, max_tokens], ['gpt-4.1', 0.7, 500])
})

test('408, 500, 502 and 504 wait once, twice and four times the base; 429 five times of that', async (t) => {
  const { simulator, manager, waits } = await pair(t)
  for (const [status, expected] of [
    [408, [4, 8, 16]],
    [500, [4, 8, 16]],
    [502, [4, 8, 16]],
    [504, [4, 8, 16]],
    [429, [20, 40, 80]],
    [503, [4, 8, 16]],
  ]) {
    waits.length = 0
    simulator.reset()
    simulator.script({ status }, { status }, { status }, {})
    assert.equal((await manager.callWithRetry(MESSAGES)).success, true)
    assert.deepEqual(waits, expected, `${status}`)
  }
})

test('a 429 is never tried again sooner than it says', async (t) => {
  const { simulator, manager, waits } = await pair(t)
  simulator.script({ status: 429, retryAfterMs: 60 })
  assert.equal((await manager.callWithRetry(MESSAGES)).success, true)
  assert.ok(waits[0] >= 60)
})

test('after its retries a call has failed, with the number of attempts that were made', async (t) => {
  const { simulator, manager } = await pair(t)
  simulator.setDefault({ status: 500 })
  const { cause, ...shown } = await manager.callWithRetry(MESSAGES)
  const error = 'Max retries (3) exceeded'
  assert.deepEqual(shown, { success: false, statusCode: 500, error, finalAttempt: 4, retried: true })
  assert.deepEqual([cause.name, cause.attempts.length, simulator.requests.length], ['APIError', 4, 4])
})

test('what is not tried again is asked once', async (t) => {
  const { simulator, manager } = await pair(t)
  for (const status of [400, 401, 403, 404, 422]) {
    simulator.reset()
    simulator.setDefault({ status })
    const { cause, ...shown } = await manager.callWithRetry(MESSAGES, 'gpt-4.1', ['other'])
    const expected = { success: false, statusCode: status, error: cause.message, finalAttempt: 1, retried: false }
    assert.deepEqual(shown, expected)
    assert.equal(simulator.requests.length, 1)
  }
})

test('a broken connection is tried again', async (t) => {
  const { simulator, manager } = await pair(t)
  simulator.script({ connectReset: true }, { closeBeforeHeaders: true })
  assert.equal((await manager.callWithRetry(MESSAGES)).success, true)
  assert.equal(simulator.requests.length, 3)
})

test('a model that does not answer in time, or has no retries left, is followed by the next', async (t) => {
  const clock = clockOf(t)
  const { simulator, manager } = await pair(t, QUICK, { firstTokenTimeoutMs: 80_000 })
  const models = () => simulator.requests.map(({ json }) => json.model)
  const fallbacks = ['gemini-2.5-flash', 'deepseek-v3.2']
  simulator.script({ hang: true })
  const silent = manager.callWithRetry(MESSAGES, 'gpt-4.1', fallbacks)
  await until(() => simulator.requests.length === 1)
  await passTime(clock, 80_000, () => simulator.requests.length === 2)
  assert.equal((await silent).modelUsed, 'gemini-2.5-flash')
  assert.deepEqual(models(), ['gpt-4.1', 'gemini-2.5-flash'])
  assert.equal(manager.getRetryStats().retried, 1)
  simulator.reset()
  simulator.script(...Array.from({ length: 8 }, () => ({ status: 500 })))
  const result = await clock.runUntil(manager.callWithRetry(MESSAGES, 'gpt-4.1', fallbacks))
  assert.equal(result.modelUsed, 'deepseek-v3.2')
  assert.equal(models().length, 9)
  assert.deepEqual(fallbacks, ['gemini-2.5-flash', 'deepseek-v3.2'])
})

test('the statistics are those of the document, and count every failure', async (t) => {
  const { simulator, manager } = await pair(t)
  const none = manager.getRetryStats()
  assert.deepEqual([none.retryRate, none.successRate, none.estimatedWaitTime], ['0.0%', '0.0%', '0.0s'])
  simulator.script({}, { status: 500 }, {}, { status: 400 })
  for (let i = 0; i < 3; i++) await manager.callWithRetry(MESSAGES)
  assert.deepEqual(manager.getRetryStats(), {
    totalRequests: 3,
    successful: 2,
    retried: 1,
    failedPermanently: 1,
    totalRetryCost: 0.004,
    retryRate: '33.3%',
    successRate: '66.7%',
    estimatedWaitTime: '0.0s',
  })
  simulator.setDefault({ status: 500 })
  await manager.callWithRetry(MESSAGES)
  assert.equal(manager.getRetryStats().failedPermanently, 2)
})

test('what its caller has ended, and a wait for the rate limit, are no part of the statistics', async (t) => {
  const { simulator, manager } = await pair(t, QUICK, { rateLimit: { capacity: 1, refillRate: 20 } })
  await manager.callWithRetry(MESSAGES)
  await manager.callWithRetry(MESSAGES)
  simulator.setDefault({ hang: true })
  const enough = new AbortController()
  const aborted = failure(manager.callWithRetry(MESSAGES, 'm', [], { signal: enough.signal }))
  await until(() => simulator.requests.length === 3)
  enough.abort()
  await aborted
  const { totalRequests, totalRetryCost } = manager.getRetryStats()
  assert.deepEqual([totalRequests, totalRetryCost], [2, 0])
})

test('wrong arguments reject, and an abort rejects with its reason', async (t) => {
  const { manager } = await pair(t)
  assert.equal((await failure(manager.callWithRetry(5))).code, 'INVALID_ARGUMENT')
  const counting = await pair(t, QUICK, { cost: { countTokens: () => 1 } })
  for (const one of [manager, counting.manager]) {
    for (const fallbackModels of [[5], 'notarray', 5]) {
      const error = await failure(one.callWithRetry(MESSAGES, 'm', fallbackModels))
      assert.match(`${error.code} ${error.message}`, /^INVALID_ARGUMENT fallbackModels: got /)
    }
  }
  const reason = new Error('enough')
  const options = { signal: AbortSignal.abort(reason) }
  assert.equal(await failure(manager.callWithRetry(MESSAGES, 'm', [], options)), reason)
})
