// Events of Messages and Responses in other forms than the protocol's: the SDK gets the whole answer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  MESSAGE,
  messageItem,
  messages,
  named,
  read,
  responses,
  streamOf,
  textMessage,
  textResponse,
} from './support/dialect-shapes.mjs'
import { sse } from './support/raw-provider.mjs'

const { start, block, text, endBlock, end, stop } = messages
const withFields = (event, fields) => ({ ...event, ...fields })
const without = (event, name) => JSON.parse(JSON.stringify(event, (key, value) => (key === name ? undefined : value)))
const data = (event) => `data: ${JSON.stringify(event)}\n\n`
const messageEvents = [start, block(), text('Hel'), text('lo'), endBlock(), end(), stop]
const responseEvents = [
  responses.start,
  responses.item(),
  responses.part,
  responses.text('Hel'),
  responses.text('lo'),
  responses.end([messageItem('Hello')]),
]

/** Streams whose answer is `Hello` with the usage 5 and 7. */
const MESSAGES = {
  'indices as strings': messageEvents.map((event) => ('index' in event ? withFields(event, { index: '0' }) : event)),
  'no indices': messageEvents.map((event) => without(event, 'index')),
  'no event lines': messageEvents.map(data),
  'no types in the data': messageEvents.map((event) =>
    named(event).replace(`"type":"${event.type}",`, '').replace(`"type":"${event.type}"`, ''),
  ),
  'no blank lines': messageEvents.map((event) => named(event).slice(0, -1)),
  'no blank lines and no event lines': messageEvents.map((event) => data(event).slice(0, -1)),
  CRLF: messageEvents.map((event) => named(event).replaceAll('\n', '\r\n')),
  '[DONE] at the end': [...messageEvents, 'data: [DONE]\n\n'],
  '[DONE] instead of message_stop': [...messageEvents.slice(0, -1), 'data: [DONE]\n\n'],
  'no message_stop': messageEvents.slice(0, -1),
  'a ping without data of its own': messageEvents.map((event) => `event: ping\n${data(event)}`),
  'duplicate keys': [
    start,
    block(),
    named(text('Hel')).replace('{', '{"index":7,"delta":5,'),
    text('lo'),
    endBlock(),
    end(),
    stop,
  ],
  'values that say nothing': [
    start,
    'data: null\n\n',
    block(),
    'data: 0\n\n',
    text('Hel'),
    'data: []\n\n',
    text('lo'),
    endBlock(),
    end(),
    stop,
  ],
  'strange types of fields that are not needed': [
    withFields(start, { usage: 'x', delta: 5, index: [] }),
    withFields(block(), { delta: 'x', message: 7, usage: [1] }),
    withFields(text('Hel'), { content_block: 'x', message: [], usage: '3' }),
    text('lo'),
    withFields(endBlock(), { delta: null, message: false }),
    withFields(end(), { index: {}, content_block: 3 }),
    stop,
  ],
  'a message without its lists': [
    { type: 'message_start', message: { id: 'a', usage: { input_tokens: 5 } } },
    ...messageEvents.slice(1),
  ],
  'a block without its text': [start, block({ type: 'text' }), ...messageEvents.slice(2)],
  'a block that begins with text': [start, block({ type: 'text', text: 'Hel' }), text('lo'), endBlock(), end(), stop],
  'texts as lists of parts': [
    start,
    block(),
    text([{ type: 'text', text: 'Hel' }]),
    text(['lo']),
    endBlock(),
    end(),
    stop,
  ],
  'a bare text as delta': [start, block(), withFields(text(''), { delta: 'Hel' }), text('lo'), endBlock(), end(), stop],
  'a delta without its type': [start, block(), without(text('Hel'), 'type'), text('lo'), endBlock(), end(), stop].map(
    (event) => (event.delta && !event.type ? withFields(event, { type: 'content_block_delta' }) : event),
  ),
  'counts as strings': [
    { type: 'message_start', message: { ...MESSAGE, usage: { input_tokens: '5', output_tokens: '1' } } },
    ...messageEvents.slice(1, -2),
    end({ output_tokens: '7' }),
    stop,
  ],
  'the usage after the stop reason': [
    ...messageEvents.slice(0, -2),
    end({}),
    { type: 'message_delta', delta: {}, usage: { output_tokens: 7 } },
    stop,
  ],
  'text after the stop reason': [start, block(), text('Hel'), end(), text('lo'), endBlock(), stop],
  'a block after the stop reason': [
    start,
    block(),
    text('Hel'),
    endBlock(),
    end(),
    block(undefined, 1),
    text('lo', 1),
    endBlock(1),
    stop,
  ],
  'a stop reason as an object': [...messageEvents.slice(0, -2), end(undefined, { type: 'end_turn' }), stop],
}

for (const [name, events] of Object.entries(MESSAGES)) {
  test(`messages: ${name}`, async (t) => {
    const got = await read(t, 'messages', streamOf(...events))
    assert.ifError(got.error)
    assert.deepEqual([got.text, got.finalText, got.stop, got.requests], ['Hello', 'Hello', 'end_turn', 1])
    assert.deepEqual(got.usage.map(Number), [5, 7])
  })
}

test('messages: numbers and booleans as text', async (t) => {
  const got = await read(t, 'messages', textMessage(text(1), text('-'), text(2.5), text('-'), text(true)))
  assert.deepEqual([got.error, got.text, got.finalText], [undefined, '1-2.5-true', '1-2.5-true'])
})

test('messages: a usage that never comes fails nothing', async (t) => {
  for (const usage of [undefined, null, '7', []]) {
    const got = await read(
      t,
      'messages',
      streamOf(start, block(), text('Hello'), endBlock(), { ...end(), usage }, stop),
    )
    assert.deepEqual([got.error, got.finalText, got.stop], [undefined, 'Hello', 'end_turn'])
  }
})

test('messages: arguments as an object, in the delta or at the beginning', async (t) => {
  const tool = (input) => block({ type: 'tool_use', id: 'call', name: 'f', input })
  const args = { type: 'input_json_delta', partial_json: { city: 'Huế' } }
  for (const events of [[tool({}), messages.delta(args)], [tool({ city: 'Huế' })], [tool('{"city":"Huế"}')]]) {
    const got = await read(
      t,
      'messages',
      streamOf(start, ...events, endBlock(), end({ output_tokens: 7 }, 'tool_use'), stop),
    )
    assert.deepEqual([got.error, got.calls, got.stop], [undefined, [['f', { city: 'Huế' }]], 'tool_use'])
  }
})

test('messages: several blocks without indices stay apart', async (t) => {
  const tool = block({ type: 'tool_use', id: 'call', name: 'f', input: {} })
  const args = messages.delta({ type: 'input_json_delta', partial_json: '{"a":1}' })
  const events = [
    start,
    block(),
    text('Hello'),
    endBlock(),
    tool,
    args,
    endBlock(),
    end({ output_tokens: 7 }, 'tool_use'),
    stop,
  ]
  const got = await read(t, 'messages', streamOf(...events.map((event) => without(event, 'index'))))
  assert.deepEqual([got.error, got.finalText, got.calls], [undefined, 'Hello', [['f', { a: 1 }]]])
})

test('messages: unknown events are passed on unchanged', async (t) => {
  const strange = 'event: relay.info\ndata: {"x": 1.50, "type":"relay.info", "index":"?", "delta":[7]}\n\n'
  const untyped = 'event: relay.note\ndata: {"x":  2}\n\n'
  const { rawProvider } = await import('./support/raw-provider.mjs')
  const { fetchOf } = await import('./support/dialects.mjs')
  const { url } = await rawProvider(
    t,
    streamOf(start, block(), text('Hello'), strange, untyped, endBlock(), end(), stop),
  )
  const body = JSON.stringify({ model: 'm', max_tokens: 9, messages: [], stream: true })
  const received = await (await fetchOf(t)(`${url}/messages`, { method: 'POST', body })).text()
  assert.ok(received.includes(strange), received)
  assert.ok(received.includes(untyped), received)
})

test('an error after the stop reason is an error', async (t) => {
  const error = { type: 'error', error: { type: 'api_error', message: 'Internal' } }
  const got = await read(t, 'messages', streamOf(...messageEvents.slice(0, -1), error))
  const reasons = []
  for (let link = got.error; link; link = link.cause) reasons.push(link.message)
  assert.match(reasons.join('; '), /Internal/)
  assert.equal(got.requests, 1)
})

test('messages: a stop reason that reports an interruption is a break', async (t) => {
  const broken = streamOf(
    start,
    block(),
    text('The quick brown fox '),
    endBlock(),
    end({ output_tokens: 7 }, 'error'),
    stop,
  )
  const got = await read(t, 'messages', [broken, textMessage(text('jumps.'))])
  assert.deepEqual([got.error, got.finalText, got.requests], [undefined, 'The quick brown fox jumps.', 2])
})

/** Streams whose answer is `Hello` with the usage 5 and 7. */
const RESPONSES = {
  'indices as strings': responseEvents.map((event) =>
    'output_index' in event
      ? withFields(event, { output_index: '0', content_index: '0', sequence_number: '4' })
      : event,
  ),
  'no indices': responseEvents.map((event) => without(without(event, 'output_index'), 'content_index')),
  'no event lines': responseEvents.map(data),
  'no types in the data': responseEvents.map((event) => named(event).replace(`"type":"${event.type}",`, '')),
  'no blank lines': responseEvents.map((event) => named(event).slice(0, -1)),
  'no blank lines and no event lines': responseEvents.map((event) => data(event).slice(0, -1)),
  CRLF: responseEvents.map((event) => named(event).replaceAll('\n', '\r\n')),
  '[DONE] at the end': [...responseEvents, 'data: [DONE]\n\n'],
  'a ping without data of its own': responseEvents.map((event) => `event: ping\n${data(event)}`),
  'duplicate keys': [
    ...responseEvents.slice(0, 3),
    named(responses.text('Hel')).replace('{', '{"delta":5,"output_index":7,'),
    ...responseEvents.slice(4),
  ],
  'values that say nothing': responseEvents.flatMap((event) => [event, 'data: null\n\n', 'data: ""\n\n']),
  'strange types of fields that are not needed': responseEvents.map((event) => ({
    item_id: { x: 1 },
    logprobs: 'x',
    ...event,
    obfuscation: [7],
  })),
  'texts as lists of parts': [
    ...responseEvents.slice(0, 3),
    responses.text([{ type: 'output_text', text: 'Hel' }]),
    responses.text(['lo']),
    responseEvents[5],
  ],
  'counts as strings': [
    ...responseEvents.slice(0, -1),
    responses.end([messageItem('Hello')], { input_tokens: '5', output_tokens: '7' }),
  ],
}

for (const [name, events] of Object.entries(RESPONSES)) {
  test(`responses: ${name}`, async (t) => {
    const got = await read(t, 'responses', streamOf(...events))
    assert.ifError(got.error)
    assert.deepEqual([got.text, got.finalText, got.stop, got.requests], ['Hello', 'Hello', 'completed', 1])
    assert.deepEqual(got.usage.map(Number), [5, 7])
  })
}

test('responses: numbers and booleans as text', async (t) => {
  const deltas = [1, '-', 2.5, '-', true].map(responses.text)
  const got = await read(t, 'responses', textResponse('1-2.5-true', ...deltas))
  assert.deepEqual([got.error, got.text], [undefined, '1-2.5-true'])
})

test('responses: arguments as an object, in the delta, in its end and in the items', async (t) => {
  const call = { type: 'function_call', id: 'item_1', call_id: 'c', name: 'f', status: 'completed' }
  const args = { city: 'Huế' }
  const at = { item_id: 'item_1', output_index: 0 }
  const events = [
    responses.item({ ...call, arguments: '' }),
    { type: 'response.function_call_arguments.delta', ...at, delta: args },
    { type: 'response.function_call_arguments.done', ...at, arguments: args },
    { type: 'response.output_item.done', output_index: 0, item: { ...call, arguments: args } },
    responses.end([{ ...call, arguments: args }]),
  ]
  const got = await read(t, 'responses', streamOf(responses.start, ...events))
  assert.deepEqual([got.error, got.args, got.calls], [undefined, JSON.stringify(args), [['f', args]]])
})

test('streams with these forms are cut and continued like any other', async (t) => {
  const first = 'The quick brown fox '
  const sentence = `${first}jumps over the dog.`
  const broken = sse([start, block(), text(first)].map((event) => data(without(event, 'index'))).join(''))
  const rest = sse(
    [start, block(), text('jumps over'), end(), text(' the dog.'), stop]
      .map((event) => data(without(event, 'index')))
      .join(''),
  )
  const got = await read(t, 'messages', [broken, rest])
  assert.deepEqual([got.error, got.text, got.finalText, got.stop], [undefined, sentence, sentence, 'end_turn'])
})
