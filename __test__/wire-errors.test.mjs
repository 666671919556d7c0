// Errors in a response with status 200: the cause is read, and a request that would fail again is not repeated.
import { describe, test } from 'node:test'
import { assertFailure, assertText, chunk } from './support/wire.mjs'

const BODIES = {
  'OpenAI, in place of the stream': [{ error: { message: 'no such key', code: 'invalid_api_key' } }, /no such key/],
  FastAPI: [{ detail: 'the model is not loaded' }, /the model is not loaded/],
  Cloudflare: [{ success: false, errors: [{ code: 7000, message: 'no route' }] }, /no route/],
  MiniMax: [
    { choices: null, base_resp: { status_code: 1008, status_msg: 'insufficient balance' } },
    /insufficient balance/,
  ],
  DashScope: [{ code: 'InvalidParameter', message: 'the range is [1, 30720]', request_id: 'r' }, /\[1, 30720\]/],
  'a page': ['<html><body>Maintenance</body></html>', /HTML/],
  'plain text': ['the upstream is not configured', /the upstream is not configured/],
}

describe('a body that is not an answer', () => {
  for (const [provider, [body, pattern]] of Object.entries(BODIES)) {
    for (const type of ['application/json', 'text/event-stream']) {
      test(`${provider}, as ${type}`, (t) =>
        assertFailure(t, [{ body, headers: { 'content-type': type } }], pattern, { maxRetries: 0 }))
    }
  }
})

describe('an event that is an error', () => {
  for (const [provider, event, pattern] of [
    ['a string', { error: 'the model is overloaded' }, /the model is overloaded/],
    ['vLLM', { object: 'error', message: 'max_tokens must be positive', code: 400 }, /must be positive/],
    [
      'Anthropic in a stream of chunks',
      { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      /Overloaded/,
    ],
    [
      'MiniMax',
      { choices: null, base_resp: { status_code: 1008, status_msg: 'insufficient balance' } },
      /insufficient balance/,
    ],
  ]) {
    test(provider, (t) => assertFailure(t, [{ events: [event] }], pattern, { maxRetries: 0 }))
  }
  test('after text, the error is the cause', (t) => {
    const events = [chunk({ content: 'Xin ch' }), { error: { message: 'upstream closed' } }]
    return assertFailure(t, [{ events }], /upstream closed/, { maxRetries: 0, recovery: false })
  })
})

test('events that only a line break separates are an answer (a proxy that removes empty lines)', (t) =>
  assertText(t, [{ chunks: ['Xin ch', 'ào'], blankLines: false }], 'Xin chào'))

test('an empty stream is requested once as a document, which names the reason (llama-cpp-python)', (t) => {
  const body = { error: { message: 'the prompt has 9000 tokens', code: 'context_length_exceeded' } }
  return assertFailure(
    t,
    [
      { events: [], done: false },
      { status: 400, body },
    ],
    /9000 tokens/,
    { requests: 2 },
  )
})

test('an empty stream whose document is the answer is that answer', (t) =>
  assertText(t, [{ events: [], done: false }, { text: 'Xin chào' }], 'Xin chào', { requests: 2 }))

test('a body that cannot be an answer from its first byte on is requested once', (t) =>
  assertFailure(t, [{ html: true }], /HTML/))

describe('an error that nothing explains', () => {
  const body = { detail: 'the backend is not ready' }
  test('is asked for once more, not again and again', (t) =>
    assertFailure(t, [{ body }], /the backend is not ready/, { requests: 2 }))
  test('may have passed by then', (t) => assertText(t, [{ body }, { text: 'Xin chào' }], 'Xin chào', { requests: 2 }))
  test('is asked for as often as any other if it has a status', (t) =>
    assertFailure(t, [{ body: { detail: 'the backend is not ready', status: 503 } }], /not ready/, {
      requests: 3,
      maxRetries: 2,
    }))
})
