// A whole JSON answer of Messages or Responses where a stream was requested.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MESSAGE, messageItem, read } from './support/dialect-shapes.mjs'
import { responseOf } from './support/raw-provider.mjs'

const message = (content, more) => ({ ...MESSAGE, content, stop_reason: 'end_turn', ...more })
const response = (output, more) => ({
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  model: 'm',
  status: 'completed',
  error: null,
  output,
  usage: { input_tokens: 5, output_tokens: 7, total_tokens: 12 },
  ...more,
})

/** The same document in the forms in which servers send it. */
const FORMS = {
  'as JSON': (value) => responseOf(200, { 'content-type': 'application/json' }, JSON.stringify(value)),
  'pretty-printed': (value) =>
    responseOf(200, { 'content-type': 'text/plain' }, `\n${JSON.stringify(value, null, 2)}\n`),
  'as an event': (value) =>
    responseOf(200, { 'content-type': 'text/event-stream' }, `data: ${JSON.stringify(value)}\n\ndata: [DONE]\n\n`),
}

const CITATION = { type: 'char_location', cited_text: 'x', document_index: 0, start_char_index: 0, end_char_index: 1 }
const BLOCKS = [
  { type: 'thinking', thinking: 'Let me see.', signature: 'sig' },
  { type: 'text', text: 'Hello 😀', citations: [CITATION] },
  { type: 'tool_use', id: 'call', name: 'weather', input: { city: 'Huế' } },
  { type: 'redacted_thinking', data: 'x' },
]
const ITEMS = [
  { type: 'reasoning', id: 'r', summary: [{ type: 'summary_text', text: 'Let me see.' }] },
  messageItem('Hello 😀'),
  { type: 'function_call', id: 'f', call_id: 'c', name: 'weather', arguments: '{"city":"Huế"}', status: 'completed' },
  { type: 'web_search_call', id: 'w', status: 'completed', action: { type: 'search', query: 'x' } },
]

for (const [form, send] of Object.entries(FORMS)) {
  test(`messages: a whole message ${form} is an answer`, async (t) => {
    const sent = message(BLOCKS, { stop_reason: 'tool_use', usage: { input_tokens: 5, output_tokens: 7 } })
    const got = await read(t, 'messages', send(sent))
    assert.ifError(got.error)
    assert.deepEqual([got.text, got.calls, got.thinking], ['Hello 😀', [['weather', { city: 'Huế' }]], 'Let me see.'])
    assert.deepEqual([got.stop, got.usage, got.requests], ['tool_use', [5, 7], 1])
    assert.deepEqual(JSON.parse(JSON.stringify(got.final.content)), BLOCKS)
    assert.deepEqual([got.kinds[0], got.kinds.at(-1)], ['message_start', 'message_stop'])
  })

  test(`responses: a whole response ${form} is an answer`, async (t) => {
    const got = await read(t, 'responses', send(response(ITEMS)))
    assert.ifError(got.error)
    assert.deepEqual([got.text, got.finalText, got.thinking], ['Hello 😀', 'Hello 😀', 'Let me see.'])
    assert.deepEqual([got.args, got.calls], ['{"city":"Huế"}', [['weather', { city: 'Huế' }]]])
    assert.deepEqual([got.stop, got.usage, got.requests], ['completed', [5, 7], 1])
    assert.deepEqual([got.kinds[0], got.kinds.at(-1)], ['response.created', 'response.completed'])
    assert.deepEqual(
      got.final.output.map((item) => item.type),
      ITEMS.map((item) => item.type),
    )
  })
}

test('a whole answer that reached its token limit says so', async (t) => {
  const send = FORMS['as JSON']
  const cut = await read(t, 'messages', send(message([{ type: 'text', text: 'Hel' }], { stop_reason: 'max_tokens' })))
  assert.deepEqual([cut.text, cut.stop], ['Hel', 'max_tokens'])
  const details = { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
  const incomplete = await read(t, 'responses', send(response([messageItem('Hel')], details)))
  assert.deepEqual([incomplete.text, incomplete.kinds.at(-1)], ['Hel', 'response.incomplete'])
})

test('a whole answer continues one that was interrupted', async (t) => {
  const { messages, responses, streamOf } = await import('./support/dialect-shapes.mjs')
  const sentence = 'The quick brown fox jumps '
  const send = FORMS['as JSON']
  const broken = streamOf(messages.start, messages.block(), messages.text(sentence))
  const got = await read(t, 'messages', [broken, send(message([{ type: 'text', text: 'over the dog.' }]))])
  assert.deepEqual([got.error, got.finalText], [undefined, `${sentence}over the dog.`])
  const half = streamOf(responses.start, responses.item(), responses.part, responses.text(sentence))
  const rest = await read(t, 'responses', [half, send(response([messageItem('over the dog.')]))])
  assert.deepEqual([rest.error, rest.finalText], [undefined, `${sentence}over the dog.`])
})

test('a whole answer with more blocks than any answer has is an error', async (t) => {
  const blocks = Array.from({ length: 1025 }, () => ({ type: 'text', text: '' }))
  const got = await read(t, 'messages', FORMS['as JSON'](message(blocks)))
  assert.ok(got.error)
  assert.equal(got.requests, 1)
  const items = Array.from({ length: 1025 }, () => messageItem(''))
  const response_ = await read(t, 'responses', FORMS['as JSON'](response(items)))
  assert.ok(response_.error)
  assert.equal(response_.requests, 1)
})
