// `createFetch` by itself: the wire, what a request may look like, and what is passed on.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { createFetch } from '../../fetch.mjs'
import { QueueFullError, StreamInterruptedError } from '../../index.mjs'
import { ANSWER, CHUNKS, failure, KEY, MESSAGES, provider, QUICK, until } from '../support/provider.mjs'

const REQUEST = { model: 'gpt-4.1', messages: MESSAGES }
const STREAM = JSON.stringify({ ...REQUEST, stream: true })
const HEADERS = { 'content-type': 'application/json', authorization: `Bearer ${KEY}` }
const TOOL = { id: 'call_1', name: 'weather', arguments: { city: 'Huế' } }

async function setup(t, options, scenario = { chunks: CHUNKS }) {
  const simulator = await provider(t, { default: scenario })
  const fetch = createFetch({ ...QUICK, ...options })
  t.after(() => fetch.close())
  const url = `${simulator.url}/chat/completions`
  return { simulator, fetch, url, ask: (body, init) => fetch(url, { method: 'POST', headers: HEADERS, body, ...init }) }
}

/** A server that answers as it is told, and keeps what it was asked. */
async function server(t, answer) {
  const asked = []
  const listening = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('latin1')) body += chunk
    asked.push({ method: request.method, path: request.url, headers: request.headers, body })
    answer(response, asked.length, asked.at(-1))
  })
  await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve))
  t.after(() => listening.close())
  return { base: `http://127.0.0.1:${listening.address().port}`, asked }
}

const eventsOf = (text) =>
  text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice(6))
const textOf = (events) =>
  events
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data).choices[0]?.delta.content ?? '')
    .join('')

describe('a stream', () => {
  test('has the chunks byte for byte as the provider sent them', async (t) => {
    const chunk =
      '{ "id":"c", "model":"m",  "x":{"\\u00e9":1.50}, "created":1,"choices":[{"index":0,"delta":{"content":"a"}}]}'
    const last = '{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop","y":null}]}'
    const { base } = await server(t, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.end(
        `data: ${chunk}\n\ndata: {\ndata:  "choices": [{"index":0,"delta":{"content":"b"}}]\ndata: }\n\ndata: ${last}\n\ndata: [DONE]\n\n`,
      )
    })
    const response = await createFetch(QUICK)(`${base}/v1/chat/completions`, { method: 'POST', body: STREAM })
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    assert.equal(response.url, `${base}/v1/chat/completions`)
    const text = await response.text()
    const middle = 'data: {\ndata:  "choices": [{"index":0,"delta":{"content":"b"}}]\ndata: }\n\n'
    assert.equal(text, `data: ${chunk}\n\n${middle}data: ${last}\n\ndata: [DONE]\n\n`)
  })

  test('in one piece, or of a tool call that was held, has the fields that only its provider knows', async (t) => {
    const event = (delta, more) =>
      `data: ${JSON.stringify({ id: 'c', citations: ['a'], choices: [{ index: 0, delta, ...more }] })}\n\n`
    const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }
    const signed = { ...call, extra_content: { google: { thought_signature: 's' } } }
    const { base } = await server(t, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(event({ role: 'assistant', tool_calls: [{ index: 0, ...signed }] }))
      response.write(event({ annotations: [{ type: 'url_citation' }] }))
      response.end(`${event({}, { finish_reason: 'tool_calls', native_finish_reason: 'x' })}data: [DONE]\n\n`)
    })
    const ask = (body) => createFetch(QUICK)(`${base}/v1/chat/completions`, { method: 'POST', body })
    const { citations, choices } = await (await ask(JSON.stringify(REQUEST))).json()
    assert.deepEqual([citations, choices[0].native_finish_reason], [['a'], 'x'])
    assert.deepEqual(choices[0].message.tool_calls, [signed])
    assert.deepEqual(choices[0].message.annotations, [{ type: 'url_citation' }])
    const chunks = eventsOf(await (await ask(STREAM)).text())
      .slice(0, -1)
      .map((data) => JSON.parse(data).choices[0].delta)
    assert.deepEqual(
      chunks.flatMap(({ tool_calls }) => tool_calls ?? []),
      [{ index: 0, ...signed }],
    )
  })

  test('begins with the first token: until then another attempt takes over unseen', async (t) => {
    const { ask, simulator } = await setup(t)
    simulator.script({ status: 503 }, { chunks: CHUNKS, disconnect: { afterChunks: 0, how: 'reset' } })
    const response = await ask(STREAM)
    assert.equal(textOf(eventsOf(await response.text())), ANSWER)
    assert.equal(simulator.requests.length, 3)
    assert.equal(response.headers.get('x-request-id')?.startsWith('req_'), true)
  })

  test('that is cancelled ends the request upstream', async (t) => {
    const { ask, simulator } = await setup(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
    const response = await ask(STREAM)
    await response.body.cancel()
    await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
  })

  test('whose signal is aborted fails with the signal’s reason', async (t) => {
    const { ask, simulator } = await setup(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
    const controller = new AbortController()
    const response = await ask(STREAM, { signal: controller.signal })
    const reason = new Error('enough')
    const read = failure(response.text())
    controller.abort(reason)
    assert.equal(await read, reason)
    await until(() => simulator.requests[0].endedBy === 'client')
    assert.equal(await failure(ask(STREAM, { signal: controller.signal })), reason)
    assert.equal(simulator.requests.length, 1)
  })

  test('that nobody reads holds the socket back', async (t) => {
    const event = `data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(16_384)}"}}]}\n\n`
    const total = 4096 // 64 MiB: far past every buffer on the way
    let sent = 0
    const { base } = await server(t, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const write = () => {
        while (sent < total) {
          sent++
          if (!response.write(event)) return response.once('drain', write)
        }
        response.end('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
      }
      write()
    })
    const response = await createFetch(QUICK)(`${base}/v1/chat/completions`, { method: 'POST', body: STREAM })
    let before = -1
    await until(async () => {
      const same = sent === before
      before = sent
      await new Promise((resolve) => setTimeout(resolve, 200))
      return same
    }, 'a standstill')
    assert.ok(sent > 0 && sent < total, `${sent} of ${total} events were sent to a reader that reads nothing`)
    let bytes = 0
    for await (const chunk of response.body) bytes += chunk.length
    assert.ok(bytes > total * 16_384)
    assert.equal(sent, total)
  })

  test('hands over what was received before it fails', async (t) => {
    const { ask } = await setup(
      t,
      { recovery: false },
      { chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } },
    )
    const reader = (await ask(STREAM)).body.getReader()
    // Nothing is read until it has failed.
    await new Promise((resolve) => setTimeout(resolve, 50))
    let text = ''
    const read = async () => {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        text += Buffer.from(value).toString()
      }
    }
    const thrown = await failure(read())
    assert.equal(textOf(eventsOf(text)), CHUNKS.slice(0, 3).join(''))
    assert.equal(text.includes('[DONE]'), false)
    assert.ok(thrown instanceof TypeError && thrown.cause instanceof StreamInterruptedError)
  })

  test('has heartbeats while a tool call is held', async (t) => {
    const { ask } = await setup(
      t,
      { heartbeatMs: 5 },
      { chunks: [], toolCalls: [TOOL], disconnect: { afterChunks: 1, how: 'stall' } },
    )
    const response = await ask(STREAM)
    const reader = response.body.getReader()
    for (let beats = 0; beats < 3; beats++) {
      assert.equal(Buffer.from((await reader.read()).value).toString(), ': heartbeat\n\n')
    }
    await reader.cancel()
  })
})

describe('a request', () => {
  const bytes = new TextEncoder().encode(STREAM)
  const forms = {
    'a Uint8Array': (url) => [url, { method: 'POST', body: bytes }],
    'a Blob': (url) => [url, { method: 'POST', body: new Blob([bytes]) }],
    'a ReadableStream': (url) => [url, { method: 'POST', body: new Blob([bytes]).stream(), duplex: 'half' }],
    'a Request': (url) => [new Request(url, { method: 'POST', body: STREAM })],
    'a Request and other options': (url) => [new Request(url, { method: 'POST', body: 'x' }), { body: STREAM }],
    'a URL and a method in lower case': (url) => [new URL(url), { method: 'post', body: STREAM }],
  }
  for (const [name, form] of Object.entries(forms)) {
    test(`may be ${name}`, async (t) => {
      const { fetch, url, simulator } = await setup(t)
      simulator.script({ status: 500 })
      assert.equal(textOf(eventsOf(await (await fetch(...form(url))).text())), ANSWER)
      assert.equal(simulator.requests.length, 2)
    })
  }

  for (const [name, body] of Object.entries({
    'is no JSON': '{"model":',
    'is no UTF-8': Buffer.from('{"model":"m","messages":[{"role":"user","content":"\xff"}]}', 'latin1'),
    'has no messages': '{"model":"m"}',
    'has no model': '{"messages":[{"role":"user","content":"x"}]}',
    'no provider takes': '{"model":"m","messages":[null]}',
    'asks for sound': '{"model":"m","messages":[{}],"modalities":["text","audio"]}',
  })) {
    test(`that ${name} goes to the provider as it is, once`, async (t) => {
      const { base, asked } = await server(t, (response) => response.writeHead(400).end('no'))
      const url = `${base}/v1/chat/completions`
      for (const given of [body, new Blob([body]).stream()]) {
        const init = { method: 'POST', headers: HEADERS, body: given, duplex: 'half' }
        const response = await createFetch(QUICK)(url, init)
        assert.deepEqual([response.status, await response.text()], [400, 'no'])
        assert.equal(asked.at(-1).headers.authorization, HEADERS.authorization)
        assert.equal(asked.at(-1).body, Buffer.from(body).toString('latin1'))
      }
      assert.equal(asked.length, 2)
    })
  }

  test('brings its idempotency key', async (t) => {
    const { ask, simulator } = await setup(t)
    simulator.script({ status: 500 })
    await (await ask(STREAM, { headers: { ...HEADERS, 'Idempotency-Key': 'mine-1' } })).text()
    assert.deepEqual(
      simulator.requests.map(({ headers }) => headers['idempotency-key']),
      ['mine-1', 'mine-1'],
    )
  })

  test('with another key is not answered with the one before, and shares the breakers', async (t) => {
    const { ask, simulator, fetch } = await setup(t)
    for (const key of ['Bearer one-0123456789', 'Basic dHdvLTAxMjM0NTY3ODk=']) {
      await (await ask(STREAM, { headers: { authorization: key } })).text()
      assert.equal(simulator.requests.at(-1).headers.authorization, key)
    }
    assert.deepEqual([...fetch.clients.keys()], [simulator.url])
    // Counted when the call ends, which is a little after its last event.
    await until(() => fetch.clients.get(simulator.url).metrics().successes === 2, 'the second success')
  })
})

describe('what is passed on', () => {
  const flaky = (t, failures = 1) =>
    server(t, (response, count) => {
      if (count <= failures) response.writeHead(503, { 'retry-after-ms': '1', 'x-request-id': 'r' }).end('{"error":{}}')
      else response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}')
    })
  const JSON_POST = { method: 'POST', headers: HEADERS, body: '{"input":"x"}' }

  for (const [name, path, init, attempts] of [
    ['a GET', '/v1/models', {}, 2],
    ['embeddings', '/v1/embeddings', JSON_POST, 2],
    ['moderations', '/v1/moderations', JSON_POST, 2],
    ['a count of tokens', '/v1/messages/count_tokens', JSON_POST, 2],
    ['an upload', '/v1/files', { method: 'POST', body: new URLSearchParams({ a: '1' }) }, 1],
    ['the making of an image', '/v1/images/generations', JSON_POST, 1],
    ['a response', '/v1/responses', JSON_POST, 1],
    ['a message', '/v1/messages', JSON_POST, 1],
    ['what has a key', '/v1/files', { method: 'POST', body: 'x', headers: { 'idempotency-key': 'k' } }, 2],
    ['a DELETE', '/v1/files/1', { method: 'DELETE' }, 1],
  ]) {
    test(`${name} is sent ${attempts === 1 ? 'once' : 'again when it fails'}`, async (t) => {
      const { base, asked } = await flaky(t)
      const response = await createFetch(QUICK)(`${base}${path}`, init)
      assert.equal(asked.length, attempts)
      assert.equal(response.status, attempts === 1 ? 503 : 200)
      assert.equal(await response.text(), attempts === 1 ? '{"error":{}}' : '{"ok":true}')
    })
  }

  test('a body that is a stream is never sent twice', async (t) => {
    const { base, asked } = await flaky(t)
    const body = new Blob(['{"input":"x"}']).stream()
    const response = await createFetch(QUICK)(`${base}/v1/embeddings`, { ...JSON_POST, body, duplex: 'half' })
    assert.deepEqual([response.status, asked.length, asked[0].body], [503, 1, '{"input":"x"}'])
    const request = new Request(`${base}/v1/embeddings`, JSON_POST)
    assert.equal((await createFetch(QUICK)(request)).status, 200)
    assert.equal(asked.length, 2)
  })

  test('what fails for good comes back as it was, with a word to the SDK', async (t) => {
    const { base, asked } = await flaky(t, 9)
    const response = await createFetch({ ...QUICK, maxRetries: 2 })(`${base}/v1/models`)
    assert.deepEqual([response.status, response.url, await response.text()], [503, `${base}/v1/models`, '{"error":{}}'])
    assert.equal(response.headers.get('x-request-id'), 'r')
    assert.equal(response.headers.get('x-should-retry'), 'false')
    assert.equal(asked.length, 3)
  })

  test('no money is no reason to ask again', async (t) => {
    const { base, asked } = await server(t, (response) =>
      response.writeHead(429).end('{"error":{"code":"insufficient_quota"}}'),
    )
    const response = await createFetch(QUICK)(`${base}/v1/models`)
    assert.deepEqual([response.status, asked.length], [429, 1])
  })

  test('a multipart body arrives whole, by the fetch that was given', async (t) => {
    const { base, asked } = await server(t, (response) => response.end('ok'))
    const told = []
    const fetch = createFetch({
      fetch: (input, init) => {
        told.push(String(input))
        return globalThis.fetch(input, init)
      },
    })
    const body = new FormData()
    body.set('file', new Blob(['content']), 'a.txt')
    assert.equal(await (await fetch(`${base}/v1/files`, { method: 'POST', body })).text(), 'ok')
    assert.match(asked[0].headers['content-type'], /^multipart\/form-data; boundary=/)
    assert.match(asked[0].body, /filename="a.txt"[\s\S]*content/)
    assert.deepEqual(told, [`${base}/v1/files`])
  })
})

test('a full queue rejects with its own error', async (t) => {
  const { ask, simulator } = await setup(t, { maxConcurrent: 1, maxQueue: 0 }, { hang: true })
  const controller = new AbortController()
  const first = failure(ask(STREAM, { signal: controller.signal }))
  await until(() => simulator.requests.length === 1)
  assert.ok((await failure(ask(STREAM))) instanceof QueueFullError)
  controller.abort()
  assert.equal((await first).name, 'AbortError')
})

test('what a closed fetch is asked is refused, and what was in flight is ended', async (t) => {
  const { ask, fetch, simulator } = await setup(t, {}, { hang: true })
  const asked = failure(ask(STREAM))
  await until(() => simulator.requests.length === 1)
  await fetch.close()
  assert.equal((await asked).code, 'CLIENT_CLOSED')
  assert.equal((await failure(ask(STREAM))).code, 'CLIENT_CLOSED')
  assert.equal((await failure(fetch(`${simulator.url}/models`))).code, 'CLIENT_CLOSED')
})

test('wrong options are told at once', () => {
  for (const [options, name] of [
    [{ maxRetries: -1 }, 'maxRetries'],
    [{ baseUrl: 'http://x/v1' }, 'baseUrl'],
    [{ heartbeatMs: -1 }, 'heartbeatMs'],
    [{ fetch: 3 }, 'fetch'],
    [{ recovery: { mode: 'restart' } }, 'recovery.mode'],
    [{ endpoints: [{ name: 'a' }] }, 'endpoints[0].baseUrl'],
    [{ nonsense: 1 }, 'nonsense'],
  ]) {
    assert.throws(
      () => createFetch(options),
      (error) => error.code === 'INVALID_ARGUMENT' && error.message.startsWith(`${name}: `),
      name,
    )
  }
})

test('at most 64 clients are kept, those that were used last', async (t) => {
  const { fetch, simulator } = await setup(t)
  const ask = async (name) => {
    const url = `${simulator.url.replace('/v1', `/${name}`)}/chat/completions`
    await (await fetch(url, { method: 'POST', body: STREAM })).text()
  }
  for (let index = 0; index < 64; index++) await ask(index)
  await ask(0)
  await ask(64)
  const names = [...fetch.clients.keys()].map((base) => base.split('/').at(-1))
  assert.deepEqual([names.length, names[0], ...names.slice(-2)], [64, '2', '0', '64'])
})
