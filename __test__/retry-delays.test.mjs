// No request is sent sooner than the provider or the backoff allows.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ANSWER, CHUNKS, clientOf, failure, METHODS, pair, provider, REQUEST } from './support/provider.mjs'

/** The time between one request and the next. */
const gaps = ({ requests }) => requests.slice(1).map((request, index) => request.atMs - requests[index].atMs)

describe('no attempt starts sooner than allowed', { concurrency: 8 }, () => {
  for (const [method, call] of Object.entries(METHODS)) {
    test(`${method} waits for retry-after-ms, whatever the status`, async (t) => {
      const { simulator, client } = await pair(t)
      simulator.script({ status: 429, retryAfterMs: 120 }, { status: 503, retryAfterMs: 60 })
      assert.equal((await call(client, [])).text, ANSWER)
      const [first, second, ...rest] = gaps(simulator)
      assert.ok(first >= 120, `${first} ms`)
      assert.ok(second >= 60, `${second} ms`)
      assert.deepEqual(rest, [])
    })
  }

  test('retry-after in seconds is honored', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ status: 429, retryAfter: 1 })
    assert.equal((await METHODS.textStream(client, [])).text, ANSWER)
    assert.ok(gaps(simulator)[0] >= 1000)
  })

  test('retry-after as a date is honored', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ status: 503, retryAfterDate: 1 })
    assert.equal((await METHODS.chat(client, [])).text, ANSWER)
    const [rejected, next] = simulator.requests
    // A date has a resolution of one second.
    assert.ok(next.epochMs >= Math.floor((rejected.epochMs + 1000) / 1000) * 1000)
  })

  test('the longer of backoff and retry-after applies', async (t) => {
    const { simulator, client } = await pair(t, { retry: { baseDelayMs: 100, jitter: 'none' } })
    simulator.script({ status: 429, retryAfterMs: 10 })
    await client.chat(REQUEST)
    assert.ok(gaps(simulator)[0] >= 100)
  })

  for (const [name, retry, minimums] of [
    ['an exponential backoff grows', { baseDelayMs: 20, jitter: 'none' }, [20, 40, 80]],
    ['a linear backoff grows evenly', { backoff: 'linear', baseDelayMs: 20, jitter: 'none' }, [20, 40, 60]],
    ['a constant backoff stays the same', { backoff: 'constant', baseDelayMs: 20, jitter: 'none' }, [20, 20, 20]],
    ['a schedule is followed, and its last wait repeats', { backoff: [30, 10], jitter: 'none' }, [30, 10, 10]],
    ['maxDelayMs limits the backoff', { baseDelayMs: 20, maxDelayMs: 25, jitter: 'none' }, [20, 25, 25]],
    ['equal jitter waits at least half the delay', { baseDelayMs: 40, jitter: 'equal' }, [20, 40, 80]],
  ]) {
    test(name, async (t) => {
      const { simulator, client } = await pair(t, { retry })
      simulator.setDefault({ status: 500 })
      const error = await failure(client.chat(REQUEST))
      const found = gaps(simulator)
      assert.equal(found.length, 3)
      for (const [index, ms] of minimums.entries()) {
        assert.ok(found[index] >= ms, `${found} for ${minimums}`)
        assert.ok(error.attempts[index + 1].waitMs >= ms)
      }
    })
  }

  test('a retry-after beyond maxRetryAfterMs fails the call with the wait in the error', async (t) => {
    for (const method of ['chunks', 'chat', 'streamWithRetry']) {
      const { simulator, client } = await pair(t, { retry: { maxRetryAfterMs: 500 } })
      simulator.setDefault({ status: 429, retryAfter: 3600 })
      const since = performance.now()
      const error = await failure(METHODS[method](client, []))
      assert.equal(error.name, 'RateLimitError')
      assert.equal(error.retryAfterMs, 3_600_000)
      assert.equal(simulator.requests.length, 1)
      // Another call before that fails the same way, without a request, and says what is left.
      await sleep(20)
      const next = await failure(METHODS[method](client, []))
      assert.deepEqual([next.name, next.status], ['RateLimitError', 429])
      const passed = 3_600_000 - next.retryAfterMs
      assert.ok(passed >= 10 && passed <= performance.now() - since + 2, `${passed} ms`)
      assert.equal(simulator.requests.length, 1)
    }
  })

  test('the retry-after of one call delays all calls', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 0 })
    simulator.script({ status: 429, retryAfterMs: 300 })
    await failure(client.chat(REQUEST))
    await Promise.all(Array.from({ length: 20 }, (_, user) => client.chat({ ...REQUEST, user: `${user}` })))
    const [rejected, ...rest] = simulator.requests
    assert.ok(rest[0].atMs - rejected.atMs >= 300)
    assert.equal(rest.length, 20)
  })

  test('a wait past the deadline is not started', async (t) => {
    const { simulator, client } = await pair(t, { totalTimeoutMs: 20_000 })
    simulator.script({ status: 429, retryAfter: 30 })
    const error = await failure(client.chat(REQUEST))
    assert.equal(error.code, 'RATE_LIMITED')
    assert.equal(error.retryAfterMs, 30_000)
    assert.equal(simulator.requests.length, 1)
  })

  test('maxRetries counts the retries after the first attempt, per client and per call', async (t) => {
    const simulator = await provider(t)
    simulator.setDefault({ status: 500 })
    for (const [maxRetries, options, requests] of [
      [undefined, {}, 4],
      [0, {}, 1],
      [2, {}, 3],
      [2, { maxRetries: 5 }, 6],
    ]) {
      simulator.clear()
      const error = await failure(clientOf(t, simulator, { maxRetries }).chat(REQUEST, options))
      assert.equal(simulator.requests.length, requests)
      assert.equal(error.attempts.length, requests)
    }
  })

  test('x-should-retry overrides the status', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ status: 500, headers: { 'x-should-retry': 'false' } })
    assert.equal((await failure(client.chat(REQUEST))).code, 'SERVER_ERROR')
    assert.equal(simulator.requests.length, 1)
    simulator.script({ status: 409, headers: { 'x-should-retry': 'true' } })
    assert.equal((await client.chat(REQUEST)).choices[0].message.content, CHUNKS.join(''))
  })
})
