// What most tests need: a provider that misbehaves, and a client that does not wait long.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { HolySheepStreamingClient } from '../../index.mjs'
import { startSimulator, testClock } from '../../simulator.mjs'

// Taken before a test can put fakes in their place.
const { setTimeout } = globalThis

export const KEY = 'sk-test-0123456789abcdefghij'

/** An answer whose pieces begin and end inside words, with characters of two, three and four bytes. */
export const PIECES = ['Xin ch', 'ào, th', 'ế giớ', 'i 🐑', '🐑 — vi', 'ết từng', ' chữ mộ', 't.']
export const ANSWER = PIECES.join('')
export const MESSAGES = [{ role: 'user', content: 'Xin chào' }]
export const REQUEST = { messages: MESSAGES }

/** Retries come at once. */
export const QUICK = { retry: { baseDelayMs: 1, jitter: 'none' } }

/** A simulator that is closed with the test. */
export async function provider(t, options = {}) {
  const simulator = await startSimulator({ default: { chunks: PIECES }, ...options })
  t.after(() => simulator.close())
  return simulator
}

/** A client of this simulator that is closed with the test. */
export function clientOf(t, simulator, options = {}) {
  const client = new HolySheepStreamingClient(KEY, { baseUrl: simulator.url, ...QUICK, ...options })
  t.after(() => client.close())
  return client
}

/** Both at once. */
export async function pair(t, options, simulatorOptions) {
  const simulator = await provider(t, simulatorOptions)
  return { simulator, client: clientOf(t, simulator, options) }
}

/** What a promise rejects with. */
export async function failure(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  assert.fail(`expected a rejection, got ${JSON.stringify(value)}`)
}

/** How long something may take to come true: far longer than on any machine that runs tests. */
const PATIENCE_MS = 60_000

export const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits until something is true, a millisecond at a time. */
export async function until(condition, what = 'the condition') {
  for (let left = PATIENCE_MS; left > 0; left--) {
    if (await condition()) return
    await later(1)
  }
  assert.fail(`${what} did not come true`)
}

/** Waits while this thread does nothing else: what comes meanwhile piles up. */
export function untilWithoutTurns(condition) {
  const nobody = new Int32Array(new SharedArrayBuffer(4))
  for (let left = PATIENCE_MS; left > 0; left--) {
    if (condition()) return
    Atomics.wait(nobody, 0, 0, 1)
  }
  assert.fail('the condition did not come true')
}

/** A test clock until the end of the test. */
export function clockOf(t, options = {}) {
  const clock = testClock(options)
  t.after(() => clock.restore())
  return clock
}

/** Whether a promise is settled: `() => boolean`. It rejects unheard. */
export function settled(promise) {
  let over = false
  const end = () => {
    over = true
  }
  promise.then(end, end)
  return () => over
}

/**
 * Moves a clock on by `ms` until the condition is true. That comes once, where the timeout is armed already; again only
 * when nothing has come of it for so long that it was not. What runs afterwards has all the time that the machine takes.
 */
export async function passTime(clock, ms, condition) {
  for (let left = 20; left > 0; left--) {
    await clock.advance(ms)
    for (let wait = 1000; wait > 0; wait--) {
      if (await condition()) return
      await later(1)
    }
  }
  assert.fail(`nothing came of ${ms} ms`)
}

/** The bytes that a request's answer has sent when it stands still: everything between is full. */
export async function sentAtStop(request) {
  let before = -1
  await until(async () => {
    const sent = request.bytesSent
    const still = sent === before
    before = sent
    await later(100)
    return still && sent > 0
  }, 'a stop')
  return before
}

/** The events of an answer, for a provider by hand. */
export const eventOf = (content, finish_reason = null) =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`
export const END = `${eventOf('', 'stop')}data: [DONE]\n\n`

/**
 * A provider that answers when the test says so. `requests` are `{ json, response, begin(), answer(text) }`: Node's
 * response, its head, and a whole answer.
 */
export async function providerByHand(t) {
  const requests = []
  const server = createServer(async (asked, response) => {
    let body = ''
    for await (const part of asked.setEncoding('utf8')) body += part
    const begin = () => response.writeHead(200, { 'content-type': 'text/event-stream' })
    const answer = (text) => begin().end(eventOf(text) + END)
    requests.push({ json: JSON.parse(body), headers: asked.headers, response, begin, answer })
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
 * The ways to ask for an answer. Each resolves to the text and the number of attempts, or rejects
 * with what the caller would see; `pieces` gets what was delivered on the way.
 */
export const FACES = {
  async chunks(client, pieces, options) {
    const stream = client.stream(REQUEST, options)
    for await (const chunk of stream) pieces.push(contentOf(chunk))
    const { attempts } = await stream.result
    return { text: pieces.join(''), attempts: attempts.length }
  },
  async textStream(client, pieces, options) {
    const stream = client.stream(REQUEST, options)
    for await (const text of stream.textStream) pieces.push(text)
    const { attempts } = await stream.result
    return { text: pieces.join(''), attempts: attempts.length }
  },
  async text(client, _pieces, options) {
    const stream = client.stream(REQUEST, options)
    const text = await stream.text()
    const { attempts } = await stream.result
    return { text, attempts: attempts.length }
  },
  async chat(client, _pieces, options) {
    const completion = await client.chat(REQUEST, options)
    return { text: completion.choices[0].message.content }
  },
  async streamWithRetry(client, pieces, options) {
    const told = []
    const outcome = await client.streamWithRetry(
      MESSAGES,
      (piece) => void pieces.push(piece),
      (error) => void told.push(error),
      options,
    )
    if (outcome.success) {
      assert.deepEqual(told, [])
      return { text: pieces.join(''), attempts: outcome.attempts }
    }
    assert.deepEqual(told, [outcome.error])
    assert.equal(outcome.error.attempts.length, outcome.attempts)
    throw outcome.error
  },
}

/** Faces that hand over pieces as they come. */
export const STREAMING = ['chunks', 'textStream', 'streamWithRetry']
