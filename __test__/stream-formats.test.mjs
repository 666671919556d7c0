// Unusual but valid ways to send an answer: it always arrives complete.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ANSWER,
  CHUNKS,
  clientOf,
  clockOf,
  END,
  eventOf,
  failure,
  MESSAGES,
  METHODS,
  manualProvider,
  pair,
  until,
} from './support/provider.mjs'

const SHAPES = {
  'lines that end with CR': { lineEnd: 'cr' },
  'lines that end with CR LF': { lineEnd: 'crlf' },
  'one byte per packet': { packets: 'bytes' },
  'one byte per packet, CR LF': { packets: 'bytes', lineEnd: 'crlf' },
  'one byte per packet, CR': { packets: 'bytes', lineEnd: 'cr' },
  'seven bytes per packet': { packets: 7 },
  'one event per packet': { packets: 'event' },
  'a body that ends with the connection': { chunked: false },
  'a connection that closes after the answer': { keepAlive: false },
  'a slow answer': { chunkDelayMs: 3 },
  'comments before the first token': { firstTokenDelayMs: 20, pings: { everyMs: 3, style: 'comment' } },
  'ping events before the first token': { firstTokenDelayMs: 20, pings: { everyMs: 3, style: 'event' } },
  'a late head': { headersDelayMs: 15 },
  'no role chunk': { roleFirst: false },
  'no [DONE]': { done: false },
  'no usage': { usage: false },
  'usage in the last chunk': { usageIn: 'lastChunk' },
  'usage long after the finish': { usageDelayMs: 30 },
  'rejected stream_options': { rejectStreamOptions: true },
}

describe('an answer arrives complete', { concurrency: 8 }, () => {
  for (const [shape, scenario] of Object.entries(SHAPES)) {
    for (const [method, call] of Object.entries(METHODS)) {
      test(`${shape}: ${method}`, async (t) => {
        const { simulator, client } = await pair(t)
        simulator.setDefault({ chunks: CHUNKS, ...scenario })
        const { text } = await call(client, [])
        assert.equal(text, ANSWER)
      })
    }
  }
})

test('an answer of a thousand deltas arrives in order at every packet size', async (t) => {
  const { simulator, client } = await pair(t)
  for (const packets of [1024, 333, 'event']) {
    simulator.script({ text: 'đếm cừu 🐑 ', chunkChars: 3, repeat: 1000, packets })
    const deltas = []
    const { text } = await METHODS.textStream(client, deltas)
    assert.equal(deltas.length, 1000)
    assert.ok(!text.includes('\ufffd'))
  }
})

test('line breaks and markers in the text do not split an event', async (t) => {
  const text = 'line one\nline two\r\n\u2028data: [DONE]\n\n"quoted" \\ \u0000 end'
  const { simulator, client } = await pair(t)
  for (const lineEnd of ['lf', 'crlf', 'cr']) {
    simulator.script({ text, lineEnd, packets: 'bytes' })
    assert.equal((await METHODS.streamWithRetry(client, [])).text, text)
  }
})

test('an answer without a finish reason is interrupted, unless none is required', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  for (const method of ['chunks', 'textStream', 'streamWithRetry']) {
    simulator.script({ chunks: CHUNKS, finish: false })
    const error = await failure(METHODS[method](client, []))
    assert.equal(error.code, 'STREAM_INTERRUPTED')
    assert.match(error.message, /requireFinishReason: false/)
    assert.equal(error.partial, ANSWER)
  }
  for (const method of Object.keys(METHODS)) {
    simulator.script({ chunks: CHUNKS, finish: false })
    assert.equal((await METHODS[method](client, [], { requireFinishReason: false })).text, ANSWER)
  }
  // Without [DONE] nothing marks the end.
  simulator.script({ chunks: CHUNKS, finish: false, done: false })
  const error = await failure(METHODS.chunks(client, [], { requireFinishReason: false }))
  assert.equal(error.code, 'STREAM_INTERRUPTED')
})

test('an empty answer is requested once more, and is accepted only on request or after the result of a tool', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: [] })
  for (const method of Object.keys(METHODS)) {
    simulator.clear()
    assert.equal((await failure(METHODS[method](client, []))).code, 'EMPTY_ANSWER')
    assert.equal(simulator.requests.length, 2)
    simulator.clear()
    assert.equal((await METHODS[method](client, [], { allowEmptyAnswer: true })).text, '')
    assert.equal(simulator.requests.length, 1)
  }
  simulator.clear()
  const messages = [...MESSAGES, { role: 'tool', tool_call_id: 'a', content: '5' }]
  assert.equal((await client.chat({ messages })).choices[0].message.content, '')
  assert.equal(simulator.requests.length, 1)
})

test('a whole answer is an answer although a stream was requested', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ text: 'xin chào', format: 'document' })
  for (const method of Object.keys(METHODS)) assert.equal((await METHODS[method](client, [])).text, 'xin chào')
})

test('an answer that is cut by the limit or the filter is complete and has that finish reason', async (t) => {
  const { simulator, client } = await pair(t)
  for (const finishReason of ['length', 'content_filter']) {
    simulator.script({ chunks: CHUNKS, finishReason })
    const completion = await client.chat({ messages: MESSAGES })
    assert.equal(completion.choices[0].finish_reason, finishReason)
  }
})

test('reasoning counts as the first token and is delivered apart from the text', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const manual = await manualProvider(t)
  const thinking = clientOf(t, manual, { firstTokenTimeoutMs: 60, maxRetries: 0 }).stream({ messages: MESSAGES })
  let thought = ''
  const read = (async () => {
    for await (const chunk of thinking) thought += chunk.choices[0]?.delta.reasoning_content ?? ''
  })()
  await until(() => manual.requests.length === 1)
  const { response, begin } = manual.requests[0]
  begin().write('data: {"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"Hm."}}]}\n\n')
  await until(() => thought === 'Hm.')
  // 60 ms is the limit for the first token; the text comes later than that.
  await clock.advance(400)
  response.end(eventOf(ANSWER) + END)
  await read
  assert.equal((await thinking.result).text, ANSWER)

  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ chunks: CHUNKS, reasoning: 'Ta nghĩ đã nhé, nghĩ cho kỹ, từng bước một' })
  const stream = client.stream({ messages: MESSAGES })
  let reasoning = ''
  for await (const chunk of stream) reasoning += chunk.choices[0]?.delta.reasoning_content ?? ''
  const result = await stream.result
  assert.equal(result.text, ANSWER)
  assert.equal(result.reasoning, 'Ta nghĩ đã nhé, nghĩ cho kỹ, từng bước một')
  assert.equal(reasoning, result.reasoning)
  const { choices } = await client.chat({ messages: MESSAGES })
  assert.equal(choices[0].message.reasoning_content, result.reasoning)
})

test('tool calls and refusals are assembled', async (t) => {
  const { simulator, client } = await pair(t)
  const toolCalls = [
    { id: 'call_1', name: 'weather', arguments: { city: 'Đà Nẵng' } },
    { id: 'call_2', name: 'time', arguments: {} },
  ]
  simulator.script({ chunks: [], toolCalls }, { chunks: [], refusal: 'Không được.' })
  const { choices } = await client.chat({ messages: MESSAGES })
  assert.equal(choices[0].finish_reason, 'tool_calls')
  assert.deepEqual(
    choices[0].message.tool_calls.map(({ id, type, function: { name, arguments: args } }) => {
      assert.equal(type, 'function')
      return { id, name, arguments: JSON.parse(args) }
    }),
    toolCalls,
  )
  const stream = client.stream({ messages: MESSAGES })
  assert.equal((await stream.result).refusal, 'Không được.')
})

test('an endpoint that rejects stream_options gets later requests without it', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ chunks: CHUNKS, rejectStreamOptions: true })
  await client.chat({ messages: MESSAGES })
  await client.chat({ messages: MESSAGES })
  const usageRequested = simulator.requests.map(({ json }) => json.stream_options?.include_usage ?? null)
  assert.deepEqual(usageRequested, [true, null, null])
})
