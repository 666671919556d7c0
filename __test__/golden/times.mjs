// The default waits and timeouts of the HolySheep tutorials, without waiting for them.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import * as H from '../../index.mjs'
import { testClock } from '../../simulator.mjs'
import { KEY } from './classes.mjs'
import { outcome, same } from './match.mjs'
import { startProvider } from './provider.mjs'
import * as tables from './tables.mjs'
import { ATTEMPTS, SILENCE, WAITS } from './waits.mjs'

const turn = () => new Promise((resolve) => setImmediate(resolve))
const user = (content) => [{ role: 'user', content }]

describe('retryWithBackoff', () => {
  /** The wait after the first attempt; it is then aborted. */
  async function firstWait(error, options) {
    const controller = new AbortController()
    let wait
    const onRetry = (_attempt, _error, delay) => {
      wait = delay
      controller.abort()
    }
    await outcome(H.retryWithBackoff(() => Promise.reject(error), { ...options, onRetry, signal: controller.signal }))
    return wait
  }
  const busy = Object.assign(new Error('busy'), { status: 503 })

  test('baseDelay is 1000, maxDelay 60000', async () => {
    same('baseDelay', await firstWait(busy, { jitter: false }), 1000)
    same('maxDelay', await firstWait(busy, { jitter: false, baseDelay: 1_000_000 }), 60_000)
  })
  for (const { backoff, first } of tables.BACKOFFS) {
    test(`backoff ${inspect(backoff)}`, async () =>
      same('delay', await firstWait(busy, { backoff, jitter: false }), first))
  }
  for (const { jitter, from, to } of [{ jitter: undefined, from: 0, to: 1000 }, ...tables.JITTERS]) {
    test(`jitter ${jitter}: ${from} to ${to}`, async () => {
      const waits = (maxDelay) => Promise.all(Array.from({ length: 100 }, () => firstWait(busy, { jitter, maxDelay })))
      const long = await waits(2000)
      assert.ok(
        long.every((ms) => ms >= from && ms <= to),
        `${jitter}: ${long}`,
      )
      assert.equal(new Set(long).size > 1, from !== to, `${jitter}: ${long}`)
      const short = await waits(300)
      assert.ok(
        short.every((ms) => ms <= 300),
        `${jitter}, past maxDelay: ${short}`,
      )
    })
  }
  for (const [form, asks] of Object.entries({
    retryAfter: { retryAfter: 30 },
    retry_after: { retry_after: 30 },
    'the header': { headers: { 'retry-after': '30' } },
    'the header of response': { response: { headers: { 'Retry-After': '30' } } },
  })) {
    test(`never sooner than ${form} allows`, async () => {
      const error = Object.assign(new Error('busy'), { status: 429 }, asks)
      same('delay', await firstWait(error, { baseDelay: 1 }), 30_000)
    })
  }
})

test('RetryConfig.calculateDelay: 1, 2, 4 … 30 s, and 50 to 150 % of it with jitter, never past maxDelay', () => {
  const plain = new H.RetryConfig({ jitter: false })
  same(
    'calculateDelay',
    [0, 1, 2, 3, 4, 5].map((n) => plain.calculateDelay(n)),
    [1000, 2000, 4000, 8000, 16_000, 30_000],
  )
  const jittered = Array.from({ length: 200 }, () => new H.RetryConfig().calculateDelay(1))
  assert.ok(
    jittered.every((ms) => ms >= 1000 && ms <= 3000),
    'jitter is 50 to 150 %',
  )
  assert.ok(Math.min(...jittered) < 1500 && Math.max(...jittered) > 2500, 'jitter is 50 to 150 %')
  for (let i = 0; i < 200; i++) assert.ok(new H.RetryConfig().calculateDelay(9) <= 30_000, 'never past maxDelay')
})

describe('waits of JavaScript’s own timers', () => {
  /** Asserts that a promise settles after `notBefore` and at the latest after `latest`, in milliseconds. */
  async function lasts(t, promise, { notBefore, latest = notBefore }) {
    let over = false
    const end = () => {
      over = true
    }
    promise.then(end, end)
    for (let i = 0; i < 20; i++) await turn()
    t.mock.timers.tick(notBefore - 1)
    for (let i = 0; i < 20; i++) await turn()
    assert.equal(over, false, `it settled before ${notBefore} ms`)
    t.mock.timers.tick(latest - notBefore + 1)
    for (let i = 0; i < 20; i++) await turn()
    assert.equal(over, true, `it has not settled after ${latest} ms`)
    return promise
  }

  test('handleConnectionReset: true after a random 1 to 3 s, and the request asks for the rest', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const reset = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
    const request = { messages: user('x'), partialResponse: 'Xin ch' }
    let over = 0
    const waits = Array.from({ length: 50 }, async (_, n) => {
      const result = await H.handleConnectionReset(reset, n ? { ...request } : request, 1, 3)
      over++
      return result
    })
    const tick = async (ms) => {
      t.mock.timers.tick(ms)
      for (let i = 0; i < 20; i++) await turn()
      return over
    }
    same('over before 1 s', await tick(999), 0)
    const early = await tick(1001)
    assert.ok(early > 0 && early < 50, `over after 2 s: ${early} of 50`)
    same('over after 3 s', await tick(1000), 50)
    for (const result of await Promise.all(waits)) same('handleConnectionReset', result, true)
    assert.match(JSON.stringify(request.messages), /Xin ch/, 'the partial answer is not used')
  })

  for (const [form, response, limits] of [
    ['nothing: 60 s', { status: 429, headers: {} }, { notBefore: 60_000 }],
    ['retry-after in seconds', { status: 429, headers: { 'retry-after': '7' } }, { notBefore: 7000 }],
    ['retry-after-ms', { status: 429, headers: { 'retry-after-ms': '70' } }, { notBefore: 70 }],
    ['a Response', new Response('', { status: 429, headers: { 'retry-after': '7' } }), { notBefore: 7000 }],
    ['a Node message', { statusCode: 429, headers: { 'retry-after': '7' } }, { notBefore: 7000 }],
    [
      'a date',
      { status: 429, headers: { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() } },
      { notBefore: 3_000_000, latest: 3_600_001 },
    ],
  ]) {
    test(`RateLimitedClient.handleRateLimit: ${form}`, async (t) => {
      t.mock.timers.enable({ apis: ['setTimeout'] })
      same('handleRateLimit', await lasts(t, new H.RateLimitedClient(KEY).handleRateLimit(response), limits), true)
    })
  }

  test('streamWithTimeout: 30 s for headers and body, and partialData is what was received', async (t) => {
    const provider = await startProvider(t, { reply: { stall: 'Xin ch' } })
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const options = { method: 'POST', partialBuffer: 'before ' }
    const response = await H.streamWithTimeout(provider.url, options)
    const reader = response.body.getReader()
    await reader.read()
    const { rejected } = await outcome(lasts(t, reader.read(), { notBefore: 30_000 }))
    same('the error', rejected, { code: 'TIMEOUT', message: 'Request timeout', partialData: 'before Xin ch' })
  })
})

describe('waits and timeouts of calls', () => {
  /** Starts calls on the test clock, each with its own provider, and waits until each has made its first request. */
  async function begin(t, cases, replyOf) {
    const clock = testClock()
    t.after(() => clock.restore())
    const calls = await Promise.all(
      Object.entries(cases).map(async ([name, golden]) => {
        const provider = await startProvider(t, { reply: replyOf(golden) })
        return { name, golden, ...provider, problems: [] }
      }),
    )
    const ends = calls.map(async (call) => {
      await outcome(Promise.resolve(call.golden.run(H, call.url)))
      call.end = clock.elapsedMs
    })
    await arrived(() => calls.every(({ requests }) => requests.length > 0))
    return { clock, calls, ends: Promise.all(ends) }
  }

  /** Waits in real time, long enough for a busy machine. */
  async function arrived(condition) {
    for (const since = performance.now(); !condition() && performance.now() - since < 10_000; ) await turn()
  }

  test('the waits between the attempts', async (t) => {
    const { clock, calls, ends } = await begin(t, WAITS, ({ reply }) => reply)
    // When each further request is due: not before, and at the latest.
    for (const call of calls) {
      const { waits, range } = call.golden
      const sum = (n) => waits.slice(0, n + 1).reduce((a, b) => a + b)
      call.due = range ? [{ from: range[0], to: range[1] + 1 }] : waits.map((_, n) => ({ from: sum(n), to: sum(n) }))
    }
    const times = new Set(calls.flatMap(({ due }) => due.flatMap(({ from, to }) => [from, to])))
    const isWell = ({ problems }) => problems.length === 0
    // The clock stands still until every request that is due has arrived, so the speed of the machine makes no difference.
    for (const time of [...times].sort((a, b) => a - b)) {
      await clock.advance(time - clock.elapsedMs - 1)
      for (const call of calls.filter(isWell)) {
        const allowed = 1 + call.due.filter(({ from }) => from < time).length
        const made = call.requests.length
        if (made > allowed) call.problems.push(`wait ${allowed} is over before ${time - 1} ms after the start`)
      }
      await clock.advance(1)
      const needed = ({ due }) => 1 + due.filter(({ to }) => to <= time).length
      await arrived(() => calls.filter(isWell).every((call) => call.requests.length >= needed(call)))
      for (const call of calls.filter(isWell)) {
        const made = call.requests.length
        if (made < needed(call)) call.problems.push(`wait ${made} is not over ${time} ms after the start`)
      }
    }
    await clock.runUntil(ends)
    for (const { name, golden, due, requests, problems } of calls) {
      await t.test(name, { todo: golden.todo ?? false }, () => {
        assert.deepEqual(problems, [], `expected waits: ${golden.waits ?? golden.range.join(' to ')}`)
        assert.equal(requests.length, due.length + 1, 'the number of attempts')
      })
    }
  })

  test('the total number of attempts', async (t) => {
    const { clock, calls, ends } = await begin(t, ATTEMPTS, () => ({ status: 503 }))
    await clock.runUntil(ends)
    for (const { name, golden, requests } of calls) {
      await t.test(name, () => same('attempts', requests.length, golden.attempts))
    }
  })

  test('how long a silent provider is waited for', async (t) => {
    const { clock, calls, ends } = await begin(t, SILENCE, () => ({ hang: true }))
    await clock.runUntil(ends)
    for (const { name, golden, end } of calls) {
      await t.test(name, () => same('ends after', end, golden.after))
    }
  })

  test('TimeoutAIManager waits half a second for a connection', async (t) => {
    // A host that accepts connections and never answers the TLS handshake. This limit follows real time; the others are on
    // the test clock, which stands still.
    const clock = testClock()
    t.after(() => clock.restore())
    const sockets = []
    const server = createServer((socket) => void sockets.push(socket.on('error', () => {})))
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const baseUrl = `https://127.0.0.1:${server.address().port}/v1`
    const longer = new H.TimeoutAIManager(KEY, { baseUrl, connectTimeoutMs: 4000 })
    t.after(() => longer.close())
    const since = performance.now()
    const ends = [longer, new H.TimeoutAIManager(KEY, { baseUrl })].map(async (manager, n) => {
      await manager.callWithTimeout(user('x'), 'complex')
      return n
    })
    same('the one that ends first', await Promise.race(ends), 1)
    assert.ok(performance.now() - since >= 499, 'it ended before half a second')
  })
})
