// What a call keeps of its answer is bounded, and so is what it keeps for a recovery.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { HolySheepStreamingClient, MalformedResponseError, StreamInterruptedError } from '../index.mjs'
import { failure, pair, REQUEST } from './support/provider.mjs'

const KIB = 1024
const SMALL = { maxEventBytes: 16 * KIB, maxAnswerBytes: 64 * KIB, maxRetries: 2 }

test('an answer above maxAnswerBytes fails with what was received, and is not requested again', async (t) => {
  const { simulator, client } = await pair(t, SMALL)
  simulator.setDefault({ text: 'y'.repeat(KIB), repeat: 256 })
  const calls = {
    chat: () => client.chat(REQUEST),
    text: () => client.stream(REQUEST).text(),
    result: () => client.stream(REQUEST).result,
  }
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure(call())
    assert.ok(error instanceof MalformedResponseError, `${name}: ${error.stack}`)
    assert.equal(error.code, 'ANSWER_TOO_LARGE', name)
    assert.match(error.message, /takes more than 65536 bytes/)
    if (name === 'result') continue
    assert.match(error.partial, /^y+$/)
    assert.ok(error.partial.length > 60 * KIB && error.partial.length < 80 * KIB, `${name}: ${error.partial.length}`)
  }
  assert.equal(simulator.requests.length, 3)
})

test('a stream that is read in parts may be of any length', async (t) => {
  const { simulator, client } = await pair(t, SMALL)
  simulator.setDefault({ text: 'y'.repeat(KIB), repeat: 256 })
  const stream = client.stream(REQUEST)
  let length = 0
  for await (const text of stream.textStream) length += text.length
  assert.equal(length, 256 * KIB)
  assert.equal((await failure(stream.result)).code, 'ANSWER_TOO_LARGE')
  assert.throws(() => stream.snapshot(), { code: 'ANSWER_TOO_LARGE' })
  let passed = 0
  const outcome = await client.streamWithRetry(REQUEST.messages, (text) => {
    passed += text.length
  })
  assert.deepEqual([outcome.success, passed], [true, 256 * KIB])
})

test('the limit of an answer is at least that of an event', async () => {
  const make = (options) => () => new HolySheepStreamingClient({ apiKey: 'k', ...options })
  assert.throws(make({ maxAnswerBytes: KIB }), {
    name: 'RangeError',
    message: 'maxAnswerBytes: got 1024; accepted: a number from `maxEventBytes`, which is 16777216',
  })
  assert.throws(make({ maxAnswerBytes: 'x' }), /maxAnswerBytes/)
  assert.throws(make({ recovery: { maxBytes: -1 } }), /recovery\.maxBytes: got -1/)
  await make({ maxAnswerBytes: 32 * KIB, maxEventBytes: KIB })().close()
})

test('an answer above recovery.maxBytes goes on without recovery, and one event says so', async (t) => {
  const events = []
  const onEvent = (event) => events.push(event)
  const { simulator, client } = await pair(t, { recovery: { maxBytes: 32 * KIB }, onEvent })
  simulator.setDefault({ text: 'y'.repeat(KIB), repeat: 64 })
  const stream = client.stream(REQUEST)
  let refused
  for await (const _ of stream.textStream) {
    try {
      stream.snapshot()
    } catch (error) {
      refused ??= error
    }
  }
  assert.equal((await stream.result).text.length, 64 * KIB)
  assert.deepEqual([refused?.name, refused?.code], ['MalformedResponseError', 'ANSWER_TOO_LARGE'])
  assert.equal(stream.snapshot().answer.text.length, 64 * KIB, 'a complete answer has one')
  const disabled = events.filter(({ type }) => type === 'recovery-disabled')
  assert.deepEqual(
    disabled.map(({ maxBytes }) => maxBytes),
    [32 * KIB],
  )

  simulator.setDefault({ text: 'y'.repeat(KIB), repeat: 64, disconnect: { afterChunks: 48 } })
  const reading = client.stream(REQUEST)
  const broken = await failure(
    (async () => {
      for await (const _ of reading);
    })(),
  )
  assert.ok(broken instanceof StreamInterruptedError, broken.stack)
  assert.match(broken.message, /recovery\.maxBytes/)
  assert.deepEqual([broken.partial.length, broken.snapshot], [48 * KIB, undefined])
})

test('a held tool call is bounded in all its fields', async (t) => {
  const event = (delta, finish_reason = null) =>
    `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta, finish_reason }] })}\n\n`
  const held = { tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '' }, x: 'x'.repeat(900_000) }] }
  const client = await serve(t, (response) => {
    let sent = 0
    const send = () => {
      if (sent++ === 300 || response.destroyed) response.end()
      else response.write(event(held), send)
    }
    send()
  })
  const before = process.memoryUsage().rss
  const error = await failure(client.stream(REQUEST).text())
  assert.match(`${error.code} ${error.message}`, /a tool call is longer than 262144 bytes/)
  assert.ok(process.memoryUsage().rss - before < 200 * KIB * KIB)
})

test('a neighbor and a deadline are not held up by an expensive answer', async (t) => {
  const list = (field) => {
    const entries = Array.from({ length: 20_000 }, (_, at) => ({ index: at * 7, [field]: 0 }))
    return `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'a', x: entries } }] })}\n\n`
  }
  const client = await serve(t, (response) => response.write(list('a') + list('b')))
  const stuck = Array.from({ length: 8 }, () => failure(client.chat(REQUEST, { totalTimeoutMs: 500 })))
  for (const error of await Promise.all(stuck)) assert.equal(error.code, 'TIMEOUT')
})

async function serve(t, answer) {
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    answer(response)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = new HolySheepStreamingClient({
    baseUrl: `http://127.0.0.1:${server.address().port}/v1`,
    apiKey: 'sk-test',
    maxRetries: 0,
  })
  t.after(async () => {
    await client.close()
    server.closeAllConnections()
    server.close()
  })
  return client
}
