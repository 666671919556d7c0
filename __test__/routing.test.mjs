// Routing strategies, over real sockets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import {
  CHUNKS,
  clientOf,
  clockOf,
  failure,
  KEY,
  manualProvider,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

/** Two simulators and a client of both. */
async function twoOf(t, options, [a = {}, b = {}] = [], scenarios = [{}, {}]) {
  const simulators = [
    await provider(t, { default: { chunks: CHUNKS, ...scenarios[0] } }),
    await provider(t, { default: { chunks: CHUNKS, ...scenarios[1] } }),
  ]
  const [one, two] = simulators
  const endpoints = [
    { name: 'a', baseUrl: one.url, ...a },
    { name: 'b', baseUrl: two.url, ...b },
  ]
  const client = clientOf(t, one, { baseUrl: undefined, endpoints, ...options })
  return { client, counts: () => simulators.map(({ requests }) => requests.length), simulators }
}

test('without a strategy the first healthy endpoint answers', async (t) => {
  const clock = clockOf(t)
  const { client, counts, simulators } = await twoOf(t, { circuitBreaker: { failureThreshold: 1, timeout: 50 } })
  await client.chat(REQUEST)
  simulators[0].script({ status: 503 })
  for (let call = 0; call < 3; call++) await client.chat(REQUEST)
  assert.deepEqual(counts(), [2, 3])
  await clock.advance(50)
  await client.chat(REQUEST)
  assert.deepEqual(counts(), [3, 3])
})

test('calls are distributed by weight', async (t) => {
  const { client, counts } = await twoOf(t, { routing: 'weighted' }, [{ weight: 3 }, { weight: 1 }])
  await Promise.all(Array.from({ length: 400 }, () => client.chat(REQUEST)))
  const [a, b] = counts()
  assert.equal(a + b, 400)
  // 300, plus or minus nine standard deviations.
  assert.ok(a > 220 && a < 380, `${a}`)
})

test('the score strategy prefers the faster endpoint', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const slow = await manualProvider(t)
  const { client, counts } = await twoOf(t, { routing: 'score' }, [{ baseUrl: slow.url }])
  const first = client.chat(REQUEST)
  await until(() => slow.requests.length === 1)
  await clock.advance(150)
  slow.requests[0].answer('At last.')
  await first
  for (let call = 1; call < 8; call++) await client.chat(REQUEST)
  assert.deepEqual([slow.requests.length, counts()[1]], [1, 7])
})

test('the least-busy strategy prefers the endpoint with the fewest calls', async (t) => {
  const { client, counts } = await twoOf(t, { routing: 'least-busy' }, undefined, [{ hang: true }, { hang: true }])
  const calls = new AbortController()
  const all = Array.from({ length: 20 }, () => failure(client.chat(REQUEST, { signal: calls.signal })))
  await until(() => counts()[0] + counts()[1] === 20)
  assert.deepEqual(counts(), [10, 10])
  calls.abort()
  await Promise.all(all)
})

test('an endpoint whose rate limit is exhausted is skipped for one with capacity', async (t) => {
  const rateLimit = { capacity: 2, refillRate: 0.001 }
  const { client, counts } = await twoOf(t, {}, [{ rateLimit }])
  for (let call = 0; call < 5; call++) await client.chat(REQUEST)
  assert.deepEqual(counts(), [2, 3])
})

test('an invalid strategy or weight is rejected by name', () => {
  const make = (options) => () => new HolySheepStreamingClient(KEY, options)
  assert.throws(make({ routing: 'fastest' }), /routing: got 'fastest'.*accepted: 'ordered', 'weighted', 'score'/)
  for (const weight of [0, -1, NaN, 1e9]) {
    const endpoints = [{ baseUrl: 'http://127.0.0.1:1', weight }]
    assert.throws(make({ endpoints }), {
      name: 'RangeError',
      message: new RegExp(`endpoints\\[0\\].weight: got ${weight}; accepted: a number from 0.001 to 1000000`),
    })
  }
})
