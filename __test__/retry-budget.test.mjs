// Retries are a share of the calls: an outage is not multiplied by those who meet it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { APIError, HolySheepStreamingClient, RetriesExhaustedError } from '../index.mjs'
import { ANSWER, clientOf, FACES, failure, KEY, pair, provider, REQUEST } from './support/provider.mjs'

/** A budget of so many retries in its window, whatever the calls; longer than a test. */
const only = (retries) => ({ ratio: 0, minPerSecond: retries / 600, windowMs: 600_000 })

for (const [face, ask] of Object.entries(FACES)) {
  test(`${face}: beyond the budget a call fails with the error itself`, async (t) => {
    const { simulator, client } = await pair(t, { retryBudget: only(2) })
    simulator.setDefault({ status: 503 })
    const error = await failure(ask(client, []))
    assert.ok(error instanceof APIError && !(error instanceof RetriesExhaustedError), error.stack)
    assert.deepEqual([error.code, error.status, error.attempts.length], ['SERVER_ERROR', 503, 3])
    assert.equal((await failure(ask(client, []))).attempts.length, 1)
    simulator.setDefault({ chunks: [ANSWER] })
    assert.equal((await ask(client, [])).text, ANSWER)
  })
}

test('an outage costs the calls, a share of them and the floor', async (t) => {
  const { simulator, client } = await pair(t, { retryBudget: { ...only(5), ratio: 0.2 }, maxRetries: 3 })
  simulator.setDefault({ status: 503 })
  const errors = await Promise.all(Array.from({ length: 100 }, () => failure(client.chat(REQUEST))))
  assert.ok(errors.every((error) => error.status === 503))
  assert.equal(simulator.requests.length, 100 + 20 + 5)
})

test('the first try of another route is free', async (t) => {
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

test('a user who fails does not use up the retries of the others', async (t) => {
  const events = []
  const options = { retryBudget: { ...only(0), ratio: 0.5 }, onEvent: (event) => events.push(event) }
  const { simulator, client } = await pair(t, options)
  for (let call = 0; call < 20; call++) await client.chat(REQUEST, { tenant: 'calm' })
  simulator.clear()
  simulator.setDefault({ status: 503 })
  for (let call = 0; call < 4; call++) await failure(client.chat(REQUEST, { tenant: 'loud' }))
  assert.equal(simulator.requests.length, 4 + 2, 'half a retry for each of its own calls')
  const refused = events.filter(({ type }) => type === 'retry-budget')
  assert.ok(refused.length > 0 && refused.every(({ budget }) => budget === 'tenant'))
  simulator.script({ status: 503 }, { status: 503 }, { chunks: [ANSWER] })
  assert.equal((await client.chat(REQUEST, { tenant: 'calm' })).choices[0].message.content, ANSWER)
})

test('what a client remembers of its retries stays when its options change', async (t) => {
  const { simulator, client } = await pair(t, { retryBudget: only(1) })
  simulator.setDefault({ status: 503 })
  await failure(client.chat(REQUEST))
  client.maxRetries = 9
  assert.equal((await failure(client.chat(REQUEST))).attempts.length, 1)
})

test('false turns it off, and what is no budget is refused', async (t) => {
  const { simulator, client } = await pair(t, { retryBudget: false, maxRetries: 150 })
  client.baseDelay = 0
  simulator.setDefault({ status: 503 })
  assert.equal((await failure(client.chat(REQUEST))).attempts.length, 151)
  for (const [retryBudget, said] of [
    [true, 'retryBudget: got true; accepted: retry budget options, or false for no budget'],
    [{ ratio: -1 }, 'retryBudget.ratio: got -1'],
    [{ ratio: 20 }, 'retryBudget.ratio: got 20; accepted: a fraction of the calls from 0 to 1'],
    [{ windowMs: 1 }, 'retryBudget.windowMs: got 1'],
    [{ ttl: 1 }, 'retryBudget.ttl: unknown option'],
  ]) {
    assert.throws(
      () => new HolySheepStreamingClient(KEY, { retryBudget }),
      (error) => error.code === 'INVALID_ARGUMENT' && error.message.startsWith(said),
    )
  }
  for (const tenant of ['', 'x'.repeat(256), 5]) {
    const error = await failure(client.chat(REQUEST, { tenant }))
    assert.ok(error.message.startsWith('tenant: got '), error.message)
  }
})
