// ChatStream: reading one answer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ANSWER, CHUNKS, clockOf, contentOf, failure, MESSAGES, pair, REQUEST, until } from './support/provider.mjs'

// Far more than the kernel buffers of two sockets (up to 36 MB), in chunks that take little time to handle.
const BIG = { text: 'y'.repeat(20_000), chunkChars: 20_000, repeat: 4000 }
const BIG_BYTES = 80_000_000

async function collect(iterable) {
  const all = []
  for await (const item of iterable) all.push(item)
  return all
}

test("chunks have OpenAI's shape, with the role first and the finish reason last", async (t) => {
  const { client } = await pair(t)
  const chunks = await collect(client.stream({ ...REQUEST, model: 'gpt-4.1-mini' }))
  assert.equal(chunks.map(contentOf).join(''), ANSWER)
  assert.equal(chunks[0].choices[0].delta.role, 'assistant')
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop')
  for (const chunk of chunks) {
    assert.equal(chunk.object, 'chat.completion.chunk')
    assert.equal(chunk.id, chunks[0].id)
    assert.equal(chunk.model, 'gpt-4.1-mini')
    assert.equal(typeof chunk.created, 'number')
    // The request did not ask for usage.
    assert.equal(chunk.usage ?? null, null)
  }
})

test('a caller that requests usage gets the usage chunk, however late it is', async (t) => {
  // A timer limits the wait for usage; on a test clock it never fires.
  clockOf(t)
  const { simulator, client } = await pair(t)
  for (const usageDelayMs of [0, 30]) {
    simulator.script({ chunks: CHUNKS, usageDelayMs })
    const chunks = await collect(client.stream({ ...REQUEST, stream_options: { include_usage: true } }))
    assert.deepEqual(chunks.at(-1).choices, [])
    assert.equal(typeof chunks.at(-1).usage.total_tokens, 'number')
    assert.equal(chunks.map(contentOf).join(''), ANSWER)
  }
})

test('the result names the route that answered, the usage and the attempts', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ status: 503 }, { chunks: CHUNKS, headers: { 'x-request-id': 'req-1' } })
  const stream = client.stream(REQUEST)
  assert.equal(await stream.text(), ANSWER)
  const result = await stream.result
  assert.equal(result.text, ANSWER)
  assert.equal(result.finishReason, 'stop')
  assert.equal(result.model, 'gpt-4.1')
  assert.equal(result.endpoint, new URL(simulator.url).host)
  assert.equal(result.requestId, 'req-1')
  assert.equal(result.usage.total_tokens, result.usage.prompt_tokens + result.usage.completion_tokens)
  assert.deepEqual(
    result.attempts.map(({ attempt, outcome, status, deltas }) => [attempt, outcome, status, deltas]),
    [
      [1, 'SERVER_ERROR', 503, 0],
      [2, 'complete', 200, CHUNKS.length],
    ],
  )
})

test("chat resolves to a completion in OpenAI's shape", async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ chunks: CHUNKS, headers: { 'x-request-id': 'req-2' } })
  const completion = await client.chat(REQUEST)
  assert.equal(completion.object, 'chat.completion')
  assert.deepEqual(completion.choices, [
    { index: 0, message: { role: 'assistant', content: ANSWER, refusal: null }, finish_reason: 'stop', logprobs: null },
  ])
  assert.ok(completion.usage.total_tokens > 0)
  assert.equal(completion._request_id, 'req-2')
  assert.ok(!Object.keys(completion).includes('_request_id'))
})

test("a completion names its route and attempts in addition to OpenAI's fields", async (t) => {
  const { simulator, client } = await pair(t, { fallbackModels: ['second'], maxRetries: 0 })
  simulator.script({ status: 500 })
  const completion = await client.chat(REQUEST, { sessionId: 'mine' })
  const { _endpoint, _model, _attempts, _session_id } = completion
  assert.deepEqual([_endpoint, _model, _session_id], [new URL(simulator.url).host, 'second', 'mine'])
  assert.deepEqual(
    _attempts.map(({ model, outcome }) => [model, outcome]),
    [
      ['gpt-4.1', 'SERVER_ERROR'],
      ['second', 'complete'],
    ],
  )
  assert.ok(Object.keys(completion).every((name) => !name.startsWith('_')))
})

test('request fields are forwarded unchanged', async (t) => {
  const { simulator, client } = await pair(t)
  const extra = {
    temperature: 0.1,
    seed: 9007199254740991,
    metadata: { a: ['b', null, { c: 1e-7 }] },
    'x-unknown': true,
  }
  await client.chat({ ...REQUEST, ...extra, model: 'other-model' })
  const { json } = simulator.requests[0]
  for (const [name, value] of Object.entries(extra)) assert.deepEqual(json[name], value)
  assert.equal(json.model, 'other-model')
})

test('an answer can be read only once', async (t) => {
  const { client } = await pair(t)
  const readers = {
    chunks: (stream) => stream[Symbol.asyncIterator](),
    text: (stream) => stream.textStream[Symbol.asyncIterator](),
  }
  for (const first of Object.values(readers)) {
    for (const second of Object.values(readers)) {
      const stream = client.stream(REQUEST)
      first(stream)
      assert.throws(() => second(stream), { name: 'TypeError', code: 'INVALID_STATE', message: /already been read/ })
      // text() works in addition to any reader.
      assert.equal(await stream.text(), ANSWER)
    }
    const stream = client.stream(REQUEST)
    assert.equal(await stream.text(), ANSWER)
    assert.throws(() => first(stream), { name: 'TypeError', code: 'INVALID_STATE', message: /already been read/ })
  }
})

test('a late reader gets everything, in order', async (t) => {
  const { client } = await pair(t)
  for (const read of ['chunks', 'text', 'result first']) {
    const stream = client.stream(REQUEST)
    if (read === 'result first') await stream.result
    else await new Promise((resolve) => setTimeout(resolve, 20))
    const deltas =
      read === 'text' ? await collect(stream.textStream) : (await collect(stream)).map(contentOf).filter(Boolean)
    assert.deepEqual(deltas, CHUNKS)
  }
  const stream = client.stream(REQUEST)
  await stream.result
  assert.equal(await stream.text(), ANSWER)
})

test('the result can be awaited before, during and after reading', async (t) => {
  const { client } = await pair(t)
  const stream = client.stream(REQUEST)
  const [deltas, result, text] = await Promise.all([collect(stream.textStream), stream.result, stream.text()])
  assert.deepEqual(deltas, CHUNKS)
  assert.equal(result.text, ANSWER)
  assert.equal(text, ANSWER)
  assert.equal((await stream.result).text, ANSWER)
})

test('readers wait at most a second for late usage', async (t) => {
  const clock = clockOf(t)
  const { simulator, client } = await pair(t, { usageTimeoutMs: 5000 })
  simulator.setDefault({ chunks: CHUNKS, usageDelayMs: 600_000 })
  for (const read of [
    (stream) => collect(stream),
    (stream) => collect(stream.textStream),
    (stream) => stream.text(),
    (stream) => new Promise((resolve) => setTimeout(resolve, 1)).then(() => collect(stream)),
  ]) {
    const stream = client.stream(REQUEST)
    let over = false
    stream.result.then(() => {
      over = true
    })
    await clock.runUntil(read(stream))
    assert.equal(over, false)
    await clock.runUntil(stream.result)
  }
})

test('a slow reader pauses the socket, and gets everything in order', async (t) => {
  const { simulator, client } = await pair(t)
  for (const textOnly of [false, true]) {
    simulator.clear()
    simulator.script(BIG)
    const stream = client.stream(REQUEST)
    const iterator = (textOnly ? stream.textStream : stream)[Symbol.asyncIterator]()
    await iterator.next()
    let sent = -1
    await until(async () => {
      const before = sent
      await new Promise((resolve) => setTimeout(resolve, 50))
      sent = simulator.requests[0].bytesSent
      return sent === before
    })
    assert.ok(sent < 60_000_000, `${sent} bytes were sent to a sleeping reader`)
    let length = textOnly ? 20_000 : 0
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      length += textOnly ? next.value.length : contentOf(next.value).length
    }
    assert.equal(length, BIG_BYTES)
  }
})

test('leaving a loop early aborts the request at the provider', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: CHUNKS, chunkDelayMs: 10_000 })
  for (const textOnly of [false, true]) {
    simulator.clear()
    const stream = client.stream(REQUEST)
    for await (const _ of textOnly ? stream.textStream : stream) break
    assert.equal((await failure(stream.result)).name, 'AbortError')
    await until(() => simulator.requests[0].endedBy !== 'open')
    assert.equal(simulator.requests[0].endedBy, 'client')
  }
  const thrown = new Error('in the loop')
  simulator.clear()
  const looped = failure(
    (async () => {
      for await (const _ of client.stream(REQUEST)) throw thrown
    })(),
  )
  assert.equal(await looped, thrown)
  await until(() => simulator.requests[0].endedBy === 'client')
})

test('an iterator is done after return()', async (t) => {
  const { client } = await pair(t)
  const iterator = client.stream(REQUEST)[Symbol.asyncIterator]()
  const waiting = iterator.next()
  await iterator.return()
  assert.ok([true, false].includes((await waiting).done))
  assert.deepEqual(await iterator.next(), { value: undefined, done: true })
})

test('concurrent next() calls resolve in order', async (t) => {
  const { client } = await pair(t)
  const iterator = client.stream(REQUEST).textStream[Symbol.asyncIterator]()
  const results = await Promise.all(Array.from({ length: CHUNKS.length + 2 }, () => iterator.next()))
  assert.deepEqual(
    results.map(({ value }) => value),
    [...CHUNKS, undefined, undefined],
  )
})

test('a reader gets a failure once and is then done', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ chunks: CHUNKS, disconnect: { afterChunks: 1, how: 'reset' } })
  const stream = client.stream(REQUEST)
  const iterator = stream.textStream[Symbol.asyncIterator]()
  assert.equal((await iterator.next()).value, CHUNKS[0])
  const error = await failure(iterator.next())
  assert.equal(error.code, 'STREAM_INTERRUPTED')
  assert.deepEqual(await iterator.next(), { value: undefined, done: true })
  assert.equal(await failure(stream.result), error)
  assert.equal(await failure(stream.text()), error)
})

test('an unobserved failure causes no unhandledRejection', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  const unhandled = []
  const listener = (error) => unhandled.push(error)
  process.on('unhandledRejection', listener)
  t.after(() => process.off('unhandledRejection', listener))
  simulator.setDefault({ status: 500 })
  client.stream(REQUEST)
  client.stream(REQUEST).abort()
  const stream = client.stream(REQUEST)
  await failure(collect(stream))
  await until(() => simulator.requests.length >= 2)
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.deepEqual(unhandled, [])
})

test('coalesce joins deltas that arrive together and loses none', async (t) => {
  const { simulator, client } = await pair(t)
  const scenario = { text: 'lời này '.repeat(50), chunkChars: 1 }
  simulator.setDefault(scenario)
  const deltas = []
  await client.streamWithRetry(MESSAGES, (delta) => void deltas.push(delta), null, { coalesce: true })
  assert.equal(deltas.join(''), scenario.text)
  assert.ok(deltas.length < 200, `${deltas.length} calls for 400 deltas`)
  const single = []
  await client.streamWithRetry(MESSAGES, (delta) => void single.push(delta))
  assert.equal(single.length, 400)
})

test('coalesce joins text deltas but not chunks, and the text stays the same', async (t) => {
  const { simulator, client } = await pair(t, { coalesce: true })
  const scenario = { text: 'lời này '.repeat(50), chunkChars: 1 }
  simulator.setDefault(scenario)
  let chunks = 0
  let text = ''
  for await (const chunk of client.stream({ messages: MESSAGES })) {
    chunks++
    text += chunk.choices[0]?.delta?.content ?? ''
  }
  assert.deepEqual([text, chunks >= 400], [scenario.text, true])
  const stream = client.stream({ messages: MESSAGES })
  let joined = ''
  let deltas = 0
  for await (const delta of stream.textStream) {
    joined += delta
    deltas++
  }
  assert.deepEqual([joined, (await stream.result).text], [scenario.text, scenario.text])
  assert.ok(deltas < 200, `${deltas} deltas for 400`)
})

test('a thousand concurrent streams are all complete and in order', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: CHUNKS })
  const all = await Promise.all(Array.from({ length: 1000 }, () => collect(client.stream(REQUEST).textStream)))
  for (const deltas of all) assert.deepEqual(deltas, CHUNKS)
})
