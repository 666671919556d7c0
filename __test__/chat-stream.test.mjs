// ChatStream: how one answer is read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ANSWER, clockOf, contentOf, failure, MESSAGES, PIECES, pair, REQUEST, until } from './support/provider.mjs'

// Far more than the kernel buffers of two sockets (up to 36 MB), in pieces that are quickly handled.
const BIG = { text: 'y'.repeat(20_000), chunkChars: 20_000, repeat: 4000 }
const BIG_BYTES = 80_000_000

async function collect(iterable) {
  const all = []
  for await (const item of iterable) all.push(item)
  return all
}

test('its chunks have the shape of OpenAI, with the role first and the reason last', async (t) => {
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
    // Nobody asked for it here.
    assert.equal(chunk.usage ?? null, null)
  }
})

test('the usage chunk comes to whoever asked for it, however late', async (t) => {
  // It is waited for by a timer, which here never rings.
  clockOf(t)
  const { simulator, client } = await pair(t)
  for (const usageDelayMs of [0, 30]) {
    simulator.script({ chunks: PIECES, usageDelayMs })
    const chunks = await collect(client.stream({ ...REQUEST, stream_options: { include_usage: true } }))
    assert.deepEqual(chunks.at(-1).choices, [])
    assert.equal(typeof chunks.at(-1).usage.total_tokens, 'number')
    assert.equal(chunks.map(contentOf).join(''), ANSWER)
  }
})

test('its result tells who answered, at what price, after which attempts', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ status: 503 }, { chunks: PIECES, headers: { 'x-request-id': 'req-1' } })
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
      [2, 'complete', 200, PIECES.length],
    ],
  )
})

test('chat gives a completion of OpenAI', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ chunks: PIECES, headers: { 'x-request-id': 'req-2' } })
  const completion = await client.chat(REQUEST)
  assert.equal(completion.object, 'chat.completion')
  assert.deepEqual(completion.choices, [
    { index: 0, message: { role: 'assistant', content: ANSWER, refusal: null }, finish_reason: 'stop', logprobs: null },
  ])
  assert.ok(completion.usage.total_tokens > 0)
  assert.equal(completion._request_id, 'req-2')
  assert.ok(!Object.keys(completion).includes('_request_id'))
})

test('a completion says who gave it and what was tried, beside what OpenAI has', async (t) => {
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

test('what the caller asks for is passed on as it is', async (t) => {
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

test('an answer is read once', async (t) => {
  const { client } = await pair(t)
  const readers = {
    chunks: (stream) => stream[Symbol.asyncIterator](),
    text: (stream) => stream.textStream[Symbol.asyncIterator](),
  }
  for (const first of Object.values(readers)) {
    for (const second of Object.values(readers)) {
      const stream = client.stream(REQUEST)
      first(stream)
      assert.throws(() => second(stream), { name: 'TypeError', code: 'INVALID_STATE', message: /read already/ })
      // The whole text goes with every reader.
      assert.equal(await stream.text(), ANSWER)
    }
    const stream = client.stream(REQUEST)
    assert.equal(await stream.text(), ANSWER)
    assert.throws(() => first(stream), { name: 'TypeError', code: 'INVALID_STATE', message: /read already/ })
  }
})

test('a reader that comes late gets everything, in order', async (t) => {
  const { client } = await pair(t)
  for (const read of ['chunks', 'text', 'result first']) {
    const stream = client.stream(REQUEST)
    if (read === 'result first') await stream.result
    else await new Promise((resolve) => setTimeout(resolve, 20))
    const pieces =
      read === 'text' ? await collect(stream.textStream) : (await collect(stream)).map(contentOf).filter(Boolean)
    assert.deepEqual(pieces, PIECES)
  }
  const stream = client.stream(REQUEST)
  await stream.result
  assert.equal(await stream.text(), ANSWER)
})

test('the result may be awaited beside a reader, before it and after it', async (t) => {
  const { client } = await pair(t)
  const stream = client.stream(REQUEST)
  const [pieces, result, text] = await Promise.all([collect(stream.textStream), stream.result, stream.text()])
  assert.deepEqual(pieces, PIECES)
  assert.equal(result.text, ANSWER)
  assert.equal(text, ANSWER)
  assert.equal((await stream.result).text, ANSWER)
})

test('readers do not wait for a usage that is late', async (t) => {
  const clock = clockOf(t)
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: PIECES, usageDelayMs: 600_000 })
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
    await read(stream)
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
    assert.ok(sent < 60_000_000, `${sent} bytes were sent to a reader that sleeps`)
    let length = textOnly ? 20_000 : 0
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      length += textOnly ? next.value.length : contentOf(next.value).length
    }
    assert.equal(length, BIG_BYTES)
  }
})

test('leaving a loop early ends the call at the provider', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: PIECES, chunkDelayMs: 10_000 })
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

test('a reader that has left is at the end', async (t) => {
  const { client } = await pair(t)
  const iterator = client.stream(REQUEST)[Symbol.asyncIterator]()
  const waiting = iterator.next()
  await iterator.return()
  assert.ok([true, false].includes((await waiting).done))
  assert.deepEqual(await iterator.next(), { value: undefined, done: true })
})

test('several calls of next() at once are served in order', async (t) => {
  const { client } = await pair(t)
  const iterator = client.stream(REQUEST).textStream[Symbol.asyncIterator]()
  const results = await Promise.all(Array.from({ length: PIECES.length + 2 }, () => iterator.next()))
  assert.deepEqual(
    results.map(({ value }) => value),
    [...PIECES, undefined, undefined],
  )
})

test('a failure is told once to the reader, which then is at the end', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ chunks: PIECES, disconnect: { afterChunks: 1, how: 'reset' } })
  const stream = client.stream(REQUEST)
  const iterator = stream.textStream[Symbol.asyncIterator]()
  assert.equal((await iterator.next()).value, PIECES[0])
  const error = await failure(iterator.next())
  assert.equal(error.code, 'STREAM_INTERRUPTED')
  assert.deepEqual(await iterator.next(), { value: undefined, done: true })
  assert.equal(await failure(stream.result), error)
  assert.equal(await failure(stream.text()), error)
})

test('a failure that nobody listens to causes no unhandledRejection', async (t) => {
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

test('coalesce joins what comes together, and loses nothing', async (t) => {
  const { simulator, client } = await pair(t)
  const scenario = { text: 'lời này '.repeat(50), chunkChars: 1 }
  simulator.setDefault(scenario)
  const pieces = []
  await client.streamWithRetry(MESSAGES, (piece) => void pieces.push(piece), null, { coalesce: true })
  assert.equal(pieces.join(''), scenario.text)
  assert.ok(pieces.length < 200, `${pieces.length} calls for 400 pieces`)
  const single = []
  await client.streamWithRetry(MESSAGES, (piece) => void single.push(piece))
  assert.equal(single.length, 400)
})

test('coalesce is about text: chunks come one by one, and text in one or many pieces is the same', async (t) => {
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
  let pieces = 0
  for await (const piece of stream.textStream) {
    joined += piece
    pieces++
  }
  assert.deepEqual([joined, (await stream.result).text], [scenario.text, scenario.text])
  assert.ok(pieces < 200, `${pieces} pieces for 400`)
})

test('a thousand streams at once are all whole and in order', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: PIECES })
  const all = await Promise.all(Array.from({ length: 1000 }, () => collect(client.stream(REQUEST).textStream)))
  for (const pieces of all) assert.deepEqual(pieces, PIECES)
})
