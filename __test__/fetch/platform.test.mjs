// What a response of `createFetch` looks like, next to one of the platform's `fetch` for the same request.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createFetch } from '../../fetch.mjs'
import { serve } from '../support/http-server.mjs'
import { failure, QUICK, until } from '../support/provider.mjs'

const MESSAGES = [{ role: 'user', content: 'x' }]
const COMPLETION = { choices: [{ index: 0, message: { role: 'assistant', content: 'a' }, finish_reason: 'stop' }] }
const CHUNK = { choices: [{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }] }
const RESPONSE = { id: 'r', object: 'response', status: 'completed', output: [] }
const ERROR = { error: { message: 'no', type: 't', param: null, code: null } }
// A response header as a byte string, with a character that is not ASCII.
const ACCENT = 'caf\u00e9'

const json = (status, value) => (response) =>
  response.writeHead(status, { 'content-type': 'application/json', 'x-name': ACCENT }).end(JSON.stringify(value))
const events = (response) =>
  response
    .writeHead(200, { 'content-type': 'text/event-stream', 'x-name': ACCENT })
    .end(`data: ${JSON.stringify(CHUNK)}\n\ndata: [DONE]\n\n`)

const FORMS = {
  'a completion': ['/v1/chat/completions', { messages: MESSAGES }, json(200, COMPLETION)],
  'a stream of chunks': ['/v1/chat/completions', { messages: MESSAGES, stream: true }, events],
  'a response object': ['/v1/responses', { input: 'x' }, json(200, RESPONSE)],
  'an error': ['/v1/chat/completions', { messages: MESSAGES }, json(400, ERROR)],
  'an error of a request that passes through': ['/v1/embeddings', { input: 'x' }, json(500, ERROR)],
}

function appearance(response) {
  const { url, type, redirected, status, statusText, ok, bodyUsed, headers } = response
  return { url, type, redirected, status, statusText, ok, bodyUsed, name: headers.get('x-name') }
}

describe('a response looks like one of the platform', () => {
  for (const [name, [path, body, answer]] of Object.entries(FORMS)) {
    test(name, async (t) => {
      const sent = []
      const { url } = await serve(t, async (response, request) => {
        sent.push(request.headers['x-title'])
        answer(response)
      })
      const fetch = createFetch({ ...QUICK, maxRetries: 1 })
      t.after(() => fetch.close())
      const init = {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-title': ACCENT },
        body: JSON.stringify({ model: 'm', ...body }),
      }
      const [expected, response] = [
        await globalThis.fetch(`${url}${path}#part`, init),
        await fetch(`${url}${path}#part`, init),
      ]
      const copy = response.clone()
      assert.deepEqual(appearance(response), appearance(expected))
      assert.deepEqual(appearance(copy), appearance(expected))
      assert.deepEqual(appearance(copy.clone()), appearance(expected))
      assert.equal(await copy.text(), await response.text())
      assert.deepEqual([...new Set(sent)], [ACCENT])
    })
  }
})

const EMPTY_CHUNKS = [
  { choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] },
  { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
  '[DONE]',
]
const EMPTY_RESPONSE = [
  { type: 'response.created', sequence_number: 0, response: { ...RESPONSE, status: 'in_progress' } },
  { type: 'response.completed', sequence_number: 1, response: RESPONSE },
]
const EMPTY_MESSAGE = { id: 'm', type: 'message', role: 'assistant', model: 'm', content: [], stop_reason: 'end_turn' }
const streamed = (list) => (response) => {
  const data = list.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`)
  response
    .writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'r-1', 'x-name': 'n' })
    .end(data.join(''))
}
const whole = (value) => (response) =>
  response
    .writeHead(200, { 'content-type': 'application/json', 'x-request-id': 'r-1', 'x-name': 'n' })
    .end(JSON.stringify(value))
const usage = { input_tokens: 1, output_tokens: 0 }

describe('an empty answer has the headers of the provider', () => {
  for (const [name, path, body, answer] of [
    ['a completion', '/chat/completions', { messages: MESSAGES }, streamed(EMPTY_CHUNKS)],
    ['a stream of chunks', '/chat/completions', { messages: MESSAGES, stream: true }, streamed(EMPTY_CHUNKS)],
    [
      'a stream of chunks with usage',
      '/chat/completions',
      { messages: MESSAGES, stream: true, stream_options: { include_usage: true } },
      streamed(EMPTY_CHUNKS),
    ],
    ['a response object', '/responses', { input: 'x' }, whole(RESPONSE)],
    ['a streamed response', '/responses', { input: 'x', stream: true }, streamed(EMPTY_RESPONSE)],
    ['a message', '/messages', { messages: MESSAGES, max_tokens: 9 }, whole({ ...EMPTY_MESSAGE, usage })],
    [
      'a streamed message',
      '/messages',
      { messages: MESSAGES, max_tokens: 9, stream: true },
      streamed([
        { type: 'message_start', message: { ...EMPTY_MESSAGE, stop_reason: null, usage } },
        { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage },
        { type: 'message_stop' },
      ]),
    ],
  ]) {
    test(name, async (t) => {
      const { url } = await serve(t, async (response) => answer(response))
      const fetch = createFetch({ ...QUICK, allowEmptyAnswer: true, usageTimeoutMs: 0 })
      t.after(() => fetch.close())
      const response = await fetch(`${url}/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', ...body }),
      })
      const { status, headers } = response
      assert.deepEqual([status, headers.get('x-request-id'), headers.get('x-name')], [200, 'r-1', 'n'])
      assert.notEqual(await response.text(), '')
    })
  }
})

test('the properties of a response can be redefined as those of the platform can', async (t) => {
  const { url } = await serve(t, async (response) => json(200, COMPLETION)(response))
  const fetch = createFetch(QUICK)
  t.after(() => fetch.close())
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', messages: MESSAGES }),
  }
  for (const of of [globalThis.fetch, fetch]) {
    const response = await of(`${url}/v1/chat/completions`, init)
    assert.throws(() => {
      response.url = 'x'
    }, TypeError)
    for (const name of ['url', 'type']) Object.defineProperty(response, name, { value: name, configurable: true })
    const clone = response.clone
    response.clone = function () {
      return clone.call(this)
    }
    assert.deepEqual([response.url, response.type], ['url', 'type'])
    assert.equal(await response.clone().text(), await response.text())
  }
})

test('it can take the place of the global fetch', async (t) => {
  const { url } = await serve(t, async (response) => response.end('ok'))
  const original = globalThis.fetch
  const fetch = createFetch(QUICK)
  t.after(async () => {
    globalThis.fetch = original
    await fetch.close()
  })
  globalThis.fetch = fetch
  assert.equal(await (await globalThis.fetch(`${url}/v1/models`)).text(), 'ok')
})

describe('the content of an assembled answer', () => {
  const call = { id: 't', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }
  const part = { ...call, index: 0 }
  const message = (fields, reason) =>
    whole({ choices: [{ index: 0, message: { role: 'assistant', ...fields }, finish_reason: reason ?? 'stop' }] })
  const chunks = (...deltas) =>
    streamed([
      ...deltas.map((delta) => ({ choices: [{ index: 0, delta, finish_reason: null }] })),
      ...EMPTY_CHUNKS.slice(1),
    ])
  for (const [name, answer, content] of [
    ['null and nothing else', message({ content: null }), null],
    ['no content and nothing else', message({}), null],
    ['"" and nothing else', message({ content: '' }), ''],
    ['null and a refusal', message({ content: null, refusal: 'no' }), null],
    ['"" and a refusal', message({ content: '', refusal: 'no' }), ''],
    ['null and a tool call', message({ content: null, tool_calls: [call] }, 'tool_calls'), null],
    ['"" and a tool call', message({ content: '', tool_calls: [call] }, 'tool_calls'), ''],
    ['a stream of null', chunks({ role: 'assistant', content: null }), null],
    ['a stream of ""', chunks({ role: 'assistant', content: '' }), ''],
    ['a stream of "" and a tool call', chunks({ role: 'assistant', content: '' }, { tool_calls: [part] }), null],
    ['a stream of reasoning', chunks({ reasoning_content: 'hm' }), null],
  ]) {
    test(name, async (t) => {
      const { url } = await serve(t, async (response) => answer(response))
      const fetch = createFetch({ ...QUICK, allowEmptyAnswer: true, usageTimeoutMs: 0 })
      t.after(() => fetch.close())
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', messages: MESSAGES }),
      })
      assert.equal((await response.json()).choices[0].message.content, content)
    })
  }
})

test('the body of an error that passes through keeps its bytes', async (t) => {
  const bytes = Buffer.from([0xef, 0xbb, 0xbf, 0xff, 0x00, 0xe9])
  const { url } = await serve(t, async (response) => response.writeHead(500).end(bytes))
  const fetch = createFetch({ ...QUICK, maxRetries: 1 })
  t.after(() => fetch.close())
  const response = await fetch(`${url}/v1/models`)
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes)
})

for (const status of [500, 429]) {
  test(`the body of a ${status} may have no end`, async (t) => {
    const page = 'x'.repeat(4096)
    const closed = []
    const { url } = await serve(t, async (response) => {
      response.writeHead(status, { 'retry-after-ms': '1' }).write(page)
      const index = closed.push(false) - 1
      response.on('close', () => {
        closed[index] = true
      })
    })
    const fetch = createFetch({ ...QUICK, maxRetries: 1 })
    t.after(() => fetch.close())
    const response = await fetch(`${url}/v1/models`)
    assert.equal(response.status, status)
    const reader = response.body.getReader()
    assert.equal(Buffer.from((await reader.read()).value).toString(), page)
    await reader.cancel()
    await until(() => closed.length === 2 && closed.every(Boolean), 'the end of both connections')
  })
}

test('an exhausted quota is found in the body of a 429, which stays whole', async (t) => {
  const body = JSON.stringify({ error: { code: 'insufficient_quota', message: 'x'.repeat(4096) } })
  let requests = 0
  const { url } = await serve(t, async (response) => {
    requests++
    response.writeHead(429).end(body)
  })
  const fetch = createFetch({ ...QUICK, maxRetries: 1 })
  t.after(() => fetch.close())
  const response = await fetch(`${url}/v1/models`)
  assert.deepEqual([await response.text(), requests], [body, 1])
})

test('the message of an error is the one of the provider, in whatever shape it sent it', async (t) => {
  const init = { method: 'POST', body: JSON.stringify({ model: 'm', messages: MESSAGES }) }
  for (const sent of [{ error: 'slow down' }, { message: 'slow down' }, { detail: 'slow down' }]) {
    const { url } = await serve(t, async (response) => json(400, sent)(response))
    const fetch = createFetch(QUICK)
    t.after(() => fetch.close())
    const { error } = await (await fetch(`${url}/v1/chat/completions`, init)).json()
    assert.equal(error.message, 'slow down', JSON.stringify(sent))
  }
})

test('a URL with a name and a password is rejected, and nothing is sent', async (t) => {
  let requests = 0
  const { url } = await serve(t, async (response) => {
    requests++
    response.end('{}')
  })
  const fetch = createFetch(QUICK)
  t.after(() => fetch.close())
  const address = `${url.replace('://', '://name:secret@')}/v1/chat/completions`
  const init = { method: 'POST', body: JSON.stringify({ model: 'm', messages: MESSAGES }) }
  assert.equal((await failure(fetch(address, init))).name, 'TypeError')
  assert.equal(requests, 0)
})
