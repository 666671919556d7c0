// A second request alongside a slow first one, over real sockets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ANSWER,
  CHUNKS,
  clientOf,
  clockOf,
  failure,
  METHODS,
  passTime,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

const SLOW = { chunks: CHUNKS, firstTokenDelayMs: 60_000 }

/** A slow simulator, a fast one, and a client of both. `hedged` awaits a call that is hedged once the slow one has it. */
async function twoOf(t, options, [a, b] = [SLOW, { chunks: CHUNKS }]) {
  const clock = clockOf(t, { settleMs: 5 })
  const [slow, fast] = [await provider(t, { default: a }), await provider(t, { default: b })]
  const endpoints = [
    { name: 'slow', baseUrl: slow.url },
    { name: 'fast', baseUrl: fast.url },
  ]
  const client = clientOf(t, slow, { baseUrl: undefined, endpoints, hedge: { afterMs: 30 }, ...options })
  const hedged = async (call) => {
    await until(() => slow.requests.length === 1, 'the first request')
    await passTime(clock, 30, () => fast.requests.length === 1)
    return call
  }
  return { client, slow, fast, hedged }
}

for (const [method, call] of Object.entries(METHODS)) {
  test(`${method}: the faster answer is delivered exactly once, and the other socket is closed`, async (t) => {
    const events = []
    const { client, slow, fast, hedged } = await twoOf(t, { onEvent: (event) => events.push(event) })
    const { text } = await hedged(call(client, []))
    assert.equal(text, ANSWER)
    assert.deepEqual([slow.requests.length, fast.requests.length], [1, 1])
    await until(() => slow.requests[0].endedBy === 'client', 'the end of the slow request')
    await until(() => slow.openConnections === 0, 'the end of its connection')
    const numbers = [slow, fast].map(({ requests }) => requests[0].headers['x-holysheep-attempt'])
    assert.deepEqual(numbers, ['1', '2'])
    const lost = events.filter(({ type }) => type === 'hedge-lost')
    assert.deepEqual(
      lost.map(({ attempt, endpoint, hedge }) => [attempt, endpoint, hedge]),
      [[1, 'slow', false]],
    )
    assert.deepEqual([client.metrics().hedges, client.metrics().hedgeWins], [1, 1])
  })
}

test('the result names the winner and the loser', async (t) => {
  const { client, hedged } = await twoOf(t)
  const stream = client.stream(REQUEST)
  await hedged(stream.text())
  const { endpoint, attempts } = await stream.result
  assert.equal(endpoint, 'fast')
  assert.deepEqual(
    attempts.map(({ attempt, outcome }) => [attempt, outcome]),
    [
      [1, 'hedge-lost'],
      [2, 'complete'],
    ],
  )
})

test('without the option there is only one request', async (t) => {
  const { client, fast } = await twoOf(t, { hedge: false }, [{ ...SLOW, firstTokenDelayMs: 80 }, {}])
  await client.chat(REQUEST)
  assert.deepEqual([fast.requests.length, client.metrics().hedges], [0, 0])
})

test('a failure of the first attempt is hidden by its hedge', async (t) => {
  const slow = { status: 503, headersDelayMs: 300 }
  const { client, fast, hedged } = await twoOf(t, {}, [slow, { chunks: CHUNKS, firstTokenDelayMs: 1500 }])
  const stream = client.stream(REQUEST)
  assert.equal(await hedged(stream.text()), ANSWER)
  const { attempts } = await stream.result
  assert.deepEqual(
    attempts.map(({ outcome }) => outcome),
    ['SERVER_ERROR', 'complete'],
  )
  assert.equal(fast.requests.length, 1)
})

test('an abort closes both sockets', async (t) => {
  const { client, slow, fast, hedged } = await twoOf(t, {}, [SLOW, SLOW])
  const abort = new AbortController()
  const call = failure(client.chat(REQUEST, { signal: abort.signal }))
  hedged(call)
  await until(() => fast.requests.length === 1, 'the hedge')
  abort.abort()
  await call
  await until(() => slow.openConnections + fast.openConnections === 0, 'the end of both connections')
  await until(() => slow.requests[0].endedBy === 'client' && fast.requests[0].endedBy === 'client')
})

test('isFailure is called for the failed attempt while the other one continues', async (t) => {
  const statuses = []
  const isFailure = (error) => statuses.push(error.status) > 0
  const slow = { status: 503, headersDelayMs: 300 }
  const circuitBreaker = { failureThreshold: 1, isFailure }
  const { client, hedged } = await twoOf(t, { circuitBreaker }, [slow, { chunks: CHUNKS, firstTokenDelayMs: 1500 }])
  await hedged(client.chat(REQUEST))
  assert.deepEqual(statuses, [503])
  assert.deepEqual(
    client.metrics().breakers.map(({ state }) => state),
    ['OPEN', 'CLOSED'],
  )
})

test('an invalid option is rejected by name', async (t) => {
  const { client } = await twoOf(t)
  for (const hedge of [true, { afterMs: 'p99' }, { afterMs: 0 }, { afterMs: Number.NaN }, { after: 1 }]) {
    const error = await failure((async () => client.chat(REQUEST, { hedge }))())
    assert.match(error.message, /^hedge/)
  }
})
