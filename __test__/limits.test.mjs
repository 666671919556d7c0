// Concurrency, the queue, the deadline, TLS, and closing a client.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepError, QueueFullError, RateLimitedClient, TimeoutError } from '../index.mjs'
import {
  ANSWER,
  CHUNKS,
  clientOf,
  clockOf,
  END,
  eventOf,
  failure,
  KEY,
  MESSAGES,
  METHODS,
  manualProvider,
  pair,
  passTime,
  provider,
  REQUEST,
  settled,
  until,
} from './support/provider.mjs'

test('maxConcurrent attempts run at a time, and the others wait in order', async (t) => {
  const manual = await manualProvider(t)
  const started = []
  const onEvent = ({ type, requestId }) => type === 'attempt' && started.push(requestId)
  const client = clientOf(t, manual, { maxConcurrent: 2, onEvent })
  const calls = Array.from({ length: 8 }, (_, index) => client.chat({ ...REQUEST, user: `${index}` }))
  for (let answered = 0; answered < 8; answered++) {
    const expected = Math.min(8, answered + 2)
    await until(() => manual.requests.length === expected)
    // Two run, and no other one starts until one of them is answered.
    await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal(manual.requests.length, expected)
    manual.requests[answered].answer('x')
  }
  await Promise.all(calls)
  const userOf = new Map(
    manual.requests.map(({ headers, json }) => [headers['x-client-request-id'], Number(json.user)]),
  )
  const order = started.map((id) => userOf.get(id))
  for (const [index, user] of order.entries()) assert.ok(Math.abs(user - index) <= 1, `${order}`)
})

test('a call beyond maxQueue is rejected immediately', async (t) => {
  const { simulator, client } = await pair(t, { maxConcurrent: 1, maxQueue: 1 })
  simulator.script({ hang: true })
  const slot = new AbortController()
  const running = failure(client.chat(REQUEST, { signal: slot.signal }))
  await until(() => simulator.requests.length === 1)
  const queued = client.chat(REQUEST)
  await until(async () => {
    const error = await client.chat(REQUEST, { signal: AbortSignal.timeout(2) }).catch((thrown) => thrown)
    return error instanceof QueueFullError && error.code === 'QUEUE_FULL'
  })
  slot.abort()
  await Promise.all([running, queued])
})

test('the deadline covers the queue, the waits and the answer', async (t) => {
  const clock = clockOf(t, { settleMs: 30 })
  const simulator = await provider(t)
  for (const [options, scenario] of [
    [{}, { hang: true }],
    [{}, { chunks: CHUNKS, chunkDelayMs: 10_000 }],
    [{ retry: { backoff: [10, 10] }, maxRetries: 1000 }, { status: 500 }],
  ]) {
    simulator.setDefault(scenario)
    const events = []
    const onEvent = ({ type }) => events.push(type)
    const client = clientOf(t, simulator, { totalTimeoutMs: 60, onEvent, ...options })
    for (const method of ['chunks', 'chat', 'streamWithRetry']) {
      const since = clock.elapsedMs
      simulator.clear()
      events.length = 0
      const call = failure(METHODS[method](client, []))
      if (scenario.hang) await until(() => simulator.requests.length === 1)
      else await until(() => events.includes(scenario.chunks ? 'first-token' : 'attempt-failed'))
      const error = await clock.runUntil(call)
      if (scenario.status === undefined) {
        assert.ok(error instanceof TimeoutError, error.stack)
        assert.deepEqual([error.code, error.phase], ['TIMEOUT', 'total'])
        assert.equal(clock.elapsedMs - since, 60)
        assert.equal(error.partial, scenario.chunks && CHUNKS[0])
      } else {
        assert.ok(error instanceof HolySheepError)
        assert.equal(error.attempts[0].status, 500)
      }
    }
  }
  const { simulator: busy, client } = await pair(t, { maxConcurrent: 1 })
  busy.setDefault({ hang: true })
  const slot = new AbortController()
  const first = failure(client.chat(REQUEST, { signal: slot.signal }))
  await until(() => busy.requests.length === 1)
  const late = failure(client.chat(REQUEST, { totalTimeoutMs: 10 }))
  await passTime(clock, 10, settled(late))
  assert.equal((await late).phase, 'total')
  slot.abort()
  await first
  assert.equal(busy.requests.length, 1)
})

test('a healthy long answer is never cut by the stage timeouts', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const manual = await manualProvider(t)
  const events = []
  const onEvent = ({ type }) => events.push(type)
  const client = clientOf(t, manual, { firstTokenTimeoutMs: 50, idleTimeoutMs: 300, maxRetries: 0, onEvent })
  const reader = client.stream(REQUEST).textStream[Symbol.asyncIterator]()
  await until(() => manual.requests.length === 1)
  const { response, begin } = manual.requests[0]
  begin()
  for (let count = 0; count < 30; count++) {
    response.write(eventOf('x'))
    assert.equal((await reader.next()).value, 'x')
    await clock.advance(250)
  }
  response.end(END)
  assert.equal((await reader.next()).done, true)
  // Pings reset the idle timeout.
  events.length = 0
  const call = failure(client.chat(REQUEST, { totalTimeoutMs: 600 }))
  await until(() => manual.requests.length === 2)
  const second = manual.requests[1]
  second.begin().write(eventOf('x'))
  await until(() => events.includes('first-token'))
  for (const ms of [250, 250, 100]) {
    // The clock advances when the ping has been read.
    second.response.write(': ping\n\n')
    await clock.advance(ms)
  }
  assert.equal((await call).phase, 'total')
})

test('TLS with HTTP/2 works only with a trusted certificate', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 }, { tls: true })
  assert.match(simulator.url, /^https:/)
  const error = await failure(client.chat(REQUEST))
  assert.deepEqual([error.name, error.code], ['ConnectionError', 'ERR_TLS'])
  assert.equal(simulator.requests.length, 0)
  const trusting = clientOf(t, simulator, { ca: simulator.certificate })
  const all = await Promise.all(Array.from({ length: 20 }, () => METHODS.textStream(trusting, [])))
  for (const { text } of all) assert.equal(text, ANSWER)
  assert.ok(simulator.requests.every(({ protocol }) => protocol === 'h2'))
  for (const method of Object.keys(METHODS)) {
    simulator.script({ connectReset: true }, { chunks: CHUNKS })
    assert.equal((await METHODS[method](trusting, [])).text, ANSWER)
  }
  simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'reset' } })
  assert.deepEqual(await METHODS.textStream(trusting, []), { text: ANSWER, attempts: 2 })
})

test('a slow reader of one HTTP/2 stream does not block the others on its connection', async (t) => {
  const simulator = await provider(t, { tls: true })
  const client = clientOf(t, simulator, { ca: [simulator.certificate] })
  simulator.script({ text: 'y'.repeat(1000), chunkChars: 1000, repeat: 20_000 })
  const slow = client.stream(REQUEST)
  const iterator = slow.textStream[Symbol.asyncIterator]()
  await iterator.next()
  await new Promise((resolve) => setTimeout(resolve, 100))
  for (let i = 0; i < 5; i++) assert.equal((await METHODS.text(client)).text, ANSWER)
  await iterator.return()
})

test('close() ends the calls in flight and rejects later ones', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: CHUNKS, chunkDelayMs: 10_000 })
  const calls = [
    ...['chunks', 'textStream', 'text', 'chat', 'streamWithRetry'].map((method) =>
      failure(METHODS[method](client, [])),
    ),
    failure(client.executeStream(MESSAGES)),
  ]
  await until(() => simulator.requests.filter(({ bytesSent }) => bytesSent > 300).length === calls.length)
  await client.close()
  for (const error of await Promise.all(calls)) {
    assert.ok(error instanceof HolySheepError)
    assert.equal(error.code, 'CLIENT_CLOSED')
  }
  await until(() => simulator.requests.every(({ endedBy }) => endedBy === 'client'))
  for (const method of Object.keys(METHODS)) {
    assert.equal((await failure(METHODS[method](client, []))).code, 'CLIENT_CLOSED')
  }
  assert.equal(simulator.requests.length, calls.length)
  await client.close()
  // Changing options does not reopen it.
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
