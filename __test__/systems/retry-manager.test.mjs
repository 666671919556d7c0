// HolySheepRetryManager (HolySheep tutorial 002).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { CircuitBreaker, CircuitOpenError, HolySheepRetryManager, QueueFullError } from '../../index.mjs'
import { ANSWER, CHUNKS, failure, KEY, manualProvider, provider, REQUEST, until } from '../support/provider.mjs'

const QUICK = { baseDelay: 1, maxDelay: 4 }

async function setup(t, options, simulatorOptions) {
  const simulator = await provider(t, simulatorOptions)
  const manager = new HolySheepRetryManager(KEY, { baseUrl: simulator.url, ...options })
  t.after(() => manager.close())
  return { simulator, manager }
}

test('it has the tutorial’s properties and hides its key from util.inspect', async (t) => {
  const { manager } = await setup(t)
  const { circuitBreaker, requestQueue, isProcessing } = manager
  assert.ok(circuitBreaker instanceof CircuitBreaker)
  assert.deepEqual([circuitBreaker.failureThreshold, circuitBreaker.timeout], [5, 30_000])
  assert.deepEqual([requestQueue, isProcessing, manager.apiKey], [[], false, KEY])
  assert.doesNotMatch(inspect(manager, { depth: 9, showHidden: true }), new RegExp(KEY))
})

test('a request is retried with growing delays, and onRetry is called before each retry', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.script({ status: 500 }, { status: 429 }, { connectReset: true })
  const retries = []
  const completion = await manager.executeWithRetry(REQUEST, {
    ...QUICK,
    onRetry: (attempt, error, delay) => void retries.push([attempt, error.name, error.status ?? error.code, delay]),
  })
  assert.equal(completion.choices[0].message.content, ANSWER)
  assert.deepEqual(retries, [
    [1, 'APIError', 500, 1],
    [2, 'RateLimitError', 429, 2],
    [3, 'ConnectionError', 'ECONNRESET', 4],
  ])
  assert.equal(simulator.requests.length, 4)
})

test('the last error is thrown with every attempt once the retries are exhausted', async (t) => {
  const { simulator, manager } = await setup(t, {}, { default: { status: 502 } })
  const error = await failure(manager.executeWithRetry(REQUEST, { ...QUICK, maxRetries: 2 }))
  assert.deepEqual([error.name, error.status, error.attempts.length], ['APIError', 502, 3])
  assert.equal(simulator.requests.length, 3)
})

test('a client error is not retried and does not count as a failure of the breaker', async (t) => {
  const { simulator, manager } = await setup(t)
  for (const status of [400, 401, 403, 404, 422]) {
    simulator.reset()
    simulator.setDefault({ status })
    const retries = []
    const error = await failure(manager.executeWithRetry(REQUEST, { ...QUICK, onRetry: () => retries.push(1) }))
    assert.deepEqual([error.status, simulator.requests.length, retries.length], [status, 1, 0])
  }
  assert.deepEqual([manager.circuitBreaker.failures, manager.circuitBreaker.state], [0, 'CLOSED'])
})

test('shouldRetry looks at the code and the status, not at digits in the message', async (t) => {
  const { manager } = await setup(t)
  assert.equal(manager.shouldRetry(new Error('order 500 of 429 was refused')), false)
  for (const code of ['ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'ECONNREFUSED', '429', 500, '502', 503, '504']) {
    assert.equal(manager.shouldRetry({ code }), true, `${code}`)
    if (!Number.isNaN(Number(code))) assert.equal(manager.shouldRetry({ status: Number(code) }), true)
  }
  assert.equal(manager.shouldRetry({ code: 401, message: '503' }), false)
})

test('the breaker is checked before every attempt, not only the first', async (t) => {
  const { simulator, manager } = await setup(t, {}, { default: { status: 503 } })
  let opened = 0
  const error = await failure(
    manager.executeWithRetry(REQUEST, { ...QUICK, maxRetries: 9, onCircuitOpen: () => opened++ }),
  )
  assert.ok(error instanceof CircuitOpenError)
  assert.equal(error.message, 'Circuit breaker is OPEN - service unavailable')
  assert.equal(error.cause.cause.status, 503)
  assert.deepEqual([opened, error.attempts.length, simulator.requests.length], [1, 5, 5])
  assert.deepEqual([manager.circuitBreaker.state, error.retryAfterMs > 0], ['OPEN', true])
  const again = await failure(manager.executeWithRetry(REQUEST, { onCircuitOpen: () => opened++ }))
  assert.deepEqual([again.code, opened, simulator.requests.length], ['CIRCUIT_OPEN', 2, 5])
})

test('a breaker that is assigned applies to all later calls, whatever their delays', async (t) => {
  const { simulator, manager } = await setup(t, {}, { default: { status: 503 } })
  await failure(manager.executeWithRetry(REQUEST, { ...QUICK, maxRetries: 0 }))
  simulator.reset()
  manager.circuitBreaker = new CircuitBreaker(2, 60_000)
  await failure(manager.executeWithRetry(REQUEST, { ...QUICK, maxRetries: 0 }))
  await failure(manager.executeWithRetry(REQUEST, { baseDelay: 2, maxRetries: 0 }))
  assert.equal((await failure(manager.executeWithRetry(REQUEST))).code, 'CIRCUIT_OPEN')
  assert.equal(simulator.requests.length, 2)
})

test('a breaker that is assigned keeps its isFailure and its onStateChange', async (t) => {
  const { simulator, manager } = await setup(t, {}, { default: { status: 400 } })
  const changes = []
  const isFailure = ({ status }) => status === 400
  manager.circuitBreaker = new CircuitBreaker({ failureThreshold: 1, isFailure, onStateChange: (c) => changes.push(c) })
  await failure(manager.executeWithRetry(REQUEST, QUICK))
  assert.deepEqual([changes, simulator.requests.length], [[{ from: 'CLOSED', to: 'OPEN' }], 1])
  assert.throws(() => {
    manager.circuitBreaker = null
  }, /circuitBreaker: got null/)
})

test('calls with different delays share one cost cap and one limiter', async (t) => {
  // An answer costs 1 USD a token, so the reservation of a second call exceeds the cap while the first one runs.
  const cost = { hardCapUsd: 300, prices: { 'gpt-4.1': { input: 0, output: 1e6 } } }
  const rateLimit = { capacity: 2, refillRate: 0.01, maxQueue: 0 }
  const server = await manualProvider(t)
  const capped = await setup(t, { cost, baseUrl: server.url })
  const limited = await setup(t, { rateLimit })
  const ask = (manager, request) =>
    Promise.allSettled(
      Array.from({ length: 5 }, (_, n) => manager.executeWithRetry(request, { baseDelay: 1000 + n, maxDelay: 2000 })),
    )
  const codes = (settled) => settled.map(({ status, reason }) => reason?.code ?? status).sort()
  let rejected = 0
  const paidCall = (n) =>
    capped.manager.executeWithRetry({ ...REQUEST, max_tokens: 200 }, { baseDelay: 1000 + n, maxDelay: 2000 })
  const paidCalls = Array.from({ length: 5 }, (_, n) => paidCall(n))
  for (const call of paidCalls) call.catch(() => rejected++)
  // The first call is answered after the others are rejected.
  await until(() => rejected === 4 && server.requests.length === 1)
  server.requests[0].answer(ANSWER)
  assert.deepEqual(codes(await Promise.allSettled(paidCalls)), [...Array(4).fill('COST_CAP'), 'fulfilled'])
  assert.equal(server.requests.length, 1)
  assert.deepEqual(codes(await ask(limited.manager, REQUEST)), [
    ...Array(3).fill('QUEUE_FULL'),
    'fulfilled',
    'fulfilled',
  ])
  assert.equal(limited.simulator.requests.length, 2)
})

test('close ends every call, even from before a breaker was assigned, and rejects later ones', async (t) => {
  const { simulator, manager } = await setup(t, {}, { default: { chunks: CHUNKS, headersDelayMs: 60_000 } })
  const calls = [manager.executeWithRetry(REQUEST), manager.executeWithRetry(REQUEST, { baseDelay: 5 })].map(failure)
  await until(() => simulator.requests.length === 2)
  manager.circuitBreaker = new CircuitBreaker()
  calls.push(failure(manager.executeWithRetry(REQUEST)))
  await until(() => simulator.requests.length === 3)
  await manager.close()
  const late = failure(manager.executeWithRetry(REQUEST, { baseDelay: 77 }))
  const closed = (await Promise.all([...calls, late])).map(({ code }) => code)
  assert.deepEqual(closed, Array(4).fill('CLIENT_CLOSED'))
})

test('a client option applies unless the call overrides it', async (t) => {
  const { simulator, manager } = await setup(
    t,
    { maxRetries: 1, retry: { baseDelayMs: 2 } },
    { default: { status: 500 } },
  )
  const delays = []
  const onRetry = (_attempt, _error, delay) => void delays.push(delay)
  await failure(manager.executeWithRetry(REQUEST, { onRetry }))
  await failure(manager.executeWithRetry(REQUEST, { onRetry, baseDelay: 3 }))
  assert.deepEqual([delays, simulator.requests.length], [[2, 3], 4])
})

test('calls beyond maxConcurrent are queued in order, and an abort removes them from the queue', async (t) => {
  const server = await manualProvider(t)
  const { manager } = await setup(t, { maxConcurrent: 1, maxQueue: 2, baseUrl: server.url })
  const order = []
  const ask = (name, options) =>
    manager
      .executeWithRetry({ ...REQUEST, user: name }, options)
      .then(() => order.push(name))
      .catch((error) => error)
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  const calls = [ask('a'), ask('b', { signal: controller.signal }), ask('c')]
  assert.deepEqual(
    manager.requestQueue.map(({ request }) => request.user),
    ['b', 'c'],
  )
  assert.equal(manager.isProcessing, true)
  const full = await failure(manager.executeWithRetry(REQUEST))
  assert.ok(full instanceof QueueFullError && full.code === 'QUEUE_FULL')
  controller.abort(reason)
  assert.equal(await calls[1], reason)
  for (const index of [0, 1]) {
    await until(() => server.requests.length === index + 1)
    server.requests[index].answer(ANSWER)
  }
  await Promise.all(calls)
  assert.deepEqual(order, ['a', 'c'])
  await until(() => !manager.isProcessing)
  assert.deepEqual(
    server.requests.map(({ json }) => json.user),
    ['a', 'c'],
  )
})

test('a request with stream: true passes every chunk to onChunk', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.script({ status: 500 })
  const chunks = []
  const request = { ...REQUEST, stream: true, onChunk: (text) => void chunks.push(text) }
  const result = await manager.executeWithRetry(request, QUICK)
  assert.deepEqual([chunks, result.text, result.attempts.length], [CHUNKS, ANSWER, 2])
  assert.equal('onChunk' in simulator.requests[0].json, false)
})

test('executeRequest counts toward maxConcurrent and waits its turn', async (t) => {
  const { simulator, manager } = await setup(t, { maxConcurrent: 1 }, { default: { chunks: CHUNKS } })
  simulator.script({ chunks: CHUNKS, headersDelayMs: 100 })
  const calls = ['a', 'b', 'c'].map((user) => manager.executeRequest({ ...REQUEST, user }))
  assert.deepEqual([manager.requestQueue.length, manager.isProcessing], [2, true])
  await Promise.all(calls)
  const sent = simulator.requests.map(({ json }) => json.user)
  assert.deepEqual(sent, ['a', 'b', 'c'])
})

test('executeRequest makes exactly one attempt', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.script({ status: 503 })
  assert.equal((await failure(manager.executeRequest(REQUEST))).status, 503)
  assert.equal(simulator.requests.length, 1)
  assert.equal((await manager.executeRequest(REQUEST)).choices[0].message.content, ANSWER)
})

test('invalid options are rejected', async (t) => {
  const { manager } = await setup(t)
  assert.throws(() => new HolySheepRetryManager(KEY, { maxConcurrent: 0 }), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new HolySheepRetryManager(''), { code: 'INVALID_ARGUMENT' })
  for (const options of [{ maxRetries: -1 }, { baseDelay: 'x' }, { onRetry: 1 }, { nonsense: 1 }]) {
    const error = await failure(manager.executeWithRetry(REQUEST, options))
    assert.equal(error.code, 'INVALID_ARGUMENT', JSON.stringify(options))
    assert.ok(error.message.startsWith(Object.keys(options)[0]), error.message)
  }
  assert.equal(manager.isProcessing, false)
})
