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
