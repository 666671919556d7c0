// A stream as a web `ReadableStream` or `Response`.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  ANSWER,
  bytesSentAtStall,
  CHUNKS,
  clientOf,
  contentOf,
  failure,
  manualProvider,
  pair,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

const STALLED = { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } }
const CUT = { chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } }
const BEFORE_CUT = CHUNKS.slice(0, 3).join('')

/** The text of the chunks in an event stream. */
const textOf = (body) =>
  [...body.matchAll(/^data: (\{"id.*)$/gm)].map(([, json]) => contentOf(JSON.parse(json))).join('')

/** The three ways to create a body: how it is created, and how its text is extracted. */
const BODIES = {
  toReadableStream: { body: (stream, options) => stream.toReadableStream(options), text: (body) => body },
  toTextResponse: { body: (stream, init) => decoded(stream.toTextResponse(init)), text: (body) => body },
  toSSEResponse: { body: (stream, init) => decoded(stream.toSSEResponse(init)), text: textOf },
}
const decoded = (response) => response.body.pipeThrough(new TextDecoderStream())

async function collect(body) {
  let all = ''
  for await (const text of body) all += text
  return all
}

for (const [name, { body, text }] of Object.entries(BODIES)) {
  test(`${name}() has the complete answer, without a visible join after a recovery`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script(CUT)
    assert.equal(text(await collect(body(client.stream(REQUEST)))), ANSWER)
    assert.equal(simulator.requests.length, 2)
  })

  test(`${name}() has the complete answer when it is created later than the stream`, async (t) => {
    const { client } = await pair(t)
    const stream = client.stream(REQUEST)
    await new Promise((resolve) => setTimeout(resolve, 30))
    assert.equal(text(await collect(body(stream))), ANSWER)
  })

  test(`${name}(): canceling the body aborts the request at the provider`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script(STALLED)
    const stream = client.stream(REQUEST)
    const reader = body(stream).getReader()
    await reader.read()
    await reader.cancel()
    await until(() => simulator.requests[0].endedBy === 'client', 'the end of the call')
    assert.equal((await failure(stream.result)).name, 'AbortError')
  })

  test(`${name}({ onDisconnect: 'finish' }): a canceled body lets the call finish`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ text: 'word '.repeat(1000), chunkChars: 1 })
    const stream = client.stream(REQUEST)
    const reader = body(stream, { onDisconnect: 'finish' }).getReader()
    await reader.read()
    await reader.cancel()
    assert.equal((await stream.result).text, 'word '.repeat(1000))
    assert.equal(stream.snapshot().answer.text, 'word '.repeat(1000))
    await until(() => simulator.requests[0].endedBy === 'complete')
  })

  test(`${name}() slows the provider down while the body is not read`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ text: 'y'.repeat(20_000), chunkChars: 20_000, repeat: 4000 })
    const reader = body(client.stream(REQUEST)).getReader()
    await reader.read()
    const sent = await bytesSentAtStall(simulator.requests[0])
    assert.ok(sent < 75_000_000, `${sent} bytes were sent`)
    await reader.cancel()
  })

  test(`${name}() locks the stream against a second reader, and invalid options do not`, async (t) => {
    const { client } = await pair(t)
    const stream = client.stream(REQUEST)
    for (const [options, argument] of [
      [{ onDisconnect: 'stop' }, 'onDisconnect'],
      [{ heartbeat: 1 }, 'heartbeat'],
      ['x', name === 'toReadableStream' ? 'options' : 'init'],
    ]) {
      assert.throws(() => body(stream, options), { code: 'INVALID_ARGUMENT', message: new RegExp(`^${argument}: `) })
    }
    const first = body(stream)
    const locked = {
      name: 'TypeError',
      code: 'INVALID_STATE',
      message: /^this stream has already been read \(as \w+\)/,
    }
    assert.throws(() => stream.textStream[Symbol.asyncIterator](), locked)
    assert.throws(() => body(stream), locked)
    assert.equal(text(await collect(first)), ANSWER)
  })
}

test('a text response is plain text that intermediaries must not cache or transform', async (t) => {
  const { client } = await pair(t)
  const response = client.stream(REQUEST).toTextResponse()
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/plain; charset=utf-8')
  assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform')
  assert.equal(await response.text(), ANSWER)
})

test('an event response ends with [DONE], and its first chunk has the role', async (t) => {
  const { client } = await pair(t)
  const response = client.stream(REQUEST).toSSEResponse()
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(response.headers.get('x-accel-buffering'), 'no')
  const body = await response.text()
  assert.match(body, /^data: \{.*"role":"assistant"/)
  assert.match(body, /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/)
})

test("the caller's status and headers replace the default ones", async (t) => {
  const { client } = await pair(t)
  const headers = { 'x-trace': 'a', 'Cache-Control': 'private' }
  for (const make of ['toTextResponse', 'toSSEResponse']) {
    const response = client.stream(REQUEST)[make]({ status: 202, statusText: 'Fine', headers })
    const { status, statusText } = response
    assert.deepEqual([status, statusText], [202, 'Fine'])
    assert.deepEqual([response.headers.get('x-trace'), response.headers.get('cache-control')], ['a', 'private'])
    await response.body.cancel()
  }
})

test('an event response reports every failure in its body, before and after the first chunk', async (t) => {
  const simulator = await provider(t)
  const client = clientOf(t, simulator, { maxRetries: 0, recovery: false })
  for (const [scenario, code, text] of [
    [CUT, 'STREAM_INTERRUPTED', BEFORE_CUT],
    [{ status: 429, retryAfter: 90 }, 'RATE_LIMITED', ''],
  ]) {
    simulator.script(scenario)
    const body = await client
      .stream(REQUEST)
      .toSSEResponse({ errorMessage: (error) => `failed: ${error.code}` })
      .text()
    assert.equal(textOf(body), text)
    const [, json] = body.match(/\n?event: error\ndata: (.*)\n\n$/)
    const { message, code: reported } = JSON.parse(json).error
    assert.deepEqual([message, reported], [`failed: ${code}`, code])
  }
})

test('a text body errors with the failure', async (t) => {
  const { simulator, client } = await pair(t, { recovery: false })
  simulator.script(CUT, CUT)
  const reader = client.stream(REQUEST).toReadableStream().getReader()
  let text = ''
  const error = await failure(
    (async () => {
      for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) text += value
    })(),
  )
  assert.equal(error.code, 'STREAM_INTERRUPTED')
  assert.equal(text, BEFORE_CUT)
  const broken = await failure(client.stream(REQUEST).toTextResponse().text())
  assert.equal(broken.code, 'STREAM_INTERRUPTED')
})

test('heartbeats fill the silence of an event response', async (t) => {
  const manual = await manualProvider(t)
  const client = clientOf(t, manual)
  const reader = client.stream(REQUEST).toSSEResponse({ heartbeatMs: 10 }).body.getReader()
  assert.equal(Buffer.from((await reader.read()).value).toString(), ': heartbeat\n\n')
  await until(() => manual.requests.length === 1)
  manual.requests[0].answer(ANSWER)
  let body = ''
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read())
    body += Buffer.from(value)
  assert.equal(textOf(body), ANSWER)
})

test('heartbeats do not pile up while the body is not read', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ hang: true })
  const reader = client.stream(REQUEST).toSSEResponse({ heartbeatMs: 5 }).body.getReader()
  await new Promise((resolve) => setTimeout(resolve, 400))
  // Queued heartbeats are read immediately, before a timer can add another one.
  let waiting = 0
  const reads = Array.from({ length: 100 }, () => reader.read())
  for (const read of reads) read.then(({ done }) => done || waiting++)
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(waiting > 0 && waiting < 10, `${waiting} were waiting`)
  await reader.cancel()
  await Promise.all(reads)
})

test('the documented defaults match the source', () => {
  const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')
  const [types, source] = [read('types/web.d.ts'), read('src/js/web.ts')]
  const documented = (name) => types.match(new RegExp(`@default (\\S+)\\s*\\*/\\n  ${name}\\?`))[1]
  assert.equal(documented('heartbeatMs'), source.match(/HEARTBEAT_MS = (\S+)/)[1].replace('_', ''))
  assert.equal(documented('onDisconnect'), source.match(/ON_DISCONNECT = (\S+)/)[1])
})
