// HolySheepRetryManager (document 002).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { CircuitBreaker, CircuitOpenError, HolySheepRetryManager, QueueFullError } from '../../index.mjs'
import { ANSWER, CHUNKS, failure, KEY, manualProvider, provider, REQUEST, until } from '../support/provider.mjs'

const QUICK = { baseDelay: 1, maxDelay: 4 }

async function pair(t, options, simulatorOptions) {
  const simulator = await provider(t, simulatorOptions)
  const manager = new HolySheepRetryManager(KEY, { baseUrl: simulator.url, ...options })
  t.after(() => manager.close())
  return { simulator, manager }
}

test('it has the properties of the document, and does not show its key', async (t) => {
  const { manager } = await pair(t)
  const { circuitBreaker, requestQueue, isProcessing } = manager
  assert.ok(circuitBreaker instanceof CircuitBreaker)
  assert.deepEqual([circuitBreaker.failureThreshold, circuitBreaker.timeout], [5, 30_000])
  assert.deepEqual([requestQueue, isProcessing, manager.apiKey], [[], false, KEY])
  assert.doesNotMatch(inspect(manager, { depth: 9, showHidden: true }), new RegExp(KEY))
})

test('a request is really made, and retried with growing waits that are told before', async (t) => {
  const { simulator, manager } = await pair(t)
  simulator.script({ status: 500 }, { status: 429 }, { connectReset: true })
  const told = []
  const completion = await manager.executeWithRetry(REQUEST, {
    ...QUICK,
    onRetry: (attempt, error, delay) => void told.push([attempt, error.name, error.status ?? error.code, delay]),
  })
  assert.equal(completion.choices[0].message.content, ANSWER)
  assert.deepEqual(told, [
    [1, 'APIError', 500, 1],
    [2, 'RateLimitError', 429, 2],
    [3, 'ConnectionError', 'ECONNRESET', 4],
  ])
  assert.equal(simulator.requests.length, 4)
})

test('after the retries it throws the last error, with every attempt', async (t) => {
  const { simulator, manager } = await pair(t, {}, { default: { status: 502 } })
  const error = await failure(manager.executeWithRetry(REQUEST, { ...QUICK, maxRetries: 2 }))
  assert.deepEqual([error.name, error.status, error.attempts.length], ['APIError', 502, 3])
  assert.equal(simulator.requests.length, 3)
})

test('what is not retryable is asked once, and is no failure of the service', async (t) => {
  const { simulator, manager } = await pair(t)
  for (const status of [400, 401, 403, 404, 422]) {
    simulator.reset()
    simulator.setDefault({ status })
    const told = []
    const error = await failure(manager.executeWithRetry(REQUEST, { ...QUICK, onRetry: () => told.push(1) }))
    assert.deepEqual([error.status, simulator.requests.length, told.length], [status, 1, 0])
  }
  assert.deepEqual([manager.circuitBreaker.failures, manager.circuitBreaker.state], [0, 'CLOSED'])
})

test('digits in a message say nothing: only code and status do', async (t) => {
  const { manager } = await pair(t)
  assert.equal(manager.shouldRetry(new Error('order 500 of 429 was refused')), false)
  for (const code of ['ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'ECONNREFUSED', '429', 500, '502', 503, '504']) {
    assert.equal(manager.shouldRetry({ code }), true, `${code}`)
    if (!Number.isNaN(Number(code))) assert.equal(manager.shouldRetry({ status: Number(code) }), true)
  }
  assert.equal(manager.shouldRetry({ code: 401, message: '503' }), false)
})

test('the breaker is asked before every attempt, and not only before the first', async (t) => {
  const { simulator, manager } = await pair(t, {}, { default: { status: 503 } })
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

test('a breaker that is set by hand holds from then on, whatever the waits of the calls', async (t) => {
  const { simulator, manager } = await pair(t, {}, { default: { status: 503 } })
  await failure(manager.executeWithRetry(REQUEST, { ...QUICK, maxRetries: 0 }))
  simulator.reset()
  manager.circuitBreaker = new CircuitBreaker(2, 60_000)
  await failure(manager.executeWithRetry(REQUEST, { ...QUICK, maxRetries: 0 }))
  await failure(manager.executeWithRetry(REQUEST, { baseDelay: 2, maxRetries: 0 }))
  assert.equal((await failure(manager.executeWithRetry(REQUEST))).code, 'CIRCUIT_OPEN')
  assert.equal(simulator.requests.length, 2)
})

test('a breaker that is set by hand brings its own judgement and its own listener', async (t) => {
  const { simulator, manager } = await pair(t, {}, { default: { status: 400 } })
  const changes = []
  const isFailure = ({ status }) => status === 400
  manager.circuitBreaker = new CircuitBreaker({ failureThreshold: 1, isFailure, onStateChange: (c) => changes.push(c) })
  await failure(manager.executeWithRetry(REQUEST, QUICK))
  assert.deepEqual([changes, simulator.requests.length], [[{ from: 'CLOSED', to: 'OPEN' }], 1])
  assert.throws(() => {
    manager.circuitBreaker = null
  }, /circuitBreaker: got null/)
})

test('calls with waits of their own are under one cost cap and one limiter', async (t) => {
  // A dollar a token of the answer: while one is under way there is no room for the bound of a second.
  const cost = { hardCapUsd: 300, prices: { 'gpt-4.1': { input: 0, output: 1e6 } } }
  const rateLimit = { capacity: 2, refillRate: 0.01, maxQueue: 0 }
  const byHand = await manualProvider(t)
  const capped = await pair(t, { cost, baseUrl: byHand.url })
  const limited = await pair(t, { rateLimit })
  const ask = (manager, request) =>
    Promise.allSettled(
      Array.from({ length: 5 }, (_, n) => manager.executeWithRetry(request, { baseDelay: 1000 + n, maxDelay: 2000 })),
    )
  const codes = (settled) => settled.map(({ status, reason }) => reason?.code ?? status).sort()
  let refused = 0
  const buy = (n) =>
    capped.manager.executeWithRetry({ ...REQUEST, max_tokens: 200 }, { baseDelay: 1000 + n, maxDelay: 2000 })
  const buying = Array.from({ length: 5 }, (_, n) => buy(n))
  for (const one of buying) one.catch(() => refused++)
  // It is answered when the others have been refused.
  await until(() => refused === 4 && byHand.requests.length === 1)
  byHand.requests[0].answer(ANSWER)
  assert.deepEqual(codes(await Promise.allSettled(buying)), [...Array(4).fill('COST_CAP'), 'fulfilled'])
  assert.equal(byHand.requests.length, 1)
  assert.deepEqual(codes(await ask(limited.manager, REQUEST)), [
    ...Array(3).fill('QUEUE_FULL'),
    'fulfilled',
    'fulfilled',
  ])
  assert.equal(limited.simulator.requests.length, 2)
})

test('close ends every call, also after another breaker was set, and refuses what comes later', async (t) => {
  const { simulator, manager } = await pair(t, {}, { default: { chunks: CHUNKS, headersDelayMs: 60_000 } })
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

test('a client-wide option holds where a call says nothing', async (t) => {
  const { simulator, manager } = await pair(
    t,
    { maxRetries: 1, retry: { baseDelayMs: 2 } },
    { default: { status: 500 } },
  )
  const told = []
  const onRetry = (_attempt, _error, delay) => void told.push(delay)
  await failure(manager.executeWithRetry(REQUEST, { onRetry }))
  await failure(manager.executeWithRetry(REQUEST, { onRetry, baseDelay: 3 }))
  assert.deepEqual([told, simulator.requests.length], [[2, 3], 4])
})

test('calls beyond the limit wait in the queue, in their order, and leave it when they are aborted', async (t) => {
  const byHand = await manualProvider(t)
  const { manager } = await pair(t, { maxConcurrent: 1, maxQueue: 2, baseUrl: byHand.url })
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
  for (const place of [0, 1]) {
    await until(() => byHand.requests.length === place + 1)
    byHand.requests[place].answer(ANSWER)
  }
  await Promise.all(calls)
  assert.deepEqual(order, ['a', 'c'])
  await until(() => !manager.isProcessing)
  assert.deepEqual(
    byHand.requests.map(({ json }) => json.user),
    ['a', 'c'],
  )
})

test('a request with stream: true hands over its pieces', async (t) => {
  const { simulator, manager } = await pair(t)
  simulator.script({ status: 500 })
  const pieces = []
  const request = { ...REQUEST, stream: true, onChunk: (piece) => void pieces.push(piece) }
  const result = await manager.executeWithRetry(request, QUICK)
  assert.deepEqual([pieces, result.text, result.attempts.length], [CHUNKS, ANSWER, 2])
  assert.equal('onChunk' in simulator.requests[0].json, false)
})

test('executeRequest takes one of the places, and waits for it', async (t) => {
  const { simulator, manager } = await pair(t, { maxConcurrent: 1 }, { default: { chunks: CHUNKS } })
  simulator.script({ chunks: CHUNKS, headersDelayMs: 100 })
  const calls = ['a', 'b', 'c'].map((user) => manager.executeRequest({ ...REQUEST, user }))
  assert.deepEqual([manager.requestQueue.length, manager.isProcessing], [2, true])
  await Promise.all(calls)
  const sent = simulator.requests.map(({ json }) => json.user)
  assert.deepEqual(sent, ['a', 'b', 'c'])
})

test('executeRequest makes exactly one attempt', async (t) => {
  const { simulator, manager } = await pair(t)
  simulator.script({ status: 503 })
  assert.equal((await failure(manager.executeRequest(REQUEST))).status, 503)
  assert.equal(simulator.requests.length, 1)
  assert.equal((await manager.executeRequest(REQUEST)).choices[0].message.content, ANSWER)
})

test('wrong options are refused', async (t) => {
  const { manager } = await pair(t)
  assert.throws(() => new HolySheepRetryManager(KEY, { maxConcurrent: 0 }), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new HolySheepRetryManager(''), { code: 'INVALID_ARGUMENT' })
  for (const options of [{ maxRetries: -1 }, { baseDelay: 'x' }, { onRetry: 1 }, { nonsense: 1 }]) {
    const error = await failure(manager.executeWithRetry(REQUEST, options))
    assert.equal(error.code, 'INVALID_ARGUMENT', JSON.stringify(options))
    assert.ok(error.message.startsWith(Object.keys(options)[0]), error.message)
  }
  assert.equal(manager.isProcessing, false)
})
