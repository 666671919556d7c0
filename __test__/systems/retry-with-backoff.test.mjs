// retryWithBackoff (documents 000 and 001).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateLimitError, retryWithBackoff } from '../../index.mjs'
import { ANSWER, clientOf, failure, provider, REQUEST } from '../support/provider.mjs'

const fails = (status, more) => Object.assign(new Error(`status ${status}`), { status, ...more })
const QUICK = { baseDelay: 1, maxDelay: 2 }

test('five attempts in all unless it is said otherwise, and the last error as it is', async () => {
  for (const [options, expected] of [
    [QUICK, 5],
    [{ ...QUICK, maxAttempts: 6 }, 6],
    [{ ...QUICK, maxAttempts: 1 }, 1],
  ]) {
    const errors = []
    const error = await failure(
      retryWithBackoff(({ attempt }) => {
        errors.push(fails(503, { attempt }))
        throw errors.at(-1)
      }, options),
    )
    assert.equal(errors.length, expected)
    assert.equal(error, errors.at(-1))
    assert.equal(error.attempt, expected)
  }
})

test('the waits are exponential, capped, and told before each', async () => {
  const told = []
  const onRetry = (attempt, error, delay) => void told.push([attempt, error.status, delay])
  await failure(
    retryWithBackoff(() => Promise.reject(fails(500)), { baseDelay: 4, maxDelay: 10, jitter: false, onRetry }),
  )
  assert.deepEqual(told, [
    [1, 500, 4],
    [2, 500, 8],
    [3, 500, 10],
    [4, 500, 10],
  ])
})

test('full jitter stays between nothing and the wait', async () => {
  const waits = []
  const options = { baseDelay: 10, maxDelay: 10, maxAttempts: 12, onRetry: (_n, _e, ms) => void waits.push(ms) }
  await failure(retryWithBackoff(() => Promise.reject(fails(500)), options))
  assert.ok(waits.every((ms) => ms >= 0 && ms <= 10))
  assert.ok(new Set(waits).size > 3)
})

test('a 401 and other errors of the request are not tried again, though they are API errors too', async () => {
  for (const status of [400, 401, 403, 404, 422]) {
    let calls = 0
    await failure(
      retryWithBackoff(() => {
        calls++
        throw fails(status)
      }, QUICK),
    )
    assert.equal(calls, 1, `${status}`)
  }
})

test('timeouts and broken connections are tried again, whoever throws them', async () => {
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

test('never sooner than the server says, wherever it says it', async () => {
  for (const more of [
    { retryAfterMs: 60 },
    { retry_after: 0.06 },
    { headers: { 'Retry-After-Ms': '60' } },
    { response: { headers: new Headers({ 'retry-after-ms': '60' }) } },
  ]) {
    let first
    await retryWithBackoff(() => {
      first ??= performance.now()
      if (performance.now() - first < 59) throw fails(429, more)
    }, QUICK)
  }
  let calls = 0
  const error = await failure(
    retryWithBackoff(() => {
      calls++
      throw fails(429, { retryAfterMs: 61_000 })
    }, QUICK),
  )
  assert.deepEqual([calls, error.retryAfterMs], [1, 61_000])
})

test('retryAfter may be a date, as text or as it is', async () => {
  const later = new Date(Date.now() + 3600_000)
  for (const retryAfter of [later.toUTCString(), later]) {
    let calls = 0
    await failure(
      retryWithBackoff(() => {
        calls++
        throw fails(429, { retryAfter })
      }, QUICK),
    )
    assert.equal(calls, 1, `${retryAfter}`)
  }
})

test('which errors are tried again can be said by class or by a function', async () => {
  let calls = 0
  const throwing = (error) => () => {
    calls++
    throw error
  }
  await failure(retryWithBackoff(throwing(new RangeError()), { ...QUICK, retryable: [TypeError, RangeError] }))
  assert.equal(calls, 5)
  await failure(retryWithBackoff(throwing(fails(500)), { ...QUICK, retryable: [TypeError] }))
  assert.equal(calls, 6)
  await failure(retryWithBackoff(throwing(fails(500)), { ...QUICK, retryable: (error) => error.status !== 500 }))
  assert.equal(calls, 7)
})

test('an abort ends the wait with its reason', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const run = retryWithBackoff(() => Promise.reject(fails(500)), {
    baseDelay: 60_000,
    jitter: false,
    signal: controller.signal,
    onRetry: () => controller.abort(reason),
  })
  assert.equal(await failure(run), reason)
})

test('wrong options are told before the first attempt', async () => {
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

test('around a client it sees the status and the wait that its errors carry', async (t) => {
  const simulator = await provider(t)
  const client = clientOf(t, simulator, { maxRetries: 0 })
  simulator.script({ status: 429, retryAfterMs: 30 }, { status: 503 })
  const told = []
  const completion = await retryWithBackoff(() => client.chat(REQUEST), {
    ...QUICK,
    onRetry: (_attempt, error, delay) => void told.push([error.status, error instanceof RateLimitError, delay >= 30]),
  })
  assert.equal(completion.choices[0].message.content, ANSWER)
  assert.deepEqual(told, [
    [429, true, true],
    [503, false, false],
  ])
})
