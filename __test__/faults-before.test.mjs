// Every fault before the first delta, with every method that requests an answer.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import holysheep from '../dist/index.js'
import { ANSWER, clockOf, failure, METHODS, pair, passTime, REQUEST, settled, until } from './support/provider.mjs'

const { APIError, HolySheepError, RetriesExhaustedError } = holysheep

// For a test clock: 30 s pass the timeout under test and no other.
const SHORT = {
  firstTokenTimeoutMs: 30_000,
  idleTimeoutMs: 200_000,
  retry: { baseDelayMs: 0 },
}
const PATIENT = { ...SHORT, firstTokenTimeoutMs: 300_000, idleTimeoutMs: 30_000 }

/** Awaits a call and runs its first `attempts` attempts into their timeout. */
async function timeOut(clock, simulator, attempts, call) {
  const isOver = settled(call)
  for (let attempt = 1; attempt <= attempts; attempt++) {
    await until(() => simulator.requests.length === attempt)
    await passTime(clock, 30_000, () => simulator.requests.length > attempt || isOver())
  }
  return call
}

/** Name → scenario, class, code, and whether it is retried. */
const FAULTS = {
  'a 429': [{ status: 429 }, 'RateLimitError', 'RATE_LIMITED', true],
  'a 429 with retry-after-ms': [{ status: 429, retryAfterMs: 5 }, 'RateLimitError', 'RATE_LIMITED', true],
  'a 429 for an exhausted quota': [
    { status: 429, body: { error: { message: 'no money', type: 'insufficient_quota', code: 'insufficient_quota' } } },
    'RateLimitError',
    'QUOTA_EXHAUSTED',
    false,
  ],
  'a 408': [{ status: 408 }, 'APIError', 'SERVER_ERROR', true],
  'a 500': [{ status: 500 }, 'APIError', 'SERVER_ERROR', true],
  'a 502 with an HTML page': [{ status: 502, html: true }, 'APIError', 'SERVER_ERROR', true],
  'a 503': [{ status: 503 }, 'APIError', 'SERVER_ERROR', true],
  'a 529': [{ status: 529 }, 'APIError', 'SERVER_ERROR', true],
  'a 501': [{ status: 501 }, 'APIError', 'SERVER_ERROR', false],
  'a 400': [{ status: 400 }, 'APIError', 'INVALID_REQUEST', false],
  'a 401': [{ status: 401 }, 'AuthenticationError', 'AUTH_FAILED', false],
  'a 403': [{ status: 403 }, 'AuthenticationError', 'AUTH_FAILED', false],
  'a 404': [{ status: 404 }, 'APIError', 'INVALID_REQUEST', false],
  'a 422': [{ status: 422 }, 'APIError', 'INVALID_REQUEST', false],
  'a redirect': [{ status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 'APIError', 'REDIRECTED', false],
  'an HTML page': [{ html: true }, 'MalformedResponseError', 'MALFORMED_RESPONSE', false],
  'a JSON document': [{ body: { hello: 'world' } }, 'MalformedResponseError', 'MALFORMED_RESPONSE', false],
  'an oversized head': [{ headerBytes: 80_000 }, 'MalformedResponseError', 'RESPONSE_TOO_LARGE', false],
  'a reset connection': [{ connectReset: true }, 'ConnectionError', 'ECONNRESET', true],
  'a closed connection': [{ closeBeforeHeaders: true }, 'ConnectionError', 'ECONNRESET', true],
  silence: [{ hang: true }, 'TimeoutError', 'TIMEOUT', true, SHORT],
  'a late head': [{ headersDelayMs: 50_000 }, 'TimeoutError', 'TIMEOUT', true, SHORT],
  'a late first token': [{ firstTokenDelayMs: 50_000, pings: { everyMs: 10 } }, 'TimeoutError', 'TIMEOUT', true, SHORT],
  'a stall': [{ disconnect: { afterChunks: 0, how: 'stall' } }, 'TimeoutError', 'TIMEOUT', true, PATIENT],
  'a reset stream': [{ disconnect: { afterChunks: 0, how: 'reset' } }, 'ConnectionError', 'ECONNRESET', true],
  'a closed stream': [{ disconnect: { afterChunks: 0, how: 'close' } }, 'ConnectionError', 'ECONNRESET', true],
  'an end without an answer': [
    { disconnect: { afterChunks: 0, how: 'noFinish' } },
    'StreamInterruptedError',
    'STREAM_TRUNCATED',
    true,
  ],
  'a [DONE] without an answer': [
    { disconnect: { afterChunks: 0, how: 'done' } },
    'StreamInterruptedError',
    'STREAM_TRUNCATED',
    true,
  ],
  'an error event': [{ disconnect: { afterChunks: 0, how: 'errorEvent' } }, 'APIError', 'SERVER_ERROR', true],
  'a named error event': [{ disconnect: { afterChunks: 0, how: 'errorEventNamed' } }, 'APIError', 'SERVER_ERROR', true],
  'a malformed event': [
    { disconnect: { afterChunks: 0, how: 'malformed' } },
    'MalformedResponseError',
    'MALFORMED_RESPONSE',
    true,
  ],
}

/** Asserts the class of an error, its ancestors, code and status, and that it has a message. */
function assertError(error, name, code, status) {
  assert.ok(error instanceof Error && error instanceof HolySheepError, String(error))
  assert.equal(error.name, name)
  assert.ok(error instanceof holysheep[name])
  assert.equal(error.code, code)
  if (name === 'AuthenticationError' || name === 'RateLimitError') assert.ok(error instanceof APIError)
  if (status !== undefined && status >= 300) assert.equal(error.status, status)
  assert.ok(error.message.length > 5 && !error.message.includes('undefined'), error.message)
  assert.equal(error.partial, undefined)
}

describe('a fault before the first delta', () => {
  for (const [fault, [scenario, name, code, retried, options]] of Object.entries(FAULTS)) {
    for (const [method, call] of Object.entries(METHODS)) {
      test(`${fault}: ${method} ${retried ? 'retries and gets the complete answer' : 'fails immediately'}`, async (t) => {
        const clock = options && clockOf(t, { settleMs: 5 })
        const { simulator, client } = await pair(t, options)
        simulator.script(scenario)
        const deltas = []
        if (!retried) {
          const error = await failure(call(client, deltas))
          assertError(error, name, code, scenario.status)
          assert.equal(error.attempts.length, 1)
          assert.equal(simulator.requests.length, 1)
          return
        }
        const result = call(client, deltas)
        const { text, attempts } = await (clock ? timeOut(clock, simulator, 1, result) : result)
        assert.equal(text, ANSWER)
        assert.equal(attempts ?? 2, 2)
        assert.equal(simulator.requests.length, 2)
      })
    }
    if (!retried) continue
    test(`${fault} on every attempt: the last error is the cause`, async (t) => {
      const clock = options && clockOf(t, { settleMs: 5 })
      const finish = (call) => (clock ? timeOut(clock, simulator, 2, call) : call)
      const { simulator, client } = await pair(t, { maxRetries: 1, ...options })
      simulator.setDefault(scenario)
      const error = await finish(failure(client.chat(REQUEST)))
      assert.ok(error instanceof RetriesExhaustedError && error instanceof HolySheepError)
      assert.equal(error.code, 'RETRIES_EXHAUSTED')
      assertError(error.cause, name, code, scenario.status)
      assert.equal(error.attempts.length, 2)
      assert.deepEqual(
        error.attempts.map(({ attempt, outcome }) => [attempt, outcome]),
        [1, 2].map((attempt) => [attempt, error.cause.code]),
      )
      assert.equal(simulator.requests.length, 2)

      simulator.clear()
      const deltas = []
      const last = await finish(failure(METHODS.streamWithRetry(client, deltas)))
      assertError(last, name, code, scenario.status)
      assert.equal(last.attempts.length, 2)
      assert.deepEqual(deltas, [])
      assert.equal(simulator.requests.length, 2)
    })
  }
})
