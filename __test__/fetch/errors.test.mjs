// Errors of a provider under `createFetch`, as the SDKs see them.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import { APICallError, generateText } from 'ai'
import OpenAI from 'openai'
import { createFetch } from '../../fetch.mjs'
import { APIError } from '../../index.mjs'
import { failure, KEY, MESSAGES, QUICK } from '../support/provider.mjs'
import { chunkOf, json, rawProvider, responseOf, sse, streamOf } from '../support/raw-provider.mjs'

const CHAT = { model: 'm', messages: MESSAGES }
const MESSAGE = { ...CHAT, max_tokens: 10 }
const RESPONSE = { model: 'm', input: 'x' }
const META = { 'x-request-id': 'r-1', 'retry-after': '7' }

/** Both SDKs over `createFetch` without retries, and the provider that they talk to. */
async function setup(t, response, options) {
  const provider = await rawProvider(t, response)
  const fetch = createFetch({ ...QUICK, maxRetries: 0, ...options })
  t.after(() => fetch.close())
  const client = { apiKey: KEY, fetch, maxRetries: 0 }
  const openai = new OpenAI({ ...client, baseURL: provider.url })
  const anthropic = new Anthropic({ ...client, baseURL: provider.url.replace('/v1', '') })
  return { ...provider, fetch, openai, anthropic }
}

/** The calls of the SDKs by name. A stream is read to its end. */
const CALLS = {
  chat: ({ openai }) => openai.chat.completions.create(CHAT),
  'streamed chat': ({ openai }) => read(openai.chat.completions.create({ ...CHAT, stream: true })),
  response: ({ openai }) => openai.responses.create(RESPONSE),
  'streamed response': ({ openai }) => read(openai.responses.create({ ...RESPONSE, stream: true })),
  message: ({ anthropic }) => anthropic.messages.create(MESSAGE),
  'streamed message': ({ anthropic }) => read(anthropic.messages.create({ ...MESSAGE, stream: true })),
}

async function read(stream) {
  for await (const _ of await stream);
}

const isAnthropic = (name) => name.endsWith('message')

describe('a status that no Response can have', () => {
  for (const [status, code, body] of [
    [304, 'REDIRECTED', ''],
    [600, 'SERVER_ERROR', '{"error":{"message":"odd"}}'],
    [999, 'SERVER_ERROR', 'Request denied'],
  ]) {
    for (const [name, call] of Object.entries(CALLS)) {
      test(`${status} rejects a ${name} with the typed error as the cause`, async (t) => {
        const thrown = await failure(call(await setup(t, responseOf(status, META, body))))
        assert.ok(thrown instanceof (isAnthropic(name) ? Anthropic : OpenAI).APIConnectionError, thrown)
        assert.ok(thrown.cause instanceof APIError)
        assert.deepEqual([thrown.cause.code, thrown.cause.status, thrown.cause.requestId], [code, status, 'r-1'])
      })
    }
  }

  test('is passed on where the client does not handle the request', async (t) => {
    const { url, fetch, requests } = await setup(t, responseOf(600, META, 'odd'), { maxRetries: 1 })
    const response = await fetch(`${url}/models`)
    assert.deepEqual([response.status, response.ok, await response.text()], [600, false, 'odd'])
    assert.equal(response.headers.get('x-request-id'), 'r-1')
    assert.ok(requests.length <= 2)
  })

  test('204 and 205 are not an answer', async (t) => {
    for (const status of [204, 205]) {
      for (const [name, call] of Object.entries(CALLS)) {
        const head = `HTTP/1.1 ${status} X\r\nconnection: close\r\n${status === 205 ? 'content-length: 0\r\n' : ''}\r\n`
        const thrown = await failure(call(await setup(t, head)))
        assert.ok(
          thrown instanceof (isAnthropic(name) ? Anthropic : OpenAI).APIError,
          `${status} ${name}: ${thrown.stack}`,
        )
        assert.equal(thrown.message.includes('constructor'), false)
      }
    }
  })
})

describe('an error response without the message where the SDK looks for it has the SDK’s shape', () => {
  const BYTES = Buffer.from([0x1f, 0x8b, 0, 0xff, 0xfe, 3, 0x80])
  for (const [kind, response, pattern] of [
    ['FastAPI’s detail', json(400, { detail: 'Model not found' }, META), /Model not found/],
    [
      'a message without an envelope',
      json(400, { code: 20013, message: 'Model is required' }, META),
      /Model is required/,
    ],
    [
      'a list',
      json(400, [{ error: { code: 400, message: 'too long', status: 'INVALID_ARGUMENT' } }], META),
      /too long/,
    ],
    ['a bare text as the error', json(400, { error: 'no such model' }, META), /no such model/],
    ['bytes', responseOf(400, { ...META, 'content-type': 'application/octet-stream' }, BYTES), /400/],
    ['nothing', responseOf(400, META), /400/],
    ['a JSON string', json(400, 'out of order', META), /400/],
  ]) {
    test(kind, async (t) => {
      for (const [name, call] of Object.entries(CALLS)) {
        // Each with a client of its own, because `retry-after` cools the route down.
        const thrown = await failure(call(await setup(t, response)))
        assert.equal(thrown.status, 400, name)
        assert.match(thrown.message, pattern, name)
        const { error } = isAnthropic(name) ? thrown.error : thrown
        assert.match(error.message, pattern, name)
        assert.equal(/status code \(no body\)|\0|\ufffd/.test(thrown.message), false, name)
        if (isAnthropic(name)) assert.deepEqual([thrown.error.type, typeof error.type], ['error', 'string'])
        else assert.ok('code' in error && 'param' in error && 'type' in error)
        assert.equal(thrown.headers.get('x-request-id'), 'r-1')
        assert.equal(thrown.headers.get('retry-after'), '7')
      }
    })
  }

  test('and keeps the other fields', async (t) => {
    const body = { request_id: 'x', error: { message: null, details: [1], code: 'upstream_failed' } }
    const { openai } = await setup(t, json(500, body))
    const thrown = await failure(openai.chat.completions.create(CHAT))
    assert.equal(thrown.code, 'upstream_failed')
    assert.deepEqual(thrown.error.details, [1])
    assert.match(thrown.message, /upstream_failed|500 Internal Server Error/)
  })

  test('text and pages stay as they are', async (t) => {
    for (const [type, body] of [
      ['text/plain', 'no healthy upstream'],
      ['text/html; charset=utf-8', '<html><title>Bad gateway</title></html>'],
    ]) {
      const { url, fetch } = await setup(t, responseOf(503, { 'content-type': type }, body))
      const response = await fetch(`${url}/chat/completions`, { method: 'POST', body: JSON.stringify(CHAT) })
      assert.deepEqual([response.headers.get('content-type'), await response.text()], [type, body])
    }
  })
})

describe('an error with status 200 is an error of the SDK with a matching status and the headers', () => {
  const named = (data) => sse(`event: error\ndata: ${data}\n\n`, META)
  const limit = { code: 'rate_limit_exceeded', message: 'slow down' }
  for (const [kind, response, status, pattern] of [
    ['flat, in a stream', sse(`data: ${JSON.stringify({ type: 'error', ...limit })}\n\n`, META), 429, /slow down/],
    ['flat, behind `event: error`', named(JSON.stringify({ type: 'error', ...limit })), 429, /slow down/],
    ['in an envelope', named(JSON.stringify({ error: limit })), 429, /slow down/],
    [
      'in an envelope without an event name',
      sse(`data: ${JSON.stringify({ error: limit })}\n\n`, META),
      429,
      /slow down/,
    ],
    [
      'in an envelope with an unknown type',
      sse(`data: ${JSON.stringify({ type: 'x', error: limit })}\n\n`, META),
      429,
      /slow/,
    ],
    ['whole, in an envelope', json(200, { error: limit }, META), 429, /slow down/],
    ['whole and flat', json(200, { type: 'error', ...limit }, META), 429, /slow down/],
    [
      'whole, in Anthropic’s shape',
      json(200, { type: 'error', error: { type: 'rate_limit_error', message: 'slow down' } }, META),
      429,
      /slow down/,
    ],
    ['a bare text', named('upstream closed'), 500, /upstream closed/],
  ]) {
    for (const [name, call] of Object.entries(CALLS)) {
      test(`${kind}: ${name}`, async (t) => {
        const thrown = await failure(call(await setup(t, response)))
        assert.equal(thrown.status, status, thrown.stack)
        assert.match(thrown.message, pattern)
        assert.match((isAnthropic(name) ? thrown.error.error : thrown.error).message, pattern)
        assert.equal(thrown.headers.get('x-request-id'), 'r-1')
        assert.equal(thrown.headers.get('retry-after'), '7')
      })
    }
  }
})

describe('an answer that is too large is an error of the SDK that it does not retry', () => {
  const LIMITS = { maxEventBytes: 1024, maxAnswerBytes: 2048 }
  const event = sse(`data: ${JSON.stringify(chunkOf({ content: 'x'.repeat(2000) }))}\n\n`, META)
  const chunks = Array.from({ length: 8 }, () => chunkOf({ content: 'x'.repeat(500) }))
  const content = [{ type: 'text', text: 'x'.repeat(5000) }]
  const document = json(200, { type: 'message', object: 'response', content, output: content }, META)
  for (const [name, response, code] of [
    ['chat', event, 'RESPONSE_TOO_LARGE'],
    ['chat', sse(streamOf(...chunks), META), 'ANSWER_TOO_LARGE'],
    // After part of the answer.
    [
      'chat',
      sse(
        streamOf(chunkOf({ content: 'some' })).replace('data: [DONE]\n\n', '') +
          event.toString('latin1').split('\r\n\r\n')[1],
        META,
      ),
      'RESPONSE_TOO_LARGE',
    ],
    ['streamed chat', event, 'RESPONSE_TOO_LARGE'],
    ['response', document, 'ANSWER_TOO_LARGE'],
    ['message', document, 'ANSWER_TOO_LARGE'],
    ['streamed response', event, 'RESPONSE_TOO_LARGE'],
    ['streamed message', event, 'RESPONSE_TOO_LARGE'],
  ]) {
    test(`${code}: ${name}`, async (t) => {
      const over = await setup(t, response, { ...LIMITS, recovery: { mode: 'fail' } })
      const retrying = {
        ...over,
        openai: over.openai.withOptions({ maxRetries: 2 }),
        anthropic: over.anthropic.withOptions({ maxRetries: 2 }),
      }
      const thrown = await failure(CALLS[name](retrying))
      assert.ok(thrown instanceof (isAnthropic(name) ? Anthropic : OpenAI).UnprocessableEntityError, thrown.stack)
      assert.equal(thrown.headers.get('x-should-retry'), 'false')
      if (!isAnthropic(name)) assert.equal(thrown.code, code)
      assert.match(thrown.message, /bytes/)
      assert.equal(over.requests.length, 1)
    })
  }

  test('also for the AI SDK', async (t) => {
    const { fetch, url, requests } = await setup(t, event, LIMITS)
    const model = createOpenAICompatible({ name: 'p', baseURL: url, apiKey: KEY, fetch })('m')
    const thrown = await failure(generateText({ model, prompt: 'x', maxRetries: 2 }))
    assert.deepEqual([APICallError.isInstance(thrown), thrown.statusCode, thrown.isRetryable], [true, 422, false])
    assert.equal(thrown.data.error.code, 'RESPONSE_TOO_LARGE')
    assert.equal(requests.length, 1)
  })
})

test('all headers of the response pass, except cookies, hop-by-hop headers and those of the encoded body', async (t) => {
  const visible = {
    date: 'Sun, 29 Nov 2026 20:00:00 GMT',
    'x-generation-id': 'gen-1',
    'x-litellm-model-id': 'm-1',
    'x-litellm-response-cost': '0.1',
    'helicone-id': 'h',
    'helicone-cache': 'HIT',
    'cf-aig-cache-status': 'MISS',
    'cf-ray': 'ray',
    'x-portkey-trace-id': 't',
    'openai-processing-ms': '5',
    'anthropic-organization-id': 'o',
    'x-ratelimit-remaining-tokens': '9',
    'retry-after-ms': '8',
    'request-id': 'q',
    'x-own': ['1', '2'],
  }
  const hidden = {
    'set-cookie': ['a=secret', 'b=secret'],
    'keep-alive': 'timeout=5',
    'proxy-authenticate': 'Basic',
    te: 'trailers',
    trailer: 'x-own',
    upgrade: 'h2c',
  }
  const answer = streamOf(chunkOf({ content: 'a' }), chunkOf({}, 'stop'))
  const headers = { ...visible, ...hidden, 'x-echo': `of ${KEY}` }
  const responses = { stream: sse(answer, headers), error: json(400, { error: { message: 'no' } }, headers) }
  for (const [kind, response] of Object.entries(responses)) {
    const { url, fetch } = await setup(t, response)
    for (const stream of kind === 'stream' ? [true, false] : [true]) {
      const init = {
        method: 'POST',
        headers: { authorization: `Bearer ${KEY}` },
        body: JSON.stringify({ ...CHAT, stream }),
      }
      const received = await fetch(`${url}/chat/completions`, init)
      await received.text()
      for (const [name, value] of Object.entries(visible)) {
        assert.equal(received.headers.get(name), [value].flat().join(', '), `${kind}: ${name}`)
      }
      for (const name of [...Object.keys(hidden), 'content-length', 'connection']) {
        assert.equal(received.headers.has(name), false, `${kind}: ${name}`)
      }
      assert.equal(received.headers.get('x-echo').includes(KEY), false)
    }
  }
})

test('what comes after the finish reason reaches the reader of a stream', async (t) => {
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  const citations = ['https://example.com']
  const chunks = [
    chunkOf({ role: 'assistant', content: 'Hello' }),
    chunkOf({}, 'stop'),
    chunkOf({ content: ' world' }),
    { ...chunkOf({}), choices: [], citations },
    { ...chunkOf({ content: '' }), usage },
  ]
  const { openai } = await setup(t, sse(streamOf(...chunks)))
  const received = []
  for await (const chunk of await openai.chat.completions.create({
    ...CHAT,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    received.push(chunk)
  }
  assert.equal(received.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'Hello world')
  assert.deepEqual(received.find((chunk) => chunk.citations)?.citations, citations)
  assert.deepEqual(received.find((chunk) => chunk.usage)?.usage, usage)
  const completion = await openai.chat.completions.create(CHAT)
  assert.equal(completion.choices[0].message.content, 'Hello world')
  assert.deepEqual([completion.citations, completion.usage], [citations, usage])
})

test('the options about usage, events and empty answers apply', async (t) => {
  const empty = sse(streamOf(chunkOf({ role: 'assistant', content: '' }), chunkOf({}, 'stop')))
  const codeOf = async (response, options) => {
    const { openai } = await setup(t, response, { usageTimeoutMs: 0, ...options })
    try {
      await read(openai.chat.completions.create({ ...CHAT, stream: true }))
    } catch (error) {
      return error.cause?.cause?.code ?? error.code
    }
  }
  assert.equal(await codeOf(empty), 'EMPTY_ANSWER')
  assert.equal(await codeOf(empty, { allowEmptyAnswer: true }), undefined)
  const large = sse(streamOf(chunkOf({ content: 'x'.repeat(3000) }), chunkOf({}, 'stop')))
  assert.equal(await codeOf(large), undefined)
  assert.equal(await codeOf(large, { maxEventBytes: 2000 }), 'RESPONSE_TOO_LARGE')
})
