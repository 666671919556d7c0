// retryWithBackoff (HolySheep tutorials 000 and 001).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateLimitError, retryWithBackoff } from '../../index.mjs'
import { ANSWER, clientOf, failure, provider, REQUEST } from '../support/provider.mjs'

const errorOf = (status, more) => Object.assign(new Error(`status ${status}`), { status, ...more })
const QUICK = { baseDelay: 1, maxDelay: 2 }

test('there are five attempts by default, and the last error is thrown unchanged', async () => {
  for (const [options, expected] of [
    [QUICK, 5],
    [{ ...QUICK, maxAttempts: 6 }, 6],
    [{ ...QUICK, maxAttempts: 1 }, 1],
  ]) {
    const errors = []
    const error = await failure(
      retryWithBackoff(({ attempt }) => {
        errors.push(errorOf(503, { attempt }))
        throw errors.at(-1)
      }, options),
    )
    assert.equal(errors.length, expected)
    assert.equal(error, errors.at(-1))
    assert.equal(error.attempt, expected)
  }
})

test('delays are exponential and capped, and onRetry is called before each', async () => {
  const retries = []
  const onRetry = (attempt, error, delay) => void retries.push([attempt, error.status, delay])
  await failure(
    retryWithBackoff(() => Promise.reject(errorOf(500)), { baseDelay: 4, maxDelay: 10, jitter: false, onRetry }),
  )
  assert.deepEqual(retries, [
    [1, 500, 4],
    [2, 500, 8],
    [3, 500, 10],
    [4, 500, 10],
  ])
})

test('full jitter stays between zero and the delay', async () => {
  const delays = []
  const options = { baseDelay: 10, maxDelay: 10, maxAttempts: 12, onRetry: (_n, _e, ms) => void delays.push(ms) }
  await failure(retryWithBackoff(() => Promise.reject(errorOf(500)), options))
  assert.ok(delays.every((ms) => ms >= 0 && ms <= 10))
  assert.ok(new Set(delays).size > 3)
})

test('a 401 and other client errors are not retried', async () => {
  for (const status of [400, 401, 403, 404, 422]) {
    let calls = 0
    await failure(
      retryWithBackoff(() => {
        calls++
        throw errorOf(status)
      }, QUICK),
    )
    assert.equal(calls, 1, `${status}`)
  }
})

test('timeouts and broken connections are retried, whichever library throws them', async () => {
  class APIConnectionTimeoutError extends Error {}
  const wrapped = new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) })
  const timeout = new DOMException('too long', 'TimeoutError')
  for (const error of [new APIConnectionTimeoutError(), wrapped, timeout, Object.assign(new Error(), { code: 429 })]) {
    let calls = 0
    const result = await retryWithBackoff(() => {
      if (++calls < 3) throw error
      return 'done'
    }, QUICK)
    assert.deepEqual([result, calls], ['done', 3])
  }
})

test('a retry never starts before the server’s Retry-After, wherever the error carries it', async () => {
  for (const more of [
    { retryAfterMs: 60 },
    { retry_after: 0.06 },
    { headers: { 'Retry-After-Ms': '60' } },
    { response: { headers: new Headers({ 'retry-after-ms': '60' }) } },
  ]) {
    let first
    await retryWithBackoff(() => {
      first ??= performance.now()
      if (performance.now() - first < 59) throw errorOf(429, more)
    }, QUICK)
  }
  let calls = 0
  const error = await failure(
    retryWithBackoff(() => {
      calls++
      throw errorOf(429, { retryAfterMs: 61_000 })
    }, QUICK),
  )
  assert.deepEqual([calls, error.retryAfterMs], [1, 61_000])
})

test('retryAfter can be a date, as a string or a Date', async () => {
  const later = new Date(Date.now() + 3600_000)
  for (const retryAfter of [later.toUTCString(), later]) {
    let calls = 0
    await failure(
      retryWithBackoff(() => {
        calls++
        throw errorOf(429, { retryAfter })
      }, QUICK),
    )
    assert.equal(calls, 1, `${retryAfter}`)
  }
})

test('retryable selects errors by class or with a function', async () => {
  let calls = 0
  const throwing = (error) => () => {
    calls++
    throw error
  }
  await failure(retryWithBackoff(throwing(new RangeError()), { ...QUICK, retryable: [TypeError, RangeError] }))
  assert.equal(calls, 5)
  await failure(retryWithBackoff(throwing(errorOf(500)), { ...QUICK, retryable: [TypeError] }))
  assert.equal(calls, 6)
  await failure(retryWithBackoff(throwing(errorOf(500)), { ...QUICK, retryable: (error) => error.status !== 500 }))
  assert.equal(calls, 7)
})

test('an abort interrupts the wait with its reason', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const run = retryWithBackoff(() => Promise.reject(errorOf(500)), {
    baseDelay: 60_000,
    jitter: false,
    signal: controller.signal,
    onRetry: () => controller.abort(reason),
  })
  assert.equal(await failure(run), reason)
})

test('invalid options are rejected before the first attempt', async () => {
  for (const options of [
    { maxAttempts: 0 },
    { baseDelay: -1 },
    { jitter: 'some' },
    { jitter: 5 },
    { maxRetryAfterMs: 'x' },
    { maxDelay: 1e12 },
    { backoff: 'cubic' },
    { retryable: 5 },
    { retries: 1 },
    { onRetry: 1 },
    { multiplier: 0 },
    { minDelay: 10, maxDelay: 5 },
  ]) {
    let called = false
    const error = await failure(
      retryWithBackoff(() => {
        called = true
      }, options),
    )
    assert.deepEqual([error.code, called], ['INVALID_ARGUMENT', false], JSON.stringify(options))
    assert.match(error.message, new RegExp(`^${Object.keys(options)[0]}: `))
  }
})

test('the status and the Retry-After of a client’s errors are used', async (t) => {
  const simulator = await provider(t)
  const client = clientOf(t, simulator, { maxRetries: 0 })
  simulator.script({ status: 429, retryAfterMs: 30 }, { status: 503 })
  const retries = []
  const completion = await retryWithBackoff(() => client.chat(REQUEST), {
    ...QUICK,
    onRetry: (_attempt, error, delay) =>
      void retries.push([error.status, error instanceof RateLimitError, delay >= 30]),
  })
  assert.equal(completion.choices[0].message.content, ANSWER)
  assert.deepEqual(retries, [
    [429, true, true],
    [503, false, false],
  ])
})
