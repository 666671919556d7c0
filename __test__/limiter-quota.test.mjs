// 1000 calls at once against a provider that allows 100 and then 100 a second, judged by its own records, on a test clock.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { ANSWER, clientOf, clockOf, END, eventOf, failure, KEY, later, provider, REQUEST } from './support/provider.mjs'

const CALLS = 1000
const CAPACITY = 100
const PER_SECOND = 100

/** A provider whose bucket follows the clock: its URL, and when it has let in or refused which user. */
async function bucket(t, clock) {
  const records = []
  let [tokens, at] = [CAPACITY, 0]
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request.setEncoding('utf8')) body += part
    const atMs = clock.elapsedMs
    tokens = Math.min(CAPACITY, tokens + ((atMs - at) / 1000) * PER_SECOND)
    at = atMs
    // What a token lacks by rounding it does not lack.
    const refused = tokens < 1 - 1e-6
    if (!refused) tokens--
    const { headers } = request
    records.push({ atMs, refused, user: Number(JSON.parse(body).user), id: headers['x-client-request-id'] })
    response.setHeader('x-ratelimit-limit-requests', CAPACITY)
    response.setHeader('x-ratelimit-remaining-requests', Math.floor(tokens))
    response.setHeader('x-ratelimit-reset-requests', `${Math.ceil(((CAPACITY - tokens) / PER_SECOND) * 1000)}ms`)
    if (refused) {
      response.setHeader('retry-after-ms', Math.ceil(((1 - tokens) / PER_SECOND) * 1000))
      response.writeHead(429).end()
    } else {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(eventOf(ANSWER) + END)
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', CALLS, resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${server.address().port}/v1`, records }
}

/** 1000 calls, all but the first at once, numbered in the field `user`; what the provider saw, and the order in which they were let through. */
async function rush(t, rateLimit) {
  const clock = clockOf(t, { settleMs: 0 })
  const { url, records } = await bucket(t, clock)
  const begun = []
  let [attempts, ended] = [0, 0]
  const onEvent = ({ type, attempt, requestId }) => {
    if (type === 'attempt') attempts++
    if (type === 'attempt' && attempt === 1) begun.push(requestId)
    if (type === 'attempt-failed' || type === 'complete') ended++
  }
  const client = clientOf(t, { url }, { rateLimit, onEvent })
  let over = false
  const ask = (user) => client.chat({ ...REQUEST, user: `${user}` })
  // From its answer is learned what there is to learn.
  const first = await ask(0)
  const calls = [first, ...Array.from({ length: CALLS - 1 }, (_, index) => ask(index + 1))]
  const all = Promise.all(calls).finally(() => {
    over = true
  })
  all.catch(() => {})
  while (!over) {
    // Time goes on when nobody is on the way; who may be let through then has a moment to come.
    while (!over && ended < attempts) await later(1)
    const before = attempts
    await clock.advance(1000 / PER_SECOND)
    for (let left = 50; left > 0 && !over && attempts === before; left--) await later(1)
  }
  for (const answer of await all) assert.equal(answer.choices[0].message.content, ANSWER)
  const userOf = new Map(records.map(({ id, user }) => [id, user]))
  return {
    refused: records.filter(({ refused }) => refused).map(({ atMs }) => atMs - records[0].atMs),
    admitted: records.filter(({ refused }) => !refused).map(({ atMs }) => atMs - records[0].atMs),
    order: begun.map((id) => userOf.get(id)),
  }
}

describe('a provider with a bucket', () => {
  for (const [name, rateLimit] of [
    ['a client that was told its quota', { capacity: CAPACITY, refillRate: PER_SECOND, adapt: 'headers' }],
    ['a client that learns it from the headers', { capacity: CALLS, refillRate: CALLS, adapt: 'headers' }],
  ]) {
    test(`${name} uses it up, in order, without a 429 after the first second`, async (t) => {
      const { refused, admitted, order } = await rush(t, rateLimit)
      assert.deepEqual(
        refused.filter((ms) => ms > 1000),
        [],
      )
      assert.equal(admitted.length, CALLS)
      const quota = (CALLS - CAPACITY) / PER_SECOND
      const seconds = admitted.at(-1) / 1000
      assert.ok(seconds <= quota / 0.95, `${seconds} s where the quota allows ${quota}`)
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
