// 1000 concurrent calls to a provider that allows 100 and then 100 per second, checked against its records on a test
// clock.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { ANSWER, clientOf, clockOf, END, eventOf, failure, KEY, provider, REQUEST, until } from './support/provider.mjs'

const CALLS = 1000
const CAPACITY = 100
const PER_SECOND = 100

/** A provider whose token bucket follows the clock: its URL, and when it admitted or rejected each user. */
async function bucket(t, clock) {
  const records = []
  let [tokens, at] = [CAPACITY, 0]
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request.setEncoding('utf8')) body += part
    const atMs = clock.elapsedMs
    tokens = Math.min(CAPACITY, tokens + ((atMs - at) / 1000) * PER_SECOND)
    at = atMs
    // Tolerates rounding errors.
    const rejected = tokens < 1 - 1e-6
    if (!rejected) tokens--
    const { headers } = request
    records.push({ atMs, rejected, user: Number(JSON.parse(body).user), id: headers['x-client-request-id'] })
    response.setHeader('x-ratelimit-limit-requests', CAPACITY)
    response.setHeader('x-ratelimit-remaining-requests', Math.floor(tokens))
    response.setHeader('x-ratelimit-reset-requests', `${Math.ceil(((CAPACITY - tokens) / PER_SECOND) * 1000)}ms`)
    if (rejected) {
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

/**
 * Makes 1000 calls, all but the first concurrently, numbered in the field `user`. Returns what the provider recorded, and
 * the order in which the calls were admitted.
 */
async function rush(t, rateLimit) {
  const clock = clockOf(t, { settleMs: 0 })
  const { url, records } = await bucket(t, clock)
  const started = []
  let ended = 0
  const onEvent = ({ type, attempt, requestId }) => {
    if (type === 'attempt' && attempt === 1) started.push(requestId)
    if (type === 'attempt-failed' || type === 'complete') ended++
  }
  const client = clientOf(t, { url }, { rateLimit, onEvent })
  let over = false
  const call = (user) => client.chat({ ...REQUEST, user: `${user}` })
  // The first answer teaches the client the quota.
  const first = await call(0)
  const calls = [first, ...Array.from({ length: CALLS - 1 }, (_, index) => call(index + 1))]
  const all = Promise.all(calls).finally(() => {
    over = true
  })
  all.catch(() => {})
  while (!over) {
    // Time advances when no request is in flight. The metrics count the attempts that the last step started, whose
    // events may still be on their way.
    await until(() => over || ended === client.metrics().attempts, 'the answers')
    await clock.advance(1000 / PER_SECOND)
  }
  for (const answer of await all) assert.equal(answer.choices[0].message.content, ANSWER)
  const userOf = new Map(records.map(({ id, user }) => [id, user]))
  return {
    rejected: records.filter(({ rejected }) => rejected).map(({ atMs }) => atMs - records[0].atMs),
    admitted: records.filter(({ rejected }) => !rejected).map(({ atMs }) => atMs - records[0].atMs),
    order: started.map((id) => userOf.get(id)),
  }
}

describe('a provider with a token bucket', () => {
  for (const [name, rateLimit] of [
    ['a client configured with the quota', { capacity: CAPACITY, refillRate: PER_SECOND, adapt: 'headers' }],
    ['a client that learns the quota from headers', { capacity: CALLS, refillRate: CALLS, adapt: 'headers' }],
  ]) {
    test(`${name} uses all of it, in order, without a 429 after the first second`, async (t) => {
      const { rejected, admitted, order } = await rush(t, rateLimit)
      assert.deepEqual(
        rejected.filter((ms) => ms > 1000),
        [],
      )
      assert.equal(admitted.length, CALLS)
      const quota = (CALLS - CAPACITY) / PER_SECOND
      const seconds = admitted.at(-1) / 1000
      assert.ok(seconds <= quota / 0.95, `${seconds} s where the quota allows ${quota}`)
      assert.deepEqual(new Set(order).size, CALLS)
      // Calls that are admitted at the same moment may be reported in any order.
      const displaced = order.filter((user, index) => Math.abs(user - index) > 3)
      assert.deepEqual(displaced, [])
    })
  }

  test('each key has its own quota', async (t) => {
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
