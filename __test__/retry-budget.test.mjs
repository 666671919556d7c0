// Retries are limited to a share of the calls, so that they do not amplify an outage.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { APIError, HolySheepStreamingClient, RetriesExhaustedError } from '../index.mjs'
import { ANSWER, clientOf, failure, KEY, METHODS, pair, provider, REQUEST } from './support/provider.mjs'

/** A budget of this many retries, whatever the number of calls, in a window longer than a test. */
const only = (retries) => ({ ratio: 0, minPerSecond: retries / 600, windowMs: 600_000 })

for (const [method, call] of Object.entries(METHODS)) {
  test(`${method}: beyond the budget a call fails with the original error`, async (t) => {
    const { simulator, client } = await pair(t, { retryBudget: only(2) })
    simulator.setDefault({ status: 503 })
    const error = await failure(call(client, []))
    assert.ok(error instanceof APIError && !(error instanceof RetriesExhaustedError), error.stack)
    assert.deepEqual([error.code, error.status, error.attempts.length], ['SERVER_ERROR', 503, 3])
    assert.equal((await failure(call(client, []))).attempts.length, 1)
    simulator.setDefault({ chunks: [ANSWER] })
    assert.equal((await call(client, [])).text, ANSWER)
  })
}

test('an outage causes as many requests as the calls, their share of retries and the floor', async (t) => {
  const { simulator, client } = await pair(t, { retryBudget: { ...only(5), ratio: 0.2 }, maxRetries: 3 })
  simulator.setDefault({ status: 503 })
  const errors = await Promise.all(Array.from({ length: 100 }, () => failure(client.chat(REQUEST))))
  assert.ok(errors.every((error) => error.status === 503))
  assert.equal(simulator.requests.length, 100 + 20 + 5)
})

test('failing over to another route does not spend the budget', async (t) => {
  const [a, b] = [await provider(t), await provider(t)]
  const events = []
  const client = clientOf(t, a, {
    baseUrl: undefined,
    endpoints: [a.url, b.url],
    circuitBreaker: false,
    retryBudget: only(0),
    onEvent: (event) => events.push(event),
  })
  a.setDefault({ status: 503 })
  for (let call = 0; call < 10; call++) assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
  assert.deepEqual([a.requests.length, b.requests.length], [10, 10])
  assert.ok(events.every(({ type }) => type !== 'retry-budget'))
})

test("a failing tenant does not exhaust the other tenants' retries", async (t) => {
  const events = []
  const options = { retryBudget: { ...only(0), ratio: 0.5 }, onEvent: (event) => events.push(event) }
  const { simulator, client } = await pair(t, options)
  for (let call = 0; call < 20; call++) await client.chat(REQUEST, { tenant: 'calm' })
  simulator.clear()
  simulator.setDefault({ status: 503 })
  for (let call = 0; call < 4; call++) await failure(client.chat(REQUEST, { tenant: 'loud' }))
  assert.equal(simulator.requests.length, 4 + 2, 'half a retry for each of its calls')
  const exhausted = events.filter(({ type }) => type === 'retry-budget')
  assert.ok(exhausted.length > 0 && exhausted.every(({ budget }) => budget === 'tenant'))
  simulator.script({ status: 503 }, { status: 503 }, { chunks: [ANSWER] })
  assert.equal((await client.chat(REQUEST, { tenant: 'calm' })).choices[0].message.content, ANSWER)
})

test('the retry budget survives a change of options', async (t) => {
  const { simulator, client } = await pair(t, { retryBudget: only(1) })
  simulator.setDefault({ status: 503 })
  await failure(client.chat(REQUEST))
  client.maxRetries = 9
  assert.equal((await failure(client.chat(REQUEST))).attempts.length, 1)
})

test('false disables the budget, and an invalid budget is rejected', async (t) => {
  const { simulator, client } = await pair(t, { retryBudget: false, maxRetries: 150 })
  client.baseDelay = 0
  simulator.setDefault({ status: 503 })
  assert.equal((await failure(client.chat(REQUEST))).attempts.length, 151)
  for (const [retryBudget, expected] of [
    [true, 'retryBudget: got true; accepted: retry budget options, or false for no budget'],
    [{ ratio: -1 }, 'retryBudget.ratio: got -1'],
    [{ ratio: 20 }, 'retryBudget.ratio: got 20; accepted: a fraction of the calls from 0 to 1'],
    [{ windowMs: 1 }, 'retryBudget.windowMs: got 1'],
    [{ ttl: 1 }, 'retryBudget.ttl: unknown option'],
  ]) {
    assert.throws(
      () => new HolySheepStreamingClient(KEY, { retryBudget }),
      (error) => error.code === 'INVALID_ARGUMENT' && error.message.startsWith(expected),
    )
  }
  for (const tenant of ['', 'x'.repeat(256), 5]) {
    const error = await failure(client.chat(REQUEST, { tenant }))
    assert.ok(error.message.startsWith('tenant: got '), error.message)
  }
})
