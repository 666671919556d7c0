// A call ends at once when its caller says so, wherever it is.
import assert from 'node:assert/strict'
import { getMaxListeners } from 'node:events'
import { describe, test } from 'node:test'
import {
  ANSWER,
  clientOf,
  FACES,
  failure,
  MESSAGES,
  PIECES,
  pair,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

/** Where a call can be: the client's options, the provider's scenario, and when it has come there. */
const PLACES = {
  'while it connects': [{}, { hang: true }, () => true],
  'while it waits for the head': [{}, { hang: true }, (requests) => requests.length === 1],
  'while it waits for the first token': [{}, { firstTokenDelayMs: 60_000 }, (requests) => requests[0]?.bytesSent > 0],
  'in mid-answer': [{}, { chunks: PIECES, chunkDelayMs: 10_000 }, (requests) => requests[0]?.bytesSent > 300],
  'while it backs off': [
    { retry: { backoff: [60_000] } },
    { status: 500 },
    (requests) => requests[0]?.endedBy === 'complete',
  ],
  'while it waits as the server says': [
    {},
    { status: 429, retryAfter: 50 },
    (requests) => requests[0]?.endedBy === 'complete',
  ],
}

/** A signal that counts its listeners. */
function counted() {
  const controller = new AbortController()
  const { signal } = controller
  const count = { listeners: 0 }
  for (const [name, step] of [
    ['addEventListener', 1],
    ['removeEventListener', -1],
  ]) {
    const original = signal[name].bind(signal)
    signal[name] = (...given) => {
      count.listeners += step
      return original(...given)
    }
  }
  return { controller, signal, count }
}

describe('an abort', { concurrency: 8 }, () => {
  for (const [place, [options, scenario, there]] of Object.entries(PLACES)) {
    for (const [face, ask] of Object.entries(FACES)) {
      test(`${place}: ${face} rejects with the signal's reason and leaves no listener`, async (t) => {
        const { simulator, client } = await pair(t, options)
        simulator.setDefault(scenario)
        const { controller, signal, count } = counted()
        const reason = new Error('not needed any more')
        const outcome =
          face === 'streamWithRetry'
            ? client.streamWithRetry(MESSAGES, () => {}, null, { signal }).then(({ error }) => error)
            : failure(ask(client, [], { signal }))
        await until(() => there(simulator.requests))
        controller.abort(reason)
        assert.equal(await outcome, reason)
        assert.equal(count.listeners, 0)
        await until(() => client.metrics().inFlight === 0)
        await until(() => simulator.requests.every(({ endedBy }) => endedBy !== 'open'))
        await new Promise((resolve) => setTimeout(resolve, 10))
        // The one that was under way.
        assert.ok(simulator.requests.length <= 1)
      })
    }
  }

  for (const [face, ask] of Object.entries(FACES)) {
    test(`that came before the call: ${face} asks nothing`, async (t) => {
      const { simulator, client } = await pair(t)
      const reason = { any: 'value' }
      const signal = AbortSignal.abort(reason)
      if (face === 'streamWithRetry') {
        const { success, error } = await client.streamWithRetry(MESSAGES, null, null, { signal })
        assert.equal(success, false)
        assert.equal(error.cause, reason)
      } else {
        assert.equal(await failure(ask(client, [], { signal })), reason)
      }
      assert.equal(simulator.requests.length, 0)
    })

    test(`that comes after the call changes nothing: ${face}`, async (t) => {
      const { client } = await pair(t)
      const { controller, signal, count } = counted()
      const { text } = await ask(client, [], { signal })
      assert.equal(count.listeners, 0)
      controller.abort()
      assert.equal(text, ANSWER)
    })
  }

  test('by AbortSignal.timeout is a TimeoutError of the platform', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ hang: true })
    const error = await failure(client.chat(REQUEST, { signal: AbortSignal.timeout(20) }))
    assert.ok(error instanceof DOMException)
    assert.equal(error.name, 'TimeoutError')
  })

  test('of one signal for many calls warns of no leak, and one after the other raise its limit no further', async (t) => {
    const { client } = await pair(t)
    const { signal } = new AbortController()
    const warnings = []
    const note = (warning) => warnings.push(warning.name)
    process.on('warning', note)
    t.after(() => process.off('warning', note))
    await Promise.all(Array.from({ length: 20 }, () => client.chat(REQUEST, { signal })))
    const most = getMaxListeners(signal)
    for (let call = 0; call < 40; call++) await client.chat(REQUEST, { signal })
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([warnings, getMaxListeners(signal)], [[], most])
  })

  test('of one signal ends all its calls and no other', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: PIECES, chunkDelayMs: 60 })
    const controller = new AbortController()
    const other = client.chat(REQUEST)
    // They end by their signal alone.
    const options = { signal: controller.signal, headers: { 'x-simulate': '{"hang":true}' } }
    const mine = Array.from({ length: 50 }, () => failure(client.chat(REQUEST, options)))
    await until(() => simulator.requests.length > 20)
    controller.abort()
    for (const error of await Promise.all(mine)) assert.equal(error.name, 'AbortError')
    assert.equal((await other).choices[0].message.content, ANSWER)
  })

  test('by the stream itself rejects with its reason, or an AbortError', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: PIECES, chunkDelayMs: 10_000 })
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

  test('while the call waits in a queue gives its place to the next', async (t) => {
    const simulator = await provider(t)
    simulator.script({ hang: true })
    const client = clientOf(t, simulator, { maxConcurrent: 1 })
    const [place, controller] = [new AbortController(), new AbortController()]
    const first = failure(client.chat(REQUEST, { signal: place.signal }))
    const second = failure(client.chat(REQUEST, { signal: controller.signal }))
    const third = client.chat(REQUEST)
    await until(() => simulator.requests.length === 1)
    controller.abort(new Error('left the queue'))
    assert.equal((await second).message, 'left the queue')
    place.abort()
    await Promise.all([first, third])
    assert.equal(simulator.requests.length, 2)
  })
})
