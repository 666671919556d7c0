// RateLimitedClient: the token bucket, used directly and before every attempt.
import assert from 'node:assert/strict'
import { IncomingMessage } from 'node:http'
import { describe, test } from 'node:test'
import { HolySheepStreamingClient, QueueFullError, RateLimitedClient, TimeoutError } from '../index.mjs'
import { clientOf, clockOf, failure, KEY, MESSAGES, provider, QUICK, REQUEST, until } from './support/provider.mjs'

/** A client whose bucket is empty and fills at this rate. */
function empty(refillRate = 0.001, options = {}) {
  const client = new RateLimitedClient(KEY, { capacity: 10, refillRate, ...options })
  client.tokens = 0
  return client
}

describe('the bucket', () => {
  test('has the documented defaults, starts full, and can be changed', (t) => {
    // Before the clock stops.
    const before = Date.now()
    clockOf(t)
    const client = new RateLimitedClient(KEY)
    assert.ok(client instanceof HolySheepStreamingClient)
    assert.deepEqual([client.capacity, client.tokens, client.refillRate], [100, 100, 10])
    assert.ok(client.lastRefill >= before - 1 && client.lastRefill <= Date.now() + 1)
    assert.equal(client.maxRetries, 3)
    assert.equal(new RateLimitedClient(KEY, 5).maxRetries, 5)
    Object.assign(client, { capacity: 50, refillRate: 2, tokens: 7 })
    assert.deepEqual([client.capacity, client.refillRate, Math.floor(client.tokens)], [50, 2, 7])
    client.tokens = 1000
    assert.equal(client.tokens, 50)
    for (const [name, bad] of [
      ['capacity', 0],
      ['refillRate', '1'],
      ['tokens', -1],
      ['lastRefill', Number.NaN],
    ]) {
      const previous = client[name]
      assert.throws(
        () => {
          client[name] = bad
        },
        { code: 'INVALID_ARGUMENT' },
      )
      assert.equal(client[name], previous)
    }
  })

  test('takes its limits from the top level of the options or from rateLimit', () => {
    for (const options of [{ capacity: 3, refillRate: 2 }, { rateLimit: { capacity: 3, refillRate: 2 } }]) {
      const client = new RateLimitedClient(KEY, { ...options, maxRetries: 1 })
      assert.deepEqual([client.capacity, client.refillRate, client.maxRetries], [3, 2, 1])
    }
    const minute = new RateLimitedClient({ apiKey: KEY, requestsPerMinute: 120 })
    assert.deepEqual([minute.capacity, minute.refillRate], [120, 2])
    assert.throws(() => new RateLimitedClient(KEY, { requestsPerMinute: 60, refillRate: 1 }), {
      code: 'INVALID_ARGUMENT',
    })
  })

  test('acquireToken takes a token immediately or resolves to false', async () => {
    const client = new RateLimitedClient(KEY, { capacity: 2, refillRate: 0.001 })
    assert.deepEqual(
      [await client.acquireToken(), await client.acquireToken(), await client.acquireToken()],
      [true, true, false],
    )
    assert.ok(client.tokens < 1)
  })

  test('refill adds the tokens since lastRefill, up to the capacity', (t) => {
    const clock = clockOf(t)
    const client = empty(10)
    client.lastRefill = clock.now - 500
    client.refill()
    assert.ok(client.tokens >= 5 && client.tokens < 6, `${client.tokens}`)
    client.lastRefill = clock.now - 60_000
    client.refill()
    assert.equal(client.tokens, 10)
    assert.ok(clock.now - client.lastRefill < 1000)
  })
})

describe('acquire', () => {
  test('resolves when a token is available, never sooner', async (t) => {
    const clock = clockOf(t)
    const client = empty(50)
    await clock.runUntil(client.acquire())
    await clock.runUntil(client.acquire({ tokens: 2 }))
    assert.equal(Math.round(clock.elapsedMs), 60, 'three tokens at 50 a second')
  })

  test('serves waiters in order, and acquireToken does not jump the queue', async (t) => {
    const clock = clockOf(t)
    const client = empty(200)
    const order = []
    const all = [3, 1, 2, 1].map((tokens, index) => client.acquire({ tokens }).then(() => order.push(index)))
    client.tokens = 2
    assert.equal(await client.acquireToken(), false)
    await clock.runUntil(Promise.all(all))
    assert.deepEqual(order, [0, 1, 2, 3])
  })

  test('rejects after timeoutMs or with its signal, and the next waiter advances', async (t) => {
    const clock = clockOf(t)
    const client = empty(100)
    const timeout = failure(client.acquire({ tokens: 10, timeoutMs: 5 }))
    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = failure(client.acquire({ tokens: 10, signal: controller.signal }))
    const last = client.acquire()
    const error = await clock.runUntil(timeout)
    assert.ok(error instanceof TimeoutError)
    assert.deepEqual([error.code, error.phase], ['TIMEOUT', 'queue'])
    controller.abort(reason)
    assert.equal(await aborted, reason)
    await clock.runUntil(last)
    assert.equal(await failure(client.acquire({ signal: controller.signal })), reason)
  })

  test('rejects more tokens than the capacity, and a waiter beyond maxQueue', async () => {
    const client = empty(0.001, { rateLimit: { maxQueue: 1 } })
    const never = await failure(client.acquire({ tokens: 11 }))
    assert.ok(never instanceof QueueFullError)
    assert.equal(never.code, 'RATE_LIMIT_NEVER_FITS')
    const controller = new AbortController()
    const waiting = failure(client.acquire({ signal: controller.signal }))
    assert.equal((await failure(client.acquire())).code, 'QUEUE_FULL')
    controller.abort()
    assert.equal((await waiting).name, 'AbortError')
    // The slot in the queue becomes free shortly after.
    await until(async () => (await failure(client.acquire({ timeoutMs: 1 }))).code === 'TIMEOUT')
  })

  test('rejects invalid arguments', async () => {
    const client = empty()
    for (const options of [
      { tokens: 0 },
      { tokens: '1' },
      { timeoutMs: -1 },
      { timeoutMs: '1' },
      { timeoutMs: Number.NaN },
      { timeout: 5 },
      { signal: {} },
      5,
    ]) {
      assert.equal((await failure(client.acquire(options))).code, 'INVALID_ARGUMENT', JSON.stringify(options))
    }
    client.tokens = 5
    await client.acquire({ timeoutMs: Number.POSITIVE_INFINITY })
  })
})

describe('handleRateLimit', () => {
  const rejected = (headers) => [
    new Response('', { status: 429, headers }),
    Object.assign(new IncomingMessage(null), { statusCode: 429, headers }),
    { status: 429, headers },
    { status: '429', headers: new Headers(headers) },
  ]

  test('honors Retry-After of any kind of response, and resolves to true', async () => {
    const client = new RateLimitedClient(KEY)
    for (const response of rejected({ 'retry-after-ms': '25' })) {
      const since = performance.now()
      assert.equal(await client.handleRateLimit(response), true)
      assert.ok(performance.now() - since >= 24)
    }
    const since = performance.now()
    await client.handleRateLimit({ status: 429, headers: { 'Retry-After-Ms': ['25'] } })
    assert.ok(performance.now() - since >= 24)
  })

  test('accepts seconds and a date', async () => {
    const client = new RateLimitedClient(KEY)
    const since = performance.now()
    await client.handleRateLimit({ status: 429, headers: { 'retry-after': 0.05 } })
    assert.ok(performance.now() - since >= 49)
    const date = new Date(Date.now() + 1000)
    await client.handleRateLimit(new Response('', { status: 429, headers: { 'retry-after': date.toUTCString() } }))
    assert.ok(Date.now() >= Math.floor(date.getTime() / 1000) * 1000)
    await client.handleRateLimit({ status: 429, headers: { 'retry-after': 'Fri, 01 Jan 2010 00:00:00 GMT' } })
  })

  test('waits a minute if a 429 has no Retry-After', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const client = new RateLimitedClient(KEY)
    let over = false
    const waited = Promise.all(rejected({}).map((response) => client.handleRateLimit(response))).then((results) => {
      over = true
      return results
    })
    t.mock.timers.tick(59_999)
    await new Promise(setImmediate)
    assert.equal(over, false)
    t.mock.timers.tick(1)
    assert.deepEqual(await waited, [true, true, true, true])
  })

  test('resolves to false immediately for any other status', async () => {
    const client = new RateLimitedClient(KEY)
    for (const response of [
      { status: 200 },
      { statusCode: 503, headers: { 'retry-after': '9' } },
      {},
      null,
      undefined,
    ]) {
      assert.equal(await client.handleRateLimit(response), false)
    }
  })
})

describe('calls', () => {
  test('every attempt takes a token, including retries', async (t) => {
    const simulator = await provider(t)
    const client = new RateLimitedClient(KEY, { baseUrl: simulator.url, capacity: 10, refillRate: 0.001, ...QUICK })
    t.after(() => client.close())
    simulator.script({ status: 500 }, { status: 500 })
    await client.chat(REQUEST)
    assert.equal(Math.ceil(client.tokens), 8 - (client.tokens < 7 ? 1 : 0))
    assert.ok(client.tokens < 7.01 && client.tokens >= 7, `${client.tokens}`)
    await client.streamWithRetry(MESSAGES)
    assert.ok(client.tokens < 6.01)
  })

  test('a call waits for its token, and its deadline covers the wait', async (t) => {
    const simulator = await provider(t)
    const clock = clockOf(t)
    const startTimes = []
    const onEvent = ({ type }) => type === 'attempt' && startTimes.push(clock.elapsedMs)
    const options = { baseUrl: simulator.url, capacity: 1, refillRate: 20, onEvent, ...QUICK }
    const client = new RateLimitedClient(KEY, options)
    t.after(() => client.close())
    await clock.runUntil(Promise.all(Array.from({ length: 4 }, () => client.chat(REQUEST))))
    for (const [index, at] of startTimes.entries()) assert.ok(at >= index * 50 - 1, `${startTimes}`)
    assert.equal(startTimes.length, 4)
    client.refillRate = 0.001
    client.tokens = 0
    const error = await failure(clock.runUntil(client.chat(REQUEST, { totalTimeoutMs: 20 })))
    assert.deepEqual([error.code, error.phase], ['TIMEOUT', 'total'])
    assert.equal(simulator.requests.length, 4)
  })

  test('the rateLimit option of a plain client does the same, and reports the wait', async (t) => {
    const simulator = await provider(t)
    const clock = clockOf(t)
    const events = []
    const client = clientOf(t, simulator, {
      rateLimit: { capacity: 1, refillRate: 20 },
      onEvent: (event) => events.push({ ...event, at: clock.elapsedMs }),
    })
    await clock.runUntil(Promise.all([client.chat(REQUEST), client.chat(REQUEST)]))
    const [first, second] = events.filter(({ type }) => type === 'attempt')
    assert.ok(second.at - first.at >= 49)
    assert.ok(events.some(({ type, reason }) => type === 'wait' && reason === 'rate-limit'))
  })
})
