// HolySheepAIClient (HolySheep tutorial 004).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepAIClient, HolySheepError, RetriesExhaustedError } from '../../index.mjs'
import { ANSWER, clockOf, failure, KEY, MESSAGES, passTime, provider, until } from '../support/provider.mjs'

async function setup(t, options = {}) {
  const simulators = [await provider(t), await provider(t), await provider(t)]
  const waits = []
  const onEvent = (event) => event.type === 'wait' && waits.push(event.ms)
  const endpoints = simulators.map(({ url }) => url)
  const client = new HolySheepAIClient(KEY, { endpoints, retryDelay: 4, onEvent, ...options })
  t.after(() => client.close())
  const counts = () => simulators.map(({ requests }) => requests.length)
  return { simulators, client, counts, waits }
}
const ask = (client, options) => client.chatCompletion('gpt-4.1', MESSAGES, options)

test('the request has the tutorial’s defaults unless the call overrides them', async (t) => {
  const { simulators, client } = await setup(t)
  const completion = await ask(client)
  assert.equal(completion.choices[0].message.content, ANSWER)
  await ask(client, { temperature: 0, maxTokens: 5 })
  const [first, second] = simulators[0].requests.map(({ json }) => json)
  assert.deepEqual([first.model, first.temperature, first.max_tokens], ['gpt-4.1', 0.7, 1000])
  assert.deepEqual([second.temperature, second.max_tokens], [0, 5])
})

test('a 429 fails over to the next endpoint with exponential backoff', async (t) => {
  const { simulators, client, counts, waits } = await setup(t)
  simulators[0].script({ status: 429 })
  simulators[1].script({ status: 429 })
  assert.equal((await ask(client)).choices[0].message.content, ANSWER)
  assert.deepEqual(
    [counts(), waits],
    [
      [1, 1, 1],
      [8, 16],
    ],
  )
  assert.deepEqual(client.getMetrics(), {
    totalRequests: 1,
    successfulRequests: 1,
    errors429: 2,
    otherErrors: 0,
    fallbackCount: 2,
    successRate: '100.00%',
  })
})

test('maxAttempts is an alias of maxRetries, and giving both is an error', async (t) => {
  const { simulators, client, counts } = await setup(t, { maxAttempts: 2 })
  for (const simulator of simulators) simulator.setDefault({ status: 503 })
  assert.equal((await failure(ask(client))).attempts.length, 2)
  assert.deepEqual(counts(), [1, 1, 0])
  const message =
    /^maxAttempts: got a value in addition to `maxRetries`, which means the same here; accepted: only one of the two$/
  assert.throws(() => new HolySheepAIClient(KEY, { maxAttempts: 2, maxRetries: 2 }), { message })
})

test('a timeout, a 408, a 5xx and a reset fail over to the next endpoint after retryDelay', async (t) => {
  const clock = clockOf(t, { settleMs: 30 })
  const { simulators, client, counts, waits } = await setup(t, { timeout: 80_000 })
  for (const scenario of [{ hang: true }, { status: 408 }, { status: 503 }, { connectReset: true }]) {
    for (const simulator of simulators) simulator.reset()
    for (const simulator of simulators) simulator.setDefault({ text: ANSWER })
    waits.length = 0
    simulators[0].script(scenario)
    const call = ask(client)
    await until(() => simulators[0].requests[0] && (scenario.hang || waits.length > 0))
    await passTime(clock, scenario.hang ? 80_004 : 4, () => simulators[1].requests.length === 1)
    assert.equal((await call).choices[0].message.content, ANSWER)
    assert.deepEqual([counts(), waits], [[1, 1, 0], [4]], JSON.stringify(scenario))
  }
})

test('400, 401 and 403 are not retried', async (t) => {
  const { simulators, client, counts } = await setup(t)
  for (const status of [400, 401, 403]) {
    simulators[0].script({ status })
    const error = await failure(ask(client))
    assert.ok(error instanceof HolySheepError)
    assert.equal(error.status, status)
  }
  assert.deepEqual(counts(), [3, 0, 0])
  assert.equal(client.getMetrics().otherErrors, 3)
})

test('any other 4xx is retried once, and then its error is thrown', async (t) => {
  const { simulators, client, counts, waits } = await setup(t, { maxRetries: 5 })
  for (const status of [404, 409, 418, 422]) {
    for (const simulator of simulators) simulator.reset()
    for (const simulator of simulators) simulator.setDefault({ status })
    waits.length = 0
    const error = await failure(ask(client))
    assert.deepEqual([error.status, error.attempts.length, waits], [status, 2, [4]])
    assert.deepEqual(counts(), [1, 1, 0])
  }
  for (const simulator of simulators) simulator.reset()
  simulators[0].script({ status: 422 })
  for (const simulator of simulators) simulator.setDefault({ text: ANSWER })
  assert.equal((await ask(client)).choices[0].message.content, ANSWER)
})

test('an exhausted quota is not retried', async (t) => {
  const { simulators, client, counts } = await setup(t)
  for (const simulator of simulators) simulator.setDefault({ status: 402 })
  assert.equal((await failure(ask(client))).code, 'QUOTA_EXHAUSTED')
  assert.deepEqual(counts(), [1, 0, 0])
})

test('three attempts send three requests, and the error carries the last failure', async (t) => {
  const { simulators, client, counts } = await setup(t)
  for (const simulator of simulators) simulator.setDefault({ status: 500 })
  const error = await failure(ask(client))
  assert.ok(error instanceof RetriesExhaustedError)
  assert.match(error.message, /^All endpoints failed after 3 attempts\. Last error: 500 /)
  assert.deepEqual([error.status, error.cause.status, error.attempts.length], [500, 500, 3])
  assert.deepEqual(counts(), [1, 1, 1])
})

test('maxRetries is the total number of attempts across all endpoints', async (t) => {
  const { simulators, client, counts } = await setup(t, { maxRetries: 5 })
  for (const simulator of simulators) simulator.setDefault({ status: 429 })
  assert.equal((await failure(ask(client))).attempts.length, 5)
  assert.deepEqual(counts(), [2, 2, 1])
  const single = new HolySheepAIClient(KEY, { endpoints: [simulators[0].url], maxRetries: 1 })
  simulators[0].clear()
  assert.equal((await failure(ask(single))).status, 429)
  assert.deepEqual(simulators[0].requests.length, 1)
})

test('every call starts at the primary, and concurrent calls do not affect each other', async (t) => {
  const { simulators, client, counts } = await setup(t)
  simulators[0].script({ status: 500 })
  await ask(client)
  await ask(client)
  assert.deepEqual(counts(), [2, 1, 0])
  for (const simulator of simulators) simulator.clear()
  simulators[0].script(...Array.from({ length: 4 }, () => ({ status: 500 })))
  await Promise.all(Array.from({ length: 4 }, () => ask(client)))
  assert.deepEqual(counts(), [4, 4, 0])
})

test('an endpoint that is down is skipped until its breaker allows a probe', async (t) => {
  const clock = clockOf(t)
  const { simulators, client, counts } = await setup(t, { circuitBreaker: { failureThreshold: 2, timeout: 300 } })
  simulators[0].setDefault({ status: 503 })
  for (let i = 0; i < 6; i++) await clock.runUntil(ask(client))
  assert.deepEqual(counts(), [2, 6, 0])
  simulators[0].setDefault({ text: 'back' })
  await clock.advance(300)
  assert.equal((await ask(client)).choices[0].message.content, 'back')
})

test('digits in an error message do not affect its classification', async (t) => {
  const { simulators, client } = await setup(t)
  simulators[0].script({ status: 500, body: { error: { message: 'order 429 timeout 401' } } })
  await ask(client)
  const { errors429, otherErrors } = client.getMetrics()
  assert.deepEqual([errors429, otherErrors], [0, 1])
})

test('HOLYSHEEP_BASE_URL replaces the three default endpoints', async (t) => {
  const simulator = await provider(t)
  const before = process.env.HOLYSHEEP_BASE_URL
  process.env.HOLYSHEEP_BASE_URL = simulator.url
  t.after(() => {
    if (before === undefined) delete process.env.HOLYSHEEP_BASE_URL
    else process.env.HOLYSHEEP_BASE_URL = before
  })
  await ask(new HolySheepAIClient(KEY))
  assert.equal(simulator.requests.length, 1)
})

test('invalid arguments are rejected without a request and do not count in the metrics', async (t) => {
  const { client, counts } = await setup(t)
  assert.equal(client.getMetrics().successRate, '0.00%')
  assert.equal((await failure(client.chatCompletion('m', 'no messages'))).code, 'INVALID_ARGUMENT')
  const reason = new Error('enough')
  assert.equal(await failure(ask(client, { signal: AbortSignal.abort(reason) })), reason)
  assert.deepEqual(counts(), [0, 0, 0])
  assert.equal(client.getMetrics().totalRequests, 0)
  for (const options of [
    { maxRetries: 0 },
    { retryDelay: -1 },
    { exponentialBackoff: 0 },
    { timeout: 'x' },
    { healthCheck: 5 },
    { endpoints: [] },
    { nonsense: 1 },
  ]) {
    const message = new RegExp(`^${Object.keys(options)[0]}: `)
    assert.throws(() => new HolySheepAIClient(KEY, options), { code: 'INVALID_ARGUMENT', message })
  }
})

test('a successful health check closes a breaker before its timeout elapses', async (t) => {
  const circuitBreaker = { failureThreshold: 1, timeout: 600_000 }
  const { simulators, client } = await setup(t, { healthCheck: 20, circuitBreaker })
  simulators[0].script({ status: 503 })
  await ask(client)
  const chats = () => simulators[0].requests.filter(({ path }) => path.endsWith('/chat/completions')).length
  await until(async () => (await ask(client)) && chats() > 1, 'the second request of the primary')
  await until(() => simulators[1].requests.some(({ path }) => path === '/v1/models'), 'a probe of the next endpoint')
})
