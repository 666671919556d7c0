// The `openai` package with only its `fetch` replaced, against a provider over sockets.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { createFetch } from '../../fetch.mjs'
import { ConnectionError, StreamInterruptedError } from '../../index.mjs'
import {
  ANSWER,
  CHUNKS,
  clockOf,
  contentOf,
  failure,
  KEY,
  MESSAGES,
  passTime,
  provider,
  QUICK,
  settled,
  until,
} from '../support/provider.mjs'

const REQUEST = { model: 'gpt-4.1', messages: MESSAGES }
const STREAM = { ...REQUEST, stream: true }
const TOOL = { id: 'call_1', name: 'weather', arguments: { city: 'Huế' } }
const TOOLS = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }]

/** A simulator and an SDK client that talks to it; `options` are those of `createFetch`. */
async function sdk(t, options, scenario = { chunks: CHUNKS }, client = {}) {
  const simulator = await provider(t, { default: scenario })
  const fetch = createFetch({ ...QUICK, ...options })
  t.after(() => fetch.close())
  return { simulator, fetch, openai: new OpenAI({ apiKey: KEY, baseURL: simulator.url, fetch, ...client }) }
}

async function collect(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

test('a non-streamed answer has the request id and the rate-limit headers of the provider', async (t) => {
  const { openai, simulator } = await sdk(t, {}, { chunks: CHUNKS, headers: { 'x-ratelimit-remaining-requests': '7' } })
  const { data, response, request_id } = await openai.chat.completions.create(REQUEST).withResponse()
  assert.equal(data.choices[0].message.content, ANSWER)
  assert.equal(data.choices[0].finish_reason, 'stop')
  assert.equal(data.usage.total_tokens > 0, true)
  assert.equal(data._request_id, request_id)
  assert.match(request_id, /^req_/)
  assert.equal(response.headers.get('x-ratelimit-remaining-requests'), '7')
  assert.equal(simulator.requests[0].headers.authorization, `Bearer ${KEY}`)
  assert.match(simulator.requests[0].headers['user-agent'], /^OpenAI/)
})

test('an interrupted stream reads as one: one id, one role, one finish reason and no duplicate text', async (t) => {
  for (const how of ['reset', 'close', 'done', 'errorEvent', 'malformed']) {
    const { openai, simulator } = await sdk(t)
    simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 3, how } })
    const chunks = await collect(
      await openai.chat.completions.create({ ...STREAM, stream_options: { include_usage: true } }),
    )
    assert.equal(chunks.map(contentOf).join(''), ANSWER, how)
    for (const field of ['id', 'model', 'created', 'object']) {
      assert.equal(new Set(chunks.map((chunk) => chunk[field])).size, 1, field)
    }
    assert.equal(chunks.filter((chunk) => chunk.choices[0]?.delta.role).length, 1)
    assert.equal(chunks.filter((chunk) => chunk.choices[0]?.finish_reason).length, 1)
    assert.equal(chunks.filter((chunk) => chunk.usage).length, 1)
    assert.equal(simulator.requests.length, 2)
  }
})

test('usage is included only when it is requested', async (t) => {
  // A timer limits the wait for usage; on the test clock it never fires.
  clockOf(t)
  const { openai, simulator } = await sdk(t)
  const without = await collect(await openai.chat.completions.create(STREAM))
  assert.ok(without.every((chunk) => !chunk.usage && chunk.choices.length === 1))
  const chunks = await collect(
    await openai.chat.completions.create({ ...STREAM, stream_options: { include_usage: true } }),
  )
  assert.deepEqual(chunks.at(-1).choices, [])
  assert.ok(chunks.at(-1).usage.total_tokens > 0)
  simulator.script({ chunks: CHUNKS, usageDelayMs: 20 })
  const late = await collect(
    await openai.chat.completions.create({ ...STREAM, stream_options: { include_usage: true } }),
  )
  assert.ok(late.at(-1).usage.total_tokens > 0)
})

describe('with a provider that interrupts every stream once', () => {
  /** Every second request continues or repeats the one before. */
  const interruptStreams = (simulator, scenario, count) => {
    for (let index = 0; index < count; index++) {
      simulator.script({ ...scenario, disconnect: { afterChunks: 2, how: 'reset' } }, scenario)
    }
  }

  test('texts are complete, streamed or not', async (t) => {
    const { openai, simulator } = await sdk(t)
    interruptStreams(simulator, { chunks: CHUNKS }, 3)
    const { choices } = await openai.chat.completions.create(REQUEST)
    assert.equal(choices[0].message.content, ANSWER)
    const runner = openai.chat.completions.stream(REQUEST)
    assert.equal(await runner.finalContent(), ANSWER)
    const chunks = await collect(await openai.chat.completions.create(STREAM))
    assert.equal(chunks.map(contentOf).join(''), ANSWER)
    assert.equal(simulator.requests.length, 6)
  })

  test('tool calls are complete', async (t) => {
    const scenario = { chunks: ['I will ', 'look.'], toolCalls: [TOOL] }
    const { openai, simulator } = await sdk(t, {}, scenario)
    interruptStreams(simulator, scenario, 2)
    const request = { ...REQUEST, tools: TOOLS }
    const { choices } = await openai.chat.completions.create(request)
    assert.deepEqual(JSON.parse(choices[0].message.tool_calls[0].function.arguments), TOOL.arguments)
    const message = await openai.chat.completions.stream(request).finalMessage()
    assert.equal(message.content, 'I will look.')
    assert.equal(message.tool_calls.length, 1)
    assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), TOOL.arguments)
  })

  test('structured output matches its schema', async (t) => {
    const chunks = ['{"city":', '"Huế","deg', 'rees":31}']
    const { openai, simulator } = await sdk(t, {}, { chunks })
    interruptStreams(simulator, { chunks, onContinue: 'restart' }, 2)
    const Weather = z.object({ city: z.string(), degrees: z.number() })
    const request = { ...REQUEST, response_format: zodResponseFormat(Weather, 'weather') }
    const parsed = await openai.chat.completions.parse(request)
    assert.deepEqual(parsed.choices[0].message.parsed, { city: 'Huế', degrees: 31 })
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion()
    assert.deepEqual(streamed.choices[0].message.parsed, { city: 'Huế', degrees: 31 })
  })
})

describe('tool calls', () => {
  test('are buffered until they are complete', async (t) => {
    const { openai } = await sdk(t, {}, { chunks: [], toolCalls: [TOOL] })
    const chunks = await collect(await openai.chat.completions.create({ ...STREAM, tools: TOOLS }))
    const parts = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? [])
    assert.equal(parts.length, 1)
    assert.deepEqual(JSON.parse(parts[0].function.arguments), TOOL.arguments)
  })

  test('are streamed on request', async (t) => {
    const { openai } = await sdk(t, { toolCalls: 'stream' }, { chunks: [], toolCalls: [TOOL] })
    const chunks = await collect(await openai.chat.completions.create({ ...STREAM, tools: TOOLS }))
    const parts = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? [])
    assert.ok(parts.length > 1)
    assert.deepEqual(JSON.parse(parts.map((part) => part.function.arguments).join('')), TOOL.arguments)
  })
})

describe('an abort', () => {
  test('by leaving the loop cancels the upstream request', async (t) => {
    const { openai, simulator } = await sdk(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
    const stream = await openai.chat.completions.create(STREAM)
    for await (const chunk of stream) if (contentOf(chunk)) break
    await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
    assert.equal(simulator.requests.length, 1)
  })

  test('before the answer rejects with the SDK’s APIUserAbortError', async (t) => {
    const { openai, simulator } = await sdk(t, {}, { hang: true })
    const controller = new AbortController()
    const call = failure(openai.chat.completions.create(STREAM, { signal: controller.signal }))
    await until(() => simulator.requests.length === 1)
    controller.abort()
    assert.ok((await call) instanceof OpenAI.APIUserAbortError)
    await until(() => simulator.requests[0].endedBy === 'client')
  })

  test('by the SDK’s timeout rejects with its APIConnectionTimeoutError', async (t) => {
    const { openai } = await sdk(t, {}, { hang: true }, { timeout: 50, maxRetries: 0 })
    assert.ok((await failure(openai.chat.completions.create(REQUEST))) instanceof OpenAI.APIConnectionTimeoutError)
  })
})

describe('errors', () => {
  for (const [status, Class] of [
    [400, OpenAI.BadRequestError],
    [401, OpenAI.AuthenticationError],
    [403, OpenAI.PermissionDeniedError],
    [404, OpenAI.NotFoundError],
    [422, OpenAI.UnprocessableEntityError],
    [429, OpenAI.RateLimitError],
    [503, OpenAI.InternalServerError],
  ]) {
    test(`with status ${status} are the SDK’s ${Class.name}, and its retries do not multiply ours`, async (t) => {
      const error = { message: 'because', type: 'a_type', code: 'a_code', param: 'a_param' }
      const scenario = { status, body: { error }, headers: { 'x-ratelimit-limit-requests': '3' } }
      // The SDK's default: two retries.
      const { openai, simulator } = await sdk(t, { maxRetries: 1 }, scenario)
      for (const stream of [true, false]) {
        simulator.clear()
        const thrown = await failure(openai.chat.completions.create({ ...REQUEST, stream }))
        assert.ok(thrown instanceof Class, thrown.constructor.name)
        assert.equal(thrown.status, status)
        assert.match(thrown.message, /because/)
        assert.deepEqual([thrown.code, thrown.type, thrown.param], ['a_code', 'a_type', 'a_param'])
        assert.equal(thrown.headers.get('x-ratelimit-limit-requests'), '3')
        assert.match(thrown.requestID, /^req_/)
        assert.equal(simulator.requests.length, status === 429 || status === 503 ? 2 : 1)
      }
    })
  }

  test('that opened the circuit have a Retry-After', async (t) => {
    const clock = clockOf(t)
    const { openai, simulator } = await sdk(t, { circuitBreaker: { failureThreshold: 1 } }, { status: 500 })
    const thrown = await failure(clock.runUntil(openai.chat.completions.create(REQUEST)))
    assert.ok(thrown instanceof OpenAI.InternalServerError)
    assert.ok(Number(thrown.headers.get('retry-after-ms')) > 50_000)
    assert.equal(thrown.headers.get('retry-after'), '60')
    assert.equal(simulator.requests.length, 1)
  })

  test('keep their shape when their body is truncated', async (t) => {
    const body = { error: { message: 'x'.repeat(5000), code: 'long' } }
    const { openai } = await sdk(t, {}, { status: 400, body })
    const thrown = await failure(openai.chat.completions.create(REQUEST))
    assert.ok(thrown instanceof OpenAI.BadRequestError)
    assert.equal(thrown.code, 'long')
  })

  test('inside a 200 stream have the class of their kind', async (t) => {
    const disconnect = {
      afterChunks: 0,
      how: 'errorEvent',
      error: { message: 'slow down', type: 'x', code: 'rate_limit_exceeded' },
    }
    const { openai } = await sdk(t, { maxRetries: 0 }, { chunks: CHUNKS, disconnect })
    assert.ok((await failure(openai.chat.completions.create(STREAM))) instanceof OpenAI.RateLimitError)
  })

  test('without a response are connection errors with ours as the cause', async (t) => {
    const { openai, simulator } = await sdk(t, { maxRetries: 0 }, {}, { maxRetries: 0 })
    await simulator.close()
    const thrown = await failure(openai.chat.completions.create(REQUEST))
    assert.ok(thrown instanceof OpenAI.APIConnectionError)
    assert.ok(thrown.cause instanceof TypeError && thrown.cause.cause instanceof ConnectionError)
    assert.equal(thrown.cause.cause.code, 'ECONNREFUSED')
  })

  test('of a stage timeout are the SDK’s timeout errors', async (t) => {
    const clock = clockOf(t, { settleMs: 30 })
    const retry = { baseDelayMs: 0 }
    const options = { firstTokenTimeoutMs: 20, maxRetries: 1, retry }
    const { openai, simulator } = await sdk(t, options, { hang: true }, { maxRetries: 0 })
    const call = failure(openai.chat.completions.create(STREAM))
    await until(() => simulator.requests.length === 1)
    await passTime(clock, 20, () => simulator.requests.length === 2)
    await passTime(clock, 20, settled(call))
    const thrown = await call
    assert.ok(thrown instanceof OpenAI.APIConnectionTimeoutError)
    assert.equal(simulator.requests.length, 2)
  })

  test('mid-stream follow the text received so far and have ours as the cause', async (t) => {
    const { openai } = await sdk(
      t,
      { recovery: false },
      { chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } },
    )
    const texts = []
    const thrown = await failure(
      (async () => {
        for await (const chunk of await openai.chat.completions.create(STREAM)) texts.push(contentOf(chunk))
      })(),
    )
    assert.equal(texts.join(''), CHUNKS.slice(0, 3).join(''))
    assert.ok(thrown instanceof TypeError && thrown.cause instanceof StreamInterruptedError)
    assert.equal(thrown.cause.partial, texts.join(''))
  })
})

test('in an outage another endpoint answers with its own key and never sees the key or the headers of the SDK', async (t) => {
  const spare = await provider(t, { apiKey: 'sk-of-the-spare-0123456789' })
  const endpoints = [{ name: 'spare', baseUrl: spare.url, apiKey: 'sk-of-the-spare-0123456789' }]
  const { openai, simulator } = await sdk(
    t,
    { endpoints, maxRetries: 0 },
    { status: 503 },
    { organization: 'org-secret', defaultHeaders: { 'x-tenant': 'secret' }, defaultQuery: { version: '7' } },
  )
  const { choices } = await openai.chat.completions.create(REQUEST)
  assert.equal(choices[0].message.content, ANSWER)
  const [primary] = simulator.requests
  assert.equal(primary.headers.authorization, `Bearer ${KEY}`)
  assert.equal(primary.headers['openai-organization'], 'org-secret')
  assert.equal(primary.path, '/v1/chat/completions?version=7')
  for (const { headers, path } of spare.requests) {
    assert.equal(headers.authorization, 'Bearer sk-of-the-spare-0123456789')
    assert.equal(path, '/v1/chat/completions')
    assert.equal(JSON.stringify(headers).includes('secret'), false)
    assert.equal(JSON.stringify(headers).includes(KEY), false)
  }
  assert.equal(spare.requests.length, 1)
})

test('a key quoted by the provider is masked', async (t) => {
  // Nothing in its form shows that this is a key.
  const apiKey = 'a-private-word-of-ours'
  const error = { message: `Incorrect key: ${apiKey}` }
  const { openai, simulator } = await sdk(t, { maxRetries: 0 }, { status: 400, body: { error } }, { apiKey })
  const thrown = await failure(openai.chat.completions.create(REQUEST))
  assert.match(thrown.message, /Incorrect key: …/)
  const headers = { 'x-request-id': `of ${apiKey}`, 'x-ratelimit-note': apiKey }
  simulator.script({ status: 400, headers })
  const masked = (await failure(openai.chat.completions.create(STREAM))).headers
  assert.deepEqual([masked.get('x-request-id'), masked.get('x-ratelimit-note')], ['of *', '*'])
})

test('a fallback model answers when the first one fails', async (t) => {
  const { openai, simulator } = await sdk(t, { fallbackModels: ['deepseek-v3.2'], maxRetries: 0 })
  simulator.script({ status: 500 })
  const { model } = await openai.chat.completions.create(REQUEST)
  assert.equal(model, 'deepseek-v3.2')
})
