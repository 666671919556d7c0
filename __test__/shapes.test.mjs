// What is unusual and no fault: however the answer is sent, it arrives whole.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ANSWER,
  clientOf,
  clockOf,
  END,
  eventOf,
  FACES,
  failure,
  MESSAGES,
  PIECES,
  pair,
  providerByHand,
  until,
} from './support/provider.mjs'

const SHAPES = {
  'lines that end with CR': { lineEnd: 'cr' },
  'lines that end with CR LF': { lineEnd: 'crlf' },
  'one byte a packet': { packets: 'bytes' },
  'one byte a packet, CR LF': { packets: 'bytes', lineEnd: 'crlf' },
  'one byte a packet, CR': { packets: 'bytes', lineEnd: 'cr' },
  'seven bytes a packet': { packets: 7 },
  'one event a packet': { packets: 'whole' },
  'a body that ends with the connection': { chunked: false },
  'a connection that is closed afterwards': { keepAlive: false },
  'a slow answer': { chunkDelayMs: 3 },
  'comments while it waits': { firstTokenDelayMs: 20, pings: { everyMs: 3, style: 'comment' } },
  'ping events while it waits': { firstTokenDelayMs: 20, pings: { everyMs: 3, style: 'event' } },
  'a late head': { headersDelayMs: 15 },
  'no role first': { roleFirst: false },
  'no [DONE]': { done: false },
  'no usage': { usage: false },
  'usage in the last chunk': { usageInLastChunk: true },
  'usage long after the finish': { usageDelayMs: 30 },
  'a refusal of stream_options': { refuseStreamOptions: true },
}

describe('an answer arrives whole', { concurrency: 8 }, () => {
  for (const [shape, scenario] of Object.entries(SHAPES)) {
    for (const [face, ask] of Object.entries(FACES)) {
      test(`${shape}: ${face}`, async (t) => {
        const { simulator, client } = await pair(t)
        simulator.setDefault({ chunks: PIECES, ...scenario })
        const { text } = await ask(client, [])
        assert.equal(text, ANSWER)
      })
    }
  }
})

test('an answer of a thousand pieces in every packet size comes in order', async (t) => {
  const { simulator, client } = await pair(t)
  for (const packets of [1024, 333, 'whole']) {
    simulator.script({ text: 'đếm cừu 🐑 ', chunkChars: 3, repeat: 1000, packets })
    const pieces = []
    const { text } = await FACES.textStream(client, pieces)
    assert.equal(pieces.length, 1000)
    assert.ok(!text.includes('\ufffd'))
  }
})

test('what stands in an event is not split where the lines would be', async (t) => {
  const text = 'line one\nline two\r\n\u2028data: [DONE]\n\n"quoted" \\ \u0000 end'
  const { simulator, client } = await pair(t)
  for (const lineEnd of ['lf', 'crlf', 'cr']) {
    simulator.script({ text, lineEnd, packets: 'bytes' })
    assert.equal((await FACES.streamWithRetry(client, [])).text, text)
  }
})

test('an answer without a finish reason is cut off, unless none is required', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  for (const face of ['chunks', 'textStream', 'streamWithRetry']) {
    simulator.script({ chunks: PIECES, finish: false })
    const error = await failure(FACES[face](client, []))
    assert.equal(error.code, 'STREAM_INTERRUPTED')
    assert.match(error.message, /requireFinishReason: false/)
    assert.equal(error.partial, ANSWER)
  }
  for (const face of Object.keys(FACES)) {
    simulator.script({ chunks: PIECES, finish: false })
    assert.equal((await FACES[face](client, [], { requireFinishReason: false })).text, ANSWER)
  }
  // Without [DONE] nobody can know.
  simulator.script({ chunks: PIECES, finish: false, done: false })
  const error = await failure(FACES.chunks(client, [], { requireFinishReason: false }))
  assert.equal(error.code, 'STREAM_INTERRUPTED')
})

test('an empty answer is an answer', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: [] })
  for (const face of Object.keys(FACES)) assert.equal((await FACES[face](client, [])).text, '')
  assert.equal(simulator.requests.length, Object.keys(FACES).length)
})

test('an answer that is cut by the limit or the filter is complete, and says so', async (t) => {
  const { simulator, client } = await pair(t)
  for (const finishReason of ['length', 'content_filter']) {
    simulator.script({ chunks: PIECES, finishReason })
    const completion = await client.chat({ messages: MESSAGES })
    assert.equal(completion.choices[0].finish_reason, finishReason)
  }
})

test('reasoning is a first token, and comes beside the text', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const byHand = await providerByHand(t)
  const thinking = clientOf(t, byHand, { firstTokenTimeoutMs: 60, maxRetries: 0 }).stream({ messages: MESSAGES })
  let thought = ''
  const read = (async () => {
    for await (const chunk of thinking) thought += chunk.choices[0]?.delta.reasoning_content ?? ''
  })()
  await until(() => byHand.requests.length === 1)
  const { response, begin } = byHand.requests[0]
  begin().write('data: {"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"Hm."}}]}\n\n')
  await until(() => thought === 'Hm.')
  // 60 ms is the limit for the first token; the text comes later than that.
  await clock.advance(400)
  response.end(eventOf(ANSWER) + END)
  await read
  assert.equal((await thinking.result).text, ANSWER)

  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ chunks: PIECES, reasoning: 'Ta nghĩ đã nhé, nghĩ cho kỹ, từng bước một' })
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

test('tool calls and refusals are put together', async (t) => {
  const { simulator, client } = await pair(t)
  const toolCalls = [
    { id: 'call_1', name: 'weather', arguments: { city: 'Đà Nẵng' } },
    { id: 'call_2', name: 'time', arguments: {} },
  ]
  simulator.script({ chunks: [], toolCalls }, { chunks: [], refusal: 'Không được.' })
  const { choices } = await client.chat({ messages: MESSAGES })
  assert.equal(choices[0].finish_reason, 'tool_calls')
  assert.deepEqual(
    choices[0].message.tool_calls.map(({ id, type, function: { name, arguments: given } }) => {
      assert.equal(type, 'function')
      return { id, name, arguments: JSON.parse(given) }
    }),
    toolCalls,
  )
  const stream = client.stream({ messages: MESSAGES })
  assert.equal((await stream.result).refusal, 'Không được.')
})

test('an endpoint that refuses stream_options is asked without it, and not asked again', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ chunks: PIECES, refuseStreamOptions: true })
  await client.chat({ messages: MESSAGES })
  await client.chat({ messages: MESSAGES })
  const asked = simulator.requests.map(({ json }) => json.stream_options?.include_usage ?? null)
  assert.deepEqual(asked, [true, null, null])
})
