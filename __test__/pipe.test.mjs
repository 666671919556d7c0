// stream.pipe(res): a stream piped into a Node response.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import { test } from 'node:test'
import OpenAI from 'openai'
import { eventsOf, serve, textOf } from './support/http-server.mjs'
import {
  ANSWER,
  bytesSentAtStall,
  CHUNKS,
  clientOf,
  contentOf,
  failure,
  manualProvider,
  pair,
  REQUEST,
  until,
} from './support/provider.mjs'

/** Sends a request and resolves to it once the client has received this text, or immediately without one. */
async function requestUntil(url, text) {
  const request = http.get(url)
  request.on('error', () => {})
  if (text) {
    const [response] = await once(request, 'response')
    response.on('error', () => {})
    let body = ''
    response.setEncoding('utf8').on('data', (data) => {
      body += data
    })
    await until(() => body.includes(text))
  }
  return request
}

/** An HTTP/2 session that is destroyed at the end of the test. */
function connectHttp2(t, url) {
  const session = http2.connect(url)
  t.after(() => session.destroy())
  return session
}

test("a piped stream has OpenAI's wire format, with the chunks that the provider sent", async (t) => {
  const { client } = await pair(t)
  const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res))
  const response = await fetch(url)
  const events = eventsOf(await response.text())
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform')
  assert.equal(response.headers.get('x-accel-buffering'), 'no')
  assert.equal(events.at(-1).data, '[DONE]')
  assert.equal(textOf(events), ANSWER)
  const chunks = events.slice(0, -1).map(({ data }) => JSON.parse(data))
  assert.equal(chunks[0].choices[0].delta.role, 'assistant')
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop')
  await until(() => outcomes.length === 1)
  assert.deepEqual(outcomes, [{ outcome: 'complete' }])
})

test('the openai package reads a recovered stream without a visible join', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } })
  const { url } = await serve(t, (res) => client.stream(REQUEST).pipe(res))
  const openai = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 })
  let text = ''
  for await (const chunk of await openai.chat.completions.create({ ...REQUEST, model: 'x', stream: true })) {
    text += contentOf(chunk)
  }
  assert.equal(text, ANSWER)
  assert.equal(simulator.requests.length, 2)
})

test('text arrives while the provider is still writing', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
  const { url } = await serve(t, (res) => client.stream(REQUEST).pipe(res))
  const reader = (await fetch(url)).body.pipeThrough(new TextDecoderStream()).getReader()
  let body = ''
  while (!body.includes('ào, th')) body += (await reader.read()).value
  assert.equal(simulator.requests[0].endedBy, 'open')
  await reader.cancel()
})

test('a failure after the first chunk is an error event, and no [DONE] follows', async (t) => {
  const { simulator, client } = await pair(t, { recovery: false })
  simulator.setDefault({ chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } })
  const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res))
  const response = await fetch(url)
  const events = eventsOf(await response.text())
  assert.equal(response.status, 200)
  assert.equal(textOf(events), CHUNKS.slice(0, 3).join(''))
  const { event, data } = events.at(-1)
  assert.equal(event, 'error')
  assert.deepEqual(JSON.parse(data).error, {
    message: 'The model could not answer; try again later.',
    type: 'upstream_error',
    code: 'STREAM_INTERRUPTED',
    param: null,
  })
  await until(() => outcomes.length === 1)
  assert.equal(outcomes[0].error.partial, CHUNKS.slice(0, 3).join(''))

  const openai = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 })
  const stream = await openai.chat.completions.create({ ...REQUEST, model: 'x', stream: true })
  const error = await failure(
    stream.controller &&
      (async () => {
        for await (const _ of stream);
      })(),
  )
  assert.ok(error instanceof OpenAI.APIError)
  assert.equal(error.code, 'STREAM_INTERRUPTED')
})

test('errorMessage sets the message for the client, and falls back to the default if it fails', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ status: 500 })
  const functions = [(error) => `Sorry (${error.status}).`, () => assert.fail('x'), () => 5]
  const { url } = await serve(t, (res) => client.stream(REQUEST).pipe(res, { errorMessage: functions.shift() }))
  const messages = []
  const warned = once(process, 'warning')
  while (functions.length > 0) messages.push((await (await fetch(url)).json()).error.message)
  const standard = 'The model could not answer; try again later.'
  assert.deepEqual(messages, ['Sorry (500).', standard, standard])
  assert.match((await warned)[0].message, /^errorMessage failed: /)
})

test('heartbeats fill the silence and send the head', async (t) => {
  const manual = await manualProvider(t)
  const client = clientOf(t, manual, { maxRetries: 0 })
  const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res, { heartbeatMs: 10 }))
  // A heartbeat sent the head: nothing else has been sent yet.
  const first = await fetch(url)
  await until(() => manual.requests.length === 1)
  manual.requests[0].answer(ANSWER)
  const events = eventsOf(await first.text())
  assert.deepEqual(events[0], { comment: 'heartbeat' })
  assert.equal(textOf(events), ANSWER)
  // After a heartbeat the status can no longer be set.
  const response = await fetch(url)
  await until(() => manual.requests.length === 2)
  manual.requests[1].response.writeHead(500).end()
  assert.equal(response.status, 200)
  assert.equal(eventsOf(await response.text()).at(-1).event, 'error')
  await until(() => outcomes.length === 2)
  assert.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    ['complete', 'failed'],
  )
})

test('heartbeatMs: 0 disables heartbeats', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ chunks: CHUNKS, headersDelayMs: 50 })
  const { url } = await serve(t, (res) => client.stream(REQUEST).pipe(res, { heartbeatMs: 0 }))
  assert.ok(eventsOf(await (await fetch(url)).text()).every(({ comment }) => comment === undefined))
})

for (const [when, scenario, text] of [
  ['before the first token', { hang: true }, undefined],
  ['mid-answer', { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } }, CHUNKS[1]],
]) {
  test(`a client that disconnects ${when} aborts the request at the provider`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script(scenario)
    let stream
    const { url, outcomes } = await serve(t, (res) => {
      stream = client.stream(REQUEST)
      return stream.pipe(res)
    })
    const request = await requestUntil(url, text)
    await until(() => simulator.requests.length === 1, 'the request')
    request.destroy()
    await until(() => simulator.requests[0].endedBy === 'client', 'the end of the call')
    await until(() => outcomes.length === 1)
    assert.deepEqual(outcomes, [{ outcome: 'disconnected' }])
    assert.equal((await failure(stream.result)).name, 'AbortError')
    assert.equal(simulator.requests.length, 1)
    if (text) assert.equal(stream.snapshot().answer.text, CHUNKS.slice(0, 2).join(''))
  })
}

test("onDisconnect: 'finish' lets the call finish, and its result is available", async (t) => {
  const { simulator, client } = await pair(t)
  // More deltas than the queue of a reader holds.
  const text = 'word '.repeat(1000)
  simulator.script({ text, chunkChars: 1, firstTokenDelayMs: 0, chunkDelayMs: 0 })
  let stream
  const { url, outcomes } = await serve(t, (res) => {
    stream = client.stream(REQUEST)
    return stream.pipe(res, { onDisconnect: 'finish' })
  })
  ;(await requestUntil(url, 'data: ')).destroy()
  await until(() => outcomes.length === 1)
  assert.equal(outcomes[0].error, undefined)
  assert.equal((await stream.result).text, text)
  assert.equal(stream.snapshot().answer.text, text)
  await until(() => simulator.requests[0].endedBy === 'complete')
})

for (const [protocol, server, open] of [
  ['HTTP/1.1', () => http.createServer(), async (url) => (await once(http.get(url), 'response'))[0]],
  ['HTTP/2', () => http2.createServer(), async (url, t) => connectHttp2(t, url).request({ ':path': '/' })],
]) {
  test(`over ${protocol} a slow client slows the provider down`, async (t) => {
    const { simulator, client } = await pair(t)
    // Far more than the kernel buffers of three sockets.
    simulator.script({ text: 'y'.repeat(20_000), chunkChars: 20_000, repeat: 6000 })
    const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res), server())
    const response = await open(url, t)
    response.pause()
    await until(() => simulator.requests.length === 1)
    const sent = await bytesSentAtStall(simulator.requests[0])
    assert.ok(sent < 100_000_000, `${sent} bytes were sent`)
    assert.equal(simulator.requests[0].endedBy, 'open')
    let received = 0
    for await (const data of response) received += data.length
    assert.ok(received > 120_000_000)
    await until(() => outcomes.length === 1)
    assert.deepEqual(outcomes, [{ outcome: 'complete' }])
  })
}

test('status and headers set by the caller are preserved, and compressing middleware is flushed', async (t) => {
  const { client } = await pair(t)
  let flushed = 0
  const { url } = await serve(t, (res) => {
    res.statusCode = 201
    res.setHeader('cache-control', 'private')
    res.flush = () => flushed++
    return client.stream(REQUEST).pipe(res)
  })
  const response = await fetch(url)
  assert.equal(textOf(eventsOf(await response.text())), ANSWER)
  assert.deepEqual([response.status, response.headers.get('cache-control')], [201, 'private'])
  assert.ok(flushed > 0)
})

test('the caller may write events before the stream', async (t) => {
  const { client } = await pair(t)
  const { url } = await serve(t, (res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('event: hello\ndata: {}\n\n')
    return client.stream(REQUEST).pipe(res)
  })
  const events = eventsOf(await (await fetch(url)).text())
  assert.equal(events[0].event, 'hello')
  assert.equal(textOf(events), ANSWER)
})

test('piping works over HTTP/2', async (t) => {
  const { simulator, client } = await pair(t)
  const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res), http2.createServer())
  const session = connectHttp2(t, url)
  const request = session.request({ ':path': '/' })
  let body = ''
  for await (const data of request.setEncoding('utf8')) body += data
  assert.equal(textOf(eventsOf(body)), ANSWER)

  simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
  const second = session.request({ ':path': '/' })
  await once(second, 'data')
  second.close(http2.constants.NGHTTP2_CANCEL)
  await until(() => simulator.requests[1].endedBy === 'client', 'the end of the call')
  await until(() => outcomes.length === 2)
  assert.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    ['complete', 'disconnected'],
  )
})

test('invalid arguments are rejected by name, and the stream can still be read', async (t) => {
  const { client } = await pair(t)
  const { url, outcomes } = await serve(t, async (res) => {
    const stream = client.stream(REQUEST)
    const messages = []
    for (const [target, options] of [
      [{}, {}],
      [undefined, {}],
      [new Response('x'), {}],
      [res, { heartbeatMs: -1 }],
      [res, { onDisconnect: 'wait' }],
      [res, { errorMessage: 'x' }],
      [res, { timeout: 1 }],
      [res, 5],
    ]) {
      const error = await failure(stream.pipe(target, options))
      assert.ok(error instanceof TypeError)
      assert.equal(error.code, 'INVALID_ARGUMENT')
      messages.push(error.message.split(':')[0])
    }
    assert.deepEqual(messages, [
      'res',
      'res',
      'res',
      'heartbeatMs',
      'onDisconnect',
      'errorMessage',
      'timeout',
      'options',
    ])
    await stream.pipe(res)
    assert.match((await failure(stream.pipe(res))).message, /has been ended/)
    return 'fine'
  })
  assert.equal(textOf(eventsOf(await (await fetch(url)).text())), ANSWER)
  await until(() => outcomes.length === 1)
  assert.deepEqual(outcomes, ['fine'])
})

test('a client that disconnects before the call starts causes at most one request', async (t) => {
  const { simulator, client } = await pair(t)
  let requested = false
  const { url, outcomes } = await serve(t, async (res) => {
    requested = true
    if (!res.destroyed) await once(res, 'close')
    return client.stream(REQUEST).pipe(res)
  })
  const request = await requestUntil(url, false)
  await until(() => requested)
  request.destroy()
  await until(() => outcomes.length === 1)
  assert.deepEqual(outcomes, [{ outcome: 'disconnected' }])
  assert.ok(simulator.requests.length <= 1)
})
