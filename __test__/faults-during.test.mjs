// Every mid-answer fault, with every method that requests an answer, without recovery.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HolySheepError, StreamInterruptedError } from '../index.mjs'
import {
  ANSWER,
  CHUNKS,
  clockOf,
  failure,
  METHODS,
  pair,
  passTime,
  REQUEST,
  STREAMING,
  settled,
  until,
} from './support/provider.mjs'

const FAULTS = {
  reset: 'ECONNRESET',
  close: 'ECONNRESET',
  stall: 'TIMEOUT',
  errorEvent: 'SERVER_ERROR',
  errorEventNamed: 'SERVER_ERROR',
  malformed: 'MALFORMED_RESPONSE',
  done: 'STREAM_TRUNCATED',
  noFinish: 'STREAM_TRUNCATED',
}
const OPTIONS = { idleTimeoutMs: 30_000, recovery: false, retry: { baseDelayMs: 0 } }

/** Awaits a call. On a test clock, waits until the stall `isReached` and then passes the idle timeout. */
async function finish(clock, call, isReached, isOver) {
  if (clock) {
    await until(isReached)
    await passTime(clock, OPTIONS.idleTimeoutMs, isOver)
  }
  return call
}

describe('a mid-answer fault', () => {
  for (const [how, code] of Object.entries(FAULTS)) {
    for (const afterChunks of [1, 4, CHUNKS.length]) {
      for (const method of STREAMING) {
        test(`${how} after ${afterChunks} chunks: ${method} rejects with exactly the text received`, async (t) => {
          const clock = how === 'stall' ? clockOf(t, { settleMs: 5 }) : undefined
          const { simulator, client } = await pair(t, OPTIONS)
          simulator.script({ chunks: CHUNKS, disconnect: { afterChunks, how } })
          const deltas = []
          const call = failure(METHODS[method](client, deltas))
          const isReached = () => deltas.join('') === CHUNKS.slice(0, afterChunks).join('')
          const error = await finish(clock, call, isReached, settled(call))
          assert.ok(error instanceof StreamInterruptedError && error instanceof HolySheepError, error.stack)
          assert.equal(error.name, 'StreamInterruptedError')
          assert.equal(error.code, 'STREAM_INTERRUPTED')
          assert.equal(error.cause.code, code)
          assert.equal(error.partial, CHUNKS.slice(0, afterChunks).join(''))
          assert.equal(deltas.join(''), error.partial)
          assert.equal(error.attempts.length, 1)
          assert.equal(simulator.requests.length, 1)
        })
      }
      for (const method of ['text', 'chat']) {
        test(`${how} after ${afterChunks} chunks: ${method} has delivered nothing yet and retries`, async (t) => {
          const clock = how === 'stall' ? clockOf(t, { settleMs: 5 }) : undefined
          const { simulator, client } = await pair(t, OPTIONS)
          simulator.script({ chunks: CHUNKS, disconnect: { afterChunks, how } })
          const isReached = () => simulator.requests[0]?.bytesSent > 0
          const isOver = () => simulator.requests.length === 2
          const { text } = await finish(clock, METHODS[method](client, []), isReached, isOver)
          assert.equal(text, ANSWER)
          assert.equal(simulator.requests.length, 2)
        })
      }
    }
  }

  // The first bytes are the role chunk. After it, the cuts fall anywhere in the events with a 🐑.
  const sheep = { chunks: ['a🐑', '🐑b'] }
  for (const how of ['reset', 'close']) {
    test(`${how} at any byte: only complete characters are delivered, and partial has all of them`, async (t) => {
      const { simulator, client } = await pair(t, { recovery: false })
      simulator.script(sheep)
      await client.chat(REQUEST)
      await until(() => simulator.requests[0].endedBy === 'complete')
      const size = simulator.requests[0].bytesSent
      let interrupted = 0
      for (let afterBytes = size - 700; afterBytes < size - 150; afterBytes += 7) {
        simulator.script({ ...sheep, disconnect: { afterBytes, how } })
        const deltas = []
        const ended = await METHODS.streamWithRetry(client, deltas).catch((error) => error)
        const text = deltas.join('')
        assert.ok('a🐑🐑b'.startsWith(text) || text === ANSWER, `${text} after ${afterBytes} bytes`)
        assert.ok(!text.includes('\ufffd'))
        if (ended instanceof Error) {
          interrupted++
          assert.ok(ended instanceof StreamInterruptedError)
          assert.equal(ended.partial, text)
        }
      }
      assert.ok(interrupted > 5, `${interrupted} streams were cut`)
    })
  }
})

test('chat() and text() report the text received when every attempt is interrupted', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 1, recovery: false })
  simulator.setDefault({ chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } })
  for (const method of ['chat', 'text']) {
    const error = await failure(METHODS[method](client, []))
    assert.equal(error.code, 'RETRIES_EXHAUSTED')
    assert.equal(error.cause.code, 'ECONNRESET')
    assert.equal(error.partial, CHUNKS.slice(0, 3).join(''))
    assert.deepEqual(
      error.attempts.map(({ deltas }) => deltas),
      [3, 3],
    )
  }
})

test("an in-band error has the provider's message, type and code", async (t) => {
  const { simulator, client } = await pair(t, { recovery: false })
  const error = { message: 'the upstream is gone', type: 'upstream_error', code: 'gone' }
  simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'errorEvent', error } })
  const { cause } = await failure(METHODS.textStream(client, []))
  assert.match(cause.message, /the upstream is gone/)
  assert.equal(cause.type, 'upstream_error')
  assert.equal(cause.providerCode, 'gone')
})
