// retryOn: the caller decides whether and when each failure is retried, over real sockets.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { APIError, HolySheepStreamingClient, RateLimitError } from '../index.mjs'
import { ANSWER, CHUNKS, clientOf, failure, KEY, pair, provider, REQUEST } from './support/provider.mjs'

const addon = createRequire(import.meta.url)('../dist/native.js').addon
const gaps = ({ requests }) => requests.slice(1).map((request, index) => request.atMs - requests[index].atMs)
const textOf = (completion) => completion.choices[0].message.content
const rejection = (status, code) => ({ status, body: { error: { message: 'no', code } } })

/** A simulator, and a client with this retryOn table. */
const pairWith = (t, retryOn, options) => pair(t, { retry: { baseDelayMs: 1, jitter: 'none', retryOn }, ...options })

describe('retry.retryOn', { concurrency: 4 }, () => {
  test('gives a failure its own waits, the last of which repeats', async (t) => {
    const { simulator, client } = await pairWith(t, { 503: { delaysMs: [40, 80] }, '5xx': [1] })
    simulator.script({ status: 503 }, { status: 503 }, { status: 503 })
    assert.equal(textOf(await client.chat(REQUEST)), ANSWER)
    const [first, second, third] = gaps(simulator)
    assert.ok(first >= 40 && second >= 80 && third >= 80, `${[first, second, third]}`)
  })

  test('does not retry sooner than Retry-After allows', async (t) => {
    const { simulator, client } = await pairWith(t, { 429: [5] })
    simulator.script({ status: 429, retryAfterMs: 90 })
    await client.chat(REQUEST)
    assert.ok(gaps(simulator)[0] >= 90)
  })

  test("set to 'never' ends the call with the original error", async (t) => {
    const { simulator, client } = await pairWith(t, { '5xx': 'never' })
    simulator.script({ status: 503 })
    const error = await failure(client.chat(REQUEST))
    assert.ok(error instanceof APIError)
    assert.deepEqual([error.code, error.status, error.attempts.length], ['SERVER_ERROR', 503, 1])
  })

  test("set to 'fallback' goes to the next endpoint and does not come back", async (t) => {
    const [a, b] = [await provider(t), await provider(t)]
    const options = { baseUrl: undefined, endpoints: [a.url, b.url] }
    const retry = { baseDelayMs: 1, retryOn: { ECONNRESET: 'fallback' } }
    const client = clientOf(t, a, { ...options, retry })
    a.script({ connectReset: true })
    b.script({ status: 500 }, { status: 500 })
    assert.equal(textOf(await client.chat(REQUEST)), ANSWER)
    assert.deepEqual([a.requests.length, b.requests.length], [1, 3])
  })

  test('retries a failure that is not retried by default', async (t) => {
    const { simulator, client } = await pairWith(t, { 404: 'retry' })
    simulator.script({ status: 404 })
    assert.equal(textOf(await client.chat(REQUEST)), ANSWER)
  })

  test('sends a filtered prompt to another model only if configured to', async (t) => {
    const { simulator, client } = await pairWith(t, {}, { fallbackModels: ['other'] })
    simulator.script(rejection(400, 'content_filter'))
    assert.equal((await failure(client.chat(REQUEST))).code, 'CONTENT_FILTERED')
    const configured = await pairWith(t, { 'content-filter': 'fallback' }, { fallbackModels: ['other'] })
    configured.simulator.script(rejection(400, 'content_filter'))
    assert.equal(textOf(await configured.client.chat(REQUEST)), ANSWER)
    assert.deepEqual(
      configured.simulator.requests.map(({ json }) => json.model),
      ['gpt-4.1', 'other'],
    )
  })

  test('does not affect failures that it does not name', async (t) => {
    const { simulator, client } = await pairWith(t, { 503: 'never' })
    simulator.script({ status: 500 }, { connectReset: true }, { status: 429 })
    assert.equal(textOf(await client.chat(REQUEST)), ANSWER)
  })

  test('determines isRetryable', () => {
    const retryOn = { 404: 'retry', 503: 'never', ECONNRESET: 'fallback', 429: [5] }
    const client = new HolySheepStreamingClient(KEY, { retry: { retryOn } })
    for (const error of [{ status: 404 }, { code: '404' }, { status: 429 }, { status: 500 }, { code: 'ETIMEDOUT' }]) {
      assert.equal(client.isRetryable(error), true, JSON.stringify(error))
    }
    for (const error of [{ status: 503 }, { code: 503 }, { code: 'ECONNRESET' }, { status: 401 }, {}, null]) {
      assert.equal(client.isRetryable(error), false, JSON.stringify(error))
    }
    const hidden = new TypeError('fetch failed', { cause: { code: 'ECONNRESET' } })
    assert.equal(client.isRetryable(hidden), false)
  })

  for (const [retryOn, expected] of [
    [{ network: 'retry' }, "retry.retryOn['network']: unknown failure; accepted: a status from '400' to '599'"],
    [{ 200: 'retry' }, "retry.retryOn['200']: unknown failure"],
    [{ 503: 'sometimes' }, "retry.retryOn['503']: got 'sometimes' (a string); accepted: 'retry', 'never'"],
    [{ 503: [] }, "retry.retryOn['503']: got an array"],
    [{ 503: { delaysMs: [Number.NaN] } }, "retry.retryOn['503']: got an object"],
    [{ 503: () => 'retry' }, "retry.retryOn['503']: got a function"],
    [{ quota: 'retry' }, "retry.retryOn['quota']: got 'retry' (a string); accepted: 'never' or 'fallback'"],
    [new Map([[503, 'retry']]), 'retry.retryOn: got a Map'],
  ]) {
    test(`rejects an invalid entry: ${expected.slice(14, 60)}`, () => {
      assert.throws(
        () => new HolySheepStreamingClient(KEY, { retry: { retryOn } }),
        (error) => error.code === 'INVALID_ARGUMENT' && error.message.startsWith(expected),
      )
    })
  }
})

describe('the cause of a failure', { concurrency: 4 }, () => {
  test('a key whose quota is exhausted is not used at another endpoint either', async (t) => {
    const [a, b, c] = [await provider(t), await provider(t), await provider(t)]
    const endpoints = [a.url, b.url, { baseUrl: c.url, apiKey: 'sk-other-0123456789abcdef' }]
    const client = clientOf(t, a, { baseUrl: undefined, endpoints })
    a.script(rejection(429, 'insufficient_quota'))
    assert.equal(textOf(await client.chat(REQUEST)), ANSWER)
    assert.deepEqual(
      [a, b, c].map(({ requests }) => requests.length),
      [1, 0, 1],
    )
    const sameKey = clientOf(t, a, { baseUrl: undefined, endpoints: endpoints.slice(0, 2) })
    a.script(rejection(429, 'insufficient_quota'))
    const error = await failure(sameKey.chat(REQUEST))
    assert.ok(error instanceof RateLimitError)
    assert.deepEqual([error.code, b.requests.length], ['QUOTA_EXHAUSTED', 0])
  })

  test('a prompt that is too long for a model is sent to the next one', async (t) => {
    const { simulator, client } = await pair(t, { fallbackModels: ['large'] })
    simulator.script(rejection(400, 'context_length_exceeded'))
    const stream = client.stream(REQUEST)
    assert.equal(await stream.text(), ANSWER)
    const { attempts } = await stream.result
    assert.deepEqual(
      attempts.map(({ model, outcome }) => [model, outcome]),
      [
        ['gpt-4.1', 'CONTEXT_LENGTH_EXCEEDED'],
        ['large', 'complete'],
      ],
    )
  })

  test('a rate limit fails over to an untried model instead of waiting', async (t) => {
    const { simulator, client } = await pair(t, { fallbackModels: ['other'] })
    simulator.script({ status: 429, retryAfter: 50 })
    assert.equal(textOf(await client.chat(REQUEST)), ANSWER)
    assert.deepEqual(
      simulator.requests.map(({ json }) => json.model),
      ['gpt-4.1', 'other'],
    )
  })
})

test('retry.connectionReset waits within its range only after a reset', async (t) => {
  const retry = { baseDelayMs: 1, jitter: 'none', connectionReset: { minDelayMs: 60, maxDelayMs: 90 } }
  const { simulator, client } = await pair(t, { retry })
  simulator.script({ connectReset: true }, { status: 500 })
  const stream = client.stream(REQUEST)
  assert.equal(await stream.text(), ANSWER)
  const waited = (await stream.result).attempts.map(({ waitMs }) => waitMs)
  assert.ok(waited[1] >= 60, `${waited}`)
  assert.ok(gaps(simulator)[0] >= 60)
  assert.equal(client.isRetryable({ code: 'ECONNRESET' }), true)
})

test('retry.minDelayMs is the shortest wait, whatever the jitter', async (t) => {
  const retry = { baseDelayMs: 1, minDelayMs: 50, jitter: 'full' }
  const { simulator, client } = await pair(t, { retry })
  simulator.script({ status: 500 }, { status: 500 })
  await client.chat(REQUEST)
  for (const gap of gaps(simulator)) assert.ok(gap >= 50, `${gap}`)
  assert.throws(() => new HolySheepStreamingClient(KEY, { retry: { minDelayMs: 2, maxDelayMs: 1 } }), {
    code: 'INVALID_ARGUMENT',
    message: 'retry.minDelayMs: got 2; accepted: at most maxDelayMs, 1 ms',
  })
})

describe('helpers of the addon', () => {
  const waits = (retry, count) =>
    Array.from({ length: count }, (_, n) => addon.backoffDelay(JSON.stringify({ jitter: 'none', ...retry }), n))

  test("backoffDelay returns the tutorials' waits", () => {
    // 001: 1, 2, 4, 8, 16 s; 000: up to 60 s; linear with a base of 2 s; 004: a schedule.
    assert.deepEqual(waits({}, 8), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
    assert.deepEqual(waits({ backoff: 'linear', baseDelayMs: 2000 }, 4), [2000, 4000, 6000, 8000])
    assert.deepEqual(waits({ backoff: [1000, 2000, 4000] }, 4), [1000, 2000, 4000, 4000])
    assert.deepEqual(waits({ backoff: 'constant' }, 3), [1000, 1000, 1000])
    // 000: never under 0.1 s.
    assert.deepEqual(waits({ baseDelayMs: 10, minDelayMs: 100 }, 5), [100, 100, 100, 100, 160])
  })

  test("backoffDelay jitters within the tutorials' ranges and never past the limit", () => {
    const draw = (retry, previous) =>
      Array.from({ length: 300 }, () => addon.backoffDelay(JSON.stringify(retry), 2, previous))
    for (const [jitter, from, to, previous] of [
      ['full', 0, 4000],
      ['equal', 2000, 4000],
      ['proportional', 2000, 6000],
      ['decorrelated', 1000, 9000, 3000],
    ]) {
      const drawn = draw({ jitter }, previous)
      assert.ok(Math.min(...drawn) >= from && Math.max(...drawn) <= to, jitter)
      assert.ok(Math.max(...drawn) - Math.min(...drawn) > (to - from) / 2, jitter)
      assert.ok(Math.max(...draw({ jitter, maxDelayMs: 1500 }, previous)) <= 1500, jitter)
    }
    assert.throws(() => addon.backoffDelay('{"jitter":"some"}', 0), /"jitter: got/)
    assert.throws(() => addon.backoffDelay('{}', 0, -1), /previousMs/)
  })

  test("decide returns the engine's decision", () => {
    const decide = (table, code, status) => JSON.parse(addon.decide(JSON.stringify(table), code, status))
    const table = { 429: { delaysMs: [5000, 10_000] }, 503: 'retry', '4xx': 'never', connection: 'fallback' }
    assert.deepEqual(decide(table, '429'), { delaysMs: [5000, 10_000] })
    assert.equal(decide(table, '401'), 'never')
    assert.equal(decide(table, 'ECONNRESET'), 'fallback')
    assert.equal(decide(table, 'QUOTA_EXHAUSTED', 429), 'fallback')
    assert.equal(decide(null, '401'), 'fallback')
    assert.equal(decide(null, '500'), 'retry')
    assert.equal(decide(null, 'RETRIES_EXHAUSTED', 503), 'never')
    assert.throws(() => addon.decide('{"nope":"retry"}', '429'), /unknown failure/)
  })
})

test('an answer is complete whatever was decided before it', async (t) => {
  const { simulator, client } = await pairWith(t, { 503: [1], '4xx': 'retry', STREAM_TRUNCATED: 'retry' })
  simulator.script({ status: 503 }, { status: 418 }, { chunks: CHUNKS, disconnect: { afterChunks: 0, how: 'done' } })
  const deltas = []
  for await (const text of client.stream(REQUEST).textStream) deltas.push(text)
  assert.deepEqual(deltas, CHUNKS)
})
