// Errors of Messages and Responses in a response with status 200: typed, in the SDK's shape, with their reason.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { read } from './support/dialect-shapes.mjs'
import { fetchOf } from './support/dialects.mjs'
import { failure } from './support/provider.mjs'
import { rawProvider, responseOf } from './support/raw-provider.mjs'

const json = (value) => [{ 'content-type': 'application/json' }, JSON.stringify(value)]
const event = (value, name) => [
  { 'content-type': 'text/event-stream' },
  `${name ? `event: ${name}\n` : ''}data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`,
]

/**
 * Name: headers and body, the status that the SDK gets, the number of requests, the reason. Without a status `fetch`
 * rejects: the body is not from the API.
 */
const ERRORS = {
  "Anthropic's error": [
    json({ type: 'error', error: { type: 'invalid_request_error', message: 'max_tokens: too large' } }),
    [400, 1, 'max_tokens: too large'],
  ],
  "Anthropic's overload": [
    json({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }),
    [500, 2, 'Overloaded'],
  ],
  "Anthropic's key": [
    json({ type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } }),
    [401, 1, 'invalid x-api-key'],
  ],
  "Anthropic's prompt that is too long": [
    json({
      type: 'error',
      error: { type: 'invalid_request_error', message: 'prompt is too long: 9 tokens > 8 maximum' },
    }),
    [400, 1, 'prompt is too long'],
  ],
  "Anthropic's balance": [
    json({
      type: 'error',
      error: { type: 'invalid_request_error', message: 'Your credit balance is too low to access the Anthropic API.' },
    }),
    [429, 1, 'credit balance'],
  ],
  "OpenAI's quota": [
    json({
      error: { message: 'You exceeded your current quota', type: 'insufficient_quota', code: 'insufficient_quota' },
    }),
    [429, 1, 'exceeded your current quota'],
  ],
  "OpenAI's context": [
    json({ error: { message: 'Too long', type: 'invalid_request_error', code: 'context_length_exceeded' } }),
    [400, 1, 'Too long'],
  ],
  'a text': [json({ error: 'model is loading' }), [500, 2, 'model is loading']],
  'an error in a text': [
    json({ error: '{"message":"inner reason","code":"invalid_api_key"}' }),
    [401, 1, 'inner reason'],
  ],
  "FastAPI's detail": [json({ detail: 'model not loaded' }), [500, 2, 'model not loaded']],
  "FastAPI's validation": [
    json({ detail: [{ loc: ['body', 'max_tokens'], msg: 'field required', type: 'missing' }] }),
    [400, 1, 'field required'],
  ],
  "MiniMax's base_resp": [
    json({ base_resp: { status_code: 1008, status_msg: 'insufficient balance' } }),
    [429, 1, 'insufficient balance'],
  ],
  "Cloudflare's list": [
    json({ success: false, errors: [{ code: 10000, message: 'Authentication error' }] }),
    [401, 1, 'Authentication error'],
  ],
  'code and message': [json({ code: 401, message: 'token expired' }), [401, 1, 'token expired']],
  "Gemini's list": [
    json([{ error: { code: 400, message: 'API key not valid', status: 'INVALID_ARGUMENT' } }]),
    [400, 1, 'API key not valid'],
  ],
  'a page': [
    [{ 'content-type': 'text/html' }, '<html><head><title>Bad gateway</title></head></html>'],
    [undefined, 1, 'Bad gateway'],
  ],
  'a plain text': [
    [{ 'content-type': 'text/plain' }, 'upstream request failed'],
    [undefined, 1, 'upstream request failed'],
  ],
  'an answer of another API': [
    json({
      id: 'c',
      object: 'chat.completion',
      choices: [{ index: 0, message: { content: 'x' }, finish_reason: 'stop' }],
    }),
    [undefined, 1, ''],
  ],
  'an event': [
    event({ type: 'error', error: { type: 'rate_limit_error', message: 'Slow down' } }, 'error'),
    [429, 2, 'Slow down'],
  ],
  'an event without a name': [
    event({ type: 'error', error: { type: 'permission_error', message: 'Not for you' } }),
    [401, 1, 'Not for you'],
  ],
  'an event without a type': [event({ error: { message: 'No such model', code: 404 } }), [404, 1, 'No such model']],
  'an event with a bare text': [event('upstream is gone', 'error'), [500, 2, 'upstream is gone']],
  'a flat event': [
    event(
      { type: 'error', code: 'context_length_exceeded', message: 'Too long', param: null, sequence_number: 0 },
      'error',
    ),
    [400, 1, 'Too long'],
  ],
  'a flat event without a name': [
    event({ type: 'error', code: 'invalid_api_key', message: 'Bad key', param: 'key', sequence_number: 0 }),
    [401, 1, 'Bad key'],
  ],
  'a flat event with strange fields': [
    event('{"type":"error","code":"rate_limit_exceeded","message":"Slow down \\ud83d","index":"x","type":"error"}'),
    [429, 2, 'Slow down'],
  ],
  'an error in a field of the event stream': [
    [{ 'content-type': 'text/event-stream' }, 'error: {"message":"quota","code":"insufficient_quota"}\n\n'],
    [429, 1, 'quota'],
  ],
}

const BODIES = {
  messages: { model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] },
  responses: { model: 'm', input: 'hi' },
}

for (const [name, [[headers, body], [status, requests, reason]]] of Object.entries(ERRORS)) {
  test(`an error in a response with status 200: ${name}`, async (t) => {
    for (const [dialect, request] of Object.entries(BODIES)) {
      for (const stream of [true, false]) {
        const provider = await rawProvider(t, responseOf(200, headers, body))
        const fetch = fetchOf(t, { maxRetries: 1, retryBudget: false })
        const where = `${dialect}, stream: ${stream}`
        const init = { method: 'POST', body: JSON.stringify({ ...request, stream }) }
        const answer = fetch(`${provider.url}/${dialect}`, init)
        // What an answer that is not streamed has in it is the caller's business.
        if (!stream && name === 'an answer of another API') {
          assert.equal((await answer).status, 200, where)
          continue
        }
        if (status === undefined) {
          const { cause } = await failure(answer)
          assert.deepEqual([cause.code, provider.requests.length], ['MALFORMED_RESPONSE', requests], where)
          assert.ok(cause.message.includes(reason), `${where}: ${cause.message}`)
          continue
        }
        const response = await answer
        const received = await response.json()
        // A stream where none was requested is read as a text.
        if (!stream && headers['content-type'] === 'text/event-stream') {
          assert.ok(received.error.message.includes(reason), `${where}: ${JSON.stringify(received)}`)
          continue
        }
        assert.deepEqual(
          [response.status, provider.requests.length],
          [status, requests],
          `${where}: ${JSON.stringify(received)}`,
        )
        assert.ok(received.error.message.includes(reason), `${where}: ${JSON.stringify(received)}`)
        if (dialect === 'messages') assert.equal(received.type, 'error')
        assert.equal(typeof (received.error.type ?? ''), 'string', where)
      }
    }
  })
}

for (const [name, [[headers, body], [status, requests, reason]]] of Object.entries(ERRORS)) {
  test(`the SDK has the reason of an error in a stream: ${name}`, async (t) => {
    for (const dialect of Object.keys(BODIES)) {
      const got = await read(t, dialect, responseOf(200, headers, body), { maxRetries: 1 })
      assert.deepEqual([got.error?.status, got.requests], [status, requests], dialect)
      const messages = []
      for (let link = got.error; link; link = link.cause) messages.push(link.message)
      assert.ok(messages.join('; ').includes(reason), `${dialect}: ${messages.join('; ')}`)
    }
  })
}
