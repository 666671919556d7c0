// Places, the queue, the deadline, TLS, and the end of a client.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepError, QueueFullError, RateLimitedClient, TimeoutError } from '../index.mjs'
import {
  ANSWER,
  clientOf,
  clockOf,
  END,
  eventOf,
  FACES,
  failure,
  KEY,
  MESSAGES,
  PIECES,
  pair,
  passTime,
  provider,
  providerByHand,
  REQUEST,
  settled,
  until,
} from './support/provider.mjs'

test('maxConcurrent attempts run at a time; the others wait in their order', async (t) => {
  const byHand = await providerByHand(t)
  const begun = []
  const onEvent = ({ type, requestId }) => type === 'attempt' && begun.push(requestId)
  const client = clientOf(t, byHand, { maxConcurrent: 2, onEvent })
  const calls = Array.from({ length: 8 }, (_, index) => client.chat({ ...REQUEST, user: `${index}` }))
  for (let answered = 0; answered < 8; answered++) {
    const most = Math.min(8, answered + 2)
    await until(() => byHand.requests.length === most)
    // Two run, and nobody comes until one of them is answered.
    await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(byHand.requests.length, most)
    byHand.requests[answered].answer('x')
  }
  await Promise.all(calls)
  const userOf = new Map(
    byHand.requests.map(({ headers, json }) => [headers['x-client-request-id'], Number(json.user)]),
  )
  const order = begun.map((id) => userOf.get(id))
  for (const [place, user] of order.entries()) assert.ok(Math.abs(user - place) <= 1, `${order}`)
})

test('one more than the queue holds is refused at once', async (t) => {
  const { simulator, client } = await pair(t, { maxConcurrent: 1, maxQueue: 1 })
  simulator.script({ hang: true })
  const place = new AbortController()
  const running = failure(client.chat(REQUEST, { signal: place.signal }))
  await until(() => simulator.requests.length === 1)
  const queued = client.chat(REQUEST)
  await until(async () => {
    const error = await client.chat(REQUEST, { signal: AbortSignal.timeout(2) }).catch((thrown) => thrown)
    return error instanceof QueueFullError && error.code === 'QUEUE_FULL'
  })
  place.abort()
  await Promise.all([running, queued])
})

test('the deadline covers the queue, the waits and the answer', async (t) => {
  const clock = clockOf(t, { settleMs: 30 })
  const simulator = await provider(t)
  for (const [options, scenario] of [
    [{}, { hang: true }],
    [{}, { chunks: PIECES, chunkDelayMs: 10_000 }],
    [{ retry: { backoff: [10, 10] }, maxRetries: 1000 }, { status: 500 }],
  ]) {
    simulator.setDefault(scenario)
    const events = []
    const onEvent = ({ type }) => events.push(type)
    const client = clientOf(t, simulator, { totalTimeoutMs: 60, onEvent, ...options })
    for (const face of ['chunks', 'chat', 'streamWithRetry']) {
      const since = clock.elapsedMs
      simulator.clear()
      events.length = 0
      const call = failure(FACES[face](client, []))
      if (scenario.hang) await until(() => simulator.requests.length === 1)
      else await until(() => events.includes(scenario.chunks ? 'first-token' : 'attempt-failed'))
      const error = await clock.runUntil(call)
      if (scenario.status === undefined) {
        assert.ok(error instanceof TimeoutError, error.stack)
        assert.deepEqual([error.code, error.phase], ['TIMEOUT', 'total'])
        assert.equal(clock.elapsedMs - since, 60)
        assert.equal(error.partial, scenario.chunks && PIECES[0])
      } else {
        assert.ok(error instanceof HolySheepError)
        assert.equal(error.attempts[0].status, 500)
      }
    }
  }
  const { simulator: busy, client } = await pair(t, { maxConcurrent: 1 })
  busy.setDefault({ hang: true })
  const place = new AbortController()
  const first = failure(client.chat(REQUEST, { signal: place.signal }))
  await until(() => busy.requests.length === 1)
  const late = failure(client.chat(REQUEST, { totalTimeoutMs: 10 }))
  await passTime(clock, 10, settled(late))
  assert.equal((await late).phase, 'total')
  place.abort()
  await first
  assert.equal(busy.requests.length, 1)
})

test('a healthy long answer is never cut by the stage timeouts', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const byHand = await providerByHand(t)
  const events = []
  const onEvent = ({ type }) => events.push(type)
  const client = clientOf(t, byHand, { firstTokenTimeoutMs: 50, idleTimeoutMs: 300, maxRetries: 0, onEvent })
  const pieces = client.stream(REQUEST).textStream[Symbol.asyncIterator]()
  await until(() => byHand.requests.length === 1)
  const { response, begin } = byHand.requests[0]
  begin()
  for (let piece = 0; piece < 30; piece++) {
    response.write(eventOf('x'))
    assert.equal((await pieces.next()).value, 'x')
    await clock.advance(250)
  }
  response.end(END)
  assert.equal((await pieces.next()).done, true)
  // Pings end the silence.
  events.length = 0
  const call = failure(client.chat(REQUEST, { totalTimeoutMs: 600 }))
  await until(() => byHand.requests.length === 2)
  const second = byHand.requests[1]
  second.begin().write(eventOf('x'))
  await until(() => events.includes('first-token'))
  const pings = setInterval(() => second.response.write(': ping\n\n'), 1)
  t.after(() => clearInterval(pings))
  for (const ms of [250, 250, 100]) {
    await clock.advance(ms)
    // Time for one of the pings to be read.
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  assert.equal((await call).phase, 'total')
})

test('TLS with HTTP/2 works with the certificate that is trusted, and with no other', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 }, { tls: true })
  assert.match(simulator.url, /^https:/)
  const error = await failure(client.chat(REQUEST))
  assert.deepEqual([error.name, error.code], ['ConnectionError', 'ERR_TLS'])
  assert.equal(simulator.requests.length, 0)
  const trusting = clientOf(t, simulator, { ca: simulator.certificate })
  const all = await Promise.all(Array.from({ length: 20 }, () => FACES.textStream(trusting, [])))
  for (const { text } of all) assert.equal(text, ANSWER)
  assert.ok(simulator.requests.every(({ protocol }) => protocol === 'h2'))
  for (const face of Object.keys(FACES)) {
    simulator.script({ connectReset: true }, { chunks: PIECES })
    assert.equal((await FACES[face](trusting, [])).text, ANSWER)
  }
  simulator.script({ chunks: PIECES, disconnect: { afterChunks: 2, how: 'reset' } })
  assert.deepEqual(await FACES.textStream(trusting, []), { text: ANSWER, attempts: 2 })
})

test('a slow reader of one HTTP/2 stream does not hold the others on its connection', async (t) => {
  const simulator = await provider(t, { tls: true })
  const client = clientOf(t, simulator, { ca: [simulator.certificate] })
  simulator.script({ text: 'y'.repeat(1000), chunkChars: 1000, repeat: 20_000 })
  const slow = client.stream(REQUEST)
  const iterator = slow.textStream[Symbol.asyncIterator]()
  await iterator.next()
  await new Promise((resolve) => setTimeout(resolve, 100))
  for (let i = 0; i < 5; i++) assert.equal((await FACES.text(client)).text, ANSWER)
  await iterator.return()
})

test('close() ends what is in flight and refuses what comes later', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: PIECES, chunkDelayMs: 10_000 })
  const ends = [
    ...['chunks', 'textStream', 'text', 'chat', 'streamWithRetry'].map((face) => failure(FACES[face](client, []))),
    failure(client.executeStream(MESSAGES)),
  ]
  await until(() => simulator.requests.filter(({ bytesSent }) => bytesSent > 300).length === ends.length)
  await client.close()
  for (const error of await Promise.all(ends)) {
    assert.ok(error instanceof HolySheepError)
    assert.equal(error.code, 'CLIENT_CLOSED')
  }
  await until(() => simulator.requests.every(({ endedBy }) => endedBy === 'client'))
  for (const face of Object.keys(FACES)) {
    assert.equal((await failure(FACES[face](client, []))).code, 'CLIENT_CLOSED')
  }
  assert.equal(simulator.requests.length, ends.length)
  await client.close()
  // Other options do not open it again.
  client.maxRetries = 1
  assert.equal((await failure(client.chat(REQUEST))).code, 'CLIENT_CLOSED')
})

test('the end of an `await using` block closes the client', async (t) => {
  const simulator = await provider(t)
  for (const client of [clientOf(t, simulator), new RateLimitedClient(KEY, { baseUrl: simulator.url })]) {
    simulator.script({ hang: true })
    const call = failure(client.chat(REQUEST))
    await client[Symbol.asyncDispose]()
    assert.equal((await call).code, 'CLIENT_CLOSED')
  }
})
