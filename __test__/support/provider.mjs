// Shared helpers: a provider that misbehaves on request, and a client with short delays.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { HolySheepStreamingClient } from '../../index.mjs'
import { startSimulator, testClock } from '../../simulator.mjs'

// Captured before a test can install fake timers.
const { setTimeout } = globalThis

export const KEY = 'sk-test-0123456789abcdefghij'

/** An answer whose chunks start and end inside words, with characters of two, three and four bytes. */
export const CHUNKS = ['Xin ch', 'ào, th', 'ế giớ', 'i 🐑', '🐑 — vi', 'ết từng', ' chữ mộ', 't.']
export const ANSWER = CHUNKS.join('')
export const MESSAGES = [{ role: 'user', content: 'Xin chào' }]
export const REQUEST = { messages: MESSAGES }

/** Options for retries almost without delay. */
export const QUICK = { retry: { baseDelayMs: 1, jitter: 'none' } }

/** A simulator that is closed at the end of the test. */
export async function provider(t, options = {}) {
  const simulator = await startSimulator({ default: { chunks: CHUNKS }, ...options })
  t.after(() => simulator.close())
  return simulator
}

/** A client of this simulator that is closed at the end of the test. */
export function clientOf(t, simulator, options = {}) {
  const client = new HolySheepStreamingClient(KEY, { baseUrl: simulator.url, ...QUICK, ...options })
  t.after(() => client.close())
  return client
}

/** A simulator and its client. */
export async function pair(t, options, simulatorOptions) {
  const simulator = await provider(t, simulatorOptions)
  return { simulator, client: clientOf(t, simulator, options) }
}

/** The error that a promise rejects with. */
export async function failure(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  assert.fail(`expected a rejection, got ${JSON.stringify(value)}`)
}

/** How long to wait for a condition: far longer than a slow machine needs. */
const UNTIL_TIMEOUT_MS = 60_000

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Polls a condition every millisecond until it is true. */
export async function until(condition, what = 'the condition') {
  for (let left = UNTIL_TIMEOUT_MS; left > 0; left--) {
    if (await condition()) return
    await sleep(1)
  }
  assert.fail(`timed out waiting for ${what}`)
}

/** Polls a condition and blocks this thread, so that everything that arrives queues up. */
export function blockUntil(condition) {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  for (let left = UNTIL_TIMEOUT_MS; left > 0; left--) {
    if (condition()) return
    Atomics.wait(cell, 0, 0, 1)
  }
  assert.fail('timed out waiting for the condition')
}

/** A test clock that is restored at the end of the test. */
export function clockOf(t, options = {}) {
  const clock = testClock(options)
  t.after(() => clock.restore())
  return clock
}

/** Returns a function that reports whether a promise has settled. Its rejection counts as handled. */
export function settled(promise) {
  let over = false
  const end = () => {
    over = true
  }
  promise.then(end, end)
  return () => over
}

/**
 * Advances a clock by `ms`, once all timers are armed, and waits for the condition. What the timer starts runs in real
 * time, however long the machine takes.
 */
export async function passTime(clock, ms, condition) {
  await clock.advance(ms)
  await until(condition, `the effect of ${ms} ms`)
}

/** The number of bytes sent in answer to a request once every buffer on the way is full and sending stalls. */
export async function bytesSentAtStall(request) {
  let before = -1
  await until(async () => {
    const sent = request.bytesSent
    const stalled = sent === before
    before = sent
    await sleep(100)
    return stalled && sent > 0
  }, 'a stall')
  return before
}

/** The event of one chunk, for a manual provider. */
export const eventOf = (content, finish_reason = null) =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`
export const END = `${eventOf('', 'stop')}data: [DONE]\n\n`

/**
 * A provider that answers only when the test makes it. Each of its `requests` has `json`, `headers`, Node's `response`,
 * `begin()`, which sends the head, and `answer(text)`, which sends a complete answer.
 */
export async function manualProvider(t) {
  const requests = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request.setEncoding('utf8')) body += part
    const begin = () => response.writeHead(200, { 'content-type': 'text/event-stream' })
    const answer = (text) => begin().end(eventOf(text) + END)
    requests.push({ json: JSON.parse(body), headers: request.headers, response, begin, answer })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${server.address().port}/v1`, requests }
}

export const contentOf = (chunk) => chunk.choices[0]?.delta.content ?? ''

/**
 * The methods that request an answer. Each resolves to the text and, except for `chat`, the number of attempts, or
 * rejects with the error that the caller would see. Each delta that is delivered is added to `deltas`.
 */
export const METHODS = {
  async chunks(client, deltas, options) {
    const stream = client.stream(REQUEST, options)
    for await (const chunk of stream) deltas.push(contentOf(chunk))
    const { attempts } = await stream.result
    return { text: deltas.join(''), attempts: attempts.length }
  },
  async textStream(client, deltas, options) {
    const stream = client.stream(REQUEST, options)
    for await (const text of stream.textStream) deltas.push(text)
    const { attempts } = await stream.result
    return { text: deltas.join(''), attempts: attempts.length }
  },
  async text(client, _deltas, options) {
    const stream = client.stream(REQUEST, options)
    const text = await stream.text()
    const { attempts } = await stream.result
    return { text, attempts: attempts.length }
  },
  async chat(client, _deltas, options) {
    const completion = await client.chat(REQUEST, options)
    return { text: completion.choices[0].message.content }
  },
  async streamWithRetry(client, deltas, options) {
    const errors = []
    const outcome = await client.streamWithRetry(
      MESSAGES,
      (delta) => void deltas.push(delta),
      (error) => void errors.push(error),
      options,
    )
    if (outcome.success) {
      assert.deepEqual(errors, [])
      return { text: deltas.join(''), attempts: outcome.attempts }
    }
    assert.deepEqual(errors, [outcome.error])
    assert.equal(outcome.error.attempts.length, outcome.attempts)
    throw outcome.error
  },
}

/** The methods that deliver text as it arrives. */
export const STREAMING = ['chunks', 'textStream', 'streamWithRetry']
