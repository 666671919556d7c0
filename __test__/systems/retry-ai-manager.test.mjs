// RetryAIManager, RetryConfig and RetryableError (HolySheep tutorial 003).
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HolySheepError, RetryAIManager, RetryableError, RetryConfig } from '../../index.mjs'
import { ANSWER, clockOf, failure, KEY, MESSAGES, passTime, provider, until } from '../support/provider.mjs'

const QUICK = { baseDelay: 4, maxDelay: 1000, jitter: false }

async function setup(t, config = QUICK, options = {}) {
  const simulator = await provider(t)
  const waits = []
  const onEvent = (event) => event.type === 'wait' && waits.push(event.ms)
  const manager = new RetryAIManager(KEY, config, { baseUrl: simulator.url, onEvent, ...options })
  t.after(() => manager.close())
  return { simulator, manager, waits }
}

describe('RetryConfig', () => {
  test('has the tutorial’s defaults', () => {
    const { maxRetries, baseDelay, maxDelay, exponentialBase, jitter } = new RetryConfig()
    assert.deepEqual([maxRetries, baseDelay, maxDelay, exponentialBase, jitter], [3, 1000, 30_000, 2, true])
  })

  test('grows the delay exponentially up to maxDelay', () => {
    const config = new RetryConfig({ jitter: false })
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 60].map((attempt) => config.calculateDelay(attempt)),
      [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
    )
  })

  test('applies a jitter of 50% to 150% and never exceeds maxDelay', () => {
    const config = new RetryConfig()
    const early = Array.from({ length: 200 }, () => config.calculateDelay(1))
    assert.ok(early.every((ms) => ms >= 1000 && ms <= 3000))
    assert.ok(Math.min(...early) < 1500 && Math.max(...early) > 2500)
    const late = Array.from({ length: 200 }, () => config.calculateDelay(9))
    assert.ok(late.every((ms) => ms >= 15_000 && ms <= 30_000))
    assert.ok(late.includes(30_000))
  })

  test('rejects invalid options', () => {
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

test('classifyError maps every status to a decision', () => {
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

test('a call follows the decision of classifyError', async (t) => {
  const retryOn = { 418: [1], 500: 'never', 503: 'retry' }
  const custom = await setup(t, QUICK, { retry: { retryOn } })
  for (const { simulator, manager } of [await setup(t), custom]) {
    for (const status of [418, 500, 503, 520, 529, 404]) {
      simulator.reset()
      simulator.setDefault({ status })
      const { finalAttempt } = await manager.callWithRetry(MESSAGES)
      const { decision } = manager.classifyError(status, '')
      // There is no other model to fall back to.
      assert.equal(finalAttempt > 1, decision !== 'never' && decision !== 'fallback', `${status}`)
    }
  }
  assert.equal(custom.manager.classifyError(418, '').decision, 'immediate')
})

test('the message has the number of retries only when they are exhausted', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.setDefault({ status: 500 })
  const none = await manager.callWithRetry(MESSAGES, undefined, undefined, { maxRetries: 0 })
  assert.deepEqual([none.error, none.finalAttempt, none.retried], ['Max retries (0) exceeded', 1, false])
  simulator.setDefault({ status: 429, retryAfter: 90 })
  const early = await manager.callWithRetry(MESSAGES)
  assert.deepEqual([early.error, early.finalAttempt], [early.cause.message, 1])
})

test("the client's fallback models apply unless the call names its own", async (t) => {
  const { simulator, manager } = await setup(t, { ...QUICK, maxRetries: 0 }, { fallbackModels: ['second'] })
  simulator.script({ status: 500 }, {}, { status: 500 }, {})
  assert.equal((await manager.callWithRetry(MESSAGES)).modelUsed, 'second')
  const options = { fallbackModels: ['third'] }
  assert.equal((await manager.callWithRetry(MESSAGES, undefined, undefined, options)).modelUsed, 'third')
})

test('a result has the tutorial’s shape, and the request its defaults', async (t) => {
  const { simulator, manager } = await setup(t)
  const { success, data, modelUsed } = await manager.callWithRetry(MESSAGES)
  assert.deepEqual([success, data.choices[0].message.content, modelUsed], [true, ANSWER, 'gpt-4.1'])
  const { model, temperature, max_tokens } = simulator.requests[0].json
  assert.deepEqual([model, temperature, max_tokens], ['gpt-4.1', 0.7, 500])
})

test('delays double from the base delay, and those after a 429 are five times as long', async (t) => {
  const { simulator, manager, waits } = await setup(t)
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

test('the Retry-After of a 429 is honored', async (t) => {
  const { simulator, manager, waits } = await setup(t)
  simulator.script({ status: 429, retryAfterMs: 60 })
  assert.equal((await manager.callWithRetry(MESSAGES)).success, true)
  assert.ok(waits[0] >= 60)
})

test('a call that exhausts its retries fails and reports the number of attempts', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.setDefault({ status: 500 })
  const { cause, ...result } = await manager.callWithRetry(MESSAGES)
  const error = 'Max retries (3) exceeded'
  assert.deepEqual(result, { success: false, statusCode: 500, error, finalAttempt: 4, retried: true })
  assert.deepEqual([cause.name, cause.attempts.length, simulator.requests.length], ['APIError', 4, 4])
})

test('a client error is not retried', async (t) => {
  const { simulator, manager } = await setup(t)
  for (const status of [400, 401, 403, 404, 422]) {
    simulator.reset()
    simulator.setDefault({ status })
    const { cause, ...result } = await manager.callWithRetry(MESSAGES, 'gpt-4.1', ['other'])
    const expected = { success: false, statusCode: status, error: cause.message, finalAttempt: 1, retried: false }
    assert.deepEqual(result, expected)
    assert.equal(simulator.requests.length, 1)
  }
})

test('a broken connection is retried', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.script({ connectReset: true }, { closeBeforeHeaders: true })
  assert.equal((await manager.callWithRetry(MESSAGES)).success, true)
  assert.equal(simulator.requests.length, 3)
})

test('the next model is tried when one times out or exhausts its retries', async (t) => {
  const clock = clockOf(t)
  const { simulator, manager } = await setup(t, QUICK, { firstTokenTimeoutMs: 80_000 })
  const models = () => simulator.requests.map(({ json }) => json.model)
  const fallbacks = ['gemini-2.5-flash', 'deepseek-v3.2']
  simulator.script({ hang: true })
  const timedOut = manager.callWithRetry(MESSAGES, 'gpt-4.1', fallbacks)
  await until(() => simulator.requests.length === 1)
  await passTime(clock, 80_000, () => simulator.requests.length === 2)
  assert.equal((await timedOut).modelUsed, 'gemini-2.5-flash')
  assert.deepEqual(models(), ['gpt-4.1', 'gemini-2.5-flash'])
  assert.equal(manager.getRetryStats().retried, 1)
  simulator.reset()
  simulator.script(...Array.from({ length: 8 }, () => ({ status: 500 })))
  const result = await clock.runUntil(manager.callWithRetry(MESSAGES, 'gpt-4.1', fallbacks))
  assert.equal(result.modelUsed, 'deepseek-v3.2')
  assert.equal(models().length, 9)
  assert.deepEqual(fallbacks, ['gemini-2.5-flash', 'deepseek-v3.2'])
})

test('the statistics have the tutorial’s shape and count every failure', async (t) => {
  const { simulator, manager } = await setup(t)
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

test('aborted calls and rate-limit waits do not count in the statistics', async (t) => {
  const { simulator, manager } = await setup(t, QUICK, { rateLimit: { capacity: 1, refillRate: 20 } })
  await manager.callWithRetry(MESSAGES)
  await manager.callWithRetry(MESSAGES)
  simulator.setDefault({ hang: true })
  const controller = new AbortController()
  const aborted = failure(manager.callWithRetry(MESSAGES, 'm', [], { signal: controller.signal }))
  await until(() => simulator.requests.length === 3)
  controller.abort()
  await aborted
  const { totalRequests, totalRetryCost } = manager.getRetryStats()
  assert.deepEqual([totalRequests, totalRetryCost], [2, 0])
})

test('invalid arguments reject, and an abort rejects with its reason', async (t) => {
  const { manager } = await setup(t)
  assert.equal((await failure(manager.callWithRetry(5))).code, 'INVALID_ARGUMENT')
  const counting = await setup(t, QUICK, { cost: { countTokens: () => 1 } })
  for (const each of [manager, counting.manager]) {
    for (const fallbackModels of [[5], 'notarray', 5]) {
      const error = await failure(each.callWithRetry(MESSAGES, 'm', fallbackModels))
      assert.match(`${error.code} ${error.message}`, /^INVALID_ARGUMENT fallbackModels: got /)
    }
  }
  const reason = new Error('enough')
  const options = { signal: AbortSignal.abort(reason) }
  assert.equal(await failure(manager.callWithRetry(MESSAGES, 'm', [], options)), reason)
})
