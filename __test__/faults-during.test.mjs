// Every fault that strikes in mid-answer, against every way to ask for one, where nothing is to be taken up again.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HolySheepError, StreamInterruptedError } from '../index.mjs'
import {
  ANSWER,
  clockOf,
  FACES,
  failure,
  PIECES,
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

/** What a call comes to: where its first answer stalls, on a test clock that passes its timeout once it `isThere`. */
async function comeTo(clock, call, isThere, isOver) {
  if (clock) {
    await until(isThere)
    await passTime(clock, OPTIONS.idleTimeoutMs, isOver)
  }
  return call
}

describe('a fault in mid-answer', () => {
  for (const [how, code] of Object.entries(FAULTS)) {
    for (const afterChunks of [1, 4, PIECES.length]) {
      for (const face of STREAMING) {
        test(`${how} after ${afterChunks} pieces: ${face} rejects with exactly what was received`, async (t) => {
          const clock = how === 'stall' ? clockOf(t, { settleMs: 5 }) : undefined
          const { simulator, client } = await pair(t, OPTIONS)
          simulator.script({ chunks: PIECES, disconnect: { afterChunks, how } })
          const pieces = []
          const call = failure(FACES[face](client, pieces))
          const isThere = () => pieces.join('') === PIECES.slice(0, afterChunks).join('')
          const error = await comeTo(clock, call, isThere, settled(call))
          assert.ok(error instanceof StreamInterruptedError && error instanceof HolySheepError, error.stack)
          assert.equal(error.name, 'StreamInterruptedError')
          assert.equal(error.code, 'STREAM_INTERRUPTED')
          assert.equal(error.cause.code, code)
          assert.equal(error.partial, PIECES.slice(0, afterChunks).join(''))
          assert.equal(pieces.join(''), error.partial)
          assert.equal(error.attempts.length, 1)
          assert.equal(simulator.requests.length, 1)
        })
      }
      for (const face of ['text', 'chat']) {
        test(`${how} after ${afterChunks} pieces: ${face} has shown nothing yet and tries again`, async (t) => {
          const clock = how === 'stall' ? clockOf(t, { settleMs: 5 }) : undefined
          const { simulator, client } = await pair(t, OPTIONS)
          simulator.script({ chunks: PIECES, disconnect: { afterChunks, how } })
          const isThere = () => simulator.requests[0]?.bytesSent > 0
          const isOver = () => simulator.requests.length === 2
          const { text } = await comeTo(clock, FACES[face](client, []), isThere, isOver)
          assert.equal(text, ANSWER)
          assert.equal(simulator.requests.length, 2)
        })
      }
    }
  }

  // The first bytes are the chunk with the role; then every byte of an event with 🐑 in it is a place to cut.
  const sheep = { chunks: ['a🐑', '🐑b'] }
  for (const how of ['reset', 'close']) {
    test(`${how} at any byte: what is delivered is whole characters, and partial is their sum`, async (t) => {
      const { simulator, client } = await pair(t, { recovery: false })
      simulator.script(sheep)
      await client.chat(REQUEST)
      await until(() => simulator.requests[0].endedBy === 'complete')
      const size = simulator.requests[0].bytesSent
      let interrupted = 0
      for (let afterBytes = size - 700; afterBytes < size - 150; afterBytes += 7) {
        simulator.script({ ...sheep, disconnect: { afterBytes, how } })
        const pieces = []
        const ended = await FACES.streamWithRetry(client, pieces).catch((error) => error)
        const text = pieces.join('')
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

test('chat() and text() tell what was received when every attempt broke off', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 1, recovery: false })
  simulator.setDefault({ chunks: PIECES, disconnect: { afterChunks: 3, how: 'reset' } })
  for (const face of ['chat', 'text']) {
    const error = await failure(FACES[face](client, []))
    assert.equal(error.code, 'RETRIES_EXHAUSTED')
    assert.equal(error.cause.code, 'ECONNRESET')
    assert.equal(error.partial, PIECES.slice(0, 3).join(''))
    assert.deepEqual(
      error.attempts.map(({ deltas }) => deltas),
      [3, 3],
    )
  }
})

test('an error inside the stream says what the provider said', async (t) => {
  const { simulator, client } = await pair(t, { recovery: false })
  const error = { message: 'the upstream is gone', type: 'upstream_error', code: 'gone' }
  simulator.script({ chunks: PIECES, disconnect: { afterChunks: 2, how: 'errorEvent', error } })
  const { cause } = await failure(FACES.textStream(client, []))
  assert.match(cause.message, /the upstream is gone/)
  assert.equal(cause.type, 'upstream_error')
  assert.equal(cause.providerCode, 'gone')
})
