// 1000 calls at once against a provider that allows 100 and then 100 a second, judged by its own records.
import assert from 'node:assert/strict'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { describe, test } from 'node:test'
import { ANSWER, clientOf, failure, KEY, provider, REQUEST } from './support/provider.mjs'

const CALLS = 1000
const CAPACITY = 100
const PER_SECOND = 100

/** 1000 calls at once, numbered in the field `user`; what the provider saw, and the order in which they were let through. */
async function rush(t, rateLimit) {
  const simulator = await provider(t, { rateLimit: { capacity: CAPACITY, refillPerSecond: PER_SECOND } })
  const begun = []
  const onEvent = (event) => event.type === 'attempt' && event.attempt === 1 && begun.push(event.requestId)
  const client = clientOf(t, simulator, { rateLimit, onEvent })
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const calls = Array.from({ length: CALLS }, (_, user) => client.chat({ ...REQUEST, user: `${user}` }))
  for (const answer of await Promise.all(calls)) assert.equal(answer.choices[0].message.content, ANSWER)
  delay.disable()
  const { requests } = simulator
  const userOf = new Map(requests.map(({ headers, json }) => [headers['x-client-request-id'], Number(json.user)]))
  return {
    /** The longest that the machine let this process stand still, in seconds. */
    stood: delay.max / 1e9,
    refused: requests.filter(({ scenario }) => scenario === 'rate-limit').map(({ atMs }) => atMs - requests[0].atMs),
    admitted: requests.filter(({ scenario }) => scenario !== 'rate-limit').map(({ atMs }) => atMs - requests[0].atMs),
    order: begun.map((id) => userOf.get(id)),
  }
}

describe('a provider with a bucket', { concurrency: 2 }, () => {
  for (const [name, rateLimit] of [
    ['a client that was told its quota', { capacity: CAPACITY, refillRate: PER_SECOND, adapt: 'headers' }],
    ['a client that learns it from the headers', { capacity: CALLS, refillRate: CALLS, adapt: 'headers' }],
  ]) {
    test(`${name} uses it up, in order, without a 429 after the first second`, async (t) => {
      const { refused, admitted, order, stood } = await rush(t, rateLimit)
      assert.deepEqual(
        refused.filter((ms) => ms > 1000),
        [],
      )
      assert.equal(admitted.length, CALLS)
      const quota = (CALLS - CAPACITY) / PER_SECOND
      const seconds = admitted.at(-1) / 1000
      assert.ok(seconds <= quota / 0.95 + stood, `${seconds} s where the quota allows ${quota}`)
      assert.deepEqual(new Set(order).size, CALLS)
      // Two that are let through in the same moment may be told in either order.
      const displaced = order.filter((user, place) => Math.abs(user - place) > 3)
      assert.deepEqual(displaced, [])
    })
  }

  test('each key has a quota of its own', async (t) => {
    const simulator = await provider(t, { rateLimit: { capacity: 2, refillPerSecond: 0.01 } })
    const options = { maxRetries: 0 }
    const [one, other] = [clientOf(t, simulator, options), clientOf(t, simulator, { ...options, headers: {} })]
    other.apiKey = `${KEY}2`
    await Promise.all([one, one, other].map((client) => client.chat(REQUEST)))
    const error = await failure(one.chat(REQUEST))
    assert.deepEqual([error.code, error.status], ['RATE_LIMITED', 429])
    assert.ok(error.retryAfterMs > 1000, `${error.retryAfterMs}`)
    await other.chat(REQUEST)
    assert.deepEqual(
      simulator.requests.map(({ scenario }) => scenario),
      ['default', 'default', 'default', 'rate-limit', 'default'],
    )
  })
})
