// Places, the queue, the deadline, TLS, and the end of a client.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepError, QueueFullError, RateLimitedClient, TimeoutError } from '../index.mjs'
import {
  ANSWER,
  clientOf,
  FACES,
  failure,
  KEY,
  MESSAGES,
  PIECES,
  pair,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

const SLOW = { chunks: PIECES, chunkDelayMs: 3 }

test('maxConcurrent attempts run at a time; the others wait in their order', async (t) => {
  const { simulator, client } = await pair(t, { maxConcurrent: 2 })
  simulator.setDefault(SLOW)
  const calls = Array.from({ length: 8 }, (_, index) => client.chat({ ...REQUEST, user: `${index}` }))
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, simulator.requests.filter(({ endedBy }) => endedBy === 'open').length)
  }, 1)
  await Promise.all(calls)
  clearInterval(watch)
  assert.ok(most <= 2, `${most} at once`)
  const order = simulator.requests.map(({ json }) => Number(json.user))
  for (const [place, user] of order.entries()) assert.ok(Math.abs(user - place) <= 1, `${order}`)
})

test('one more than the queue holds is refused at once', async (t) => {
  const { simulator, client } = await pair(t, { maxConcurrent: 1, maxQueue: 1 })
  simulator.setDefault(SLOW)
  const running = client.chat(REQUEST)
  await until(() => simulator.requests.length === 1)
  const queued = client.chat(REQUEST)
  await until(async () => {
    const error = await client.chat(REQUEST, { signal: AbortSignal.timeout(2) }).catch((thrown) => thrown)
    return error instanceof QueueFullError && error.code === 'QUEUE_FULL'
  })
  await Promise.all([running, queued])
})

test('the deadline covers the queue, the waits and the answer', async (t) => {
  const simulator = await provider(t)
  for (const [options, scenario] of [
    [{}, { hang: true }],
    [{}, { chunks: PIECES, chunkDelayMs: 10_000 }],
    [{ retry: { backoff: [10, 10] }, maxRetries: 1000 }, { status: 500 }],
  ]) {
    simulator.setDefault(scenario)
    const client = clientOf(t, simulator, { totalTimeoutMs: 60, ...options })
    for (const face of ['chunks', 'chat', 'streamWithRetry']) {
      const since = performance.now()
      const error = await failure(FACES[face](client, []))
      if (scenario.status === undefined) {
        assert.ok(error instanceof TimeoutError, error.stack)
        assert.deepEqual([error.code, error.phase], ['TIMEOUT', 'total'])
        assert.ok(performance.now() - since >= 58)
        assert.equal(error.partial, scenario.chunks && PIECES[0])
      } else {
        assert.ok(error instanceof HolySheepError)
        assert.equal(error.attempts[0].status, 500)
      }
    }
  }
  const { simulator: busy, client } = await pair(t, { maxConcurrent: 1 })
  busy.setDefault({ chunks: PIECES, chunkDelayMs: 30 })
  const first = client.chat(REQUEST)
  await until(() => busy.requests.length === 1)
  assert.equal((await failure(client.chat(REQUEST, { totalTimeoutMs: 10 }))).phase, 'total')
  await first
  assert.equal(busy.requests.length, 1)
})

test('a healthy long answer is never cut by the stage timeouts', async (t) => {
  const { simulator, client } = await pair(t, { firstTokenTimeoutMs: 250, idleTimeoutMs: 300, maxRetries: 0 })
  simulator.script({ text: 'x'.repeat(30), chunkChars: 1, chunkDelayMs: 15 })
  assert.equal((await FACES.text(client)).text, 'x'.repeat(30))
  // Pings end the silence.
  simulator.script({ chunks: PIECES, disconnect: { afterChunks: 3, how: 'stall' }, pings: { everyMs: 10 } })
  const error = await failure(client.chat(REQUEST, { totalTimeoutMs: 600 }))
  assert.equal(error.phase, 'total')
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
