// Surrogate pairs that a provider of Messages or Responses splits over two deltas, and halves that are alone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  messageItem,
  messages,
  read,
  responses,
  streamOf,
  textMessage,
  textResponse,
} from './support/dialect-shapes.mjs'

/** Texts as deltas, and what they are together. */
const SPLITS = {
  'a pair in two deltas': [['a\ud83d', '\ude00b'], 'a😀b'],
  'a pair in two deltas of its own': [['\ud83d', '\ude00'], '😀'],
  'an empty delta between the halves': [['a\ud83d', '', '\ude00b'], 'a😀b'],
  'a high half without a low one': [['a\ud83d', 'b'], 'a\ufffdb'],
  'a low half without a high one': [['a', '\ude00b'], 'a\ufffdb'],
  'a high half at the end': [['a', 'b\ud83d'], 'ab\ufffd'],
  'two pairs': [['\ud83d', '\ude00\ud83d', '\ude01'], '😀😁'],
  'a half inside a delta': [['a\ud83db', 'c'], 'a\ufffdbc'],
}

for (const [name, [deltas, text]] of Object.entries(SPLITS)) {
  test(`messages: ${name}`, async (t) => {
    const got = await read(t, 'messages', textMessage(...deltas.map((delta) => messages.text(delta))))
    assert.ifError(got.error)
    assert.deepEqual([got.text, got.finalText, got.requests], [text, text, 1])
    const thinking = deltas.map((delta) => messages.delta({ type: 'thinking_delta', thinking: delta }))
    const block = messages.block({ type: 'thinking', thinking: '', signature: '' })
    const thought = await read(
      t,
      'messages',
      streamOf(messages.start, block, ...thinking, messages.endBlock(), messages.end(), messages.stop),
    )
    assert.equal(thought.thinking, text)
    const parts = ['{"a":"', ...deltas, '"}']
    const args = parts.map((partial_json) => messages.delta({ type: 'input_json_delta', partial_json }))
    const tool = messages.block({ type: 'tool_use', id: 'call', name: 'f', input: {} })
    const called = await read(
      t,
      'messages',
      streamOf(messages.start, tool, ...args, messages.endBlock(), messages.end({}, 'tool_use'), messages.stop),
    )
    assert.deepEqual(called.calls, [['f', { a: text }]])
  })

  test(`responses: ${name}`, async (t) => {
    const got = await read(t, 'responses', textResponse(text, ...deltas.map(responses.text)))
    assert.ifError(got.error)
    assert.deepEqual([got.text, got.finalText, got.requests], [text, text, 1])
    const call = { type: 'function_call', id: 'item_1', call_id: 'c', name: 'f', arguments: '', status: 'in_progress' }
    const args = ['{"a":"', ...deltas, '"}'].map((delta) => ({
      type: 'response.function_call_arguments.delta',
      item_id: 'item_1',
      output_index: 0,
      delta,
    }))
    const whole = JSON.stringify({ a: text })
    const done = { type: 'response.function_call_arguments.done', item_id: 'item_1', output_index: 0, arguments: whole }
    const output = [{ ...call, arguments: whole, status: 'completed' }]
    const called = await read(
      t,
      'responses',
      streamOf(responses.start, responses.item(call), ...args, done, responses.end(output)),
    )
    assert.ifError(called.error)
    assert.deepEqual([called.args, called.calls], [whole, [['f', { a: text }]]])
    const item = { type: 'reasoning', id: 'item_1', summary: [] }
    const at = { item_id: 'item_1', output_index: 0, summary_index: 0 }
    const begin = { type: 'response.reasoning_summary_part.added', ...at, part: { type: 'summary_text', text: '' } }
    const summary = deltas.map((delta) => ({ type: 'response.reasoning_summary_text.delta', ...at, delta }))
    const end = { type: 'response.reasoning_summary_text.done', ...at, text }
    const thought = await read(
      t,
      'responses',
      streamOf(responses.start, responses.item(item), begin, ...summary, end, responses.end([item])),
    )
    assert.ifError(thought.error)
    assert.equal(thought.thinking, text)
  })
}

test('an answer that is interrupted after half of a pair is continued with the whole character', async (t) => {
  const sentence = 'The answer ends in the middle of '
  const broken = {
    messages: streamOf(messages.start, messages.block(), messages.text(`${sentence}\ud83d`)),
    responses: streamOf(responses.start, responses.item(), responses.part, responses.text(`${sentence}\ud83d`)),
  }
  const rest = {
    messages: textMessage(messages.text('😀 a pair.')),
    responses: textResponse('😀 a pair.', responses.text('😀 a pair.')),
  }
  for (const dialect of ['messages', 'responses']) {
    const got = await read(t, dialect, [broken[dialect], rest[dialect]])
    assert.ifError(got.error)
    assert.deepEqual([got.text, got.finalText], [`${sentence}😀 a pair.`, `${sentence}😀 a pair.`])
    // The text in the request for the rest is what the consumer had.
    assert.equal(got.requests, 2)
    const { messages: sent, input } = JSON.parse(got.bodies[1])
    assert.equal((sent ?? input)[1].content, sentence)
  }
})

test('halves in fields that are only passed on fail no event', async (t) => {
  const item = { ...messageItem('ok'), note: '\ud83d' }
  const got = await read(t, 'responses', textResponse('ok', { ...responses.text('ok'), obfuscation: '\ud83d' }))
  assert.deepEqual([got.error, got.text], [undefined, 'ok'])
  const end = responses.end([item])
  const final = await read(
    t,
    'responses',
    streamOf(responses.start, responses.item(), responses.part, responses.text('ok'), end),
  )
  assert.deepEqual([final.error, final.finalText, final.usage], [undefined, 'ok', [5, 7]])
  const message = await read(t, 'messages', textMessage({ ...messages.text('ok'), note: '\ude00' }))
  assert.deepEqual([message.error, message.text], [undefined, 'ok'])
})
