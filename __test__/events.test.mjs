// The events of a client, and their async context.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import { CHUNKS, failure, KEY, MESSAGES, pair, provider, QUICK, REQUEST, until } from './support/provider.mjs'

test('events report a call in order', async (t) => {
  const events = []
  const { simulator, client } = await pair(t, { onEvent: (event) => events.push(event) })
  simulator.script({ status: 429, retryAfterMs: 5 }, { connectReset: true })
  await client.chat(REQUEST)
  assert.deepEqual(
    events.map(({ type, reason, code, attempt }) => [type, reason ?? code ?? attempt]),
    [
      ['attempt', 'first'],
      ['attempt-failed', 'RATE_LIMITED'],
      ['wait', 'retry-after'],
      ['attempt', 'retry'],
      ['attempt-failed', 'ECONNRESET'],
      ['wait', 'backoff'],
      ['attempt', 'retry'],
      ['first-token', 3],
      ['complete', undefined],
    ],
  )
  assert.equal(new Set(events.map(({ call }) => call)).size, 1)
  assert.equal(events[1].status, 429)
  assert.ok(events[2].ms >= 5)
  assert.equal(events.at(-1).attempts, 3)
  const sent = simulator.requests.map(({ headers }) => headers['x-client-request-id'])
  assert.deepEqual(
    events.filter(({ type }) => type === 'attempt').map(({ requestId }) => requestId),
    sent,
  )
})

test('a failed call, a fallback and an opening circuit are reported', async (t) => {
  const events = []
  const options = { onEvent: (event) => events.push(event), maxRetries: 0, fallbackModels: ['small'] }
  const { simulator, client } = await pair(t, { ...options, circuitBreaker: { failureThreshold: 1 } })
  simulator.setDefault({ status: 500 })
  await failure(client.chat(REQUEST))
  const ofType = (wanted) => events.filter(({ type }) => type === wanted)
  assert.deepEqual(
    ofType('fallback').map(({ fromModel, model }) => [fromModel, model]),
    [['gpt-4.1', 'small']],
  )
  assert.deepEqual(
    ofType('circuit').map(({ model, from, to }) => [model, from, to]),
    [
      ['gpt-4.1', 'CLOSED', 'OPEN'],
      ['small', 'CLOSED', 'OPEN'],
    ],
  )
  assert.deepEqual(
    ofType('failed').map(({ code, attempts }) => [code, attempts]),
    [['RETRIES_EXHAUSTED', 2]],
  )
})

test('an onEvent that throws causes a process warning, and the call continues', async (t) => {
  const warnings = []
  const listener = ({ message }) => warnings.push(message)
  process.on('warning', listener)
  t.after(() => process.off('warning', listener))
  const { client } = await pair(t, {
    onEvent() {
      throw new Error('the observer failed')
    },
  })
  await client.chat(REQUEST)
  await until(() => warnings.length > 0)
  assert.match(warnings[0], /onEvent.*the observer failed/)
})

test('callbacks, loops and events run in the async context of their call', async (t) => {
  const storage = new AsyncLocalStorage()
  const simulator = await provider(t, { default: { chunks: CHUNKS, chunkDelayMs: 1 } })
  const seen = new Map()
  const record = (what) =>
    seen.set(`${storage.getStore()} ${what}`, (seen.get(`${storage.getStore()} ${what}`) ?? 0) + 1)
  const client = storage.run(
    'the constructor',
    () =>
      new HolySheepStreamingClient(KEY, {
        baseUrl: simulator.url,
        ...QUICK,
        maxRetries: 0,
        onEvent: ({ type }) => record(type),
      }),
  )
  t.after(() => client.close())
  const call = (name) =>
    storage.run(name, async () => {
      await client.streamWithRetry(MESSAGES, () => record('onChunk'))
      record('after')
      for await (const _ of client.stream(REQUEST).textStream) record('loop')
      await failure(
        client
          .streamWithRetry(
            MESSAGES,
            () => {
              record('throws')
              throw new Error()
            },
            () => record('onError'),
          )
          .then(({ error }) => Promise.reject(error)),
      )
    })
  await Promise.all(['a', 'b', 'c'].map(call))
  for (const name of ['a', 'b', 'c']) {
    for (const [what, count] of Object.entries({
      onChunk: CHUNKS.length,
      after: 1,
      loop: CHUNKS.length,
      throws: 1,
      onError: 1,
      attempt: 3,
      'first-token': 3,
      complete: 2,
    })) {
      assert.equal(seen.get(`${name} ${what}`), count, `${name} ${what}`)
    }
  }
  assert.ok(
    [...seen.keys()].every((key) => /^[abc] /.test(key)),
    `${[...seen.keys()]}`,
  )
})
