// The test clock: minutes of waiting pass immediately and at exact times.
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { createFetch } from '../fetch.mjs'
import { CircuitBreaker, HolySheepStreamingClient, RateLimitedClient } from '../index.mjs'
import { testClock } from '../simulator.mjs'
import { run } from './support/child.mjs'
import { ANSWER, failure, KEY, pair, provider, REQUEST, until } from './support/provider.mjs'

let clock
beforeEach(() => {
  // Where idleness is certain, a long settle time costs nothing, and a busy machine is not mistaken for an idle one.
  clock = testClock({ settleMs: 5000 })
})
afterEach(() => clock.restore())

test('a retry after 30 seconds starts after 30 seconds and not before', async (t) => {
  const { simulator, client } = await pair(t, { retry: {} })
  simulator.script({ status: 429, retryAfterMs: 30_000 })
  const answer = client.chat(REQUEST)
  await clock.advance(29_999)
  assert.equal(simulator.requests.length, 1)
  await clock.advance(1)
  assert.equal((await answer).choices[0].message.content, ANSWER)
  assert.deepEqual([simulator.requests.length, clock.elapsedMs], [2, 30_000])
})

test('one advance ends every wait at its own time', async (t) => {
  const events = []
  const retry = { baseDelayMs: 1000, jitter: 'none' }
  const { simulator, client } = await pair(t, { retry, onEvent: (event) => events.push([event.type, clock.elapsedMs]) })
  simulator.script({ status: 503 }, { status: 503 }, { status: 503 })
  const answer = client.chat(REQUEST)
  await clock.advance(60_000)
  await answer
  assert.deepEqual(
    events.filter(([type]) => type === 'attempt').map(([, at]) => at),
    [0, 1000, 3000, 7000],
  )
  assert.equal(clock.elapsedMs, 60_000)
})

test('runUntil advances as far as the answer needs, and rejects if the answer does', async (t) => {
  const { simulator, client } = await pair(t, { retry: { baseDelayMs: 10_000, jitter: 'none' } })
  simulator.script({ status: 503 }, { status: 503 })
  const completion = await clock.runUntil(client.chat(REQUEST))
  assert.equal(completion._attempts.length, 3)
  assert.equal(completion._attempts[2].waitMs, 20_000)
  assert.equal(clock.elapsedMs, 30_000)
  simulator.setDefault({ status: 503 })
  const error = await failure(clock.runUntil(client.chat(REQUEST)))
  assert.equal(error.code, 'RETRIES_EXHAUSTED')
  assert.equal(clock.elapsedMs, 30_000 + 10_000 + 20_000 + 40_000)
})

test('an open circuit allows a probe after its minute', async (t) => {
  const changes = []
  const { simulator, client } = await pair(t, {
    maxRetries: 0,
    circuitBreaker: {
      failureThreshold: 2,
      timeout: 60_000,
      onStateChange: ({ to }) => changes.push([to, clock.elapsedMs]),
    },
  })
  simulator.setDefault({ status: 500 })
  for (let call = 0; call < 2; call++) await failure(client.chat(REQUEST))
  assert.equal((await failure(client.chat(REQUEST))).code, 'CIRCUIT_OPEN')
  await clock.advance(59_999)
  assert.equal((await failure(client.chat(REQUEST))).retryAfterMs, 1)
  await clock.advance(1)
  simulator.setDefault({})
  await client.chat(REQUEST)
  assert.deepEqual(changes, [
    ['OPEN', 0],
    ['HALF_OPEN', 60_000],
    ['CLOSED', 60_000],
  ])
})

test('a standalone breaker and a token bucket follow the clock', async () => {
  const breaker = new CircuitBreaker(1, 60_000)
  breaker.recordFailure()
  assert.equal(breaker.canExecute(), false)
  const limited = new RateLimitedClient(KEY, { capacity: 2, refillRate: 0.1 })
  assert.deepEqual([await limited.acquireToken(), await limited.acquireToken()], [true, true])
  assert.equal(await limited.acquireToken(), false)
  const waits = limited.acquire()
  await clock.advance(10_000)
  await waits
  const late = failure(limited.acquire({ timeoutMs: 3000 }))
  await clock.advance(3000)
  assert.equal((await late).code, 'TIMEOUT')
  await clock.advance(47_000)
  assert.equal(breaker.canExecute(), true)
})

test('timeouts and deadlines follow the clock while a real socket is silent', async (t) => {
  clock.restore()
  clock = testClock({ settleMs: 30 })
  const events = []
  const onEvent = ({ type }) => events.push(type)
  const options = { maxRetries: 0, firstTokenTimeoutMs: 60_000, idleTimeoutMs: 45_000, onEvent }
  const { simulator, client } = await pair(t, options)
  simulator.setDefault({ headersDelayMs: 600_000 })
  const silent = failure(client.chat(REQUEST))
  await until(() => simulator.requests.length === 1)
  await clock.advance(60_000)
  assert.deepEqual(await silent.then(({ phase }) => phase), 'first-token')
  simulator.setDefault({ disconnect: { afterChunks: 2, how: 'stall' } })
  const stalls = client.chat(REQUEST, { recovery: false })
  await until(() => events.includes('first-token'))
  const stalled = await failure(clock.runUntil(stalls))
  assert.deepEqual([stalled.phase, clock.elapsedMs], ['idle', 105_000])
  const deadline = await failure(clock.runUntil(client.chat(REQUEST, { totalTimeoutMs: 20_000 })))
  assert.deepEqual([deadline.phase, clock.elapsedMs], ['total', 125_000])
})

test('the first-token timeout is 60 s, 120 s on the last route, and an explicit one applies to every route', async (t) => {
  clock.restore()
  clock = testClock({ settleMs: 30 })
  const simulator = await provider(t, { default: { hang: true } })
  const endpoints = ['a', 'b'].map((name) => ({ name, baseUrl: simulator.url }))
  for (const [options, times] of [
    [{}, [60_000, 120_000]],
    [{ firstTokenTimeoutMs: 30_000 }, [30_000, 30_000]],
  ]) {
    const client = new HolySheepStreamingClient(KEY, { endpoints, maxRetries: 0, ...options })
    const error = await failure(clock.runUntil(client.chat(REQUEST)))
    const timeouts = error.attempts.map(({ message }) => Number(/^no first token within (\d+) ms$/.exec(message)?.[1]))
    assert.deepEqual(timeouts, times)
    await client.close()
  }
  const { client } = await pair(t, { maxRetries: 0, firstTokenTimeoutMs: 30_000 }, { default: { hang: true } })
  assert.match((await failure(clock.runUntil(client.chat(REQUEST)))).message, /within 30000 ms/)
})

test('an answer that crawls is left after text was delivered, and the event and the error name the phase', async (t) => {
  clock.restore()
  clock = testClock({ settleMs: 30 })
  const events = []
  const options = { minTokensPerSecond: 5, maxRetries: 0, onEvent: (event) => events.push(event) }
  const { client } = await pair(t, options, { default: { disconnect: { afterChunks: 1, how: 'stall' } } })
  const error = await failure(clock.runUntil(client.chat(REQUEST, { recovery: false })))
  assert.deepEqual([error.name, error.code, error.phase], ['TimeoutError', 'TIMEOUT', 'throughput'])
  assert.match(error.message, /tokens per second over the last 10 s, less than 5 \(minTokensPerSecond\)/)
  const failed = events.find(({ type }) => type === 'attempt-failed')
  assert.deepEqual([failed.code, failed.phase], ['TIMEOUT', 'throughput'])
  assert.ok(clock.elapsedMs >= 10_000 && clock.elapsedMs <= 11_000, `${clock.elapsedMs} ms`)
})

test('a short retry-after comes before another model, except in the methods of the tutorials', async (t) => {
  clock.restore()
  clock = testClock({ settleMs: 30 })
  const asks = {
    stream: (client) => client.stream(REQUEST).result,
    chat: (client) => client.chat(REQUEST),
    streamWithRetry: (client) => client.streamWithRetry(REQUEST.messages),
  }
  for (const [method, ask] of Object.entries(asks)) {
    const { simulator, client } = await pair(t, { fallbackModels: ['m2'] })
    simulator.script({ status: 429, retryAfterMs: 2000 })
    const began = clock.elapsedMs
    await clock.runUntil(ask(client))
    const models = simulator.requests.map(({ json }) => json.model)
    const expected = method === 'streamWithRetry' ? [0, [models[0], 'm2']] : [2000, [models[0], models[0]]]
    assert.deepEqual([clock.elapsedMs - began, models], expected, method)
  }
})

test('an answer that createFetch does not stream has wholeAnswerTimeoutMs instead of the first-token timeout', async (t) => {
  clock.restore()
  clock = testClock({ settleMs: 30 })
  const simulator = await provider(t, { default: { hang: true } })
  const init = {
    method: 'POST',
    body: JSON.stringify({ model: 'm', input: 'q' }),
    headers: { authorization: 'Bearer k' },
  }
  for (const [options, ms] of [
    [{ firstTokenTimeoutMs: 1000 }, 300_000],
    [{ wholeAnswerTimeoutMs: 5000 }, 5000],
  ]) {
    const fetch = createFetch({ maxRetries: 0, ...options })
    t.after(() => fetch.close())
    const before = clock.elapsedMs
    const { cause } = await failure(clock.runUntil(fetch(`${simulator.url}/responses`, init)))
    assert.deepEqual([cause.code, clock.elapsedMs - before], ['TIMEOUT', ms])
  }
})

test('a call started by a callback begins at the time of that callback', async (t) => {
  const { simulator, client } = await pair(t, { retry: {} })
  simulator.script({ status: 429, retryAfterMs: 10_000 }, {}, { status: 429, retryAfterMs: 10_000 })
  const both = client.chat(REQUEST).then(() => client.chat(REQUEST))
  await clock.advance(20_000)
  await both
  assert.equal(simulator.requests.length, 4)
})

test('a cost window ends with its day', async (t) => {
  const { client } = await pair(t, { cost: { hardCapUsd: 0.01, window: 'day' } })
  const request = { ...REQUEST, max_tokens: 1000 }
  let calls = 0
  for (; calls < 100; calls++) {
    const rejected = await client.chat(request).then(
      () => undefined,
      ({ code }) => code,
    )
    if (rejected) break
  }
  assert.ok(calls > 0 && calls < 100)
  await clock.advance(86_400_000)
  assert.equal(client.cost().spentUsd, 0)
  await client.chat(request)
})

test('after restore, earlier and later calls run in real time', async (t) => {
  const { simulator, client } = await pair(t, { retry: {} })
  simulator.script({ status: 429, retryAfterMs: 1050 })
  const answer = client.chat(REQUEST)
  await clock.advance(1000)
  clock.restore()
  await answer
  simulator.script({ status: 429, retryAfterMs: 20 })
  const other = new HolySheepStreamingClient(KEY, { baseUrl: simulator.url })
  t.after(() => other.close())
  const before = performance.now()
  await other.chat(REQUEST)
  assert.ok(performance.now() - before >= 20)
})

test('a clock does not affect other threads', async (t) => {
  const simulator = await provider(t)
  simulator.script({ status: 429, retryAfterMs: 30 })
  const script = `
    import { Worker } from 'node:worker_threads'
    import { testClock } from './simulator.mjs'
    testClock()
    const code = \`
      const { HolySheepStreamingClient } = await import("${new URL('../index.mjs', import.meta.url)}")
      const client = new HolySheepStreamingClient('sk-test', { baseUrl: '${simulator.url}' })
      client.chat({ messages: [{ role: 'user', content: 'x' }] }).then(({ _attempts }) => console.log(_attempts.length))\`
    new Worker(code, { eval: true })`
  const { stdout, stderr } = await run(script)
  assert.equal(stdout, '2\n', stderr)
})

test('invalid arguments are rejected', async () => {
  assert.throws(() => testClock({ settle: 1 }), /settle: unknown option/)
  assert.throws(() => testClock({ settleMs: -1 }), /settleMs: got -1/)
  for (const ms of [-1, Number.NaN, '5']) assert.throws(() => clock.advance(ms), /^RangeError|^TypeError/)
})
