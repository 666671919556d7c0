// An abort ends a call immediately, in any phase.
import assert from 'node:assert/strict'
import { getMaxListeners } from 'node:events'
import { describe, test } from 'node:test'
import {
  ANSWER,
  CHUNKS,
  clientOf,
  failure,
  MESSAGES,
  METHODS,
  pair,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

/** Phase of a call → the client's options, the provider's scenario, and whether the call has reached the phase. */
const PHASES = {
  'while connecting': [{}, { hang: true }, () => true],
  'while waiting for the response head': [{}, { hang: true }, (requests) => requests.length === 1],
  'while waiting for the first token': [{}, { firstTokenDelayMs: 60_000 }, (requests) => requests[0]?.bytesSent > 0],
  'mid-answer': [{}, { chunks: CHUNKS, chunkDelayMs: 10_000 }, (requests) => requests[0]?.bytesSent > 300],
  'during a backoff': [
    { retry: { backoff: [60_000] } },
    { status: 500 },
    (requests) => requests[0]?.endedBy === 'complete',
  ],
  'during a Retry-After wait': [{}, { status: 429, retryAfter: 50 }, (requests) => requests[0]?.endedBy === 'complete'],
}

/** A signal that counts its listeners. */
function countingSignal() {
  const controller = new AbortController()
  const { signal } = controller
  const count = { listeners: 0 }
  for (const [name, step] of [
    ['addEventListener', 1],
    ['removeEventListener', -1],
  ]) {
    const original = signal[name].bind(signal)
    signal[name] = (...args) => {
      count.listeners += step
      return original(...args)
    }
  }
  return { controller, signal, count }
}

describe('an abort', { concurrency: 8 }, () => {
  for (const [phase, [options, scenario, isReached]] of Object.entries(PHASES)) {
    for (const [method, call] of Object.entries(METHODS)) {
      test(`${phase}: ${method} rejects with the signal's reason and leaves no listener`, async (t) => {
        const { simulator, client } = await pair(t, options)
        simulator.setDefault(scenario)
        const { controller, signal, count } = countingSignal()
        const reason = new Error('not needed any more')
        const outcome =
          method === 'streamWithRetry'
            ? client.streamWithRetry(MESSAGES, () => {}, null, { signal }).then(({ error }) => error)
            : failure(call(client, [], { signal }))
        await until(() => isReached(simulator.requests))
        controller.abort(reason)
        assert.equal(await outcome, reason)
        assert.equal(count.listeners, 0)
        await until(() => client.metrics().inFlight === 0)
        await until(() => simulator.requests.every(({ endedBy }) => endedBy !== 'open'))
        await new Promise((resolve) => setTimeout(resolve, 10))
        // Only the request in flight.
        assert.ok(simulator.requests.length <= 1)
      })
    }
  }

  for (const [method, call] of Object.entries(METHODS)) {
    test(`before the call: ${method} sends no request`, async (t) => {
      const { simulator, client } = await pair(t)
      const reason = { any: 'value' }
      const signal = AbortSignal.abort(reason)
      if (method === 'streamWithRetry') {
        const { success, error } = await client.streamWithRetry(MESSAGES, null, null, { signal })
        assert.equal(success, false)
        assert.equal(error.cause, reason)
      } else {
        assert.equal(await failure(call(client, [], { signal })), reason)
      }
      assert.equal(simulator.requests.length, 0)
    })

    test(`after the call has no effect: ${method}`, async (t) => {
      const { client } = await pair(t)
      const { controller, signal, count } = countingSignal()
      const { text } = await call(client, [], { signal })
      assert.equal(count.listeners, 0)
      controller.abort()
      assert.equal(text, ANSWER)
    })
  }

  test("from AbortSignal.timeout rejects with the platform's TimeoutError", async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ hang: true })
    const error = await failure(client.chat(REQUEST, { signal: AbortSignal.timeout(20) }))
    assert.ok(error instanceof DOMException)
    assert.equal(error.name, 'TimeoutError')
  })

  test('of a signal shared by many calls causes no leak warning, and sequential calls do not raise its listener limit', async (t) => {
    const { client } = await pair(t)
    const { signal } = new AbortController()
    const warnings = []
    const note = (warning) => warnings.push(warning.name)
    process.on('warning', note)
    t.after(() => process.off('warning', note))
    await Promise.all(Array.from({ length: 20 }, () => client.chat(REQUEST, { signal })))
    const limit = getMaxListeners(signal)
    for (let call = 0; call < 40; call++) await client.chat(REQUEST, { signal })
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([warnings, getMaxListeners(signal)], [[], limit])
  })

  test('of a shared signal ends all of its calls and no others', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: CHUNKS, chunkDelayMs: 60 })
    const controller = new AbortController()
    const other = client.chat(REQUEST)
    // Only their signal can end them.
    const options = { signal: controller.signal, headers: { 'x-simulate': '{"hang":true}' } }
    const mine = Array.from({ length: 50 }, () => failure(client.chat(REQUEST, options)))
    await until(() => simulator.requests.length > 20)
    controller.abort()
    for (const error of await Promise.all(mine)) assert.equal(error.name, 'AbortError')
    assert.equal((await other).choices[0].message.content, ANSWER)
  })

  test('through stream.abort() rejects with its reason, or with an AbortError', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: CHUNKS, chunkDelayMs: 10_000 })
    for (const reason of [undefined, new Error('mine')]) {
      const stream = client.stream(REQUEST)
      const iterator = stream.textStream[Symbol.asyncIterator]()
      await iterator.next()
      stream.abort(reason)
      stream.abort(new Error('too late'))
      let error
      while (error === undefined) {
        const next = await iterator.next().catch((thrown) => {
          error = thrown
        })
        assert.ok(!next?.done)
      }
      if (reason === undefined) assert.equal(error.name, 'AbortError')
      else assert.equal(error, reason)
      assert.equal(await failure(stream.result), error)
    }
  })

  test('while a call is queued lets the next call advance', async (t) => {
    const simulator = await provider(t)
    simulator.script({ hang: true })
    const client = clientOf(t, simulator, { maxConcurrent: 1 })
    const [slot, controller] = [new AbortController(), new AbortController()]
    const first = failure(client.chat(REQUEST, { signal: slot.signal }))
    const second = failure(client.chat(REQUEST, { signal: controller.signal }))
    const third = client.chat(REQUEST)
    await until(() => simulator.requests.length === 1)
    controller.abort(new Error('left the queue'))
    assert.equal((await second).message, 'left the queue')
    slot.abort()
    await Promise.all([first, third])
    assert.equal(simulator.requests.length, 2)
  })
})
