// `createFetch` alone: the bytes of a stream, the forms of a request, and the requests that pass through.
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

/** A server that answers with `answer`, and the requests it has received. */
async function server(t, answer) {
  const requests = []
  const listening = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('latin1')) body += chunk
    requests.push({ method: request.method, path: request.url, headers: request.headers, body })
    answer(response, requests.length, requests.at(-1))
  })
  await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve))
  t.after(() => listening.close())
  return { base: `http://127.0.0.1:${listening.address().port}`, requests }
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
  test('has the chunks of the provider byte for byte', async (t) => {
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

  test('with a buffered tool call keeps provider-specific fields, and so does a non-streamed answer', async (t) => {
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

  test('starts with the first token, so earlier failures are retried unnoticed', async (t) => {
    const { ask, simulator } = await setup(t)
    simulator.script({ status: 503 }, { chunks: CHUNKS, disconnect: { afterChunks: 0, how: 'reset' } })
    const response = await ask(STREAM)
    assert.equal(textOf(eventsOf(await response.text())), ANSWER)
    assert.equal(simulator.requests.length, 3)
    assert.equal(response.headers.get('x-request-id')?.startsWith('req_'), true)
  })

  test('that is canceled cancels the upstream request', async (t) => {
    const { ask, simulator } = await setup(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
    const response = await ask(STREAM)
    await response.body.cancel()
    await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
  })

  test('whose signal is aborted fails with the reason of the signal', async (t) => {
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

  test('that is not read applies backpressure to the socket', async (t) => {
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
    assert.ok(sent > 0 && sent < total, `${sent} of ${total} events were sent though none was read`)
    let bytes = 0
    for await (const chunk of response.body) bytes += chunk.length
    assert.ok(bytes > total * 16_384)
    assert.equal(sent, total)
  })

  test('delivers what was received before it fails', async (t) => {
    const { ask } = await setup(
      t,
      { recovery: false },
      { chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } },
    )
    const reader = (await ask(STREAM)).body.getReader()
    // Reading starts only after the stream has failed.
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

  test('has heartbeats while a tool call is buffered', async (t) => {
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
    'a Request with options that override it': (url) => [
      new Request(url, { method: 'POST', body: 'x' }),
      { body: STREAM },
    ],
    'a URL with a lowercase method': (url) => [new URL(url), { method: 'post', body: STREAM }],
  }
  for (const [name, form] of Object.entries(forms)) {
    test(`can be ${name}`, async (t) => {
      const { fetch, url, simulator } = await setup(t)
      simulator.script({ status: 500 })
      assert.equal(textOf(eventsOf(await (await fetch(...form(url))).text())), ANSWER)
      assert.equal(simulator.requests.length, 2)
    })
  }

  for (const [name, body] of Object.entries({
    'is not JSON': '{"model":',
    'is not UTF-8': Buffer.from('{"model":"m","messages":[{"role":"user","content":"\xff"}]}', 'latin1'),
    'has no messages': '{"model":"m"}',
    'has no model': '{"messages":[{"role":"user","content":"x"}]}',
    'has an invalid message': '{"model":"m","messages":[null]}',
    'asks for audio': '{"model":"m","messages":[{}],"modalities":["text","audio"]}',
  })) {
    test(`that ${name} is sent to the provider once, unchanged`, async (t) => {
      const { base, requests } = await server(t, (response) => response.writeHead(400).end('no'))
      const url = `${base}/v1/chat/completions`
      for (const requestBody of [body, new Blob([body]).stream()]) {
        const init = { method: 'POST', headers: HEADERS, body: requestBody, duplex: 'half' }
        const response = await createFetch(QUICK)(url, init)
        assert.deepEqual([response.status, await response.text()], [400, 'no'])
        assert.equal(requests.at(-1).headers.authorization, HEADERS.authorization)
        assert.equal(requests.at(-1).body, Buffer.from(body).toString('latin1'))
      }
      assert.equal(requests.length, 2)
    })
  }

  test('keeps its idempotency key on every attempt', async (t) => {
    const { ask, simulator } = await setup(t)
    simulator.script({ status: 500 })
    await (await ask(STREAM, { headers: { ...HEADERS, 'Idempotency-Key': 'mine-1' } })).text()
    assert.deepEqual(
      simulator.requests.map(({ headers }) => headers['idempotency-key']),
      ['mine-1', 'mine-1'],
    )
  })

  test('is sent with its own API key, while the keys of one base URL share a client', async (t) => {
    const { ask, simulator, fetch } = await setup(t)
    for (const key of ['Bearer one-0123456789', 'Basic dHdvLTAxMjM0NTY3ODk=']) {
      await (await ask(STREAM, { headers: { authorization: key } })).text()
      assert.equal(simulator.requests.at(-1).headers.authorization, key)
    }
    assert.deepEqual([...fetch.clients.keys()], [simulator.url])
    // A call is counted when it ends, shortly after its last event.
    await until(() => fetch.clients.get(simulator.url).metrics().successes === 2, 'the second success')
  })
})

describe('a request that passes through', () => {
  const flaky = (t, failures = 1) =>
    server(t, (response, count) => {
      if (count <= failures) response.writeHead(503, { 'retry-after-ms': '1', 'x-request-id': 'r' }).end('{"error":{}}')
      else response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}')
    })
  const JSON_POST = { method: 'POST', headers: HEADERS, body: '{"input":"x"}' }

  for (const [name, path, init, attempts] of [
    ['a GET', '/v1/models', {}, 2],
    ['an embeddings request', '/v1/embeddings', JSON_POST, 2],
    ['a moderations request', '/v1/moderations', JSON_POST, 2],
    ['a token count', '/v1/messages/count_tokens', JSON_POST, 2],
    ['an upload', '/v1/files', { method: 'POST', body: new URLSearchParams({ a: '1' }) }, 1],
    ['an image generation', '/v1/images/generations', JSON_POST, 1],
    ['a response', '/v1/responses', JSON_POST, 1],
    ['a message', '/v1/messages', JSON_POST, 1],
    [
      'a request with an idempotency key',
      '/v1/files',
      { method: 'POST', body: 'x', headers: { 'idempotency-key': 'k' } },
      2,
    ],
    ['a DELETE', '/v1/files/1', { method: 'DELETE' }, 1],
  ]) {
    test(`${name} is ${attempts === 1 ? 'sent once' : 'retried when it fails'}`, async (t) => {
      const { base, requests } = await flaky(t)
      const response = await createFetch(QUICK)(`${base}${path}`, init)
      assert.equal(requests.length, attempts)
      assert.equal(response.status, attempts === 1 ? 503 : 200)
      assert.equal(await response.text(), attempts === 1 ? '{"error":{}}' : '{"ok":true}')
    })
  }

  test('a streamed body is never sent twice', async (t) => {
    const { base, requests } = await flaky(t)
    const body = new Blob(['{"input":"x"}']).stream()
    const response = await createFetch(QUICK)(`${base}/v1/embeddings`, { ...JSON_POST, body, duplex: 'half' })
    assert.deepEqual([response.status, requests.length, requests[0].body], [503, 1, '{"input":"x"}'])
    const request = new Request(`${base}/v1/embeddings`, JSON_POST)
    assert.equal((await createFetch(QUICK)(request)).status, 200)
    assert.equal(requests.length, 2)
  })

  test('a final failure is returned unchanged, except for a header that stops the SDK from retrying', async (t) => {
    const { base, requests } = await flaky(t, 9)
    const response = await createFetch({ ...QUICK, maxRetries: 2 })(`${base}/v1/models`)
    assert.deepEqual([response.status, response.url, await response.text()], [503, `${base}/v1/models`, '{"error":{}}'])
    assert.equal(response.headers.get('x-request-id'), 'r')
    assert.equal(response.headers.get('x-should-retry'), 'false')
    assert.equal(requests.length, 3)
  })

  test('an exhausted quota is not retried', async (t) => {
    const { base, requests } = await server(t, (response) =>
      response.writeHead(429).end('{"error":{"code":"insufficient_quota"}}'),
    )
    const response = await createFetch(QUICK)(`${base}/v1/models`)
    assert.deepEqual([response.status, requests.length], [429, 1])
  })

  test('a multipart body is sent intact by the given fetch', async (t) => {
    const { base, requests } = await server(t, (response) => response.end('ok'))
    const urls = []
    const fetch = createFetch({
      fetch: (input, init) => {
        urls.push(String(input))
        return globalThis.fetch(input, init)
      },
    })
    const body = new FormData()
    body.set('file', new Blob(['content']), 'a.txt')
    assert.equal(await (await fetch(`${base}/v1/files`, { method: 'POST', body })).text(), 'ok')
    assert.match(requests[0].headers['content-type'], /^multipart\/form-data; boundary=/)
    assert.match(requests[0].body, /filename="a.txt"[\s\S]*content/)
    assert.deepEqual(urls, [`${base}/v1/files`])
  })
})

test('a full queue rejects with QueueFullError', async (t) => {
  const { ask, simulator } = await setup(t, { maxConcurrent: 1, maxQueue: 0 }, { hang: true })
  const controller = new AbortController()
  const first = failure(ask(STREAM, { signal: controller.signal }))
  await until(() => simulator.requests.length === 1)
  assert.ok((await failure(ask(STREAM))) instanceof QueueFullError)
  controller.abort()
  assert.equal((await first).name, 'AbortError')
})

test('close ends the requests in flight and rejects later ones', async (t) => {
  const { ask, fetch, simulator } = await setup(t, {}, { hang: true })
  const inFlight = failure(ask(STREAM))
  await until(() => simulator.requests.length === 1)
  await fetch.close()
  assert.equal((await inFlight).code, 'CLIENT_CLOSED')
  assert.equal((await failure(ask(STREAM))).code, 'CLIENT_CLOSED')
  assert.equal((await failure(fetch(`${simulator.url}/models`))).code, 'CLIENT_CLOSED')
})

test('invalid options throw', () => {
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

test('at most the 64 most recently used clients are cached', async (t) => {
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
